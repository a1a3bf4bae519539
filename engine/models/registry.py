"""The registry of model families and the catalogue of models.

To add a family: write one module here with ``load(info, device) -> Model`` and add one line to :data:`FAMILIES`
(docs/guide/models.md shows it).
"""

from __future__ import annotations

import importlib
import os
from dataclasses import replace
from pathlib import Path

import platformdirs

from engine import devices
from engine.errors import BadInput, EngineError
from engine.models.entries import Entry, known_models
from engine.models.folders import CLASSIFIER, NAME, is_autoencoder, is_lora, is_pipeline, part_folder, read_origin
from engine.models.memory import within_memory
from engine.models.model import Model, ModelInfo
from engine.untrusted import read_json

FAMILIES = {
    "diffusers-pixel": "engine.models.unet",
    "latent": "engine.models.latent",
    "exemplar": "engine.models.exemplar",
    "gaussian": "engine.models.gaussian",
}

DEFAULT_MODEL = "exemplar"
_EMBEDDED = Path(__file__).parents[1] / "weights"


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
    texture = ModelInfo("texture", "Texture", "diffusers-pixel", "GPL-3.0-or-later", place, learns=True)
    exemplar = ModelInfo("exemplar", "From this picture", "exemplar", "GPL-3.0-or-later")
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
        return bool(read_json(part_folder(folder, "unet") / "config.json").get(key))
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
    """Load a model by id onto a kind of device (default: the best one here, see :mod:`engine.devices`).

    Args:
        vae: of a latent model, an autoencoder in place of its own, as of :func:`autoencoder`.

    Raises:
        EngineError: unknown model, missing or corrupt files, no such device, ``out_of_memory``.
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
    with within_memory(info.title):
        return importlib.import_module(FAMILIES[info.family]).load(info, devices.chosen(device))
