"""How rough a picture is, as channels behind its colours, for the coarser octaves.

Made smaller, a rough hill and smooth water of one colour look alike, and a patch of the one is put on the other. So
patches also compare the picture's mean slopes: of |∂/∂x| and |∂/∂y| of its gray, over what a pixel of the octave
stands for (the texture features of Newson, Almansa, Fradet, Gousseau & Pérez 2014, doi 10.1137/140954933). A root of
them is taken, so that weak texture differs from none as strong from weak, but less so below :data:`NOISE`.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

WEIGHT = 3.0
"""Of a root: by how much it counts as a difference of colour. Heavier, it spoils even textures; lighter, smooth places
still take over (docs/reports/photo.md)."""
NOISE = 0.01
"""A mean slope, in units of colour in a pixel, that may be a camera's noise."""
LIMIT = 1.0
"""What the rougher and rougher approach: as far as colours go, whose estimates the sampler limits to [−1, 1]. So the
colours of hard patterns still count: mean slopes are .1 in photographs, and 1 in the dithered bands of pixel art."""
SPREAD = 0.7
"""Deviation of their blur, in pixels of an octave at which the area is :data:`engine.exemplar.pyramid.COARSEST_DEPTH`
deep, so that a texture's own ups and downs do not count."""
CHANNELS = 2


def features(
    pixels: np.ndarray, known: np.ndarray, wraps: tuple[bool, bool], shape: tuple[int, int], spread: float
) -> np.ndarray:
    """(h, w, 2) float32 of a smaller ``shape``, along y and x; 0 where nothing is known.

    Args:
        pixels: (H, W, C) float32, the colours first.
        known: (H, W) bool.
        wraps: (along y, along x): the picture is periodic.
        spread: deviation in pixels of the smaller picture of a blur over what is known.
    """
    side = max(1, 2 * round((math.sqrt(6 * spread**2 + 1) - 1) / 2) + 1)
    gray = cv2.transform(np.ascontiguousarray(pixels[..., :3]), np.full((1, 3), 1 / 3, np.float32))
    out = np.empty((*shape, CHANNELS), np.float32)
    slopes, told = np.empty_like(gray), np.empty_like(gray)
    for axis in (0, 1):
        here, there = gray.swapaxes(0, axis), known.swapaxes(0, axis)
        across, both = slopes.swapaxes(0, axis), told.swapaxes(0, axis)  # the last line's next is the first
        np.subtract(here[1:], here[:-1], out=across[:-1])
        np.subtract(here[0], here[-1], out=across[-1])
        np.abs(slopes, out=slopes)
        np.logical_and(there[1:], there[:-1], out=both[:-1])
        both[-1] = there[0] & there[-1] & wraps[axis]
        np.multiply(slopes, told, out=slopes)
        sums, share = (_blurred(_smaller(each, shape), side, wraps) for each in (slopes, told))
        mean = sums / np.maximum(share, np.float32(1e-6))
        rough = WEIGHT * (np.sqrt(mean + np.float32(NOISE)) - np.float32(NOISE**0.5))
        out[..., axis] = LIMIT * np.tanh(rough / np.float32(LIMIT))
    return out


def _smaller(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    height, width = shape
    smaller: np.ndarray = cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA)
    return smaller


def _blurred(values: np.ndarray, side: int, wraps: tuple[bool, bool]) -> np.ndarray:
    """By a box of that side, twice."""
    pads = [(side, side) if each else (0, 0) for each in wraps]
    out = np.pad(values, pads, mode="wrap") if any(wraps) else values
    for _ in range(2):
        out = cv2.blur(out, (side, side), borderType=cv2.BORDER_CONSTANT)
    return out[pads[0][0] : pads[0][0] + values.shape[0], pads[1][0] : pads[1][0] + values.shape[1]]
