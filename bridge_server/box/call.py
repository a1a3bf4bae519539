"""One connection to a box: CURVE with the key that was pinned, and why there is none, in a sentence."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from bridge_server.box import keys, wire
from bridge_server.client.codec import Buffer, decode, encode
from bridge_server.client.errors import BridgeError

NOBODY = (
    "Nothing answers at {place} ({why}): check that “repaint-bridge serve-workers” is running there and that no "
    "firewall is in between."
)
ANOTHER = "Another program listens at {place}, not a RePaint box: check the address and the port."
WRONG_KEY = (
    "The box at {place} cannot prove that it has the key {words}: compare the fingerprint that it shows "
    "there, and connect again with its line."
)
UNKNOWN = (
    "The box at {place} does not let this computer in yet: compare there the fingerprint {words}, run “repaint-bridge "
    "allow {words}” there, then connect again."
)
SILENT = (
    "The box at {place} does not answer: it may be switched off, the network between may be down, or it has a new key "
    "and has to be connected again."
)
_ENDS = (
    zmq.EVENT_DISCONNECTED,
    zmq.EVENT_CLOSED,
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL,
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL,
)


class Call:
    """``far`` and ``monitor`` belong into a poller; a call that has failed stays so, for another make another one."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], box: keys.Box, own: keys.Pair) -> None:
        self.box, self._own = box, own
        self.far = context.socket(zmq.DEALER)
        options: dict[int, int | bytes] = {
            zmq.CURVE_SERVERKEY: keys.of_text(box.key),
            zmq.CURVE_PUBLICKEY: own.public,
            zmq.CURVE_SECRETKEY: own.secret,
            zmq.IPV6: 1,
            zmq.LINGER: 300,
            zmq.SNDHWM: 0,
            zmq.RCVHWM: 8 * wire.WINDOW,  # a box that does not keep to its window takes no memory here
            zmq.MAXMSGSIZE: wire.LARGEST_FRAME,
            zmq.HANDSHAKE_IVL: int(wire.DIAL * 1000),
            zmq.RECONNECT_IVL: -1,
        }
        for option, chosen in options.items():
            self.far.setsockopt(option, chosen)
        self.monitor = self.far.get_monitor_socket()
        self.failed = ""
        self.refused = False  # the box does not let this computer in
        self.unproven = False  # the handshake was broken off: the box has another key, or a tunnel has no end
        try:
            self.far.connect(f"tcp://{box.place}")
        except zmq.ZMQError as error:
            self.failed = NOBODY.format(place=box.place, why=error.strerror)

    def say(self, message: Any, payload: Buffer | None = None) -> None:
        with contextlib.suppress(zmq.ZMQError):  # a broken connection shows by itself
            self.far.send_multipart(encode(message, payload), zmq.NOBLOCK)

    def hear(self) -> tuple[Any, Any] | None:
        """The next message that has come, with its payload.  Raises WireError."""
        try:
            return decode(self.far.recv_multipart(zmq.NOBLOCK), wire.FAR)
        except zmq.Again:
            return None

    def look(self) -> str:
        """Why the connection has failed, or "" as long as it has not."""
        while not self.failed and self.monitor.poll(0):
            event = recv_monitor_message(self.monitor)
            kind, number = event["event"], event["value"]
            place = self.box.place
            if kind == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                self.refused = True
                self.failed = UNKNOWN.format(place=place, words=keys.fingerprint(self._own.public))
            elif kind in _ENDS:
                self.unproven = kind == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL and number != errno.EAGAIN
                self.failed = SILENT.format(place=place)
        return self.failed

    def close(self) -> None:
        """Hang up; what was said last is still sent."""
        self.far.disable_monitor()
        self.monitor.close(0)
        self.far.close()


def probe(box: keys.Box) -> None:
    """Raises BridgeError unless something there greets as a ZeroMQ server with CURVE does (ZMTP 3, RFC 23)."""
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32)
    got = b""
    try:
        with socket.create_connection((box.host, box.port), wire.DIAL) as one:
            one.settimeout(wire.DIAL / 2)
            one.sendall(greeting)
            while len(got) < len(greeting) and (more := one.recv(len(greeting) - len(got))):
                got += more
    except (TimeoutError, ConnectionResetError) as error:
        if not got and not isinstance(error, ConnectionResetError):
            raise BridgeError(NOBODY.format(place=box.place, why="no answer"), repr(error), "nobody") from None
    except OSError as error:
        why = error.strerror if error.errno is None or error.errno < 0 else os.strerror(error.errno)
        raise BridgeError(NOBODY.format(place=box.place, why=why), repr(error), "nobody") from None
    if got[:1] != b"\xff" or got[9:10] != b"\x7f" or got[12:32].rstrip(b"\0") != b"CURVE":
        raise BridgeError(ANOTHER.format(place=box.place), repr(got[:80]), "another")


def ask(box: keys.Box) -> int:
    """How many workers the box lends.  Raises BridgeError: a sentence with what to do."""
    probe(box)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    call = Call(context, box, keys.own())
    try:
        call.say(wire.hello("ask", "ask", None))
        poller = zmq.Poller()
        poller.register(call.far, zmq.POLLIN)
        poller.register(call.monitor, zmq.POLLIN)
        poller.poll(int(wire.DIAL * 1000))
        while not (heard := call.hear()):
            if call.look() and call.unproven:
                words = keys.fingerprint(keys.of_text(box.key))
                raise BridgeError(WRONG_KEY.format(place=box.place, words=words), code="wrong_key")
            if call.failed or not poller.poll(int(wire.DIAL * 1000)):
                raise BridgeError(call.failed or SILENT.format(place=box.place), code="no_box")
    finally:
        call.close()
        context.destroy(0)
    message, _ = heard
    if not isinstance(message, wire.Welcome):
        sentence = str(getattr(message, "sentence", ANOTHER.format(place=box.place)))
        shown = "".join(each if each.isprintable() else " " for each in sentence)  # a terminal obeys the others
        raise BridgeError(shown, code="refused")
    return message.workers
