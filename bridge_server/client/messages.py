"""What stands on the wire: one frozen dataclass per message (docs/protocol.md is the specification).

`checks` says what a value may be, `records` what several messages carry, `codec` how a message becomes frames.  These
classes are the only definition of what they say: the worker's wire (``bridge_server/work.py``) and the events of a
session are made of them.
"""

from __future__ import annotations

from bridge_server.client.checks import (
    FLAG,
    IDENT,
    MAX_INTEGER,
    NAME,
    NUMBER,
    array,
    integer,
    nested,
    one_of,
    optional,
    text,
    value,
)
from bridge_server.client.codec import TO_BRIDGE, TO_CLIENT, Registry, message
from bridge_server.client.geometry import PLACE, SIDE, Box
from bridge_server.client.records import (
    BOXES,
    CODE,
    COUNT,
    DEPTH,
    DETAILS,
    MAX_MAPS,
    MAX_PIXELS,
    MAX_VARIANTS,
    OFFSET,
    PIXEL_BYTES,
    SEED,
    SENTENCE,
    STATE,
    VARIANT,
    VARIANTS,
    BranchRequest,
    Estimate,
    Figures,
    JobEntry,
    Map,
    Model,
    OfJob,
    OfVariant,
    Order,
    Preset,
    Step,
)

PROTOCOL = 8
CHUNK = 1024 * 1024  # pixels travel in pieces of this size
PAGE = 64  # entries of a list in one message at most; a longer one follows in further messages
MAX_ATTACHED = 256
MAX_PULLS = 4  # unanswered
LOST_SECONDS = 6.0  # without a sign of life, on either side
ENGINE = one_of("starting", "ready", "busy", "down")
WIRE = Registry()


@message(WIRE, "hello", TO_BRIDGE)
class Hello:
    """The first message of a connection; ``nonce`` is random, ``client`` stays the same over reconnections."""

    protocol: int = value(integer(1, 1000))
    client: str = value(IDENT)
    app: str = value(text(100))
    nonce: str = value(IDENT)


@message(WIRE, "welcome", TO_CLIENT)
class Welcome:
    """``proof`` = HMAC-SHA256(secret, nonce) in hex: without it the client says nothing more."""

    protocol: int = value(integer(1, 1000))
    proof: str = value(IDENT)
    instance: str = value(IDENT)
    bridge_version: str = value(text(40))


@message(WIRE, "catalogue", TO_CLIENT)
class Catalogue:
    """What the engine can do; after welcome and whenever it changes.  Empty until the engine has reported.

    ``more``: further models follow in the next message.
    """

    models: tuple[Model, ...] = value(array(nested(Model), PAGE))
    presets: tuple[Preset, ...] = value(array(nested(Preset), 32))
    engine: str = value(ENGINE)
    more: bool = value(FLAG, default=False)


@message(WIRE, "engine-down", TO_CLIENT)
class EngineDown:
    """The engine process died.

    ``will_retry``: it is being started again, and an interrupted job runs once more by itself to the same pixels;
    otherwise it stays down until ``restart-engine``.
    """

    sentence: str = value(SENTENCE)
    will_retry: bool = value(FLAG)


@message(WIRE, "notice", TO_CLIENT)
class Notice:
    """Something to tell that belongs to no job."""

    sentence: str = value(SENTENCE)


@message(WIRE, "ping", TO_BRIDGE)
class Ping:
    """Every 2 s; a client that is silent for 6 s counts as gone."""

    number: int = value(COUNT)


@message(WIRE, "pong", TO_CLIENT)
class Pong:
    number: int = value(COUNT)


@message(WIRE, "blob", TO_BRIDGE, payload=True)
class Blob:
    """One piece of ``size`` bytes to come, in order and without gaps; the payload starts at ``offset``."""

    blob: str = value(IDENT)
    size: int = value(integer(1, MAX_PIXELS * max(PIXEL_BYTES.values())))
    offset: int = value(OFFSET)


@message(WIRE, "submit", TO_BRIDGE)
class Submit(OfJob):
    """Run a job.  ``pixels``, ``selection``: blobs of width*height*4 samples of the order's depth and of width*height
    bytes, or of its ``pieces``, complete before this; ``source``: of source_width*source_height*4 samples, or null.
    ``maps``: as ``pixels``, of each map's own depth, in their order.  ``share_mask``: as ``selection``.

    A second submit with the id is answered by ``state``.  ``history``: results stay until ``release``, however old.
    """

    order: Order = value(nested(Order))
    pixels: str = value(IDENT)
    selection: str = value(IDENT)
    history: bool = value(FLAG, default=False)
    source: str | None = value(optional(IDENT), default=None)
    maps: tuple[str, ...] = value(array(IDENT, MAX_MAPS), default=())
    share_mask: str | None = value(optional(IDENT), default=None)


