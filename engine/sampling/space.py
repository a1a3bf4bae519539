"""The space a model works in: pixels themselves, or cells of an autoencoder's latent space.

The sampler knows neither: it walks tensors. What goes in and what comes out is a picture (B, 3, H, W) in [−1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from engine.canvas import NO_WRAP, Wraps


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
    """

    factor: int
    clip: bool

    def enter(self, y: torch.Tensor, keep: torch.Tensor, wraps: Wraps = NO_WRAP) -> Entered:
        """From y (B, 3, H, W), 0 where unknown, and keep (1, 1, H, W), 1 where known; sides are multiples of factor."""

    def leave(self, x: torch.Tensor, known: Known | None = None, wraps: Wraps = NO_WRAP) -> torch.Tensor:
        """The picture (B, 3, H, W) of x (B, C, h, w), as well as can be, fitted to what is ``known``."""

    def glance(self, x: torch.Tensor, wraps: Wraps = NO_WRAP) -> torch.Tensor:
        """The same for a preview: cheap, and less exact."""


class Pixels:
    """The picture itself."""

    factor, clip = 1, True

    def enter(self, y: torch.Tensor, keep: torch.Tensor, _wraps: Wraps = NO_WRAP) -> Entered:
        return Entered(y, keep)

    def leave(self, x: torch.Tensor, _known: Known | None = None, _wraps: Wraps = NO_WRAP) -> torch.Tensor:
        return x

    def glance(self, x: torch.Tensor, _wraps: Wraps = NO_WRAP) -> torch.Tensor:
        return x
