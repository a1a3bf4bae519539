"""How pieces lie in the plane: courses of bricks, honeycombs, parquet, scales, and things strewn at random."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.data.fields import Array, Cells, Rng, hashed, noise, smoothstep, unit


def rows(rng: Rng, u: Array, v: Array, width: float, height: float, shift: float | None) -> Cells:
    """Courses of rectangles; every course is moved by ``shift`` widths against the last (None: at random)."""
    row = np.floor(v / height).astype(int)
    offset = unit(hashed(row, int(rng.integers(1 << 30)))) if shift is None else row * shift
    along = u / width + offset
    column = np.floor(along).astype(int)
    x, y = (along - column) * width, v - row * height
    edge = np.minimum(np.minimum(x, width - x), np.minimum(y, height - y))
    return Cells(hashed(row, column), edge)


def hexagonal(u: Array, v: Array, size: float) -> Cells:
    """Regular hexagons whose centres lie ``size`` pixels apart."""
    rise = size * np.sqrt(3.0)
    best, identity, second = np.full(u.shape, np.inf), np.zeros(u.shape, dtype=np.int64), np.full(u.shape, np.inf)
    for layer, (ou, ov) in enumerate(((0.0, 0.0), (size / 2, rise / 2))):
        c0, r0 = np.floor((u - ou) / size).astype(int), np.floor((v - ov) / rise).astype(int)
        for dc in (0, 1):
            for dr in (0, 1):
                distance = np.hypot((c0 + dc) * size + ou - u, (r0 + dr) * rise + ov - v)
                nearer = distance < best
                second = np.where(nearer, best, np.minimum(second, distance))
                identity = np.where(nearer, hashed(c0 + dc, r0 + dr, layer), identity)
                best = np.where(nearer, distance, best)
    return Cells(identity, (second - best) / 2)


def herringbone(u: Array, v: Array, width: float, ratio: int) -> Cells:
    """Bars ``width`` wide and ``ratio`` times as long, in zigzag; lying bars have even numbers, upright ones odd."""
    x, y = np.floor(u / width).astype(int), np.floor(v / width).astype(int)
    place = (x - y) % (2 * ratio)
    lying = place < ratio
    start_x, start_y = np.where(lying, x - place, x), np.where(lying, y, y - (2 * ratio - 1 - place))
    wide, high = np.where(lying, ratio, 1) * width, np.where(lying, 1, ratio) * width
    left, top = u - start_x * width, v - start_y * width
    edge = np.minimum(np.minimum(left, wide - left), np.minimum(top, high - top))
    return Cells((hashed(start_x, start_y) // 2) * 2 + ~lying, edge)


def overlapping(u: Array, v: Array, size: float, pitch: float) -> Cells:
    """Discs in staggered rows ``pitch``·size apart, each row lying over the one behind it."""
    step, radius = size * pitch, size * 0.62
    base = np.floor(v / step).astype(int)
    edge, identity = np.zeros(u.shape), np.zeros(u.shape, dtype=np.int64)
    done = np.zeros(u.shape, dtype=bool)
    for back in range(3, -4, -1):
        row = base + back
        column = np.round(u / size - 0.5 * (row % 2)).astype(int)
        distance = np.hypot((column + 0.5 * (row % 2)) * size - u, row * step - v)
        here = (distance < radius) & ~done
        edge, identity = np.where(here, radius - distance, edge), np.where(here, hashed(row, column), identity)
        done |= here
    return Cells(identity, edge)


def leaf(x: Array, y: Array, rng: Rng) -> tuple[Array, Array]:
    """A pointed oval with a midrib on [−1, 1]²: (cover, tone)."""
    width = 0.45 * np.cos(np.clip(x, -1, 1) * np.pi / 2) ** 0.8
    inside = smoothstep(width - np.abs(y), -0.05, 0.1)
    rib = 1 - 0.3 * np.exp(-((y / 0.06) ** 2)) - 0.15 * (np.sin((x + np.abs(y)) * rng.uniform(12, 20)) > 0.6)
    return inside, rib * (0.85 + 0.25 * y * rng.choice([-1, 1]))


def pebble(x: Array, y: Array, rng: Rng) -> tuple[Array, Array]:
    """A rounded, lit lump on [−1, 1]²: (cover, tone)."""
    angle, lobes = np.arctan2(y, x), rng.uniform(0, 0.08)
    radius = np.hypot(x, y) / (0.8 + lobes * np.sin(3 * angle + rng.uniform(0, 6)) + 0.05 * np.sin(5 * angle))
    dome = np.sqrt(np.clip(1 - radius**2, 0, 1))
    return smoothstep(1 - radius, 0.0, 0.12), 0.45 + 0.55 * dome + 0.25 * (y - x) * 0.5


def blade(x: Array, y: Array, rng: Rng) -> tuple[Array, Array]:
    """A curved tapering stroke on [−1, 1]²: (cover, tone)."""
    bent = y - rng.uniform(-0.3, 0.3) * (x + 1) ** 2 / 2
    width = 0.09 * (1 - np.clip(x, -1, 1)) / 2 + 0.02
    return smoothstep(width - np.abs(bent), -0.02, 0.03), 0.7 + 0.3 * x - 1.5 * bent


def scatter(
    rng: Rng,
    n: int,
    shape: Callable[[Array, Array, Rng], tuple[Array, Array]],
    colours: Array,
    size: tuple[float, float],
    cover: float = 3.0,
    spread: float = np.pi,
) -> Array:
    """Many copies of a shape on a ground, from below (darker) to the top.

    Args:
        size: smallest and largest half-length of a piece in pixels.
        cover: total area of the pieces' boxes over the picture's area.
        spread: how far directions vary about one chosen direction, radians.
    """
    direction = rng.uniform(0, 2 * np.pi)
    picture = colours[0] * 0.5 * np.clip(1 + 0.2 * noise(rng, n, 1.2)[..., None], 0, 2)
    shadow = rng.uniform(0.3, 0.8)
    mean_area = ((size[0] + size[1]) ** 2) * 0.6
    count = int(np.clip(cover * n * n / mean_area, 20, 8000))
    stamps = []
    for _ in range(24):  # a small set of pictures of the piece, drawn again and again
        half = rng.uniform(*size)
        reach = int(np.ceil(half * 1.1))
        gy, gx = np.mgrid[-reach : reach + 1, -reach : reach + 1] / half
        angle = direction + rng.uniform(-spread, spread)
        x, y = gx * np.cos(angle) + gy * np.sin(angle), gy * np.cos(angle) - gx * np.sin(angle)
        inside, tone = shape(x, y, rng)
        inside = inside * (np.abs(x) <= 1.0)
        stamps.append((reach, inside[..., None], np.clip(tone, 0.1, 1.4)[..., None]))
    for number in range(count):
        reach, inside, tone = stamps[int(rng.integers(len(stamps)))]
        cy, cx = rng.integers(0, n, 2)
        top, left = max(0, cy - reach), max(0, cx - reach)
        bottom, right = min(n, cy + reach + 1), min(n, cx + reach + 1)
        cut = np.s_[top - cy + reach : bottom - cy + reach, left - cx + reach : right - cx + reach]
        depth = shadow + (1 - shadow) * number / count
        colour = colours[int(rng.integers(len(colours)))] * depth * (1 + 0.12 * rng.standard_normal())
        box = picture[top:bottom, left:right]
        box += (np.clip(colour * tone[cut], 0, 1) - box) * inside[cut]
    return picture
