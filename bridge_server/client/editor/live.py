"""Live: while it is on, every selection is filled as soon as it is finished. Knows no editor and no widget set.

Editors tell plug-ins of no new selection, so this looks ten times a second, at its box alone.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Tuple

from bridge_server.client.geometry import Box

from . import sentences
from .panel import Panel
from .words import tr

LARGE = 0.5  # share of the picture, as the box of the selection, from which on the artist is asked first
REMEMBERED = 50
SMALL = 128  # pixels, the longer side of a blemish: it is painted without jumps, in half of the time

Selected = Tuple[str, Optional[Box]]


class Live:
    """``widgets``: of `fields.LIVE`, by name. ``sure``: asks a yes-or-no question. `switched` is to be called whenever
    "live" has been switched."""

    def __init__(self, panel: Panel, widgets: Dict[str, Any], sure: Callable[[str], bool]) -> None:
        self._panel, self._flow, self._widgets, self._sure = panel, panel.flow, widgets, sure
        self._looking = False
        self._seen: Optional[Selected] = None  # at the last look
        self._done: List[Selected] = []  # filled, or not to be; an undo that brings one back fills nothing
        self._document = ""

    @property
    def is_on(self) -> bool:
        return bool(self._widgets["live"].read())

    def switched(self) -> None:
        if self.is_on and not self._looking:
            self._looking, self._document = True, ""
            self._panel.pump.repeat("live", self._look)

    def _look(self) -> bool:
        """Called ten times a second; True when it is off."""
        if not self.is_on:
            self._looking = False
            return True
        if self._flow.busy or self._flow.has_steps:
            return False
        here, before = self._flow.host.selected(), self._seen
        self._seen = here
        if here is not None and here[0] != self._document:  # another picture: what is selected there is no news
            self._document = here[0]
            self._remember(here)
        elif here is not None and here[1] is not None and here == before and here not in self._done:  # it is finished
            self._remember(here)
            if self._wanted(here[1]):
                small = max(here[1].width, here[1].height) <= SMALL
                options = {"schedule": "none"} if small else {}
                self._panel.start("selection", self._widgets["after_live"].read() == "deselect", **options)
        return False

    def _remember(self, here: Selected) -> None:
        self._done = [*self._done, here][-REMEMBERED:]

    def _wanted(self, box: Box) -> bool:
        size = self._flow.host.canvas_size()
        large = size is not None and box.width * box.height >= LARGE * size[1] * size[2]
        return not large or self._sure(tr(sentences.LIVE_LARGE))
