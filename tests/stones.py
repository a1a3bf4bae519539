"""Stones as a texture artist has them: colour, normals and height, for pictures of maps in the editors."""

from __future__ import annotations

import cv2
import numpy as np

SIDE = 320


def stones(side: int = SIDE, count: int = 70, seed: int = 3) -> dict[str, np.ndarray]:
    """ "colour" and "normal", (side, side, 3) uint8 R, G, B, and "height", (side, side) uint16."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(-20, side + 20, (count, 2))
    shades = rng.uniform(0.55, 1.0, count)[:, None] * np.array([[168, 152, 134]]) + rng.uniform(-7, 7, (count, 3))
    y, x = np.mgrid[:side, :side]
    bent = [axis + 5 * cv2.GaussianBlur(rng.normal(size=(side, side)), (0, 0), 9) * 18 for axis in (x, y)]
    distances = np.hypot(bent[0][..., None] - places[:, 0], bent[1][..., None] - places[:, 1])
    order = np.argsort(distances, axis=2)[..., :2]
    near, next_one = np.take_along_axis(distances, order, 2).transpose(2, 0, 1)
    relief = np.clip((next_one - near) / 14, 0, 1) ** 0.5
    grain = cv2.GaussianBlur(rng.normal(size=(side, side)), (0, 0), 1.2)
    height = np.clip(0.12 + 0.75 * cv2.GaussianBlur(relief, (0, 0), 1.5) + 0.05 * grain, 0, 1)
    slope_y, slope_x = np.gradient(12 * height)
    normal = np.stack([-slope_x, slope_y, np.ones_like(height)], axis=2)
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    light = np.clip(normal @ np.array([-0.5, 0.5, 0.7]), 0.1, 1)
    colour = shades[order[..., 0]] * (0.35 + 0.65 * relief)[..., None] * (0.55 + 0.5 * light)[..., None]
    return {
        "colour": np.clip(colour + 4 * grain[..., None], 0, 255).astype(np.uint8),
        "normal": np.round(127.5 + 127.5 * normal).astype(np.uint8),
        "height": np.round(65535 * height).astype(np.uint16),
    }


def in_krita() -> dict[str, bytes]:
    """The same as Krita keeps pixels: B, G, R, A, and of the height gray and alpha of 16 bits."""
    found = {}
    for name, pixels in stones().items():
        colours = pixels[..., ::-1] if pixels.ndim == 3 else pixels[..., None]
        alpha = np.full_like(colours[..., :1], np.iinfo(pixels.dtype).max)
        found[name] = np.concatenate([colours, alpha], axis=2).tobytes()
    return found
