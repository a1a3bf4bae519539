"""What a run is made of: plain data that `flow`, the editor's side and the docker share. Knows no editor."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Tuple, Union

from bridge_server.client import events, records
from bridge_server.client.geometry import Box

from . import samples

if TYPE_CHECKING:
    from .host import Layer
    from .maps import MapWish
    from .material import Source, Wish

MAX_SEED = records.MAX_SEED
THERE, GONE, CLOSED = "there", "gone", "closed"  # what `Layer.state` answers


class Refused(Exception):
    """The editor's side cannot do what was asked; ``sentence`` says why and what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True)
class Extend:
    """The canvas is to grow by so many pixels on each side, and the new area to be filled."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


@dataclass(frozen=True)
class Tile:
    """The picture is to repeat without a seam along ``axis`` ("x", "y" or "both"); ``band`` pixels are painted anew."""

    axis: str = "both"
    band: int = 64


Area = Optional[Union[Extend, Tile]]  # None: the selection


@dataclass(frozen=True)
class Settings:
    """The docker's choices. ``source``: "visible" (what is seen) or "layer" (the active layer).

    ``options``: what is to differ from the preset, by the names of the wire; ``feather``: pixels inwards;
    ``material``: where the fill comes from, None: from around it. ``deselect``: what is selected is not
    any more when the layer comes. ``maps``: layers that are painted along with the active one, which is then read
    alone.
    """

    model: str
    preset: str
    seed: int
    variants: int = 1
    source: str = "visible"
    options: Dict[str, Any] = field(default_factory=dict)
    feather: int = 0
    area: Area = None
    material: Optional[Wish] = None
    deselect: bool = False
    maps: Tuple[MapWish, ...] = ()

    @property
    def padding(self) -> int:
        """Pixels of surroundings on each side; 0: as many as are usual."""
        return int(self.options.get("padding") or 0)

    @property
    def apart(self) -> bool:
        """Far-apart places are sent as such: a model that paints from all of the picture has to see it."""
        selected = self.area is None and self.material is None and not self.maps
        return selected and self.model == "exemplar" and self.options.get("scale") in (None, 1)


@dataclass(frozen=True)
class MapTarget:
    """A layer that is painted along with a run's own. ``name``: no other one of the run has it; ``kind``, ``weight``:
    as in `records.Map`; ``shown``: whether the layer is seen. The others: as in `Target`."""

    name: str
    kind: str
    weight: float
    active: str
    depth: str
    linear: bool = False
    space: str = ""
    shown: bool = True


@dataclass(frozen=True)
class Target:
    """Where a run belongs: fixed at the click and never asked of the editor again.

    ``box``: what is sent, canvas pixels. ``bounds``: the selected part's bounding box, canvas pixels, inside ``box``.
    ``key``, ``path``: how the document is known after a restart; ``grown``: the canvas before an `Extend`.
    ``depth``, ``linear``: of all its pixels, as in `records.Order`; ``space``: how the editor names the colours that
    they and its layer have, "" the one that it names none. ``pieces``, ``parts``: of far-apart places what is sent of
    ``box`` and comes back of ``bounds``, canvas pixels; empty: all of it.
    """

    document: str
    active: str
    box: Box
    bounds: Box
    key: str = ""
    path: str = ""
    grown: Optional[Box] = None
    depth: str = "u8"
    linear: bool = False
    space: str = ""
    pieces: Tuple[Box, ...] = ()
    parts: Tuple[Box, ...] = ()
    maps: Tuple[MapTarget, ...] = ()

    def of_map(self, one: MapTarget) -> Target:
        """The same place in the layer of that map."""
        return replace(
            self, active=one.active, grown=None, depth=one.depth, linear=one.linear, space=one.space, maps=()
        )

    @property
    def painted(self) -> Box:
        """``bounds`` in the box's own coordinates."""
        return self.inside(self.bounds)

    def inside(self, place: Box) -> Box:
        """``place``, on the canvas, in the box's own coordinates."""
        return Box(place.x - self.box.x, place.y - self.box.y, place.width, place.height)

    def on_canvas(self, picture: Picture) -> List[Box]:
        """Where a picture has pixels of ``bounds``, canvas pixels."""
        if not picture.parts:
            return [self.bounds]
        return [Box(each.x + self.box.x, each.y + self.box.y, each.width, each.height) for each in picture.parts]


@dataclass(frozen=True)
class Capture:
    """What is sent: ``pixels`` RGBA of the box, or of its pieces one after the other, in the target's depth,
    ``selection`` 1 byte each, 255 = repaint; ``maps``: the same box of each of the target's maps, in its depth."""

    target: Target
    pixels: bytes
    selection: bytes
    source: Optional[Source] = None
    maps: Tuple[bytes, ...] = ()

    @property
    def nbytes(self) -> int:
        """Size of its pictures."""
        source = len(self.source.rgba) + len(self.source.shares) if self.source is not None else 0
        return len(self.pixels) + source + sum(len(each) for each in self.maps)

    @property
    def picture(self) -> Picture:
        box, pieces = self.target.box, tuple(map(self.target.inside, self.target.pieces))
        return Picture(box.width, box.height, self.pixels, Box(0, 0, box.width, box.height), pieces)


