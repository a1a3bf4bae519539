"""``python -m engine lab NAME``: the report's experiments."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from engine import devices
from engine.errors import BadInput, EngineError
from engine.lab import EXPERIMENTS, Board, Experiment, Onlooker, Outcome, Setup, Watch, index, run, write_text

CANCELLED, FAILURE = 130, 3
FOLDER = Path("lab")


def add_commands(commands: Any) -> None:
    """Add ``lab`` to the engine's subparsers."""
    lab = commands.add_parser("lab", help="the report's experiments, each with a page of what it found (resumable)")
    kinds = lab.add_subparsers(required=True, metavar="NAME")
    for experiment in EXPERIMENTS.values():
        one = kinds.add_parser(experiment.name, help=experiment.title)
        _add_shared(one, FOLDER / experiment.name)
        for option in experiment.options:
            told = f"{option.help} (default %(default)s)"
            kind = type(option.default)
            one.add_argument(f"--{option.name}", dest=option.name, type=kind, default=option.default, help=told)
        one.set_defaults(run=partial(_one, experiment))
    every = kinds.add_parser("all", help="one after the other, and a page that leads to all of them")
    _add_shared(every, FOLDER)
    every.set_defaults(run=_all)


def _add_shared(parser: argparse.ArgumentParser, folder: Path) -> None:
    parser.add_argument("--model", default="", metavar="IDS", help="default: all that are installed and suit")
    parser.add_argument("--device", choices=devices.KINDS)
    parser.add_argument("--small", action="store_true", help="as little as shows that it runs")
    parser.add_argument("--out", type=Path, default=folder, metavar="DIR", help="continues a run that is there")
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="start no new cell of an experiment after this")
    parser.add_argument("--watch", action="store_true", help="show the run in work on a page of this computer")
    parser.add_argument("--tensorboard", action="store_true", help="write TensorBoard's event files while it runs")


def _setup(experiment: Experiment, arguments: argparse.Namespace) -> Setup:
    names = tuple(name.strip() for name in arguments.model.split(",") if name.strip())
    options = {option.name: getattr(arguments, option.name, option.default) for option in experiment.options}
    return Setup(names, arguments.device, arguments.small, options)


@contextmanager
def _onlookers(arguments: argparse.Namespace) -> Iterator[list[Onlooker]]:
    found: list[Onlooker] = []
    try:
        if arguments.tensorboard:
            found.append(Board(arguments.out))
            print(f"TensorBoard: tensorboard --logdir {shlex.quote(str(arguments.out))}", file=sys.stderr)
        if arguments.watch:
            watch = Watch()
            found.append(watch)
            print(f"Watch it at {watch.address}", file=sys.stderr)
        yield found
    finally:
        for each in found:
            each.close()


def _command() -> str:
    return "python -m engine " + shlex.join(sys.argv[1:])


def _one(experiment: Experiment, arguments: argparse.Namespace) -> int:
    folder = arguments.out
    setup = _setup(experiment, arguments)
    with _onlookers(arguments) as onlookers:
        outcome = run(experiment, setup, folder, _command(), onlookers, arguments.limit)
    if not outcome.done and outcome.failed:
        raise EngineError("lab_failed", outcome.failed[0])
    return _told(outcome, folder / "report.html")


def _told(outcome: Outcome, page: Path) -> int:
    """Say how far it came; the exit code."""
    if outcome.stopped:
        print(f"Stopped with {outcome.words}; the same command goes on. See {page}.", file=sys.stderr)
        return CANCELLED
    print(f"{outcome.words}; see {page}.")
    return FAILURE if outcome.failed else 0


def _all(arguments: argparse.Namespace) -> int:
    found: list[tuple[Experiment, Outcome | str]] = []
    code = 0
    with _onlookers(arguments) as onlookers:
        for experiment in EXPERIMENTS.values():
            folder = arguments.out / experiment.name
            try:
                outcome = run(experiment, _setup(experiment, arguments), folder, _command(), onlookers, arguments.limit)
            except BadInput as error:
                if error.code != "no_model":
                    raise
                found.append((experiment, error.sentence))
                print(f"{experiment.name}: {error.sentence}", file=sys.stderr)
                continue
            found.append((experiment, outcome))
            code = max(code, _told(outcome, folder / "report.html"))
            if outcome.stopped:
                break
    write_text(arguments.out / "index.html", index(arguments.out, found, _command()))
    print(f"All of them: {arguments.out / 'index.html'}.")
    return code
