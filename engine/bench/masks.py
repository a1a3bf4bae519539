"""Masks of the jury, drawn from a few numbers so that they need not be stored."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from engine.errors import BadInput


def draw(mask: dict[str, Any], width: int, height: int) -> np.ndarray:
    """The selection of a case, (height, width) uint8, 255 = repaint.

    Shapes (all lengths in pixels):
        ``box``      box = [x, y, width, height]
        ``ellipse``  centre = [x, y], radii = [x, y]
        ``brush``    strokes, width, seed: a wandering brush, wide or narrow
        ``lines``    every ``period`` rows a line ``width`` thick inside box
        ``expand``   everything but box
        ``edge``     a strip ``width`` wide along side left, right, top or bottom
        ``polygon``  points = [[x, y], …], as a lasso draws it
        ``blob``     centre = [x, y], side, seed: a closed, wavy outline that fills a square of that side
    ``soft``: width of a soft edge, drawn outwards.

    Raises:
        BadInput: unknown shape, or nothing selected.
    """
    out = np.zeros((height, width), np.uint8)
    shape = mask.get("shape")
    if shape == "box":
        _fill(out, mask["box"], 255)
    elif shape == "expand":
        out[:] = 255
        _fill(out, mask["box"], 0)
    elif shape == "ellipse":
        rows, columns = np.ogrid[:height, :width]
        (x, y), (a, b) = mask["centre"], mask["radii"]
        out[((columns - x) / a) ** 2 + ((rows - y) / b) ** 2 <= 1] = 255
    elif shape == "lines":
        x, y, w, h = mask["box"]
        for row in range(y, y + h, mask["period"]):
            _fill(out, [x, row, w, mask["width"]], 255)
    elif shape == "edge":
        _edge(out, mask["side"], mask["width"])
    elif shape == "polygon":
        cv2.fillPoly(out, [np.array(mask["points"], np.int32)], 255)
    elif shape == "blob":
        cv2.fillPoly(out, [_blob(mask["centre"], mask["side"], mask["seed"])], 255)
    elif shape == "brush":
        _brush(out, mask["seed"], mask["strokes"], mask["width"])
    else:
        raise BadInput("bad_case", f"There is no mask shape {shape!r}.")
    if mask.get("soft"):
        out = _soft(out, mask["soft"])
    if not out.any():
        raise BadInput("bad_case", "This mask selects nothing.")
    return out


def _fill(out: np.ndarray, box: list[int], value: int) -> None:
    x, y, w, h = box
    out[y : y + h, x : x + w] = value


def _edge(out: np.ndarray, side: str, width: int) -> None:
    if side in ("left", "right"):
        out[:, :width] = 255
    elif side in ("top", "bottom"):
        out[:width] = 255
    else:
        raise BadInput("bad_case", f"There is no side {side!r}.")
    if side in ("right", "bottom"):
        out[:] = out[::-1, ::-1].copy()


def _brush(out: np.ndarray, seed: int, strokes: int, width: int) -> None:
    """Strokes that wander through the middle of the picture."""
    rng = np.random.default_rng(seed)
    height, length = out.shape[0], min(out.shape) / 8
    for _ in range(strokes):
        x, y = rng.uniform(0.25, 0.75) * out.shape[1], rng.uniform(0.25, 0.75) * height
        angle = rng.uniform(0, 2 * np.pi)
        for _ in range(5):
            angle += rng.normal(0, 0.6)
            nx = float(np.clip(x + length * np.cos(angle), 0.1 * out.shape[1], 0.9 * out.shape[1]))
            ny = float(np.clip(y + length * np.sin(angle), 0.1 * height, 0.9 * height))
            cv2.line(out, (round(x), round(y)), (round(nx), round(ny)), 255, width)
            x, y = nx, ny


def _blob(centre: list[int], side: int, seed: int) -> np.ndarray:
    """(N, 2) int32: a circle whose radius three slow waves change, stretched to ``side`` along x and y."""
    rng = np.random.default_rng(seed)
    angles = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    radius = np.ones_like(angles)
    for wave in (2, 3, 5):
        radius += rng.uniform(0.06, 0.16) * np.cos(wave * angles + rng.uniform(0, 2 * np.pi))
    points = np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)
    low, high = points.min(axis=0), points.max(axis=0)
    unit = (points - low) / (high - low) - 0.5
    return np.asarray(np.rint(unit * (side - 1) + np.array(centre)), np.int32)


def _soft(out: np.ndarray, width: int) -> np.ndarray:
    """255 inside as before, falling to 0 over ``width`` pixels outside."""
    distance = cv2.distanceTransform((out == 0).astype(np.uint8), cv2.DIST_L2, 5)
    return np.rint(255 * np.clip(1 - distance / width, 0, 1)).astype(np.uint8)
