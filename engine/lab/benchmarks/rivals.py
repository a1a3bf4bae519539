"""Rivals' samplers, written from their papers: DDRM, DDNM, DPS, DiffPIR, LanPaint, DInG.

All work in the coordinates of :mod:`engine.lab.benchmarks.problems`, where the observation is s x + σ_y n, coordinate
by coordinate, and with x̄_t = x_0 + σ_t n (x_t of a diffusion model is x̄_t/√(1 + σ_t²)). Each takes (denoise, problem,
count, generator) and returns samples of x_0 (count, d); ``denoise`` (x̄, σ) → E[x_0 | x̄] is the network.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch

from engine.lab.benchmarks.problems import Problem
from engine.sampling import linear_alpha_bar

Denoise = Callable[[torch.Tensor, float], torch.Tensor]
HIGHEST = 100.0
"""σ of the noisiest level, where a method has no schedule of its own."""


def geometric(steps: int) -> list[float]:
    """σ from 100 to .01 in equal ratios (as InverseBench, arXiv 2503.11043, sets DDRM and DDNM), then 0."""
    return [*torch.logspace(2, -2, steps, dtype=torch.float64).tolist(), 0.0]


def even(steps: int) -> list[float]:
    """σ at evenly spaced timesteps of the linear schedule of Ho et al. 2020, falling, then 0."""
    alpha_bar = linear_alpha_bar()
    places = [round(i * (len(alpha_bar) - 1) / (steps - 1)) for i in range(steps)]
    return [*[float((1 / alpha_bar[place] - 1) ** 0.5) for place in reversed(places)], 0.0]


def ddrm(
    denoise: Denoise, problem: Problem, count: int, generator: torch.Generator, steps: int = 100, eta: float = 0.85
) -> torch.Tensor:
    """Kawar et al. 2022 (arXiv 2201.11793), Eqs. 7 and 8 with η_b = 1."""
    sigmas = geometric(steps)
    known, target, blur = problem.known, problem.target, problem.target_noise
    x = _start(problem, count, generator, sigmas[0])
    begun = known * (blur < sigmas[0])  # Eq. 7
    spread = (sigmas[0] ** 2 - begun * blur**2).clamp(min=0).sqrt()
    x = begun * target + x / sigmas[0] * spread
    for sigma, lower in pairwise(sigmas):
        estimate = denoise(x, sigma)
        z = _draw(x, generator)
        slope = (1 - eta**2) ** 0.5
        unseen = estimate + slope * lower / sigma * (x - estimate) + eta * lower * z
        noisy = estimate + slope * lower * (target - estimate) / blur.clamp(min=1e-12) + eta * lower * z
        plain = target + (lower**2 - blur**2).clamp(min=0).sqrt() * z
        x = torch.where(known == 0, unseen, torch.where(blur > lower, noisy, plain))  # Eq. 8
    return x


def ddnm(
    denoise: Denoise,
    problem: Problem,
    count: int,
    generator: torch.Generator,
    steps: int = 100,
    eta: float = 0.85,
    travel: int = 1,
) -> torch.Tensor:
    """Wang et al. 2023 (arXiv 2212.00490): Eq. 13 for x̂_0, DDNM+'s simple Σ_t and Φ_t (Eqs. 17 to 19), and its time
    travel of ``travel`` steps (Algorithm 2)."""
    sigmas = geometric(steps)
    x = _start(problem, count, generator, sigmas[0])
    for step in range(steps):
        back = min(travel, step)
        x = x + (sigmas[step - back] ** 2 - sigmas[step] ** 2) ** 0.5 * _draw(x, generator)
        for sigma, lower in pairwise(sigmas[step - back : step + 2]):
            estimate = denoise(x, sigma)
            pasted = problem.known * problem.target + (1 - problem.known) * estimate
            trust = min(1.0, lower / problem.noise)
            pasted = trust * pasted + (1 - trust) * estimate
            spread = max(0.0, lower**2 - (trust * problem.noise) ** 2) ** 0.5
            along = (1 - eta**2) ** 0.5 * lower / sigma * (x - pasted)
            x = pasted + along + eta * spread * _draw(x, generator)
    return x


def dps(
    denoise: Denoise, problem: Problem, count: int, generator: torch.Generator, steps: int = 1000, zeta: float = 0.04
) -> torch.Tensor:
    """Chung et al. 2023 (arXiv 2209.14687), Algorithm 1: the ancestral step, then −ζ ∇_{x_t} ‖y − A x̂_0(x_t)‖."""
    sigmas = even(steps)
    x = _start(problem, count, generator, sigmas[0])
    for sigma, lower in pairwise(sigmas):
        x = x.detach().requires_grad_()
        estimate = denoise(x, sigma)
        (slope,) = torch.autograd.grad((problem.y - problem.scale * estimate).norm(dim=1).sum(), x)
        with torch.no_grad():
            to_vp = (1 + sigma**2) ** 0.5 * (1 + lower**2) ** 0.5  # x̄ = x √(1 + σ²), in the step and in the gradient
            shrink = lower**2 / sigma**2
            z = lower * (1 - shrink) ** 0.5 * _draw(x, generator)
            x = estimate + shrink * (x - estimate) + z - zeta * to_vp * slope
    return x.detach()


def diffpir(
    denoise: Denoise,
    problem: Problem,
    count: int,
    generator: torch.Generator,
    steps: int = 100,
    lam: float = 1.0,
    zeta: float = 1.0,
) -> torch.Tensor:
    """Zhu et al. 2023 (arXiv 2305.08995), Algorithm 1: x̂_0 by the data step with ρ_t = λ σ_y²/σ_t², in closed form,
    then DDIM's step with the share ζ of fresh noise."""
    sigmas = even(steps)
    x = _start(problem, count, generator, sigmas[0])
    for sigma, lower in pairwise(sigmas):
        estimate = denoise(x, sigma)
        rho = lam * problem.noise**2 / sigma**2
        fitted = (problem.scale * problem.y + rho * estimate) / (problem.scale**2 + rho)
        away = (x - fitted) / sigma
        x = fitted + lower * ((1 - zeta) ** 0.5 * away + zeta**0.5 * _draw(x, generator))
    return x


