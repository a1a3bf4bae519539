"""Pictures of 16 bits and of floats: the way of their values to a model and back, and fills in their full depth."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from engine import api, canvas
from engine.canvas import Light, extend, grain, hills, planning, stages
from engine.errors import BadInput
from engine.exemplar import melding, sources
from engine.run import states

DEPTHS = ("uint8", "uint16", "float16", "float32")


@pytest.fixture(scope="module")
def model():
    return api.load_model("exemplar", "cpu")


def picture(gray: np.ndarray, dtype: str = "uint16") -> np.ndarray:
    """(H, W, 4) of (H, W), for integers in [0, 1], or of (H, W, 3)."""
    planes = gray if gray.ndim == 3 else np.dstack([gray] * 3)
    return canvas.stored(np.dstack([planes, np.ones(gray.shape[:2])]), np.dtype(dtype))


def disc(shape: tuple[int, int], radius: int) -> np.ndarray:
    selection = np.zeros(shape, np.uint8)
    cv2.circle(selection, (shape[1] // 2 + 3, shape[0] // 2 - 4), radius, 255, -1)
    return selection


def smooth(shape: tuple[int, int], sigma: float, seed: int) -> np.ndarray:
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=shape), (0, 0), sigma)
    return noise / noise.std()


def night(shape: tuple[int, int]) -> np.ndarray:
    """A dark sky of at most 400 of 65535 with grain, and stars far above."""
    rng = np.random.default_rng(4)
    sky = 180 + 25 * rng.normal(size=shape) + 20 * smooth(shape, 50, 1)
    for _ in range(shape[0] * shape[1] // 1200):
        stars = np.zeros(shape)
        stars[rng.integers(shape[0]), rng.integers(shape[1])] = np.exp(rng.uniform(8, 12))
        sky += cv2.GaussianBlur(stars, (0, 0), rng.uniform(0.8, 1.4))
    return (sky / 65535).clip(0, 1)


def filled(model, image: np.ndarray, selection: np.ndarray, **options) -> api.Finished:
    *_, last = api.run(api.Job(image, selection, seed=1, **options), model)
    return last


# ------------------------------------------------------------------------------------------------------------- the map


def test_eight_bits_are_what_they_were():
    values = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    image = np.dstack([values // 4, np.full((16, 16), 255, np.uint8)])
    for light in (Light(), Light.of(image, np.ones((16, 16), bool))):
        assert np.array_equal(light.encoded(values), values.astype(np.float32) / 127.5 - 1)
        assert light.limits == (-1, 1)


@settings(max_examples=60, deadline=None)
@given(
    dtype=st.sampled_from(DEPTHS),
    linear=st.booleans(),
    network=st.booleans(),
    low=st.sampled_from([0.0, 0.3, -2.0, 700.0]),
    width=st.sampled_from([0.0, 1e-3, 0.2, 1.0, 90.0]),
    lamp=st.sampled_from([0.0, 1.0, 50.0, 6e4]),
)
def test_the_map_can_be_undone(dtype, linear, network, low, width, lamp):
    rng = np.random.default_rng(0)
    values = low + width * rng.random((24, 24, 3))
    values[3, 4], values[5, 6] = low + width + lamp, low - lamp
    image = picture(values, dtype)
    light = Light.of(image, np.ones((24, 24), bool), linear, network)
    seen = light.encoded(image[..., :3])
    back = light.decoded((seen + 1) / 2)
    assert np.isfinite(seen).all()
    if network:
        assert np.abs(seen).max() <= 1 + 1e-6
    assert seen.min() >= light.limits[0] - 1e-6
    assert seen.max() <= light.limits[1] + 1e-6
    if dtype.startswith("u"):
        assert np.array_equal(canvas.stored(back, image.dtype), image[..., :3])
    else:
        known = image[..., :3].astype(np.float64)
        assert (np.abs(back - known) <= 1e-3 * np.abs(known) + 1e-3 * max(width, 0.01)).all()


def test_what_is_used_of_the_range_is_what_a_model_sees():
    sky = picture(night((90, 120)))
    for network in (False, True):
        seen = Light.of(sky, np.ones((90, 120), bool), network=network).encoded(sky[..., :3])
        assert 0.3 < seen[sky[..., 0] < 400].std() < 0.8
        assert 1 < np.abs(seen).max() < 5 or network


def test_linear_light_is_seen_as_the_eye_does():
    light = Light(np.dtype(np.float32), linear=True)
    seen = light.encoded(np.array([[0.0, 0.21404, 1.0], [-0.21404, 0.002, 50.0]], np.float32))
    assert np.allclose(seen[0], (-1, 0, 1), atol=1e-4)
    assert seen[1, 0] < -1
    assert seen[1, 2] > 1
    assert np.allclose(light.decoded((seen + 1) / 2)[1], (-0.21404, 0.002, 50), rtol=1e-4)


def test_what_is_no_number_is_not_known():
    image = picture(np.full((8, 8), 0.5), "float32")
    image[1, 2, 0], image[3, 4, 2], image[5, 5, 3] = np.nan, np.inf, 0.9
    assert np.argwhere(~canvas.opaque(image)).tolist() == [[1, 2], [3, 4], [5, 5]]
    assert np.isfinite(Light.of(image, np.ones((8, 8), bool)).encoded(image[..., :3])).all()


def test_other_types_are_refused():
    with pytest.raises(BadInput, match="8 or 16 bits, or of half or full floats"):
        canvas.check(np.zeros((8, 8, 4), np.int16), np.ones((8, 8), np.uint8))


# ------------------------------------------------------------------------------------------------------------ the fill


@pytest.mark.parametrize(("dtype", "radius"), [*((dtype, 12) for dtype in DEPTHS), ("float16", 54)])
def test_fills_have_the_pictures_type_and_its_unit(model, dtype, radius):
    scene = 0.3 + 0.4 * np.random.default_rng(1).random((150, 160, 3)) * np.array([1.0, 0.8, 0.6])
    image, selection = picture(scene, dtype), disc((150, 160), radius)
    shown = []
    for event in api.run(api.Job(image, selection, seed=1, steps=20), model):
        if isinstance(event, api.Step) and not shown:
            shown.append(event.preview())
    layer, inside = event.layer(), selection > 0
    assert layer.dtype == shown[0].dtype == image.dtype
    assert event.fill.dtype == np.float32
    assert np.array_equal(layer[..., 3] == image[..., 3], inside)
    assert not layer[~inside].any()
    top = np.iinfo(dtype).max if dtype.startswith("u") else 1
    assert np.abs(layer[inside][:, :3].mean(0) / top - scene.mean((0, 1))).max() < 0.03
    assert np.array_equal(canvas.over(image, layer)[inside], layer[inside])


@pytest.mark.parametrize("radius", [18, 54])
def test_a_gradient_has_no_bands(model, radius):
    rows, columns = np.mgrid[:150, :200]
    image, selection = picture(0.3 + 0.1 * columns / 200 + 0.03 * rows / 150), disc((150, 200), radius)
    inside = selection > 0
    found = filled(model, image, selection).layer()[inside]
    assert len(np.unique(found[:, 0])) >= 0.95 * len(np.unique(image[inside][:, 0]))
    assert np.abs(found.astype(int) - image[inside]).max() < 100  # of 65535
    assert (found[:, 0] == found[:, 1]).all()
    assert (found[:, 0] == found[:, 2]).all()


def test_a_height_map_has_no_terraces(model):
    shape = (160, 200)
    heights = picture(0.4 + 0.008 * smooth(shape, 30, 1) + 3e-5 * smooth(shape, 0.8, 2))
    selection = disc(shape, 22)

    def relief(image: np.ndarray) -> float:
        return float(np.abs(cv2.Laplacian(image[..., 0].astype(np.float64), cv2.CV_64F))[selection > 0].mean())

    out = canvas.over(heights, filled(model, heights, selection).layer())
    assert 0.7 * relief(heights) < relief(out) < 1.3 * relief(heights)


@pytest.mark.slow
@pytest.mark.parametrize("levels", [1, 2])
def test_an_extremely_smooth_map_shows_no_joints(model, levels):
    """Relief of one or two levels of 65535 on hills of hundreds: joints of pieces were three times as rough."""
    shape = (220, 220)
    hills, fine = smooth(shape, 60, 7), smooth(shape, 1.5, 8)
    heights = picture((30000 + 400 * hills / hills.std() + levels * fine / fine.std()) / 65535)
    selection = disc(shape, 36)
    inside = cv2.erode(selection, np.ones((9, 9), np.uint8)) > 0

    def relief(image: np.ndarray) -> float:
        values = image[..., 0].astype(np.float64)
        return float((values - cv2.GaussianBlur(values, (0, 0), 3))[inside].std())

    out = canvas.over(heights, filled(model, heights, selection).layer())
    assert 0.7 * relief(heights) < relief(out) < 1.4 * relief(heights)


@pytest.mark.slow
@pytest.mark.parametrize(("levels", "apart"), [(400, 60), (6000, 60), (3000, 40), (9000, 90)])
def test_hills_go_on_in_a_height_map(model, levels, apart):
    """Patches bring slopes of other places: relief was up to 2.9 times the truth's, and heights 400 levels off."""
    shape = (220, 230)
    large, fine = smooth(shape, apart, 27), smooth(shape, 1.5, 28)
    heights = picture((32000 + levels * (large - large.mean()) / large.std() + 2 * fine) / 65535)
    selection = np.zeros(shape, np.uint8)
    cv2.ellipse(selection, (118, 104), (40, 25), 30, 0, 360, 255, -1)
    inside = cv2.erode(selection, np.ones((9, 9), np.uint8)) > 0
    truth, out = (
        each[..., 0].astype(np.float64)
        for each in (heights, canvas.over(heights, filled(model, heights, selection).layer()))
    )
    relief = [(each - cv2.GaussianBlur(each, (0, 0), 3))[inside].std() for each in (truth, out)]
    assert 0.7 * relief[0] < relief[1] < 1.3 * relief[0]
    assert np.abs(out - truth)[inside].mean() < 0.03 * levels


