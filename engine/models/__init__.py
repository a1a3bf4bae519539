"""The registry of model families and the catalogue of models.

To add a family: write one module here with ``load(info, device) -> Model`` and add one line to :data:`FAMILIES`
(docs/guide/models.md shows it).
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch

from engine.errors import BadInput, EngineError
from engine.exemplar.denoiser import Exemplar
from engine.models.entries import Entry, known_models
from engine.models.folders import CLASSIFIER, NAME, is_autoencoder, is_lora, is_pipeline, part_folder, read_origin
from engine.sampling.diffusion import Diffusion, Prediction
from engine.sampling.guidance import Guide, Words
from engine.sampling.sampler import Settings
from engine.sampling.space import Pixels, Space

FAMILIES = {
    "diffusers-pixel": "engine.models.unet",
    "latent": "engine.models.latent",
    "exemplar": "engine.models.exemplar",
    "gaussian": "engine.models.gaussian",
}

DEFAULT_MODEL = "exemplar"
_EMBEDDED = Path(__file__).parents[1] / "weights"


@dataclass(frozen=True)
class ModelInfo:
    """A line of the catalogue.

    Attributes:
        installed: its files are here (not that they are sound: ``models verify`` tells).
        takes_label: it makes, or its classifier guides towards, one of several classes.
        classifier: folder of its noisy classifier, where it has one.
        vae: folder of an autoencoder in place of its own.
        learned: SHA-256 of the weights that stand in place of the folder's, where it has learned a picture.
        learns: it can learn a picture first (:mod:`engine.learning.adapt`).
        entry: how it can be had, where it is not here.
    """

    id: str
    title: str
    family: str
    licence: str
    folder: Path | None = None
    installed: bool = True
    takes_prompt: bool = False
    takes_label: bool = False
    classifier: Path | None = None
    vae: Path | None = None
    learned: str = ""
    learns: bool = False
    entry: Entry | None = None


@dataclass(frozen=True)
class Geometry:
    """What sizes a model takes, in model pixels.

    Attributes:
        multiple: sides are multiples of this.
        minimum: shortest side.
        window: longest side of one network call.
        any_scale: True for models that work at the picture's own scale (textures); False for models of whole scenes,
            to which the hole and its surroundings are scaled to fit ``window``.
        deep: a hole known on all sides and no deeper than this in pixels is painted at once
            (:mod:`engine.picture.stages`).
        band: depth in pixels, more or less, of the bands in which what is deeper is painted.
        sight: surroundings of the hole that the model looks at, where it has its own need; 0: the usual.
        most: model pixels in all. A model of scenes with this number paints regions larger than ``window`` at the
            picture's own scale, in windows, up to so many; 0: the usual limit, and it scales them down.
        grid: the sides of a picture that wraps are multiples of this, as its windows' places are: a latent cell.
        together: largest windows, or as much in smaller ones, that go into one network call.
    """

    multiple: int
    minimum: int
    window: int
    any_scale: bool
    most: int = 0
    deep: int = 64
    band: int = 32
    sight: int = 0
    together: int = 4
    grid: int = 1


@dataclass(frozen=True)
class Model:
    """A loaded model: one function and what the sampler must know about it.

    Attributes:
        predict: (x (B, C, h, w) float32 on ``device``, timestep, :data:`engine.sampling.guidance.Condition`) → output
            float32.
        alpha_bar: the model's own ᾱ of its training timesteps, shape (N,), float64.
        labels: names of the classes of a class-conditional model or of its classifier, by number; else empty.
        label_optional: True where only the classifier knows classes, so that the model also works without a label.
        classifier_gradient: (x, timestep, label number) → ∇_x log p(label | x), x's shape; None without a classifier.
        space: what ``predict`` works in.
        read: a prompt as the network takes it; None for models without prompts.
        guidance: scale of classifier-free guidance where a job names none.
        perturbs: it answers to words with perturbed self-attention, too.
        blind_below: ᾱ below which the model decides nothing. Networks do: noise says what is bright and dark, and a run
            that begins with pure noise where ᾱ is higher keeps it, as dark or bright patches.
        eta: η of few steps, where a preset leaves it to the model; None for the DDPM step, which is η = 1 where its
            variance is small. The fewer the steps, the more variance they lose with η = 1 (Song et al. 2021, arXiv
            2010.02502, Table 1), unless x_0 is all but certain, as for the exemplar model; a network that guesses what
            it does not know guesses too boldly with less.
        anchor: σ above which estimates are held to the surroundings (:mod:`engine.sampling.anchor`), where a preset
            asks for it; 0: never. For networks of textures in general.
        exemplar: for models made of the picture itself: (pixels (H, W, 3) float32 in [−1, 1], known (H, W) bool) → its
            patches, whose denoiser then takes the place of ``predict``; large pictures are painted by
            :mod:`engine.exemplar.octave_run` instead.
    """

    info: ModelInfo
    predict: Callable[[torch.Tensor, int, Any], torch.Tensor]
    alpha_bar: np.ndarray
    prediction: Prediction
    geometry: Geometry
    device: torch.device
    labels: tuple[str, ...] = ()
    label_optional: bool = False
    classifier_gradient: Callable[[torch.Tensor, int, int], torch.Tensor] | None = None
    space: Space = field(default_factory=Pixels)
    read: Callable[[str], Words] | None = None
    guidance: float = 1.0
    perturbs: bool = False
    blind_below: float = 0.0
    eta: float | None = None
    anchor: float = 0.0
    exemplar: Callable[[np.ndarray, np.ndarray], Exemplar] | None = None

    def guide(
        self, prompt: str, negative: str, scale: float | None, interval: tuple[float, float], pag_scale: float = 0.0
    ) -> Guide | None:
        """What a job's words mean to this model; None for a model without prompts.

        Raises:
            BadInput: words or perturbed attention for a model without, a scale or an interval out of range.
        """
        if pag_scale and not self.perturbs:
            raise BadInput(
                "bad_guidance", f"The model {self.info.title} has no perturbed-attention guidance; leave it at 0."
            )
        if self.read is None:
            if prompt or negative:
                raise BadInput("bad_prompt", f"The model {self.info.title} takes no prompt; leave it out.")
            return None
        strength = self.guidance if scale is None else scale
        guide = Guide(self.read(prompt), self.read(negative), strength, interval, pag_scale)
        return guide if prompt or negative else replace(guide, scale=1.0)

    def diffusion(self, steps: int, settings: Settings) -> Diffusion:
        """The levels of a run with settings that :meth:`settings` returned."""
        return Diffusion(self.alpha_bar, steps, self.prediction, settings.spacing, settings.first_alpha_bar)

    def settings(self, asked: Settings) -> Settings:
        """A run's settings as this model takes them: no clipping of latents, its own η where that is left to it, and
        where the first levels are left out, those at which the model decides nothing are, too."""
        return replace(
            asked,
            clip=asked.clip and self.space.clip,
            eta=self.eta if asked.models_eta else asked.eta,
            first_alpha_bar=max(asked.first_alpha_bar, self.blind_below) if asked.first_alpha_bar else 0.0,
        )

    def label_number(self, label: str | int | None) -> int | None:
        """The number of a class given by number or by name (case does not matter; one of several synonyms will do).

        Raises:
            BadInput: no such class, a name of several, a label for a model without classes, or none where one is due.
        """
        if not self.labels:
            if label is None:
                return None
            raise BadInput("bad_label", f"The model {self.info.title} has no classes; leave the label out.")
        last = len(self.labels) - 1
        if label is None:
            if self.label_optional:
                return None
            raise BadInput(
                "bad_label", f"The model {self.info.title} needs a class label: a name or a number from 0 to {last}."
            )
        text = str(label).strip().casefold()
        if text.isdecimal() and int(text) <= last:
            return int(text)
        whole = [number for number, name in enumerate(self.labels) if name.casefold() == text]
        found = whole or [
            number
            for number, name in enumerate(self.labels)
            if text in [synonym.strip() for synonym in name.casefold().split(",")]
        ]
        if len(found) > 1:
            numbers = " or ".join(str(number) for number in found)
            raise BadInput("bad_label", f"Several classes are called {label!r}; give the number {numbers} instead.")
        if not found:
            raise BadInput("bad_label", f"There is no class {label!r}; give a name or a number from 0 to {last}.")
        return found[0]


def models_dir() -> Path:
    """Where the user's own models lie, one folder each in diffusers layout."""
    home = os.environ.get("REPAINT_BRIDGE_HOME")
    data = Path(home) / "data" if home else platformdirs.user_data_path("repaint-bridge", appauthor=False)
    return data / "models"


