"""The bridge process: editors on one side, the engine process on the other, the journal between them.

One loop, one thread.  It imports neither torch nor engine.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import zmq

from bridge_server import work
from bridge_server.auth import Gate
from bridge_server.client import launch, messages
from bridge_server.client.link import CONNECTION_FILE
from bridge_server.clients import Clients
from bridge_server.desk import DISK_FULL, SPOOL_LOST, Desk, version
from bridge_server.downloads import Downloads
from bridge_server.jobs import Jobs
from bridge_server.journal import DiskFull, Finished, Job, Journal
from bridge_server.supervisor import Limits, Supervisor

log = logging.getLogger("bridge.server")

NO_RESULT = "The RePaint engine ended without a result: try again."
CRASHED_TWICE = "The RePaint engine crashed twice on this picture: try a smaller selection or another model."
STANDSTILL = 2.0  # seconds by which the loop may be late before nobody is blamed for silence
_DOMAIN = b"client"


class Bridge:
    """The whole process; ``serve`` runs until stopped or idle for ``idle_seconds``."""

    def __init__(self, state: Path, idle_seconds: float, warm: str, limits: Limits) -> None:
        self._state, self._idle_seconds = state, idle_seconds
        self._journal = Journal(state)
        if self._journal.salvaged:
            log.error("the journal was damaged and has been put aside as journal.broken")
        self._secret = secrets.token_bytes(32)
        self._instance = secrets.token_hex(16)
        self._context = zmq.Context()
        self._gate = Gate(self._context)
        self._router = self._gate.router(_DOMAIN, send_high_water=16, max_frame=messages.MAX_PAYLOAD)
        self._gate.passwords[_DOMAIN] = (b"client", messages.client_password(self._secret))
        self._wake, self._waker = socket.socketpair()
        self._wake.setblocking(False)
        self._waker.setblocking(False)
        self._clients = Clients(self._router)
        self._jobs = Jobs(self._journal)
        logs = private_logs(state)
        self._engine = Supervisor(self._gate, self, self._waker, logs, warm, limits)
        self._downloads = Downloads(self._clients.send_all, self._waker, logs, self._engine.look_again)
        stop = lambda: self.stop("asked to")  # noqa: E731
        self._desk = Desk(self._clients, self._jobs, self._engine, self._downloads, self._secret, self._instance, stop)
        self._preview: tuple[str, int, int] | None = None  # the one whose pieces are being passed on
        self._dropped: set[int] = set()  # variants of the present job whose last preview nobody took
        self._used = time.monotonic()
        self._stopping = ""

    # --------------------------------------------------------------------------------------------------------- life

    def serve(self) -> None:
        """Announce the bridge and work until the end; everything is in order afterwards."""
        self._jobs.load()
        self._desk.steps.load(self._jobs.by_id.values())
        previous = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop("asked to"))
        self._announce()
        self._engine.start()
        try:
            self._loop()
        finally:
            signal.set_wakeup_fd(previous)
            self._close()

    def stop(self, reason: str) -> None:
        """Leave the loop at its next turn."""
        self._stopping = self._stopping or reason

    def _announce(self) -> None:
        content = {
            "version": 1,
            "host": "127.0.0.1",
            "port": self._gate.port(self._router),
            "secret": self._secret.hex(),
            "pid": os.getpid(),
            "instance": self._instance,
        }
        launch.write_private(self._state / CONNECTION_FILE, json.dumps(content))
        log.info("bridge %s, process %d, listens", version(), os.getpid())

    def _loop(self) -> None:
        poller = zmq.Poller()
        for entry in (self._gate.socket, self._router, self._engine.socket, self._wake):
            poller.register(entry, zmq.POLLIN)
        next_tick = time.monotonic()
        while not self._stopping:
            waiting = self._clients.flush()
            now = time.monotonic()
            if now >= next_tick:
                if now > next_tick + STANDSTILL:
                    self._clients.forgive()
                    self._engine.forgive()
                self._tick()
                next_tick = time.monotonic() + min(0.5, self._engine.tick())
                continue
            ready = dict(poller.poll(5 if waiting else int((next_tick - now) * 1000) + 1))
            if self._wake.fileno() in ready:
                self._wake.recv(4096)
                self._engine.on_exit()
                self._downloads.on_news()
            if self._gate.socket in ready:
                self._gate.answer()
            if self._engine.socket in ready:
                self._engine.on_readable()
            if self._router in ready:
                self._desk.on_readable()
            self._start_next()

    def _tick(self) -> None:
        self._desk.look_for_lost()
        self._jobs.save_again()
        self._downloads.tick()
        now = time.monotonic()
        if self._clients.by_route or self._jobs.active() or self._downloads.now is not None:
            self._used = now
        elif now - self._used > self._idle_seconds:
            self.stop("idle")

    def _close(self) -> None:
        log.info("leaving: %s", self._stopping or "an error")
        try:  # first, so that nobody is sent here any more
            path = self._state / CONNECTION_FILE
            if json.loads(path.read_text(encoding="utf-8")).get("instance") == self._instance:
                path.unlink()
        except (OSError, ValueError):
            pass
        self._desk.say_bye(self._stopping)
        self._downloads.stop()
        self._engine.stop()
        self._router.close()
        self._engine.socket.close(0)
        self._gate.socket.close(0)
        self._journal.close()
        # libzmq sends the last words; it may also wait for ever for a peer that is half connected
        ending = threading.Thread(target=self._context.term, daemon=True)
        ending.start()
        ending.join(1.0)
        log.info("left")

    # --------------------------------------------------------------------------------------------------- to the engine

    def _start_next(self) -> None:
        if self._engine.state == "down":
            for job in self._jobs.waiting():
                self._desk.end(job, "failed", "engine_down", self._engine.sentence)
        waiting = self._jobs.waiting() if self._engine.idle else []
        if not waiting:
            return
        job = waiting[0]
        request = job.request
        missing = [variant for variant in range(request["variants"]) if variant not in job.finished]
        if not missing:  # the bridge died between the last result and the end
            self._desk.end(job, "done")
            return
        self._jobs.begin(job)
        self._preview = None
        self._dropped.clear()
        branch = dict(request.get("branch", {}))
        branch["parent_variant"] = branch.pop("variant", 0)
        self._engine.run(
            work.Start(
                job=job.job,
                width=request["width"],
                height=request["height"],
                model=request["model"],
                preset=request["preset"],
                seed=request["seed"],
                first=missing[0],
                variants=missing[-1] + 1 - missing[0],
                options=request["options"],
                credit=tuple(sorted(self._jobs.credit.get(job.job, ()))),
                **branch,
            )
        )
        self._desk.say_positions()

    # ------------------------------------------------------------------------------------------------- from the engine

    def from_worker(self, message: Any, payload: messages.Buffer | None) -> None:
        """A message of the worker about the job it has in hand."""
        job = self._jobs.by_id.get(message.job)
        if job is None or job.ended:
            return  # cancelled meanwhile
        try:
            self._on_work(job, message, payload)
        except DiskFull as error:
            log.error("no space for a result of job %s: %s", job.job, error)
            self._desk.end(job, "failed", "disk_full", DISK_FULL, str(error)[:4000])
        except (OSError, ValueError) as error:  # pixels missing in the spool, or pieces out of order
            log.exception("job %s", job.job)
            self._desk.end(job, "failed", "lost", SPOOL_LOST, repr(error)[:4000])

    def _on_work(self, job: Job, message: Any, payload: Any) -> None:
        if isinstance(message, work.Need):
            piece = self._journal.read_input(job.job, message.what, message.offset, messages.CHUNK)
            if not piece:
                raise ValueError(f"{message.what} ends at {message.offset}")
            self._engine.send(work.Input(job.job, message.what, message.offset), piece)
        elif isinstance(message, work.Learning):
            self._desk.say(job, messages.Learning(job.job, message.fraction, message.seconds_left))
        elif isinstance(message, work.Note):
            self._desk.say(job, messages.Note(job.job, message.sentence))
        elif isinstance(message, work.Step):
            count = job.request["variants"]
            place = (job.job, message.variant, count, message.call, message.calls)
            heard = self._desk.say(job, messages.Progress(*place, message.seconds_left))
            if heard and message.variant in self._dropped:
                self._dropped.discard(message.variant)
                self._engine.send(work.Credit(job.job, (message.variant,)))
        elif isinstance(message, work.Preview):
            self._on_preview(job, message, payload)
        elif message.TYPE in ("output", "result") and message.variant in job.finished:
            pass  # computed once more only because it lies between two that were missing
        elif isinstance(message, work.Output):
            self._journal.write_piece(job, message.variant, message.offset, payload)
        elif isinstance(message, work.Result):
            step = message.step[0] if message.step else None
            finished = Finished(message.variant, message.seed, message.seconds, message.calls, step=step)
            self._journal.finish(job, finished)
            if step is not None:
                self._desk.steps.last(job, message.variant, step)
            self._desk.say_result(job, finished)
        elif isinstance(message, work.Idle):
            if message.outcome == "done" and len(job.finished) == job.request["variants"]:
                job.seconds = message.seconds
                self._desk.end(job, "done")
            elif message.outcome == "kept":
                job.seconds = message.seconds
                self._desk.end(job, "done" if job.finished else "cancelled")
            elif message.outcome == "failed":
                self._desk.end(job, "failed", message.code, message.sentence, message.details)
            else:
                self._desk.end(job, "failed", "engine_error", NO_RESULT)

    def _on_preview(self, job: Job, message: work.Preview, payload: Any) -> None:
        key = (job.job, message.variant, message.call)
        if message.offset > 0 and self._preview != key:
            return
        fields = (message.variant, message.call, message.width, message.height, message.offset)
        if self._desk.say_preview(job, messages.Preview(job.job, *fields), payload):
            self._preview = key
            self._jobs.credit.get(job.job, set()).discard(message.variant)
            return
        # the client is away or slow: this one is dropped, and a fresh one rendered when it listens again
        self._preview = None
        self._dropped.add(message.variant)

    def from_shelf(self, message: Any, payload: messages.Buffer | None) -> None:
        """News of kept steps, of whatever job."""
        self._desk.on_shelf(message, payload)

    def worker_died(self, job: str, sentence: str, will_retry: bool) -> None:
        """Say so, and let the job that it had run once more, or end."""
        self._desk.say_steps_gone()
        self._desk.say_engine(will_retry, sentence)
        broken = self._jobs.by_id.get(job)
        if broken is None or broken.ended:
            return
        if broken.attempts >= 2:
            self._desk.end(broken, "failed", "engine_crashed", CRASHED_TWICE)
        else:
            self._jobs.again(broken, hold=broken.client not in self._clients.by_client)

    def engine_changed(self) -> None:
        """Its state or the catalogue is another now."""
        self._desk.say_catalogue()


def private_logs(state: Path) -> Path:
    """The folder of the logs, for this user only."""
    return launch.private_folder(state / "logs")
