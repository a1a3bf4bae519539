"""The corrector (`quality`) against two closed-form problems, and what makes it resumable."""

from __future__ import annotations

import json
import math
from collections import deque
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.errors import BadInput
from engine.sampling import schedule
from engine.sampling.corrector import CorrectorSettings, corrected, sampler_of
from engine.sampling.diffusion import Diffusion, cosine_alpha_bar, linear_alpha_bar
from engine.sampling.noise import Noise
from engine.sampling.presets import PRESETS
from engine.sampling.sampler import RePaintSettings, repaint
from tests.engine.exact import DATA, gaussian_network

PROBLEMS = json.loads((DATA / "closed_form_problems.json").read_text())
ALPHA_BAR = linear_alpha_bar()
SAMPLES = 8_000


def _run(network, y, known, preset="quality", samples=SAMPLES, seed=3):
    """x_0 of ``samples`` runs, shape (samples, n), and the calls made, without clipping."""
    chosen = PRESETS[preset]
    settings = replace(chosen.settings.with_eta(None), clip=False)
    diffusion = Diffusion(ALPHA_BAR, chosen.steps, spacing=settings.spacing)
    y = torch.tensor(y).expand(1, 1, samples, len(y)).contiguous()
    sampler = sampler_of(settings)
    states = sampler(network, diffusion, chosen.schedule, y, torch.tensor(known).float(), Noise([seed]), settings)
    last = deque(states, maxlen=1).pop()
    assert last.call == chosen.calls
    return last.x[0, 0].double().numpy(), last.call


def _gp():
    problem = PROBLEMS["gp_1d"]
    place = np.arange(problem["n"])
    covariance = 0.25 * np.exp(-((place[:, None] - place) ** 2) / (2 * 4**2)) + 0.0025 * np.eye(problem["n"])
    known = np.array(problem["known"], bool)
    gain = covariance[np.ix_(~known, known)] @ np.linalg.inv(covariance[np.ix_(known, known)])
    mean = gain @ np.array(problem["y"])[known]
    spread = covariance[np.ix_(~known, ~known)] - gain @ covariance[np.ix_(known, ~known)]

    def network(x, timestep):
        a = float(ALPHA_BAR[timestep])
        to_x0 = math.sqrt(a) * covariance @ np.linalg.inv(a * covariance + (1 - a) * np.eye(len(place)))
        return (x - a**0.5 * (x @ torch.from_numpy(to_x0.T).to(x.dtype))) / (1 - a) ** 0.5

    return network, problem["y"], known, mean, spread


def _errors(x, mean, spread):
    """Relative mean error, and KL divergence per dimension from the exact conditional."""
    got_mean, got = x.mean(axis=0), np.cov(x.T)
    inverse = np.linalg.inv(spread)
    shift = mean - got_mean
    logs = np.linalg.slogdet(spread)[1] - np.linalg.slogdet(got)[1]
    divergence = 0.5 * (np.trace(inverse @ got) + shift @ inverse @ shift - len(mean) + logs) / len(mean)
    return np.linalg.norm(shift) / np.linalg.norm(mean), divergence


def test_gaussian_process():
    network, y, known, mean, spread = _gp()
    x, calls = _run(network, y, known)
    mean_error, divergence = _errors(x[:, ~known], mean, spread)
    assert calls <= 120
    assert mean_error <= 0.45
    assert divergence <= 0.07
    # The known points end where they belong.
    assert np.abs(x[:, known] - np.array(y)[known]).max() < 1e-5


@pytest.mark.slow
def test_quality_beats_plain_masking_at_the_same_cost():
    """The same problem without any harmonising: the measure must be able to tell."""
    network, y, known, mean, spread = _gp()
    diffusion = Diffusion(ALPHA_BAR, 115)
    row = torch.tensor(y).expand(1, 1, SAMPLES, len(y)).contiguous()
    keep = torch.tensor(known).float()
    *_, last = repaint(network, diffusion, schedule.plain(115), row, keep, Noise([3]), RePaintSettings(clip=False))
    plain = _errors(last.x[0, 0].double().numpy()[:, ~known], mean, spread)
    quality = _errors(_run(network, y, known)[0][:, ~known], mean, spread)
    assert plain[0] > quality[0]
    assert plain[1] > quality[1]


def test_twenty_five_modes():
    problem = PROBLEMS["modes_25"]
    means, weights = torch.tensor(problem["means"]), torch.tensor(problem["weights"])
    sigma = problem["sigma"]

    def network(x, timestep):
        a = float(ALPHA_BAR[timestep])
        variance = a * sigma**2 + 1 - a
        away = x[..., None, :] - math.sqrt(a) * means
        share = torch.softmax(torch.log(weights) - away.square().sum(-1) / (2 * variance), dim=-1)
        x0_hat = (share[..., None] * (means + math.sqrt(a) * sigma**2 / variance * away)).sum(-2)
        return (x - a**0.5 * x0_hat) / (1 - a) ** 0.5

    x, _ = _run(network, problem["y"], problem["known"])
    nearest = ((x[:, None] - means.numpy()) ** 2).sum(-1).argmin(1)
    shares = np.bincount(nearest, minlength=25) / len(nearest)
    assert 0.5 * np.abs(shares - problem["exact_mode_weights"]).sum() <= 0.10


def test_levels_are_spread_in_sigma():
    diffusion = Diffusion(ALPHA_BAR, 20, spacing="karras")
    sigma = np.sqrt(1 / diffusion.alpha_bars - 1)
    wanted = np.linspace(0.0292 ** (1 / 7), 157 ** (1 / 7), 20) ** 7
    assert np.abs(np.log(sigma / wanted)).max() < 0.12
    assert diffusion.timesteps[-1] == 999
    assert len(Diffusion(cosine_alpha_bar(), 20, spacing="karras").timesteps) == 20
    with pytest.raises(BadInput):
        _ = Diffusion(ALPHA_BAR, 900, spacing="karras").timesteps


def test_calls_are_counted_with_corrections():
    assert PRESETS["quality"].calls == 19 * 6 + 1 == 115
    levels = schedule.uniform(20, 5, 2)
    seen = []
    inner = gaussian_network(ALPHA_BAR)

    def network(x, timestep):
        seen.append(timestep)
        return inner(x, timestep)

    settings = CorrectorSettings(spacing="karras", corrections=2, clip=False)
    diffusion = Diffusion(ALPHA_BAR, 20, spacing="karras")
    states = list(
        corrected(network, diffusion, levels, torch.zeros(1, 1, 4, 2), torch.tensor([1.0, 0.0]), Noise([1]), settings)
    )
    assert len(seen) == settings.calls(levels) == len(states)
    assert [state.call for state in states] == list(range(1, len(states) + 1))


def test_resumed_in_the_middle_of_a_level_equals_uninterrupted():
    levels = schedule.uniform(8, 3, 2)
    settings = CorrectorSettings(spacing="karras", corrections=3, clip=True)
    network, diffusion = gaussian_network(ALPHA_BAR), Diffusion(ALPHA_BAR, 8, spacing="karras")
    y, keep = torch.full((1, 1, 3, 2), 0.3), torch.tensor([1.0, 0.0])
    whole = list(corrected(network, diffusion, levels, y, keep, Noise([5]), settings))
    for state in whole[:-1]:
        rest = list(corrected(network, diffusion, levels, y, keep, Noise([5], state.draws), settings, state))
        assert len(rest) == len(whole) - state.call
        assert torch.equal(rest[-1].x, whole[-1].x)
