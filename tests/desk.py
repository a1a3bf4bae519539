"""What is the same at the desk of every editor that a test drives: the run, the bridge behind it, the plug-in's log."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import cv2
import numpy as np

from bridge_server.__main__ import connect
from bridge_server.client import launch, messages

from .driven import Driven, HostFailure

REPOSITORY = Path(__file__).resolve().parent.parent


H = TypeVar("H", bound=Driven)


class EditorDesk(Generic[H]):
    """Wraps a running editor in whose driver's namespace ``flow`` is the plug-in's."""

    def __init__(self, host: H) -> None:
        self.host = host

    def status(self) -> str:
        """The plug-in's status line."""
        raise NotImplementedError

    # ---- the run ----
    def wait_end(self, seconds: float = 60.0) -> str:
        """Waits until the run has ended; returns the status line."""
        self.host.wait("not flow.busy and not flow.has_steps", seconds=seconds, what="the run ends")
        return self.status()

    def show_first(self) -> None:
        """Chooses the newest run's first variant, whichever was the best one."""
        self.host.run("pump.choose(flow.runs[-1], 0)\nNone")
        self.host.wait("not flow.has_steps and flow.selected[1] == 0", what="the first variant is shown")

    def wait_preview(self, seconds: float = 30.0) -> None:
        """Waits until a preview stands in the layer of the running run."""
        self.host.wait(
            "flow.run is not None and 'first_preview' in flow.run.timings", seconds=seconds, what="a first preview"
        )

    # ---- the bridge ----
    def bridge(self) -> messages.Status:
        """The running bridge's own account of itself, asked by a second client."""
        link = connect(launch.user_folders().state)
        try:
            answer = link.ask(messages.GetStatus(), messages.Status)
            link.send(messages.Bye())
            link.flush()
            return answer
        finally:
            link.close()

    def wait_bridge(
        self, what: str, condition: Callable[[messages.Status], object], seconds: float = 30.0
    ) -> messages.Status:
        """Waits until the bridge's account meets the condition; returns it."""
        end = time.monotonic() + seconds
        while True:
            answer = self.bridge()
            if condition(answer):
                return answer
            if time.monotonic() > end:
                raise HostFailure(f"not within {seconds} s: {what}; the bridge says {answer}")
            time.sleep(0.02)


D = TypeVar("D", bound=EditorDesk[Any])


class Shared(Generic[D]):
    """One running editor for many tests. One that died or hangs has failed a test by that; the next test gets another.

    make: starts one; it is given how many there were before.
    """

    def __init__(self, make: Callable[[int], D]) -> None:
        self._make = make
        self._count = 0
        self._desk: D | None = None

    def desk(self) -> D:
        if self._desk is not None and self._desk.host.is_lost:
            self._desk.host.kill()
            self._desk = None
        if self._desk is None:
            self._desk = self._make(self._count)
            self._count += 1
        return self._desk

    def stop(self) -> None:
        if self._desk is not None:
            self._desk.host.kill() if self._desk.host.is_lost else self._desk.host.stop()


def write_launch_file(warm: str = "test/gaussian") -> None:
    """As the installer does, for a project folder that need not be installed."""
    server = str(REPOSITORY / "bridge_server" / "__main__.py")
    launch.write_launch_file(sys.executable, [server, "serve", "--warm", warm], launch.user_folders().state)


@contextlib.contextmanager
def logs_stay_clean(host: Driven) -> Iterator[None]:
    """Looks at the editor's log and the plug-in's at the end: the plug-in keeps its exceptions from the editor; they
    stand in its own log and fail a test as loudly."""
    since = len(_plugin_log(host))
    yield
    host.check()
    fresh = _plugin_log(host)[since:]
    if "Traceback (most recent call last)" in fresh:
        raise HostFailure("The plug-in logged an exception:\n" + fresh[-4000:])


def _plugin_log(host: Driven) -> str:
    path = launch.user_folders().state / "logs" / f"{host.name}.log"
    return path.read_text(errors="replace") if path.exists() else ""


def photograph(path: Path, width: int, height: int) -> Path:
    """A picture with detail at every scale, from noise of nine octaves, warm below and cold above."""
    rng, total = np.random.default_rng(11), np.zeros((height, width), np.float32)
    for octave in range(9):
        small = rng.standard_normal((height // 2**octave + 2, width // 2**octave + 2)).astype(np.float32)
        total += 1.6**octave * cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = total / total.std() * 30
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    bands = [120 + grain + 60 * down, 120 + grain, 150 + 0.8 * grain - 60 * down]
    cv2.imwrite(str(path), np.stack(bands[::-1], 2).clip(0, 255).astype(np.uint8))
    return path
