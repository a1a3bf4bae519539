"""Which offsets a picture repeats itself at.

In most photographs the nearest patches of known patches lie at a few offsets: along an edge or a horizon, from plank to
plank, from arch to arch. What is to be painted very likely goes on at the same ones (He & Sun 2012, Statistics of Patch
Offsets for Image Completion, doi 10.1007/978-3-642-33709-3_2).
"""

from __future__ import annotations

import cv2
import numpy as np
import torch

NEAREST = 3.0
"""Pixels; what lies nearer is like a patch because it is nearly the same."""
QUERIES = 1500
"""Known patches whose nearest ones are looked for, at most, evenly spread."""
BLUR = 1.0
"""Deviation in pixels: neighbouring offsets stand for each other."""
MOST = 3.0
"""Cut of the logarithm: about twenty times as common as by chance."""
PART = 512
"""Queries at a time; bounds the memory."""


def commonness(
    stock: torch.Tensor,
    rows: np.ndarray,
    columns: np.ndarray,
    shape: tuple[int, int],
    periods: np.ndarray,
) -> np.ndarray:
    """(2H + 1, 2W + 1) float32 in [0, :data:`MOST`]: log(1 + how many times as common as by chance) of each offset.

    The offset (down, right) is at [H + down, W + right], short ways round where the picture is periodic.

    Args:
        stock: (S, D), the known patches.
        rows, columns: (S,), where they begin.
        shape: (H, W) of the picture.
        periods: (2,), height and width of a periodic picture, 0 along an axis where it is not.
    """
    height, width = shape
    squares = stock.square().sum(1)
    count = np.zeros((2 * height + 1, 2 * width + 1), np.float32)
    queries = np.linspace(0, len(stock) - 1, min(len(stock), QUERIES)).astype(int)
    for begin in range(0, len(queries), PART):
        part = queries[begin : begin + PART]
        difference = squares - 2 * stock[torch.from_numpy(part)] @ stock.T
        down = short(rows[None] - rows[part, None], int(periods[0]))
        right = short(columns[None] - columns[part, None], int(periods[1]))
        difference[torch.from_numpy(down**2 + right**2 < NEAREST**2)] = torch.inf
        best = difference.argmin(1).numpy()
        each = np.arange(len(part))
        for sign in (1, -1):  # what a patch repeats is repeated by it
            np.add.at(count, (height + sign * down[each, best], width + sign * right[each, best]), 1)
    smooth = cv2.GaussianBlur(count, (0, 0), BLUR)
    common: np.ndarray = np.log1p(smooth * (height * width / smooth.sum())).clip(max=MOST)
    return common


def short(offsets: np.ndarray, period: int) -> np.ndarray:
    """Offsets by the short way round, unless the period is 0."""
    return (offsets + period // 2) % period - period // 2 if period else offsets
