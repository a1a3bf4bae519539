"""The picture itself as a model: the denoisers of its own patches, octave by octave (:mod:`engine.octave_run`).

Nothing is stored and nothing is trained: the patches are those of the known pixels around the hole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from engine.octave_run import alpha_bar

if TYPE_CHECKING:
    from engine.models import Model, ModelInfo


def load(info: ModelInfo, device: torch.device) -> Model:
    from engine.models import Geometry, Model

    def predict(_x: torch.Tensor, _timestep: int, _condition: Any = None) -> torch.Tensor:
        raise RuntimeError("this model has no network of its own; it is made from a picture")

    geometry = Geometry(1, 1, 1024, any_scale=True)
    return Model(info, predict, alpha_bar(), "sample", geometry, device, exemplar=True)
