"""Pictures of every depth as bytes: cut, with other channels, and as the 8 bits that a screen shows.

A pixel is some straight samples of a depth of `records.PIXEL_BYTES`, on the wire R, G, B, A.  Bytes are moved by C
functions of ``bytes`` and ``memoryview``; only the few that a small picture has are looked at one by one.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Dict, Iterable, Literal, Tuple

from bridge_server.client.geometry import Box
from bridge_server.client.records import PIXEL_BYTES

WORDS: Dict[str, Literal["B", "H", "I"]]
WORDS = {"u8": "B", "u16": "H", "f16": "H", "f32": "I"}  # integers as large as a sample
OPAQUE = {"u8": b"\xff", "u16": b"\xff\xff", "f16": struct.pack("<e", 1.0), "f32": struct.pack("<f", 1.0)}
RGBA_OF_GRAY = (0, 0, 0, 1)  # of Y, A
GRAY_OF_RGBA = (1, 3)  # the three colours are alike; of what a network painted in colours, green is nearest to gray


def cut(rgba: bytes, width: int, part: Box, depth: str, begin: int = 0) -> bytes:
    """The rectangle ``part`` of a picture ``width`` pixels wide, whose bytes begin at ``begin``."""
    size = PIXEL_BYTES[depth]
    if part.x == 0 and part.width == width:
        return rgba[begin + size * width * part.y : begin + size * width * (part.y + part.height)]
    first = begin + size * (width * part.y + part.x)
    starts = range(first, begin + size * width * (part.y + part.height), size * width)
    return b"".join(rgba[start : start + size * part.width] for start in starts)


def arranged(data: bytes, depth: str, channels: int, order: Tuple[int, ...]) -> bytes:
    """Pixels of ``channels`` samples with others: each is the one at that place of the pixel before, or opaque if that
    is ``channels``."""
    source = memoryview(data).cast(WORDS[depth])
    count = len(source) // channels
    made = bytearray(len(order) * count * source.itemsize)
    target = memoryview(made).cast(WORDS[depth])
    for place, channel in enumerate(order):
        if channel < channels:
            target[place :: len(order)] = source[channel::channels]
        else:
            target[place :: len(order)] = memoryview(OPAQUE[depth] * count).cast(WORDS[depth])
    return bytes(made)


def shown(rgba: bytes, width: int, part: Box, depth: str, linear: bool, longest: int) -> Tuple[bytes, int, int]:
    """``part`` as 8-bit RGBA, its columns and rows: of deep and of linear pictures every n-th pixel, so that there are
    less than twice ``longest`` each way.

    Of floats 0 … 1 is seen; what is proportional to light gets sRGB's curve.
    """
    if depth == "u8" and not linear:
        return cut(rgba, width, part, depth), part.width, part.height
    every = max(1, max(part.width, part.height) // longest)
    rows = range(part.y, part.y + part.height, every)
    lines = [cut(rgba, width, Box(part.x, y, part.width, 1), depth) for y in rows]
    columns = -(-part.width // every)
    made = bytearray(4 * columns * len(rows))
    for channel in range(4):
        table = _table(depth, linear and channel < 3)
        made[channel::4] = bytes(map(table.__getitem__, _keys(lines, depth, channel, every)))
    return bytes(made), columns, len(rows)


def _keys(lines: Iterable[bytes], depth: str, channel: int, every: int) -> memoryview:
    """The sample's most significant 16 bits, or all 8, of every n-th pixel."""
    word: Literal["B", "H"] = "B" if depth == "u8" else "H"
    step = 8 if depth == "f32" else 4
    first = 2 * channel + 1 if depth == "f32" else channel
    return memoryview(b"".join(bytes(memoryview(line).cast(word)[first :: step * every]) for line in lines)).cast(word)


@lru_cache(maxsize=8)
def _table(depth: str, linear: bool) -> bytes:
    """What is seen, 0 … 255, of each key."""
    if depth == "u8":
        return bytes(_seen(key / 255, linear) for key in range(256))
    if depth == "u16":  # in the dark of linear ones a 4096th is seen
        return b"".join(16 * bytes([_seen((16 * key + 8) / 65535, linear)]) for key in range(4096))
    if depth == "f16":
        one, infinite = 0x3C00, 0x7C00
        values = struct.unpack(f"<{one}e", struct.pack(f"<{one}H", *range(one)))
    else:
        one, infinite = 0x3F80, 0x7F80
        values = struct.unpack(f"<{one}f", struct.pack(f"<{one}I", *(key << 16 | 0x8000 for key in range(one))))
    above = infinite + 1 - one  # then what is no number, and what is negative
    return bytes(_seen(value, linear) for value in values) + b"\xff" * above + bytes(65536 - infinite - 1)


def _seen(value: float, linear: bool) -> int:
    if linear:
        value = 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
    return min(255, int(255 * value + 0.5))
