"""The object a plug-in holds: one connection to the bridge, jobs in, events out, nothing ever blocks.

A daemon thread owns the socket.  It finds the bridge or starts it, proves both sides, sends pings, reconnects with
pauses of 0.1 … 2 s, and after every reconnection attaches its jobs again; a job that the new bridge does not know
(its journal is gone) is submitted once more under the same id, so nothing is ever computed twice.

    session = Session("krita 5.1.5", notify=wake_the_gui_thread)
    session.start()
    job = session.submit(JobRequest(width, height, pixels, selection))
    ...
    for event in session.poll():    # on the GUI thread, after notify
        ...

Exactly one of Done, Failed, Cancelled is returned per job, also for a request that could not even be sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, List

from bridge_server.client import events


@dataclass(frozen=True)
class JobRequest:
    """Everything that defines the result, apart from the engine's version and device.

    width, height   pixels, 1 … 16384 each and at most 8192² together (the grown box, not the document)
    pixels          width*height*4 bytes: straight 8-bit sRGB R, G, B, A, rows from the top
    selection       width*height bytes: 255 = repaint, 0 = keep, between = soft edge
    model, preset   ids of the catalogue
    seed            0 … 2^53-1; None: drawn by the session, and reported in every Result
    variants        1 … 16; variant k is the run with seed + k
    options         steps, jump_length, jump_samples, schedule, hard, …: plain values by name, decided by the engine
    tag             free text ≤ 1000, handed back in Recovered
    """

    width: int
    height: int
    pixels: bytes
    selection: bytes
    model: str = "texture"
    preset: str = "fast"
    seed: int | None = None
    variants: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    tag: str = ""


class Session:
    """See the module's docstring.  All methods may be called from any thread and return at once."""

    def __init__(
        self,
        app: str,
        notify: Callable[[], None] | None = None,
        client_id: str | None = None,
        preview_interval: float = 0.15,
    ) -> None:
        """``app``: name and version of the editor, for the log.  ``notify`` is called on the network thread
        whenever events wait; it must be cheap and must not touch widgets (emit a queued signal, write to a pipe).
        ``client_id``: letters, digits, - and _, at most 64; give the same one after a restart of the editor to get
        unfinished jobs back (``events.Recovered``); None: a random one.  Two live sessions must not share one: the
        later one takes over.
        """
        raise NotImplementedError

    def start(self) -> None:
        """Start the thread; ``Connected`` or ``Disconnected`` follows."""
        raise NotImplementedError

    def poll(self) -> List[events.Event]:
        """All events since the last call, oldest first.  Handing a preview over asks for the next one."""
        raise NotImplementedError

    def submit(self, request: JobRequest) -> str:
        """Queue a job and return its id; also before ``Connected``.  A bad request ends in ``Failed``."""
        raise NotImplementedError

    def cancel(self, job: str) -> None:
        """Cancel a job in any state; twice or too late does no harm."""
        raise NotImplementedError

    def resume(self, job: str) -> None:
        """Take over a job that was announced by ``Recovered``."""
        raise NotImplementedError

    def discard(self, job: str) -> None:
        """Give up a job that was announced by ``Recovered``; no event follows."""
        raise NotImplementedError

    def restart_engine(self) -> None:
        """Ask for a new engine process after EngineDown(will_retry=False)."""
        raise NotImplementedError

    def set_preview_interval(self, seconds: float) -> None:
        """At least so many seconds between two previews of a variant (from now on)."""
        raise NotImplementedError

    def close(self, timeout: float = 1.0) -> None:
        """Say goodbye and end the thread; waits at most ``timeout`` seconds.  Jobs that run finish into the spool."""
        raise NotImplementedError
