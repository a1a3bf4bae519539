"""Which sources the exemplar model's blocks are made of: what is seen gets its contrast back, sources are used evenly,
and neighbouring blocks draw each other to one place (:mod:`engine.exemplar.denoiser` tells why)."""

from __future__ import annotations

import torch

from engine.exemplar.blocks import AROUND, parts
from engine.exemplar.sources import Sources

COHERENCE = 0.5
"""By which share of its squared distance a source is nearer if all neighbours are taken from around it."""
COHERENT_ROUNDS = 3
"""How often the neighbours' choices are looked at."""


def drawn_together(
    features: torch.Tensor,
    variance: float,
    bias: torch.Tensor,
    sources: Sources,
    nearest: tuple[torch.Tensor, torch.Tensor],
    near: torch.Tensor,
    down: torch.Tensor,
    right: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(Q, 8) the sources by which each block would go on with what its neighbours are made of, and (Q, 8) what this
    adds to the logarithms of their weights: their squared distances count less.

    Args:
        features: (Q, K) of what is seen.
        bias: (N,), of the logarithms of the weights.
        nearest: (Q,) the largest of these, and (Q,) the source that has it.
        near: (Q, 8), see :func:`neighbours`.
        down, right: (Q,), first row and column of each block in its patch.
    """
    most, alone = nearest
    away = (features**2).sum(1, keepdim=True) / (2 * variance)
    shift = sources.step * torch.tensor(AROUND, device=near.device)
    from_row, from_column = down[near] - shift[:, 0] - down[:, None], right[near] - shift[:, 1] - right[:, None]
    height, width = sources.number.shape
    pick = alone
    for _ in range(COHERENT_ROUNDS):
        rows, columns = sources.top[pick][near] + from_row, sources.left[pick][near] + from_column
        inside = (near >= 0) & (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        offered = torch.where(inside, sources.number[rows % height, columns % width], -1)
        products = [
            torch.einsum("qk,qnk->qn", features[part], sources.features[offered[part]]) for part in parts(len(alone))
        ]
        likely = torch.cat(products) / variance + bias[offered]
        gains = torch.where(offered >= 0, COHERENCE / len(AROUND) * (away - likely).clamp_min(0), 0)
        votes = (offered[:, :, None] == offered[:, None]).sum(2)
        best = torch.where(offered >= 0, likely + votes * gains, -torch.inf).max(1, keepdim=True)
        pick = torch.where(best.values[:, 0] > most, offered.gather(1, best.indices)[:, 0], alone)
    return offered.clamp_min(0), gains


def contrast_gain(sample: torch.Tensor, variance: float, sources: Sources, most: float) -> torch.Tensor:
    """(K,) by how much the components of what is seen vary too little, as deviations: they should vary as those of the
    sources and the noise together."""
    seen = (sample - sources.centre).square().mean(0)
    return ((sources.spread + variance) / seen.clamp_min(1e-12)).sqrt().clamp(1, most)


def evened(logits: torch.Tensor, rounds: int) -> torch.Tensor:
    """(N,) to add to the logarithms of the sources' weights so that all are used about equally: some steps of
    Sinkhorn's algorithm."""
    weights = torch.softmax(logits, dim=1)
    prior = torch.ones_like(weights[0])
    for _ in range(rounds):
        usage = prior * (weights.T @ (1 / (weights @ prior))) * (len(prior) / len(weights))
        prior = prior / (usage + 0.1)
    return torch.log(prior)
