"""Masks in files: which pixels are to be repainted, and whether that can be what was meant.

A mask that was made for something else is told from its pixels before anything runs, and the sentence names the option
that helps. Who gives that option has looked, and is not asked again.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from engine.canvas import whole
from engine.errors import BadInput
from engine.files import imagefile
from engine.files.picture import Picture, straight

CHANNELS = ("auto", "luma", "alpha", "red", "green", "blue")
LABELS = 8
"""Values up to it are numbers of things, not shades."""
NEARLY = 32
"""A darkest value from 1 up to it is a background that was to be black, and is in the mask by mistake."""
MOST_SELECTED = 0.9
"""A larger share of the picture is seldom meant to be repainted."""
RINGING = 16
"""JPEG files miss black and white by less than this."""
SHADES, EXTREMES, ROUGH = 64, 0.4, 2.0
"""A photograph has more shades than this, a smaller share of black and white pixels, and neighbours that differ by more
than this on average; a soft brush or a gradient does not."""
COLOURFUL = 0.05
"""Share of pixels with a colour, from which on it is a photograph too."""


def read(
    path: Path, channel: str = "auto", threshold: int | None = None, invert: bool | None = None, page: int = 0
) -> np.ndarray:
    """Read a mask: (H, W) uint8, 255 = repaint, a value between is a soft edge.

    Args:
        channel: one of :data:`CHANNELS`; ``auto`` is luma, transparent pixels black, unless there is a shape in the
            alpha channel alone.
        threshold: everything from this value on, 1 … 255 (65535 in a 16-bit file), is repainted wholly and all else
            is not; without it values are taken as they are.
        invert: black is repainted. None: white is, and a mask that selects nearly everything is refused.
        page: of the picture, from 0: of a mask with several pages the same one counts.

    Raises:
        BadInput: no picture; or hardly what was meant.
    """
    number = imagefile.look(path).pages
    if number > 1 and page >= number:
        raise BadInput("bad_mask", f"{path.name} has {number} pages; save the one that is the mask by itself.")
    pixels = _samples(imagefile.read(path, page if number > 1 else 0))
    name, deep = path.name, pixels.dtype == np.uint16
    if threshold is not None and not 1 <= threshold <= (65535 if deep else 255):
        raise BadInput("bad_mask", f"--mask-threshold must be 1 to {65535 if deep else 255} for {name}.")
    if channel == "auto" and threshold is None:
        _check_no_photograph(pixels, name)
    values = _channel(pixels, channel, name)
    if threshold is not None:
        mask = np.where(values >= threshold, 255, 0).astype(np.uint8)
    else:
        _check_values(values, name)
        mask = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8) if deep else values.astype(np.uint8)
        if _is_jpeg(path):
            mask = _without_ringing(mask)
    if invert:
        mask = 255 - mask
    share = np.count_nonzero(mask) / mask.size
    if invert is None and share > MOST_SELECTED:
        raise BadInput(
            "bad_mask",
            f"{name} selects {share:.0%} of the picture; add --invert-mask if its black part is to be repainted, or "
            "--no-invert-mask if that is right.",
        )
    return mask


def _samples(picture: Picture) -> np.ndarray:
    """(H, W, C) uint8 or uint16 with straight alpha; floats from 0 to 1 become 16 bits, and so do integers of 32 bits
    or with a sign: as they are where they fit, or else by what their largest value can be."""
    pixels = straight(picture.pixels) if picture.associated else picture.pixels
    if picture.is_data:
        pixels = pixels.clip(0)
        fits = int(pixels.max()) <= 65535
        return (pixels if fits else pixels >> 8 * pixels.itemsize - 16).astype(np.uint16)
    if pixels.dtype != np.float32:
        return pixels
    return np.rint(np.clip(np.nan_to_num(pixels), 0, 1) * 65535).astype(np.uint16)


def _channel(pixels: np.ndarray, channel: str, name: str) -> np.ndarray:
    """(H, W) of the file's own type and range."""
    alpha = pixels[..., -1] if pixels.shape[2] in (2, 4) else None
    if channel == "alpha":
        if alpha is None:
            raise BadInput("bad_mask", f"{name} has no alpha channel; leave --mask-channel out.")
        return alpha
    if channel in ("red", "green", "blue"):
        return pixels[..., ("red", "green", "blue").index(channel) if pixels.shape[2] >= 3 else 0]
    luma = _luma(pixels)
    if alpha is not None:
        if channel == "auto" and not luma.any() and alpha.min() < alpha.max():
            return alpha  # a shape drawn in black on nothing
        opaque = whole(pixels.dtype)
        luma = (luma * alpha + opaque // 2) // opaque
    return luma.astype(pixels.dtype)


def _luma(pixels: np.ndarray) -> np.ndarray:
    """(H, W) uint64, of any number of channels."""
    if pixels.shape[2] < 3:
        return pixels[..., 0].astype(np.uint64)
    weighted: np.ndarray = (pixels[..., :3].astype(np.uint64) @ np.array([299, 587, 114], np.uint64) + 500) // 1000
    return weighted


def _check_no_photograph(pixels: np.ndarray, name: str) -> None:
    opaque = whole(pixels.dtype)
    if (pixels.shape[2] >= 3 and _coloured(pixels[..., :3], opaque)) or _rough(_luma(pixels), opaque):
        raise BadInput(
            "bad_mask",
            f"{name} looks like a photograph, not like a mask; give a black picture that is white where it is to be "
            "repainted, or say with --mask-threshold or --mask-channel what counts.",
        )


def _coloured(colour: np.ndarray, opaque: int) -> bool:
    """Whether many pixels have a colour and it is not one flat one, as where a mask was painted in red."""
    spread = colour.max(2) - colour.min(2)
    tinted = colour[spread > opaque // 8]
    return len(tinted) > COLOURFUL * spread.size and len(np.unique(tinted // (opaque // 32), axis=0)) > SHADES


def _rough(luma: np.ndarray, opaque: int) -> bool:
    values = luma.astype(np.int64) * 255 // opaque
    if len(np.unique(values)) <= SHADES or min(values.shape) < 2:
        return False
    extreme = np.mean((values < RINGING) | (values > 255 - RINGING))
    return bool(extreme < EXTREMES and np.abs(np.diff(values)).mean() > ROUGH)


def _check_values(values: np.ndarray, name: str) -> None:
    """Raise BadInput for numbers of things and for a background that is not black."""
    least, most = int(values.min()), int(values.max())
    unit = 257 if values.dtype == np.uint16 else 1
    if 0 < most <= LABELS:
        raise BadInput(
            "bad_mask",
            f"The lightest value in {name} is {most}, which is nearly black; add --mask-threshold 1 if everything but "
            "0 is to be repainted.",
        )
    if least == most or not 0 < least <= NEARLY * unit:
        return
    middle = (least + most + 1) // 2
    raise BadInput(
        "bad_mask",
        f"The background of {name} is not black, its darkest value is {least}, so that everything would be repainted a "
        f"little; add --mask-threshold {middle}.",
    )


def _without_ringing(mask: np.ndarray) -> np.ndarray:
    """Nearly black and nearly white are black and white, and specks that nowhere reach half are gone."""
    mask = np.where(mask < RINGING, 0, np.where(mask > 255 - RINGING, 255, mask)).astype(np.uint8)
    number, labels = cv2.connectedComponents((mask > 0).astype(np.uint8))
    real = np.bincount(labels[mask >= 128], minlength=number) > 0
    return np.where(real[labels], mask, 0).astype(np.uint8)


def _is_jpeg(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"\xff\xd8"
