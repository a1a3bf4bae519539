"""Which idle worker runs what next: some variants of one job.

- An interrupted job goes first. Then the client with the fewest workers at work is served, of several the one that was
  served longest ago, with its oldest job that is not all in hand.
- A part has as many variants as come to each worker if the workers are shared equally by the clients that want one, so
  that a job is spread as far as that is fair, and all of it goes to the only worker of a pool of one. Where workers
  come and go by themselves it has a few at most, for those that come later.
- A branch goes where its step is kept. A job that learns is one part: what is learned within a time is no function of
  the picture, and must be the same for all variants.
- Of the workers that have the model, those that compute on a GPU are taken if there are any, and one that has it loaded
  is preferred. Further ones of this machine are given a part only while the forecast of all parts in hand fits into its
  memory.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from bridge_server import work
from bridge_server.job import Job
from bridge_server.jobs import Jobs
from bridge_server.pool.pool import Pool
from bridge_server.pool.progress import pace
from bridge_server.pool.worker import Part, Worker
from bridge_server.steps import KeptSteps

log = logging.getLogger("bridge.pool")

FEW = 4
"""Variants of a part where further workers may come at any time."""

MEMORY_SHARE = 0.8
"""Of this machine's memory, which the parts on several of its workers may take by their forecast."""


@dataclass
class _Round:
    """The state of things while parts are given: kept true by `Sharing`, so that it is worked out once."""

    idle: dict[int, Worker]  # by their numbers
    busy_here: list[Job]  # of parts on this machine's processors
    wanted: dict[str, list[int]]  # by job: variants that nobody has in hand, and that are not finished
    hands: dict[str, int] = field(default_factory=dict)  # by client: workers at work
    parts: dict[str, int] = field(default_factory=dict)  # by job: those in hand
    suited: dict[str, list[Worker]] = field(default_factory=dict)  # by model


