"""What the bridge knows of Ray: the user's settings, and how the driver is started.  Imports neither Ray nor torch."""

from __future__ import annotations

import hashlib
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bridge_server.client import launch, settings
from bridge_server.pool.backend import Handle, Joining
from bridge_server.pool.started import Started

IDLE_SECONDS = 300.0
LOGS = ("ray.log", "ray-output.log")


@dataclass(frozen=True)
class Cluster:
    """Where actors run, and what each takes.

    ``address``: HOST:PORT, or "auto" for the cluster that this computer belongs to; ``gpus``: of a node with GPUs for
    each actor, a part of one or whole ones; ``cpus``: where no node has a GPU; ``idle``: seconds without work after
    which an actor gives its share back.
    """

    address: str
    without_token: bool = False
    gpus: float = 1.0
    cpus: int = 4
    idle: float = IDLE_SECONDS


def kept() -> Cluster | None:
    """As ``repaint-bridge ray`` has set it; None if it has not."""
    found = settings.read().get("ray")
    try:
        return Cluster(**found) if isinstance(found, dict) else None
    except TypeError:  # of another version
        return None


def keep(chosen: Cluster | None) -> None:
    """Raises OSError or BridgeError."""
    settings.write("ray", asdict(chosen) if chosen is not None else None)


class Ray:
    """A driver in the cluster, which brings a worker for each share of its nodes."""

    name, shared = "ray", True

    def __init__(self, wake: socket.socket, logs: Path, warm: str, chosen: Cluster) -> None:
        self._wake, self._logs, self._warm, self._chosen = wake, logs, warm, chosen
        for name in LOGS:
            launch.plain_file(logs / name)

    def start(self, number: int, joining: Joining) -> Handle:  # noqa: ARG002
        line = joining.line(warm=self._warm, owner=self._owner(), cluster=asdict(self._chosen))
        log, output = (self._logs / name for name in LOGS)
        return Started(["-m", "bridge_server.ray", str(log)], line, output, self._wake, os.environ)

    def _owner(self) -> str:
        """A name for this bridge's actors in the cluster, the same after a restart."""
        told: list[Any] = [socket.gethostname(), os.getuid() if hasattr(os, "getuid") else "", self._logs]
        return "repaint-" + hashlib.sha256(repr(told).encode()).hexdigest()[:12]
