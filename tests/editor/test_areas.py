"""Which pixels are sent and which are repainted, to the pixel."""

from __future__ import annotations

import numpy as np
import pytest

from bridge_server.client.editor import sentences
from bridge_server.client.editor.areas import extended, frame, grown_size, marks, selected_pixels, slices, surroundings
from bridge_server.client.editor.model import Extend, Refused, Target, Tile
from bridge_server.client.geometry import Box


def as_array(data: bytes, box: Box) -> np.ndarray:
    return np.frombuffer(data, np.uint8).reshape(box.height, box.width)


@pytest.mark.parametrize(
    ("area", "bounds"),
    [
        (Extend(right=16), Box(100, 0, 16, 80)),
        (Extend(left=16), Box(0, 0, 16, 80)),
        (Extend(top=8), Box(0, 0, 100, 8)),
        (Extend(bottom=8), Box(0, 80, 100, 8)),
        (Extend(left=4, right=16), Box(0, 0, 120, 80)),
        (Extend(right=16, bottom=8), Box(0, 0, 116, 88)),
    ],
)
def test_the_new_part_of_an_extended_canvas(area: Extend, bounds: Box) -> None:
    box, found, old = extended(100, 80, area)
    assert found == bounds
    assert (old.x, old.y, old.width, old.height) == (area.left, area.top, 100, 80)
    whole = Box(0, 0, 100 + area.left + area.right, 80 + area.top + area.bottom)
    assert box.x + box.width <= whole.width
    assert box.y + box.height <= whole.height
    marked = as_array(marks(whole, old), whole)
    assert (marked == 0).sum() == 100 * 80
    rows, columns = np.nonzero(marked)
    assert rows.min() >= found.y
    assert columns.min() >= found.x
    assert rows.max() < found.y + found.height
    assert columns.max() < found.x + found.width
    assert grown_size(Target("d", "", box, found, grown=old)) == (whole.width, whole.height)


def test_a_canvas_that_does_not_grow_or_grows_too_far_is_refused() -> None:
    with pytest.raises(Refused) as nothing:
        extended(100, 80, Extend())
    assert nothing.value.sentence == sentences.NO_SIDE
    with pytest.raises(Refused) as much:
        extended(30000, 30000, Extend(right=4096))
    assert much.value.sentence == sentences.TOO_LARGE


def test_selected_pixels_are_told_by_some_rows() -> None:
    y, x = np.mgrid[:900, :700]
    selection = (255 * ((x - 350) ** 2 / 340**2 + (y - 450) ** 2 / 440**2 < 1)).astype(np.uint8)

    def read(part: Box) -> bytes:
        return selection[part.y : part.y + part.height, part.x : part.x + part.width].tobytes()

    assert selected_pixels(Box(10, 10, 680, 880), read) == pytest.approx(np.count_nonzero(selection), rel=0.02)
    assert selected_pixels(Box(300, 440, 30, 20), read) == 600


@pytest.mark.parametrize(("axis", "sides"), [("x", (8, 0)), ("y", (0, 8)), ("both", (8, 8))])
def test_the_band_of_a_tile_lies_along_the_borders_that_meet(axis: str, sides: tuple[int, int]) -> None:
    canvas = Box(0, 0, 60, 40)
    marked = as_array(frame(canvas, Tile(axis, 16))(canvas), canvas)
    expected = np.full((40, 60), 255, np.uint8)
    expected[sides[1] : 40 - sides[1], sides[0] : 60 - sides[0]] = 0
    assert np.array_equal(marked, expected)


def test_a_band_leaves_a_third_of_a_small_picture() -> None:
    canvas = Box(0, 0, 12, 9)
    marked = as_array(frame(canvas, Tile("both", 64))(canvas), canvas)
    assert (marked[3:6, 4:8] == 0).all()
    assert (marked == 0).sum() == 3 * 4


def test_marks_of_a_part_are_the_part_of_the_marks() -> None:
    whole, keep = Box(0, 0, 20, 15), Box(5, 4, 8, 6)
    marked = as_array(marks(whole, keep), whole)
    for part in (Box(0, 0, 5, 4), Box(3, 2, 9, 7), Box(6, 5, 2, 2), Box(13, 10, 7, 5)):
        inside = marked[part.y : part.y + part.height, part.x : part.x + part.width]
        assert np.array_equal(as_array(marks(part, keep), part), inside)


def test_slices_are_whole_rows_and_cover_the_box_once() -> None:
    box = Box(7, 3, 10, 11)
    parts = slices(box, 35)
    assert [part.height for part in parts] == [3, 3, 3, 2]
    assert [part.y for part in parts] == [3, 6, 9, 12]
    assert all((part.x, part.width) == (7, 10) for part in parts)
    assert len(slices(box, 1)) == 11, "one row at least"


def test_a_thumbnail_shows_a_little_around_the_selection() -> None:
    assert surroundings(Box(100, 100, 400, 400), Box(200, 220, 64, 80)) == Box(90, 110, 84, 100)
    assert surroundings(Box(100, 100, 70, 90), Box(100, 100, 64, 80)) == Box(0, 0, 70, 90)
