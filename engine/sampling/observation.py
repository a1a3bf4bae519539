"""What is known of the picture, and how noisy it is.

A scan, film grain or JPEG shows y = x_0 + τ n. So does x_t/√ᾱ where σ = √(1/ᾱ − 1) is τ: y is taken for it, and the
noisier levels are noised from there, with √(σ² − τ²) instead of σ. Below τ the known region is sampled like the hole,
so that what is painted follows the picture behind the noise; y still tells of it what x_t tells of a noisier level,
y ~ N(x_t/√ᾱ, τ² − σ²). The idea is DDRM's (Kawar et al. 2022, arXiv 2201.11793, Eq. 7). With τ = 0 there is nothing
below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from engine.sampling.diffusion import Diffusion

LEAST = 1e-4
"""Of τ² − σ², in units of σ²: where both are all but equal, y is pinned."""


@dataclass(frozen=True)
class Observation:
    """The known region of a run.

    Attributes:
        y: known picture, (B, C, H, W); arbitrary where unknown.
        keep: 1 where known, 0 where to repaint, broadcastable to y.
        tau: standard deviation of the noise in y, in the unit of x_0: a number, or a tensor broadcastable to y; 0 or
            more.
    """

    y: torch.Tensor
    keep: torch.Tensor
    tau: float | torch.Tensor = 0.0

    @property
    def noisy(self) -> bool:
        return isinstance(self.tau, torch.Tensor) or self.tau > 0

    def known(self, alpha_bar: float) -> torch.Tensor:
        """``keep`` where σ ≥ τ at a level of this ᾱ."""
        return self.keep * (self.tau**2 * alpha_bar <= 1 - alpha_bar)

    def noised(self, diffusion: Diffusion, level: int, z: torch.Tensor) -> torch.Tensor:
        """y at a level where it is known: of the noise z the share √(1 − τ²/σ²), the rest is its own."""
        alpha_bar = diffusion.alpha_bar(level)
        if self.noisy and alpha_bar < 1:
            z = (1 - self._tau**2 * alpha_bar / (1 - alpha_bar)).clamp(min=0).sqrt() * z
        return diffusion.noised(self.y, level, z)

    def hold(self, alpha_bar: float) -> torch.Tensor:
        """1/(ᾱ (τ² − σ²)) where σ < τ, else 0: ∇ log p(y | x_t) is this times √ᾱ y − x_t."""
        variance = alpha_bar * self._tau**2 - (1 - alpha_bar)
        return (self.keep - self.known(alpha_bar)) / variance.clamp(min=LEAST * (1 - alpha_bar))

    def undone(self, diffusion: Diffusion, x: torch.Tensor, level: int, z: torch.Tensor) -> torch.Tensor:
        """x_level of x_{level−1} by the noise z: q(x_level | x_{level−1}, y), which is q(x_level | y) from τ on."""
        free = diffusion.undo(x, level, z)
        if not self.noisy:
            return free
        before, after = diffusion.alpha_bar(level - 1), diffusion.alpha_bar(level)
        low, high, most = 1 / before - 1, 1 / after - 1, self._tau**2
        way = (high - low) / (most - low).clamp(min=LEAST * high)
        mean = x / math.sqrt(before) + way * (self.y - x / math.sqrt(before))
        towards = math.sqrt(after) * (mean + ((most - high) * way).clamp(min=0).sqrt() * z)
        known, was = self.known(after), self.known(before)
        return (
            (1 - self.keep + was) * free
            + (known - was) * self.noised(diffusion, level, z)
            + (self.keep - known) * towards
        )

    @property
    def _tau(self) -> torch.Tensor:
        return torch.as_tensor(self.tau, dtype=self.y.dtype, device=self.y.device)
