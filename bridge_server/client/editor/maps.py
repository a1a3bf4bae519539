"""All maps at once: other layers that are painted along with the active one, from the same places.

Which ones, what they hold and how much each counts (`Rows`), whether they fit (`uncovered`), and their new layers,
which come and go as one (`Together`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Generator, Iterable, List, NamedTuple, Sequence, Tuple

from bridge_server.client.geometry import Box
from bridge_server.client.records import MAP_KINDS, MAX_MAPS, PIXEL_BYTES

from . import sentences
from .host import Layer
from .model import GONE, THERE, Capture, MapTarget, Picture, Refused
from .words import tr

COLOUR, NORMAL, VALUES = MAP_KINDS
KINDS: Tuple[Tuple[str, str], ...] = ((COLOUR, "Colours"), (NORMAL, "Normals"), (VALUES, "Values"))
WITH_MAPS, MAPS = "with_maps", "maps"  # fields
LEAST, USUAL, MOST = 10, 100, 1000  # per cent: how much one counts beside the active layer
LONGEST_NAME = 100
MOST_REMEMBERED = 200  # layers of a document
MOST_LISTED = 12  # with more layers in the group, only ticked ones and those whose name says that they are maps
_GUESSES = (
    (NORMAL, r"norm|nrm|(?<![a-z])nor(?![a-z])"),
    (VALUES, r"height|h[öo]e?he|hauteur|altur|altezz|depth|disp|bump|rough|rugos|rau[hi]|gloss|smooth"),
    (VALUES, r"metal|spec|occlu|(?<![a-z])(ao|ior)(?![a-z])"),
    (COLOUR, r"colou?r|couleur|farbe|albedo|diffuse|base|emiss"),
)
Reading = Generator[None, None, Tuple[MapTarget, bytes]]
_NOT_NOTHING = b"\0" + b"\xff" * 255
_NOTHING = _NOT_NOTHING.translate(bytes(range(255, -1, -1)))
_ALPHA_BYTES = {"u8": (3,), "u16": (6, 7), "f16": (6, 7), "f32": (12, 13, 14, 15)}  # of a pixel


class Candidate(NamedTuple):
    """A layer that could be painted along: how the editor knows it, its name, and whether it is selected with the
    active layer, or else stands in the same group."""

    layer: str
    name: str
    selected: bool
    near: bool


@dataclass(frozen=True)
class MapWish:
    """One that is to be. ``layer``: how the editor knows it; ``weight``: in per cent."""

    layer: str
    name: str
    kind: str = VALUES
    weight: int = USUAL

    def refusal(self, sentence: str) -> Refused:
        """With its name filled in."""
        return Refused(tr(sentence).format(name=self.name))

    def checked(self, rgba: bytes, depth: str, capture: Capture, part: Box) -> bytes:
        """The pixels, of whole rows of what is sent; raises `Refused` where they do not cover the picture's."""
        box = capture.target.box
        if uncovered(capture, rgba, depth, box.width * (part.y - box.y)):
            raise self.refusal(sentences.MAP_SMALLER)
        return rgba

    def target(self, layer: str, depth: str, linear: bool, space: str, shown: bool) -> MapTarget:
        return MapTarget(self.name, self.kind, self.weight / 100, layer, depth, linear, space, shown)


@dataclass
class Row:
    """A line of the list. ``chosen``: the artist has ticked it, or not, himself."""

    layer: str
    name: str
    ticked: bool
    kind: str
    weight: int = USUAL
    chosen: bool = False


class Rows:
    """The list of layers, for a window to draw; a `panel.Widget`, so that it is remembered: by the layers' names,
    whether each is ticked, its kind and its weight. ``found``: asks the editor."""

    def __init__(self, found: Callable[[], List[Candidate]]) -> None:
        self._found = found
        self._known: Dict[str, Row] = {}  # by layer
        self._remembered: Dict[str, List[Any]] = {}
        self._changed: List[Callable[[], Any]] = []
        self.rows: List[Row] = []

    def look(self) -> None:
        """Layers may have come or gone, or others be selected."""
        found = self._found()
        names = [each.name for each in found]
        self._known = {each.layer: self._row(each, names.count(each.name) == 1) for each in found}
        rows = [self._known[each.layer] for each in found if each.selected or each.near or self._own(each.layer)]
        if len(rows) > MOST_LISTED:
            rows = [row for row in rows if row.ticked or guessed(row.name)]
        if [(row.layer, row.name) for row in rows] != [(row.layer, row.name) for row in self.rows]:
            self.rows = rows
            self._tell()
        self.rows = rows

    def _own(self, layer: str) -> bool:
        row = self._known[layer]
        return row.ticked and row.chosen

    def _row(self, found: Candidate, single: bool) -> Row:
        """``single``: no other layer has its name. Of several that have, those of other groups are not ticked because
        one of them was."""
        row, kind = self._known.get(found.layer), guessed(found.name)
        by_name = bool(kind) and found.near
        if row is None:
            row = Row(found.layer, found.name, by_name, kind or VALUES)
            if found.name in self._remembered:
                ticked, row.kind, row.weight = self._remembered[found.name]
                row.ticked = ticked and (single or found.near)
                row.chosen = (row.ticked and not by_name) if ticked else bool(kind)
        if row.name != found.name and not row.chosen:
            row.kind = kind or row.kind
        row.name = found.name
        if not row.chosen:
            row.ticked = by_name  # so are those of another group, once the active layer is in it
        if found.selected and not row.chosen:
            row.ticked = row.chosen = True  # the next run selects another layer
        return row

    def tick(self, layer: str, ticked: bool) -> None:
        row = self._known.get(layer)
        if row is not None and row.ticked != ticked:
            row.ticked, row.chosen = ticked, True
            self._tell()

    def hold(self, layer: str, kind: str, weight: int) -> None:
        """What it holds, and how much it counts."""
        row = self._known.get(layer)
        if row is not None and (row.kind, row.weight) != (kind, weight):
            row.kind, row.weight = kind, weight
            self._tell()

    def wishes(self) -> Tuple[MapWish, ...]:
        """What is ticked; two of one name get numbers."""
        names: List[str] = []
        for row in (row for row in self.rows if row.ticked):
            short, number = row.name[:LONGEST_NAME] or "?", 1
            name = short
            while name in names:
                number += 1
                name = f"{short} ({number})"
            names.append(name)
        ticked = [row for row in self.rows if row.ticked]
        return tuple(MapWish(row.layer, name, row.kind, row.weight) for name, row in zip(names, ticked))

    # ---- remembered ----
    def read(self) -> Dict[str, List[Any]]:
        now = {row.name: [row.ticked, row.kind, row.weight] for row in self.rows if row.chosen or row.ticked}
        before = {name: row for name, row in self._remembered.items() if name not in now}
        return dict([*before.items(), *now.items()][-MOST_REMEMBERED:])

    def write(self, value: Dict[str, List[Any]]) -> None:
        self._remembered, self._known, self.rows = dict(value), {}, []
        self._tell()

    def on_change(self, work: Callable[[], Any]) -> None:
        self._changed.append(work)

    def fill(self, entries: Iterable[Tuple[str, str, str]]) -> None:
        """It fills itself."""

    def _tell(self) -> None:
        for work in list(self._changed):
            work()


