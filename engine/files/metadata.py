"""What a file says beside its pixels: EXIF, XMP, resolution, which side is up."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from engine.files.picture import Picture

ORIENTATION, EXIF_IFD, GPS_IFD = 274, 34665, 34853
_WIDTH, _HEIGHT = 40962, 40963
_X_RESOLUTION, _Y_RESOLUTION, _UNIT = 282, 283, 296
_INCH, _CENTIMETRE = 2, 3
_XMP_ORIENTATION = re.compile(rb"""<tiff:Orientation>[1-8]</tiff:Orientation>|tiff:Orientation=["'][1-8]["']""")
MAX_DPI = 1e6


def exif_bytes(exif: Image.Exif) -> tuple[bytes | None, int]:
    """EXIF as it goes on, and the orientation, 1 … 8, that it held.

    The new one says upright, and has no thumbnail, which would go on showing what was repainted. What is damaged
    counts as absent.
    """
    try:
        turned = exif.get(ORIENTATION, 1)
        turned = turned if turned in range(1, 9) else 1
        if ORIENTATION in exif:
            exif[ORIENTATION] = 1
        kept = Image.Exif()
        kept.endian = exif.endian
        for tag, value in exif.items():
            if tag not in (EXIF_IFD, GPS_IFD, ExifTags.IFD.Interop):
                kept[tag] = value
        for group in (EXIF_IFD, GPS_IFD):
            inside = dict(exif.get_ifd(group))
            if inside:
                kept.get_ifd(group).update(inside)
        if not len(kept) and not any(kept.get_ifd(group) for group in (EXIF_IFD, GPS_IFD)):
            return None, turned
        return kept.tobytes().removeprefix(b"Exif\0\0"), turned
    except Exception:  # damaged EXIF comes as many kinds of exception
        return None, 1


def parsed_exif(data: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(data if data.startswith(b"Exif\0\0") else b"Exif\0\0" + data)
    return exif


def exif_for(picture: Picture, resolution_too: bool = False) -> bytes | None:
    """A picture's EXIF, in which width, height and resolution are made true where it tells them.

    Args:
        resolution_too: it tells the resolution in any case, for kinds of files that have no other place for it.
    """
    if picture.exif is None and not (resolution_too and picture.dpi):
        return None
    exif = parsed_exif(picture.exif) if picture.exif else Image.Exif()
    inside = exif.get_ifd(EXIF_IFD)
    if _WIDTH in inside or _HEIGHT in inside:
        inside[_HEIGHT], inside[_WIDTH] = picture.pixels.shape[:2]
    if picture.dpi and (resolution_too or _X_RESOLUTION in exif):
        exif[_X_RESOLUTION], exif[_Y_RESOLUTION] = picture.dpi
        exif[_UNIT] = _INCH
    return exif.tobytes().removeprefix(b"Exif\0\0")


def exif_resolution(data: bytes | None) -> tuple[float, float] | None:
    """The resolution that EXIF tells, per inch."""
    exif = parsed_exif(data) if data else Image.Exif()
    found = resolution((exif.get(_X_RESOLUTION), exif.get(_Y_RESOLUTION)))
    scale = 2.54 if exif.get(_UNIT, _INCH) == _CENTIMETRE else 1.0
    return (found[0] * scale, found[1] * scale) if found else None


def upright_xmp(xmp: Any) -> bytes | None:
    """An XMP packet without a word on orientation; None for what is none."""
    data = xmp.encode("utf-8", "replace") if isinstance(xmp, str) else xmp
    return _XMP_ORIENTATION.sub(b"", data) if isinstance(data, bytes) and data else None


def resolution(pair: Any) -> tuple[float, float] | None:
    """(x, y) as floats; None for what is no resolution: zero, infinite, not a number, not a pair."""
    try:
        x, y = (float(each) for each in pair)
    except (TypeError, ValueError, ZeroDivisionError, ArithmeticError):
        return None
    return (x, y) if all(math.isfinite(each) and 0 < each < MAX_DPI for each in (x, y)) else None


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, C) turned as EXIF's orientation, 1 … 8, asks for."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def upright_dpi(dpi: tuple[float, float] | None, orientation: int) -> tuple[float, float] | None:
    return (dpi[1], dpi[0]) if dpi and orientation in (5, 6, 7, 8) else dpi
