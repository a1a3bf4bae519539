"""Maps: what is filled beside the colour, from the same places."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engine import api
from engine.canvas import extend
from engine.errors import BadInput
from engine.exemplar import matching, melding
from engine.exemplar.matching import HAS_NUMBA
from engine.files import imagefile
from engine.run import states
from engine.run.maps import renewed
from tests.engine.pictures import STONE

SHARES = np.array([0.3, 0.5, 0.2])


@pytest.fixture(scope="module")
def model() -> api.Model:
    return api.load_model("exemplar", "cpu")


def _texture(height: int, width: int, seed: int = 1) -> np.ndarray:
    """(height, width, 4) uint8, soft spots of many colours."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 2.5)
    soft = (soft - soft.min()) / (soft.max() - soft.min())
    return _stored(soft, np.uint8)


def _stored(values: np.ndarray, dtype: type) -> np.ndarray:
    """(H, W, 4) opaque, of (H, W) or (H, W, 3) in 0 … 1."""
    top = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    out = np.full((*values.shape[:2], 4), top, dtype)
    shown = values * top if np.dtype(dtype).kind == "f" else np.rint(values * top)
    out[..., :3] = shown[..., None] if values.ndim == 2 else shown
    return out


IMAGE = _texture(150, 170)
COLOUR = IMAGE[..., :3] / 255
SELECTION = np.zeros((150, 170), np.uint8)
SELECTION[40:100, 50:120] = 255
SMALL = np.zeros((150, 170), np.uint8)
SMALL[60:76, 80:96] = 255
SPOTS = np.zeros((150, 1200), np.uint8)
SPOTS[60:80, 100:120] = SPOTS[60:80, 900:920] = 255


def _job(maps, image=IMAGE, selection=SELECTION, **more) -> api.Job:
    return api.Job(image, selection, **{"seed": 3, "steps": 4, "jump_samples": 1, "maps": tuple(maps), **more})


def _last(job: api.Job, model: api.Model) -> api.Finished:
    *_, last = api.run(job, model)
    return last


def _functions(image: np.ndarray) -> list[api.Map]:
    """Linear functions of the colour, in three depths."""
    colour = image[..., :3] / 255
    return [
        api.Map("the same", image, "colour"),
        api.Map("height", _stored(colour @ SHARES, np.uint16)),
        api.Map("roughness", _stored(1 - colour[..., 1] / 2, np.float32)),
    ]


@pytest.mark.parametrize(
    ("image", "selection", "more"),
    [
        (IMAGE, SELECTION, {}),
        (IMAGE, SMALL, {}),
        (IMAGE, SELECTION, {"wrap": "both"}),
        (IMAGE, SELECTION, {"scale": 0.5}),
        (_texture(150, 1200), SPOTS, {}),
    ],
    ids=["large", "small", "tile", "half scale", "far apart"],
)
def test_maps_that_are_linear_in_the_colour_stay_so(model, image, selection, more) -> None:
    done = _last(_job(_functions(image), image, selection, **more), model)
    here = done.selection[done.region.slices] > 0
    colour = done.fill[here]
    same, height, roughness = (layer[done.region.slices][here][:, :3] for layer in done.map_layers())
    assert np.array_equal(same, done.layer()[done.region.slices][here][:, :3])
    assert height.dtype == np.uint16
    assert np.abs(height[:, 0] - 65535 * (colour @ SHARES)).max() < 3, "its own rounding was copied"
    assert np.ptp(height.astype(int), axis=1).max() == 0, "gray stays gray"
    assert roughness.dtype == np.float32
    assert np.abs(roughness[:, 0] - (1 - colour[:, 1] / 2)).max() < 1e-5
    assert colour.std() > 0.05, "something was painted"


def test_maps_without_numba_stay_functions_too(model, monkeypatch) -> None:
    """The loops in torch, which CUDA devices use as well."""
    monkeypatch.setattr(matching, "HAS_NUMBA", False)
    done = _last(_job(_functions(IMAGE)[1:], selection=SMALL), model)
    here = SMALL[done.region.slices] > 0
    assert np.abs(done.map_fills[0][here][:, 0] - done.fill[here] @ SHARES).max() < 1e-4


