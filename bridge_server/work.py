"""The wire between the bridge and its engine process: the same frames as docs/protocol.md.

What the engine has to tell of a job, and what is asked of it, are the plug-ins' own messages, passed on as they are;
here are the few more that only these two need.
"""

from __future__ import annotations

from bridge_server.client import messages
from bridge_server.client.checks import FLAG, IDENT, NUMBER, array, integer, nested, one_of, optional, text, value
from bridge_server.client.codec import FROM_WORKER, TO_WORKER, Registry, message
from bridge_server.client.records import (
    CODE,
    COUNT,
    DETAILS,
    MAX_MAPS,
    MAX_VARIANTS,
    OFFSET,
    SENTENCE,
    VARIANT,
    VARIANTS,
    BranchRequest,
    Model,
    OfJob,
    Order,
    Preset,
)

STATE_GONE = "The kept steps of this picture are gone: run it again, then branch from it."

WORK = Registry()
WORK.share(messages.Credit, messages.Keep, messages.Cancel, messages.Look)  # to the worker
WORK.share(messages.Learning, messages.Note, messages.Progress, messages.Preview, messages.Steps, messages.View)
WORK.share(messages.Chunk, messages.Result)  # a finished variant: its pixels in order, then what it is
WORK.share(messages.Error)  # instead of what the worker could not say

_INPUT = one_of("pixels", "selection", "source", "share_mask", *(f"map-{number}" for number in range(MAX_MAPS)))


@message(WORK, "start", TO_WORKER)
class Start(OfJob):
    """Run variants first … first+count-1 of a job; the worker then asks for its pixels by ``need``.

    ``credit``: variants of which a preview is wanted already.  With an ``origin`` the job is a branch from a kept step,
    with the seed of ``order``, and needs no pixels.  ``pace``: seconds at least between two messages of progress of a
    variant; where it is slower than usual, news of kept steps come with these.
    """

    order: Order = value(nested(Order))
    first: int = value(VARIANT)
    count: int = value(VARIANTS)
    credit: tuple[int, ...] = value(array(VARIANT, MAX_VARIANTS))
    origin: BranchRequest | None = value(optional(nested(BranchRequest)), default=None)
    pace: float = value(NUMBER, default=0.05)


@message(WORK, "need", FROM_WORKER)
class Need(OfJob):
    what: str = value(_INPUT)
    offset: int = value(OFFSET)


@message(WORK, "input", TO_WORKER, payload=True)
class Input(OfJob):
    """The answer to one ``need``: the bytes from ``offset``, one piece."""

    what: str = value(_INPUT)
    offset: int = value(OFFSET)


@message(WORK, "quit", TO_WORKER)
class Quit:
    """Leave at once."""


@message(WORK, "online", FROM_WORKER)
class Online:
    """The first message: this connection is a worker, of the process with that id where it runs, brought by the process
    that was given that ticket.  Said again on a connection: a fresh worker stands in the place of the earlier one."""

    pid: int = value(COUNT)
    ticket: str = value(IDENT)


@message(WORK, "offline", FROM_WORKER)
class Offline:
    """The worker of this connection is gone for now, or there is none yet; ``sentence`` is for the artists.
    ``crashed``: it died, perhaps of what it had in hand."""

    ticket: str = value(IDENT)
    sentence: str = value(SENTENCE, default="")
    crashed: bool = value(FLAG, default=False)


@message(WORK, "ready", FROM_WORKER)
class Ready:
    """The engine is imported, its first model loaded and warm; ``models`` has come before.  ``device``: where it
    computes, empty if that model could not be loaded."""

    presets: tuple[Preset, ...] = value(array(nested(Preset), 32))
    device: str = value(text(100))


@message(WORK, "look-again", TO_WORKER)
class LookAgain:
    """A model has come or gone.  Answered by ``models`` at once, whatever the engine is doing."""


@message(WORK, "models", FROM_WORKER)
class Models:
    """The models there are; ``more``: further ones follow in the next message."""

    models: tuple[Model, ...] = value(array(nested(Model), messages.PAGE))
    more: bool = value(FLAG, default=False)


@message(WORK, "beat", FROM_WORKER)
class Beat:
    """Every second, from a thread of its own.  ``idle_for``: seconds since the last call, 0 without a job."""

    idle_for: float = value(NUMBER)
    loading: bool = value(FLAG)
    calls_total: int = value(COUNT)


@message(WORK, "idle", FROM_WORKER)
class Idle(OfJob):
    """The job is over and the worker free.

    ``outcome``: "done", "kept" (stopped by ``keep``), "failed" (then code and sentence say why), "stopped" (cancelled).
    ``calls_after_cancel``: network calls that ended after the cancel had arrived; -1 if there was none.
    """

    outcome: str = value(one_of("done", "kept", "failed", "stopped"))
    seconds: float = value(NUMBER)
    calls_total: int = value(COUNT)
    calls_after_cancel: int = value(integer(-1, 10**9), default=-1)
    code: str = value(CODE, default="")
    sentence: str = value(SENTENCE, default="")
    details: str = value(DETAILS, default="")


@message(WORK, "broken", FROM_WORKER)
class Broken:
    """The engine cannot start at all here; the worker leaves and is not started again by itself."""

    sentence: str = value(SENTENCE)
    details: str = value(DETAILS, default="")
