"""Networks that have learned a picture take the detail of wide areas from its own patches."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from engine import api, extend
from engine.diffusion import Diffusion, linear_alpha_bar, output_of
from engine.errors import BadInput
from engine.exemplar import WIDE

BELOW = 0.4


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_an_output_stands_for_its_estimate(prediction):
    diffusion = Diffusion(linear_alpha_bar(), 10, prediction)
    noise = torch.Generator().manual_seed(0)
    x, x0_hat = (torch.randn(2, 3, 4, 5, generator=noise) for _ in range(2))
    for level in (0, 4, 9):
        alpha_bar = diffusion.alpha_bar(level)
        made = diffusion.estimate(lambda x, _: output_of(x0_hat, x, alpha_bar, prediction), x, level, clip=False)  # noqa: B023
        assert torch.allclose(made.x0_hat, x0_hat, atol=1e-4 / alpha_bar**0.5)


def test_flows_have_no_such_output():
    with pytest.raises(ValueError, match="flow"):
        output_of(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2), 0.5, "flow")


def blotches(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(2)
    noise = cv2.GaussianBlur(rng.standard_normal((height, width, 3)).astype(np.float32), (0, 0), 1.2)
    return np.dstack([np.rint(128 + 150 * noise).clip(0, 255), np.full((height, width), 255)]).astype(np.uint8)


@pytest.fixture(scope="module")
def model():
    return api.load_model("texture", "cpu")


@pytest.fixture(scope="module")
def wide():
    """A job that adds 64 × 100 pixels."""
    picture = blotches(64, 48)
    framed = extend.extended(picture, right=100)
    assert framed.selection.astype(bool).sum() > WIDE
    return api.Job(framed.rgba(framed.pixels), framed.selection, "texture", seed=5, steps=8, jump_samples=1)


def watched(model: api.Model) -> tuple[api.Model, list[int]]:
    """The model, and a list that the timesteps of its network's calls go into."""
    seen: list[int] = []

    def predict(x, timestep, condition):
        seen.append(timestep)
        return model.predict(x, timestep, condition)

    return replace(model, predict=predict), seen


def last(events) -> api.Finished:
    *_, event = events
    assert isinstance(event, api.Finished)
    return event


def test_detail_of_wide_areas_is_the_pictures_own(model, wide):
    plain, seen = watched(model)
    before = last(api.run(wide, plain)).layer()
    fine = {t for t in seen if 1 / model.alpha_bar[t] - 1 < BELOW**2}
    assert fine
    seen.clear()
    after = last(api.run(wide, replace(plain, detail_below=BELOW))).layer()
    assert seen
    assert not fine & set(seen)  # the network is not asked any more
    new = wide.selection > 0
    assert np.array_equal(before[~new], after[~new])
    assert np.abs(before[new].astype(int) - after[new]).mean() > 1
    again = last(api.run(wide, replace(model, detail_below=BELOW))).layer()
    assert np.array_equal(after, again)


def test_a_kept_state_goes_on_with_it(model, wide):
    detailed = replace(model, detail_below=BELOW)
    events = list(api.run(wide, detailed))
    steps = [event for event in events if isinstance(event, api.Step)]
    for step in (steps[len(steps) // 2], steps[-3]):
        assert np.array_equal(last(api.resume(step.keep(), detailed)).layer(), events[-1].layer())


def test_holes_and_tiles_are_the_networks_alone(model):
    picture = blotches(96, 96)
    hole = np.zeros((96, 96), np.uint8)
    hole[30:60, 30:60] = 255
    framed = extend.tile(picture, band=48)
    assert (framed.selection > 0).sum() > WIDE
    common = {"seed": 5, "steps": 4, "jump_samples": 1}
    jobs = (
        api.Job(picture, hole, "texture", **common),
        api.Job(framed.rgba(picture), framed.selection, "texture", wrap="both", **common),
    )
    for job in jobs:
        plain, detailed = (last(api.run(job, replace(model, detail_below=below))).layer() for below in (0.0, BELOW))
        assert np.array_equal(plain, detailed)


def test_too_little_known_is_a_sentence(model, wide):
    image = wide.image.copy()
    image[...] = 0
    image[::4, ::4] = 255  # no patch is wholly known
    selection = np.where(image[..., 3] > 0, 0, 255).astype(np.uint8)
    job = replace(wide, image=image, selection=selection)
    with pytest.raises(BadInput, match="too little of the picture"):
        next(api.run(job, replace(model, detail_below=BELOW)))
    assert isinstance(next(api.run(job, model)), api.Step)
