"""``lab time``, the report's § 3.1 and Figure 4: seconds of a network call by the side of the picture.

The exemplar model has no network: what its calls cost depends on the picture, and no two are alike.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import torch

from engine import api, canvas, devices
from engine.bench import cost
from engine.errors import BadInput
from engine.lab.experiment import Cell, Experiment, Live, Number, Option, Result, Setup
from engine.lab.notebook import Notebook, Record
from engine.lab.plots import Point
from engine.lab.report import Claim, Plot, Section, Table, Value, told
from engine.models import convert, guided, unet
from engine.sampling import linear_alpha_bar

SIDES = (64, 96, 128, 192, 256)
ADM = {64: "adm-64", 256: "adm-256"}
"""The report's networks by the side of their pictures (Dhariwal & Nichol 2021): the kinds to convert."""
RANDOM = "adm-random"
MEASURED = ("first call", "further call", "first work", "further work", "peak MiB", "load")
LOADED = "Of a processor the work of all its threads, which a busy neighbour hardly changes."
BUSY, WAITING = 0.8, 0.3
"""Exponents of the area: from the first on the arithmetic takes the time; up to the second it is what each call costs
whatever its size, on a GPU the launches of its kernels."""
ALIKE = 1.25
"""Up to so many times the seconds the report's 10 % hold."""


def _cells(setup: Setup) -> list[Cell]:
    calls, adm = (3, 0) if setup.small else (int(setup.options["calls"]), int(setup.options["adm"]))
    if not setup.small and (calls < 2 or adm not in (0, *range(2, 1001))):
        raise BadInput("bad_calls", "--calls must be 2 or more, --adm 0 or 2 to 1000.")
    cells = [
        Cell({"model": info.id, "side": side}, partial(_timed, partial(setup.load, info.id), side, calls))
        for info in setup.models(lambda info: info.family not in ("latent", "exemplar"), "network of pixels")
        for side in SIDES[: 2 if setup.small else None]
    ]
    networks = [
        Cell({"model": RANDOM, "side": side}, partial(_timed, partial(_random, kind, side, setup.device), side, adm))
        for side, kind in ADM.items()
    ]
    return cells + (networks if adm else [])


def _random(kind: str, side: int, device: str | None) -> api.Model:
    """A guided-diffusion network of that kind, without classes; the clock does not see that its weights are random."""
    from diffusers import UNet2DModel

    config = convert.PRESETS[kind]
    assert isinstance(config, guided.GuidedConfig)
    torch.manual_seed(0)
    network = UNet2DModel.from_config(guided.unet_config(replace(config, classes=None)))
    place = devices.chosen(device)
    predict = unet.predictor(network.eval().requires_grad_(False), place)
    info = api.ModelInfo(RANDOM, RANDOM, "diffusers-pixel", "GPL-3.0-or-later")
    geometry = canvas.Geometry(32, side, side, any_scale=False)
    return api.Model(info, predict, linear_alpha_bar(), "epsilon", geometry, place)


def _timed(load: Callable[[], api.Model], side: int, calls: int, live: Live) -> Result:
    """A run on a picture of that side, the middle of it selected, seen whole."""
    model = load()
    image = np.random.default_rng(side).integers(0, 255, (side, side, 4), np.uint8)
    image[..., 3] = 255
    selection = np.zeros((side, side), np.uint8)
    selection[side // 4 : -side // 4, side // 4 : -side // 4] = 255
    label = 0 if model.labels and not model.label_optional else None
    job = api.Job(
        image, selection, model.info.id, seed=1, steps=calls, jump_length=calls, jump_samples=1, label=label,
        padding=side, scale=1.0,
    )  # fmt: skip
    seconds: list[float] = []
    work: list[float] = []
    with cost.measured(model.device) as spent:
        began, worked = time.perf_counter(), time.process_time()
        for event in api.run(job, model):
            if isinstance(event, api.Step):
                event.preview()  # so that the device has done what it was given
                seconds.append(round(time.perf_counter() - began, 6))
                work.append(round(time.process_time() - worked, 6))
                live.step(event.call, event.calls, numbers={"seconds a call": seconds[-1]})
            began, worked = time.perf_counter(), time.process_time()
    numbers: dict[str, Number] = {
        "first call": seconds[0],
        "further call": float(np.median(seconds[1:])),
        "peak MiB": spent.peak_mib,
        "load": cost.load_average(),
    }
    if model.device.type == "cpu":  # a neighbour's work does not count
        numbers |= {"first work": work[0], "further work": float(np.median(work[1:]))}
    return Result({**numbers, "calls": seconds})


def _first(record: Record) -> float:
    """Seconds of the first call, of the processor's own work where it is known."""
    return record.number("first work") or record.number("first call") or 0.0


def _further(record: Record) -> float:
    return record.number("further work") or record.number("further call") or 0.0


def _conclude(notebook: Notebook) -> list[Section]:
    by_model: dict[str, list[Record]] = {}
    for record in notebook.records:
        by_model.setdefault(str(record.settings["model"]), []).append(record)
    lines: dict[str, list[Point]] = {}
    rows: list[list[Value]] = []
    for name, records in by_model.items():
        records.sort(key=lambda record: record.settings["side"])
        points = [(float(record.settings["side"]), _further(record)) for record in records]
        lines[name] = [*points]
        growth = [None, *(_growth(*pair) for pair in pairwise(points))]
        for record, exponent in zip(records, growth, strict=True):
            bound = None if exponent is None else _bound(exponent)
            measured = [record.number(each) for each in MEASURED]
            rows.append([name, record.settings["side"], *measured, exponent, bound])
    plot = Plot(lines, "side of the picture in pixels", "seconds a call", LOADED, log_x=True, log_y=True)
    head = ["model", "side", *MEASURED, "growth", "bound by"]
    text = (
        "Each run paints the middle of a square picture that the network sees whole. The further calls are their "
        "median; the first one is apart, since it pays for what is made ready. "
        f"`{RANDOM}` is the report's pair, guided diffusion for 64 and for 256 pixels, with random weights.\n\n"
        "Work is what all threads of a processor did for a call, load how many processes wanted to run meanwhile. "
        f"Growth is the exponent of the area against the size before: from {BUSY} on the arithmetic takes the time, up "
        f"to {WAITING} what each call costs whatever its size: on a GPU the launches of its kernels."
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
        firsts = [_first(record) / (_further(record) or 1.0) for record in records]
        longer += [first > 1 for first in firsts]
        later.append(f"{name} {min(firsts):.2f} to {max(firsts):.2f} times as long")
        by_side = {record.settings["side"]: _further(record) for record in records}
        few, many = (by_side.get(side, 0.0) for side in ADM)
        if few and many:
            how = f"{100 * (many / few - 1):.0f} % more" if many < 2 * few else f"{many / few:.1f} times as much"
            alike.append((many < ALIKE * few, f"{name} {told(many)} s against {told(few)} s, {how}"))
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
    (
        Option("calls", 12, "network calls of each size"),
        Option("adm", 4, "calls of the report's two networks, with random weights; 0 leaves them out"),
    ),
)
