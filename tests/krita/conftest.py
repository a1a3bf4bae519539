"""One Krita for all tests of this folder; each test begins with no open picture and ends with a look at the logs.

REPAINT_BRIDGE_KRITA names another Krita than the machine's own (tests/hosts.py).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge_server.__main__ import main as bridge_command
from bridge_server.client import launch
from bridge_server.client.link import find_or_start
from tests import toy_hub
from tests.desk import Shared, logs_stay_clean, write_launch_file
from tests.engine.standin_hub import StandIn

from .desk import Desk, DiedClosing
from .host import Display, KritaHost, chosen_krita, missing_programs

MOST_FORGIVEN = 2
"""Deaths of Krita's own while pictures are closed, in a run of all tests: see `Desk.settle`."""


@pytest.fixture(scope="session")
def display() -> Iterator[Display]:
    missing = missing_programs()
    if missing:
        sentence = f"real-Krita tests lack: {', '.join(missing)} (Debian: krita xvfb xdotool openbox imagemagick)"
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    with Display() as shown:
        yield shown


def start_krita(work: Path, display: Display, lent: dict[Path, Path] | None = None, **environment: str) -> KritaHost:
    """A Krita with the plug-in; the bridge it starts belongs to this test run's own REPAINT_BRIDGE_HOME. ``lent``: as
    of `Editor.within`."""
    work.mkdir(parents=True, exist_ok=True)
    names = (launch.HOME_VARIABLE, "REPAINT_BRIDGE_TEST_MODELS", "HF_HUB_OFFLINE", *toy_hub.VARIABLES)
    inherited = {key: os.environ[key] for key in names if key in os.environ}
    host = KritaHost(work, display=display, environment={**inherited, **environment})
    host.lent = lent
    host.start()
    return host


def provide_bridge() -> None:
    """Lets plug-ins that are started from now on find a bridge in the present REPAINT_BRIDGE_HOME."""
    write_launch_file()
    if chosen_krita().root is not None:  # the plug-in cannot start a program outside its root; it finds this one
        find_or_start("tests", "tests").close()


@pytest.fixture(scope="session", autouse=True)
def no_bridge_is_left() -> Iterator[None]:
    """Whichever Krita started it."""
    yield
    bridge_command(["stop"])


@pytest.fixture(scope="session")
def hub() -> Iterator[StandIn]:
    """A hub on this machine that holds the toy model; Kritas that are started meanwhile know it."""
    with toy_hub.running() as one:
        yield one


@pytest.fixture(scope="session")
def krita(display: Display, hub: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared[Desk]]:
    """The shared Krita, its docker shown and its engine ready."""
    del hub

    def start(_count: int) -> Desk:
        desk = Desk(start_krita(tmp_path_factory.mktemp("krita"), display))
        desk.host.wait("flow.connected and flow.engine == 'ready'", seconds=90, what="the engine is ready")
        return desk

    provide_bridge()
    shared = Shared(start)
    yield shared
    shared.stop()


@pytest.fixture(scope="session")
def forgiven() -> list[DiedClosing]:
    """Kritas that died of closing pictures between two tests."""
    return []


@pytest.fixture
def desk(krita: Shared[Desk], forgiven: list[DiedClosing]) -> Iterator[Desk]:
    one = krita.desk()
    try:
        one.close_all()
    except DiedClosing as crash:  # of the pictures that the test before left: once more, in another Krita, and aloud
        forgiven.append(crash)
        if len(forgiven) > MOST_FORGIVEN:
            raise
        warnings.warn(f"Krita died of closing a picture, which it does without the plug-in, too: {crash}", stacklevel=1)
        one = krita.desk()
        one.close_all()
    with logs_stay_clean(one.host):
        yield one