def test_a_deep_picture_keeps_the_function_too(model) -> None:
    deep = _stored(COLOUR, np.uint16)
    done = _last(_job([api.Map("height", _stored(COLOUR @ SHARES, np.uint16))], deep), model)
    here = SELECTION[done.region.slices] > 0
    height = done.map_layers()[0][done.region.slices][here][:, 0]
    assert np.abs(height - 65535 * (done.fill[here] @ SHARES)).max() < 3


def test_floats_of_any_size_are_values_as_they_are(model) -> None:
    """Metres below the sea, in single and half precision; what is no number is not looked at."""
    metres = np.full((150, 170, 4), 1, np.float32)
    metres[..., :3] = (COLOUR @ SHARES * 800 - 500)[..., None]
    metres[:20, :, 0] = np.nan
    half = np.full((150, 170, 4), 1, np.float16)
    half[..., :3] = COLOUR / 64
    done = _last(_job([api.Map("metres", metres), api.Map("half", half)]), model)
    here = SELECTION[done.region.slices] > 0
    deep, dim = (layer[done.region.slices][here] for layer in done.map_layers())
    assert (deep.dtype, dim.dtype) == (np.float32, np.float16)
    assert np.abs(deep[:, 0] - (done.fill[here] @ SHARES * 800 - 500)).max() < 0.02
    assert np.abs(dim[:, :3] - done.fill[here] / 64).max() < 2e-5
    assert np.isfinite(deep).all()


def test_normals_have_unit_length_and_fit_the_height(model) -> None:
    height = COLOUR @ SHARES
    slope = np.stack([*np.gradient(height)[::-1], np.full_like(height, -0.05)], 2) * -1
    normals = slope / np.linalg.norm(slope, axis=2, keepdims=True)
    done = _last(_job([api.Map("normal", _stored((normals + 1) / 2, np.uint16), "normal")]), model)
    fill = done.map_fills[0][SELECTION[done.region.slices] > 0] * 2 - 1
    assert np.abs(np.linalg.norm(fill, axis=1) - 1).max() < 1e-4
    assert fill[:, 0].std() == pytest.approx(normals[..., 0].std(), rel=0.25), "not flattened"
    signed = np.dstack([normals, np.ones_like(height)]).astype(np.float32)
    done = _last(_job([api.Map("normal", signed, "normal")]), model)
    fill = done.map_fills[0][SELECTION[done.region.slices] > 0]
    assert fill[:, 0].min() < -0.3, "floats as they are"
    assert np.abs(np.linalg.norm(fill, axis=1) - 1).max() < 1e-4


@pytest.mark.parametrize("flat", [(0, 0, 1), (0.5, 0.5, 1)])
def test_flat_normals_in_floats_stay_as_they_are(flat, model) -> None:
    normals = np.full((*SELECTION.shape, 4), (*flat, 1), np.float32)
    done = _last(_job([api.Map("normal", normals, "normal")]), model)
    assert np.allclose(done.map_fills[0][SELECTION[done.region.slices] > 0], flat, atol=1e-3)
    assert np.allclose(renewed(normals[..., :3]), flat, atol=1e-3)


def test_a_real_walls_maps_stay_together(model) -> None:
    """Where the colour has a joint, height and normals have one, as in the wall itself."""
    files = [imagefile.read(STONE / f"stone_{name}.png").rgba8()[:96] for name in ("colour", "height", "normal")]
    frames = [extend.extended(pixels, right=48) for pixels in files]
    colour, height, normal = (frame.rgba(frame.pixels) for frame in frames)
    both = (api.Map("height", height), api.Map("normal", normal, "normal"))
    done = _last(_job(both, colour, frames[0].selection, steps=12), model)
    lay = [layer[:, 256:] for layer in (done.layer(), *done.map_layers())]
    for number, channel in ((1, 0), (2, 1)):
        there, here = (
            np.corrcoef(one[..., :3].mean(2).ravel(), other[..., channel].ravel())[0, 1]
            for one, other in ((files[0], files[number]), (lay[0], lay[number]))
        )
        assert here == pytest.approx(there, abs=0.1)
    assert abs(np.corrcoef(lay[0][..., :3].mean(2).ravel(), lay[1][..., 0].ravel())[0, 1]) > 0.6
    length = np.linalg.norm(lay[2][..., :3] / 127.5 - 1, axis=2)
    assert np.abs(length - 1).max() < 0.02


