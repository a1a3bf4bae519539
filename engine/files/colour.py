"""Colour profiles: what a profile describes, and conversion by littleCMS at every depth."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from engine.canvas import whole
from engine.errors import BadInput
from engine.files.picture import Picture, straight

_SPACES = {b"RGB ": "rgb", b"GRAY": "gray", b"CMYK": "cmyk", b"Lab ": "lab"}
_CHANNELS = {"rgb": 3, "gray": 1, "cmyk": 4, "lab": 3}
LINEAR = 0.01
"""How far the middle of a linear profile's curve may be from the middle."""
SAME = 0.004
"""Profiles are alike where their colours are so close, of 1; one level of 8 bits is 0.0039."""
FEW = 1 << 16
"""Samples for which a table made beforehand does not pay."""
D50 = (0.9642, 1.0, 0.8249)
REC709 = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329)
REC2020 = (0.708, 0.292, 0.17, 0.797, 0.131, 0.046, 0.3127, 0.329)
P3 = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329)
"""x, y of red, green, blue and white; those of Rec. 709 are sRGB's, too."""


def srgb() -> bytes:
    """The profile of sRGB."""
    import imagecodecs

    return bytes(imagecodecs.cms_profile("srgb"))


@lru_cache
def gray(gamma: float | None = None) -> bytes:
    """A profile for gray; without a gamma with sRGB's curve."""
    import imagecodecs

    return bytes(imagecodecs.cms_profile("gray", **_curve(gamma)))


@lru_cache
def rgb(gamma: float | None, primaries: tuple[float, ...] = REC709) -> bytes:
    """An RGB profile; without a gamma with sRGB's curve. ``primaries``: x, y of red, green, blue and white."""
    import imagecodecs

    red, green, blue, white = ((*primaries[i : i + 2], 1.0) for i in range(0, 8, 2))
    return bytes(imagecodecs.cms_profile("rgb", whitepoint=white, primaries=(*red, *green, *blue), **_curve(gamma)))


def _curve(gamma: float | None) -> dict[str, Any]:
    if gamma is not None:
        return {"gamma": gamma}
    ramp = np.linspace(0, 1, 4096)
    light = np.where(ramp <= 0.04045, ramp / 12.92, ((ramp + 0.055) / 1.055) ** 2.4)
    return {"transferfunction": np.rint(light * 65535).astype(np.uint16)}


def of_code_points(primaries: int, transfer: int, is_gray: bool) -> bytes | None:
    """A profile for code points of ITU-T H.273, as PNG and AVIF hold them; None for sRGB's and for unknown ones.

    Raises:
        BadInput: light beyond white, PQ or HLG.
    """
    if transfer in (16, 18):
        raise BadInput("bad_file", "Pictures in HDR light (PQ or HLG) are not read; save it as OpenEXR or 32-bit TIFF.")
    gamma = {4: 2.2, 5: 2.8, 8: 1.0}.get(transfer)
    places = {9: REC2020, 12: P3}.get(primaries, REC709)
    if gamma is None and (places == REC709 or is_gray):
        return None
    return gray(gamma) if is_gray else rgb(gamma, places)


@lru_cache
def space(profile: bytes) -> str | None:
    """``rgb``, ``gray``, ``cmyk`` or ``lab``; None for a profile that littleCMS cannot use or of another space."""
    kind = _SPACES.get(profile[16:20])
    if kind is None:
        return None
    try:
        convert(np.full((1, 1, _CHANNELS[kind]), 128, np.uint8), profile, srgb())
    except Exception:  # damaged profiles come as many kinds of exception
        return None
    return kind


def convert(pixels: np.ndarray, profile: bytes, into: bytes) -> np.ndarray:
    """Convert the colours of (H, W, C) uint8, uint16 or float32, without alpha, into another profile, relative
    colorimetric; floats of matrix profiles without bounds.

    Returns:
        (H, W, C') of the same type, except for CMYK and Lab in floats.

    Raises:
        ValueError, RuntimeError: not a profile, or not of that many channels.
    """
    import imagecodecs

    kinds = [_SPACES.get(each[16:20], "") for each in (profile, into)]
    if _CHANNELS.get(kinds[0]) != pixels.shape[2]:
        raise ValueError(f"{pixels.shape[2]} channels are not of a profile for {kinds[0]}")
    source = np.ascontiguousarray(pixels[..., 0] if kinds[0] == "gray" else pixels)
    flags = imagecodecs.CMS.FLAGS.BLACKPOINTCOMPENSATION | imagecodecs.CMS.FLAGS.NOCACHE
    if pixels.size < FEW:
        flags |= imagecodecs.CMS.FLAGS.NOOPTIMIZE
    done = imagecodecs.cms_transform(
        source,
        profile,
        into,
        colorspace=kinds[0],
        outcolorspace=kinds[1],
        outdtype=pixels.dtype,
        intent=imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC,
        flags=flags,
    )
    return np.asarray(done).reshape(*pixels.shape[:2], _CHANNELS[kinds[1]])


