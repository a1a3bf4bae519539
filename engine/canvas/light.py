"""Between a picture's values and a model's, there and back without loss.

A model works within [−1, 1], more or less, where 1 is about the contrast of a photograph. In 8 bits that is the whole
range, v = x / 127.5 − 1. Deeper pictures may use a small part of their range (a night sky, a height map), or go beyond
it (highlights of a float picture), so they are mapped in these steps, each of which can be undone:

1. x / max for integers; floats as they are. Half and full floats may hold any number.
2. Where values are proportional to light, sRGB's curve, odd below 0 and continued above 1, because equal steps of light
   are no equal steps to the eye, and noise that is the same everywhere for the eye is what models add.
3. u → v = 2 (u − low) / (high − low) − 1. (low, high) is (0, 1), widened to what :data:`OUTLIERS` leaves of the known
   pixels' values; or, where that is less than :data:`NARROW` of it, that alone. All channels have the same.
4. What exceeds ±1, a star or a lamp, is bent: |v| → 1 + ln |v|, with the slope 1 at 1. Patches of the picture are
   compared so; a network knows no more than [−1, 1], and for it what exceeds is brought into the outer part of it,
   linearly, and the rest into the inner :data:`KNEE`.

A picture whose known pixels are all gray is filled with gray, unless a network is told what to paint.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from engine.canvas.boxes import opaque, whole

OUTLIERS, BEYOND = 5, 0.2
"""Percent of the known pixels' values at each end that the range is not told by; and how far it goes on beyond the
others, as a share of what they span, if there are values."""
BEND = 0.25
"""How far beyond ±1 values are compressed to half."""
NARROW = 0.25
"""Share of the range below which what is used of it is stretched."""
KNEE = 0.8
"""What a network sees of the range where something exceeds it."""
LEAST_WIDTH = 2.0**-12
"""Of a range in relation to the largest value in it: 16 levels of 16 bits."""
STRIP = 1 << 18
"""Pixels that are worked on together."""
SAMPLES = 1 << 20
"""Values that the range is told from, at most."""


@dataclass(frozen=True)
class Light:
    """The map of one picture.

    Attributes:
        dtype: of the picture's samples: uint8, uint16, float16 or float32.
        linear: values are proportional to light.
        gray: all known pixels are gray.
        low, high: what becomes −1 and 1, after steps 1 and 2.
        ends: −1 … 1 and beyond: the least and the largest known value after step 4, where they exceed.
        network: for a model that knows [−1, 1] only.
    """

    dtype: np.dtype = field(default_factory=lambda: np.dtype(np.uint8))
    linear: bool = False
    gray: bool = False
    low: float = 0.0
    high: float = 1.0
    ends: tuple[float, float] = (-1.0, 1.0)
    network: bool = False

    @classmethod
    def of(cls, image: np.ndarray, known: np.ndarray, linear: bool = False, network: bool = False) -> Light:
        """The map for a picture (H, W, 4) with these ``known`` pixels, (H, W) bool; transparent ones never are."""
        known = known & opaque(image)
        plain = cls(image.dtype, linear, network=network)
        if not known.any():
            return plain
        plain = replace(plain, gray=_gray(image, known))
        if image.dtype == np.uint8:
            return plain
        values, extremes = (plain._even(each) for each in _sampled(image, known))
        inner = np.percentile(values, (OUTLIERS, 100 - OUTLIERS))
        beyond = BEYOND * float(inner[1] - inner[0])
        least, most = max(extremes[0], inner[0] - beyond), min(extremes[1], inner[1] + beyond)
        low, high = min(0.0, float(least)), max(1.0, float(most))
        if most - least < NARROW * (high - low):
            lacking = max(0.0, LEAST_WIDTH * max(abs(least), abs(most), 2.0**-24) - (most - least)) / 2
            low, high = float(least - lacking), float(most + lacking)
        made = replace(plain, low=low, high=high)
        ends = made._bent(extremes)
        return replace(made, ends=(min(-1.0, float(ends[0])), max(1.0, float(ends[1]))))

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the largest value that the model sees, at least ±1."""
        return (-1.0, 1.0) if self.network else self.ends

    @property
    def _kneed(self) -> bool:
        return self.network and self.ends != (-1.0, 1.0)

    @property
    def _plain(self) -> bool:
        return not self.linear and (self.low, self.high) == (0.0, 1.0)

    def encoded(self, colours: np.ndarray) -> np.ndarray:
        """(H, W, 3) of the picture's type, or floats in its unit → float32 for the model; what is no number counts as
        0."""
        if self._plain and colours.dtype.kind == "u":
            out = colours.astype(np.float32)
            out /= whole(self.dtype) / 2
            out -= 1
            return out
        out = np.empty(colours.shape, np.float32)
        for rows in _strips(colours):
            values = self._bent(self._even(colours[rows]))
            out[rows] = np.interp(values, *self._knees) if self._kneed else values
        return out

    def decoded(self, shares: np.ndarray) -> np.ndarray:
        """(H, W, 3) float32 from the model, (v + 1) / 2, so that 0 … 1 stands for [−1, 1] → the picture's values:
        integers within 0 … 1, floats without bounds."""
        out = np.empty(shares.shape, np.float32)
        for rows in _strips(shares):
            out[rows] = self._decoded(shares[rows])
        return out

    def _decoded(self, shares: np.ndarray) -> np.ndarray:
        if self._plain and self.dtype.kind == "u":
            values = shares.clip(0, 1)
        else:
            values = 2 * shares - 1
            if self._kneed:
                values = np.interp(values, *self._knees[::-1]).astype(np.float32)
            size = np.abs(values)
            above = np.exp(np.minimum(np.maximum(size - 1, 0) / BEND, 80)) - 1
            values = np.where(size > 1, np.copysign(1 + BEND * above, values), values)
            values = (values + 1) * np.float32((self.high - self.low) / 2) + np.float32(self.low)
            if self.linear:
                values = _as_light(values)
            if self.dtype.kind == "u":
                values = values.clip(0, 1)
        if self.gray:
            first = values[..., :1]
            values = np.broadcast_to(first + (values - first).mean(-1, keepdims=True), values.shape)
        return values

    def _even(self, values: np.ndarray) -> np.ndarray:
        """Steps 1 and 2."""
        out = np.nan_to_num(in_unit(values), copy=False, posinf=0, neginf=0)
        return _as_seen(out) if self.linear else out

    def _bent(self, values: np.ndarray) -> np.ndarray:
        """Steps 3 and 4, but for networks' part of it."""
        out = (values - np.float32(self.low)) * np.float32(2 / (self.high - self.low)) - 1
        size = np.abs(out)
        above = np.maximum(size - 1, 0)
        return np.where(size > 1, np.copysign(1 + BEND * np.log1p(above / BEND), out), out)

    @property
    def _knees(self) -> tuple[list[float], list[float]]:
        """Points of the map of what step 4 gives into [−1, 1]."""
        least, most = self.ends
        points = [(least, -1.0)] * (least < -1) + [(-1.0, -KNEE if least < -1 else -1.0)]
        points += [(1.0, KNEE if most > 1 else 1.0)] + [(most, 1.0)] * (most > 1)
        xs, ys = zip(*points, strict=True)
        return list(xs), list(ys)


