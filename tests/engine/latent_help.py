"""What the tests of latent models share."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from engine import api
from engine.models import Model
from tests.engine.toys import FOLDER, pictures

QUICK = {"steps": 6, "jump_length": 2, "jump_samples": 1}


@cache
def toy() -> Model:
    """The trained toy model on the CPU."""
    return api.load_model(str(FOLDER), "cpu")


def image(seed: int = 0, side: int = 128) -> np.ndarray:
    """A picture of bare ground, (side, side, 4) uint8."""
    rng = np.random.default_rng(seed)
    scene = next(each for each in iter(lambda: pictures.scene(rng, empty=1.0), None))
    drawn = pictures.draw(scene)
    drawn = np.tile(drawn, (-(-side // 128), -(-side // 128), 1))[:side, :side]
    return np.dstack([drawn, np.full(drawn.shape[:2], 255, np.uint8)])


def hole(side: int, top: int, left: int, size: int) -> np.ndarray:
    selection = np.zeros((side, side), np.uint8)
    selection[top : top + size, left : left + size] = 255
    return selection


def job(model: Model, picture: np.ndarray | None = None, selection: np.ndarray | None = None, **more) -> api.Job:
    picture = image() if picture is None else picture
    selection = hole(len(picture), 40, 36, 48) if selection is None else selection
    return api.Job(picture, selection, model=model.info.id, **({"seed": 1} | QUICK | more))


def last(model: Model, **more) -> api.Finished:
    *_, event = api.run(job(model, **more), model)
    assert isinstance(event, api.Finished)
    return event


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.float() - expected.float()).abs().max() / expected.float().abs().max())
