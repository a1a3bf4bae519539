"""Rectangles, the sizes that models take, and what a picture and a selection must be."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engine.errors import BadInput

MAX_SIDE = 16384
OPAQUE = 250
"""Alpha of 255 from which on a pixel counts as opaque."""
COVER, HALF = 0.1, 0.5
"""Alpha from which on the colour of a pixel counts, by its alpha; what is more transparent may hold any colour. And
alpha from which on it counts where it does wholly or not at all: for networks, and for what is copied."""
HARDLY = 0.1
"""Of the pixels whose colour counts: where a smaller share is opaque, alpha is seen in relation to that of so many."""
DEPTHS = ("uint8", "uint16", "float16", "float32")
"""Types of a picture's samples. Integers span 0 … 1; floats hold any number, but for alpha."""
WRAPS = ("", "x", "y", "both")
"""Axes along which a picture can be periodic."""

Wraps = tuple[bool, bool]
"""Whether a picture is periodic along y and along x."""
NO_WRAP: Wraps = (False, False)


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
class Geometry:
    """What sizes a model takes, in model pixels.

    Attributes:
        multiple: sides are multiples of this.
        minimum: shortest side.
        window: longest side of one network call.
        any_scale: True for models that work at the picture's own scale (textures); False for models of whole scenes,
            to which the hole and its surroundings are scaled to fit ``window``.
        deep: a hole known on all sides and no deeper than this in pixels is painted at once
            (:mod:`engine.canvas.stages`).
        band: depth in pixels, more or less, of the bands in which what is deeper is painted.
        sight: surroundings of the hole that the model looks at, where it has its own need; 0: the usual.
        most: model pixels in all. A model of scenes with this number paints regions larger than ``window`` at the
            picture's own scale, in windows, up to so many; 0: the usual limit, and it scales them down.
        grid: the sides of a picture that wraps are multiples of this, as its windows' places are: a latent cell.
        drafted: wide new areas are begun with a draft made of the picture itself.
        together: largest windows, or as much in smaller ones, that go into one network call.
    """

    multiple: int
    minimum: int
    window: int
    any_scale: bool
    most: int = 0
    deep: int = 64
    band: int = 32
    sight: int = 0
    together: int = 4
    grid: int = 1
    drafted: bool = False


def check(image: np.ndarray, selection: np.ndarray) -> None:
    """Raise BadInput unless image is (H, W, 4) of one of :data:`DEPTHS`, selection (H, W) uint8 of its size, and
    something is selected."""
    if image.ndim != 3 or image.shape[2] != 4 or image.dtype.name not in DEPTHS:
        sentence = "The picture must be RGBA of 8 or 16 bits, or of half or full floats."
        raise BadInput("bad_image", sentence, f"{image.shape} {image.dtype}")
    if selection.dtype != np.uint8 or selection.ndim != 2:
        raise BadInput("bad_selection", "The selection must be one 8-bit channel.", f"{selection.shape}")
    check_sizes(image.shape[:2], selection.shape)
    if max(image.shape[:2]) > MAX_SIDE:
        raise BadInput("too_large", f"Pictures may be up to {MAX_SIDE} pixels a side; crop the picture first.")
    if not selection.any():
        raise BadInput("empty_selection", "Nothing is selected; select the region to repaint first.")


def whole(dtype: np.dtype) -> int:
    """The sample that means 1: the largest of integers."""
    return int(np.iinfo(dtype).max) if dtype.kind in "ui" else 1


