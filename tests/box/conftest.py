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
        self.connected = False
        self.busy = ""  # a job that keeps the worker here busy
        self.undisturbed: dict[str, list[bytes]] = {}  # pixels, by what was asked for

    def connect(self) -> None:
        """Until the bridge has the box's workers."""
        if not self.connected:
            self.box.allow()
            done = command("connect", self.road.address, self.box.key)
            assert done.returncode == 0, done.stderr
            self.connected = True
        self.home.ready()
        self.wait()

    def wait(self) -> None:
        until(lambda: self.home.status().device == f"{self.workers + 1} × cpu", "the box's workers", pause=0.1)

    def mend(self) -> None:
        """Ends the test's connections, opens the road and starts a box that has ended."""
        self.home.hang_up()
        self.road.blocked, self.road.rate, self.road.delay = False, 0.0, 0.0
        if self.box.process.poll() is not None:
            self.box = Box(self.workers, self.box.port, self.box.home)

    def close(self) -> None:
        self.home.close()
        self.road.close()
        self.box.close()


IMPATIENT = "2.5 6"  # seconds: silent, grace


@pytest.fixture
def own_pair(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """A bridge and a box with one worker, or the parameter says how many; impatient, but with the mark slow."""
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setenv(wire.PATIENCE_VARIABLE, IMPATIENT)
    one = Pair(getattr(request, "param", 1))
    try:
        yield one
    finally:
        one.close()


@pytest.fixture(scope="module")
def _kept() -> Iterator[list[Pair]]:
    kept: list[Pair] = []
    yield kept
    for one in kept:
        one.home.enter()
        one.close()


@pytest.fixture
def pair(request: pytest.FixtureRequest, _kept: list[Pair], monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """An impatient one with one worker, for all tests that leave the bridge running and it and the box whole, or say
    that they are not ``connected`` any more. After a failure the next test gets another one."""
    monkeypatch.setenv(wire.PATIENCE_VARIABLE, IMPATIENT)
    if _kept:
        _kept[0].home.enter()
    else:
        _kept.append(Pair())
    one, failed, whole = _kept[0], request.session.testsfailed, False
    try:
        yield one
        if request.session.testsfailed == failed:
            one.mend()
            whole = True
    finally:
        if whole:
            one.home.leave()
        else:
            _kept.clear()
            one.close()
