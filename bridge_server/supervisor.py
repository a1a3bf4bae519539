"""The engine process: started, watched, restarted, never left behind.

All of it runs in the bridge's one loop, except a thread per process that waits for its end and wakes the loop.
The process is told where to connect, and the password for it, by the first line of its standard input, which stays open
for as long as the bridge lives: at its end the worker leaves, however the bridge died.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import zmq

from bridge_server import work
from bridge_server.auth import Gate
from bridge_server.client import launch, messages
from bridge_server.client.checks import shortened
from bridge_server.client.codec import MAX_PAYLOAD, Buffer, decode, encode
from bridge_server.client.errors import WireError
from bridge_server.client.pieces import Pages
from bridge_server.client.records import Model, OfJob, Preset

log = logging.getLogger("bridge.supervisor")

_DOMAIN = b"worker"
MODELS_OF_OTHERS = (
    "Another user of this computer owns or can change {place}, and with it your models: make it yours alone "
    "(“chmod go-w”), delete the models that you do not know, then restart the engine."
)


@dataclass(frozen=True)
class Limits:
    """Seconds, all on the monotonic clock.

    silent: without a heartbeat; starting: until ready, and for loading a model; stalled: without a network call
    while a job runs; cancel: from the cancel to the engine's stop.  More than ``crashes`` - 1 deaths within
    ``crash_window``: the engine stays down.
    """

    silent: float = 20.0
    starting: float = 300.0
    stalled: float = 600.0
    cancel: float = 5.0
    crashes: int = 5
    crash_window: float = 180.0
    quit: float = 1.0


def own_interpreter() -> tuple[str, dict[str, str]]:
    """This interpreter and the variables with which it finds this environment.

    On Windows the python.exe of a virtual environment only starts the real one, so that the process which was started
    is not the one which says hello. multiprocessing starts its processes this way, too.
    """
    base = getattr(sys, "_base_executable", sys.executable)
    if sys.platform == "win32" and base != sys.executable:
        return base, {"__PYVENV_LAUNCHER__": sys.executable}
    return sys.executable, {}


class Listener(Protocol):
    """What the supervisor tells the bridge."""

    def unsaid(self, sentence: str) -> None:
        """The worker had something to say that belongs to no job and could not be sent."""

    def from_worker(self, message: Any, payload: Buffer | None) -> None:
        """A message of the living worker that concerns its present job."""

    def from_shelf(self, message: Any, payload: Buffer | None) -> None:
        """News of kept steps, of whatever job."""

    def worker_died(self, job: str, sentence: str, will_retry: bool) -> None:
        """It ended unasked while running ``job`` (empty: none); a new one is started if ``will_retry``."""

    def engine_changed(self) -> None:
        """``state`` or the catalogue changed."""


class Supervisor:
    """States: "starting", "ready" (idle), "busy" (a job runs or stops), "down"."""

    def __init__(
        self, gate: Gate, listener: Listener, wake: socket.socket, folder: Path, warm: str, limits: Limits
    ) -> None:
        self._gate, self._listener, self._wake = gate, listener, wake
        self._folder, self._warm, self.limits = folder, warm, limits
        self.socket = gate.router(_DOMAIN, send_high_water=0, max_frame=MAX_PAYLOAD)
        self.state = "down"
        self.models: tuple[Model, ...] = ()
        self.presets: tuple[Preset, ...] = ()
        self.device = ""
        self.calls_total = 0
        self.calls_after_cancel = -1
        self.sentence = ""
        self.job = ""  # the job the worker has in hand, also while it stops
        self._process: subprocess.Popen[bytes] | None = None
        self._route = b""
        self._deaths: deque[float] = deque()
        self._since = self._heard = 0.0
        self._idle_for = 0.0
        self._loading = False
        self._cancelled_at = 0.0
        self._restart_at = 0.0
        self._pages = Pages("models")
        self._quiet = False  # the coming death is our own doing and no crash

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def idle(self) -> bool:
        return self.state == "ready"

    # ------------------------------------------------------------------------------------------------ doing things

    def start(self) -> None:
        """Start the process unless there is one.  Also the way back from "down"."""
        if self._process is not None:
            return
        self._deaths.clear()
        self._spawn()

    def run(self, start: work.Start) -> None:
        """Give the idle worker a job."""
        self.job, self.state = start.job, "busy"
        self._cancelled_at = 0.0
        self._idle_for = 0.0
        self._since = self._heard = time.monotonic()
        self._send(start)

    def send(self, message: Any, payload: Buffer | None = None) -> None:
        """A message about the present job."""
        self._send(message, payload)

    def cancel(self) -> None:
        """Stop the present job; the process is replaced if that takes too long."""
        if self.job and not self._cancelled_at:
            self._cancelled_at = time.monotonic()
            self._send(messages.Cancel(self.job))

    def look_again(self) -> None:
        """Have the catalogue read anew."""
        self._send(work.LookAgain())

    def stop(self) -> None:
        """End the process in order, at the latest after ``limits.quit`` by force."""
        process, self._process = self._process, None
        self.state = "down"
        if process is None:
            return
        self._send(work.Quit())
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(self.limits.quit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    # ------------------------------------------------------------------------------------------------ hearing things

    def on_readable(self) -> None:
        """Handle what the worker has sent (a bounded amount at a time)."""
        for _ in range(32):
            try:
                route, *frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                message, payload = decode(frames, work.WORK)
            except WireError as error:
                log.error("unlawful message of the worker: %s", error.details)
                continue
            if isinstance(message, work.Online) and message.pid == self.pid:
                self._route = route
            if route == self._route:
                self._heard = time.monotonic()
                self._handle(message, payload)

    def on_exit(self) -> None:
        """Look whether the process has ended; called when its waiting thread wakes the loop."""
        process = self._process
        if process is None or process.poll() is None:
            return
        self.on_readable()  # last words
        self._bury(process)

    def forgive(self) -> None:
        """This process itself stood still (a suspended machine, a stopped process): count silence from now."""
        self._heard = time.monotonic()

    def tick(self) -> float:
        """Look after the limits; returns the seconds until the next look."""
        now = time.monotonic()
        if self._process is None:
            if self._restart_at and now >= self._restart_at:
                self._spawn()
            return max(0.01, self._restart_at - now) if self._restart_at else 3600.0
        limits = self.limits
        reason = ""
        if self._cancelled_at and not self._loading and now - self._cancelled_at > limits.cancel:
            reason, self._quiet = "did not stop in time after a cancel", True
        elif self.state == "starting" and now - self._since > limits.starting:
            reason = "did not become ready in time"
        elif self._route and self.state != "starting" and now - self._heard > limits.silent:
            reason = "is silent"
        elif self.state == "busy":
            still = self._idle_for + now - self._heard
            if still > (limits.starting if self._loading else limits.stalled):
                reason = "makes no progress"
        if reason:
            log.error("the worker %s; killing it", reason)
            self._process.kill()
            self._process.wait()
            self._bury(self._process)
        return 0.5

    # ------------------------------------------------------------------------------------------------------- inside

    def _spawn(self) -> None:
        self._restart_at = 0.0
        self._route, self._quiet, self._pages = b"", False, Pages("models")
        self.job, self._cancelled_at, self._idle_for, self._loading = "", 0.0, 0.0, False
        planted = models_of_others()
        if planted:
            self.state = "down"
            self.sentence = shortened(MODELS_OF_OTHERS.format(place=planted), 500)
            log.error(self.sentence)
            self._listener.worker_died("", self.sentence, False)
            return
        password = secrets.token_hex(32)
        self._gate.passwords[_DOMAIN] = (b"worker", password.encode())
        interpreter, told = own_interpreter()
        with open(self._folder / "worker-output.log", "wb") as output:  # what native libraries say when they die
            process = subprocess.Popen(
                [interpreter, "-m", "bridge_server.worker", str(self._folder)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                # passive: OpenMP threads that wait must not take the editor's cores
                env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ, **told, "PYTHONPATH": python_path()},
            )
        self._process = process
        self._since = self._heard = time.monotonic()
        self.state = "starting"
        address = f"tcp://127.0.0.1:{self._gate.port(self.socket)}"
        orders = {"address": address, "password": password, "warm": self._warm, "parent": os.getpid()}
        state = self._folder.parent
        orders |= {"scratch": str(state / "steps"), "spool": str(state / "spool")}
        line = json.dumps(orders)
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # it died at once: the waiting thread says so
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
        threading.Thread(target=self._await_end, args=(process,), daemon=True).start()
        log.info("worker %d started", process.pid)
        self._listener.engine_changed()

    def _await_end(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        with contextlib.suppress(OSError):  # the bridge is leaving
            self._wake.send(b"w")

    def _bury(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdin is not None:
            process.stdin.close()
        job, quiet, broken = self.job, self._quiet, self.sentence if self.state == "down" else ""
        self._process, self.job, self._route, self._cancelled_at = None, "", b"", 0.0
        now = time.monotonic()
        log.error("worker %d ended with status %s", process.pid, process.returncode)
        if broken:
            self._listener.worker_died(job, broken, False)
            return
        if quiet:
            self._spawn()
            return
        self._deaths.append(now)
        while self._deaths and now - self._deaths[0] > self.limits.crash_window:
            self._deaths.popleft()
        if len(self._deaths) >= self.limits.crashes:
            self.state = "down"
            self.sentence = (
                f"The RePaint engine crashed {len(self._deaths)} times within {self.limits.crash_window / 60:.0f} "
                "minutes and stays off: restart the engine, and if that does not help, the computer."
            )
            self._listener.worker_died(job, self.sentence, False)
            return
        self.state = "starting"
        self._restart_at = now + (0.0, 0.0, 0.5, 1.0)[min(3, len(self._deaths) - 1)]
        self._listener.worker_died(job, "The RePaint engine stopped unexpectedly; it is being started again.", True)

    def _handle(self, message: Any, payload: Buffer | None) -> None:
        kind = type(message)
        if kind in self._of_itself:
            self._of_itself[kind](self, message)
        elif isinstance(message, (messages.Steps, messages.View)):
            self._listener.from_shelf(message, payload)
        elif isinstance(message, (OfJob, messages.Error)) and message.job == self.job and self.job:
            if kind in self._of_the_job:
                self._of_the_job[kind](self, message)
            self._listener.from_worker(message, payload)
        elif isinstance(message, messages.Error):
            log.error("the worker could not say %s: %s", message.about, message.details)
            self._listener.unsaid(message.sentence)

    def _on_beat(self, message: work.Beat) -> None:
        self._idle_for, self._loading, self.calls_total = message.idle_for, message.loading, message.calls_total

    def _on_ready(self, message: work.Ready) -> None:
        self.presets, self.device = message.presets, message.device
        self.state, self.sentence = "ready", ""
        self._listener.engine_changed()

    def _on_models(self, message: work.Models) -> None:
        models = self._pages.whole(message)
        if models is not None and models.models != self.models:
            self.models = models.models
            if self.state != "starting":  # else with `ready`
                self._listener.engine_changed()

    def _on_broken(self, message: work.Broken) -> None:
        log.error("the engine cannot start: %s", message.details)
        launch.note_trouble(sys.executable, shortened(message.details, 200))
        self.state, self.sentence = "down", message.sentence

    def _on_idle(self, message: work.Idle) -> None:
        self.job, self.state = "", "ready"
        self.calls_total = message.calls_total
        if message.calls_after_cancel >= 0:
            self.calls_after_cancel = message.calls_after_cancel
        self._cancelled_at = 0.0

    def _on_progress(self, _message: messages.Learning | messages.Progress) -> None:
        self._idle_for = 0.0

    _of_itself: ClassVar[dict[type, Callable[..., None]]] = {
        work.Beat: _on_beat,
        work.Ready: _on_ready,
        work.Models: _on_models,
        work.Broken: _on_broken,
    }
    _of_the_job: ClassVar[dict[type, Callable[..., None]]] = {
        work.Idle: _on_idle,
        messages.Learning: _on_progress,
        messages.Progress: _on_progress,
    }

    def _send(self, message: Any, payload: Buffer | None = None) -> None:
        if not self._route:
            return
        try:
            self.socket.send_multipart([self._route, *encode(message, payload)], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            log.warning("the worker does not listen: %s", error)  # its end will be noticed by itself


def models_of_others() -> str:
    """What of the user's models folder, the models in it and the folders above it another user could change, or ""."""
    models = launch.user_folders().data / "models"
    inside = sorted(models.iterdir()) if models.is_dir() else []
    return next(filter(None, map(launch.changeable_by_others, (models, *inside))), "")


def python_path() -> str:
    """PYTHONPATH by which a process that the bridge starts finds this very project."""
    root = str(Path(__file__).parents[1])
    return os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
