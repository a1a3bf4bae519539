"""The engine's own sampler on the same problems: its presets, through the loops that paint pictures."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import torch

from engine.lab.benchmarks.problems import Problem
from engine.lab.benchmarks.rivals import Denoise
from engine.sampling import PRESETS, Diffusion, Noise, flow_alpha_bar, linear_alpha_bar, sampler_of


def preset(
    denoise: Denoise,
    problem: Problem,
    count: int,
    generator: torch.Generator,
    name: str,
    told: bool = False,
    flow: bool = False,
) -> torch.Tensor:
    """Samples of x_0 (count, d) by a preset of the engine, unclipped; the DDPM step where it leaves η to the model.

    Args:
        told: it is told the noise of what is known.
        flow: as flow models are sampled.
    """
    chosen = PRESETS[name].of("flow" if flow else "sample")
    settings = replace(chosen.settings.with_eta(None), clip=False)
    alpha_bar = flow_alpha_bar()[0] if flow else linear_alpha_bar()

    def network(x: torch.Tensor, timestep: int) -> torch.Tensor:
        a = float(alpha_bar[timestep])
        return denoise(x[0, 0] / a**0.5, (1 / a - 1) ** 0.5)[None, None]

    levels = Diffusion(alpha_bar, chosen.steps, "sample", settings.spacing, settings.first_alpha_bar)
    y = problem.target.expand(1, 1, count, -1).contiguous()
    noise = Noise([int(torch.randint(2**31, (1,), generator=generator))])
    states = sampler_of(settings)(
        network,
        levels,
        chosen.schedule,
        y,
        problem.known,
        noise,
        settings,
        known_noise=problem.target_noise if told else 0.0,
    )
    return deque(states, maxlen=1).pop().x[0, 0]
