"""All workers of the bridge, over one socket, in the bridge's one loop."""

from __future__ import annotations

import logging
import secrets
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Protocol

import zmq

from bridge_server import work
from bridge_server.auth import Gate
from bridge_server.client import launch, messages
from bridge_server.client.checks import shortened
from bridge_server.client.codec import MAX_PAYLOAD, Buffer, decode
from bridge_server.client.errors import WireError
from bridge_server.client.records import Model, OfJob, Preset
from bridge_server.pool.backend import Backend, Limits
from bridge_server.pool.process import STARTED_AGAIN, Process
from bridge_server.pool.worker import Part, Worker

log = logging.getLogger("bridge.pool")

_DOMAIN = b"worker"
NOBODY = "Nothing paints on this computer, and no other machine is connected: open RePaint and click Set up."
OTHERS_GO_ON = "A RePaint engine stopped unexpectedly; the others go on with its part, and it is being started again."


class Listener(Protocol):
    """What the pool tells the bridge."""

    def notice(self, sentence: str) -> None:
        """Something to tell the artists that belongs to no job."""

    def from_worker(self, worker: Worker, part: Part, message: Any, payload: Buffer | None) -> None:
        """A message of a worker that concerns its part; with `idle` it has it in hand no more."""

    def from_shelf(self, worker: Worker, message: Any, payload: Buffer | None) -> None:
        """News of kept steps, of whatever job; lists of steps are whole."""

    def worker_gone(self, worker: Worker, part: Part | None, blamed: bool) -> None:
        """It has left with all its kept steps, and with ``part`` in hand; ``blamed``: that may be the part's fault."""

    def process_died(self, sentence: str, will_retry: bool) -> None:
        """No worker is left and one ended unasked; it is started again if ``will_retry``."""

    def engine_changed(self) -> None:
        """``state`` or the catalogue changed."""