def lanpaint(
    denoise: Denoise,
    problem: Problem,
    count: int,
    generator: torch.Generator,
    steps: int = 20,
    inner: int = 5,
    lam: float = 5.0,
    dt: float = 0.2,
) -> torch.Tensor:
    """Zheng, Lan & Wang 2025 (arXiv 2502.03491): at each level the known coordinates are y with one fixed noise, then
    Langevin steps of dx = (C − A x) dt + √2 dW let both agree, then an Euler step of the ODE; overdamped, their number
    in proportion to 1 − ᾱ and of fixed size, as its release 2.1 has it. The observation counts as exact."""
    low, high = LANPAINT_SIGMAS
    sigmas = (torch.linspace(high ** (1 / 7), low ** (1 / 7), steps, dtype=torch.float64) ** 7).tolist()
    known, target = problem.known, problem.target
    x = _start(problem, count, generator, sigmas[0])
    fixed = _draw(x, generator)
    for sigma, lower in pairwise([*sigmas, 0.0]):
        x = known * (target + sigma * fixed) + (1 - known) * x
        alpha_bar = 1 / (1 + sigma**2)
        signal, spread = alpha_bar**0.5, 1 - alpha_bar
        damping = (1 + lam * known) / spread  # A
        state = signal * x
        drift = None
        for _ in range(round(inner * spread)):
            if drift is not None:
                state = _relaxed(state, damping, drift, dt / 2, generator)
            estimate = denoise(state / signal, sigma)
            towards = known * (target + lam * (target - estimate)) + (1 - known) * estimate
            renewed = (signal * towards - state) / spread + damping * state  # C
            if drift is None:
                state = _relaxed(state, damping, renewed, dt, generator)
            else:
                state = _relaxed(state + (renewed - drift) * dt, damping, renewed, dt / 2, generator)
            drift = renewed
        x = state / signal
        estimate = known * target + (1 - known) * denoise(x, sigma)
        x = estimate + lower / sigma * (x - estimate)
    return x


LANPAINT_SIGMAS = (0.0292, 157.0)
"""σ of Stable Diffusion's first timestep, and of Ho et al.'s last one: where its Karras schedule ends and begins."""


def _relaxed(
    x: torch.Tensor, damping: torch.Tensor, drift: torch.Tensor, dt: float, generator: torch.Generator
) -> torch.Tensor:
    """The exact solution of dx = (C − A x) dt + √2 dW after a time dt."""
    decay = torch.exp(-damping * dt)
    return decay * x + (1 - decay) / damping * drift + ((1 - decay**2) / damping).sqrt() * _draw(x, generator)


def ding(
    denoise: Denoise,
    problem: Problem,
    count: int,
    generator: torch.Generator,
    steps: int = 25,
    delayed: bool = False,
) -> torch.Tensor:
    """Moufad et al. 2026 (arXiv 2512.18365), Algorithm 1 on the flow α_t = 1 − t, σ_t = t with η_s = σ_s (1 − α_s);
    two calls a step, one if ``delayed``, when ε̂ at x_t stands for that at the proxy z_s. It is told the observation's
    noise, coordinate by coordinate."""
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64)[:-1].tolist()
    times[0] = HIGHEST / (1 + HIGHEST)  # σ/α = 100: at t = 1 there is no x̄

    def told(x: torch.Tensor, t: float) -> tuple[torch.Tensor, torch.Tensor]:
        estimate = denoise(x / (1 - t), t / (1 - t))
        return estimate, (x - (1 - t) * estimate) / t

    x = _start(problem, count, generator, 1.0)
    for t, s in pairwise(times):
        estimate, epsilon = told(x, t)
        eta = s * s  # σ_s (1 − α_s)
        mean = (1 - s) * estimate + (s**2 - eta**2) ** 0.5 * epsilon
        proxy = mean + eta * _draw(x, generator)
        if not delayed:
            _, epsilon = told(proxy, s)
        blur = (1 - s) * problem.target_noise
        gamma = eta**2 / (eta**2 + blur**2)
        fitted = (1 - gamma) * mean + gamma * ((1 - s) * problem.target + s * epsilon)
        seen = fitted + blur * gamma.sqrt() * _draw(x, generator)
        x = torch.where(problem.known > 0, seen, proxy if delayed else mean + eta * _draw(x, generator))
    return told(x, times[-1])[0]


def _start(problem: Problem, count: int, generator: torch.Generator, sigma: float) -> torch.Tensor:
    return sigma * torch.randn(count, len(problem.scale), generator=generator).double()


def _draw(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(like.shape, generator=generator).to(like.dtype)  # drawn as float32, which is faster
