"""The bridge with workers in a Ray cluster: real processes; the plug-ins' client notices nothing of it."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import pytest

from bridge_server.client import events
from tests.bridge.home import FAST, SLOW, Home, alive, request, until
from tests.ray.cluster import Loopback, Nodes

VARIANTS = 4


@pytest.fixture(scope="module")
def _bridge(_nodes: Nodes) -> Home:
    one = Home("--ray", _nodes.address, "--ray-cpus", "1", "--idle-seconds", "900")
    one.leave()
    return one


@pytest.fixture
def home(nodes: Nodes, _bridge: Home) -> Iterator[Home]:  # noqa: ARG001
    """A bridge of the cluster's, for all tests here: its actors hold the processors of both nodes."""
    _bridge.enter()
    _bridge.ready()
    yield _bridge
    _bridge.hang_up()
    _bridge.leave()


@pytest.fixture(scope="module", autouse=True)
def _closed(_bridge: Home, _namespace: Loopback) -> Iterator[None]:
    yield
    _namespace.enter()
    _bridge.enter()
    _bridge.close()
    _namespace.leave()


def actors(home: Home) -> list[int]:
    """Process ids of the actors of that bridge, the newest last, by what its driver notes."""
    noted = (home.state / "logs" / "ray.log").read_text()
    return [pid for pid in map(int, re.findall(r"process (\d+), has joined", noted)) if alive(pid)]


def pixels(results: list[events.Result]) -> list[bytes]:
    return [result.rgba for result in results]


def test_a_job_has_the_pixels_of_a_local_worker_and_its_previews_come(home: Home):
    jobs = [request("exemplar", variants=2, options={"steps": 5}), request(SLOW, variants=VARIANTS)]
    watched = home.session()
    there = [pixels(watched.run(job)) for job in jobs]
    assert {preview.variant for preview in watched.all(events.Preview)} >= set(range(VARIANTS))
    watched.check_ends()
    assert len(actors(home)) == 2

    local = Home()
    try:
        local.ready()
        assert [pixels(local.session().run(job)) for job in jobs] == there
    finally:
        local.close()


def test_a_cancel_ends_a_part_within_one_call(home: Home):
    watched = home.session()
    for _ in range(3):
        job = watched.session.submit(request(SLOW, variants=2))
        watched.wait(job, events.Progress, count=3)
        watched.session.cancel(job)
        assert isinstance(watched.end(job), events.Cancelled)
        until(lambda: home.status().engine == "ready", "idle actors")
        assert 0 <= home.status().calls_after_cancel <= 1
    assert len(watched.run(request(FAST))) == 1


def test_a_killed_actor_costs_its_own_variants_only(home: Home):
    watched = home.session()
    before = pixels(watched.run(request(SLOW, variants=VARIANTS)))
    job = watched.session.submit(request(SLOW, variants=VARIANTS))
    watched.wait(job, events.Progress, count=8)
    os.kill(actors(home)[0], signal.SIGKILL)
    assert isinstance(watched.end(job), events.Done)
    results = sorted(watched.of(job, events.Result), key=lambda result: result.variant)
    assert [result.variant for result in results] == list(range(VARIANTS))
    assert pixels(results) == before
    watched.check_ends()
