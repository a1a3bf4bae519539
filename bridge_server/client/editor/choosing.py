"""Choosing among the pictures of the grid: their order, a search, favourites, and which of them stand side by side."""

from __future__ import annotations

import time
from typing import Any, Dict, List, NamedTuple, Optional

from . import sentences, view
from .choices import Choices
from .figures import discord
from .flow import Flow
from .model import Run, Variant
from .view import Chosen, Entry, Place
from .words import tr

STAR = "★"


class Part(NamedTuple):
    """One part of the split view; ``variant`` None: the original."""

    title: str
    run: Run
    variant: Optional[Variant]


class Choosing:
    """``widgets``: of `fields.CHOOSING`, by name; the window fills it."""

    def __init__(self, flow: Flow, choices: Choices, widgets: Dict[str, Any]) -> None:
        self._flow, self._choices, self._widgets = flow, choices, widgets
        self._now: Optional[Place] = None
        self._before: Optional[Place] = None

    # ---- the grid ----
    def entries(self) -> List[Entry]:
        """What the grid shows, in its order, favourites with a star."""
        found = [self._starred(entry) for entry in view.gallery(self._flow)]
        words = self._widgets["search"].read().lower().split()
        found = [entry for entry in found if all(matches(entry.run, entry.variant, word) for word in words)]
        if self._widgets["only_favourites"].read():
            found = [entry for entry in found if self._is_favourite(entry.run, entry.variant)]
        if self._widgets["order"].read() == "best":  # what still forms comes first
            found.sort(key=lambda entry: discord(entry.variant.figures) if entry.variant.finished else -1.0)
        return found

    def _starred(self, entry: Entry) -> Entry:
        starred = self._is_favourite(entry.run, entry.variant)
        return entry._replace(text=f"{STAR} {entry.text}") if starred else entry

    # ---- favourites ----
    def _is_favourite(self, run: Run, variant: Variant) -> bool:
        return f"{run.job}/{variant.index}" in self._choices.favourites

    def is_favourite(self, chosen: Optional[Chosen]) -> bool:
        return chosen is not None and self._is_favourite(*chosen)

    def favourite(self, chosen: Optional[Chosen]) -> None:
        """Makes it one, or no longer."""
        if chosen is not None and chosen.variant.finished:
            self._choices.favour(f"{chosen.run.job}/{chosen.variant.index}", not self._is_favourite(*chosen))

    # ---- the split view ----
    def parts(self, chosen: Optional[Chosen]) -> List[Part]:
        """From left to right: the original, the picture of the same place that was chosen before, the chosen one; empty
        if there is nothing to compare."""
        if chosen is None or chosen.variant.picture is None:
            return []
        place = (chosen.run.number, chosen.variant.index)
        if place != self._now:
            self._now, self._before = place, self._now
        found = [Part(tr(sentences.ORIGINAL), chosen.run, None)]
        before = self._of(self._before)
        if before is not None and before.run.series is chosen.run.series and before.variant.picture is not None:
            found.append(Part("A", *before))
        return [*found, Part("B", *chosen)]

    def _of(self, place: Optional[Place]) -> Optional[Chosen]:
        run = self._flow.library.find(place[0]) if place is not None else None
        variant = run.variant(place[1]) if run is not None and place is not None else None
        return Chosen(run, variant) if run is not None and variant is not None else None


def drawn(parts: List[Part]) -> List[Any]:
    """What is the same as long as the parts need not be drawn anew."""
    return [(part.run.number, part.variant and (part.variant.index, part.variant.version)) for part in parts]


def matches(run: Run, variant: Variant, word: str) -> bool:
    """Whether a picture is one of those that a word asks for: part of its model's name, date (2026-11-30), size
    (300x200) or seed; or <500, >500: of its longer side in pixels."""
    width, height = run.target.bounds.width, run.target.bounds.height
    if word[0] in "<>" and word[1:].isdigit():
        side, limit = max(width, height), int(word[1:])
        return side < limit if word[0] == "<" else side > limit
    date = time.strftime("%Y-%m-%d", time.localtime(run.made)) if run.made else ""
    said = (run.settings.model, run.settings.preset, date, f"{width}x{height}", f"{width}×{height}", str(variant.seed))
    return any(word in each.lower() for each in said)


class Bars:
    """The movable bars between the parts of a split view. ``places``: 0 … 1, from left to right."""

    def __init__(self) -> None:
        self.places: List[float] = []
        self._held = -1

    @property
    def held(self) -> bool:
        """One goes with the mouse."""
        return self._held >= 0

    def divide(self, parts: int) -> None:
        """Parts of one width, unless there are as many as before."""
        if len(self.places) != max(0, parts - 1):
            self.places, self._held = [(k + 1) / parts for k in range(parts - 1)], -1

    def hold(self, place: float) -> None:
        """The one that is nearest goes with the mouse from now on."""
        if self.places:
            self._held = min(range(len(self.places)), key=lambda k: abs(self.places[k] - place))
            self.drag(place)

    def drag(self, place: float) -> bool:
        """False if none is held."""
        if self._held >= 0:
            self.places = clamped(self.places, self._held, place)
        return self._held >= 0

    def let_go(self) -> None:
        self._held = -1

    def step(self, by: float) -> bool:
        """Moves the last one; False if there is none."""
        if self.places:
            self.places = clamped(self.places, len(self.places) - 1, self.places[-1] + by)
        return bool(self.places)


def clamped(bars: List[float], number: int, place: float) -> List[float]:
    """The bars of a split view, 0 … 1 from left to right, with one of them moved as far as its neighbours let it."""
    low = bars[number - 1] if number else 0.0
    high = bars[number + 1] if number + 1 < len(bars) else 1.0
    return [*bars[:number], max(low, min(high, place)), *bars[number + 1 :]]
