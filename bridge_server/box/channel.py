"""Messages over a connection that may break: in order, each exactly once, and few of them on their way.

Pieces stay here until the other side has heard them, and are sent again over the next connection. What is not on its
way yet can still be dropped: on a slow road a cancel would else wait behind pictures that nobody wants any more.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Sequence

from bridge_server.box.wire import LARGEST, PIECE, WINDOW, Piece
from bridge_server.client.checks import refused
from bridge_server.client.codec import Buffer

FRAMES = 3  # of a message at most: a magic word, a header, a payload

_LENGTH = struct.Struct(">I")


class Channel:
    """Both directions of one session, as one side sees it; knows no socket."""

    def __init__(self) -> None:
        self.heard = 0  # pieces that have come
        self._waiting: deque[Sequence[Buffer]] = deque()  # whole messages
        self._pieces: deque[tuple[bytes, bool]] = deque()  # cut, and not yet heard by the other side
        self._before = 0  # number of the first of them
        self._sent = 0  # number of the next one to send
        self._coming = bytearray()

    def put(self, frames: Sequence[Buffer]) -> None:
        """Have a message sent."""
        self._waiting.append(frames)

    @property
    def backlog(self) -> int:
        """Messages that are not on their way yet."""
        return len(self._waiting)

    def drop(self, unwanted: Callable[[Sequence[Buffer]], bool]) -> None:
        """Forget messages that are not on their way yet."""
        self._waiting = deque(frames for frames in self._waiting if not unwanted(frames))

    def due(self) -> list[tuple[Piece, bytes]]:
        """What may be sent now."""
        found = []
        while self._sent < self._before + WINDOW:
            at = self._sent - self._before
            if at == len(self._pieces):
                if not self._waiting:
                    break
                self._pieces.extend(_cut(self._waiting.popleft()))
            payload, last = self._pieces[at]
            found.append((Piece(self._sent, last, self.heard), payload))
            self._sent += 1
        return found

    def resume(self, heard: int) -> None:
        """Over a new connection: the other side has heard so many pieces; the rest is sent again."""
        self.acknowledge(heard)
        self._sent = self._before

    def acknowledge(self, heard: int) -> None:
        """The other side has heard so many pieces.  Raises WireError if there were never so many."""
        if heard > self._before + len(self._pieces):
            raise refused("a number of pieces that were sent")
        while self._before < heard:
            self._pieces.popleft()
            self._before += 1
        self._sent = max(self._sent, self._before)

    def take(self, piece: Piece, payload: Buffer) -> list[bytes] | None:
        """A piece that has come; the message that it ends.  Raises WireError for what is no next piece."""
        self.acknowledge(piece.heard)
        if piece.number != self.heard or len(self._coming) + len(payload) > LARGEST:
            raise refused("the next piece")
        self.heard += 1
        self._coming += payload
        if not piece.last:
            return None
        whole, self._coming = bytes(self._coming), bytearray()
        return _frames(whole)


def _cut(frames: Sequence[Buffer]) -> list[tuple[bytes, bool]]:
    whole = b"".join(_LENGTH.pack(len(frame)) + bytes(frame) for frame in frames)
    starts = range(0, len(whole), PIECE)
    return [(whole[at : at + PIECE], at + PIECE >= len(whole)) for at in starts]


def _frames(whole: bytes) -> list[bytes]:
    frames: list[bytes] = []
    at = 0
    while at < len(whole):
        if at + _LENGTH.size > len(whole) or len(frames) == FRAMES:
            raise refused("whole frames")
        (length,) = _LENGTH.unpack_from(whole, at)
        at += _LENGTH.size
        frames.append(whole[at : at + length])
        at += length
    if at != len(whole):
        raise refused("whole frames")
    return frames
