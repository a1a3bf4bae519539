"""An experiment of three cells that does what a test says, and how it is run."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.commands.cli import main
from engine.lab import (
    EXPERIMENTS,
    Cell,
    Claim,
    Experiment,
    Live,
    Notebook,
    Option,
    Pictures,
    Plot,
    Result,
    Scene,
    Section,
    Setup,
    Table,
)

GRAY = np.full((8, 8, 3), 127, np.uint8)


class Trial:
    """An experiment of three cells, which tells which ones were run and does what it is told in them."""

    def __init__(self) -> None:
        self.runs: list[int] = []
        self.within: Callable[[int], None] = lambda _number: None
        self.experiment = Experiment(
            "trial", "A trial", "Three cells are run.", self._cells, self._conclude, (Option("scale", 2.0, "a factor"),)
        )

    def _cells(self, setup: Setup) -> list[Cell]:
        def run(number: int, live: Live) -> Result:
            self.runs.append(number)
            live.step(1, 2, lambda: Scene(GRAY, GRAY, GRAY, GRAY), {"loss": 0.5})
            self.within(number)
            live.step(2, 2)
            value = number * float(setup.options["scale"])
            return Result({"value": value, "curve": [1.0, value], "lost": None}, {"made": GRAY + number})

        return [Cell({"number": number, "kind": "a/b ü"}, lambda live, k=number: run(k, live)) for number in (1, 2, 3)]

    def _conclude(self, notebook: Notebook) -> list[Section]:
        points = [(float(record.settings["number"]), record.number("value") or 0.0) for record in notebook.records]
        shown = [record.picture("made") for record in notebook.records]
        return [
            Section(
                "What <came> out",
                "First `code` & more.\n\nSecond.",
                [
                    Claim("Three are run.", "holds" if len(points) == 3 else "not all", f"{len(points)} were."),
                    Plot({"value": [(*point, 0.5) for point in points]}, "number", "value", "A <line>."),
                    Table(["number", "value", "none"], [[*point, None] for point in points], "All of them."),
                    Pictures(["made", "missing"], [(str(k), [each, None]) for k, each in enumerate(shown)]),
                ],
            )
        ]


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> Trial:
    found = Trial()
    monkeypatch.setitem(EXPERIMENTS, "trial", found.experiment)
    return found


def lab(out: Path, *more: str) -> int:
    return main(["lab", "trial", "--out", str(out), *more])


def refused(capsys, *words: str) -> None:
    said = capsys.readouterr().err
    assert re.fullmatch(r"error: .+[.]\n", said), said
    for word in words:
        assert word in said, said
