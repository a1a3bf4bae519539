"""All jobs of the bridge: how each stands, which comes next, how it ends.  In memory and in the journal alike."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from bridge_server.client.errors import WireError
from bridge_server.client.records import BranchRequest, Order
from bridge_server.job import Job
from bridge_server.journal import Journal
from bridge_server.spool import DiskFull

log = logging.getLogger("bridge.jobs")

MAX_REMEMBERED = 10000
MAX_UNENDED = 100  # jobs of one client that wait or run
OTHERS = "This picture belongs to another editor: continue it there, or click RePaint again here."


class Jobs:
    """The jobs by id, and their order.

    A queued job is *held* while its client is away.  A job that was released or could not be kept is forgotten but for
    its id and end, so that a late or repeated submit is still answered.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.by_id: dict[str, Job] = {}
        self.credit: dict[str, set[int]] = {}  # variants of which a preview is wanted
        self._held: set[str] = set()
        self._forgotten: OrderedDict[str, str] = OrderedDict()
        self._unsaved: set[str] = set()  # the journal could not be written; tried again
        self._place = 0
        self._served: list[str] = []  # clients, the one served longest ago first

    def load(self) -> None:
        """Take over what an earlier bridge left; everything waits for its client."""
        for job in self.journal.load():
            self._place = max(self._place, job.place + 1)
            self.by_id[job.job] = job
            if job.state == "running":  # the bridge died, not the engine: that is no attempt
                job.state = "queued"
                job.attempts = max(0, job.attempts - 1)
                self.save(job)
            if job.attempts:
                job.crashes = dict.fromkeys(range(job.order.variants), 1)
            if not job.ended:
                self._held.add(job.job)

    def owned(self, client: str, name: str) -> Job | None:
        """The job if there is one; WireError if it is another client's."""
        job = self.by_id.get(name)
        if job is not None and job.client != client:
            raise WireError(OTHERS, "another client's job")
        return job

    def of(self, client: str) -> list[Job]:
        return [job for job in self.by_id.values() if job.client == client]

    def full(self, client: str) -> bool:
        """Whether this client has as many unfinished jobs as it may have."""
        return sum(not job.ended for job in self.of(client)) >= MAX_UNENDED

    def state(self, name: str) -> str | None:
        """How the job stands or ended; None if it was never heard of."""
        job = self.by_id.get(name)
        return job.state if job is not None else self._forgotten.get(name)

    def add(
        self,
        name: str,
        client: str,
        order: Order,
        history: bool,
        inputs: Mapping[str, Path] = MappingProxyType({}),
        origin: BranchRequest | None = None,
    ) -> Job:
        """Take a new job with its uploads (a branch has none); after DiskFull nothing of it is left."""
        job = Job(name, client, order, origin, history, time.time(), self._place)
        self.journal.add(job, inputs)
        self._place += 1
        self.by_id[name] = job
        return job

    # -------------------------------------------------------------------------------------------------------- order

    def hold(self, client: str) -> None:
        """The client is away: its queued jobs wait for it; its running job goes on."""
        self._held |= {job.job for job in self.of(client) if job.state == "queued"}

    def unhold(self, job: Job) -> None:
        self._held.discard(job.job)

    def active(self) -> bool:
        """Whether something runs or may run."""
        return any(not job.ended and job.job not in self._held for job in self.by_id.values())

    def to_run(self) -> list[Job]:
        """The jobs that run or may run."""
        return [
            job
            for job in self.by_id.values()
            if (job.state == "running" and not job.keeping) or (job.state == "queued" and job.job not in self._held)
        ]

    def served(self, client: str) -> int:
        """The lower, the longer ago a job of this client began."""
        return self._served.index(client) if client in self._served else -1

    def waiting(self) -> list[Job]:
        """The jobs that may run, in the order in which they will.

        One that a crash interrupted comes first; then the clients take turns, each with its oldest.
        """
        by_client: dict[str, list[Job]] = {}
        order: list[Job] = []
        for job in sorted(self.by_id.values(), key=lambda each: each.place):
            if job.state == "queued" and job.job not in self._held:
                (order if job.crashes else by_client.setdefault(job.client, [])).append(job)
        turn = sorted(by_client, key=self.served)
        while any(by_client.values()):
            order += [by_client[client].pop(0) for client in turn if by_client[client]]
        return order

    # -------------------------------------------------------------------------------------------------------- states

    def begin(self, job: Job) -> None:
        """A part of it runs now; with its first one that is one attempt more."""
        self._served = [*(client for client in self._served if client != job.client), job.client][-1000:]
        if job.state != "running":
            job.state = "running"
            job.attempts += 1
            self.save(job)

    def again(self, job: Job, hold: bool) -> None:
        """It was interrupted and waits for its next attempt; a worker that only left is none to be counted."""
        job.state, job.keeping, job.attempts = "queued", False, max(job.crashes.values(), default=0)
        if hold:
            self._held.add(job.job)
        self.save(job)

    def end(self, job: Job, state: str, code: str, sentence: str, details: str) -> None:
        """The one transition to an end; a job has exactly one."""
        if job.ended:
            raise AssertionError(f"job {job.job} ended twice")
        job.state, job.code, job.sentence, job.details = state, code, sentence, details
        self.save(job)
        self.credit.pop(job.job, None)
        self._held.discard(job.job)
        self.journal.spool.drop_inputs(job.job)
        log.info("job %s: %s %s", job.job, state, code)

    def remove(self, job: Job) -> None:
        """Its client knows how it ended: delete its files, remember the id."""
        self.forget(job.job, job.state)
        self.by_id.pop(job.job, None)
        self._unsaved.discard(job.job)
        try:
            self.journal.remove(job)
        except DiskFull:
            log.warning("job %s could not be removed from the journal", job.job)

    def forget(self, name: str, state: str) -> None:
        """Remember that ``name`` ended so, and nothing else of it."""
        self._forgotten[name] = state
        while len(self._forgotten) > MAX_REMEMBERED:
            self._forgotten.popitem(last=False)

    def save(self, job: Job) -> None:
        """Write the job's state to the journal, later if there is no space now."""
        try:
            self.journal.save(job)
            self._unsaved.discard(job.job)
        except DiskFull as error:
            if job.job not in self._unsaved:
                log.error("the journal cannot be written: %s", error)
            self._unsaved.add(job.job)

    def save_again(self) -> None:
        """Try what could not be written before."""
        for name in list(self._unsaved):
            self.save(self.by_id[name])
