"""LPIPS (Zhang et al. 2018, arXiv 1801.03924) with AlexNet, own forward pass, where its weights are.

Two files, which nothing here fetches: the linear weights that the package ``lpips`` brings (``pip install --no-deps
lpips``), and torchvision's AlexNet in torch's cache, where ``torch.hub`` puts it.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from engine.bench import perceptual

PACKAGE, LINEAR = "lpips", "lpips/weights/v0.1/alex.pth"
TRUNK = "alexnet-owt-7be5be79.pth"
LAYERS = ((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1))
"""Number in AlexNet's ``features``, stride and padding of the convolutions; the second and third follow a pooling."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
MIN_SIDE = 64


class Lpips:
    """Distance of two pictures of one size, (H, W, 3) uint8, 0 … about 1."""

    def __init__(self) -> None:
        linear, trunk = files()
        self._linear: dict[str, torch.Tensor] = torch.load(linear, map_location="cpu", weights_only=True)
        self._trunk: dict[str, torch.Tensor] = torch.load(trunk, map_location="cpu", weights_only=True)

    @torch.inference_mode()
    def __call__(self, picture: np.ndarray, other: np.ndarray) -> float:
        return float(perceptual.between(self._features(picture), self._features(other), self._linear))

    def _features(self, picture: np.ndarray) -> list[torch.Tensor]:
        """Five taps, each pixel's vector at unit length."""
        x = torch.from_numpy(picture.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
        below, right = (max(0, MIN_SIDE - side) for side in picture.shape[:2])
        x = functional.pad(x, (0, right, 0, below), mode="replicate")
        x = (x - torch.tensor(SHIFT).view(1, 3, 1, 1)) / torch.tensor(SCALE).view(1, 3, 1, 1)
        taps = []
        for number, (layer, stride, padding) in enumerate(LAYERS):
            if number in (1, 2):
                x = functional.max_pool2d(x, 3, 2)
            weight, bias = (self._trunk[f"features.{layer}.{part}"] for part in ("weight", "bias"))
            x = functional.relu(functional.conv2d(x, weight, bias, stride, padding))
            taps.append(perceptual.unit(x))
        return taps


def files() -> tuple[Path, Path]:
    """The linear weights and AlexNet, there or not; raises PackageNotFoundError without the package."""
    linear = Path(str(importlib.metadata.distribution(PACKAGE).locate_file(LINEAR)))
    return linear, Path(torch.hub.get_dir()) / "checkpoints" / TRUNK


def available() -> bool:
    """Whether both files are here."""
    try:
        return all(path.is_file() for path in files())
    except importlib.metadata.PackageNotFoundError:
        return False
