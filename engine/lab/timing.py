"""``lab time``, the report's § 3.1 and Figure 4: seconds of a network call by the side of the picture."""

from __future__ import annotations

from functools import partial

import numpy as np

from engine import api
from engine.bench import cost
from engine.lab.experiment import Cell, Experiment, Live, Option, Result, Setup
from engine.lab.notebook import Notebook
from engine.lab.plots import Plot
from engine.lab.report import Section, Table

SIDES = (64, 96, 128, 192, 256)


def _cells(setup: Setup) -> list[Cell]:
    calls = 3 if setup.small else int(setup.options["calls"])
    sides = SIDES[:2] if setup.small else SIDES
    return [
        Cell({"model": info.id, "side": side}, partial(_timed, setup, info.id, side, calls))
        for info in setup.models(lambda info: info.family != "latent", "pixel model")
        for side in sides
    ]


def _timed(setup: Setup, name: str, side: int, calls: int, live: Live) -> Result:
    """The calls of a run on a picture of that side, the middle of it selected, seen whole."""
    model = setup.load(name)
    image = np.random.default_rng(side).integers(0, 255, (side, side, 4), np.uint8)
    image[..., 3] = 255
    selection = np.zeros((side, side), np.uint8)
    selection[side // 4 : -side // 4, side // 4 : -side // 4] = 255
    label = 0 if model.labels and not model.label_optional else None
    job = api.Job(
        image, selection, name, seed=1, steps=calls, jump_length=calls, jump_samples=1, padding=side, scale=1.0,
        label=label,
    )  # fmt: skip
    ends = [0.0]
    with cost.measured(model.device) as spent:
        for event in api.run(job, model):
            if isinstance(event, api.Step):
                live.step(event.call, event.calls)
                ends.append(event.seconds)
    took = np.diff(ends)
    return Result(
        {
            "first": float(took[0]),
            "call": float(np.median(took[1:])),
            "calls": [round(float(each), 5) for each in took],
            "peak_mib": spent.peak_mib,
        }
    )


def _conclude(notebook: Notebook) -> list[Section]:
    models = list(dict.fromkeys(str(each.settings["model"]) for each in notebook.records))
    lines: dict[str, list[tuple[float, ...]]] = {
        name: [(float(each.settings["side"]), each.number("call") or 0.0) for each in notebook.find(model=name)]
        for name in models
    }
    rows = [
        [each.settings["model"], each.settings["side"], *(each.number(name) for name in ("first", "call", "peak_mib"))]
        for each in notebook.records
    ]
    plot = Plot(lines, "side in pixels", "seconds a call", log_x=True, log_y=True)
    return [Section("Seconds a call", "", [plot, Table(["model", "side", "first call", "further", "peak MiB"], rows)])]


TIME = Experiment(
    "time",
    "Time and the size of the picture (§ 3.1)",
    "There is no large time difference (roughly 10 %) between sampling from 64x64 and 256x256.",
    _cells,
    _conclude,
    (Option("calls", 10, "network calls of each size"),),
)
