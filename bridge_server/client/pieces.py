"""Pictures and lists that come in several messages, put together again."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any, Dict, List, Tuple, Union

from bridge_server.client.codec import Buffer
from bridge_server.client.errors import WireError
from bridge_server.client.messages import Preview, Result
from bridge_server.client.records import PIXEL_BYTES, bytes_of


def painted_pixels(message: Union[Preview, Result]) -> int:
    """How many pixels it announces."""
    return sum(part.area for part in message.parts) or message.width * message.height


class Pieces:
    """Pixels whose pieces follow one another; one picture at a time, an interrupted one is forgotten."""

    def __init__(self) -> None:
        self._key: Hashable = None
        self._data = bytearray()

    def add(self, key: Hashable, offset: int, payload: Buffer, size: int) -> bytes | None:
        """The whole picture with its last piece, else None."""
        if offset == 0:
            self._key, self._data = key, bytearray()
        if self._key != key or len(self._data) != offset:
            self._key = None
            return None
        self._data += payload
        if len(self._data) < size:
            return None
        self._key, whole = None, bytes(self._data)
        return whole


class Pages:
    """Lists that are too long for one message: the pages with ``more`` are kept until the last one comes, of the
    newest ``MOST`` lists; one that grows without end is forgotten."""

    MOST, LONGEST = 16, 100_000

    def __init__(self, name: str) -> None:
        """``name``: of the messages' list."""
        self._name = name
        self._begun: Dict[Hashable, List[Any]] = {}

    def whole(self, message: Any, key: Hashable = None) -> Any:
        """The message with its whole list, or None while there is more to come; ``key`` tells lists apart."""
        items = [*self._begun.pop(key, []), *getattr(message, self._name)]
        if message.more:
            if len(self._begun) == self.MOST:
                del self._begun[next(iter(self._begun))]
            if len(items) < self.LONGEST:
                self._begun[key] = items
            return None
        return dataclasses.replace(message, **{self._name: tuple(items)})


class Download:
    """A result whose pixels are being pulled."""

    def __init__(self, result: Result) -> None:
        self.result = result
        self.data = bytearray(painted_pixels(result) * bytes_of(result.depth, result.maps))
        self.asked = self.received = 0

    def pictures(self) -> List[bytes]:
        """Its pixels, and those of each of its maps."""
        found, end = [], 0
        for depth in (self.result.depth, *(each.depth for each in self.result.maps)):
            begin, end = end, end + painted_pixels(self.result) * PIXEL_BYTES[depth]
            found.append(bytes(memoryview(self.data)[begin:end]))
        return found

    def next(self, longest: int) -> Tuple[int, int] | None:
        """Offset and length of the piece to ask for now; None if all of it has been asked for."""
        length = min(longest, len(self.data) - self.asked)
        if not length:
            return None
        self.asked += length
        return self.asked - length, length

    def add(self, offset: int, payload: Buffer) -> bool:
        """True with the last piece.  Raises WireError if this is not the next one."""
        if offset != self.received or self.received + len(payload) > len(self.data):
            raise WireError("A picture did not arrive whole; connecting again.", "chunk out of order")
        self.data[self.received : self.received + len(payload)] = payload
        self.received += len(payload)
        return self.received == len(self.data)
