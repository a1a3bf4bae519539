"""Krita, the bridge or the engine is killed at any moment of a run that was clicked in the real docker."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from bridge_server.__main__ import main as bridge_command
from bridge_server.client import launch
from tests.promises import Tried

from .conftest import provide_bridge, start_krita
from .desk import Desk
from .host import REPOSITORY, Display

_PICTURES = """[(r.job, hashlib.sha256(v.picture.rgba).hexdigest()) for r in flow.runs for v in r.variants
                if v.finished and v.picture is not None]"""


@pytest.mark.promise(12)
def test_whatever_is_killed_the_variants_arrive_once(display: Display, tmp_path: Path, tried: Tried) -> None:
    """Two variants each time; what arrives is, to the last bit, what an undisturbed run paints."""
    before = os.environ[launch.HOME_VARIABLE]
    os.environ[launch.HOME_VARIABLE] = str(tmp_path / "home")
    picture = tmp_path / "picture.png"
    shutil.copy(REPOSITORY / "engine/assets/demo.jpg", picture)
    host = None
    try:
        provide_bridge()
        host = start_krita(tmp_path / "krita", display)

        def sit_down() -> Desk:
            desk = Desk(host)
            host.wait("flow.connected and flow.engine == 'ready'", seconds=90, what="the engine is ready")
            document = desk.open(picture)
            desk.select(document, 60, 50, 40, 40)
            desk.choose("test/gaussian-slow", seed=7, variants=2)
            return desk

        def arrived(count: int) -> list[tuple[str, str]]:
            wanted = f"sum(v.finished and v.picture is not None for r in flow.runs for v in r.variants) == {count}"
            host.wait(wanted, seconds=90, what=f"{count} variants in the docker")
            return [tuple(each) for each in host.run(_PICTURES)]

        desk = sit_down()
        assert desk.repaint().startswith("Done")
        whole = sorted(content for _, content in arrived(2))
        jobs = 1
        for number in tried.rounds(1, 30):
            desk.press()
            desk.wait_bridge("the job", lambda status: status.running or status.queued)
            time.sleep(random.uniform(0.0, 2.5))
            kind = ("krita", "worker", "bridge")[number % 3]
            if kind == "krita":
                host.kill()
                host.start()
                desk = sit_down()
            else:
                status = desk.wait_bridge("a worker", lambda status: status.worker_pid)
                os.kill(status.worker_pid if kind == "worker" else status.pid, signal.SIGKILL)
            jobs += 1
            found = arrived(2 * jobs)
            assert len({job for job, _ in found}) == jobs
            assert sorted(content for _, content in found) == sorted(jobs * whole), kind
            host.wait("flow.connected and flow.engine == 'ready'", seconds=90, what="the engine is ready")
        host.stop()
    finally:
        if host is not None:
            host.kill()
        bridge_command(["stop"])
        os.environ[launch.HOME_VARIABLE] = before


@pytest.mark.essential
def test_variants_come_back_after_a_crash_of_krita(display: Display, tmp_path: Path) -> None:
    home = tmp_path / "home"
    before = os.environ[launch.HOME_VARIABLE]
    os.environ[launch.HOME_VARIABLE] = str(home)
    picture = tmp_path / "picture.png"
    shutil.copy(REPOSITORY / "engine/assets/demo.jpg", picture)
    host = None
    try:
        provide_bridge()
        host = start_krita(tmp_path / "krita", display)
        desk = Desk(host)
        host.wait("flow.connected and flow.engine == 'ready'", seconds=90)
        document = desk.open(picture)
        desk.select(document, 60, 50, 40, 40)
        desk.choose(seed=20, variants=2)
        assert desk.repaint().startswith("Done")
        desk.show_first()
        shown = desk.fingerprint(document)
        host.run("r = flow.runs[-1]\npump.do('b', lambda: flow.branch(r, 0, r.variants[0].steps[5].call, 'idea', 1))")
        assert desk.wait_end().startswith("Done")
        desk.choose("test/gaussian-slow", seed=30)
        desk.press()
        desk.wait_preview()
        host.kill()
        host.start()
        desk = Desk(host)
        host.wait("flow.connected", seconds=60)
        desk.new(64, 64)  # stays open: Krita may die of closing it, see `Desk.settle`
        assert host.run("len(flow.runs)") == 0, "they belong to another picture"
        document = desk.open(picture)
        host.wait("sum(v.finished for r in flow.runs for v in r.variants) == 4", seconds=60, what="all four pictures")
        host.wait("dock().gallery.count() == 4")
        desk.screenshot("after-crash")
        assert host.run("flow.runs[1].parent[0] == flow.runs[0].number")
        host.run("dock().gallery.show_item(dock().gallery._items[flow.runs[0].number, 0])")
        host.wait("flow.runs[0].series.shown is not None and not flow.has_steps")
        assert desk.fingerprint(document) == shown
        assert desk.names(document)[-1] == "RePaint test/gaussian · seed 20"
        host.stop()
    finally:
        if host is not None:
            host.kill()
        bridge_command(["stop"])
        os.environ[launch.HOME_VARIABLE] = before
