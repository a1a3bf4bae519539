"""The bridge with workers in a Ray cluster: real processes; the plug-ins' client notices nothing of it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge_server.client import events
from tests.bridge.home import FAST, PLAIN_RUN, SLOW, Home, alive, request, until
from tests.ray.cluster import ROOT, Loopback, Nodes

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
    assert len({preview.variant for preview in watched.all(events.Preview)}) > 1, "those in time, of both actors"
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


def test_parts_follow_each_other_at_once(home: Home):
    watched = home.session()
    jobs = [request(FAST, side=32, variants=2, options=PLAIN_RUN)] * 40
    submitted = [watched.session.submit(job) for job in jobs]
    assert all(isinstance(watched.end(job), events.Done) for job in submitted)
    watched.check_ends()


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


@contextlib.contextmanager
def third(home: Home, nodes: Nodes, **node: Any) -> Iterator[None]:
    """A node beside the two, of which the bridge knows."""
    number = nodes.add(**node)
    try:
        until(lambda: home.status().device.startswith("3 ×"), "the new node's worker")
        yield
    finally:
        nodes.remove(number)
    until(lambda: home.status().device.startswith("2 ×"), "the end of the node's worker")


def _another_node(tmp_path: Path, code: str) -> dict[str, dict[str, str]]:
    """A node whose processes run ``code`` when their Python starts."""
    (tmp_path / "sitecustomize.py").write_text(code)
    return {"env_vars": {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import engine.version; engine.version.__version__ = '0.1'", "has RePaint Bridge 0.1, this computer"),
        ("import sys; sys.modules['bridge_server'] = None", "has no RePaint Bridge"),
    ],
)
def test_a_node_that_does_not_do_is_told_of_and_the_others_go_on(
    home: Home, nodes: Nodes, tmp_path: Path, code: str, said: str
):
    watched = home.session()
    with third(home, nodes, **_another_node(tmp_path, code)):
        assert len(watched.run(request(SLOW, variants=3))) == 3
        until(lambda: any(said in notice.sentence for notice in watched.all(events.Notice)), said)


def test_a_node_without_the_model_is_passed_over(home: Home, nodes: Nodes):
    watched = home.session()
    with third(home, nodes, env_vars={"REPAINT_BRIDGE_TEST_MODELS": "0"}):
        for _ in range(2):
            assert len(watched.run(request(SLOW, variants=3))) == 3


def test_an_idle_actor_gives_its_share_back_and_comes_again(nodes: Nodes):
    number = nodes.add(num_cpus=2)
    with_own = Home("--ray", nodes.address, "--ray-cpus", "2", "--ray-idle", "3")
    try:
        with_own.ready()
        (first,) = actors(with_own)
        until(lambda: not alive(first), "the end of the idle actor")
        assert with_own.status().engine == "ready"
        assert len(with_own.session().run(request(FAST))) == 1
    finally:
        with_own.close()
        nodes.remove(number)


def test_a_cluster_that_cannot_be_entered_is_said_to_the_artist(nodes: Nodes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 32)
    locked_out = Home("--ray", nodes.address)
    try:
        watched = locked_out.session()
        job = watched.session.submit(request(FAST))
        failed = watched.end(job)
        assert isinstance(failed, events.Failed)
        assert "wants another token" in failed.sentence
    finally:
        locked_out.close()


def test_a_node_with_other_weights_is_told_of_and_the_others_go_on(
    home: Home, nodes: Nodes, node_home: Path, tmp_path: Path
):
    """The model on the new node differs by one byte from that on the two others, which were asked first."""
    watched = home.session()
    job = request("mine", variants=3, options={"steps": 2, "jump_samples": 1})
    assert len(watched.run(job)) == 3
    other = shutil.copytree(node_home, tmp_path / "other")
    with open(other / "data/models/mine/unet/config.json", "a") as file:
        file.write("\n")
    said = "The model mine on the Ray node"
    with third(home, nodes, env_vars={"REPAINT_BRIDGE_HOME": str(other)}):
        assert len(watched.run(job)) == 3
        until(lambda: any(notice.sentence.startswith(said) for notice in watched.all(events.Notice)), said)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes volumes by options of tmpfs."""
    volume = tmp_path / "volume"

    def made(options: str) -> Path:
        volume.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(volume)]
        done = subprocess.run(command, capture_output=True) if shutil.which("mount") else None
        if done is None or done.returncode:
            pytest.skip("no right to mount a tmpfs here")
        return volume

    yield made
    if volume.is_mount():
        subprocess.run(["umount", "-l", str(volume)], check=True)


def test_a_node_whose_disk_is_full_paints_all_the_same(home: Home, nodes: Nodes, small_disk: Callable[[str], Path]):
    watched = home.session()
    before = pixels(watched.run(request(SLOW, variants=3)))
    volume = small_disk("size=64k")
    with pytest.raises(OSError, match="No space"):
        (volume / "ballast").write_bytes(bytes(1 << 20))
    with third(home, nodes, env_vars={"REPAINT_BRIDGE_HOME": str(volume)}):
        assert pixels(watched.run(request(SLOW, variants=3))) == before
        assert len(actors(home)) == 3, "one variant each"


def test_a_node_that_can_make_no_file_is_told_of_and_the_others_go_on(
    home: Home, nodes: Nodes, small_disk: Callable[[str], Path]
):
    watched = home.session()
    said = "is full: make room there"
    with third(home, nodes, env_vars={"REPAINT_BRIDGE_HOME": str(small_disk("size=64k,nr_inodes=1"))}):
        assert len(watched.run(request(SLOW, variants=3))) == 3
        until(lambda: any(said in notice.sentence for notice in watched.all(events.Notice)), said)
