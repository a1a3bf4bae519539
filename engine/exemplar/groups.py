"""Which source patches the coarsest octave's targets are compared with, all with all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from engine.canvas import Box, grown
from engine.exemplar.patch import SIDE, patches

if TYPE_CHECKING:
    from engine.exemplar.octaves import Octave

LEAST_SOURCES = 64
"""Source patches at the coarsest octave, at least; where there are fewer the run begins at a finer one."""
MOST_PAIRS = 400_000
"""Pairs of targets and source patches that are compared in a call of the coarsest octave; where there are more
patches, some of them are taken, evenly spread."""
NEARNESS = 10.0
"""What speaks against a source patch of the coarsest octave for lying far away, in nats at one side of a square of the
area to be painted (a Gaussian prior): what belongs together in a photograph is seldom far apart."""
REACH = 3.0
"""How far away these may be on an atlas, in sides of a square of a place's pixels to paint: :data:`NEARNESS` rules out
others."""


@dataclass(frozen=True)
class Group:
    """Targets that are compared with the same source patches at the coarsest octave.

    Attributes:
        targets: (G,), their numbers.
        rows, columns: (S,), where the source patches begin.
        stock: (S, 3 · SIDE²), these.
        squares: (S, SIDE²) of them, summed over the colours.
        farness: (G, S), nats against each source patch for each target.
    """

    targets: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    stock: torch.Tensor
    squares: torch.Tensor
    farness: torch.Tensor


def groups(octave: Octave) -> list[Group]:
    """All targets with all source patches; of an atlas, those of each place with the sources there."""
    rows, columns = np.nonzero(octave.usable)
    count, atlas = len(octave.targets.top), octave.atlas
    most = max(LEAST_SOURCES, MOST_PAIRS // count)
    if atlas is None:
        return [_group(octave, np.arange(count), rows, columns, len(octave.rows), most)]
    whole = Box(0, 0, octave.shape[1], octave.shape[0])
    of_pixel = atlas.number[octave.rows + octave.box.y, octave.columns + octave.box.x]
    out = []
    for number in np.unique(octave.target_place).tolist():
        targets, painted = np.flatnonzero(octave.target_place == number), int((of_pixel == number).sum())
        top, left = octave.targets.top[targets] + octave.box.y, octave.targets.left[targets] + octave.box.x
        begins = Box(int(left.min()), int(top.min()), int(np.ptp(left)) + 1, int(np.ptp(top)) + 1)
        near, seen = grown(begins, round(REACH * math.sqrt(painted)) + SIDE, whole), atlas.seen(number)
        y, x = max(seen.y, near.y), max(seen.x, near.x)
        bottom, right = min(seen.y + seen.height, near.y + near.height), min(seen.x + seen.width, near.x + near.width)
        here = np.nonzero(octave.usable[y:bottom, x:right])
        enough = len(here[0]) >= LEAST_SOURCES
        own = (here[0] + y, here[1] + x) if enough else (rows, columns)
        out.append(_group(octave, targets, own[0], own[1], max(1, painted), most))
    return out


def _group(
    octave: Octave, targets: np.ndarray, rows: np.ndarray, columns: np.ndarray, painted: int, most: int
) -> Group:
    """With at most so many of these sources, evenly spread; ``painted``: pixels to paint, by which farness counts."""
    if len(rows) > most:
        chosen = np.linspace(0, len(rows) - 1, most).astype(int)
        rows, columns = rows[chosen], columns[chosen]
    stock = patches(octave.source, rows, columns)
    squares = stock.view(len(stock), 3, -1).square().sum(1)
    farness = torch.zeros(())
    begins = octave.targets.top[targets] + octave.box.y, octave.targets.left[targets] + octave.box.x
    for begin, source, period in zip(begins, (rows, columns), octave.periods, strict=True):
        apart = np.abs(begin[:, None] - source[None]).astype(np.float32)
        if period:
            apart = np.minimum(apart, float(period) - apart)
        farness = farness + torch.from_numpy(apart).square()
    return Group(targets, rows, columns, stock, squares, farness * (NEARNESS / painted))
