"""The model that is the picture itself: its patches' exact denoiser; small areas at once, large ones by octaves."""

from engine.exemplar.denoiser import SIGHT, Exemplar, too_little_known
from engine.exemplar.material import Material, Mixture
from engine.exemplar.patch import SIDE, all_under

__all__ = [
    "SIDE",
    "SIGHT",
    "Exemplar",
    "Material",
    "Mixture",
    "all_under",
    "too_little_known",
]
