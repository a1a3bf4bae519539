"""The split view in the layer: the parts side by side, and the layer's own picture back whenever it counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bridge_server.client import events
from bridge_server.client.editor import choosing, model
from bridge_server.client.editor.areas import surroundings
from bridge_server.client.editor.layers import SPLIT_NAME
from bridge_server.client.editor.split import FOLLOWED, InLayer, composed
from bridge_server.client.geometry import Box
from tests.editor.stage import RGBA, Stage, finished_run, preview

TYPES = {"u8": "u1", "u16": "<u2", "f16": "<f2", "f32": "<f4"}


class Pump:
    def __init__(self, stage: Stage) -> None:
        self.flow = stage.flow

    def do(self, _name: str, work: Callable[[], Any]) -> None:
        work()


class Room:
    """A finished run of two variants, of which the second stands in the layer."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.flow = self.stage.flow
        self.run = finished_run(self.stage, "job1", variants=2)
        self.layer = self.stage.host.layers[0]
        self.choose(1)
        self.name = self.layer.name
        self.bars = choosing.Bars()
        self.bars.divide(3)
        self.parts = [
            choosing.Part("Original", self.run, None),
            choosing.Part("A", self.run, self.run.variants[0]),
            choosing.Part("B", self.run, self.run.variants[1]),
        ]
        self.shown = InLayer(Pump(self.stage), self.bars)  # type: ignore[arg-type]

    def choose(self, index: int, apply: bool = False) -> None:
        self.flow.choose(self.run, index, apply)
        self.stage.steps()

    def show(self, wanted: bool = True) -> None:
        self.shown.show(self.parts, wanted)
        self.stage.steps()

    @property
    def seen(self) -> bytes:
        return self.layer.painted[-1]


@pytest.fixture
def room() -> Room:
    return Room()


def test_the_layer_shows_the_parts_and_then_its_own_picture(room: Room) -> None:
    before = list(room.layer.painted)
    room.show()
    assert room.layer.name == SPLIT_NAME
    assert len(room.seen) == 4 * 2 * 2, "the selected part alone"
    room.show()
    assert len(room.layer.painted) == len(before) + 1, "nothing is drawn twice"
    room.show(wanted=False)
    assert room.seen == RGBA[2] == before[-1]
    assert room.layer.name == room.name
    room.show(wanted=False)
    assert len(room.layer.painted) == len(before) + 2


def test_it_follows_the_bars(room: Room) -> None:
    room.show()
    first = room.seen
    room.bars.hold(0.49)
    room.show()
    assert room.seen != first


