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
from engine.tasks import TASKS, maps, model_id

LARGEST = 8
"""Jobs with the largest pictures, whose memory is forecast."""
TRIED = 5
"""Jobs that are tried, spread over the sizes of pictures."""
ENOUGH = 20.0
"""Seconds after which no further job is tried."""
FILE_BYTES = 24
"""Bytes per pixel of a picture that is read whole, of which the engine looks at a part."""
MAP_BYTES = 8
"""The same of a map beside it."""


@dataclass(frozen=True)
class Trial:
    """What jobs took that were tried: the pixels of their pictures, seconds, and bytes of their results.

    ``failures``: the sentences of those that failed, each once.
    """

    area: int = 0
    seconds: tuple[float, ...] = ()
    bytes: int = 0
    failures: tuple[str, ...] = ()


def tried(specs: Sequence[Spec]) -> tuple[Trial, float]:
    """Try some of the jobs in a temporary folder: what they took, and by how much larger all are together.

    One is done once before the clock runs, so that models are loaded.
    """
    areas = [_area(spec) for spec in specs]
    ordered = sorted(range(len(specs)), key=areas.__getitem__)
    middle = len(ordered) // 2
    chosen = sorted({(len(ordered) - 1) * k // (TRIED - 1) for k in range(TRIED)}, key=lambda at: abs(at - middle))
    trial, failures, models, began = Trial(), dict[str, None](), Models(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="repaint-") as folder:
        _try(specs[ordered[chosen[0]]], Path(folder), models)
        for at in chosen:
            if trial.seconds and time.monotonic() - began > ENOUGH:
                break
            outcome, size = _try(specs[ordered[at]], Path(folder), models)
            if outcome.code:
                failures[outcome.sentence] = None
            else:
                area = trial.area + areas[ordered[at]]
                trial = Trial(area, (*trial.seconds, outcome.seconds), trial.bytes + size)
    return replace(trial, failures=tuple(failures)), sum(areas) / max(1, trial.area)


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
