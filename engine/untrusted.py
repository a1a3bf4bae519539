"""What comes from outside may be anything: files that are none, JSON without end, values of another kind; and libraries
that want to ask."""

from __future__ import annotations

import json
import os
import stat
import sys
import types
import typing
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from engine.errors import BadInput

MAX_JSON = 16 << 20
"""Bytes of a configuration."""
MAX_TEXT = 65536
"""Characters of a text within a file."""


def require_file(path: Path, most: int | None = None) -> None:
    """Look at a file before it is opened: a pipe would block for ever, and a device has no end.

    Args:
        most: bytes that it may have.

    Raises:
        BadInput: ``no_file``, ``not_a_file`` or ``too_large``.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise BadInput("no_file", f"There is no file {path}; check the name.", repr(error)) from error
    if not stat.S_ISREG(found.st_mode):
        raise BadInput("not_a_file", f"{path.name} is a folder, a pipe or a device; name a file.")
    if most is not None and found.st_size > most:
        raise BadInput("too_large", f"{path.name} has {found.st_size} bytes, more than such a file can have; check it.")


@cache
def own_input() -> BinaryIO:
    """Standard input as this process was given it; from the first call on libraries that ask there find its end."""
    try:
        own = os.fdopen(os.dup(0), "rb")
    except OSError:  # a program without a console has none
        own = Path(os.devnull).open("rb")  # noqa: SIM115 (as long as the process lives)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115
    return own


def parsed(text: str | bytes) -> Any:
    """A value of JSON, without NaN and infinity; ValueError for anything else, however deep."""
    try:
        return json.loads(text, parse_constant=_refused)
    except RecursionError as error:
        raise ValueError("JSON that is nested too deeply") from error


def read_json(path: Path, most: int = MAX_JSON) -> Any:
    """The value in a JSON file of at most so many bytes; OSError or ValueError for whatever else is there."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > most:
        raise ValueError(f"{path} is no file of at most {most} bytes")
    return parsed(path.read_text(encoding="utf-8"))


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def fits(value: Any, hint: Any) -> bool:
    """Whether a value of JSON is of the type of an annotation: numbers, texts, flags, None, lists of them, choices."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return any(fits(value, each) for each in typing.get_args(hint))
    if typing.get_origin(hint) is typing.Literal:
        return value in typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        return isinstance(value, list) and all(fits(each, item) for each in value)
    if hint is str:
        return isinstance(value, str) and len(value) <= MAX_TEXT
    return type(value) is hint or (hint is float and type(value) is int and abs(value) < 2**53)


def fields(kind: type, values: Any, *left_out: str) -> dict[str, Any]:
    """Values of JSON as the fields of a dataclass.

    Args:
        left_out: fields that come from elsewhere.

    Raises:
        ValueError: a field is missing, unknown or of another type.
    """
    hints = {name: hint for name, hint in typing.get_type_hints(kind).items() if name not in left_out}
    if not isinstance(values, dict) or set(values) != set(hints):
        raise ValueError(f"not the fields of {kind.__name__}")
    wrong = [name for name, value in values.items() if not fits(value, hints[name])]
    if wrong:
        raise ValueError(f"{kind.__name__} with {', '.join(wrong)} of another type")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
