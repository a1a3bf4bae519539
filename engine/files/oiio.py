"""OpenEXR, JPEG XL and deep PPM, by OpenImageIO."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import BadInput
from engine.files import colour, jxl, metadata
from engine.files.containers import MAX_PIXELS
from engine.files.picture import Picture, associate

EFFORT = 3
"""Of JPEG XL, 1 … 9; 7, the usual, takes 50 s for 6 megapixels of 16 bits."""
_MADE = (
    "chromaticities", "compression", "XResolution", "YResolution", "PixelAspectRatio", "ResolutionUnit", "Orientation",
    "name", "type", "version", "chunkCount", "lineOrder", "dataWindow", "displayWindow", "channels", "tiles", "CICP",
)  # fmt: skip
"""What OpenEXR's header says that is told elsewhere or made anew."""
_DTYPES = {"uint8": np.uint8, "uint16": np.uint16, "half": np.float32, "float": np.float32}


@contextmanager
def _opened(path: Path, part: int = 0) -> Iterator[Any]:
    """The reader of the file's suffix and no other, at a part; ValueError for what it refuses."""
    import OpenImageIO

    OpenImageIO.attribute("try_all_readers", 0)
    wanted = OpenImageIO.ImageSpec()
    wanted.attribute("oiio:UnassociatedAlpha", 1)
    reader = OpenImageIO.ImageInput.open(str(path), wanted)
    if reader is None:
        raise ValueError(OpenImageIO.geterror() or "not opened")
    try:
        if part and not reader.seek_subimage(part, 0):
            raise ValueError("no such part")
        yield reader
    finally:
        reader.geterror()
        reader.close()


def look(path: Path) -> tuple[int, int, int]:
    """(height, width, parts) from the header."""
    with _opened(path) as reader:
        spec = reader.spec()
        parts = 1
        if path.suffix == ".exr":
            while parts < 1000 and reader.seek_subimage(parts, 0):
                parts += 1
        return spec.full_height, spec.full_width, parts


def read(path: Path, part: int = 0) -> Picture:
    with _opened(path, part) as reader:
        spec = reader.spec()
        if spec.deep:
            raise BadInput("bad_file", f"{path.name} holds deep pixels; flatten it first.")
        if str(spec.format) not in _DTYPES:
            raise BadInput("bad_file", f"{path.name} has pixels of the type {spec.format}; save it as half or float.")
        if spec.width * spec.height * max(spec.nchannels, 4) > 4 * MAX_PIXELS:
            raise BadInput("too_large", f"{path.name} is too large; crop or scale it first.")
        names = list(spec.channelnames)
        if path.suffix == ".jxl" and len(names) == 2:
            names = ["Y", "A"]
        chosen = _chosen(names, path.name)
        if "A" in names:
            chosen.append(names.index("A"))
        kind = _DTYPES[str(spec.format)]
        samples = reader.read_image(0, 0, 0, spec.nchannels, "float" if kind is np.float32 else str(spec.format))
        if samples is None:
            raise ValueError(reader.geterror())
        lost = [name for number, name in enumerate(names) if number not in chosen]
        found = np.ascontiguousarray(samples.reshape(spec.height, spec.width, -1)[..., chosen])
        notes = [f"Of {path.name} the channels {', '.join(lost[:8])} are left out."] if lost else []
        profile = _profile(spec, path, found.shape[2] < 3)
        if path.suffix == ".exr":
            found, moved = _in_display_window(found, spec)
            notes += moved
        if path.suffix == ".jxl" and profile and _is_plain(found, profile):
            profile = None
        associated = path.suffix == ".exr" and "A" in names
        bits = 16 if str(spec.format) == "half" else None
        picture = Picture(
            found, profile, _dpi(spec), associated=associated, bits=bits, notes=tuple(notes), own=_own(spec, path)
        )
        return jxl.described(picture, path.read_bytes()) if path.suffix == ".jxl" else picture


def _profile(spec: Any, path: Path, is_gray: bool) -> bytes | None:
    """The profile in the file; of floats in OpenEXR and PFM one that says that they are linear, with the primaries."""
    icc, primaries = spec.getattribute("ICCProfile"), spec.getattribute("chromaticities")
    if icc is not None:
        return bytes(bytearray(icc))
    if path.suffix == ".jxl" or _DTYPES[str(spec.format)] is not np.float32:
        return None
    if is_gray:
        return colour.gray(1.0)
    return colour.rgb(1.0, colour.REC709 if primaries is None else tuple(round(float(each), 5) for each in primaries))


def _own(spec: Any, path: Path) -> tuple[str, tuple[Any, ...]] | None:
    """OpenEXR's attributes that say nothing of how the file is made."""
    if path.suffix != ".exr":
        return None
    kept = [
        (each.name, each.type, each.value)
        for each in spec.extra_attribs
        if each.name not in _MADE
        and not each.name.startswith(("oiio:", "openexr:", "ICCProfile"))
        and each.value is not None
    ]
    return ("exr", tuple(kept)) if kept else None


def _is_plain(pixels: np.ndarray, profile: bytes) -> bool:
    """Whether a profile, which a JPEG XL file always yields, says no more than none."""
    return pixels.dtype != np.float32 and colour.is_srgb(profile)


