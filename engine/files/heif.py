"""HEIC, by pillow-heif: read only, because it is written with loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from engine.canvas import whole
from engine.errors import BadInput
from engine.files import colour, metadata
from engine.files.containers import MAX_PIXELS
from engine.files.picture import Picture


def _opened(path: Path) -> Any:
    try:
        import pillow_heif  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise BadInput(
            "bad_file", f"{path.name} is a HEIC picture; install pillow-heif, or save it as PNG or AVIF first."
        ) from None
    return pillow_heif.open_heif(path, convert_hdr_to_8bit=False)


def look(path: Path) -> tuple[int, int, int]:
    """(height, width, pictures) from the header, upright."""
    file = _opened(path)
    width, height = file.size
    return height, width, len(file)


def read(path: Path, number: int = 0) -> Picture:
    image = _opened(path)[number]
    if image.size[0] * image.size[1] > MAX_PIXELS:
        raise BadInput("too_large", f"{path.name} is too large; crop or scale it first.")
    samples, bits = np.asarray(image), int(image.info["bit_depth"])
    if samples.dtype.kind != "u" or samples.dtype.itemsize > 2:
        raise ValueError(f"pixels of the type {samples.dtype}")
    if bits > 8:  # the library has put them into the high bits
        most = 2**bits - 1
        samples = ((samples >> (16 - bits)).astype(np.uint32) * whole(samples.dtype) + most // 2) // most
        samples = samples.astype(np.uint16)
    pixels = np.ascontiguousarray(samples[..., None] if samples.ndim == 2 else samples)
    icc, told = image.info.get("icc_profile"), image.info.get("nclx_profile")
    if not icc and told:
        icc = colour.of_code_points(told["color_primaries"], told["transfer_characteristics"], pixels.shape[2] < 3)
    exif = image.info.get("exif")  # the library has turned the picture, and says so there
    kept = metadata.exif_bytes(metadata.parsed_exif(exif))[0] if exif else None
    return Picture(
        pixels,
        icc or None,
        metadata.exif_resolution(kept),
        kept,
        metadata.upright_xmp(image.info.get("xmp")),
        associated=bool(getattr(image, "premultiplied_alpha", False)),
        bits=bits if bits in (10, 12) else None,
    )
