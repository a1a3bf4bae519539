"""The workers that a box lends: each serves one session, and is replaced by a fresh one when that is over."""

from __future__ import annotations

import logging
import secrets
import shutil
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bridge_server.box.channel import Channel
from bridge_server.client.codec import Buffer
from bridge_server.client.launch import private_folder
from bridge_server.pool.backend import Handle, Joining
from bridge_server.pool.local import Local

log = logging.getLogger("box.places")

PAUSES = (0.0, 1.0, 5.0, 30.0)  # seconds before a worker is started again that died so often without a session


@dataclass
class Session:
    """Of one relay: from its hello to its bye, over as many connections as it takes.  ``user``: the client's key;
    ``bridge`` and ``slot``: as in `wire.Hello`."""

    name: str
    user: str
    bridge: str
    slot: int
    route: bytes
    channel: Channel = field(default_factory=Channel)
    heard: float = field(default_factory=time.monotonic)


class Place:
    """One worker process after the other, in a folder of its own that is emptied between them."""

    def __init__(self, number: int, count: int, folder: Path, warm: str, wake: socket.socket) -> None:
        self.number, self._folder = number, folder
        logs = private_folder(folder / "logs")
        environ = {"REPAINT_BRIDGE_LEARNED": str(folder / "learned")}
        self._backend = Local(wake, logs, warm, count, environ)
        self.ticket = ""
        self.route = b""  # of the worker's connection
        self.greeting: list[Sequence[Buffer]] = []  # what it has said to whom it will serve
        self.session: Session | None = None
        self._handle: Handle | None = None
        self._deaths = 0  # without a session between
        self._again = 0.0

    def start(self, address: str, password: str) -> None:
        """Start the worker if there is none and it is time.  Raises BridgeError if that is not possible here."""
        if self._handle is not None or time.monotonic() < self._again:
            return
        self._tidy()
        self._again = time.monotonic() + PAUSES[-1]  # if this fails
        self.ticket, self.greeting = secrets.token_hex(16), []
        self._handle = self._backend.start(self.number, Joining(address, password, self.ticket))
        log.info("worker %d started, process %d", self.number, self._handle.pid)

    @property
    def ended(self) -> bool:
        """The worker has ended unasked, and nobody has looked after it yet."""
        return self._handle is not None and not self._handle.alive()

    def bury(self) -> None:
        """It has: its session is over, too, and it is started again, after a while if it served nobody."""
        log.error("worker %d has ended", self.number)
        self.end()
        self._again = time.monotonic() + PAUSES[min(self._deaths, len(PAUSES) - 1)]
        self._deaths += 1

    def begin(self, session: Session) -> None:
        """Let the worker serve it, first of all with what it said before."""
        self.session, self._deaths = session, 0
        for frames in self.greeting:
            session.channel.put(frames)
        self.greeting = []

    def end(self) -> None:
        """The session is over, if there is one: end the worker and delete what it has kept."""
        if self._handle is not None:
            self._handle.kill()
        self._handle, self.session, self.route = None, None, b""
        self._again = 0.0
        self._tidy()

    def _tidy(self) -> None:
        for name in ("spool", "steps", "learned"):
            shutil.rmtree(self._folder / name, ignore_errors=True)


class Places:
    """All of them."""

    def __init__(self, places: list[Place], address: str, password: str) -> None:
        self.all, self._address, self._password = places, address, password

    def start(self) -> None:
        """Start what does not run.  Raises BridgeError or OSError if that is not possible here."""
        for place in self.all:
            place.start(self._address, self._password)

    def session(self, name: str, user: str) -> Place | None:
        """Where this client's session is served."""
        return next((p for p in self.all if p.session and (p.session.name, p.session.user) == (name, user)), None)

    def at(self, route: bytes) -> Place | None:
        """The one whose session comes over this connection."""
        return next((place for place in self.all if place.session and place.session.route == route), None)

    def of(self, user: str, bridge: str) -> dict[int, Place]:
        """Those that serve this bridge, by its slots."""
        return {
            p.session.slot: p for p in self.all if p.session and (p.session.user, p.session.bridge) == (user, bridge)
        }

    def silent(self, user: str, bridge: str, since: float) -> Place | None:
        """One that serves another bridge with this key, which has said nothing since then."""
        found = (p for p in self.all if p.session and p.session.user == user and p.session.bridge != bridge)
        return next((p for p in found if p.session and p.session.heard < since), None)

    def free(self) -> Place | None:
        """One without a session; rather one whose worker has come already."""
        return max((p for p in self.all if p.session is None), key=lambda place: bool(place.route), default=None)
