"""Extend a picture past its borders, and make it tile: both are fills of an enlarged or framed picture.

Here is only the geometry: the pixels as they come in, what is kept of them, and the selection. How far areas are
painted is in :mod:`engine.canvas.stages`; that windows reach over the borders of a tile, in
:mod:`engine.canvas`.

Windows that wrap were chosen over the painter's way (roll by half, repaint the cross, roll back). The seams of the
picture itself come out alike, but the cross ends at the borders of the rolled picture, where nothing makes its ends
agree. Gradient across these ends over the mean, in x and in y, on three pictures that were never trained on:

========  ============  ===========
picture   wrapping      cross
========  ============  ===========
dirt      0.73 1.13     1.41 1.87
concrete  0.71 1.20     1.46 2.00
brick     0.75 1.13     1.89 2.48
========  ============  ===========
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine import canvas
from engine.errors import BadInput

FARTHEST = 4
"""A side may be extended by so many times the picture, and a tile may be so much larger."""
TILE_BAND = 24
"""Width in pixels of the band that is repainted across each seam of a tile, half of it on each side: as much of the
picture as possible stays. On eight photographed textures of 120² bands of 48, 32, 24 and 16 px have seam jumps of 1.05,
1.00, 1.12 and 1.05 (medians); to the eye the frames of 48 are plainer than the rest, those of 24 are hard to tell."""
MIN_TILE = 32


@dataclass(frozen=True)
class Framed:
    """A picture with room for what is to be painted.

    Attributes:
        pixels: (H, W, C) of the source's type; zero, with alpha also transparent, where it is to be painted.
        selection: (H, W) uint8, 255 = to be painted.
    """

    pixels: np.ndarray
    selection: np.ndarray

    def rgba(self, source: np.ndarray) -> np.ndarray:
        """What the engine sees: ``source``, (H, W, 4) of ``pixels``, transparent where it is to be painted."""
        return np.where(self.selection[..., None] > 0, source.dtype.type(0), source)


def extended(pixels: np.ndarray, left: int = 0, right: int = 0, top: int = 0, bottom: int = 0) -> Framed:
    """Room on the sides of (H, W, C), each 0 … :data:`FARTHEST` times the picture, in pixels; nothing is cut off.

    Raises:
        BadInput: nothing to add, less than nothing, too much, or a picture that would be too large.
    """
    height, width = pixels.shape[:2]
    check_extension((height, width), left, right, top, bottom)
    size = (height + top + bottom, width + left + right)
    return _framed(pixels, size, canvas.Box(left, top, width, height), pixels)


def check_extension(size: tuple[int, int], left: int = 0, right: int = 0, top: int = 0, bottom: int = 0) -> None:
    """Raise BadInput unless a picture of (height, width) can be extended so."""
    height, width = size
    for name, amount, side in (
        ("left", left, width),
        ("right", right, width),
        ("top", top, height),
        ("bottom", bottom, height),
    ):
        if not 0 <= amount <= FARTHEST * side:
            raise BadInput("bad_extension", f"--{name} must be 0 to {FARTHEST * side} pixels here, not {amount}.")
    if not (left or right or top or bottom):
        raise BadInput(
            "bad_extension", "Say on which side to extend, and by how many pixels, for instance --right 128."
        )
    _check_side((height + top + bottom, width + left + right))


def tile(pixels: np.ndarray, axis: str = "both", size: tuple[int, int] | None = None, band: int = TILE_BAND) -> Framed:
    """A frame along the borders of (H, W, C), to be painted with ``wrap`` = ``axis``; the rest stays as it is.

    Args:
        axis: ``x``, ``y`` or ``both``: along which the tile is to repeat without a seam.
        size: (width, height) of the tile; smaller than the picture: its middle is used; larger: it comes to lie in the
            middle. The picture's own if None.
        band: width of what is repainted across a seam, at least 2; at most half of the tile is.

    Raises:
        BadInput: unknown axis, a picture or a size too small or too large, another height with ``x`` or width with
            ``y``.
    """
    source = pixels.shape[:2]
    check_tile(source, axis, size, band)
    wraps, wanted = canvas.axes(axis), source if size is None else size[::-1]
    starts, lengths, places = [], [], []
    for wrapped, have, want in zip(wraps, source, wanted, strict=True):
        kept = min(have, want - min(band, want // 2)) if wrapped else have
        starts.append((have - kept) // 2)
        places.append((want - kept) // 2)
        lengths.append(kept)
    (y, x), (top, left), (height, width) = starts, places, lengths
    return _framed(pixels, wanted, canvas.Box(left, top, width, height), pixels[y : y + height, x : x + width])


def check_tile(have: tuple[int, int], axis: str, size: tuple[int, int] | None, band: int) -> None:
    """Raise BadInput unless :func:`tile` can make one of a picture of (height, width)."""
    wraps = canvas.axes(axis)
    if not any(wraps):
        raise BadInput("bad_wrap", "A tile repeats along x, y or both.")
    if band < 2:
        raise BadInput("bad_band", f"The band must be at least 2 pixels wide, not {band}.")
    wanted = have if size is None else size[::-1]
    for name, wrapped, side, want in zip(("height", "width"), wraps, have, wanted, strict=True):
        if not wrapped and side != want:
            raise BadInput("bad_size", f"With this axis the {name} stays {side} pixels; tile both axes to change it.")
        if wrapped and not MIN_TILE <= want <= FARTHEST * side:
            raise BadInput(
                "bad_size",
                f"The {name} of a tile of this picture must be {MIN_TILE} to {FARTHEST * side} pixels, not {want}.",
            )
    _check_side(wanted)


def _check_side(size: tuple[int, int]) -> None:
    if max(size) > canvas.MAX_SIDE:
        raise BadInput("too_large", f"The result would be larger than {canvas.MAX_SIDE} pixels a side; extend by less.")


def _framed(pixels: np.ndarray, size: tuple[int, int], box: canvas.Box, kept: np.ndarray) -> Framed:
    if kept.shape[2] in (2, 4) and not (kept[..., -1] >= canvas.OPAQUE / 255 * canvas.whole(kept.dtype)).any():
        raise BadInput("nothing_known", "The picture is completely transparent; paint something to continue first.")
    out = np.zeros((*size, pixels.shape[2]), pixels.dtype)
    out[box.slices] = kept
    selection = np.full(size, 255, np.uint8)
    selection[box.slices] = 0
    return Framed(out, selection)
