"""``lab benchmarks``: the sampler and its rivals on published problems whose posterior is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean, pstdev

import torch

from engine.lab.benchmarks import measures, problems
from engine.lab.benchmarks.methods import METHODS, draw
from engine.lab.benchmarks.problems import Problem
from engine.lab.experiment import Cell, Experiment, Live, Result, Setting, Setup
from engine.lab.notebook import Notebook, Record
from engine.lab.report import Section, Table, Value


@dataclass(frozen=True)
class Benchmark:
    """Problems of one kind.

    Attributes:
        cases: settings of its problems, each a few numbers by name.
        problem: (case, number 0 …) → the problem.
        measure: (problem, samples, generator) → numbers by name.
        methods: names in :data:`METHODS`, in the order of the table.
        problems: how many for each case.
        samples: (case) → how many for each problem.
    """

    cases: list[dict[str, Setting]]
    problem: Callable[[dict[str, Setting], int], Problem]
    measure: Callable[[Problem, torch.Tensor, torch.Generator], dict[str, float]]
    methods: tuple[str, ...]
    problems: int
    samples: Callable[[dict[str, Setting]], int]


def _score_ksd(problem: Problem, x: torch.Tensor, _generator: torch.Generator) -> dict[str, float]:
    return {
        "ksd": measures.score_ksd(x, problem.posterior.score(x), problem.ksd_c),
        "rmse": float((x - problems.TRUTH).square().mean(1).sqrt().mean()),
        "spread": float(x.var(0).sum() / problem.posterior.moments()[1].sum()),
    }


def _sliced(problem: Problem, x: torch.Tensor, generator: torch.Generator) -> dict[str, float]:
    return {"sw": measures.sliced_wasserstein(x, problem.posterior.sample(len(x), generator), generator)}


def _moments(problem: Problem, x: torch.Tensor, generator: torch.Generator) -> dict[str, float]:
    truth = problem.posterior.sample(len(x), generator)
    mean, variance = problem.posterior.moments()
    return {
        "mean": float((x.mean(0) - mean).norm()),
        "variance": float((x.var(0) - variance).norm()),
        "mmd": measures.mmd(x, truth),
        "sw": measures.sliced_wasserstein(x, truth, generator),
    }


NOISES = (0.1, 5.0)
"""Of the inpainting with correlation."""
OURS = ("exact", "fast", "fast-told", "fast-flow", "quality", "quality-told")
RIVALS = ("ddrm", "ddrm-20", "ddnm", "diffpir", "lanpaint", "ding", "ding-delayed")
BENCHMARKS = {
    "score-ksd": Benchmark(
        [{"noise": 0.2}, {"noise": 0.5}],
        lambda case, number: problems.weak(float(case["noise"]), number),
        _score_ksd,
        (*OURS, "repaint", "dps", "diffpir-fixed", *RIVALS),
        5,
        lambda _: 100,
    ),
    "grid": Benchmark(
        [{"d": d, "observed": observed} for d in (8, 80, 800) for observed in (1, 2, 4)],
        lambda case, number: problems.grid(int(case["d"]), int(case["observed"]), number),
        _sliced,
        (*OURS, "repaint", "dps-100", *RIVALS),
        20,
        lambda case: 100 if case["d"] == 800 else 500,
    ),
    "correlated": Benchmark(
        [{"noise": noise} for noise in NOISES],
        lambda case, number: problems.correlated(float(case["noise"]), number),
        _moments,
        (*OURS, "repaint", "dps-100", *RIVALS),
        20,
        lambda _: 500,
    ),
}
SMALL_PROBLEMS, SMALL_SAMPLES = 2, 50
LONG = ("repaint", "dps")
"""Methods of a thousand calls and more: left out where a test cannot afford them, and of the grid beyond d = 8."""


def _cells(setup: Setup) -> list[Cell]:
    cells = []
    for name, benchmark in BENCHMARKS.items():
        for case in benchmark.cases[:1] if setup.small else benchmark.cases:
            for method in benchmark.methods:
                if method in LONG and (setup.small or int(case.get("d", 8)) > 8):
                    continue
                settings: dict[str, Setting] = {"benchmark": name, **case, "method": method}
                cells.append(Cell(settings, partial(_run, benchmark, case, method, setup.small)))
    return cells


def _run(benchmark: Benchmark, case: dict[str, Setting], method: str, small: bool, live: Live) -> Result:
    found: dict[str, list[float]] = {}
    seconds, calls = 0.0, 0
    numbers = SMALL_PROBLEMS if small else benchmark.problems
    for number in range(numbers):
        problem = benchmark.problem(case, number)
        count = SMALL_SAMPLES if small else benchmark.samples(case)
        drawn = draw(METHODS[method], problem, count, seed=number)
        generator = torch.Generator().manual_seed(10_000 + number)
        for name, value in benchmark.measure(problem, drawn.x, generator).items():
            found.setdefault(name, []).append(value)
        seconds, calls = seconds + drawn.seconds, drawn.calls
        live.step(number + 1, numbers)
    return Result({**found, "calls": float(calls), "seconds": seconds / numbers})


PUBLISHED = {
    "exact": ("0.36 (0.02)", "0.24 (0.00)"),
    "dps": ("0.42 (0.02)", "0.38 (0.07)"),
    "diffpir-fixed": ("0.61 (0.06)", "1.23 (0.28)"),
    "ddrm": ("0.67 (0.06)", "0.70 (0.13)"),
    "ddnm": ("1.18 (0.13)", "2.56 (0.52)"),
}
"""An-KSD at σ = .2 and .5 of what runs here, too (arXiv 2602.04189v2, Table 3)."""
PUBLISHED_ONLY = {
    "MCG-Diff, N runs": ("0.42 (0.02)", "0.24 (0.01)"),
    "DAPS": ("0.72 (0.05)", "1.35 (0.27)"),
    "FPS, N runs": ("1.00 (0.14)", "1.52 (0.32)"),
    "PnP-DM": ("1.03 (0.10)", "1.98 (0.45)"),
    "RED-Diff": ("1.61 (0.07)", "2.49 (0.43)"),
}
"""The same table's rows of what does not."""


