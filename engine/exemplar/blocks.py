"""The blocks of a few pixels that the exemplar model decides: where they lie, their neighbours and patches."""

from __future__ import annotations

from itertools import product

import torch
import torch.nn.functional as F

from engine.exemplar.sources import Sources

QUERIES = 512
"""Blocks that are compared at a time; bounds the memory."""
AROUND = tuple(offset for offset in product((-1, 0, 1), repeat=2) if offset != (0, 0))
"""The neighbours of a block: rows and columns of the grid."""


def neighbours(
    top: torch.Tensor, left: torch.Tensor, step: int, size: tuple[int, int], wraps: tuple[bool, bool]
) -> torch.Tensor:
    """(Q, 8) the numbers of the blocks :data:`AROUND` each block; −1 where there is none."""
    counts = [-(-length // step) for length in size]
    rows, columns = (places % length // step for places, length in zip((top, left), size, strict=True))
    grid = torch.full(counts, -1, device=top.device)
    grid[rows, columns] = torch.arange(len(top), device=top.device)
    out = []
    for offset in AROUND:
        inside, places = torch.ones_like(top, dtype=torch.bool), []
        for along, shift, count, length, wrapped in zip((rows, columns), offset, counts, size, wraps, strict=True):
            place = along + shift
            if not wrapped or length % step:
                inside &= (place >= 0) & (place < count)
            places.append(place % count)
        out.append(torch.where(inside, grid[places[0], places[1]], -1))
    return torch.stack(out, dim=1)


def parts(count: int) -> list[slice]:
    """So many blocks in parts of :data:`QUERIES`."""
    return [slice(first, first + QUERIES) for first in range(0, count, QUERIES)]


def block_weight(side: int, outer: int, beyond: float, device: torch.device) -> torch.Tensor:
    """(side, side) 1 for a block, and ``beyond`` for ``outer`` pixels around it."""
    ramp = torch.ones(side, device=device)
    if outer:
        ramp[:outer] = ramp[-outer:] = beyond
    return ramp[:, None] * ramp


def block_places(
    keep: torch.Tensor, step: int, wraps: tuple[bool, bool]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """First row and column of every block of the grid that holds something unknown, and whether it or one of its
    neighbours holds something known.

    Where the picture is periodic the first block lies across its border, so that no border of blocks runs along it.
    """
    down, right = (step // 2 if wrapped else 0 for wrapped in wraps)
    keep = torch.cat([keep[..., keep.shape[-2] - down :, :], keep], dim=-2)
    keep = torch.cat([keep[..., keep.shape[-1] - right :], keep], dim=-1)
    pad = (0, -keep.shape[-1] % step, 0, -keep.shape[-2] % step)
    unknown, known = F.max_pool2d(F.pad(1 - keep, pad), step)[0, 0], F.max_pool2d(F.pad(keep, pad), step)
    rows, columns = (unknown > 0).nonzero(as_tuple=True)
    beside = F.max_pool2d(known, 3, 1, 1)[0, 0] > 0
    return rows * step - down, columns * step - right, beside[rows, columns]


def patch_places(
    blocks: torch.Tensor, length: int, sources: Sources, wrapped: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Along one side: the patches by which blocks are decided. They have the block in their middle, but for those that
    would reach over the border: these lie inside, and the block is not in their middle.

    Args:
        blocks: (Q,), first row of each block.

    Returns:
        Which of the ``length`` rows make up the sheet that patches are taken from: all, gone on with from the other
        side where the picture is periodic, mirrored where it is smaller than a patch; (Q,) the first row of each
        patch on that sheet; (Q,) the first row of each block in its patch.
    """
    before = (sources.side - sources.step) // 2
    if wrapped:
        rows = torch.arange(-before - sources.step, length + sources.side, device=blocks.device) % length
        return rows, blocks + sources.step, torch.full_like(blocks, before)
    rows = torch.arange(max(length, sources.side), device=blocks.device)
    if length > 1:
        rows = (length - 1) - (rows % (2 * length - 2) - (length - 1)).abs()
    first = (blocks - before).clamp(0, len(rows) - sources.side)
    return rows.clamp(0, length - 1), first, blocks - first
