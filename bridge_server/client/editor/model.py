"""What a run is made of: plain data that `flow`, the editor's side and the docker share. Knows no editor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple, Union

from bridge_server.client import events, records
from bridge_server.client.geometry import Box

if TYPE_CHECKING:
    from .host import Layer
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
    any more when the layer comes.
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

    @property
    def padding(self) -> int:
        """Pixels of surroundings on each side; 0: as many as are usual."""
        return int(self.options.get("padding") or 0)


@dataclass(frozen=True)
class Target:
    """Where a run belongs: fixed at the click and never asked of the editor again.

    ``box``: what is sent, canvas pixels. ``bounds``: the selected part's bounding box, canvas pixels, inside ``box``.
    ``key``, ``path``: how the document is known after a restart; ``grown``: the canvas before an `Extend`.
    ``depth``, ``linear``: of all its pixels, as in `records.Order`; ``space``: how the editor names the colours that
    they and its layer have, "" the one that it names none.
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

    @property
    def painted(self) -> Box:
        """``bounds`` in the box's own coordinates."""
        return self.inside(self.bounds)

    def inside(self, place: Box) -> Box:
        """``place``, on the canvas, in the box's own coordinates."""
        return Box(place.x - self.box.x, place.y - self.box.y, place.width, place.height)


@dataclass(frozen=True)
class Capture:
    """What is sent: ``pixels`` RGBA of the box in the target's depth, ``selection`` 1 byte each, 255 = repaint."""

    target: Target
    pixels: bytes
    selection: bytes
    source: Optional[Source] = None

    @property
    def nbytes(self) -> int:
        """Of its pictures."""
        return len(self.pixels) + (len(self.source.rgba) if self.source is not None else 0)


@dataclass(frozen=True)
class Picture:
    """RGBA pixels, in the target's depth, of ``part`` of the box (in its own coordinates); straight, A = selection, or
    more over partly transparent pixels.

    One that is only to be looked at may have fewer pixels than the part.
    """

    width: int
    height: int
    rgba: bytes
    part: Box

    @classmethod
    def of(cls, event: Union[events.Preview, events.Result, events.StepView]) -> Picture:
        size = (event.columns, event.rows) if isinstance(event, events.StepView) else (event.width, event.height)
        return cls(*size, event.rgba, Box(event.x, event.y, event.width, event.height))

    def inside(self, place: Box) -> Box:
        """Which of its pixels belong to ``place``, a rectangle of the box within the part."""
        return Box(place.x - self.part.x, place.y - self.part.y, place.width, place.height)


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
        """Of its finished pictures on disk."""
        bounds, size = self.target.bounds, records.PIXEL_BYTES[self.target.depth]
        return size * bounds.width * bounds.height * sum(v.finished for v in self.variants)


def layer_name(run: Run, variant: Variant) -> str:
    return f"RePaint {run.settings.model} · seed {variant.seed}"


def cost(step: events.Step, kind: str) -> int:
    """Network calls of one branch of this kind from there."""
    return {"continue": step.remaining, "harmonise": step.harmonise, "idea": step.idea}[kind]
