"""What the tests of Ray share: a network namespace with nothing but loopback, and clusters in it."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_NEWNET = 0x40000000
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}


class Loopback:
    """A network namespace in which this thread, and what it starts, stands between ``enter`` and ``leave``.

    Raises OSError where this user may not make one.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self._do(self._libc.unshare(_NEWNET))
        try:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            self._inside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        finally:
            self.leave()

    def enter(self) -> None:
        self._do(self._libc.setns(self._inside, _NEWNET))

    def leave(self) -> None:
        self._do(self._libc.setns(self._outside, _NEWNET))

    def _do(self, status: int) -> None:
        if status:
            raise OSError(ctypes.get_errno(), "no network namespace")


class Nodes:
    """A cluster; ``close`` ends it.  ``head`` and what ``add`` is given: arguments of Ray's own nodes."""

    def __init__(self, token: bool = True, **head: Any) -> None:
        environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT)}
        environment |= TOKEN if token else {"RAY_AUTH_MODE": "disabled"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.ray.nodes", json.dumps({"num_cpus": 0, **head})],
            env=environment,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address: str = self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):  # Ray may say something, too
                return json.loads(line)
        raise AssertionError("the cluster has ended")

    def _ask(self, order: str, value: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([order, value]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def add(self, **node: Any) -> int:
        """The number of a new node; 0 is the head."""
        return int(self._ask("add", {"num_cpus": 1, **node}))

    def remove(self, number: int) -> None:
        self._ask("remove", number)

    def pids(self, number: int) -> dict[str, list[int]]:
        return dict(self._ask("pids", number))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


@contextlib.contextmanager
def cluster(**head: Any) -> Iterator[Nodes]:
    nodes = Nodes(**head)
    try:
        yield nodes
    finally:
        nodes.close()
