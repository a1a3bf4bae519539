"""One network on a picture larger than its window (Bar-Tal et al. 2023, MultiDiffusion, arXiv 2302.08113)."""

from __future__ import annotations

import numpy as np
import torch

from engine.canvas import OVERLAP_SHARE, Box, Plan
from engine.sampling.diffusion import Network


def windowed(network: Network, plan: Plan) -> Network:
    """The network on a picture larger than its window: overlapped windows, fused with smooth weights at every call.

    The output is linear in x̂_0, so the fused output is the fused estimate and no window border can show (Bar-Tal et
    al. 2023, arXiv 2302.08113, Eq. 5). Pixels under no window are known pixels that no window reads; they get zeros.
    """
    if len(plan.windows) == 1 and plan.windows[0] == Box(0, 0, plan.size[1], plan.size[0]) and not any(plan.wraps):
        return network
    weights = [torch.from_numpy(_weight(window, plan)) for window in plan.windows]
    # Where the picture wraps, windows lie on a larger sheet that repeats it.
    sheet = tuple(
        max(length, *(start + side for start, side in spans))
        for length, spans in zip(
            plan.size, ([(w.y, w.height) for w in plan.windows], [(w.x, w.width) for w in plan.windows]), strict=True
        )
    )
    total = torch.zeros(sheet)
    for window, weight in zip(plan.windows, weights, strict=True):
        total[window.slices] += weight
    total = _fold(total, plan.size).clamp_min(1e-8)

    def fused(x: torch.Tensor, timestep: int) -> torch.Tensor:
        out: torch.Tensor | None = None
        repeated = _repeat(x, sheet)
        for first in range(0, len(plan.windows), plan.batch):
            windows = plan.windows[first : first + plan.batch]
            parts = network(torch.cat([repeated[(..., *window.slices)] for window in windows]), timestep)
            if out is None:
                out = torch.zeros((len(x), parts.shape[1], *sheet), device=x.device)
            for window, weight, part in zip(windows, weights[first:], parts.split(len(x)), strict=False):
                out[(..., *window.slices)] += part * weight.to(x.device)
        assert out is not None
        return _fold(out, plan.size) / total.to(x.device)

    return fused


def _repeat(x: torch.Tensor, sheet: tuple[int, ...]) -> torch.Tensor:
    """(…, H, W) repeated periodically over a sheet at least as large."""
    for axis, length in ((-2, sheet[0]), (-1, sheet[1])):
        if length > x.shape[axis]:
            x = x.index_select(axis, torch.arange(length, device=x.device) % x.shape[axis])
    return x


def _fold(out: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The reverse of :func:`_repeat`: what lies on the repetitions is added to the picture."""
    for axis, length in ((-2, size[0]), (-1, size[1])):
        if out.shape[axis] > length:
            first, *others = out.split(length, axis)
            out = first.clone()
            for other in others:
                out.narrow(axis, 0, other.shape[axis]).add_(other)
    return out


def _weight(window: Box, plan: Plan) -> np.ndarray:
    """(height, width) float32: 1 inside, a smooth ramp over the overlap on sides that have a neighbour."""

    def ramp(length: int, start: int, full: int, wraps: bool) -> np.ndarray:
        overlap = max(length // OVERLAP_SHARE, 1)
        rise = np.sin(np.clip((np.arange(length) + 0.5) / overlap, 0, 1) * np.pi / 2) ** 2
        left = np.ones(length) if start == 0 and not wraps else rise
        right = np.ones(length) if start + length >= full and not wraps else rise[::-1]
        return np.minimum(left, right)

    rows = ramp(window.height, window.y, plan.size[0], plan.wraps[0])
    columns = ramp(window.width, window.x, plan.size[1], plan.wraps[1])
    return np.outer(rows, columns).astype(np.float32).clip(1e-4)
