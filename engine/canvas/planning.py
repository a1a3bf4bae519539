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

from engine.canvas.boxes import NO_WRAP, Box, Geometry, Wraps, bounds, grown, solid
from engine.canvas.light import Light
from engine.canvas.smooth import smooth_fill
from engine.canvas.windows import windows
from engine.errors import BadInput

MAX_MODEL_AREA = 1024 * 1024
"""Model pixels of the largest plan; beyond it the region is scaled down to fit."""
MAX_AREA = 32 * 1024 * 1024
"""Pixels that a model which is the picture itself looks at, at most, where another scale is asked for."""
BATCH_AREA = 256 * 256
"""Model pixels of the windows that go through the network together, never more than four of the largest: one call of
several small windows is faster than several calls, most of all beside other programs."""
MAX_LOOKED = 100 * 1000 * 1000
"""Pixels that a job looks at, at most: those of :func:`surroundings`."""
SMALL_SIDE = 52
"""Longer side of a hole which, with 64 pixels around it, has at most 180 × 180."""
SURROUNDINGS_AREA = 8 * 1000 * 1000
"""Pixels of a square hole with its surroundings, at most, unless it is larger itself."""


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
    wraps: Wraps = NO_WRAP

    def cells(self, factor: int) -> Plan:
        """The same for a network whose pixels are cells of so many model pixels a side; for :func:`windowed` only."""
        if factor == 1:
            return self
        boxes = [(box.x, box.y, box.width, box.height) for box in self.windows]
        windows = tuple(Box(*(length // factor for length in box)) for box in boxes)
        return replace(self, size=(self.size[0] // factor, self.size[1] // factor), windows=windows)


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


def surroundings(selection: np.ndarray, padding: int | None = None, wraps: Wraps = NO_WRAP) -> Box:
    """The part of a picture that a fill can look at, however large the picture is.

    It is the box around the selection grown by what :func:`context` or ``padding`` may ask for; a picture that wraps is
    needed whole.
    """
    height, width = selection.shape
    whole = Box(0, 0, width, height)
    if padding is not None and not 8 <= padding <= 1024:
        raise BadInput("bad_padding", f"The padding must be 8 to 1024 pixels, not {padding}.")
    if any(wraps):
        return whole
    hole = bounds(selection)
    return grown(hole, usual_surroundings(hole) if padding is None else padding, whole)


def checked_size(height: int, width: int) -> None:
    """Raise BadInput where more than :data:`MAX_LOOKED` pixels would be looked at."""
    area = height * width
    if area > MAX_LOOKED:
        megapixels, most = math.ceil(area / 1e6), MAX_LOOKED // 1_000_000
        sentence = (
            f"The selection with its surroundings has {megapixels} megapixels, but at most {most} are possible; select "
            "less at a time, or make the picture smaller."
        )
        raise BadInput("too_large", sentence)


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
    wraps: Wraps = NO_WRAP,
    within: Box | None = None,
) -> Plan:
    """Choose region, scale and windows for a selection (H, W) uint8 with at least one pixel > 0.

    Args:
        padding: picture pixels of surroundings on each side, 8 … 1024, in place of :func:`context`.
        wanted_scale: model pixels per picture pixel, 1/16 … 4, in place of the engine's choice.
        wraps: (along y, along x): the picture goes on beyond its borders with its opposite side.
        within: the part of the picture that may be looked at, where it is not the whole.

    Raises:
        BadInput: values out of range, or a plan of more model pixels than the model takes was asked for.
    """
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
    boxes = windows(geometry, unknown, wraps)
    batch = min(BATCH_AREA, geometry.together * geometry.window**2) // (boxes[0].width * boxes[0].height)
    return Plan(region, (height, width), scaled, boxes, max(1, batch), wraps)


def model_input(
    image: np.ndarray, selection: np.ndarray, plan: Plan, light: Light
) -> tuple[torch.Tensor, torch.Tensor]:
    """y (1, 3, H, W), as ``light`` encodes the picture, and keep (1, 1, H, W) in {0, 1} at model size.

    A pixel is known only where the selection is 0 and the source at least half opaque; at another scale only where all
    source pixels under it are known. Padding is unknown.
    """
    crop, selected = image[plan.region.slices], selection[plan.region.slices]
    known = (selected == 0) & solid(crop)
    y = light.encoded(crop[..., :3])
    if plan.scaled != known.shape:
        shrinks = plan.scaled[0] < known.shape[0]
        if not shrinks and known.any() and not known.all():  # the cubic kernel reaches over the edge of what is known
            y = smooth_fill(y, known)
        y = cv2.resize(y, plan.scaled[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        y = y.clip(*light.limits)
    y = _pad(y, plan.size, 0.0)
    keep = ~_to_model(~known, plan.scaled, plan.size, fill=True)
    y = np.where(keep[..., None], y, 0.0).astype(np.float32)
    return torch.from_numpy(y).permute(2, 0, 1)[None].contiguous(), torch.from_numpy(keep.astype(np.float32))[
        None, None
    ]


def picture_fill(x0: torch.Tensor, plan: Plan, light: Light) -> np.ndarray:
    """The model's (3, H, W) back at picture scale: (region.height, region.width, 3) float32 in the picture's unit."""
    fill: np.ndarray = (x0.detach().cpu().permute(1, 2, 0).numpy() + 1) / 2
    fill = np.ascontiguousarray(fill[: plan.scaled[0], : plan.scaled[1]], dtype=np.float32)
    target = (plan.region.height, plan.region.width)
    if plan.scaled != target:
        shrinks = target[0] < plan.scaled[0]
        if any(plan.wraps) and not shrinks:  # the cubic kernel reaches over the borders
            fill = _enlarged_ring(fill, target, plan.wraps)
        else:
            fill = cv2.resize(fill, target[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return light.decoded(fill)


def _enlarged_ring(fill: np.ndarray, target: tuple[int, int], wraps: Wraps) -> np.ndarray:
    """(H, W, 3) resized so that its ends still meet along the axes that wrap."""
    maps = []
    for length, wanted, wrapped in zip(fill.shape, target, wraps, strict=False):
        at = (np.arange(wanted, dtype=np.float32) + 0.5) * (length / wanted) - 0.5
        maps.append(at if wrapped else at.clip(0, length - 1))
    rows, columns = np.meshgrid(*maps, indexing="ij")
    return cv2.remap(fill, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)


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
