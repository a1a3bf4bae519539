"""Made-up pictures and selections of the tests of the exemplar model."""

from __future__ import annotations

import numpy as np


def stripes(height: int, width: int, period: int = 12) -> np.ndarray:
    """(H, W, 4) uint8: slanted stripes of two colours with soft edges, which repeat along both axes."""
    y, x = np.mgrid[:height, :width]
    share = 0.5 + 0.5 * np.sin(2 * np.pi * (x + y) / period)
    colours = np.array([30, 60, 90]) + share[..., None] * np.array([180, 120, 40])
    return np.dstack([np.rint(colours), np.full((height, width), 255)]).astype(np.uint8)


def boxed(shape: tuple[int, int], top: int, left: int, height: int, width: int) -> np.ndarray:
    """(H, W) uint8, 255 in a box."""
    selection = np.zeros(shape, np.uint8)
    selection[top : top + height, left : left + width] = 255
    return selection
