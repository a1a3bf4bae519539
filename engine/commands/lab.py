"""``python -m engine lab NAME``: the report's experiments."""

from __future__ import annotations

import argparse
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Any

from engine import devices
from engine.errors import BadInput
from engine.lab import EXPERIMENTS, Experiment, Setup, run


def add_commands(commands: Any) -> None:
    """Add ``lab`` to the engine's subparsers."""
    lab = commands.add_parser("lab", help="the report's experiments, each with a page of what it found (resumable)")
    kinds = lab.add_subparsers(required=True, metavar="NAME")
    for experiment in EXPERIMENTS.values():
        one = kinds.add_parser(experiment.name, help=experiment.title)
        _add_shared(one)
        for option in experiment.options:
            kind, told = type(option.default), f"{option.help} (default {option.default})"
            one.add_argument(f"--{option.name}", dest=option.name, type=kind, default=option.default, help=told)
        one.set_defaults(run=partial(_one, experiment))


def _add_shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="", metavar="IDS", help="default: all that are installed and suit")
    parser.add_argument("--device", choices=devices.KINDS)
    parser.add_argument("--small", action="store_true", help="as little as shows that it runs")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: lab/NAME; a run there is gone on with")
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="begin no further cell after this")


def _one(experiment: Experiment, arguments: argparse.Namespace) -> int:
    options = {option.name: getattr(arguments, option.name) for option in experiment.options}
    names = tuple(name.strip() for name in arguments.model.split(",") if name.strip())
    setup = Setup(names, arguments.device, arguments.small, options)
    folder = arguments.out or Path("lab") / experiment.name
    command = "python -m engine " + shlex.join(sys.argv[1:])
    outcome = run(experiment, setup, folder, command, limit=arguments.limit)
    if outcome.kept == 0 and outcome.failed:
        raise BadInput("lab_failed", outcome.failed[0])
    print(f"{outcome.kept} of {outcome.of} cells are done; {folder / 'numbers.csv'}")
    if outcome.stopped:
        print("Stopped; the same command goes on.", file=sys.stderr)
        return 130
    return 3 if outcome.failed else 0
