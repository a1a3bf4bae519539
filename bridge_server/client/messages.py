"""What stands on the wire: one frozen dataclass per message (docs/protocol.md is the specification).

A message is a ZeroMQ multipart ``[b"RPB1", header, payload…]``.  The header is UTF-8 JSON of at most 64 KiB: an object
whose "type" names the dataclass and whose other keys are its fields.  Keys that the dataclass lacks are ignored; a
missing key without a default, a value outside its range, a duplicate key, NaN, a nesting deeper than 16 or an integer
beyond ±2^53 is a WireError.  Types marked with a payload carry exactly one, of the stated size.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Dict, List, Tuple, Type, TypeVar, Union

from bridge_server.client.errors import WireError

MAGIC = b"RPB1"
PROTOCOL = 3
MAX_HEADER = 64 * 1024
MAX_PAYLOADS = 8
MAX_PAYLOAD = 4 * 1024 * 1024
MAX_DEPTH = 16
MAX_INTEGER = 2**53
CHUNK = 1024 * 1024  # pixels travel in pieces of this size
MAX_SIDE = 16384
MAX_PIXELS = 8192 * 8192
MAX_VARIANTS = 16
MAX_JOBS_LISTED = 256
MAX_STEPS = 64

TO_BRIDGE, TO_CLIENT, TO_WORKER, FROM_WORKER = (
    "client → bridge",
    "bridge → client",
    "bridge → worker",
    "worker → bridge",
)


def client_password(secret: bytes) -> bytes:
    """What a client proves itself with (ZMTP PLAIN); hex, so that an impostor on a reused port learns no secret."""
    return hmac.new(secret, b"client", hashlib.sha256).hexdigest().encode("ascii")


def bridge_proof(secret: bytes, nonce: str) -> str:
    """What the bridge proves itself with in ``welcome``: HMAC-SHA256(secret, nonce of the client's hello), hex."""
    return hmac.new(secret, nonce.encode("utf-8"), hashlib.sha256).hexdigest()


# ---------------------------------------------------------------------------------------------- checks of one value


@dataclass(frozen=True)
class Check:
    """A range of values: ``spec`` as it stands in docs/protocol.md, ``accept`` returns the value or raises."""

    spec: str
    accept: Callable[[Any], Any]


def _refuse(spec: str) -> WireError:
    return WireError("The bridge and the plug-in do not understand each other: install both again.", f"not {spec}")


def text(longest: int) -> Check:
    spec = f"text ≤ {longest}"

    def accept(value: Any) -> Any:
        if not isinstance(value, str) or len(value) > longest:
            raise _refuse(spec)
        try:
            value.encode("utf-8")  # JSON can smuggle half a surrogate pair in
        except UnicodeEncodeError:
            raise _refuse(spec) from None
        return value

    return Check(spec, accept)


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-/]{0,127}")
_ID = re.compile(r"[A-Za-z0-9_\-]{1,64}")


def _matching(spec: str, pattern: re.Pattern[str]) -> Check:
    def accept(value: Any) -> Any:
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            raise _refuse(spec)
        return value

    return Check(spec, accept)


IDENT = _matching("id", _ID)
NAME = _matching("name", _NAME)


def one_of(*words: str) -> Check:
    spec = " \\| ".join(words)

    def accept(value: Any) -> Any:
        if value not in words or not isinstance(value, str):
            raise _refuse(spec)
        return value

    return Check(spec, accept)


def integer(low: int, high: int, spec: str | None = None) -> Check:
    shown = spec or f"integer {low} … {high}"

    def accept(value: Any) -> Any:
        if type(value) is not int or not low <= value <= high:
            raise _refuse(shown)
        return value

    return Check(shown, accept)


def _number(value: Any) -> Any:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise _refuse("number")
    return float(value)


def _flag(value: Any) -> Any:
    if type(value) is not bool:
        raise _refuse("flag")
    return value


def _options(value: Any) -> Any:
    """Names to plain values or short lists of integers; what they mean is decided by the engine."""
    if not isinstance(value, dict) or len(value) > 32:
        raise _refuse("options")
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
            raise _refuse("options")
    return dict(value)


