"""How much the seam of a tile shows."""

from __future__ import annotations

import numpy as np

from engine import canvas

LINES = range(8, 25)
"""How far from a border, in pixels, the lines lie that it is compared with."""
SHOWS_ABOVE = 1.1
"""Seam jump from which on a tile is painted again. Cuts through twelve photographed textures, where there is no seam,
have more in 22 % of all places: there a joint or an edge lies on the cut, and at a border that is where one looks."""


def tile_seam_jump(picture: np.ndarray, axis: str, new: np.ndarray | None = None) -> float:
    """The seam jump of a tile (H, W, C): mean absolute gradient across its borders, which meet when it repeats, over
    that along the parallel lines 8 … 24 px away on both sides.

    Args:
        axis: along which it repeats: ``x``, ``y``, or ``both`` for the seams of both together.
        new: (H, W) bool; where given, only the parts of the borders that something was painted at count, and of the
            control lines those beside them. 0 if there are none.
    """
    across: list[float] = []
    beside: list[float] = []
    for along, wrapped in enumerate(canvas.axes(axis)):
        length = picture.shape[along]
        near = [place for line in LINES if 2 * line < length for place in (line - 1, length - line - 1)]
        here = None if new is None else np.flatnonzero(np.take(new, [0, -1], along).any(axis=along))
        if wrapped and (here is None or len(here)):
            jumps = _jumps(picture if here is None else np.take(picture, here, 1 - along), along, [length - 1, *near])
            across.append(float(jumps[0]))
            beside.extend(jumps[1:])
    return float(np.mean(across or [0.0])) / max(float(np.mean(beside)) if beside else 0.0, 1e-6)


def _jumps(picture: np.ndarray, along: int, places: list[int]) -> np.ndarray:
    """Mean absolute gradient from each of these rows or columns to the next one, around the tile."""
    here, there = (
        np.take(picture, [place + step for place in places], along, mode="wrap").astype(np.float64) for step in (0, 1)
    )
    return np.abs(there - here).mean(axis=(2, 1 - along))
