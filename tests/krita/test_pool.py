"""A real Krita paints through a bridge with two workers, and cannot tell."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator

import pytest

from bridge_server.__main__ import main as bridge_command
from bridge_server.client import launch, settings
from bridge_server.client.link import find_or_start

from .conftest import provide_bridge
from .desk import Desk, Document


def _start(workers: int | None) -> None:
    settings.write("workers", workers)
    bridge_command(["stop"])
    provide_bridge()
    find_or_start("tests", "tests").close()


@pytest.fixture
def with_workers() -> Iterator[Callable[[int], None]]:
    """Replaces the bridge by one with so many workers; afterwards there is one as always."""
    yield _start
    _start(None)


def ready_workers() -> dict[str, int]:
    """The pids of the workers of the present bridge that are ready, by their numbers."""
    text = (launch.user_folders().state / "logs" / "bridge.log").read_text().rpartition("listens\n")[2]
    joined = dict(re.findall(r"worker (\d+) of local \d, process (\d+), has joined", text))
    return {number: int(joined[number]) for number in re.findall(r"worker (\d+) is ready", text)}


def at_work() -> set[str]:
    """The numbers of the workers that were given a part of the latest job."""
    text = (launch.user_folders().state / "logs" / "bridge.log").read_text()
    given = re.findall(r"job (\w+): \d+ variants from \d+ to worker (\d+)", text)
    return {worker for job, worker in given if job == given[-1][0]}


def pictures(desk: Desk, document: Document) -> list[str]:
    """Of each variant of the last run; the layer of the first one is taken away again."""
    found = desk.host.run("[hashlib.sha256(bytes(v.picture.rgba)).hexdigest() for v in flow.runs[-1].variants]")
    assert len(desk.tree(document)) == 2
    desk.undo()
    desk.host.wait(f"len(tree({document.code})) == 1")
    return list(found)


def test_krita_paints_through_two_workers_without_knowing_it(desk: Desk, with_workers: Callable[[int], None]) -> None:
    document = desk.new(400, 300)
    desk.choose("test/gaussian-slow", seed=21, variants=3)
    desk.select(document, 100, 100, 80, 60)
    assert desk.repaint().startswith("Done")
    alone = pictures(desk, document)
    assert len(set(alone)) == 3
    with_workers(2)
    desk.wait_bridge("two workers are ready", lambda _status: len(ready_workers()) == 2, seconds=60)
    assert desk.repaint().startswith("Done")
    assert len(at_work()) == 2
    assert pictures(desk, document) == alone
    desk.press()
    desk.wait_preview()
    desk.host.wait("min(v.call for v in flow.run.variants[:3:2]) > 0", what="both workers are on the way")
    os.kill(ready_workers()[max(at_work())], signal.SIGKILL)
    assert desk.wait_end(90).startswith("Done")
    assert pictures(desk, document) == alone
