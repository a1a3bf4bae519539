"""How well a fill joins its surroundings, in three figures that need no truth.

Everywhere: a *picture* is (H, W, 3) uint8 RGB; *new* is (H, W) bool, True where it was painted. Numbers lie about
textures: they sort fills of one place, nothing more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from engine import canvas
from engine.canvas import Box, seam

if TYPE_CHECKING:
    from engine.run.events import Finished
    from engine.run.painting import Painting

GRAIN_SIGMA = 1.5
GRAIN_MARGIN, GRAIN_RING = 4, 30
"""Pixels of the grain measure: how far it stays away from the border, and how far its ring reaches."""
GRAIN_FLAT = 0.05
"""Below this standard deviation (of 255) a ring has no grain that could be matched."""
COPY_PATCH = 15
"""Side of the patches of the copied share."""
COPY_RMS = 1.0
"""Below this RMS difference (of 255) a patch stands verbatim in the source."""

SIGHT = 1024
"""Nothing is looked at farther than this from a pixel in the middle of the fill, in pixels along each axis."""
WINDOW, WINDOWS = 1024, 4
"""Seam and grain of what is larger than a window are the means of so many windows of half its side on the border."""
SEARCHED, MOST_ASKED = 24_000_000, 32
"""Copies are searched for of so many patches at most, and of fewer where they times the searched pixels are more than
the first."""


@dataclass(frozen=True)
class Figures:
    """None where a figure has no meaning: nothing known beside, a hole too thin, a flat ring.

    Attributes:
        seam: :func:`seam_jump`; of a tile the larger one of it and :func:`tile_jump`; ideal 1.
        grain: :func:`grain`; ideal 1.
        new: 1 less :func:`copied`: the share of the fill that stands nowhere else in the picture.
    """

    seam: float | None = None
    grain: float | None = None
    new: float | None = None


def of(painting: Painting, finished: Finished) -> Figures:
    """Those of a finished variant; within about half a second on one core."""
    picture, new, known = _seen(painting, finished)
    cuts = list(windows(new))
    seams = [seam_jump(picture[cut], new[cut], (new | known)[cut]) for cut in cuts]
    grains = [grain(picture[cut], new[cut], known[cut]) for cut in cuts]
    jump = _mean(seams)
    if painting.job.wrap:
        jump = max(jump or 0.0, tile_jump(painting, finished))
    asked = min(MOST_ASKED, max(4, SEARCHED // max(1, new.size)))
    share = copied(picture, new, known, asked)
    return Figures(jump, _mean(grains), None if share is None else 1 - share)


def tile_jump(painting: Painting, finished: Finished) -> float:
    """:func:`engine.canvas.seam.tile_seam_jump` of a painted tile."""
    job = painting.job
    tile = canvas.over(job.image[..., :3], finished.layer())
    if tile.dtype != np.uint8:
        tile = painting.light.encoded(tile)
    return seam.tile_seam_jump(tile, job.wrap, job.selection > 0)


def _seen(painting: Painting, finished: Finished) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the figures look at: picture, new, and (H, W) bool, what is known. The seams of a tile are in its middle."""
    near, image = painting.near, painting.job.image
    inside = painting.selection[near.slices]
    rows = np.flatnonzero(inside.any(axis=1))
    columns = np.flatnonzero(inside[rows[len(rows) // 2]])
    axes = []
    for start, length, painted, wrapped in (
        (near.y, near.height, rows, painting.wraps[0]),
        (near.x, near.width, columns, painting.wraps[1]),
    ):
        places = np.arange(start, start + length)
        middle = length // 2 if wrapped else int(painted[len(painted) // 2])
        low = max(0, min(middle - SIGHT, length - 2 * SIGHT))
        axes.append((np.roll(places, length // 2) if wrapped else places)[low : low + 2 * SIGHT])
    at = np.ix_(*axes)
    selection, under = painting.selection[at], image[at]
    shown = canvas.over(under[..., :3], finished.layer()[at])
    if shown.dtype != np.uint8:
        shown = np.rint((painting.light.encoded(shown) + 1) * 127.5).clip(0, 255).astype(np.uint8)
    new = selection >= (128 if selection.max(initial=0) >= 128 else 1)
    return shown, new, canvas.opaque(under) & ~new


def windows(new: np.ndarray) -> Iterator[tuple[slice, slice]]:
    """What seam and grain look at: all of it, or :data:`WINDOWS` windows with parts of the border in their middle."""
    height, width = new.shape
    if max(height, width) <= WINDOW:
        yield np.s_[:, :]
        return
    border = np.argwhere(new & (chessboard(new) <= 1))
    side = WINDOW // 2
    for row, column in border[len(border) // (2 * WINDOWS) :: max(1, len(border) // WINDOWS)][:WINDOWS]:
        top, left = (max(0, min(int(at) - side // 2, end - side)) for at, end in ((row, height), (column, width)))
        yield np.s_[top : top + side, left : left + side]


def _mean(found: list[float | None]) -> float | None:
    values = [each for each in found if each is not None]
    return float(np.mean(values)) if values else None


def seam_jump(picture: np.ndarray, new: np.ndarray, usable: np.ndarray | None = None) -> float | None:
    """Mean absolute gradient across the border over that across parallel lines 8 … 24 px away, on both sides.

    Lines run at chessboard distance from the border, so that they are parallel to the sides of a box. ``usable``:
    (H, W) bool, where the picture has a colour; None: everywhere.
    """
    level = chessboard(new) - chessboard(~new) + (~new)  # 1, 2 … in the new area; 0, −1 … outside: the border is 0|1
    values = picture.astype(np.float64)
    across: list[float] = []
    beside: list[float] = []
    for axis in (0, 1):
        low = np.minimum(*_neighbours(level, axis))
        crosses = np.diff(level, axis=axis) != 0
        if usable is not None:
            crosses &= np.logical_and(*_neighbours(usable, axis))
        jump = np.abs(np.diff(values, axis=axis)).mean(axis=2)
        across.extend(jump[crosses & (low == 0)])
        lines = [*seam.LINES, *(-k for k in seam.LINES)]
        beside.extend(jump[crosses & np.isin(low, lines)])
    if not across or not beside:
        return None
    return float(np.mean(across)) / max(float(np.mean(beside)), 1e-6)


def grain(picture: np.ndarray, new: np.ndarray, known: np.ndarray | None = None) -> float | None:
    """Fine detail of the new area over that of a ring around it; ideal 1, below it is waxed, above noisy.

    Fine detail: standard deviation of the gray picture less its Gaussian blur (:data:`GRAIN_SIGMA`), on the new area
    eroded by 4 px and on the known pixels (None: all that are not new) 4 … 30 px away. None where either is empty or
    the ring is flat.
    """
    inside, outside = chessboard(new) > GRAIN_MARGIN, chessboard(~new)
    ring = (outside > GRAIN_MARGIN) & (outside <= GRAIN_RING)
    if known is not None:
        ring &= known
    if not inside.any() or not ring.any():
        return None
    fine = fine_detail(picture, GRAIN_SIGMA)
    around = float(fine[ring].std())
    return float(fine[inside].std()) / around if around > GRAIN_FLAT else None


def copied(picture: np.ndarray, new: np.ndarray, known: np.ndarray, most: int) -> float | None:
    """Fraction of 15×15 patches wholly in the new area that stand verbatim (RMS < 1) in the known one, 0 … 1; None
    where either has no whole patch. At most so many patches are asked for, evenly at random, the same ones each time;
    the known patch that is most alike in gray is looked at."""
    half, places = COPY_PATCH // 2, wholly_in(known, COPY_PATCH)
    asked = np.argwhere(thinned(wholly_in(new, COPY_PATCH), most)) - half
    if not len(asked) or not places.any():
        return None
    box = canvas.bounds(places)
    around = canvas.grown(box, half, Box(0, 0, known.shape[1], known.shape[0]))
    source, closed = picture[around.slices], ~places[box.slices]
    gray, source_gray = (_gray(each) for each in (picture, source))
    found = 0
    for row, column in asked:
        patch = np.s_[row : row + COPY_PATCH, column : column + COPY_PATCH]
        distance = cv2.matchTemplate(source_gray, gray[patch], cv2.TM_SQDIFF)
        distance[closed] = np.inf
        top, left = np.unravel_index(np.argmin(distance), distance.shape)
        like = source[top : top + COPY_PATCH, left : left + COPY_PATCH].astype(np.float64)
        found += float(((like - picture[patch]) ** 2).mean()) < COPY_RMS**2
    return found / len(asked)


def wholly_in(flags: np.ndarray, size: int) -> np.ndarray:
    """(H, W) bool: centres of the size×size patches of which every pixel is set; patches leave the picture nowhere."""
    kernel = np.ones((size, size), np.uint8)
    return cv2.erode(flags.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0).astype(bool)


def thinned(centres: np.ndarray, most: int) -> np.ndarray:
    """At most ``most`` of the set flags, chosen evenly at random with a fixed seed."""
    places = np.flatnonzero(centres)
    if len(places) <= most:
        return centres
    out = np.zeros(centres.size, bool)
    out[np.random.default_rng(0).choice(places, most, replace=False)] = True
    return out.reshape(centres.shape)


def chessboard(flags: np.ndarray) -> np.ndarray:
    """(H, W) float: chessboard distance of set pixels to the nearest unset one inside the picture; 0 where unset."""
    if flags.all():
        return np.full(flags.shape, float(max(flags.shape)))
    return np.rint(cv2.distanceTransform(flags.astype(np.uint8), cv2.DIST_C, 3)).astype(np.float64)


def fine_detail(picture: np.ndarray, sigma: float) -> np.ndarray:
    """(H, W) float32: the gray picture less its Gaussian blur."""
    gray = _gray(picture)
    return np.asarray(gray - cv2.GaussianBlur(gray, (0, 0), sigma))


def _gray(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)


def _neighbours(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    return (values[:-1], values[1:]) if axis == 0 else (values[:, :-1], values[:, 1:])
