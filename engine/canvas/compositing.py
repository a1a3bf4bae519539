"""From the new area's colours to a layer, and over the picture."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.canvas.boxes import Box, whole
from engine.canvas.light import stored

BAND = 128
"""Rows of a layer that are made at a time."""


def _bands(shown: np.ndarray) -> Iterator[tuple[slice, slice]]:
    """Where something of (H, W) is shown, some rows at a time: what is between far-apart places costs nothing."""
    for top in range(0, len(shown), BAND):
        columns = np.flatnonzero(shown[top : top + BAND].any(axis=0))
        if len(columns):
            yield np.s_[top : top + BAND, columns[0] : columns[-1] + 1]


def layer(fill: np.ndarray, selection: np.ndarray, region: Box, dtype: np.dtype) -> np.ndarray:
    """The layer to show: (H, W, 4) of the picture's type and size, the fill's own colour with A = selection."""
    out = np.zeros((*selection.shape, 4), dtype)
    shown, part = selection[region.slices], out[region.slices]
    for band in _bands(shown):
        part[band][..., :3] = stored(fill[band], dtype)
        part[band][..., 3] = stored(shown[band] / np.float32(255), dtype)
        part[band][part[band][..., 3] == 0] = 0
    return out


def over(image: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """A layer (H, W, 4), as :func:`layer` makes it, over an image of the same size and type (H, W, C)."""
    height, width = shown.shape[:2]
    top = whole(shown.dtype)
    selection = np.rint(shown[..., 3] * np.float32(255 / top)).astype(np.uint8)
    return composite(image, selection, shown[..., :3].astype(np.float32) / top, Box(0, 0, width, height))


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
        original: (H, W, C) uint8, uint16 or floats; C = 1 gray, 2 gray + alpha, 3 RGB, 4 RGBA.
        selection: (H, W) uint8, zero outside the region.
        fill: (region.height, region.width, 3), where 1 is the integers' largest value.
        alpha: ``keep``: what is half selected is half covered, so that transparent pixels stay partly transparent
            there; ``opaque``: every selected pixel becomes opaque, the fill is also behind what is partly transparent.
        associated: the original's colours are multiplied by its alpha, and so are the result's.
    """
    out = original.copy()
    shown, part = selection[region.slices], out[region.slices]
    for band in _bands(shown):
        _compose(part[band], shown[band], fill[band], alpha, associated)
    return out


def _compose(part: np.ndarray, mask: np.ndarray, fill: np.ndarray, alpha: str, associated: bool) -> None:
    """As :func:`composite`, in place."""
    integers, top = part.dtype.kind == "u", whole(part.dtype)
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
        covered = m + seen * (1 - m) if alpha == "keep" else np.ones_like(m)
        share = m if alpha == "keep" else 1 - seen * (1 - m)
        mixed = paint * share + (under[..., :-1] if associated else under[..., :-1] * seen) * (1 - m)
        if not associated:
            mixed = np.divide(mixed, covered, where=covered > 0, out=np.zeros_like(paint))
        mixed = np.concatenate([mixed, covered], axis=2)
    changed = mask > 0
    part[changed] = (np.rint(mixed[changed] * top) if integers else mixed[changed]).astype(part.dtype)
