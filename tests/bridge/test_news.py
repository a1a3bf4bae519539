"""What a worker that says too much gets told to the clients, without a process."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bridge_server.client import messages
from bridge_server.client.records import Box, Order, Step
from bridge_server.clients import Peer
from bridge_server.job import Job
from bridge_server.news import News
from bridge_server.pool import process as module
from bridge_server.pool.process import TELLS
from bridge_server.pool.worker import Part
from bridge_server.steps import KeptSteps
from tests.bridge.test_pool_process import process

STEPS = (Step(4, 1, 1, 1), Step(8, 1, 1, 1))
PIECE = bytes(32)  # half of a picture of 4 x 4


class Room:
    """A client with a job whose variant 0 worker 1 has in hand; of worker 2 nothing is asked."""

    def __init__(self) -> None:
        self.peer = Peer(b"route", "zoe", "krita")
        self.sent: list[Any] = []
        self.wishes: list[Any] = []
        job = Job("job", "zoe", Order(8, 8, Box(0, 0, 4, 4), "texture", "fast", 7, 2, {}), None, False, 0.0)
        self.workers: Any = {
            1: SimpleNamespace(number=1, part=Part("job", 0, 1), send=self.wishes.append),
            2: SimpleNamespace(number=2, part=None, send=self.wishes.append),
        }
        clients: Any = SimpleNamespace(
            by_route={b"route": self.peer},
            by_client={"zoe": self.peer},
            send=lambda _, message, *__: self.sent.append(message),
            send_later=lambda _, make: make(),
        )
        jobs: Any = SimpleNamespace(by_id={"job": job})
        self.steps = KeptSteps()
        engine: Any = SimpleNamespace(worker=self.workers.get)
        self._news = News(clients, jobs, self.steps, engine, str)
        self.say(1, messages.Steps("job", 0, STEPS))
        self.sent.clear()

    def look(self, call: int) -> None:
        self._news.look(self.peer, messages.Look("job", 0, call))

    def say(self, worker: int, message: Any, payload: bytes = b"") -> None:
        self._news.from_shelf(self.workers[worker], message, payload)

    def view(self, worker: int, call: int, offset: int) -> bool:
        """Whether that piece is passed on."""
        before = len(self.sent)
        self.say(worker, messages.View("job", 0, call, 0, 0, 4, 4, "u8", 4, 4, offset), PIECE)
        return len(self.sent) > before


def test_only_the_picture_that_a_client_looks_at_is_passed_on_and_once() -> None:
    room = Room()
    assert not room.view(1, 4, 0), "nobody looks"
    room.look(4)
    room.look(8)
    assert not room.view(2, 4, 0), "another worker's"
    assert not room.view(1, 8, 0), "not its turn"
    assert [room.view(1, 4, offset) for offset in (0, 0, 32, 0)] == [True, False, True, False]
    assert [wish.call for wish in room.wishes] == [4, 8]
    room.say(1, messages.Steps("job", 0, STEPS))  # it paints on; that is no answer
    assert [room.view(1, 8, offset) for offset in (0, 32)] == [True, True]
    assert room.peer.looking is None


def test_a_step_that_is_gone_is_an_answer() -> None:
    room = Room()
    room.look(4)
    room.look(8)
    room.say(1, messages.Steps("job", 0, STEPS[1:]))
    assert [wish.call for wish in room.wishes] == [4, 8]


def test_steps_are_told_by_who_has_the_part_or_made_them() -> None:
    room = Room()
    room.say(2, messages.Steps("job", 0, ()))
    room.say(2, messages.Steps("job", 1, STEPS))
    assert (room.steps.owner("job", 0), room.steps.of("job", 0), room.steps.of("job", 1)) == (1, STEPS, ())
    room.workers[1].part = None
    room.say(1, messages.Steps("job", 0, STEPS[:1]))
    assert room.steps.of("job", 0) == STEPS[:1]
    assert len(room.sent) == 1


def test_the_artists_are_told_few_things_a_minute_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    one = process(True)
    assert [one.may_tell() for _ in range(TELLS + 5)] == [True] * TELLS + [False] * 5
    now += 61.0
    assert one.may_tell()