@pytest.mark.parametrize("sigma", [0, 1.5, 6])
def test_textures_have_no_hills(sigma):
    """What surrounds a hole says nothing of what is in it: the fill stays as it is."""
    shape = (260, 260)
    texture = smooth(shape, sigma, 3) if sigma else np.random.default_rng(3).normal(size=shape)
    image, selection = picture(0.5 + 0.08 * texture), disc(shape, 30)
    box = canvas.bounds(selection)
    light = canvas.Light.of(image, selection == 0)
    given = canvas.light.in_unit(np.roll(image, 83, (0, 1))[box.slices][..., :3])
    assert hills.settled(given, box, image, selection, light) is given


def test_detail_is_limited_only_where_it_is_stronger_than_beside():
    """And not where it belongs to things."""
    slope = 0.1 + 0.8 * np.arange(320) / 320 + 3e-5 * np.random.default_rng(4).normal(size=(300, 320))
    selection = disc(slope.shape, 40)
    inside, box = selection > 0, canvas.bounds(selection)
    image = picture(slope)
    light, blotches = canvas.Light.of(image, ~inside), smooth(slope.shape, 3, 5)
    for more, share in ((0, 1.0), (2e-4 * blotches, 0.7), (0.07 * blotches, 0.9)):
        given = np.repeat((slope + more)[..., None], 3, 2)[box.slices].astype(np.float32)
        found = grain.calmed(given, box, image, selection, light, canvas.NO_WRAP)
        if share == 1:
            assert np.array_equal(found, given)
        else:
            rough = [(cv2.GaussianBlur(each, (0, 0), 1) - cv2.GaussianBlur(each, (0, 0), 6)) for each in (given, found)]
            before, after = (each[10:-10, 10:-10][inside[box.slices][10:-10, 10:-10]].std() for each in rough)
            assert (after < share * before) == (share < 0.8)


