"""Nearest patches by remembering and guessing, and the pictures that they vote for: the exemplar model's finer octaves.

Each target patch remembers the place of the source that suits it best. A round compares it with this, with the places
by which it would go on with what its eight neighbours remember, and with random places at shrinking distances, and
keeps the best (PatchMatch, Barnes et al. 2009, doi 10.1145/1531326.1531330). So a call costs the same however many
sources there are. All targets look at what was remembered before the round, and random places are a hash of seed,
target and try: the result depends neither on an order nor on the number of threads.

The loops are written twice, and a test holds one against the other: for processors in
:mod:`engine.exemplar.matching_numba`, for CUDA in :mod:`engine.exemplar.matching_torch`, which also serves where numba
cannot be had (four to eight times slower).
"""

from __future__ import annotations

import logging
from importlib.util import find_spec

import numpy as np
import torch

log = logging.getLogger(__name__)

HAS_NUMBA = find_spec("numba") is not None
if not HAS_NUMBA:
    log.warning("numba is not installed: fills from the picture itself take several times as long")


def improve(
    canvas: np.ndarray,
    weights: np.ndarray,
    source: np.ndarray,
    usable: np.ndarray,
    contrast: np.ndarray,
    top: np.ndarray,
    left: np.ndarray,
    near: np.ndarray,
    periods: np.ndarray,
    gains: np.ndarray,
    places: np.ndarray,
    likings: np.ndarray,
    radius: int,
    seed: int,
    device: torch.device,
) -> np.ndarray:
    """One round: (G, 2) int32, the remembered places of all targets made better.

    Args:
        canvas: (C, h, w) float32, what is compared: known pixels as they are, the others as they are now.
        weights: (h, w) float32, of a pixel's squared difference.
        source: (C, H, W) float32.
        usable: (H, W) uint8, not 0 where a source patch may begin; targets keep to the kind of patch that they have.
        contrast: (H, W) float32, of the patch that begins there: the squared deviations from its mean colour, summed.
        top, left: (G,) int32, where targets begin on the canvas.
        near: (G, 8) int32, numbers of the neighbours, −1 where there is none.
        periods: (2,) int32, height and width of a periodic canvas, 0 along an axis where it is not.
        gains: (G,) float32, mean weight of what is painted, by which contrast counts.
        places: (G, 2) int32, row and column of the remembered places.
        likings: (3,) float32: the share of its distance that a place is forgiven if all neighbours would go on with it;
            of its contrast that is taken off its distance; and of the squared difference of the roots of its contrast
            and of that of the remembered place, which is added.
        radius: the largest distance of a random place.
        seed: of the random places, 0 … 2^32 − 1.
    """
    common = canvas, weights, source, usable, contrast, top, left, near, periods, gains, places, likings, radius
    if device.type == "cpu" and HAS_NUMBA:
        from engine.exemplar import matching_numba

        return matching_numba.improve(*common, np.uint32(seed))
    from engine.exemplar import matching_torch

    return matching_torch.improve(*common, seed, device)


def vote(
    source: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    over_row: np.ndarray,
    over_column: np.ndarray,
    number: np.ndarray,
    top: np.ndarray,
    left: np.ndarray,
    periods: np.ndarray,
    places: np.ndarray,
    weights: np.ndarray,
    window: np.ndarray,
    device: torch.device,
) -> np.ndarray:
    """(C + 1, N) float32: each pixel as the mean of what the patches over it are made of, and their weight, 0 if none.

    Args:
        source, top, left, periods, places: as of :func:`improve`.
        rows, columns: (N,) int32, the pixels on the canvas.
        over_row, over_column: (h, C), (w, C) int32, which rows and columns of the targets' grid lie over each row and
            column of the canvas; −1 to fill up.
        number: int32, the number of the target at each place of the grid, −1 where there is none.
        weights: (G,) float32, of a target's vote.
        window: (SIDE, SIDE) float32, how much a patch says about each of its pixels; where that is 0, a place may reach
            over the border of the source.
    """
    where = rows, columns, over_row, over_column, number, top, left, periods, places, weights, window
    if device.type == "cpu" and HAS_NUMBA:
        from engine.exemplar import matching_numba

        # Of three channels at a time; the last ones may be among those before.
        first = [*range(0, len(source) - 3, 3), len(source) - 3]
        parts = [matching_numba.vote(source[k : k + 3], *where) for k in first]
        if len(parts) == 1:
            return parts[0]
        out = np.empty((len(source) + 1, len(rows)), np.float32)
        for k, part in zip(first, parts, strict=True):
            out[k : k + 3], out[-1] = part[:3], part[3]
        return out
    from engine.exemplar import matching_torch

    return matching_torch.vote(source, *where, device)