@message(WIRE, "branch", TO_BRIDGE)
class Branch(OfJob):
    """Run a job from a kept step, in all else as ``submit``."""

    request: BranchRequest = value(nested(BranchRequest))
    history: bool = value(FLAG, default=False)


@message(WIRE, "accepted", TO_CLIENT)
class Accepted(OfJob):
    """The job is in the journal; again whenever its position changes.

    ``queue_position`` = jobs that run before it (0: it is the one that runs); ``calls`` per variant, 0 = not known yet.
    """

    queue_position: int = value(COUNT)
    calls: int = value(COUNT, default=0)


@message(WIRE, "learning", TO_CLIENT)
class Learning(OfJob):
    """The engine learns the picture before the first call of a job with the option ``learn``.

    ``fraction`` 0 … 1 of the time for it, ``seconds_left`` until its end; it may end before.
    """

    fraction: float = value(NUMBER)
    seconds_left: float = value(NUMBER)


@message(WIRE, "note", TO_CLIENT)
class Note(OfJob):
    """Something to tell of a job that goes on nonetheless, such as a prompt that was too long; before its progress,
    or within it where a tile is painted again: then ``calls`` grows."""

    sentence: str = value(SENTENCE)


@message(WIRE, "progress", TO_CLIENT)
class Progress(OfVariant):
    """``call`` of ``calls`` network calls of this variant are done; ``seconds_left`` for the whole job, negative while
    unknown."""

    variants: int = value(VARIANTS)
    call: int = value(COUNT)
    calls: int = value(COUNT)
    seconds_left: float = value(NUMBER)


@message(WIRE, "credit", TO_BRIDGE)
class Credit(OfJob):
    """One more preview of each of these variants is wanted; credit does not add up beyond one."""

    variants: tuple[int, ...] = value(array(VARIANT, MAX_VARIANTS))


@message(WIRE, "preview", TO_CLIENT, payload=True)
class Preview(Estimate):
    """A piece of a preview of width*height*4 samples, or of those of its ``parts``, one after the other, in order."""

    offset: int = value(OFFSET)
    parts: tuple[Box, ...] = value(BOXES, default=())


@message(WIRE, "result", TO_CLIENT)
class Result(OfVariant):
    """A variant of width*height*4 samples is finished and on disk; the client pulls its pixels.

    It belongs at x, y of the job's pixels.  ``unfinished``: the estimate after ``calls`` calls, kept by ``keep``, which
    has no figures.  ``parts``: as of a preview.  Behind its pixels follow those of each of ``maps``, as many.
    """

    seed: int = value(SEED)
    x: int = value(PLACE)
    y: int = value(PLACE)
    width: int = value(SIDE)
    height: int = value(SIDE)
    model: str = value(NAME)
    seconds: float = value(NUMBER)
    calls: int = value(COUNT)
    unfinished: bool = value(FLAG)
    depth: str = value(DEPTH)
    figures: Figures | None = value(optional(nested(Figures)), default=None)
    maps: tuple[Map, ...] = value(array(nested(Map), MAX_MAPS), default=())
    parts: tuple[Box, ...] = value(BOXES, default=())


@message(WIRE, "pull", TO_BRIDGE)
class Pull(OfVariant):
    """Send ``length`` bytes of that result from ``offset``; at most 4 pulls may be unanswered."""

    offset: int = value(OFFSET)
    length: int = value(integer(1, CHUNK))


@message(WIRE, "chunk", TO_CLIENT, payload=True)
class Chunk(OfVariant):
    """The answer to one pull."""

    offset: int = value(OFFSET)


@message(WIRE, "claim", TO_BRIDGE)
class Claim(OfVariant):
    """The editor has this variant; it need not be handed back any more."""


@message(WIRE, "release", TO_BRIDGE)
class Release(OfJob):
    """The editor knows how the job ended: its pixels may be deleted.  A running job is cancelled first."""


@message(WIRE, "drop", TO_BRIDGE)
class Drop(OfVariant):
    """Delete one finished variant of an ended job, on disk, too; with the last one the job is released."""


@message(WIRE, "cancel", TO_BRIDGE)
class Cancel(OfJob):
    """Stop a job in any state, also one whose submit never came; always answered by ``state``."""


