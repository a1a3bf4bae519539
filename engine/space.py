"""The space a model works in: pixels themselves, or cells of an autoencoder's latent space.

The sampler knows neither: it walks tensors. What goes in and what comes out is a picture (B, 3, H, W) in [−1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True)
class Entered:
    """A picture as the sampler takes it.

    Attributes:
        y: known part, (B, C, h, w); arbitrary where unknown.
        keep: 1 where known, (1, 1, h, w).
        beside: what the network is given beside x_t at every call, (B, E, h, w), or None.
    """

    y: torch.Tensor
    keep: torch.Tensor
    beside: torch.Tensor | None = None


Known = tuple[torch.Tensor, torch.Tensor]
"""y (1, 3, H, W), 0 where unknown, and keep (1, 1, H, W), 1 where known, as they are before a space is entered."""


class Space(Protocol):
    """Into the space and back.

    Attributes:
        factor: model pixels per cell along each side.
        clip: values lie in [−1, 1], so that x̂_0 may be limited to it.
        wraps: pictures may be periodic in it.
    """

    factor: int
    clip: bool
    wraps: bool

    def enter(self, y: torch.Tensor, keep: torch.Tensor) -> Entered:
        """From y (B, 3, H, W), 0 where unknown, and keep (1, 1, H, W), 1 where known; sides are multiples of factor."""

    def leave(self, x: torch.Tensor, known: Known | None = None) -> torch.Tensor:
        """The picture (B, 3, H, W) of x (B, C, h, w), as well as can be, fitted to what is ``known``."""

    def glance(self, x: torch.Tensor) -> torch.Tensor:
        """The same for a preview: cheap, and less exact."""


class Pixels:
    """The picture itself."""

    factor, clip, wraps = 1, True, True

    def enter(self, y: torch.Tensor, keep: torch.Tensor) -> Entered:
        return Entered(y, keep)

    def leave(self, x: torch.Tensor, _known: Known | None = None) -> torch.Tensor:
        return x

    def glance(self, x: torch.Tensor) -> torch.Tensor:
        return x
