"""The registry of model families and the catalogue of models.

To add a family: write one module here with ``load(folder, device) -> Model`` and add one line to :data:`FAMILIES`.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import platformdirs
import torch

from engine.diffusion import Diffusion, Prediction, Spacing
from engine.errors import BadInput

FAMILIES = {
    "diffusers-pixel": "engine.models.unet",
    "gaussian": "engine.models.gaussian",
}

DEFAULT_MODEL = "texture"
_EMBEDDED = Path(__file__).parents[1] / "weights"


@dataclass(frozen=True)
class ModelInfo:
    """A line of the catalogue."""

    id: str
    title: str
    family: str
    licence: str
    folder: Path | None = None
    installed: bool = True
    takes_prompt: bool = False
    takes_label: bool = False
    classifier: Path | None = None


@dataclass(frozen=True)
class Geometry:
    """What sizes a model takes, in model pixels.

    Attributes:
        multiple: sides are multiples of this.
        minimum: shortest side.
        window: longest side of one network call.
        any_scale: True for models that work at the picture's own scale (textures); False for models of whole scenes,
            to which the hole and its surroundings are scaled to fit ``window``.
    """

    multiple: int
    minimum: int
    window: int
    any_scale: bool


@dataclass(frozen=True)
class Model:
    """A loaded model: one function and what the sampler must know about it.

    Attributes:
        predict: (x (B, 3, H, W) float32 on ``device``, timestep, label number or None) → output float32.
        alpha_bar: the model's own ᾱ of its training timesteps, shape (N,), float64.
        labels: names of the classes of a class-conditional model, by number; empty for an unconditional one.
        classifier_gradient: (x, timestep, label number) → ∇_x log p(label | x), x's shape; None without a classifier.
    """

    info: ModelInfo
    predict: Callable[[torch.Tensor, int, int | None], torch.Tensor]
    alpha_bar: np.ndarray
    prediction: Prediction
    geometry: Geometry
    device: torch.device
    labels: tuple[str, ...] = ()
    classifier_gradient: Callable[[torch.Tensor, int, int], torch.Tensor] | None = None

    def diffusion(self, steps: int, spacing: Spacing = "even") -> Diffusion:
        return Diffusion(self.alpha_bar, steps, self.prediction, spacing)

    def label_number(self, label: str | int | None) -> int | None:
        """The number of a class given by number or by name (case and commas as in the list do not matter).

        Raises:
            BadInput: no such class, a label for a model without classes, or none for a model that needs one.
        """
        if not self.labels:
            if label is None:
                return None
            raise BadInput("bad_label", f"The model {self.info.title} has no classes; leave the label out.")
        if label is None:
            raise BadInput(
                "bad_label", f"The model {self.info.title} needs a class label: a name or 0 to {len(self.labels) - 1}."
            )
        text = str(label).strip().casefold()
        if text.isdecimal() and int(text) < len(self.labels):
            return int(text)
        for number, name in enumerate(self.labels):
            if text in (name.casefold(), *(part.strip().casefold() for part in name.split(","))):
                return number
        raise BadInput(
            "bad_label", f"There is no class {label!r}; give a name or a number from 0 to {len(self.labels) - 1}."
        )


def models_dir() -> Path:
    """Where the user's own models lie, one folder each in diffusers layout."""
    home = os.environ.get("REPAINT_BRIDGE_HOME")
    data = Path(home) / "data" if home else platformdirs.user_data_path("repaint-bridge", appauthor=False)
    return data / "models"


def catalogue() -> list[ModelInfo]:
    """All known models: the embedded one first, then the folders of :func:`models_dir`, then, where the environment
    asks for them, the exact test models."""
    entries = [ModelInfo("texture", "Texture (built in)", "diffusers-pixel", "GPL-3.0-or-later", _EMBEDDED / "texture")]
    if models_dir().is_dir():
        entries += [
            ModelInfo(folder.name, folder.name, "diffusers-pixel", "see the folder", folder)
            for folder in sorted(models_dir().iterdir())
            if folder.is_dir() and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", folder.name)
        ]
    if os.environ.get("REPAINT_BRIDGE_TEST_MODELS") == "1":
        entries += [
            ModelInfo("test/gaussian", "Exact Gaussian (test)", "gaussian", "GPL-3.0-or-later"),
            ModelInfo("test/gaussian-slow", "Exact Gaussian, 20 ms a call (test)", "gaussian", "GPL-3.0-or-later"),
        ]
    return [
        replace(
            entry,
            installed=entry.folder is None
            or (entry.folder / "unet" / "config.json").is_file()
            or (entry.folder / "config.json").is_file(),
        )
        for entry in entries
    ]


def find(model_id: str) -> ModelInfo:
    """The catalogue's entry, or the entry for a local folder given as a path (command line only).

    Raises:
        BadInput: no such model.
    """
    entries = catalogue()
    for entry in entries:
        if entry.id == model_id:
            return entry
    folder = Path(model_id)
    if ("/" in model_id or os.sep in model_id) and folder.is_dir():
        return ModelInfo(folder.name, folder.name, "diffusers-pixel", "see the folder", folder)
    names = ", ".join(entry.id for entry in entries)
    raise BadInput("model_missing", f"There is no model named {model_id!r} here; choose one of: {names}.")


def load(model_id: str, device: str | None = None) -> Model:
    """Load a model by id onto ``cuda`` or ``cpu`` (default: CUDA where there is one).

    Raises:
        EngineError: unknown model, missing or corrupt files, no such device.
    """
    info = find(model_id)
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if chosen not in ("cpu", "cuda") or (chosen == "cuda" and not torch.cuda.is_available()):
        raise BadInput("no_device", f"The device {chosen!r} is not available here; use cpu.")
    return importlib.import_module(FAMILIES[info.family]).load(info, torch.device(chosen))
