"""``lab steps``, the report's § 3.2, Figure 5 and Table 1: numbers of steps, without resampling."""

from __future__ import annotations

from functools import partial

import numpy as np

from engine.lab.experiment import Cell, Experiment, Live, Option, Result, Setting, Setup
from engine.lab.notebook import Notebook, Record
from engine.lab.plots import Plot
from engine.lab.questions import (
    SIDE,
    Question,
    affordable,
    answered,
    drawn,
    groups,
    line,
    mean,
    names,
    pixels,
    questions,
    side,
    whole,
)
from engine.lab.report import Claim, Pictures, Section, Table, Value

STEPS = (2, 5, 10, 25, 50, 100, 250, 500, 1000)
SHOWN = (2, 50, 100, 500, 1000)
"""Those of Table 1."""
FLAT_FROM = 10
TIMED, NOT_LINEAR = (50, 250, 1000), 0.15
"""Steps between which the cost of a further one is compared, and by what share it may differ."""
MEASURES = ("st_lpips_alex", "lpips_alex", "ssim", "seam", "spread")


def _cells(setup: Setup) -> list[Cell]:
    steps = STEPS[:3] if setup.small else STEPS
    out = []
    for info in setup.models(pixels, "pixel model"):
        count = int(setup.options["pictures"]) or affordable(setup, info, 1, 10)
        for asked in questions(count, side(setup, info)):
            for number in steps:
                settings: dict[str, Setting] = {"model": info.id, "picture": asked.name, "steps": number, "seed": 1}
                out.append(Cell(settings, partial(_run, setup, info.id, asked, number)))
    return out


def _run(setup: Setup, name: str, asked: Question, steps: int, live: Live) -> Result:
    model = setup.load(name)
    picture, numbers = answered(live, asked, model, asked.job(model, 1, schedule="none", steps=steps))
    return Result(numbers, {"result": picture, "original": asked.truth, "given": asked.holed})


def _conclude(notebook: Notebook) -> list[Section]:
    out = []
    for model in names(notebook.records, "model"):
        records = whole(notebook.find(model=model), "steps")
        by = groups(records, "steps")
        kept = [name for name in MEASURES if mean(records, name) is not None]
        rows: list[list[Value]] = [
            [steps, len(group), mean(group, "seconds"), _worked(group), *(mean(group, name) for name in kept)]
            for steps, group in by.items()
        ]
        head = ["steps", "pictures", "seconds", "processor s", *kept]
        table = Table(head, rows, "Means over the pictures; seam and spread over the truth's own.")
        out.append(Section(f"{model}: numbers", "", [*_claims(by), table]))
    out.append(Section("Figure 5", "", drawn(_plot(notebook, name) for name in ("seconds", *MEASURES))))
    out.append(Section("Table 1", "", [grid(notebook, "steps", SHOWN)]))
    return out


def _worked(records: list[Record]) -> float | None:
    """Seconds of a run: of the processor where it computed, which a busy machine does not change."""
    worked = mean(records, "processor")
    return mean(records, "seconds") if worked is None else worked


def _claims(by: dict[int, list[Record]]) -> list[Claim]:
    out = []
    worked = {steps: value for steps, group in by.items() if (value := _worked(group)) is not None}
    if worked.keys() >= set(TIMED):
        few, some, many = (worked[steps] for steps in TIMED)
        early, late = (1000 * (some - few) / (TIMED[1] - TIMED[0]), 1000 * (many - some) / (TIMED[2] - TIMED[1]))
        found = (
            f"A further step costs {early:.2f} ms between {TIMED[0]} and {TIMED[1]} steps, {late:.2f} ms between "
            f"{TIMED[1]} and {TIMED[2]}: {late / early:.2f} times as much."
        )
        words = "Time is linear in the steps, but ImageNet's model takes more for each step the more there are."
        out.append(Claim(words, "linear" if abs(late / early - 1) < NOT_LINEAR else "not linear", found))
    for name in ("st_lpips_alex", "lpips_alex"):
        values = {steps: value for steps, group in by.items() if (value := mean(group, name)) is not None}
        later = [value for steps, value in values.items() if steps >= FLAT_FROM]
        if values.keys() >= {2, FLAT_FROM} and len(later) > 1:
            drop, wave = values[2] - values[FLAT_FROM], max(later) - min(later)
            found = (
                f"{name}: {values[2]:.3f} at 2 steps, {values[FLAT_FROM]:.3f} at {FLAT_FROM}, then {min(later):.3f} to "
                f"{max(later):.3f}."
            )
            words = "LPIPS plummets from 2 to 10 steps and remains stable above."
            out.append(Claim(words, "holds" if drop > wave else "does not hold", found))
    return out


def _plot(notebook: Notebook, name: str) -> Plot:
    models = names(notebook.records, "model")
    lines = {model: line(whole(notebook.find(model=model), "steps"), "steps", name) for model in models}
    return Plot(lines, "steps", name.replace("_", " "), log_x=True, log_y=name == "seconds")


def grid(
    notebook: Notebook, setting: str, shown: tuple[int, ...], by: tuple[str, ...] = ("model", "picture")
) -> Pictures:
    """Rows of pictures for each combination of the settings ``by``; columns: the original, what was given, and the
    values of ``setting`` that are to be shown."""
    columns = [value for value in shown if notebook.find(**{setting: value})]
    groups: dict[str, dict[Setting, Record]] = {}
    for record in notebook.records:
        title = ", ".join(str(record.settings[name]) for name in by if record.settings[name])
        groups.setdefault(title, {})[record.settings[setting]] = record
    rows: list[tuple[str, list[np.ndarray | None]]] = []
    for title, group in groups.items():
        first = next(iter(group.values()))
        cells = [group[value].picture("result") if value in group else None for value in columns]
        rows.append((title, [first.picture("original"), first.picture("given"), *cells]))
    return Pictures(["original", "given", *(f"{value} {setting}" for value in columns)], rows)


EXPERIMENT = Experiment(
    "steps",
    "Steps without resampling (§ 3.2)",
    "LPIPS plummets from 2 to 10 steps and remains stable above; quality visibly grows up to 100.",
    _cells,
    _conclude,
    (
        Option("pictures", 0, "pictures, each with another mask; 0: 10, of a network on a CPU 1"),
        SIDE,
    ),
)