NUMBER = Check("number", _number)
FLAG = Check("flag", _flag)
OPTIONS = Check("options", _options)
CODE = text(64)
SENTENCE = text(500)
DETAILS = text(4000)
SIDE = integer(1, MAX_SIDE)
SEED = integer(0, MAX_INTEGER, "integer 0 … 2^53")
VARIANT = integer(0, MAX_VARIANTS - 1)
VARIANTS = integer(1, MAX_VARIANTS)
COUNT = integer(0, MAX_INTEGER, "integer 0 … 2^53")
SIZE = integer(1, MAX_PIXELS * 4)
OFFSET = integer(0, MAX_PIXELS * 4)
PIECE = integer(1, CHUNK)
KIND = one_of("continue", "harmonise", "idea")
STATE = one_of("queued", "running", "done", "failed", "cancelled", "unknown")
ENGINE = one_of("starting", "ready", "busy", "down")
DOWNLOAD_END = one_of("installed", "stopped", "failed")


def optional(check: Check) -> Check:
    return Check(check.spec + ", or null", lambda value: None if value is None else check.accept(value))


def array(check: Check, longest: int) -> Check:
    spec = f"list of ≤ {longest}: {check.spec}"

    def accept(value: Any) -> Any:
        if not isinstance(value, (list, tuple)) or len(value) > longest:
            raise _refuse(spec)
        return tuple(check.accept(item) for item in value)

    return Check(spec, accept)


def record(cls: Type[Any]) -> Check:
    """A nested object that is itself a dataclass made with ``value``."""

    def accept(value: Any) -> Any:
        if isinstance(value, cls):
            value = dataclasses.asdict(value)
        if not isinstance(value, dict):
            raise _refuse(cls.__name__)
        return cls(**_fields_of(cls, value))

    return Check(cls.__name__, accept)


def value(check: Check, default: Any = dataclasses.MISSING) -> Any:
    """A dataclass field that ``check`` guards in both directions."""
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata={"check": check})
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata={"check": check})
    return dataclasses.field(default=default, metadata={"check": check})


def _fields_of(cls: Type[Any], content: Dict[str, Any]) -> Dict[str, Any]:
    found = {}
    for field in dataclasses.fields(cls):
        if field.name in content:
            found[field.name] = field.metadata["check"].accept(content[field.name])
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise _refuse(f"complete: {cls.__name__} lacks {field.name}")
    return found


# ------------------------------------------------------------------------------------------------------ the messages

M = TypeVar("M", bound="Type[Any]")


class Registry:
    """The message types of one wire by name (the plug-ins' wire here, the worker's in bridge_server/work.py)."""

    def __init__(self) -> None:
        self.types: Dict[str, Type[Any]] = {}

    def add(self, name: str, direction: str, payload: bool = False) -> Callable[[M], M]:
        """Class decorator: makes the class a message type called ``name``."""

        def decorate(cls: M) -> M:
            cls.TYPE, cls.DIRECTION, cls.PAYLOAD = name, direction, payload
            self.types[name] = cls
            return cls

        return decorate


WIRE = Registry()


@dataclass(frozen=True)
class ModelEntry:
    """One model of the catalogue, as events.Model; ``source`` is for people to read, nobody acts on it."""

    id: str = value(NAME)
    title: str = value(text(200))
    family: str = value(text(64))
    licence: str = value(text(200))
    installed: bool = value(FLAG)
    takes_prompt: bool = value(FLAG)
    takes_label: bool = value(FLAG)
    memory_mib: int = value(COUNT, 0)
    pixel_bytes: int = value(COUNT, 0)
    variant_bytes: int = value(COUNT, 0)
    learns: bool = value(FLAG, False)
    source: str = value(text(300), "")
    download: bool = value(FLAG, False)
    download_bytes: int = value(COUNT, 0)


@dataclass(frozen=True)
class PresetEntry:
    """One preset, as events.Preset."""

    name: str = value(NAME)
    title: str = value(text(200))
    calls: int = value(COUNT)
    steps: int = value(COUNT, 0)
    jump_length: int = value(COUNT, 0)
    jump_samples: int = value(COUNT, 0)


@dataclass(frozen=True)
class JobEntry:
    """One job of this client as the bridge knows it; ``results``: finished variants on disk, not yet claimed."""

    job: str = value(IDENT)
    tag: str = value(text(1000))
    model: str = value(NAME)
    state: str = value(STATE)
    variants: int = value(VARIANTS)
    results: int = value(integer(0, MAX_VARIANTS))
    width: int = value(SIDE)
    height: int = value(SIDE)


