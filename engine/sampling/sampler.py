"""RePaint (Lugmayr et al. 2022, arXiv 2201.09865, Algorithm 1) as a generator, and its κ family.

The caller previews, stops or branches by simply iterating: preview = ``state.x0_hat``; cancel = stop; resume = pass a
state back in. Symbols as in the paper: y the known picture, keep m = 1 where known, x_t the noisy picture at level t.

One family of few parameters: κ is the share of fresh noise in the known region. κ = 1 is RePaint: before every call
the known region is drawn anew from q(x_t | y). For κ < 1 the known region is set after each step to
√ᾱ_s y + √(1 − ᾱ_s) (√(1 − κ²) ε̂ + κ z), so that it carries the network's own noise: κ = 0 needs far fewer calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, Self

import torch

from engine.errors import EngineError
from engine.sampling.diffusion import Diffusion, Estimate, Network, Spacing
from engine.sampling.noise import Noise
from engine.sampling.observation import Observation
from engine.sampling.schedule import Schedule

Variance = Literal["small", "large", "learned", "auto"]
Guidance = Callable[[torch.Tensor, int], torch.Tensor]
"""(merged x_t, timestep) → s ∇ log p(c | x_t)."""


@dataclass(frozen=True)
class Settings:
    """What every sampler is told; each has a class of its own with what else it takes.

    Attributes:
        clip: limit x̂_0 to [−1, 1] (pixel models).
        spacing, first_alpha_bar: of the levels over the model's timesteps, see
            :class:`engine.sampling.diffusion.Diffusion`.
        anchored: hold the estimates of models that need it to the surroundings (:attr:`engine.models.Model.anchor`).
    """

    clip: bool = True
    spacing: Spacing = "even"
    first_alpha_bar: float = 0.0
    anchored: bool = False

    def calls_at(self, t: int) -> int:  # noqa: ARG002 - not the same for all samplers
        """Network calls of the step down from level ``t``."""
        return 1

    def calls(self, schedule: Schedule, first: int = 0) -> int:
        """Network calls of a run from entry ``first`` of the schedule on: the unit of progress."""
        return sum(self.calls_at(t) for t, s in pairwise(schedule.levels[first:]) if s < t)

    def with_eta(self, eta: float | None) -> Self:  # noqa: ARG002
        """The same with a model's own η, if that is left to the model."""
        return self


@dataclass(frozen=True)
class RePaintSettings(Settings):
    """How :func:`repaint` steps.

    Attributes:
        kappa: share of fresh noise in the known region, 0 … 1; 1 is RePaint.
        variance: of a step: ``small`` β̃, ``large`` β, ``learned`` the model's own range, ``auto`` learned where the
            model has such an output and small elsewhere.
        eta: None for the DDPM step; 0 … 1 for a DDIM step with that share of its noise (Song et al. 2021, Eq. 16);
            ``model`` for the model's own (:attr:`engine.models.Model.eta`); ``flow`` for the noise √(1 − ᾱ_s) √t_s of a
            step to s, where t = √(1 − ᾱ)/(√ᾱ + √(1 − ᾱ)) is a flow's time (Moufad et al. 2025, arXiv 2512.18365).
    """

    kappa: float = 1.0
    variance: Variance = "small"
    eta: float | Literal["model", "flow"] | None = None

    def with_eta(self, eta: float | None) -> Self:
        return replace(self, eta=eta) if self.eta == "model" else self


@dataclass(frozen=True)
class State:
    """The loop after one network call.

    Attributes:
        call: network calls made so far, 1 … schedule.calls.
        position: index into schedule.levels of the level ``x`` is at.
        x: x_t at that level, (B, C, H, W); at the end (level −1) the result.
        x0_hat: the present estimate of the clean picture, (B, C, H, W).
        draws: noise draws made so far.
        corrections: Langevin steps already made at this level.
        drift: C of the last Langevin step (see :mod:`engine.sampling.corrector`), or None.
    """

    call: int
    position: int
    x: torch.Tensor
    x0_hat: torch.Tensor
    draws: int
    corrections: int = 0
    drift: torch.Tensor | None = None

    def mapped(self, change: Callable[[torch.Tensor], torch.Tensor]) -> State:
        """The same with all tensors changed."""
        drift = None if self.drift is None else change(self.drift)
        return replace(self, x=change(self.x), x0_hat=change(self.x0_hat), drift=drift)