def _strips(picture: np.ndarray) -> list[slice]:
    """Rows of a picture (H, W, …) that are worked on together, so that what is in between takes little memory."""
    rows = max(1, STRIP // max(1, picture.shape[1]))
    return [slice(first, first + rows) for first in range(0, len(picture), rows)]


def _sampled(image: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Some samples of the known pixels' colours, evenly spread, and (2,) the least and the largest of all."""
    apart = -(-3 * np.count_nonzero(known) // SAMPLES)
    some, ends = [], []
    for rows in _strips(image):
        part = image[rows][known[rows]][:, :3].reshape(-1)
        if len(part):
            some.append(part[::apart])
            ends += [part.min(), part.max()]
    return np.concatenate(some), np.array([min(ends), max(ends)])


def in_unit(samples: np.ndarray) -> np.ndarray:
    """Samples of a picture as float32 in its unit: integers from 0 to 1, floats as they are."""
    out = samples.astype(np.float32)
    out /= whole(samples.dtype)
    return out


def stored(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Values in a picture's unit as samples of its type: integers rounded, from 0 … 1; floats as far as they go."""
    if dtype.kind == "u":
        return np.rint(np.clip(values, 0, 1) * whole(dtype)).astype(dtype)
    most = np.finfo(dtype).max
    return values.clip(-most, most).astype(dtype)


def _gray(image: np.ndarray, known: np.ndarray) -> bool:
    red = image[..., 0]
    for other in (image[..., 1], image[..., 2]):
        same = red == other if image.dtype.kind == "u" else np.isclose(red, other, rtol=1e-5, atol=1e-7)
        if not same[known].all():
            return False
    return True


def _as_seen(light: np.ndarray) -> np.ndarray:
    """sRGB's curve (IEC 61966-2-1), odd below 0 and continued above 1."""
    size = np.abs(light)
    return np.copysign(np.where(size > 0.0031308, 1.055 * size ** (1 / 2.4) - 0.055, 12.92 * size), light)


def _as_light(seen: np.ndarray) -> np.ndarray:
    size = np.abs(seen)
    return np.copysign(np.where(size > 0.04045, ((size + 0.055) / 1.055) ** 2.4, size / 12.92), seen)
