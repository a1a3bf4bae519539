"""``lab resampling``, the report's § 3.3, Tables 2 and 3: samples a jump at 50 steps, with and without a class."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from engine.lab.experiment import Cell, Experiment, Live, Option, Result, Setting, Setup
from engine.lab.latent import ground, plainly
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
    question,
    questions,
    side,
    whole,
)
from engine.lab.report import Claim, Section, Table, Value
from engine.lab.steps import grid
from engine.sampling import schedule

SAMPLES = (1, 2, 5, 10, 25, 50)
TIMES, JUMP = 50, 10
"""T and L: with them the report's numbers of iterations, 130 and 3970, come out."""
WITH_CLASS = (1, 10, 50)
"""Those of Table 2."""
MEASURES = ("st_lpips_alex", "lpips_alex", "ssim", "seam", "spread", "border", "elsewhere")


def _cells(setup: Setup) -> list[Cell]:
    out = []
    steps, length = (6, 2) if setup.small else (TIMES, JUMP)
    for info in setup.models():
        count = int(setup.options["pictures"]) or affordable(setup, info, 1, 10)
        tasks: list[tuple[str, Question, str, tuple[int, ...]]] = []
        if not info.takes_prompt:
            asked = questions(count, side(setup, info))
            tasks += [("holes", each, "", SAMPLES[:2] if setup.small else SAMPLES) for each in asked]
        if info.takes_prompt or info.takes_label:
            few = (1, 2) if setup.small else WITH_CLASS
            tasks += [("around the middle", centre(info.id), word, few) for word in ("", _word(setup, info.id))]
        for kind, each, word, samples in tasks:
            for number in samples:
                settings: dict[str, Setting] = {
                    "model": info.id, "asked": kind, "picture": each.name, "class": word, "samples": number,
                    "steps": steps, "jump": length, "seed": 1,
                }  # fmt: skip
                out.append(Cell(settings, partial(_run, setup, info.id, each, word, (steps, length, number))))
    return out


def _word(setup: Setup, model: str) -> str:
    return str(setup.options["class"]) or ("a blue square" if model.startswith("toy") else "pelican")


def centre(model: str) -> Question:
    """Only the middle is known, as the report's apple: a cup, or for the toy a red disc."""
    if not model.startswith("toy"):
        return question("coffee-narrow", {"shape": "expand", "box": [20, 20, 24, 24]}, 256)
    truth, selection = ground(3), np.full((128, 128), 255, np.uint8)
    y, x = np.mgrid[:128, :128] - 63.5
    truth[np.hypot(y, x) < 24] = (200, 45, 40)
    selection[36:92, 36:92] = 0
    return Question("red disc", truth, selection)


def _run(setup: Setup, name: str, asked: Question, word: str, levels: tuple[int, int, int], live: Live) -> Result:
    model, (steps, length, samples) = setup.load(name), levels
    options = {"steps": steps, "jump_length": length, "jump_samples": samples}
    said: dict[str, Any] = {}
    if model.read is not None:
        model = plainly(model)
        said = {"prompt": word, "guidance": 4.0 if word else 1.0}
    elif word:
        said = {"label": word}
    picture, numbers = answered(live, asked, model, asked.job(model, 1, **options, **said))
    numbers["iterations"] = schedule.uniform(steps, length, samples).transitions
    return Result(numbers, {"result": picture, "original": asked.truth, "given": asked.holed})


def _conclude(notebook: Notebook) -> list[Section]:
    out, kinds = [], groups_of(notebook)
    for title, records in kinds.items():
        by = groups(records, "samples")
        kept = [name for name in MEASURES if mean(records, name) is not None]
        rows: list[list[Value]] = [
            [number, len(group), *(mean(group, name) for name in ("iterations", "calls", "seconds", *kept))]
            for number, group in by.items()
        ]
        head = ["samples", "pictures", "iterations", "calls", "seconds", *kept]
        out.append(Section(title, "", [*_claims(by), Table(head, rows, "Means over the pictures.")]))
    out.append(Section("What it changes", "", drawn(_plot(kinds, name) for name in MEASURES)))
    out.append(Section("Tables 2 and 3", "", [grid(notebook, "samples", SAMPLES, ("model", "picture", "class"))]))
    return out


def groups_of(notebook: Notebook) -> dict[str, list[Record]]:
    """The records by model and by what it was asked for, of pictures that are done with every number of samples."""
    out: dict[str, list[Record]] = {}
    for record in notebook.records:
        word = record.settings["class"]
        title = f"{record.settings['model']}, {record.settings['asked']}" + (f", “{word}”" if word else "")
        out.setdefault(title, []).append(record)
    return {title: whole(records, "samples") for title, records in out.items()}


def _claims(by: dict[int, list[Record]]) -> list[Claim]:
    few, many = by[min(by)], by[max(by)]
    out = []
    words = {
        "seam": "The more resampling, the better the hole joins its surroundings.",
        "spread": "Resampling takes details away.",
        "border": "Too much of it reproduces the patterns around the border of the mask.",
    }
    for name, claim in words.items():
        before, after = mean(few, name), mean(many, name)
        if before is None or after is None or few is many:
            continue
        found = f"{name} {before:.2f} with {min(by)} and {after:.2f} with {max(by)} samples"
        if name == "border" and (away := mean(few, "elsewhere")) and (later := mean(many, "elsewhere")):
            found += f"; to patches elsewhere {away:.2f} and {later:.2f}"
        out.append(Claim(claim, "holds" if _towards(name, before, after) else "does not hold", found + "."))
    return out


def _towards(name: str, before: float, after: float) -> bool:
    """Whether it goes where the claim says by 5 % or more; of what is lost or repeated, beyond the truth's own, too."""
    if name == "seam":
        return abs(after - 1) < abs(before - 1) - 0.05
    return after < 0.95 * min(before, 1.0)


def _plot(kinds: dict[str, list[Record]], name: str) -> Plot:
    lines = {title: line(records, "samples", name) for title, records in kinds.items()}
    return Plot(lines, "samples a jump", name.replace("_", " "), log_x=True)


EXPERIMENT = Experiment(
    "resampling",
    "The amount of resampling (§ 3.3)",
    "More resampling is better up to 50 samples a jump, but too much of it takes details away and repeats the border.",
    _cells,
    _conclude,
    (
        Option("pictures", 0, "pictures, each with another mask; 0: 10, of a network on a CPU 1"),
        SIDE,
        Option("class", "", "class or prompt that the models that have them are asked for"),
    ),
)
