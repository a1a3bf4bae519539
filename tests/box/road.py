"""A box in a process of its own, with a home of its own, and a road to it that can be cut, stalled and slowed down."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from bridge_server.client import launch
from tests.bridge.home import BRIDGE, ROOT, SLOW, until


def command(*arguments: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    """``repaint-bridge`` with these arguments, of this process's user or of another one."""
    environ = {**os.environ, **({launch.HOME_VARIABLE: str(home)} if home is not None else {})}
    line = [sys.executable, BRIDGE, *arguments]
    return subprocess.run(line, env=environ, capture_output=True, text=True, timeout=60)


def fingerprints(words: str) -> list[str]:
    return re.findall(r"\b[a-z2-7]{4}(?:-[a-z2-7]{4}){4}\b", words)


class Box:
    """``repaint-bridge serve-workers``; ``code`` replaces the program, e.g. by one of another version."""

    def __init__(self, workers: int = 1, port: int = 0, home: Path | None = None, code: str = "") -> None:
        self.home = home or Path(tempfile.mkdtemp(prefix="box-"))
        environ = {**os.environ, launch.HOME_VARIABLE: str(self.home), "PYTHONPATH": str(ROOT)}
        program = ["-c", code] if code else [BRIDGE]
        listen = ["serve-workers", "--listen", f"127.0.0.1:{port}", "--workers", str(workers), "--warm", SLOW]
        self.process = subprocess.Popen(
            [sys.executable, *program, *listen],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()
        self.address, self.key = self.said("connect").split()[-2:]
        self.port = int(self.address.rpartition(":")[2])
        self.fingerprint = fingerprints(self.lines[0])[0]

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)

    def said(self, *words: str) -> str:
        """The first line with all these words, once it has been said."""
        what = " … ".join(words)
        return until(lambda: next((line for line in self.lines if all(word in line for word in words)), ""), what, 30)

    def allow(self) -> None:
        """Let the user of this process in."""
        asked = command("connect", self.address, self.key)
        mine = fingerprints(asked.stdout)[1]
        assert command("allow", mine, home=self.home).returncode == 0

    def log(self) -> str:
        """All that lies in text beside it."""
        found = [path for path in (self.home / "state").rglob("*") if path.suffix == ".log"]
        return "".join(path.read_text(errors="replace") for path in found)

    def workers(self) -> list[int]:
        """Pids of its workers, by number."""
        pids: dict[str, int] = {}
        for number, pid in re.findall(r"worker (\d+) started, process (\d+)", self.log()):
            pids[number] = int(pid)
        return [pids[number] for number in sorted(pids)]

    def kept(self) -> list[Path]:
        """Files of pictures and states."""
        found = []
        for place in (self.home / "state" / "box").glob("*/"):
            for folder, _, names in os.walk(place):  # unlike glob it does not mind folders that go meanwhile
                found += [Path(folder, name) for name in names if not name.endswith(".log")]
        return found

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
        shutil.rmtree(self.home, ignore_errors=True)


class Road:
    """A TCP proxy on loopback.  ``rate``: bytes a second each way, 0: any; ``delay``: seconds each way."""

    def __init__(self, port: int) -> None:
        self.target, self.rate, self.delay = port, 0.0, 0.0
        self.blocked = False  # new connections are refused
        self._pairs: list[_Pair] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self.blocked:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                near.close()
                continue
            self._pairs.append(_Pair(self, near, far))

    def cut(self) -> None:
        """Reset every connection."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            pair.close()

    def stall(self) -> None:
        """Every present connection stays half open: nothing passes any more, and nobody is told."""
        for pair in self._pairs:
            pair.stalled = True

    def close(self) -> None:
        self._listener.close()
        self.cut()


class _Pair:
    def __init__(self, road: Road, near: socket.socket, far: socket.socket) -> None:
        self.road, self.ends, self.stalled = road, (near, far), False
        for source, target in ((near, far), (far, near)):
            parcels: queue.Queue[tuple[float, bytes]] = queue.Queue(64)
            threading.Thread(target=self._read, args=(source, parcels), daemon=True).start()
            threading.Thread(target=self._write, args=(target, parcels), daemon=True).start()

    def _read(self, source: socket.socket, parcels: queue.Queue[tuple[float, bytes]]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                parcels.put((time.monotonic() + self.road.delay, data))
        parcels.put((0.0, b""))

    def _write(self, target: socket.socket, parcels: queue.Queue[tuple[float, bytes]]) -> None:
        free = 0.0
        while True:
            due, data = parcels.get()
            while self.stalled:
                time.sleep(0.05)
            if not data:
                self.close()
                return
            free = max(free, due) + (len(data) / self.road.rate if self.road.rate else 0.0)
            time.sleep(max(0.0, free - time.monotonic()))
            try:
                target.sendall(data)
            except OSError:
                self.close()
                return

    def close(self) -> None:
        self.stalled = False
        for end in self.ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
