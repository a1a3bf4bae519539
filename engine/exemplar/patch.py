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
    count = cv2.boxFilter(
        np.pad(flags.astype(np.float32), [(0, SIDE - 1)] * 2, constant_values=float(beyond)),
        -1,
        (SIDE, SIDE),
        anchor=(0, 0),
        normalize=False,
        borderType=cv2.BORDER_CONSTANT,
    )
    return count[: flags.shape[0], : flags.shape[1]] > SIDE**2 - 0.5


def means(values: np.ndarray) -> np.ndarray:
    """(H, W) float32: of the patch that begins there; what lies beyond the picture is as its border."""
    means: np.ndarray = cv2.boxFilter(values, -1, (SIDE, SIDE), anchor=(0, 0), borderType=cv2.BORDER_REPLICATE)
    return means


def distance_to_known(known: np.ndarray, wraps: tuple[bool, bool], metric: int, border: int = 0) -> np.ndarray:
    """(H, W) float32: from each pixel to the nearest known one; ``border`` pixels around the picture count as known."""
    away, inside = ~known, []
    for axis, (length, wrapped) in enumerate(zip(known.shape, wraps, strict=True)):
        pad = length // 2 if wrapped else border
        widths = [(pad, pad) if axis == other else (0, 0) for other in (0, 1)]
        away = np.pad(away, widths, mode="wrap") if wrapped else np.pad(away, widths)
        inside.append(slice(pad, pad + length))
    distance: np.ndarray = cv2.distanceTransform(away.astype(np.uint8), metric, 5)
    return distance[tuple(inside)]


def vote_window(sigma: float) -> np.ndarray:
    along = np.exp(-0.5 * ((np.arange(SIDE) - (SIDE - 1) / 2) / sigma) ** 2)
    weights = np.outer(along, along)
    return (weights / weights.max()).astype(np.float32)


def patches(picture: np.ndarray, top: np.ndarray, left: np.ndarray) -> torch.Tensor:
    """(N, C · SIDE²) of (C, H, W)."""
    views = np.lib.stride_tricks.sliding_window_view(picture, (SIDE, SIDE), (1, 2))
    return torch.from_numpy(np.ascontiguousarray(views[:, top, left].transpose(1, 0, 2, 3)).reshape(len(top), -1))
