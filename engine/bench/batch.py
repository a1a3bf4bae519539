"""What a batch costs beyond its jobs, what a second worker brings, and ten thousand tiny jobs.

Other programs on the machine make wall clocks lie, so that processor seconds stand beside them: jobs that take as much
processor time with two workers as with one are done twice as fast where there are two idle cores.
"""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from engine import api, canvas, devices
from engine.batch import Common, Entry, Executor, Local, Manifest, Tally, checked, pending, read, work, written
from engine.bench.cases import FOLDER, read_picture
from engine.bench.cost import load_average
from engine.files import Picture, imagefile, maskfile

SOURCES = ("asphalt", "brick-red", "boards-right", "cat-wide")
SIDE, HOLE = 640, 256
"""Pixels of the pictures that the default model paints, about 2 s each on one core."""
TINY = 24
EARLY = 0.1
"""Share of the tiny jobs after which memory is looked at for the first time."""
COLUMNS = ("what", "workers", "jobs", "wall_s", "processor_s", "main_s", "early_mib", "late_mib")

Row = dict[str, Any]
Executors = Mapping[str, Callable[[int], Executor]]
"""Makers of executors for so many workers, by their names."""
LOCAL: Executors = {"local": Local}


def measure(out: Path, jobs: int, tiny: int, workers: int, executors: Executors = LOCAL) -> dict[str, Any]:
    """All rows; pictures, results and ``batch.csv`` go into ``out``, which must be new.

    Args:
        jobs: of about 2 s, for each row; more than three for each worker.
        tiny: jobs of the test model.
        workers: of the rows with several.
    """
    began = load_average()
    out.mkdir(parents=True)
    devices.use_threads(1)
    rows = []
    if jobs:
        _draw(out / "pictures", jobs, SIDE, HOLE)
        rows += _overhead(out, [str(out / "pictures" / f"{number}.png") for number in range(jobs)])
        for name, make in executors.items():
            rows += [_steady(out, name, make(number), jobs) for number in (1, workers)]
    if tiny:
        os.environ["REPAINT_BRIDGE_TEST_MODELS"] = "1"
        _draw(out / "tiny", 1, TINY, TINY // 2)
        for name, make in executors.items():
            for number in (1, workers):
                rows += _tiny(out, name, make(number), tiny)
    with open(out / "batch.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return {"cores": os.cpu_count(), "load": [began, load_average()], "rows": rows}


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    load = " … ".join("?" if value is None else f"{value:.1f}" for value in result["load"])
    lines = [f"{result['cores']} cores; load average {load}", ""]
    lines += [
        "| | workers | jobs | s | jobs/s | a job, ms | processors, a job, ms | this process, ms | MiB, early … late |",
        "|" + "---|" * 9,
    ]
    for row in result["rows"]:
        memory = "–" if row["early_mib"] is None else f"{row['early_mib']:.0f} … {row['late_mib']:.0f}"
        each = " | ".join(f"{1000 * row[name] / row['jobs']:.2f}" for name in ("wall_s", "processor_s", "main_s"))
        lines.append(
            f"| {row['what']} | {row['workers']} | {row['jobs']} | {row['wall_s']:.1f} "
            f"| {row['jobs'] / row['wall_s']:.2f} | {each} | {memory} |"
        )
    return "\n".join(lines)


def _row(what: str, workers: int, jobs: int, passed: np.ndarray, memory: tuple[float, ...] = ()) -> Row:
    early, late = memory or (None, None)
    return dict(zip(COLUMNS, (what, workers, jobs, *map(float, passed), early, late), strict=True))


def _now() -> np.ndarray:
    """Seconds: of a clock, of the processors for this process and its children that are alive, and for this one."""
    ticks = sum(int(field) for fields in _of_children("stat") for field in fields.rpartition(")")[2].split()[11:13])
    own = time.process_time()
    return np.array([time.monotonic(), own + (ticks and ticks / os.sysconf("SC_CLK_TCK")), own])


def _memory() -> float:
    """MiB of this process and its children."""
    lines = [line for text in [*_of_children("status"), _read("self", "status")] for line in text.splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def _of_children(name: str) -> list[str]:
    return [_read(child.pid, name) for child in multiprocessing.active_children()]


def _read(process: int | str | None, name: str) -> str:
    try:
        return Path(f"/proc/{process}/{name}").read_text()
    except OSError:  # another system
        return ""


def _overhead(out: Path, pictures: list[str]) -> list[Row]:
    """The same jobs in a bare loop and as a batch in one process, in turns, one by one."""
    model = api.load_model("exemplar", "cpu")
    _bare(Path(pictures[0]), out / "bare.png", model)  # compiles
    bare, batched = np.zeros(3), np.zeros(3)
    before = _now()
    outcomes = _batch(pictures, out / "one", Local(1))
    for picture in pictures:
        next(outcomes)
        between = _now()
        batched += between - before
        _bare(Path(picture), out / "bare.png", model)
        before = _now()
        bare += before - between
    outcomes.close()
    batched += _now() - before
    number = len(pictures)
    return [_row("a bare loop", 1, number, bare), _row("a batch, in the same process", 1, number, batched)]


def _bare(picture: Path, out: Path, model: api.Model) -> None:
    """Read, paint, write: the least that a job is."""
    found, selection = imagefile.read(picture), maskfile.read(picture.with_name(f"{picture.stem}-mask.png"))
    for event in api.run(api.Job(found.rgba(), selection, model="exemplar", seed=1), model):
        if isinstance(event, api.Finished):
            made = canvas.composite(found.pixels, event.selection, event.fill, event.region)
            imagefile.write(out, Picture(made))


def _batch(jobs: list[str], out: Path, executor: Executor, **options: Any) -> Generator[None, None, None]:
    """What the command does; one step for each outcome."""
    options = {"device": "cpu", "seed": 1, **options}
    entries: list[Entry] = list(checked(read(jobs, Common(out, "inpaint", options))))
    assert not any(entry.problem for entry in entries)
    manifest = Manifest.of(out)
    todo = [entry for entry in pending(entries, manifest, again=False) if entry is not None]
    out.mkdir(exist_ok=True)
    manifest.begin([manifest.name(path) for entry in entries if entry.spec for path in written(entry.spec)])
    with closing(work(todo, executor, manifest, Tally(len(entries)), lambda: False)) as outcomes:
        for _, outcome in outcomes:
            assert not outcome.code, outcome.sentence
            yield


def _steady(out: Path, name: str, executor: Executor, jobs: int) -> Row:
    """From the second outcome of each worker on, until the first has nothing to do."""
    workers, pictures = executor.workers, str(out / "pictures")
    times = [_now() for _ in _batch([pictures], out / f"{name}-{executor.workers}", executor)]
    first, last = 2 * workers - 1, jobs - workers - 1
    return _row(f"a batch, {name}, under way", workers, last - first, times[last] - times[first])


def _tiny(out: Path, name: str, executor: Executor, number: int) -> list[Row]:
    """Many jobs from a list; and the same command again, when all is done."""
    jobs, results = out / "tiny" / "jobs.jsonl", out / f"tiny-{name}-{executor.workers}"
    lines = [{"picture": "0.png", "mask": "0-mask.png", "output": f"{k}.png", "seed": k} for k in range(number)]
    jobs.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    options = {"model": "test/gaussian", "steps": 2, "jump_length": 1, "jump_samples": 1}
    workers, memory, before = executor.workers, [], _now()
    early, late = int(EARLY * number), number - workers  # then the first of them has nothing to do
    for done, _ in enumerate(_batch([str(jobs)], results, executor, **options), 1):
        if done == 1:
            began = _now()
        if done in (early, late):
            memory.append(_memory())
            ended = _now()
    again = _now()
    assert not list(_batch([str(jobs)], results, executor, **options))
    return [
        _row(f"tiny jobs, {name}: until the first is done", workers, number, began - before),
        _row(f"tiny jobs, {name}: under way", workers, late - 1, ended - began, tuple(memory)),
        _row(f"tiny jobs, {name}: to find them all done", workers, number, _now() - again),
    ]


def _draw(folder: Path, number: int, side: int, hole: int) -> None:
    """Pictures out of the jury's, each another part at another size, with their masks."""
    folder.mkdir()
    selection = np.zeros((side, side, 1), np.uint8)
    selection[(side - hole) // 2 :, (side - hole) // 2 :][:hole, :hole] = 255
    for k in range(number):
        source = read_picture(FOLDER / f"{SOURCES[k % len(SOURCES)]}.png")[k // len(SOURCES) :, k // len(SOURCES) :]
        imagefile.write(folder / f"{k}.png", Picture(cv2.resize(source, (side, side), interpolation=cv2.INTER_CUBIC)))
        imagefile.write(folder / f"{k}-mask.png", Picture(selection))
