"""Guided-diffusion checkpoints small enough for tests: their shapes, configurations and random weights."""

from __future__ import annotations

from pathlib import Path

import torch

from engine.models.guided import GuidedConfig
from engine.models.noisy_classifier import ClassifierConfig
from tests.engine import guided_reference as reference
from tests.engine.guided_reference import Shape, Weights

CLASSIFIER = Shape(pooled=True, classes=7, multipliers=(1, 2, 2), attention=(16, 8))


def config_of(shape: Shape, cosine: bool = False) -> GuidedConfig:
    return GuidedConfig(
        shape.size, shape.width, shape.multipliers, shape.layers, shape.attention, shape.head_width, shape.heads,
        shape.classes, shape.new_order, cosine, shape.outputs == 6,
    )  # fmt: skip


def classifier_config(shape: Shape = CLASSIFIER) -> ClassifierConfig:
    return ClassifierConfig(
        shape.size, shape.width, shape.multipliers, shape.layers, shape.attention, shape.head_width, shape.classes
    )


def weights_of(shape: Shape, seed: int = 1) -> Weights:
    """Random weights of that shape: the reference draws what it needs."""
    weights = Weights(seed)
    reference.network(
        weights, shape, torch.zeros(1, 3, shape.size, shape.size), 0, None if shape.classes is None else 0
    )
    return weights


def noisy(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


class Evil:
    """Pickles into a call that leaves a file behind."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self):
        return (Path.touch, (self.flag,))
