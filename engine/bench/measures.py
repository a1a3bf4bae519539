"""What is said about a repainted picture in numbers.

Everywhere: a *picture* is (H, W, 3) uint8 RGB; *new* is (H, W) bool, True where the method painted; the rest is *known*
and is the source. Ratios are ideal at 1: below, the new area is copied or flat; above, it is foreign. Numbers lie about
textures: the pictures are looked at as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import cv2
import numpy as np
import torch

from engine.canvas import seam
from engine.run import figures

PATCH = 7
"""Side of the patches of the patch distance."""
FAR_BAND = 21
"""Width in pixels of the part of the new area that lies farthest from the source."""
RING = 4
"""Width in pixels of the rings of the colour difference."""
MAX_QUERIES = 1024
MAX_COPY_QUERIES = 256
"""Patches that are asked for their nearest neighbour: more are thinned out evenly at random, the same ones each time.
The patches that may answer are never thinned out."""

SMOOTH_SIGMA = 8.0
SHIFTS = 64
"""Pixels up to which an autocorrelation is compared."""
SLICED_PATCHES, DIRECTIONS = 4096, 128
"""Patches of each side and directions of the sliced distance."""

seam_jump, grain = figures.seam_jump, figures.grain


@dataclass(frozen=True)
class Scores:
    """All measures of one result; None where a measure has no meaning (no truth, hole too thin)."""

    seam_ratio: float | None
    far_ratio: float | None
    spread_ratio: float
    copy_share: float | None
    seam_jump: float | None
    st_lpips_alex: float | None = None
    st_lpips_vgg: float | None = None
    ssim: float | None = None
    psnr: float | None = None
    delta_e_inside: float | None = None
    delta_e_outside: float | None = None

    def as_dict(self) -> dict[str, float | None]:
        return asdict(self)


class Source:
    """The known part of a picture, prepared once: its patches, their control distance and its spread.

    Args:
        picture: (H, W, 3) uint8; only known pixels are read.
        new: (H, W) bool.
    """

    def __init__(self, picture: np.ndarray, new: np.ndarray) -> None:
        self.known = ~new
        self.patches = patches(picture, figures.wholly_in(self.known, PATCH), PATCH)
        self.control = control(picture, self.known)
        self.spread = spread(picture, self.known)

    def judge(self, result: np.ndarray) -> Scores:
        """The measures that need no truth."""
        new = ~self.known
        return Scores(
            seam_ratio=self._ratio(result, across_border(new, PATCH)),
            far_ratio=self._ratio(result, far_patches(new)),
            spread_ratio=spread(result, new) / max(self.spread, 1e-6),
            copy_share=self.copy_share(result),
            seam_jump=seam_jump(result, new),
        )

    def copy_share(self, result: np.ndarray) -> float | None:
        """:func:`engine.run.figures.copied`."""
        return figures.copied(result, ~self.known, self.known, MAX_COPY_QUERIES)

    def _ratio(self, result: np.ndarray, centres: np.ndarray) -> float | None:
        asked = patches(result, figures.thinned(centres, MAX_QUERIES), PATCH)
        if not len(asked) or not len(self.patches) or self.control is None:
            return None
        return float(nearest_rms(asked, self.patches).mean()) / max(self.control, 1e-6)


def judge(
    result: np.ndarray,
    new: np.ndarray,
    truth: np.ndarray,
    perceptual: dict[str, Callable[[np.ndarray, np.ndarray], float]] | None = None,
    source: Source | None = None,
) -> Scores:
    """All measures of one result against the truth that was cut off.

    Args:
        result, truth: (H, W, 3) uint8.
        perceptual: ST-LPIPS by backbone, ``alex`` and ``vgg``, each (picture, picture) → distance ≥ 0; taken over
            :func:`hole_box`.
        source: reuse of ``Source(truth, new)``.
    """
    own = (source or Source(truth, new)).judge(result).as_dict()
    inside, outside = rings(new)
    box = hole_box(new)
    difference = delta_e(result, truth)
    distances = {f"st_lpips_{name}": measure(result[box], truth[box]) for name, measure in (perceptual or {}).items()}
    return Scores(
        **{
            **own,
            **distances,
            "ssim": ssim(result, truth, new),
            "psnr": psnr(result, truth, new),
            "delta_e_inside": float(difference[inside].mean()),
            "delta_e_outside": float(difference[outside].mean()),
        }
    )


# ------------------------------------------------------------------------------------------------- patch distance


def across_border(new: np.ndarray, size: int) -> np.ndarray:
    """(H, W) bool: centres of the patches that hold new and known pixels."""
    inside_picture = figures.wholly_in(np.ones_like(new, bool), size)
    return inside_picture & ~figures.wholly_in(new, size) & ~figures.wholly_in(~new, size)


def far_patches(new: np.ndarray) -> np.ndarray:
    """(H, W) bool: centres of the patches wholly in the new area among its 21 px farthest from the source."""
    distance = figures.chessboard(new)
    return figures.wholly_in(new, PATCH) & (distance > distance.max() - FAR_BAND)


def along(result: np.ndarray, source: Source, step: int) -> list[tuple[float, float]]:
    """Drift: (patch distance over control, spread over source's) in strips of ``step`` px, at least 7, of the new area
    by its chessboard distance from the source, from there outwards; a last strip that is not whole is left out."""
    distance = figures.chessboard(~source.known)
    out = []
    for near in range(0, int(distance.max()) - step + 1, step):
        strip = (distance > near) & (distance <= near + step)
        asked = patches(result, figures.thinned(figures.wholly_in(strip, PATCH), MAX_QUERIES), PATCH)
        if len(asked) and len(source.patches) and source.control:
            ratio = patch_distance(asked, source.patches) / source.control
            out.append((ratio, spread(result, strip) / max(source.spread, 1e-6)))
    return out


def patches(picture: np.ndarray, centres: np.ndarray, size: int) -> torch.Tensor:
    """(N, size · size · 3) float32: the patches with these centres, values 0 … 255 less 128."""
    rows, columns = np.nonzero(centres)
    windows = np.lib.stride_tricks.sliding_window_view(picture, (size, size), axis=(0, 1))
    taken = windows[rows - size // 2, columns - size // 2].reshape(len(rows), size * size * 3)
    return torch.from_numpy(taken.astype(np.float32) - 128.0)


def nearest_rms(asked: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """(N,) RMS distance, in 0 … 255, of each of (N, D) patches to the nearest of (M, D)."""
    best = torch.full((len(asked),), torch.inf)
    for part in reference.split(2048):  # small enough for the processor's cache
        best = torch.minimum(best, torch.addmm((part**2).sum(1), asked, part.T, alpha=-2).min(1).values)
    squared = (best + (asked**2).sum(1)).clamp_min(0)
    return (squared / asked.shape[1]).sqrt()


def patch_distance(asked: torch.Tensor, reference: torch.Tensor) -> float:
    """d(Q, R): mean over the patches in Q of the RMS distance to the nearest patch in R, 0 … 255."""
    return float(nearest_rms(asked, reference).mean())


def control(picture: np.ndarray, known: np.ndarray) -> float | None:
    """c: d(right quarter of the source, its left three quarters), 0 … 255; what honest content of this source costs.

    Quarters are those of the box around the known pixels; None if one side holds no whole patch.
    """
    columns = np.flatnonzero(known.any(axis=0))
    split = columns[0] + round((columns[-1] + 1 - columns[0]) * 3 / 4)
    left, right = known.copy(), known.copy()
    left[:, split:] = False
    right[:, :split] = False
    asked = patches(picture, figures.thinned(figures.wholly_in(right, PATCH), MAX_QUERIES), PATCH)
    reference = patches(picture, figures.wholly_in(left, PATCH), PATCH)
    return patch_distance(asked, reference) if len(asked) and len(reference) else None


def spread(picture: np.ndarray, where: np.ndarray) -> float:
    """Standard deviation, 0 … 127.5: root of the mean over the channels of the variance over the pixels."""
    return float(np.sqrt(picture[where].astype(np.float64).var(axis=0).mean()))


# ------------------------------------------------------------------------------------------------- borders


def cut_jumps(picture: np.ndarray) -> np.ndarray:
    """What :func:`engine.canvas.seam.tile_seam_jump` would say of seams that are none: of every cross of two lines
    through a picture as it came, with its control lines on both sides; (rows, columns) of the crosses."""
    margin = seam.LINES[-1]
    values = picture.astype(np.float64)
    across, beside = [], []
    for along in (0, 1):
        jump = np.moveaxis(np.abs(np.diff(values, axis=along)).mean(axis=2), along, 0).mean(axis=1)
        places = np.arange(margin, len(jump) - margin)
        across.append(jump[places])
        beside.append(np.mean([jump[places + side * line] for line in seam.LINES for side in (-1, 1)], axis=0))
    return (across[0][:, None] + across[1]) / np.maximum(beside[0][:, None] + beside[1], 1e-6)


def rings(new: np.ndarray, width: int = RING) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) bool twice: the ``width`` pixels inside the border and those outside."""
    return new & (figures.chessboard(new) <= width), ~new & (figures.chessboard(~new) <= width)


# ------------------------------------------------------------------------------------------------- at real sizes


def grain_against(picture: np.ndarray, truth: np.ndarray, new: np.ndarray) -> float | None:
    """:func:`grain` with the truth's own detail on the same pixels in the ring's place: where the hole's content is
    another than its surroundings', this one tells."""
    inside = figures.chessboard(new) > figures.GRAIN_MARGIN
    if not inside.any():
        return None
    own = float(figures.fine_detail(truth, figures.GRAIN_SIGMA)[inside].std())
    return (
        float(figures.fine_detail(picture, figures.GRAIN_SIGMA)[inside].std()) / own
        if own > figures.GRAIN_FLAT
        else None
    )


def smooth_error(result: np.ndarray, truth: np.ndarray, new: np.ndarray) -> float:
    """RMS difference (of 255) over the new pixels between the two pictures, each blurred by :data:`SMOOTH_SIGMA`."""
    blurred = [
        cv2.GaussianBlur(picture.astype(np.float32), (0, 0), SMOOTH_SIGMA)[new].astype(np.float64)
        for picture in (result, truth)
    ]
    return float(np.sqrt(((blurred[0] - blurred[1]) ** 2).mean()))


def roughness(picture: np.ndarray, where: np.ndarray) -> float:
    """Standard deviation (of 255) of what a blur of :data:`SMOOTH_SIGMA` takes away: low in skies, walls, bokeh."""
    return float(figures.fine_detail(picture, SMOOTH_SIGMA)[where].std())


def autocorrelation_error(picture: np.ndarray, new: np.ndarray) -> float:
    """RMS difference between the autocorrelations of the new and of the known pixels (gray, less their mean, over their
    variance) at all shifts of up to :data:`SHIFTS` pixels: 0 where periods and scales are the same."""
    gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float64)
    return float(np.sqrt(((_autocorrelation(gray, new) - _autocorrelation(gray, ~new)) ** 2).mean()))


