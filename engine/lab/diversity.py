"""``lab diversity``, the report's § 3.5, Tables 4 and 5: branches of a kept state by jumps and by drawn schedules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from engine import api
from engine.bench import measures
from engine.lab.experiment import Cell, Experiment, Live, Number, Option, Result, Setting, Setup, watched
from engine.lab.notebook import Notebook, Record
from engine.lab.plots import Plot
from engine.lab.questions import SIDE, Question, distances, groups, mean, names, pixels, questions, side, whole
from engine.lab.report import Claim, Pictures, Section, Table, Value
from engine.run import Event
from engine.sampling import Schedule

STEPS, LEVEL = 50, 14
"""Levels of the run, and the one at which its state is kept, as the report's."""
JUMPS = {"small": 5, "medium": 12, "large": 25}
"""Levels of a jump: shares of the run as of :data:`engine.api.states.JUMPS`."""
TIMES = (1, 2, 3)
DRAWN: dict[str, tuple[tuple[int, int], ...]] = {
    "large, then late small": ((14, 25), (2, 5), (2, 5), (2, 5)),
    "late small": ((2, 5), (2, 5), (2, 5)),
    "falling": ((14, 25), (10, 12), (5, 5)),
}
"""Schedules drawn by hand: (level, jump up from there), one after the other."""
PARENT_SEED = 1
CAPTION = "Means over pictures and seeds; structure of 255, seam and fine over the parent's."
MEASURES = ("to_parent", "among", "structure", "seam", "fine")


def walk(start: int, jumps: Sequence[tuple[int, int]]) -> list[int]:
    """Levels from ``start`` to −1, with jumps up on the way.

    >>> walk(3, [(2, 1)])
    [3, 2, 3, 2, 1, 0, -1]
    """
    levels = [start]
    for at, length in jumps:
        levels += [*range(levels[-1] - 1, at - 1, -1), *range(at + 1, at + length + 1)]
    return [*levels, *range(levels[-1] - 1, -2, -1)]


def ways(small: bool) -> dict[str, tuple[tuple[int, int], ...]]:
    """By name the jumps of each branch; none is another seed alone."""
    if small:
        return {"another seed": (), "small × 1": ((2, 1),), "large × 1": ((2, 3),)}
    jumps = {f"{name} × {times}": ((LEVEL, length),) * times for name, length in JUMPS.items() for times in TIMES}
    return {"another seed": (), **jumps, **DRAWN}


def _cells(setup: Setup) -> list[Cell]:
    steps, level, seeds = (6, 2, 2) if setup.small else (STEPS, LEVEL, int(setup.options["seeds"]))
    count = 1 if setup.small else int(setup.options["pictures"])
    out = []
    for info in setup.models(pixels, "pixel model"):
        for asked in questions(count, side(setup, info)):
            parents: dict[str, tuple[api.Kept, np.ndarray]] = {}
            for way, jumps in ways(setup.small).items():
                settings: dict[str, Setting] = {
                    "model": info.id, "picture": asked.name, "way": way, "steps": steps, "level": level, "seeds": seeds,
                }  # fmt: skip
                run = partial(_run, setup, info.id, asked, jumps, (steps, level), seeds, parents)
                out.append(Cell(settings, run))
    return out


def _run(
    setup: Setup,
    name: str,
    asked: Question,
    jumps: tuple[tuple[int, int], ...],
    levels: tuple[int, int],
    seeds: int,
    parents: dict[str, tuple[api.Kept, np.ndarray]],
    live: Live,
) -> Result:
    """All branches of one way; ``parents`` holds what they branch from, once it was painted."""
    model = setup.load(name)
    if name not in parents:
        parents[name] = parent(asked, model, *levels, live)
    kept, before = parents[name]
    branch = along(kept, jumps)
    pictures = [
        asked.shown(watched(live, kept.job, api.resume(branch, model, seed=PARENT_SEED + 10 + k))) for k in range(seeds)
    ]
    numbers = compared(pictures, before, asked) | {"calls": branch.remaining}
    shown = {f"seed {k + 1}": picture for k, picture in enumerate(pictures)}
    return Result(numbers, {"parent": before, "original": asked.truth} | shown)


def parent(asked: Question, model: api.Model, steps: int, level: int, live: Live) -> tuple[api.Kept, np.ndarray]:
    """A run without resampling: its state at a level, and its picture."""
    states: list[api.Kept] = []
    job = asked.job(model, PARENT_SEED, schedule="none", steps=steps)

    def keeping() -> Iterator[Event]:
        for event in api.run(job, model):
            if isinstance(event, api.Step) and event.call == steps - 1 - level:
                states.append(event.keep())
            if not isinstance(event, api.Learning):
                yield event

    finished = watched(live, job, keeping())
    return states[0], asked.shown(finished)


def along(kept: api.Kept, jumps: Sequence[tuple[int, int]]) -> api.Kept:
    """The same state before another rest of its way."""
    levels, position = kept.schedule.levels, kept.state.position
    return replace(kept, schedule=Schedule((*levels[:position], *walk(levels[position], jumps))))


