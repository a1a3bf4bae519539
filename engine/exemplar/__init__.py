"""The model that is the picture itself: its patches' exact denoiser; small areas at once, large ones by octaves."""

from engine.exemplar.denoiser import SIGHT, Exemplar, too_little_known
from engine.exemplar.patch import SIDE

__all__ = [
    "SIDE",
    "SIGHT",
    "Exemplar",
    "too_little_known",
]
