"""Pictures of few colours: 1-bit and indexed ones, pixel art, maps of labels. Their fills have these colours only."""

from __future__ import annotations

import numpy as np

from engine.canvas.boxes import opaque

FEW, MOST = 32, 256
"""Distinct colours of a picture that keeps to them by itself, and of one that can be asked to, at most."""
PLAIN = 4
"""Up to so many colours nothing else is asked."""
JUMP = 1 / 16
"""What neighbouring pixels of different colours are apart, at least, as a share of the colours' range: in a smooth
gradient of few levels it is less."""
CHUNK = 1 << 20
"""Pixels looked at together."""


def few_colours(image: np.ndarray, known: np.ndarray) -> np.ndarray | None:
    """(N, 3) the distinct colours of a picture (H, W, 4), of its type, if it is one of few colours; None else.

    Where a picture has more than :data:`PLAIN`, it is none of few colours if most of them lie between its two most
    frequent ones and are rare, so that they are edges smoothed, or if its colours pass into each other.

    Args:
        known: (H, W) bool; transparent pixels never are.
    """
    known = known & opaque(image)
    found = colours(image, known, FEW)
    if found is None or len(found[0]) <= PLAIN:
        return None if found is None else found[0]
    own, counts = found
    return own if _jumps(image, known) >= JUMP and not _smoothed(own.astype(np.float64), counts) else None


def colours(image: np.ndarray, known: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray] | None:
    """(N, 3) the distinct colours of the ``known`` pixels and (N,) how often they come; None for more than ``most``, or
    for none."""
    codes, counts, own = np.zeros(0, np.uint64), np.zeros(0, np.int64), image[:0, 0, :3]
    last = 0
    while last < len(image):
        first, last = last, max(last + 1, min(2 * last, last + CHUNK // image.shape[1]))  # most have many in a few rows
        part = image[first:last][known[first:last]][:, :3]
        bits = part.view(f"u{part.itemsize}").astype(np.uint64)
        code = bits @ np.array([1, 0x1_0000_0001, 0x9E37_79B9_7F4A_7C15], np.uint64)
        new, at, number = np.unique(code, return_index=True, return_counts=True)
        codes, first_of, inverse = np.unique(np.concatenate([codes, new]), return_index=True, return_inverse=True)
        counts = np.bincount(inverse, np.concatenate([counts, number]), len(codes)).astype(np.int64)
        if len(codes) > most:
            return None
        own = np.concatenate([own, part[at]])[first_of]
    return (own, counts) if len(own) else None


def nearest(fill: np.ndarray, own: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32: each pixel of ``fill`` as the nearest of these colours (N, 3), both in the picture's unit."""
    out = np.empty_like(fill)
    for row, line in enumerate(fill):
        apart = ((line[:, None] - own) ** 2).sum(2)
        out[row] = own[apart.argmin(1)]
    return out


def _jumps(image: np.ndarray, known: np.ndarray) -> float:
    """Median distance of neighbouring known pixels that differ, as a share of the range."""
    some = slice(None, None, -(-known.size // CHUNK))
    known, values = known[some], image[some, :, :3].astype(np.float32)
    if not known.any():
        return 1.0
    apart = np.abs(np.diff(values, axis=1)).max(2)[known[:, 1:] & known[:, :-1]]
    apart = apart[apart > 0]
    return float(np.median(apart) / np.ptp(values[known])) if len(apart) else 1.0


def _smoothed(own: np.ndarray, counts: np.ndarray) -> bool:
    """Whether most colours are rare mixtures of the two most frequent ones, as smoothed edges have."""
    second, first = np.argsort(counts)[-2:]
    way = own[second] - own[first]
    share = (own - own[first]) @ way / (way @ way)
    off = np.abs(own - own[first] - share[:, None] * way).max(1)
    mixed = (share > 0.02) & (share < 0.98) & (off < 0.02 * np.abs(way).max())
    return bool(np.count_nonzero(mixed & (counts < counts[second] / 4)) > len(own) / 2)
