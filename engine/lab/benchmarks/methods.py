"""Everyone who samples: the exact posterior, the engine's presets, the rivals; and how they are told apart."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from engine.lab.benchmarks import ours, rivals
from engine.lab.benchmarks.problems import Problem

Sampler = Callable[[rivals.Denoise, Problem, int, torch.Generator], torch.Tensor]


@dataclass(frozen=True)
class Method:
    """One row of the tables.

    Attributes:
        title: as the tables have it.
        sample: (denoise, problem, count, generator) → samples (count, d).
        told: it is told the observation's noise.
    """

    title: str
    sample: Sampler
    told: bool = True


@dataclass(frozen=True)
class Drawn:
    """Samples x (count, d), the network calls that each took, and the processor's seconds for all."""

    x: torch.Tensor
    calls: int
    seconds: float


def _exact(_denoise: rivals.Denoise, problem: Problem, count: int, generator: torch.Generator) -> torch.Tensor:
    return problem.posterior.sample(count, generator)


def _diffpir_fixed(denoise: rivals.Denoise, problem: Problem, count: int, generator: torch.Generator) -> torch.Tensor:
    return rivals.diffpir(denoise, problem, count, generator, lam=0.01 / problem.noise**2)


METHODS = {
    "exact": Method("the posterior itself", _exact),
    "fast": Method("our `fast`", partial(ours.preset, name="fast"), told=False),
    "quality": Method("our `quality`", partial(ours.preset, name="quality"), told=False),
    "repaint": Method("RePaint 250/10/10 (`repaint`)", partial(ours.preset, name="repaint"), told=False),
    "fast-told": Method("our `fast` told σ", partial(ours.preset, name="fast", told=True)),
    "fast-flow": Method("our `fast` of flows told σ", partial(ours.preset, name="fast", told=True, flow=True)),
    "quality-told": Method("our `quality` told σ", partial(ours.preset, name="quality", told=True)),
    "ddrm": Method("DDRM, 100 steps", rivals.ddrm),
    "ddrm-20": Method("DDRM, 20 steps", partial(rivals.ddrm, steps=20)),
    "ddnm": Method("DDNM+, travel 1", rivals.ddnm),
    "dps": Method("DPS, 1000 steps, ζ = .04", rivals.dps),
    "dps-100": Method("DPS, 100 steps, ζ = .2", partial(rivals.dps, steps=100, zeta=0.2)),
    "diffpir": Method("DiffPIR, λ = 1", rivals.diffpir),
    "diffpir-fixed": Method("DiffPIR, λσ² = .01", _diffpir_fixed, told=False),
    "lanpaint": Method("LanPaint 2.1", rivals.lanpaint, told=False),
    "ding": Method("DInG, 25 steps", rivals.ding),
    "ding-delayed": Method("DInG delayed, 50 steps", partial(rivals.ding, steps=50, delayed=True)),
}
"""By the name that cells have."""


def draw(method: Method, problem: Problem, count: int, seed: int) -> Drawn:
    """Samples of the problem's posterior as the method has it."""
    calls = 0

    def counted(x: torch.Tensor, sigma: float) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return problem.prior.denoise(x, sigma)

    began = time.process_time()
    x = method.sample(counted, problem, count, torch.Generator().manual_seed(seed))
    return Drawn(x, calls, time.process_time() - began)
