"""Pixel buffers between Krita and the engine: byte order and cutting, by Qt's fast image code.

Krita's 8-bit RGBA is B, G, R, A in memory; the wire's is R, G, B, A; both straight alpha, rows from the top.
"""

from __future__ import annotations

from typing import Any

from bridge_server.client.geometry import Box

from .qt import QtGui, scoped

RGBA = scoped(QtGui.QImage, "Format", "Format_RGBA8888")


def image(data: bytes, width: int, height: int) -> Any:
    """A QImage over ``data`` (RGBA, width*height*4 bytes) without a copy: keep ``data`` alive while it is used."""
    return QtGui.QImage(data, width, height, 4 * width, RGBA)


def _bytes(picture: Any) -> bytes:
    data: bytes = picture.constBits().asstring(picture.sizeInBytes())
    return data


def swapped(data: bytes, width: int, height: int) -> bytes:
    """First and third channel exchanged: B,G,R,A from R,G,B,A and the other way round."""
    return _bytes(image(data, width, height).rgbSwapped())


def cut_swapped(data: bytes, width: int, height: int, part: Box) -> bytes:
    """The rectangle ``part`` of an RGBA picture as Krita's B,G,R,A bytes."""
    return _bytes(image(data, width, height).copy(part.x, part.y, part.width, part.height).rgbSwapped())
