"""Messages as frames and back: ``[b"RPB1", header, payload]``, as docs/protocol.md says under "Frames".

The header is UTF-8 JSON of at most 64 KiB: an object whose "type" names the dataclass and whose other keys are its
fields.  Keys that the dataclass lacks are ignored; a missing key without a default, a value outside its range, a
duplicate key, NaN, a nesting deeper than 16 or an integer beyond ±2^53 is a WireError.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Dict, List, Tuple, Type, TypeVar, Union

from bridge_server.client.checks import MAX_INTEGER, checked, dataclass_transform, record, refused, value
from bridge_server.client.errors import WireError

MAGIC = b"RPB1"
MAX_HEADER = 64 * 1024
MAX_PAYLOAD = 4 * 1024 * 1024
MAX_DEPTH = 16
TOO_MUCH_TEXT = "This request holds too much text: shorten it."

Buffer = Union[bytes, bytearray, memoryview]
T = TypeVar("T")

TO_BRIDGE, TO_CLIENT, TO_WORKER, FROM_WORKER = (
    "client → bridge",
    "bridge → client",
    "bridge → worker",
    "worker → bridge",
)


class Registry:
    """The message types of one wire by name (the plug-ins' wire in messages.py, the worker's in work.py)."""

    def __init__(self) -> None:
        self.types: Dict[str, Type[Any]] = {}

    def share(self, *classes: Type[Any]) -> None:
        """Messages of another wire that stand on this one, too."""
        self.types.update({cls.TYPE: cls for cls in classes})


@dataclass_transform(frozen_default=True, field_specifiers=(value,))
def message(wire: Registry, name: str, direction: str, payload: bool = False) -> Callable[[Type[T]], Type[T]]:
    """Class decorator: makes the class a frozen dataclass and a message type of ``wire`` called ``name``.

    A type with a ``payload`` is always sent with exactly one.
    """

    def decorate(cls: Any) -> Any:
        made: Any = record(cls)
        made.TYPE, made.DIRECTION, made.PAYLOAD = name, direction, payload
        wire.types[name] = made
        return made

    return decorate


class TooLong(WireError):
    """The header does not fit; `pages` divides what may be divided."""


def encode(message: Any, payload: Buffer | None = None) -> List[Buffer]:
    """``message`` as frames.  Raises WireError if a value is out of range: nothing unlawful is ever sent."""
    if (payload is not None) != type(message).PAYLOAD:
        raise WireError("Internal error: a payload is missing or too much.", type(message).TYPE)
    content = {"type": type(message).TYPE}
    for field in dataclasses.fields(message):
        field.metadata["check"].accept(getattr(message, field.name))
        content[field.name] = getattr(message, field.name)
    try:
        header = json.dumps(content, allow_nan=False, default=dataclasses.asdict, separators=(",", ":")).encode("utf-8")
    except (TypeError, ValueError) as error:
        raise refused(f"JSON: {error!r}") from None
    if len(header) > MAX_HEADER:
        raise TooLong(TOO_MUCH_TEXT, f"header of {len(header)} bytes")
    return [MAGIC, header] if payload is None else [MAGIC, header, payload]


def pages(message: Any, name: str, longest: int) -> List[Any]:
    """``message`` as several with at most ``longest`` items of its list ``name`` each, few enough for a header.

    All but the last say ``more``.  Raises WireError if one item alone cannot be sent.
    """
    items = getattr(message, name)
    if len(items) <= longest:
        try:
            encode(message)
            return [message]
        except TooLong:
            if len(items) < 2:
                raise
    half = min(longest, len(items) // 2)
    first = dataclasses.replace(message, **{name: items[:half], "more": True})
    rest = dataclasses.replace(message, **{name: items[half:]})
    return pages(first, name, longest) + pages(rest, name, longest)


def pieces(data: Buffer, longest: int) -> Iterator[Tuple[int, memoryview]]:
    """``data`` in pieces of at most so many bytes: offset and piece."""
    view = memoryview(data).cast("B")
    for offset in range(0, len(view), longest):
        yield offset, view[offset : offset + longest]


def decode(frames: Sequence[Buffer], wire: Registry) -> Tuple[Any, Buffer | None]:
    """(message, payload or None) of ``frames``; raises WireError, and nothing else, for whatever is not lawful."""
    if not 2 <= len(frames) <= 3 or bytes(frames[0][:8]) != MAGIC:
        raise refused("a message of this protocol")
    content = parse_header(bytes(frames[1][: MAX_HEADER + 1]))
    cls = wire.types.get(content.get("type", "")) if isinstance(content.get("type"), str) else None
    if cls is None:
        raise WireError("The plug-in and the engine have different versions: install both again.", "unknown type")
    payloads = frames[2:]
    if len(payloads) != int(cls.PAYLOAD):
        raise refused(f"{cls.TYPE} with {int(cls.PAYLOAD)} payload(s)")
    if payloads and not 1 <= len(payloads[0]) <= MAX_PAYLOAD:
        raise refused("a payload of 1 … 4 MiB")
    return checked(cls, content), payloads[0] if payloads else None


def parse_header(header: bytes) -> Dict[str, Any]:
    """Strict JSON object of at most 64 KiB; raises WireError otherwise."""
    if len(header) > MAX_HEADER:
        raise refused("a header of ≤ 64 KiB")
    if header.count(b"{") + header.count(b"[") > MAX_DEPTH:
        _check_depth(header)
    try:
        content = json.loads(
            header.decode("utf-8"),
            object_pairs_hook=_no_duplicates,
            parse_constant=_no_constant,
            parse_int=_bounded_integer,
            parse_float=_finite_float,
        )
    except WireError:
        raise
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise refused(f"JSON: {type(error).__name__}") from None
    if not isinstance(content, dict):
        raise refused("a JSON object")
    return content


def subject(frames: Sequence[Buffer]) -> Tuple[str, str]:
    """Type and job of what may be an unlawful message, for the answer to it; empty where they cannot be told."""
    try:
        content = parse_header(bytes(frames[1][: MAX_HEADER + 1]))
    except (WireError, IndexError):
        return "", ""
    return _short(content.get("type")), _short(content.get("job"))


def _short(found: Any) -> str:
    return found if isinstance(found, str) and len(found) <= 64 and found.isascii() and found.isprintable() else ""


def _check_depth(header: bytes) -> None:
    depth, in_string, escaped = 0, False, False
    for byte in header:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise refused("nested ≤ 16 deep")
        elif byte in b"}]":
            depth -= 1


def _no_duplicates(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise refused("without duplicate keys")
    return content


def _no_constant(_: str) -> Any:
    raise refused("a finite number")


def _bounded_integer(digits: str) -> int:
    if len(digits) > 17 or abs(int(digits)) > MAX_INTEGER:
        raise refused("an integer within ±2^53")
    return int(digits)


def _finite_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise refused("a finite number")
    return number
