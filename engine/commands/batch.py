"""The command ``python -m engine batch``: many pictures in one go, on this machine's cores or devices."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from tqdm import tqdm

from engine import batch
from engine.batch import forecast
from engine.errors import BadInput
from engine.files import imagefile
from engine.tasks import TASKS

SOME_FAILED, CANCELLED = 4, 130
SHOWN = 20
"""Lines about problems and failures that are printed; failures.csv has them all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "jobs", nargs="+", metavar="JOBS",
        help="a list (.jsonl or .csv) with one job a line, or a folder, a pattern or pictures, with the options below",
    )  # fmt: skip
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="where the results go")
    parser.add_argument(
        "--task", choices=sorted(TASKS), default="inpaint",
        help="what to do where a job does not say; inpaint uses X-mask.png beside each X.png (default: inpaint)",
    )  # fmt: skip
    parser.add_argument(
        "--workers", type=int, metavar="N", help="jobs at a time (default: as cores, memory and devices allow)"
    )
    parser.add_argument(
        "--threads", type=int, default=1, metavar="T", help="threads of each worker; this changes pixels (default 1)"
    )
    parser.add_argument("--ray", metavar="auto|ADDRESS", help="run in this Ray cluster, whose nodes see the same files")
    parser.add_argument(
        "--ray-without-token", action="store_true", help="also in a cluster that lets anybody in (only if only you can)"
    )
    parser.add_argument("--again", action="store_true", help="do everything again, and overwrite what is there")
    parser.add_argument(
        "--dry-run", action="store_true", help="check everything, try a few jobs, say what it will take"
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON at the end")
    batch.add_options(parser)  # for jobs that do not say otherwise


def main(arguments: argparse.Namespace) -> int:
    """Do all jobs that are not done yet; the exit status.

    Raises:
        BadInput: something in the list cannot be done; nothing was.
        EngineError: the disk is full.
    """
    if arguments.ray is not None and arguments.workers is not None:
        raise BadInput("bad_argument", "In a Ray cluster it takes the workers that there are; leave --workers out.")
    if arguments.threads < 1 or (arguments.workers is not None and arguments.workers < 1):
        raise BadInput("bad_argument", "--workers and --threads must be at least 1.")
    began, out = time.monotonic(), arguments.out.absolute()
    common = batch.Common(out, arguments.task, batch.absolute(batch.given(arguments), Path()), arguments.threads)
    entries = batch.read(arguments.jobs, common)
    _refuse(_shown(batch.checked(entries), len(entries), "looking at the list"))
    manifest = batch.Manifest.of(out)
    found = list(_shown(batch.pending(entries, manifest, arguments.again), len(entries), "looking for what is done"))
    todo = [entry for entry in found if entry is not None]
    _refuse(todo)
    tally = batch.Tally(len(entries), skipped=len(entries) - len(todo))
    specs = [entry.spec for entry in todo if entry.spec]
    _check_folders(out, specs, make=not arguments.dry_run)
    if arguments.dry_run:
        workers = 1 if arguments.ray is not None else _workers(arguments, specs)
        _forecast(tally, specs, workers, out, arguments.json)
        return 0
    interrupts = _Interrupts()
    executor = _executor(arguments, specs, interrupts.any)
    manifest.begin([manifest.name(path) for entry in entries if entry.spec for path in batch.written(entry.spec)])
    notes: Counter[str] = Counter()
    with interrupts:
        try:
            with closing(batch.work(todo, executor, manifest, tally, interrupts.any)) as outcomes:
                _work(outcomes, tally, notes)
            interrupts.too_late = True
        except KeyboardInterrupt:
            interrupts.count, interrupts.too_late = 2, True
        finally:
            _report(arguments, tally, notes, time.monotonic() - began)
    if interrupts.any():
        print("Cancelled; run the same command to continue.", file=sys.stderr)
        return CANCELLED
    return SOME_FAILED if tally.failed else 0


def _shown(entries: Iterable[Any], total: int, title: str) -> Iterable[Any]:
    """Progress on a terminal, where it takes a while."""
    return tqdm(entries, title, total, leave=False, delay=2, disable=None, unit=" jobs")


def _refuse(entries: Iterable[batch.Entry]) -> None:
    """Raise BadInput if there is a problem in one of them, after telling them line by line."""
    problems = [entry for entry in entries if entry.problem]
    for entry in problems[:SHOWN]:
        print(f"{entry.where}: {entry.problem}", file=sys.stderr)
    if len(problems) > SHOWN:
        print(f"… and {len(problems) - SHOWN} more", file=sys.stderr)
    if problems:
        number = "One job" if len(problems) == 1 else f"{len(problems)} jobs"
        raise BadInput("bad_list", f"{number} cannot be done, so nothing was done; correct the problems above.")


def _executor(
    arguments: argparse.Namespace, specs: Sequence[batch.Spec], stopping: Callable[[], bool]
) -> batch.Executor:
    if arguments.ray is None or not specs:
        return batch.Local(_workers(arguments, specs))
    from engine import cluster
    from engine.batch import on_ray

    return on_ray.OnRay(arguments.ray, arguments.ray_without_token, cluster.Share(cpus=arguments.threads), stopping)


def _workers(arguments: argparse.Namespace, specs: Sequence[batch.Spec]) -> int:
    """As many as were asked for; else as there are CUDA devices, or cores whose memory suffices."""
    if arguments.workers is not None:
        return int(arguments.workers)
    devices_here = batch.cuda_devices()
    if devices_here and "cpu" not in {spec.options.get("device") for spec in specs}:
        return min(len(devices_here), max(1, len(specs)))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    need, free = forecast.memory(specs), forecast.free_memory()
    fitting = cores if not need or not free else max(1, free // need)
    return max(1, min(cores // arguments.threads, fitting, len(specs)))


def _check_folders(out: Path, specs: Sequence[batch.Spec], make: bool) -> None:
    """Raise BadInput unless everything can be written; folders that are not there yet are made, or their place is
    looked at."""
    for folder in dict.fromkeys([out, *(path.parent for spec in specs for path in batch.written(spec))]):
        try:
            if make:
                folder.mkdir(parents=True, exist_ok=True)
            place = next(each for each in (folder, *folder.parents) if each.exists())
        except OSError as error:
            raise BadInput("bad_output", f"The folder {folder} cannot be made; choose another.", repr(error)) from error
        if not place.is_dir():
            raise BadInput("bad_output", f"The folder {folder} cannot be made: {place} is a file; choose another.")
        imagefile.check_place(place / "result.png")


def _work(outcomes: Iterable[tuple[batch.Entry, batch.Outcome]], tally: batch.Tally, notes: Counter[str]) -> None:
    with tqdm(total=tally.jobs, initial=tally.skipped, disable=None, unit="job", dynamic_ncols=True) as bar:
        for entry, outcome in outcomes:
            notes.update(set(outcome.notes))
            if outcome.code and tally.failed <= SHOWN:
                bar.write(f"failed: {entry.where}: {outcome.sentence}", sys.stderr)
            bar.update()


def _report(arguments: argparse.Namespace, tally: batch.Tally, notes: Counter[str], seconds: float) -> None:
    for sentence, number in notes.most_common():
        print(f"note: {sentence}{'' if number == 1 else f' ({number} jobs)'}", file=sys.stderr)
    if arguments.json:
        print(json.dumps({**vars(tally), "seconds": round(seconds, 3)}))
        return
    parts = [f"{tally.done} of {tally.jobs} jobs done in {seconds:.0f} s"]
    if tally.skipped:
        parts.append(f"{tally.skipped} were done already")
    if tally.failed:
        parts.append(f"{tally.failed} failed, see {arguments.out / batch.FAILURES}")
    print("; ".join(parts))


def _forecast(tally: batch.Tally, specs: Sequence[batch.Spec], workers: int, out: Path, as_json: bool) -> None:
    """Say what the jobs will take."""
    need = forecast.memory(specs)
    trial = forecast.tried(specs) if specs else forecast.Trial()
    seconds = trial.all_seconds / workers if trial.seconds else None
    told = {
        "jobs": tally.jobs,
        "skipped": tally.skipped,
        "workers": workers,
        "seconds": None if seconds is None else round(seconds),
        "tried": [round(each, 2) for each in trial.seconds],
        "failures": trial.failures,
        "memory_mib": None if need is None else workers * need >> 20,
        "disk_mib": round(trial.all_bytes / 2**20, 3),
        "disk_free_mib": forecast.free_disk(out) >> 20,
    }
    if as_json:
        print(json.dumps(told))
        return
    print(f"{tally.jobs} jobs, {tally.skipped} of them done already; nothing was written.")
    if seconds is not None:
        spread = f"{min(trial.seconds):.1f} to {max(trial.seconds):.1f} s a job, {len(trial.seconds)} tried"
        print(f"time: about {_span(seconds)} with {workers} at a time ({spread})")
        print(f"disk: about {trial.all_bytes / 2**20:.1f} MiB, {told['disk_free_mib']} MiB are free")
    elif specs:
        print("time: not known, all jobs that were tried failed")
    for sentence in trial.failures:
        print(f"failed when tried: {sentence}")
    if need is not None:
        print(f"memory: up to {need >> 20} MiB each, {workers * need >> 20} MiB in all")


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class _Interrupts:
    """The first Ctrl+C lets the jobs in progress be finished, the second stops at once."""

    def __init__(self) -> None:
        self.count = 0
        self.too_late = False  # nothing is in progress any more

    def any(self) -> bool:
        return self.count > 0

    def __enter__(self) -> _Interrupts:
        self._before = signal.signal(signal.SIGINT, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN if self.count else self._before)  # it ends anyway

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        if self.too_late:
            return
        self.count += 1
        if self.count == 1:
            tqdm.write("Finishing the jobs in progress; Ctrl+C again stops at once.", sys.stderr)
        elif self.count == 2:
            raise KeyboardInterrupt
