"""The bridge that runs now, seen from set-up: stopping it, and what it removes after its first good start."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from bridge_server.client import launch, messages
from bridge_server.client.errors import BridgeError, SetUpFailed
from bridge_server.client.link import BRIDGE_LOCK, PROTOCOL, START_LOCK, START_SECONDS, Link, read_connection_file
from bridge_server.client.locks import FileLock
from bridge_server.client.setup import environments, sentences
from bridge_server.client.setup.runner import Cancelled
from bridge_server.client.setup.sentences import say

log = logging.getLogger("repaint.setup")


def stop(patience: float = 10.0, only_idle: bool = False, give_up: Callable[[], bool] | None = None) -> bool:
    """Ask this user's bridge to end in order; whether none runs afterwards.

    ``only_idle``: one that works is left alone. Jobs that were not finished stay in its journal.
    """
    state = launch.user_folders().state
    if not state.is_dir():
        return True
    try:
        address = read_connection_file(state)
        link = Link.connect(address, "setup-" + secrets.token_hex(8), "set-up")
    except BridgeError as error:
        if error.code != PROTOCOL:
            return _gone(0.0)
        os.kill(address.pid, signal.SIGTERM)  # of another version, but a bridge: its signal is older than all versions
        return _gone(patience, give_up)
    try:
        if only_idle:
            status = link.ask(messages.GetStatus(), messages.Status)
            if status.running or status.queued:
                return False
        link.send(messages.Stop())
        link.flush()
        return _gone(patience, give_up)
    except BridgeError:
        return _gone(patience, give_up)
    finally:
        link.close()


def _gone(patience: float, give_up: Callable[[], bool] | None = None) -> bool:
    lock = FileLock(launch.user_folders().state / BRIDGE_LOCK)
    if not lock.acquire(patience, give_up):
        return False
    lock.release()
    return True


def keep_stopped(give_up: Callable[[], bool]) -> FileLock:
    """Stop the bridge; as long as the lock is held, nobody starts another one.

    Raises SetUpFailed if it does not stop, Cancelled if ``give_up()``.
    """
    state = launch.private_folder(launch.user_folders().state)
    lock = FileLock(state / START_LOCK)
    if lock.acquire(START_SECONDS, give_up) and stop(give_up=give_up):
        return lock
    lock.release()
    if give_up():
        raise Cancelled
    raise SetUpFailed(say(sentences.BRIDGE_BUSY))


def after_good_start() -> None:
    """To be called by a bridge whose engine is ready: what its set-up does not need any more goes, in a thread."""
    if Path(sys.prefix).parent == environments.engines():
        threading.Thread(target=tidy, args=(Path(sys.prefix),), name="repaint-tidy", daemon=True).start()


def tidy(environment: Path) -> None:
    """Remove downloads, and environments and Pythons other than those of ``environment``.

    Not while a set-up runs or is unfinished, and not by an engine that is no longer the one that editors start.
    """
    folders = launch.user_folders()
    with contextlib.suppress(OSError):
        environments.delete(launch.trouble_file(sys.executable))
    lock = FileLock(folders.data / environments.LOCK)
    if not lock.acquire(0.0):
        return
    try:
        if (folders.data / environments.PROGRESS).exists() or environments.current() != environment:
            return
        home = re.search(r"^home\s*=\s*(.+)$", (environment / "pyvenv.cfg").read_text(encoding="utf-8"), re.M)
        python = Path(home.group(1).strip()) if home else environment
        places = [folders.cache / "wheels", folders.cache / "uv", folders.cache / "trial"]
        for folder, kept in ((environments.engines(), environment), (environments.pythons(), python.resolve())):
            others = list(folder.iterdir()) if folder.is_dir() else []
            places += [
                each for each in others if each not in (kept, *kept.parents) and each.resolve() not in kept.parents
            ]
        for place in places:
            if place.exists():
                environments.delete(place)
                log.info("removed %s", place)
    except OSError as error:
        log.warning("something stays: %r", error)  # until the next start
    finally:
        lock.release()
