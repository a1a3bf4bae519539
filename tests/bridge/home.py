"""What the bridge's tests share: a home of their own with a real bridge, and clients of both kinds."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge_server.client import events, launch, link, messages
from bridge_server.client.errors import BridgeError
from bridge_server.client.session import JobRequest, Session

ROOT = Path(__file__).parents[2]
BRIDGE = str(ROOT / "bridge_server" / "__main__.py")
FAST, SLOW = "test/gaussian", "test/gaussian-slow"
PLAIN_RUN = {"steps": 50, "jump_length": 50, "jump_samples": 1}  # 50 calls: a second of SLOW
PATIENCE = 200.0  # seconds after which a test gives up; never the measure of a test


def request(model: str = FAST, side: int = 96, **fields: Any) -> JobRequest:
    """A small job: noise with a selected square in the middle."""
    pixels = bytearray(random.Random(7).randbytes(side * side * 4))
    pixels[3::4] = b"\xff" * (side * side)
    selection = bytearray(side * side)
    for y in range(side // 3, 2 * side // 3):
        selection[y * side + side // 3 : y * side + 2 * side // 3] = b"\xff" * (2 * side // 3 - side // 3)
    defaults: dict[str, Any] = {"width": side, "height": side, "seed": 11}
    defaults.update(pixels=bytes(pixels), selection=bytes(selection), model=model)
    return JobRequest(**{**defaults, **fields})


def until(condition: Callable[[], Any], what: str, patience: float = PATIENCE, pause: float = 0.005) -> Any:
    """Wait for a truthy ``condition()`` and return it."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(pause)
    raise AssertionError(f"in vain: {what}")


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


class Home:
    """A REPAINT_BRIDGE_HOME with a launch file, of this process between ``enter`` and ``leave``.

    ``close`` leaves no process behind.
    """

    def __init__(self, *arguments: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="bridge-"))
        self.enter()
        self.state = launch.user_folders().state
        self.arguments = [
            BRIDGE,
            "serve",
            "--state",
            str(self.state),
            "--warm",
            FAST,
            "--idle-seconds",
            "30",
            *arguments,
        ]
        launch.write_launch_file(sys.executable, self.arguments, self.state)
        self.sessions: list[Watched] = []
        self.links: list[link.Link] = []
        self._seen: set[int] = set()

    def enter(self) -> None:
        self._before = os.environ.get(launch.HOME_VARIABLE)
        os.environ[launch.HOME_VARIABLE] = str(self.path)

    def leave(self) -> None:
        if self._before is None:
            del os.environ[launch.HOME_VARIABLE]
        else:
            os.environ[launch.HOME_VARIABLE] = self._before

    def session(self, client_id: str | None = None, **fields: Any) -> Watched:
        watched = Watched(client_id, **fields)
        self.sessions.append(watched)
        return watched

    def link(self, client: str = "raw") -> link.Link:
        """A connection on which the test speaks the protocol itself; starts the bridge if need be."""
        found = link.find_or_start(client, "test")
        self._seen.add(self.address().pid)
        self.links.append(found)
        return found

    def address(self) -> link.Address:
        return link.read_connection_file(self.state)

    def bridge_pid(self) -> int:
        pid = self.address().pid
        self._seen.add(pid)
        return pid

    def status(self) -> messages.Status:
        """What the bridge says of itself, through a connection of its own."""
        one = link.Link.connect(self.address(), "status-" + os.urandom(8).hex(), "test", timeout=20)
        try:
            return one.ask(messages.GetStatus(), messages.Status, timeout=20)
        finally:
            one.send(messages.Bye())
            one.flush()
            one.close()

    def ready(self) -> messages.Status:
        """Start the bridge if need be and wait until its engine is idle."""
        starter = link.find_or_start("starter", "test")
        self._seen.add(self.address().pid)
        starter.send(messages.Bye())
        starter.flush()
        starter.close()

        def look() -> messages.Status | None:
            status = self.status()
            assert status.engine != "down", self.log()
            return status if status.engine == "ready" else None

        return until(look, "a ready engine", pause=0.1)

    def log(self) -> str:
        return "".join(path.read_text() for path in sorted((self.state / "logs").iterdir()))

    def kill(self) -> int:
        """kill -9 the bridge; returns its pid."""
        pid = self.bridge_pid()
        os.kill(pid, signal.SIGKILL)
        until(lambda: not alive(pid), "the end of the bridge")
        return pid

    def hang_up(self) -> None:
        """End all connections of the test."""
        for watched in self.sessions:
            watched.session.close(2.0)
        for one in self.links:
            one.close()
        self.sessions, self.links = [], []

    def close(self) -> None:
        self.hang_up()
        with contextlib.suppress(BridgeError):
            self._seen.add(self.address().pid)
        self._seen.update(child.pid for child in link.children)
        mine = [pid for pid in self._seen if alive(pid) and str(self.state) in _command_line(pid)]
        for pid in mine:
            os.kill(pid, signal.SIGTERM)
        for pid in mine:
            until(lambda pid=pid: not alive(pid), "the orderly end of the bridge")
        shutil.rmtree(self.path, ignore_errors=True)
        self.leave()


