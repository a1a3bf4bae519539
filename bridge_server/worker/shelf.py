"""Kept steps of the last jobs, in the engine process: what branches start from and what their slider shows.

Each job has an ``engine.run.states.Cache`` of its own within a memory and a disk budget; of the oldest jobs nothing is
kept.  A step that was kept on the artist's word lies beside its result in the spool as well, and outlives the process.
"""

from __future__ import annotations

import logging
import shutil
import zlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge_server.client.geometry import Box
from bridge_server.client.launch import private_folder
from bridge_server.client.records import Order, Step
from engine.errors import EngineError
from engine.run import states

log = logging.getLogger("worker.shelf")

JOBS = 8
MEMORY, DISK = 64 << 20, 256 << 20  # bytes of states per job
VIEW_SIDE = 512  # pixels of a step's picture at most, each way
JUMPS = {"harmonise": ("small", 3, True), "idea": ("large", 1, False)}  # jump, times, late


class JobSteps:
    """The kept steps of one job, part by part.  A full disk costs the step, never the job."""

    def __init__(self, folder: Path, first: int, before: int, order: Order) -> None:
        """``first``: the job's number of the run's variant 0; ``before``: calls made before the job began;
        ``order``: says what of a layer its pictures show, and their depth."""
        self.first, self.before, self._painted, self._depth = first, before, order.painted, order.depth
        self._cache = states.Cache(MEMORY, DISK, folder)
        self.entries: dict[tuple[int, int], Step] = {}
        self._pictures: dict[tuple[int, int], tuple[int, int, bytes]] = {}

    def put(self, variant: int, kept: Any) -> None:
        """As ``Cache.put``; numbers of the run, not of the job."""
        try:
            self._cache.put(variant + self.first, kept)
        except EngineError as error:
            log.warning("a step is not kept: %s", error.details)
            return
        entry = self.entry(kept)
        self.entries[variant + self.first, entry.call] = entry

    def entry(self, kept: Any) -> Step:
        """What a branch from there costs."""

        def cost(kind: str) -> int:
            jump, times, late = JUMPS[kind]
            return int(states.branched(kept, jump, times, late).remaining)

        return Step(kept.call - self.before, kept.remaining, cost("harmonise"), cost("idea"))

    def paint(self, variant: int, call: int, preview: Callable[[], Any]) -> bool:
        """Keep the picture of a step that has just been put; False if that step was not."""
        if (variant, call) not in self.entries or (variant, call) in self._pictures:
            return False
        box = self._painted
        every = -(-max(box.width, box.height) // VIEW_SIDE)
        small = preview()[box.y : box.y + box.height : every, box.x : box.x + box.width : every]
        self._pictures[variant, call] = (small.shape[1], small.shape[0], zlib.compress(small.tobytes(), 1))
        return True

    def of(self, variant: int) -> tuple[Step, ...]:
        """The steps of a variant that can still be branched from, rising."""
        left = set(self._cache.calls(variant))
        gone = [key for key in self.entries if key[0] == variant and key[1] + self.before not in left]
        for key in gone:
            del self.entries[key]
            self._pictures.pop(key, None)
        return tuple(entry for key, entry in sorted(self.entries.items()) if key[0] == variant)

    def picture(self, variant: int, call: int) -> tuple[Box, str, int, int, bytes] | None:
        """What it shows, its depth, columns and rows, and RGBA as a preview; or None."""
        found = self._pictures.get((variant, call))
        return (self._painted, self._depth, *found[:2], zlib.decompress(found[2])) if found is not None else None

    def state(self, variant: int, call: int) -> Any:
        """The Kept, or None."""
        if (variant, call) not in self.entries:
            return None
        try:
            return self._cache.get(variant, call + self.before)
        except EngineError as error:
            log.warning("a kept step cannot be read: %s", error.details)
            return None

    def close(self) -> None:
        self._cache.close()


class Shelf:
    """All kept steps.  ``spool``: the bridge's folder of jobs."""

    def __init__(self, scratch: Path, spool: Path) -> None:
        self._scratch, self._spool = scratch, spool
        shutil.rmtree(scratch, ignore_errors=True)  # of an earlier process
        private_folder(scratch)
        self._jobs: OrderedDict[str, JobSteps] = OrderedDict()

    def open(self, job: str, first: int, before: int, order: Order) -> tuple[JobSteps, dict[str, list[int]]]:
        """A place for the steps of a job, and the variants of jobs that had to go for it."""
        gone: dict[str, list[int]] = {}
        if job in self._jobs:  # another part of it
            self._jobs.move_to_end(job)
            self._jobs[job].first = first
            return self._jobs[job], gone
        while len(self._jobs) >= JOBS:
            name, oldest = self._jobs.popitem(last=False)
            gone[name] = sorted({variant for variant, _ in oldest.entries})
            oldest.close()
        steps = self._jobs[job] = JobSteps(self._scratch, first, before, order)
        return steps, gone

    def of(self, job: str, variant: int) -> tuple[Step, ...]:
        return self._jobs[job].of(variant) if job in self._jobs else ()

    def picture(self, job: str, variant: int, call: int) -> tuple[Box, str, int, int, bytes] | None:
        return self._jobs[job].picture(variant, call) if job in self._jobs else None

    def state(self, job: str, variant: int, call: int) -> Any:
        """The Kept of that step, from memory or the spool; None if it is gone."""
        found = None
        if job in self._jobs:
            self._jobs.move_to_end(job)
            found = self._jobs[job].state(variant, call)
        if found is None and (path := self._path(job, variant)).exists():
            try:
                kept, extra, _ = states.load(path)
            except EngineError as error:
                log.warning("a kept step cannot be read: %s", error.details)
                return None
            found = kept if extra.get("call") == call else None
        return found

    def keep(self, job: str, variant: int, kept: Any, call: int) -> None:
        """Write a state into the spool; raises EngineError(``disk_full``)."""
        private_folder(self._spool / job)  # on another machine than the bridge's nobody has made it
        states.save(kept, self._path(job, variant), {"call": call})

    def _path(self, job: str, variant: int) -> Path:
        return self._spool / job / f"state-{variant}"
