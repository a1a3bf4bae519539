"""The kinds of picture files: how each is told from its first bytes, and what each can hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.errors import BadInput
from engine.files import colour
from engine.files.picture import Picture

MAX_PIXELS = 1 << 27
"""Pixels of a picture in a file, 134 million."""


@dataclass(frozen=True)
class Container:
    """What an output file can hold.

    Attributes:
        name: for sentences.
        types: of samples.
        alpha, profile: whether it has them.
        pages: whether several pictures go into it.
        animation: these pages are frames of one size.
    """

    name: str
    types: tuple[type, ...]
    alpha: bool = True
    profile: bool = True
    pages: bool = False
    animation: bool = False


_8, _16, _FLOAT = np.uint8, np.uint16, np.float32
_DATA = (np.uint32, np.int16, np.int32)
_BETTER = {_8: ("8", ".png"), _16: ("16", ".png or .tif"), _FLOAT: ("32", ".tif or .exr")}
CONTAINERS = {
    ".png": Container("PNG", (_8, _16), pages=True, animation=True),
    ".tif": Container("TIFF", (_8, _16, _FLOAT, *_DATA), pages=True),
    ".tiff": Container("TIFF", (_8, _16, _FLOAT, *_DATA), pages=True),
    ".webp": Container("WebP", (_8,), pages=True, animation=True),
    ".avif": Container("AVIF", (_8, _16)),
    ".jxl": Container("JPEG XL", (_8, _16, _FLOAT)),
    ".exr": Container("OpenEXR", (_FLOAT,)),
    ".bmp": Container("BMP", (_8,), alpha=False, profile=False),
    ".gif": Container("GIF", (_8,), profile=False, pages=True, animation=True),
    ".ppm": Container("PPM", (_8, _16), alpha=False, profile=False),
    ".pgm": Container("PGM", (_8, _16), alpha=False, profile=False),
}
"""By suffix: what is written, all of it without loss."""


def kind(head: bytes) -> str | None:
    """The usual suffix of a file that begins with these bytes (32 or more); None for what is not read.

    ``.zip`` may be a document of Krita or OpenRaster; ``.heic`` is read only.
    """
    starts = {
        b"\x89PNG\r\n\x1a\n": ".png",
        b"\xff\xd8\xff": ".jpg",
        b"GIF8": ".gif",
        b"BM": ".bmp",
        b"8BPS": ".psd",
        b"\x76\x2f\x31\x01": ".exr",
        b"\xff\x0a": ".jxl",
        b"\0\0\0\x0cJXL \r\n\x87\n": ".jxl",
        b"PK\x03\x04": ".zip",
        b"II*\0": ".tif",
        b"MM\0*": ".tif",
        b"II+\0": ".tif",
        b"MM\0+": ".tif",
    }
    for start, suffix in starts.items():
        if head.startswith(start):
            return suffix
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ".webp"
    if head[4:8] == b"ftyp":
        brands = {head[at : at + 4] for at in (8, *range(16, 64, 4))}
        return ".avif" if brands & {b"avif", b"avis"} else ".heic"
    if head[:1] == b"P" and head[1:2] in b"123456fF" and head[2:3] in b" \t\r\n#":
        return ".pfm" if head[1:2] in b"fF" else ".ppm"
    return None


READ_ONLY = {
    **dict.fromkeys((".heic", ".heif"), ("HEIC pictures", ".avif or .png")),
    **dict.fromkeys((".psd", ".psb"), ("Photoshop's documents", ".tif or .png")),
    ".ora": ("OpenRaster's documents", ".png"),
    ".kra": ("Krita's documents", ".tif or .png"),
}
"""Suffixes of what cannot be written, what it is, and what can."""


def check(name: str, suffix: str, pictures: Sequence[Picture]) -> None:
    """Raise BadInput unless a file of this suffix can hold these pictures as they are."""
    container = CONTAINERS.get(suffix)
    if suffix in READ_ONLY:
        what, better = READ_ONLY[suffix]
        raise _refused(f"{what} are read, but not written", better)
    if container is None:
        raise _refused(f"{name} would lose detail or is no picture file", ".png")
    if len(pictures) > 1:
        _check_pages(container, pictures)
    for picture in pictures:
        _check_depth(suffix, container, picture)
        _check_channels(suffix, container, picture)


def _refused(why: str, better: str) -> BadInput:
    return BadInput("bad_output", f"{why}; choose a name that ends in {better}.")


def _check_pages(container: Container, pictures: Sequence[Picture]) -> None:
    if not container.pages:
        raise _refused(f"{container.name} holds one picture only", ".tif")
    shapes = {picture.pixels.shape for picture in pictures}
    if container.animation and (len(shapes) > 1 or any(each.pixels.dtype != np.uint8 for each in pictures)):
        raise _refused(f"Pages of several sizes or of more than 8 bits do not go into {container.name}", ".tif")


def _check_depth(suffix: str, container: Container, picture: Picture) -> None:
    kept = picture.pixels.dtype.type
    if picture.is_data and kept not in container.types:
        raise _refused("Integers of 32 bits or with a sign go into TIFF only", ".tif")
    if suffix == ".exr" and not colour.in_linear_light(picture):
        raise _refused("OpenEXR holds linear light, which this picture is not", ".png or .tif")
    if kept not in container.types:
        depth, better = _BETTER[kept]
        raise _refused(f"The picture has {depth} bits per channel, which {container.name} cannot hold", better)
    if suffix == ".avif" and kept is _16 and picture.bits not in (10, 12):
        raise _refused("AVIF holds at most 12 bits per channel", ".png or .tif")
    if suffix == ".jxl" and kept is _FLOAT and not (colour.in_plain_linear_light(picture) or _is_half_of_rgb(picture)):
        raise _refused("Floats go into JPEG XL in linear light with sRGB's primaries only", ".tif or .exr")


def _is_half_of_rgb(picture: Picture) -> bool:
    return picture.bits == 16 and picture.icc_profile is not None and picture.pixels.shape[2] >= 3


def _is_for_gif(palette: np.ndarray | None) -> bool:
    if palette is None or not 0 < len(palette) <= 256:
        return False
    alpha = palette[..., -1]
    return palette.shape[2] in (1, 3) or bool(np.isin(alpha, (0, 255)).all() and np.count_nonzero(alpha == 0) <= 1)


def _check_channels(suffix: str, container: Container, picture: Picture) -> None:
    is_gray = picture.pixels.shape[2] < 3
    if picture.has_alpha and not container.alpha:
        raise _refused(f"{container.name} cannot hold transparency", ".png")
    if suffix == ".gif" and not _is_for_gif(picture.palette):
        raise _refused("GIF holds at most 256 colours, at most one of them transparent", ".png")
    if suffix in (".pgm", ".ppm") and (suffix == ".pgm") != is_gray:
        raise _refused("Gray pictures are .pgm files and coloured ones .ppm", ".png")
    without = not container.profile or (is_gray and suffix in (".webp", ".avif", ".jxl"))
    if suffix == ".jxl" and picture.pixels.dtype != _8 and colour.in_linear_light(picture):
        without = False
    if picture.icc_profile and without and not colour.is_srgb(picture.icc_profile):
        raise _refused(
            f"{container.name} cannot hold the colour profile of this picture, so add --profile srgb or keep it",
            ".png or .tif",
        )
