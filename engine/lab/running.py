"""Running experiments: the cells that a notebook has not, one after the other, then its pages."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, Protocol

import torch
from tqdm import tqdm

from engine import devices
from engine.bench import cost
from engine.errors import EngineError
from engine.lab import report
from engine.lab.experiment import Experiment, Result, Scene, Setup
from engine.lab.notebook import Notebook
from engine.models import digest
from engine.version import __version__


class Onlooker(Protocol):
    """Who is told of cells, and of their steps as of :class:`engine.lab.experiment.Live`."""

    def begin(self, experiment: Experiment, words: str, done: int, of: int) -> None:
        """A cell of that experiment begins; so many are done."""

    def step(self, call: int, calls: int, look: Callable[[], Scene] | None, numbers: Mapping[str, float]) -> None: ...

    def end(self, result: Result) -> None: ...

    def close(self) -> None: ...


@dataclass
class Outcome:
    """How far an experiment came.

    Attributes:
        done: cells, earlier ones too; ``of`` how many there are.
        failed: a sentence for each cell that failed.
        stopped: by Ctrl+C.
        sections: of its page.
    """

    notebook: Notebook
    of: int
    done: int
    failed: list[str] = field(default_factory=list)
    stopped: bool = False
    sections: list[report.Section] = field(default_factory=list)

    @property
    def words(self) -> str:
        seconds = sum(record.seconds for record in self.notebook.records)
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return f"{self.done} of {self.of} cells{failed}, {span(seconds)}"


def run(
    experiment: Experiment,
    setup: Setup,
    folder: Path,
    command: str,
    onlookers: Sequence[Onlooker] = (),
    limit: float | None = None,
) -> Outcome:
    """Run what is still to be run, and write the pages; Ctrl+C ends it, and what is done stays.

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
    with tqdm(total=outcome.of, initial=outcome.done, disable=None, unit="cell", dynamic_ncols=True) as bar:
        bar.set_description(experiment.name)
        live = _Told([_Bar(bar), *onlookers])
        try:
            for cell in todo:
                if limit is not None and time.monotonic() - began >= limit:
                    break
                words = ", ".join(f"{name} {value}" for name, value in cell.settings.items())
                live.begin(experiment, words, outcome.done, outcome.of)
                started = time.monotonic()
                try:
                    result = cell.run(live)
                except EngineError as error:
                    outcome.failed.append(f"{words}: {error.sentence}")
                    bar.write(f"failed: {outcome.failed[-1]}", sys.stderr)
                    continue
                notebook.add(cell.settings, result, time.monotonic() - started)
                outcome.done += 1
                live.end(result)
                bar.update()
        except KeyboardInterrupt:
            outcome.stopped = True
    _write_pages(experiment, outcome)
    return outcome


class _Told:
    """A cell's :class:`engine.lab.experiment.Live`: all onlookers at once."""

    def __init__(self, onlookers: Sequence[Onlooker]) -> None:
        self._onlookers = onlookers

    def begin(self, experiment: Experiment, words: str, done: int, of: int) -> None:
        for each in self._onlookers:
            each.begin(experiment, words, done, of)

    def step(
        self,
        call: int,
        calls: int,
        look: Callable[[], Scene] | None = None,
        numbers: Mapping[str, float] | None = None,
    ) -> None:
        for each in self._onlookers:
            each.step(call, calls, look, numbers or {})

    def end(self, result: Result) -> None:
        for each in self._onlookers:
            each.end(result)


class _Bar:
    """The progress bar: cells, and behind them the one in work."""

    def __init__(self, bar: Any) -> None:
        self._bar, self._words, self._shown = bar, "", 0.0

    def begin(self, _experiment: Experiment, words: str, _done: int, _of: int) -> None:
        self._words = words
        self._bar.set_postfix_str(words)

    def step(self, call: int, calls: int, _look: Callable[[], Scene] | None, _numbers: Mapping[str, float]) -> None:
        if time.monotonic() - self._shown > 0.2:
            self._shown = time.monotonic()
            self._bar.set_postfix_str(f"{self._words}, {call}/{calls}")

    def end(self, _result: Result) -> None: ...

    def close(self) -> None: ...


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


def _write_pages(experiment: Experiment, outcome: Outcome) -> None:
    notebook, known = outcome.notebook, outcome.notebook.facts
    outcome.sections = list(experiment.conclude(notebook)) if notebook.records else []
    notebook.write_numbers()
    models = ", ".join(f"{name} ({weights})" for name, weights in known["models"].items())
    options = ", ".join(f"{name} {value}" for name, value in known["options"].items() if value != "")
    told = {
        "Command": f"`{known['command']}`",
        "Models": models or "none",
        "Options": options + (", small: the numbers mean nothing" if known["small"] else ""),
        "Done": outcome.words,
        "Machine": f"{known['machine']} ({known['device']}), {known['system']}",
        "Versions": f"engine {known['version']}, torch {known['torch']}, Python {known['python']}",
        "Date": known["date"],
    }
    told |= {f"Failed {number}": sentence for number, sentence in enumerate(outcome.failed[:5], 1)}
    shown = {name: value.strip(", ") for name, value in told.items() if value.strip(", ")}
    rows = notebook.rows()
    head = list(dict.fromkeys(name for row in rows for name in row))
    numbers = report.Table(head, [[report.told(row.get(name)) for name in head] for row in rows])
    claim = experiment.claim
    notebook.write("report.html", report.html(experiment.title, claim, shown, outcome.sections, numbers))
    lines = [f"# {experiment.title}", f"“{claim}”", *(f"- {name}: {value}" for name, value in shown.items())]
    notebook.write("report.md", "\n\n".join([*lines[:2], "\n".join(lines[2:]), report.markdown(outcome.sections)]))


def index(folder: Path, found: Sequence[tuple[Experiment, Outcome | str]], command: str) -> str:
    """The page of all experiments.

    Args:
        folder: in which they are, each in the one of its name.
        found: what came out of each, or a sentence why nothing did.
    """
    out = [
        "<h1>The report, experiment by experiment</h1>",
        f'<p class="soft"><code>{escape(command)}</code></p><ul class="all">',
    ]
    for experiment, outcome in found:
        title, claims, told = escape(experiment.title), "", outcome
        if isinstance(outcome, Outcome):
            page = outcome.notebook.folder.relative_to(folder) / "report.html"
            title, told = f'<a href="{page.as_posix()}">{title}</a>', outcome.words
            claims = report.verdicts(outcome.sections)
        said = f"<p>“{escape(experiment.claim)}”</p>" if not claims else ""
        out.append(f'<li><b>{title}</b>{said}{claims}<p class="soft">{escape(str(told))}</p></li>')
    return report.page("The laboratory", "".join([*out, "</ul>"]))


def span(seconds: float) -> str:
    """A length of time in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
