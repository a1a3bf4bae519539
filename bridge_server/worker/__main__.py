"""Loads a model, runs one job at a time, says what happens.

Two threads: `SocketLine` owns the socket; the main thread runs the engine.  Started by the bridge only; leaves when
standard input ends, when its parent dies, or when told so.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

from bridge_server import work
from bridge_server.client.checks import shortened
from bridge_server.client.codec import encode
from bridge_server.worker.line import SocketLine
from bridge_server.worker.process import begin, leave
from engine.loading import without_looking_for_garbage
from engine.untrusted import own_input

log = logging.getLogger("worker")

_ENGINE_MISSING = "The RePaint engine is incomplete: open RePaint and click Repair."


def _die_with_parent(parent: int) -> None:
    """Linux: SIGKILL when the bridge dies; everywhere: leave at the end of standard input."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            leave()

    def watch() -> None:
        while own_input().read(4096):
            pass
        leave()

    threading.Thread(target=watch, name="parent", daemon=True).start()


def main() -> None:
    orders = begin()
    _die_with_parent(orders["parent"])
    line = SocketLine(orders["address"], orders["password"], orders["ticket"], leave)
    line.start()
    try:
        with without_looking_for_garbage():
            from bridge_server.worker.runner import Runner  # seconds: torch

        runner = Runner(line, Path(orders["scratch"]), Path(orders["spool"]), leave)
        ready = runner.prepare(orders["warm"])
        encode(ready)  # one that cannot be said would be waited for
    except Exception as error:
        log.exception("the engine cannot start")
        line.say(work.Broken(_ENGINE_MISSING, shortened(repr(error), 4000)))
        time.sleep(0.5)
        leave(3)
        return
    line.loading = False
    line.say_models()
    line.say(ready)
    log.info("ready on %s", ready.device)
    runner.serve()


if __name__ == "__main__":
    main()
