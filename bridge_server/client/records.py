"""The objects that messages carry, the same ones everywhere: on the wire, in the journal, for the engine process.

And the kinds of values that stand in more than one message, with their limits.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable

from bridge_server.client.checks import (
    FLAG,
    IDENT,
    MAX_INTEGER,
    NAME,
    NUMBER,
    OPTIONS,
    array,
    integer,
    nested,
    one_of,
    optional,
    record,
    text,
    value,
)
from bridge_server.client.geometry import PLACE, SIDE, Box

MAX_PIXELS = 8192 * 8192
MAX_VARIANTS = 16
MAX_MAPS = 7
MAP_KINDS = ("colour", "normal", "values")
LONGEST_MAP_NAME = 200
MAX_PIECES = 256  # of one picture, sent or received
MAX_SEED = MAX_INTEGER - 1
PIXEL_BYTES = {"u8": 4, "u16": 8, "f16": 8, "f32": 16}  # of four samples, by depth
TOO_LARGE = "This selection is too large: select a smaller region."
SOURCE_TOO_LARGE = "This source is too large: choose or mark a smaller one."
SAME_NAME = "Two maps have the same name: rename one of these layers."
SEED_TOO_LARGE = "This seed is too large: choose a smaller one."
OUT_OF_RANGE = "This request is out of range: check its settings."

CODE, SENTENCE, DETAILS, TAG = text(64), text(500), text(4000), text(1000)
SEED = integer(0, MAX_SEED, "integer 0 … 2^53-1")
VARIANT = integer(0, MAX_VARIANTS - 1)
VARIANTS = integer(1, MAX_VARIANTS)
COUNT = integer(0, MAX_INTEGER, "integer 0 … 2^53")
OFFSET = integer(0, (1 + MAX_MAPS) * MAX_PIXELS * max(PIXEL_BYTES.values()))
KIND = one_of("continue", "harmonise", "idea")
DEPTH = one_of(*PIXEL_BYTES)
MAP_KIND = one_of(*MAP_KINDS)
BOXES = array(nested(Box), MAX_PIECES)
STATE = one_of("queued", "running", "done", "failed", "cancelled", "unknown")


@record
class Model:
    """One model the engine knows.  ``installed`` is false while its file is missing or broken.

    ``learns``: it takes the option ``learn``.  ``flow``: it is sampled with the presets for flows.

    ``download``: it can be had by ``download``; ``source``: where it comes from, for people to read, nobody acts on it;
    ``download_bytes``: about so much is fetched, 0: not known.

    Memory that a run is expected to take on the CPU: ``memory_mib`` (0: not known), and for each pixel sent
    ``pixel_bytes``, ``variant_bytes`` more for each further variant, and for each selected one ``selected_bytes``;
    of a tile ``tile_bytes`` in place of both.  Each map beside the picture takes ``map_bytes`` for each pixel sent and
    ``map_selected_bytes`` for each selected one, but for a tile.
    """

    id: str = value(NAME)
    title: str = value(text(200))
    family: str = value(text(64))
    licence: str = value(text(200))
    installed: bool = value(FLAG)
    takes_prompt: bool = value(FLAG)
    takes_label: bool = value(FLAG)
    memory_mib: int = value(COUNT, default=0)
    pixel_bytes: int = value(COUNT, default=0)
    variant_bytes: int = value(COUNT, default=0)
    selected_bytes: int = value(COUNT, default=0)
    tile_bytes: int = value(COUNT, default=0)
    map_bytes: int = value(COUNT, default=0)
    map_selected_bytes: int = value(COUNT, default=0)
    learns: bool = value(FLAG, default=False)
    source: str = value(text(300), default="")
    download: bool = value(FLAG, default=False)
    download_bytes: int = value(COUNT, default=0)
    flow: bool = value(FLAG, default=False)

    def needed_mib(self, sent: int, selected: int, variants: int = 1, is_tile: bool = False, maps: int = 0) -> float:
        """Beyond ``memory_mib``, of a run with so many pixels sent and selected, and so many maps."""
        once = sent * self.pixel_bytes + selected * self.selected_bytes
        once += maps * (sent * self.map_bytes + selected * self.map_selected_bytes)
        if is_tile and self.tile_bytes:
            once = sent * self.tile_bytes
        return (once + sent * self.variant_bytes * (variants - 1)) / 2**20


@record
class Preset:
    """A named way to run the sampler; ``calls`` = network calls for one variant; 0: not known.

    ``flow``: for models that are flows, in place of the preset of that name for all.
    """

    name: str = value(NAME)
    title: str = value(text(200))
    calls: int = value(COUNT)
    steps: int = value(COUNT, default=0)
    jump_length: int = value(COUNT, default=0)
    jump_samples: int = value(COUNT, default=0)
    flow: bool = value(FLAG, default=False)


def preset_for(presets: Iterable[Preset], name: str, model: Model | None) -> Preset | None:
    """The preset of that name as the model is sampled with it; None if there is none, or none is known yet."""
    found = {preset.flow: preset for preset in presets if preset.name == name}
    return found.get(model is not None and model.flow, found.get(False))


@record
class Step:
    """A kept step: the state after ``call`` calls of its variant, and the calls that each kind of branch costs."""

    call: int = value(COUNT)
    remaining: int = value(COUNT)
    harmonise: int = value(COUNT)
    idea: int = value(COUNT)


@record
class Figures:
    """How well a finished variant joins its surroundings; null where a figure has no meaning (a hole too thin, nothing
    known beside).

    ``seam``: the jump across its border over those beside, ``grain``: its finest detail over that around it, both
    ideally 1; ``new``: the share of it that stands nowhere else in the picture, 0 … 1.  With the option ``ring``, the
    mean colour difference (CIEDE2000) across its border: ``ring_before`` and ``ring_after`` it was adjusted.
    """

    seam: float | None = value(optional(NUMBER))
    grain: float | None = value(optional(NUMBER))
    new: float | None = value(optional(NUMBER))
    ring_before: float | None = value(optional(NUMBER), default=None)
    ring_after: float | None = value(optional(NUMBER), default=None)


@record
class Map:
    """One more picture of the same size, filled from the same places as the job's own.

    ``kind``: a colour, encoded as the job's pixels are; normals, whose components −1 … 1 are stored as 0 … 1; or values
    such as height or roughness.  ``weight``: how much it counts where the job's own pixels have 1.
    """

    name: str = value(text(LONGEST_MAP_NAME))
    kind: str = value(MAP_KIND, default="values")
    weight: float = value(NUMBER, default=1.0)
    depth: str = value(DEPTH, default="u8")


@record
class Order:
    """All that defines the results of a job but its pixels; in the journal and for the engine process, too.

    Variant k is the run with seed + k.  ``painted``: the part, within width x height, whose pixels come back in
    previews and results; ``tag``: free text that comes back in ``jobs``.  ``depth``: of all its pixels, sent and
    received; ``linear``: their values are proportional to light.  ``source_width``, ``source_height``: of a second
    picture, in the same colours, whose opaque pixels alone make up the fill; 0: there is none.  ``maps``: what is
    filled beside it, each with a name of its own.  ``share_mask``: a mask comes with the source, which says how much of
    its share holds at each pixel, 255: all of it.

    ``pieces``: where the selection lies in places far apart, the parts of width x height that are sent, one after the
    other; nothing is known or selected elsewhere.  ``parts``: those of ``painted`` that come back.  None: all of it.
    ``selected``: pixels, for the forecast of memory alone; 0: not known.
    """

    width: int = value(SIDE)
    height: int = value(SIDE)
    painted: Box = value(nested(Box))
    model: str = value(NAME)
    preset: str = value(NAME)
    seed: int = value(SEED)
    variants: int = value(VARIANTS)
    options: Dict[str, Any] = value(OPTIONS, default={})
    tag: str = value(TAG, default="")
    depth: str = value(DEPTH, default="u8")
    linear: bool = value(FLAG, default=False)
    source_width: int = value(PLACE, default=0)
    source_height: int = value(PLACE, default=0)
    maps: tuple[Map, ...] = value(array(nested(Map), MAX_MAPS), default=())
    pieces: tuple[Box, ...] = value(BOXES, default=())
    parts: tuple[Box, ...] = value(BOXES, default=())
    selected: int = value(COUNT, default=0)
    share_mask: bool = value(FLAG, default=False)

    def fault(self) -> tuple[str, str] | None:
        """Code and sentence of what is wrong with these values together; None if nothing is."""
        if self.width * self.height > MAX_PIXELS:
            return "too_large", TOO_LARGE
        if self.source_width * self.source_height > MAX_PIXELS:
            return "too_large", SOURCE_TOO_LARGE
        if bool(self.source_width) != bool(self.source_height) or (self.share_mask and not self.source_width):
            return "bad_request", OUT_OF_RANGE
        if self.seed + self.variants - 1 > MAX_SEED:
            return "bad_request", SEED_TOO_LARGE
        whole = Box(0, 0, self.width, self.height)
        if not all(whole.holds(each) for each in (self.painted, *self.pieces)):
            return "bad_request", OUT_OF_RANGE
        if len({each.name for each in self.maps}) < len(self.maps):
            return "bad_request", SAME_NAME
        if not all(self.painted.holds(each) for each in self.parts):
            return "bad_request", OUT_OF_RANGE
        if max(self.sent_pixels, sum(each.area for each in self.parts)) > MAX_PIXELS:
            return "too_large", TOO_LARGE
        return None

    @property
    def sent_pixels(self) -> int:
        """How many pixels of the picture and its selection travel."""
        return sum(each.area for each in self.pieces) or self.width * self.height

    @property
    def painted_pixels(self) -> int:
        """That come back of one variant."""
        return sum(each.area for each in self.parts) or self.painted.area

    @property
    def inputs(self) -> Dict[str, int]:
        """The bytes of each blob that it needs, by name."""
        size, sample = self.sent_pixels, PIXEL_BYTES[self.depth]
        found = {"pixels": size * sample, "selection": size}
        if self.source_width:
            found["source"] = self.source_width * self.source_height * sample
        if self.share_mask:
            found["share_mask"] = size
        found.update({f"map-{number}": size * PIXEL_BYTES[each.depth] for number, each in enumerate(self.maps)})
        return found

    @property
    def painted_bytes(self) -> int:
        """Size of one variant's result, with its maps."""
        return self.painted_pixels * bytes_of(self.depth, self.maps)


