"""The loops of :mod:`engine.exemplar.matching` for processors: compiled by numba at their first call, kept on disk."""

from __future__ import annotations

import numba
import numpy as np

from engine.exemplar import texture
from engine.exemplar.patch import NEIGHBOURS, SIDE, TRIES

CHUNKS = 64
"""Parts that the targets are cut into for the threads: many more than threads, since parts take unequal times."""


@numba.njit(inline="always")
def _hash(a, b):
    """32 well-mixed bits of two numbers: the finaliser of MurmurHash3 (Austin Appleby, public domain)."""
    low = np.uint64(0xFFFFFFFF)  # numba multiplies 32-bit numbers as 64-bit ones
    h = (np.uint64(a) * np.uint64(0x9E3779B1) ^ np.uint64(b) * np.uint64(0x85EBCA77)) & low
    h = ((h ^ (h >> np.uint64(16))) * np.uint64(0x85EBCA6B)) & low
    h = ((h ^ (h >> np.uint64(13))) * np.uint64(0xC2B2AE35)) & low
    return h ^ (h >> np.uint64(16))


@numba.njit(inline="always")
def _apart(here, there, period):
    """How far ``here`` lies from ``there``, the short way round where the picture is periodic (``period`` > 0)."""
    d = here - there
    if period > 0:
        if 2 * d > period:
            d -= period
        elif 2 * d < -period:
            d += period
    return d


@numba.njit(fastmath=True, inline="always")
def _distance(query, weight, source, row, column):
    total = np.float32(0)
    for a in range(SIDE):
        for b in range(SIDE):
            e = query[a, b] - source[row + a, column + b]
            total += weight[a, b] * e * e
    return total


def _improving(constant):
    """The loop for so many channels, known while it is compiled; 0: for any number."""

    @numba.njit(fastmath=True, parallel=True, cache=True)
    def improve(
        canvas, weights, source, usable, contrast, top, left, near, periods, gains, places, likings, radius, seed
    ):
        """As :func:`engine.exemplar.matching.improve`."""
        channels = constant or len(source)
        coherence, liveliness, steadiness = likings
        count = len(top)
        height, width = usable.shape
        out = np.empty((count, 2), np.int32)
        for chunk in numba.prange(CHUNKS):
            query = np.empty((channels, SIDE, SIDE), np.float32)
            weight = np.empty((SIDE, SIDE), np.float32)
            offered = np.empty((NEIGHBOURS, 2), np.int32)
            for g in range(chunk * count // CHUNKS, (chunk + 1) * count // CHUNKS):
                for a in range(SIDE):
                    for b in range(SIDE):
                        y, x = top[g] + a, left[g] + b
                        for c in range(channels):
                            query[c, a, b] = canvas[c, y, x]
                        weight[a, b] = weights[y, x]
                for k in range(NEIGHBOURS):
                    n = near[g, k]
                    offered[k, 0] = offered[k, 1] = -1
                    if n >= 0:
                        offered[k, 0] = places[n, 0] + _apart(top[g], top[n], periods[0])
                        offered[k, 1] = places[n, 1] + _apart(left[g], left[n], periods[1])
                least, best_row, best_column = np.float32(np.inf), places[g, 0], places[g, 1]
                kind, rough = usable[best_row, best_column], np.sqrt(contrast[best_row, best_column])
                for k in range(1 + NEIGHBOURS + TRIES):
                    if k == 0:
                        row, column = places[g, 0], places[g, 1]
                    elif k <= NEIGHBOURS:
                        row, column = offered[k - 1, 0], offered[k - 1, 1]
                    else:
                        reach = radius >> (2 * (k - 1 - NEIGHBOURS))
                        if reach < 1:
                            break
                        bits = _hash(seed, g * TRIES + k)
                        row = best_row + np.int32(bits & np.uint64(0xFFFF)) % (2 * reach + 1) - reach
                        column = best_column + np.int32(bits >> np.uint64(16)) % (2 * reach + 1) - reach
                    if k > 0:
                        if row == best_row and column == best_column:
                            continue
                        if row < 0 or column < 0 or row >= height or column >= width or usable[row, column] != kind:
                            continue
                    agree, again = 0, False
                    for n in range(NEIGHBOURS):
                        same = offered[n, 0] == row and offered[n, 1] == column
                        agree += same
                        again |= same and n + 1 < k
                    if again:  # compared when another neighbour offered it
                        continue
                    share = np.float32(1) - coherence * np.float32(agree) / np.float32(NEIGHBOURS)
                    other = np.sqrt(contrast[row, column]) - rough
                    bonus = gains[g] * (liveliness * contrast[row, column] - steadiness * other * other)
                    d = np.float32(0)
                    for c in range(channels):
                        d += _distance(query[c], weight, source[c], row, column)
                        if share * d - bonus >= least:  # and it only grows
                            break
                    d = share * d - bonus
                    if d < least:
                        least, best_row, best_column = d, row, column
                out[g, 0], out[g, 1] = best_row, best_column
        return out

    return improve


_of_any = _improving(0)
_LOOPS = {channels: _improving(channels) for channels in (3, 3 + texture.CHANNELS)}
"""For colours, and for colours with texture (:mod:`engine.exemplar.texture`)."""


def improve(canvas, weights, source, *others):
    """As :func:`engine.exemplar.matching.improve`."""
    return _LOOPS.get(len(source), _of_any)(canvas, weights, source, *others)


@numba.njit(fastmath=True, parallel=True, cache=True)
def vote(source, rows, columns, over_row, over_column, number, top, left, periods, places, weights, window):
    """As :func:`engine.exemplar.matching.vote`."""
    out = np.zeros((4, len(rows)), np.float32)
    for n in numba.prange(len(rows)):
        red, green, blue, total = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for i in over_row[rows[n]]:
            if i < 0:
                break
            for j in over_column[columns[n]]:
                if j < 0:
                    break
                g = number[i, j]
                if g < 0:
                    continue
                a, b = rows[n] - top[g], columns[n] - left[g]
                if a < 0:
                    a += periods[0]
                if b < 0:
                    b += periods[1]
                w = window[a, b] * weights[g]
                if w == 0:
                    continue
                row, column = places[g, 0] + a, places[g, 1] + b
                red += w * source[0, row, column]
                green += w * source[1, row, column]
                blue += w * source[2, row, column]
                total += w
        if total > 0:
            out[0, n], out[1, n], out[2, n], out[3, n] = red / total, green / total, blue / total, total
    return out
