"""A ZMTP 3 DEALER with the PLAIN mechanism on one TCP socket (RFC 23/ZMTP 3.0, RFC 24/ZMTP-PLAIN).

Two layers: ``Protocol`` turns bytes into multiparts and back without any socket, so that every way of splitting the
stream can be tested; ``Dealer`` moves its bytes over a non-blocking socket.  Announces version 3.0; answers the PING
command of 3.1 all the same.  Every length is checked before memory is taken for it.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections import deque
from collections.abc import Sequence
from typing import Deque, List, Union

from bridge_server.client.errors import ConnectionLost, Refused, WireError

STRANGER = "Another program answers instead of the RePaint engine: restart the engine, or the computer."

Buffer = Union[bytes, bytearray, memoryview]

_GREETING_SIZE = 64
_MORE, _LONG, _COMMAND = 1, 2, 4
_MAX_COMMAND = 64 * 1024
_READ = 256 * 1024


def _greeting() -> bytes:
    signature = b"\xff" + b"\0" * 8 + b"\x7f"
    return signature + b"\x03\x00" + b"PLAIN".ljust(20, b"\0") + b"\0" + b"\0" * 31  # major, minor; as-server = 0


def _frame_header(flags: int, size: int) -> bytes:
    if size > 255:
        return struct.pack(">BQ", flags | _LONG, size)
    return struct.pack(">BB", flags, size)


def _command(name: bytes, body: bytes) -> bytes:
    content = bytes([len(name)]) + name + body
    return _frame_header(_COMMAND, len(content)) + content


def _foreign(details: str) -> WireError:
    return WireError(STRANGER, details)


class Protocol:
    """The bytes of one connection.  ``feed`` what came in; send what ``output`` holds.

    Raises Refused if the other side turns the password down, WireError if it does not speak ZMTP 3 with PLAIN or
    breaks its rules or a limit; after either the connection must be closed.
    """

    def __init__(
        self, username: bytes, password: bytes, max_frame: int = 4 * 1024 * 1024, max_frames: int = 10
    ) -> None:
        if len(username) > 255 or len(password) > 255:
            raise ValueError("PLAIN carries at most 255 bytes of name and of password")
        self.output: Deque[memoryview] = deque([memoryview(_greeting())])
        self.ready = False
        self._username, self._password = username, password
        self._max_frame, self._max_frames = max_frame, max_frames
        self._input = bytearray()
        self._parts: List[bytes] = []
        self._state = "greeting"

    def send(self, frames: Sequence[Buffer]) -> None:
        """Queue one multipart of at least one frame; only once ``ready``."""
        if not self.ready or not frames:
            raise ValueError("not ready, or nothing to send")
        for index, frame in enumerate(frames):
            view = memoryview(frame).cast("B")
            header = _frame_header(_MORE if index + 1 < len(frames) else 0, len(view))
            if len(view) < 4096:
                self.output.append(memoryview(header + bytes(view)))
            else:
                self.output.append(memoryview(header))
                self.output.append(view)

    def feed(self, data: Buffer) -> List[List[bytes]]:
        """The multiparts completed by ``data``, which may be cut anywhere."""
        self._input += data
        messages: List[List[bytes]] = []
        start = 0
        try:
            while True:
                used = self._step(start, messages)
                if not used:
                    return messages
                start += used
        finally:
            del self._input[:start]

    def _step(self, start: int, messages: List[List[bytes]]) -> int:
        """Read one item from ``start``; returns the bytes used, 0 if it is not complete."""
        available = len(self._input) - start
        if self._state == "greeting":
            return self._read_greeting(start, available)
        if available < 2:
            return 0
        flags = self._input[start]
        if flags & ~7 or (flags & _COMMAND and flags & _MORE):
            raise _foreign(f"reserved frame flags {flags:#x}")
        head = 9 if flags & _LONG else 2
        if available < head:
            return 0
        size = struct.unpack_from(">Q", self._input, start + 1)[0] if flags & _LONG else self._input[start + 1]
        if size > (_MAX_COMMAND if flags & _COMMAND else self._max_frame):
            raise _foreign(f"a frame of {size} bytes")
        if available < head + size:
            return 0
        with memoryview(self._input) as view:
            body = bytes(view[start + head : start + head + size])
        if flags & _COMMAND:
            self._read_command(body)
        elif not self.ready:
            raise _foreign("a message before the handshake was over")
        else:
            self._parts.append(body)
            if not flags & _MORE:
                messages.append(self._parts)
                self._parts = []
            elif len(self._parts) >= self._max_frames:
                raise _foreign("a message of too many frames")
        return head + int(size)

    def _read_greeting(self, start: int, available: int) -> int:
        head = bytes(self._input[start : start + min(available, 10)])
        if (head and head[0] != 0xFF) or (len(head) == 10 and not head[9] & 1):
            raise _foreign("no ZMTP signature")
        if available < _GREETING_SIZE:
            return 0
        greeting = bytes(self._input[start : start + _GREETING_SIZE])
        if greeting[10] < 3:
            raise _foreign(f"ZMTP version {greeting[10]}")
        if greeting[12:32].rstrip(b"\0") != b"PLAIN":
            raise _foreign(f"mechanism {greeting[12:32]!r}")
        body = bytes([len(self._username)]) + self._username + bytes([len(self._password)]) + self._password
        self.output.append(memoryview(_command(b"HELLO", body)))
        self._state = "welcome"
        return _GREETING_SIZE

    def _read_command(self, body: bytes) -> None:
        size = body[0] if body else 0
        name, rest = body[1 : 1 + size], body[1 + size :]
        # libzmq up to 4.3.5 writes "\\x5ERROR" in its source, which C reads as the letter ^ and RROR
        if (name == b"ERROR" or body[:5] == b"^RROR") and not self.ready:
            raise Refused("The RePaint engine refused this plug-in: its connection file is out of date.", repr(rest))
        if name == b"WELCOME" and self._state == "welcome":
            metadata = b"\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"
            self.output.append(memoryview(_command(b"INITIATE", metadata)))
            self._state = "ready"
        elif name == b"READY" and self._state == "ready":
            self._state, self.ready = "traffic", True
        elif name == b"PING" and self.ready:
            self.output.append(memoryview(_command(b"PONG", rest[2:18])))
        elif not self.ready:
            raise _foreign(f"command {name[:20]!r} in the handshake")


class Dealer:
    """One connection to a ROUTER.  Not thread-safe; never blocks except in ``connect``.

    Raises as Protocol does, and ConnectionLost when the socket ends.
    """

    def __init__(self, connection: socket.socket, protocol: Protocol) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._protocol = protocol
        self._buffer = memoryview(bytearray(_READ))
        self._arrived: List[List[bytes]] = []

    @classmethod
    def connect(cls, host: str, port: int, username: bytes, password: bytes, timeout: float) -> Dealer:
        """Connect and go through the handshake, in at most ``timeout`` seconds (ConnectionLost after that)."""
        deadline = time.monotonic() + timeout
        try:
            connection = socket.create_connection((host, port), timeout=timeout)
        except OSError as error:
            raise ConnectionLost("The RePaint engine is not running.", repr(error)) from None
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            dealer = cls(connection, Protocol(username, password))
            while not dealer._protocol.ready:
                dealer.flush()
                left = deadline - time.monotonic()
                if left <= 0:
                    raise ConnectionLost("The RePaint engine does not answer.", "handshake timed out")
                if dealer.wait(left):
                    dealer._arrived += dealer._read()
            return dealer
        except BaseException:
            connection.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def unsent(self) -> int:
        """Bytes that wait to be taken by the system."""
        return sum(len(view) for view in self._protocol.output)

    def send(self, frames: Sequence[Buffer]) -> None:
        """Queue a multipart; ``flush`` sends it."""
        self._protocol.send(frames)

    def flush(self) -> bool:
        """Send what the system takes now; True when nothing is left."""
        output = self._protocol.output
        try:
            while output:
                sent = self._socket.send(output[0])
                if sent < len(output[0]):
                    output[0] = output[0][sent:]
                else:
                    output.popleft()
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            raise ConnectionLost("The connection to the RePaint engine broke.", repr(error)) from None
        return True

    def receive(self) -> List[List[bytes]]:
        """The multiparts that have arrived; an empty list if none is complete."""
        messages, self._arrived = self._arrived, []
        return messages + self._read()

    def wait(self, timeout: float) -> bool:
        """Wait until something can be read; sends meanwhile.  For use outside a selector."""
        deadline = time.monotonic() + timeout
        while True:
            waiting = not self.flush()
            left = max(0.0, deadline - time.monotonic())
            if hasattr(select, "poll"):  # select() cannot take descriptors beyond 1023, and editors have many
                poller = select.poll()
                poller.register(self._socket, select.POLLIN | (select.POLLOUT if waiting else 0))
                found = poller.poll(left * 1000)
                readable = any(event & ~select.POLLOUT for _, event in found)
            else:
                readable = bool(select.select([self._socket], [self._socket] if waiting else [], [], left)[0])
            if readable or time.monotonic() >= deadline:
                return readable

    def close(self) -> None:
        self._socket.close()

    def _read(self) -> List[List[bytes]]:
        messages: List[List[bytes]] = []
        for _ in range(16):  # at most 4 MiB at a time: the caller's loop has other things to do
            try:
                count = self._socket.recv_into(self._buffer)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                return self._ended(messages, repr(error))
            if not count:
                return self._ended(messages, "end of stream")
            messages += self._protocol.feed(self._buffer[:count])
        return messages

    def _ended(self, messages: List[List[bytes]], details: str) -> List[List[bytes]]:
        if messages:  # the last words first; the next read meets the end again
            return messages
        raise ConnectionLost("The RePaint engine closed the connection.", details)
