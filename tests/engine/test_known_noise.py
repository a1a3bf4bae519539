"""A known region that is noisy: against the exact posterior of a Gaussian, and through a job."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from engine import api
from engine.commands import cli
from engine.errors import BadInput
from engine.run.painting import Painting
from engine.sampling import schedule
from engine.sampling.corrector import sampler_of
from engine.sampling.diffusion import Diffusion, linear_alpha_bar
from engine.sampling.noise import Noise
from engine.sampling.presets import PRESETS
from engine.sampling.sampler import RePaintSettings
from tests.engine.exact import gaussian_network
from tests.engine.latent_help import hole, image, job, last, toy
from tests.engine.toys import FOLDER

ALPHA_BAR = linear_alpha_bar()
SAMPLES = 6000
KEEP = torch.tensor([1.0, 0.0])


def _states(levels, settings, diffusion, tau, samples=SAMPLES, start=None, draws=0):
    """Runs of two coordinates with correlation .9, of which the first is seen as 1, with noise τ."""
    y = torch.zeros(1, 1, samples, 2)
    y[..., 0] = 1.0
    sampler, network = sampler_of(settings), gaussian_network(ALPHA_BAR)
    return sampler(network, diffusion, levels, y, KEEP, Noise([3], draws), settings, start, known_noise=tau)


def _preset(name: str, tau) -> torch.Tensor:
    chosen = PRESETS[name]
    settings = replace(chosen.settings.with_eta(None), clip=False)
    diffusion = Diffusion(ALPHA_BAR, chosen.steps, spacing=settings.spacing, first_alpha_bar=settings.first_alpha_bar)
    return deque(_states(chosen.schedule, settings, diffusion, tau), maxlen=1).pop().x[0, 0].double()


@pytest.mark.parametrize("tau", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("name", ["fast", "quality"])
def test_the_fill_is_that_of_the_posterior(name, tau):
    """x_2 given x_1 + τ n = 1: mean .9/(1 + τ²), variance 1 − .81/(1 + τ²). *fast* loses a fifth to a quarter
    of the variance, as it does without noise (test_sampler.py); pasting y as if it were exact has the mean .9 and the
    variance .19."""
    mean, variance = 0.9 / (1 + tau**2), 1 - 0.81 / (1 + tau**2)
    known_mean, known_variance = 1 / (1 + tau**2), tau**2 / (1 + tau**2)
    x = _preset(name, tau)
    assert x[:, 1].mean().item() == pytest.approx(mean, abs=0.05)
    assert x[:, 1].var().item() == pytest.approx(variance, rel=0.3 if name == "fast" else 0.05)
    assert x[:, 0].mean().item() == pytest.approx(known_mean, abs=0.05)  # what is known is denoised, too
    assert x[:, 0].var().item() == pytest.approx(known_variance, rel=0.5 if name == "fast" else 0.15)


def test_repaint_with_fresh_noise_takes_it_as_well():
    settings, levels = RePaintSettings(clip=False), schedule.uniform(100, 1, 3)
    *_, end = _states(levels, settings, Diffusion(ALPHA_BAR, 100), 1.0, 4000)
    x = end.x[0, 0].double()
    assert x[:, 1].mean().item() == pytest.approx(0.45, abs=0.1)
    assert x[:, 1].var().item() == pytest.approx(0.595, rel=0.25)


@pytest.mark.parametrize("name", ["fast", "quality"])
def test_each_value_may_have_its_own_and_none_is_none(name):
    each = _preset(name, torch.tensor([0.3, 0.0]))
    assert torch.allclose(each, _preset(name, 0.3), atol=1e-5)
    assert torch.allclose(_preset(name, torch.zeros(2)), _preset(name, 0.0), atol=1e-5)


@pytest.mark.parametrize("name", ["fast", "quality"])
def test_resumed_in_the_middle_equals_uninterrupted(name):
    settings = replace(PRESETS[name].settings.with_eta(None), clip=True)
    levels, diffusion = schedule.uniform(8, 3, 2), Diffusion(ALPHA_BAR, 8, spacing=settings.spacing)
    whole = list(_states(levels, settings, diffusion, 0.7, 3))
    for state in whole[:-1:4]:
        *_, end = _states(levels, settings, diffusion, 0.7, 3, state, state.draws)
        assert torch.equal(end.x, whole[-1].x)


def test_a_job_has_it_and_what_is_known_comes_back_bit_for_bit():
    plain, none, noisy = (last(toy(), known_noise=noise) for noise in (0.0, 0, 25.0))
    assert np.array_equal(plain.fill, none.fill)
    assert not np.array_equal(plain.fill, noisy.fill)
    assert np.array_equal(plain.layer()[..., 3], noisy.layer()[..., 3])


def test_it_is_told_as_the_model_sees_the_picture():
    """A deep picture that uses a quarter of its range is stretched, and its noise with it."""
    plain = job(toy(), known_noise=5.1)
    deep = plain.image.astype(np.uint16)
    deep[..., :3] = 20_000 + deep[..., :3] * 32
    deep[..., 3] = 65_535
    found, stretched = (Painting.of(each, toy()) for each in (plain, replace(plain, image=deep)))
    assert found.known_noise == pytest.approx(0.04)
    assert stretched.known_noise == pytest.approx(0.04 / (stretched.light.high - stretched.light.low))
    assert stretched.known_noise > 4 * found.known_noise


@pytest.mark.parametrize("noise", [-1.0, 128.5, float("nan")])
def test_out_of_range(noise):
    with pytest.raises(BadInput, match="must be 0 to 128") as caught:
        list(api.run(job(toy(), known_noise=noise), toy()))
    assert caught.value.code == "bad_noise"


def test_the_default_model_has_none():
    model = api.load_model("exemplar", "cpu")
    with pytest.raises(BadInput, match="copies the picture as it is"):
        list(api.run(job(model, known_noise=3.0), model))


def test_the_command_line_has_it(tmp_path):
    Image.fromarray(image()).save(tmp_path / "in.png")
    Image.fromarray(hole(128, 40, 36, 48)).save(tmp_path / "mask.png")
    quick = ["--steps", "4", "--jump-length", "4", "--jump-samples", "1", "--seed", "1"]
    for name, more in (("plain", []), ("zero", ["--known-noise", "0"]), ("noisy", ["--known-noise", "30"])):
        files = [str(tmp_path / "in.png"), "-m", str(tmp_path / "mask.png"), "-o", str(tmp_path / f"{name}.png")]
        assert cli.main(["inpaint", *files, "--model", str(FOLDER), "--device", "cpu", *quick, *more]) == 0
    plain, zero, noisy = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("plain", "zero", "noisy"))
    assert np.array_equal(plain, zero)
    assert not np.array_equal(plain, noisy)
