"""Gaussian noise by counter: draw number n of seed S is a pure function of (S, n).

A state therefore needs to remember only the number of draws to go on bit for bit, and a variant never depends on its
neighbours in a batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

MAX_SEED = 2**53 - 1
"""Seeds are 0 … 2^53 − 1, so that every JSON reader keeps them exactly."""


class Noise:
    """Independent standard normal streams, one per batch row.

    Args:
        seeds: one seed (0 … 2^53 − 1) per row of the tensors to be drawn.
        draws: number of draws already made (0 for a fresh stream).
    """

    def __init__(self, seeds: Sequence[int], draws: int = 0) -> None:
        self.seeds = tuple(seeds)
        self.draws = draws

    def draw(self, like: torch.Tensor) -> torch.Tensor:
        """Return N(0, 1) noise of ``like``'s shape (B, …), device and dtype; row b comes from seed b alone."""
        if like.shape[0] != len(self.seeds):
            raise ValueError(f"{like.shape[0]} rows but {len(self.seeds)} seeds")
        rows = [
            np.random.Generator(np.random.Philox(key=[seed, self.draws])).standard_normal(like.shape[1:], np.float32)
            for seed in self.seeds
        ]
        self.draws += 1
        return torch.from_numpy(np.stack(rows)).to(device=like.device, dtype=like.dtype)
