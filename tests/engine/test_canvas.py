"""From the artist's pixels to the model's and back: plans, windows, composites, degenerate selections."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import api, canvas
from engine.canvas import Box, Geometry, planning
from engine.errors import BadInput, EngineError
from engine.sampling import windowed

TEXTURE = Geometry(multiple=8, minimum=64, window=256, any_scale=True)
SCENE = Geometry(multiple=32, minimum=256, window=256, any_scale=False)


def _picture(height=120, width=160, seed=0):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    image[..., 3] = 255
    return image


def _selected(height, width, y, x, h, w, value=255):
    selection = np.zeros((height, width), np.uint8)
    selection[y : y + h, x : x + w] = value
    return selection


@pytest.fixture(scope="module")
def model():
    return api.load_model("test/gaussian")


def _fill(image, selection, model, **more):
    job = api.Job(image, selection, model.info.id, seed=1, steps=10, jump_length=10, jump_samples=1, **more)
    *_, last = api.run(job, model)
    return last.layer()


@given(st.integers(1, 700), st.integers(1, 700), st.data(), st.sampled_from([TEXTURE, SCENE]))
@settings(max_examples=200, deadline=None)
def test_every_plan_covers_the_hole(height, width, data, geometry):
    y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    h, w = data.draw(st.integers(1, height - y)), data.draw(st.integers(1, width - x))
    selection = _selected(height, width, y, x, h, w)
    plan = canvas.plan(selection, geometry)
    region = plan.region
    assert region.x >= 0
    assert region.y >= 0
    assert region.x + region.width <= width
    assert region.y + region.height <= height
    assert region.x <= x
    assert region.x + region.width >= x + w
    assert region.y <= y
    assert region.y + region.height >= y + h
    reach = max(64, max(h, w) // 2)
    assert x - region.x <= reach
    assert y - region.y <= reach
    assert all(side % geometry.multiple == 0 and side >= geometry.minimum for side in plan.size)
    image = np.full((height, width, 4), 255, np.uint8)
    y_model, keep = canvas.model_input(image, selection, plan, canvas.Light())
    assert y_model.shape == (1, 3, *plan.size)
    covered = np.zeros(plan.size, bool)
    for window in plan.windows:
        assert window.width <= geometry.window
        assert window.height <= geometry.window
        assert window.x >= 0
        assert window.x + window.width <= plan.size[1]
        assert window.y + window.height <= plan.size[0]
        covered[window.slices] = True
    assert (covered | (keep[0, 0].numpy() == 1)).all()


def test_whole_picture_and_crop_give_the_same_pixels(model):
    image, selection = _picture(500, 600), _selected(500, 600, 200, 250, 60, 90)
    whole = _fill(image, selection, model)
    box = np.s_[200 - 64 : 260 + 64, 250 - 64 : 340 + 64]
    crop = _fill(np.ascontiguousarray(image[box]), np.ascontiguousarray(selection[box]), model)
    assert np.array_equal(whole[box], crop)
    assert whole[..., 3].sum() == crop[..., 3].astype(int).sum()


@pytest.mark.parametrize(
    ("y", "x", "h", "w"), [(60, 80, 1, 1), (10, 0, 100, 3), (0, 0, 3, 160), (0, 0, 120, 160), (119, 159, 1, 1)]
)
def test_degenerate_selections(model, y, x, h, w):
    image, selection = _picture(), _selected(120, 160, y, x, h, w)
    layer = _fill(image, selection, model)
    assert np.array_equal(layer[..., 3], selection)
    inside = layer[selection > 0][:, :3].astype(float)
    assert np.abs(inside.mean(axis=0) - (np.array([0.2, -0.1, -0.4]) + 1) * 127.5).max() < 40


@pytest.mark.parametrize("side", [1, 7, 20])
def test_pictures_smaller_than_the_model(model, side):
    image, selection = _picture(side, side), _selected(side, side, 0, 0, 1, 1)
    assert _fill(image, selection, model).shape == (side, side, 4)


def test_composite_is_bit_exact_outside_and_linear_inside():
    rng = np.random.default_rng(1)
    selection = rng.integers(0, 256, (40, 50), dtype=np.uint8)
    selection[:10] = 0
    fill = rng.random((40, 50, 3)).astype(np.float32)
    for dtype in (np.uint8, np.uint16):
        top = np.iinfo(dtype).max
        original = rng.integers(0, top + 1, (40, 50, 3)).astype(dtype)
        out = canvas.composite(original, selection, fill, Box(0, 0, 50, 40))
        assert np.array_equal(out[selection == 0], original[selection == 0])
        m = selection[..., None] / 255
        expected = original + m * (fill.astype(np.float64) * top - original)
        assert np.abs(out - expected).max() <= 0.5001


def test_composite_keeps_gray_gray_and_covers_transparency():
    selection = np.array([[0, 128, 255]], np.uint8)
    fill = np.full((1, 3, 3), 0.6, np.float32)
    gray = canvas.composite(np.array([[[7], [7], [7]]], np.uint8), selection, fill, Box(0, 0, 3, 1))
    assert gray[0, 0, 0] == 7
    assert gray[0, 2, 0] == 153
    clear = np.zeros((1, 3, 4), np.uint8)
    out = canvas.composite(clear, selection, fill, Box(0, 0, 3, 1))
    # No black bleeds in from transparent pixels: the colour is the fill's, only the coverage is partial.
    assert out[0, :, 3].tolist() == [0, 128, 255]
    assert out[0, 1, :3].tolist() == [153, 153, 153]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
def test_a_layer_over_the_picture_covers_as_the_fill_in_a_file_does(dtype):
    rng, whole = np.random.default_rng(2), Box(0, 0, 60, 50)
    image = rng.random((50, 60, 4)).astype(np.float32)
    image[:10, :, 3], image[10:20, :, 3] = 1, 0
    top = np.iinfo(dtype).max if dtype.startswith("u") else 1
    image = (image * top).astype(dtype)
    selection, fill = rng.integers(0, 256, (50, 60), dtype=np.uint8), rng.random((50, 60, 3)).astype(np.float32)
    selection[20:35] = 255 - np.round(image[20:35, :, 3].astype(float) / top * 255).astype(np.uint8)
    layer = canvas.layer(fill, selection, whole, image)
    assert not layer[selection == 0].any()
    above, below = (each.astype(np.float64) / top for each in (layer, image))
    there = above[..., 3]
    shown = above[..., :3] * above[..., 3:] + below[..., :3] * below[..., 3:] * (1 - above[..., 3:])
    wanted = canvas.composite(image, selection, fill, whole).astype(np.float64) / top
    near = np.where(image[..., 3] / top < canvas.OPAQUE / 255, 0.006 if dtype == "uint8" else 0.003, 0.02)
    assert (np.abs(there + below[..., 3] * (1 - there) - wanted[..., 3]) < near).all()
    assert (np.abs(shown - wanted[..., :3] * wanted[..., 3:]) < near[..., None]).all()
    opaque = (image[..., 3] == top) | (image[..., 3] == 0)
    assert np.abs(there - selection / 255)[opaque].max() < 0.006


def test_transparent_and_softly_selected_pixels_are_unknown():
    image, selection = _picture(64, 64), _selected(64, 64, 20, 20, 10, 10)
    selection[40, 40] = 1
    image[5, 5:8, 3] = 254, 128, 127  # a network knows a colour or does not
    plan = canvas.plan(selection, TEXTURE)
    _, keep = canvas.model_input(image, selection, plan, canvas.Light())
    keep = keep[0, 0, : plan.scaled[0], : plan.scaled[1]].numpy()
    known = selection == 0
    known[5, 7] = False
    assert np.array_equal(keep == 1, known[plan.region.slices])


def test_scene_models_see_the_region_at_their_own_size():
    selection = _selected(700, 900, 100, 100, 300, 500)
    plan = canvas.plan(selection, SCENE)
    assert plan.size == (256, 256)
    assert max(plan.scaled) == 256
    image = _picture(700, 900)
    y, keep = canvas.model_input(image, selection, plan, canvas.Light())
    fill = canvas.picture_fill(y[0], plan, canvas.Light())
    assert fill.shape == (plan.region.height, plan.region.width, 3)
    hole = planning._to_model(selection[plan.region.slices] > 0, plan.scaled, plan.size, fill=True)
    assert ((keep[0, 0].numpy() == 0) == hole).all()


def test_fused_windows_are_exact_for_a_pointwise_network(model):
    """A network that works on each pixel alone must not notice the windows."""
    selection = _selected(600, 500, 20, 20, 560, 460)
    plan = canvas.plan(selection, TEXTURE)
    assert len(plan.windows) > 4
    x = torch.randn(1, 3, *plan.size)
    fused = windowed(model.predict, plan)(x, 500)
    whole = model.predict(x, 500)
    covered = torch.zeros(plan.size, dtype=torch.bool)
    for window in plan.windows:
        covered[window.slices] = True
    assert torch.allclose(fused[0, :, covered], whole[0, :, covered], atol=1e-5)


def test_variants_are_the_single_runs_and_previews_change_nothing(model):
    image, selection = _picture(), _selected(120, 160, 30, 30, 40, 40)
    job = api.Job(image, selection, model.info.id, seed=10, variants=3, steps=8, jump_length=2, jump_samples=2)
    together = {}
    order = []
    for event in api.run(job, model):
        if isinstance(event, api.Finished):
            together[event.seed] = event.layer()
        else:
            order.append(event.variant)
            event.preview()
    assert order[:6] == [0, 1, 2, 0, 1, 2]
    assert sorted(together) == [10, 11, 12]
    for seed, layer in together.items():
        single = api.Job(image, selection, model.info.id, seed=seed, steps=8, jump_length=2, jump_samples=2)
        *_, last = api.run(single, model)
        assert np.array_equal(last.layer(), layer)
    assert not np.array_equal(together[10], together[11])


def test_soft_selection_is_the_alpha_and_hard_cuts_it(model):
    image, selection = _picture(), _selected(120, 160, 30, 30, 40, 40)
    selection[30:70, 25:30] = 100
    assert np.array_equal(_fill(image, selection, model)[..., 3], selection)
    assert set(np.unique(_fill(image, selection, model, hard=True)[..., 3])) == {0, 255}


def _limited(model, pixels):
    """The model on a machine whose memory ends at ``pixels`` per call: the failure is the allocator's own."""

    def predict(x, timestep, label):
        if x.shape[-1] * x.shape[-2] > pixels:
            torch.empty(2**46, dtype=torch.float32)
        return model.predict(x, timestep, label)

    return replace(model, predict=predict)


