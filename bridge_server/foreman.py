"""Where the workers are heard: one method for each message of theirs about the part that they have in hand.

Order of every important step: first the journal, then the message to the client, as at the desk.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, ClassVar

from bridge_server import work
from bridge_server.client import messages
from bridge_server.client.checks import shortened
from bridge_server.client.codec import Buffer
from bridge_server.client.records import PIXEL_BYTES
from bridge_server.clients import Clients
from bridge_server.desk import SPOOL_LOST, Desk
from bridge_server.job import Finished, Job
from bridge_server.jobs import Jobs
from bridge_server.news import News
from bridge_server.pool.pool import Pool
from bridge_server.pool.progress import joined
from bridge_server.pool.worker import Part, Worker
from bridge_server.spool import DiskFull
from bridge_server.steps import KeptSteps

log = logging.getLogger("bridge.foreman")

NO_RESULT = "The RePaint engine ended without a result: try again."
CRASHED_TWICE = "The RePaint engine crashed twice on this picture: try a smaller selection or another model."
CRASHES = 2  # of workers on one variant, after which it is not tried again


class Foreman:
    """The pool's listener. ``changed``: what the clients know of the engine is to be said anew."""

    def __init__(self, clients: Clients, jobs: Jobs, steps: KeptSteps, news: News, pool: Pool, desk: Desk) -> None:
        self._clients, self._jobs, self._steps = clients, jobs, steps
        self._news, self._pool, self._desk = news, pool, desk
        self._previews: dict[str, tuple[int, int, int]] = {}  # by job: worker, variant, call of the one passed on now
        self._dropped: set[tuple[str, int]] = set()  # variants whose last preview nobody took
        self.changed = False

    def given(self, job: Job, part: Part) -> None:
        """A worker has begun with it."""
        self._dropped -= {(job.job, variant) for variant in part.variants}
        self._news.queue_moved()

    def tidy(self) -> None:
        """Forget the previews of jobs that have ended."""
        under_way = {job.job for job in self._jobs.by_id.values() if not job.ended}
        self._dropped = {key for key in self._dropped if key[0] in under_way}
        self._previews = {name: key for name, key in self._previews.items() if name in under_way}

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
        piece = self._jobs.journal.spool.read_input(job.job, message.what, message.offset, messages.CHUNK)
        if not piece:
            raise ValueError(f"{message.what} ends at {message.offset}")
        worker.send(work.Input(job.job, message.what, message.offset), piece)

    def _on_news(self, _worker: Worker, job: Job, message: Any, _: Any) -> None:
        self._news.say(job, message)

    def _on_progress(self, worker: Worker, job: Job, message: messages.Progress, _: Any) -> None:
        heard = self._news.say(job, joined(job, worker, self._pool.of(job.job), message))
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
        peer = self._clients.by_client.get(job.client)
        if peer is not None and (message.offset or not peer.unsent):
            self._clients.send(peer, message, payload)
            self._previews[job.job] = key
            self._jobs.credit.get(job.job, set()).discard(message.variant)
            if message.offset + len(payload) < job.order.painted_pixels * PIXEL_BYTES[message.depth]:
                return
        else:  # the client is away or slow: this one is dropped, and a fresh one rendered when it listens again
            self._dropped.add((job.job, message.variant))
        self._previews.pop(job.job, None)

    def _on_chunk(self, _worker: Worker, job: Job, message: messages.Chunk, payload: Any) -> None:
        self._jobs.journal.spool.write_piece(job.job, message.variant, message.offset, payload, job.order.painted_bytes)

    def _on_result(self, worker: Worker, job: Job, message: messages.Result, _: Any) -> None:
        step = None
        if message.unfinished and not worker.process.backend.shared:  # its step has just been told
            steps = self._steps.of(job.job, message.variant)
            step = next((step for step in steps if step.call == message.calls), None)
        finished = Finished(message, step)
        self._jobs.journal.finish(job, finished)
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
        elif job.keeping and not self._pool.of(job.job):
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
        elif self._pool.of(job.job):
            return
        elif job.keeping and job.finished:
            self._desk.end(job, "done")
        else:
            self._jobs.again(job, hold=job.client not in self._clients.by_client)

    def engine_changed(self) -> None:
        """Its state or the catalogue is another now; said once for each turn of the loop."""
        self.changed = True