def opaque(image: np.ndarray) -> np.ndarray:
    """(H, W) bool of (H, W, 4): where the alpha is at least :data:`OPAQUE` and the colour is one: floats may be no
    numbers."""
    if image.dtype.kind == "u":
        return image[..., 3] >= OPAQUE * (whole(image.dtype) // 255)
    return (image[..., 3] >= OPAQUE / 255) & _numbers(image)


def solid(image: np.ndarray) -> np.ndarray:
    """(H, W) bool of (H, W, 4): where the alpha is at least :data:`HALF` and the colour is one."""
    return (image[..., 3] >= HALF * whole(image.dtype)) & _numbers(image)


def cover(image: np.ndarray) -> np.ndarray | None:
    """(H, W) float32 of (H, W, 4): by how much each pixel's colour counts. That is its alpha; 1 where it is opaque, 0
    below :data:`COVER`. None where nothing is in between."""
    alpha, full = image[..., 3], opaque(image)
    if full.all():
        return None
    partly = (alpha >= COVER * whole(image.dtype)) & ~full & _numbers(image)
    if not partly.any():
        return None
    return np.where(partly, alpha / np.float32(whole(image.dtype)), full).astype(np.float32)


def in_relation(image: np.ndarray, selected: np.ndarray) -> np.ndarray:
    """A picture (H, W, 4); where hardly any pixel outside the selection is opaque, with its alpha in relation to that
    of the most opaque ones."""
    if opaque(image).all():
        return image
    alpha = image[..., 3][(selected == 0) & (image[..., 3] >= COVER * whole(image.dtype))]
    if not alpha.size or np.count_nonzero(alpha >= OPAQUE / 255 * whole(image.dtype)) >= HARDLY * alpha.size:
        return image
    most, out = np.float64(np.percentile(alpha, 100 * (1 - HARDLY))), image.copy()
    shares = np.minimum(1, image[..., 3] / most) * whole(image.dtype)
    out[..., 3] = np.rint(shares) if image.dtype.kind == "u" else shares
    return out


def _numbers(image: np.ndarray) -> np.ndarray | bool:
    """Where all samples are numbers; floats may hold others."""
    return True if image.dtype.kind == "u" else np.isfinite(image).all(axis=2)


def check_sizes(image: tuple[int, int], selection: tuple[int, int]) -> None:
    """Raise BadInput unless both are the same (height, width)."""
    if selection != image:
        turned = "one of them must be turned; photographs are turned upright as their EXIF says"
        raise BadInput(
            "size_mismatch",
            f"The mask is {selection[1]} × {selection[0]} pixels but the picture is {image[1]} × {image[0]}; "
            f"{turned if selection == image[::-1] else 'make both the same size'}.",
        )


def bounds(selection: np.ndarray) -> Box:
    """The smallest box that holds every pixel with selection > 0."""
    rows, columns = np.flatnonzero(selection.any(axis=1)), np.flatnonzero(selection.any(axis=0))
    return Box(int(columns[0]), int(rows[0]), int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1)


def distance_to_known(known: np.ndarray, wraps: Wraps, metric: int, border: int = 0) -> np.ndarray:
    """(H, W) float32: from each pixel to the nearest known one, as one of OpenCV's metrics has it; ``border`` pixels
    around the picture count as known."""
    distance = np.zeros(known.shape, np.float32)
    if known.all():
        return distance
    # No pixel is nearer to what is unknown than those beside the box around it.
    box = grown(bounds(~known), 1, Box(0, 0, known.shape[1], known.shape[0]))
    looked = tuple(slice(None) if wrapped else part for part, wrapped in zip(box.slices, wraps, strict=True))
    away, inside = ~known[looked], []
    for axis, (length, wrapped) in enumerate(zip(away.shape, wraps, strict=True)):
        pad = length // 2 if wrapped else border
        widths = [(pad, pad) if axis == other else (0, 0) for other in (0, 1)]
        away = np.pad(away, widths, mode="wrap") if wrapped else np.pad(away, widths)
        inside.append(slice(pad, pad + length))
    distance[looked] = cv2.distanceTransform(away.astype(np.uint8), metric, 5)[tuple(inside)]
    return distance


def axes(wrap: str) -> tuple[bool, bool]:
    """Whether a picture that wraps so is periodic (along y, along x).

    Raises:
        BadInput: not a name of :data:`WRAPS`.
    """
    if wrap not in WRAPS:
        raise BadInput("bad_wrap", f"The picture can wrap along x, y or both, not {wrap!r}.")
    return wrap in ("y", "both"), wrap in ("x", "both")


def grown(box: Box, by: int, limit: Box) -> Box:
    """``box`` grown by so many pixels on each side and clipped to ``limit``, in which it lies."""
    left, top = max(limit.x, box.x - by), max(limit.y, box.y - by)
    right = min(limit.x + limit.width, box.x + box.width + by)
    bottom = min(limit.y + limit.height, box.y + box.height + by)
    return Box(left, top, right - left, bottom - top)