def catalogue() -> list[ModelInfo]:
    """All known models: the built-in ones first, then what is installed in :func:`models_dir`, then what can be had by
    ``models get`` or ``models convert``, and, where the environment asks for them, the exact test models.

    Cheap: it looks for files and reads small ones, but loads nothing.
    """
    home, known = models_dir(), {entry.id: entry for entry in known_models()}
    place = _EMBEDDED / "texture"
    texture = ModelInfo("texture", "Texture (built in)", "diffusers-pixel", "GPL-3.0-or-later", place, learns=True)
    exemplar = ModelInfo("exemplar", "From this picture (built in)", "exemplar", "GPL-3.0-or-later")
    found = [exemplar, replace(texture, installed=_is_complete(place))]
    if home.is_dir():
        folders = (folder for folder in sorted(home.iterdir()) if folder.is_dir() and NAME.fullmatch(folder.name))
        folders = (folder for folder in folders if not is_autoencoder(folder))
        found += [_local(folder, known.get(folder.name)) for folder in folders]
    here = {info.id for info in found}
    found += [
        ModelInfo(
            entry.id,
            entry.title,
            "latent" if entry.layout else "diffusers-pixel",
            entry.licence,
            home / entry.id,
            installed=False,
            takes_prompt=entry.layout is not None,
            takes_label=entry.takes_label,
            entry=entry,
        )
        for entry in known.values()
        if entry.id not in here
    ]
    if os.environ.get("REPAINT_BRIDGE_TEST_MODELS") == "1":
        found += [
            ModelInfo("test/gaussian", "Exact Gaussian (test)", "gaussian", "GPL-3.0-or-later"),
            ModelInfo("test/gaussian-slow", "Exact Gaussian, 20 ms a call (test)", "gaussian", "GPL-3.0-or-later"),
            ModelInfo("test/gaussian-large", "Exact Gaussian, 16 KiB a pixel (test)", "gaussian", "GPL-3.0-or-later"),
        ]
    return found


