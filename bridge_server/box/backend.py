"""The box as one of the bridge's backends: one relay process, which brings all of its workers."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import asdict
from pathlib import Path

from bridge_server.box import keys
from bridge_server.box.keys import Box
from bridge_server.client import settings
from bridge_server.pool.backend import Handle, Joining, Limits
from bridge_server.pool.pool import Pool
from bridge_server.pool.started import Started

LIMITS = Limits(silent=60.0, cancel=15.0)  # the road may be slow, and is watched by the relay


class BoxBackend:
    """``logs``: the folder of the bridge's logs."""

    name, shared = "box", True

    def __init__(self, wake: socket.socket, logs: Path, box: Box) -> None:
        self._wake, self._logs, self.box = wake, logs, box
        self._bridge = secrets.token_hex(16)  # the same for every relay, so that the next one has its workers at once

    def start(self, number: int, joining: Joining) -> Handle:
        del number  # there is one
        line = joining.line(box=asdict(self.box), bridge=self._bridge)
        command = ["-m", "bridge_server.box.relay", str(self._logs / "box.log")]
        return Started(command, line, self._logs / "box-output.log", self._wake, os.environ)


class Follower:
    """Keeps the pool's box the one that the user is connected to."""

    def __init__(self, pool: Pool, wake: socket.socket, logs: Path) -> None:
        self._pool, self._wake, self._logs = pool, wake, logs
        self._present: BoxBackend | None = None
        self._stamp = 0

    def tick(self) -> None:
        """Look whether another one was chosen."""
        try:
            stamp = settings.settings_file().stat().st_mtime_ns
        except OSError:
            stamp = 0
        if stamp == self._stamp:
            return
        self._stamp = stamp
        box = keys.box()
        if self._present is not None and self._present.box != box:
            self._pool.remove(self._present)
            self._present = None
        if box is not None and self._present is None:
            self._present = BoxBackend(self._wake, self._logs, box)
            self._pool.add(self._present, 1, LIMITS)
