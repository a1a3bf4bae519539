"""A lock on a file that the system gives back when its holder dies, however it dies."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from bridge_server.client.launch import plain_file


class FileLock:
    """An exclusive lock on ``path`` (flock; on Windows a locked byte).  The file itself stays and means nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = -1

    def acquire(self, timeout: float, give_up: Callable[[], bool] | None = None) -> bool:
        """Try for ``timeout`` seconds or until ``give_up()``; True when held. Raises OSError if a disk has no locks."""
        deadline = time.monotonic() + timeout
        plain_file(self._path)
        handle = os.open(str(self._path), os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            while not _try_lock(handle):
                if time.monotonic() >= deadline or (give_up is not None and give_up()):
                    return False
                time.sleep(0.02)
            self._handle, handle = handle, -1
            return True
        finally:
            if handle >= 0:
                os.close(handle)

    def fileno(self) -> int:
        """The descriptor while held: a child that inherits it keeps the lock after its parent's death (not Windows)."""
        return self._handle

    def release(self) -> None:
        """Give the lock back; closing the descriptor does it on every system."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


if os.name == "nt":  # pragma: no cover - tested as logic only
    import msvcrt

    def _try_lock(handle: int) -> bool:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # both mean that another one holds it
            return False
        return True
