"""Offsets at which a picture repeats itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.exemplar import offsets

SIDE = 8


def _common(picture: np.ndarray, periods: tuple[int, int] = (0, 0)) -> np.ndarray:
    padded = np.pad(picture, [(0, SIDE * (period > 0)) for period in periods], mode="wrap")
    views = np.lib.stride_tricks.sliding_window_view(padded, (SIDE, SIDE))
    rows, columns = (each.ravel() for each in np.indices(views.shape[:2]))
    inside = (rows < picture.shape[0]) & (columns < picture.shape[1])
    stock = torch.from_numpy(views.reshape(-1, SIDE**2)[inside].astype(np.float32))
    return offsets.commonness(stock, rows[inside], columns[inside], picture.shape, np.array(periods))


def test_a_pattern_that_repeats_is_found_at_its_period():
    cell = np.random.default_rng(0).normal(size=(11, 13))
    common = _common(np.tile(cell, (4, 4)) + np.random.default_rng(1).normal(size=(44, 52)) * 0.05)
    height, width = 44, 52
    for down, right in ((11, 0), (0, 13), (-11, 0), (11, 13), (-11, 13)):
        assert common[height + down, width + right] > 2
    assert common[height + 5, width + 6] < 0.2
    np.testing.assert_allclose(common, common[::-1, ::-1])


def test_what_is_nearly_the_same_place_is_no_repetition():
    ramp = np.add.outer(np.arange(40.0), np.zeros(40))  # every patch is as its neighbours across
    common = _common(ramp)
    assert common[40, 40] < common[40, 40 + 8]


@pytest.mark.parametrize(("period", "expected"), [(0, [-30, 30]), (40, [10, -10])])
def test_offsets_go_the_short_way_round(period: int, expected: list[int]):
    assert offsets.short(np.array([-30, 30]), period).tolist() == expected


def test_a_periodic_picture_repeats_across_its_border():
    picture = np.random.default_rng(2).normal(size=(24, 40))
    picture[:, 34:], picture[:, :6] = picture[:, 16:22], picture[:, 22:28]  # a block of 12 that goes on over the border
    common = _common(picture, (24, 40))
    assert common[24, 40 + 18] == offsets.MOST
