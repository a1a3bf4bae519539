"""``python -m bridge_server.check``: a bridge of its own is started and paints a small picture. Exit status 1, with one
sentence, if it does not."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from bridge_server.client import events, launch
from bridge_server.client.errors import BridgeError, CannotStart
from bridge_server.client.run_job import run
from bridge_server.client.session import JobRequest, Session

SIDE, HOLE = 48, slice(16, 32)


@contextlib.contextmanager
def own_home() -> Iterator[None]:
    """A home for a bridge that is neither the user's nor outlives the block."""
    with tempfile.TemporaryDirectory(prefix="repaint-bridge-") as home:
        os.environ[launch.HOME_VARIABLE] = home
        launch.write_launch_file(sys.executable, ["-m", "bridge_server", "serve"], launch.user_folders().state)
        try:
            yield
        finally:
            stop = [sys.executable, "-m", "bridge_server", "stop"]
            subprocess.run(stop, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def small_request() -> JobRequest:
    """Stripes with a square hole, for the default model."""
    pixels, selection = bytearray(), bytearray(SIDE * SIDE)
    for y in range(SIDE):
        for x in range(SIDE):
            pixels += bytes((60 * (x // 4 % 4), 40 * (y // 8 % 2), 128, 255))
            selection[y * SIDE + x] = 255 if HOLE.start <= x < HOLE.stop and HOLE.start <= y < HOLE.stop else 0
    return JobRequest(SIDE, SIDE, bytes(pixels), bytes(selection), "exemplar", "fast", 1, 1)


def _give_up(event: events.Event) -> None:
    """The session would go on trying; here one bridge that does not start is enough."""
    if isinstance(event, events.Disconnected) and event.code == CannotStart.code:
        raise CannotStart(event.sentence)


def main() -> int:
    began = time.monotonic()
    with own_home():
        session = Session("check")
        session.start()
        try:
            run(session, small_request(), on_event=_give_up, timeout=120.0)
        except BridgeError as error:
            print(f"error: {error.sentence}", file=sys.stderr)
            return 1
        finally:
            session.close()
    print(f"painted through the bridge, {time.monotonic() - began:.0f} s with its start")
    return 0


if __name__ == "__main__":
    sys.exit(main())
