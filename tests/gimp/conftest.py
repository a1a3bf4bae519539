"""One GIMP with a window and one in a console for the tests of this folder, each started when it is first needed.

The bridge of these tests has a home of its own in a folder that GIMP sees, too (tests/gimp/host.py).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge_server.__main__ import main as bridge_command
from bridge_server.client import launch
from bridge_server.client.link import find_or_start
from tests import toy_hub
from tests.desk import Shared, logs_stay_clean, write_launch_file
from tests.driven import Display
from tests.engine.standin_hub import StandIn

from .desk import Desk
from .host import GimpHost, chosen_gimp, missing_programs


@contextlib.contextmanager
def bridge_in(home: Path) -> Iterator[None]:
    """The bridge's home for what happens meanwhile, with a bridge that runs: a plug-in cannot start a program outside
    its root, but finds this one."""
    before = os.environ[launch.HOME_VARIABLE]
    os.environ[launch.HOME_VARIABLE] = str(home)
    try:
        write_launch_file()
        find_or_start("tests", "tests").close()
        yield
        bridge_command(["stop"])
    finally:
        os.environ[launch.HOME_VARIABLE] = before


@pytest.fixture(scope="package")
def hub() -> Iterator[StandIn]:
    """A hub on this machine that holds the toy model; bridges that are started meanwhile know it."""
    with toy_hub.running() as one:
        yield one


@pytest.fixture(scope="package")
def work(hub: StandIn) -> Iterator[Path]:
    """A folder that GIMP sees, with the bridge's home; a bridge runs."""
    del hub
    missing = missing_programs()
    if missing:
        sentence = f"real-GIMP tests lack: {', '.join(missing)}"
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    folder = Path(tempfile.mkdtemp(dir=chosen_gimp().temporary, prefix="gimp-tests-"))
    with bridge_in(folder / "bridge"):
        yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="package")
def display(work: Path) -> Iterator[Display]:
    del work  # says what is missing
    with Display() as shown:
        yield shown


@pytest.fixture(scope="package")
def console(work: Path) -> Iterator[Shared[Desk]]:
    def start(count: int) -> Desk:
        host = GimpHost(work / f"console-{count}", None)
        host.start()
        return Desk(host)

    shared = Shared(start)
    yield shared
    shared.stop()


@pytest.fixture(scope="package")
def gimp(work: Path, display: Display) -> Iterator[Shared[Desk]]:
    """The shared GIMP with RePaint's window open and its engine ready."""

    def start(count: int) -> Desk:
        host = GimpHost(work / f"gimp-{count}", display)
        host.start()
        desk = Desk(host)
        desk.open_window()
        host.wait("flow.connected and flow.engine == 'ready'", seconds=90, what="the engine is ready")
        return desk

    shared = Shared(start)
    yield shared
    shared.stop()


@pytest.fixture
def desk(gimp: Shared[Desk]) -> Iterator[Desk]:
    one = gimp.desk()
    one.close_all()
    with logs_stay_clean(one.host):
        yield one


@pytest.fixture
def shell(console: Shared[Desk]) -> Iterator[Desk]:
    """The console with no image open."""
    one = console.desk()
    one.forget_images()
    yield one
    one.host.check()
