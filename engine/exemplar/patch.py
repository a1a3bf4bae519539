"""Patches: their sizes, and what is summed over them, for :mod:`engine.exemplar.octaves` and the loops of
:mod:`engine.exemplar.matching`."""

from __future__ import annotations

import cv2
import numpy as np
import torch

SIDE = 8
"""Pixels a side of a patch: eight float32 fill a vector register of most processors."""
NEIGHBOURS = 8
TRIES = 4
"""Random places that a target looks at in a round, each within a quarter of the distance of the one before."""


def all_under(flags: np.ndarray, beyond: bool = False) -> np.ndarray:
    """(H, W) bool: whether all flags are set in the patch that begins there; ``beyond``: those beyond the picture."""
    patch, border = np.ones((SIDE, SIDE), np.uint8), cv2.BORDER_CONSTANT
    return cv2.erode(flags.view(np.uint8), patch, anchor=(0, 0), borderType=border, borderValue=float(beyond)).view(
        bool
    )


def means(values: np.ndarray) -> np.ndarray:
    """(H, W) float32: of the patch that begins there; what lies beyond the picture is as its border."""
    means: np.ndarray = cv2.boxFilter(values, -1, (SIDE, SIDE), anchor=(0, 0), borderType=cv2.BORDER_REPLICATE)
    return means


def vote_window(sigma: float) -> np.ndarray:
    along = np.exp(-0.5 * ((np.arange(SIDE) - (SIDE - 1) / 2) / sigma) ** 2)
    weights = np.outer(along, along)
    return (weights / weights.max()).astype(np.float32)


def patches(picture: np.ndarray, top: np.ndarray, left: np.ndarray) -> torch.Tensor:
    """(N, C · SIDE²) of (C, H, W)."""
    views = np.lib.stride_tricks.sliding_window_view(picture, (SIDE, SIDE), (1, 2))
    return torch.from_numpy(np.ascontiguousarray(views[:, top, left].transpose(1, 0, 2, 3)).reshape(len(top), -1))
