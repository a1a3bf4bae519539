"""The bridge that runs now, seen from set-up: stopping it."""

from __future__ import annotations

import secrets

from bridge_server.client import launch, messages
from bridge_server.client.errors import BridgeError
from bridge_server.client.link import BRIDGE_LOCK, Link, read_connection_file
from bridge_server.client.locks import FileLock


def stop(patience: float = 10.0, only_idle: bool = False) -> bool:
    """Ask this user's bridge to end in order; whether none runs afterwards.

    ``only_idle``: one that works is left alone. Jobs that were not finished stay in its journal.
    """
    state = launch.user_folders().state
    if not state.is_dir():
        return True
    try:
        link = Link.connect(read_connection_file(state), "setup-" + secrets.token_hex(8), "set-up")
    except BridgeError:
        return _gone(0.0)
    try:
        if only_idle:
            status = link.ask(messages.GetStatus(), messages.Status)
            if status.running or status.queued:
                return False
        link.send(messages.Stop())
        link.flush()
        return _gone(patience)
    except BridgeError:
        return _gone(patience)
    finally:
        link.close()


def _gone(patience: float) -> bool:
    lock = FileLock(launch.user_folders().state / BRIDGE_LOCK)
    if not lock.acquire(patience):
        return False
    lock.release()
    return True