class Pool:
    """``state``: "busy" (a part runs or stops), "ready", "starting", or "down" with a ``sentence``."""

    listener: Listener
    """Set before anything is added."""

    def __init__(self, gate: Gate, warm: str, limits: Limits) -> None:
        self._warm, self._limits = warm, limits
        self.socket = gate.router(_DOMAIN, send_high_water=0, max_frame=MAX_PAYLOAD)
        self._address = f"tcp://127.0.0.1:{gate.port(self.socket)}"
        self._password = secrets.token_hex(32)
        gate.passwords[_DOMAIN] = (b"worker", self._password.encode())
        self._processes: list[Process] = []
        self._by_route: dict[bytes, Worker] = {}
        self._joined = 0
        self.calls_after_cancel = -1

    # ------------------------------------------------------------------------------------------------ what there is

    @property
    def workers(self) -> list[Worker]:
        return list(self._by_route.values())

    def of(self, job: str) -> list[Worker]:
        """Those that have a part of that job in hand, also while it stops."""
        return [worker for worker in self.workers if worker.part is not None and worker.part.job == job]

    def worker(self, number: int) -> Worker | None:
        return next((worker for worker in self.workers if worker.number == number), None)

    @property
    def size(self) -> int:
        """How many workers there are or soon will be."""
        return len(self._by_route) + sum(each.expected or each.returning for each in self._processes)

    @property
    def may_grow(self) -> bool:
        """Further workers may come by themselves."""
        return any(process.backend.shared for process in self._processes)

    @property
    def state(self) -> str:
        states = {worker.state for worker in self.workers}
        for state in ("busy", "ready"):
            if state in states:
                return state
        return "down" if all(process.down for process in self._processes) else "starting"

    @property
    def sentence(self) -> str:
        nobody = "" if self._processes else NOBODY
        return next((process.sentence for process in self._processes if process.down), nobody)

    @property
    def absences(self) -> list[str]:
        """Why workers that come and go by themselves are all away, for the artist."""
        return [process.absence for process in self._processes if process.absence and not process.routes]

    @property
    def models(self) -> tuple[Model, ...]:
        """What any of them has; a further worker of this machine takes memory of its own."""
        found: dict[str, Model] = {}
        for worker in self.workers:
            for model in worker.models:
                known = found.get(model.id)
                found[model.id] = model if known is None or (model.installed and not known.installed) else known
        here = sum(not process.backend.shared and not process.down for process in self._processes)
        return tuple(found.values()) if here < 2 else tuple(map(_once_for_each, found.values()))

    @property
    def presets(self) -> tuple[Preset, ...]:
        return next((worker.presets for worker in self.workers if worker.presets), ())

    @property
    def device(self) -> str:
        devices = [worker.device for worker in self.workers if worker.device]
        each = [f"{devices.count(device)} × {device}" for device in dict.fromkeys(devices)]
        return ", ".join(each)[:100] if len(devices) > 1 else "".join(devices)

    @property
    def calls_total(self) -> int:
        return sum(worker.calls_total for worker in self.workers)

    @property
    def pid(self) -> int:
        """Number of the first process, 0 if there is none."""
        return self._processes[0].pid if self._processes else 0

    # ------------------------------------------------------------------------------------------------ doing things

    def add(self, backend: Backend, count: int = 1, limits: Limits | None = None) -> None:
        """Start that many processes of a backend."""
        for number in range(count):
            process = Process(backend, number, limits or self._limits, self._address, self._password)
            self._processes.append(process)
            self._spawn(process)

    def remove(self, backend: Backend) -> None:
        """End its processes in order."""
        for process in [process for process in self._processes if process.backend is backend]:
            self._stop([process])
            self._processes.remove(process)
            self._forget(process, blamed=False)
        self.listener.engine_changed()

    def start(self) -> None:
        """Start all processes that do not run.  Also the way back from "down"."""
        for process in self._processes:
            process.forgive_crashes()
            self._spawn(process)

    def look_again(self) -> None:
        """Have the catalogue read anew."""
        for worker in self.workers:
            worker.send(work.LookAgain())

    def stop(self) -> None:
        """End all processes in order."""
        self._stop(self._processes)

    def _stop(self, processes: Iterable[Process]) -> None:
        for process in processes:
            for route in process.routes:
                self._by_route[route].send(work.Quit())
        for process in processes:
            process.stop()

    # ------------------------------------------------------------------------------------------------ hearing things

    def on_readable(self) -> None:
        """Handle what workers have sent (a bounded amount at a time)."""
        for _ in range(32):
            try:
                route, *frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                message, payload = decode(frames, work.WORK)
            except WireError as error:
                log.error("unlawful message of a worker: %s", error.details)
                continue
            if isinstance(message, (work.Online, work.Offline)):
                self._on_line(route, message)
                continue
            worker = self._by_route.get(route)
            if worker is not None:
                worker.heard()
                self._handle(worker, message, payload)

    def on_exit(self) -> None:
        """Look whether processes have ended; called when a waiting thread wakes the loop."""
        if any(process.ended for process in self._processes):
            self.on_readable()  # last words
        for process in self._processes:
            if process.ended:
                self._bury(process)

    def forgive(self) -> None:
        """The bridge itself stood still (a suspended machine, a stopped process): count silence from now."""
        for worker in self.workers:
            worker.heard()

    def tick(self) -> float:
        """Look after the limits; returns the seconds until the next look."""
        for process in self._processes:
            if process.due():
                self._spawn(process)
            if process.late():
                log.error("%s brought no worker in time; killing it", process)
                process.end()
                self._bury(process)
        for worker in self.workers:
            reason, quiet = worker.stuck()
            if reason:
                log.error("worker %d of %s %s; giving it up", worker.number, worker.process, reason)
                self._give_up(worker, quiet)
        return min((process.wait() for process in self._processes), default=3600.0)

    # ------------------------------------------------------------------------------------------------------- inside

    def _spawn(self, process: Process) -> None:
        if process.pid:
            return
        process.spawn(secrets.token_hex(16))
        if process.down and self.state == "down":
            self.listener.process_died(process.sentence, False)
        self.listener.engine_changed()

    def _give_up(self, worker: Worker, quiet: bool) -> None:
        process = worker.process
        if not process.backend.shared:
            process.end()
            self._bury(process, quiet)
            return
        worker.send(work.Quit())
        self._forget(process, blamed=not quiet, route=worker.route)
        self.listener.engine_changed()

    def _forget(self, process: Process, blamed: bool, route: bytes | None = None) -> None:
        """The worker of that connection is gone; of none: all of the process."""
        routes = list(process.routes) if route is None else [route]
        process.leave(routes)
        for worker in [self._by_route.pop(each) for each in routes]:
            self.listener.worker_gone(worker, worker.part, blamed)

    def _bury(self, process: Process, quiet: bool = False) -> None:
        others = any(other.routes or other.expected for other in self._processes if other is not process)
        sentence, will_retry = process.bury(quiet)
        if will_retry and quiet:
            self._spawn(process)
        elif others:
            self._notice(process, OTHERS_GO_ON if sentence == STARTED_AGAIN else sentence)
            self.listener.engine_changed()
        else:
            self.listener.process_died(sentence, will_retry)
        self._forget(process, blamed=not (quiet or process.backend.shared))  # a relay paints nothing itself

    def _on_line(self, route: bytes, message: work.Online | work.Offline) -> None:
        process = next((p for p in self._processes if p.ticket and p.ticket == message.ticket), None)
        if process is None:
            log.error("a worker came with a ticket of nobody")
            return
        if route in process.routes:
            crashed = isinstance(message, work.Offline) and message.crashed
            self._forget(process, blamed=crashed, route=route)
        if isinstance(message, work.Online):
            self._joined += 1
            self._by_route[route] = Worker(self._joined, process, route, process.limits, self.socket.send_multipart)
            process.routes.add(route)
            process.absence = ""
            log.info("worker %d of %s, process %d, has joined", self._joined, process, message.pid)
        elif message.sentence:
            process.absence = message.sentence
            self._notice(process, message.sentence)
        self.listener.engine_changed()

    def _handle(self, worker: Worker, message: Any, payload: Buffer | None) -> None:
        part, whole = worker.part, worker.whole(message)
        if isinstance(message, work.Beat):
            worker.on_beat(message)
        elif isinstance(message, work.Ready):
            worker.on_ready(message, self._warm)
            log.info("worker %d is ready", worker.number)
            self.listener.engine_changed()
        elif isinstance(message, work.Models):
            if whole is not None and worker.on_models(whole.models) and worker.state != "starting":  # else with `ready`
                self.listener.engine_changed()
        elif isinstance(message, work.Broken):
            log.error("the engine cannot start: %s", message.details)
            if not worker.process.backend.shared:
                launch.note_trouble(sys.executable, shortened(message.details, 200))
            worker.process.give_up(message.sentence)
        elif isinstance(message, (messages.Steps, messages.View)):
            if whole is not None:
                self.listener.from_shelf(worker, whole, payload)
        elif isinstance(message, (OfJob, messages.Error)) and part is not None and message.job == part.job:
            self._of_part(worker, part, message, payload)
        elif isinstance(message, messages.Error):
            log.error("the worker could not say %s: %s", message.about, message.details)
            self._notice(worker.process, message.sentence)

    def _notice(self, process: Process, sentence: str) -> None:
        if process.may_tell():
            self.listener.notice(sentence)

    def _of_part(self, worker: Worker, part: Part, message: Any, payload: Buffer | None) -> None:
        if isinstance(message, work.Idle):
            worker.on_idle(message)
            if message.calls_after_cancel >= 0:
                self.calls_after_cancel = message.calls_after_cancel
        elif isinstance(message, (messages.Learning, messages.Progress)):
            worker.on_progress()
        self.listener.from_worker(worker, part, message, payload)


def _once_for_each(model: Model) -> Model:
    """The forecast for variants on workers of their own."""
    return replace(model, variant_bytes=max(model.variant_bytes, model.pixel_bytes))
