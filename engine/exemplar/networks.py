"""An octave's denoiser as the sampler calls it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from engine.exemplar.octaves import Octave


@dataclass
class Exact:
    """The denoiser of the coarsest octave, as the sampler calls it: (x (1, C, 1, N), timestep) → x̂_0."""

    octave: Octave
    alpha_bar: np.ndarray
    places: None = None

    def first(self) -> np.ndarray:
        """(C, N), the picture that the octave begins with."""
        return self.octave.smooth()

    def __call__(self, x: torch.Tensor, timestep: int) -> torch.Tensor:
        return _called(x, float(self.alpha_bar[timestep]), self.octave.exact)


@dataclass
class Memory:
    """The denoiser of one variant at a finer octave, as the sampler calls it: (x (1, C, 1, N), timestep) → x̂_0.

    Attributes:
        places: (G, 2) int32, the matches, made better at every call.
        seed: of the random places.
        call: calls made; each looks at other random places.
        finest: of all octaves.
    """

    octave: Octave
    places: np.ndarray
    alpha_bar: np.ndarray
    seed: int
    call: int
    finest: bool

    def first(self) -> np.ndarray:
        """(C, N), the picture that the octave begins with."""
        return self.octave.copied(self.places)

    def __call__(self, x: torch.Tensor, timestep: int) -> torch.Tensor:
        seed, last = (self.seed * 1_000_003 + self.call) & 0x7FFFFFFF, self.finest and timestep == 0
        self.call += 1

        def estimate(seen: np.ndarray, sigma: float) -> np.ndarray:
            return self.octave.estimate(seen, sigma, self.places, seed, last)

        return _called(x, float(self.alpha_bar[timestep]), estimate)


def _called(x: torch.Tensor, alpha_bar: float, estimate: Callable[[np.ndarray, float], np.ndarray]) -> torch.Tensor:
    seen = (x[0, :, 0] / math.sqrt(alpha_bar)).cpu().numpy()
    x0_hat = estimate(seen, math.sqrt(1 / alpha_bar - 1))
    return torch.from_numpy(x0_hat).to(x)[None, :, None]
