"""Who may talk: the ZAP side of ZMTP PLAIN and CURVE, answered in the bridge's own loop (RFC 27/ZAP).

libzmq asks this socket during the handshake of every connection, before one byte of it reaches a ROUTER.
"""

from __future__ import annotations

import ctypes
import hmac
import sys
import time
from collections.abc import Callable

import zmq

ANSWERS = 64  # at a time: who is connected waits no longer
MANY = 500  # handshakes after which memory is given back
CALM, FEW = 2.0, 50  # a rush is over when so many seconds bring fewer handshakes
ENDPOINT = "inproc://zeromq.zap.01"


class Gate:
    """Holds the passwords by ZAP domain; ``socket`` belongs into the loop's poller, ``answer`` is its handler."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.bind(ENDPOINT)
        self.passwords: dict[bytes, tuple[bytes, bytes]] = {}
        self.admits: Callable[[bytes, str], bool] | None = None  # CURVE: by public key; told the address, too
        self._answered = 0  # handshakes in all
        self._trimmed = 0  # of them when memory was given back
        self._untidy = False  # whether that was during a rush
        self._seen, self._seen_at = 0, time.monotonic()  # handshakes at that time

    def router(self, domain: bytes, send_high_water: int, max_frame: int) -> zmq.Socket[bytes]:
        """A ROUTER on a loopback port of the system's choice behind this gate; see ``passwords[domain]``."""
        socket = self.socket.context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.PLAIN_SERVER, 1)
        socket.setsockopt(zmq.ZAP_DOMAIN, domain)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.MAXMSGSIZE, max_frame)
        socket.setsockopt(zmq.SNDHWM, send_high_water)
        socket.setsockopt(zmq.RCVHWM, 8)
        socket.setsockopt(zmq.LINGER, 200)
        socket.setsockopt(zmq.HANDSHAKE_IVL, 5000)
        socket.bind("tcp://127.0.0.1:0")
        return socket

    @staticmethod
    def port(router: zmq.Socket[bytes]) -> int:
        """The port that the system chose."""
        endpoint = router.getsockopt(zmq.LAST_ENDPOINT)
        assert isinstance(endpoint, bytes)
        return int(endpoint.rstrip(b"\0").rsplit(b":", 1)[1])

    def answer(self) -> None:
        """Answer waiting questions, a bounded number at a time."""
        for _ in range(ANSWERS):
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            # routing id, empty, version, request id, domain, address, identity, mechanism, credentials…
            version, request, domain, address, _identity, mechanism = frames[2:8]
            good, user = mechanism == b"PLAIN" and self.knows(domain, frames[8:]), domain
            if mechanism == b"CURVE" and self.admits is not None:
                good, user = self.admits(frames[8], address.decode("ascii", "replace")), frames[8].hex().encode()
            self._answered += 1
            status = [b"200", b"OK", user] if good and version == b"1.0" else [b"400", b"refused", b""]
            self.socket.send_multipart([*frames[:2], b"1.0", request, *status, b""])

    def tidy(self) -> None:
        """After many handshakes: glibc keeps what their connections took, unless it is asked for it.

        Asked during a rush and once more when it is over: connections that are still open cannot be given back.
        """
        now, since = time.monotonic(), self._answered - self._trimmed
        over = False
        if now - self._seen_at > CALM:
            over = self._answered - self._seen < FEW and (self._untidy or since >= FEW)
            self._seen, self._seen_at = self._answered, now
        if not over and since < MANY:
            return
        self._trimmed, self._untidy = self._answered, not over
        if sys.platform == "linux":
            trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
            if trim is not None:
                trim(0)

    def knows(self, domain: bytes, credentials: list[bytes]) -> bool:
        """Whether these are the name and the password of that domain."""
        expected = self.passwords.get(domain)
        if expected is None or len(credentials) != 2:
            return False
        name, password = credentials
        return name == expected[0] and hmac.compare_digest(password, expected[1])
