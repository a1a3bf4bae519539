"""The published problems, the measures on them, and the rivals' methods: each against a closed form or a published
number."""

from __future__ import annotations

from statistics import fmean

import pytest
import torch

from engine.lab.benchmarks import measures, problems, rivals
from engine.lab.benchmarks.methods import METHODS, draw
from engine.lab.benchmarks.mixture import Mixture
from engine.lab.benchmarks.problems import Problem

PROBLEMS = {
    "diagonal": problems.weak(0.5, 0),
    "shared": problems.grid(8, 2, 0),
    "turned": problems.correlated(0.5, 0),
}


def _log_density(mixture: Mixture, x: torch.Tensor, sigma: float = 0.0) -> torch.Tensor:
    """log p(x) of the mixture with noise of deviation σ, by torch's own distributions."""
    eye = torch.eye(x.shape[1], dtype=torch.float64)
    axes = eye.expand(len(mixture.means), -1, -1) if mixture.axes is None else mixture.axes
    variances = mixture.variances.expand_as(mixture.means)
    covariance = axes @ torch.diag_embed(variances) @ axes.mT + sigma**2 * eye
    parts = torch.distributions.MultivariateNormal(mixture.means, covariance)
    return torch.distributions.MixtureSameFamily(torch.distributions.Categorical(mixture.weights), parts).log_prob(x)


def _points(problem: Problem, count: int = 20) -> torch.Tensor:
    """Where no component is so unlikely that torch's distributions take its weight for another."""
    return problem.posterior.sample(count, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", PROBLEMS)
def test_posterior_is_prior_times_likelihood(name):
    problem = PROBLEMS[name]
    x = _points(problem)
    likelihood = -((problem.y - problem.scale * x) ** 2).sum(1) / (2 * problem.noise**2)
    constant = _log_density(problem.prior, x) + likelihood - _log_density(problem.posterior, x)
    assert constant.std() < 1e-8


@pytest.mark.parametrize("name", PROBLEMS)
def test_denoiser_and_score(name):
    """Tweedie: E[x_0 | x] = x + σ² ∇ log p_σ(x)."""
    prior = PROBLEMS[name].prior
    for sigma in (0.3, 5.0):
        x = (_points(PROBLEMS[name]) + sigma).requires_grad_()
        (slope,) = torch.autograd.grad(_log_density(prior, x, sigma).sum(), x)
        assert torch.allclose(prior.denoise(x, sigma), x + sigma**2 * slope, atol=1e-9)
    x = _points(PROBLEMS[name]).requires_grad_()
    (slope,) = torch.autograd.grad(_log_density(prior, x).sum(), x)
    assert torch.allclose(prior.score(x), slope, atol=1e-9)


@pytest.mark.parametrize("name", PROBLEMS)
def test_samples_have_the_moments(name):
    posterior = PROBLEMS[name].posterior
    x = posterior.sample(20_000, torch.Generator().manual_seed(1))
    mean, variance = posterior.moments()
    assert torch.allclose(x.mean(0), mean, atol=5 * float((variance / len(x)).sqrt().max()))
    assert torch.allclose(x.var(0), variance, rtol=0.1)


def test_score_ksd_is_the_stein_kernel():
    """Against u(x, x') by automatic differentiation of the kernel."""
    problem, c = PROBLEMS["diagonal"], 0.7
    x = _points(problem, 2)
    score = problem.posterior.score(x)

    def kernel(a, b):
        return (c**2 + (a - b).square().sum()) ** -0.5

    total = 0.0
    for a, s in zip(x, score, strict=True):
        for b, t in zip(x, score, strict=True):
            by_a, by_b = torch.func.grad(kernel, 0)(a, b), torch.func.grad(kernel, 1)(a, b)
            trace = torch.func.jacfwd(torch.func.grad(kernel, 0), 1)(a, b).trace()
            total += float(kernel(a, b) * s @ t + s @ by_b + t @ by_a + trace)
    assert measures.score_ksd(x, score, c) == pytest.approx((total / x.shape[1]) ** 0.5 / len(x))


def test_distances_of_what_is_moved():
    x = torch.randn(400, 2, generator=torch.Generator().manual_seed(3)).double()
    generator = torch.Generator().manual_seed(4)
    moved = x + torch.tensor([3.0, 0.0])
    # The mean of |cos| over all directions is 2/π.
    assert measures.sliced_wasserstein(x, moved, generator, 2000) == pytest.approx(3 * 2 / torch.pi, rel=0.05)
    assert measures.mmd(x, x) == pytest.approx(0, abs=1e-12)
    assert measures.mmd(x, moved) > 0.5


PUBLISHED = {
    "exact": (0.36, 0.24),
    "ddrm": (0.67, 0.70),
    "ddnm": (1.18, 2.56),
    "dps": (0.42, 0.38),
    "diffpir-fixed": (0.61, 1.23),
}
"""An-KSD for σ = .2 and .5: arXiv 2602.04189v2, Table 3."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_rivals_reach_their_published_numbers(name):
    """To a quarter: the paper's five draws of the noise, and the settings of its toy, are not published."""
    for noise, published in zip((0.2, 0.5), PUBLISHED[name], strict=True):
        found = []
        for number in range(1 if name == "dps" else 5):  # a thousand calls, and the draws hardly differ
            problem = problems.weak(noise, number)
            x = draw(METHODS[name], problem, 100, number).x
            found.append(measures.score_ksd(x, problem.posterior.score(x), problem.ksd_c))
        assert fmean(found) == pytest.approx(published, rel=0.25)


def _pair() -> Problem:
    """x_0 ~ N(0, [[1, .9], [.9, 1]]) of which the first coordinate is 1: the other is N(.9, .19)."""
    turn = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64) / 2**0.5
    one = torch.ones(1, dtype=torch.float64)
    prior = Mixture(one, torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[1.9, 0.1]]).double(), turn[None])
    known = torch.tensor([1.0, 0.0], dtype=torch.float64)
    return Problem(prior, known, known, 0.01)


@pytest.mark.parametrize("name", ["lanpaint", "ding", "ding-delayed", "fast", "quality"])
def test_a_pair_of_coordinates(name):
    """Of LanPaint and DInG no number on a problem like these is published; the closed form holds them. LanPaint's five
    short steps a level do not get there; many do, see below."""
    drawn = draw(METHODS[name], _pair(), 5_000, 5)
    assert drawn.x[:, 0].mean() == pytest.approx(1, abs=0.02)
    assert drawn.x[:, 1].mean() == pytest.approx(0.9, abs=0.25 if name == "lanpaint" else 0.15)
    assert drawn.x[:, 1].var() == pytest.approx(0.19, abs=0.1)


def test_lanpaint_finds_the_conditional_with_many_steps():
    x = rivals.lanpaint(_pair().prior.denoise, _pair(), 5_000, torch.Generator().manual_seed(6), inner=40)
    assert x[:, 1].mean() == pytest.approx(0.9, abs=0.03)
    assert x[:, 1].var() == pytest.approx(0.19, abs=0.03)
