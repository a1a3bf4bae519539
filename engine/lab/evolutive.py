"""``lab evolutive``, the report's § 3.4, Figures 6 and 7: resampling early, late or throughout, with as many calls."""

from __future__ import annotations

from functools import partial

import numpy as np

from engine.bench import measures
from engine.lab.experiment import Cell, Experiment, Live, Option, Result, Setting, Setup
from engine.lab.notebook import Notebook, Record
from engine.lab.plots import Plot
from engine.lab.questions import (
    SIDE,
    Question,
    affordable,
    answered,
    distances,
    groups,
    names,
    pixels,
    questions,
    side,
    spread_of,
    whole,
)
from engine.lab.report import Claim, Pictures, Section, Table, Value
from engine.sampling import Schedule, schedule

STEPS, JUMP = 25, 5
SAMPLES = 5
"""Pictures painted with each schedule."""
MEASURES = ("lpips_alex", "st_lpips_alex", "st_lpips_vgg", "dissimilarity", "seam", "spread")
"""``dissimilarity`` is 1 − SSIM, so that lower is better as of the distances."""


def schedules(steps: int, length: int) -> dict[str, Schedule]:
    """The three, with equal numbers of network calls: uniform takes each jump once, the others all at one end."""
    throughout = schedule.uniform(steps, length, 2)
    jumps = (throughout.calls - steps) // length
    ways = {
        "early": schedule.early(steps, length, jumps + 1),
        "late": schedule.late(steps, length, jumps + 1),
        "uniform": throughout,
    }
    assert len({each.calls for each in ways.values()}) == 1
    return ways


def _cells(setup: Setup) -> list[Cell]:
    steps, length, seeds = (6, 2, 2) if setup.small else (STEPS, JUMP, int(setup.options["samples"]))
    out = []
    for info in setup.models(pixels, "pixel model"):
        count = int(setup.options["pictures"]) or affordable(setup, info, 2, 10)
        for asked in questions(count, side(setup, info)):
            for way, levels in schedules(steps, length).items():
                for seed in range(1, seeds + 1):
                    settings: dict[str, Setting] = {
                        "model": info.id, "picture": asked.name, "resampling": way, "steps": steps, "jump": length,
                        "seed": seed,
                    }  # fmt: skip
                    out.append(Cell(settings, partial(_run, setup, info.id, asked, levels, seed)))
    return out


def _run(setup: Setup, name: str, asked: Question, levels: Schedule, seed: int, live: Live) -> Result:
    model = setup.load(name)
    picture, numbers = answered(live, asked, model, asked.job(model, seed, schedule=levels.levels), both=True)
    similar = numbers.pop("ssim")
    numbers["dissimilarity"] = None if similar is None else 1 - float(similar)  # type: ignore[arg-type]
    return Result(numbers, {"result": picture, "original": asked.truth})


def _conclude(notebook: Notebook) -> list[Section]:
    if not notebook.records:
        return []
    first = notebook.records[0].settings
    ways = schedules(int(first["steps"]), int(first["jump"]))
    lines: dict[str, list[tuple[float, ...]]] = {
        way: [(float(k), float(level)) for k, level in enumerate(levels.levels)] for way, levels in ways.items()
    }
    calls = ways["uniform"].calls
    out = [Section("Figure 6: the schedules", f"{calls} network calls each.", [Plot(lines, "iteration", "level")])]
    for model in names(notebook.records, "model"):
        done = groups(whole(notebook.find(model=model), "resampling"), "resampling")
        by = {way: done.get(way, []) for way in ways}
        kept = [name for name in MEASURES if spread_of(by["uniform"], name)[0] is not None]
        rows: list[list[Value]] = [
            [
                way,
                len(records),
                *(_with_error(*spread_of(records, name)) for name in kept),
                _diversity(notebook, model, way),
            ]
            for way, records in by.items()
        ]
        head = ["resampling", "samples", *kept, "among samples"]
        caption = "Mean ± standard error. Among samples: mean ST-LPIPS of two samples of one picture."
        out.append(Section(model, "", [*_claims(notebook, model, kept), Table(head, rows, caption), _bars(by, kept)]))
    out.append(Section("Figure 7", "", [_grid(notebook, list(ways))]))
    return out