@dataclass(frozen=True)
class StepEntry:
    """A kept step: the state after ``call`` calls of its variant, and the calls that each kind of branch costs."""

    call: int = value(COUNT)
    remaining: int = value(COUNT)
    harmonise: int = value(COUNT)
    idea: int = value(COUNT)


@WIRE.add("hello", TO_BRIDGE)
@dataclass(frozen=True)
class Hello:
    """The first message of a connection; ``nonce`` is random, ``client`` stays the same over reconnections."""

    protocol: int = value(integer(1, 1000))
    client: str = value(IDENT)
    app: str = value(text(100))
    nonce: str = value(IDENT)


@WIRE.add("welcome", TO_CLIENT)
@dataclass(frozen=True)
class Welcome:
    """``proof`` = HMAC-SHA256(secret, nonce) in hex: without it the client says nothing more."""

    protocol: int = value(integer(1, 1000))
    proof: str = value(IDENT)
    instance: str = value(IDENT)
    bridge_version: str = value(text(40))


@WIRE.add("catalogue", TO_CLIENT)
@dataclass(frozen=True)
class Catalogue:
    """What the engine can do; after welcome and whenever it changes.  Empty until the engine has reported."""

    models: tuple[ModelEntry, ...] = value(array(record(ModelEntry), 256))
    presets: tuple[PresetEntry, ...] = value(array(record(PresetEntry), 32))
    engine: str = value(ENGINE)


@WIRE.add("engine", TO_CLIENT)
@dataclass(frozen=True)
class Engine:
    """The engine process changed its state.  ``died``: because it ended unasked; then ``sentence`` says so."""

    state: str = value(ENGINE)
    died: bool = value(FLAG, False)
    will_retry: bool = value(FLAG, True)
    sentence: str = value(SENTENCE, "")


@WIRE.add("ping", TO_BRIDGE)
@dataclass(frozen=True)
class Ping:
    """Every 2 s; a client that is silent for 6 s counts as gone."""

    number: int = value(COUNT)


@WIRE.add("pong", TO_CLIENT)
@dataclass(frozen=True)
class Pong:
    number: int = value(COUNT)


@WIRE.add("blob", TO_BRIDGE, payload=True)
@dataclass(frozen=True)
class Blob:
    """One piece of ``size`` bytes to come, in order and without gaps; the payload starts at ``offset``."""

    blob: str = value(IDENT)
    size: int = value(SIZE)
    offset: int = value(OFFSET)


@WIRE.add("submit", TO_BRIDGE)
@dataclass(frozen=True)
class Submit:
    """Run a job.  ``pixels``, ``selection``: blobs of width*height*4 and width*height bytes, complete before this.

    Variant k is the run with seed + k.  The job id is made by the client; a second submit with the same id is
    answered by ``state`` and never computed again.  ``history``: results stay until ``release``, however old.
    """

    job: str = value(IDENT)
    width: int = value(SIDE)
    height: int = value(SIDE)
    pixels: str = value(IDENT)
    selection: str = value(IDENT)
    model: str = value(NAME)
    preset: str = value(NAME)
    seed: int = value(SEED)
    variants: int = value(VARIANTS)
    options: Dict[str, Any] = value(OPTIONS, {})  # noqa: RUF009 - a field, as everywhere here
    tag: str = value(text(1000), "")
    history: bool = value(FLAG, False)


@WIRE.add("branch", TO_BRIDGE)
@dataclass(frozen=True)
class Branch:
    """Run a job from the kept step after ``call`` calls of ``variant`` of ``parent``, in all else as ``submit``.

    ``continue`` goes on as planned, ``harmonise`` adds small late jumps, ``idea`` one large jump now; ``jump``
    (levels) and ``times`` change their jumps, 0: the kind's own.  ``seed`` null: the parent's own, so that
    ``continue`` is the parent's run taken up again.
    """

    job: str = value(IDENT)
    parent: str = value(IDENT)
    variant: int = value(VARIANT)
    call: int = value(COUNT)
    kind: str = value(KIND)
    variants: int = value(VARIANTS)
    seed: int | None = value(optional(SEED), None)
    jump: int = value(integer(0, 1000), 0)
    times: int = value(integer(0, 20), 0)
    tag: str = value(text(1000), "")
    history: bool = value(FLAG, False)


