"""What a value on the wire may be: each field of a message has a `Check`, which guards it in both directions."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, Type, TypeVar

from bridge_server.client.errors import WireError

if TYPE_CHECKING:
    from typing import dataclass_transform
else:  # Python 3.8

    def dataclass_transform(**_: Any) -> Callable[[Any], Any]:
        return lambda function: function


T = TypeVar("T")

MAX_INTEGER = 2**53
NOT_UNDERSTOOD = "The engine and the plug-in do not understand each other: install both again."


@dataclass(frozen=True)
class Check:
    """A range of values: ``spec`` as it stands in docs/protocol.md, ``accept`` returns the value or raises."""

    spec: str
    accept: Callable[[Any], Any]


def refused(spec: str) -> WireError:
    """The error to raise where something is not ``spec``."""
    return WireError(NOT_UNDERSTOOD, f"not {spec}")


def text(longest: int) -> Check:
    spec = f"text ≤ {longest}"

    def accept(value: Any) -> Any:
        if not isinstance(value, str) or len(value) > longest:
            raise refused(spec)
        try:
            value.encode("utf-8")  # JSON can smuggle half a surrogate pair in
        except UnicodeEncodeError:
            raise refused(spec) from None
        return value

    return Check(spec, accept)


def shortened(words: str, longest: int) -> str:
    """What of ``words`` may be a text ≤ ``longest``."""
    return words[:longest].encode("utf-8", "replace").decode("utf-8")


def _matching(spec: str, pattern: re.Pattern[str]) -> Check:
    def accept(value: Any) -> Any:
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            raise refused(spec)
        return value

    return Check(spec, accept)


IDENT = _matching("id", re.compile(r"[A-Za-z0-9_\-]{1,64}"))
NAME = _matching("name", re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-/]{0,127}"))


def one_of(*words: str) -> Check:
    spec = " \\| ".join(words)

    def accept(value: Any) -> Any:
        if value not in words or not isinstance(value, str):
            raise refused(spec)
        return value

    return Check(spec, accept)


def integer(low: int, high: int, spec: str | None = None) -> Check:
    shown = spec or f"integer {low} … {high}"

    def accept(value: Any) -> Any:
        if type(value) is not int or not low <= value <= high:
            raise refused(shown)
        return value

    return Check(shown, accept)


def _number(value: Any) -> Any:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise refused("number")
    return float(value)


def _flag(value: Any) -> Any:
    if type(value) is not bool:
        raise refused("flag")
    return value


def _options(value: Any) -> Any:
    """Names to plain values or short lists of integers; what they mean is decided by the engine."""
    if not isinstance(value, dict) or len(value) > 32:
        raise refused("options")
    for key, item in value.items():
        NAME.accept(key)
        if isinstance(item, str):
            text(4000).accept(item)
        elif isinstance(item, list):
            for part in item:
                integer(0, 10**6).accept(part)
        elif type(item) is int:
            integer(-MAX_INTEGER, MAX_INTEGER).accept(item)
        elif type(item) is float:
            _number(item)
        elif item is not None and type(item) is not bool:
            raise refused("options")
    return dict(value)


NUMBER = Check("number", _number)
FLAG = Check("flag", _flag)
OPTIONS = Check("options", _options)


def optional(check: Check) -> Check:
    return Check(check.spec + ", or null", lambda value: None if value is None else check.accept(value))


def array(check: Check, longest: int) -> Check:
    spec = f"list of ≤ {longest}: {check.spec}"

    def accept(value: Any) -> Any:
        if not isinstance(value, (list, tuple)) or len(value) > longest:
            raise refused(spec)
        return tuple(check.accept(item) for item in value)

    return Check(spec, accept)


def nested(cls: Type[Any]) -> Check:
    """An object that is itself a `record`."""

    def accept(value: Any) -> Any:
        if isinstance(value, cls):
            value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        if not isinstance(value, dict):
            raise refused(cls.__name__)
        return checked(cls, value)

    return Check(cls.__name__, accept)


def value(check: Check, *, default: Any = dataclasses.MISSING) -> Any:
    """A field of a record that ``check`` guards on the wire, in both directions."""
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata={"check": check})
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata={"check": check})
    return dataclasses.field(default=default, metadata={"check": check})


@dataclass_transform(frozen_default=True, field_specifiers=(value,))
def record(cls: Type[T]) -> Type[T]:
    """Class decorator: a frozen dataclass whose fields are all made with `value`."""
    return dataclass(frozen=True)(cls)


def checked(cls: Type[Any], content: Dict[str, Any]) -> Any:
    """``cls`` made of the keys of ``content`` that it has; WireError for a value out of range or one that lacks."""
    found = {}
    for field in dataclasses.fields(cls):
        if field.name in content:
            found[field.name] = field.metadata["check"].accept(content[field.name])
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise refused(f"complete: {cls.__name__} lacks {field.name}")
    return cls(**found)
