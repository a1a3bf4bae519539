"""The docker in every language: at 250 pixels no text is cut, and a screen reader has a name for every control."""

from __future__ import annotations

import pytest

from .desk import Desk
from .languages import HEIGHT, LANGUAGES, PRELUDE, STATES, WIDTH


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_fits_and_every_control_has_a_name(desk: Desk, language: str) -> None:
    host = desk.host
    host.run(PRELUDE + f"made = speaking({language!r}, {WIDTH}, {HEIGHT})\nNone")
    try:
        for name, code in STATES.items():
            host.run(code + "\nNone")
            host.run("QtWidgets.QApplication.processEvents()")
            assert host.run("cut(made)") == [], name
        assert host.run("unnamed(made)") == []
    finally:
        host.run("made.close()\nmade.deleteLater()\nwords.choose('en')\nNone")
