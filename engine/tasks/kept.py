"""What a state file keeps of a picture file, beside its pixels."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from engine.files import Picture

_TEXTS = {"icc_profile": "icc", "exif": "exif", "xmp": "xmp"}


def extra(picture: Picture) -> dict[str, Any]:
    """What a state file keeps of a picture file, beside its pixels."""
    kept: dict[str, Any] = {"dpi": picture.dpi, "associated": picture.associated, "bits": picture.bits}
    for field, name in _TEXTS.items():
        data = getattr(picture, field)
        kept[name] = base64.b64encode(data).decode() if data else None
    if picture.palette is not None:
        kept["palette"] = picture.palette[:, 0].tolist()
    return kept


def picture(extra: dict[str, Any], pixels: np.ndarray) -> Picture:
    """The picture file again; what is damaged of it counts as absent."""
    from engine.files import colour, metadata

    fields: dict[str, Any] = {"dpi": metadata.resolution(extra.get("dpi"))}
    for field, name in _TEXTS.items():
        try:
            fields[field] = base64.b64decode(extra[name], validate=True)
        except (KeyError, TypeError, ValueError):
            fields[field] = None
    space = "rgb" if pixels.shape[2] >= 3 else "gray"
    if fields["icc_profile"] and colour.space(fields["icc_profile"]) != space:
        fields["icc_profile"] = None
    if fields["exif"]:
        fields["exif"], _ = metadata.exif_bytes(metadata.parsed_exif(fields["exif"]))
    try:
        palette = np.array(extra["palette"], np.uint8)[:, None]
        fields["palette"] = palette if palette.shape[1:] == (1, pixels.shape[2]) else None
    except (KeyError, TypeError, ValueError, OverflowError, IndexError):
        fields["palette"] = None
    fields["associated"] = extra.get("associated") is True and pixels.shape[2] in (2, 4)
    fields["bits"] = extra.get("bits") if extra.get("bits") in (10, 12, 16) else None
    return Picture(pixels, **fields)