class Watched:
    """A real session with all the events it has returned so far, in order."""

    def __init__(self, client_id: str | None = None, **fields: Any) -> None:
        self.session = Session("test", client_id=client_id, **fields)
        self.events: list[events.Event] = []
        self.session.start()

    def poll(self) -> None:
        self.events += self.session.poll()

    def of(self, job: str, *kinds: type[Any]) -> list[Any]:
        self.poll()
        chosen = kinds or (object,)
        return [event for event in self.events if getattr(event, "job", None) == job and isinstance(event, chosen)]

    def all(self, *kinds: type[Any]) -> list[Any]:
        self.poll()
        return [event for event in self.events if isinstance(event, kinds)]

    def wait(self, job: str, *kinds: type[Any], count: int = 1) -> Any:
        """The ``count``-th event of these kinds; fails early if the job ends without."""

        def found() -> Any:
            end = self.of(job, *events.TERMINAL)  # first: what comes in between is then among the chosen
            chosen = self.of(job, *kinds)
            if len(chosen) >= count:
                return chosen[count - 1]
            assert not end, f"ended by {end} before {count} {kinds}"
            return None

        return until(found, f"{kinds} of {job}")

    def end(self, job: str) -> Any:
        return self.wait(job, *events.TERMINAL)

    def run(self, one: JobRequest) -> list[events.Result]:
        job = self.session.submit(one)
        end = self.end(job)
        assert isinstance(end, events.Done), end
        return sorted(self.of(job, events.Result), key=lambda result: result.variant)

    def check_ends(self) -> None:
        """Exactly one terminal event per job, and nothing of a job after it."""
        self.poll()
        ended: set[str] = set()
        for event in self.events:
            job = getattr(event, "job", None)
            assert job not in ended or isinstance(event, (events.Steps, events.StepView)), f"{event} after the end"
            if isinstance(event, events.TERMINAL):
                ended.add(event.job)


def submit(one: link.Link, job: str, what: JobRequest) -> None:
    """The messages of a submit, spoken by hand."""
    for blob, data in (("p" + job, what.pixels), ("s" + job, what.selection)):
        for offset in range(0, len(data), messages.CHUNK):
            one.send(messages.Blob(blob, len(data), offset), data[offset : offset + messages.CHUNK])
    one.send(messages.Submit(job, what.order(), "p" + job, "s" + job))
    one.flush()


class Ear:
    """Collects what arrives on a link, with the moment of each message."""

    def __init__(self, one: link.Link) -> None:
        self.link = one
        self.heard: list[tuple[float, Any, Any]] = []

    def listen(self, seconds: float = 0.0) -> None:
        if self.link.wait(seconds):
            now = time.monotonic()
            self.heard += [(now, message, payload) for message, payload in self.link.receive()]

    def of(self, job: str, *kinds: type[Any]) -> list[Any]:
        return [m for _, m, _ in self.heard if getattr(m, "job", None) == job and isinstance(m, kinds)]

    def wait(self, condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
        deadline, pinged = time.monotonic() + patience, time.monotonic()
        while time.monotonic() < deadline:
            found = condition()
            if found:
                return found
            if time.monotonic() - pinged > 1:
                pinged = time.monotonic()
                self.link.send(messages.Ping(1))
            self.listen(0.05)
        raise AssertionError(f"in vain: {what}; heard {[m for _, m, _ in self.heard][-5:]}")


ENDS = (messages.Done, messages.Failed, messages.Cancelled)


def python(code: str, *arguments: str, **fields: Any) -> subprocess.Popen[bytes]:
    """A client in a process of its own."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env=environ, **fields)
