"""Workers of this machine: processes of ``bridge_server.worker``, which see the bridge's own spool."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

from bridge_server.client import launch
from bridge_server.client.checks import shortened
from bridge_server.client.errors import BridgeError
from bridge_server.pool import machine
from bridge_server.pool.backend import Handle, Joining
from bridge_server.pool.started import Started

MODELS_OF_OTHERS = (
    "Another user of this computer owns or can change {place}, and with it your models: make it yours alone "
    "(“chmod go-w”), delete the models that you do not know, then restart the engine."
)


class Local:
    """``logs``: the folder of the logs, in the state folder; ``warm``: the model that each loads at its start;
    ``count``: how many processes share this machine; ``environ``: variables for them besides this process's own."""

    name, shared = "local", False

    def __init__(
        self, wake: socket.socket, logs: Path, warm: str, count: int, environ: Mapping[str, str] | None = None
    ) -> None:
        self._wake, self._logs, self._warm, self._environ = wake, logs, warm, environ or {}
        self._shares = machine.shares(count)
        self._scratch = logs.parent / "steps"
        shutil.rmtree(self._scratch, ignore_errors=True)  # of an earlier bridge
        launch.private_folder(self._scratch)
        for number in range(count):
            for name in log_names(number):
                launch.plain_file(logs / name)

    def start(self, number: int, joining: Joining) -> Handle:
        planted = models_of_others()
        if planted:
            raise BridgeError(shortened(MODELS_OF_OTHERS.format(place=planted), 500))
        state = self._logs.parent
        log, output = log_names(number)
        line = joining.line(
            warm=self._warm,
            parent=os.getpid(),
            scratch=str(self._scratch / str(number)),
            spool=str(state / "spool"),
        )
        # passive: OpenMP threads that wait must not take the editor's cores
        environ = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, **self._shares[number].environ(), **self._environ}
        command = ["-m", "bridge_server.worker", str(self._logs / log)]
        return Started(command, line, self._logs / output, self._wake, environ)


def log_names(number: int) -> tuple[str, str]:
    """The files for what worker ``number`` notes and for what it prints."""
    name = "worker" if number == 0 else f"worker-{number + 1}"
    return f"{name}.log", f"{name}-output.log"


def models_of_others() -> str:
    """What of the user's models folder, the models in it and the folders above it another user could change, or ""."""
    models = launch.user_folders().data / "models"
    inside = sorted(models.iterdir()) if models.is_dir() else []
    return next(filter(None, map(launch.changeable_by_others, (models, *inside))), "")