def _local(folder: Path, entry: Entry | None) -> ModelInfo:
    """What is to be said of a folder of the user's own without loading it."""
    origin = {} if entry else read_origin(folder)
    title = entry.title if entry else str(origin.get("title", folder.name))
    licence = entry.licence if entry else str(origin.get("licence", "see the folder"))
    classifier = folder / CLASSIFIER
    has_classifier = (classifier / "config.json").is_file()
    latent = is_pipeline(folder) or is_lora(folder)
    classes = has_classifier or _config(folder, "num_class_embeds")
    return ModelInfo(
        folder.name,
        title,
        "latent" if latent else "diffusers-pixel",
        licence,
        folder,
        installed=latent or _is_complete(folder),
        takes_prompt=latent,
        takes_label=classes,
        classifier=classifier if has_classifier else None,
        learns=not latent and not classes and _config(folder, "any_scale"),
    )


def _is_complete(folder: Path) -> bool:
    return (folder / "unet" / "config.json").is_file() or (folder / "config.json").is_file()


def _config(folder: Path, key: str) -> bool:
    """Whether a pixel model's configuration says so."""
    try:
        return bool(json.loads((part_folder(folder, "unet") / "config.json").read_text(encoding="utf-8")).get(key))
    except (OSError, ValueError, AttributeError):
        return False


def find(model_id: str) -> ModelInfo:
    """The catalogue's entry, or the entry for a local folder given as a path (command line only).

    Raises:
        BadInput: no such model.
    """
    infos = catalogue()
    for info in infos:
        if info.id == model_id:
            return info
    folder = Path(model_id)
    if ("/" in model_id or os.sep in model_id) and folder.is_dir():
        return _local(folder, None)
    names = ", ".join(info.id for info in infos if info.installed)
    raise BadInput("model_missing", f"There is no model named {model_id!r} here; choose one of: {names}.")


def autoencoder(name: str) -> Path:
    """The folder of an autoencoder: of one that lies in :func:`models_dir`, or given as a path; of a latent model its
    own.

    Raises:
        BadInput: no such folder.
    """
    folder = models_dir() / name if NAME.fullmatch(name) and (models_dir() / name).is_dir() else Path(name)
    for place in (folder / "vae", folder):
        if is_autoencoder(place):
            return place
    raise BadInput("no_vae", f"There is no autoencoder {name!r}; name a folder with its config.json and .safetensors.")


def load(model_id: str, device: str | None = None, vae: str | None = None) -> Model:
    """Load a model by id onto ``cuda`` or ``cpu`` (default: CUDA where there is one).

    Args:
        vae: of a latent model, an autoencoder in place of its own, as of :func:`autoencoder`.

    Raises:
        EngineError: unknown model, missing or corrupt files, no such device.
    """
    info = find(model_id)
    if vae is not None and info.family != "latent":
        raise BadInput("no_vae", f"The model {info.title} has no autoencoder; leave --vae out.")
    if vae is not None:
        info = replace(info, vae=autoencoder(vae))
    if not info.installed and any(entry.id == info.id for entry in known_models()):
        raise EngineError(
            "model_missing",
            f"The model {info.title} is not installed; run 'python -m engine models get {info.id}' first.",
        )
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if chosen not in ("cpu", "cuda") or (chosen == "cuda" and not torch.cuda.is_available()):
        raise BadInput("no_device", f"The device {chosen!r} is not available here; use cpu.")
    return importlib.import_module(FAMILIES[info.family]).load(info, torch.device(chosen))
