"""A process that the bridge starts, told what it has to know by its standard input, which stays open until it shall
leave: at its end it leaves, however the bridge died."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path


class Started:
    """A `backend.Handle` of this machine.  A thread waits for its end and wakes the bridge's loop."""

    def __init__(
        self, command: Sequence[str], line: bytes, output: Path, wake: socket.socket, environ: Mapping[str, str]
    ) -> None:
        """Start ``[own interpreter, *command]`` in ``environ``; ``line`` is the first one of its standard input.

        ``output``: what it and its native libraries print when they die.  Raises OSError if it cannot start.
        """
        interpreter, told = own_interpreter()
        with open(output, "wb") as file:
            self._process = subprocess.Popen(
                [interpreter, *command],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**environ, **told, "PYTHONPATH": python_path()},
            )
        self._wake = wake
        assert self._process.stdin is not None
        self._stdin = self._process.stdin
        with contextlib.suppress(OSError):  # it died at once: the waiting thread says so
            self._stdin.write(line)
            self._stdin.flush()
        threading.Thread(target=self._await_end, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._let_go()

    def stop(self, seconds: float) -> None:
        self._let_go()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def _let_go(self) -> None:
        with contextlib.suppress(OSError):  # what was still to be written to a dead process
            self._stdin.close()

    def _await_end(self) -> None:
        self._process.wait()
        with contextlib.suppress(OSError):  # the bridge is leaving
            self._wake.send(b"w")


def own_interpreter() -> tuple[str, dict[str, str]]:
    """This interpreter and the variables with which it finds this environment.

    On Windows the python.exe of a virtual environment only starts the real one, so that the process which was started
    is not the one that works. multiprocessing starts its processes this way, too.
    """
    base = getattr(sys, "_base_executable", sys.executable)
    if sys.platform == "win32" and base != sys.executable:
        return base, {"__PYVENV_LAUNCHER__": sys.executable}
    return sys.executable, {}


def python_path() -> str:
    """PYTHONPATH by which a process that the bridge starts finds this very project."""
    root = str(Path(__file__).parents[2])
    return os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
