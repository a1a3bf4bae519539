"""The first fill, shown: twenty seconds on a bundled picture, offered once after the engine has been set up.

`Tour` looks at the flow and says what to do next; the artist does it with the editor's own tools.
"""

from __future__ import annotations

import itertools
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, List

from bridge_server.client.launch import private_folder, user_folders

from . import sentences
from .model import THERE, Run
from .panel import Panel
from .words import tr

PICTURE = Path(__file__).with_name("tour.jpg")
VARIANTS = 2  # so that there is a choice
NOTHING, OFFER, SELECT, REPAINT, WATCH, CHOOSE, UNDO, END = range(8)
SAID = {
    OFFER: sentences.TOUR_OFFER,
    SELECT: sentences.TOUR_SELECT,
    REPAINT: sentences.TOUR_REPAINT,
    WATCH: sentences.TOUR_WATCH,
    CHOOSE: sentences.TOUR_CHOOSE,
    UNDO: sentences.TOUR_UNDO,
    END: sentences.TOUR_END,
}


@dataclass(frozen=True)
class Shown:
    """What a window draws. ``close``: the name in `labels.BUTTONS` of the button that ends it."""

    visible: bool = False
    text: str = ""
    can_begin: bool = False
    close: str = "tour_no"


class Tour:
    """One for each window. ``repeat``: has a function called ten times a second until it returns True."""

    def __init__(self, panel: Panel, repeat: Callable[[str, Callable[[], bool]], None]) -> None:
        self._panel, self._flow, self._repeat = panel, panel.flow, repeat
        self.place = OFFER if panel.choices.tour else NOTHING
        self.listeners: List[Callable[[], None]] = []
        self._before: List[Run] = []  # the last run that has been looked at
        self._layer: Any = None
        self._first: Any = None  # what was shown when the run had ended
        self._variants = 1  # as many as the artist had chosen

    def offer(self) -> None:
        """From now on until it is answered, also after a restart of the editor, and never again."""
        if self._panel.choices.tour is not False:
            self._keep(True)
            self._go(OFFER)

    def begin(self) -> None:
        """Opens the picture: a copy, which is the artist's."""
        self._flow.host.open(_copy())
        self._variants = self._panel.widgets["variants"].read()
        self._panel.widgets["variants"].write(VARIANTS)
        self._before = self._flow.runs[-1:]
        self._go(SELECT)
        self._repeat("tour", self.tick)

    def close(self) -> None:
        """It is not offered again."""
        self._end(NOTHING)

    def tick(self) -> bool:
        """Goes on when the artist has done what was asked for; True when there is nothing more to wait for."""
        flow = self._flow
        if self.place in (SELECT, REPAINT) and (flow.busy or flow.runs[-1:] != self._before):
            self._go(WATCH)
        elif self.place == SELECT and flow.host.extent()[0] > 0:
            self._go(REPAINT)
        elif self.place == WATCH and not flow.busy and not flow.has_steps:
            self._layer, self._first = flow.runs[-1].layer if flow.runs else None, flow.selected
            self._before = flow.runs[-1:]
            self._go(CHOOSE if self._layer is not None else SELECT)
        elif self.place == CHOOSE and flow.selected != self._first:
            self._go(UNDO)
        elif self.place in (CHOOSE, UNDO) and self._layer.state() != THERE:
            self._end(END)
        return self.place in (NOTHING, END)

    def shown(self) -> Shown:
        if self.place == NOTHING or (self.place == OFFER and not self._flow.connected):
            return Shown()
        close = {OFFER: "tour_no", END: "tour_done"}.get(self.place, "tour_stop")
        return Shown(True, tr(SAID[self.place]), self.place == OFFER, close)

    def _end(self, place: int) -> None:
        if self.place > OFFER:
            self._panel.widgets["variants"].write(self._variants)
        self._keep(False)
        self._go(place)

    def _keep(self, due: bool) -> None:
        self._panel.choices.tour = due
        self._panel.choices.keep({})

    def _go(self, place: int) -> None:
        self.place = place
        for listener in list(self.listeners):
            listener()


def _copy() -> Path:
    """Under a name of its own if the artist has changed an earlier one."""
    folder = private_folder(user_folders().cache)
    for number in itertools.count(1):
        copy = folder / ("RePaint.jpg" if number == 1 else f"RePaint-{number}.jpg")
        if not copy.exists():
            shutil.copyfile(str(PICTURE), str(copy))
        if copy.read_bytes() == PICTURE.read_bytes():
            break
    return copy
