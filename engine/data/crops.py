"""Training crops: random places, scales, turns and colours of the pictures, a function of (seed, step) only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from engine.data.build import load_rgb
from engine.data.manifest import Manifest, Picture

SHARES = {"texture": 0.45, "photograph": 0.25, "procedural": 0.3}
"""How often each kind is drawn; kinds that are absent leave their share to the others."""


class Crops:
    """Pictures in memory (uint8, a few GiB at most) and how to draw batches from them.

    Args:
        pictures: which pictures of ``folder`` to draw from.
        seed: batches are a function of this seed and the step, nothing else.
    """

    def __init__(self, folder: Path, pictures: Sequence[Picture], seed: int = 0) -> None:
        if not pictures:
            raise ValueError("there are no pictures to draw crops from")
        self.seed = seed
        self._pixels = [load_rgb(folder / picture.file) for picture in pictures]
        self._kinds = [picture.kind for picture in pictures]
        weights = np.array([SHARES.get(kind, 0.1) / self._kinds.count(kind) for kind in self._kinds])
        self._cumulative = np.cumsum(weights / weights.sum())

    @classmethod
    def of(cls, manifest: Manifest, *, held_out: bool, seed: int = 0) -> Crops:
        """Crops of a corpus's training part or of its held-out part."""
        return cls(manifest.folder, manifest.held_out() if held_out else manifest.training(), seed)

    def batch(self, step: int, count: int, size: int) -> np.ndarray:
        """``count`` crops for ``step``.

        Returns:
            float32 (count, 3, size, size) in [−1, 1].
        """
        rng = np.random.default_rng([self.seed, step, size])
        out = np.empty((count, size, size, 3), np.float32)
        for row in range(count):
            index = min(int(np.searchsorted(self._cumulative, rng.random(), side="right")), len(self._pixels) - 1)
            out[row] = augment(crop(self._pixels[index], size, rng), self._kinds[index], rng)
        return np.ascontiguousarray(out.transpose(0, 3, 1, 2))


def crop(pixels: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """A random square at a random scale.

    The square's side is ``size`` times a factor log-uniform in [1, 4] (as far as the picture allows; a picture
    smaller than ``size`` is mirrored at its borders), then reduced by area averaging.

    Args:
        pixels: uint8 (H, W, 3).

    Returns:
        uint8 (size, size, 3).
    """
    short = min(pixels.shape[:2])
    if short < size:
        grow = [(0, max(0, size - pixels.shape[0])), (0, max(0, size - pixels.shape[1])), (0, 0)]
        pixels, short = np.pad(pixels, grow, mode="symmetric"), size
    factor = float(np.exp(rng.uniform(0, np.log(min(4.0, short / size)))))
    side = min(short, round(size * factor))
    top, left = (int(rng.integers(0, extent - side + 1)) for extent in pixels.shape[:2])
    window = pixels[top : top + side, left : left + side]
    return window if side == size else cv2.resize(window, (size, size), interpolation=cv2.INTER_AREA)


def augment(window: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Mirror, turn by quarters (photographs keep their upright way half of the time), vary colour.

    Returns:
        float32 (size, size, 3) in [−1, 1].
    """
    if rng.random() < 0.5:
        window = window[:, ::-1]
    if kind != "photograph" or rng.random() < 0.5:
        window = np.rot90(window, int(rng.integers(4)))
    colour = window.astype(np.float32) / 255.0
    if rng.random() < 0.3:
        colour = colour[..., rng.permutation(3)]
    if rng.random() < 0.1:
        colour = colour.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    mean = colour.mean()
    if mean < 0.25 and rng.random() < 0.7:  # game textures are dark: they are lit by the game
        colour = colour * float(rng.uniform(1.0, 0.5 / max(float(mean), 0.05)))
    if rng.random() < 0.8:
        gain = np.exp(rng.uniform(-0.25, 0.25) + rng.uniform(-0.12, 0.12, 3)).astype(np.float32)
        contrast = float(np.exp(rng.uniform(-0.25, 0.3)))
        middle = colour.mean(axis=(0, 1))
        colour = (colour - middle) * contrast + middle * gain + float(rng.uniform(-0.08, 0.08))
    return np.clip(colour, 0.0, 1.0) * 2.0 - 1.0
