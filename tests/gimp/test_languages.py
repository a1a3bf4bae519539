"""The window in every language: no text is cut at its usual size, and a screen reader has a name for every control."""

from __future__ import annotations

import pytest

from tests.krita.languages import LANGUAGES

from .desk import Desk
from .languages import PRELUDE, STATES


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_fits_and_every_control_has_a_name(desk: Desk, language: str) -> None:
    host = desk.host
    english = host.run("body.form.lines['seed'][0].get_text()")
    host.run(PRELUDE + f"made = speaking({language!r})\nNone")
    try:
        host.wait("made.get_mapped()")
        assert (host.run("made.body.form.lines['seed'][0].get_text()") == english) == (language == "en")
        for name, code in STATES.items():
            host.run(code + "\nNone")
            host.wait("not cut(made)", what=f"every text of “{name}” fits")
        assert host.run("unnamed(made)") == []
    finally:
        host.run("made.destroy()\nwords.choose('en')\nNone")
