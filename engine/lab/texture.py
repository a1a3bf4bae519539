"""``lab texture``, the report's § 3.6 and Table 6: textures that are to go on, by models of scenes and of textures."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np

from engine import api
from engine.bench import cases, measures, texture
from engine.lab.experiment import Cell, Experiment, Live, Number, Option, Result, Setting, Setup, painted
from engine.lab.notebook import Notebook, Record
from engine.lab.plots import Plot
from engine.lab.questions import Question, distances, mean, names
from engine.lab.report import Claim, Section, Table, Value
from engine.lab.steps import grid

CHOSEN = ("pebbles", "brick", "straw", "stone-wall")
STEPS, JUMP = 50, 10
SAMPLES = (1, 10)
LIMITS = {
    name: (low, high) for name, _, low, high in texture.LIMITS if name in ("seam_ratio", "far_ratio", "spread_ratio")
}
"""Of the judgement on textures (:mod:`engine.bench.texture`)."""


def questions(side: int, names: tuple[str, ...] = CHOSEN) -> list[Question]:
    """The left side × side pixels are known; half of that is to be added on the right."""
    out = []
    for name, _, picture, (x, y, width, height) in texture.TEXTURES:
        if name in names:
            crop = cases.read_picture(cases.FOLDER / f"{picture}.png")[y : y + height, x : x + width]
            whole = cv2.resize(crop, (side * 3 // 2, side), interpolation=cv2.INTER_AREA)
            selection = np.zeros(whole.shape[:2], np.uint8)
            selection[:, side:] = 255
            out.append(Question(name, whole, selection))
    return out


def kind(info: api.ModelInfo) -> str:
    """What a model was made for."""
    if info.family == "exemplar":
        return "this picture"
    return "textures" if info.id == "texture" else "scenes"


def _cells(setup: Setup) -> list[Cell]:
    out = []
    asked = questions(int(setup.options["side"]), CHOSEN[:1] if setup.small else CHOSEN)
    steps, length, samples = (6, 2, (1, 2)) if setup.small else (STEPS, JUMP, SAMPLES)
    for info in setup.models():
        for number in samples:
            for each in asked:
                settings: dict[str, Setting] = {
                    "model": info.id, "kind": kind(info), "picture": each.name, "samples": number, "steps": steps,
                    "jump": length, "seed": 1,
                }  # fmt: skip
                out.append(Cell(settings, partial(_run, setup, info.id, each, (steps, length, number))))
    return out


def _run(setup: Setup, name: str, asked: Question, levels: tuple[int, int, int], live: Live) -> Result:
    model, (steps, length, samples) = setup.load(name), levels
    job = asked.job(model, 1, steps=steps, jump_length=length, jump_samples=samples)
    finished = painted(live, job, model)
    picture = asked.shown(finished)
    found = measures.Source(asked.truth, asked.new).judge(picture).as_dict()
    ratios = {measure: found[measure] for measure in (*LIMITS, "copy_share")}
    kept = all(low <= (ratios[measure] or 0.0) <= high for measure, (low, high) in LIMITS.items())
    numbers: dict[str, Number] = {"passes": float(kept), "calls": finished.calls, "seconds": finished.seconds, **ratios}
    return Result(numbers | seen(picture, asked), {"result": picture, "original": asked.truth, "given": asked.holed})


def seen(picture: np.ndarray, asked: Question) -> dict[str, Number]:
    """``st_lpips_alex``: distance to the texture as it went on. ``colour``: mean absolute difference, of 255, of the
    new part's mean colour from the truth's."""
    box, new = measures.hole_box(asked.new), asked.new
    shift = np.abs(picture[new].mean(axis=0) - asked.truth[new].mean(axis=0)).mean()
    far = distances().get("st_lpips_alex")
    return {"colour": float(shift), "st_lpips_alex": None if far is None else far(picture[box], asked.truth[box])}


def _conclude(notebook: Notebook) -> list[Section]:
    rows: list[list[Value]] = []
    claims = []
    for model in names(notebook.records, "model"):
        for samples in names(notebook.find(model=model), "samples"):
            group = notebook.find(model=model, samples=samples)
            figures = [mean(group, name) for name in (*LIMITS, "copy_share", "colour", "st_lpips_alex", "calls")]
            rows.append([model, group[0].settings["kind"], samples, f"{_passes(group)} of {len(group)}", *figures])
        claims.append(_claim(notebook, model))
    head = ["model", "made for", "samples", "pass", *LIMITS, "copied", "colour", "ST-LPIPS", "calls"]
    caption = (
        "Means. Pass: the three ratios, ideal 1, within the limits of the judgement on textures. They are lenient in "
        "so small a picture: look at it. Colour: of 255. ST-LPIPS: to the texture as it went on."
    )
    bars = _plot(notebook)
    return [
        Section("Textures that go on", "", [*claims, Table(head, rows, caption), bars]),
        Section("Table 6", "", [grid(notebook, "samples", SAMPLES, ("model", "kind", "picture"))]),
    ]


def _passes(records: list[Record]) -> int:
    return sum(record.number("passes") == 1 for record in records)


def _claim(notebook: Notebook, model: str) -> Claim:
    records = notebook.find(model=model)
    best = max(names(records, "samples"), key=lambda samples: _passes(notebook.find(model=model, samples=samples)))
    group = notebook.find(model=model, samples=best)
    passes = _passes(group)
    words = "Textures fail: models made for scenes do not simply extend the known part."
    if records[0].settings["kind"] != "scenes":
        words = "A model made for textures should be able to do it."
        holds = "holds" if passes > len(group) / 2 else "does not hold"
    else:
        holds = "holds" if passes <= len(group) / 2 else "does not hold"
    made = records[0].settings["kind"]
    return Claim(words, holds, f"{model} (made for {made}) passes {passes} of {len(group)} with {best} samples a jump.")


def _plot(notebook: Notebook) -> Plot:
    lines: dict[str, list[tuple[float, ...]]] = {}
    for model in names(notebook.records, "model"):
        found = [(float(place), mean(notebook.find(model=model), name)) for place, name in enumerate(LIMITS)]
        lines[model] = [(place, value) for place, value in found if value is not None]
    return Plot(lines, "0 seam, 1 far, 2 spread", "ratio, ideal 1", dots=True)


EXPERIMENT = Experiment(
    "texture",
    "Textures that go on (§ 3.6)",
    "The results are very poor: the models try to generate scenes instead of extending the known part.",
    _cells,
    _conclude,
    (Option("side", 64, "of the known part in pixels"),),
)
