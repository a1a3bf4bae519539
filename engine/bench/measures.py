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

PATCH = 7
"""Side of the patches of the patch distance."""
COPY_PATCH = 15
"""Side of the patches of the copy share."""
COPY_RMS = 1.0
"""Below this RMS difference (of 255) a patch stands verbatim in the source."""
FAR_BAND = 21
"""Width in pixels of the part of the new area that lies farthest from the source."""
RING = 4
"""Width in pixels of the rings of the colour difference."""
MAX_QUERIES = 1024
MAX_COPY_QUERIES = 256
"""Patches that are asked for their nearest neighbour: more are thinned out evenly at random, the same ones each time.
The patches that may answer are never thinned out."""

GRAIN_SIGMA = 1.5
GRAIN_MARGIN, GRAIN_RING = 4, 30
"""Pixels of the grain measure: how far it stays away from the border, and how far its ring reaches."""
GRAIN_FLAT = 0.05
"""Below this standard deviation (of 255) a ring has no grain that could be matched."""
SMOOTH_SIGMA = 8.0
SHIFTS = 64
"""Pixels up to which an autocorrelation is compared."""
SLICED_PATCHES, DIRECTIONS = 4096, 128
"""Patches of each side and directions of the sliced distance."""


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
        self.patches = patches(picture, wholly_in(self.known, PATCH), PATCH)
        self.control = control(picture, self.known)
        self.spread = spread(picture, self.known)
        self._copy_patches = patches(picture, wholly_in(self.known, COPY_PATCH), COPY_PATCH)

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
        """Fraction of 15×15 patches wholly in the new area that stand verbatim (RMS < 1) in the source, 0 … 1."""
        asked = patches(result, thinned(wholly_in(~self.known, COPY_PATCH), MAX_COPY_QUERIES), COPY_PATCH)
        if not len(asked) or not len(self._copy_patches):
            return None
        return float((nearest_rms(asked, self._copy_patches) < COPY_RMS).float().mean())

    def _ratio(self, result: np.ndarray, centres: np.ndarray) -> float | None:
        asked = patches(result, thinned(centres), PATCH)
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


def wholly_in(flags: np.ndarray, size: int) -> np.ndarray:
    """(H, W) bool: centres of the size×size patches of which every pixel is set; patches leave the picture nowhere."""
    kernel = np.ones((size, size), np.uint8)
    return cv2.erode(flags.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0).astype(bool)


def across_border(new: np.ndarray, size: int) -> np.ndarray:
    """(H, W) bool: centres of the patches that hold new and known pixels."""
    inside_picture = wholly_in(np.ones_like(new, bool), size)
    return inside_picture & ~wholly_in(new, size) & ~wholly_in(~new, size)


def far_patches(new: np.ndarray) -> np.ndarray:
    """(H, W) bool: centres of the patches wholly in the new area among its 21 px farthest from the source."""
    distance = _distance(new)
    return wholly_in(new, PATCH) & (distance > distance.max() - FAR_BAND)


def along(result: np.ndarray, source: Source, step: int) -> list[tuple[float, float]]:
    """Drift: (patch distance over control, spread over source's) in strips of ``step`` px, at least 7, of the new area
    by its chessboard distance from the source, from there outwards; a last strip that is not whole is left out."""
    distance = _distance(~source.known)
    out = []
    for near in range(0, int(distance.max()) - step + 1, step):
        strip = (distance > near) & (distance <= near + step)
        asked = patches(result, thinned(wholly_in(strip, PATCH)), PATCH)
        if len(asked) and len(source.patches) and source.control:
            ratio = patch_distance(asked, source.patches) / source.control
            out.append((ratio, spread(result, strip) / max(source.spread, 1e-6)))
    return out


def thinned(centres: np.ndarray, most: int = MAX_QUERIES) -> np.ndarray:
    """At most ``most`` of the set flags, chosen evenly at random with a fixed seed."""
    places = np.flatnonzero(centres)
    if len(places) <= most:
        return centres
    out = np.zeros(centres.size, bool)
    out[np.random.default_rng(0).choice(places, most, replace=False)] = True
    return out.reshape(centres.shape)


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
    asked = patches(picture, thinned(wholly_in(right, PATCH)), PATCH)
    reference = patches(picture, wholly_in(left, PATCH), PATCH)
    return patch_distance(asked, reference) if len(asked) and len(reference) else None


def spread(picture: np.ndarray, where: np.ndarray) -> float:
    """Standard deviation, 0 … 127.5: root of the mean over the channels of the variance over the pixels."""
    return float(np.sqrt(picture[where].astype(np.float64).var(axis=0).mean()))


