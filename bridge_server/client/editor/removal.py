"""Taking RePaint off this computer: what goes and what stays is listed before anything is deleted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, List, Optional, Tuple

from bridge_server.client import setup

from . import sentences
from .download import amount
from .pump import Pump
from .setup import SetUpPage
from .words import tr


@dataclass(frozen=True)
class Shown:
    """What a window draws below its button "remove". ``asks``: with the boxes and the buttons below the text;
    ``models``, ``history``: of the boxes."""

    asks: bool
    text: str
    models: bool = False
    history: bool = False


class RemovalPage:
    """``set_up``: offers nothing while this removes. ``listeners`` are called after each change."""

    def __init__(self, pump: Pump, set_up: SetUpPage, door: Any = setup) -> None:
        self._pump, self._set_up, self._door = pump, set_up, door
        self.listeners: List[Callable[[], None]] = []
        self._found: Optional[setup.Removal] = None
        self._with_models = self._with_history = self._busy = False
        self._sentence = ""

    def ask(self) -> None:
        """Lists what there is."""
        self._with_models = self._with_history = False
        self._do(sentences.LOOKING_AT_COMPUTER, self._door.removable, self._listed)

    def include(self, models: bool, history: bool) -> None:
        self._with_models, self._with_history = models, history
        self._changed()

    def remove(self) -> None:
        models, history = self._with_models, self._with_history
        self._set_up.pause(True)
        self._do(sentences.REMOVING, lambda: self._door.remove(models, history), self._ended)

    def leave(self) -> None:
        self._found, self._sentence = None, ""
        self._changed()

    def shown(self) -> Shown:
        if self._found is None or self._busy:
            return Shown(False, tr(self._sentence))
        asked = {tr(setup.sentences.MODELS): self._with_models, tr(setup.sentences.HISTORY): self._with_history}
        also = [row for row in self._found.stays if asked.get(row[0], False)]
        goes, stays = [*self._found.goes, *also], [row for row in self._found.stays if row not in also]
        lines = [tr(sentences.REMOVAL_GOES), *map(_line, goes)]
        lines += ["", tr(sentences.REMOVAL_STAYS), *map(_line, stays)] if stays else []
        return Shown(True, "\n".join(lines), self._with_models, self._with_history)

    def _listed(self, found: setup.Removal) -> None:
        self._found = found

    def _ended(self, _: Any) -> None:
        self._found, self._sentence = None, sentences.REMOVED
        self._set_up.pause(False, sentences.REMOVED)  # whose page hides this one

    def _do(self, meanwhile: str, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        def answered(answer: Any) -> None:
            self._busy, self._sentence = False, ""
            then(answer)
            self._changed()

        def failed(sentence: str) -> None:
            self._busy, self._sentence, self._found = False, sentence, None
            self._set_up.pause(False)
            self._changed()

        if not self._busy:
            self._busy, self._sentence = True, meanwhile
            self._pump.aside("removal", work, answered, failed)
            self._changed()

    def _changed(self) -> None:
        for listener in list(self.listeners):
            listener()


def _line(row: Tuple[str, Path, int]) -> str:
    what, place, size = row
    return "· " + tr(sentences.REMOVAL_LINE).format(what=what, size=amount(size), place=place)