def test_a_dark_sky_keeps_its_grain(model):
    sky = night((150, 200))
    image = picture(sky)
    for radius in (14, 54):
        selection = disc(sky.shape, radius)
        layer, inside = filled(model, image, selection, steps=40).layer(), selection > 0
        out = canvas.over(image, layer)[..., 0]
        dark = out < 400
        fine = np.abs(out.astype(np.float32) - cv2.medianBlur(out, 5))
        assert 0.9 < np.median(fine[inside & dark]) / np.median(fine[~inside & dark]) < 1.1
        levels = [len(np.unique(each[..., 0][inside & (each[..., 0] < 400)])) for each in (layer, image)]
        assert levels[0] > 0.75 * levels[1]  # there may be fewer stars
        assert abs(np.median(out[inside & dark]) - np.median(out[~inside & dark])) < 20


@pytest.mark.parametrize("radius", [18, 54])
def test_floats_go_beyond_white_and_black(model, radius):
    rng = np.random.default_rng(2)
    tiles = np.array([50.0, -0.4, 0.2, 0.7])[(np.arange(20)[:, None] + np.arange(25)) % 4]
    scene = tiles.repeat(8, 0).repeat(8, 1) * (1 + 0.05 * rng.random((160, 200)))
    image, selection = picture(scene, "float32"), disc(scene.shape, radius)
    image[10, 10] = np.nan
    found = filled(model, image, selection, linear=True, steps=40).fill[
        selection[selection.any(1)][:, selection.any(0)] > 0
    ]
    assert found.max() > 45
    assert found.min() < -0.35
    assert found.max() < 60
    assert np.isfinite(found).all()


