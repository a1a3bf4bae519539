"""The wire between the bridge and its engine process: the same frames as docs/protocol.md, messages of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridge_server.client.messages import (
    CODE,
    COUNT,
    DETAILS,
    FLAG,
    FROM_WORKER,
    IDENT,
    KIND,
    MAX_STEPS,
    MAX_VARIANTS,
    NAME,
    NUMBER,
    OFFSET,
    OPTIONS,
    SEED,
    SENTENCE,
    SIDE,
    TO_WORKER,
    VARIANT,
    VARIANTS,
    ModelEntry,
    PresetEntry,
    Registry,
    StepEntry,
    array,
    integer,
    one_of,
    record,
    text,
    value,
)

WORK = Registry()
_INPUT = one_of("pixels", "selection")


@WORK.add("start", TO_WORKER)
@dataclass(frozen=True)
class Start:
    """Run variants first … first+variants-1 of a job; the worker then asks for its pixels by ``need``.

    ``seed`` belongs to variant 0; ``credit``: variants of which a preview is wanted already.  With a ``parent`` the
    job is a branch from a kept step (``kind``, ``jump``, ``times`` as in client.messages.Branch) and needs no pixels.
    """

    job: str = value(IDENT)
    width: int = value(SIDE)
    height: int = value(SIDE)
    model: str = value(NAME)
    preset: str = value(NAME)
    seed: int = value(SEED)
    first: int = value(VARIANT)
    variants: int = value(VARIANTS)
    options: dict[str, Any] = value(OPTIONS)  # noqa: RUF009
    credit: tuple[int, ...] = value(array(VARIANT, MAX_VARIANTS))
    parent: str = value(text(64), "")
    parent_variant: int = value(VARIANT, 0)
    call: int = value(COUNT, 0)
    kind: str = value(KIND, "continue")
    jump: int = value(COUNT, 0)
    times: int = value(COUNT, 0)


@WORK.add("need", FROM_WORKER)
@dataclass(frozen=True)
class Need:
    job: str = value(IDENT)
    what: str = value(_INPUT)
    offset: int = value(OFFSET)


@WORK.add("input", TO_WORKER, payload=True)
@dataclass(frozen=True)
class Input:
    """The answer to one ``need``: the bytes from ``offset``, one piece."""

    job: str = value(IDENT)
    what: str = value(_INPUT)
    offset: int = value(OFFSET)


@WORK.add("cancel", TO_WORKER)
@dataclass(frozen=True)
class Cancel:
    job: str = value(IDENT)


@WORK.add("keep", TO_WORKER)
@dataclass(frozen=True)
class Keep:
    """Stop after the present call and hand over the estimates of these variants (none: of all)."""

    job: str = value(IDENT)
    variants: tuple[int, ...] = value(array(VARIANT, MAX_VARIANTS))


@WORK.add("look", TO_WORKER)
@dataclass(frozen=True)
class Look:
    """Answered by ``view``, or by ``steps`` if that step is gone; any job, at any time."""

    job: str = value(IDENT)
    variant: int = value(VARIANT)
    call: int = value(COUNT)


@WORK.add("steps", FROM_WORKER)
@dataclass(frozen=True)
class Steps:
    """The kept steps of a variant, all of them; empty: gone."""

    job: str = value(IDENT)
    variant: int = value(VARIANT)
    steps: tuple[StepEntry, ...] = value(array(record(StepEntry), MAX_STEPS))


@WORK.add("view", FROM_WORKER, payload=True)
@dataclass(frozen=True)
class View:
    """One piece, as client.messages.View."""

    job: str = value(IDENT)
    variant: int = value(VARIANT)
    call: int = value(COUNT)
    width: int = value(SIDE)
    height: int = value(SIDE)
    offset: int = value(OFFSET)


@WORK.add("credit", TO_WORKER)
@dataclass(frozen=True)
class Credit:
    job: str = value(IDENT)
    variants: tuple[int, ...] = value(array(VARIANT, MAX_VARIANTS))


@WORK.add("quit", TO_WORKER)
@dataclass(frozen=True)
class Quit:
    """Leave at once."""


@WORK.add("online", FROM_WORKER)
@dataclass(frozen=True)
class Online:
    """The first message: this connection is the process with that id."""

    pid: int = value(COUNT)


@WORK.add("ready", FROM_WORKER)
@dataclass(frozen=True)
class Ready:
    """The engine is imported, its first model loaded and warm."""

    models: tuple[ModelEntry, ...] = value(array(record(ModelEntry), 256))
    presets: tuple[PresetEntry, ...] = value(array(record(PresetEntry), 32))
    device: str = value(text(100))


@WORK.add("look-again", TO_WORKER)
@dataclass(frozen=True)
class LookAgain:
    """A model has come or gone.  Answered by ``models`` at once, whatever the engine is doing."""


@WORK.add("models", FROM_WORKER)
@dataclass(frozen=True)
class Models:
    models: tuple[ModelEntry, ...] = value(array(record(ModelEntry), 256))


@WORK.add("beat", FROM_WORKER)
@dataclass(frozen=True)
class Beat:
    """Every second, from a thread of its own.  ``idle_for``: seconds since the last call, 0 without a job."""

    idle_for: float = value(NUMBER)
    loading: bool = value(FLAG)
    calls_total: int = value(COUNT)


@WORK.add("learning", FROM_WORKER)
@dataclass(frozen=True)
class Learning:
    """As client.messages.Learning, at most 20 a second; the last one (``fraction`` 1) always comes."""

    job: str = value(IDENT)
    fraction: float = value(NUMBER)
    seconds_left: float = value(NUMBER)


@WORK.add("note", FROM_WORKER)
@dataclass(frozen=True)
class Note:
    """As client.messages.Note."""

    job: str = value(IDENT)
    sentence: str = value(SENTENCE)


@WORK.add("step", FROM_WORKER)
@dataclass(frozen=True)
class Step:
    """Progress of one variant, at most 20 a second; the last one of each variant always comes."""

    job: str = value(IDENT)
    variant: int = value(VARIANT)
    call: int = value(COUNT)
    calls: int = value(COUNT)
    seconds_left: float = value(NUMBER)


@WORK.add("preview", FROM_WORKER, payload=True)
@dataclass(frozen=True)
class Preview:
    """One piece, as client.messages.Preview."""

    job: str = value(IDENT)
    variant: int = value(VARIANT)
    call: int = value(COUNT)
    width: int = value(SIDE)
    height: int = value(SIDE)
    offset: int = value(OFFSET)


@WORK.add("output", FROM_WORKER, payload=True)
@dataclass(frozen=True)
class Output:
    """One piece of a finished variant, in order."""

    job: str = value(IDENT)
    variant: int = value(VARIANT)
    offset: int = value(OFFSET)


@WORK.add("result", FROM_WORKER)
@dataclass(frozen=True)
class Result:
    """All pieces of the variant have been sent.  ``step``: it was stopped and kept there (one entry)."""

    job: str = value(IDENT)
    variant: int = value(VARIANT)
    seed: int = value(SEED)
    seconds: float = value(NUMBER)
    calls: int = value(COUNT)
    step: tuple[StepEntry, ...] = value(array(record(StepEntry), 1), ())


@WORK.add("idle", FROM_WORKER)
@dataclass(frozen=True)
class Idle:
    """The job is over and the worker free.

    ``outcome``: "done", "kept" (stopped by ``keep``), "failed" (then code and sentence say why), "stopped" (cancelled).
    ``calls_after_cancel``: network calls that ended after the cancel had arrived; -1 if there was none.
    """

    job: str = value(IDENT)
    outcome: str = value(one_of("done", "kept", "failed", "stopped"))
    seconds: float = value(NUMBER)
    calls_total: int = value(COUNT)
    calls_after_cancel: int = value(integer(-1, 10**9), -1)
    code: str = value(CODE, "")
    sentence: str = value(SENTENCE, "")
    details: str = value(DETAILS, "")


@WORK.add("broken", FROM_WORKER)
@dataclass(frozen=True)
class Broken:
    """The engine cannot start at all here; the worker leaves and is not started again by itself."""

    sentence: str = value(SENTENCE)
    details: str = value(DETAILS, "")
