"""Trying an engine: it starts a bridge of its own, which paints a small picture."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from bridge_server.client import launch
from bridge_server.client.errors import SetUpFailed
from bridge_server.client.locks import FileLock
from bridge_server.client.setup import environments, runner, sentences
from bridge_server.client.setup.programs import interpreter_in
from bridge_server.client.setup.sentences import say

SECONDS = 600.0  # the first start compiles
STOP_SECONDS = 20.0
CONNECT_SECONDS = 60.0
LAUNCH = ("-m", "bridge_server", "serve")


def paint(interpreter: Path, log: Path, cancelled: Callable[[], bool], failed: str, inherited: int = -1) -> None:
    """Raises SetUpFailed with ``failed``, its {reason} filled in, if it does not paint; Cancelled if cancelled."""
    folder = launch.private_folder(launch.user_folders().cache / "trial")
    _stop_left(interpreter, folder, log)
    home = tempfile.mkdtemp(prefix="home-", dir=str(folder))
    moved = {"TMPDIR": home, "TEMP": home, "TMP": home}
    try:
        command = [str(interpreter), "-m", "bridge_server.check"]
        status, told = runner.run(command, log, cancelled, SECONDS, inherited, log.parent, **moved)
    finally:
        _stop_left(interpreter, folder, log)
    if status == 124:
        raise SetUpFailed(say(sentences.TRY_STUCK))
    if status:
        raise runner.why(told, folder, say(failed, reason=_reason(status, told).rstrip(".")))


def connect(interpreter: Path, box: str, log: Path, cancelled: Callable[[], bool], inherited: int = -1) -> None:
    """Raises SetUpFailed if the box does not let this computer in, with the sentence that says what to do there."""
    command = [str(interpreter), "-m", "bridge_server", "connect", *box.split()]
    status, told = runner.run(command, log, cancelled, CONNECT_SECONDS, inherited, log.parent)
    if status:
        raise SetUpFailed(say(sentences.NOT_CONNECTED) if status == 124 else _reason(status, told), told[-2000:])


def _reason(status: int, told: str) -> str:
    """Why a program failed, by what it said last."""
    lines = [line for line in told.splitlines() if line.strip() and not line.startswith("$ ")]
    errors = [line[len("error: ") :] for line in lines if line.startswith("error: ")]
    return (errors or lines or [f"exit status {status}"])[-1]


def _stop_left(interpreter: Path, folder: Path, log: Path) -> None:
    """End the bridges of trials that were ended themselves, and remove their homes."""
    for state in folder.glob("home-*/repaint-bridge-*/state"):
        if (state / "connection.json").exists():
            command = [str(interpreter), "-m", "bridge_server", "stop", "--state", str(state)]
            runner.run(command, log, lambda: False, STOP_SECONDS)
    shutil.rmtree(str(folder), ignore_errors=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def use(folder: Path) -> None:
    """Use an engine that is there: a checkout with ``.venv``, or an environment.

    It is tried (some seconds up to some minutes: call it in a thread), then ``launch.json`` is switched to it. Raises
    BridgeError with a sentence.
    """
    found = [interpreter_in(place) for place in (folder / ".venv", folder) if interpreter_in(place).is_file()]
    if not found:
        raise SetUpFailed(say(sentences.NO_ENGINE, place=folder))
    lock = FileLock(launch.user_folders().data / environments.LOCK)
    try:
        launch.private_folder(launch.user_folders().data)
        if not lock.acquire(0.0):  # it would end the other one's trial
            raise SetUpFailed(say(sentences.BEING_SET_UP))
        logs = launch.private_folder(launch.private_folder(launch.user_folders().state) / "logs")
        failed = say(sentences.ENGINE_BROKEN, place=folder)
        paint(found[0].absolute(), logs / "setup.log", lambda: False, failed, lock.fileno())
        switch(found[0].absolute())
    except OSError as error:
        raise runner.of_system(error, folder) from None
    finally:
        lock.release()


def switch(interpreter: Path) -> None:
    """From now on editors start this engine. Raises OSError."""
    launch.write_launch_file(str(interpreter), LAUNCH, launch.user_folders().state)
