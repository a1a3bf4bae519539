"""What the bridge itself allows: a real bridge with real clients over a pool of workers that only sleep.

    python -m tests.bridge.simulated --workers 8,64,250,1000 --seconds 2

Each worker takes a part as the engine's does (its pixels by `need`, progress and kept steps on the way, pixels and
result at the end), but sleeps for the time that a variant takes. The table says how many variants a second come out,
how much of the workers' time that uses, what part of one core the bridge takes for it, and how many a second it could
serve with a whole core. ``TMPDIR=/dev/shm`` leaves the disk out.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import resource
import selectors
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bridge_server import work
from bridge_server.client import codec, messages
from bridge_server.client.link import Link, read_connection_file
from bridge_server.client.records import Model, Order, Preset, Step
from bridge_server.client.zmtp import Dealer
from bridge_server.pool.backend import Joining, Limits
from bridge_server.pool.started import Started
from bridge_server.server import Bridge, private_logs
from tests.bridge.home import request, submit

MODEL, VARIANTS, STEPS = "sleep", 16, 20
PROGRESS = 20.0
"""Messages a second of a worker at work, as the engine's sends them at most."""
AHEAD = 1.5
"""Variants that wait or run, for each worker."""


class Simulated:
    """The backend; ``line``: what its process has to know besides."""

    name, shared = "simulated", True

    def __init__(self, bridge: Bridge, state: Path, **line: Any) -> None:
        self._wake, self._state, self._line = bridge._waker, state, line

    def start(self, number: int, joining: Joining) -> Started:
        command = ["-m", "tests.bridge.simulated", "--part", "sleepers"]
        output = self._state / "logs" / f"simulated-{number}.log"
        return Started(command, joining.line(**self._line), output, self._wake, os.environ)


def bridge(state: Path, count: int, seconds: float, progress: float) -> None:
    """Run a bridge whose workers sleep; ends with its standard input's owner."""
    private_logs(state)
    one = Bridge(state, 3600.0, "", Limits(), 0)
    one._engine.add(Simulated(one, state, count=count, seconds=seconds, progress=progress))
    one.serve()


