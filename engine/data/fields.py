"""The building blocks of procedural textures: noise, coordinates, cells, colours, light.

Arrays are float64; fields (n, n), colour pictures (n, n, 3) in [0, 1]; lengths in pixels, angles in radians.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
Rng = np.random.Generator


def noise(rng: Rng, n: int, beta: float, stretch: float = 1.0, angle: float = 0.0, band: float | None = None) -> Array:
    """Gaussian noise with spectrum 1/f^beta, zero mean, unit deviation.

    Args:
        beta: 0 white, 1 stone-like, 2 cloud-like.
        stretch: how many times longer features are along ``angle`` than across it.
        band: drop wavelengths far from this many pixels.
    """
    fy, fx = np.meshgrid(np.fft.fftfreq(n), np.fft.rfftfreq(n), indexing="ij")
    along, across = fx * np.cos(angle) + fy * np.sin(angle), fy * np.cos(angle) - fx * np.sin(angle)
    f = np.sqrt((along * stretch) ** 2 + across**2)
    f[0, 0] = 1.0
    gain = np.maximum(f, 0.5 / n) ** -beta
    if band is not None:
        gain = gain * np.exp(-((np.log(f * band)) ** 2))
    gain[0, 0] = 0.0
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((n, n))) * gain, s=(n, n))
    return field / (field.std() + 1e-9)


def flatten(field: Array) -> Array:
    """Scale to [0, 1] between the 1st and 99th percentiles."""
    low, high = np.percentile(field, (1, 99))
    return np.clip((field - low) / (high - low + 1e-9), 0, 1)


def smoothstep(field: Array, low: float, high: float) -> Array:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((field - low) / (high - low + 1e-9), 0, 1)
    return t * t * (3 - 2 * t)


@dataclass(frozen=True)
class Grid:
    """Turned and gently warped coordinates of every pixel, in pixels."""

    u: Array
    v: Array
    angle: float

    @property
    def plane(self) -> tuple[Array, Array]:
        return self.u, self.v

    @classmethod
    def random(cls, rng: Rng, n: int, warp: float = 0.0, turn: bool = True) -> Grid:
        """Random offset; turned by any angle or (``turn`` False) by none; ``warp``: deviation of the warp in pixels."""
        angle = 0.0
        if turn:
            angle = float(rng.choice([0.0, np.pi / 2])) if rng.random() < 0.4 else float(rng.uniform(0, np.pi))
        y, x = np.mgrid[0:n, 0:n].astype(np.float64)
        if warp:
            x, y = x + warp * noise(rng, n, 2.2), y + warp * noise(rng, n, 2.2)
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        du, dv = rng.uniform(0, 1000, 2)
        return cls(u + du, v + dv, angle)


@dataclass(frozen=True)
class Cells:
    """A division of the plane.

    Attributes:
        identity: (n, n) integer, one number per cell.
        edge: (n, n) distance in pixels to the cell's border, 0 at the border.
    """

    identity: Array
    edge: Array


@dataclass(frozen=True)
class Worley:
    """Distances to the nearest and second nearest of jittered grid points, in pixels."""

    first: Array
    second: Array
    identity: Array
    size: float


def hashed(*numbers: Array | int) -> Array:
    """Well-mixed non-negative integers from integer arrays: the same numbers give the same result everywhere."""
    state: Array = np.asarray(0x9E3779B97F4A7C15, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for number in numbers:
            state = state ^ np.asarray(number).astype(np.int64).astype(np.uint64)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return np.asarray(state >> np.uint64(2)).astype(np.int64)


def unit(values: Array) -> Array:
    """Integers of :func:`hashed` as numbers in [0, 1)."""
    return (values % (1 << 24)) / float(1 << 24)


def worley(rng: Rng, u: Array, v: Array, size: float, jitter: float) -> Worley:
    """Cellular distances: one point per ``size``-pixel square, moved by up to ``jitter`` of half the square."""
    salt = int(rng.integers(1 << 30))
    column, row = np.floor(u / size).astype(int), np.floor(v / size).astype(int)
    first = np.full(u.shape, np.inf)
    second = first.copy()
    identity = np.zeros(u.shape, dtype=np.int64)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            cx, cy = column + dx, row + dy
            number = hashed(cx, cy, salt)
            px = (cx + 0.5 + jitter * (unit(number) - 0.5)) * size
            py = (cy + 0.5 + jitter * (unit(hashed(number, 7)) - 0.5)) * size
            distance = np.hypot(px - u, py - v)
            nearer = distance < first
            second = np.where(nearer, first, np.minimum(second, distance))
            identity = np.where(nearer, number, identity)
            first = np.where(nearer, distance, first)
    return Worley(first, second, identity, size)


def palette(rng: Rng, k: int, saturation: float = 0.5, *, warm: bool = False, leaf: bool = False) -> Array:
    """``k`` related colours from dark to light, (k, 3) in [0, 1].

    Args:
        saturation: upper end of the colours' saturation.
        warm: hues of wood and clay; leaf: hues of plants. Otherwise any hue.
    """
    hue = rng.uniform(0.02, 0.13) if warm else rng.uniform(0.17, 0.38) if leaf else rng.random()
    spread = rng.uniform(0.01, 0.06) if warm or leaf or rng.random() < 0.7 else rng.uniform(0.1, 0.5)
    base = rng.uniform(0.1, 1.0) * saturation
    dark = rng.uniform(0.05, 0.5)
    light = rng.uniform(dark + 0.2, 1.0)
    colours = [
        colorsys.hsv_to_rgb(
            (hue + spread * rng.standard_normal()) % 1.0,
            float(np.clip(base + 0.15 * rng.standard_normal() * saturation, 0, 1)),
            float(np.clip(value + 0.04 * rng.standard_normal(), 0.02, 1)),
        )
        for value in np.linspace(dark, light, k)
    ]
    return np.asarray(colours)


def ramp(t: Array, colours: Array) -> Array:
    """Field in [0, 1] → colour picture, linearly between the palette's colours."""
    stops = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(t, stops, colours[:, channel]) for channel in range(3)], axis=-1)


def per_cell_colour(rng: Rng, identity: Array, colours: Array, spread: float) -> Array:
    """One tone per cell: between two neighbours of the palette, brighter or darker by about ``spread``."""
    number = hashed(identity, int(rng.integers(1 << 30)))
    colour = ramp(unit(number), colours)
    return np.clip(colour * (1 + spread * 3.4 * (unit(hashed(number, 3)) - 0.5))[..., None], 0, 1)


def mottle(rng: Rng, n: int, colours: Array) -> Array:
    """A ground colour that wanders slowly through the palette."""
    return ramp(flatten(noise(rng, n, rng.uniform(1.0, 2.0))), colours)


def lit(colour: Array, height: Array, rng: Rng, strength: float) -> Array:
    """Light from a random side over a height field in pixels: slopes towards it brighten."""
    angle = rng.uniform(0, 2 * np.pi)
    dy, dx = np.gradient(height)
    slope = dx * np.cos(angle) + dy * np.sin(angle)
    return colour * (1 + 0.6 * np.tanh(strength * slope))[..., None]


def bump(colour: Array, rng: Rng) -> Array:
    """A last touch that real pictures have: a slow change of brightness and a little sensor noise."""
    n = colour.shape[0]
    slow = 1 + rng.uniform(0, 0.12) * noise(rng, n, 3.0)
    return colour * slow[..., None] + rng.uniform(0, 0.015) * rng.standard_normal(colour.shape)
