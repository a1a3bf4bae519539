"""What a batch will take, told before it is begun: memory by a formula, time and disk by jobs that are tried."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.batch.spec import FILES, Models, Outcome, Spec, run
from engine.errors import EngineError
from engine.files import imagefile
from engine.models import find, forecast
from engine.run import by_octaves
from engine.tasks import TASKS, maps, model_id

LARGEST = 8
"""Jobs with the largest pictures, whose memory is forecast."""
TRIED = 5
"""Jobs that are tried, spread over the sizes of pictures."""
ENOUGH = 20.0
"""Seconds after which no further job is tried."""
SAMPLED = 200
"""Jobs, spread over the sizes of pictures, whose masks are looked at."""
BEGIN, SMALL, FILE_SHARE = 35_000, 30, 1 / 250
"""In selected pixels, of which one costs the model that is the picture itself 30 microseconds of a busy processor: the
beginning of a job; one pixel of a hole so small that every patch is compared with all others; one pixel that is read
and written. How much is looked at around them costs hardly anything. So told, jobs with holes of 20² to 900² pixels in
pictures of 400² to 1000², and tiles, are within a factor of 2; by the pictures' sizes they were within 27."""
FILE_BYTES = 24
"""Bytes per pixel of a picture that is read whole, of which the engine looks at a part."""
MAP_BYTES = 8
"""The same of a map beside it."""


@dataclass(frozen=True)
class Trial:
    """What jobs took that were tried, and what all will take.

    Attributes:
        seconds: of each.
        failures: the sentences of those that failed, each once.
        all_seconds, all_bytes: of all jobs, one after the other, and of their results.
    """

    seconds: tuple[float, ...] = ()
    failures: tuple[str, ...] = ()
    all_seconds: float = 0.0
    all_bytes: float = 0.0


def tried(specs: Sequence[Spec]) -> Trial:
    """Try some of the jobs in a temporary folder.

    One is done once before the clock runs, so that models are loaded.
    """
    areas = [_area(spec) for spec in specs]
    by_area = sorted(range(len(specs)), key=areas.__getitem__)
    sampled = [by_area[len(by_area) * k // SAMPLED] for k in range(SAMPLED)] if len(specs) > SAMPLED else by_area
    works = {at: work(specs[at]) for at in sampled}
    ordered = sorted(sampled, key=works.__getitem__)
    middle = len(ordered) // 2
    chosen = sorted({(len(ordered) - 1) * k // (TRIED - 1) for k in range(TRIED)}, key=lambda at: abs(at - middle))
    trial, failures, models, began = Trial(), dict[str, None](), Models(), time.monotonic()
    area, done, size = 0, 0.0, 0.0
    with tempfile.TemporaryDirectory(prefix="repaint-") as folder:
        _try(specs[ordered[chosen[0]]], Path(folder), models)
        for at in chosen:
            if trial.seconds and time.monotonic() - began > ENOUGH:
                break
            outcome, written = _try(specs[ordered[at]], Path(folder), models)
            if outcome.code:
                failures[outcome.sentence] = None
            else:
                trial = Trial((*trial.seconds, outcome.seconds))
                area, done, size = area + areas[ordered[at]], done + works[ordered[at]], size + written
    times = sum(works.values()) / len(works) * len(specs) / max(1.0, done)
    spent = sum(trial.seconds) * times
    return Trial(trial.seconds, tuple(failures), spent, size * sum(areas) / max(1, area))


def work(spec: Spec) -> float:
    """How much there is to do in relation to other jobs of its model; 0 where that cannot be told."""
    try:
        arguments = spec.arguments()
        looked_at, selected = TASKS[spec.task].extent(arguments)
        painted = find(model_id(arguments)).family == "exemplar"
    except EngineError:  # the job itself will say so
        return 0.0
    variants = int(spec.options.get("variants", 1))
    if not painted:
        return float(variants * looked_at)
    if looked_at <= by_octaves.SMALL_AREA and selected <= by_octaves.SMALL_SELECTION:
        selected *= SMALL
    return variants * (BEGIN + selected) + FILE_SHARE * _area(spec)


def _try(spec: Spec, folder: Path, models: Models) -> tuple[Outcome, int]:
    """What came of it, and the bytes of its results."""
    options = {name: value for name, value in spec.options.items() if name not in FILES}
    spec = replace(spec, output=str(folder / Path(spec.output).name), options=options)
    outcome = run(spec, models)
    return outcome, sum(Path(name).stat().st_size for name in outcome.files)


def memory(specs: Sequence[Spec]) -> int | None:
    """Bytes that a worker needs at the largest of its jobs; None if the model does not tell."""
    return max(_needs(sorted(specs, key=_area)[-LARGEST:]), default=None)


def _needs(specs: Sequence[Spec]) -> Iterator[int]:
    for spec in specs:
        try:
            extent, variants = TASKS[spec.task].extent(spec.arguments()), spec.options.get("variants", 1)
            found, number = find(model_id(spec.arguments())), len(maps.named(spec.arguments()))
            need = forecast.of_run(found, *extent, spec.task == "tile", variants, number)
            if need is not None:
                yield need + (FILE_BYTES + MAP_BYTES * number) * _area(spec)
        except EngineError:  # of a mask that cannot be used; the job itself will say so
            continue


def _area(spec: Spec) -> int:
    """Pixels of the picture; 0 if it cannot be read any more."""
    try:
        height, width = imagefile.size(Path(spec.picture))
    except EngineError:
        return 0
    return height * width


def free_memory() -> int | None:
    """Bytes of main memory that programs can still have (Linux); None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        return None


def free_disk(folder: Path) -> int:
    """Bytes that can be written into a folder, which need not be there yet."""
    return shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.is_dir())).free