def _with_error(value: float | None, error: float) -> str:
    return "–" if value is None else f"{value:.3f} ± {error:.3f}"


def _bars(by: dict[str, list[Record]], kept: list[str]) -> Plot:
    lines: dict[str, list[tuple[float, ...]]] = {}
    for way, records in by.items():
        found = [(float(place), *spread_of(records, name)) for place, name in enumerate(kept)]
        lines[way] = [(place, value, error) for place, value, error in found if value is not None]
    axis = ", ".join(f"{place} {name.replace('_', ' ')}" for place, name in enumerate(kept))
    return Plot(lines, axis, "mean and standard error", dots=True)


def _claims(notebook: Notebook, model: str, kept: list[str]) -> list[Claim]:
    """Whether early or late resampling is better, for each distance, by more than twice the standard error."""
    out = []
    for name in kept:
        found = None if name in ("seam", "spread") else _difference(notebook, model, name)
        if found is None:
            continue
        (change, error), words = found, "There is no clear winner between early and late resampling."
        winner, clear = "late" if change > 0 else "early", abs(change) > 2 * error
        holds = not clear
        if name == "dissimilarity":
            words, holds = "SSIM suggests that late resampling is slightly better.", clear and winner == "late"
        told = f"{name}: early − late = {change:+.4f} ± {error:.4f}, in pairs of one picture and seed; "
        told += f"{winner} is better" if clear else "no difference"
        out.append(Claim(words, "holds" if holds else "does not hold", f"{told}."))
    return out


def _difference(notebook: Notebook, model: str, name: str) -> tuple[float, float] | None:
    """Mean and standard error of early less late, over pairs of one picture and seed."""
    pairs = []
    for early in notebook.find(model=model, resampling="early"):
        late = notebook.find(**{**early.settings, "resampling": "late"})
        a, b = early.number(name), late[0].number(name) if late else None
        if a is not None and b is not None:
            pairs.append(a - b)
    if len(pairs) < 2:
        return None
    return float(np.mean(pairs)), float(np.std(pairs, ddof=1) / np.sqrt(len(pairs)))


def _diversity(notebook: Notebook, model: str, way: str) -> float | None:
    """Mean ST-LPIPS between two samples of a picture, over the pictures."""
    far = distances().get("st_lpips_alex")
    if far is None:
        return None
    found = []
    for picture in names(notebook.find(model=model), "picture"):
        group = [each.picture("result") for each in notebook.find(model=model, picture=picture, resampling=way)]
        value = measures.diversity(group, far)
        if value is not None:
            found.append(value)
    return float(np.mean(found)) if found else None


def _grid(notebook: Notebook, ways: list[str]) -> Pictures:
    rows: list[tuple[str, list[np.ndarray | None]]] = []
    seeds = sorted(names(notebook.records, "seed"))
    for model in names(notebook.records, "model"):
        for picture in names(notebook.find(model=model), "picture")[:2]:
            for way in ways:
                group = {
                    each.settings["seed"]: each for each in notebook.find(model=model, picture=picture, resampling=way)
                }
                cells = [group[seed].picture("result") if seed in group else None for seed in seeds]
                original = next(iter(group.values())).picture("original") if group else None
                rows.append((f"{model}, {picture}, {way}", [original, *cells]))
    return Pictures(["original", *(f"seed {seed}" for seed in seeds)], rows)


EXPERIMENT = Experiment(
    "evolutive",
    "Resampling early or late (§ 3.4)",
    "There is no clear winner between early and late resampling; SSIM suggests that late is slightly better.",
    _cells,
    _conclude,
    (
        Option("samples", SAMPLES, "pictures painted with each schedule"),
        Option("pictures", 0, "pictures; 0: 10, of a network on a CPU 2"),
        SIDE,
    ),
)
