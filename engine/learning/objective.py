"""What a network is trained on: noised pictures and what it should say about them.

Ho et al. 2020 (arXiv 2006.11239), Eq. 4 and 14; Salimans & Ho 2022 (arXiv 2202.00512), Eq. 11, for v.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from engine.sampling import Prediction

SKEW = 1.2
"""1 spreads the timesteps evenly; above 1 they lie denser at low noise, where texture is decided."""


@dataclass(frozen=True)
class Noised:
    """A batch at different noise levels; all on the batch's device.

    Attributes:
        x: x_t, (B, 3, H, W).
        timesteps: (B,) int64.
        target: what the network should return, (B, 3, H, W): ε, x_0 or v = √ᾱ ε − √(1−ᾱ) x_0.
        alpha_bar: (B, 1, 1, 1).
    """

    x: torch.Tensor
    timesteps: torch.Tensor
    target: torch.Tensor
    alpha_bar: torch.Tensor


def noised(
    x0: torch.Tensor,
    alpha_bar: torch.Tensor,
    seed: Sequence[int],
    skew: float = SKEW,
    prediction: Prediction = "v_prediction",
) -> Noised:
    """Noise a batch at timesteps spread over the whole range; a function of its arguments.

    Args:
        x0: (B, 3, H, W) in [−1, 1]; the noise is drawn on its device.
        alpha_bar: (N,) float32, of the model's timesteps.
        seed: whole numbers ≥ 0.
        prediction: any but that of flows.
    """
    rng = np.random.default_rng([*seed, 1])
    count, timesteps = len(x0), len(alpha_bar)
    places = ((rng.permutation(count) + rng.random(count)) / count) ** skew
    chosen = torch.from_numpy(np.minimum((places * timesteps).astype(np.int64), timesteps - 1))
    generator = torch.Generator(x0.device).manual_seed(int(rng.integers(2**62)))
    epsilon = torch.randn(x0.shape, generator=generator, device=x0.device)
    a = alpha_bar.cpu()[chosen].view(-1, 1, 1, 1).to(x0.device)
    x = a.sqrt() * x0 + (1 - a).sqrt() * epsilon
    targets = {"epsilon": epsilon, "sample": x0, "v_prediction": a.sqrt() * epsilon - (1 - a).sqrt() * x0}
    return Noised(x, chosen.to(x0.device), targets[prediction], a)
