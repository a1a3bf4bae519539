"""Picture files by formulas, of the kinds that the engine reads and does not write."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from engine.files import colour, imagefile
from engine.files.picture import Picture

WIDE = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329)
"""Primaries of Display P3."""


def ramp(channels: int, dtype: type = np.uint8, size: tuple[int, int] = (24, 32)) -> np.ndarray:
    """(H, W, channels) with many colours; alpha, the last of 2 or 4, from opaque to transparent."""
    y, x = np.mgrid[: size[0], : size[1]] / np.array(size)[:, None, None]
    planes = [x, y, (x + y) / 2, 1 - x][:channels]
    if channels == 2:
        planes[1] = 1 - x
    out = np.stack(planes, 2)
    return np.rint(out * np.iinfo(dtype).max).astype(dtype) if np.dtype(dtype).kind == "u" else out.astype(dtype)


def exif(orientation: int = 1) -> Image.Exif:
    made = Image.Exif()
    made[271], made[274] = "Acme", orientation
    made.get_ifd(34665).update({33434: 0.01, 40962: 7, 40963: 7})
    made.get_ifd(34853)[1] = "N"
    return made


XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"


def cmyk_profile() -> bytes:
    """A CMYK profile whose table has the corners of the ink cube, which behave as plain ink."""
    ink = np.stack(np.meshgrid(*[[0.0, 1.0]] * 4, indexing="ij"), -1).reshape(-1, 4)
    lightness = 100 * (1 - ink[:, 3]) * (1 - ink[:, :3] @ [0.25, 0.3, 0.1])
    a, b = 60 * (ink[:, 1] - ink[:, 0]) * (1 - ink[:, 3]), 60 * (ink[:, 2] - ink[:, 0]) * (1 - ink[:, 3])
    lab = np.stack([lightness / 100 * 65280, (a + 128) * 256, (b + 128) * 256], 1).clip(0, 65535)
    table = b"mft2\0\0\0\0" + bytes([4, 3, 2, 0]) + struct.pack(">9i", *(np.eye(3).ravel() * 65536).astype(int))
    table += struct.pack(">HH", 2, 2) + struct.pack(">2H", 0, 65535) * 4
    table += np.rint(lab).astype(">u2").tobytes() + struct.pack(">2H", 0, 65535) * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    text = b"text\0\0\0\0none\0"
    body, tags, at = b"", [], 128 + 4 + 12 * 5
    for name, data in ((b"A2B0", table), (b"A2B1", None), (b"wtpt", white), (b"cprt", text), (b"desc", None)):
        if data is None and name == b"A2B1":
            tags.append((name, *tags[0][1:]))
            continue
        data = data or b"desc\0\0\0\0" + struct.pack(">I", 5) + b"cmyk\0" + bytes(78)
        tags.append((name, at + len(body), len(data)))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I", at + len(body)) + b"lcms" + struct.pack(">I", 0x02400000) + b"prtrCMYKLab "
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    head += bytes(128 - len(head))
    return head + struct.pack(">I", 5) + b"".join(struct.pack(">4sII", *tag) for tag in tags) + body


def psd(pixels: np.ndarray, profile: bytes | None = None, mode: int = 3, transparent: bool = False) -> bytes:
    """A merged Photoshop document of (H, W, C) uint8, uint16 or float32; mode 1 gray, 3 RGB, 4 CMYK, 9 Lab.

    Args:
        transparent: the channel after the colours is transparency, and the colours lie over white.
    """
    height, width, channels = pixels.shape
    resources = b"8BIM" + struct.pack(">HHI", 1005, 0, 16) + struct.pack(">IHHIHH", 300 << 16, 1, 1, 300 << 16, 1, 1)
    if profile:
        resources += b"8BIM" + struct.pack(">HHI", 1039, 0, len(profile)) + profile + bytes(len(profile) % 2)
    depth = pixels.dtype.itemsize * 8
    out = b"8BPS" + struct.pack(">H6xHIIHH", 1, channels, height, width, depth, mode) + struct.pack(">I", 0)
    layer = struct.pack(">4iH", 0, 0, 0, 0, 0) + b"8BIMnorm\xff\0\0\0" + struct.pack(">I", 12) + bytes(12)
    layers = struct.pack(">h", -1) + layer if transparent else b""
    section = struct.pack(">I", len(layers)) + layers + struct.pack(">I", 0) if transparent else b""
    out += struct.pack(">I", len(resources)) + resources + struct.pack(">I", len(section)) + section + bytes(2)
    return out + pixels.transpose(2, 0, 1).astype(pixels.dtype.newbyteorder(">")).tobytes()


def document(path: Path, merged: bytes, mimetype: str) -> None:
    """A document of Krita or OpenRaster with this merged picture."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", mimetype)
        archive.writestr("mergedimage.png", merged)


def png(pixels: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(out, "PNG", **options)
    return out.getvalue()


def profiles(channels: int) -> dict[str, bytes | None]:
    """Profiles for so many channels: none, sRGB's curve, a wide or another one, a linear one."""
    if channels < 3:
        return {"none": None, "srgb": colour.gray(), "other": colour.gray(1.8), "linear": colour.gray(1.0)}
    return {"none": None, "srgb": colour.srgb(), "other": colour.rgb(2.2, WIDE), "linear": colour.rgb(1.0, WIDE)}


def again(path: Path, picture: Picture) -> Picture:
    imagefile.write(path, picture)
    return imagefile.read(path)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
