"""Pictures of every depth as bytes, held against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge_server.client.editor.samples import GRAY_OF_RGBA, RGBA_OF_GRAY, arranged, cut, shown
from bridge_server.client.geometry import Box

TYPES = {"u8": "u1", "u16": "<u2", "f16": "<f2", "f32": "<f4"}
LARGEST = {"u8": 255, "u16": 65535, "f16": 1.0, "f32": 1.0}


def picture(depth: str, width: int, height: int, channels: int = 4) -> np.ndarray:
    values = np.random.default_rng(3).random((height, width, channels)) * LARGEST[depth]
    return values.astype(TYPES[depth])


@pytest.mark.parametrize("depth", TYPES)
@pytest.mark.parametrize("part", [Box(0, 0, 37, 23), Box(0, 4, 37, 9), Box(3, 2, 20, 11), Box(36, 22, 1, 1)])
def test_a_part_is_cut(depth: str, part: Box) -> None:
    whole = picture(depth, 37, 23)
    wanted = whole[part.y : part.y + part.height, part.x : part.x + part.width]
    assert cut(whole.tobytes(), 37, part, depth) == wanted.tobytes()


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(TYPES)), st.integers(1, 40), st.integers(1, 30), st.booleans(), st.data())
def test_any_part_of_any_picture(depth: str, width: int, height: int, linear: bool, data: st.DataObject) -> None:
    """Cut, with its channels in another order, and as it is shown: never a pixel too many or too few."""
    whole = picture(depth, width, height)
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    part = Box(x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y)))
    wanted = whole[y : y + part.height, x : x + part.width]
    found = cut(whole.tobytes(), width, part, depth)
    assert found == wanted.tobytes()
    order = tuple(data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=5)))
    assert arranged(found, depth, 4, order) == wanted[..., list(order)].tobytes()
    longest = data.draw(st.integers(1, 50))
    small, columns, rows = shown(whole.tobytes(), width, part, depth, linear, longest)
    assert len(small) == 4 * columns * rows
    if depth != "u8" or linear:
        assert max(columns, rows) <= max(2 * longest, 1)


@pytest.mark.parametrize("depth", TYPES)
def test_gray_becomes_rgba_and_gray_again(depth: str) -> None:
    gray = picture(depth, 16, 9, 2)
    rgba = arranged(gray.tobytes(), depth, 2, RGBA_OF_GRAY)
    assert rgba == gray[..., [0, 0, 0, 1]].tobytes()
    assert arranged(rgba, depth, 4, GRAY_OF_RGBA) == gray.tobytes()


@pytest.mark.parametrize("depth", TYPES)
def test_what_has_no_alpha_becomes_opaque(depth: str) -> None:
    colours = picture(depth, 16, 9, 3)
    rgba = np.frombuffer(arranged(colours.tobytes(), depth, 3, (0, 1, 2, 3)), TYPES[depth]).reshape(9, 16, 4)
    assert np.array_equal(rgba[..., :3], colours)
    assert (rgba[..., 3] == LARGEST[depth]).all()


@pytest.mark.parametrize("depth", TYPES)
@pytest.mark.parametrize("linear", [False, True])
def test_a_small_picture_shows_what_is_seen(depth: str, linear: bool) -> None:
    whole = picture(depth, 300, 200)
    part = Box(20, 10, 240, 150)
    data, columns, rows = shown(whole.tobytes(), 300, part, depth, linear, 40)
    small = np.frombuffer(data, np.uint8).reshape(rows, columns, 4).astype(float)
    every = 1 if depth == "u8" and not linear else 6
    assert (columns, rows) == (240 // every, 150 // every)
    values = whole[10:160:every, 20:260:every].astype(float) / LARGEST[depth]
    if linear:
        light = values[..., :3]
        values[..., :3] = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(small - 255 * values).max() <= 1.5


@pytest.mark.parametrize("depth", ["f16", "f32"])
def test_what_lies_beyond_is_black_or_white(depth: str) -> None:
    values = np.array([-np.inf, -2.0, -0.0, 0.0, 1.0, 7.5, np.inf, np.nan], TYPES[depth])
    rgba = np.repeat(values[:, None], 4, axis=1)
    data, columns, rows = shown(rgba.tobytes(), 8, Box(0, 0, 8, 1), depth, True, 8)
    assert (columns, rows) == (8, 1)
    assert list(data[::4]) == [0, 0, 0, 0, 255, 255, 255, 0]
