"""The clients that are connected, and what may be sent to each: bounded, whatever they read or do not read."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import zmq

from bridge_server.client import messages
from bridge_server.client.codec import Buffer, encode
from bridge_server.spool import Upload

MAX_UNSENT = 1000
MAX_UPLOADS = 16
MAX_LOOKS = 8  # kept steps that a client waits to see; more make the oldest wish void
Frames = list[Buffer]


@dataclass
class Looking:
    """The wish to see a kept step that a worker has, by its number, and how many bytes of its answer have come."""

    wish: messages.Look
    worker: int
    come: int = 0


@dataclass
class Peer:
    """One connection that has said hello.

    ``unsent``: functions that make the frames when there is room.  ``looks``: wishes to see kept steps; ``looking``:
    the one that a worker has, until its answer has been taken.
    """

    route: bytes
    client: str
    app: str
    heard: float = field(default_factory=time.monotonic)
    unsent: deque[Callable[[], Frames | None]] = field(default_factory=deque)
    pulls: int = 0
    looks: deque[messages.Look] = field(default_factory=lambda: deque(maxlen=MAX_LOOKS))
    looking: Looking | None = None
    uploads: dict[str, Upload] = field(default_factory=dict)


class Clients:
    """All peers over one ROUTER.  Never blocks; a peer whose queue is full waits in ``Peer.unsent``."""

    def __init__(self, router: zmq.Socket[bytes]) -> None:
        self.router = router
        self.by_route: dict[bytes, Peer] = {}
        self.by_client: dict[str, Peer] = {}

    def add(self, peer: Peer) -> None:
        self.by_route[peer.route] = self.by_client[peer.client] = peer

    def remove(self, peer: Peer) -> None:
        for upload in peer.uploads.values():
            upload.drop()
        peer.uploads.clear()
        self.by_route.pop(peer.route, None)
        if self.by_client.get(peer.client) is peer:
            del self.by_client[peer.client]

    def forgive(self) -> None:
        """This process itself stood still: count silence from now."""
        for peer in self.by_route.values():
            peer.heard = max(peer.heard, time.monotonic())

    def alive(self, peer: Peer) -> bool:
        """Whether its connection still stands."""
        self._send(peer.route, encode(messages.Pong(0)))
        return peer.heard > float("-inf")

    def silent(self) -> list[Peer]:
        """The peers that have said nothing for too long, or do not take what is sent to them."""
        now = time.monotonic()
        return [
            peer
            for peer in self.by_route.values()
            if now - peer.heard > messages.LOST_SECONDS or len(peer.unsent) > MAX_UNSENT
        ]

    def send(self, peer: Peer, message: Any, payload: Buffer | None = None) -> None:
        """Send now, or as soon as there is room."""
        frames = encode(message, payload)
        self.send_later(peer, lambda: frames)

    def send_all(self, message: Any) -> None:
        """Send to every peer; progress not to those that have not taken what came before."""
        for peer in list(self.by_route.values()):
            if isinstance(message, messages.Downloading):
                self.send_now(peer, message)
            else:
                self.send(peer, message)

    def send_now(self, peer: Peer, message: Any) -> bool:
        """Send if there is room, else drop it: for news that the next news replaces."""
        return not peer.unsent and self._send(peer.route, encode(message))

    def send_later(self, peer: Peer, make: Callable[[], Frames | None]) -> None:
        """As ``send``, but the frames are made only when there is room (None: not needed any more)."""
        peer.unsent.append(make)
        if len(peer.unsent) == 1:
            self._push(peer)

    def flush(self) -> bool:
        """Try to send what waits; True if something still waits."""
        waiting = False
        for peer in list(self.by_route.values()):
            if peer.unsent:
                self._push(peer)
                waiting |= bool(peer.unsent)
        return waiting

    def answer(self, route: bytes, message: Any) -> None:
        """Send to a connection that is no peer (yet); dropped if there is no room."""
        self._send(route, encode(message))

    def _push(self, peer: Peer) -> None:
        while peer.unsent:
            frames = peer.unsent[0]()
            if frames is not None and not self._send(peer.route, frames):
                return
            peer.unsent.popleft()

    def _send(self, route: bytes, frames: Frames) -> bool:
        try:
            self.router.send_multipart([route, *frames], zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            peer = self.by_route.get(route)
            if peer is not None:
                peer.heard = float("-inf")  # gone; the next look at the silent ones removes it
        return True
