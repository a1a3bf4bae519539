"""Where workers come from: what a backend has to bring, and how a worker joins.

**A worker** is whatever connects to the bridge's worker socket and speaks ``bridge_server/work.py``: `online` first,
then `models` and `ready`, a `beat` every second, and from then on it answers `start`, `credit`, `keep`, `cancel`,
`look`, `look-again` and `quit`. It has one *part* (some variants of one job) in hand at a time, from `start` to its
`idle`.

**A backend** only starts processes that bring workers. The pool keeps each process alive: one that ends unasked is
started again, `Limits.crashes` deaths within `Limits.crash_window` leave it down until the artist restarts the engine.
The process learns by the first line of its standard input, as JSON, what `Joining` says, and leaves when its standard
input ends, whatever it is doing.

**How a worker joins.** One connection (a ZeroMQ DEALER) for each worker, PLAIN with the name ``worker`` and
``Joining.password``, its first message `online` with ``Joining.ticket`` and any pid of its own. A process of a backend
that is ``shared`` may bring any number of workers so, at any time, over as many connections. On each of them:

- `online` again: a fresh worker stands in the place of the earlier one. What that one had in hand is run again, by
  whoever is idle, and its kept steps are gone.
- `offline`: that worker is gone for now, with the same consequences; its sentence, if it has one, is told to the
  artists. It counts as no crash, unless it says so. The connection may stay, for the next `online`; a process that has
  no worker (yet) may open one with `offline` to say why.
- `quit` from the bridge: it has given this worker up (silent, stalled, no end after a cancel) and forgotten it: nothing
  but `online` is heard from there any more. The process of a backend that is not shared is killed instead.
- The end of the process is the end of all its workers.

**Flow.** To a worker there goes at most one piece of a MiB at a time, against its own `need`; the rest is small. From a
worker previews come only against `credit`, and pieces of results as fast as the bridge writes them to the disk: its
socket takes few messages at a time, so a relay that stops reading at its far end while its own DEALER is full (a send
high-water mark of a few messages) passes the pressure on. Every message counts as a sign of life, so a `beat` behind
pieces on a slow road does no harm; `Limits` of one's own make room for roads that are slower. After a `cancel` only
`idle` is of use: a relay may drop the pieces of that job which it still holds.

**Where things lie.** Kept steps stay with the worker that made them; branches from them and looks at them go there. The
state that goes with an estimate that was stopped and kept lies in the spool folder of that worker's machine.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Protocol


@dataclass(frozen=True)
class Limits:
    """Seconds, all on the monotonic clock.

    silent: without a sign of life; starting: until ready, and for loading a model; stalled: without a network call
    while a job runs; cancel: from the cancel to the engine's stop.  More than ``crashes`` - 1 deaths within
    ``crash_window``: the process stays down.  quit: from being told to leave to the end by force.
    """

    silent: float = 20.0
    starting: float = 300.0
    stalled: float = 600.0
    cancel: float = 5.0
    crashes: int = 5
    crash_window: float = 180.0
    quit: float = 1.0


@dataclass(frozen=True)
class Joining:
    """What a started process has to know: the worker socket's endpoint, the password for it, a ticket of its own."""

    address: str
    password: str
    ticket: str

    def line(self, **more: object) -> bytes:
        """The first line of standard input; ``more``: what this backend's processes have to know besides."""
        return json.dumps({**asdict(self), **more}).encode() + b"\n"


class Handle(Protocol):
    """A process that was started (`started.Started` is one)."""

    @property
    def pid(self) -> int: ...

    def alive(self) -> bool: ...

    def kill(self) -> None:
        """End it at once; it is gone when this returns."""

    def stop(self, seconds: float) -> None:
        """End it by the end of its standard input, after so long by force; it is gone when this returns."""


class Backend(Protocol):
    """``shared``: one process may bring several workers, which come and go by themselves."""

    name: str
    shared: bool

    def start(self, number: int, joining: Joining) -> Handle:
        """Start its process number 0, 1 …; its end must wake the bridge's loop (`Started` does).

        Raises BridgeError with a sentence, or OSError, if it cannot be started here at all; then it stays down.
        """
