"""The bridge process: editors on one side, the workers on the other, the journal between them.

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
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import zmq

from bridge_server import work
from bridge_server.auth import Gate
from bridge_server.box.backend import Follower
from bridge_server.client import launch, messages, proof
from bridge_server.client.checks import shortened
from bridge_server.client.codec import MAX_PAYLOAD, Buffer
from bridge_server.client.link import CONNECTION_FILE
from bridge_server.client.records import PIXEL_BYTES
from bridge_server.client.setup.running import after_good_start
from bridge_server.clients import Clients
from bridge_server.desk import SPOOL_LOST, Desk, version
from bridge_server.downloads import Downloads
from bridge_server.job import Finished, Job
from bridge_server.jobs import Jobs
from bridge_server.journal import Journal
from bridge_server.news import News
from bridge_server.pool.backend import Limits
from bridge_server.pool.local import Local
from bridge_server.pool.pool import Pool
from bridge_server.pool.progress import joined, pace
from bridge_server.pool.sharing import Sharing
from bridge_server.pool.worker import Part, Worker
from bridge_server.ray.backend import Cluster, Ray
from bridge_server.spool import DiskFull
from bridge_server.steps import KeptSteps

log = logging.getLogger("bridge.server")

NO_RESULT = "The RePaint engine ended without a result: try again."
CRASHED_TWICE = "The RePaint engine crashed twice on this picture: try a smaller selection or another model."
CRASHES = 2  # of workers on one variant, after which it is not tried again
STANDSTILL = 2.0  # seconds by which the loop may be late before nobody is blamed for silence
FOREIGN = (
    "Something else lay where RePaint keeps its files; it is now called {names} in {folder}: look whether you need it."
)
_DOMAIN = b"client"


class Bridge:
    """The whole process; ``serve`` runs until stopped or idle for ``idle_seconds``."""

    def __init__(
        self, state: Path, idle_seconds: float, warm: str, limits: Limits, workers: int = 1, ray: Cluster | None = None
    ) -> None:
        self._state, self._idle_seconds = state, idle_seconds
        self._journal = Journal(state)
        self._secret = secrets.token_bytes(32)
        self._instance = secrets.token_hex(16)
        self._context = zmq.Context()
        self._gate = Gate(self._context)
        self._router = self._gate.router(_DOMAIN, send_high_water=16, max_frame=MAX_PAYLOAD)
        self._gate.passwords[_DOMAIN] = (b"client", proof.client_password(self._secret))
        self._wake, self._waker = socket.socketpair()
        self._wake.setblocking(False)
        self._waker.setblocking(False)
        self._clients = Clients(self._router)
        self._jobs = Jobs(self._journal)
        logs = private_logs(state)
        self._engine = Pool(self._gate, self, warm, limits)
        self._local, self._count = Local(self._waker, logs, warm, workers), workers
        self._ray = Ray(self._waker, logs, warm, ray) if ray is not None else None
        self._box = Follower(self._engine, self._waker, logs)
        self._downloads = Downloads(self._clients.send_all, self._waker, logs, self._engine.look_again)
        stop = lambda: self.stop("asked to")  # noqa: E731
        self._steps = KeptSteps()
        self._news = News(self._clients, self._jobs, self._steps, self._engine, self._notice)
        self._desk = Desk(
            self._clients, self._jobs, self._steps, self._news, self._engine, self._downloads, self._secret,
            self._instance, stop,
        )  # fmt: skip
        self._sharing = Sharing(self._jobs, self._engine, self._steps, self._give)
        self._previews: dict[str, tuple[int, int, int]] = {}  # by job: worker, variant, call of the one passed on now
        self._dropped: set[tuple[str, int]] = set()  # variants whose last preview nobody took
        self._changed = False
        self._used = time.monotonic()
        self._stopping = ""

    # --------------------------------------------------------------------------------------------------------- life

    def serve(self) -> None:
        """Announce the bridge and work until the end; everything is in order afterwards."""
        self._jobs.load()
        self._steps.load(self._jobs.by_id.values())
        previous = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop("asked to"))
        self._announce()
        self._engine.add(self._local, self._count)
        if self._ray is not None:
            self._engine.add(self._ray)
        try:
            self._loop()
        finally:
            signal.set_wakeup_fd(previous)
            self._close()

    def stop(self, reason: str) -> None:
        """Leave the loop at its next turn."""
        self._stopping = self._stopping or reason

    def _notice(self) -> str:
        """What the artist has to know of files that had to be put aside; empty if there were none."""
        if self._journal.notice or not launch.aside:
            return self._journal.notice
        return FOREIGN.format(names=", ".join(path.name for path in launch.aside), folder=self._state)

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
            self._say_changes()
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

    def _say_changes(self) -> None:
        self._news.say_positions()
        if self._changed:
            self._changed = False
            if self._engine.state == "ready":
                after_good_start()
            self._news.say_catalogue()

    def _tick(self) -> None:
        self._desk.look_for_lost()
        self._jobs.save_again()
        under_way = {job.job for job in self._jobs.by_id.values() if not job.ended}
        self._dropped = {key for key in self._dropped if key[0] in under_way}
        self._previews = {name: key for name, key in self._previews.items() if name in under_way}
        self._downloads.tick()
        self._box.tick()
        self._gate.tidy()
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
        self._news.say_bye(self._stopping)
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

    # -------------------------------------------------------------------------------------------------- to the workers

    def _start_next(self) -> None:
        if self._engine.state == "down":
            for job in self._jobs.to_run():
                self._desk.end(job, "failed", "engine_down", self._engine.sentence)
        for job in self._jobs.waiting():
            if len(job.finished) == job.order.variants:  # the bridge died between the last result and the end
                self._desk.end(job, "done")
        self._sharing.give_all()

    def _give(self, worker: Worker, job: Job, part: Part) -> None:
        self._jobs.begin(job)
        log.info("job %s: %d variants from %d to worker %d", job.job, part.count, part.first, worker.number)
        self._dropped -= {(job.job, variant) for variant in part.variants}
        credit = tuple(sorted(self._jobs.credit.get(job.job, set()).intersection(part.variants)))
        told = pace(sum(each.part is not None for each in self._engine.workers) + 1)
        worker.run(part, work.Start(job.job, job.order, part.first, part.count, credit, job.origin, told))
        self._news.queue_moved()

    # ------------------------------------------------------------------------------------------------ from the workers

    def from_worker(self, worker: Worker, part: Part, message: Any, payload: Buffer | None) -> None:
        """A message of a worker about the part that it has in hand."""
        job = self._jobs.by_id.get(part.job)
        if job is None or job.ended:
            return  # cancelled meanwhile
        try:
            self._on_work(worker, part, job, message, payload)
        except DiskFull as error:
            log.error("no space for a result of job %s: %s", job.job, error)
            self._desk.end(job, "failed", "disk_full", error.sentence, shortened(str(error), 4000))
        except (OSError, ValueError) as error:  # pixels missing in the spool, or pieces out of order
            log.exception("job %s", job.job)
            self._desk.end(job, "failed", "lost", SPOOL_LOST, shortened(repr(error), 4000))

    def _on_work(self, worker: Worker, part: Part, job: Job, message: Any, payload: Any) -> None:
        variant = getattr(message, "variant", part.first)
        if variant not in part.variants:
            raise ValueError(f"variant {variant} is of another part")
        if isinstance(message, work.Idle):
            self._on_idle(worker, part, job, message)
            return
        handler = self._handlers.get(type(message))
        if handler is None:
            raise ValueError(f"nothing to do with {type(message).TYPE}")
        handler(self, worker, job, message, payload)

    def _on_need(self, worker: Worker, job: Job, message: work.Need, _: Any) -> None:
        piece = self._journal.spool.read_input(job.job, message.what, message.offset, messages.CHUNK)
        if not piece:
            raise ValueError(f"{message.what} ends at {message.offset}")
        worker.send(work.Input(job.job, message.what, message.offset), piece)

    def _on_news(self, _worker: Worker, job: Job, message: Any, _: Any) -> None:
        self._news.say(job, message)

    def _on_progress(self, worker: Worker, job: Job, message: messages.Progress, _: Any) -> None:
        heard = self._news.say(job, joined(job, worker, self._engine.of(job.job), message))
        if heard and (job.job, message.variant) in self._dropped:
            self._dropped.discard((job.job, message.variant))
            worker.send(messages.Credit(job.job, (message.variant,)))

    def _on_preview(self, worker: Worker, job: Job, message: messages.Preview, payload: Any) -> None:
        key = (worker.number, message.variant, message.call)
        passed_on = self._previews.get(job.job)
        if (passed_on != key) if message.offset else (passed_on is not None and passed_on[0] != worker.number):
            if not message.offset:  # the pieces of one preview follow one another
                self._dropped.add((job.job, message.variant))
            return
        if self._news.say_preview(job, message, payload):
            self._previews[job.job] = key
            self._jobs.credit.get(job.job, set()).discard(message.variant)
            if message.offset + len(payload) < job.order.painted_pixels * PIXEL_BYTES[message.depth]:
                return
        else:  # the client is away or slow: this one is dropped, and a fresh one rendered when it listens again
            self._dropped.add((job.job, message.variant))
        self._previews.pop(job.job, None)

    def _on_chunk(self, _worker: Worker, job: Job, message: messages.Chunk, payload: Any) -> None:
        self._journal.spool.write_piece(job.job, message.variant, message.offset, payload, job.order.painted_bytes)

    def _on_result(self, worker: Worker, job: Job, message: messages.Result, _: Any) -> None:
        step = None
        if message.unfinished and not worker.process.backend.shared:  # its step has just been told
            steps = self._steps.of(job.job, message.variant)
            step = next((step for step in steps if step.call == message.calls), None)
        finished = Finished(message, step)
        self._journal.finish(job, finished)
        if step is not None:
            self._steps.last(job, message.variant, step)
        self._news.say_result(job, finished)

    def _on_idle(self, worker: Worker, part: Part, job: Job, message: work.Idle) -> None:
        """A worker has a part in hand no more."""
        job.spent[worker.number] = job.spent.get(worker.number, 0.0) + message.seconds
        job.seconds = max(job.seconds, *job.spent.values())
        if message.outcome == "failed":
            self._desk.end(job, "failed", message.code, message.sentence, message.details)
        elif message.outcome == "stopped" or (
            message.outcome == "done" and any(variant not in job.finished for variant in part.variants)
        ):
            self._desk.end(job, "failed", "engine_error", NO_RESULT)
        elif len(job.finished) == job.order.variants:
            self._desk.end(job, "done")
        elif job.keeping and not self._engine.of(job.job):
            self._desk.end(job, "done" if job.finished else "cancelled")

    def _on_error(self, _worker: Worker, job: Job, message: messages.Error, _: Any) -> None:
        """The worker had something to say of the job and could not."""
        self._desk.end(job, "failed", "engine_error", message.sentence, f"{message.about}: {message.details}"[:4000])

    _handlers: ClassVar[dict[type, Callable[..., None]]] = {
        work.Need: _on_need,
        messages.Learning: _on_news,
        messages.Note: _on_news,
        messages.Progress: _on_progress,
        messages.Preview: _on_preview,
        messages.Chunk: _on_chunk,
        messages.Result: _on_result,
        messages.Error: _on_error,
    }

    def from_shelf(self, worker: Worker, message: Any, payload: Buffer | None) -> None:
        """News of kept steps, of whatever job."""
        self._news.from_shelf(worker, message, payload)

    def notice(self, sentence: str) -> None:
        """Something to tell that belongs to no job."""
        self._news.say_notice(sentence)

    def process_died(self, sentence: str, will_retry: bool) -> None:
        """There is no worker now."""
        self._news.say_engine(will_retry, sentence)

    def worker_gone(self, worker: Worker, part: Part | None, blamed: bool) -> None:
        """Let the part that it had run once more, or its job end."""
        self._news.say_steps_gone(worker)
        job = self._jobs.by_id.get(part.job) if part is not None else None
        if part is None or job is None or job.ended:
            return
        if self._previews.get(job.job, (0,))[0] == worker.number:
            del self._previews[job.job]
        for variant in part.variants:
            if blamed and variant not in job.finished:
                job.crashes[variant] = job.crashes.get(variant, 0) + 1
        if blamed and max(job.crashes.values(), default=0) >= CRASHES:
            self._desk.end(job, "failed", "engine_crashed", CRASHED_TWICE)
        elif self._engine.of(job.job):
            return
        elif job.keeping and job.finished:
            self._desk.end(job, "done")
        else:
            self._jobs.again(job, hold=job.client not in self._clients.by_client)

    def engine_changed(self) -> None:
        """Its state or the catalogue is another now; said once for each turn of the loop."""
        self._changed = True


def private_logs(state: Path) -> Path:
    """The folder of the logs, for this user only."""
    folder = launch.private_folder(state / "logs")
    for name in ("bridge.log", "download.log"):
        launch.plain_file(folder / name)
    return folder
