"""Test-only: executes the tests' Python inside RePaint's own process in GIMP.

Python imports a module of this name by itself when it starts; the tests put this folder on PYTHONPATH. In the process
of RePaint's service a 10 ms timer of the main loop runs the ``NAME.cmd`` files (JSON: ``{"code": ...}``) of the folder
``REPAINT_DRIVER_DIR`` in the order of their names, in one lasting namespace, and answers with ``NAME.ans``
(``{"value": ...}`` or ``{"error": traceback}``). The last statement's value is the answer if it is an expression.
"""

import ast
import json
import os
import sys
import traceback
from pathlib import Path

FOLDER = Path(os.environ.get("REPAINT_DRIVER_DIR", ""))
TICK_MS = 10


def _write(path, text):
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


class Driver:
    """Runs commands on the main thread, one per tick."""

    def __init__(self):
        self.space = {"driver": self}
        self.watchers = {}  # name -> function called at every tick (a test's sampler)

    def tick(self):
        for watcher in list(self.watchers.values()):
            watcher()
        names = [name for name in os.listdir(FOLDER) if name.endswith(".cmd")]  # noqa: PTH208 - a hundred times a second
        if names:
            path = FOLDER / min(names)
            command = json.loads(path.read_text(encoding="utf-8"))
            path.unlink()
            try:
                text = json.dumps({"value": self._run(command["code"])})
            except Exception:
                text = json.dumps({"error": traceback.format_exc()})
            _write(path.with_suffix(".ans"), text)
        return True

    def _run(self, code):
        tree = ast.parse(code)
        last = None
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            last = ast.Expression(tree.body.pop().value)
        exec(compile(tree, "<test>", "exec"), self.space)
        return eval(compile(last, "<test>", "eval"), self.space) if last is not None else None


if FOLDER.name and any(argument.endswith("repaint_gimp.py") for argument in sys.argv) and "-run" in sys.argv:
    from gi.repository import GLib

    GLib.timeout_add(TICK_MS, Driver().tick)
