"""``lab time``, the report's § 3.1 and Figure 4: seconds of a network call by the side of the picture."""

from __future__ import annotations

import math
import time
from functools import partial
from itertools import pairwise

import numpy as np

from engine import api
from engine.bench import cost
from engine.lab.experiment import Cell, Experiment, Live, Option, Result, Setup
from engine.lab.notebook import Notebook, Record
from engine.lab.plots import Point
from engine.lab.report import Claim, Plot, Section, Table, Value, told

SIDES = (64, 96, 128, 192, 256)
EXEMPLAR_SIDES = (64, 96, 128, 160)
"""Larger pictures it paints octave by octave, and one call is not like another."""
BUSY, WAITING = 0.8, 0.3
"""Exponents of the area: from the first on the arithmetic takes the time; up to the second it is what each call costs
whatever its size, on a GPU the launches of its kernels."""
ALIKE = 1.25
"""Up to so many times the seconds the report's 10 % hold."""


def _cells(setup: Setup) -> list[Cell]:
    calls = 3 if setup.small else int(setup.options["calls"])
    return [
        Cell({"model": info.id, "side": side}, partial(_timed, setup, info.id, side, calls))
        for info in setup.models(lambda info: info.family != "latent", "pixel model")
        for side in (EXEMPLAR_SIDES if info.family == "exemplar" else SIDES)[: 2 if setup.small else None]
    ]


def _timed(setup: Setup, name: str, side: int, calls: int, live: Live) -> Result:
    """A run on a picture of that side, the middle of it selected, seen whole."""
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
    seconds: list[float] = []
    with cost.measured(model.device) as spent:
        began = time.perf_counter()
        for event in api.run(job, model):
            if isinstance(event, api.Step):
                event.preview()  # so that the device has done what it was given
                seconds.append(round(time.perf_counter() - began, 6))
                live.step(event.call, event.calls, numbers={"seconds a call": seconds[-1]})
            began = time.perf_counter()
    numbers = {"first call": seconds[0], "further call": float(np.median(seconds[1:])), "peak MiB": spent.peak_mib}
    return Result({**numbers, "calls": seconds})


def _conclude(notebook: Notebook) -> list[Section]:
    by_model: dict[str, list[Record]] = {}
    for record in notebook.records:
        by_model.setdefault(str(record.settings["model"]), []).append(record)
    lines: dict[str, list[Point]] = {}
    rows: list[list[Value]] = []
    for name, records in by_model.items():
        records.sort(key=lambda record: record.settings["side"])
        points = [(float(record.settings["side"]), record.number("further call") or 0.0) for record in records]
        lines[name] = [*points]
        growth = [None, *(_growth(*pair) for pair in pairwise(points))]
        for record, exponent in zip(records, growth, strict=True):
            first, further = record.number("first call"), record.number("further call")
            bound = None if exponent is None else _bound(exponent)
            rows.append([name, record.settings["side"], first, further, record.number("peak MiB"), exponent, bound])
    plot = Plot(lines, "side of the picture in pixels", "seconds a call", log_x=True, log_y=True)
    head = ["model", "side", "first call, s", "further calls, s", "peak MiB", "growth", "bound by"]
    text = (
        "Each run paints the middle of a square picture that the network sees whole. The further calls are their "
        "median; the first one is apart, since it pays for what is made ready. Growth is the exponent of the area "
        f"against the size before: from {BUSY} on the arithmetic takes the time, up to {WAITING} what each call costs "
        "whatever its size: on a GPU the launches of its kernels."
    )
    return [Section("Figure 4: seconds a call", text, [plot, *_claims(by_model), Table(head, rows)])]


def _growth(small: Point, large: Point) -> float | None:
    if not small[1] or not large[1]:
        return None
    return math.log(large[1] / small[1]) / (2 * math.log(large[0] / small[0]))


def _bound(exponent: float) -> str:
    if exponent >= BUSY:
        return "arithmetic"
    return "launches" if exponent <= WAITING else "both"


def _claims(by_model: dict[str, list[Record]]) -> list[Claim]:
    """Records of each model by side."""
    alike, later, longer = [], [], []
    for name, records in by_model.items():
        firsts = [(record.number("first call") or 0) / (record.number("further call") or 1) for record in records]
        longer += [first > 1 for first in firsts]
        later.append(f"{name} {min(firsts):.2g} to {max(firsts):.2g} times as long")
        few, many = (records[k].number("further call") or 0.0 for k in (0, -1))
        if len(records) > 1 and few:
            how = f"{100 * (many / few - 1):.0f} % more" if many < 2 * few else f"{many / few:.1f} times as much"
            sides = f"{records[-1].settings['side']} pixels against {told(few)} s at {records[0].settings['side']}"
            alike.append((many < ALIKE * few, f"{name} {told(many)} s at {sides}, {how}"))
    first = "The first iteration is always slightly longer."
    kept = f"{sum(longer)} of {len(longer)} times: " + "; ".join(later) + "."
    claims = [Claim(first, _holds(longer), kept)]
    if alike:
        claims.insert(0, Claim(SIZES, _holds([each for each, _ in alike]), "; ".join(each for _, each in alike) + "."))
    return claims


def _holds(each: list[bool]) -> str:
    if all(each):
        return "holds"
    return "holds in part" if any(each) else "does not hold"


SIZES = "There is no large time difference (roughly 10 %) between sampling from 64x64 and 256x256."
TIME = Experiment(
    "time",
    "Time and the size of the picture (§ 3.1)",
    SIZES,
    _cells,
    _conclude,
    (Option("calls", 12, "network calls of each size"),),
)
