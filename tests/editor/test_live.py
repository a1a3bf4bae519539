"""Live on the editor made of files: looks are taken by the test, ten of them a second in an editor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bridge_server.client import events
from bridge_server.client.editor import model
from bridge_server.client.editor.live import Live
from tests.editor.stage import RGBA, SIZE, Stage


class Field:
    def __init__(self, value: Any) -> None:
        self.value = value

    def read(self) -> Any:
        return self.value


class Pump:
    def __init__(self) -> None:
        self.work: Callable[[], bool] | None = None

    def repeat(self, _name: str, work: Callable[[], bool]) -> None:
        assert self.work is None, "one look at a time"
        self.work = work

    def look(self, times: int = 2) -> None:
        for _ in range(times):
            if self.work is not None and self.work():
                self.work = None


class Room:
    """The panel is a part of it: starting begins a run at once."""

    def __init__(self) -> None:
        self.stage, self.pump = Stage(), Pump()
        self.flow = self.stage.flow
        self.questions: list[str] = []
        self.answer = True
        self.on, self.after = Field(False), Field("deselect")
        self.select(None)
        self.live = Live(self, {"live": self.on, "after_live": self.after}, self._sure)  # type: ignore[arg-type]

    def _sure(self, question: str) -> bool:
        self.questions.append(question)
        return self.answer

    def start(self, page: str, deselect: bool, **options: str) -> None:
        assert page == "selection"
        self.flow.start(model.Settings("exemplar", "fast", 7, options=options, deselect=deselect))
        self.stage.steps()

    def switch(self, on: bool) -> None:
        self.on.value = on
        self.live.switched()
        self.pump.look()

    def select(self, rows: slice | None, columns: slice = slice(1, 3)) -> None:
        path = self.stage.host.folder / "selection.png"
        path.unlink(missing_ok=True)
        if rows is not None:
            marks = np.zeros((SIZE, SIZE), np.uint8)
            marks[rows, columns] = 255
            Image.fromarray(marks).save(path)

    def finish(self) -> None:
        job = self.flow.run.job
        place = (0, 0, SIZE, SIZE)
        told = events.Result(job, 0, 7, *place, "exemplar", 1.0, 9, False, "u8", rgba=RGBA[1])
        self.stage.tell(events.Accepted(job, 0, 9), told, events.Done(job, 1.0))
        self.pump.look()

    @property
    def runs(self) -> int:
        return self.stage.session.calls.count("submit")


@pytest.fixture
def room() -> Room:
    return Room()


def test_each_selection_is_filled_once_and_deselected(room: Room) -> None:
    room.switch(True)
    for number in range(3):
        room.select(slice(1, 2), slice(number, number + 1))
        room.pump.look(1)
        assert room.runs == number, "it may still be changing"
        room.pump.look(1)
        assert room.runs == number + 1
        room.finish()
        assert room.stage.host.selected() == (str(room.stage.host.folder), None)
        room.pump.look(5)
        assert room.runs == number + 1
    assert len(room.stage.host.layers) == 3, "each in a layer of its own, which one undo takes away"
    assert room.stage.session.requests[0].options == {"schedule": "none"}, "small ones in half of the time"


def test_kept_selections_are_filled_once(room: Room) -> None:
    room.after.value = "keep"
    room.switch(True)
    room.select(slice(1, 2))
    room.pump.look()
    room.finish()
    room.pump.look(5)
    assert room.runs == 1
    assert room.stage.host.selected()[1] is not None


def test_what_was_selected_before_is_left_alone(room: Room) -> None:
    room.select(slice(1, 2))
    room.switch(True)
    room.pump.look(5)
    assert room.runs == 0
    room.select(slice(2, 3))
    room.pump.look()
    assert room.runs == 1


def test_an_undo_that_brings_a_selection_back_fills_nothing(room: Room) -> None:
    room.switch(True)
    room.select(slice(1, 2))
    room.pump.look()
    room.finish()
    room.select(slice(1, 2))
    room.pump.look(5)
    assert room.runs == 1


def test_a_selection_that_changes_meanwhile_is_the_next_one(room: Room) -> None:
    room.switch(True)
    room.select(slice(1, 2))
    room.pump.look()
    room.select(slice(2, 3))
    room.pump.look(5)
    assert room.runs == 1
    room.finish()
    room.pump.look()
    assert room.runs == 2, "and it is not deselected unfilled"


def test_half_of_the_picture_is_asked_for_once(room: Room) -> None:
    room.answer = False
    room.switch(True)
    room.select(slice(0, 4), slice(0, 4))
    room.pump.look(5)
    assert (room.runs, len(room.questions)) == (0, 1)
    room.answer = True
    room.select(slice(0, 4), slice(0, 3))
    room.pump.look(5)
    assert (room.runs, len(room.questions)) == (1, 2)


def test_a_failure_does_not_begin_again_and_keeps_the_selection(room: Room) -> None:
    room.switch(True)
    room.select(slice(1, 2))
    room.pump.look()
    room.stage.tell(events.Failed(room.flow.run.job, "oom", "Too large.", ""))
    room.pump.look(5)
    assert room.runs == 1
    assert room.stage.host.selected()[1] is not None


def test_a_failure_or_a_cancel_selects_again_what_was_deselected(room: Room) -> None:
    room.switch(True)
    for number in range(2):
        room.select(slice(1 + number, 2 + number))
        room.pump.look()
        here = room.stage.host.selected()
        room.stage.tell(events.Accepted(room.flow.run.job, 0, 9))
        assert room.stage.host.selected()[1] is None, "from the moment on when its layer is there"
        if number:
            room.flow.cancel()
        else:
            room.stage.tell(events.Failed(room.flow.run.job, "oom", "Too large.", ""))
        assert room.stage.host.selected() == here
        room.stage.tell(events.Cancelled(f"job{number + 1}"))
        room.pump.look(5)
        assert room.runs == number + 1


def test_more_variants_deselect_nothing(room: Room) -> None:
    room.switch(True)
    room.select(slice(1, 2))
    room.pump.look()
    room.finish()
    room.switch(False)
    room.select(slice(1, 2))
    room.stage.host.layers[0].undo()
    room.flow.more_variants(room.flow.runs[0], 1)
    room.stage.tell(events.Accepted("job2", 0, 9))
    assert len(room.stage.host.layers) == 2
    assert room.stage.host.selected()[1] is not None


def test_off_is_off(room: Room) -> None:
    room.switch(True)
    room.switch(False)
    assert room.pump.work is None
    room.select(slice(1, 2))
    room.pump.look(5)
    assert room.runs == 0
    room.switch(True)
    assert room.pump.work is not None
