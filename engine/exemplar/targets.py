"""The patches over what an octave paints, and the pixels that they vote for."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engine.canvas import Wraps
from engine.exemplar.patch import SIDE, all_under

DENSE_BELOW = 500
STRIDE = 2
"""Patches begin at every other row and column, and at every pixel where fewer pixels than that are to be painted."""
RING = 4
"""Known pixels around the area that are estimated, too, so that it is known what is missed."""


@dataclass(frozen=True)
class Targets:
    """The patches over what is to be painted, on a grid, and the pixels that they vote for; all on the canvas.

    Attributes:
        top, left: (G,) int32, where they begin.
        near: (G, 8) int32, numbers of the neighbours on the grid, −1 where there is none.
        number: (grid rows, grid columns) int32, of the target there; −1 where there is none.
        starts: first rows, first columns of the grid.
        rows, columns: (M,) int32, the pixels to paint and known ones close by.
        inside: (M,) bool, which are to be painted.
        over_row, over_column: (h, C), (w, C) int32, which rows and columns of the grid lie over each row and column of
            the canvas, −1 to fill up.
    """

    top: np.ndarray
    left: np.ndarray
    near: np.ndarray
    number: np.ndarray
    starts: tuple[np.ndarray, np.ndarray]
    rows: np.ndarray
    columns: np.ndarray
    inside: np.ndarray
    over_row: np.ndarray
    over_column: np.ndarray

    @classmethod
    def of(cls, wanted: np.ndarray, known: np.ndarray, on_canvas: np.ndarray, wraps: Wraps) -> Targets:
        """Over what is ``wanted``, (h, w) bool as ``known``; ``on_canvas``: the same with its repetition."""
        stride = 1 if np.count_nonzero(wanted) < DENSE_BELOW else STRIDE
        starts, covers = zip(
            *(_grid(length, stride, wrapped) for length, wrapped in zip(wanted.shape, wraps, strict=True)),
            strict=True,
        )
        touched = ~all_under(~on_canvas, beyond=True)
        grid_row, grid_column = np.nonzero(touched[np.ix_(*starts)])
        number = np.full([len(start) for start in starts], -1, np.int32)
        number[grid_row, grid_column] = np.arange(len(grid_row))
        near = np.full((len(grid_row), 8), -1, np.int32)
        around = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]
        for k, (down, right) in enumerate(around):
            row, column, there = grid_row + down, grid_column + right, np.ones(len(grid_row), bool)
            for places, count, wrapped in (
                (row, number.shape[0], wraps[0]),
                (column, number.shape[1], wraps[1]),
            ):
                there &= wrapped or (places >= 0) & (places < count)
            near[:, k] = np.where(there, number[row % number.shape[0], column % number.shape[1]], -1)
        ring = cv2.dilate(wanted.astype(np.uint8), np.ones((2 * RING + 1, 2 * RING + 1), np.uint8)) > 0
        ring &= wanted | known
        rows, columns = (each.astype(np.int32) for each in np.nonzero(ring))
        return cls(
            starts[0][grid_row].astype(np.int32),
            starts[1][grid_column].astype(np.int32),
            near,
            number,
            (starts[0], starts[1]),
            rows,
            columns,
            wanted[rows, columns],
            covers[0],
            covers[1],
        )


def _grid(length: int, stride: int, wraps: bool) -> tuple[np.ndarray, np.ndarray]:
    """Where patches begin along one side, and (length, C) which of them lie over each pixel, −1 to fill up."""
    if wraps:
        starts = np.arange(0, length, stride)
    else:
        starts = np.unique(np.append(np.arange(0, length - SIDE + 1, stride), length - SIDE))
    lists: list[list[int]] = [[] for _ in range(length)]
    for k, start in enumerate(starts):
        for place in range(start, start + SIDE):
            lists[place % length].append(k)
    most = max(len(each) for each in lists)
    return starts, np.array([each + [-1] * (most - len(each)) for each in lists], np.int32)
