"""LoRA (Hu et al. 2022, arXiv 2106.09685): a small file that changes a latent model, as a model of its own.

Its folder holds ``lora.safetensors`` and a ``config.json`` that names the model it changes and how strongly. It is read
by diffusers' own loader and merged into the weights, so that a call costs what it did.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.errors import BadInput, EngineError
from engine.models import pipeline_folder
from engine.models.folders import LORA, LORA_CLASS, is_lora, record_origin, staging, valid_name
from engine.models.model import ModelInfo
from engine.models.pipeline_folder import Parts
from engine.models.registry import find
from engine.models.unet import corrupt, read_json

MAX_WEIGHT = 4.0


def add(source: Path, base: str, weight: float, name: str | None, models: Path) -> Path:
    """Install a LoRA file as the model ``models/name`` (its file's name if None) that changes the model ``base``.

    It is loaded once to see that it fits.

    Raises:
        BadInput: no such file or model, a name that is taken, a weight out of range.
        EngineError: pickled, damaged, or of another kind of model.
    """
    info = find(base)
    target = models / valid_name(name or source.stem)
    if not source.is_file():
        raise BadInput("no_file", f"There is no file {source}; name the LoRA's .safetensors file.")
    if source.suffix != ".safetensors":
        raise EngineError(
            "model_pickled", f"{source.name} is pickled and could run code; get the LoRA as a .safetensors file."
        )
    if not -MAX_WEIGHT <= weight <= MAX_WEIGHT:
        raise BadInput("bad_weight", f"The weight must be {-MAX_WEIGHT:g} to {MAX_WEIGHT:g}, not {weight:g}.")
    if info.family != "latent" or info.folder is None or is_lora(info.folder):
        raise BadInput("bad_base", f"A LoRA changes a latent model, and {info.title} is none; name another with --of.")
    if target.exists():
        raise BadInput("name_taken", f"There is a model {target.name} already; give another name with -o.")
    with staging(target) as folder:
        shutil.copyfile(source, folder / LORA)
        config = {"_class_name": LORA_CLASS, "base": base, "weight": weight}
        (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
        import torch

        trial, merge = base_of(replace(info, id=target.name, title=target.name, folder=folder))
        merge(pipeline_folder.read(trial, torch.float32))
        record_origin(
            folder,
            source=source,
            title=f"{info.title} + {target.name}",
            licence=f"{info.licence}; LoRA: see its source",
        )
    return target


def base_of(info: ModelInfo) -> tuple[ModelInfo, Callable[[Parts], Parts]]:
    """The model whose folder is to be read, and what is to be done with its parts: nothing, or a LoRA merged into them.

    Raises:
        EngineError: the model that a LoRA changes is not here.
    """
    assert info.folder is not None
    if not is_lora(info.folder):
        return info, lambda parts: parts
    config = read_json(info.folder / "config.json", info)
    base, weight = str(config.get("base")), float(config.get("weight", 1.0))
    try:
        found = find(base)
    except BadInput as error:
        raise EngineError(
            "model_missing", f"{info.title} changes the model {base}, which is not here; install that first."
        ) from error
    return replace(found, vae=info.vae), lambda parts: _merged(parts, info, weight)


def _merged(parts: Parts, info: ModelInfo, weight: float) -> Parts:
    assert info.folder is not None
    pipeline = _pipeline(parts)
    try:
        pipeline.load_lora_weights(info.folder, weight_name=LORA, use_safetensors=True, local_files_only=True)
        adapters = pipeline.get_list_adapters()
        if adapters:
            pipeline.fuse_lora(list(adapters), lora_scale=weight)
        pipeline.unload_lora_weights()
    except Exception as error:  # diffusers and peft raise what they please about foreign weights
        raise corrupt(info, "its LoRA does not fit the model it is for", repr(error)) from error
    if not adapters:
        raise corrupt(info, "its LoRA changes nothing of the model it is for")
    return parts


def _pipeline(parts: Parts) -> Any:
    """diffusers' pipeline around the parts, for its loaders."""
    import diffusers

    names = ("text_encoder", "text_encoder_2", "text_encoder_3")
    tokenizers = ("tokenizer", "tokenizer_2", "tokenizer_3")
    components: dict[str, Any] = {"vae": parts.vae, pipeline_folder.KINDS[parts.kind].network: parts.network}
    for (tokenizer, encoder), name, other in zip(parts.encoders, names, tokenizers, strict=False):
        components |= {name: encoder, other: tokenizer}
    if parts.kind == "sd":
        scheduler = diffusers.DDPMScheduler()
        nothing = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        return diffusers.StableDiffusionPipeline(scheduler=scheduler, **nothing, **components)
    if parts.kind == "sdxl":
        return diffusers.StableDiffusionXLPipeline(scheduler=diffusers.DDPMScheduler(), **components)
    components = {"text_encoder_3": None, "tokenizer_3": None} | components
    return diffusers.StableDiffusion3Pipeline(scheduler=diffusers.FlowMatchEulerDiscreteScheduler(), **components)
