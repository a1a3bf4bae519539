"""The loops of :mod:`engine.exemplar.matching` in torch: for CUDA, and for Pythons and processors without numba.

The same rounds with the same random places: what differs is the order in which floating-point numbers are added. All
targets of a part are compared with all their candidates at once.
"""

from __future__ import annotations

import numpy as np
import torch

from engine.exemplar.patch import NEIGHBOURS, SIDE, TRIES

PART = 4096
"""Targets that are looked at together; bounds the memory: 10 KB for each target and candidate."""
MASK = 0xFFFFFFFF


def _hash(a: int, b: torch.Tensor) -> torch.Tensor:
    """As :func:`engine.exemplar.matching_numba._hash`, in 64-bit numbers of which the low half counts."""

    def times(x: torch.Tensor, factor: int) -> torch.Tensor:
        low, high = factor & 0xFFFF, factor >> 16
        return (x * low + (((x * high) & 0xFFFF) << 16)) & MASK

    h = (a * 0x9E3779B1 & MASK) ^ times(b, 0x85EBCA77)
    h = times(h ^ (h >> 16), 0x85EBCA6B)
    h = times(h ^ (h >> 13), 0xC2B2AE35)
    return h ^ (h >> 16)


def _apart(here: torch.Tensor, there: torch.Tensor, period: int) -> torch.Tensor:
    d = here - there
    if period:
        d = torch.where(2 * d > period, d - period, torch.where(2 * d < -period, d + period, d))
    return d


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
    """As :func:`engine.exemplar.matching.improve`."""
    given = canvas, weights, source, usable, contrast, top, left, near, gains, places
    seen, heavy, stock, may, lively, down, right, beside, worth, old = (
        torch.from_numpy(each).to(device) for each in given
    )
    height, width = usable.shape
    coherence, liveliness, steadiness = map(float, likings)
    corner = torch.stack([down, right], 1).long()
    old = old.long()
    out = torch.empty_like(old)
    for first in range(0, len(top), PART):
        g = torch.arange(first, min(first + PART, len(top)), device=seen.device)
        n = beside[g].long()
        shift = torch.stack([_apart(corner[g, None, axis], corner[n, axis], int(periods[axis])) for axis in (0, 1)], -1)
        offered = torch.where(n[..., None] >= 0, old[n] + shift, -1)  # (P, 8, 2)
        query, weight = _patches(seen, corner[g]), _patches(heavy[None], corner[g]).repeat(1, len(seen))
        best, least = old[g], torch.full((len(g),), torch.inf, device=seen.device)
        for turn in range(2 + TRIES):
            if turn == 0:
                candidates = old[g][:, None]
            elif turn == 1:
                candidates = offered
            else:
                reach = radius >> (2 * (turn - 2))
                if reach < 1:
                    break
                bits = _hash(int(seed), g * TRIES + NEIGHBOURS + turn - 1)
                away = torch.stack([bits & 0xFFFF, bits >> 16], -1) % (2 * reach + 1) - reach
                candidates = (best + away)[:, None]
            inside = (candidates >= 0).all(-1) & (candidates[..., 0] < height) & (candidates[..., 1] < width)
            safe = torch.where(inside[..., None], candidates, 0)
            kind = may[old[g, 0], old[g, 1]][:, None]
            good = inside & ((may[safe[..., 0], safe[..., 1]] == kind) | (turn == 0))
            safe = torch.where(good[..., None], safe, old[g][:, None])
            other = _patches(stock, safe.reshape(-1, 2)).view(*safe.shape[:2], -1)
            d = (weight[:, None] * (query[:, None] - other).square()).sum(-1)
            agree = (offered[:, None] == candidates[:, :, None]).all(-1).sum(-1)
            there, before = lively[safe[..., 0], safe[..., 1]], lively[old[g, 0], old[g, 1]][:, None]
            bonus = liveliness * there - steadiness * (there.sqrt() - before.sqrt()).square()
            d = d * (1 - coherence * agree / NEIGHBOURS) - worth[g, None] * bonus
            d = torch.where(good, d, torch.inf)
            low = d.min(1)
            nearer = low.values < least
            best = torch.where(nearer[:, None], candidates[torch.arange(len(g), device=g.device), low.indices], best)
            least = torch.where(nearer, low.values, least)
        out[g] = best
    return out.to(torch.int32).cpu().numpy()


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
    """As :func:`engine.exemplar.matching.vote`."""
    given = source, rows, columns, over_row[rows], over_column[columns], number, top, left, places, weights, window
    stock, row, column, i, j, numbers, down, right, where, trust, shape = (
        torch.from_numpy(each).to(device) for each in given
    )
    sums, total = torch.zeros((len(stock), len(rows)), device=stock.device), torch.zeros(len(rows), device=stock.device)
    for k in range(i.shape[1]):
        for m in range(j.shape[1]):
            g = numbers[i[:, k].long(), j[:, m].long()].long()
            there = (i[:, k] >= 0) & (j[:, m] >= 0) & (g >= 0)
            a, b = row.long() - down[g], column.long() - right[g]
            a, b = torch.where(a < 0, a + int(periods[0]), a), torch.where(b < 0, b + int(periods[1]), b)
            a, b = torch.where(there, a, 0), torch.where(there, b, 0)
            w = torch.where(there, shape[a, b] * trust[g], 0)
            y, x = where[g, 0] + a, where[g, 1] + b
            sums += w * stock[:, y.clamp(max=stock.shape[1] - 1), x.clamp(max=stock.shape[2] - 1)]
            total += w
    return torch.cat([torch.where(total > 0, sums / total, 0), total[None]]).cpu().numpy()


def _patches(picture: torch.Tensor, corner: torch.Tensor) -> torch.Tensor:
    """(P, C · SIDE²) of (C, H, W): from each (row, column) on."""
    along = torch.arange(SIDE, device=picture.device)
    rows, columns = corner[:, 0, None, None] + along[:, None], corner[:, 1, None, None] + along
    return picture[:, rows, columns].permute(1, 0, 2, 3).reshape(len(corner), -1)
