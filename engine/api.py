"""The engine's door, for the worker and the command line: one request object in, a generator of events out.

>>> import numpy as np
>>> image = np.full((64, 64, 4), 255, np.uint8)  # RGBA
>>> image[::8, :, :3] = 60
>>> selection = np.zeros((64, 64), np.uint8)  # 255 = repaint
>>> selection[24:40, 24:40] = 255
>>> model = load_model("exemplar", "cpu")
>>> for event in run(Job(image, selection, model="exemplar", seed=1, steps=4), model):
...     if isinstance(event, Step):
...         shown = event.preview()
...     elif isinstance(event, Finished):
...         layer = event.layer()
>>> layer.shape, int(layer[32, 32, 3]), int(layer[0, 0, 3])
((64, 64, 4), 255, 0)

Same request, seed, device, thread count and version → same pixels, whether previews are taken or not.
"""

from __future__ import annotations

from engine.errors import BadInput, EngineError
from engine.learning import Learning
from engine.models import Model, ModelInfo, catalogue, forecast
from engine.models import load as load_model
from engine.run import (
    ATTEMPTS,
    SEAM_SHOWS,
    SMALLER_PARTS,
    Draft,
    Finished,
    Job,
    Kept,
    Map,
    Note,
    Pause,
    Step,
    resolve,
    resume,
    run,
    states,
    warm_up,
)
from engine.sampling import DEFAULT_PRESET, PRESETS, Preset

__all__ = [
    "ATTEMPTS",
    "DEFAULT_PRESET",
    "PRESETS",
    "SEAM_SHOWS",
    "SMALLER_PARTS",
    "BadInput",
    "Draft",
    "EngineError",
    "Finished",
    "Job",
    "Kept",
    "Learning",
    "Map",
    "Model",
    "ModelInfo",
    "Note",
    "Pause",
    "Preset",
    "Step",
    "catalogue",
    "forecast",
    "load_model",
    "resolve",
    "resume",
    "run",
    "states",
    "warm_up",
]