@WIRE.add("accepted", TO_CLIENT)
@dataclass(frozen=True)
class Accepted:
    """The job is in the journal; again whenever its position changes.  ``calls`` per variant, 0 = not known yet."""

    job: str = value(IDENT)
    position: int = value(COUNT)
    calls: int = value(COUNT, 0)


@WIRE.add("learning", TO_CLIENT)
@dataclass(frozen=True)
class Learning:
    """The engine learns the picture before the first call of a job with the option ``learn``.

    ``fraction`` 0 … 1 of the time for it, ``seconds_left`` until its end; it may end before.
    """

    job: str = value(IDENT)
    fraction: float = value(NUMBER)
    seconds_left: float = value(NUMBER)


@WIRE.add("note", TO_CLIENT)
@dataclass(frozen=True)
class Note:
    """Something to tell of a job that goes on nonetheless, such as a prompt that was too long; before its progress,
    or within it where a tile is painted again: then ``calls`` grows."""

    job: str = value(IDENT)
    sentence: str = value(SENTENCE)


@WIRE.add("progress", TO_CLIENT)
@dataclass(frozen=True)
class Progress:
    """``seconds_left`` for the whole job; negative while unknown."""

    job: str = value(IDENT)
    variant: int = value(VARIANT)
    variants: int = value(VARIANTS)
    call: int = value(COUNT)
    calls: int = value(COUNT)
    seconds_left: float = value(NUMBER)


@WIRE.add("credit", TO_BRIDGE)
@dataclass(frozen=True)
class Credit:
    """One more preview of each of these variants is wanted; credit does not add up beyond one."""

    job: str = value(IDENT)
    variants: tuple[int, ...] = value(array(VARIANT, MAX_VARIANTS))


@WIRE.add("preview", TO_CLIENT, payload=True)
@dataclass(frozen=True)
class Preview:
    """A piece of a preview of width*height*4 bytes, in order; all its pieces follow one another."""

    job: str = value(IDENT)
    variant: int = value(VARIANT)
    call: int = value(COUNT)
    width: int = value(SIDE)
    height: int = value(SIDE)
    offset: int = value(OFFSET)


@WIRE.add("result", TO_CLIENT)
@dataclass(frozen=True)
class Result:
    """A variant of width*height*4 bytes is finished and on disk; the client pulls its pixels.

    ``unfinished``: the estimate after ``calls`` calls, kept by ``keep``.
    """

    job: str = value(IDENT)
    variant: int = value(VARIANT)
    seed: int = value(SEED)
    width: int = value(SIDE)
    height: int = value(SIDE)
    model: str = value(NAME)
    seconds: float = value(NUMBER)
    calls: int = value(COUNT)
    unfinished: bool = value(FLAG, False)


@WIRE.add("pull", TO_BRIDGE)
@dataclass(frozen=True)
class Pull:
    """Send ``length`` bytes of that result from ``offset``; at most 4 pulls may be unanswered."""

    job: str = value(IDENT)
    variant: int = value(VARIANT)
    offset: int = value(OFFSET)
    length: int = value(PIECE)


@WIRE.add("chunk", TO_CLIENT, payload=True)
@dataclass(frozen=True)
class Chunk:
    """The answer to one pull."""

    job: str = value(IDENT)
    variant: int = value(VARIANT)
    offset: int = value(OFFSET)


@WIRE.add("claim", TO_BRIDGE)
@dataclass(frozen=True)
class Claim:
    """The editor has this variant; it need not be handed back any more."""

    job: str = value(IDENT)
    variant: int = value(VARIANT)


@WIRE.add("release", TO_BRIDGE)
@dataclass(frozen=True)
class Release:
    """The editor knows how the job ended: its pixels may be deleted.  A running job is cancelled first."""

    job: str = value(IDENT)


@WIRE.add("drop", TO_BRIDGE)
@dataclass(frozen=True)
class Drop:
    """Delete one finished variant of an ended job, on disk, too; with the last one the job is released."""

    job: str = value(IDENT)
    variant: int = value(VARIANT)


@WIRE.add("cancel", TO_BRIDGE)
@dataclass(frozen=True)
class Cancel:
    """Stop a job in any state, also one whose submit never came; always answered by ``state``."""

    job: str = value(IDENT)


