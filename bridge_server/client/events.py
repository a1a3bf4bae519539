"""What ``Session.poll`` returns: frozen dataclasses, in the order in which things happened.

Of one job come: ``Accepted`` (once or more), ``Learning`` (if it was asked for), ``Progress`` and ``Preview`` (any
number), ``Result`` (one per finished variant), and then exactly one of ``Done``, ``Failed``, ``Cancelled``, after
which nothing of that job comes any more but ``Steps`` and ``StepView`` (and, if it is fetched again, its results and
its end once more).  Pixels are straight (not premultiplied) 8-bit sRGB R, G, B, A, rows from the top, without padding:
``len(rgba) == width * height * 4``.  Colour is uncomposited and A is the selection, so the host's ordinary layer
blending makes the soft edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union


@dataclass(frozen=True)
class Model:
    """One model the engine knows.  ``installed`` is False while its file is missing or broken.

    ``learns``: it takes the option ``learn``.  ``download``: it can be had by ``Session.download``, ``source``: where
    it comes from, for people, ``download_bytes``: about so much is fetched, 0: not known.

    Memory that a run is expected to take on the CPU: ``memory_mib`` (0: not known), and for each pixel sent
    ``pixel_bytes``, ``variant_bytes`` more for each further variant.
    """

    id: str
    title: str
    family: str
    licence: str
    installed: bool
    takes_prompt: bool
    takes_label: bool
    memory_mib: int = 0
    pixel_bytes: int = 0
    variant_bytes: int = 0
    learns: bool = False
    source: str = ""
    download: bool = False
    download_bytes: int = 0


@dataclass(frozen=True)
class Preset:
    """A named way to run the sampler; ``calls`` = network calls for one variant; 0: not known."""

    name: str
    title: str
    calls: int
    steps: int = 0
    jump_length: int = 0
    jump_samples: int = 0


@dataclass(frozen=True)
class Connected:
    """The bridge has proved itself.  Comes again whenever one of these fields changes.

    ``models`` is empty until the engine process has reported for the first time (some seconds after the start of
    the bridge).  Jobs may be submitted at once, also before that: they wait.
    ``engine`` is "starting", "ready" or "down"; ready includes busy.
    """

    models: tuple[Model, ...]
    presets: tuple[Preset, ...]
    bridge_version: str
    engine: str = "ready"


@dataclass(frozen=True)
class Disconnected:
    """No bridge just now; the session goes on trying by itself.  ``code`` as in errors.py ("not_installed", …)."""

    sentence: str
    code: str = "lost"


@dataclass(frozen=True)
class Accepted:
    """The job waits.  ``queue_position`` = jobs that run before it (0: it is the one that runs).

    Comes again when the position changes.  ``calls`` = network calls per variant, 0 while not yet known.
    """

    job: str
    queue_position: int
    calls: int


@dataclass(frozen=True)
class Learning:
    """The engine learns the picture first (option ``learn``: seconds, 5 … 600).

    ``fraction`` 0 … 1 of that time is over; 1: learned, the first Progress follows.  A newer one replaces one that has
    not been polled.
    """

    job: str
    fraction: float
    seconds_left: float


@dataclass(frozen=True)
class Note:
    """Something to tell of a job that goes on nonetheless, in one sentence."""

    job: str
    sentence: str


@dataclass(frozen=True)
class Progress:
    """``call`` of ``calls`` network calls of this variant (0-based) are done.

    ``seconds_left`` is for the whole job with all its variants; negative while it cannot be told yet.
    A newer Progress of the same variant replaces one that has not been polled.
    """

    job: str
    variant: int
    variants: int
    call: int
    calls: int
    seconds_left: float


@dataclass(frozen=True)
class Preview:
    """The current guess of the finished picture.  Replaces every earlier preview of this variant."""

    job: str
    variant: int
    call: int
    width: int
    height: int
    rgba: bytes


@dataclass(frozen=True)
class Result:
    """One finished variant; ``seed`` alone (with variants=1) gives the same pixels again."""

    job: str
    variant: int
    seed: int
    width: int
    height: int
    rgba: bytes
    model: str
    seconds: float
    calls: int = 0
    unfinished: bool = False  # stopped and kept: the estimate after ``calls`` network calls


@dataclass(frozen=True)
class Step:
    """A kept step of a variant: the state after ``call`` calls, and the calls that each kind of branch costs."""

    call: int
    remaining: int
    harmonise: int
    idea: int


@dataclass(frozen=True)
class Steps:
    """All kept steps of a variant, rising; comes whenever they change.  Empty: they are gone, run it again."""

    job: str
    variant: int
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class StepView:
    """The picture of a kept step, asked for by ``Session.look``; may be smaller than the job's box."""

    job: str
    variant: int
    call: int
    width: int
    height: int
    rgba: bytes


@dataclass(frozen=True)
class Done:
    """All variants have been handed over.  ``seconds`` = computing time of the job."""

    job: str
    seconds: float


@dataclass(frozen=True)
class Failed:
    """The job ended without all its results.  ``sentence`` may be shown as it is; ``details`` on demand."""

    job: str
    code: str
    sentence: str
    details: str = ""


@dataclass(frozen=True)
class Cancelled:
    """The job is cancelled; the engine stops within one network call."""

    job: str


@dataclass(frozen=True)
class EngineDown:
    """The engine process died.

    ``will_retry``: it is being started again, and an interrupted job runs once more by itself to the same pixels.
    Otherwise it stays down until ``Session.restart_engine()``.
    """

    sentence: str
    will_retry: bool


@dataclass(frozen=True)
class Downloading:
    """A model is being downloaded, whoever asked for it.  ``total`` 0: not known (yet); all done: it is checked.

    A newer one replaces one that has not been polled.
    """

    model: str
    done: int
    total: int


@dataclass(frozen=True)
class Downloaded:
    """A download has ended: "installed" (``Connected`` follows), "stopped" (``done`` bytes are kept, the next one goes
    on from there) or "failed" (``sentence`` may be shown as it is)."""

    model: str
    end: str
    done: int
    code: str
    sentence: str
    details: str


@dataclass(frozen=True)
class Recovered:
    """The bridge holds a job of an earlier process with the same client id (only if one was given).

    Answer with ``Session.resume(job)`` (results and the end come as ordinary events; a job that had not started
    starts) or with ``Session.discard(job)``.  ``state``: "queued", "running", "done", "failed", "cancelled";
    ``results``: finished variants on disk.
    """

    job: str
    tag: str
    model: str
    state: str
    variants: int
    results: int
    width: int
    height: int


Event = Union[
    Connected,
    Disconnected,
    Accepted,
    Learning,
    Note,
    Progress,
    Preview,
    Result,
    Steps,
    StepView,
    Done,
    Failed,
    Cancelled,
    EngineDown,
    Downloading,
    Downloaded,
    Recovered,
]
TERMINAL = (Done, Failed, Cancelled)