def test_windows_are_balanced():
    """Slightly more than one window must not cost four whole ones."""
    plan = canvas.plan(_selected(400, 400, 60, 60, 250, 250), TEXTURE)
    assert plan.size == (288, 288)
    assert {(window.width, window.height) for window in plan.windows} == {(168, 168)}
    assert len(plan.windows) == 4


def test_out_of_memory_retries_in_smaller_windows(model):
    image, selection = _picture(250, 250), _selected(250, 250, 60, 60, 120, 120)
    assert len(canvas.plan(selection, model.geometry).windows) == 1
    whole = _fill(image, selection, model)
    small = _fill(image, selection, _limited(model, 128 * 128))
    assert np.array_equal(whole[..., 3], small[..., 3])
    # The exact denoiser works on each pixel alone, so the smaller windows must not show.
    assert np.abs(whole.astype(int) - small).max() <= 1


def test_out_of_memory_is_told_where_the_picture_is_another_one_for_it(model):
    """One window a call gives the same picture, and nothing is said; smaller windows may not."""
    image, selection = _picture(220, 420), _selected(220, 420, 60, 60, 100, 300)
    model = replace(model, geometry=replace(model.geometry, window=128))

    def events(most):
        def predict(x, timestep, label):
            calls.append(x[:, 0].numel())
            if calls[-1] > most:
                torch.empty(2**46, dtype=torch.float32)
            return model.predict(x, timestep, label)

        job = api.Job(image, selection, model.info.id, seed=3, steps=8, jump_length=2, jump_samples=1)
        return list(api.run(job, replace(model, predict=predict)))

    def notes(found):
        return [event.sentence for event in found if isinstance(event, api.Note)]

    calls = []
    roomy, single, small = events(1 << 30), events(128 * 128), events(64 * 64)
    assert max(calls) > 128 * 128
    assert min(calls) <= 64 * 64
    assert notes(roomy) == notes(single) == []
    assert np.array_equal(roomy[-1].layer(), single[-1].layer())
    assert notes(small) == [api.SMALLER_PARTS]


