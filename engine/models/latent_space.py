"""The latent space of a Stable-Diffusion-like autoencoder, entered and left as inpainting needs it.

Going in, the hole is filled smoothly first (a black hole would bleed into the latents around it), the mode of the
encoder's distribution is taken, and a cell is known only where neither a pixel of it nor a neighbouring cell is
unknown. Coming out is a full decode, corrected by its error around the hole; a preview is a linear map of the
latents to RGB, fitted once to this autoencoder.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from engine.smooth import smooth_fill
from engine.space import Entered, Known

log = logging.getLogger(__name__)

TILED_FROM = 1024 * 1024
"""Pixels beyond which the autoencoder works in overlapping tiles."""
CHART_CELLS = 32
"""Side in cells of the picture to which the preview is fitted."""


def _offset(pictures: torch.Tensor, y: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """What the autoencoder gets wrong of the known pixels, continued smoothly into the hole: without it the decoded
    hole stands out from the pixels around it by that error (B, 3, H, W)."""
    flags = keep[0, 0].cpu().numpy() > 0
    if not flags.any():
        return torch.zeros_like(pictures)
    errors = (y.cpu() - pictures).permute(0, 2, 3, 1).numpy()
    return torch.from_numpy(np.stack([smooth_fill(each, flags) for each in errors])).permute(0, 3, 1, 2)


class LatentSpace:
    """An :class:`engine.space.Space` around diffusers' ``AutoencoderKL``.

    Args:
        vae: in float32, on whatever device it is to run.
        device: of the diffusion network.
        masked: the network is one for inpainting: it is given the hole and the masked picture's latents at each call.
    """

    clip, wraps = False, False

    def __init__(self, vae: Any, device: torch.device, masked: bool) -> None:
        self._vae, self._device, self._masked = vae, device, masked
        self.factor = 2 ** (len(vae.config.block_out_channels) - 1)
        self._scale = float(vae.config.scaling_factor)
        self._shift = float(getattr(vae.config, "shift_factor", None) or 0.0)

    def enter(self, y: torch.Tensor, keep: torch.Tensor) -> Entered:
        known = keep[0, 0].cpu().numpy() > 0
        pictures = y.permute(0, 2, 3, 1).cpu().numpy()
        filled = np.stack([smooth_fill(each, known) if known.any() else np.zeros_like(each) for each in pictures])
        latents = self._encode(torch.from_numpy(filled).permute(0, 3, 1, 2))
        hole = F.max_pool2d(1 - keep, self.factor)
        beside = torch.cat([hole.expand(len(y), -1, -1, -1), self._encode(y)], dim=1) if self._masked else None
        return Entered(latents, 1 - F.max_pool2d(hole, 3, stride=1, padding=1), beside)

    def leave(self, x: torch.Tensor, known: Known | None = None) -> torch.Tensor:
        place = next(self._vae.parameters()).device
        z = (x.float() / self._scale + self._shift).to(place)
        pictures = torch.cat([self._sparingly(self._vae.decode, row, self.factor).sample for row in z.split(1)])
        if known is not None:
            pictures = pictures + _offset(pictures.cpu(), *known).to(place)
        return pictures.clamp(-1, 1).to(x.device)

    def glance(self, x: torch.Tensor) -> torch.Tensor:
        linear = self._linear.to(x.device)
        colours = torch.einsum("bchw,ck->bkhw", x.float(), linear[:-1]) + linear[-1].view(1, 3, 1, 1)
        size = (x.shape[2] * self.factor, x.shape[3] * self.factor)
        return F.interpolate(colours, size, mode="bilinear").clamp(-1, 1)

    def _encode(self, pictures: torch.Tensor) -> torch.Tensor:
        place = next(self._vae.parameters()).device
        rows = [
            self._sparingly(self._vae.encode, row.to(place, torch.float32), 1).latent_dist.mode()
            for row in pictures.split(1)
        ]
        return ((torch.cat(rows) - self._shift) * self._scale).to(self._device)

    @torch.inference_mode()
    def _sparingly(self, work: Callable[[torch.Tensor], Any], x: torch.Tensor, factor: int) -> Any:
        """``work(x)``, in tiles where ``x`` is large (``factor``: pixels per element) or memory does not suffice."""
        if x.shape[-1] * x.shape[-2] * factor**2 <= TILED_FROM:
            try:
                self._vae.disable_tiling()
                return work(x)
            except (MemoryError, torch.OutOfMemoryError):
                log.warning("out of memory in the autoencoder, trying tiles")
        self._vae.enable_tiling()
        return work(x)

    @cached_property
    def _linear(self) -> torch.Tensor:
        """(C + 1, 3): the least-squares map from latents and 1 to the mean colour of a cell."""
        random = torch.Generator().manual_seed(0)
        coarse = torch.rand(1, 3, CHART_CELLS // 4, CHART_CELLS // 4, generator=random) * 2 - 1
        chart = F.interpolate(coarse, (CHART_CELLS * self.factor,) * 2, mode="bicubic").clamp(-1, 1)
        latents = self._encode(chart).cpu()
        columns = torch.cat([latents, torch.ones_like(latents[:, :1])], dim=1)[0].flatten(1).T
        colours = F.avg_pool2d(chart, self.factor)[0].flatten(1).T
        return torch.linalg.lstsq(columns.double(), colours.double()).solution.float()