def test_a_map_decides_with_the_colour_by_its_weight(model) -> None:
    """The colour is the same everywhere; only the map tells two halves apart."""
    flat = _stored(np.random.default_rng(5).uniform(0.4, 0.6, (128, 128)), np.uint8)
    halves = np.where(np.arange(128)[:, None] < 64, 0.2, 0.8) * np.ones((1, 128))
    selection = np.zeros((128, 128), np.uint8)
    selection[44:84, 44:84] = 255
    found = {}
    for weight in (0.01, 4.0):
        done = _last(_job([api.Map("mask", _stored(halves, np.uint8), weight=weight)], flat, selection), model)
        found[weight] = np.abs(done.map_fills[0][..., 0] - halves[44:84, 44:84]).mean()
    assert found[4.0] < 0.06, "the border between the halves goes on"
    assert found[4.0] < found[0.01]


def test_without_maps_and_with_the_loop_for_any_number_of_channels() -> None:
    """Both compiled loops, and torch's, find the same places."""
    if not HAS_NUMBA:
        pytest.skip("numba is not installed")
    from engine.exemplar import matching_numba, matching_torch

    rng = np.random.default_rng(0)
    for channels in (3, 5):
        source = rng.random((channels, 40, 40)).astype(np.float32)
        seen, weights = rng.random((channels, 30, 30)).astype(np.float32), rng.random((30, 30)).astype(np.float32)
        top, left = (each.ravel().astype(np.int32) for each in np.mgrid[:20, :20])
        near = rng.integers(-1, 400, (400, 8)).astype(np.int32)
        usable = np.zeros((40, 40), np.uint8)
        usable[:33, :33] = 1
        contrast, gains = rng.random((40, 40)).astype(np.float32), np.ones(400, np.float32)
        places = rng.integers(0, 33, (400, 2)).astype(np.int32)
        likings = np.array([0.2, 0.1, 0.5], np.float32)
        given = (
            seen,
            weights,
            source,
            usable,
            contrast,
            top,
            left,
            near,
            np.zeros(2, np.int32),
            gains,
            places,
            likings,
            40,
        )
        any_number = matching_numba._of_any(*given, np.uint32(7))
        assert np.array_equal(any_number, matching_numba.improve(*given, np.uint32(7)))
        import torch

        assert (any_number == matching_torch.improve(*given, 7, torch.device("cpu"))).mean() > 0.99


def test_votes_of_many_channels_are_those_of_each() -> None:
    import torch

    from engine.exemplar.patch import SIDE, vote_window
    from engine.exemplar.targets import Targets

    wanted = np.zeros((40, 40), bool)
    wanted[12:28, 12:28] = True
    these = Targets.of(wanted, ~wanted, wanted, (False, False))
    rng = np.random.default_rng(1)
    source = rng.random((7, 60, 60)).astype(np.float32)
    places = rng.integers(0, 60 - SIDE, (len(these.top), 2)).astype(np.int32)
    where = (
        these.rows, these.columns, these.over_row, these.over_column, these.number, these.top, these.left,
        np.zeros(2, np.int32), places, rng.random(len(these.top)).astype(np.float32), vote_window(2.5),
    )  # fmt: skip
    cpu = torch.device("cpu")
    votes = matching.vote(source, *where, cpu)
    for first in (0, 2, 4):
        assert np.array_equal(votes[first : first + 3], matching.vote(source[first : first + 3], *where, cpu)[:3])
    from engine.exemplar import matching_torch

    assert np.allclose(votes, matching_torch.vote(source, *where, cpu), atol=1e-5)


def test_evened_shading_of_many_channels_is_one_linear_map() -> None:
    rng = np.random.default_rng(2)
    diagonal = np.full((24, 30), 1e-3, np.float32)
    down, across = (rng.uniform(0.1, 1, (24, 30)).astype(np.float32) for _ in range(2))
    down[-1], across[:, -1] = 0, 0
    grid = melding.Grid(diagonal, down, across)
    right = rng.normal(size=(24, 30, 3)).astype(np.float32)
    four = np.concatenate([right, (right @ SHARES.astype(np.float32))[..., None]], 2)
    *_, found = melding.solutions(grid, four.copy(), 12)
    assert np.allclose(found[..., 3], found[..., :3] @ SHARES, atol=1e-3 * np.abs(found).max())
    rest = grid.applied(found) - four
    assert np.abs(rest).max() < 0.05 * np.abs(four).max()


