"""The corrector: a deterministic run through few levels, with Langevin steps at each level.

The Langevin steps let hole and known region agree. At level t both follow dx = (C − A x) dt + √2 dW, whose stationary
law is the model's own, except that the known region is pulled towards y by λ: A = 1/(1 − ᾱ) in the hole and
(1 + λ)/(1 − ᾱ) on known, C = (√ᾱ h − x)/(1 − ᾱ) + A x with h = x̂_0 in the hole and y + λ (y − x̂_0) on known. Each step
is exact for constant C; from the second on C is renewed in the middle of the step. No backpropagation, no retraining.
After Zheng, Lan & Wang 2025 (LanPaint, arXiv 2502.03491), simplified: first-order Langevin dynamics, and the known
region starts from noise like the hole, which measures better in closed form than pinning it at every level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch

from engine.sampling.diffusion import Diffusion, Network
from engine.sampling.noise import Noise
from engine.sampling.observation import Observation
from engine.sampling.sampler import Guidance, RePaintSettings, Settings, State, repaint
from engine.sampling.schedule import Schedule


@dataclass(frozen=True)
class CorrectorSettings(Settings):
    """How :func:`corrected` steps.

    Attributes:
        corrections: Langevin steps at each level above 0, at least 1.
        pull: λ, how strongly the known region holds in a correction, a number without unit.
        step_size: of a correction, in units of 1 − ᾱ. Both were chosen on procedural pictures, see
            docs/reports/comparison.md.
    """

    corrections: int = 5
    pull: float = 5.0
    step_size: float = 0.8

    def calls_at(self, t: int) -> int:
        return 1 + (self.corrections if t > 0 else 0)


def corrected(
    network: Network,
    diffusion: Diffusion,
    schedule: Schedule,
    y: torch.Tensor,
    keep: torch.Tensor,
    noise: Noise,
    settings: CorrectorSettings,
    start: State | None = None,
    guidance: Guidance | None = None,
    known_noise: float | torch.Tensor = 0.0,
) -> Iterator[State]:
    """Yield the state after each network call; arguments as of :func:`engine.sampling.sampler.repaint`.

    Each step down from a level above 0 costs ``settings.corrections`` + 1 calls, the last one 1. With classifier
    guidance x̂_0 is shifted by (1 − ᾱ)/√ᾱ · s ∇ log p(c | x_t), its share in the score. Below a known noise τ the score
    of the known region is the model's own plus that of y (:meth:`engine.sampling.observation.Observation.hold`).
    """

    def estimate(x: torch.Tensor, t: int) -> torch.Tensor:
        x0_hat = diffusion.estimate(network, x, t, settings.clip).x0_hat
        if guidance is not None:
            alpha_bar = diffusion.alpha_bar(t)
            shift = (1 - alpha_bar) / math.sqrt(alpha_bar) * guidance(x, int(diffusion.timesteps[t]))
            x0_hat = (x0_hat + shift).clamp(-1, 1) if settings.clip else x0_hat + shift
        return x0_hat

    if start is None:
        start = State(0, 0, noise.draw(y), torch.zeros_like(y), noise.draws)
    observed = Observation(y, keep, known_noise)
    x, call, done, drift = start.x, start.call, start.corrections, start.drift
    for position, (t, s) in enumerate(pairwise(schedule.levels[start.position :]), start=start.position):
        if s > t:
            x = observed.undone(diffusion, x, s, noise.draw(x))
            continue
        alpha_bar = diffusion.alpha_bar(t)
        signal, spread = math.sqrt(alpha_bar), 1 - alpha_bar
        keep = observed.known(alpha_bar)
        damping = (1 + settings.pull * keep) / spread  # A
        hold = observed.hold(alpha_bar) if observed.noisy else None
        if hold is not None:
            damping = damping + hold
        dt = settings.step_size * spread
        for correction in range(done, settings.corrections if t > 0 else 0):
            if drift is not None:
                x = _relax(x, damping, drift, dt / 2, noise)
            x0_hat = estimate(x, t)
            towards = keep * (y + settings.pull * (y - x0_hat)) + (1 - keep) * x0_hat  # h
            new_drift = (signal * towards - x) / spread + damping * x  # C
            if hold is not None:
                new_drift = new_drift + hold * (signal * y - x)
            if drift is None:
                x = _relax(x, damping, new_drift, dt, noise)
            else:
                x = _relax(x + (new_drift - drift) * dt, damping, new_drift, dt / 2, noise)
            drift = new_drift
            call += 1
            yield State(call, position, x, x0_hat, noise.draws, correction + 1, drift)
        x0_hat = estimate(x, t)
        keep = observed.known(diffusion.alpha_bar(s))
        pasted = keep * y + (1 - keep) * x0_hat
        x = diffusion.noised(pasted, s, (x - signal * pasted) / math.sqrt(spread))
        done, drift = 0, None
        call += 1
        yield State(call, position + 1, x, x0_hat, noise.draws)


def sampler_of(settings: Settings) -> Callable[..., Iterator[State]]:
    """The loop that takes these settings; its other arguments are those of :func:`repaint`."""
    loops: dict[type[Settings], Callable[..., Iterator[State]]] = {
        RePaintSettings: repaint,
        CorrectorSettings: corrected,
    }
    return loops[type(settings)]


def _relax(x: torch.Tensor, damping: torch.Tensor, drift: torch.Tensor, dt: float, noise: Noise) -> torch.Tensor:
    """The exact solution of dx = (C − A x) dt + √2 dW after a time dt with C and A held."""
    decay = torch.exp(-damping * dt)
    return decay * x + (1 - decay) / damping * drift + torch.sqrt((1 - decay**2) / damping) * noise.draw(x)
