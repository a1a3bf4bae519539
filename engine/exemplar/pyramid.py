"""From octave to octave: the picture at every scale, the levels walked there, and how matches come to the next."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import torch

from engine.canvas import NO_WRAP, distance_to_known
from engine.exemplar import texture
from engine.exemplar.atlas import Atlas
from engine.exemplar.material import LEAST_SOURCES, Material, Mixture
from engine.exemplar.octaves import Octave
from engine.exemplar.patch import SIDE
from engine.exemplar.targets import Targets
from engine.sampling import Schedule, plain

COARSEST_DEPTH = 8
"""Pixels from the middle of the area to what is known, at most, at the coarsest octave: a patch or two across."""
COARSEST_AREA = 4000
"""Unknown pixels at the coarsest octave, at most; its denoiser compares them with every source."""
PLACED_AREA = 8 * COARSEST_AREA
"""The same for an atlas, each place of which is compared with its own sources."""
LADDER = ((0.6, 24), (0.5, 24), (0.4, 16))
"""σ to begin with and network calls, of the octaves above the coarsest; those after them take :data:`FINE`."""
FINE = (0.3, 9)
LAST_SIGMA = 0.03


def pyramid(
    pixels: np.ndarray,
    known: np.ndarray,
    wanted: np.ndarray,
    wraps: tuple[bool, bool],
    device: torch.device,
    scale: float = 1.0,
    atlas: Atlas | None = None,
    cover: np.ndarray | None = None,
    elsewhere: Material | Mixture | None = None,
    shares: np.ndarray | None = None,
) -> Iterator[Octave]:
    """The octaves of a job, the finest first.

    A pixel is known where everything under it is, and painted where anything under it is. All but the finest have
    channels of :mod:`engine.exemplar.texture` behind those of the picture, if it is copied from itself.

    Args:
        pixels: (H, W, C) float32, as an octave has them.
        known, wanted: (H, W) bool, of which no pixel is both.
        scale: of the finest octave, in its pixels per picture pixel.
        atlas: where the picture is one; it is halved as often as its lengths can be.
        cover: (H, W) float32, by how much known pixels count; all the same if None.
        elsewhere: another picture that all is copied from.
        shares: as of :class:`Octave`.
    """
    # To the border of the picture it is as far as to what is known: what reaches it is known on one side only.
    depth = scale * float(distance_to_known(known, wraps, cv2.DIST_C, border=1)[wanted].max())
    area = scale**2 * np.count_nonzero(wanted)
    own = Material.masked(pixels, known, cover)
    octave, halved = Octave(own.pixels, known, wanted, wraps, device, atlas, own.cover, elsewhere, shares), 0
    shapes = [np.array(each.known.shape) * scale for each in (own, elsewhere or own)]
    if scale != 1:
        octave = _scaled(octave, *shapes)
    yield octave
    while octave.atlas.align > 1 if octave.atlas else depth > COARSEST_DEPTH or area > COARSEST_AREA:
        halved += 1
        finer, octave = octave, _scaled(octave, *(shape / 2**halved for shape in shapes))
        if halved == 1 and elsewhere is None:  # of another picture all is taken, however rough
            octave = _with_texture(octave, finer, texture.SPREAD * depth / COARSEST_DEPTH / 2)
        if min(octave.shape) < SIDE or octave.material.count < LEAST_SOURCES:
            return
        yield octave
        depth, area = depth / 2, area / 4


def halvings(known: np.ndarray, wanted: np.ndarray) -> int:
    """How often an atlas of such places is halved: until they are a patch or two deep, and once at least, since only
    finer octaves look at all sources."""
    depth = float(distance_to_known(known, NO_WRAP, cv2.DIST_C, border=1)[wanted].max())
    area = np.count_nonzero(wanted) / PLACED_AREA
    return max(1, math.ceil(math.log2(depth / COARSEST_DEPTH)), math.ceil(math.log2(area) / 2))


def _scaled(octave: Octave, shape: np.ndarray, elsewhere: np.ndarray) -> Octave:
    """The picture at another scale, and what it is copied from: of these (height, width), rounded."""
    own = Material(octave.pixels, octave.known, octave.cover).scaled(shape)
    height, width = own.known.shape
    how = cv2.INTER_AREA if height <= octave.shape[0] else cv2.INTER_LINEAR
    wanted = cv2.resize(octave.wanted.astype(np.float32), (width, height), interpolation=how) > 1e-6
    atlas, there = octave.atlas and octave.atlas.coarser(), octave.elsewhere
    if there is not None:
        there = there.scaled(elsewhere)
        there = there if isinstance(there, Mixture) else there.planar()
    wanted &= ~own.known
    shares = octave.shares
    if shares is not None:
        shares = cv2.resize(shares, (width, height), interpolation=how)
    return Octave(own.pixels, own.known, wanted, octave.wraps, octave.device, atlas, own.cover, there, shares)


def _with_texture(octave: Octave, finer: Octave, spread: float) -> Octave:
    """The octave with channels of how rough the finer one is there (:mod:`engine.exemplar.texture`)."""
    rough = texture.features(finer.pixels, finer.known, octave.wraps, octave.shape, spread)
    rough[~octave.known] = 0
    return replace(octave, pixels=np.concatenate([octave.pixels, rough], axis=2))


def carried(coarse: Octave, places: np.ndarray, fine: Octave, seed: int) -> np.ndarray:
    """(G', 2) int32: the matches of the coarser octave (G, 2) at the finer one; where they cannot be, random ones."""
    here, there = fine.targets, coarse.targets
    scale, size = np.array(fine.shape) / coarse.shape, np.array(fine.usable.shape)
    # Where patches with the same middles would begin on the coarser picture, and the target nearest to that.
    tops = np.stack([here.top + fine.box.y, here.left + fine.box.x], 1)
    begin = (tops + SIDE / 2) / scale - SIDE / 2 - (coarse.box.y, coarse.box.x)
    grid = [_nearest(starts, begin[:, axis]) for axis, starts in enumerate(there.starts)]
    found = there.number[grid[0], grid[1]]
    lost = found < 0
    if lost.any():
        found[lost] = _nearest_target(there, grid[0][lost], grid[1][lost])
    shift = begin - np.stack([there.top, there.left], 1)[found]
    moved = np.rint((places[found] + shift + SIDE / 2) * (size / coarse.usable.shape) - SIDE / 2).astype(np.int64)
    moved = moved.clip(0, size - 1)
    kinds = coarse.usable[places[found, 0], places[found, 1]]  # of a mixture's materials
    good = fine.usable[moved[:, 0], moved[:, 1]] == kinds
    drawn = np.zeros(len(good), np.int64)
    random = np.random.Generator(np.random.Philox(key=[seed, 1 << 40]))
    for kind in np.unique(kinds[~good]):
        stock = np.flatnonzero(fine.usable == kind)
        drawn = np.where(kinds == kind, stock[random.integers(0, len(stock), len(good))], drawn)
    return np.where(good[:, None], moved, np.stack(np.divmod(drawn, size[1]), 1)).astype(np.int32)


def _nearest(starts: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The number of the nearest of ``starts``, rising, to each place."""
    return np.searchsorted((starts[1:] + starts[:-1]) / 2, wanted)


def _nearest_target(targets: Targets, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The number of the target nearest to each place of the grid."""
    none = (targets.number < 0).astype(np.uint8)
    _, labels = cv2.distanceTransformWithLabels(none, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    by_label = np.zeros(int(labels.max()) + 1, np.int64)
    there = targets.number >= 0
    by_label[labels[there]] = targets.number[there]
    return by_label[labels[rows, columns]]


def levels(fine_octave: int, more: float = 1.0) -> tuple[np.ndarray, Schedule]:
    """ᾱ of the levels of a finer octave, rising in noise, and its schedule; the first above the coarsest is number 0.

    Args:
        more: network calls in all, over those of :data:`LADDER` and :data:`FINE`.
    """
    sigma, calls = LADDER[fine_octave] if fine_octave < len(LADDER) else FINE
    calls = max(3, round(calls * more))
    return 1 / (1 + np.geomspace(LAST_SIGMA, sigma, calls) ** 2), plain(calls)