@lru_cache
def is_linear(profile: bytes) -> bool:
    """Whether the values of a gray or RGB profile are proportional to light."""
    kind = space(profile)
    if kind not in ("rgb", "gray"):
        return False
    ramp = np.repeat(np.array([0.0, 0.5, 1.0], np.float32)[None, :, None], _CHANNELS[kind], axis=2)
    dark, middle, light = convert(ramp, profile, rgb(1.0)).mean(2)[0]
    return bool(abs((middle - dark) / (light - dark) - 0.5) < LINEAR)


def in_linear_light(picture: Picture) -> bool:
    """Whether a picture's values are proportional to light: by its profile; without one floats are."""
    return is_linear(picture.icc_profile) if picture.icc_profile else picture.pixels.dtype == np.float32


def in_plain_linear_light(picture: Picture) -> bool:
    """Whether they are, with sRGB's primaries where the picture has colours."""
    if not in_linear_light(picture):
        return False
    if picture.icc_profile is None or picture.pixels.shape[2] < 3:
        return True
    try:
        return bool(np.allclose(chromaticities(picture.icc_profile), REC709, atol=0.002))
    except ValueError:
        return False


@lru_cache
def is_srgb(profile: bytes) -> bool:
    """Whether a profile gives the colours of sRGB (of gray: its curve), so that nothing is lost without it."""
    kind = space(profile)
    if kind not in ("rgb", "gray"):
        return False
    steps = np.linspace(0, 1, 9, dtype=np.float32)
    cube = np.stack(np.meshgrid(*[steps] * _CHANNELS[kind], indexing="ij"), axis=-1).reshape(1, -1, _CHANNELS[kind])
    return bool(np.abs(convert(cube, profile, srgb()) - cube).max() < SAME)


def chromaticities(profile: bytes) -> tuple[float, ...]:
    """x, y of an RGB profile's red, green, blue and white, not adapted.

    Raises:
        ValueError: it has no primaries.
    """
    found = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile
    adapted = [each and each[0] for each in (found.red_primary, found.green_primary, found.blue_primary)]
    if None in adapted:
        raise ValueError("a profile without primaries")
    matrix = found.chromatic_adaptation
    back = np.linalg.inv(np.array(matrix[0] if matrix else np.eye(3)))
    values: list[float] = []
    for xyz in [*adapted, D50]:
        x, y, z = back @ np.array(xyz)
        values += [x / (x + y + z), y / (x + y + z)]
    return tuple(float(value) for value in values)


def as_srgb(picture: Picture) -> Picture:
    """A picture converted to sRGB: its pixels and its palette; without a profile floats are taken as linear."""
    is_gray = picture.pixels.shape[2] < 3
    profile = picture.icc_profile
    if profile is None and picture.pixels.dtype == np.float32:
        profile = gray(1.0) if is_gray else rgb(1.0)
    if profile is None:
        return picture
    if picture.is_data:
        sentence = "Integers of 32 bits or with a sign are data and cannot be converted; leave --profile srgb out."
        raise BadInput("bad_profile", sentence)
    into, channels = (gray(), 1) if is_gray else (srgb(), 3)

    def converted(pixels: np.ndarray) -> np.ndarray:
        return np.concatenate([convert(pixels[..., :channels], profile, into), pixels[..., channels:]], axis=2)

    pixels = straight(picture.pixels) if picture.associated else picture.pixels
    palette = None if picture.palette is None else converted(picture.palette)
    return replace(picture, pixels=converted(pixels), icc_profile=into, palette=palette, associated=False)


def for_screen(picture: Picture) -> Picture:
    """A picture as 8 bits to look at: floats as sRGB, cut to 0 … 1."""
    if picture.pixels.dtype == np.float32:
        picture = as_srgb(picture)
    shown = replace(picture, pixels=picture.rgba8(), bits=None)
    return shown if picture.icc_profile and space(picture.icc_profile) == "rgb" else replace(shown, icc_profile=None)


def from_cmyk(pixels: np.ndarray, profile: bytes | None) -> np.ndarray:
    """(H, W, 4) uint8 or uint16, 0 = no ink, as sRGB of the same type; without a profile as plain ink."""
    if profile is not None and space(profile) == "cmyk":
        return convert(pixels, profile, srgb())
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(pixels, "CMYK").convert("RGB"))
    ink = pixels.astype(np.float64) / whole(pixels.dtype)
    return np.rint((1 - ink[..., :3]) * (1 - ink[..., 3:]) * whole(pixels.dtype)).astype(pixels.dtype)


def from_lab(lab: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """(H, W, 3) float64, L 0 … 100 and a, b −128 … 127 of D50, as sRGB uint8 or uint16."""
    import imagecodecs

    done = imagecodecs.cms_transform(
        np.ascontiguousarray(lab, np.float64),
        imagecodecs.cms_profile("lab4"),
        srgb(),
        colorspace="lab",
        outcolorspace="rgb",
        outdtype=dtype,
        intent=imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC,
    )
    return np.asarray(done)
