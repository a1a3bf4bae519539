"""What the bridge adds up of a job's parts, and what it forgets at its end, without a process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bridge_server import work
from bridge_server.client import messages
from bridge_server.client.records import Box, Order
from bridge_server.clients import Peer
from bridge_server.job import Job
from bridge_server.pool.backend import Limits
from bridge_server.pool.worker import Part
from bridge_server.server import Bridge

pytestmark = pytest.mark.usefixtures("own_home")


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[Bridge]:
    one = Bridge(tmp_path, 900.0, "", Limits(), 0)
    yield one
    one._close()


def begun(bridge: Bridge) -> Job:
    """A job of three variants that runs."""
    bridge._jobs.journal.spool.incoming.mkdir(parents=True, exist_ok=True)
    order = Order(8, 8, Box(0, 0, 8, 8), "texture", "fast", 7, 3, {})
    job = bridge._jobs.add("job", "zoe", order, False)
    bridge._jobs.begin(job)
    return job


def worker(number: int) -> Any:
    return SimpleNamespace(number=number)


def test_a_job_takes_as_long_as_its_parts_in_turn_on_one_worker_and_side_by_side_on_two(bridge: Bridge) -> None:
    job = begun(bridge)
    told = []
    for number, first, seconds in [(1, 0, 2.0), (2, 1, 3.0), (1, 2, 2.5)]:
        idle = work.Idle("job", "kept", seconds, 10)
        bridge._foreman.from_worker(worker(number), Part("job", first, 1), idle, None)
        told.append(job.seconds)
    assert told == [2.0, 3.0, 4.5]


def test_of_a_job_that_ends_amid_a_preview_nothing_is_left(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    job = begun(bridge)
    bridge._clients.add(Peer(b"route", "zoe", "editor"))
    monkeypatch.setattr(bridge._clients, "_send", lambda *_: True)
    piece = messages.Preview("job", 0, 5, 0, 0, 8, 8, "u8", 0)
    bridge._foreman.from_worker(worker(1), Part("job", 0, 1), piece, bytes(100))
    bridge._foreman.from_worker(
        worker(2), Part("job", 1, 1), messages.Preview("job", 1, 5, 0, 0, 8, 8, "u8", 0), bytes(100)
    )
    bridge._tick()
    assert (list(bridge._foreman._previews), bridge._foreman._dropped) == (["job"], {("job", 1)})
    bridge._desk.end(job, "cancelled")
    bridge._tick()
    assert (bridge._foreman._previews, bridge._foreman._dropped) == ({}, set())
