"""Shading that goes on where pieces of a picture from different places meet: a screened Poisson equation.

Pieces that were copied from lighter and darker places show their borders in smooth areas. The differences between
neighbouring pixels, copied like the pixels themselves, do not have these borders. A picture is sought whose differences
are these and whose pixels are near the copied ones (Pérez, Gangnet & Blake 2003, doi 10.1145/882262.882269; with both
terms: Darabi et al. 2012, Image Melding, doi 10.1145/2185520.2185578). It is found by conjugate gradients,
preconditioned by one cycle of multigrid over blocks of 2 × 2 pixels (Vaněk, Mandel & Brezina 1996).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

REACH = 64.0
"""Pixels over which a difference fades out where nothing else stops it."""
MOST = 0.05
"""Differences beyond about this, of a range of 2, are taken for borders of things and kept."""
DAMPING = 0.8
"""Weight of the new value in a Jacobi sweep."""
SWEEPS = 2
ITERATIONS = 4
LARGE = 3 << 20
"""Numbers sought, from which on memory counts."""
STRIP = 1 << 18
"""Pixels of the equation that are worked out together."""
OVERCORRECTION = 0.5
"""Weight of the edges of a coarser grid: differences that are constant in blocks are twice as steep as those they
stand for (Braess 1995)."""


@dataclass(frozen=True)
class Grid:
    """The equation diagonal · c + Σ weight · (c − c of the neighbour) = right side, on a grid of pixels.

    Attributes:
        diagonal: (H, W) float32, ≥ 0.
        down, across: (H, W) float32 ≥ 0, weights of the edges to the pixel below and to the right; those of the last
            row and column lead to the first ones and are 0 unless the picture wraps.
    """

    diagonal: np.ndarray
    down: np.ndarray
    across: np.ndarray

    def applied(self, c: np.ndarray) -> np.ndarray:
        """The left side for (H, W, C)."""
        out: np.ndarray = self.diagonal[..., None] * c
        for weight, axis in ((self.down, 0), (self.across, 1)):
            flow = weight[..., None] * (c - np.roll(c, -1, axis))
            out += flow
            out -= np.roll(flow, 1, axis)
        return out

    @property
    def _step(self) -> np.ndarray:
        """(H, W, 1): of a damped Jacobi sweep; 0 where nothing is sought."""
        total = self.diagonal + self.down + np.roll(self.down, 1, 0) + self.across + np.roll(self.across, 1, 1)
        return np.where(total > 0, DAMPING / np.maximum(total, 1e-12), 0)[..., None].astype(np.float32)

    def coarser(self) -> Grid:
        """The equation for values that are constant in blocks of 2 × 2 pixels."""
        down = _paired(_last(self.down, 0), 1) * OVERCORRECTION
        across = _paired(_last(self.across, 1), 0) * OVERCORRECTION
        return Grid(_paired(_paired(self.diagonal, 0), 1), down, across)

    def levels(self) -> list[tuple[Grid, np.ndarray]]:
        """This grid and coarser ones, each with its step."""
        out, grid = [], self
        while True:
            out.append((grid, grid._step))
            if min(grid.diagonal.shape) < 3:
                return out
            grid = grid.coarser()


def _paired(values: np.ndarray, axis: int) -> np.ndarray:
    """Sums of pairs along an axis; the last one alone where their number is odd."""
    sums: np.ndarray = np.add.reduceat(values, np.arange(0, values.shape[axis], 2), axis)
    return sums


def _last(values: np.ndarray, axis: int) -> np.ndarray:
    """The second of each pair along an axis; the last one where it is alone."""
    length = values.shape[axis]
    return values.take(np.minimum(np.arange(0, length, 2) + 1, length - 1), axis)


def _cycle(levels: list[tuple[Grid, np.ndarray]], right: np.ndarray) -> np.ndarray:
    """An approximate solution: sweeps, the rest on the coarser grids, sweeps."""
    grid, step = levels[0]
    c: np.ndarray = step * right
    sweeps = SWEEPS - 1 if len(levels) > 1 else 20
    for _ in range(sweeps):
        c += step * (right - grid.applied(c))
    if len(levels) == 1:
        return c
    rest = right - grid.applied(c)
    coarse = _cycle(levels[1:], _paired(_paired(rest, 0), 1))
    c += np.repeat(np.repeat(coarse, 2, 0), 2, 1)[: c.shape[0], : c.shape[1]] * (step > 0)
    for _ in range(SWEEPS):
        c += step * (right - grid.applied(c))
    return c


def changes(
    picture: np.ndarray,
    steps: Iterable[np.ndarray],
    cover: np.ndarray,
    wanted: np.ndarray,
    wraps: tuple[bool, bool],
) -> Iterator[np.ndarray]:
    """(H, W, C) float32, what to add to the pixels to paint, 0 elsewhere; it is the last one of these.

    Args:
        picture: (H, W, C) float32 in [−1, 1], painted.
        steps: (H, W, C) each, by how much the pixel below and the one to the right should differ from each pixel; the
            second is asked for when the first is done with.
        cover: (H, W) bool or float32, by how much known pixels count; 0 where unknown.
        wanted: (H, W) bool; what is neither is not looked at.
        wraps: (along y, along x): the picture is periodic.
    """
    height, width = wanted.shape
    right = np.zeros(picture.shape, np.float32)
    grid = Grid(wanted / np.float32(REACH**2), *(np.zeros((height, width), np.float32) for _ in range(2)))
    rows = max(1, STRIP // width)
    for axis, step in enumerate(steps):
        yield right
        for first in range(0, height, rows):
            part = slice(first, min(height, first + rows))
            _add_rows(grid, right, part, axis, picture, step, cover, wanted, wraps[axis])
        yield right
    right[~wanted] = 0
    grid.diagonal[~wanted] = 0
    yield from solutions(grid, right)


def _add_rows(
    grid: Grid,
    right: np.ndarray,
    rows: slice,
    axis: int,
    picture: np.ndarray,
    step: np.ndarray,
    cover: np.ndarray,
    wanted: np.ndarray,
    wrapped: bool,
) -> None:
    """Some rows of the equation of :func:`changes`, what differences along an axis add to it: memory is bounded by so
    many at a time."""
    # Down: from each row, and the one before these, to the next one.
    around = np.arange(rows.start - (axis == 0), rows.stop + (axis == 0)) % len(wanted)
    painted, here = picture[around], wanted[around]
    counts = np.where(here, np.float32(1), cover[around])
    now = slice(0, -1) if axis == 0 else slice(None)
    picture_there, there, counts_there = (
        each[1:] if axis == 0 else np.roll(each, -1, 1) for each in (painted, here, counts)
    )
    miss = step[around[now]] - (picture_there - painted[now])
    seen = np.minimum(counts[now], counts_there)
    if not wrapped and axis == 0:
        seen[around[now] == len(wanted) - 1] = 0
    elif not wrapped:
        seen[:, -1] = 0
    weight = seen / (1 + (np.abs(miss).max(2) / MOST) ** 4)
    flow = weight[..., None] * miss
    out, back = weight * (here[now] & ~there), weight * (there & ~here[now])
    edge = weight * (here[now] & there)
    if axis == 0:
        right[rows] += flow[:-1] - flow[1:]
        grid.diagonal[rows] += out[1:] + back[:-1]
        grid.down[rows] = edge[1:]
    else:
        right[rows] += np.roll(flow, 1, 1) - flow
        grid.diagonal[rows] += out + np.roll(back, 1, 1)
        grid.across[rows] = edge


def solutions(grid: Grid, right: np.ndarray, iterations: int = ITERATIONS) -> Iterator[np.ndarray]:
    """(H, W, C) float32 that solve the equation more and more nearly; 0 where nothing is sought. One array, which the
    next iteration changes; where it is large one channel after the other, in place of the right side, which takes less
    memory.

    Each channel goes its own way. Where there are maps all go that of a mixture of them, so that one that is a function
    of another stays one.
    """
    steps: list[Step] = []
    if right.shape[2] > 3:
        mixture = right @ (0.5 + np.arange(right.shape[2], dtype=np.float32) * np.float32(0.618) % 1)
        for _ in _solved(grid, mixture[..., None], iterations, record=steps):
            yield right
    if steps or (right.shape[2] > 1 and right.size > LARGE):
        for channel in range(right.shape[2]):
            one = slice(channel, channel + 1)
            solved = one_right = np.ascontiguousarray(right[..., one])
            for solved in _solved(grid, one_right, iterations, steps):  # noqa: B007
                yield right
            right[..., one] = solved
        yield right
        return
    yield from _solved(grid, right, iterations)


Step = tuple[np.ndarray, np.ndarray]
"""Of conjugate gradients: by how much the direction before goes on, and how far it is gone."""


def _solved(
    grid: Grid, right: np.ndarray, iterations: int, given: Sequence[Step] = (), record: list[Step] | None = None
) -> Iterator[np.ndarray]:
    """Conjugate gradients, with the steps that are ``given`` or with the best ones, which go into ``record``."""
    levels = grid.levels()
    c, rest = np.zeros_like(right), right.copy()
    direction, before = np.zeros_like(right), np.ones(right.shape[-1], np.float32)
    for k in range(iterations):
        better = _cycle(levels, rest)
        product = np.einsum("hwc,hwc->c", rest, better)
        kept = given[k][0] if given else product / np.maximum(before, 1e-20) * (k > 0)
        direction = better + kept * direction
        flow = grid.applied(direction)
        length = given[k][1] if given else product / np.maximum(np.einsum("hwc,hwc->c", direction, flow), 1e-20)
        if record is not None:
            record.append((kept, length))
        c += length * direction
        rest -= length * flow
        before = product
        yield c