def _chosen(names: list[str], name: str) -> list[int]:
    """Places of the colour channels: RGB, or one of gray."""
    if {"R", "G", "B"} <= set(names):
        return [names.index(each) for each in "RGB"]
    gray = [number for number, each in enumerate(names) if each != "A"]
    if "Y" in names:
        gray = [names.index("Y")]
    if len(gray) != 1 or {"RY", "BY"} & set(names):
        raise BadInput("bad_file", f"{name} has no channels R, G, B; save one of its layers by itself.")
    return gray


def _dpi(spec: Any) -> tuple[float, float] | None:
    x = spec.get_float_attribute("XResolution", 0)
    scale = 2.54 if spec.get_string_attribute("ResolutionUnit") == "cm" else 1
    return metadata.resolution((x * scale, spec.get_float_attribute("YResolution", x) * scale))


def _in_display_window(pixels: np.ndarray, spec: Any) -> tuple[np.ndarray, list[str]]:
    """The picture that is shown: what the data window has of it, zero elsewhere."""
    x, y = spec.x - spec.full_x, spec.y - spec.full_y
    height, width = pixels.shape[:2]
    if (x, y, width, height) == (0, 0, spec.full_width, spec.full_height):
        return pixels, []
    shown = np.zeros((spec.full_height, spec.full_width, pixels.shape[2]), pixels.dtype)
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + height, spec.full_height), min(x + width, spec.full_width)
    if bottom > top and right > left:
        shown[top:bottom, left:right] = pixels[top - y : bottom - y, left - x : right - x]
    return shown, ["The picture's data window differs from its display window; the result has only the display window."]


def write(path: Path, suffix: str, picture: Picture) -> None:
    """Write JPEG XL, without loss, or OpenEXR; what :mod:`engine.files.containers` lets through."""
    if suffix == ".jxl" and _as_imagecodecs_describes(picture):
        import imagecodecs

        pixels = picture.pixels[..., 0] if picture.pixels.shape[2] == 1 else picture.pixels
        if picture.bits == 16:
            pixels = pixels.astype(np.float16)
        data = imagecodecs.jpegxl_encode(np.ascontiguousarray(pixels), lossless=True, effort=EFFORT)
        path.write_bytes(jxl.with_boxes(bytes(data), picture))
        return
    import OpenImageIO

    if suffix == ".jxl" and picture.pixels.dtype == np.uint16 and picture.pixels.shape[2] == 2:
        picture = replace(picture, pixels=picture.rgba())  # it has no gray with alpha
    height, width, channels = picture.pixels.shape
    kind = {np.uint8: "uint8", np.uint16: "uint16", np.float32: "float"}[picture.pixels.dtype.type]
    kind = "half" if kind == "float" and picture.bits == 16 else kind
    spec = OpenImageIO.ImageSpec(width, height, channels, kind)
    pixels = picture.pixels
    if suffix == ".exr":
        spec.channelnames = {1: ("Y",), 2: ("Y", "A"), 3: tuple("RGB"), 4: tuple("RGBA")}[channels]
        spec.attribute("compression", "zip")
        if picture.has_alpha and not picture.associated:
            pixels = associate(pixels)
        if picture.icc_profile and colour.space(picture.icc_profile) == "rgb":
            described = colour.chromaticities(picture.icc_profile)
            spec.attribute("chromaticities", OpenImageIO.TypeDesc("float[8]"), described)
        if picture.dpi:
            spec.attribute("XResolution", picture.dpi[0])
            spec.attribute("PixelAspectRatio", picture.dpi[1] / picture.dpi[0])  # OpenEXR has one density and this
            spec.attribute("ResolutionUnit", "in")
    else:
        if channels > 2:  # gray is sRGB's by itself
            icc = np.frombuffer(picture.icc_profile or colour.srgb(), np.uint8)
            spec.attribute("ICCProfile", OpenImageIO.TypeDesc(f"uint8[{len(icc)}]"), icc)
        spec.attribute("compression", "jpegxl")
        spec.attribute("jpegxl:distance", 0.0)
        spec.attribute("jpegxl:effort", EFFORT)
        spec.attribute("oiio:UnassociatedAlpha", 1)
    if picture.has_alpha:
        spec.alpha_channel = channels - 1
    for name, sort, held in picture.own[1] if suffix == ".exr" and picture.own and picture.own[0] == "exr" else ():
        spec.attribute(name, sort, held)
    writer = OpenImageIO.ImageOutput.create(str(path))
    if writer is None or not writer.open(str(path), spec):
        raise OSError(OpenImageIO.geterror() or "not opened")
    sample = np.float16 if kind == "half" else picture.pixels.dtype
    done = writer.write_image(np.ascontiguousarray(pixels.astype(sample)))
    said = writer.geterror()
    if not writer.close() or not done:
        raise OSError(said or "not written")
    if suffix == ".jxl":
        path.write_bytes(jxl.with_boxes(path.read_bytes(), picture))


def _as_imagecodecs_describes(picture: Picture) -> bool:
    """Whether a JPEG XL file by imagecodecs says the truth: there 8 bits are sRGB's, all else is linear light."""
    if picture.pixels.dtype == np.float32:
        return colour.in_plain_linear_light(picture)
    is_gray, profile = picture.pixels.shape[2] < 3, picture.icc_profile
    if picture.pixels.dtype == np.uint16:
        return is_gray and profile is not None and colour.is_linear(profile)
    return is_gray or profile is None
