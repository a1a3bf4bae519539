"""`fast` for flow models: 50 levels with a flow's own noise, against the Gaussian process and through a job."""

from __future__ import annotations

import json
import math
from collections import deque
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine import api
from engine.run import states
from engine.sampling import PRESETS, Diffusion, Noise, flow_alpha_bar, sampler_of
from tests.engine.exact import DATA
from tests.engine.latent_help import hole, image
from tests.engine.toys import kinds

FAST = PRESETS["fast"]
PROBLEM = json.loads((DATA / "closed_form_problems.json").read_text())["gp_1d"]
SAMPLES = 3000


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> api.Model:
    return api.load_model(str(kinds.write("sd3", tmp_path_factory.mktemp("kinds") / "sd3")), "cpu")


def _divergence(preset, shift: float) -> tuple[float, float]:
    """Relative error of the mean, and KL divergence per dimension, of the exact conditional of the unknown points."""
    place, known = np.arange(PROBLEM["n"]), np.array(PROBLEM["known"], bool)
    covariance = 0.25 * np.exp(-((place[:, None] - place) ** 2) / 32) + 0.0025 * np.eye(len(place))
    gain = covariance[np.ix_(~known, known)] @ np.linalg.inv(covariance[np.ix_(known, known)])
    mean = gain @ np.array(PROBLEM["y"])[known]
    spread = covariance[np.ix_(~known, ~known)] - gain @ covariance[np.ix_(known, ~known)]
    alpha_bar, _ = flow_alpha_bar(1000, shift)

    def network(x: torch.Tensor, timestep: int) -> torch.Tensor:
        """ε̂ − x̂_0 for x^f = (1 − t) x_0 + t ε."""
        a = float(alpha_bar[timestep])
        x = x * (math.sqrt(a) + math.sqrt(1 - a))
        to_x0 = math.sqrt(a) * covariance @ np.linalg.inv(a * covariance + (1 - a) * np.eye(len(place)))
        x0_hat = x @ torch.from_numpy(to_x0.T).to(x.dtype)
        return (x - math.sqrt(a) * x0_hat) / math.sqrt(1 - a) - x0_hat

    settings = replace(preset.settings.with_eta(None), clip=False)
    diffusion = Diffusion(alpha_bar, preset.steps, "flow", first_alpha_bar=settings.first_alpha_bar)
    y = torch.tensor(PROBLEM["y"]).expand(1, 1, SAMPLES, len(place)).contiguous()
    keep = torch.tensor(known).float()
    last = deque(sampler_of(settings)(network, diffusion, preset.schedule, y, keep, Noise([3]), settings), maxlen=1)
    x = last.pop().x[0, 0].double().numpy()[:, ~known]
    shift_, got, inverse = mean - x.mean(0), np.cov(x.T), np.linalg.inv(spread)
    logs = np.linalg.slogdet(spread)[1] - np.linalg.slogdet(got)[1]
    divergence = 0.5 * (np.trace(inverse @ got) + shift_ @ inverse @ shift_ - len(mean) + logs) / len(mean)
    return float(np.linalg.norm(shift_) / np.linalg.norm(mean)), float(divergence)


@pytest.mark.slow
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_fifty_calls_do_better_than_seventy_five_of_the_usual(shift):
    assert FAST.flow is not None
    assert FAST.flow.calls == 50 < FAST.calls
    (error, divergence), usual = _divergence(FAST.flow, shift), _divergence(FAST, shift)
    assert error < 0.8 * usual[0]
    assert divergence < 0.8 * usual[1]


def test_other_models_and_presets_are_as_they_were():
    assert all(FAST.of(prediction) is FAST for prediction in ("epsilon", "v_prediction", "sample"))
    assert FAST.of("flow") is FAST.flow
    assert PRESETS["quality"].of("flow") is PRESETS["quality"]


def test_a_job_takes_it_and_its_states_can_be_gone_on_with(model, tmp_path):
    picture = image()
    job = api.Job(picture, hole(len(picture), 40, 36, 48), model=model.info.id, seed=1, steps=6)
    events = list(api.run(job, model))
    step = next(event for event in events if isinstance(event, api.Step) and event.call == 3)
    assert step.calls == 6, "no jumps"
    states.save(step.keep(), tmp_path / "half.state")
    kept, *_ = states.load(tmp_path / "half.state")
    *_, end = api.resume(kept, model)
    assert np.array_equal(end.fill, events[-1].fill)
