"""Textures made by arithmetic: seeded, coloured, numpy only.

``generate(seed)`` gives one picture; the seed chooses the family and everything in it, so the same seed is the same
picture on every machine with the same numpy. The families imitate surfaces (stone, wood, weave, foliage …), they copy
nothing: what they make belongs to this project, under its licence.

Inside, a *height* or *field* is a float64 array (n, n) of about unit spread, a *colour picture* is float64 (n, n, 3) in
[0, 1]. Lengths are pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.data import layouts
from engine.data.fields import (
    Array,
    Grid,
    bump,
    flatten,
    lit,
    mottle,
    noise,
    palette,
    per_cell_colour,
    ramp,
    smoothstep,
    worley,
)

Rng = np.random.Generator


def clouds(rng: Rng, n: int) -> Array:
    """Isotropic 1/f noise through a colour ramp."""
    return ramp(flatten(noise(rng, n, rng.uniform(1.0, 2.2))), palette(rng, 4))


def grain(rng: Rng, n: int) -> Array:
    """Fine sand or plaster: nearly white noise on a slow mottling."""
    field = noise(rng, n, rng.uniform(0.2, 1.0)) + rng.uniform(0.2, 0.8) * noise(rng, n, 2.0)
    return lit(ramp(flatten(field), palette(rng, 3, rng.uniform(0.2, 0.6))), field, rng, rng.uniform(0.0, 0.5))


def wood(rng: Rng, n: int) -> Array:
    """Growth rings seen along the board, with fibres."""
    grid = Grid.random(rng, n, warp=rng.uniform(2, 10))
    period = rng.uniform(8, 30)
    bend = noise(rng, n, 2.2, stretch=rng.uniform(3, 8), angle=grid.angle) * rng.uniform(0.5, 2.0)
    rings = np.abs(((grid.v / period + bend) % 1.0) * 2 - 1) ** rng.uniform(0.5, 2)
    fibre = noise(rng, n, 0.6, stretch=12, angle=grid.angle)
    return ramp(np.clip(0.7 * rings + 0.12 * fibre + 0.15, 0, 1), palette(rng, 3, 0.6, warm=True))


def planks(rng: Rng, n: int) -> Array:
    """Boards side by side, each with its own tone and grain."""
    grid = Grid.random(rng, n, warp=0.5)
    cells = layouts.rows(rng, grid.u, grid.v, width=rng.uniform(80, 300), height=rng.uniform(14, 48), shift=None)
    fibre = noise(rng, n, 1.2, stretch=10, angle=grid.angle)
    colour = per_cell_colour(rng, cells.identity, palette(rng, 3, 0.4, warm=True), 0.12)
    colour = colour * (1 + 0.12 * fibre[..., None])
    return colour * (0.25 + 0.75 * smoothstep(cells.edge, 0.3, 2.0))[..., None]


def marble(rng: Rng, n: int) -> Array:
    """Veins: a sine of position pushed about by noise."""
    grid = Grid.random(rng, n)
    field = np.sin(grid.u / rng.uniform(6, 25) + rng.uniform(1.5, 5) * noise(rng, n, 1.8))
    return ramp(np.abs(field) ** rng.uniform(0.3, 1.2), palette(rng, 3, rng.uniform(0.2, 0.5)))


def stone(rng: Rng, n: int) -> Array:
    """Rough rock: noise lit from one side, with darker cracks."""
    field = noise(rng, n, rng.uniform(1.2, 1.8)) + 0.5 * np.abs(noise(rng, n, 1.5))
    return lit(mottle(rng, n, palette(rng, 3, 0.35)), field, rng, rng.uniform(0.6, 2.0))


def cobbles(rng: Rng, n: int) -> Array:
    """Rounded stones in mortar."""
    grid = Grid.random(rng, n, warp=rng.uniform(0, 2))
    cell = worley(rng, grid.u, grid.v, rng.uniform(10, 44), jitter=rng.uniform(0.4, 1.0))
    gap = smoothstep(cell.second - cell.first, 0.5, rng.uniform(2.5, 8))
    dome = gap * (1 - 0.5 * (cell.first / cell.size) ** 2)
    colour = per_cell_colour(rng, cell.identity, palette(rng, 4, 0.35), 0.15)
    colour = colour * (1 + 0.12 * noise(rng, n, 1.0)[..., None]) * (0.3 + 0.7 * gap)[..., None]
    return lit(colour, dome * cell.size * 0.12 + 0.1 * noise(rng, n, 1.0), rng, rng.uniform(0.4, 1.4))


def gravel(rng: Rng, n: int) -> Array:
    """Pebbles of several sizes lying on one another."""
    return layouts.scatter(
        rng, n, layouts.pebble, palette(rng, 5, 0.35), (rng.uniform(2, 5), rng.uniform(6, 16)), cover=9
    )


def brick(rng: Rng, n: int) -> Array:
    """Bricks in running or stack bond, toned one by one, in lighter or darker mortar."""
    grid = Grid.random(rng, n, warp=rng.uniform(0, 1.2), turn=rng.random() < 0.3)
    height = rng.uniform(9, 30)
    cells = layouts.rows(
        rng,
        grid.u,
        grid.v,
        width=height * rng.uniform(1.6, 3.4),
        height=height,
        shift=rng.choice([0.5, 0.5, 0.33, 0.0]),
    )
    mortar, face = palette(rng, 1, 0.15)[0], per_cell_colour(rng, cells.identity, palette(rng, 3, 0.5, warm=True), 0.14)
    face = face * (1 + rng.uniform(0.04, 0.14) * noise(rng, n, rng.uniform(0.4, 1.4))[..., None])
    inside = smoothstep(cells.edge + 0.3 * noise(rng, n, 1.0), rng.uniform(0.3, 1), rng.uniform(1.5, 3))
    mortar = mortar * (1 + 0.08 * noise(rng, n, 0.5)[..., None])
    colour = face * inside[..., None] + mortar * (1 - inside[..., None])
    return lit(colour, inside * 2 + 0.15 * noise(rng, n, 0.8), rng, rng.uniform(0.1, 0.6))


def tiles(rng: Rng, n: int) -> Array:
    """Square floor tiles in two or more tones with grout."""
    grid = Grid.random(rng, n, turn=rng.random() < 0.6)
    side = rng.uniform(12, 48)
    cells = layouts.rows(rng, grid.u, grid.v, width=side, height=side, shift=0.0)
    colour = per_cell_colour(rng, cells.identity, palette(rng, 3, 0.4), rng.uniform(0.02, 0.2))
    colour = colour * (1 + 0.07 * noise(rng, n, 1.5)[..., None])
    inside = smoothstep(cells.edge, 0.4, rng.uniform(1.2, 2.5))[..., None]
    return lit(colour * inside + palette(rng, 1, 0.1)[0] * (1 - inside), inside[..., 0] * 1.5, rng, 0.4)


def hexagons(rng: Rng, n: int) -> Array:
    """Honeycomb cells."""
    grid = Grid.random(rng, n, warp=rng.uniform(0, 1))
    cell = layouts.hexagonal(grid.u, grid.v, rng.uniform(8, 30))
    colour = per_cell_colour(rng, cell.identity, palette(rng, 3, 0.5), 0.15)
    inside = smoothstep(cell.edge, 0.4, rng.uniform(1.2, 3))
    return lit(colour * (0.25 + 0.75 * inside[..., None]), 2 * inside + 0.1 * noise(rng, n, 1), rng, 0.5)


def basket(rng: Rng, n: int) -> Array:
    """Over-under weave of broad strips."""
    grid = Grid.random(rng, n, warp=rng.uniform(0, 1.5))
    side = rng.uniform(6, 22)
    a, b = grid.u / side, grid.v / side
    over = ((np.floor(a) + np.floor(b)) % 2).astype(bool)
    across, along = np.where(over, b, a) % 1.0, np.where(over, a, b) % 1.0
    height = np.sqrt(np.clip(1 - (2 * across - 1) ** 2, 0, 1)) * (0.6 + 0.4 * np.sin(np.pi * along))
    tones = palette(rng, 2, 0.5)
    fibre = noise(rng, n, 0.8)
    colour = np.where(over[..., None], tones[0], tones[1]) * (0.35 + 0.65 * height + 0.08 * fibre)[..., None]
    return lit(colour, height * side * 0.2, rng, 0.4)


def fabric(rng: Rng, n: int) -> Array:
    """Fine warp and weft, twill or plain."""
    grid = Grid.random(rng, n, warp=rng.uniform(0.3, 2))
    period, twill = rng.uniform(2.5, 6), rng.choice([0.0, 0.5, 1.0])
    warp_thread = np.sin(2 * np.pi * grid.u / period)
    weft = np.sin(2 * np.pi * (grid.v + twill * grid.u) / period)
    field = np.maximum(warp_thread, weft) * 0.5 + 0.25 * noise(rng, n, 0.3) + 0.3 * noise(rng, n, 2.0)
    return ramp(flatten(field), palette(rng, 3, 0.4))


def knit(rng: Rng, n: int) -> Array:
    """Rows of V-shaped stitches."""
    grid = Grid.random(rng, n, warp=rng.uniform(0.3, 1.5))
    width, height = rng.uniform(7, 18), rng.uniform(5, 13)
    x = (grid.u / width) % 1.0
    side = np.abs(x - 0.5) * 2
    row = grid.v / height + side * 0.9
    height_map = np.sin(np.pi * (row % 1.0)) ** 0.7 * np.sin(np.pi * np.clip(side, 0.04, 0.97)) ** 0.5
    band = per_cell_colour(rng, np.floor(row / rng.integers(2, 9)).astype(int), palette(rng, 3, 0.5), 0.02)
    return lit(band * (0.3 + 0.7 * height_map + 0.06 * noise(rng, n, 0.5))[..., None], height_map * 3, rng, 0.3)


def herringbone(rng: Rng, n: int) -> Array:
    """Parquet laid in zigzag."""
    grid = Grid.random(rng, n)
    width = rng.uniform(8, 20)
    cell = layouts.herringbone(grid.u, grid.v, width, int(rng.integers(2, 5)))
    fibre_h, fibre_v = (noise(rng, n, 1.0, stretch=8, angle=grid.angle + turn) for turn in (0.0, np.pi / 2))
    fibre = np.where(cell.identity % 2 == 0, fibre_h, fibre_v)
    colour = per_cell_colour(rng, cell.identity, palette(rng, 3, 0.4, warm=True), 0.12) * (1 + 0.1 * fibre[..., None])
    return colour * (0.3 + 0.7 * smoothstep(cell.edge, 0.2, 1.6))[..., None]


def scales(rng: Rng, n: int) -> Array:
    """Overlapping round scales or roof shingles."""
    grid = Grid.random(rng, n, warp=rng.uniform(0, 2))
    cell = layouts.overlapping(grid.u, grid.v, rng.uniform(9, 30), rng.uniform(0.35, 0.7))
    colour = per_cell_colour(rng, cell.identity, palette(rng, 3, 0.5), rng.uniform(0.05, 0.2))
    tone = 0.35 + 0.65 * smoothstep(cell.edge, 0.0, rng.uniform(3, 9))
    return lit(colour * tone[..., None], cell.edge * 0.4 + 0.2 * noise(rng, n, 1.0), rng, 0.3)


def foliage(rng: Rng, n: int) -> Array:
    """Leaves strewn in layers, darker below."""
    tones = palette(rng, 5, 0.65, leaf=rng.random() < 0.75)
    return layouts.scatter(rng, n, layouts.leaf, tones, (rng.uniform(4, 8), rng.uniform(9, 26)), cover=6)


def grass(rng: Rng, n: int) -> Array:
    """Blades pointing more or less one way."""
    tones = palette(rng, 5, 0.6, leaf=rng.random() < 0.8)
    spread = rng.uniform(0.1, 0.9)
    return layouts.scatter(rng, n, layouts.blade, tones, (rng.uniform(8, 14), rng.uniform(16, 40)), 16, spread)


def petals(rng: Rng, n: int) -> Array:
    """Chips, confetti, terrazzo: soft-cornered pieces on a ground."""
    return layouts.scatter(
        rng, n, layouts.pebble, palette(rng, 6, 0.6), size=(2.0, rng.uniform(5, 12)), cover=rng.uniform(0.3, 1.2)
    )


def ripples(rng: Rng, n: int) -> Array:
    """Wind ripples in sand, or waves on water."""
    grid = Grid.random(rng, n, warp=rng.uniform(2, 9))
    phase = grid.u / rng.uniform(7, 26) * 2 * np.pi + rng.uniform(0.3, 1.2) * noise(rng, n, 2.0)
    height = np.sin(phase) + 0.35 * np.sin(2 * phase + 1) + rng.uniform(0.05, 0.3) * noise(rng, n, 0.4)
    return lit(mottle(rng, n, palette(rng, 2, 0.4)), height * 3, rng, rng.uniform(0.3, 0.8))


def water(rng: Rng, n: int) -> Array:
    """Ridged noise, as light through shallow water."""
    ridges = 1 - np.abs(noise(rng, n, 2.2, band=rng.uniform(10, 36))) - 0.3 * np.abs(noise(rng, n, 1.8, band=12))
    return ramp(flatten(ridges) ** rng.uniform(1, 3), palette(rng, 4, 0.6))


def checks(rng: Rng, n: int) -> Array:
    """A slightly worn chequerboard."""
    grid = Grid.random(rng, n, warp=rng.uniform(0, 1))
    side = rng.uniform(6, 30)
    which = ((np.floor(grid.u / side) + np.floor(grid.v / side)) % 2)[..., None]
    tones = palette(rng, 2, 0.6)
    return (tones[0] * which + tones[1] * (1 - which)) * (1 + 0.08 * noise(rng, n, rng.uniform(0.5, 1.8))[..., None])


def plaid(rng: Rng, n: int) -> Array:
    """Stripes, one way or crossed, of irregular widths."""
    grid = Grid.random(rng, n, warp=rng.uniform(0, 1.5))
    tones, period = palette(rng, 6, 0.6), rng.uniform(16, 64)
    cuts = np.sort(rng.random(5))
    across = tones[np.searchsorted(cuts, (grid.u / period) % 1.0)]
    if rng.random() < 0.5:
        across = 0.5 * across + 0.5 * tones[np.searchsorted(cuts, (grid.v / period) % 1.0)]
    return across * (1 + 0.07 * noise(rng, n, rng.uniform(0.2, 1.5))[..., None])


def dots(rng: Rng, n: int) -> Array:
    """Dots, studs or holes on a lattice or strewn evenly."""
    grid = Grid.random(rng, n)
    cell = worley(rng, grid.u, grid.v, rng.uniform(7, 28), jitter=float(rng.choice([0.0, 0.0, 0.6])))
    radius = cell.size * rng.uniform(0.2, 0.45)
    inside = smoothstep(radius - cell.first, -0.7, 0.7)
    tones = palette(rng, 2, 0.6)
    colour = tones[0] * inside[..., None] + tones[1] * (1 - inside[..., None])
    dome = np.sqrt(np.clip(1 - (cell.first / radius) ** 2, 0, 1)) * rng.choice([-1.0, 1.0]) * radius * 0.4
    return lit(colour * (1 + 0.06 * noise(rng, n, 1.0)[..., None]), dome, rng, rng.uniform(0, 0.8))


def cracks(rng: Rng, n: int) -> Array:
    """Dry mud or glaze: plates with thin dark gaps."""
    grid = Grid.random(rng, n, warp=rng.uniform(2, 6))
    cell = worley(rng, grid.u, grid.v, rng.uniform(16, 60), jitter=1.0)
    gap = smoothstep(cell.second - cell.first + 0.5 * noise(rng, n, 1.0), 0.4, rng.uniform(1.5, 4))
    colour = mottle(rng, n, palette(rng, 3, 0.4)) * (0.25 + 0.75 * gap)[..., None]
    return lit(colour, gap * 2 + 0.3 * noise(rng, n, 1.2), rng, rng.uniform(0.2, 0.8))


def patches(rng: Rng, n: int) -> Array:
    """Rust, lichen, camouflage: noise cut into layers with rough edges."""
    tones, colour = palette(rng, 5, 0.5), None
    beta = rng.uniform(1.3, 2.0)
    for tone in tones:
        cover = smoothstep(noise(rng, n, beta) - rng.uniform(-0.2, 1.0), -0.05, rng.uniform(0.05, 0.4))[..., None]
        layer = tone * (1 + rng.uniform(0.02, 0.2) * noise(rng, n, 0.6)[..., None])
        colour = layer if colour is None else layer * cover + colour * (1 - cover)
    return np.asarray(colour)


def fur(rng: Rng, n: int) -> Array:
    """Strands along a slowly turning direction (a blend of stretched noises)."""
    angle, turning = rng.uniform(0, np.pi), noise(rng, n, 2.4)
    strands = [noise(rng, n, 0.5, stretch=rng.uniform(6, 12), angle=angle + step) for step in (-0.35, 0.0, 0.35)]
    weights = [np.exp(-4 * (turning - centre) ** 2) for centre in (-0.8, 0.0, 0.8)]
    field = sum(w * s for w, s in zip(weights, strands, strict=True)) / sum(weights)
    return lit(ramp(flatten(np.asarray(field)), palette(rng, 3, 0.5)), np.asarray(field), rng, 0.6)


def bark(rng: Rng, n: int) -> Array:
    """Upright ridges broken by cross cracks."""
    grid = Grid.random(rng, n, warp=rng.uniform(3, 9))
    cell = worley(rng, grid.u * rng.uniform(0.25, 0.5), grid.v, rng.uniform(8, 20), jitter=1.0)
    ridge = smoothstep(cell.second - cell.first, 0, rng.uniform(3, 8)) + 0.25 * noise(rng, n, 1.2, 3, grid.angle)
    return lit(ramp(np.clip(ridge, 0, 1), palette(rng, 3, 0.35, warm=True)), ridge * 3, rng, rng.uniform(0.4, 1.2))


def brushed(rng: Rng, n: int) -> Array:
    """Brushed metal or felt: very long fine noise."""
    field = noise(rng, n, rng.uniform(0.2, 0.8), stretch=rng.uniform(8, 30), angle=rng.uniform(0, np.pi))
    return ramp(flatten(field + rng.uniform(0.2, 1) * noise(rng, n, 2.2)), palette(rng, 3, 0.25))


def concrete(rng: Rng, n: int) -> Array:
    """Smooth mottling with pits and grit."""
    colour = mottle(rng, n, palette(rng, 2, 0.2)) * (1 + 0.06 * noise(rng, n, 0.2)[..., None])
    cell = worley(rng, *Grid.random(rng, n).plane, rng.uniform(9, 22), jitter=1.0)
    pits = smoothstep(rng.uniform(1.0, 2.5) - cell.first, -0.5, 0.8)
    return lit(colour * (1 - 0.4 * pits)[..., None], -2 * pits + 0.2 * noise(rng, n, 1.0), rng, 0.5)


def crumple(rng: Rng, n: int) -> Array:
    """Creased paper or foil: facets lit from one side."""
    height = np.zeros((n, n))
    for weight in (1.0, 0.6, 0.4):
        height += weight * worley(rng, *Grid.random(rng, n, warp=2).plane, rng.uniform(14, 60), jitter=1.0).first
    return lit(mottle(rng, n, palette(rng, 2, 0.4)), height * 0.5, rng, rng.uniform(0.4, 1.0))


FAMILIES: tuple[Callable[[Rng, int], Array], ...] = (
    clouds, grain, wood, planks, marble, stone, cobbles, gravel, brick, tiles, hexagons, basket, fabric, knit,
    herringbone, scales, foliage, grass, petals, ripples, water, checks, plaid, dots, cracks, patches, fur, bark,
    brushed, concrete, crumple,
)  # fmt: skip


def family_of(seed: int) -> str:
    """The name of the family that ``seed`` gives: the families take turns."""
    return FAMILIES[seed % len(FAMILIES)].__name__


def generate(seed: int, size: int = 320) -> np.ndarray:
    """One texture.

    Args:
        seed: 0 or more; chooses the family (in turn) and all of its numbers.
        size: side in pixels, at least 32.

    Returns:
        uint8 array (size, size, 3), RGB.
    """
    rng = np.random.default_rng([seed, size])
    colour = bump(FAMILIES[seed % len(FAMILIES)](rng, size), rng)
    return np.round(np.clip(colour, 0, 1) * 255).astype(np.uint8)