def _score_ksd_table(notebook: Notebook) -> Table:
    rows: list[list[Value]] = []
    for method in BENCHMARKS["score-ksd"].methods:
        low, high = (_found(notebook, "score-ksd", method, noise=noise) for noise in (0.2, 0.5))
        if low or high:
            published = PUBLISHED.get(method, (None, None))
            values = [_deviation(low, "ksd"), published[0], _deviation(high, "ksd"), published[1]]
            spreads = [_deviation(low, "spread"), _deviation(high, "spread")]
            seconds = fmean(cell.number("seconds") or 0.0 for cell in (low, high) if cell)
            rows.append([*_who(method, [low, high]), f"{seconds:.3f}", *values, *spreads])
    rows += [[title, *4 * [None], low, None, high, None, None] for title, (low, high) in PUBLISHED_ONLY.items()]
    head = [*WHO, "seconds", "σ = .2", "published", "σ = .5", "published", "spread, .2", "spread, .5"]
    caption = (
        "An-KSD, lower is better, and the variance over the posterior's, ideally 1: mean (deviation) over five draws"
    )
    return Table(head, rows, f"{caption} of the noise, 100 samples each.")


def _grid_table(notebook: Notebook) -> Table:
    benchmark = BENCHMARKS["grid"]
    rows: list[list[Value]] = []
    for method in benchmark.methods:
        cells = [_found(notebook, "grid", method, **case) for case in benchmark.cases]
        if any(cells):
            rows.append([*_who(method, cells), *(_interval(cell, "sw") for cell in cells)])
    head = [*WHO, *(f"{case['d']} / {case['observed']}" for case in benchmark.cases)]
    return Table(head, rows, "Sliced Wasserstein distance by d / d_y, mean of 20 problems ± 1.96 standard errors.")


def _correlated_table(notebook: Notebook, noise: float) -> Table:
    rows: list[list[Value]] = []
    for method in BENCHMARKS["correlated"].methods:
        cell = _found(notebook, "correlated", method, noise=noise)
        if cell:
            values = [_interval(cell, name) for name in ("mean", "variance", "sw")]
            rows.append([*_who(method, [cell]), *values, _interval(cell, "mmd", 3)])
    head = [*WHO, "mean", "variance", "sliced Wasserstein", "MMD²"]
    caption = f"σ = {noise:g}: distances of the means, of the variances and of 500 samples; 20 problems"
    return Table(head, rows, f"{caption}, mean ± 1.96 standard errors.")


