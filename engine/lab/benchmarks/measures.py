"""How far samples are from the posterior: score-KSD, sliced Wasserstein distance, MMD."""

from __future__ import annotations

import math

import torch


def score_ksd(x: torch.Tensor, score: torch.Tensor, c: float) -> float:
    """The kernel Stein discrepancy √(Σ_ij u(x_i, x_j) / d) / N of samples x (N, d) from the law whose score ∇ log p is
    given at each (N, d); kernel (c² + r²)^−½ (arXiv 2602.04189, Algorithm 1 and App. A.1). Not 0 for finitely many
    samples from p itself."""
    count, d = x.shape
    away = x[:, None] - x[None]
    base = c**2 + (away**2).sum(-1)
    kernel, slope, bend = base**-0.5, base**-1.5, base**-2.5
    differences = ((score[:, None] - score[None]) * away).sum(-1)
    u = kernel * (score @ score.T) + slope * differences + d * slope - 3 * (base - c**2) * bend
    return math.sqrt(max(float(u.sum()), 0.0) / d) / count


def sliced_wasserstein(a: torch.Tensor, b: torch.Tensor, generator: torch.Generator, slices: int = 100) -> float:
    """Mean over random directions of the 1-Wasserstein distance of two sets of equally many samples (N, d)."""
    directions = torch.randn(a.shape[1], slices, generator=generator, dtype=a.dtype)
    directions = directions / directions.norm(dim=0)
    return float(((a @ directions).sort(0)[0] - (b @ directions).sort(0)[0]).abs().mean())


def mmd(a: torch.Tensor, b: torch.Tensor) -> float:
    """Square of the maximum mean discrepancy of two sets of samples (N, d), with the sum of five Gaussian kernels
    exp(−r² / (h 2^i)), i = −2 … 2, where h is the mean distance within b (arXiv 2503.03007, as its code has it)."""
    h = float(torch.cdist(b, b).sum()) / (len(b) * (len(b) - 1))

    def mean_kernel(left: torch.Tensor, right: torch.Tensor) -> float:
        squares = torch.cdist(left, right) ** 2
        return sum(float(torch.exp(-squares / (h * 2.0**i)).mean()) for i in range(-2, 3))

    return mean_kernel(a, a) - 2 * mean_kernel(a, b) + mean_kernel(b, b)
