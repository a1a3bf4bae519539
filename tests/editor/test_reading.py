"""What hosts do alike while they read: the boxes that a click asks for, slices, the box around marks."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pytest

from bridge_server.client.editor import reading
from bridge_server.client.editor.model import Extend, Refused, Settings, Tile
from bridge_server.client.editor.reading import Wanted, in_slices, marked, wanted
from bridge_server.client.geometry import Box

SETTINGS = Settings("exemplar", "fast", 7, options={"padding": 8})
WIDTH, HEIGHT = 96, 72
T = TypeVar("T")


def end(steps: Generator[None, None, T]) -> tuple[int, T]:
    """How often it let the editor go on, and what came out."""
    turns = 0
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return turns, stop.value
        turns += 1


def canvas(found: Wanted) -> np.ndarray:
    """Marks of all that is sent."""
    return np.frombuffer(found.marks(found.box), np.uint8).reshape(found.box.height, found.box.width)


def test_a_selection_is_sent_with_its_surroundings() -> None:
    bounds = Box(20, 30, 10, 5)
    _, found = end(wanted(WIDTH, HEIGHT, SETTINGS, bounds, lambda part: bytes([7]) * part.area))
    assert (found.box, found.bounds, found.grown, found.pieces) == (Box(12, 22, 26, 21), bounds, None, ())
    assert (canvas(found) == 7).all()


def test_far_apart_places_are_sent_in_pieces() -> None:
    selection = np.zeros((1000, 1000), np.uint8)
    selection[10:20, 10:20] = selection[980:990, 980:990] = 255
    read = lambda part: selection[part.y : part.y + part.height, part.x : part.x + part.width].tobytes()  # noqa: E731
    _, found = end(wanted(1000, 1000, SETTINGS, Box(10, 10, 980, 980), read))
    assert len(found.pieces) == len(found.parts) == 2
    assert end(wanted(1000, 1000, replace(SETTINGS, model="texture"), Box(10, 10, 980, 980), read))[1].pieces == ()


def test_an_extension_and_a_tile_need_no_selection() -> None:
    _, found = end(wanted(WIDTH, HEIGHT, replace(SETTINGS, area=Extend(right=32))))
    assert (found.bounds, found.grown) == (Box(WIDTH, 0, 32, HEIGHT), Box(0, 0, WIDTH, HEIGHT))
    assert (canvas(found)[:, -32:] == 255).all()
    assert not canvas(found)[:, :-32].any()
    _, found = end(wanted(WIDTH, HEIGHT, replace(SETTINGS, area=Tile("x", 16))))
    assert found.box == found.bounds == Box(0, 0, WIDTH, HEIGHT)
    assert (canvas(found)[:, :8] == 255).all()
    assert not canvas(found)[:, 8:-8].any()
    with pytest.raises(Refused, match="Select the part"):
        end(wanted(WIDTH, HEIGHT, SETTINGS))


@pytest.mark.parametrize(("seconds", "turns"), [(-1.0, 13), (1000.0, 0)])
def test_slices_come_in_order_and_let_the_editor_go_on(
    monkeypatch: pytest.MonkeyPatch, seconds: float, turns: int
) -> None:
    """After each slice where they are slow, after none where they are quick."""
    monkeypatch.setattr(reading, "SLICE_SECONDS", seconds)
    pixels = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    boxes = [Box(0, 0, WIDTH, 60), Box(5, 62, 10, 8)]
    asked: list[Box] = []

    def read(part: Box) -> bytes:
        asked.append(part)
        return pixels[part.y : part.y + part.height, part.x : part.x + part.width].tobytes()

    took, found = end(in_slices(boxes, 5 * WIDTH + 40, read))
    assert took == turns
    assert found == pixels[:60].tobytes() + pixels[62:70, 5:15].tobytes()
    assert len(asked) == 13
    assert all(part.area <= 5 * WIDTH + 40 for part in asked)


def test_the_box_around_marks() -> None:
    marks = np.zeros((HEIGHT, WIDTH), np.uint8)
    read = lambda part: marks[part.y : part.y + part.height, part.x : part.x + part.width].tobytes()  # noqa: E731
    area = Box(2, 3, 90, 60)
    assert end(marked(area, 90 * 20, read)) == (2, None)
    marks[0, 0] = marks[40, 17] = marks[5, 60] = 1
    assert end(marked(area, 90 * 20, read)) == (2, Box(17, 5, 44, 36))
