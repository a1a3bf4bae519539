"""Set-up and a bridge that runs: it is ended when it is idle, or when its engine is being repaired."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge_server.client import events, launch, messages, setup
from bridge_server.client.errors import BridgeError
from bridge_server.client.locks import FileLock
from bridge_server.client.setup import environments, running, trial
from bridge_server.client.setup.programs import interpreter_in
from bridge_server.client.setup.runner import Cancelled
from tests.bridge.home import PLAIN_RUN, SLOW, Home, alive, request, until


@pytest.fixture
def bridge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.delenv(launch.HOME_VARIABLE)
    one = Home()
    one.ready()
    yield one
    one.close()


def test_an_idle_bridge_is_ended(bridge: Home) -> None:
    pid = bridge.bridge_pid()
    assert running.stop(only_idle=True)
    until(lambda: not alive(pid), "its end")
    assert running.stop(), "there is none any more"


def test_one_that_works_is_left_alone(bridge: Home) -> None:
    watched = bridge.session()
    job = watched.session.submit(request(SLOW, options=PLAIN_RUN))
    watched.wait(job, events.Progress)
    assert not running.stop(only_idle=True)
    assert isinstance(watched.end(job), events.Done)


def test_one_of_another_version_is_ended(bridge: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = bridge.bridge_pid()
    monkeypatch.setattr(messages, "PROTOCOL", messages.PROTOCOL + 1)
    assert running.stop(only_idle=True)
    until(lambda: not alive(pid), "its end")


def test_nobody_starts_one_during_a_repair(bridge: Home) -> None:
    pid = bridge.bridge_pid()
    lock = running.keep_stopped(lambda: False)
    until(lambda: not alive(pid), "its end")
    watched = bridge.session()
    time.sleep(1.0)
    assert not watched.all(events.Connected)
    lock.release()
    until(lambda: watched.all(events.Connected), "a bridge")


def test_editors_go_on_with_the_engine_that_was_switched_to(bridge: Home) -> None:
    watched = bridge.session()
    until(lambda: watched.all(events.Connected), "a connection")
    first = bridge.bridge_pid()
    launch.write_launch_file(sys.executable, [*bridge.arguments, "--idle-seconds", "31"], bridge.state)
    assert running.stop(only_idle=True)
    watched.run(request())
    assert bridge.bridge_pid() != first


def test_an_engine_that_is_in_use_is_not_tidied_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one that set-up has made, that editors start, and while no set-up runs."""
    old, new = environments.engines() / "1.0-old", environments.engines() / "1.1-new"
    for folder in (old, new):
        launch.private_folder(folder)
        (folder / "pyvenv.cfg").write_text(f"home = {sys.base_prefix}/bin\n")
    trial.switch(new / "bin" / "python")
    running.tidy(old)
    running.after_good_start()  # of this checkout
    lock = FileLock(launch.user_folders().data / environments.LOCK)
    assert lock.acquire(0.0)
    running.tidy(new)
    assert old.is_dir()
    lock.release()
    monkeypatch.setattr(sys, "executable", str(new / "bin" / "python"))
    launch.note_trouble(sys.executable, "once")
    assert launch.trouble_file(sys.executable).is_file()
    running.tidy(new)
    assert sorted(path.name for path in environments.engines().iterdir()) == ["1.1-new"]


# ---- repair, and trying one ----
def test_a_bridge_is_not_started_during_a_repair() -> None:
    state = launch.private_folder(launch.user_folders().state)
    lock = running.keep_stopped(lambda: False)
    assert not FileLock(state / "start.lock").acquire(0.0)
    lock.release()
    assert FileLock(state / "start.lock").acquire(0.0)


@pytest.mark.parametrize("wrong", ["lock", "stop"])
def test_no_repair_under_an_engine_that_works(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setattr(running, "START_SECONDS", 0.0)
    state = launch.private_folder(launch.user_folders().state)
    held = FileLock(state / "start.lock") if wrong == "lock" else FileLock(state / "bridge.lock")
    assert held.acquire(0.0)
    with pytest.raises(BridgeError, match="still working: stop the runs in Krita and GIMP, then try again"):
        running.keep_stopped(lambda: False)
    with pytest.raises(Cancelled):
        running.keep_stopped(lambda: True)
    held.release()
    running.keep_stopped(lambda: False).release()


def test_a_try_that_ends_without_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for told in ("$ python -m bridge_server.check\n", ""):
        monkeypatch.setattr(trial.runner, "run", lambda *_, told=told, **__: (-9, told))
        with pytest.raises(BridgeError) as raised:
            trial.paint(Path(sys.executable), tmp_path, lambda: False, "It failed ({reason}).")
        assert raised.value.sentence == "It failed (exit status -9)."


def test_no_engine_is_tried_during_a_set_up(home: Path, tmp_path: Path) -> None:
    """It would end the other one's trial and remove its files."""
    program = interpreter_in(tmp_path)
    program.parent.mkdir()
    program.touch()
    others = launch.private_folder(home / "cache" / "trial" / "home-of-another")
    lock = FileLock(launch.private_folder(launch.user_folders().data) / environments.LOCK)
    assert lock.acquire(0.0)
    with pytest.raises(BridgeError, match="The engine is being set up by another program"):
        setup.use(tmp_path)
    lock.release()
    assert others.is_dir()
