"""Procedural pictures that a few words describe: one coloured shape on a muted surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIDE = 128
COLOURS = {"red": (205, 45, 40), "green": (50, 165, 60), "blue": (45, 75, 200), "yellow": (235, 205, 50)}
SHAPES = ("circle", "square", "triangle")
GROUNDS = {"sand": (205, 185, 150), "slate": (110, 118, 128), "moss": (110, 125, 90)}
SURFACES = ("plain", "stripes", "checks")


@dataclass(frozen=True)
class Scene:
    """What a picture shows; ``colour`` and ``shape`` are empty where there is no shape.

    Attributes:
        centre: (y, x) of the shape, as shares of the side.
        size: half the shape's extent, as a share of the side.
        seed: of everything else.
    """

    colour: str
    shape: str
    ground: str
    surface: str
    centre: tuple[float, float]
    size: float
    seed: int

    @property
    def words(self) -> str:
        """The full caption."""
        thing = f"a {self.colour} {self.shape} on " if self.shape else ""
        return f"{thing}{self.ground} {self.surface}"

    def caption(self, rng: np.random.Generator) -> str:
        """One of the captions of the training: full, one half of it, or empty."""
        kind = rng.random()
        if kind < 0.15:
            return ""
        if self.shape and kind < 0.45:
            return f"a {self.colour} {self.shape}"
        return f"{self.ground} {self.surface}" if kind < 0.55 else self.words


def scene(rng: np.random.Generator, empty: float = 0.15) -> Scene:
    """A random scene; without a shape in so many of the cases."""
    has_shape = rng.random() >= empty
    size = rng.uniform(0.14, 0.24)
    y, x = rng.uniform(size + 0.02, 0.98 - size, 2)
    return Scene(
        str(rng.choice(list(COLOURS))) if has_shape else "",
        str(rng.choice(SHAPES)) if has_shape else "",
        str(rng.choice(list(GROUNDS))),
        str(rng.choice(SURFACES)),
        (float(y), float(x)),
        float(size),
        int(rng.integers(2**31)),
    )


def draw(scene: Scene) -> np.ndarray:
    """The picture, (128, 128, 3) uint8, antialiased."""
    rng = np.random.default_rng(scene.seed)
    y, x = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE
    ground = np.array(GROUNDS[scene.ground], np.float64) * rng.uniform(0.9, 1.1)
    pattern = _surface(scene.surface, y, x, rng)
    light = 1 + 0.12 * ((x - 0.5) * rng.uniform(-1, 1) + (y - 0.5) * rng.uniform(-1, 1))
    picture = ground * (light * (1 + 0.16 * pattern))[..., None]
    if scene.shape:
        cover = np.clip(0.5 - _distance(scene, y, x) * SIDE, 0, 1)[..., None]
        paint = np.array(COLOURS[scene.colour], np.float64) * rng.uniform(0.92, 1.08)
        picture = picture * (1 - cover) + paint * light[..., None] * cover
    return np.rint(picture.clip(0, 255)).astype(np.uint8)


def _surface(name: str, y: np.ndarray, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """−1 … 1, smooth at the edges of the pattern; periods of 20 to 28 pixels, twice that for checks."""
    period, angle = rng.uniform(20, 28) * (1 + (name == "checks")) / SIDE, rng.uniform(-0.2, 0.2)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    phase = rng.uniform(0, 1, 2)
    waves = [np.sin(2 * np.pi * (each / period + shift)) for each, shift in zip((along, across), phase, strict=True)]
    if name == "stripes":
        return np.tanh(3 * waves[0])
    return np.tanh(4 * waves[0] * waves[1]) if name == "checks" else np.zeros_like(y)


def _distance(scene: Scene, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Signed distance to the shape's border in sides of the picture, negative inside (rounded off for the triangle)."""
    dy, dx = y - scene.centre[0], x - scene.centre[1]
    if scene.shape == "circle":
        return np.hypot(dy, dx) - scene.size
    if scene.shape == "square":
        return np.maximum(abs(dy), abs(dx)) - 0.9 * scene.size
    slope = abs(dx) * 0.894 - (dy + scene.size) * 0.447
    return np.maximum(slope, dy - 0.9 * scene.size)
