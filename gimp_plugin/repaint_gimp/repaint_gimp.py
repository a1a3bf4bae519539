#!/usr/bin/env python3
"""The file that GIMP starts, once for each question and once for each run. All else is in the package around it."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def _find_modules() -> None:
    """Makes `repaint_gimp` mean this folder instead of this file, and finds the client: `_lib` as installed, or the
    checkout that this folder is part of."""
    sys.path[:] = [entry for entry in sys.path if entry and Path(entry).resolve() != HERE]
    sys.path.append(str(HERE.parent))
    for folder in (HERE / "_lib", HERE.parent.parent):
        if (folder / "bridge_server" / "client" / "session.py").is_file():
            sys.path.append(str(folder))
            return


if __name__ == "__main__":
    _find_modules()
    from repaint_gimp import plugin

    plugin.main()
