"""What the fill of far-apart places can look at: cells around what is selected, where these are few.

The plug-ins send no more than this (`bridge_server/client/editor/apart.py` says the same with the standard library
alone, and a test compares both), and whoever has the whole picture looks at no more, so that both paint the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from engine.canvas.boxes import Box, bounds
from engine.canvas.splitting import FAR_APART, LEAST_AREA

CELL = 32
"""Pixels a side; the first cell begins where the box around the selection does."""
SPOT = 3
"""Cells a side of what is a spot, at most, with none that is full; 64 pixels around it will do, as for one alone."""
AROUND_SPOTS, AROUND_LINES, AROUND_MOST = 64, 200, 1131
"""Pixels that are looked at around a spot, around what is thin, and at most."""


@dataclass(frozen=True)
class _Cells:
    """Rows and columns of cells in which something is selected: bool, and in ``full`` ones everything is."""

    some: np.ndarray
    full: np.ndarray

    @classmethod
    def of(cls, selected: np.ndarray) -> _Cells:
        rows, columns = (-(-length // CELL) for length in selected.shape)
        padded = np.zeros((rows * CELL, columns * CELL), bool)
        padded[: selected.shape[0], : selected.shape[1]] = selected
        cells = padded.reshape(rows, CELL, columns, CELL)
        return cls(np.asarray(cells.any(axis=(1, 3))), np.asarray(cells.all(axis=(1, 3))))


def reached(selection: np.ndarray, within: Box, padding: int | None = None) -> list[Box] | None:
    """What is looked at, as boxes of the picture that do not overlap; None where that is more than half of ``within``,
    or that is small: then all of it is looked at.

    Args:
        selection: (H, W) uint8, with at least one pixel > 0.
        within: as of :func:`engine.canvas.surroundings`.
        padding: pixels looked at around each, in place of the usual.
    """
    area = within.width * within.height
    if area < LEAST_AREA:
        return None
    hole = bounds(selection)
    cells = _Cells.of(selection[hole.slices] > 0)
    if np.count_nonzero(cells.some) * CELL**2 > FAR_APART * area:
        return None
    mask, edge = _grown(cells, padding)
    found = []
    for box in _rectangles(mask):
        left, top = ((at - edge) * CELL + start for at, start in ((box.x, hole.x), (box.y, hole.y)))
        right, bottom = left + box.width * CELL, top + box.height * CELL
        left, top = max(left, within.x), max(top, within.y)
        right, bottom = min(right, within.x + within.width), min(bottom, within.y + within.height)
        if right > left and bottom > top:
            found.append(Box(left, top, right - left, bottom - top))
    return found if sum(box.width * box.height for box in found) <= FAR_APART * area else None


def only(picture: np.ndarray, boxes: list[Box]) -> np.ndarray:
    """(H, W, …): zeros but for these boxes."""
    out = np.zeros_like(picture)
    for box in boxes:
        out[box.slices] = picture[box.slices]
    return out


def _grown(cells: _Cells, padding: int | None) -> tuple[np.ndarray, int]:
    """Cells that are looked at, and how many more rows and columns there are on each side."""
    number, labels = cv2.connectedComponents(cells.some.astype(np.uint8), connectivity=8)
    by_margin: dict[int, np.ndarray] = {}
    rows, columns = np.nonzero(labels)
    order = np.argsort(labels[rows, columns], kind="stable")
    begins = np.searchsorted(labels[rows, columns][order], np.arange(1, number + 1))
    for first, end in pairwise(begins):
        mine = order[first:end]
        margin = -(-_around(rows[mine], columns[mine], cells.full, padding) // CELL)
        by_margin.setdefault(margin, np.zeros_like(cells.some))[rows[mine], columns[mine]] = True
    edge = max(by_margin)
    out = np.zeros([length + 2 * edge for length in cells.some.shape], np.uint8)
    for margin, own in by_margin.items():
        square = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
        out = np.maximum(out, cv2.dilate(np.pad(own.astype(np.uint8), edge), square))
    return out > 0, edge


def _around(rows: np.ndarray, columns: np.ndarray, full: np.ndarray, padding: int | None) -> int:
    """Pixels that are looked at around cells that touch each other."""
    if padding is not None:
        return padding
    solid = full[rows, columns]
    if solid.any():
        side = CELL * (2 + min(int(np.ptp(rows[solid])), int(np.ptp(columns[solid]))) + 1)
        return min(max(AROUND_LINES, 2 * side), AROUND_MOST)
    return AROUND_SPOTS if max(np.ptp(rows), np.ptp(columns)) < SPOT else AROUND_LINES


def _rectangles(mask: np.ndarray) -> list[Box]:
    """(H, W) bool as boxes: runs of a row, with the same ones of the rows below."""
    found, open_ = [], dict[tuple[int, int], int]()
    for y, row in enumerate([*mask, np.zeros(mask.shape[1], bool)]):
        edges = np.flatnonzero(np.diff(row, prepend=False, append=False)).tolist()
        runs = set(zip(edges[::2], edges[1::2], strict=True))
        for run in [run for run in open_ if run not in runs]:
            top = open_.pop(run)
            found.append(Box(run[0], top, run[1] - run[0], y - top))
        for run in runs:
            open_.setdefault(run, y)
    return found
