"""The detail of a deep picture's fill, as strong as it is beside it: the finest not weaker, none of it stronger.

A fill from the picture itself is a mean of patches that overlap, and where they do not agree a tenth to a fifth of the
finest detail is lost. In 8 bits that is hardly a level; a picture of 16 bits or floats is stretched and lit later, and
there the fill would show as a smoother patch with fewer levels. In a map that is extremely smooth, on the other hand,
with a relief of a few levels of 65535, the joints of pieces stand out that in a photograph are far below the noise.
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
"""Side of the tiles that are worked on, and how far beside the selected pixels in them detail is compared."""
MARGIN = 40
"""How far beside the tiles pixels are known to the blurs."""
SCALES = (1.0, 2.0, 4.0, 8.0)
"""Deviations in pixels between which the bands of detail lie that are not stronger than beside."""
CLEAR = 0.995
"""Share of a blur that is of known pixels, from which on a band says nothing of the fill."""
CALM, MANY, MOST_USUAL = 1.1, 75, 95
"""Bands of which the first percentage of the pixels has so many times as much as beside are limited to what the second
one has there. Stars and lamps are few."""
SMOOTH, THINGS = 0.01, 0.03
"""Limits of more than the first, of a range of 2, are none: the picture is not so smooth. Where there is
detail beyond about the second there are things, and what lies about them is kept."""
ROUNDS = 4
"""Bands are no more than nearly independent of each other."""
SAMPLES = 4096
"""Places of a tile that its detail is told from, at most."""


@dataclass(frozen=True)
class _Tile:
    """Part of a picture, gone on with across its borders where it wraps.

    Attributes:
        rows, columns: (h,), (w,) where it lies.
        core: (h, w) bool, selected pixels of no other tile.
        inside, known, beside: (h, w) bool, selected and known ones, and those near the former.
        values, detail: (h, w, 3) float32, as a model sees them.
    """

    rows: np.ndarray
    columns: np.ndarray
    core: np.ndarray
    inside: np.ndarray
    known: np.ndarray
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


def calmed(
    fill: np.ndarray, region: Box, image: np.ndarray, selected: np.ndarray, light: Light, wraps: Wraps
) -> np.ndarray:
    """A fill whose detail, band by band, is limited to what known pixels near by have, if it is stronger in the mean.

    Args:
        fill, region, image, selected: as of :func:`regrained`.
    """
    for _ in range(ROUNDS):
        limits = _limits(fill, region, image, selected, light, wraps)
        if min(limits) == np.inf:
            break
        out = fill.copy()
        for tile in _tiles(fill, region, image, selected, light, wraps):
            rows, columns = np.nonzero(tile.core)
            bands = list(_bands(tile))
            most = np.max([np.abs(band).max(2) for band in bands], axis=0)
            kept = cv2.dilate(np.where(tile.inside, most, np.float32(0)), np.ones((AROUND + 1,) * 2, np.uint8))
            share = 1 / (1 + (kept[rows, columns, None] / THINGS) ** 4)
            values = tile.values[rows, columns]
            for band, limit in zip(bands, limits, strict=True):
                own = band[rows, columns]
                values += share * (own.clip(-limit, limit) - own)
            place = tile.rows[rows] - region.y, tile.columns[columns] - region.x
            out[place] = light.decoded((values[None] + 1) / 2)[0]
        fill = out
    return fill


def _limits(
    fill: np.ndarray, region: Box, image: np.ndarray, selected: np.ndarray, light: Light, wraps: Wraps
) -> list[float]:
    """Limit of each band; infinite where it needs none."""
    strengths: list[tuple[list[np.ndarray], list[np.ndarray]]] = [([], []) for _ in SCALES]
    for tile in _tiles(fill, region, image, selected, light, wraps):
        for sigma, band, found in zip(SCALES, _bands(tile), strengths, strict=True):
            share = cv2.GaussianBlur(tile.known.astype(np.float32), (0, 0), 1.5 * sigma, borderType=cv2.BORDER_CONSTANT)
            clear = tile.known & (share > CLEAR)
            for flags, into in zip((tile.inside, clear), found, strict=True):
                strength = np.abs(band[flags]).reshape(-1)
                into.append(strength[:: -(-len(strength) // SAMPLES) or 1])
    limits = []
    for inside, beside in strengths:
        here, there = np.concatenate(inside), np.concatenate(beside)
        usual, there_usual = (np.percentile(each, MANY) if len(each) else np.inf for each in (here, there))
        limit = float(np.percentile(there, MOST_USUAL)) if usual > CALM * there_usual else np.inf
        limits.append(limit if limit < SMOOTH else np.inf)
    return limits


def _bands(tile: _Tile) -> Iterator[np.ndarray]:
    """(h, w, 3) each: what every one of :data:`SCALES` takes away from what the one before left."""
    weight, left = (tile.inside | tile.known).astype(np.float32), tile.values
    for sigma in SCALES:
        blurred = _blurred(tile.values, weight, sigma)
        blurred += _blurred(tile.values - blurred, weight, sigma)  # what curves slowly is no detail
        yield left - blurred
        left = blurred


def _blurred(values: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian mean of the pixels that have a weight."""
    share, colour = (cv2.GaussianBlur(each, (0, 0), sigma) for each in (weight, values * weight[..., None]))
    return colour / np.maximum(share, 1e-6)[..., None]


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
            detail = values - _blurred(values, (inside | known).astype(np.float32), SIGMA)
            near = cv2.dilate(inside.astype(np.uint8), np.ones((2 * AROUND + 1,) * 2, np.uint8)) > 0
            core = inside & _within(rows, top)[:, None] & _within(columns, left)
            yield _Tile(rows, columns, core, inside, known, known & near, values, detail)


def _around(start: int, length: int, wraps: bool) -> np.ndarray:
    """Rows or columns of a tile with what lies around it."""
    if wraps:
        return np.arange(start - MARGIN, start + min(TILE, length - start) + MARGIN) % length
    return np.arange(max(0, start - MARGIN), min(length, start + TILE + MARGIN))


def _within(places: np.ndarray, start: int) -> np.ndarray:
    return (places >= start) & (places < start + TILE)
