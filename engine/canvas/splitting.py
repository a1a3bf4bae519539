"""Where a selection lies in many small or long thin places: the parts that it is cut into, so that what is looked at
follows the selected pixels and not the box around them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from engine.canvas.boxes import NO_WRAP, Box, distance_to_known, grown
from engine.canvas.planning import usual_surroundings

CELL = 32
"""Pixels a side of the cells between which a selection is cut, at least."""
FINE_SIDE, FINE_SURROUNDINGS = 16, 32
"""Width in pixels of what is so thin (dust, a wire) that so many pixels around it will do."""
WIDEST_CUT = 52
"""Width in pixels of what may be cut across, at most."""
CUT = 4096
"""Pixels that one more looked at counts for each cell that is cut across, so that small places stay whole."""
FAR_APART = 0.5
"""The places together have at most so much of what the box around all of them has; else they are one."""
LEAST_AREA = 512 * 512
"""Pixels of that box, at least."""
SMALL = 6
"""What has so many squares of the side of its margin is not cut."""
MOST_CUTS = 200
"""One within the other."""


@dataclass(frozen=True)
class Place:
    """A part of a selection.

    Attributes:
        own: what is selected in it belongs to this place; these boxes do not overlap.
        seen: ``own`` with what is looked at around it.
    """

    own: Box
    seen: Box


@dataclass(frozen=True)
class _Cells:
    """Cells in which something is selected, one an entry.

    Attributes:
        places: (2, N), row and column of the cell.
        first, last: (2, N), of the selected pixels in it, the last one not included.
        margin: (N,), what is looked at around them.
        crossed: (2, N), what a cut below and to the right of the cell costs.
    """

    places: np.ndarray
    first: np.ndarray
    last: np.ndarray
    margin: np.ndarray
    crossed: np.ndarray

    def of(self, which: np.ndarray | slice) -> _Cells:
        return _Cells(*(each[..., which] for each in (self.places, self.first, self.last, self.margin, self.crossed)))


def places(selected: np.ndarray, known: np.ndarray, align: int = 1, padding: int | None = None) -> list[Place]:
    """The places of what is selected, (H, W) bool; none where it is better painted in one piece.

    The picture is cut in two where that leaves the least to look at, and so on (a k-d tree), as long as it pays.

    Args:
        known: (H, W) bool; by the distance to it is told how wide a place is.
        padding: pixels looked at around each, in place of the usual.
        align: boxes begin at multiples of this, a power of two, and are as long; they may reach over the border.
    """
    height, width = selected.shape
    if height * width < LEAST_AREA or 8 * np.count_nonzero(selected) > height * width:
        return []
    whole = Box(0, 0, width, height)
    cells = _cells(selected, known, max(CELL, align))
    if padding is not None:
        cells = replace(cells, margin=np.full_like(cells.margin, padding))
    parts = _parted(cells, whole)[1]
    found = []
    for part in parts:
        (y, x), (bottom, right) = part.first.min(1).tolist(), part.last.max(1).tolist()
        own = Box(x, y, right - x, bottom - y)
        found.append(Place(own, _aligned(grown(own, int(part.margin.max()), whole), align)))
    area = sum(place.seen.width * place.seen.height for place in found)
    return found if len(found) > 1 and area <= FAR_APART * height * width else []


def _aligned(box: Box, to: int) -> Box:
    x, y = box.x // to * to, box.y // to * to
    return Box(x, y, -(-(box.x + box.width - x) // to) * to, -(-(box.y + box.height - y) // to) * to)


def _cells(selected: np.ndarray, known: np.ndarray, side: int) -> _Cells:
    pixels = np.stack(np.nonzero(selected))
    depth = distance_to_known(known, NO_WRAP, cv2.DIST_C)[pixels[0], pixels[1]]
    columns = -(-selected.shape[1] // side)
    number = pixels[0] // side * columns + pixels[1] // side
    order = np.argsort(number, kind="stable")
    pixels, number = pixels[:, order], number[order]
    begins = np.flatnonzero(np.diff(number, prepend=-1))
    width = 2 * np.maximum.reduceat(depth[order], begins).astype(int)
    margin = [
        FINE_SURROUNDINGS if each <= FINE_SIDE else usual_surroundings(Box(0, 0, each, each)) for each in width.tolist()
    ]
    crossed = []
    for axis in (0, 1):
        beyond = pixels.copy()
        beyond[axis] = np.minimum(beyond[axis] + 1, selected.shape[axis] - 1)
        goes_on = (pixels[axis] % side == side - 1) & selected[beyond[0], beyond[1]]
        cut = np.where(width > WIDEST_CUT, np.inf, CUT)
        crossed.append(np.where(np.maximum.reduceat(goes_on, begins), cut, 0))
    return _Cells(
        np.stack(np.divmod(number[begins], columns)),
        np.minimum.reduceat(pixels, begins, axis=1),
        np.maximum.reduceat(pixels, begins, axis=1) + 1,
        np.array(margin),
        np.stack(crossed),
    )


def _costs(cells: _Cells, whole: Box) -> np.ndarray:
    """(N,): pixels that the first 1, 2, … cells in one piece have to be looked at."""
    first, last = np.minimum.accumulate(cells.first, axis=1), np.maximum.accumulate(cells.last, axis=1)
    margin = np.maximum.accumulate(cells.margin)
    lengths = np.minimum(last + margin, [[whole.height], [whole.width]]) - np.maximum(first - margin, 0)
    area: np.ndarray = lengths[0] * lengths[1]
    return area


def _parted(cells: _Cells, whole: Box, cuts: int = 0) -> tuple[float, list[_Cells]]:
    """The least to look at, in pixels, and the parts that these cells are cut into for it."""
    alone = float(_costs(cells, whole)[-1])
    small = len(cells.margin) == 1 or alone <= SMALL * cells.margin.max() ** 2
    best = None if small or cuts == MOST_CUTS else _best_cut(cells, whole)
    if best is None:
        return alone, [cells]
    crossed, *halves = best
    here, there = (_parted(half, whole, cuts + 1) for half in halves)
    together = here[0] + there[0] + crossed
    return (together, here[1] + there[1]) if together < alone else (alone, [cells])


def _best_cut(cells: _Cells, whole: Box) -> tuple[float, _Cells, _Cells] | None:
    """What it costs by itself, and the cells on both sides of it; None where there is none."""
    best, least = None, np.inf
    for axis in (0, 1):
        ordered = cells.of(np.argsort(cells.places[axis], kind="stable"))
        begins = np.flatnonzero(np.diff(ordered.places[axis], prepend=-1))
        if len(begins) == 1:
            continue
        crossed = np.add.reduceat(ordered.crossed[axis], begins)[:-1]
        at = begins[1:]
        before, after = _costs(ordered, whole)[at - 1], _costs(ordered.of(np.s_[::-1]), whole)[::-1][at]
        total = before + after + crossed
        k = int(total.argmin())
        if total[k] < least:
            least = total[k]
            best = float(crossed[k]), ordered.of(np.s_[: at[k]]), ordered.of(np.s_[at[k] :])
    return best
