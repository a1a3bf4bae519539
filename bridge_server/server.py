"""The bridge process: editors on one side, the workers on the other, the journal between them.

One loop, one thread.  It imports neither torch nor engine.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import socket
import threading
import time
from pathlib import Path

import zmq

from bridge_server.auth import Gate
from bridge_server.box.backend import Follower
from bridge_server.client import launch, proof
from bridge_server.client.codec import MAX_PAYLOAD
from bridge_server.client.link import CONNECTION_FILE
from bridge_server.client.setup.running import after_good_start
from bridge_server.clients import Clients
from bridge_server.desk import Desk, version
from bridge_server.downloads import Downloads
from bridge_server.foreman import Foreman
from bridge_server.jobs import Jobs
from bridge_server.journal import Journal
from bridge_server.news import News
from bridge_server.pool.backend import Limits
from bridge_server.pool.local import Local
from bridge_server.pool.pool import Pool
from bridge_server.pool.sharing import Sharing
from bridge_server.ray.backend import Cluster, Ray
from bridge_server.steps import KeptSteps

log = logging.getLogger("bridge.server")

STANDSTILL = 2.0  # seconds by which the loop may be late before nobody is blamed for silence
FOREIGN = (
    "Something else was where RePaint keeps its files; it is now called {names} in {folder}: check whether you need it."
)
_DOMAIN = b"client"


class Bridge:
    """The whole process; ``serve`` runs until stopped or idle for ``idle_seconds``."""

    def __init__(
        self, state: Path, idle_seconds: float, warm: str, limits: Limits, workers: int = 1, ray: Cluster | None = None
    ) -> None:
        self._state, self._idle_seconds = state, idle_seconds
        self._journal = Journal(state)
        self._secret = secrets.token_bytes(32)
        self._instance = secrets.token_hex(16)
        self._context = zmq.Context()
        self._gate = Gate(self._context)
        self._router = self._gate.router(_DOMAIN, send_high_water=16, max_frame=MAX_PAYLOAD)
        self._gate.passwords[_DOMAIN] = (b"client", proof.client_password(self._secret))
        self._wake, self._waker = socket.socketpair()
        self._wake.setblocking(False)
        self._waker.setblocking(False)
        self._clients = Clients(self._router)
        self._jobs = Jobs(self._journal)
        logs = private_logs(state)
        self._engine = Pool(self._gate, warm, limits)
        self._local, self._count = Local(self._waker, logs, warm, workers), workers
        self._ray = Ray(self._waker, logs, warm, ray) if ray is not None else None
        self._box = Follower(self._engine, self._waker, logs)
        self._downloads = Downloads(self._clients.send_all, self._waker, logs, self._engine.look_again)
        stop = lambda: self.stop("asked to")  # noqa: E731
        self._steps = KeptSteps()
        self._news = News(self._clients, self._jobs, self._steps, self._engine, self._notice)
        self._desk = Desk(
            self._clients, self._jobs, self._steps, self._news, self._engine, self._downloads, self._secret,
            self._instance, stop,
        )  # fmt: skip
        self._foreman = Foreman(self._clients, self._jobs, self._steps, self._news, self._engine, self._desk)
        self._engine.listener = self._foreman
        self._sharing = Sharing(self._jobs, self._engine, self._steps, self._foreman.given)
        self._used = time.monotonic()
        self._stopping = ""

    # --------------------------------------------------------------------------------------------------------- life

    def serve(self) -> None:
        """Announce the bridge and work until the end; everything is in order afterwards."""
        self._jobs.load()
        self._steps.load(self._jobs.by_id.values())
        previous = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop("asked to"))
        self._announce()
        self._engine.add(self._local, self._count)
        if self._ray is not None:
            self._engine.add(self._ray)
        try:
            self._loop()
        finally:
            signal.set_wakeup_fd(previous)
            self._close()

    def stop(self, reason: str) -> None:
        """Leave the loop at its next turn."""
        self._stopping = self._stopping or reason

    def _notice(self) -> str:
        """What the artist has to know of files that had to be put aside; empty if there were none."""
        if self._journal.notice or not launch.aside:
            return self._journal.notice
        return FOREIGN.format(names=", ".join(path.name for path in launch.aside), folder=self._state)

    def _announce(self) -> None:
        content = {
            "version": 1,
            "host": "127.0.0.1",
            "port": self._gate.port(self._router),
            "secret": self._secret.hex(),
            "pid": os.getpid(),
            "instance": self._instance,
        }
        launch.write_private(self._state / CONNECTION_FILE, json.dumps(content))
        log.info("bridge %s, process %d, listens", version(), os.getpid())

    def _loop(self) -> None:
        poller = zmq.Poller()
        for entry in (self._gate.socket, self._router, self._engine.socket, self._wake):
            poller.register(entry, zmq.POLLIN)
        next_tick = time.monotonic()
        while not self._stopping:
            self._say_changes()
            waiting = self._clients.flush()
            now = time.monotonic()
            if now >= next_tick:
                if now > next_tick + STANDSTILL:
                    self._clients.forgive()
                    self._engine.forgive()
                self._tick()
                next_tick = time.monotonic() + min(0.5, self._engine.tick())
                continue
            ready = dict(poller.poll(5 if waiting else int((next_tick - now) * 1000) + 1))
            if self._wake.fileno() in ready:
                self._wake.recv(4096)
                self._engine.on_exit()
                self._downloads.on_news()
            if self._gate.socket in ready:
                self._gate.answer()
            if self._engine.socket in ready:
                self._engine.on_readable()
            if self._router in ready:
                self._desk.on_readable()
            self._start_next()

    def _say_changes(self) -> None:
        self._news.say_positions()
        if self._foreman.changed:
            self._foreman.changed = False
            if self._engine.state == "ready":
                after_good_start()
            self._news.say_catalogue()

    def _tick(self) -> None:
        self._desk.look_for_lost()
        self._jobs.save_again()
        self._foreman.tidy()
        self._downloads.tick()
        self._box.tick()
        self._gate.tidy()
        now = time.monotonic()
        if self._clients.by_route or self._jobs.active() or self._downloads.now is not None:
            self._used = now
        elif now - self._used > self._idle_seconds:
            self.stop("idle")

    def _close(self) -> None:
        log.info("leaving: %s", self._stopping or "an error")
        try:  # first, so that nobody is sent here any more
            path = self._state / CONNECTION_FILE
            if json.loads(path.read_text(encoding="utf-8")).get("instance") == self._instance:
                path.unlink()
        except (OSError, ValueError):
            pass
        self._news.say_bye(self._stopping)
        self._downloads.stop()
        self._engine.stop()
        self._router.close()
        self._engine.socket.close(0)
        self._gate.socket.close(0)
        self._journal.close()
        # libzmq sends the last words; it may also wait for ever for a peer that is half connected
        ending = threading.Thread(target=self._context.term, daemon=True)
        ending.start()
        ending.join(1.0)
        log.info("left")

    # -------------------------------------------------------------------------------------------------- to the workers

    def _start_next(self) -> None:
        if self._engine.state == "down":
            for job in self._jobs.to_run():
                self._desk.end(job, "failed", "engine_down", self._engine.sentence)
        for job in self._jobs.waiting():
            if len(job.finished) == job.order.variants:  # the bridge died between the last result and the end
                self._desk.end(job, "done")
        self._sharing.give_all()


def private_logs(state: Path) -> Path:
    """The folder of the logs, for this user only."""
    folder = launch.private_folder(state / "logs")
    for name in ("bridge.log", "download.log"):
        launch.plain_file(folder / name)
    return folder
