"""Options of a job in a list: by the names and with the checks of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from engine.batch.spec import FILES, LISTS, SOURCES, defaults
from engine.errors import BadInput
from engine.tasks import TASKS, add_common_options

OWN = ("picture", "mask", "output", "task")
"""Fields of a job that are no options."""
OPTIONAL_FLAGS = ("invert_mask",)
"""Options with a --no- form."""
_NOT_GIVEN = object()
TRUE, FALSE = ("true", "yes", "1", "on"), ("false", "no", "0", "off")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of all tasks, see :func:`given`."""
    for task in TASKS.values():
        task.add_own_options(parser)
    add_common_options(parser)
    parser.set_defaults(**{name: None if name in LISTS else _NOT_GIVEN for name in names()})


def given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Those of the options of all tasks that were given."""
    values = {name: getattr(arguments, name) for name in names()}
    return {name: value for name, value in values.items() if value is not (None if name in LISTS else _NOT_GIVEN)}


@lru_cache(maxsize=1)
def names() -> dict[str, Any]:
    """Every option of every task with its default."""
    return {name: value for task in TASKS for name, value in defaults(task).items()}


def check_task(task: str) -> None:
    """Raise BadInput unless there is such a task."""
    if task not in TASKS:
        raise BadInput("bad_task", f"There is no task {task!r}; it is one of {', '.join(TASKS)}.")


def name_of(field: str) -> str:
    """The option that a field of a list names, in lower case with underscores.

    Raises:
        BadInput: there is none; the nearest is named.
    """
    name = field.strip().lower().lstrip("-").replace("-", "_")
    if name in OWN or name in names():
        return name
    near = get_close_matches(name, [*OWN, *names()], 1)
    hint = f"did you mean {near[0]!r}?" if near else f"a job has {', '.join(OWN)} and the options of the command line."
    raise BadInput("bad_option", f"There is no option {field.strip()!r}; {hint}")


def of_task(task: str, options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that the task has."""
    return {name: value for name, value in options.items() if name in defaults(task)}


def check_belongs(tasks: Collection[str], options: dict[str, Any]) -> None:
    """Raise BadInput if none of some tasks has one of these options."""
    for name in options:
        if tasks and not any(name in defaults(task) for task in tasks):
            takers = " and ".join(each for each in TASKS if name in defaults(each))
            sentence = f"The option {name!r} is for {takers}, not for {' or '.join(sorted(tasks))}; leave it out."
            raise BadInput("bad_option", sentence)


def parsed(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Values of a list, texts or JSON's, as the command line would take them; empty ones and None are left out.

    Args:
        values: by :func:`name_of`.
        folder: where a relative path begins.

    Raises:
        BadInput: one of them is no value of its option.
    """
    words: list[str] = []
    for name, value in values.items():
        words += _words(name, value)
    off = {name: False for name, value in values.items() if names()[name] is False and str(value).lower() in FALSE}
    return absolute({**_taken(tuple(words)), **off}, folder)


def absolute(options: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Options in which files and folders that are read stand as texts with their whole path."""
    out = {name: str(value) if name in FILES else value for name, value in options.items()}
    out |= {name: str((folder / out[name]).absolute()) for name in SOURCES if name in out}
    if "with" in out:
        out["with"] = [text if "{" in text else str((folder / text).absolute()) for text in out["with"]]
    for name in ("schedule", "model", "vae"):
        text = out.get(name)
        if text and (text.endswith(".json") if name == "schedule" else (folder / text).is_dir() and "/" in text):
            out[name] = str((folder / text).resolve())
    return out


def _words(name: str, value: Any) -> list[str]:
    option, default = "--" + name.replace("_", "-"), names()[name]
    if value is None or value == "":
        return []
    if default is False or name in OPTIONAL_FLAGS:
        word = str(value).lower()
        if word not in TRUE + FALSE:
            raise BadInput("bad_option", f"{option} is true or false, not {value!r}.")
        if word in TRUE:
            return [option]
        return ["--no-" + option[2:]] if name in OPTIONAL_FLAGS else []
    if name in LISTS:
        values = value if isinstance(value, list) else str(value).split(";")
        return [f"{option}={str(each).strip()}" for each in values]
    if isinstance(default, tuple):
        return [option, *map(str, value if isinstance(value, list) else str(value).split())]
    if isinstance(value, (dict, list, bool)):
        raise BadInput("bad_option", f"{option} takes one value, not {value!r}.")
    return [f"{option}={value}"]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput("bad_option", f"{message.removeprefix('argument ')}; see 'python -m engine batch --help'.")


@lru_cache(maxsize=1)
def _parser() -> argparse.ArgumentParser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    add_options(parser)
    return parser


@lru_cache(maxsize=1024)
def _taken(words: tuple[str, ...]) -> dict[str, Any]:
    return given(_parser().parse_args(list(words)))