def test_out_of_memory_in_every_plan_is_one_sentence(model):
    image, selection = _picture(300, 300), _selected(300, 300, 60, 60, 180, 180)
    with pytest.raises(EngineError) as caught:
        _fill(image, selection, _limited(model, 10))
    assert caught.value.code == "out_of_memory"
    assert "smaller" in caught.value.sentence


def test_padding_and_scale_are_the_artists_choice(model):
    image, selection = _picture(300, 400), _selected(300, 400, 100, 100, 50, 50)
    plan = canvas.plan(selection, TEXTURE, padding=100, wanted_scale=0.5)
    assert plan.region == Box(0, 0, 250, 250)
    assert plan.scaled == (125, 125)
    scene = canvas.plan(selection, SCENE, wanted_scale=2.0)
    assert scene.scaled == (356, 356)
    assert len(scene.windows) > 1
    layer = _fill(image, selection, model, padding=20, scale=0.5)
    assert np.array_equal(layer[..., 3], selection)
    for values in ({"padding": 7}, {"padding": 1025}, {"scale": 0.01}, {"scale": 5.0}):
        with pytest.raises(BadInput):
            _fill(image, selection, model, **values)
    with pytest.raises(BadInput, match="too large for scale"):
        canvas.plan(_selected(3000, 3000, 0, 0, 3000, 3000), TEXTURE, wanted_scale=1.0)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"selection": np.zeros((120, 160), np.uint8)}, "empty_selection"),
        ({"selection": np.full((120, 161), 255, np.uint8)}, "size_mismatch"),
        ({"preset": "best"}, "bad_preset"),
        ({"seed": -1}, "bad_seed"),
        ({"seed": 2**53}, "bad_seed"),
        ({"seed": 2**53 - 1, "variants": 2}, "bad_seed"),
        ({"variants": 0}, "bad_variants"),
        ({"variants": 65}, "bad_variants"),
        ({"steps": 1}, "bad_schedule"),
        ({"steps": 1001}, "bad_schedule"),
        ({"jump_length": 0}, "bad_schedule"),
        ({"schedule": "sometimes"}, "bad_schedule"),
        ({"schedule": (3, 1, -1)}, "bad_schedule"),
        ({"model": "texture"}, "model_missing"),
        ({"image": np.zeros((120, 160, 3), np.uint8)}, "bad_image"),
    ],
)
def test_bad_requests_are_sentences(model, changes, code):
    values = {"image": _picture(), "selection": _selected(120, 160, 3, 3, 9, 9), "model": model.info.id} | changes
    with pytest.raises(BadInput) as caught:
        next(api.run(api.Job(**values), model))
    assert caught.value.code == code
    assert caught.value.sentence.endswith(".")