@dataclass(frozen=True)
class Picture:
    """RGBA pixels, in the target's depth, of ``part`` of the box (in its own coordinates); straight, A = selection, or
    more over partly transparent pixels.

    One that is only to be looked at may have fewer pixels than the part. With ``parts``, which lie within the part, the
    pixels are those of these, one after the other, and there is nothing elsewhere. ``maps``: of a finished one, the
    same of each of the target's maps.
    """

    width: int
    height: int
    rgba: bytes
    part: Box
    parts: Tuple[Box, ...] = ()
    maps: Tuple[Picture, ...] = ()

    @classmethod
    def of(cls, event: Union[events.Preview, events.Result, events.StepView]) -> Picture:
        part = Box(event.x, event.y, event.width, event.height)
        if isinstance(event, events.StepView):
            return cls(event.columns, event.rows, event.rgba, part)
        found = event.map_pixels if isinstance(event, events.Result) else ()
        along = tuple(cls(event.width, event.height, rgba, part, event.parts) for rgba in found)
        return cls(event.width, event.height, event.rgba, part, event.parts, along)

    @property
    def nbytes(self) -> int:
        return len(self.rgba) + sum(each.nbytes for each in self.maps)

    def each(self, depth: str) -> Iterator[Picture]:
        """Its parts as pictures of their own."""
        if not self.parts:
            yield self
        begin = 0
        for part in self.parts:
            end = begin + part.area * records.PIXEL_BYTES[depth]
            yield Picture(part.width, part.height, self.rgba[begin:end], part)
            begin = end

    def cut(self, place: Box, depth: str) -> bytes:
        """The pixels of ``place``, a rectangle of the box within the part, or within one of the parts."""
        begin, whole = 0, self.part
        for part in self.parts:
            if part.holds(place):
                whole = part
                break
            begin += part.area * records.PIXEL_BYTES[depth]
        inside = Box(place.x - whole.x, place.y - whole.y, place.width, place.height)
        return samples.cut(self.rgba, whole.width, inside, depth, begin)


@dataclass
class Variant:
    """One of a run's pictures; ``version`` grows whenever ``picture`` changes.

    A finished one may be without its picture, when memory was short: it lies at the bridge. ``unfinished``: stopped and
    kept after ``call`` calls. ``figures``: how well it joins. ``steps``: kept steps to branch from; ``views``: those
    seen so far, by call.
    """

    index: int
    seed: int
    call: int = 0
    calls: int = 0
    picture: Optional[Picture] = None
    finished: bool = False
    version: int = 0
    unfinished: bool = False
    steps: Tuple[events.Step, ...] = ()
    views: Dict[int, Picture] = field(default_factory=dict)
    figures: Optional[records.Figures] = None


@dataclass
class Series:
    """All runs of one place that share a layer: a first one, more variants of it, branches.

    ``shown``: the run's number and the variant's index that the layer was last given for good; ``painted``: the same
    with the picture's version, of what is wholly in the layer now.
    """

    layer: Optional[Layer] = None
    shown: Optional[Tuple[int, int]] = None
    painted: Tuple[int, int, int] = (-1, -1, -1)


@dataclass
class Run:
    """One click: its settings, its place and its variants.

    ``parent``: number of the run, index of the variant and call that it branched from. ``made``: when, in seconds since
    1970; 0: not known.
    """

    number: int
    settings: Settings
    target: Target
    capture: Optional[Capture]
    variants: List[Variant]
    series: Series = field(default_factory=Series)
    parent: Optional[Tuple[int, int, int]] = None
    kind: str = ""
    job: str = ""
    shown: int = 0  # the variant that stands in the layer
    clicked: float = 0.0
    call_seconds: float = 0.0  # of one network call, 0 while unknown
    note: str = ""  # what the engine had to say of it
    made: float = 0.0
    timings: Dict[str, float] = field(default_factory=dict)  # seconds after the click

    @property
    def layer(self) -> Optional[Layer]:
        return self.series.layer

    def variant(self, index: int) -> Optional[Variant]:
        return next((each for each in self.variants if each.index == index), None)

    @property
    def bytes(self) -> int:
        """Size of its finished pictures on disk."""
        pixels = sum(part.area for part in self.target.parts) or self.target.bounds.area
        depths = (self.target.depth, *(each.depth for each in self.target.maps))
        size = sum(records.PIXEL_BYTES[depth] for depth in depths)
        return size * pixels * sum(v.finished for v in self.variants)


def layer_name(run: Run, variant: Variant) -> str:
    return f"RePaint {run.settings.model} · seed {variant.seed}"


def cost(step: events.Step, kind: str) -> int:
    """Network calls of one branch of this kind from there."""
    return {"continue": step.remaining, "harmonise": step.harmonise, "idea": step.idea}[kind]
