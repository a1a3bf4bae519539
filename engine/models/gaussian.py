"""An exact denoiser: the prior is a Gaussian, so E[x_0 | x_t] is known in closed form.

It runs in microseconds through the real sampler, the real canvas and the real bridge, and is used by tests wherever
the picture itself does not matter. The prior: pixels independent, each channel N(μ_c, 0.1²).
"""

from __future__ import annotations

import time

import torch

from engine.canvas import Geometry
from engine.models.model import Model, ModelInfo
from engine.sampling import linear_alpha_bar

MEAN = (0.2, -0.1, -0.4)
DEVIATION = 0.1
SLOW_SECONDS = 0.02
LARGE_BYTES = 16 << 10
"""Bytes of memory for each pixel of a call, asked for but not written to: 1 GiB at 256², 64 MiB at 64²."""


def load(info: ModelInfo, device: torch.device) -> Model:
    alpha_bar = linear_alpha_bar()
    mean = torch.tensor(MEAN, device=device).view(1, 3, 1, 1)
    pause = SLOW_SECONDS if info.id.endswith("-slow") else 0.0
    hunger = LARGE_BYTES if info.id.endswith("-large") else 0

    def predict(x: torch.Tensor, timestep: int, _label: int | None = None) -> torch.Tensor:
        """ε̂ = (x − √ᾱ E[x_0 | x_t]) / √(1 − ᾱ)."""
        if pause:
            time.sleep(pause)
        if hunger:
            torch.empty(hunger * x[:, 0].numel(), dtype=torch.uint8)
        a = float(alpha_bar[timestep])
        gain = DEVIATION**2 * a**0.5 / (DEVIATION**2 * a + 1 - a)
        x0_hat = mean + gain * (x - a**0.5 * mean)
        return (x - a**0.5 * x0_hat) / (1 - a) ** 0.5

    return Model(info, predict, alpha_bar, "epsilon", Geometry(8, 64, 256, True), device)
