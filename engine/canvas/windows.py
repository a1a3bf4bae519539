"""Which windows of a model's picture are shown to the network."""

from __future__ import annotations

import math

import numpy as np

from engine.canvas.boxes import Box, Geometry

OVERLAP_SHARE = 4
"""Windows overlap by a quarter of their side."""
MARGIN = 8
"""A pixel that lies so far inside a window needs no other window."""


def windows(geometry: Geometry, unknown: np.ndarray, wraps: tuple[bool, bool]) -> tuple[Box, ...]:
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
