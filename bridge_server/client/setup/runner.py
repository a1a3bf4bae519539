"""Running a program of a set-up: into the log, cancelled at any moment, with no child left behind."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Tuple

from bridge_server.client.errors import SetUpFailed
from bridge_server.client.setup import sentences
from bridge_server.client.setup.programs import options
from bridge_server.client.setup.sentences import say

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_WINDOWS = {39, 112}  # ERROR_HANDLE_DISK_FULL, ERROR_DISK_FULL
_FULL_TEXT = re.compile(r"No space left|Disk quota exceeded|os error (28|39|112|122)\b|\[Errno (28|122)\]")
_IN_USE_TEXT = re.compile(r"os error (5|32)\b" if sys.platform == "win32" else r"Text file busy")


class Cancelled(Exception):
    """The artist clicked Cancel."""


def disk_full(error: OSError) -> bool:
    return error.errno in FULL or getattr(error, "winerror", None) in _FULL_WINDOWS


def of_system(error: OSError, place: Path) -> SetUpFailed:
    """The sentence for what the system refused at ``place``."""
    if disk_full(error):
        return SetUpFailed(say(sentences.DISK_FULL, place=place), repr(error), "disk_full")
    if sys.platform == "win32" and isinstance(error, PermissionError) and getattr(error, "winerror", 0) in (5, 32):
        return SetUpFailed(say(sentences.IN_USE, place=error.filename or place), repr(error))
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return SetUpFailed(say(sentences.READ_ONLY, place=error.filename or place), repr(error))
    if error.errno == errno.ENOLCK:
        return SetUpFailed(say(sentences.NO_LOCKS, place=place), repr(error))
    return SetUpFailed(say(sentences.UNEXPECTED), repr(error))


def run(
    command: Sequence[str],
    log: Path,
    cancelled: Callable[[], bool],
    patience: float,
    inherited: int = -1,
    place: Path | None = None,
    **variables: str | None,
) -> Tuple[int, str]:
    """Exit status and what the program said; Cancelled, or SetUpFailed if it may not be started.

    After ``patience`` seconds it is ended and the status is 124. ``inherited``: a descriptor for it (POSIX);
    ``place``: where it stands, if not beside the log; ``variables``: None takes one away.
    """
    # Python imports from where it stands.
    chosen: Any = {"cwd": str(place or log.parent), **options(sys.platform, **variables)}
    if os.name == "posix":
        chosen.update(start_new_session=True, pass_fds=[inherited] if inherited >= 0 else [])
    with open(str(log), "ab") as file:
        start = file.tell()
        file.write(f"$ {' '.join(command)}\n".encode("utf-8", "replace"))
        file.flush()
        try:
            process = subprocess.Popen(list(command), stdout=file, stderr=subprocess.STDOUT, **chosen)
        except OSError as error:
            program = Path(command[0]).name
            raise SetUpFailed(say(sentences.NOT_ALLOWED, program=program), f"{command[0]}: {error!r}") from None
    deadline = time.monotonic() + patience
    status = process.poll()
    try:
        while status is None:
            if cancelled():
                raise Cancelled
            if time.monotonic() >= deadline:
                break
            time.sleep(0.05)
            status = process.poll()
    finally:
        if status is None:
            _end(process)
    with open(str(log), "rb") as file:
        file.seek(start)
        told = file.read().decode("utf-8", "replace")
    return 124 if status is None else status, told


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and the programs that it has started, but for those with a session of their own."""
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        system = Path(os.environ.get("SYSTEMROOT") or "C:/Windows") / "System32"
        tree = [str(system / "taskkill.exe"), "/F", "/T", "/PID", str(process.pid)]
        subprocess.run(tree, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options())
    process.wait()


def why(told: str, place: Path, otherwise: str) -> SetUpFailed:
    """The sentence for a program that failed, by what it said."""
    if _FULL_TEXT.search(told):
        return SetUpFailed(say(sentences.DISK_FULL, place=place), told[-2000:], "disk_full")
    if _IN_USE_TEXT.search(told):
        return SetUpFailed(say(sentences.IN_USE, place=place), told[-2000:])
    return SetUpFailed(otherwise, told[-2000:])
