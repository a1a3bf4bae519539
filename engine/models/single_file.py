"""Stable Diffusion checkpoints in one ``.safetensors`` file → model folders, offline, by diffusers' own loader.

Such a file holds weights only. Configurations and vocabularies are taken from an installed model of the same kind.
"""

from __future__ import annotations

from pathlib import Path

import torch

from engine.errors import BadInput, EngineError
from engine.models import pipeline_folder
from engine.models.folders import is_lora, record_origin, staging, sweep, valid_name
from engine.models.model import ModelInfo
from engine.models.registry import find


def convert(source: Path, like: str, name: str | None, models: Path) -> Path:
    """Convert ``source`` into the folder ``models/name`` (its file's name if None), in float16.

    Args:
        like: id of an installed latent model of the same kind.

    Raises:
        BadInput: no such file or model, a name that is taken.
        EngineError: ``model_pickled``, or ``model_corrupt`` for a file that is damaged or of another kind.
    """
    import diffusers

    info = find(like)
    target = models / valid_name(name or source.stem)
    if not source.is_file():
        raise BadInput("no_file", f"There is no file {source}; name the checkpoint.")
    if source.suffix != ".safetensors":
        raise EngineError(
            "model_pickled",
            f"{source.name} is pickled and could run code; get the .safetensors file of the same model.",
        )
    if info.family != "latent" or info.folder is None or not info.installed or is_lora(info.folder):
        raise BadInput("bad_base", f"{info.title} is not an installed latent model; name another with --like.")
    if target.exists():
        raise BadInput("name_taken", f"There is a model {target.name} already; give another name with -o.")
    sweep(models)
    _, index = pipeline_folder.kind_of(info)
    pipeline_class = getattr(diffusers, str(index["_class_name"]))
    extras = {each: None for each in ("safety_checker", "feature_extractor", "image_encoder") if each in index}
    with staging(target) as folder:
        try:
            with pipeline_folder.quietly():
                pipeline = pipeline_class.from_single_file(
                    str(source), config=str(info.folder), local_files_only=True, torch_dtype=torch.float16, **extras
                )
                pipeline.save_pretrained(folder, safe_serialization=True)
            pipeline_folder.read(ModelInfo(target.name, target.name, "latent", "", folder), torch.float16)
        except MemoryError:
            raise
        except Exception as error:  # diffusers raises what it pleases about foreign keys and shapes
            raise EngineError(
                "model_corrupt",
                f"{source.name} is damaged, or not of the same kind as {info.title}; check the file and --like.",
                repr(error),
            ) from error
        record_origin(folder, source=source, title=target.name, licence="see its source")
    return target
