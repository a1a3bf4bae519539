"""Where the exemplar model takes its patches from: the picture as it stands, larger and smaller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np
import torch
import torch.nn.functional as F

MOST_SOURCES = 12_000
"""Source patches: of more than these only those at every other row and column are taken, and of these the nearest to
the hole. Neighbours of a source must be sources too, so that neighbouring blocks can come from one place: as many
chosen at random gave mush."""
SCALES = (0.04, 0.07, 0.1, 0.14, 0.2, 0.28)
"""By how much larger and smaller the versions of the picture may be that detail comes from."""
USUAL_SCALE = 0.14
"""Scale for pictures too small to tell how new a part of them should be."""
PROBE = 7
"""Pixels a side of the patches by which that is told."""
PROBES = 400
"""How many of them are compared, at most."""


@dataclass(frozen=True)
class Sources:
    """Source patches of one size.

    Attributes:
        cell, cells: f, and how many of them a patch is wide.
        step: side of the block that one comparison decides.
        patches: (N, D) the means over the cells of each patch, D = 3 cells².
        squares: (N, cells²) of these, summed over the colours.
        basis: (D, K) principal components of the patches.
        features: (N, K), the patches by these components.
        energy: (N,), half the squared norm of each row of ``features``.
        centre, spread: (K,), mean and variance of each component.
        pixels: (H, W, 3), of which patches are parts.
        top, left: (N,), first row and column of each patch.
        number: (H, W), of the patch that begins at each pixel; −1 where none does.
    """

    cell: int
    cells: int
    step: int
    patches: torch.Tensor
    squares: torch.Tensor
    basis: torch.Tensor
    features: torch.Tensor
    energy: torch.Tensor
    centre: torch.Tensor
    spread: torch.Tensor
    pixels: torch.Tensor
    top: torch.Tensor
    left: torch.Tensor
    number: torch.Tensor

    @property
    def side(self) -> int:
        """Pixels a side of a patch."""
        return self.cell * self.cells

    def blocks(self, down: int, right: int, outer: int) -> torch.Tensor:
        """(N, (step + 2 outer)² · 3): a block of each patch, so far from its first row and column, with its
        surroundings; what these lack at the border of the patch is repeated."""
        along = torch.arange(-outer, self.step + outer, device=self.top.device)
        rows = self.top[:, None] + (down + along).clamp(0, self.side - 1)
        columns = self.left[:, None] + (right + along).clamp(0, self.side - 1)
        places = rows[:, :, None] * self.pixels.shape[1] + columns[:, None]
        return self.pixels.view(-1, 3).index_select(0, places.flatten()).view(len(self.top), -1)


@dataclass(frozen=True)
class Sheet:
    """Pixels to take patches from.

    Attributes:
        pixels: (H, W, 3) in [−1, 1].
        known: (1, H, W), 1 or 0; patches with a pixel that is not known are no sources.
        distance: (H, W), from each pixel to the nearest unknown one of the picture.
    """

    pixels: torch.Tensor
    known: torch.Tensor
    distance: torch.Tensor

    @classmethod
    def of(cls, pixels: np.ndarray, known: np.ndarray, distance: np.ndarray, device: torch.device) -> Sheet:
        """A sheet made of (H, W, 3), (H, W) bool and (H, W)."""
        flags = known.astype(np.float32)[None]
        return cls(*(torch.from_numpy(np.ascontiguousarray(each)).to(device) for each in (pixels, flags, distance)))


def scaled(pixels: np.ndarray, known: np.ndarray, distance: np.ndarray, device: torch.device, scale: float) -> Sheet:
    """The picture larger and smaller by ``scale``, down and across: four versions, one below the other."""
    weight = known.astype(np.float32)  # so that nothing unknown is mixed into what is known
    weighted = pixels * weight[..., None]
    low, high = pixels[known].min(axis=0), pixels[known].max(axis=0)  # the kernel overshoots
    height, width = known.shape
    parts = []
    for down, across in product((1 - scale, 1 + scale), repeat=2):
        size = (max(1, round(across * width)), max(1, round(down * height)))
        room = ((0, 1), (0, round((1 + scale) * width) + 1 - size[0]))
        colour, share = (cv2.resize(each, size, interpolation=cv2.INTER_LANCZOS4) for each in (weighted, weight))
        picture = (colour / np.maximum(share, 0.5)[..., None]).clip(low, high)
        flags = cv2.resize(weight, size, interpolation=cv2.INTER_LINEAR) > 0.999
        away = cv2.resize(distance, size, interpolation=cv2.INTER_LINEAR)
        parts.append((np.pad(picture, (*room, (0, 0))), np.pad(flags, room), np.pad(away, room)))
    picture, flags, away = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Sheet.of(picture, flags, away, device)


def suitable_scale(novelty: float, sheet: Callable[[float], Sheet]) -> float:
    """The smallest of :data:`SCALES` at which the picture is new enough to itself; the largest if it is at none.

    Args:
        novelty: distance of the scaled picture's patches to the nearest of the picture, over how far one part of it is
            from the rest (control, as the jury's *far ratio* has it).
        sheet: the picture at a scale; at 0 as it stands.
    """
    found = _usual(sheet(0.0))
    if found is None:
        return USUAL_SCALE
    usual, patches = found
    enough = (scale for scale in SCALES if _distance(_probes(sheet(scale))[0], patches) >= novelty * usual)
    return next(enough, SCALES[-1])


def _usual(sheet: Sheet) -> tuple[float, torch.Tensor] | None:
    """How far the right quarter of the known patches are from the nearest left of it, and (N, D) known patches; None
    where there are too few."""
    patches, columns = _probes(sheet)
    if len(patches) < PROBES:
        return None
    cut = float(columns.float().quantile(0.75))
    left, right = patches[columns + PROBE <= cut], patches[columns >= cut]
    return None if min(len(left), len(right)) < PROBES // 4 else (_distance(right, left), patches)


def _probes(sheet: Sheet) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, 3 · 7²) the known patches of a sheet, and (N,) their first columns."""
    none = sheet.pixels.new_zeros((0, 3 * PROBE**2)), torch.zeros(0)
    if min(sheet.known.shape[1:]) < PROBE:
        return none
    rows, columns = (F.avg_pool2d(sheet.known, PROBE, 1)[0] > 1 - 0.5 / PROBE**2).nonzero(as_tuple=True)
    every = _spread(len(rows), MOST_SOURCES)
    rows, columns = rows[every], columns[every]
    if not len(rows):
        return none
    return patches_of(sheet.pixels.permute(2, 0, 1), rows, columns, PROBE, 1), columns


def _distance(patches: torch.Tensor, sources: torch.Tensor) -> float:
    """Mean over at most :data:`PROBES` patches (N, D) of the distance to the nearest source (M, D)."""
    return float(torch.cdist(patches[_spread(len(patches), PROBES)], sources).min(1).values.mean())


def _spread(count: int, most: int) -> torch.Tensor:
    """At most so many numbers below ``count``, far from each other."""
    exact = torch.float32 if count <= 1 << 24 else torch.float64
    return torch.linspace(0, count - 1, min(count, most), dtype=exact).long()


def gathered(sheet: Sheet, cell: int, cells: int, components: int, least: int) -> Sources | None:
    """Patches of one size, or None if fewer than ``least`` are wholly known."""
    side = cell * cells
    step = max(2, cell) if side > 3 else 1
    if min(sheet.known.shape[-2:]) < side:
        return None
    whole = F.avg_pool2d(sheet.known, side, 1)[0] > 1 - 0.5 / side**2
    places = whole.flatten().nonzero()[:, 0]
    if len(places) < least:
        return None
    top, left = places // whole.shape[1], places % whole.shape[1]
    if len(places) > MOST_SOURCES:
        aligned = (top % 2 == 0) & (left % 2 == 0)
        top, left = top[aligned], left[aligned]
    if len(top) > MOST_SOURCES:
        nearest = sheet.distance[top + side // 2, left + side // 2].argsort(stable=True)[:MOST_SOURCES]
        chosen = nearest.sort().values
        top, left = top[chosen], left[chosen]
    patches = patches_of(cells_of(sheet.pixels.permute(2, 0, 1), cell), top, left, cells, cell)
    basis = _principal(patches, components)
    features = patches @ basis
    energy = 0.5 * (features**2).sum(1)
    squares = patches.view(len(patches), 3, -1).square().sum(1)
    spread, centre = torch.var_mean(features, 0, correction=0)
    number = torch.full(sheet.known.shape[1:], -1, device=top.device)
    number[top, left] = torch.arange(len(top), device=top.device)
    return Sources(
        cell, cells, step, patches, squares, basis, features, energy, centre, spread, sheet.pixels, top, left, number
    )


def cells_of(picture: torch.Tensor, cell: int) -> torch.Tensor:
    """(3, H, W) → the mean over the cell that begins at each pixel, (3, H − f + 1, W − f + 1)."""
    return picture if cell == 1 else F.avg_pool2d(picture[None], cell, 1)[0]


def patches_of(picture: torch.Tensor, top: torch.Tensor, left: torch.Tensor, count: int, apart: int) -> torch.Tensor:
    """(N, 3 count²): ``count`` × ``count`` values, so far apart, from each place on."""
    along = torch.arange(count, device=picture.device) * apart
    rows, columns = top[:, None, None] + along[:, None], left[:, None, None] + along
    return picture[:, rows, columns].permute(1, 0, 2, 3).reshape(len(top), -1)


def _principal(patches: torch.Tensor, components: int) -> torch.Tensor:
    """(D, K) the directions in which patches (N, D) differ most, at most ``components``."""
    if patches.shape[1] <= components:
        return torch.eye(patches.shape[1], device=patches.device)
    centred = (patches - patches.mean(0)).double()
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    return vectors[:, -components:].float().contiguous()