@WIRE.add("keep", TO_BRIDGE)
@dataclass(frozen=True)
class Keep:
    """Stop the running job and keep the present estimates of these variants (none named: of all) as its results.

    Then ``done`` ends it.  A job that has not yet made a call is cancelled instead.
    """

    job: str = value(IDENT)
    variants: tuple[int, ...] = value(array(VARIANT, MAX_VARIANTS))


@WIRE.add("steps", TO_CLIENT)
@dataclass(frozen=True)
class Steps:
    """The kept steps of a variant, all of them, whenever that changes; also after the job's end.  Empty: gone."""

    job: str = value(IDENT)
    variant: int = value(VARIANT)
    steps: tuple[StepEntry, ...] = value(array(record(StepEntry), MAX_STEPS))


@WIRE.add("look", TO_BRIDGE)
@dataclass(frozen=True)
class Look:
    """Show that kept step.  Answered by ``view``, or by ``steps`` if it is gone."""

    job: str = value(IDENT)
    variant: int = value(VARIANT)
    call: int = value(COUNT)


@WIRE.add("view", TO_CLIENT, payload=True)
@dataclass(frozen=True)
class View:
    """A piece of a kept step's picture of width*height*4 bytes, in order."""

    job: str = value(IDENT)
    variant: int = value(VARIANT)
    call: int = value(COUNT)
    width: int = value(SIDE)
    height: int = value(SIDE)
    offset: int = value(OFFSET)


@WIRE.add("state", TO_CLIENT)
@dataclass(frozen=True)
class State:
    """The answer to cancel and to a repeated submit: how the job stands.  Not a terminal event."""

    job: str = value(IDENT)
    state: str = value(STATE)


@WIRE.add("done", TO_CLIENT)
@dataclass(frozen=True)
class Done:
    """Terminal: all results have been announced."""

    job: str = value(IDENT)
    seconds: float = value(NUMBER)


@WIRE.add("failed", TO_CLIENT)
@dataclass(frozen=True)
class Failed:
    """Terminal."""

    job: str = value(IDENT)
    code: str = value(CODE)
    sentence: str = value(SENTENCE)
    details: str = value(DETAILS, "")


@WIRE.add("cancelled", TO_CLIENT)
@dataclass(frozen=True)
class Cancelled:
    """Terminal."""

    job: str = value(IDENT)


@WIRE.add("attach", TO_BRIDGE)
@dataclass(frozen=True)
class Attach:
    """After a welcome: these jobs are still wanted.  Answered by ``jobs``, then their missed results and ends."""

    jobs: tuple[str, ...] = value(array(IDENT, MAX_JOBS_LISTED))


@WIRE.add("list", TO_BRIDGE)
@dataclass(frozen=True)
class ListJobs:
    """Answered by ``jobs``."""


@WIRE.add("jobs", TO_CLIENT)
@dataclass(frozen=True)
class Jobs:
    """All jobs of this client that have not been released."""

    jobs: tuple[JobEntry, ...] = value(array(record(JobEntry), MAX_JOBS_LISTED))


@WIRE.add("get-status", TO_BRIDGE)
@dataclass(frozen=True)
class GetStatus:
    """Answered by ``status``."""


@WIRE.add("status", TO_CLIENT)
@dataclass(frozen=True)
class Status:
    """``calls_total``: network calls of the engine process so far; ``calls_after_cancel``: of the last cancelled job,
    counted by the worker from the moment the cancel arrived (-1: none yet)."""

    bridge_version: str = value(text(40))
    pid: int = value(COUNT)
    worker_pid: int = value(COUNT)
    engine: str = value(ENGINE)
    device: str = value(text(100))
    clients: int = value(COUNT)
    queued: int = value(COUNT)
    running: str = value(text(64))
    calls_total: int = value(COUNT)
    calls_after_cancel: int = value(integer(-1, MAX_INTEGER, "integer -1 … 2^53"))
    memory_mib: float = value(NUMBER)
    uptime: float = value(NUMBER)


@WIRE.add("download", TO_BRIDGE)
@dataclass(frozen=True)
class Download:
    """Fetch a model of the catalogue.  ``licence``: what the artist has agreed to, as the catalogue says it."""

    model: str = value(NAME)
    licence: str = value(text(200))


