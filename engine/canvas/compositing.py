"""From the new area's colours to a layer, and over the picture."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.canvas.boxes import OPAQUE, Box, whole
from engine.canvas.light import in_unit, stored

BAND = 128
"""Rows of a layer that are made at a time."""


def _bands(shown: np.ndarray) -> Iterator[tuple[slice, slice]]:
    """Where something of (H, W) is shown, some rows at a time: what is between far-apart places costs nothing."""
    for top in range(0, len(shown), BAND):
        columns = np.flatnonzero(shown[top : top + BAND].any(axis=0))
        if len(columns):
            yield np.s_[top : top + BAND, columns[0] : columns[-1] + 1]


def layer(fill: np.ndarray, selection: np.ndarray, region: Box, image: np.ndarray) -> np.ndarray:
    """The layer to show over the picture: (H, W, 4) of its type and size, the fill's own colour with A = selection.

    Where the picture is partly transparent, two coverages, one over the other, would leave a see-through ring at a soft
    edge. There the layer is more opaque and holds a mixture with the picture's colour, so that over the picture it
    gives what :func:`composite` gives with ``keep``.

    Args:
        fill, selection, region: as of :func:`composite`.
        image: (H, W, 4) with straight alpha, what the layer will lie over.
    """
    dtype = image.dtype
    out = np.zeros((*selection.shape, 4), dtype)
    shown, part, under = selection[region.slices], out[region.slices], image[region.slices]
    for band in _bands(shown):
        part[band][..., :3] = stored(fill[band], dtype)
        part[band][..., 3] = stored(shown[band] / np.float32(255), dtype)
        part[band][part[band][..., 3] == 0] = 0
        alpha = under[band][..., 3]
        partly = (shown[band] > 0) & (alpha > 0) & (alpha < OPAQUE / 255 * whole(dtype))
        if partly.any():
            part[band][partly] = _closing(fill[band][partly], shown[band][partly], under[band][partly])
    return out


def _closing(fill: np.ndarray, selection: np.ndarray, under: np.ndarray) -> np.ndarray:
    """Pixels (N, 4) of a layer over partly transparent ones: α = min(1, m / (1 − seen)), c = max(m, 1 − seen),
    colour = c · fill + (1 − c) · under."""
    below = in_unit(under)
    m, seen = selection[:, None] / np.float32(255), below[:, 3:]
    share = np.maximum(m, 1 - seen)
    colours = share * fill + (1 - share) * np.where(np.isfinite(below[:, :3]), below[:, :3], fill)
    return stored(np.concatenate([colours, np.minimum(1, m / (1 - seen))], axis=1), under.dtype)


def over(image: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """A layer (H, W, 4), as :func:`layer` makes it, over an image of the same size and type (H, W, C)."""
    height, width = shown.shape[:2]
    top = whole(shown.dtype)
    selection = np.rint(shown[..., 3] * np.float32(255 / top)).astype(np.uint8)
    return composite(image, selection, shown[..., :3].astype(np.float32) / top, Box(0, 0, width, height), "over")


def composite(
    original: np.ndarray,
    selection: np.ndarray,
    fill: np.ndarray,
    region: Box,
    alpha: str = "keep",
    associated: bool = False,
) -> np.ndarray:
    """The fill over the original: OUT = IN + M/255 · (fill − IN); bit for bit the original where M = 0.

    Args:
        original: (H, W, C), integers or floats; C = 1 gray, 2 gray + alpha, 3 RGB, 4 RGBA.
        selection: (H, W) uint8, zero outside the region.
        fill: (region.height, region.width, 3), where 1 is the integers' largest value.
        alpha: ``keep``: the fill covers as much as is selected, beside what is covered already, so that a pixel of
            alpha 0.3 selected by half becomes 0.8 and one of 0.5 opaque ("disjoint over" of the X Render extension);
            ``opaque``: every selected pixel becomes opaque, the fill is also behind what is partly transparent;
            ``over``: as editors show one layer over another.
        associated: the original's colours are multiplied by its alpha, and so are the result's.
    """
    out = original.copy()
    shown, part = selection[region.slices], out[region.slices]
    for band in _bands(shown):
        _compose(part[band], shown[band], fill[band], alpha, associated)
    return out


def _compose(part: np.ndarray, mask: np.ndarray, fill: np.ndarray, alpha: str, associated: bool) -> None:
    """As :func:`composite`, in place."""
    integers, top = part.dtype.kind in "ui", whole(part.dtype)
    m = mask[..., None].astype(np.float64) / 255
    colours = part.shape[2] - (part.shape[2] in (2, 4))
    paint = fill.astype(np.float64) if colours == 3 else fill.astype(np.float64) @ [[0.299], [0.587], [0.114]]
    under = part.astype(np.float64) / top
    if not integers:
        under[..., :colours] = np.where(np.isfinite(under[..., :colours]), under[..., :colours], paint)
    if colours == part.shape[2]:
        mixed = under + m * (paint - under)
    else:
        seen = under[..., -1:]
        own = under[..., :-1] if associated else under[..., :-1] * seen
        covered, share, left = _weights(m, seen, alpha)
        mixed = paint * share + own * left
        if not associated:
            mixed = np.divide(mixed, covered, where=covered > 0, out=np.zeros_like(paint))
        mixed = np.concatenate([mixed, covered], axis=2)
    changed = mask > 0
    values = mixed[changed]
    if integers:
        values = np.rint(values * top).clip(np.iinfo(part.dtype).min, top)
    part[changed] = values.astype(part.dtype)


def _weights(m: np.ndarray, seen: np.ndarray, alpha: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The result's alpha, and by how much the fill's colour and the original's, both multiplied by alpha, count."""
    if alpha == "keep":
        covered = np.minimum(1, m + seen)
        return covered, m, np.divide(covered - m, seen, where=seen > 0, out=1 - m)
    if alpha == "opaque":
        return np.ones_like(m), 1 - seen * (1 - m), 1 - m
    return m + seen * (1 - m), m, 1 - m
