"""The picture's own texture: the exact denoiser of its patches (:mod:`engine.exemplar.denoiser`), on the linear noise
schedule.

Nothing is stored and nothing is trained: the patches are those of the known pixels around the hole.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from engine.canvas import Geometry
from engine.exemplar import SIGHT, Exemplar
from engine.models.model import Model, ModelInfo
from engine.sampling import linear_alpha_bar

WINDOW = 1024
"""No window at all up to :data:`engine.canvas.MAX_MODEL_AREA`: what is unknown is compared in pieces anyway."""

BLIND_BELOW = 0.002
"""σ = 22: of what is unknown nothing can be seen through that noise; known pixels are compared as they are."""


def load(info: ModelInfo, device: torch.device) -> Model:
    def predict(_x: torch.Tensor, _timestep: int, _condition: Any = None) -> torch.Tensor:
        raise RuntimeError("this model has no network of its own; it is made from a picture")

    geometry = Geometry(1, 1, WINDOW, any_scale=True, deep=32, band=64, sight=SIGHT)
    make = partial(Exemplar, device=device)
    return Model(info, predict, linear_alpha_bar(), "sample", geometry, device, blind_below=BLIND_BELOW, exemplar=make)
