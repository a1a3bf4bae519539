"""The latent space of a Stable-Diffusion-like autoencoder, entered and left as inpainting needs it.

Going in, the hole is filled smoothly first (a black hole would bleed into the latents around it), the mode of the
encoder's distribution is taken, and a cell is known only where neither a pixel of it nor a neighbouring cell is
unknown. Coming out is a full decode, corrected by its error around the hole; a preview is a linear map of the
latents to RGB, fitted once to this autoencoder. An asymmetric autoencoder (Zhu et al. 2023, arXiv 2306.04632) decodes
with the known pixels before its eyes. A picture that wraps is entered and left with a rim of its opposite side.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from engine.canvas import NO_WRAP, Wraps, smooth_fill
from engine.models.memory import exhausted
from engine.models.tiles import Place, in_tiles, times
from engine.sampling import Entered, Known

log = logging.getLogger(__name__)

TILED_FROM = 1024 * 1024
"""Pixels beyond which the autoencoder works in overlapping tiles."""
CHART_CELLS = 32
"""Side in cells of the picture to which the preview is fitted."""
RIM = 8
"""Cells of the opposite side that are put around a picture that wraps while it is coded."""


class LatentSpace:
    """An :class:`engine.sampling.space.Space` around diffusers' ``AutoencoderKL`` or ``AsymmetricAutoencoderKL``.

    Args:
        vae: in float32, on whatever device it is to run.
        device: of the diffusion network.
        masked: the network is one for inpainting: it is given the hole and the masked picture's latents at each call.
    """

    clip = False

    def __init__(self, vae: Any, device: torch.device, masked: bool) -> None:
        self._vae, self._device, self._masked = vae, device, masked
        self.factor = 2 ** (len(vae.config.block_out_channels) - 1)
        self._scale = float(vae.config.scaling_factor)
        self._shift = float(getattr(vae.config, "shift_factor", None) or 0.0)
        self._sees_known = hasattr(getattr(vae, "decoder", None), "condition_encoder")
        self._tile = max(int(getattr(vae.config, "sample_size", None) or 0), 16 * self.factor) // self.factor

    def enter(self, y: torch.Tensor, keep: torch.Tensor, wraps: Wraps = NO_WRAP) -> Entered:
        rim = RIM * self.factor
        y, keep = _rimmed(y, wraps, rim), _rimmed(keep, wraps, rim)
        known = keep[0, 0].cpu().numpy() > 0
        pictures = y.permute(0, 2, 3, 1).cpu().numpy()
        filled = np.stack([smooth_fill(each, known) if known.any() else np.zeros_like(each) for each in pictures])
        latents = self._encode(torch.from_numpy(filled).permute(0, 3, 1, 2))
        hole = F.max_pool2d(1 - keep, self.factor)
        beside = torch.cat([hole.expand(len(y), -1, -1, -1), self._encode(y)], dim=1) if self._masked else None
        inner = 1 - F.max_pool2d(hole, 3, stride=1, padding=1)
        return Entered(
            _cropped(latents, wraps, RIM),
            _cropped(inner, wraps, RIM),
            None if beside is None else _cropped(beside, wraps, RIM),
        )

    def leave(self, x: torch.Tensor, known: Known | None = None, wraps: Wraps = NO_WRAP) -> torch.Tensor:
        place = next(self._vae.parameters()).device
        rim = RIM * self.factor
        z = _rimmed(x.float() / self._scale + self._shift, wraps, RIM).to(place)
        seen: Known | None = None
        if known is not None:
            seen = _rimmed(known[0], wraps, rim).to(place), _rimmed(known[1], wraps, rim).to(place)
        pictures = torch.cat([self._decode(row, seen) for row in z.split(1)])
        if seen is not None:
            pictures = pictures + _offset(pictures, *seen)
        return _cropped(pictures, wraps, rim).clamp(-1, 1).to(x.device)

    def glance(self, x: torch.Tensor, wraps: Wraps = NO_WRAP) -> torch.Tensor:
        linear = self._linear.to(x.device)
        colours = torch.einsum("bchw,ck->bkhw", _rimmed(x.float(), wraps, 1), linear[:-1]) + linear[-1].view(1, 3, 1, 1)
        size = (colours.shape[2] * self.factor, colours.shape[3] * self.factor)
        return _cropped(F.interpolate(colours, size, mode="bilinear"), wraps, self.factor).clamp(-1, 1)

    def _encode(self, pictures: torch.Tensor) -> torch.Tensor:
        place = next(self._vae.parameters()).device
        rows = []
        for row in pictures.split(1):
            picture = row.to(place, torch.float32)

            def encode(where: Place, picture: torch.Tensor = picture) -> torch.Tensor:
                return self._vae.encode(picture[(..., *times(where, self.factor))]).latent_dist.mode()

            rows.append(self._sparingly(encode, (picture.shape[2] // self.factor, picture.shape[3] // self.factor), 1))
        return ((torch.cat(rows) - self._shift) * self._scale).to(self._device)

    def _decode(self, z: torch.Tensor, known: Known | None) -> torch.Tensor:
        def decode(where: Place) -> torch.Tensor:
            part = z[(..., *where)]
            if known is None or not self._sees_known:
                return self._vae.decode(part).sample
            picture, keep = (each[(..., *times(where, self.factor))] for each in known)
            return self._vae.decode(part, image=picture, mask=1 - keep).sample  # its mask is 1 in the hole

        return self._sparingly(decode, (z.shape[2], z.shape[3]), self.factor)

    @torch.inference_mode()
    def _sparingly(self, work: Callable[[Place], torch.Tensor], cells: tuple[int, int], out: int) -> torch.Tensor:
        """``work`` on all cells, in tiles where these are many or memory does not suffice; ``out``: as of
        :func:`engine.models.tiles.in_tiles`."""
        if cells[0] * cells[1] * self.factor**2 <= TILED_FROM:
            try:
                return work((slice(0, cells[0]), slice(0, cells[1])))
            except (MemoryError, RuntimeError) as error:
                if not exhausted(error):
                    raise
            log.warning("out of memory in the autoencoder, trying tiles")
        return in_tiles(work, cells, self._tile, out)

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


def _offset(pictures: torch.Tensor, y: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """What the autoencoder gets wrong of the known pixels, continued smoothly into the hole: without it the decoded
    hole stands out from the pixels around it by that error (B, 3, H, W)."""
    flags = keep[0, 0].cpu().numpy() > 0
    if not flags.any():
        return torch.zeros_like(pictures)
    errors = (y - pictures).cpu().permute(0, 2, 3, 1).numpy()
    return torch.from_numpy(np.stack([smooth_fill(each, flags) for each in errors])).permute(0, 3, 1, 2).to(y.device)


def _rimmed(x: torch.Tensor, wraps: Wraps, by: int) -> torch.Tensor:
    """(…, H, W) with ``by`` elements of the opposite side around it, along the axes that wrap."""
    for axis, wrapped in zip((-2, -1), wraps, strict=True):
        if wrapped:
            length = x.shape[axis]
            x = x.index_select(axis, torch.arange(-by, length + by, device=x.device) % length)
    return x


def _cropped(x: torch.Tensor, wraps: Wraps, by: int) -> torch.Tensor:
    """The reverse of :func:`_rimmed`."""
    for axis, wrapped in zip((-2, -1), wraps, strict=True):
        if wrapped:
            x = x.narrow(axis, by, x.shape[axis] - 2 * by)
    return x