def _found(notebook: Notebook, benchmark: str, method: str, **case: Setting) -> Record | None:
    found = notebook.find(benchmark=benchmark, method=method, **case)
    return found[0] if found else None


def _values(cell: Record, name: str) -> list[float]:
    values = cell.numbers[name]
    assert isinstance(values, list)
    return values


def _deviation(cell: Record | None, name: str) -> str | None:
    """Mean (standard deviation), as the paper has it."""
    return None if cell is None else f"{fmean(_values(cell, name)):.2f} ({pstdev(_values(cell, name)):.2f})"


def _interval(cell: Record | None, name: str, digits: int = 2) -> str | None:
    """Mean ± 1.96 standard errors."""
    if cell is None:
        return None
    values = _values(cell, name)
    return f"{fmean(values):.{digits}f} ± {1.96 * pstdev(values) / math.sqrt(len(values)):.{digits}f}"


WHO = ("method", "calls", "told σ")


def _who(method: str, cells: Sequence[Record | None]) -> list[Value]:
    """The first columns of a row."""
    calls = next(cell.number("calls") for cell in cells if cell) or 0
    return [METHODS[method].title, int(calls), "yes" if METHODS[method].told else "no"]


def _told_helps(notebook: Notebook) -> str:
    """What knowing the noise does to score-KSD."""
    words = []
    for method in ("exact", "fast", "fast-told", "quality", "quality-told"):
        cells = [_found(notebook, "score-ksd", method, noise=noise) for noise in (0.2, 0.5)]
        values = " / ".join("–" if cell is None else f"{fmean(_values(cell, 'ksd')):.2f}" for cell in cells)
        words.append(f"{METHODS[method].title} {values}")
    return f"Score-KSD at σ = .2 / .5: {', '.join(words)}."


def _places(notebook: Notebook) -> str:
    """Who is the nearest to the posterior, in how many of the grid's and the correlated cases."""
    nearest: dict[str, int] = {}
    for name in ("grid", "correlated"):
        for case in BENCHMARKS[name].cases:
            found = {method: _found(notebook, name, method, **case) for method in BENCHMARKS[name].methods}
            means = {method: fmean(_values(cell, "sw")) for method, cell in found.items() if cell and method != "exact"}
            if means:
                best = METHODS[min(means, key=means.__getitem__)].title
                nearest[best] = nearest.get(best, 0) + 1
    told = ", ".join(f"{title} ({count})" for title, count in sorted(nearest.items(), key=lambda each: -each[1]))
    return f"Nearest by sliced Wasserstein distance, of {sum(nearest.values())} cases of the other two: {told}."


def _conclude(notebook: Notebook) -> list[Section]:
    return [
        Section("Summary", f"{_told_helps(notebook)}\n\n{_places(notebook)}"),
        Section("Score-KSD", SCORE_KSD, [_score_ksd_table(notebook)]),
        Section("A grid of 25 Gaussians", GRID, [_grid_table(notebook)]),
        Section(
            "Inpainting with correlation", CORRELATED, [_correlated_table(notebook, noise) for noise in (0.1, 5.0)]
        ),
    ]


SCORE_KSD = (
    "Sixteen coordinates, two of them a mixture of two, fourteen observed weakly and with noise (arXiv 2602.04189). "
    "Whoever is not told of the noise takes what is observed for exact."
)
GRID = (
    "25 Gaussians in d dimensions, d_y random linear observations with noise (arXiv 2308.07983), as an inpainting in "
    "the coordinates of the observation's singular vectors."
)
CORRELATED = (
    "Three Gaussians in ten dimensions, eight coordinates seen with noise σ, two to be found (arXiv 2503.03007)."
)

EXPERIMENT = Experiment(
    "benchmarks",
    "Published benchmarks: the sampler beside its rivals, where the posterior is known",
    "A sampler for inpainting is to draw from the posterior; on these problems the posterior is known.",
    _cells,
    _conclude,
)
