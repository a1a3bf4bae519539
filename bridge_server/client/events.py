"""What ``Session.poll`` returns, in the order in which things happened: the bridge's messages, pictures put together.

Of one job come: ``Accepted`` (once or more), ``Learning`` (if it was asked for), ``Progress`` and ``Preview`` (any
number), ``Result`` (one per finished variant), and then exactly one of ``Done``, ``Failed``, ``Cancelled``, after
which nothing of that job comes any more but ``Steps`` and ``StepView`` (and, if it is fetched again, its results and
its end once more).  A newer ``Learning``, ``Progress`` or ``Downloading`` replaces one that has not been polled.

Pixels are straight (not premultiplied) R, G, B, A in the depth and the colours of those that were sent, little-endian,
rows from the top, without padding, and belong at x, y of the job's box: ``len(rgba) == width * height *
PIXEL_BYTES[depth]``.  Of far-apart places they are those of the ``parts``, one after the other.  Colour is
uncomposited and A is the selection, so the host's ordinary layer blending makes the soft edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple, Union

from bridge_server.client.geometry import Box
from bridge_server.client.messages import (
    Accepted,
    Cancelled,
    Done,
    Downloaded,
    Downloading,
    EngineDown,
    Failed,
    Learning,
    Note,
    Notice,
    Progress,
    Steps,
)
from bridge_server.client.messages import Result as FinishedVariant
from bridge_server.client.records import Estimate, JobEntry, Model, Preset, Step

__all__ = [
    "TERMINAL",
    "Accepted",
    "Cancelled",
    "Connected",
    "Disconnected",
    "Done",
    "Downloaded",
    "Downloading",
    "EngineDown",
    "Event",
    "Failed",
    "Learning",
    "Model",
    "Note",
    "Notice",
    "Preset",
    "Preview",
    "Progress",
    "Recovered",
    "Result",
    "Step",
    "StepView",
    "Steps",
]


@dataclass(frozen=True)
class Connected:
    """The bridge has proved itself.  Comes again whenever one of these fields changes.

    ``models`` is empty until the engine process has reported for the first time (some seconds after the start of
    the bridge).  Jobs may be submitted at once, also before that: they wait.
    ``engine`` is "starting", "ready" or "down"; ready includes busy.
    """

    models: Tuple[Model, ...]
    presets: Tuple[Preset, ...]
    bridge_version: str
    engine: str = "ready"


@dataclass(frozen=True)
class Disconnected:
    """No bridge just now; the session goes on trying by itself.  ``code`` as in errors.py ("not_installed", …)."""

    sentence: str
    code: str = "lost"


@dataclass(frozen=True)
class Preview(Estimate):
    """The current guess of the finished picture.  Replaces every earlier preview of this variant."""

    rgba: bytes
    parts: Tuple[Box, ...] = ()


@dataclass(frozen=True)
class Result(FinishedVariant):
    """One finished variant; ``seed`` alone (with variants=1) gives the same pixels again.

    ``map_pixels``: of each of its ``maps``, at the same place, in the map's own depth.
    """

    rgba: bytes = b""
    map_pixels: Tuple[bytes, ...] = ()


@dataclass(frozen=True)
class StepView(Estimate):
    """The picture of a kept step, asked for by ``Session.look``: columns*rows pixels that show width x height
    pixels."""

    columns: int
    rows: int
    rgba: bytes


@dataclass(frozen=True)
class Recovered(JobEntry):
    """The bridge holds a job of an earlier process with the same client id (only if one was given).

    Answer with ``Session.resume(job)`` (results and the end come as ordinary events; a job that had not started
    starts) or with ``Session.discard(job)``.  ``state``: "queued", "running", "done", "failed", "cancelled".
    """


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
    Notice,
    Downloading,
    Downloaded,
    Recovered,
]
TERMINAL = (Done, Failed, Cancelled)