def compared(pictures: Sequence[np.ndarray], before: np.ndarray, asked: Question) -> dict[str, Number]:
    """Means over the branches.

    ``to_parent``, ``among``: ST-LPIPS to the parent's picture, and between two branches. ``structure``: RMS difference
    to the parent (of 255) after a blur. ``seam``: jump across the border, over the parent's. ``fine``: strength of fine
    detail in the hole, over the parent's; below 1 is smoother.
    """
    new, far = asked.new, distances().get("st_lpips_alex")
    box = measures.hole_box(new)
    seam = measures.seam_jump(before, new) or 1.0
    fine = measures.roughness(before, new)
    return {
        "to_parent": None if far is None else float(np.mean([far(each[box], before[box]) for each in pictures])),
        "among": None if far is None else measures.diversity([each[box] for each in pictures], far),
        "structure": float(np.mean([measures.smooth_error(each, before, new) for each in pictures])),
        "seam": float(np.mean([measures.seam_jump(each, new) or 1.0 for each in pictures])) / seam,
        "fine": float(np.mean([measures.roughness(each, new) for each in pictures])) / fine,
    }


def _conclude(notebook: Notebook) -> list[Section]:
    if not notebook.records:
        return []
    lines: dict[str, list[tuple[float, ...]]] = {}
    for record in notebook.records[: len(names(notebook.records, "way"))]:
        level, way = int(record.settings["level"]), str(record.settings["way"])
        jumps = ways(way not in ways(False) or level != LEVEL)[way]
        lines[way] = [(float(k), float(value)) for k, value in enumerate(walk(level, jumps))]
    out = [Section("Table 4: the schedules", "From the kept state on.", [Plot(lines, "iteration", "level")])]
    for model in names(notebook.records, "model"):
        rows: list[list[Value]] = []
        for way, group in _done(notebook, model).items():
            rows.append([way, mean(group, "calls"), *(mean(group, name) for name in MEASURES)])
        head = [
            "branch",
            "calls",
            "ST-LPIPS to parent",
            "among branches",
            "structure, of 255",
            "seam / parent's",
            "fine / parent's",
        ]
        out.append(Section(model, "", [*_claims(notebook, model), Table(head, rows, CAPTION)]))
    out.append(Section("Table 5", "", [_grid(notebook)]))
    return out


def _done(notebook: Notebook, model: str) -> dict[str, list[Record]]:
    """Records by branch, of pictures that have them all, in the order of :func:`ways`."""
    by = groups(whole(notebook.find(model=model), "way"), "way")
    return {way: by[way] for way in names(notebook.records, "way") if way in by}


def _claims(notebook: Notebook, model: str) -> list[Claim]:
    """Small against large jumps, one against several, and late small ones after a large one."""

    def of(way: str, name: str) -> float | None:
        return mean(_done(notebook, model).get(way, []), name)

    out = []
    small, large, seed = (of(way, "structure") for way in ("small × 1", "large × 1", "another seed"))
    if small is not None and large is not None:
        among = [of(way, "among") for way in ("small × 1", "large × 1")]
        more = "" if None in among else f"; ST-LPIPS among branches {among[0]:.3f} and {among[1]:.3f}"
        told = f"One small jump moves the picture by {small:.1f} of 255, one large by {large:.1f}"
        alone = "" if seed is None else f"; another seed alone by {seed:.1f}"
        holds = "holds" if large > 1.5 * small else "does not hold"
        out.append(Claim("Only large jumps change the picture; small ones cannot.", holds, told + alone + more + "."))
    rough = [of(way, "fine") for way in ("small × 1", "small × 3", "large × 1", "large × 3")]
    if None not in rough:
        holds = "holds" if rough[1] < rough[0] and rough[3] < rough[2] else "does not hold"  # type: ignore[operator]
        found = (
            f"Fine detail over the parent's: small {rough[0]:.2f} once, {rough[1]:.2f} three times; large "
            f"{rough[2]:.2f} and {rough[3]:.2f}."
        )
        out.append(Claim("More resampling patterns give smoother images.", holds, found))
    seams = [of(way, "seam") for way in ("large × 1", "large, then late small")]
    if None not in seams:
        holds = "holds" if seams[1] < seams[0] - 0.02 else "does not hold"  # type: ignore[operator]
        found = f"Seam over the parent's: {seams[0]:.2f} after a large jump, {seams[1]:.2f} with three late small ones."
        out.append(Claim("A large jump needs a few late small ones to blend.", holds, found))
    return out


def _grid(notebook: Notebook) -> Pictures:
    rows: list[tuple[str, list[np.ndarray | None]]] = []
    seeds = max(int(record.settings["seeds"]) for record in notebook.records)
    for record in notebook.records:
        title = ", ".join(str(record.settings[name]) for name in ("model", "picture", "way"))
        columns = ["original", "parent", *(f"seed {k + 1}" for k in range(seeds))]
        rows.append((title, [_shown(record, name) for name in columns]))
    return Pictures(["original", "parent", *(f"seed {k + 1}" for k in range(seeds))], rows)


def _shown(record: Record, name: str) -> np.ndarray | None:
    return record.picture(name) if name in record.pictures else None


EXPERIMENT = Experiment(
    "diversity",
    "Branches of a kept state (§ 3.5)",
    "Only large jumps change what is seen; small ones blend, so a large one and a few late small ones are best.",
    _cells,
    _conclude,
    (
        Option("seeds", 3, "branches of each kind"),
        Option("pictures", 1, "pictures, each with another mask"),
        SIDE,
    ),
)
