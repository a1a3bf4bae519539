"""What the bridge knows of kept steps: whose they are, which worker has their states, what a branch from each costs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from bridge_server.client.records import Order, Step
from bridge_server.job import Job


@dataclass
class Parent:
    """A job with kept steps, also after its release; ``lasting``: those that lie in the spool; ``owners``: the
    numbers of the workers that have made them."""

    client: str
    order: Order
    steps: dict[int, tuple[Step, ...]] = field(default_factory=dict)
    lasting: dict[int, tuple[Step, ...]] = field(default_factory=dict)
    owners: dict[int, int] = field(default_factory=dict)


class KeptSteps:
    """All of them by job."""

    def __init__(self) -> None:
        self._parents: dict[str, Parent] = {}

    def load(self, jobs: Iterable[Job]) -> None:
        """What outlived an earlier bridge."""
        for job in jobs:
            for finished in job.finished.values():
                if finished.step is not None:
                    self.last(job, finished.result.variant, finished.step)

    def last(self, job: Job, variant: int, step: Step) -> None:
        """This step lies in the spool as long as the job is there."""
        self._of(job).lasting[variant] = (step,)

    def put(self, job: Job | None, name: str, variant: int, steps: tuple[Step, ...], worker: int) -> Parent | None:
        """What that worker holds now; the parent, or None if nobody knows the job."""
        parent = self._of(job) if job is not None else self._parents.get(name)
        if parent is not None:
            parent.steps[variant], parent.owners[variant] = steps, worker
            self._tidy(name)
        return parent

    def owner(self, name: str, variant: int) -> int:
        """The number of the worker that has made these steps; 0 if it is gone."""
        parent = self._parents.get(name)
        return parent.owners.get(variant, 0) if parent is not None else 0

    def of(self, name: str, variant: int) -> tuple[Step, ...]:
        """The steps of a variant, rising."""
        parent = self._parents.get(name)
        if parent is None:
            return ()
        found = {step.call: step for step in (*parent.lasting.get(variant, ()), *parent.steps.get(variant, ()))}
        return tuple(found[call] for call in sorted(found))

    def parent(self, name: str) -> Parent | None:
        return self._parents.get(name)

    def variants(self, name: str) -> list[int]:
        parent = self._parents.get(name)
        return sorted({*parent.steps, *parent.lasting}) if parent is not None else []

    def released(self, name: str) -> None:
        """Its folder in the spool goes."""
        parent = self._parents.get(name)
        if parent is not None:
            parent.lasting.clear()
            self._tidy(name)

    def dropped(self, name: str, variant: int) -> None:
        """One variant's files go."""
        parent = self._parents.get(name)
        if parent is not None:
            parent.lasting.pop(variant, None)
            self._tidy(name)

    def worker_gone(self, worker: int) -> list[tuple[str, int]]:
        """All that lay in its memory is lost; (job, variant) of what changed."""
        its = [
            (name, variant)
            for name, parent in self._parents.items()
            for variant, owner in parent.owners.items()
            if owner == worker
        ]
        changed = [(name, variant) for name, variant in its if self._parents[name].steps.get(variant)]
        for name, variant in its:
            self._parents[name].steps[variant] = ()
            del self._parents[name].owners[variant]
        return changed

    def tidy(self) -> None:
        for name in list(self._parents):
            self._tidy(name)

    def _tidy(self, name: str) -> None:
        parent = self._parents[name]
        if not any(parent.steps.values()) and not any(parent.lasting.values()):
            del self._parents[name]

    def _of(self, job: Job) -> Parent:
        return self._parents.setdefault(job.job, Parent(job.client, job.order))