def bytes_of(depth: str, maps: Iterable[Map]) -> int:
    """Size of a pixel of that depth, with what it has in all maps."""
    return PIXEL_BYTES[depth] + sum(PIXEL_BYTES[each.depth] for each in maps)


@record
class BranchRequest:
    """A job that starts from the kept step after ``call`` calls of ``variant`` of the job ``parent``.

    ``continue`` goes on as planned, ``harmonise`` adds small late jumps, ``idea`` one large jump now.  ``seed`` null:
    the parent's own, so that ``continue`` is the parent's run taken up again.
    """

    parent: str = value(IDENT)
    variant: int = value(VARIANT)
    call: int = value(COUNT)
    kind: str = value(KIND, default="continue")
    variants: int = value(VARIANTS, default=1)
    seed: int | None = value(optional(SEED), default=None)
    tag: str = value(TAG, default="")


@record
class JobEntry:
    """One job of this client as the bridge knows it; ``results``: finished variants on disk, not yet claimed, each of
    width x height pixels of ``depth``, or of so many ``pixels``, if that is not 0."""

    job: str = value(IDENT)
    tag: str = value(TAG)
    model: str = value(NAME)
    state: str = value(STATE)
    variants: int = value(VARIANTS)
    results: int = value(integer(0, MAX_VARIANTS))
    width: int = value(SIDE)
    height: int = value(SIDE)
    depth: str = value(DEPTH)
    pixels: int = value(COUNT, default=0)


@record
class OfJob:
    """What every message about a job begins with."""

    job: str = value(IDENT)


@record
class OfVariant(OfJob):
    """What every message about a variant begins with."""

    variant: int = value(VARIANT)


@record
class Estimate(OfVariant):
    """Where a picture of an unfinished variant belongs: after ``call`` calls, at x, y of the job's pixels."""

    call: int = value(COUNT)
    x: int = value(PLACE)
    y: int = value(PLACE)
    width: int = value(SIDE)
    height: int = value(SIDE)
    depth: str = value(DEPTH)
