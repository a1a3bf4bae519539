"""Test-only Krita plug-in: executes the tests' Python inside the running Krita.

The test writes ``NAME.cmd`` files (JSON: ``{"code": ...}``) into the folder ``REPAINT_DRIVER_DIR``; a 20 ms timer runs
them in the order of their names in one lasting namespace and answers with ``NAME.ans`` (``{"value": ...}`` or
``{"error": traceback}``). The last statement's value is the answer if it is an expression. The timer also watches
what a test cannot see from outside: Krita's "Script error" window, and the largest gap between two of its own ticks
(how long the GUI thread was kept from its event loop).
"""

import ast
import faulthandler
import json
import os
import sys
import time
import traceback
from pathlib import Path

from krita import Extension, Krita

if "PyQt6.QtCore" in sys.modules:  # Krita has imported its own binding
    from PyQt6 import QtCore, QtGui, QtTest, QtWidgets
else:
    from PyQt5 import QtCore, QtGui, QtTest, QtWidgets

faulthandler.enable(2)  # where it died goes to Krita's output, from Python 3.14 on with Krita's own functions
FOLDER = Path(os.environ.get("REPAINT_DRIVER_DIR", ""))
TICK_MS = 20


def _write(path, text):
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


class Driver(QtCore.QObject):
    """Runs commands on the GUI thread, one per tick."""

    def __init__(self):
        super().__init__()
        self.watchers = {}  # name -> function called at every tick (a test's sampler)
        self.gaps = []  # seconds between ticks, when a test asked for them
        self.record_gaps = False
        self._busy = False
        self._last = time.monotonic()
        self.space = {
            "Krita": Krita,
            "QtCore": QtCore,
            "QtGui": QtGui,
            "QtWidgets": QtWidgets,
            "QtTest": QtTest,
            "driver": self,
            "time": time,
            "os": os,
        }
        self._timer = QtCore.QTimer(self)
        self._timer.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(TICK_MS)

    def _tick(self):
        now = time.monotonic()
        if self.record_gaps:
            self.gaps.append(now - self._last)
        self._last = now
        if self._busy:  # a command opened a modal window and its event loop calls us again
            self._look_for_errors()
            return
        self._busy = True
        try:
            self._look_for_errors()
            for watcher in list(self.watchers.values()):
                watcher()
            self._next_command()
        except Exception:
            _write(FOLDER / "driver.alarm", traceback.format_exc())
            self.watchers.clear()
        finally:
            self._busy = False
            self._last = time.monotonic() if not self.record_gaps else self._last

    def _look_for_errors(self):
        # Windows are few, widgets without a parent some hundred: to ask each takes half of what an idle Krita takes.
        windows = QtGui.QGuiApplication.topLevelWindows()
        if not any("script error" in window.title().lower() and window.isVisible() for window in windows):
            return
        for widget in QtWidgets.QApplication.topLevelWidgets():
            if widget.isVisible() and "script error" in widget.windowTitle().lower():
                texts = [w.toPlainText() for w in widget.findChildren(QtWidgets.QTextEdit)]
                texts += [w.toPlainText() for w in widget.findChildren(QtWidgets.QPlainTextEdit)]
                texts += [w.text() for w in widget.findChildren(QtWidgets.QLabel)]
                _write(FOLDER / "script_error.alarm", widget.windowTitle() + "\n" + "\n".join(texts))

    def _next_command(self):
        names = [name for name in os.listdir(FOLDER) if name.endswith(".cmd")]  # noqa: PTH208 - fifty times a second
        if not names:
            return
        path = FOLDER / min(names)
        command = json.loads(path.read_text(encoding="utf-8"))
        path.unlink()
        try:
            text = json.dumps({"value": self._run(command["code"])})
        except Exception:
            text = json.dumps({"error": traceback.format_exc()})
        _write(path.with_suffix(".ans"), text)

    def _run(self, code):
        tree = ast.parse(code)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "<test>", "exec"), self.space)
        if last is not None:
            return eval(compile(ast.Expression(last.value), "<test>", "eval"), self.space)
        return None


class DriverExtension(Extension):
    """Krita's way of loading us; the driver begins with the event loop."""

    def __init__(self, parent):
        super().__init__(parent)
        self.driver = None

    def setup(self):
        if os.environ.get("REPAINT_DRIVER_DIR"):
            self.driver = Driver()

    def createActions(self, window):
        pass


Krita.instance().addExtension(DriverExtension(Krita.instance()))
