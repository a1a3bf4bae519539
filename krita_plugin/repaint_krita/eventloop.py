"""Qt's side of the controller: wakes it on the GUI thread and never lets an exception reach Krita.

The session's network thread only emits a signal; Qt queues it to the GUI thread. While a run is on, a timer looks
after the layer ten times a second; at rest nothing runs at all.
"""

from __future__ import annotations

import logging
from typing import Any, Callable, List, Tuple

from bridge_server.client.editor.flow import Flow
from bridge_server.client.editor.model import Run, Settings
from bridge_server.client.editor.words import tr

from .probe import Probe
from .qt import QtCore

log = logging.getLogger("repaint_krita")
TICK_MS = 100
BROKEN = "Something went wrong inside the plug-in, this run was stopped; click again, and see the log if it recurs: {}"


class Pump(QtCore.QObject):
    """Runs `Flow` on Krita's event loop; the only object that the docker's buttons call."""

    woken = QtCore.pyqtSignal()

    def __init__(self, probe: Probe) -> None:
        super().__init__()
        self.probe = probe
        self.flow: Any = None
        self.log_place = ""
        self._asleep = True
        self._stepping = False
        self._inside = False  # one of the slots below is at work
        self._waiting: List[Tuple[str, Callable[[], Any]]] = []  # what came in the meantime
        self._connected = False
        self._timer = QtCore.QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)
        self.woken.connect(self._events)

    def drive(self, flow: Flow, log_place: str) -> None:
        self.flow, self.log_place = flow, log_place
        flow.ended = self._ended

    # ---- from the network thread ----
    def notify(self) -> None:
        """Cheap and thread-safe: many calls before the GUI thread comes round make one signal."""
        if self._asleep:
            self._asleep = False
            self.woken.emit()

    # ---- from the docker ----
    def connect_once(self) -> None:
        """Starts the session (it finds or starts the bridge on its own thread) at the first call."""
        if not self._connected:
            self._connected = True
            self._guarded("connect", self.flow.session.start)

    def start(self, settings: Settings) -> None:
        self.connect_once()
        self._guarded("click", lambda: self.flow.start(settings))
        self._keep_going()

    def cancel(self) -> None:
        self._guarded("cancel", self.flow.cancel)
        self._keep_going()

    def choose(self, run: Run, index: int, apply: bool = False) -> None:
        self._guarded("choose", lambda: self.flow.choose(run, index, apply))
        self._keep_going()

    def do(self, name: str, work: Callable[[], Any]) -> None:
        """Any other command of the flow."""
        self._guarded(name, work)
        self._keep_going()

    def restart_engine(self) -> None:
        self._guarded("restart", self.flow.restart_engine)

    # ---- slots ----
    def _step(self) -> None:
        self._stepping = False
        if not self._inside:
            self._guarded("step", self.flow.step)
            self._keep_going()

    def _events(self) -> None:
        self._asleep = True
        self._guarded("events", self.flow.pump)
        self._keep_going()

    def _tick(self) -> None:
        if not self._inside:
            self._guarded("tick", self.flow.tick)
            self._keep_going()

    def _keep_going(self) -> None:
        """Asks Qt for the next step and keeps the timer while a run is on; the outermost slot does so at its end."""
        if self._inside:
            return
        if self.flow.has_steps and not self._stepping:
            self._stepping = True
            QtCore.QTimer.singleShot(0, self._step)
        if self.flow.needs_ticks != self._timer.isActive():
            if self.flow.needs_ticks:
                self._timer.start()
            else:
                self._timer.stop()

    def _guarded(self, name: str, work: Callable[[], Any]) -> None:
        """Runs ``work``, or lets it wait for the end of the slot that is at work.

        Krita 5.3 turns the event loop inside some of its calls (refreshing the picture for one), so that a slot can
        come in the middle of another.
        """
        if self._inside:
            self._waiting.append((name, work))
            return
        self._inside = True
        try:
            self._attempt(name, work)
            while self._waiting:
                self._attempt(*self._waiting.pop(0))
        finally:
            self._inside = False

    def _attempt(self, name: str, work: Callable[[], Any]) -> None:
        """An exception in a Qt slot would open Krita's modal "Script error" window in the middle of a drawing."""
        with self.probe.slot(name):
            try:
                work()
            except Exception:
                log.exception("in %s", name)
                self.flow.give_up(tr(BROKEN).format(self.log_place))

    def _ended(self, run: Run, outcome: str) -> None:
        times = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in run.timings.items())
        log.info(
            "run %d (%s, %dx%d) %s: %s; GUI thread %s, slowest: %s",
            run.number,
            run.settings.model,
            run.target.box.width,
            run.target.box.height,
            outcome,
            times,
            self.probe.summary(),
            self.probe.slowest_name,
        )
