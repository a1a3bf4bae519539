"""A picture in memory, as its file holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.canvas import whole


@dataclass(frozen=True)
class Picture:
    """A picture as its file holds it, turned upright.

    Attributes:
        pixels: (H, W, C) uint8, uint16 or float32; C = 1 gray, 2 gray + alpha, 3 RGB, 4 RGBA. Integers span 0 … max;
            floats are as in the file, also above 1 and below 0. Of a TIFF file also uint32, int16 and int32: data, not
            colours, which the engine sees as floats, 1 for max.
        icc_profile: the colour profile of these pixels, or None.
        dpi: (x, y) resolution in pixels per inch, finite and positive, or None.
        exif: EXIF as TIFF structure, upright and without a thumbnail, or None.
        xmp: XMP packet, or None.
        palette: (N, 1, 3 or 4) uint8, the colours of an indexed or 1-bit file, of as many channels as ``pixels``.
        associated: the colour channels are multiplied by alpha.
        bits: significant bits of a sample where the type has more: 10 or 12 of uint16, 16 of float32.
        notes: sentences on what of the file is not here.
        duration: milliseconds of a frame of an animation, or None.
        loop: how often an animation is shown, 0 without end; None where its file does not say.
        own: what only its kind of file has and which goes on into one of the same kind: its name, ``tiff`` or ``exr``,
            and the tags or attributes.
    """

    pixels: np.ndarray
    icc_profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    palette: np.ndarray | None = None
    associated: bool = False
    bits: int | None = None
    notes: tuple[str, ...] = ()
    duration: float | None = None
    loop: int | None = None
    own: tuple[str, tuple[Any, ...]] | None = None

    @property
    def has_alpha(self) -> bool:
        return self.pixels.shape[2] in (2, 4)

    @property
    def is_data(self) -> bool:
        """Whether its samples are integers of 32 bits or with a sign."""
        return self.pixels.dtype.name in ("uint32", "int16", "int32")

    @property
    def seen(self) -> np.dtype:
        """The type of the samples that the engine sees."""
        return np.dtype(np.float32) if self.is_data else self.pixels.dtype

    @property
    def is_bilevel(self) -> bool:
        """Whether it comes from a file of black and white, 1 bit a pixel."""
        return self.palette is not None and self.palette.ravel().tolist() == [0, 255] and self.palette.shape[2] == 1

    def rgba(self) -> np.ndarray:
        """What the engine sees: (H, W, 4) of the type :attr:`seen`, straight alpha."""
        pixels = straight(self.pixels) if self.associated else self.pixels
        if self.is_data:
            pixels = (pixels / whole(pixels.dtype)).astype(np.float32)
        alpha = (
            pixels[..., -1:] if self.has_alpha else np.full((*pixels.shape[:2], 1), whole(pixels.dtype), pixels.dtype)
        )
        colour = pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2)
        return np.concatenate([colour, alpha], axis=2)

    def rgba8(self) -> np.ndarray:
        """(H, W, 4) uint8, straight alpha; floats clipped."""
        rgba = self.rgba()
        if rgba.dtype == np.uint16:
            return ((rgba.astype(np.uint32) + 128) // 257).astype(np.uint8)
        return np.rint(np.clip(np.nan_to_num(rgba), 0, 1) * 255).astype(np.uint8) if rgba.dtype != np.uint8 else rgba


def straight(pixels: np.ndarray) -> np.ndarray:
    """Pixels with alpha last, divided by it; where it is 0 the colour stays as it is."""
    alpha = pixels[..., -1:].astype(np.float64)
    colour = pixels[..., :-1].astype(np.float64)
    np.divide(colour, alpha / whole(pixels.dtype), out=colour, where=alpha > 0)
    return _joined(colour, pixels)


def associate(pixels: np.ndarray) -> np.ndarray:
    """Pixels with alpha last, multiplied by it; where it is 0 the colour stays as it is: the way back of
    :func:`straight`, exact for integers whose colour is at most alpha."""
    alpha = pixels[..., -1:].astype(np.float64)
    colour = pixels[..., :-1].astype(np.float64)
    np.multiply(colour, alpha / whole(pixels.dtype), out=colour, where=alpha > 0)
    return _joined(colour, pixels)


def _joined(colour: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype.kind == "u":
        colour = np.clip(np.rint(colour), 0, whole(pixels.dtype))
    return np.concatenate([colour.astype(pixels.dtype), pixels[..., -1:]], axis=2)


def indexes(picture: Picture) -> np.ndarray | None:
    """(H, W) uint8 into the picture's palette; None without one, or where a pixel has another colour."""
    palette = picture.palette
    if palette is None or not len(palette) or palette.shape[2] != picture.pixels.shape[2]:
        return None
    wanted = codes(picture.pixels)
    order = np.argsort(codes(palette)[:, 0], kind="stable")
    known = codes(palette)[order, 0]
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return order[at].astype(np.uint8) if (known[at] == wanted).all() else None


def codes(pixels: np.ndarray) -> np.ndarray:
    """Colours of (H, W, C) uint8 as numbers."""
    factors = 256 ** np.arange(pixels.shape[2], dtype=np.uint32)
    return (pixels.astype(np.uint32) * factors).sum(2, dtype=np.uint32)


def colours_of(picture: Picture, most: int) -> np.ndarray | None:
    """(N, 1, C), the colours of an indexed picture or those that occur, where they are at most so many."""
    if picture.pixels.dtype != np.uint8:
        return None
    if picture.palette is not None:
        return picture.palette if len(picture.palette) <= most else None
    every = codes(picture.pixels).reshape(-1)
    found = np.unique(every[:: max(1, len(every) // 4096)])
    if len(found) <= most:
        found = np.union1d(found, every[~np.isin(every, found)])
    if len(found) > most:
        return None
    channels = picture.pixels.shape[2]
    return (found[:, None] >> (8 * np.arange(channels, dtype=np.uint32))).astype(np.uint8)[:, None]


def nearest(pixels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """(H, W, C) uint8 with each pixel the nearest of (N, 1, C) colours."""
    found, which = np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0, return_inverse=True)
    known = colours[:, 0].astype(np.int32)
    best = np.empty(len(found), np.intp)
    for start in range(0, len(found), 4096):
        part = found[start : start + 4096].astype(np.int32)
        best[start : start + 4096] = ((part[:, None] - known) ** 2).sum(2).argmin(1)
    return colours[best, 0][which.reshape(-1)].reshape(pixels.shape)
