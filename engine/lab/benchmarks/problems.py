"""The published problems: a mixture as prior, a linear observation with noise, the posterior in closed form.

An observation y = A x + σ n with A = U S Vᵀ is, in the coordinates Vᵀ x, an inpainting whose known coordinates have
noise of their own, σ/s_i (as in DDRM, arXiv 2201.11793). Problems are kept in these coordinates; no measure used here
changes by the rotation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from engine.lab.benchmarks.mixture import Mixture


@dataclass(frozen=True)
class Problem:
    """y = scale · x + noise · n, coordinate by coordinate.

    Attributes:
        prior: the law of x.
        scale: s, (d,), 0 where nothing is observed.
        y: (d,), 0 where nothing is observed.
        noise: σ.
    """

    prior: Mixture
    scale: torch.Tensor
    y: torch.Tensor
    noise: float

    @property
    def known(self) -> torch.Tensor:
        """1 where observed, else 0, (d,)."""
        return (self.scale > 0).double()

    @property
    def target(self) -> torch.Tensor:
        """What is known of x: y/s, 0 where unknown, (d,)."""
        return self.known * self.y / self.scale.clamp(min=1e-300)

    @property
    def target_noise(self) -> torch.Tensor:
        """The deviation of ``target`` from x, σ/s, 0 where unknown, (d,)."""
        return self.known * self.noise / self.scale.clamp(min=1e-300)

    @property
    def ksd_c(self) -> float:
        """c of :func:`engine.lab.benchmarks.measures.score_ksd`."""
        return 1 / (float(self.scale[self.scale > 0].quantile(0.5)) + 1)

    @cached_property
    def posterior(self) -> Mixture:
        return self.prior.observed(self.scale, self.y, self.noise)


def observe(prior: Mixture, scale: torch.Tensor, x: torch.Tensor, noise: float, generator: torch.Generator) -> Problem:
    """The problem that x (d,) poses through ``scale`` with noise drawn for its observed coordinates."""
    known = (scale > 0).double()
    z = torch.randn(len(x), generator=generator, dtype=torch.float64)
    return Problem(prior, scale, known * (scale * x + noise * z), noise)


def weak(noise: float, draw: int) -> Problem:
    """Many weak observations (arXiv 2602.04189, App. B, A1): x ∈ R¹⁶, the last 14 coordinates observed with
    s = .1, .15 … .75; draw number 0 … of the noise."""
    scale = torch.zeros(16, dtype=torch.float64)
    scale[2:] = torch.linspace(0.1, 0.75, 14, dtype=torch.float64)
    return observe(_two_humps(), scale, TRUTH, noise, torch.Generator().manual_seed(draw))


TRUTH = torch.tensor(
    [3.0, 2.0, 0.5, -0.5, 1.0, 0.8, -0.6, 1.1, -0.9, 0.4, 0.0, -1.2, 0.7, -0.3, 0.5, -0.8], dtype=torch.float64
)
"""x_true of :func:`weak`."""


def _two_humps() -> Mixture:
    """(x_1, x_2) ~ .8 N(0, I) + .2 N((3, 3), 2 I), the other 14 N(0, 1)."""
    means, variances = torch.zeros(2, 16, dtype=torch.float64), torch.ones(2, 16, dtype=torch.float64)
    means[1, :2], variances[1, :2] = 3, 2
    return Mixture(torch.tensor([0.8, 0.2], dtype=torch.float64), means, variances)


def grid(d: int, observed: int, number: int) -> Problem:
    """25 Gaussians with covariance I at (8 i, 8 j, 8 i, 8 j …), i, j = −2 … 2, weights χ²; A random, its singular
    values uniform in (0, 1), σ uniform in (0, max s) (arXiv 2308.07983, as its code has it). ``number`` 0 … is the
    problem; the paper's own seeds cannot be had without its random generator."""
    generator = torch.Generator().manual_seed(1000 * d + 100 * observed + number)

    def uniform(count: int) -> torch.Tensor:
        return torch.rand(count, generator=generator, dtype=torch.float64)

    steps = torch.arange(-2, 3, dtype=torch.float64) * 8
    means = torch.cartesian_prod(steps, steps).repeat(1, d // 2)
    weights = torch.randn(25, generator=generator, dtype=torch.float64) ** 2
    rows = torch.linalg.qr(torch.randn(d, observed, generator=generator, dtype=torch.float64), mode="complete")[0].T
    scale = torch.zeros(d, dtype=torch.float64)
    scale[:observed] = uniform(observed).sort(descending=True)[0]
    noise = float(uniform(1) * scale.max())
    prior = Mixture(weights / weights.sum(), means @ rows.T, torch.ones(1, d, dtype=torch.float64))
    return observe(prior, scale, prior.sample(1, generator)[0], noise, generator)


SEEN = (0, 1, 2, 4, 5, 6, 7, 9)
"""The observed ones of ten coordinates of :func:`correlated`."""


def correlated(noise: float, number: int) -> Problem:
    """A true inpainting whose coordinates hang together (arXiv 2503.03007): x ∈ R¹⁰, .4 N(−5, I) + .3 N(0, diag(1 … 2))
    + .3 N(5, Q diag(1 … 2) Qᵀ), eight coordinates seen with σ = .1 or 5. Q is one random rotation, the same for all;
    ``number`` 0 … is the problem."""
    generator = torch.Generator().manual_seed(number)
    turn = torch.randn(10, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    axes = torch.eye(10, dtype=torch.float64).repeat(3, 1, 1)
    axes[2] = torch.linalg.qr(turn)[0]
    ramp = torch.linspace(1, 2, 10, dtype=torch.float64)
    means = torch.tensor([-5.0, 0.0, 5.0], dtype=torch.float64)[:, None].repeat(1, 10)
    weights = torch.tensor([0.4, 0.3, 0.3], dtype=torch.float64)
    prior = Mixture(weights, means, torch.stack([torch.ones_like(ramp), ramp, ramp]), axes)
    scale = torch.zeros(10, dtype=torch.float64)
    scale[list(SEEN)] = 1
    return observe(prior, scale, prior.sample(1, generator)[0], noise, generator)
