"""Large selections grow in stages: order, blocks, wrapping, states, and that nothing else notices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import api, canvas
from engine.canvas import Geometry, stages
from engine.run import states

TEXTURE = Geometry(multiple=8, minimum=64, window=96, any_scale=True, band=64)
SCENE = Geometry(multiple=32, minimum=256, window=256, any_scale=False)


@pytest.fixture(scope="module")
def model():
    """With few bands."""
    model = api.load_model("test/gaussian")
    return replace(model, geometry=replace(model.geometry, band=64))


def _extension(height, width, right):
    """A picture of noise and a new area on its right."""
    image = np.zeros((height, width + right, 4), np.uint8)
    image[:, :width, :3] = np.random.default_rng(0).integers(0, 256, (height, width, 3))
    image[:, :width, 3] = 255
    selection = np.zeros((height, width + right), np.uint8)
    selection[:, width:] = 255
    return image, selection


def _job(image, selection, **more):
    values = {"model": "test/gaussian", "seed": 1, "steps": 6, "jump_length": 6, "jump_samples": 1} | more
    return api.Job(image, selection, **values)


def _known(image):
    return image[..., 3] == 255


def test_bands_grow_outwards_and_are_equally_deep():
    image, selection = _extension(80, 100, 200)
    order = stages.order(selection, _known(image), TEXTURE)
    assert (order[:, :100] == -1).all()
    assert order.max() == 2
    row = order[40, 100:]
    assert (np.diff(row) >= 0).all()
    depths = np.bincount(row)
    assert depths.max() - depths.min() <= 2
    assert (order == order[:1]).all()


def test_holes_with_known_pixels_all_around_and_scene_models_take_one_stage():
    image = np.full((400, 400, 4), 255, np.uint8)
    selection = np.zeros((400, 400), np.uint8)
    selection[100:228, 100:228] = 255
    assert stages.order(selection, _known(image), TEXTURE).max() == 0
    image, selection = _extension(80, 100, 300)
    assert stages.order(selection, _known(image), SCENE).max() == 0


@given(
    st.integers(1, 1500),
    st.integers(1, 300),
    st.data(),
    st.sampled_from(["", "x", "y", "both"]),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_selected_pixel_is_painted_once_in_a_plan_that_is_not_scaled(height, width, data, wrap):
    if data.draw(st.booleans()):
        height, width = width, height
    selection = np.full((height, width), 255, np.uint8)
    if data.draw(st.booleans()):
        y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
        selection[y : y + data.draw(st.integers(1, height)), x : x + data.draw(st.integers(1, width))] = 0
    if not selection.any():
        return
    image = np.zeros((height, width, 4), np.uint8)
    image[..., 3] = 255
    order = stages.order(selection, _known(image), TEXTURE, canvas.axes(wrap))
    assert np.array_equal(order >= 0, selection > 0)
    used = np.unique(order[order >= 0])
    assert np.array_equal(used, np.arange(len(used)))
    region = canvas.bounds(selection)
    painted = np.full((region.height, region.width, 3), -1, np.float32)
    for stage in range(len(used)):
        part = stages.part(image, canvas.Light(), order, stage, TEXTURE, wraps=canvas.axes(wrap))
        assert part.plan.scaled == (part.plan.region.height, part.plan.region.width)
        assert part.plan.size[0] * part.plan.size[1] <= 1.2 * canvas.MAX_MODEL_AREA
        painted = part.put(painted, torch.ones(3, *part.plan.size))
    assert np.array_equal(painted[..., 0] == 1, (selection > 0)[region.slices])


def test_a_band_takes_the_one_before_as_known():
    image, selection = _extension(64, 80, 160)
    order = stages.order(selection, _known(image), TEXTURE)
    part = stages.part(image, canvas.Light(), order, 1, TEXTURE)
    painted = np.full((64, 160, 3), 0.25, np.float32)
    y, keep = part.model_input(painted)
    box = part.plan.region
    first = np.flatnonzero(order[0] == 1)[0]
    known = first - box.x
    assert known >= 16
    assert (keep[0, 0, :64, :known] == 1).all()
    assert (keep[0, 0, :64, known : box.width] == 0).all()
    assert torch.allclose(y[0, :, :64, known - 8 : known], torch.tensor(64 / 127.5 - 1), atol=1e-6)
    # Nothing beyond the band is looked at.
    assert box.x + box.width == np.flatnonzero(order[0] == 1)[-1] + 1


def test_a_long_tile_is_rolled_so_that_its_seam_lies_inside():
    selection = np.full((60, 2000), 255, np.uint8)
    selection[10:-10, 10:-10] = 0
    image = np.full((60, 2000, 4), 255, np.uint8)
    image[..., 0] = np.arange(2000) // 8
    order = stages.order(selection, _known(image), TEXTURE, (True, True))
    stage = int(order[30, 0])
    assert order[30, -1] == stage
    part = stages.part(image, canvas.Light(), order, stage, TEXTURE, wraps=(True, True))
    assert part.plan.wraps == (True, False)
    _, keep = part.model_input(np.zeros((60, 2000, 3), np.float32))
    seam = keep[0, 0, 30, : part.plan.scaled[1]].numpy()
    unknown = np.flatnonzero(seam == 0)
    assert len(unknown) == 20
    assert unknown[0] > 30
    assert unknown[-1] < part.plan.scaled[1] - 30


def test_steps_count_through_the_stages_and_previews_grow(model):
    image, selection = _extension(64, 80, 160)
    events = list(api.run(_job(image, selection, variants=2), model))
    steps = [event for event in events if isinstance(event, api.Step) and event.variant == 1]
    assert [step.call for step in steps] == list(range(1, 13))
    assert {step.calls for step in steps} == {12}
    shares = [float((step.preview()[..., 3] > 0).mean()) for step in steps]
    assert shares[0] == shares[5] < shares[6] == shares[-1]
    done = [event for event in events if isinstance(event, api.Finished)]
    assert [event.variant for event in done] == [0, 1]
    single = list(api.run(_job(image, selection, seed=2), model))[-1]
    assert np.array_equal(done[1].layer(), single.layer())
    assert np.array_equal(single.layer()[..., 3], selection)
    # No band repeats another's noise.
    first, second = single.fill[:, :80], single.fill[:, 80:]
    a, b = (each - each.mean(axis=(0, 1)) for each in (first, second))
    assert abs((a * b).mean()) < 0.1 * a.std() * b.std()


@pytest.mark.parametrize("call", [3, 6, 8])
def test_a_run_in_stages_goes_on_bit_for_bit(model, tmp_path, call):
    image, selection = _extension(64, 80, 160)
    events = list(api.run(_job(image, selection), model))
    kept = next(event for event in events if isinstance(event, api.Step) and event.call == call).keep()
    assert (kept.call, kept.remaining) == (call, 12 - call)
    states.save(kept, tmp_path / "state")
    loaded = states.load(tmp_path / "state")[0]
    rest = list(api.resume(loaded, model))
    assert [event.call for event in rest if isinstance(event, api.Step)] == list(range(call + 1, 13))
    assert np.array_equal(rest[-1].layer(), events[-1].layer())


def test_a_branch_of_a_stage_changes_it_and_what_comes_after(model):
    image, selection = _extension(64, 80, 160)
    events = list(api.run(_job(image, selection), model))
    kept = next(event for event in events if isinstance(event, api.Step) and event.call == 8).keep()
    rest = list(api.resume(kept, model, seed=9, jump="large"))
    assert sum(isinstance(event, api.Step) for event in rest) == states.branched(kept, "large").remaining
    assert rest[-2].call == rest[-2].calls == rest[-1].calls
    before, after = events[-1].layer(), rest[-1].layer()
    assert np.array_equal(before[:, :160], after[:, :160])
    assert not np.array_equal(before[:, 160:], after[:, 160:])


def test_a_branch_at_the_end_of_a_stage_is_another_next_stage(model):
    image, selection = _extension(64, 80, 160)
    events = list(api.run(_job(image, selection), model))
    kept = next(event for event in events if isinstance(event, api.Step) and event.call == 6).keep()
    assert states.branched(kept, "large").remaining == 6
    *_, last = api.resume(kept, model, seed=9, jump="large")
    before, after = events[-1].layer(), last.layer()
    assert np.array_equal(before[:, :160], after[:, :160])
    assert not np.array_equal(before[:, 160:], after[:, 160:])
