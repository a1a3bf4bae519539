"""Threads in an editor's process."""

from __future__ import annotations

import functools
import signal
import socket
from collections.abc import Callable

NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)
"""For ``send`` in a thread of the editor's own."""


def spared(work: Callable[[], None]) -> Callable[[], None]:
    """``work`` for a thread of ours: what is written to a connection that is gone is an error there, and no signal.

    Python ignores SIGPIPE, but not where an editor starts it without signal handlers, as Krita does; there a bridge
    that is killed at the wrong moment would end the editor.
    """

    @functools.wraps(work)
    def run() -> None:
        if hasattr(signal, "pthread_sigmask"):  # not on Windows, which has no such signal
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
        work()

    return run