def _autocorrelation(gray: np.ndarray, where: np.ndarray) -> np.ndarray:
    """(2 · SHIFTS + 1)² values: mean product of pixel pairs that both lie in the area, by their shift."""
    weight = where.astype(np.float64)
    values = np.where(where, gray - gray[where].mean(), 0.0)
    shape = [side + SHIFTS for side in gray.shape]
    sums, pairs = (np.fft.irfft2(np.abs(np.fft.rfft2(v, shape)) ** 2, shape) for v in (values, weight))
    shifts = np.arange(-SHIFTS, SHIFTS + 1)
    grid = np.ix_(shifts, shifts)
    return np.asarray(sums[grid] / np.maximum(pairs[grid], 1.0) / max(float(gray[where].var()), 1e-6))


def sliced_distance(picture: np.ndarray, new: np.ndarray) -> float:
    """Sliced Wasserstein distance (Bonneel et al. 2015; of 255, per value) between the 7×7 patches wholly in the new
    area and those wholly in the known one: RMS over :data:`DIRECTIONS` fixed directions."""
    taken = [
        patches(picture, figures.thinned(figures.wholly_in(area, PATCH), SLICED_PATCHES), PATCH).numpy()
        for area in (new, ~new)
    ]
    if not all(map(len, taken)):
        return 0.0
    directions = np.random.default_rng(0).normal(size=(taken[0].shape[1], DIRECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    steps = np.linspace(0, 1, SLICED_PATCHES)
    own, other = (np.quantile(part @ directions, steps, axis=0) for part in taken)
    return float(np.sqrt(((own - other) ** 2).mean()))


# ------------------------------------------------------------------------------------------------- against the truth


def hole_box(new: np.ndarray, margin: int = 16) -> tuple[slice, slice]:
    """The box around the new area, grown by ``margin`` pixels, clipped: where perceptual distances are taken."""
    rows, columns = np.flatnonzero(new.any(axis=1)), np.flatnonzero(new.any(axis=0))
    return (
        slice(max(0, rows[0] - margin), int(rows[-1]) + 1 + margin),
        slice(max(0, columns[0] - margin), int(columns[-1]) + 1 + margin),
    )


def psnr(result: np.ndarray, truth: np.ndarray, new: np.ndarray) -> float:
    """Peak signal-to-noise ratio over the new pixels in dB, at most 99."""
    squared = float(((result[new].astype(np.float64) - truth[new].astype(np.float64)) ** 2).mean())
    return 99.0 if squared == 0 else min(99.0, 10 * float(np.log10(255**2 / squared)))


def ssim(result: np.ndarray, truth: np.ndarray, new: np.ndarray) -> float:
    """Structural similarity (Wang et al. 2004; 7×7, scikit-image), averaged over the new pixels, −1 … 1."""
    from skimage.metrics import structural_similarity

    _, field = structural_similarity(result, truth, channel_axis=2, data_range=255, full=True)
    return float(field.mean(axis=2)[new].mean())


def delta_e(result: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(H, W) colour difference CIEDE2000 (Sharma et al. 2005, scikit-image); 1 is about the least one sees."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    return np.asarray(deltaE_ciede2000(rgb2lab(result), rgb2lab(truth)))


def diversity(pictures: list[np.ndarray], distance: Callable[[np.ndarray, np.ndarray], float]) -> float | None:
    """Mean of ``distance`` over all pairs of variants; None for fewer than two."""
    pairs = [(a, b) for i, a in enumerate(pictures) for b in pictures[i + 1 :]]
    return float(np.mean([distance(a, b) for a, b in pairs])) if pairs else None
