"""Far-apart places in an editor: what is asked for, what stands in the layer, and the split view of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from bridge_server.client import events
from bridge_server.client.editor import model
from bridge_server.client.editor.choosing import Part
from bridge_server.client.editor.history import History
from bridge_server.client.editor.model import Picture, Settings, Tile
from bridge_server.client.editor.split import composed
from bridge_server.client.geometry import Box
from bridge_server.client.requests import JobRequest
from tests.editor.stage import Stage

HEIGHT, WIDTH = 900, 1200
SPOTS = (Box(20, 30, 10, 8), Box(1150, 860, 12, 9))


def staged() -> Stage:
    """With a picture that tells every pixel, and two spots at its corners."""
    stage = Stage()
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    picture = np.dstack([x % 256, y % 256, (x // 256) * 16 + y // 256, np.full_like(x, 255)]).astype(np.uint8)
    Image.fromarray(picture).save(stage.host.folder / "picture.png")
    selection = np.zeros((HEIGHT, WIDTH), np.uint8)
    for spot in SPOTS:
        selection[spot.y : spot.y + spot.height, spot.x : spot.x + spot.width] = 255
    Image.fromarray(selection).save(stage.host.folder / "selection.png")
    return stage


def answer(request: JobRequest, shade: int, job: str = "job1") -> events.Result:
    """That shade where something is selected, as the bridge would send it."""
    marks, begin = np.zeros((request.height, request.width), np.uint8), 0
    for box in request.pieces:
        part = np.frombuffer(request.selection[begin : begin + box.area], np.uint8).reshape(box.height, box.width)
        marks[box.y : box.y + box.height, box.x : box.x + box.width] = part
        begin += box.area
    layer = np.dstack([np.full_like(marks, shade)] * 3 + [marks])
    layer[marks == 0] = 0
    rgba = b"".join(layer[b.y : b.y + b.height, b.x : b.x + b.width].tobytes() for b in request.parts)
    box = request.painted
    assert box is not None
    place = (box.x, box.y, box.width, box.height)
    return events.Result(
        job, 0, 7, *place, "exemplar", 1.0, 9, False, "u8", parts=request.parts, rgba=rgba
    )  # fmt: skip


def painted(stage: Stage, shade: int) -> JobRequest:
    stage.flow.start(Settings("exemplar", "fast", 7))
    stage.steps()
    request: JobRequest = stage.session.requests[-1]
    job = f"job{len(stage.session.requests)}"
    stage.tell(events.Accepted(job, 0, 9), answer(request, shade, job), events.Done(job, 1.0))
    return request


def layer_of(stage: Stage) -> np.ndarray:
    return np.asarray(Image.open(stage.host.layers[-1].path))


def test_places_are_sent_alone_and_come_back_into_their_own_places() -> None:
    stage = staged()
    request = painted(stage, 90)
    assert len(request.pieces) == len(request.parts) == 2
    assert len(request.pixels) == 4 * len(request.selection) < 0.15 * 4 * request.width * request.height
    box = stage.flow.runs[-1].target.box
    first = request.pieces[0]
    sent = np.frombuffer(request.pixels[: 4 * first.area], np.uint8).reshape(first.height, first.width, 4)
    assert (sent[:, :, 0] == (np.arange(first.width) + first.x + box.x) % 256).all()
    assert (sent[:, :, 1] == ((np.arange(first.height) + first.y + box.y) % 256)[:, None]).all()
    layer, expected = layer_of(stage), np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    for spot in SPOTS:
        expected[spot.y : spot.y + spot.height, spot.x : spot.x + spot.width] = (90, 90, 90, 255)
    assert np.array_equal(layer, expected)
    assert not stage.flow.is_error
    assert stage.flow.library.bytes == 4 * sum(part.area for part in request.parts)


def test_models_of_scenes_tiles_and_other_scales_are_sent_the_whole_picture() -> None:
    stage = staged()
    whole = Settings("texture", "fast", 7)
    for settings in (
        whole,
        replace(whole, model="exemplar", area=Tile()),
        replace(whole, model="exemplar", options={"scale": 0.5}),
    ):
        stage.flow.start(settings)
        stage.steps()
        assert stage.session.requests[-1].pieces == stage.session.requests[-1].parts == ()
        stage.tell(events.Failed(f"job{len(stage.session.requests)}", "x", "Ended.", ""))


def test_an_earlier_picture_of_places_is_put_into_a_new_layer() -> None:
    """Its note does not say which places they are; the result does."""
    stage = staged()
    request = painted(stage, 90)
    before, history = layer_of(stage), History()
    pixels = sum(part.area for part in request.parts)
    entry = events.Recovered("job1", request.tag, "exemplar", "done", 1, 1, request.width, request.height, "u8", pixels)
    assert history.add(entry)
    assert history.bytes() == 4 * pixels
    (run,) = history.take(str(stage.host.folder), "key", "")
    run.variants[0].picture = Picture.of(answer(request, 90))
    layer = stage.host.add_layer(run.target, "again")
    for _ in layer.paint(run.variants[0].picture):
        pass
    assert np.array_equal(layer_of(stage), before)


def test_the_split_view_of_places_is_in_their_places() -> None:
    stage = staged()
    request = painted(stage, 90)
    run = stage.flow.runs[-1]
    other = replace(run.variants[0], picture=Picture.of(answer(request, 200)))
    parts = [Part("", run, None), Part("", run, run.variants[0]), Part("", run, other)]
    made = composed(run.target, parts, [0.1, 0.5])
    assert made.parts == request.parts
    assert len(made.rgba) == len(run.variants[0].picture.rgba)
    left, right = (made.cut(run.target.inside(spot), "u8") for spot in SPOTS)
    assert not any(left), "before the first bar the original is seen"
    assert set(right[::4]) == {200}


def test_pictures_with_parts_are_cut_and_taken_apart() -> None:
    pixels = np.arange(4 * (6 + 12), dtype=np.uint8)
    picture = model.Picture(50, 50, pixels.tobytes(), Box(0, 0, 50, 50), (Box(1, 1, 3, 2), Box(40, 30, 4, 3)))
    first, second = picture.each("u8")
    assert (first.part, second.part) == picture.parts
    assert first.rgba + second.rgba == picture.rgba
    inside = pixels[24:].reshape(3, 4, 4)[1:, 1:3]
    assert picture.cut(Box(41, 31, 2, 2), "u8") == inside.tobytes()
    assert picture.cut(Box(1, 2, 3, 1), "u8") == pixels[12:24].tobytes()
