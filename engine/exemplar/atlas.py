"""Places that lie far apart in a picture, side by side on a small one, an atlas, which octaves are painted on as on any
other picture. Between them lies what is neither known nor to be painted.

A long thin selection is cut into places, too. Around each of them lies a part of its neighbours: on the atlas these
pixels are *copies* of pixels that are painted elsewhere on it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from engine.canvas import Box, Place, grown
from engine.exemplar.patch import SIDE


@dataclass(frozen=True)
class Atlas:
    """The layout, at one octave; every octave has half the lengths of the next finer one.

    Attributes:
        places: in the picture.
        tops, lefts: where on the atlas what each place sees begins.
        shape: (height, width) of the atlas.
        align: a power of two, of which all lengths are multiples.
    """

    places: list[Place]
    tops: list[int]
    lefts: list[int]
    shape: tuple[int, int]
    align: int

    @classmethod
    def of(cls, places: list[Place], align: int) -> Atlas:
        """Places in rows, the highest first."""
        width = max(place.seen.width for place in places)
        width = max(width, math.isqrt(sum(place.seen.width * place.seen.height for place in places)))
        order = sorted(range(len(places)), key=lambda k: (-places[k].seen.height, k))
        tops, lefts = [0] * len(places), [0] * len(places)
        top = left = height = right = 0
        for k in order:
            seen = places[k].seen
            if left and left + seen.width > width:
                top, left, height = top + height + align, 0, 0
            tops[k], lefts[k] = top, left
            left, height = left + seen.width + align, max(height, seen.height)
            right = max(right, left - align)
        return cls(places, tops, lefts, (top + height, right), align)

    def coarser(self) -> Atlas:
        """The same at half the scale."""
        seen = [replace(place, seen=_halved(place.seen)) for place in self.places]
        tops, lefts = ([k // 2 for k in each] for each in (self.tops, self.lefts))
        return Atlas(seen, tops, lefts, (self.shape[0] // 2, self.shape[1] // 2), self.align // 2)

    def packed(self, picture: np.ndarray) -> np.ndarray:
        """What the places see of (H, W, …); 0 between them and beyond the picture."""
        out = np.zeros((*self.shape, *picture.shape[2:]), picture.dtype)
        for place, top, left in zip(self.places, self.tops, self.lefts, strict=True):
            part = picture[place.seen.slices]
            out[top : top + part.shape[0], left : left + part.shape[1]] = part
        return out

    def seen(self, number: int) -> Box:
        """On the atlas, the box of what a place sees."""
        return replace(self.places[number].seen, x=self.lefts[number], y=self.tops[number])

    def own(self, number: int) -> Box:
        """On the atlas, at the finest octave, the box of what a place paints."""
        own, seen = self.places[number].own, self.places[number].seen
        return replace(own, x=own.x - seen.x + self.lefts[number], y=own.y - seen.y + self.tops[number])

    def owned(self) -> np.ndarray:
        """(H, W) bool, at the finest octave: where one of :meth:`own` is."""
        out = np.zeros(self.shape, bool)
        for number in range(len(self.places)):
            out[self.own(number).slices] = True
        return out

    @cached_property
    def number(self) -> np.ndarray:
        """(H, W) int32, the place at each pixel, or that which a patch reaches that begins there; −1 where none is."""
        out = np.full(self.shape, -1, np.int32)
        for around in (SIDE, 0):
            for k, (place, top, left) in enumerate(zip(self.places, self.tops, self.lefts, strict=True)):
                end = top + place.seen.height + around, left + place.seen.width + around
                out[max(0, top - around) : end[0], max(0, left - around) : end[1]] = k
        return out

    def ids(self, rows: np.ndarray, columns: np.ndarray, number: np.ndarray) -> np.ndarray:
        """(N,) int64: one for each pixel of the picture; of pixels on the atlas that belong to a place, which may lie
        a little beyond it."""
        seen = [place.seen for place in self.places]
        down = np.array([box.y - top for box, top in zip(seen, self.tops, strict=True)], np.int64)
        right = np.array([box.x - left for box, left in zip(seen, self.lefts, strict=True)], np.int64)
        return ((rows + down[number]) << 32) + columns + right[number] + SIDE

    def closer(self, rows: np.ndarray, columns: np.ndarray, box: Box) -> tuple[Atlas, np.ndarray, np.ndarray]:
        """What is around these pixels of a box on the atlas, packed closer, and rows and columns on that of each."""
        found, part = np.unique(self.number[rows + box.y, columns + box.x], return_inverse=True)
        order = np.argsort(part, kind="stable")
        begins = np.flatnonzero(np.diff(part[order], prepend=-1))
        top, bottom, left, right = (
            extreme.reduceat(along[order], begins).tolist()
            for along in (rows, columns)
            for extreme in (np.minimum, np.maximum)
        )
        boxes = []
        for k, number in enumerate(found.tolist()):
            seen, own = self.seen(number), Box(left[k], top[k], right[k] - left[k] + 1, bottom[k] - top[k] + 1)
            boxes.append(grown(own, 1, replace(seen, x=seen.x - box.x, y=seen.y - box.y)))
        sheet = Atlas.of([Place(box, box) for box in boxes], SIDE)
        down, across = (
            np.array([to - start for to, start in zip(tos, starts, strict=True)])
            for tos, starts in ((sheet.tops, [box.y for box in boxes]), (sheet.lefts, [box.x for box in boxes]))
        )
        return sheet, rows + down[part], columns + across[part]

    def strips(self, area: int) -> list[slice]:
        """Its rows in parts of about that many pixels, between which no place lies."""
        out, first = [], 0
        for top in [*sorted(set(self.tops))[1:], self.shape[0]]:
            if (top - first) * self.shape[1] >= area or top == self.shape[0]:
                out.append(slice(first, top))
                first = top
        return out

    def reached(self, top: np.ndarray, left: np.ndarray) -> np.ndarray:
        """(G,) int32, the place of each patch that begins there: that of its first pixel on one."""
        found = self.number[top + SIDE // 2, left + SIDE // 2]
        for down, right in ((0, 0), (0, SIDE - 1), (SIDE - 1, 0), (SIDE - 1, SIDE - 1)):
            found = np.where(found < 0, self.number[top + down, left + right], found)
        return found

    def twins(self, top: np.ndarray, left: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of these patches, of places ``number``, are on the picture what one before them is, and which one."""
        ids = self.ids(top, left, number)
        others = _first_of(ids, ids)
        twins = np.flatnonzero(others != np.arange(len(ids)))
        return twins, others[twins]

    def copies(
        self, unknown: np.ndarray, box: Box, rows: np.ndarray, columns: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows and columns of the pixels that are ``unknown``, (h, w) bool in a box, and are painted elsewhere in it;
        and which of the painted ones, ``rows`` and ``columns``, these are."""
        number = self.number[box.slices]
        row, column = np.nonzero(unknown[: number.shape[0], : number.shape[1]] & (number >= 0))
        mine = self.ids(rows + box.y, columns + box.x, number[rows, columns])
        found = _first_of(self.ids(row + box.y, column + box.x, number[row, column]), mine)
        there = found >= 0
        return row[there], column[there], found[there]

    @property
    def side(self) -> int:
        """The longest of what a place sees."""
        return max(max(place.seen.width, place.seen.height) for place in self.places)


def _halved(box: Box) -> Box:
    return Box(box.x // 2, box.y // 2, box.width // 2, box.height // 2)


def _first_of(ids: np.ndarray, among: np.ndarray) -> np.ndarray:
    """For each of ``ids`` the number of the first equal one ``among`` others, −1 where there is none."""
    order = np.argsort(among, kind="stable")
    at = np.searchsorted(among[order], ids)
    found = order[np.minimum(at, len(order) - 1)]
    return np.where(among[found] == ids, found, -1)