def calls_left(state: State | None, schedule: Schedule, settings: Settings) -> int:
    """Network calls from ``state``, or from the beginning, to the end of its schedule."""
    if state is None:
        return settings.calls(schedule)
    done = min(state.corrections, settings.calls_at(schedule.levels[state.position]) - 1)  # at the level in work
    return settings.calls(schedule, state.position) - done


def repaint(
    network: Network,
    diffusion: Diffusion,
    schedule: Schedule,
    y: torch.Tensor,
    keep: torch.Tensor,
    noise: Noise,
    settings: RePaintSettings,
    start: State | None = None,
    guidance: Guidance | None = None,
    known_noise: float | torch.Tensor = 0.0,
) -> Iterator[State]:
    """Yield the state after each network call; the last one holds x_0.

    Args:
        network: the unmodified diffusion model.
        y: known picture in [−1, 1], (B, C, H, W); ignored where unknown.
        keep: 1 where known, 0 where to repaint, broadcastable to y.
        noise: one stream per row of y.
        start: resume after this state; ``noise`` must then stand at ``start.draws``.
        guidance: s ∇ log p(c | x_t), shape of x_t: shifts the mean of each step by σ² times it (Dhariwal & Nichol 2021,
            arXiv 2105.05233, Algorithm 1).
        known_noise: τ, standard deviation of the noise in y, in its unit, for each value or all of them
            (:mod:`engine.sampling.observation`).
    """
    if diffusion.steps != schedule.steps:
        raise ValueError(f"{diffusion.steps} diffusion steps but a schedule of {schedule.steps}")
    if start is None:
        x, call, first = noise.draw(y), 0, 0  # line 1: x_T ~ N(0, I)
    else:
        x, call, first = start.x, start.call, start.position
    levels, observed = schedule.levels, Observation(y, keep, known_noise)
    for position, (t, s) in enumerate(pairwise(levels[first:]), start=first + 1):
        if s > t:
            x = observed.undone(diffusion, x, s, noise.draw(x))  # line 10
            continue
        if settings.kappa == 1:
            keep = observed.known(diffusion.alpha_bar(t))
            known = observed.noised(diffusion, t, noise.draw(x))  # line 5, at the call's own level
            x = keep * known + (1 - keep) * x  # line 8
        estimate = diffusion.estimate(network, x, t, settings.clip)
        unknown = _step(diffusion, x, estimate, t, noise, settings, guidance)  # line 7
        if settings.kappa == 1:
            x = unknown
        else:
            z = math.sqrt(1 - settings.kappa**2) * estimate.epsilon
            if settings.kappa > 0:
                z = z + settings.kappa * noise.draw(x)
            keep = observed.known(diffusion.alpha_bar(s))
            x = keep * observed.noised(diffusion, s, z) + (1 - keep) * unknown
        call += 1
        yield State(call, position, x, estimate.x0_hat, noise.draws)


def _step(
    diffusion: Diffusion,
    x: torch.Tensor,
    estimate: Estimate,
    t: int,
    noise: Noise,
    settings: RePaintSettings,
    guidance: Guidance | None,
) -> torch.Tensor:
    """x_{t−1} from x_t: DDPM, or DDIM where ``eta`` is set. No noise at the last step."""
    deviation: float | torch.Tensor
    if settings.eta is not None:
        assert settings.eta != "model", "with_eta says which"
        before = diffusion.alpha_bar(t - 1)
        spread = math.sqrt(1 - before)
        if settings.eta == "flow":
            deviation = spread * math.sqrt(spread / (math.sqrt(before) + spread))
        else:
            deviation = settings.eta * math.sqrt(float(diffusion.posterior_variances[t]))
        direction = math.sqrt(max(1 - before - deviation**2, 0.0)) * estimate.epsilon
        mean = math.sqrt(before) * estimate.x0_hat + direction
    else:
        mean = diffusion.posterior_mean(x, estimate.x0_hat, t)
        learned = settings.variance == "auto" and estimate.variance_fraction is not None
        if learned or settings.variance == "learned":
            if estimate.variance_fraction is None:
                raise EngineError("no_learned_variance", "This model has no learned variance; choose small or large.")
            deviation = diffusion.learned_deviation(estimate.variance_fraction, t)
        else:
            table = diffusion.betas if settings.variance == "large" else diffusion.posterior_variances
            deviation = math.sqrt(float(table[t]))
    if guidance is not None:
        mean = mean + deviation**2 * guidance(x, int(diffusion.timesteps[t]))
    return mean if t == 0 else mean + deviation * noise.draw(x)
