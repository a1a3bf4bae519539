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
