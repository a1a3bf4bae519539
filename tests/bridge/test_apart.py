"""Far-apart places: what is sent of them, and that the same pixels come back as if all had been sent."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from bridge_server.client import events
from bridge_server.client.editor.apart import Apart, apart
from bridge_server.client.geometry import Box, grown_box
from bridge_server.client.records import MAX_PIECES, PIXEL_BYTES, BranchRequest
from bridge_server.client.requests import JobRequest, Outgoing
from engine import api, canvas
from engine.canvas import reach
from tests.bridge.home import Home, until
from tests.bridge.test_branches import branch, steps_of
from tests.engine.test_places import picture

QUICK = {"steps": 8, "jump_length": 8, "jump_samples": 1}


def cut(pixels: np.ndarray, box: Box) -> np.ndarray:
    return pixels[box.y : box.y + box.height, box.x : box.x + box.width]


def looked_through(selection: np.ndarray, padding: int = 0) -> tuple[Box, Apart | None]:
    """The box that would be sent, and what is sent of it."""
    bounds = Box(**vars(canvas.bounds(selection)))
    box = grown_box(bounds, selection.shape[1], selection.shape[0], padding)
    return box, _end(apart(bounds, box, padding, lambda part: cut(selection, part).tobytes()))


def _end(work: Generator[None, None, Apart | None]) -> Apart | None:
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: Apart | None = end.value
            return found


def count(boxes: Any, shape: tuple[int, ...]) -> np.ndarray:
    found = np.zeros(shape, int)
    for each in boxes:
        found[each.y : each.y + each.height, each.x : each.x + each.width] += 1
    return found


def corners(height: int, width: int) -> np.ndarray:
    selection = np.zeros((height, width), np.uint8)
    cv2.circle(selection, (80, 90), 14, 255, -1)
    cv2.circle(selection, (width - 100, height - 70), 22, 180, -1)
    return selection


def line(height: int, width: int) -> np.ndarray:
    selection = np.zeros((height, width), np.uint8)
    cv2.line(selection, (30, 40), (width - 50, height - 30), 255, 5)
    return selection


def dust(height: int, width: int) -> np.ndarray:
    selection = np.zeros((height, width), np.uint8)
    places = np.random.default_rng(2).integers(0, (height, width), (150, 2))
    selection[places[:, 0], places[:, 1]] = 9
    return selection


def blob(height: int, width: int) -> np.ndarray:
    """Wide, with a spot far from it."""
    selection = corners(height, width)
    cv2.ellipse(selection, (width // 5, height // 3), (70, 50), 20, 0, 360, 255, -1)
    return selection


SHAPES: list[Callable[[int, int], np.ndarray]] = [corners, line, dust, blob]


@pytest.mark.parametrize("padding", [0, 8, 100])
@pytest.mark.parametrize("shape", SHAPES)
def test_all_is_sent_that_the_engine_looks_at(shape: Callable[[int, int], np.ndarray], padding: int) -> None:
    selection = shape(3000, 4000)
    box, found = looked_through(selection, padding)
    near = canvas.surroundings(selection, padding or None)
    assert vars(near) == vars(box)
    looked_at = reach.reached(selection, near, padding or None)
    if shape is dust and padding == 100:
        assert looked_at is found is None, "it is nearly everywhere"
        return
    assert looked_at is not None
    assert found is not None
    sent, back = count(found.pieces, selection.shape), count(found.parts, selection.shape)
    assert sent.max() == back.max() == 1
    assert (sent >= count(looked_at, selection.shape)).all()
    assert (back[selection > 0] == 1).all()
    assert len(found.pieces) <= MAX_PIECES
    assert len(found.parts) <= MAX_PIECES
    assert sent.sum() < 0.5 * box.area


def test_what_is_sent_follows_the_selected_pixels() -> None:
    small, large = looked_through(corners(1500, 2000))[1], looked_through(corners(6000, 8000))[1]
    assert small is not None
    assert large is not None
    for one, other in zip(small, large, strict=True):
        assert 0.5 < sum(each.area for each in other) / sum(each.area for each in one) < 2, "16 times the picture"
    single = [grown_box(Box(at, at, side, side), 8000, 6000).area for at, side in ((1000, 29), (4000, 45))]
    assert sum(each.area for each in large.pieces) <= 2.5 * sum(single)


def test_what_is_compact_or_small_is_sent_whole() -> None:
    near = np.zeros((900, 1200), np.uint8)
    near[400:420, 500:520] = near[400:420, 560:580] = 255
    wide = np.zeros((900, 1200), np.uint8)
    cv2.ellipse(wide, (600, 450), (200, 120), 0, 0, 360, 255, -1)
    for selection in (near, wide, np.full((900, 1200), 255, np.uint8), line(300, 400)):
        assert looked_through(selection)[1] is None


def wanted(selection: np.ndarray, dtype: Any = np.uint8, **fields: Any) -> tuple[JobRequest, np.ndarray]:
    """As an editor sends it, and the whole picture."""
    depth = {"uint8": "u8", "uint16": "u16"}[np.dtype(dtype).name]
    pixels = picture(*selection.shape).astype(dtype) * np.dtype(dtype).type(1 if depth == "u8" else 257)
    box, found = looked_through(selection)
    assert found is not None
    bounds = canvas.bounds(selection)
    shifted = [tuple(replace(each, x=each.x - box.x, y=each.y - box.y) for each in boxes) for boxes in found]
    request = JobRequest(
        box.width,
        box.height,
        b"".join(cut(pixels, piece).tobytes() for piece in found.pieces),
        b"".join(cut(selection, piece).tobytes() for piece in found.pieces),
        seed=3,
        painted=Box(bounds.x - box.x, bounds.y - box.y, bounds.width, bounds.height),
        depth=depth,
        options=QUICK,
        pieces=shifted[0],
        parts=shifted[1],
    )
    return replace(request, **fields), pixels


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "dtype"), [(corners, np.uint8), (line, np.uint16)])
def test_the_same_pixels_come_back_as_of_the_whole_picture(
    shared: Home, shape: Callable[[int, int], np.ndarray], dtype: Any
) -> None:
    """24 megapixels in 8 bits; fewer in 16, whose range is told by what is looked at."""
    selection = shape(4000, 6000) if dtype == np.uint8 else shape(2000, 3000)
    one, pixels = wanted(selection, dtype)
    whole_bytes = one.width * one.height * PIXEL_BYTES[one.depth]
    sent = sum(len(payload) for _, payload in Outgoing("a", one, False).pieces() if payload is not None)
    assert sent < whole_bytes / (80 if shape is corners else 2)
    watched = shared.session(preview_interval=0.0)
    job = watched.session.submit(one)
    assert isinstance(watched.end(job), events.Done)
    (result,) = watched.of(job, events.Result)
    *_, last = api.run(api.Job(pixels, selection, seed=3, **QUICK), api.load_model("exemplar", "cpu"))
    _, found = looked_through(selection)
    assert found is not None
    assert result.rgba == b"".join(cut(last.layer(), part).tobytes() for part in found.parts)
    assert len(result.rgba) < whole_bytes / (500 if shape is corners else 20)
    assert (result.parts, result.width, result.height) == (one.parts, one.painted.width, one.painted.height)
    previews = watched.of(job, events.Preview)
    assert previews
    assert all(event.parts == one.parts and len(event.rgba) == len(result.rgba) for event in previews)
    watched.session.look(job, 0, steps_of(watched, job)[-1].call)
    view = until(lambda: watched.of(job, events.StepView), "the picture of a step")[0]
    assert (view.x, view.y, view.width, view.height) == (one.painted.x, one.painted.y, result.width, result.height)
    assert len(view.rgba) == view.columns * view.rows * PIXEL_BYTES[one.depth] < 1 << 22


def test_places_outlive_the_editor(shared: Home) -> None:
    """Their pixels are counted, and come back whole with where they belong."""
    one, _ = wanted(corners(1500, 2000), tag="mine")
    first = shared.session("apart", history=True)
    job = first.session.submit(one)
    assert isinstance(first.end(job), events.Done)
    (before,) = first.of(job, events.Result)
    first.session.close()
    later = shared.session("apart", history=True)
    (entry,) = until(lambda: later.all(events.Recovered), "the earlier job")
    assert entry.pixels == sum(part.area for part in one.parts) == len(before.rgba) // 4
    later.session.resume(job)
    (again,) = until(lambda: later.of(job, events.Result), "its result")
    assert (again.rgba, again.parts) == (before.rgba, before.parts)


@pytest.mark.parametrize(
    "fields",
    [
        {"pieces": (Box(0, 0, 4000, 10),)},
        {"parts": (Box(0, 0, 10, 10),)},
        {"pieces": (Box(0, 0, 10, 10),)},
        {"pieces": ()},
    ],
)
def test_pieces_that_do_not_fit_are_refused(shared: Home, fields: dict[str, Any]) -> None:
    """Outside the picture, outside what is painted, of other sizes than the pixels."""
    one, _ = wanted(corners(1500, 2000), **fields)
    watched = shared.session()
    end = watched.end(watched.session.submit(one))
    assert isinstance(end, events.Failed)
    assert end.code == "bad_request"


@pytest.mark.slow
def test_places_are_branched_from(shared: Home) -> None:
    """A branch has its parent's places; another idea is another fill of the same ones."""
    one, _ = wanted(corners(1500, 2000), options={"steps": 20, "jump_samples": 1})
    watched = shared.session()
    job = watched.session.submit(one)
    assert isinstance(watched.end(job), events.Done)
    (result,) = watched.of(job, events.Result)
    kept = steps_of(watched, job)
    _, (again,) = branch(watched, BranchRequest(job, 0, kept[len(kept) // 2].call))
    assert (again.rgba, again.parts) == (result.rgba, one.parts)
    _, (other,) = branch(watched, BranchRequest(job, 0, kept[0].call, "idea", 1, 5))
    assert other.parts == one.parts
    assert len(other.rgba) == len(result.rgba)
    assert other.rgba != result.rgba
