"""Pixel buffers between Krita and the engine: the order of the channels.

Krita's integer RGBA is B, G, R, A in memory, its floats R, G, B, A; straight alpha, rows from the top.
"""

from __future__ import annotations

from bridge_server.client.qt.pictures import image


def swapped(data: bytes, width: int, height: int, depth: str) -> bytes:
    """Krita's pixels as the wire's and the other way round: of integers the first and third channel exchanged."""
    if depth == "u8":
        picture = image(data, width, height).rgbSwapped()
        found: bytes = picture.constBits().asstring(picture.sizeInBytes())
        return found
    if depth == "u16":
        made = bytearray(data)
        made[0::8], made[1::8] = data[4::8], data[5::8]
        made[4::8], made[5::8] = data[0::8], data[1::8]
        return bytes(made)
    return data