@pytest.mark.slow
def test_extensions_and_tiles_have_full_depth(model):
    shape = (64, 72)
    texture = picture(0.5 + 0.02 * smooth(shape, 2, 3), "uint16")[..., :3]
    for framed, wrap in ((extend.extended(texture, right=30), ""), (extend.tile(texture), "both")):
        image = np.dstack([framed.pixels, np.where(framed.selection > 0, np.uint16(0), np.uint16(65535))])
        last = filled(model, image, framed.selection, wrap=wrap, steps=20)
        found = last.layer()[framed.selection > 0][:, 0]
        assert len(np.unique(found)) > 0.4 * len(found)
        assert abs(found.mean() - texture.mean()) < 0.5 * texture.std()


# ------------------------------------------------------------------------------------------------------------ states


@pytest.mark.parametrize("dtype", ["uint16", "float16", "float32"])
def test_a_state_keeps_the_pictures_type(model, dtype, tmp_path):
    scene = 0.3 + 0.4 * np.random.default_rng(1).random((120, 130, 3))
    scene[5:9, 5:9] = 9.0
    image = picture(scene, dtype)
    job = api.Job(image, disc((120, 130), 54), seed=1, steps=20, linear=dtype == "float32")
    middle, last = None, None
    for last in api.run(job, model):
        if isinstance(last, api.Step) and middle is None and last.call > last.calls // 2:
            middle = last.keep()
    states.save(middle, tmp_path / "state", original=image)
    kept, _, original = states.load(tmp_path / "state")
    assert kept.job.image.dtype == original.dtype == image.dtype
    assert np.array_equal(kept.job.image, image)
    *_, again = api.resume(kept, model)
    assert np.array_equal(again.fill, last.fill)


