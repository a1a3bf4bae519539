"""What patches are taken from, at one scale: the picture itself, or another one in its place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from engine.canvas import HALF, in_parts
from engine.exemplar.patch import SIDE, all_under, means

LEAST_SOURCES = 64
"""Source patches at the coarsest octave, at least; where there are fewer the run begins at a finer one."""


@dataclass(frozen=True)
class Material:
    """A picture and what of it may be taken.

    Attributes:
        pixels: (H, W, C) float32; unknown ones are 0. Colours in [−1, 1], behind them the channels of maps
            and, but at the finest octave, of texture.
        known: (H, W) bool.
        cover: (H, W) float32, by how much known pixels count, 0 where unknown; all the same if None.
    """

    pixels: np.ndarray
    known: np.ndarray
    cover: np.ndarray | None = None

    @classmethod
    def of(cls, pixels: np.ndarray, known: np.ndarray, cover: np.ndarray | None = None) -> Material:
        """The same with unknown pixels 0, and planes one after the other, as :attr:`source` has them, so that it is no
        copy."""
        return cls.masked(pixels, known, cover).planar()

    @classmethod
    def masked(cls, pixels: np.ndarray, known: np.ndarray, cover: np.ndarray | None = None) -> Material:
        """The same with unknown pixels 0; no copy of a picture where they are."""
        cover = None if cover is None else np.where(known, cover, np.float32(0))
        if pixels[~known].any():
            pixels = np.where(known[..., None], pixels, np.float32(0))
        return cls(pixels, known, cover)

    def planar(self) -> Material:
        """The same with its planes one after the other."""
        return replace(self, pixels=planar(self.pixels))

    def scaled(self, shape: np.ndarray) -> Material:
        """At another scale: of that (height, width), rounded. A pixel is known where everything under it is. Its planes
        do not lie one after the other."""
        height, width = (max(1, round(float(length))) for length in shape)
        how = cv2.INTER_AREA if height <= self.known.shape[0] else cv2.INTER_LINEAR

        def resized(values: np.ndarray) -> np.ndarray:
            return cv2.resize(values, (width, height), interpolation=how)

        known = resized(self.known.astype(np.float32)) > 1 - 1e-4
        if self.cover is None:
            return Material.masked(in_parts(resized, np.ascontiguousarray(self.pixels)), known)
        cover = np.where(known, resized(self.cover), np.float32(0))
        colour = in_parts(resized, self.pixels * self.cover[..., None]) / np.maximum(cover, 1e-6)[..., None]
        return Material.masked(colour, known, cover)

    @cached_property
    def source(self) -> np.ndarray:
        """(C, H, W) float32."""
        return np.ascontiguousarray(self.pixels.transpose(2, 0, 1), np.float32)

    @cached_property
    def usable(self) -> np.ndarray:
        """(H, W) uint8, 1 where a patch of known pixels begins, half opaque ones if there are enough of these."""
        if self.cover is not None:
            solid = all_under(self.cover >= HALF)
            if np.count_nonzero(solid) >= LEAST_SOURCES:
                return solid.astype(np.uint8)
        return all_under(self.known).astype(np.uint8)

    @property
    def count(self) -> int:
        """Its patches."""
        return int(np.count_nonzero(self.usable))

    @cached_property
    def contrast(self) -> np.ndarray:
        """(H, W) float32: of the patch that begins there, the sum of its squared deviations from its mean colour."""
        total = np.zeros(self.known.shape, np.float32)
        for plane in self.source:
            total += np.maximum(means(plane**2) - means(plane) ** 2, 0)
        total *= SIDE**2
        return total

    def apart(self, colours: np.ndarray) -> np.ndarray:
        """(C, 1): by how much its mean differs from that of (C, N); nothing where N is 0."""
        if not colours.shape[1]:
            return np.zeros((len(colours), 1), np.float32)
        apart: np.ndarray = self.pixels[self.known].mean(0)[:, None] - colours.mean(1, keepdims=True)
        return apart


@dataclass(frozen=True)
class Mixture:
    """Two materials, one below the other on a sheet; a patch is of one of them.

    Attributes:
        first, second: the picture itself, and another one.
        share: of the fill that is to come from the second, 0 … 1.
    """

    first: Material
    second: Material
    share: float

    def scaled(self, shape: np.ndarray) -> Mixture:
        """At another scale, of the sheet's (height, width)."""
        scale = shape / np.array(self.known.shape)
        first, second = (each.scaled(np.array(each.known.shape) * scale).planar() for each in (self.first, self.second))
        return Mixture(first, second, self.share)

    @cached_property
    def known(self) -> np.ndarray:
        return self._sheet("known")

    @cached_property
    def source(self) -> np.ndarray:
        """(C, H, W) float32."""
        return np.stack([self._sheet("source", channel) for channel in range(self.first.pixels.shape[2])])

    @cached_property
    def usable(self) -> np.ndarray:
        """(H, W) uint8, 1 where a patch of the first begins, 2 where one of the second does."""
        usable = self._sheet("usable")
        usable[len(self.first.known) :] *= 2
        return usable

    @property
    def count(self) -> int:
        """The patches of that which has fewer."""
        return min(self.first.count, self.second.count)

    @cached_property
    def contrast(self) -> np.ndarray:
        """As of a material."""
        return self._sheet("contrast")

    def apart(self, colours: np.ndarray) -> np.ndarray:
        """(C, 1): nothing, for what is around is among it."""
        return np.zeros((len(colours), 1), np.float32)

    def _sheet(self, name: str, *channel: int) -> np.ndarray:
        parts = [getattr(each, name)[channel] if channel else getattr(each, name) for each in (self.first, self.second)]
        width = max(part.shape[1] for part in parts)
        return np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts])


def planar(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) with its planes one after the other, as sources are looked at; no copy where they are."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)).transpose(1, 2, 0)