class Sleeper:
    """One worker: what it has in hand, and what of it comes next."""

    def __init__(self, joining: dict[str, Any]) -> None:
        host, port = joining["address"].removeprefix("tcp://").split(":")
        self.dealer = Dealer.connect(host, int(port), b"worker", joining["password"].encode(), 60.0)
        self._seconds, self._progress = joining["seconds"], joining["progress"]
        self._start: work.Start | None = None
        model = Model(MODEL, MODEL, MODEL, "", True, False, False)
        self._say(work.Online(os.getpid(), joining["ticket"]))
        self._say(work.Models((model,)))
        self._say(work.Ready((Preset("fast", "fast", 40),), "nothing"))
        self.dealer.flush()

    def _say(self, message: Any, payload: bytes | None = None) -> None:
        self.dealer.send(codec.encode(message, payload))

    def take(self) -> list[tuple[float, int, int]]:
        """Handle what has come; what is to be done when: (seconds from now, variant, call)."""
        due = []
        for frames in self.dealer.receive():
            message, _ = codec.decode(frames, work.WORK)
            if isinstance(message, work.Start):
                self._start = message
                self._say(work.Need(message.job, "pixels", 0))
            elif isinstance(message, work.Input) and message.what == "pixels":
                self._say(work.Need(message.job, "selection", 0))
            elif isinstance(message, work.Input) and self._start is not None:
                calls = self._calls(self._start)
                for place in range(self._start.count):
                    due += [
                        (self._seconds * (place + call / calls), self._start.first + place, call)
                        for call in range(1, calls + 1)
                    ]
            elif isinstance(message, messages.Cancel) and self._start is not None and message.job == self._start.job:
                self._say(work.Idle(message.job, "stopped", 0.0, 0, 0))
                self._start = None
        self.dealer.flush()
        return due

    def _calls(self, start: work.Start) -> int:
        """Those of which it says something."""
        return max(1, int(self._seconds * min(self._progress, 1 / start.pace)))

    def go_on(self, variant: int, call: int) -> None:
        """A call of a variant has ended."""
        start = self._start
        if start is None:
            return
        calls = self._calls(start)
        if self._progress:
            self._say(messages.Progress(start.job, variant, start.order.variants, call, calls, 1.0))
            if call * STEPS // calls > (call - 1) * STEPS // calls:
                kept = tuple(Step(number, calls, calls, calls) for number in range(call * STEPS // calls))
                self._say(messages.Steps(start.job, variant, kept))
        if call == calls:
            self._finish(start.order, start.job, variant)
            if variant == start.first + start.count - 1:
                self._start = None
                self._say(work.Idle(start.job, "done", self._seconds, 0))
        self.dealer.flush()

    def _finish(self, order: Order, job: str, variant: int) -> None:
        box = order.painted
        self._say(messages.Chunk(job, variant, 0), bytes(order.painted_bytes))
        place = (box.x, box.y, box.width, box.height)
        self._say(messages.Result(job, variant, order.seed, *place, MODEL, self._seconds, 40, False, order.depth))

    def beat(self) -> None:
        self._say(work.Beat(0.0, False, 0))
        self.dealer.flush()


def sleepers() -> None:
    """All workers, in one process."""
    joining = json.loads(sys.stdin.buffer.readline())
    chosen = selectors.DefaultSelector()
    chosen.register(sys.stdin.buffer, selectors.EVENT_READ, None)
    everybody = [Sleeper(joining) for _ in range(joining["count"])]
    for one in everybody:
        chosen.register(one.dealer, selectors.EVENT_READ, one)
    events: list[tuple[float, int, int, int]] = []  # when, who, variant, call; variant -1: a beat
    for place in range(len(everybody)):
        heapq.heappush(events, (time.monotonic() + place / len(everybody), place, -1, 0))
    print("all have joined", flush=True)
    places = {id(one): place for place, one in enumerate(everybody)}
    while True:
        now = time.monotonic()
        while events and events[0][0] <= now:
            when, place, variant, call = heapq.heappop(events)
            if variant >= 0:
                everybody[place].go_on(variant, call)
            else:
                everybody[place].beat()
                heapq.heappush(events, (when + 1.0, place, -1, 0))
        for key, _ in chosen.select(max(0.0, events[0][0] - time.monotonic())):
            if key.data is None:
                os._exit(0)
            for seconds, variant, call in key.data.take():
                heapq.heappush(events, (time.monotonic() + seconds, places[id(key.data)], variant, call))


class Client:
    """Keeps so many jobs on the way."""

    def __init__(self, state: Path, number: int, ahead: int) -> None:
        self._link = Link.connect(read_connection_file(state), f"client{number}", "simulated", timeout=60.0)
        self._number, self._made = number, 0
        self.results = 0
        for _ in range(ahead):
            self._submit()

    def _submit(self) -> None:
        self._made += 1
        submit(self._link, f"c{self._number}-{self._made}", request(MODEL, side=12, variants=VARIANTS))

    def serve(self) -> None:
        self._link.flush()
        for message, _ in self._link.receive():
            if isinstance(message, messages.Result):
                self.results += 1
            elif isinstance(message, messages.Done):
                self._link.send(messages.Release(message.job))
                self._submit()
            elif isinstance(message, messages.Failed):
                raise AssertionError(message)
        self._link.flush()

    def ping(self) -> None:
        self._link.send(messages.Ping(1))


def processor_seconds(pid: int) -> float:
    """That a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(count: int, seconds: float, progress: float, length: float) -> str:
    """A line of the table."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        state.mkdir(mode=0o700)
        arguments = ["--part", "bridge", "--state", str(state), "--workers", str(count)]
        arguments += ["--seconds", str(seconds), "--progress", str(progress)]
        process = subprocess.Popen([sys.executable, "-m", "tests.bridge.simulated", *arguments])
        try:
            while not (state / "connection.json").exists():
                time.sleep(0.05)
            log = state / "logs" / "simulated-0.log"
            while "joined" not in (log.read_text() if log.exists() else ""):
                time.sleep(0.05)
            many = max(1, -(-int(AHEAD * count) // (VARIANTS * 90)))
            ahead = -(-int(AHEAD * count) // (VARIANTS * many))
            clients = [Client(state, number, max(1, ahead)) for number in range(max(2, many))]
            rates = _rates(clients, process.pid, length)
        finally:
            process.terminate()
            process.wait()
    variants, core = rates
    core = max(core, 1e-3)
    used = f"{100 * variants * seconds / count:8.0f} % {100 * core:8.0f} %"
    return f"{count:8} {progress:10.0f} {variants:12.1f} {used} {variants / core:10.0f}"


def _rates(clients: list[Client], pid: int, length: float) -> tuple[float, float]:
    """Variants a second, and the share of a core that the bridge takes, after it has settled."""
    began, pinged, first = time.monotonic(), 0.0, 0.0
    while True:
        now = time.monotonic()
        if now - pinged > 1.0:
            pinged = now
            for client in clients:
                client.ping()
        for client in clients:
            client.serve()
        results = sum(client.results for client in clients)
        if not first and results and now - began > length / 2:
            first, before, used = now, results, processor_seconds(pid)
        if first and now - first > length:
            return (results - before) / (now - first), (processor_seconds(pid) - used) / (now - first)
        time.sleep(0.005)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="8,64,250,1000")
    parser.add_argument("--seconds", type=float, default=2.0, help="that a variant takes")
    parser.add_argument("--progress", default="0,2,20", help="messages a second of a worker at work")
    parser.add_argument("--length", type=float, default=10.0, help="seconds of each measurement")
    parser.add_argument("--part", choices=["bridge", "sleepers"], help=argparse.SUPPRESS)
    parser.add_argument("--state", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    if chosen.part == "sleepers":
        sleepers()
    elif chosen.part == "bridge":
        bridge(chosen.state, int(chosen.workers), chosen.seconds, float(chosen.progress))
    else:
        print(f"{'workers':>8} {'progress/s':>10} {'variants/s':>12} {'in use':>10} {'of a core':>10} {'limit/s':>10}")
        for progress in chosen.progress.split(","):
            for count in chosen.workers.split(","):
                print(measured(int(count), chosen.seconds, float(progress), chosen.length), flush=True)


if __name__ == "__main__":
    main()
