"""What an estimate misses on known pixels beside it, gone on with smoothly: as in seamless cloning (Pérez, Gangnet &
Blake 2003, doi 10.1145/882262.882269), but only near the border."""

from __future__ import annotations

import math

import cv2
import numpy as np

from engine.canvas import in_parts

FIT_SIGMA, FIT_GAIN, FIT_MOST = 2.0, 6.0, 0.2
"""What the estimate misses on the known pixels around the area is added to it, fading out by a Gaussian of that
deviation in pixels, whole where 1/gain of it lies on known pixels; misses are cut to the last number."""
REACH = math.ceil(3 * FIT_SIGMA)
"""Pixels, along each axis, beyond which nothing is added."""


def misses(known: np.ndarray, voted: np.ndarray) -> np.ndarray:
    """(N, C + 1): by how much votes (N, C) miss what is known there, cut, and 1.

    Each colour is cut for itself. Where there are maps, all channels of a pixel are cut alike, so that a map that is a
    function of the colour stays one.
    """
    out = np.ones((len(known), known.shape[1] + 1), np.float32)
    apart = known - voted
    if apart.shape[1] > 3:
        out[:, :-1] = apart * np.minimum(1, FIT_MOST / np.maximum(np.abs(apart).max(1, keepdims=True), 1e-9))
    else:
        out[:, :-1] = apart.clip(-FIT_MOST, FIT_MOST)
    return out


def gone_on(
    misses: np.ndarray,
    beside: tuple[np.ndarray, np.ndarray],
    near: tuple[np.ndarray, np.ndarray],
    shape: tuple[int, int],
    wraps: tuple[bool, bool],
) -> np.ndarray:
    """(N', C): what to add.

    Args:
        misses: (N, C + 1) at the rows and columns ``beside``.
        near: rows and columns of (N',) pixels.
        shape, wraps: of the sheet that these are of.
    """
    difference = np.zeros((*shape, misses.shape[1]), np.float32)
    difference[beside] = misses
    pads = [(REACH, REACH) if each else (0, 0) for each in wraps]
    if any(wraps):
        difference = np.pad(difference, [*pads, (0, 0)], mode="wrap")

    def blurred(part: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(part, (2 * REACH + 1,) * 2, FIT_SIGMA, borderType=cv2.BORDER_CONSTANT)

    smooth = blurred(difference) if misses.shape[1] == 4 else in_parts(blurred, difference)
    at = smooth[near[0] + pads[0][0], near[1] + pads[1][0]]
    share = at[:, -1:]
    out: np.ndarray = at[:, :-1] / np.maximum(share, 1e-4) * np.minimum(1, FIT_GAIN * share)
    return out
