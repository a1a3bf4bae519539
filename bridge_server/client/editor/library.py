"""All runs whose pictures can still be had: those of this session, and those of earlier ones once their document is
opened again. What lies on disk at the bridge, and what of it is in memory, is decided here."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple, Union

from bridge_server.client import events
from bridge_server.client.session import Session

from .history import History
from .host import Identity
from .model import Picture, Run, Variant

MEMORY_BYTES = 256 << 20  # of pictures in memory; all of them are on disk


class Library:
    """``runs``: oldest first. ``selected``: the run and the variant's index that were chosen last."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.runs: List[Run] = []
        self.selected: Optional[Tuple[Run, int]] = None
        self.history = History()
        self._count = 0

    # ---- looking ----
    def find(self, number: int) -> Optional[Run]:
        return next((run for run in self.runs if run.number == number), None)

    def of_job(self, job: str) -> Optional[Run]:
        return next((run for run in self.runs if run.job == job), None)

    def of_series(self, run: Run) -> List[Run]:
        """All runs that share its place and layer."""
        return [each for each in self.runs if each.series is run.series]

    @property
    def bytes(self) -> int:
        """What all finished pictures take on disk."""
        return self.history.bytes() + sum(run.bytes for run in self.runs)

    @property
    def pictures(self) -> int:
        return self.history.pictures() + sum(variant.finished for run in self.runs for variant in run.variants)

    @property
    def call_seconds(self) -> float:
        """Seconds a network call took in the newest run that tells; 0 while none does."""
        return next((run.call_seconds for run in reversed(self.runs) if run.call_seconds), 0.0)

    # ---- adding ----
    def numbered(self, run: Run) -> Run:
        self._count += 1
        run.number = self._count
        return run

    def take_result(self, run: Run, event: events.Result) -> Variant:
        variant = run.variant(event.variant)
        assert variant is not None
        variant.picture, variant.version = Picture.of(event), variant.version + 1
        variant.finished, variant.seed, variant.unfinished = True, event.seed, event.unfinished
        variant.figures = event.figures
        variant.calls = max(variant.calls, event.calls)
        variant.call = event.calls if event.unfinished else variant.calls
        return variant

    def take_steps(self, run: Run, event: Union[events.Steps, events.StepView]) -> None:
        variant = run.variant(event.variant)
        if variant is None:
            return
        if isinstance(event, events.Steps):
            kept = {step.call for step in event.steps}
            variant.steps = event.steps
            variant.views = {call: view for call, view in variant.views.items() if call in kept}
        else:
            variant.views[event.call] = Picture.of(event)

    def take_end(self, run: Run, event: Any) -> None:
        """The last event of a run that is not the present one."""
        run.variants = [variant for variant in run.variants if variant.finished]
        if isinstance(event, events.Failed) and event.code == "lost":
            run.variants = [variant for variant in run.variants if variant.picture is not None]

    # ---- earlier sessions ----
    def offer(self, event: events.Recovered) -> bool:
        """The bridge holds pictures of an earlier time; False if they are none of ours."""
        ours = self.history.add(event)
        if not ours and not event.results:
            self.session.discard(event.job)
        return ours

    def recall(self, where: Identity) -> None:
        """Fetches the pictures of earlier times of that document; they come before all others."""
        found = self.history.take(*where)
        by_job = {run.job: run for run in self.runs}
        for run in found:
            self.numbered(run)
            parent = self.history.parents.pop(run.job, None)
            trunk = by_job.get(parent[0]) if parent else None
            if trunk is not None:
                run.parent, run.series = (trunk.number, int(parent[1]), int(parent[2])), trunk.series
            by_job[run.job] = run
            self.session.resume(run.job)
        self.runs = found + self.runs

    # ---- deleting ----
    def forget(self, runs: List[Run]) -> None:
        """Deletes runs with all their pictures, also on disk."""
        for run in runs:
            self.session.release(run.job)
            self.runs.remove(run)
        if self.selected is not None and self.selected[0] in runs:
            self.selected = None

    def drop(self, run: Run, index: int) -> None:
        """Deletes one picture, also on disk."""
        if len(run.variants) == 1:
            self.forget([run])
            return
        self.session.drop(run.job, index)
        run.variants = [variant for variant in run.variants if variant.index != index]
        if self.selected == (run, index):
            self.selected = None

    def forget_waiting(self) -> None:
        """Deletes the pictures of documents that have not been opened again."""
        for job in self.history.forget():
            self.session.discard(job)

    def trim(self, present: Optional[Run]) -> None:
        """Drops runs without a finished picture, and from memory the oldest pictures beyond the limit; ``present`` is
        the run that is on."""
        self.runs = [run for run in self.runs if run.variants or run is present]
        size = 0
        for run in reversed(self.runs):
            for variant in run.variants:
                size += variant.picture.nbytes if variant.picture is not None else 0
            size += run.capture.nbytes if run.capture is not None else 0
            chosen = self.selected is not None and self.selected[0] is run
            if size > MEMORY_BYTES and not chosen and run is not self.runs[-1] and run is not present:
                run.capture = None
                for variant in run.variants:
                    if run.series.shown != (run.number, variant.index):
                        variant.picture = None