class Sharing:
    """``given`` is told of each part that a worker has begun."""

    def __init__(self, jobs: Jobs, pool: Pool, steps: KeptSteps, given: Callable[[Job, Part], None]) -> None:
        self._jobs, self._pool, self._steps, self._given = jobs, pool, steps, given
        self._memory_mib = memory_mib()

    def give_all(self) -> None:
        """Give parts as long as there are idle workers for them."""
        idle = {worker.number: worker for worker in self._pool.workers if worker.state == "ready"}
        if not idle:
            return
        wanted = self._wanted()
        if not wanted:
            return
        busy_here = [
            self._jobs.by_id[worker.part.job]
            for worker in self._pool.workers
            if worker.part is not None and _here(worker) and worker.part.job in self._jobs.by_id
        ]
        now = _Round(idle, busy_here, wanted)
        for worker in self._pool.workers:
            job = self._jobs.by_id.get(worker.part.job) if worker.part is not None else None
            if job is not None and not job.ended:
                self._count(job, now)
        while now.idle and now.wanted:
            job = min(map(self._jobs.by_id.__getitem__, now.wanted), key=lambda job: self._turn(job, now))
            chosen = self._worker(job, now)
            if chosen is None:
                del now.wanted[job.job]
                continue
            part = self._part(job, now)
            left = [variant for variant in now.wanted[job.job] if variant not in part.variants]
            now.wanted[job.job] = left
            if not left or self._is_whole(job):
                del now.wanted[job.job]
            del now.idle[chosen.number]
            if _here(chosen):
                now.busy_here.append(job)
            self._count(job, now)
            self._give(chosen, job, part)

    def _give(self, worker: Worker, job: Job, part: Part) -> None:
        self._jobs.begin(job)
        log.info("job %s: %d variants from %d to worker %d", job.job, part.count, part.first, worker.number)
        credit = tuple(sorted(self._jobs.credit.get(job.job, set()).intersection(part.variants)))
        told = pace(sum(each.part is not None for each in self._pool.workers) + 1)
        worker.run(part, work.Start(job.job, job.order, part.first, part.count, credit, job.origin, told))
        self._given(job, part)

    def _count(self, job: Job, now: _Round) -> None:
        now.hands[job.client] = now.hands.get(job.client, 0) + 1
        now.parts[job.job] = now.parts.get(job.job, 0) + 1

    def _wanted(self) -> dict[str, list[int]]:
        taken: dict[str, set[int]] = {}
        for worker in self._pool.workers:
            if worker.part is not None:
                taken.setdefault(worker.part.job, set()).update(worker.part.variants)
        found = {}
        for job in self._jobs.to_run():
            there = taken.get(job.job, set())
            left = [v for v in range(job.order.variants) if v not in job.finished and v not in there]
            if left and not (there and self._is_whole(job)):
                found[job.job] = left
        return found

    def _turn(self, job: Job, now: _Round) -> tuple[bool, int, int, int]:
        return (
            not job.crashes,
            now.hands.get(job.client, 0),
            self._jobs.served(job.client),
            job.place,
        )

    def _is_whole(self, job: Job) -> bool:
        """It is not spread over workers."""
        return "learn" in job.order.options or job.origin is not None

    def _part(self, job: Job, now: _Round) -> Part:
        left = now.wanted[job.job]
        clients = {self._jobs.by_id[name].client for name in now.wanted} | set(now.hands)
        to_come = self._pool.size - sum(worker.state != "starting" for worker in self._pool.workers)
        workers = len(self._suited(job, now)) + to_come
        share = 1 if self._is_whole(job) else max(1, workers // len(clients))
        most = -(-len(left) // max(1, share - now.parts.get(job.job, 0)))
        if self._pool.may_grow and not self._is_whole(job):
            most = min(most, FEW)
        count = 1
        while count < most and left[0] + count in left:
            count += 1
        return Part(job.job, left[0], count)

    def _worker(self, job: Job, now: _Round) -> Worker | None:
        """The idle one that suits it best, or None while it has to wait for another one."""
        if job.origin is not None:
            owner = self._pool.worker(self._steps.owner(job.origin.parent, job.origin.variant))
            if owner is not None:
                return now.idle.get(owner.number)
        able = self._suited(job, now)
        if job.origin is not None:  # its state can only lie in the spool
            able = [worker for worker in self._pool.workers if not worker.process.backend.shared] or able
        able = [worker for worker in able if worker.number in now.idle]
        if now.busy_here and not self._fits(job, now):
            able = [worker for worker in able if not _here(worker)]
        return min(
            able,
            key=lambda worker: (worker.loaded != job.order.model, worker.process.backend.shared, worker.number),
            default=None,
        )

    def _suited(self, job: Job, now: _Round) -> list[Worker]:
        """Those that have its model; if no worker that is still to come can have it either, all, for one of them to say
        what is missing; of these the ones with a GPU."""
        found = now.suited.get(job.order.model)
        if found is None:
            ready = [worker for worker in self._pool.workers if worker.state != "starting"]
            able = [worker for worker in ready if worker.has(job.order.model)]
            if not able and self._pool.size <= len(ready):
                able = ready
            found = [worker for worker in able if worker.device not in ("cpu", "")] or able
            now.suited[job.order.model] = found
        return found

    def _fits(self, job: Job, now: _Round) -> bool:
        """Whether this machine has memory for one part more."""
        needs = sum(map(self._need_mib, [*now.busy_here, job]))
        return not self._memory_mib or needs <= MEMORY_SHARE * self._memory_mib

    def _need_mib(self, job: Job) -> float:
        """What one part needs; 0 if not known."""
        for model in self._pool.models:
            if model.id == job.order.model:
                order = job.order
                selected = order.selected or order.painted_pixels
                is_tile = bool(order.options.get("wrap"))
                needed = model.needed_mib(order.sent_pixels, selected, is_tile=is_tile, maps=len(order.maps))
                return model.memory_mib + needed
        return 0.0


def _here(worker: Worker) -> bool:
    """It computes on this machine's processors."""
    return not worker.process.backend.shared and worker.device in ("cpu", "")


def memory_mib(meminfo: str = "/proc/meminfo") -> float:
    """Memory of this machine; 0 where the system does not tell (anything but Linux)."""
    with contextlib.suppress(OSError), open(meminfo, encoding="ascii") as file:
        for line in file:
            name, _, rest = line.partition(":")
            if name == "MemTotal":
                return int(rest.split()[0]) / 1024
    return 0.0
