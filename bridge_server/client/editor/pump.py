"""Runs `Flow` on an editor's event loop and never lets an exception reach the editor; no widget set is known here.

A subclass gives four things of its event loop: `_wake`, `_soon`, `_set_ticking`, `repeat`. The session's network thread
only calls `notify`; everything else happens on the GUI thread. While a run is on, a tick looks after the layer ten
times a second; at rest nothing runs at all.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Any, Callable, Deque, List, Tuple

from bridge_server.client.errors import BridgeError
from bridge_server.client.threads import spared

from . import sentences
from .flow import Flow
from .model import Run
from .probe import Probe
from .words import tr

TICK_SECONDS = 0.1


class Pump:
    """What buttons call. ``log``: takes the tracebacks and one line for each run."""

    flow: Flow

    def __init__(self, probe: Probe, log: logging.Logger) -> None:
        self.probe = probe
        self.log = log
        self.log_place = ""
        self._asleep = True
        self._stepping = False
        self._ticking = False
        self._inside = False  # one of the slots below is at work
        self._waiting: List[Tuple[str, Callable[[], Any]]] = []  # what came in the meantime
        self._connected = False
        self._answers: Deque[Tuple[str, Callable[[], Any]]] = deque()  # of threads

    def drive(self, flow: Flow, log_place: str) -> None:
        self.flow, self.log_place = flow, log_place
        flow.ended = self._ended

    # ---- of the event loop ----
    def _wake(self) -> None:
        """Has `_events` called once on the GUI thread. Called from any thread."""
        raise NotImplementedError

    def _soon(self) -> None:
        """Has `_step` called once in a later turn of the event loop."""
        raise NotImplementedError

    def _set_ticking(self, on: bool) -> None:
        """Has `_tick` called every `TICK_SECONDS`, or no longer."""
        raise NotImplementedError

    def repeat(self, name: str, work: Callable[[], bool]) -> None:
        """Has ``do(name, work)`` called every `TICK_SECONDS` until ``work`` returns True."""
        raise NotImplementedError

    # ---- from other threads ----
    def aside(
        self, name: str, work: Callable[[], Any], then: Callable[[Any], Any], failed: Callable[[str], Any]
    ) -> None:
        """Has ``work`` done by a thread, then ``then`` called with its answer on the GUI thread, or ``failed`` with a
        sentence: of its BridgeError, or the one that names the log, where the traceback is then."""

        def thread() -> None:
            try:
                answer = work()
                self._answers.append((name, lambda: then(answer)))
            except Exception as error:
                sentence = error.sentence if isinstance(error, BridgeError) else self._broken(name)
                self._answers.append((name, lambda: failed(sentence)))
            self.notify()

        threading.Thread(target=spared(thread), name="repaint-" + name, daemon=True).start()

    def notify(self) -> None:
        """Cheap and thread-safe: many calls before the GUI thread comes round make one wake-up."""
        if self._asleep:
            self._asleep = False
            self._wake()

    # ---- from the buttons ----
    def connect_once(self) -> None:
        """Starts the session (it finds or starts the bridge on its own thread) at the first call."""
        if not self._connected:
            self._connected = True
            self._guarded("connect", self.flow.session.start)

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
        while self._answers:
            self._guarded(*self._answers.popleft())
        self._guarded("events", self.flow.pump)
        self._keep_going()

    def _tick(self) -> None:
        if not self._inside:
            self._guarded("tick", self.flow.tick)
            self._keep_going()

    def _keep_going(self) -> None:
        """Asks for the next step and keeps the ticks while a run is on; the outermost slot does so at its end."""
        if self._inside:
            return
        if self.flow.has_steps and not self._stepping:
            self._stepping = True
            self._soon()
        if self.flow.busy != self._ticking:
            self._ticking = self.flow.busy
            self._set_ticking(self._ticking)

    def _guarded(self, name: str, work: Callable[[], Any]) -> None:
        """Runs ``work``, or lets it wait for the end of the slot that is at work.

        Editors turn the event loop inside some of their calls (Krita 5.3 refreshing the picture, GIMP handing over a
        menu call while it answers another), so that a slot can come in the middle of another.
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
        """An exception in a slot would reach the editor, which shows it in a window in the middle of a drawing."""
        with self.probe.slot(name):
            try:
                work()
            except Exception:
                self.flow.give_up(self._broken(name))

    def _broken(self, name: str) -> str:
        """The sentence for the exception that is being handled; its traceback goes to the log."""
        self.log.exception("in %s", name)
        return tr(sentences.BROKEN).format(self.log_place)

    def _ended(self, run: Run, outcome: str) -> None:
        times = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in run.timings.items())
        self.log.info(
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
