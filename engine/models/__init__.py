"""Models: families of networks, what is known of each model, and how it comes here.

Modules that load heavy libraries are imported by who needs them: ``from engine.models import unet``.
"""

from engine.models.digest import digest
from engine.models.memory import out_of_memory, within_memory
from engine.models.model import Model, ModelInfo
from engine.models.registry import DEFAULT_MODEL, FAMILIES, autoencoder, catalogue, find, load, models_dir

__all__ = [
    "DEFAULT_MODEL",
    "FAMILIES",
    "Model",
    "ModelInfo",
    "autoencoder",
    "catalogue",
    "digest",
    "find",
    "load",
    "models_dir",
    "out_of_memory",
    "within_memory",
]
