"""Wide new areas of networks begin with a draft made of the picture: when, what it gives, states, branches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine import api, canvas
from engine.canvas import stages
from engine.errors import BadInput, EngineError
from engine.run import by_octaves, drafting, drafts, states
from engine.run.painting import Painting
from engine.sampling import schedule

SIDE, HOLE = 200, 100
WAY = drafts.plan(api.Job(np.zeros((1, 1, 4), np.uint8), np.zeros((1, 1), np.uint8)), 1.0, True)
CALLS = WAY[1].calls(WAY[0])


@pytest.fixture(scope="module")
def model():
    model = api.load_model("test/gaussian", "cpu")
    return replace(model, geometry=replace(model.geometry, drafted=True, deep=32))


def _stripes(height=SIDE, width=SIDE):
    """Stripes down, 20 pixels each, with grain."""
    noise = np.random.default_rng(1).integers(-9, 10, (height, width, 3))
    bright = np.where(np.arange(width) % 40 < 20, 70, 180)[None, :, None]
    return np.clip(bright + noise, 0, 255).astype(np.uint8)


def _job(hole=HOLE, wrap="", **more):
    selection = np.zeros((SIDE, SIDE), np.uint8)
    first = (SIDE - hole) // 2
    selection[first : first + hole, first : first + hole] = 255
    image = np.dstack([_stripes(), np.full((SIDE, SIDE), 255, np.uint8)])
    image[selection > 0, :3] = 0
    return api.Job(image, selection, "test/gaussian", seed=1, wrap=wrap, **more)


def _all(events):
    found = list(events)
    return found, {event.variant: event.fill for event in found if isinstance(event, api.Finished)}


@pytest.fixture(scope="module")
def whole(model):
    return _all(api.run(_job(), model))


def test_only_wide_areas_of_networks_that_ask_for_it_have_a_draft(model):
    assert drafting.suits(Painting.of(_job(), model))
    assert not drafting.suits(Painting.of(_job(60), model))
    assert drafting.suits(Painting.of(_job(60, scale=2.0), model))
    assert not drafting.suits(Painting.of(_job(known_noise=5), model))
    assert not drafting.suits(Painting.of(_job(schedule=(3, 2, 1, 0, -1)), model))
    assert not drafting.suits(Painting.of(_job(preset="repaint"), model))
    assert drafting.suits(Painting.of(_job(preset="quality"), model))
    assert not drafting.suits(Painting.of(_job(), model, api.PRESETS["fast"]))  # a trial
    plain = replace(model, geometry=replace(model.geometry, drafted=False))
    assert not drafting.suits(Painting.of(_job(), plain))
    nothing = replace(_job(), selection=np.full((SIDE, SIDE), 255, np.uint8))
    assert not drafting.suits(Painting.of(nothing, model))
    for name, wanted in (("texture", True), ("exemplar", False)):
        assert api.load_model(name, "cpu").geometry.drafted is wanted


def test_the_picture_s_structure_goes_on_and_the_network_finishes_it_in_one_stage(model, whole):
    events, fills = whole
    steps = [event for event in events if isinstance(event, api.Step)]
    assert isinstance(events[0], api.Pause)
    assert [step.call for step in steps] == list(range(1, CALLS + 1))
    assert {step.calls for step in steps} == {CALLS}
    first = (SIDE - HOLE) // 2
    truth = _stripes()[first : first + HOLE, first : first + HOLE] / 255

    def alike(fill):
        return np.corrcoef(fill.mean(axis=(0, 2)), truth.mean(axis=(0, 2)))[0, 1]

    banded = replace(model, geometry=replace(model.geometry, drafted=False))
    _, others = _all(api.run(_job(steps=6, jump_length=6), banded))
    assert alike(fills[0]) > 0.9 > 0.6 > alike(others[0])
    shown = [event for event in events if isinstance(event, api.Draft)]
    assert {each.variant for each in shown} == {0}
    selected = _job().selection > 0
    for each in (shown[0], shown[-1], steps[0]):
        assert (each.preview()[..., 3][selected] == 255).all(), "the first preview is of all of it"
    assert alike(shown[-1].preview()[..., :3][selected].reshape(HOLE, HOLE, 3)) > 0.9


def test_steps_and_jumps_of_the_job_hold_from_the_draft_s_noise_on():
    way, settings = drafts.plan(_job(steps=6, jump_length=2, jump_samples=3, start_resampling=40), 1.0, True)
    assert way == schedule.named("uniform", 6, 2, 3)
    assert drafts.led_to(settings)
    assert drafts.plan(_job(schedule="none"), 2.0, True)[0] == schedule.named("none", 20, 1, 1)
    assert drafts.plan(_job(jump_length=500), 1.0, True)[0] == schedule.named("none", 10, 1, 1)
    with pytest.raises(BadInput, match="number of steps"):
        drafts.plan(_job(steps=5000), 1.0, True)


def test_a_seed_is_a_picture_and_variants_are_single_runs(model, whole):
    fills = _all(api.run(replace(_job(), variants=2), model))[1]
    assert np.array_equal(fills[0], whole[1][0])
    assert np.abs(fills[0] - fills[1]).mean() > 0.01


@pytest.mark.parametrize("call", [1, 9, CALLS - 1])
def test_a_kept_run_goes_on_bit_for_bit(model, whole, tmp_path, call):
    step = next(event for event in whole[0] if isinstance(event, api.Step) and event.call == call)
    states.save(step.keep(), tmp_path / "kept.safetensors")
    kept, _, _ = states.load(tmp_path / "kept.safetensors")
    assert np.array_equal(_all(api.resume(kept, model))[1][0], whole[1][0])


@pytest.mark.slow
def test_a_new_idea_takes_another_draft_and_harmonising_keeps_it(model, whole):
    kept = next(event for event in whole[0] if isinstance(event, api.Step) and event.call == 9).keep()
    apart = {}
    for late in (True, False):
        events, fills = _all(api.resume(kept, model, jump="large" if not late else "small", late=late))
        assert next(e for e in events if isinstance(e, api.Step)).calls >= CALLS
        apart[late] = np.abs(fills[0] - whole[1][0]).mean()
    assert 0 < apart[True] < 0.7 * apart[False]
    assert states.branched(kept, "large").remaining == CALLS
    events, _ = _all(api.resume(kept, model, jump="large"))
    assert next(e for e in events if isinstance(e, api.Step)).call == kept.call + 1
    with pytest.raises(BadInput, match="number of jumps"):
        states.branched(kept, "large", times=0)


def test_a_large_area_is_painted_in_blocks_and_a_state_in_the_second_goes_on(model, monkeypatch):
    monkeypatch.setattr(canvas, "MAX_MODEL_AREA", SIDE * SIDE // 4)
    monkeypatch.setattr(stages, "BLOCK", 64)
    events, fills = _all(api.run(_job(), model))
    steps = [event for event in events if isinstance(event, api.Step)]
    assert steps[-1].calls == 4 * CALLS
    kept = next(step for step in steps if step.call == CALLS + 8).keep()
    assert (kept.stage, kept.before, kept.after) == (1, CALLS, 2 * CALLS)
    assert np.array_equal(_all(api.resume(kept, model))[1][0], fills[0])
    assert states.branched(kept, "large").remaining == 4 * CALLS


def test_a_tile_is_drafted_across_its_seam(model):
    selection = np.full((SIDE, SIDE), 255, np.uint8)
    selection[50:-50, 50:-50] = 0
    image = np.dstack([_stripes(), np.full((SIDE, SIDE), 255, np.uint8)])
    events = api.run(replace(_job(wrap="both"), selection=selection, image=image), model)
    first = next(event for event in events if isinstance(event, api.Step))
    assert first.calls == CALLS
    shown = first.preview()[..., :3].astype(float)
    steps = np.abs(shown[50:-50] - np.roll(shown[50:-50], 1, axis=1)).mean(axis=(0, 2))
    assert steps[0] < 1.2 * steps[1:].max(), "no more than the border of a stripe"


def test_where_memory_is_too_short_for_a_draft_there_are_bands(model, monkeypatch):
    def short(*_):
        raise EngineError("out_of_memory", "There is too little memory.")
        yield

    monkeypatch.setattr(by_octaves, "events", short)
    steps = [event for event in api.run(_job(steps=4, jump_length=4), model) if isinstance(event, api.Step)]
    assert steps[-1].calls % 4 == 0
    assert steps[-1].calls > 4


def test_where_too_little_is_known_there_are_bands(model):
    job = _job()
    image = job.image.copy()
    image[..., 3] = 0
    image[4:9, 4:9, 3] = 255
    job = replace(job, image=image, steps=4, jump_length=4)
    steps = [event for event in api.run(job, model) if isinstance(event, api.Step)]
    assert steps[-1].calls % 4 == 0
    assert steps[-1].calls > 4


def test_a_draft_s_state_of_another_kind_of_model_is_refused(model, whole):
    kept = next(event for event in whole[0] if isinstance(event, api.Step)).keep()
    plain = replace(model, geometry=replace(model.geometry, drafted=False))
    with pytest.raises(BadInput, match="does not fit its picture"):
        list(api.resume(kept, plain))


def test_the_noise_hides_the_draft_as_far_as_it_should(model):
    levels, settings = WAY
    diffusion = model.diffusion(levels.steps, settings)
    sigma = float(np.sqrt(1 / diffusion.alpha_bars[-1] - 1))
    assert sigma == pytest.approx(drafts.SIGMA, rel=0.05)
    draft = torch.zeros(1, 3, 64, 64)
    noisy = diffusion.noised(draft, diffusion.steps - 1, torch.ones_like(draft))
    assert float(noisy.mean()) == pytest.approx(sigma / np.hypot(1, sigma), rel=1e-3)
