"""A bridge's home whose user uses a box, over a road that tests break."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bridge_server.box import wire
from tests.box.road import Box, Road, command
from tests.bridge.home import Home, until


class Pair:
    """A bridge and a box that know each other."""

    def __init__(self, workers: int = 1) -> None:
        self.home = Home()
        self.box = Box(workers)
        self.road = Road(self.box.port)
        self.workers = workers
        self.busy = ""  # a job that keeps the worker here busy

    def connect(self) -> None:
        """Until the bridge has the box's workers."""
        self.box.allow()
        done = command("connect", self.road.address, self.box.key)
        assert done.returncode == 0, done.stderr
        self.home.ready()
        self.wait()

    def wait(self) -> None:
        until(lambda: self.home.status().device == f"{self.workers + 1} × cpu", "the box's workers", pause=0.1)

    def close(self) -> None:
        self.home.close()
        self.road.close()
        self.box.close()


@pytest.fixture
def pair(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """A bridge and a box with one worker, or the parameter says how many; impatient, but with the mark slow."""
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setenv(wire.PATIENCE_VARIABLE, "2.5 6")  # seconds: silent, grace
    one = Pair(getattr(request, "param", 1))
    try:
        yield one
    finally:
        one.close()
