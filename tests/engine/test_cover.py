"""Partly transparent pixels: how much their colours count, and fills of soft-edged layers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from engine import api, canvas
from engine.exemplar import octaves, pyramid
from engine.run import by_octaves
from engine.run.painting import Painting

SIZE, MIDDLE = 160, 80


@pytest.fixture(scope="module")
def model() -> api.Model:
    return api.load_model("exemplar", "cpu")


def _away() -> np.ndarray:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return np.hypot(rows - MIDDLE, columns - MIDDLE)


def _ramp() -> np.ndarray:
    """(H, W, 3): light from the left to the right, with a little noise."""
    light = 40 + np.arange(SIZE) + np.random.default_rng(3).normal(0, 3, (SIZE, SIZE))
    return np.rint(light)[..., None] * np.array([1.0, 0.9, 0.7])


def _layer(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.dstack([colours, 255 * alpha]).round().astype(np.uint8)


SELECTION = np.where(_away() < 22, np.uint8(255), np.uint8(0))
SOFT = np.clip((_away() - 10) / 30, 0, 1)
"""Alpha of what was erased with a soft brush; partly transparent pixels stay around the selection."""


def _fill(image: np.ndarray, model: api.Model, selection: np.ndarray = SELECTION) -> np.ndarray:
    """The fill's colours over the picture's, (H, W, 3) float."""
    *_, finished = api.run(api.Job(image, selection, model="exemplar", seed=1), model)
    layer = finished.layer()
    return np.where(selection[..., None] > 0, layer[..., :3], image[..., :3]).astype(float)


@pytest.mark.parametrize("depth", ["uint8", "uint16", "float32"])
def test_colours_count_by_their_alpha_from_a_tenth_to_almost_opaque(depth):
    alpha = np.array([[0, 25, 26, 128, 249, 250, 255]], np.float64) / 255
    image = np.dstack([np.ones((1, 7, 3)), alpha])
    image = canvas.stored(image, np.dtype(depth))
    assert canvas.cover(image)[0] == pytest.approx([0, 0, *alpha[0, 2:5], 1, 1], abs=1e-4)
    assert canvas.solid(image)[0].tolist() == [False] * 3 + [True] * 4
    assert canvas.cover(image[:, [0, 1, 5, 6]]) is None  # as if there were no alpha
    if depth == "float32":
        image[0, 3, 0] = np.nan
        assert canvas.cover(image)[0, 3] == 0
        assert not canvas.solid(image)[0, 3]


def test_alpha_is_seen_in_relation_only_where_hardly_anything_is_opaque():
    selection = np.zeros((10, 10), np.uint8)
    image = np.full((10, 10, 4), 100, np.uint8)
    seen = canvas.in_relation(image, selection)
    assert (seen[..., 3] == 255).all()
    assert (seen[..., :3] == 100).all()
    image[:2, :, 3] = 255
    assert canvas.in_relation(image, selection) is image
    assert (canvas.in_relation(image, np.where(image[..., 3] == 255, 255, 0))[2:, :, 3] == 255).all()
    image[..., 3] = 0
    assert canvas.in_relation(image, selection) is image


def test_octaves_average_colours_by_their_weight():
    random = np.random.default_rng(5)
    pixels, cover = random.uniform(-1, 1, (64, 64, 3)).astype(np.float32), random.uniform(0.1, 1, (64, 64))
    wanted = np.zeros((64, 64), bool)
    wanted[20:44, 20:44] = True
    fine, coarse, *_ = pyramid.pyramid(
        pixels, ~wanted, wanted, canvas.NO_WRAP, torch.device("cpu"), cover=cover.astype(np.float32)
    )
    weight = np.where(wanted, 0, cover)[:2, :2]
    colour = (pixels[:2, :2] * weight[..., None]).sum((0, 1)) / weight.sum()
    assert coarse.pixels[0, 0, :3] == pytest.approx(colour, abs=1e-5)
    assert coarse.cover[0, 0] == pytest.approx(weight.mean(), abs=1e-6)
    assert (fine.cover[wanted] == 0).all()
    assert not coarse.cover[~coarse.known].any()


def test_known_pixels_are_compared_by_their_weight():
    wanted = np.zeros((40, 40), bool)
    wanted[16:24, 16:24] = True
    pixels = np.zeros((40, 40, 3), np.float32)
    half = np.where(wanted, np.float32(0), np.float32(0.5))
    whole, weighed = (
        octaves.Octave(pixels, ~wanted, wanted, canvas.NO_WRAP, torch.device("cpu"), cover=cover)
        for cover in (None, half)
    )
    painted = np.zeros((3, len(whole.rows)), np.float32)
    (_, one), (_, other) = (octave._seen(painted, 0.5) for octave in (whole, weighed))
    assert other == pytest.approx(one * np.where(whole._clear, 0.5, 1))


@pytest.mark.slow
def test_a_fill_goes_on_with_what_is_partly_transparent(model):
    """On a slope of light, at its middle and at both ends: a fill that did not see the soft edge was up to 40 off."""
    ramp = _ramp()
    opaque, soft = (_fill(_layer(ramp, alpha), model) for alpha in (np.ones_like(SOFT), SOFT))
    truth, inside = cv2.GaussianBlur(ramp, (0, 0), 4), SELECTION > 0
    errors = [np.abs(cv2.GaussianBlur(each, (0, 0), 4) - truth)[inside].mean() for each in (opaque, soft)]
    assert errors[1] < 1.5 * errors[0] + 2


def test_the_more_transparent_the_less_a_colour_counts(model):
    """A fringe of another colour, as what was cut out of a background has."""
    ramp, fringe, alpha = _ramp(), np.array([255.0, 0, 255]), np.clip((_away() - 20) / 5, 0, 1)
    mixed = ramp * alpha[..., None] + fringe * (1 - alpha[..., None])
    straight, image = _layer(mixed, np.ones_like(SOFT)), _layer(mixed, alpha)
    off = [np.abs(_fill(each, model) - ramp)[SELECTION > 0].mean() for each in (straight, image)]
    assert off[1] < 0.9 * off[0]


def test_what_is_almost_transparent_may_have_any_colour(model):
    ramp = _ramp()
    image = _layer(ramp, SOFT)
    other = image.copy()
    other[image[..., 3] < 25, :3] = (1, 255, 7)
    selection = np.where((_away() < 22) & (_away() > 11), np.uint8(255), np.uint8(0))
    filled = [_fill(each, model, selection)[selection > 0] for each in (image, other)]
    assert np.array_equal(*filled)


@pytest.mark.slow
def test_a_layer_that_covers_little_everywhere_is_filled_like_an_opaque_one(model):
    ramp = _ramp()
    opaque, thin = (_fill(_layer(ramp, np.full_like(SOFT, alpha)), model) for alpha in (1, 0.3))
    assert np.array_equal(opaque, thin)


def test_small_pictures_go_by_octaves_only_where_something_is_partly_transparent(model):
    noise = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3))
    for alpha, by in ((np.ones_like(SOFT), False), (SOFT, True), (np.round(SOFT), False)):
        job = api.Job(_layer(noise, alpha), SELECTION, model="exemplar")
        assert by_octaves.suits(Painting.of(job, model)) == by
