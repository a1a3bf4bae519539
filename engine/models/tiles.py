"""An autoencoder's work in overlapping tiles, blended, for pictures that do not fit into memory at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import torch

Place = tuple[slice, slice]
"""Rows and columns."""

OVERLAP_SHARE = 4
"""Tiles overlap by a quarter of their side."""


def in_tiles(work: Callable[[Place], torch.Tensor], cells: tuple[int, int], side: int, out: int) -> torch.Tensor:
    """``work`` on tiles of at most ``side`` cells a side, put together with smooth weights: (1, K, h · out, w · out).

    Args:
        work: a tile's cells → (1, K, …) of it, ``out`` elements per cell along each side.
        cells: (h, w) in all.
    """
    total: torch.Tensor | None = None
    weights = torch.zeros(cells[0] * out, cells[1] * out)
    for y, x in product(_starts(cells[0], side), _starts(cells[1], side)):
        where = slice(y, min(y + side, cells[0])), slice(x, min(x + side, cells[1]))
        part = work(where)
        if total is None:
            total = part.new_zeros(1, part.shape[1], *weights.shape)
        rows, columns = (_ramp(each, length, side, out) for each, length in zip(where, cells, strict=True))
        weight = torch.outer(rows, columns)
        inside = times(where, out)
        total[(..., *inside)] += part * weight.to(part.device)
        weights[inside] += weight
    assert total is not None
    return total / weights.to(total.device)


def times(where: Place, factor: int) -> Place:
    """The same place where a cell is ``factor`` elements a side."""
    rows, columns = (slice(each.start * factor, each.stop * factor) for each in where)
    return rows, columns


def _starts(length: int, side: int) -> list[int]:
    if length <= side:
        return [0]
    overlap = side // OVERLAP_SHARE
    count = math.ceil((length - overlap) / (side - overlap))
    return [round(i * (length - side) / (count - 1)) for i in range(count)]


def _ramp(where: slice, length: int, side: int, out: int) -> torch.Tensor:
    """1 inside, rising over the overlap on the ends that have a neighbour."""
    size = (where.stop - where.start) * out
    rise = ((torch.arange(size) + 0.5) / max(side // OVERLAP_SHARE * out, 1)).clamp(max=1.0)
    ones = torch.ones(size)
    return torch.minimum(rise if where.start > 0 else ones, rise.flip(0) if where.stop < length else ones)
