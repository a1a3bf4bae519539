"""The engine's command line, also the reference for what an editor does: one selection in, one layer out."""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from engine.commands import batch as batch_command
from engine.commands import bench as bench_commands
from engine.commands import data
from engine.commands import lab as lab_command
from engine.commands import learn as learn_command
from engine.commands import models as model_commands
from engine.commands import train as train_command
from engine.errors import BadInput, EngineError
from engine.run import states
from engine.tasks import TASKS, News, Results, Task, kept, maps, results, source
from engine.version import __version__

log = logging.getLogger(__name__)

OK, BAD_INPUT, FAILURE, CANCELLED = 0, 2, 3, 130
VERBOSE = "--verbose"
"""Accepted before the command, after it and among its options."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; every error is one sentence on stderr."""
    given = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser().parse_args([each for each in given if each != VERBOSE])
    verbose = VERBOSE in given
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING, format="%(message)s")
    logging.getLogger("PIL").setLevel(logging.INFO)  # it tells of every chunk
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that cannot be shown is no failure
            stream.reconfigure(errors="backslashreplace")
    try:
        with source.streams(arguments) if hasattr(arguments, "streamed") else nullcontext():
            return arguments.run(arguments) or OK
    except BadInput as error:
        return _say(error, BAD_INPUT)
    except EngineError as error:
        return _say(error, FAILURE)
    except KeyboardInterrupt:
        return _cancelled(arguments)
    except BrokenPipeError:  # who reads our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if _is_interrupt(error):
            return _cancelled(arguments)
        log.debug("unexpected failure", exc_info=True)
        sentence = "Something went wrong inside the engine; run again with --verbose and report what it prints."
        return _say(EngineError("internal", sentence, repr(error)), FAILURE)
    return OK


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether an exception comes from Ctrl+C: libraries make others of it while they are imported."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _cancelled(arguments: argparse.Namespace) -> int:
    print(
        f"Cancelled; {results.written(arguments)}." if hasattr(arguments, "streamed") else "Cancelled.", file=sys.stderr
    )
    return CANCELLED


def _say(error: EngineError, code: int) -> int:
    print(f"error: {error.sentence}", file=sys.stderr)
    if error.details:
        log.info("details: %s", error.details)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine", description="RePaint inpainting: files in, files out.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(VERBOSE, action="store_true", help="print details of errors; can be anywhere in the line")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    for name, task in TASKS.items():
        command = commands.add_parser(name, help=task.help)
        task.add_arguments(command)
        command.set_defaults(run=partial(_run, task))

    batch = commands.add_parser("batch", help="do one of these to many pictures (resumable)")
    batch_command.add_arguments(batch)
    batch.set_defaults(run=batch_command.main)

    branch = commands.add_parser("branch", help="continue from a saved state, or branch from it")
    branch.add_argument("state", type=Path, metavar="STATE")
    branch.add_argument("--jump", metavar="small|medium|large|N", help="go back up by this many levels, and down again")
    branch.add_argument("--times", type=int, default=1, metavar="R", help="how many times")
    branch.add_argument("--late", action="store_true", help="jump at the clean end only")
    branch.add_argument("--harmonise", action="store_true", help="three small late jumps: the same, better blended")
    branch.add_argument("--new-idea", action="store_true", help="one large jump now: something else")
    results.add_options(branch)
    results.add_output(branch)
    branch.set_defaults(run=_branch)

    learn = commands.add_parser("learn", help="make a texture model that has learned this picture")
    learn_command.add_arguments(learn)
    learn.set_defaults(run=learn_command.main)
    model_commands.add_commands(commands)

    corpus = commands.add_parser("data", help="gather the training pictures (resumable)")
    data.add_arguments(corpus)
    corpus.set_defaults(run=data.main)
    train = commands.add_parser("train", help="train the texture model (resumable)")
    train_command.add_arguments(train)
    train.set_defaults(run=train_command.main)
    bench_commands.add_commands(commands)
    lab_command.add_commands(commands)

    return parser


def _run(task: Task, arguments: argparse.Namespace) -> None:
    from engine import api

    task.run(arguments, api.load_model, News()).report()


def _branch(arguments: argparse.Namespace) -> None:
    from engine import api

    if arguments.harmonise + arguments.new_idea + (arguments.jump is not None) > 1:
        raise BadInput("bad_argument", "Choose one of --jump, --harmonise and --new-idea.")
    state, extra, original = states.load(arguments.state)
    jump: int | str | None = arguments.jump
    times, late = arguments.times, arguments.late
    if arguments.harmonise:
        jump, times, late = "small", 3, True
    elif arguments.new_idea:
        jump = "large"
    elif arguments.jump is not None and arguments.jump.lstrip("-").isdecimal():
        jump = int(arguments.jump)
    picture = kept.picture(extra, state.job.image if original is None else original)
    result = Results(arguments, [picture], News(), maps.of_state(state.job))
    model = api.load_model(state.job.model, arguments.device, arguments.vae)
    result.begin(0, model)
    for event in api.resume(state, model, arguments.seed, arguments.variants, jump, times, late):
        result.take(event)
    result.report()