def test_a_state_of_before_is_read(model, tmp_path):
    image, selection = picture(np.random.default_rng(1).random((40, 40, 3)), "uint8"), disc((40, 40), 8)
    step = next(event for event in api.run(api.Job(image, selection, seed=1, steps=4), model))
    states.save(step.keep(), tmp_path / "new")
    with safe_open(tmp_path / "new", "pt") as file:
        meta = file.metadata()["meta"].replace(', "linear": false, "palette": null', "")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    assert "linear" not in meta
    save_file(tensors, tmp_path / "old", {"meta": meta})
    kept = states.load(tmp_path / "old")[0]
    assert replace(kept.job, image=image, selection=selection) == replace(
        step.keep().job, image=image, selection=selection
    )


def test_what_earlier_stages_painted_is_known_as_it_is():
    image = picture(np.full((20, 40), 3.0), "float32")
    order = np.full((20, 40), -1, np.int32)
    order[:, 20:30], order[:, 30:] = 0, 1
    geometry = api.load_model("exemplar", "cpu").geometry
    light = Light.of(image, order < 0)
    part = stages.part(image, light, order, 1, geometry)
    y, keep = part.model_input(np.full((20, 20, 3), 3.25, np.float32))
    found = y[0, :, :, 20:30].permute(1, 2, 0).numpy()
    assert bool((keep[0, 0, :, :30] == 1).all())
    assert np.allclose(light.decoded((found + 1) / 2), 3.25, rtol=1e-5)
    assert torch.isfinite(y).all()


def test_fine_detail_is_made_as_strong_as_beside_it():
    rng = np.random.default_rng(0)
    noise = 0.5 + 0.01 * rng.normal(size=(300, 320))
    noise[rng.random(noise.shape) < 0.002] = 0.9  # stars are no grain
    image, selection = picture(noise), disc(noise.shape, 60)
    region = canvas.bounds(selection)
    weaker = 0.5 + 0.8 * (np.dstack([noise] * 3)[region.slices].astype(np.float32) - 0.5)
    light = Light.of(image, selection == 0)
    for wraps in ((False, False), (True, True)):
        found = grain.regrained(weaker, region, image, selection, light, wraps)
        inside = selection[region.slices] > 0
        assert 0.95 < np.abs(found - 0.5)[inside].mean() / np.abs(noise - 0.5)[selection > 0].mean() < 1.05
        assert np.array_equal(found[~inside], weaker[~inside])
    same = np.dstack([noise] * 3)[region.slices].astype(np.float32)
    assert grain.regrained(same, region, image, selection, light, (False, False)) is same


# ---------------------------------------------------------------------------------------------------------------- size


def test_places_beyond_what_floats_count_are_spread_evenly():
    found = sources._spread((1 << 25) + 3, 12_000)
    assert found[0] == 0
    assert found[-1] == (1 << 25) + 2
    assert bool((found.diff() > 0).all())


def test_too_much_to_look_at_is_said_with_its_number(model, monkeypatch):
    canvas.checked_size(10_000, 10_000)
    with pytest.raises(BadInput, match="has 101 megapixels, but at most 100 are possible"):
        canvas.checked_size(10_001, 10_000)
    monkeypatch.setattr(planning, "MAX_LOOKED", 10_000)
    image = picture(np.random.default_rng(0).random((130, 130)))
    for radius in (4, 60):
        with pytest.raises(BadInput, match="select less at a time"):
            filled(model, image, disc((130, 130), radius))


def test_shading_of_large_areas_is_sought_channel_by_channel(monkeypatch):
    rng = np.random.default_rng(0)
    grid = melding.Grid(*(rng.random((30, 40)).astype(np.float32) for _ in range(3)))
    right = rng.normal(size=(30, 40, 3)).astype(np.float32)
    *_, at_once = melding.solutions(grid, right)
    monkeypatch.setattr(melding, "LARGE", 100)
    *_, apart = melding.solutions(grid, right)
    assert np.allclose(at_once, apart, atol=1e-5)