def _frame(height, width, band):
    selection = np.full((height, width), 255, np.uint8)
    selection[band:-band, band:-band] = 0
    return selection


@pytest.mark.parametrize(("height", "width"), [(300, 500), (200, 96), (64, 64), (40, 150), (33, 21)])
def test_windows_that_wrap_are_exact_for_a_pointwise_network(model, height, width):
    plan = canvas.plan(_frame(height, width, 8), TEXTURE, wraps=(True, True))
    assert plan.size == (height, width)
    x = torch.randn(1, 3, height, width)
    fused, whole = windowed(model.predict, plan)(x, 500), model.predict(x, 500)
    covered = torch.zeros(plan.size, dtype=torch.bool)
    for window in plan.windows:
        rows, columns = torch.arange(window.height) + window.y, torch.arange(window.width) + window.x
        covered[(rows % height)[:, None], columns % width] = True
    assert covered[torch.from_numpy(_frame(height, width, 8) > 0)].all()
    assert torch.allclose(fused[0, :, covered], whole[0, :, covered], atol=1e-5)


@pytest.mark.parametrize("wrap", ["", "x", "y", "both"])
def test_a_network_sees_over_the_border_exactly_where_the_picture_wraps(wrap):
    """A network that shifts its picture by one pixel brings in the opposite side, or nothing."""
    selection = _frame(300, 300, 20)
    plan = canvas.plan(selection, TEXTURE, wraps=canvas.axes(wrap))
    x = torch.rand(1, 3, *plan.size)
    for axis, name in ((-1, "x"), (-2, "y")):
        out = windowed(lambda x, _, axis=axis: torch.roll(x, 1, axis), plan)(x, 0)
        first, opposite = out.select(axis, 0)[0, :, 100], x.select(axis, 299)[0, :, 100]
        assert torch.allclose(first, opposite, atol=0.05) == (wrap in (name, "both"))


def test_the_layer_of_a_tile_is_its_frame(model):
    image, selection = _picture(130, 170), _frame(130, 170, 16)
    layer = _fill(image, selection, model, wrap="both")
    assert layer.shape == image.shape
    assert np.array_equal(layer[..., 3], selection)
    with pytest.raises(BadInput, match="wrap"):
        _fill(image, selection, model, wrap="z")


def test_a_tile_is_painted_by_windows_over_its_seams_alone():
    """No second row of windows for the few pixels that the first holds well inside."""
    plan = canvas.plan(_frame(256, 256, 24), Geometry(8, 64, 96, True), wraps=(True, True))
    assert len(plan.windows) == 7
    assert all(212 in (window.x, window.y) for window in plan.windows)


@pytest.mark.parametrize("wraps", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("border", [0, 1])
def test_the_distance_to_what_is_known_is_the_least_of_all(wraps, border):
    height, width = 24, 30
    for y, x, down, across in ((5, 9, 12, 6), (0, 20, 10, 10), (9, 0, 6, 30), (23, 29, 1, 1), (0, 0, 23, 30)):
        known = np.ones((height, width), bool)
        known[y : y + down, x : x + across] = False
        apart = []
        for here, length, wrapped in zip(np.nonzero(known), known.shape, wraps, strict=True):
            away = np.abs(np.arange(length)[:, None] - here)
            apart.append(np.minimum(away, length - away) if wrapped else away)
        least = np.maximum(apart[0][:, None], apart[1][None]).min(-1)
        for axis, (length, wrapped) in enumerate(zip(known.shape, wraps, strict=True)):
            if border and not wrapped:
                beyond = np.minimum(np.arange(length) + 1, length - np.arange(length))
                least = np.minimum(least, np.expand_dims(beyond, 1 - axis))
        assert np.array_equal(canvas.distance_to_known(known, wraps, cv2.DIST_C, border), least)
