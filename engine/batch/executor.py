"""Where jobs of a batch run."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Protocol

from engine.batch.spec import Outcome, Spec


class Executor(Protocol):
    """Runs jobs somewhere, several at a time.

    Attributes:
        workers: how many jobs run at the same time.
    """

    workers: int

    def finished(self, jobs: Iterable[Spec]) -> Generator[Outcome, None, None]:
        """The outcomes of all jobs, each exactly once, in the order in which they are finished.

        The next job is taken from ``jobs`` only when there is a worker for it, so that a batch is ended softly by
        ending ``jobs``. Closing the generator, or an exception in it such as KeyboardInterrupt, abandons the jobs in
        progress at once and ends the workers; no result of these is left half-written. Whatever happens to a worker
        is the outcome of its job, or is mended here by running the job again: same pixels.

        Raises:
            EngineError: no worker can be had at all.
        """
        ...
