"""OpenCV on pictures of many channels: some of its functions take four at most."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

PART = 3


def in_parts(function: Callable[[np.ndarray], np.ndarray], picture: np.ndarray) -> np.ndarray:
    """What a function makes of (H, W, C), which treats channels apart, (h, w, C); three at a time where C > 3."""
    channels = picture.shape[2]
    if channels <= PART:
        return function(picture)
    parts = [np.ascontiguousarray(picture[..., first : first + PART]) for first in range(0, channels, PART)]
    made = [function(part) for part in parts]
    return np.concatenate([part[..., None] if part.ndim == 2 else part for part in made], axis=2)