@WIRE.add("stop-download", TO_BRIDGE)
@dataclass(frozen=True)
class StopDownload:
    """Answered by ``downloaded``, if that model is being downloaded."""

    model: str = value(NAME)


@WIRE.add("downloading", TO_CLIENT)
@dataclass(frozen=True)
class Downloading:
    """To every client, at most five a second, and after welcome.  ``total`` 0: not known (yet).

    When all is there (``done`` = ``total``), the model is being checked.
    """

    model: str = value(NAME)
    done: int = value(COUNT)
    total: int = value(COUNT)


@WIRE.add("downloaded", TO_CLIENT)
@dataclass(frozen=True)
class Downloaded:
    """How a download ended, to every client; a refusal to the one who asked.  ``done``: bytes that are kept."""

    model: str = value(NAME)
    end: str = value(DOWNLOAD_END)
    done: int = value(COUNT, 0)
    code: str = value(CODE, "")
    sentence: str = value(SENTENCE, "")
    details: str = value(DETAILS, "")


@WIRE.add("restart-engine", TO_BRIDGE)
@dataclass(frozen=True)
class RestartEngine:
    """Start the engine process again after it was reported down."""


@WIRE.add("stop", TO_BRIDGE)
@dataclass(frozen=True)
class Stop:
    """Shut the bridge down in order; unfinished jobs stay in the journal."""


@WIRE.add("error", TO_CLIENT)
@dataclass(frozen=True)
class Error:
    """A message could not be used.  ``about``: its type, or empty; never the end of a job."""

    code: str = value(CODE)
    sentence: str = value(SENTENCE)
    about: str = value(text(64), "")
    details: str = value(DETAILS, "")


@WIRE.add("bye", TO_BRIDGE + ", " + TO_CLIENT)
@dataclass(frozen=True)
class Bye:
    """This side leaves now."""

    reason: str = value(text(200), "")


# ------------------------------------------------------------------------------------------------------- the wire form

Buffer = Union[bytes, bytearray, memoryview]


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
        raise _refuse(f"JSON: {error!r}") from None
    if len(header) > MAX_HEADER:
        raise WireError("This request holds too much text: shorten it.", f"header of {len(header)} bytes")
    return [MAGIC, header] if payload is None else [MAGIC, header, payload]


def decode(frames: Sequence[Buffer], wire: Registry = WIRE) -> Tuple[Any, Buffer | None]:
    """(message, payload or None) of ``frames``; raises WireError, and nothing else, for whatever is not lawful."""
    if not 2 <= len(frames) <= 2 + MAX_PAYLOADS or bytes(frames[0][:8]) != MAGIC:
        raise _refuse("a message of this protocol")
    content = parse_header(bytes(frames[1][: MAX_HEADER + 1]))
    cls = wire.types.get(content.get("type", "")) if isinstance(content.get("type"), str) else None
    if cls is None:
        raise WireError("The plug-in and the bridge are of different versions: install both again.", "unknown type")
    payloads = frames[2:]
    if len(payloads) != int(cls.PAYLOAD):
        raise _refuse(f"{cls.TYPE} with {int(cls.PAYLOAD)} payload(s)")
    if payloads and not 1 <= len(payloads[0]) <= MAX_PAYLOAD:
        raise _refuse("a payload of 1 … 4 MiB")
    message = cls(**_fields_of(cls, content))
    return message, payloads[0] if payloads else None


def parse_header(header: bytes) -> Dict[str, Any]:
    """Strict JSON object of at most 64 KiB; raises WireError otherwise."""
    if len(header) > MAX_HEADER:
        raise _refuse("a header of ≤ 64 KiB")
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
        raise _refuse(f"JSON: {type(error).__name__}") from None
    if not isinstance(content, dict):
        raise _refuse("a JSON object")
    return content


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
                raise _refuse("nested ≤ 16 deep")
        elif byte in b"}]":
            depth -= 1


def _no_duplicates(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise _refuse("without duplicate keys")
    return content


def _no_constant(_: str) -> Any:
    raise _refuse("a finite number")


def _bounded_integer(digits: str) -> int:
    if len(digits) > 17 or abs(int(digits)) > MAX_INTEGER:
        raise _refuse("an integer within ±2^53")
    return int(digits)


def _finite_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _refuse("a finite number")
    return number
