"""ST-LPIPS (Ghildyal & Liu 2022, arXiv 2207.13686): a shift-tolerant perceptual distance, own forward pass.

Only the weight files of the ``stlpips-pytorch`` package are used (BSD-2-Clause); none of its code is imported. The
numbers are not comparable with published LPIPS values (Zhang et al. 2018).

The trunk is AlexNet or VGG16 with every stride taken by a 3×3 binomial filter (Zhang 2019, arXiv 1904.11486) after
reflection by 2 pixels; AlexNet's first convolution has stride 1 and is filtered before its ReLU.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch.nn import functional

from engine.errors import EngineError

PACKAGE = "stlpips-pytorch"
Backbone = Literal["alex", "vgg"]
_SHA256 = {
    "alex": "b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",
    "vgg": "44597da68f49c1837c100ff52299050f274d102eb102e5837178c79be6f0e250",
}
MIN_SIDE = 64
"""Smaller pictures are mirrored up to this side, so that the deepest layer sees more than its own padding."""


@dataclass(frozen=True)
class _Step:
    """One layer: ``conv`` (weight name, padding), ``blur`` (filter name), ``pool`` (window), ``relu`` or ``tap``."""

    kind: str
    name: str = ""
    size: int = 0


def _alex() -> list[_Step]:
    """Five taps, each after a ReLU; names as in the weight file: net.slice<tap>.<layer>."""

    def down(tap: int, layer: int) -> list[_Step]:
        return [_Step("pool", size=3), _Step("blur", f"net.slice{tap}.{layer}.filt")]

    def conv(tap: int, layer: int, padding: int) -> list[_Step]:
        return [_Step("conv", f"net.slice{tap}.{layer}", padding), _Step("relu"), _Step("tap")]

    return [
        _Step("conv", "net.slice1.0", 2),
        _Step("blur", "net.slice1.1.filt"),
        _Step("relu"),
        _Step("tap"),
        *down(2, 4),
        *conv(2, 5, 2),
        *down(3, 8),
        *conv(3, 9, 1),
        *conv(4, 11, 1),
        *conv(5, 13, 1),
    ]


def _vgg() -> list[_Step]:
    """VGG16 up to relu5_3, a tap at the end of each block."""
    steps: list[_Step] = []
    layer = 0
    for block, convolutions in enumerate((2, 2, 3, 3, 3), start=1):
        if block > 1:
            steps += [_Step("pool", size=2), _Step("blur", f"net.slice{block}.{layer + 1}.filt")]
            layer += 2
        for _ in range(convolutions):
            steps += [_Step("conv", f"net.slice{block}.{layer}", 1), _Step("relu")]
            layer += 2
        steps.append(_Step("tap"))
    return steps


class StLpips:
    """ST-LPIPS with one backbone.

    >>> picture = np.zeros((96, 96, 3), np.uint8)
    >>> StLpips("alex")(picture, picture)
    0.0
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self._steps = _alex() if backbone == "alex" else _vgg()
        self._weights = _load(backbone)
        self._last: tuple[object, list[torch.Tensor]] | None = None
        needed = {s.name if s.kind == "blur" else f"{s.name}.weight" for s in self._steps if s.name}
        missing = needed - self._weights.keys()
        if missing:
            raise _unusable(f"{backbone}: missing {sorted(missing)}")

    def __call__(self, picture: np.ndarray, other: np.ndarray) -> float:
        """Distance of two pictures of one size, (H, W, 3) uint8; what was computed of the last ``other`` is kept."""
        key = (other.shape, other.tobytes())
        if self._last is None or self._last[0] != key:
            self._last = (key, self.features(_tensor(other)))
        return float(self.between(self.features(_tensor(picture)), self._last[1])[0])

    def between(self, features: list[torch.Tensor], others: list[torch.Tensor]) -> torch.Tensor:
        """(B,) distances of what :meth:`features` gave."""
        return between(features, others, self._weights)

    @torch.inference_mode()
    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The five taps of (B, 3, H, W) pictures in [−1, 1], each pixel's vector at unit length."""
        weights, out = self._weights, []
        x = (x - weights["scaling_layer.shift"]) / weights["scaling_layer.scale"]
        for step in self._steps:
            if step.kind == "conv":
                x = functional.conv2d(
                    x, weights[f"{step.name}.weight"], weights[f"{step.name}.bias"], padding=step.size
                )
            elif step.kind == "blur":
                mirrored = functional.pad(x, (2, 2, 2, 2), mode="reflect")
                x = functional.conv2d(mirrored, weights[step.name], stride=2, groups=x.shape[1])
            elif step.kind == "pool":
                x = functional.max_pool2d(x, step.size, stride=1)
            elif step.kind == "relu":
                x = functional.relu(x)
            else:
                out.append(unit(x))
        return out


def available() -> bool:
    """Whether the weight files are installed."""
    try:
        return all(_path(name).is_file() for name in _SHA256)
    except importlib.metadata.PackageNotFoundError:
        return False


def _path(backbone: str) -> Path:
    file = f"stlpips_pytorch/weights/vST0.0/{backbone}_shift_tolerant.pth"
    return Path(str(importlib.metadata.distribution(PACKAGE).locate_file(file)))


def _load(backbone: str) -> dict[str, torch.Tensor]:
    """The weights, only if the file is the published one; read as plain tensors (``weights_only``)."""
    try:
        path = _path(backbone)
        data = path.read_bytes()
    except (importlib.metadata.PackageNotFoundError, OSError) as error:
        raise EngineError(
            "no_perceptual_weights",
            f"The perceptual measure needs the package {PACKAGE}; install the project's 'test' extra.",
            str(error),
        ) from error
    if hashlib.sha256(data).hexdigest() != _SHA256[backbone]:
        raise _unusable(f"{path} has another SHA-256 than the published file")
    loaded: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return loaded


def _unusable(details: str) -> EngineError:
    return EngineError(
        "no_perceptual_weights", f"The weights of the package {PACKAGE} cannot be used; install it again.", details
    )


def _tensor(picture: np.ndarray) -> torch.Tensor:
    below, right = (max(0, MIN_SIDE - side) for side in picture.shape[:2])
    if below or right:
        picture = np.pad(picture, [(0, below), (0, right), (0, 0)], mode="symmetric")
    return torch.from_numpy(picture.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]


def between(features: list[torch.Tensor], others: list[torch.Tensor], weights: dict[str, torch.Tensor]) -> torch.Tensor:
    """(B,) distances of a trunk's taps by the linear weights of (ST-)LPIPS (arXiv 1801.03924, Eq. 1)."""
    total = torch.zeros(len(features[0]))
    for tap, (a, b) in enumerate(zip(features, others, strict=True)):
        total += functional.conv2d((a - b) ** 2, weights[f"lin{tap}.model.1.weight"]).mean((1, 2, 3))
    return total


def unit(features: torch.Tensor) -> torch.Tensor:
    """Each pixel's feature vector at unit length."""
    return features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)
