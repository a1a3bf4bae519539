"""One process of a backend, as the pool sees it, without a process."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from bridge_server.pool import process as module
from bridge_server.pool.backend import Limits
from bridge_server.pool.process import Process


def process(shared: bool, error: Exception | None = None) -> Process:
    def start(*_: Any) -> Any:
        if error is not None:
            raise error
        return SimpleNamespace(pid=7, alive=lambda: True)

    backend: Any = SimpleNamespace(name="fake", shared=shared, start=start)
    return Process(backend, 0, Limits(), "", "")


def test_a_process_that_the_system_does_not_start_is_a_sentence() -> None:
    one = process(False, OSError(12, "Cannot allocate memory"))
    one.spawn("ticket")
    assert one.down
    assert "Cannot allocate memory" in one.sentence
    assert "restart the engine" in one.sentence


def test_a_shared_process_may_bring_a_worker_soon_after_its_start_and_after_its_last_one_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    one, own = process(True), process(False)
    assert not one.returning
    for each in (one, own):
        each.spawn("ticket")
    assert (one.returning, own.returning) == (True, False)
    one.routes.add(b"a")
    assert not one.returning
    now += 1000
    one.leave([b"a"])
    assert one.returning
    assert not one.late(), "it is no fault of a relay that its box is away"
    now += module.SOON
    assert not one.returning
