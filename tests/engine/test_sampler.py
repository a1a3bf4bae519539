"""The sampler against the closed form, an independent loop, and the traps of public implementations."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from engine.errors import EngineError
from engine.sampling import schedule
from engine.sampling.diffusion import Diffusion, cosine_alpha_bar, linear_alpha_bar
from engine.sampling.noise import Noise
from engine.sampling.presets import PRESETS
from engine.sampling.sampler import RePaintSettings, Settings, State, repaint
from tests.engine.exact import ROWS, gaussian_network

SAMPLES = 40_000
LONG, SAMPLES_OF_LONG = 1000, 10_000
"""Runs of so many calls take fewer samples; four standard errors of their mean are .017 then."""
OURS = [row for row in ROWS if not row["alg"].startswith("diffusers")]


def _settings(row) -> Settings:
    if row["alg"].startswith("repaint"):
        return RePaintSettings(kappa=1.0, variance=row["var"], clip=False)
    if row["eta"] == "L":
        return RePaintSettings(kappa=0.0, variance="large", clip=False)
    return RePaintSettings(kappa=0.0, eta=row["eta"], clip=False)


def _final(levels, settings, seed=7, samples=SAMPLES, network=None, diffusion=None) -> torch.Tensor:
    """The last x of a run with x1 = 1 known, shape (samples, 2)."""
    alpha_bar = linear_alpha_bar()
    diffusion = diffusion or Diffusion(alpha_bar, levels.steps)
    y = torch.zeros(1, 1, samples, 2)
    y[..., 0] = 1.0
    keep = torch.tensor([1.0, 0.0])
    states = repaint(network or gaussian_network(alpha_bar), diffusion, levels, y, keep, Noise([seed]), settings)
    return deque(states, maxlen=1).pop().x[0, 0]


def _name(row) -> str:
    return f"{row['alg'][:7]}-{row.get('var', row.get('eta'))}-{row['T']}-{row['L']}-{row['n']}"


def _levels(row):
    return schedule.uniform(row["T"], row["L"], row["n"])


def _marks(row):
    return [pytest.mark.slow] if _levels(row).calls > LONG else []


@pytest.mark.parametrize("row", [pytest.param(row, id=_name(row), marks=_marks(row)) for row in OURS])
def test_closed_form(row):
    """Mean and variance within 4 standard errors of the exact recursion (κ = 1 and κ = 0)."""
    levels = _levels(row)
    samples = SAMPLES_OF_LONG if levels.calls > LONG else SAMPLES
    x = _final(levels, _settings(row), samples=samples)[:, 1].double()
    mean_error = math.sqrt(row["variance"] / samples)
    variance_error = row["variance"] * math.sqrt(2 / (samples - 1))
    assert abs(x.mean().item() - row["mean"]) < 4 * mean_error
    assert abs(x.var().item() - row["variance"]) < 4 * variance_error


def test_less_noise_loses_less_variance():
    """Why `fast` leaves η to the model: with an exact denoiser 75 calls lose a fifth of the variance with η = 1."""
    fast = PRESETS["fast"]
    diffusion = Diffusion(linear_alpha_bar(), fast.steps, first_alpha_bar=fast.settings.first_alpha_bar)
    found = {}
    for eta in (None, 0.75):
        settings = replace(fast.settings, eta=eta, clip=False)
        x = _final(fast.schedule, settings, diffusion=diffusion)[:, 1].double()
        found[eta] = x.mean().item(), x.var().item()
    assert found[None] == (pytest.approx(0.895, abs=0.008), pytest.approx(0.151, abs=0.005))
    assert found[0.75] == (pytest.approx(0.893, abs=0.008), pytest.approx(0.163, abs=0.005))
    divergence = {eta: _divergence(*moments) for eta, moments in found.items()}
    assert divergence[0.75] < 0.6 * divergence[None], "from the exact mean .9 and variance .19"


def _divergence(mean: float, variance: float) -> float:
    """Kullback–Leibler divergence of a Gaussian from the exact answer, in nats."""
    ratio = variance / 0.19
    return 0.5 * (ratio - 1 - math.log(ratio) + (mean - 0.9) ** 2 / 0.19)


@pytest.mark.parametrize("prediction", ["v_prediction", "sample", "flow"])
def test_every_prediction_type_gives_the_same_picture(prediction):
    levels, alpha_bar = schedule.uniform(20, 5, 2), linear_alpha_bar()
    expected = _final(levels, RePaintSettings(clip=False), samples=100)
    diffusion = Diffusion(alpha_bar, 20, prediction)
    network = gaussian_network(alpha_bar, prediction)
    got = _final(levels, RePaintSettings(clip=False), samples=100, network=network, diffusion=diffusion)
    assert torch.allclose(got, expected, atol=2e-3)


def test_ddim_with_full_noise_is_ddpm_with_posterior_variance():
    levels = schedule.uniform(50, 5, 2)
    ddim = _final(levels, RePaintSettings(kappa=0.0, eta=1.0, clip=False), samples=200)
    ddpm = _final(levels, RePaintSettings(kappa=0.0, variance="small", clip=False), samples=200)
    assert torch.allclose(ddim, ddpm, atol=1e-4)


@pytest.mark.parametrize("steps", [50, 100, 250, 300, 600])
def test_undo_lands_on_the_alpha_bar_table(steps):
    """An undo takes variance 1 − ᾱ_{t−1} and signal √ᾱ_{t−1} exactly to level t."""
    diffusion = Diffusion(linear_alpha_bar(), steps)
    for level in range(1, steps):
        before, after = diffusion.alpha_bar(level - 1), diffusion.alpha_bar(level)
        zero, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
        shrink = diffusion.undo(one, level, zero).item()
        spread = diffusion.undo(zero, level, one).item()
        assert shrink * math.sqrt(before) == pytest.approx(math.sqrt(after), abs=1e-6)
        assert shrink**2 * (1 - before) + spread**2 == pytest.approx(1 - after, abs=1e-6)


def test_clipping_derives_epsilon_again():
    """algorithm: t=500, prev=496, x=1.5, ε̂=−1.2 → posterior mean 1.47715; the raw-ε̂ form would give −0.84085."""
    alpha_bar = linear_alpha_bar()
    diffusion = Diffusion(alpha_bar[[496, 500]], 2)
    x = torch.full((1, 1, 1, 1), 1.5, dtype=torch.float64)
    estimate = diffusion.estimate(lambda x, _t: torch.full_like(x, -1.2), x, 1, clip=True)
    assert estimate.x0_hat.item() == 1.0
    assert diffusion.posterior_mean(x, estimate.x0_hat, 1).item() == pytest.approx(1.47715, abs=1e-5)
    again = (x - math.sqrt(diffusion.alpha_bar(1))) / math.sqrt(1 - diffusion.alpha_bar(1))
    assert estimate.epsilon.item() == pytest.approx(again.item())


def test_learned_variance_spans_its_range():
    diffusion = Diffusion(linear_alpha_bar(), 100)
    for level in (0, 1, 40, 99):
        small = math.sqrt(diffusion.posterior_variances[max(level, 1)])
        large = math.sqrt(diffusion.betas[level])
        low, high = (diffusion.learned_deviation(torch.tensor([f]), level).item() for f in (0.0, 1.0))
        assert low == pytest.approx(small, rel=1e-5)
        assert high == pytest.approx(large, rel=1e-5)


def test_learned_variance_is_taken_from_the_second_half_of_the_output():
    alpha_bar = linear_alpha_bar()
    inner = gaussian_network(alpha_bar)
    levels = schedule.plain(20)

    def network(fill):
        def six_channels(x, timestep):
            out = inner(x, timestep)
            return torch.cat([out, torch.full_like(out, fill)], dim=1)

        return six_channels

    learned = RePaintSettings(variance="learned", clip=False)
    for fill, variance in ((1.0, "large"), (-1.0, "small")):
        got = _final(levels, learned, samples=50, network=network(fill))
        expected = _final(levels, RePaintSettings(variance=variance, clip=False), samples=50)
        # β̃_0 := β̃_1 matters only at level 0, where no noise is added.
        assert torch.allclose(got, expected, atol=1e-4)
    auto = RePaintSettings(variance="auto", clip=False)
    assert torch.equal(
        _final(levels, auto, samples=50, network=network(1.0)),
        _final(levels, learned, samples=50, network=network(1.0)),
    )
    assert torch.equal(
        _final(levels, auto, samples=50), _final(levels, RePaintSettings(variance="small", clip=False), samples=50)
    )
    with pytest.raises(EngineError, match="no learned variance"):
        _final(levels, learned, samples=1)


def test_equals_an_independent_loop_with_injected_noise():
    """Algorithm 1 written a second time, in float64 and with scalars only, fed the same noise."""
    alpha_bar = linear_alpha_bar()
    levels = schedule.uniform(12, 3, 3)
    y_value = 0.4
    draws = Noise([11])
    like = torch.zeros(1, 1, 1, 2)

    def z() -> np.ndarray:
        return draws.draw(like).numpy().reshape(2).astype(np.float64)

    picked = [round(i * 999 / 11) for i in range(12)]
    table = [alpha_bar[i] for i in picked]
    network = gaussian_network(alpha_bar)
    x = z()
    for t, s in pairwise(levels.levels):
        if s > t:
            beta = 1 - table[s] / table[s - 1]
            x = math.sqrt(1 - beta) * x + math.sqrt(beta) * z()
            continue
        a = table[t]
        b = table[t - 1] if t else 1.0
        x = np.array([math.sqrt(a) * y_value + math.sqrt(1 - a) * z()[0], x[1]])
        eps = network(torch.from_numpy(x).view(1, 1, 1, 2), picked[t]).numpy().reshape(2)
        x0 = np.clip((x - math.sqrt(1 - a) * eps) / math.sqrt(a), -1, 1)
        beta = 1 - a / b
        x = (math.sqrt(b) * beta * x0 + math.sqrt(a / b) * (1 - b) * x) / (1 - a)
        if t > 0:
            x = x + math.sqrt(beta * (1 - b) / (1 - a)) * z()
    y = torch.full((1, 1, 1, 2), y_value)
    keep, settings = torch.tensor([1.0, 0.0]), RePaintSettings()
    *_, last = repaint(network, Diffusion(alpha_bar, 12), levels, y, keep, Noise([11]), settings)
    assert np.abs(last.x.numpy().reshape(2) - x).max() < 1e-5


@pytest.mark.parametrize("kappa", [1.0, 0.5, 0.0])
def test_resumed_equals_uninterrupted(kappa):
    alpha_bar = linear_alpha_bar()
    levels = schedule.uniform(20, 4, 3)
    network, diffusion = gaussian_network(alpha_bar), Diffusion(alpha_bar, 20)
    y, keep, settings = torch.full((1, 1, 3, 2), 0.3), torch.tensor([1.0, 0.0]), RePaintSettings(kappa=kappa)
    whole = list(repaint(network, diffusion, levels, y, keep, Noise([5]), settings))
    for stop in (1, 17, len(whole) - 1):
        state = whole[stop - 1]
        assert isinstance(state, State)
        rest = list(repaint(network, diffusion, levels, y, keep, Noise([5], state.draws), settings, state))
        assert len(rest) == levels.calls - stop
        assert torch.equal(rest[-1].x, whole[-1].x)
        assert rest[-1].call == levels.calls


def test_calls_are_counted_as_the_network_sees_them():
    seen = []
    alpha_bar = linear_alpha_bar()
    inner = gaussian_network(alpha_bar)

    def network(x, timestep):
        seen.append(timestep)
        return inner(x, timestep)

    levels = schedule.uniform(50, 5, 2)
    y, keep = torch.zeros(1, 1, 1, 2), torch.zeros(2)
    states = list(repaint(network, Diffusion(alpha_bar, 50), levels, y, keep, Noise([0]), RePaintSettings(kappa=0.0)))
    assert len(seen) == levels.calls == 95
    assert [state.call for state in states] == list(range(1, 96))
    assert seen[0] == 999
    assert seen[-1] == 0


def test_rows_of_a_batch_do_not_depend_on_each_other():
    both = Noise([3, 4]).draw(torch.zeros(2, 3, 8, 8))
    alone = Noise([4]).draw(torch.zeros(1, 3, 8, 8))
    assert torch.equal(both[1], alone[0])
    assert not torch.equal(both[0], both[1])


def test_seeds_that_agree_in_32_bits_differ():
    like = torch.zeros(1, 16)
    assert not torch.equal(Noise([1]).draw(like), Noise([1 + 2**32]).draw(like))


def test_nan_from_the_network_is_a_sentence():
    diffusion = Diffusion(linear_alpha_bar(), 10)
    with pytest.raises(EngineError, match="invalid numbers"):
        diffusion.estimate(lambda x, _t: x * math.nan, torch.zeros(1, 1, 1, 1), 5, clip=True)


def test_respacing_and_cosine_tables():
    assert list(Diffusion(linear_alpha_bar(), 5).timesteps) == [0, 250, 500, 749, 999]
    whole = Diffusion(linear_alpha_bar(), 1000)
    assert np.allclose(whole.betas, np.linspace(1e-4, 0.02, 1000))
    cosine = cosine_alpha_bar()
    short = Diffusion(linear_alpha_bar(), 40, first_alpha_bar=0.002)
    assert short.alpha_bars[-1] <= 0.002 < linear_alpha_bar()[short.timesteps[-1] - 1]
    assert short.timesteps[0] == 0
    assert Diffusion(cosine, 40, first_alpha_bar=1e-12).timesteps[-1] == 999  # it never falls that far
    assert cosine[0] == pytest.approx(0.99996, abs=1e-4)
    assert cosine[499] == pytest.approx(math.cos((0.5 + 0.008) / 1.008 * math.pi / 2) ** 2, rel=1e-3)
    assert (np.diff(cosine) < 0).all()