@message(WIRE, "keep", TO_BRIDGE)
class Keep(OfJob):
    """Stop the running job and keep the present estimates of these variants (none named: of all) as its results.

    Then ``done`` ends it.  A job that has not yet made a call is cancelled instead.
    """

    variants: tuple[int, ...] = value(array(VARIANT, MAX_VARIANTS))


@message(WIRE, "steps", TO_CLIENT)
class Steps(OfVariant):
    """The kept steps of a variant, all of them, rising, whenever that changes; also after the job's end.  Empty: gone.

    ``more``: further ones follow in the next message.
    """

    steps: tuple[Step, ...] = value(array(nested(Step), PAGE))
    more: bool = value(FLAG, default=False)


@message(WIRE, "look", TO_BRIDGE)
class Look(OfVariant):
    """Show that kept step.  Answered by ``view``, or by ``steps`` if it is gone."""

    call: int = value(COUNT)


@message(WIRE, "view", TO_CLIENT, payload=True)
class View(Estimate):
    """A piece of a kept step's picture, in order: columns*rows*4 samples that show width x height pixels, or
    fewer."""

    columns: int = value(SIDE)
    rows: int = value(SIDE)
    offset: int = value(OFFSET)


@message(WIRE, "state", TO_CLIENT)
class State(OfJob):
    """The answer to cancel and to a repeated submit: how the job stands.  Not a terminal event."""

    state: str = value(STATE)


@message(WIRE, "done", TO_CLIENT)
class Done(OfJob):
    """Terminal: all results have been announced."""

    seconds: float = value(NUMBER)


@message(WIRE, "failed", TO_CLIENT)
class Failed(OfJob):
    """Terminal."""

    code: str = value(CODE)
    sentence: str = value(SENTENCE)
    details: str = value(DETAILS, default="")


@message(WIRE, "cancelled", TO_CLIENT)
class Cancelled(OfJob):
    """Terminal."""


@message(WIRE, "attach", TO_BRIDGE)
class Attach:
    """After a welcome: these jobs are still wanted.  Answered by ``jobs``, then their missed results and ends."""

    jobs: tuple[str, ...] = value(array(IDENT, MAX_ATTACHED))


@message(WIRE, "jobs", TO_CLIENT)
class Jobs:
    """All jobs of this client that have not been released.  ``more``: further ones follow in the next message."""

    jobs: tuple[JobEntry, ...] = value(array(nested(JobEntry), PAGE))
    more: bool = value(FLAG, default=False)


@message(WIRE, "get-status", TO_BRIDGE)
class GetStatus:
    """Answered by ``status``."""


@message(WIRE, "status", TO_CLIENT)
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


@message(WIRE, "download", TO_BRIDGE)
class Download:
    """Fetch a model of the catalogue.  ``licence``: what the artist has agreed to, as the catalogue says it."""

    model: str = value(NAME)
    licence: str = value(text(200))


@message(WIRE, "stop-download", TO_BRIDGE)
class StopDownload:
    """Answered by ``downloaded``, if that model is being downloaded."""

    model: str = value(NAME)


@message(WIRE, "downloading", TO_CLIENT)
class Downloading:
    """To every client, at most five a second, and after welcome.  ``total`` 0: not known (yet).

    When all is there (``done`` = ``total``), the model is being checked.
    """

    model: str = value(NAME)
    done: int = value(COUNT)
    total: int = value(COUNT)


@message(WIRE, "downloaded", TO_CLIENT)
class Downloaded:
    """How a download ended, to every client; a refusal to the one who asked.  ``done``: bytes that are kept."""

    model: str = value(NAME)
    end: str = value(one_of("installed", "stopped", "failed"))
    done: int = value(COUNT, default=0)
    code: str = value(CODE, default="")
    sentence: str = value(SENTENCE, default="")
    details: str = value(DETAILS, default="")


@message(WIRE, "restart-engine", TO_BRIDGE)
class RestartEngine:
    """Start the engine process again after it was reported down."""


@message(WIRE, "stop", TO_BRIDGE)
class Stop:
    """Shut the bridge down in order; unfinished jobs stay in the journal."""


@message(WIRE, "error", TO_CLIENT)
class Error:
    """A message could not be used.  ``about``, ``job``: its type and the job it named, empty where there is none.

    The connection goes on, but for ``no_hello`` (the bridge has forgotten this client) and refusals of ``hello``.
    """

    code: str = value(CODE)
    sentence: str = value(SENTENCE)
    about: str = value(text(64), default="")
    job: str = value(text(64), default="")
    details: str = value(DETAILS, default="")


@message(WIRE, "bye", TO_BRIDGE + ", " + TO_CLIENT)
class Bye:
    """This side leaves now."""

    reason: str = value(text(200), default="")
