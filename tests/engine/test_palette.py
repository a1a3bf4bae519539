"""Pictures of few colours: their fills have these colours only, and lines stay lines."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engine import api
from engine.canvas import palette
from engine.errors import BadInput
from engine.run.job import checked_selection

SHAPE = (120, 150)
ROWS, COLUMNS = np.mgrid[: SHAPE[0], : SHAPE[1]]
LINES = np.where((ROWS + 2 * COLUMNS) % 23 < 5, 0, 255)
CHECKS = np.where((ROWS + COLUMNS) % 2 * (ROWS // 12 % 2), 0, 255)
ART = np.random.default_rng(5).integers(0, 256, (12, 3))[ROWS // 10 % 3 + 3 * (COLUMNS // 10 % 4)]


@pytest.fixture(scope="module")
def model():
    return api.load_model("exemplar", "cpu")


def picture(colours: np.ndarray, dtype: str = "uint8") -> np.ndarray:
    planes = colours if colours.ndim == 3 else np.dstack([colours] * 3)
    top = np.iinfo(dtype).max if dtype.startswith("u") else 1
    return (np.dstack([planes, np.full(SHAPE, 255)]) * (top / 255)).astype(dtype)


def soft(radius: int) -> np.ndarray:
    selection = np.zeros(SHAPE, np.uint8)
    cv2.circle(selection, (70, 60), radius, 255, -1)
    return cv2.GaussianBlur(selection, (0, 0), 2)


def layer(model, image: np.ndarray, radius: int, **options) -> np.ndarray:
    *_, last = api.run(api.Job(image, soft(radius), seed=1, steps=40, **options), model)
    return last.layer()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
def test_few_colours_are_told_from_many(dtype):
    everywhere = np.ones(SHAPE, bool)
    large = np.full((4 * SHAPE[0], 4 * SHAPE[1]), 255, np.uint8)
    for start in range(0, 1200, 60):
        cv2.line(large, (start, 0), (start - 300, len(large)), 0, 7)
    smoothed = cv2.resize(large, SHAPE[::-1], interpolation=cv2.INTER_AREA)
    for colours, number in ((LINES, 2), (CHECKS, 2), (ART, 12), (np.full(SHAPE, 40), 1), (COLUMNS % 4, 4)):
        found = palette.few_colours(picture(colours, dtype), everywhere)
        assert found.dtype == dtype
        assert len(found) == number
    for colours in (smoothed, 100 + COLUMNS // 8, COLUMNS):
        assert palette.few_colours(picture(colours, dtype), everywhere) is None
    assert len(palette.colours(picture(COLUMNS, dtype), everywhere, 256)[0]) == SHAPE[1]


def test_colours_are_counted_over_all_parts(monkeypatch):
    monkeypatch.setattr(palette, "CHUNK", 1000)
    found, counts = palette.colours(picture(ART), np.ones(SHAPE, bool), 32)
    expected = np.unique(ART.reshape(-1, 3), axis=0, return_counts=True)
    order = np.lexsort(found.T[::-1])
    assert np.array_equal(found[order], expected[0])
    assert np.array_equal(counts[order], expected[1])


def test_unknown_pixels_do_not_count():
    image = picture(LINES)
    image[5, 5] = (9, 9, 9, 0)
    known = np.ones(SHAPE, bool)
    known[8, 8], image[8, 8, :3] = False, 77
    assert len(palette.few_colours(image, known)) == 2
    assert palette.few_colours(image, ~known) is not None
    assert palette.few_colours(image, known & False) is None


@pytest.mark.parametrize(("colours", "dtype"), [(LINES, "uint8"), (CHECKS, "uint16"), (ART, "uint8")])
@pytest.mark.parametrize("radius", [15, 36])
def test_a_fill_has_the_pictures_own_colours(model, colours, dtype, radius):
    image = picture(colours, dtype)
    found = layer(model, image, radius)
    inside = found[..., 3] > 0
    assert set(np.unique(found[..., 3])) == {0, np.iinfo(dtype).max}
    assert {tuple(each) for each in found[inside][:, :3]} <= {tuple(each) for each in image.reshape(-1, 4)[:, :3]}
    assert (found[inside] == image[inside]).all(1).mean() > 0.9


@pytest.mark.slow
def test_it_can_be_switched_off_and_on(model):
    image = picture(LINES)
    free = layer(model, image, 15, palette=False)
    assert len(np.unique(free[..., 3])) > 20
    noisy = np.random.default_rng(0).integers(0, 6, (*SHAPE, 3)) * 51  # 216 colours
    assert palette.few_colours(picture(noisy), np.ones(SHAPE, bool)) is None
    kept = layer(model, picture(noisy), 15, palette=True)
    assert not (kept[kept[..., 3] > 0] % 51).any()
    many = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3))
    with pytest.raises(BadInput, match="more than 256 colours"):
        layer(model, picture(many), 15, palette=True)


def test_what_is_asked_for_may_have_any_colour():
    selection = np.zeros(SHAPE, np.uint8)
    selection[20:40, 20:40] = 130
    blank, lines = picture(np.full((*SHAPE, 3), 255)), picture(LINES)
    for image, more, few in ((blank, {}, False), (lines, {"prompt": "a red apple"}, False), (lines, {}, True)):
        acting, own = checked_selection(api.Job(image, selection, model="texture", **more))
        assert (own is not None) == few
        assert acting.max() == (255 if few else 130)
    assert checked_selection(api.Job(blank, selection, model="texture", palette=True))[1] is not None
