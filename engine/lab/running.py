"""Running an experiment: the cells that its notebook has not, one after the other, and the pages at the end."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from tqdm import tqdm

from engine import devices
from engine.bench import cost
from engine.errors import EngineError
from engine.lab.experiment import Cell, Experiment, Result, Scene, Setup
from engine.lab.notebook import Notebook
from engine.models import digest
from engine.version import __version__


class Onlooker(Protocol):
    """Who is told of the cells: see :class:`engine.lab.experiment.Live`."""

    def begin(self, cell: Cell) -> None: ...

    def step(self, call: int, calls: int, look: Callable[[], Scene] | None, numbers: Mapping[str, float]) -> None: ...

    def done(self, cell: Cell, result: Result) -> None: ...


@dataclass
class Outcome:
    """How far a run came.

    Attributes:
        kept: cells done, earlier ones too; ``of`` how many there are.
        failed: a sentence for each cell that failed.
        stopped: by Ctrl+C.
    """

    notebook: Notebook
    of: int
    kept: int = 0
    failed: list[str] = field(default_factory=list)
    stopped: bool = False


def run(
    experiment: Experiment,
    setup: Setup,
    folder: Path,
    command: str,
    onlookers: Sequence[Onlooker] = (),
    limit: float | None = None,
) -> Outcome:
    """Run what is still to be run; Ctrl+C ends it, and what is done stays.

    Args:
        command: as it was typed, for the page.
        limit: seconds, after which no further cell is begun.

    Raises:
        EngineError: as :class:`Notebook` and ``experiment.cells``; a cell's own failure is in the outcome.
    """
    cells = experiment.cells(setup)
    notebook = Notebook(folder, facts(experiment, setup, command))
    todo = [cell for cell in cells if not notebook.has(cell.settings)]
    outcome = Outcome(notebook, len(cells), len(cells) - len(todo))
    began = time.monotonic()
    with tqdm(total=outcome.of, initial=outcome.kept, disable=None, unit="cell", dynamic_ncols=True) as bar:
        bar.set_description(experiment.name)
        live = _Told(bar, onlookers)
        try:
            for cell in todo:
                if limit is not None and time.monotonic() - began > limit:
                    break
                live.begin(cell)
                started = time.monotonic()
                try:
                    result = cell.run(live)
                except EngineError as error:
                    outcome.failed.append(f"{_words(cell)}: {error.sentence}")
                    bar.write(f"failed: {outcome.failed[-1]}", sys.stderr)
                    continue
                notebook.add(cell.settings, result, time.monotonic() - started)
                outcome.kept += 1
                live.done(cell, result)
                bar.update()
        except KeyboardInterrupt:
            outcome.stopped = True
    notebook.write_numbers()
    return outcome


class _Told:
    """A cell's :class:`engine.lab.experiment.Live`: all onlookers at once."""

    def __init__(self, bar: Any, onlookers: Sequence[Onlooker]) -> None:
        self._bar, self._onlookers = bar, onlookers

    def begin(self, cell: Cell) -> None:
        self._bar.set_postfix_str(_words(cell))
        for each in self._onlookers:
            each.begin(cell)

    def step(
        self,
        call: int,
        calls: int,
        look: Callable[[], Scene] | None = None,
        numbers: Mapping[str, float] | None = None,
    ) -> None:
        for each in self._onlookers:
            each.step(call, calls, look, numbers or {})

    def done(self, cell: Cell, result: Result) -> None:
        for each in self._onlookers:
            each.done(cell, result)


def facts(experiment: Experiment, setup: Setup, command: str) -> dict[str, Any]:
    """What ``settings.json`` says of a run; the models are those that the experiment has chosen."""
    device = devices.chosen(setup.device)
    return {
        "experiment": experiment.name,
        "small": setup.small,
        "options": setup.options,
        "models": {info.id: digest(info)[:12] for info in setup.chosen},
        "device": device.type,
        "version": __version__,
        "command": command,
        "machine": cost.device_name(device),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": platform.platform(),
        "date": time.strftime("%Y-%m-%d"),
    }


def _words(cell: Cell) -> str:
    return ", ".join(f"{name} {value}" for name, value in cell.settings.items())
