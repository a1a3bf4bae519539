"""A smooth fill of what is unknown: colours of near known pixels, without any detail."""

from __future__ import annotations

import cv2
import numpy as np

from engine.canvas.channels import in_parts


def smooth_fill(pixels: np.ndarray, known: np.ndarray, cover: np.ndarray | None = None) -> np.ndarray:
    """Known pixels as they are, the others a mean of known ones, of near ones where there are enough.

    Args:
        pixels: (H, W, C) float32.
        known: (H, W) bool, at least one.
        cover: (H, W) float32, by how much each counts, 0 where unknown; all the same if None.
    """
    size = (known.shape[1], known.shape[0])
    weight = known.astype(np.float32) if cover is None else cover
    mean = np.average(pixels[known], 0, None if cover is None else cover[known])
    around = np.broadcast_to(mean, pixels.shape)
    for cell in (64, 16, 4):
        small = (-(-size[0] // cell), -(-size[1] // cell))

        def blurred(values: np.ndarray, small: tuple[int, int] = small) -> np.ndarray:
            there = cv2.resize(values, small, interpolation=cv2.INTER_AREA)
            return cv2.resize(there, size, interpolation=cv2.INTER_LINEAR)

        share, colour = blurred(weight), in_parts(blurred, pixels * weight[..., None])
        trust = np.minimum(1, 5 * share)[..., None]
        around = trust * colour / np.maximum(share, 1e-6)[..., None] + (1 - trust) * around
    return np.where(known[..., None], pixels, around).astype(np.float32)
