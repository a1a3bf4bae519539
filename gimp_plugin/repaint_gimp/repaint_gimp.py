#!/usr/bin/env python3
"""The file that GIMP starts, once for each question and once for each run. All else is in the package around it."""

import importlib.util
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SYSTEM_PYTHON = "/usr/bin/python3"


def _need_gi() -> None:
    """GIMP takes the first python3 on PATH; in a terminal with a virtual environment that one lacks GIMP's modules."""
    if importlib.util.find_spec("gi") is not None:
        return
    if Path(SYSTEM_PYTHON).exists() and sys.executable != SYSTEM_PYTHON:
        environment = {name: text for name, text in os.environ.items() if name not in ("PYTHONHOME", "VIRTUAL_ENV")}
        os.execve(SYSTEM_PYTHON, [SYSTEM_PYTHON, *sys.argv], environment)
    sys.exit(
        "RePaint needs the Python module “gi”: install it (Debian: apt install python3-gi), then start GIMP again."
    )


def _find_modules() -> None:
    """Makes `repaint_gimp` mean this folder instead of this file, and finds the client: `_lib` as installed, or the
    checkout that this folder is part of."""
    sys.path[:] = [entry for entry in sys.path if entry and Path(entry).resolve() != HERE]
    sys.path.append(str(HERE.parent))
    for folder in (HERE / "_lib", HERE.parent.parent):
        if (folder / "bridge_server" / "client" / "session.py").is_file():
            sys.path.append(str(folder))
            return
    sys.exit(
        "This copy of RePaint's plug-in is not complete: unpack repaint_gimp-….zip of the project's releases here."
    )


if __name__ == "__main__":
    _need_gi()
    _find_modules()
    from repaint_gimp import plugin

    plugin.main()
