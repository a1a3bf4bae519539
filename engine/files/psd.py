"""Photoshop documents, by psd-tools: the merged picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from engine.canvas import whole
from engine.errors import BadInput
from engine.files import colour, metadata
from engine.files.picture import Picture

_CHANNELS = {0: 1, 1: 1, 2: 1, 3: 3, 4: 4, 8: 1, 9: 3}
"""Colour channels by mode: bitmap, gray, indexed, RGB, CMYK, duotone, Lab."""
_BITMAP, _INDEXED, _CMYK, _LAB = 0, 2, 4, 9
_RESOLUTION, _EXIF, _XMP, _ICC = 1005, 1058, 1060, 1039
_RAW, _RLE = 0, 1


def look(path: Path) -> tuple[int, int, int]:
    """(height, width, 1) from the header."""
    from psd_tools.psd.header import FileHeader

    with open(path, "rb") as file:
        header = FileHeader.read(file)
    return header.height, header.width, 1


def read(path: Path) -> Picture:
    from psd_tools.psd import PSD

    with open(path, "rb") as file:
        document = PSD.read(file)
    header, resources = document.header, document.image_resources
    mode, number = int(header.color_mode), header.channels
    colours = _CHANNELS.get(mode)
    if colours is None or number < colours or document.image_data.compression not in (_RAW, _RLE):
        raise BadInput("bad_file", f"{path.name} is in a mode without colours; save it as RGB.")
    planes = _planes(document, min(number, colours + 1))
    icc, xmp = _raw(resources, _ICC), _raw(resources, _XMP)
    exif, _ = metadata.exif_bytes(metadata.parsed_exif(_raw(resources, _EXIF) or b""))
    own, palette, notes = planes[..., :colours], None, []
    if mode == _INDEXED:
        table = np.frombuffer(bytes(document.color_mode_data.value)[:768], np.uint8).reshape(3, 256).T
        palette = table[:, None]
        own = palette[own[..., 0], 0]
    elif mode == _BITMAP:
        palette = np.array([[[0]], [[255]]], np.uint8)
    elif mode == _CMYK:
        own = colour.from_cmyk(np.ascontiguousarray(whole(own.dtype) - own), icc)
    elif mode == _LAB:
        unit = 256 if own.dtype == np.uint16 else 1
        lab = own.astype(np.float64)
        lab = np.concatenate([lab[..., :1] * 100 / whole(own.dtype), lab[..., 1:] / unit - 128], axis=2)
        own = colour.from_lab(lab, own.dtype)
    if mode in (_CMYK, _LAB):
        icc = colour.srgb()
        notes.append(f"The picture is {'CMYK' if mode == _CMYK else 'Lab'}; the result is sRGB.")
    if number > colours and _has_transparency(document):
        own = np.concatenate([_without_white(own, planes[..., colours:]), planes[..., colours:]], axis=2)
        palette = None
    elif number > colours:
        notes.append(f"The saved selections in {path.name} are left out.")
    return Picture(own, icc, _dpi(resources), exif, metadata.upright_xmp(xmp), palette, notes=tuple(notes))


def _planes(document: Any, number: int) -> np.ndarray:
    """(H, W, number) of the document's type."""
    header = document.header
    height, width = header.height, header.width
    parts = document.image_data.get_data(header)[:number]
    if header.depth == 1:
        rows = np.frombuffer(parts[0], np.uint8).reshape(height, -1)
        return np.where(np.unpackbits(rows, axis=1)[:, :width] > 0, np.uint8(0), np.uint8(255))[..., None]
    kind = {8: "u1", 16: ">u2", 32: ">f4"}[header.depth]
    planes = [np.frombuffer(part, kind).reshape(height, width) for part in parts]
    return np.stack(planes, 2).astype(np.dtype(kind).newbyteorder("="))


def _raw(resources: Any, key: int) -> bytes | None:
    found = resources.get(key)
    data = getattr(found, "data", None)
    return bytes(data) if isinstance(data, bytes | bytearray) and data else None


def _dpi(resources: Any) -> tuple[float, float] | None:
    found = getattr(resources.get(_RESOLUTION), "data", None)
    pair = [getattr(found, name, 0) for name in ("horizontal", "vertical")]
    return metadata.resolution([value / 65536 for value in pair])


def _has_transparency(document: Any) -> bool:
    """Whether the first channel after the colours is the merged picture's transparency and no saved selection."""
    layers = document.layer_and_mask_information.layer_info
    return layers is not None and layers.layer_count < 0


def _without_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Straight colours of a merged picture, which lies over white."""
    one = whole(colours.dtype)
    share = alpha.astype(np.float64) / one
    over = colours.astype(np.float64) - (1 - share) * one
    made = np.divide(over, share, out=colours.astype(np.float64), where=share > 0)
    return (
        np.clip(np.rint(made), 0, one).astype(colours.dtype) if colours.dtype.kind == "u" else made.astype(np.float32)
    )