# ------------------------------------------------------------------------------------------------- borders


def seam_jump(picture: np.ndarray, new: np.ndarray) -> float | None:
    """Mean absolute gradient across the border over that across parallel lines 8 … 24 px away, on both sides.

    Lines run at chessboard distance from the border, so that they are parallel to the sides of a box.
    """
    level = _distance(new) - _distance(~new) + (~new)  # 1, 2 … in the new area; 0, −1 … outside: the border lies 0|1
    values = picture.astype(np.float64)
    across: list[float] = []
    beside: list[float] = []
    for axis in (0, 1):
        low = np.minimum(*_neighbours(level, axis))
        crosses = np.diff(level, axis=axis) != 0
        jump = np.abs(np.diff(values, axis=axis)).mean(axis=2)
        across.extend(jump[crosses & (low == 0)])
        lines = [*seam.LINES, *(-k for k in seam.LINES)]
        beside.extend(jump[crosses & np.isin(low, lines)])
    if not across or not beside:
        return None
    return float(np.mean(across)) / max(float(np.mean(beside)), 1e-6)


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
    return new & (_distance(new) <= width), ~new & (_distance(~new) <= width)


def _distance(flags: np.ndarray) -> np.ndarray:
    """(H, W) float: chessboard distance of set pixels to the nearest unset one inside the picture; 0 where unset."""
    if flags.all():
        return np.full(flags.shape, float(max(flags.shape)))
    return np.rint(cv2.distanceTransform(flags.astype(np.uint8), cv2.DIST_C, 3)).astype(np.float64)


def _neighbours(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    return (values[:-1], values[1:]) if axis == 0 else (values[:, :-1], values[:, 1:])


# ------------------------------------------------------------------------------------------------- at real sizes


def grain(picture: np.ndarray, new: np.ndarray) -> float | None:
    """Fine detail of the new area over that of a ring around it; ideal 1, below it is waxed, above noisy.

    Fine detail: standard deviation of the gray picture less its Gaussian blur (:data:`GRAIN_SIGMA`), on the new area
    eroded by 4 px and on the known pixels 4 … 30 px away. None where either is empty or the ring is flat.
    """
    inside, outside = _distance(new) > GRAIN_MARGIN, _distance(~new)
    ring = (outside > GRAIN_MARGIN) & (outside <= GRAIN_RING)
    if not inside.any() or not ring.any():
        return None
    fine = _fine(picture, GRAIN_SIGMA)
    around = float(fine[ring].std())
    return float(fine[inside].std()) / around if around > GRAIN_FLAT else None


def grain_against(picture: np.ndarray, truth: np.ndarray, new: np.ndarray) -> float | None:
    """:func:`grain` with the truth's own detail on the same pixels in the ring's place: where the hole's content is
    another than its surroundings', this one tells."""
    inside = _distance(new) > GRAIN_MARGIN
    if not inside.any():
        return None
    own = float(_fine(truth, GRAIN_SIGMA)[inside].std())
    return float(_fine(picture, GRAIN_SIGMA)[inside].std()) / own if own > GRAIN_FLAT else None


def smooth_error(result: np.ndarray, truth: np.ndarray, new: np.ndarray) -> float:
    """RMS difference (of 255) over the new pixels between the two pictures, each blurred by :data:`SMOOTH_SIGMA`."""
    blurred = [
        cv2.GaussianBlur(picture.astype(np.float32), (0, 0), SMOOTH_SIGMA)[new].astype(np.float64)
        for picture in (result, truth)
    ]
    return float(np.sqrt(((blurred[0] - blurred[1]) ** 2).mean()))


def roughness(picture: np.ndarray, where: np.ndarray) -> float:
    """Standard deviation (of 255) of what a blur of :data:`SMOOTH_SIGMA` takes away: low in skies, walls, bokeh."""
    return float(_fine(picture, SMOOTH_SIGMA)[where].std())


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
    taken = [patches(picture, thinned(wholly_in(area, PATCH), SLICED_PATCHES), PATCH).numpy() for area in (new, ~new)]
    if not all(map(len, taken)):
        return 0.0
    directions = np.random.default_rng(0).normal(size=(taken[0].shape[1], DIRECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    steps = np.linspace(0, 1, SLICED_PATCHES)
    own, other = (np.quantile(part @ directions, steps, axis=0) for part in taken)
    return float(np.sqrt(((own - other) ** 2).mean()))


def _fine(picture: np.ndarray, sigma: float) -> np.ndarray:
    gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(gray - cv2.GaussianBlur(gray, (0, 0), sigma))


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
