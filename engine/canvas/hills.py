"""The large shapes of a deep picture's fill: hills that go on as what surrounds them says, where it can say so.

Patches bring the slopes of the places that they were copied from. In a photograph nobody sees the difference; in a
height map of 16 bits, where hills go over thousands of levels and detail over one or two, light from the side shows it
as a dent. The plate of least bending through the known pixels (the thin-plate spline, Duchon 1977,
doi 10.1007/BFb0086566) continues such hills better than patches do, and says nothing of textures. How far it can be
trusted the picture tells: smaller holes of the same shape are cut beside, where the truth is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from engine.canvas.boxes import Box, grown, opaque
from engine.canvas.light import Light

CELLS = 24
"""The plate is worked out in cells; a hole is so many wide or high at most."""
RIM = 4
"""Cells around a hole that hold the plate."""
LEAST_SIDE = 16
"""Pixels of the longer side of a hole, below which there is nothing to bend."""
MOST_HOLES = 64
"""So many of the largest are looked at."""
PROBES = (0.5, 0.25)
"""Sides of the holes cut beside, in relation to the hole."""
BESIDE = 6
"""They lie no farther from the hole than so many times its longer side."""
TOGETHER = 1 << 20
"""Pixels of holes beside that are looked at together."""
MOST_PROBES = 16
"""Places where holes of each size are cut, at most."""
SIGMA = 3.0
"""What a Gaussian of this deviation in pixels leaves is a large shape."""
BETTER = 1.5
"""Shapes are changed where they deviate from the plate so many times as much as the truth would."""


def settled(fill: np.ndarray, region: Box, image: np.ndarray, selected: np.ndarray, light: Light) -> np.ndarray:
    """A fill with its large shapes brought near to the plate of least bending, hole by hole.

    Holes that reach the border of the picture, or another hole, stay as they are.

    Args:
        fill: (region.height, region.width, 3) float32 in the picture's unit.
        image, selected: (H, W, 4) and (H, W), in which ``region`` lies.
    """
    known, out = (selected == 0) & opaque(image), fill
    for box, inside in _holes(selected):
        around, hole = _with_room(box, inside)
        if not _lies_in(around, known.shape) or not (known[around.slices] | hole).all():
            continue
        usual = _usual_error(image, known, box, inside, light)
        if usual is None:
            continue
        own = np.s_[box.y - region.y :, box.x - region.x :], np.s_[: box.height, : box.width]
        values = light.encoded(image[around.slices][..., :3])
        values[hole] = light.encoded(fill[own[0]][own[1]][inside][None])[0]
        apart = _large(values - plate(values, hole), hole)[hole]
        found = _size(apart)
        if found > BETTER * usual:
            changed = values[hole] - np.float32(1 - (usual / found) ** 2) * apart
            out = out.copy() if out is fill else out
            out[own[0]][own[1]][inside] = light.decoded((changed[None] + 1) / 2)[0]
    return out


def plate(values: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """(H, W, 3 · K) float32 without the detail of ``values``, in the hole the plate of least bending through what is
    around it.

    Args:
        values: (H, W, 3 · K) float32, K pictures with the same hole; hole: (H, W) bool.
    """
    height, width = hole.shape
    cell = _cell(hole)
    size = (max(3, round(width / cell)), max(3, round(height / cell)))
    cells = _resized(values, size, cv2.INTER_AREA)
    sought = cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    energy = _bending(*sought.shape)
    free, held = energy[:, sought.ravel()], energy[:, ~sought.ravel()]
    cells[sought] = np.linalg.solve(free.T @ free, -free.T @ (held @ cells[~sought]))
    return _resized(cells, (width, height), cv2.INTER_CUBIC)


def _resized(values: np.ndarray, size: tuple[int, int], how: int) -> np.ndarray:
    """(H, W, 3 · K), three channels at a time, which is what OpenCV takes."""
    parts = [cv2.resize(values[..., at : at + 3], size, interpolation=how) for at in range(0, values.shape[2], 3)]
    return np.concatenate(parts, axis=2)


def _cell(hole: np.ndarray) -> int:
    """Pixels of a cell's side."""
    rows, columns = hole.any(1).sum(), hole.any(0).sum()
    return max(2, -(-int(max(rows, columns)) // CELLS))


def _bending(height: int, width: int) -> np.ndarray:
    """(M, height · width) float32: second differences of a grid, whose squares are the energy of a bent plate."""
    place = np.arange(height * width).reshape(height, width)
    rows = []
    for parts, factors in (
        ((place[:-2], place[1:-1], place[2:]), (1, -2, 1)),
        ((place[:, :-2], place[:, 1:-1], place[:, 2:]), (1, -2, 1)),
        ((place[:-1, :-1], place[1:, 1:], place[:-1, 1:], place[1:, :-1]), np.array([1, 1, -1, -1]) * np.sqrt(2)),
    ):
        block = np.zeros((parts[0].size, place.size), np.float32)
        for part, factor in zip(parts, factors, strict=True):
            block[np.arange(part.size), part.ravel()] = factor
        rows.append(block)
    return np.concatenate(rows)


def _holes(selected: np.ndarray) -> Iterator[tuple[Box, np.ndarray]]:
    """The largest holes: their boxes, and (h, w) bool in these."""
    number, labels, stats, _ = cv2.connectedComponentsWithStats((selected > 0).astype(np.uint8))
    sides = np.maximum(stats[1:, cv2.CC_STAT_WIDTH], stats[1:, cv2.CC_STAT_HEIGHT])
    for label in 1 + np.argsort(-sides)[: min(number - 1, MOST_HOLES)]:
        x, y, width, height = (int(each) for each in stats[label, :4])
        if max(width, height) >= LEAST_SIDE:
            box = Box(x, y, width, height)
            yield box, labels[box.slices] == label


def _with_room(box: Box, inside: np.ndarray) -> tuple[Box, np.ndarray]:
    """A hole with what holds the plate around it."""
    room = RIM * _cell(inside)
    around = Box(box.x - room, box.y - room, box.width + 2 * room, box.height + 2 * room)
    return around, np.pad(inside, room)


def _lies_in(box: Box, shape: tuple[int, ...]) -> bool:
    return box.x >= 0 and box.y >= 0 and box.x + box.width <= shape[1] and box.y + box.height <= shape[0]


def _usual_error(image: np.ndarray, known: np.ndarray, box: Box, inside: np.ndarray, light: Light) -> float | None:
    """By how much the truth deviates from the plate in a hole of this shape: as smaller ones say, which grow by a power
    of their size; None where no place for one is known."""
    height, width = known.shape
    near = grown(box, BESIDE * max(box.width, box.height), Box(0, 0, width, height))
    place = replace(box, x=box.x - near.x, y=box.y - near.y)
    errors = [_error(image[near.slices], known[near.slices], place, inside, share, light) for share in PROBES]
    if errors[0] is None or errors[1] is None:
        return None
    return errors[0] * max(1.0, errors[0] / max(errors[1], 1e-12))


def _error(
    image: np.ndarray, known: np.ndarray, box: Box, inside: np.ndarray, share: float, light: Light
) -> float | None:
    size = (max(4, round(box.width * share)), max(4, round(box.height * share)))
    small = cv2.resize(inside.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    at, hole = _with_room(Box(0, 0, *size), small)
    step_y, step_x = max(1, at.height // 2), max(1, at.width // 2)
    free = cv2.erode(known.astype(np.uint8), np.ones((at.height, at.width), np.uint8), borderValue=0, anchor=(0, 0))
    places = np.argwhere(free[::step_y, ::step_x]) * (step_y, step_x)
    middle = np.array([box.y + box.height / 2 - at.height / 2, box.x + box.width / 2 - at.width / 2])
    near = np.argsort(np.abs(places - middle).max(1))[:MOST_PROBES]
    if not len(near):
        return None
    together, sizes = max(1, TOGETHER // hole.size), []
    for first in range(0, len(near), together):
        some = places[near[first : first + together]]
        cut = [image[top : top + at.height, left : left + at.width, :3] for top, left in some]
        values = np.concatenate([light.encoded(each) for each in cut], axis=2)
        sizes += [_size(_large(values - plate(values, hole), hole)[hole])] * len(some)
    return _size(np.array(sizes))


def _large(apart: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The large shapes of (H, W, C) in a hole; what is outside counts as 0."""
    left = np.where(hole[..., None], apart, np.float32(0))
    first = cv2.GaussianBlur(left, (0, 0), SIGMA)
    out: np.ndarray = first + cv2.GaussianBlur(np.where(hole[..., None], left - first, np.float32(0)), (0, 0), SIGMA)
    return out


def _size(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values, dtype=np.float64).mean()))
