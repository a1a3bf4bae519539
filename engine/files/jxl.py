"""The boxes of a JPEG XL file (ISO/IEC 18181-2) that hold EXIF and XMP, which its libraries leave aside."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from engine.files import metadata
from engine.files.picture import Picture

_START = b"\0\0\0\x0cJXL \r\n\x87\n"
_TYPE = struct.pack(">I", 20) + b"ftypjxl \0\0\0\0jxl "
MOST = 1 << 26
"""Bytes of a compressed box, unpacked."""


def described(picture: Picture, data: bytes) -> Picture:
    """The picture with what the boxes of its file say; those that are damaged say nothing."""
    exif, xmp = picture.exif, picture.xmp
    for name, body in _boxes(data):
        if name == b"Exif" and len(body) > 4 and exif is None:
            begin = 4 + int.from_bytes(body[:4], "big")
            # The codestream says which side is up, not this.
            exif = metadata.exif_bytes(metadata.parsed_exif(body[begin:]))[0] if begin < len(body) else None
        elif name == b"xml " and xmp is None:
            xmp = metadata.upright_xmp(body)
    return Picture(
        picture.pixels, picture.icc_profile, picture.dpi or metadata.exif_resolution(exif), exif, xmp,
        associated=picture.associated, bits=picture.bits, notes=picture.notes,
    )  # fmt: skip


def with_boxes(data: bytes, picture: Picture) -> bytes:
    """An encoded file with the picture's EXIF and XMP."""
    exif = metadata.exif_for(picture, True)
    found = [(b"Exif", exif and bytes(4) + exif), (b"xml ", picture.xmp)]
    added = b"".join(_box(name, body) for name, body in found if body)
    if not added:
        return data
    if not data.startswith(_START):
        data = _START + _TYPE + _box(b"jxlc", data)
    return data + added


def _box(name: bytes, body: bytes) -> bytes:
    if len(body) + 8 < 1 << 32:
        return struct.pack(">I", len(body) + 8) + name + body
    return struct.pack(">I", 1) + name + struct.pack(">Q", len(body) + 16) + body


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and bodies, unpacked; up to what is damaged."""
    at = 0 if data.startswith(_START) else len(data)
    while at + 8 <= len(data):
        size, name, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        end = len(data) if size == 0 else at + size
        if end < at + head or end > len(data):
            return
        body = data[at + head : end]
        if name == b"brob" and body[:4] in (b"Exif", b"xml "):
            import imagecodecs

            try:
                name, body = body[:4], bytes(imagecodecs.brotli_decode(body[4:], out=MOST))
            except Exception:  # damage comes as many kinds of exception
                return
        yield name, body
        at = end
