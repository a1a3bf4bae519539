"""The diffusion process: respaced tables and the affine maps between x_t, x̂_0, ε̂, v and the velocity of flows.

Levels are respaced indices 0 … T − 1 (0 the cleanest); level −1 is the clean picture, alpha_bar(−1) = 1. Tables are
float64. Equations: Ho et al. 2020 (arXiv 2006.11239), Nichol & Dhariwal 2021 (arXiv 2102.09672) for respacing and the
learned variance range, Salimans & Ho 2022 (arXiv 2202.00512) for v. A flow-matching model (Lipman et al. 2023, arXiv
2210.02747) sees x^f = (1 − t) x_0 + t ε and predicts ε − x_0; with ᾱ = (1 − t)²/((1 − t)² + t²) this x^f is x_t times
1/(√ᾱ + √(1 − ᾱ)), so that the same sampler serves it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch

from engine.errors import BadInput, EngineError

Prediction = Literal["epsilon", "v_prediction", "sample", "flow"]
Network = Callable[[torch.Tensor, int], torch.Tensor]
"""(x (B, C, H, W) float32, timestep 0 … N − 1) → output (B, C or 2C, H, W) float32."""

Spacing = Literal["even", "karras"]

CLIP_RANGE = (-1.0, 1.0)
KARRAS_SIGMAS, KARRAS_RHO = (0.0292, 157.0), 7
"""σ of the cleanest and the noisiest level, and ρ, of levels spaced after Karras et al. 2022 (arXiv 2206.00364, Eq. 5).
The σ are those of the first timestep of Stable Diffusion and of the last one of Ho et al. 2020; less where a model ends
below."""
LEAST_ALPHA_BAR = 1e-8
"""Stands for 0 in tables of models that begin at pure noise."""


def linear_alpha_bar(timesteps: int = 1000, start: float = 1e-4, end: float = 0.02) -> np.ndarray:
    """ᾱ of the linear schedule of Ho et al. 2020, shape (timesteps,), float64."""
    return np.cumprod(1.0 - np.linspace(start, end, timesteps, dtype=np.float64))


def flow_alpha_bar(timesteps: int = 1000, shift: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """ᾱ of a flow-matching model at evenly spaced times, and the times t in (0, 1] that its network is to be told.

    Both have shape (timesteps,), float64. ``shift``: of the times towards noise, t' = s t / (1 + (s − 1) t), as large
    pictures need it (Esser et al. 2024, arXiv 2403.03206, Eq. 23). ᾱ at t = 1 is not quite 0.
    """
    t = np.arange(1, timesteps + 1, dtype=np.float64) / timesteps
    t = shift * t / (1 + (shift - 1) * t)
    return np.maximum((1 - t) ** 2 / ((1 - t) ** 2 + t**2), LEAST_ALPHA_BAR), t


def cosine_alpha_bar(timesteps: int = 1000, max_beta: float = 0.999) -> np.ndarray:
    """ᾱ of the cosine schedule (Nichol & Dhariwal 2021, Eq. 17) with β ≤ 0.999, shape (timesteps,), float64."""

    def f(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - f((i + 1) / timesteps) / f(i / timesteps), max_beta) for i in range(timesteps)]
    return np.cumprod(1.0 - np.array(betas, dtype=np.float64))


def clean_terms(prediction: Prediction, alpha_bar: float) -> tuple[float, float]:
    """(a, b): x̂_0 is a times what the network is given (a flow its own x^f) plus b times its output."""
    signal, noise = math.sqrt(alpha_bar), math.sqrt(1.0 - alpha_bar)
    terms = {
        "epsilon": (1 / signal, -noise / signal),
        "v_prediction": (signal, -noise),
        "sample": (0.0, 1.0),
        "flow": (1.0, -noise / (signal + noise)),
    }
    return terms[prediction]


@dataclass(frozen=True)
class Estimate:
    """What one network call says about x_t: all (B, C, H, W)."""

    x0_hat: torch.Tensor
    epsilon: torch.Tensor
    variance_fraction: torch.Tensor | None
    """f in [0, 1] of the learned range: log σ² = f log β + (1 − f) log β̃; None if the model has no such output."""


@dataclass(frozen=True)
class Diffusion:
    """T respaced levels of a model's N training timesteps.

    Args:
        model_alpha_bar: the model's own ᾱ, shape (N,), float64, falling.
        steps: T, 2 … N.
        prediction: what the network's output means.
        spacing: ``even`` in the timestep; ``karras`` evenly in σ^(1/7), σ² = 1/ᾱ − 1, from the model's highest σ
            (at most 157) to .0292 (Karras et al. 2022, arXiv 2206.00364, Eq. 5), each at the nearest timestep.
        first_alpha_bar: ``even`` spacing ends at the first timestep whose ᾱ is not above this, 0 … 1; 0 takes all of
            them. A run that begins with pure noise where ᾱ is high keeps what is bright and dark in that noise.
        hold: (x̂_0, ᾱ of its level) → x̂_0 as it is used, before it is clipped; see :mod:`engine.sampling.anchor`.
    """

    model_alpha_bar: np.ndarray
    steps: int
    prediction: Prediction = "epsilon"
    spacing: Spacing = "even"
    first_alpha_bar: float = 0.0
    hold: Callable[[torch.Tensor, float], torch.Tensor] | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.steps <= len(self.model_alpha_bar):
            raise BadInput(
                "bad_schedule", f"This model allows 2 to {len(self.model_alpha_bar)} steps, not {self.steps}."
            )

    @cached_property
    def timesteps(self) -> np.ndarray:
        """Original timestep of each level, shape (T,), rising; evenly spaced: round(i last / (T − 1))."""
        last = min(int((self.model_alpha_bar > self.first_alpha_bar).sum()), len(self.model_alpha_bar) - 1)
        if self.spacing == "even":
            return np.array([round(i * last / (self.steps - 1)) for i in range(self.steps)])
        log_sigma = 0.5 * np.log(1 / self.model_alpha_bar - 1)
        low, high = KARRAS_SIGMAS[0], min(KARRAS_SIGMAS[1], math.exp(log_sigma[-1]))
        wanted = KARRAS_RHO * np.log(np.linspace(low ** (1 / KARRAS_RHO), high ** (1 / KARRAS_RHO), self.steps))
        timesteps = np.unique(np.abs(log_sigma[None] - wanted[:, None]).argmin(axis=1))
        if len(timesteps) < self.steps:
            raise BadInput("bad_schedule", f"This preset allows fewer than {self.steps} steps with this model; use 20.")
        return timesteps

    @cached_property
    def alpha_bars(self) -> np.ndarray:
        """ᾱ of levels 0 … T − 1, shape (T,)."""
        return self.model_alpha_bar[self.timesteps]

    @cached_property
    def betas(self) -> np.ndarray:
        """β'_i = 1 − ᾱ_i / ᾱ_{i−1}, shape (T,)."""
        return 1.0 - self.alpha_bars / np.concatenate([[1.0], self.alpha_bars[:-1]])

    @cached_property
    def posterior_variances(self) -> np.ndarray:
        """β̃_i = β_i (1 − ᾱ_{i−1}) / (1 − ᾱ_i), shape (T,); β̃_0 = 0."""
        before = np.concatenate([[1.0], self.alpha_bars[:-1]])
        return self.betas * (1.0 - before) / (1.0 - self.alpha_bars)

    def alpha_bar(self, level: int) -> float:
        """ᾱ at a level −1 … T − 1; 1 at −1."""
        return 1.0 if level < 0 else float(self.alpha_bars[level])

    def noised(self, y: torch.Tensor, level: int, z: torch.Tensor) -> torch.Tensor:
        """q(x_level | y): √ᾱ y + √(1 − ᾱ) z."""
        alpha_bar = self.alpha_bar(level)
        return math.sqrt(alpha_bar) * y + math.sqrt(1.0 - alpha_bar) * z

    def undo(self, x: torch.Tensor, level: int, z: torch.Tensor) -> torch.Tensor:
        """One level back up, q(x_level | x_{level−1}): √(1 − β') x + √β' z (Algorithm 1, line 10)."""
        beta = float(self.betas[level])
        return math.sqrt(1.0 - beta) * x + math.sqrt(beta) * z

    def estimate(self, network: Network, x: torch.Tensor, level: int, clip: bool) -> Estimate:
        """One network call at ``level``: x̂_0 and ε̂ that agree with each other.

        Where x̂_0 is held, and with ``clip``, which limits it to [−1, 1], ε̂ is derived again from it, so that every
        later use sees the same picture.

        Raises:
            EngineError: the network returned NaN or infinity.
        """
        alpha_bar = self.alpha_bar(level)
        signal, noise = math.sqrt(alpha_bar), math.sqrt(1.0 - alpha_bar)
        gain = 1 / (signal + noise) if self.prediction == "flow" else 1.0
        output = network(gain * x if gain != 1 else x, int(self.timesteps[level]))
        channels = x.shape[1]
        fraction = (output[:, channels:] + 1) / 2 if output.shape[1] == 2 * channels else None
        output = output[:, :channels]
        if self.prediction == "epsilon":
            x0_hat = (x - noise * output) / signal
        elif self.prediction == "v_prediction":
            x0_hat = signal * x - noise * output
        elif self.prediction == "flow":
            x0_hat = gain * (x - noise * output)
        else:
            x0_hat = output
        if not torch.isfinite(x0_hat).all():
            raise EngineError(
                "model_output",
                "The model returned invalid numbers; choose another model, or run 'models verify' on this one.",
                f"non-finite output at level {level}",
            )
        if self.hold is not None:
            x0_hat = self.hold(x0_hat, alpha_bar)
        if clip:
            x0_hat = x0_hat.clamp(*CLIP_RANGE)
        return Estimate(x0_hat, (x - signal * x0_hat) / noise, fraction)

    def posterior_mean(self, x: torch.Tensor, x0_hat: torch.Tensor, level: int) -> torch.Tensor:
        """Mean of q(x_{level−1} | x_level, x̂_0) (Ho et al. 2020, Eq. 7)."""
        alpha_bar, before, beta = self.alpha_bar(level), self.alpha_bar(level - 1), float(self.betas[level])
        return (
            beta * math.sqrt(before) / (1 - alpha_bar) * x0_hat
            + (1 - before) * math.sqrt(1 - beta) / (1 - alpha_bar) * x
        )

    def learned_deviation(self, fraction: torch.Tensor, level: int) -> torch.Tensor:
        """σ of the learned range (Nichol & Dhariwal 2021, Eq. 15), with β̃_0 := β̃_1."""
        log_beta = math.log(self.betas[level])
        log_posterior = math.log(self.posterior_variances[max(level, 1)])
        return torch.exp(0.5 * (fraction * log_beta + (1 - fraction) * log_posterior))
