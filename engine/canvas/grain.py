"""The finest detail of a deep picture's fill, as strong as it is beside it.

A fill from the picture itself is a mean of patches that overlap, and where they do not agree a tenth to a fifth of the
finest detail is lost. In 8 bits that is hardly a level; a picture of 16 bits or floats is stretched and lit later, and
there the fill would show as a smoother patch with fewer levels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from engine.canvas.boxes import Box, Wraps, opaque
from engine.canvas.light import Light

SIGMA = 0.7
"""Detail is what a Gaussian of this deviation in pixels takes away."""
LEAST, MOST = 1.03, 1.5
"""Detail is made stronger by so much at most; and not at all where it would be by less than the first."""
TILE, AROUND = 256, 16
"""Side of the tiles that are worked on, and how far beside the selected pixels in them is looked."""
SAMPLES = 4096
"""Places of a tile that its detail is told from, at most."""


@dataclass(frozen=True)
class _Tile:
    """Part of a picture, gone on with across its borders where it wraps.

    Attributes:
        rows, columns: (h,), (w,) where it lies.
        core: (h, w) bool, selected pixels of no other tile.
        inside, beside: (h, w) bool, selected and known ones.
        values, detail: (h, w, 3) float32, as a model sees them.
    """

    rows: np.ndarray
    columns: np.ndarray
    core: np.ndarray
    inside: np.ndarray
    beside: np.ndarray
    values: np.ndarray
    detail: np.ndarray


def regrained(
    fill: np.ndarray, region: Box, image: np.ndarray, selected: np.ndarray, light: Light, wraps: Wraps
) -> np.ndarray:
    """A fill with its detail made as strong as that of known pixels near by, if it is weaker.

    Strength is the median deviation, or the mean where that says less: stars and lamps are no grain.

    Args:
        fill: (region.height, region.width, 3) float32 in the picture's unit.
        image, selected: (H, W, 4) and (H, W), in which ``region`` lies.
    """
    inside: list[np.ndarray] = []
    beside: list[np.ndarray] = []
    for tile in _tiles(fill, region, image, selected, light, wraps):
        for flags, found in ((tile.inside, inside), (tile.beside, beside)):
            strength = np.abs(tile.detail[flags]).reshape(-1)
            found.append(strength[:: -(-len(strength) // SAMPLES) or 1])
    here, there = np.concatenate(inside), np.concatenate(beside)
    if not len(there) or not np.median(here) > 0:
        return fill
    gain = min(float(np.median(there) / np.median(here)), float(there.mean() / here.mean()), MOST)
    if gain < LEAST:
        return fill
    out = fill.copy()
    for tile in _tiles(fill, region, image, selected, light, wraps):
        rows, columns = np.nonzero(tile.core)
        values = tile.values[rows, columns] + (gain - 1) * tile.detail[rows, columns]
        place = tile.rows[rows] - region.y, tile.columns[columns] - region.x
        out[place] = light.decoded((values[None] + 1) / 2)[0]
    return out


def _tiles(
    fill: np.ndarray, region: Box, image: np.ndarray, selected: np.ndarray, light: Light, wraps: Wraps
) -> Iterator[_Tile]:
    height, width = selected.shape
    for top in range(region.y, region.y + region.height, TILE):
        for left in range(region.x, region.x + region.width, TILE):
            if not selected[top : top + TILE, left : left + TILE].any():
                continue
            rows, columns = _around(top, height, wraps[0]), _around(left, width, wraps[1])
            place = np.ix_(rows, columns)
            part, inside = image[place], selected[place] > 0
            known = ~inside & opaque(part)
            values = light.encoded(part[..., :3])
            y, x = np.nonzero(inside)
            values[y, x] = light.encoded(fill[rows[y] - region.y, columns[x] - region.x][None])[0]
            weight = (inside | known).astype(np.float32)
            share, colour = (cv2.GaussianBlur(each, (0, 0), SIGMA) for each in (weight, values * weight[..., None]))
            detail = values - colour / np.maximum(share, 1e-6)[..., None]
            near = cv2.dilate(inside.astype(np.uint8), np.ones((2 * AROUND + 1,) * 2, np.uint8)) > 0
            core = inside & _within(rows, top)[:, None] & _within(columns, left)
            yield _Tile(rows, columns, core, inside, known & near, values, detail)


def _around(start: int, length: int, wraps: bool) -> np.ndarray:
    """Rows or columns of a tile with what lies around it."""
    if wraps:
        return np.arange(start - AROUND, start + min(TILE, length - start) + AROUND) % length
    return np.arange(max(0, start - AROUND), min(length, start + TILE + AROUND))


def _within(places: np.ndarray, start: int) -> np.ndarray:
    return (places >= start) & (places < start + TILE)