def test_what_is_transparent_in_a_map_is_not_looked_at(model) -> None:
    height = _stored(COLOUR @ SHARES, np.uint16)
    height[:, :40] = 0
    done = _last(_job([api.Map("height", height)]), model)
    here = SELECTION[done.region.slices] > 0
    assert done.map_fills[0][here][:, 0].min() > 0.15, "nothing of the empty part"


def test_kept_states_go_on_to_the_same_maps(model, tmp_path) -> None:
    job = _job(_functions(IMAGE))
    kept, last = [], None
    for event in api.run(job, model):
        if isinstance(event, api.Step) and event.call < event.calls:
            kept.append(event.keep())
        last = event
    assert isinstance(last, api.Finished)
    for number in (0, len(kept) // 2, -1):
        path = tmp_path / "state.safetensors"
        states.save(kept[number], path)
        loaded, _, _ = states.load(path)
        assert [(each.name, each.kind, each.weight) for each in loaded.job.maps] == [
            (each.name, each.kind, each.weight) for each in job.maps
        ]
        *_, again = api.resume(loaded, model)
        assert np.array_equal(again.layer(), last.layer())
        for one, other in zip(again.map_layers(), last.map_layers(), strict=True):
            assert one.dtype == other.dtype
            assert np.array_equal(one, other)


def test_a_step_shows_the_maps_as_they_are_now(model) -> None:
    steps = [event for event in api.run(_job(_functions(IMAGE)), model) if isinstance(event, api.Step)]
    layers = steps[len(steps) // 2].map_layers()
    assert [layer.dtype.name for layer in layers] == ["uint8", "uint16", "float32"]
    assert all(np.array_equal(layer[..., 3] > 0, SELECTION > 0) for layer in layers)


NORMALS = _stored(np.full((150, 170, 3), (0.5, 0.5, 1.0)), np.uint8)
ZERO_NORMALS = NORMALS.copy()
ZERO_NORMALS[30, 60, :3] = 127
EMPTY = NORMALS.copy()
EMPTY[..., 3] = 0


@pytest.mark.parametrize(
    ("maps", "more", "said"),
    [
        ([api.Map("n.png", NORMALS[:100])], {}, "n.png is 170 × 100 pixels but the picture is 170 × 150"),
        ([api.Map("n.png", ZERO_NORMALS, "normal")], {}, "normals of length 0"),
        ([api.Map("n.png", EMPTY)], {}, "n.png is empty around the selection"),
        ([api.Map("n.png", NORMALS)], {"source": IMAGE}, "together with sources"),
        ([api.Map("n.png", NORMALS)], {"ring": True}, "together with matching of surrounding colours"),
        ([api.Map("n.png", NORMALS)], {"palette": True}, "together with a palette"),
        ([api.Map("n.png", NORMALS)], {"learn": 5.0}, "together with learning"),
        ([api.Map("n.png", NORMALS, "bump")], {}, "not 'bump'"),
        ([api.Map("n.png", NORMALS, weight=0.0)], {}, "weight of the map n.png must be"),
        ([api.Map("n.png", NORMALS, weight=float("nan"))], {}, "weight of the map n.png must be"),
        ([api.Map("n.png", NORMALS)] * 2, {}, "a name of its own"),
        ([api.Map(str(number), NORMALS) for number in range(8)], {}, "up to 7 maps"),
        ([api.Map("n.png", NORMALS[..., :3])], {}, "must be RGBA"),
    ],
)
def test_what_cannot_be_filled_together_is_refused_in_a_sentence(model, maps, more, said) -> None:
    with pytest.raises(BadInput, match=said.replace("(", r"\(")) as caught:
        next(api.run(_job(maps, **more), model))
    assert ";" in caught.value.sentence or "must be" in caught.value.sentence


def test_another_model_refuses_maps() -> None:
    model = api.load_model("test/gaussian", "cpu")
    with pytest.raises(BadInput, match="choose the model exemplar, or leave the maps out"):
        next(api.run(_job([api.Map("n.png", NORMALS)], model="test/gaussian"), model))


def test_a_picture_that_is_too_thin_for_maps(model) -> None:
    thin, selection = _stored(np.full((12, 100), 0.5), np.uint8), np.zeros((12, 100), np.uint8)
    selection[4:8, 40:60] = 255
    with pytest.raises(BadInput, match="at least 16 × 16 pixels"):
        next(api.run(_job([api.Map("h", thin)], thin, selection), model))
