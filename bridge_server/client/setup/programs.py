"""Starting other programs from within an editor: without its environment, without a window, with a time-out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Dict

from bridge_server.client.launch import clean_environ

CREATE_NO_WINDOW = 0x08000000  # subprocess.CREATE_NO_WINDOW, which only Windows has


def which(name: str, folders: str | None = None, platform: str = sys.platform) -> str | None:
    """As ``shutil.which``, but never from the folder where the editor stands, where Windows looks first."""
    for folder in (os.environ.get("PATH", "") if folders is None else folders).split(os.pathsep):
        path = Path(folder, name + (".exe" if platform == "win32" else ""))
        if path.is_absolute() and path.is_file() and os.access(str(path), os.X_OK):
            return str(path)
    return None


def options(platform: str = sys.platform, **variables: str | None) -> Dict[str, Any]:
    """For ``subprocess.Popen``: a clean environment with these ``variables`` (None: without), no input, no window."""
    environ = {name: value for name, value in {**clean_environ(), **variables}.items() if value is not None}
    chosen: Dict[str, Any] = {"env": environ, "stdin": subprocess.DEVNULL}
    if platform == "win32":
        chosen["creationflags"] = CREATE_NO_WINDOW
    return chosen


def output(command: Sequence[str], timeout: float) -> str:
    """What a program prints, "" if it cannot be started, fails or takes longer than ``timeout`` seconds."""
    try:
        done = subprocess.run(
            list(command), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=timeout, **options()
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def interpreter_in(environment: Path, platform: str = sys.platform) -> Path:
    """The interpreter of a virtual environment."""
    return environment / ("Scripts/python.exe" if platform == "win32" else "bin/python")


def long_path(path: Path, platform: str = sys.platform) -> str:
    """An absolute path as Windows takes it beyond 260 characters; elsewhere as it is."""
    text = str(path)
    if platform != "win32" or text.startswith("\\\\?\\"):
        return text
    return "\\\\?\\UNC\\" + text[2:] if text.startswith("\\\\") else "\\\\?\\" + text
