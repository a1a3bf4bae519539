"""The progress of a job, joined over its parts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from bridge_server.client.messages import Progress
from bridge_server.job import Job
from bridge_server.pool.worker import Worker

MESSAGES = 400.0
"""Of progress, a second, that all workers together may send the bridge, so that its one core has time for the rest."""
PACE = 0.05
"""Seconds between two of them that an editor can make use of."""


def pace(busy: int) -> float:
    """Seconds at least between two messages of progress of a worker, where so many are at work."""
    return max(PACE, busy / MESSAGES)


def joined(job: Job, worker: Worker, all_of_it: Sequence[Worker], message: Progress) -> Progress:
    """What to tell of the whole job when ``worker`` says this of its part.

    Of a variant the call never falls, also when it is run again; the seconds left are those of the whole job: of the
    parts in hand the longest, then what nobody has begun yet, by their pace; negative while unknown.
    """
    job.calls[message.variant] = max(message.call, job.calls.get(message.variant, 0))
    now = time.monotonic()
    worker.ends = now + message.seconds_left if message.seconds_left >= 0 else 0.0
    return replace(message, call=job.calls[message.variant], seconds_left=_seconds_left(job, all_of_it, now))


def _seconds_left(job: Job, workers: Sequence[Worker], now: float) -> float:
    if any(not each.ends for each in workers):
        return -1.0
    in_hand = {variant for each in workers if each.part is not None for variant in each.part.variants}
    ahead = job.order.variants - len(in_hand | set(job.finished))
    pace = max((each.ends - each.began) / each.part.count for each in workers if each.part is not None)
    return max(0.0, max(each.ends for each in workers) - now) + pace * -(-ahead // len(workers))