def test_on_a_large_canvas_it_follows_when_a_bar_is_let_go(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.show()
    first = room.seen
    monkeypatch.setattr(room.stage.host, "canvas_size", lambda: ("document", FOLLOWED, 2))
    room.bars.hold(0.49)
    room.show()
    assert room.seen == first
    room.bars.let_go()
    room.show()
    assert room.seen != first


def test_a_run_reads_the_whole_picture(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.show()
    seen = []
    capture = room.stage.host.capture
    monkeypatch.setattr(room.stage.host, "capture", lambda settings: seen.append(room.seen) or capture(settings))
    room.stage.start()
    assert seen == [RGBA[2]]
    assert room.layer.name == room.name
    room.show()
    assert room.seen == RGBA[2], "while a run is on, nothing is split"


def test_more_variants_in_the_same_layer(room: Room) -> None:
    room.show()
    room.flow.more_variants(room.run, 1)
    room.stage.tell(events.Accepted("job2", 0, 10))
    assert room.layer.name == "RePaint preview"
    assert room.seen == RGBA[2]
    room.flow.cancel()
    room.stage.steps()
    assert room.seen == RGBA[2]
    assert room.layer.name == room.name


@pytest.mark.parametrize("apply", [False, True])
def test_another_variant_takes_its_place(room: Room, apply: bool) -> None:
    room.show()
    room.choose(0, apply)
    assert room.seen == RGBA[1]
    assert room.layer.name != SPLIT_NAME
    assert not room.flow.is_error, "the pixels were read back"
    room.show(wanted=False)
    assert room.seen == RGBA[1]


def test_applied_while_it_is_split(room: Room) -> None:
    room.show()
    room.choose(1, apply=True)
    assert (room.seen, room.layer.name) == (RGBA[2], room.name)
    room.show()
    assert room.seen == RGBA[2], "the layer is the artist's now"


def test_an_undone_layer_does_not_come_back_split(room: Room) -> None:
    room.show()
    room.layer.undo()
    room.show(wanted=False)
    assert room.seen == b"", "emptied"


def test_undone_while_the_bar_moves(room: Room) -> None:
    room.show()
    room.layer.undo()
    room.bars.hold(0.49)
    room.show()
    assert room.seen == b""
    assert not room.flow.layers.is_split(room.run)


def test_a_closed_document(room: Room) -> None:
    room.show()
    room.layer.close_document()
    room.show(wanted=False)
    room.show()
    assert not room.flow.layers.is_split(room.run)


def test_a_preview_is_not_split() -> None:
    stage = Stage()
    layer = stage.running()
    stage.tell(preview(0, 3))
    run = stage.flow.run
    bars = choosing.Bars()
    bars.divide(2)
    shown = InLayer(Pump(stage), bars)  # type: ignore[arg-type]
    shown.show([choosing.Part("Original", run, None), choosing.Part("B", run, run.variants[0])], True)
    stage.steps()
    assert layer.painted[-1] == RGBA[3]


@pytest.mark.parametrize("depth", list(TYPES))
def test_what_is_composed(depth: str) -> None:
    """Columns of each part at the place where the split view has them, with a soft selection's alpha."""
    one = 65535 if depth == "u16" else 255 if depth == "u8" else 1
    target = model.Target("", "", Box(0, 0, 40, 30), Box(12, 10, 16, 8), depth=depth)
    values = np.random.default_rng(3).integers(1, 200, (2, 30, 40, 4)).astype(TYPES[depth])
    run = model.Run(1, model.Settings("m", "p", 1), target, None, [])
    variants = [
        model.Variant(k, k, picture=model.Picture(40, 30, values[k].tobytes(), Box(0, 0, 40, 30)), finished=True)
        for k in range(2)
    ]
    parts = [choosing.Part("", run, each) for each in (None, *variants)]
    seen = surroundings(target.box, target.bounds)
    bars = [(column - seen.x) / seen.width for column in (16, 22)]
    picture = composed(target, parts, bars)
    assert picture.part == Box(12, 10, 16, 8)
    made = np.frombuffer(picture.rgba, TYPES[depth]).reshape(8, 16, 4)
    inside = values[:, 10:18, 12:28]
    assert not made[:, :3].any()
    assert np.array_equal(made[:, 5:9], inside[0][:, 5:9])
    assert np.array_equal(made[:, 11:], inside[1][:, 11:])
    for place in (4, 10):
        assert (made[:, place - 1, :3] == 0).all()
        assert (made[:, place, :3] == one).all()
        for column in (place - 1, place):
            assert np.array_equal(made[:, column, 3], inside[1][:, column, 3])
    whole = composed(target, parts, [0.0, 0.0])
    assert np.array_equal(np.frombuffer(whole.rgba, TYPES[depth]).reshape(8, 16, 4), inside[1])


def test_a_save_gives_the_layer_its_picture_back_and_is_told(room: Room) -> None:
    assert room.shown.document is None
    assert not room.shown.saved(), "no split view is in the layer"
    room.show()
    assert room.shown.document == room.run.target.document
    assert room.shown.saved()
    assert (room.layer.name, room.shown.document, room.seen) == (room.name, None, RGBA[2])
    assert room.flow.is_error
    assert "save once more" in room.flow.sentence
    assert not room.shown.saved()
