"""The pump on an event loop that is a list: wake-ups are few, slots never run inside each other, nothing gets out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from bridge_server.client.editor.probe import Probe
from bridge_server.client.editor.pump import Pump


class ListPump(Pump):
    def __init__(self) -> None:
        super().__init__(Probe(), logging.getLogger("test_pump"))
        self.loop: list[Callable[[], None]] = []
        self.ticking: list[bool] = []

    def _wake(self) -> None:
        self.loop.append(self._events)

    def _soon(self) -> None:
        self.loop.append(self._step)

    def _set_ticking(self, on: bool) -> None:
        self.ticking.append(on)

    def turn(self) -> None:
        waiting, self.loop = self.loop, []
        for slot in waiting:
            slot()


class PlainFlow:
    """A flow that notes what is called, with some steps to do."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.busy = False
        self.left = 0
        self.during: Callable[[str], None] = lambda _name: None
        self.session = self
        self.ended: Any = None

    @property
    def has_steps(self) -> bool:
        return self.left > 0

    def _note(self, name: str) -> None:
        self.calls.append(name)
        self.during(name)
        self.calls.append(name + " end")

    def start(self, settings: Any = None) -> None:
        self._note("session" if settings is None else "start")
        if settings is not None:
            self.busy, self.left = True, 2

    def step(self) -> None:
        self.left -= 1
        self._note("step")

    def pump(self) -> None:
        self._note("pump")

    def cancel(self) -> None:
        self.busy, self.left = False, 0
        self._note("cancel")

    def give_up(self, sentence: str) -> None:
        self.busy, self.left = False, 0
        self.calls.append(sentence)


@pytest.fixture
def pump() -> ListPump:
    made = ListPump()
    made.drive(PlainFlow(), "/place/of.log")
    return made


def start(pump: ListPump) -> None:
    pump.connect_once()
    pump.do("click", lambda: pump.flow.start(object()))


def test_many_notifications_make_one_wake_up(pump: ListPump) -> None:
    for _ in range(5):
        pump.notify()
    assert len(pump.loop) == 1
    pump.turn()
    assert pump.flow.calls == ["pump", "pump end"]
    pump.notify()
    assert len(pump.loop) == 1, "and a later one makes the next"


def test_steps_come_one_in_each_turn_and_ticks_while_a_run_is_on(pump: ListPump) -> None:
    start(pump)
    assert pump.flow.calls == ["session", "session end", "start", "start end"]
    assert pump.ticking == [True]
    pump.turn()
    assert pump.flow.calls[4:] == ["step", "step end"]
    pump.turn()
    pump.turn()
    assert pump.flow.calls.count("step") == 2
    assert pump.loop == []
    pump.cancel()
    assert pump.ticking == [True, False]
    start(pump)
    assert pump.flow.calls.count("session") == 1, "the session starts once"


def test_a_slot_that_comes_inside_another_waits_for_its_end(pump: ListPump) -> None:
    pump.flow.during = lambda name: pump.cancel() if name == "pump" else None
    pump.notify()
    pump.turn()
    assert pump.flow.calls == ["pump", "pump end", "cancel", "cancel end"]


def test_a_step_inside_another_slot_is_left_out_and_comes_later(pump: ListPump) -> None:
    start(pump)
    pump.flow.during = lambda name: pump.turn() if name == "pump" else None
    pump.notify()
    events = pump.loop.pop()
    events()
    assert pump.flow.calls[-2:] == ["pump", "pump end"]
    pump.turn()
    assert pump.flow.calls[-2:] == ["step", "step end"]


def test_an_exception_ends_the_run_with_a_sentence_and_a_traceback_in_the_log(
    pump: ListPump, caplog: pytest.LogCaptureFixture
) -> None:
    start(pump)

    def break_down(_name: str) -> None:
        raise ZeroDivisionError

    pump.flow.during = break_down
    pump.turn()
    assert pump.flow.calls[-1].endswith("see the log: /place/of.log")
    assert pump.ticking == [True, False]
    assert "ZeroDivisionError" in caplog.text
