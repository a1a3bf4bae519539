"""Between the artist's pixels and the model's: which part is used, at what scale, in which windows, and the way back.

Everything here is a pure function of the selection and the model's geometry, and looks only at the hole grown by
:func:`context`, so that the whole picture and a crop of it with that much context give the same pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from engine.errors import BadInput
from engine.models import Geometry
from engine.picture.smooth import smooth_fill
from engine.sampling.diffusion import Network

MAX_SIDE = 16384
MAX_MODEL_AREA = 1024 * 1024
"""Model pixels of the largest plan; beyond it the region is scaled down to fit."""
MAX_AREA = 32 * 1024 * 1024
"""Pixels that a model which is the picture itself looks at, at most, where another scale is asked for."""
BATCH_AREA = 256 * 256
"""Model pixels of the windows that go through the network together, never more than four of the largest: one call of
several small windows is faster than several calls, most of all beside other programs."""
SMALL_SIDE = 52
"""Longer side of a hole which, with 64 pixels around it, has at most 180 × 180."""
SURROUNDINGS_AREA = 8 * 1000 * 1000
"""Pixels of a square hole with its surroundings, at most, unless it is larger itself."""
OVERLAP_SHARE = 4
"""Windows overlap by a quarter of their side."""
MARGIN = 8
"""A pixel that lies so far inside a window needs no other window."""
WRAPS = ("", "x", "y", "both")
"""Axes along which a picture can be periodic."""


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


@dataclass(frozen=True)
class Plan:
    """How a job is laid out.

    Attributes:
        region: the part of the picture that the model sees, in picture pixels.
        size: (height, width) of the model's picture; the region scaled, then padded with unknown pixels.
        scaled: (height, width) of the region at model scale, before padding.
        windows: network windows in model pixels; one call of each makes one step. Where the picture wraps they may
            reach over its right and bottom border.
        batch: how many windows go into one call of the network.
        wraps: (along y, along x): whether the picture is periodic; it is then not padded along that axis.
    """

    region: Box
    size: tuple[int, int]
    scaled: tuple[int, int]
    windows: tuple[Box, ...]
    batch: int = 1
    wraps: tuple[bool, bool] = (False, False)

    def cells(self, factor: int) -> Plan:
        """The same for a network whose pixels are cells of so many model pixels a side; for :func:`windowed` only."""
        if factor == 1:
            return self
        boxes = [(box.x, box.y, box.width, box.height) for box in self.windows]
        windows = tuple(Box(*(length // factor for length in box)) for box in boxes)
        return replace(self, size=(self.size[0] // factor, self.size[1] // factor), windows=windows)


def check(image: np.ndarray, selection: np.ndarray) -> None:
    """Raise BadInput unless image is (H, W, 4) uint8, selection (H, W) uint8 of its size, and something is selected."""
    if image.ndim != 3 or image.shape[2] != 4 or image.dtype != np.uint8:
        raise BadInput("bad_image", "The picture must be 8-bit RGBA.", f"{image.shape} {image.dtype}")
    if selection.dtype != np.uint8 or selection.ndim != 2:
        raise BadInput("bad_selection", "The selection must be one 8-bit channel.", f"{selection.shape}")
    if selection.shape != image.shape[:2]:
        raise BadInput(
            "size_mismatch",
            f"The mask is {selection.shape[1]} × {selection.shape[0]} pixels but the picture is "
            f"{image.shape[1]} × {image.shape[0]}; make both the same size.",
        )
    if max(image.shape[:2]) > MAX_SIDE:
        raise BadInput("too_large", f"Pictures may be up to {MAX_SIDE} pixels a side; crop the picture first.")
    if not selection.any():
        raise BadInput("empty_selection", "Nothing is selected; select the region to repaint first.")


def bounds(selection: np.ndarray) -> Box:
    """The smallest box that holds every pixel with selection > 0."""
    rows, columns = np.flatnonzero(selection.any(axis=1)), np.flatnonzero(selection.any(axis=0))
    return Box(int(columns[0]), int(rows[0]), int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1)


def axes(wrap: str) -> tuple[bool, bool]:
    """Whether a picture that wraps so is periodic (along y, along x).

    Raises:
        BadInput: not a name of :data:`WRAPS`.
    """
    if wrap not in WRAPS:
        raise BadInput("bad_wrap", f"The picture can wrap along x, y or both, not {wrap!r}.")
    return wrap in ("y", "both"), wrap in ("x", "both")


def context(hole: Box, geometry: Geometry) -> int:
    """Picture pixels of surroundings the model sees on each side; never more than :func:`surroundings` has.

    For texture models enough to fill the shortest side that they take, 16 to 32: more did not help (holes of 96 pixels
    in three textures, 16 against 32: far ratio 1.72, 1.22, 1.03 against 1.93, 1.30, 1.07) and costs windows.
    """
    if geometry.sight:
        return geometry.sight
    if geometry.any_scale:
        return min(max(16, geometry.minimum - min(hole.width, hole.height)), 32)
    return max(64, max(hole.width, hole.height) // 2)


def surroundings(selection: np.ndarray, padding: int | None = None, wrap: str = "") -> Box:
    """The part of a picture that a fill can look at, however large the picture is.

    It is the box around the selection grown by what :func:`context` or ``padding`` may ask for; a picture that wraps is
    needed whole.
    """
    height, width = selection.shape
    whole = Box(0, 0, width, height)
    if padding is not None and not 8 <= padding <= 1024:
        raise BadInput("bad_padding", f"The padding must be 8 to 1024 pixels, not {padding}.")
    if any(axes(wrap)):
        return whole
    hole = bounds(selection)
    return grown(hole, usual_surroundings(hole) if padding is None else padding, whole)


def usual_surroundings(hole: Box) -> int:
    """Pixels on each side that are sent and looked at: twice the longer side of the hole, 200 at least, less where the
    whole would be more than :data:`SURROUNDINGS_AREA`, but never below 64. Of a hole of at most :data:`SMALL_SIDE`
    pixels they are 64, so that the whole is small enough for every patch to be compared with every other one."""
    side = max(hole.width, hole.height)
    if side <= SMALL_SIDE:
        return 64
    return max(64, min(max(200, 2 * side), (math.isqrt(SURROUNDINGS_AREA) - side) // 2))


def checked_scale(scale: float, region: Box, most: int = MAX_AREA) -> float:
    """``scale`` if a region of so many model pixels may be painted at it.

    Raises:
        BadInput: out of range, or more than ``most`` model pixels.
    """
    area = region.width * region.height
    if not 1 / 16 <= scale <= 4:
        raise BadInput("bad_scale", f"The scale must be 0.0625 to 4, not {scale}.")
    if scale**2 * area > most:
        largest = math.floor(math.sqrt(most / area) * 1000) / 1000
        raise BadInput("bad_scale", f"This selection is too large for scale {scale:g}; use {largest:g} or less.")
    return scale


def plan(
    selection: np.ndarray,
    geometry: Geometry,
    padding: int | None = None,
    wanted_scale: float | None = None,
    wrap: str = "",
    within: Box | None = None,
) -> Plan:
    """Choose region, scale and windows for a selection (H, W) uint8 with at least one pixel > 0.

    Args:
        padding: picture pixels of surroundings on each side, 8 … 1024, in place of :func:`context`.
        wanted_scale: model pixels per picture pixel, 1/16 … 4, in place of the engine's choice.
        wrap: a name of :data:`WRAPS`: the picture goes on beyond its borders with its opposite side.
        within: the part of the picture that may be looked at, where it is not the whole.

    Raises:
        BadInput: values out of range, or a plan of more model pixels than the model takes was asked for.
    """
    wraps = axes(wrap)
    hole = bounds(selection)
    whole = Box(0, 0, selection.shape[1], selection.shape[0])
    region = grown(hole, context(hole, geometry) if padding is None else padding, within or whole)
    if wraps[0]:
        region = replace(region, y=0, height=whole.height)
    if wraps[1]:
        region = replace(region, x=0, width=whole.width)
    area, most = region.width * region.height, geometry.most or MAX_MODEL_AREA
    if wanted_scale is not None:
        scale = checked_scale(wanted_scale, region, most)
    elif geometry.any_scale:
        scale = min(1.0, math.sqrt(most / area))
    else:
        scale = geometry.window / max(region.width, region.height)
        if scale < 1 and geometry.most:
            scale = min(1.0, math.sqrt(most / area))
    grids = [geometry.grid if wrapped else 1 for wrapped in wraps]
    lengths = zip((region.height, region.width), grids, strict=True)
    scaled_height, scaled_width = (max(grid, round(length * scale / grid) * grid) for length, grid in lengths)
    scaled = (scaled_height, scaled_width)
    least = geometry.minimum if geometry.any_scale or geometry.most else geometry.window
    height, width = (
        length if wrapped else max(_round_up(length, geometry), least)
        for length, wrapped in zip(scaled, wraps, strict=True)
    )
    unknown = _to_model(selection[region.slices] > 0, scaled, (height, width), fill=False)
    windows = _windows(geometry, unknown, wraps)
    batch = min(BATCH_AREA, geometry.together * geometry.window**2) // (windows[0].width * windows[0].height)
    return Plan(region, (height, width), scaled, windows, max(1, batch), wraps)


def model_input(image: np.ndarray, selection: np.ndarray, plan: Plan) -> tuple[torch.Tensor, torch.Tensor]:
    """y (1, 3, H, W) in [−1, 1] and keep (1, 1, H, W) in {0, 1} at model size.

    A pixel is known only where the selection is 0 and the source is opaque; at another scale only where all source
    pixels under it are known. Padding is unknown.
    """
    crop, selected = image[plan.region.slices], selection[plan.region.slices]
    known = (selected == 0) & (crop[..., 3] == 255)
    y: np.ndarray = crop[..., :3].astype(np.float32) / 127.5 - 1.0
    if plan.scaled != known.shape:
        shrinks = plan.scaled[0] < known.shape[0]
        if not shrinks and known.any() and not known.all():  # the cubic kernel reaches over the edge of what is known
            y = smooth_fill(y, known)
        y = cv2.resize(y, plan.scaled[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC).clip(-1, 1)
    y = _pad(y, plan.size, 0.0)
    keep = ~_to_model(~known, plan.scaled, plan.size, fill=True)
    y = np.where(keep[..., None], y, 0.0).astype(np.float32)
    return torch.from_numpy(y).permute(2, 0, 1)[None].contiguous(), torch.from_numpy(keep.astype(np.float32))[
        None, None
    ]


def picture_fill(x0: torch.Tensor, plan: Plan) -> np.ndarray:
    """The model's (3, H, W) in [−1, 1] back at picture scale: (region.height, region.width, 3) float32 in [0, 1]."""
    fill: np.ndarray = (x0.detach().cpu().permute(1, 2, 0).numpy() + 1) / 2
    fill = np.ascontiguousarray(fill[: plan.scaled[0], : plan.scaled[1]], dtype=np.float32)
    target = (plan.region.height, plan.region.width)
    if plan.scaled != target:
        shrinks = target[0] < plan.scaled[0]
        if any(plan.wraps) and not shrinks:  # the cubic kernel reaches over the borders
            fill = _enlarged_ring(fill, target, plan.wraps)
        else:
            fill = cv2.resize(fill, target[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return fill.clip(0.0, 1.0)


def _enlarged_ring(fill: np.ndarray, target: tuple[int, int], wraps: tuple[bool, bool]) -> np.ndarray:
    """(H, W, 3) resized so that its ends still meet along the axes that wrap."""
    maps = []
    for length, wanted, wrapped in zip(fill.shape, target, wraps, strict=False):
        at = (np.arange(wanted, dtype=np.float32) + 0.5) * (length / wanted) - 0.5
        maps.append(at if wrapped else at.clip(0, length - 1))
    rows, columns = np.meshgrid(*maps, indexing="ij")
    return cv2.remap(fill, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)


def layer(fill: np.ndarray, selection: np.ndarray, region: Box) -> np.ndarray:
    """The layer to show: (H, W, 4) uint8 of the selection's size, the fill's own colour with A = selection."""
    out = np.zeros((*selection.shape, 4), np.uint8)
    part = out[region.slices]
    part[..., :3] = np.rint(fill * 255)
    part[..., 3] = selection[region.slices]
    part[part[..., 3] == 0] = 0
    return out


def over(image: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """A layer (H, W, 4) uint8, as :func:`layer` makes it, over an image of the same size (H, W, C)."""
    height, width = shown.shape[:2]
    return composite(image, shown[..., 3], shown[..., :3].astype(np.float32) / 255, Box(0, 0, width, height))


def composite(original: np.ndarray, selection: np.ndarray, fill: np.ndarray, region: Box) -> np.ndarray:
    """The fill over the original: OUT = IN + M/255 · (fill − IN); bit for bit the original where M = 0.

    Args:
        original: (H, W, C) uint8 or uint16; C = 1 gray, 2 gray + alpha, 3 RGB, 4 RGBA (straight alpha).
        selection: (H, W) uint8, zero outside the region.
        fill: (region.height, region.width, 3) in [0, 1].
    """
    out = original.copy()
    part, mask = out[region.slices], selection[region.slices]
    top = np.iinfo(original.dtype).max
    m = mask[..., None].astype(np.float64) / 255
    colours = original.shape[2] - (original.shape[2] in (2, 4))
    paint = fill.astype(np.float64) if colours == 3 else fill.astype(np.float64) @ [[0.299], [0.587], [0.114]]
    under = part.astype(np.float64) / top
    if colours == original.shape[2]:
        mixed = under + m * (paint - under)
    else:
        alpha = under[..., -1:]
        covered = m + alpha * (1 - m)
        mixed = np.divide(
            paint * m + under[..., :-1] * alpha * (1 - m), covered, where=covered > 0, out=np.zeros_like(paint)
        )
        mixed = np.concatenate([mixed, covered], axis=2)
    changed = mask > 0
    part[changed] = np.rint(mixed[changed] * top).astype(original.dtype)
    return out


def windowed(network: Network, plan: Plan) -> Network:
    """The network on a picture larger than its window: overlapped windows, fused with smooth weights at every call.

    The output is linear in x̂_0, so the fused output is the fused estimate and no window border can show (Bar-Tal et
    al. 2023, arXiv 2302.08113, Eq. 5). Pixels under no window are known pixels that no window reads; they get zeros.
    """
    if len(plan.windows) == 1 and plan.windows[0] == Box(0, 0, plan.size[1], plan.size[0]) and not any(plan.wraps):
        return network
    weights = [torch.from_numpy(_weight(window, plan)) for window in plan.windows]
    # Where the picture wraps, windows lie on a larger sheet that repeats it.
    sheet = tuple(
        max(length, *(start + side for start, side in spans))
        for length, spans in zip(
            plan.size, ([(w.y, w.height) for w in plan.windows], [(w.x, w.width) for w in plan.windows]), strict=True
        )
    )
    total = torch.zeros(sheet)
    for window, weight in zip(plan.windows, weights, strict=True):
        total[window.slices] += weight
    total = _fold(total, plan.size).clamp_min(1e-8)

    def fused(x: torch.Tensor, timestep: int) -> torch.Tensor:
        out: torch.Tensor | None = None
        repeated = _repeat(x, sheet)
        for first in range(0, len(plan.windows), plan.batch):
            windows = plan.windows[first : first + plan.batch]
            parts = network(torch.cat([repeated[(..., *window.slices)] for window in windows]), timestep)
            if out is None:
                out = torch.zeros((len(x), parts.shape[1], *sheet), device=x.device)
            for window, weight, part in zip(windows, weights[first:], parts.split(len(x)), strict=False):
                out[(..., *window.slices)] += part * weight.to(x.device)
        assert out is not None
        return _fold(out, plan.size) / total.to(x.device)

    return fused


def _repeat(x: torch.Tensor, sheet: tuple[int, ...]) -> torch.Tensor:
    """(…, H, W) repeated periodically over a sheet at least as large."""
    for axis, length in ((-2, sheet[0]), (-1, sheet[1])):
        if length > x.shape[axis]:
            x = x.index_select(axis, torch.arange(length, device=x.device) % x.shape[axis])
    return x


def _fold(out: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The reverse of :func:`_repeat`: what lies on the repetitions is added to the picture."""
    for axis, length in ((-2, size[0]), (-1, size[1])):
        if out.shape[axis] > length:
            first, *others = out.split(length, axis)
            out = first.clone()
            for other in others:
                out.narrow(axis, 0, other.shape[axis]).add_(other)
    return out


def grown(box: Box, by: int, limit: Box) -> Box:
    """``box`` grown by so many pixels on each side and clipped to ``limit``, in which it lies."""
    left, top = max(limit.x, box.x - by), max(limit.y, box.y - by)
    right = min(limit.x + limit.width, box.x + box.width + by)
    bottom = min(limit.y + limit.height, box.y + box.height + by)
    return Box(left, top, right - left, bottom - top)


def _round_up(length: int, geometry: Geometry) -> int:
    return max(geometry.minimum, -(-length // geometry.multiple) * geometry.multiple)


def _pad(array: np.ndarray, size: tuple[int, int], value: float) -> np.ndarray:
    below, right = size[0] - array.shape[0], size[1] - array.shape[1]
    return np.pad(array, [(0, below), (0, right)] + [(0, 0)] * (array.ndim - 2), constant_values=value)


def _to_model(flags: np.ndarray, scaled: tuple[int, int], size: tuple[int, int], *, fill: bool) -> np.ndarray:
    """Boolean flags at model scale: set where any source pixel under it is set; padding gets ``fill``."""
    if scaled != flags.shape:
        shrinks = scaled[0] < flags.shape[0]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        flags = cv2.resize(flags.astype(np.float32), scaled[::-1], interpolation=how) > 0
    out = np.full(size, fill)
    out[: scaled[0], : scaled[1]] = flags
    return out


def _windows(geometry: Geometry, unknown: np.ndarray, wraps: tuple[bool, bool]) -> tuple[Box, ...]:
    """Windows that cover every unknown pixel (of (H, W) bool); those that hold none are left out."""
    (height, rows), (width, columns) = (
        (_cut_ring if wrapped else _cut)(length, geometry) for length, wrapped in zip(unknown.shape, wraps, strict=True)
    )
    boxes = [Box(x, y, width, height) for y in rows for x in columns]

    def holds_unknown(box: Box) -> bool:
        rows = np.arange(box.y, box.y + box.height) % unknown.shape[0]
        columns = np.arange(box.x, box.x + box.width) % unknown.shape[1]
        return bool(unknown[np.ix_(rows, columns)].any())

    needed = [box for box in boxes if holds_unknown(box)]
    return _thinned(needed, unknown, wraps) if geometry.any_scale else tuple(needed)


def _thinned(boxes: list[Box], unknown: np.ndarray, wraps: tuple[bool, bool]) -> tuple[Box, ...]:
    """Leave out windows all of whose unknown pixels lie well inside others, those with the fewest first."""

    def span(start: int, side: int, length: int, wrapped: bool, margin: int) -> np.ndarray:
        low = start + margin * (wrapped or start > 0)
        high = start + side - margin * (wrapped or start + side < length)
        return np.arange(low, high) % length

    def place(box: Box, margin: int) -> tuple[np.ndarray, ...]:
        rows = span(box.y, box.height, unknown.shape[0], wraps[0], margin)
        return np.ix_(np.unique(rows), np.unique(span(box.x, box.width, unknown.shape[1], wraps[1], margin)))

    inside = np.zeros(unknown.shape, np.int16)
    for box in boxes:
        inside[place(box, MARGIN)] += 1
    kept = list(boxes)
    for box in sorted(boxes, key=lambda box: int(unknown[place(box, 0)].sum())):
        inside[place(box, MARGIN)] -= 1
        if (inside[place(box, 0)][unknown[place(box, 0)]] > 0).all():
            kept.remove(box)
        else:
            inside[place(box, MARGIN)] += 1
    return tuple(kept)


def _cut(length: int, geometry: Geometry) -> tuple[int, list[int]]:
    """Window length and starts along one side: as few windows as will do, evenly spread on the network's own grid.

    Windows of texture models are as short as their number allows; those of scene models keep their one size.
    """
    window, multiple = geometry.window, geometry.multiple
    if length <= window:
        return length, [0]
    count = math.ceil((length - window) / (window - window // OVERLAP_SHARE)) + 1
    if geometry.any_scale:
        balanced = length / (count - (count - 1) / OVERLAP_SHARE)
        window = min(window, math.ceil(balanced / multiple) * multiple)
    return window, [round(i * (length - window) / (count - 1) / multiple) * multiple for i in range(count)]


def _cut_ring(length: int, geometry: Geometry) -> tuple[int, list[int]]:
    """The same around a ring: at least two windows, each of which overlaps the next; one has the seam in its middle.

    A window can be longer than the ring, which it then sees repeated.
    """
    window, multiple, grid = geometry.window, geometry.multiple, geometry.grid
    if not geometry.any_scale:
        window = min(window, max(geometry.minimum, math.ceil(length / multiple) * multiple))
    count = max(2, math.ceil(length / (window - window // OVERLAP_SHARE)))
    if geometry.any_scale:
        balanced = length / (count - count / OVERLAP_SHARE)
        window = max(geometry.minimum, min(window, math.ceil(balanced / multiple) * multiple))
    return window, [
        (round(i * length / count / grid) * grid - window // 2 // grid * grid) % length for i in range(count)
    ]


def _weight(window: Box, plan: Plan) -> np.ndarray:
    """(height, width) float32: 1 inside, a smooth ramp over the overlap on sides that have a neighbour."""

    def ramp(length: int, start: int, full: int, wraps: bool) -> np.ndarray:
        overlap = max(length // OVERLAP_SHARE, 1)
        rise = np.sin(np.clip((np.arange(length) + 0.5) / overlap, 0, 1) * np.pi / 2) ** 2
        left = np.ones(length) if start == 0 and not wraps else rise
        right = np.ones(length) if start + length >= full and not wraps else rise[::-1]
        return np.minimum(left, right)

    rows = ramp(window.height, window.y, plan.size[0], plan.wraps[0])
    columns = ramp(window.width, window.x, plan.size[1], plan.wraps[1])
    return np.outer(rows, columns).astype(np.float32).clip(1e-4)