def guessed(name: str) -> str:
    """What a layer of that name holds, "" if it does not tell."""
    return next((kind for kind, pattern in _GUESSES if re.search(pattern, name.lower())), "")


def refusal(wishes: Sequence[MapWish], paints: bool, source: bool) -> str:
    """Why these cannot be painted along, or "". ``paints``: the model does; ``source``: the material has one."""
    if not wishes:
        return ""
    if not paints:
        return sentences.NO_MAPS
    if source:
        return sentences.MAPS_OR_SOURCE
    return sentences.TOO_MANY_MAPS if len(wishes) > MAX_MAPS else ""


def along(
    capture: Capture, wishes: Sequence[MapWish], read: Callable[[MapWish], Reading]
) -> Generator[None, None, Capture]:
    """The capture with the maps that ``read`` reads."""
    found = []
    for wish in wishes:
        found.append((yield from read(wish)))
    target = replace(capture.target, maps=tuple(target for target, _ in found))
    return replace(capture, target=target, maps=tuple(rgba for _, rgba in found))


def uncovered(capture: Capture, rgba: bytes, depth: str, first: int = 0) -> bool:
    """Whether a map has nothing somewhere where the picture around the selection has something: it is smaller. Of the
    pixels from the one numbered ``first`` on."""
    count = len(rgba) // PIXEL_BYTES[depth]
    size = PIXEL_BYTES[capture.target.depth]
    seen = _something(memoryview(capture.pixels)[size * first : size * (first + count)], capture.target.depth)
    free = int.from_bytes(capture.selection[first : first + count].translate(_NOTHING), "little")
    return bool(seen & free & ~_something(memoryview(rgba), depth))


def _something(rgba: memoryview, depth: str) -> int:
    """A byte for each pixel, 255 where it is not wholly transparent."""
    found, size = 0, PIXEL_BYTES[depth]
    for place in _ALPHA_BYTES[depth]:
        found |= int.from_bytes(bytes(rgba[place::size]).translate(_NOT_NOTHING), "little")
    return found


class Together:
    """A `Layer` made of a run's own and those of its maps, in the order of the target's. The own one decides whether
    it is there; one of a map that the artist has deleted is left out."""

    def __init__(self, lead: Layer, others: Sequence[Layer], maps: Sequence[MapTarget]) -> None:
        self.lead, self.others, self.maps = lead, list(others), list(maps)

    def state(self) -> str:
        return self.lead.state()

    def paint(self, picture: Picture) -> Generator[None, None, float]:
        """A preview has no maps: their layers stay as they are."""
        seconds = yield from self.lead.paint(picture)
        for layer, own in zip(self.others, picture.maps):
            seconds += yield from layer.paint(own)
        return seconds

    def holds(self, picture: Picture) -> Generator[None, None, bool]:
        for layer, own in zip((self.lead, *self.others), (picture, *picture.maps)):
            if layer is self.lead or layer.state() == THERE:
                held = yield from layer.holds(own)
                if not held:
                    return False
        return True

    def clear(self) -> None:
        """Where the artist has deleted the run's own, those of the maps go, too."""
        for layer in (self.lead, *self.others):
            layer.clear()
        if self.lead.state() == GONE:
            self.remove()

    def rename(self, name: str) -> None:
        self.lead.rename(name)
        for layer, each in zip(self.others, self.maps):
            layer.rename(map_name(name, each))

    def set_visible(self, visible: bool) -> None:
        """Those of maps that are not seen stay so."""
        for layer, shown in zip((self.lead, *self.others), (True, *(each.shown for each in self.maps))):
            if shown:
                layer.set_visible(visible)

    def remove(self) -> None:
        for layer in (self.lead, *self.others):
            layer.remove()


def map_name(name: str, one: MapTarget) -> str:
    """Name of the new layer beside a map, when the run's own has ``name``."""
    return f"{name} · {one.name}"
