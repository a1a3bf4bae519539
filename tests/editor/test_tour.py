"""The tour, in the editor made of files: each step waits for what the artist does, and once is enough."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bridge_server.client import events, launch
from bridge_server.client.editor import tour as module
from bridge_server.client.editor.choices import Choices
from bridge_server.client.editor.model import GONE
from bridge_server.client.editor.tour import PICTURE, Tour
from tests.editor.stage import finished_run
from tests.editor.test_panel import Room


class Walk:
    def __init__(self, room: Room) -> None:
        self.room, self.ticks = room, []
        room.stage.tell(events.Connected((), (), "1"))
        self.tour = Tour(room.panel, self._repeat)

    def _repeat(self, _name: str, work: Callable[[], bool]) -> None:
        self.ticks: list[Any] = [work]

    def tick(self) -> str:
        self.ticks = [work for work in self.ticks if not work()]
        return self.tour.shown().text


@pytest.fixture
def walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Walk:
    monkeypatch.setenv(launch.HOME_VARIABLE, str(tmp_path / "home"))
    return Walk(Room(tmp_path / "krita.json"))


def test_the_picture_is_small() -> None:
    with Image.open(PICTURE) as picture:
        assert picture.size == (600, 450)
    assert PICTURE.stat().st_size < 100_000


def test_each_step_waits_for_the_artist(walk: Walk) -> None:
    assert not walk.tour.shown().visible, "only after a set-up"
    walk.tour.offer()
    assert (walk.tour.shown().can_begin, walk.tour.shown().close) == (True, "tour_no")
    stage = walk.room.stage
    walk.tour.begin()
    assert stage.host.canvas_size()[1:] == (600, 450)
    assert walk.room.boxes["variants"].value == 2
    assert walk.tick().startswith("1 of 4")
    assert walk.tick().startswith("1 of 4")
    selection = np.zeros((450, 600), np.uint8)
    selection[200:220, 100:130] = 255
    Image.fromarray(selection).save(stage.host.folder / "selection.png")
    assert walk.tick().startswith("2 of 4")
    stage.host.folder = Path(stage.host._temporary.name)  # the small picture: its pixels are told by hand
    stage.start(2)
    assert walk.tick().startswith("Two fills take shape")
    stage.flow.cancel()
    stage.tell(events.Cancelled("job1"))
    assert walk.tick().startswith("1 of 4"), "a cancelled run is no end"
    assert walk.tick().startswith("2 of 4")
    run = finished_run(stage, "job2", variants=2)
    walk.tick()
    assert walk.tick().startswith("3 of 4")
    stage.flow.choose(run, 1)
    stage.steps()
    assert walk.tick().startswith("4 of 4")
    stage.host.layers[-1].undo()
    assert stage.host.layers[-1].state() == GONE
    assert walk.tick().startswith("That is all")
    assert (walk.ticks, walk.tour.shown().close, walk.room.boxes["variants"].value) == ([], "tour_done", 1)
    walk.tour.close()
    assert not walk.tour.shown().visible


def test_it_is_offered_until_it_is_answered(walk: Walk) -> None:
    walk.tour.offer()
    assert Choices(walk.room.file).tour, "also after a restart"
    again = Walk(Room(walk.room.file))
    assert again.tour.shown().visible
    again.tour.close()
    assert not Choices(walk.room.file).tour
    third = Walk(Room(walk.room.file))
    third.tour.offer()
    assert third.tour.place == module.NOTHING, "once is enough"


def test_a_picture_that_the_artist_has_changed_stays(walk: Walk) -> None:
    folder = launch.user_folders().cache
    folder.mkdir(parents=True)
    (folder / "RePaint.jpg").write_bytes(b"the artist's")
    walk.tour.begin()
    assert (folder / "RePaint.jpg").read_bytes() == b"the artist's"
    assert (folder / "RePaint-2.jpg").read_bytes() == PICTURE.read_bytes()


def test_it_can_be_left_in_the_middle(walk: Walk) -> None:
    walk.tour.offer()
    walk.tour.begin()
    walk.tick()
    assert walk.tour.shown().close == "tour_stop"
    walk.tour.close()
    assert walk.tick() == ""
    assert walk.ticks == []
    assert walk.room.boxes["variants"].value == 1
