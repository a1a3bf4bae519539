"""Folders of latent models as diffusers saves a pipeline: what kind it is, and its parts, loaded by diffusers itself.

Only safetensors are loaded. What is wrong with a folder (a part that is missing, of another kind, half downloaded,
pickled) is said before or instead of what the libraries would say.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engine.errors import EngineError
from engine.models.folders import AUTOENCODERS, INDEX
from engine.models.model import ModelInfo
from engine.models.unet import brings_code, corrupt, read_json

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """A family of pipelines.

    Attributes:
        title: for people.
        network: folder of the diffusion network.
        encoders: folder of each text encoder and the tokenizer's beside it; the last ones may be left out of a model.
        needed: how many encoders it must have.
        guidance: usual scale of classifier-free guidance.
    """

    title: str
    network: str
    encoders: tuple[tuple[str, str], ...]
    needed: int
    guidance: float


_ENCODERS = (("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2"), ("text_encoder_3", "tokenizer_3"))
KINDS = {
    "sd": Kind("Stable Diffusion 1 or 2", "unet", _ENCODERS[:1], 1, 7.5),
    "sdxl": Kind("Stable Diffusion XL", "unet", _ENCODERS[:2], 2, 5.0),
    "sd3": Kind("Stable Diffusion 3", "transformer", _ENCODERS, 2, 7.0),
}
PIPELINES = {
    "StableDiffusionPipeline": "sd",
    "StableDiffusionInpaintPipeline": "sd",
    "StableDiffusionImg2ImgPipeline": "sd",
    "StableDiffusionXLPipeline": "sdxl",
    "StableDiffusionXLInpaintPipeline": "sdxl",
    "StableDiffusionXLImg2ImgPipeline": "sdxl",
    "StableDiffusion3Pipeline": "sd3",
    "StableDiffusion3InpaintPipeline": "sd3",
    "StableDiffusion3Img2ImgPipeline": "sd3",
}
CLASSES = {
    "unet": ("UNet2DConditionModel",),
    "transformer": ("SD3Transformer2DModel",),
    "vae": AUTOENCODERS,
    "text_encoder": ("CLIPTextModel", "CLIPTextModelWithProjection"),
    "text_encoder_2": ("CLIPTextModelWithProjection",),
    "text_encoder_3": ("T5EncoderModel",),
}
"""Classes that may stand in each place."""


LIBRARIES = (None, "diffusers", "transformers", "stable_diffusion")
"""Where the classes that an index names may come from; the last is diffusers' own folder of the safety checker."""
ADAPTER = "adapter_config.json"
"""Names weights elsewhere and a module to import, which the libraries would follow."""


@dataclass(frozen=True)
class Parts:
    """A loaded pipeline, all in evaluation mode and without gradients.

    Attributes:
        index: its ``model_index.json``.
        scheduler: its scheduler's configuration.
        network, vae: diffusers' models.
        encoders: tokenizer and text encoder of each.
    """

    kind: str
    index: dict[str, Any]
    scheduler: dict[str, Any]
    network: Any
    vae: Any
    encoders: tuple[tuple[Any, Any], ...]


def kind_of(info: ModelInfo) -> tuple[str, dict[str, Any]]:
    """The kind's name in :data:`KINDS`, and the index.

    Raises:
        EngineError: ``model_corrupt`` (no readable index, a kind that is not supported).
    """
    assert info.folder is not None
    index = read_json(info.folder / INDEX, info)
    name = str(index.get("_class_name"))
    if name not in PIPELINES:
        known = ", ".join(kind.title for kind in KINDS.values())
        raise corrupt(info, f"it is a {name}, and only {known} are supported")
    parts = [part for part in index.values() if isinstance(part, list)]
    if not all(len(part) == 2 and part[0] in LIBRARIES for part in parts):
        raise brings_code(info, info.folder / INDEX)
    return PIPELINES[name], index


def read(info: ModelInfo, dtype: torch.dtype) -> Parts:
    """Load all parts; the autoencoder in float32, the rest in ``dtype``, on the CPU.

    Raises:
        EngineError: ``model_missing``, ``model_pickled`` or ``model_corrupt``; the sentence names the part.
    """
    assert info.folder is not None
    kind, index = kind_of(info)
    made = KINDS[kind]
    scheduler = read_json(info.folder / "scheduler" / "scheduler_config.json", info)
    there = [
        pair
        for number, pair in enumerate(made.encoders)
        if number < made.needed or (_named(index, pair[0]) and (info.folder / pair[0]).is_dir())
    ]
    for name in (made.network, "vae", *(encoder for encoder, _ in there)):
        _check_part(info, name)
    network, vae = _load(info, made.network, dtype), _load(info, "vae", torch.float32)
    encoders = tuple((_load_tokenizer(info, tokenizer), _load(info, encoder, dtype)) for encoder, tokenizer in there)
    _check_fit(info, kind, network, vae, [encoder for _, encoder in encoders])
    return Parts(kind, index, scheduler, network, vae, encoders)


def place_of(info: ModelInfo, part: str) -> Path:
    """The folder of a part."""
    assert info.folder is not None
    return info.vae if part == "vae" and info.vae is not None else info.folder / part


def config_of(info: ModelInfo, part: str) -> dict[str, Any]:
    """A part's configuration."""
    return read_json(place_of(info, part) / "config.json", info)


def _named(index: dict[str, Any], part: str) -> bool:
    entry = index.get(part)
    return isinstance(entry, list) and len(entry) == 2 and entry[1] is not None


def _class_name(info: ModelInfo, part: str) -> str:
    """What the part's own configuration says that it is."""
    config = config_of(info, part)
    return str(config.get("_class_name") or (config.get("architectures") or ["unknown part"])[0])


def _check_part(info: ModelInfo, part: str) -> None:
    """The right class, whole, and not pickled, as far as its files tell."""
    place = place_of(info, part)
    found = _class_name(info, part)
    if found not in CLASSES[part]:
        raise corrupt(info, f"its {part} is a {found} where a {CLASSES[part][0]} belongs", str(place))
    if (place / ADAPTER).exists():
        raise brings_code(info, place / ADAPTER)
    present = {path.name for path in place.glob("*.safetensors")}
    for index in place.glob("*.safetensors.index*.json"):
        shards = set(read_json(index, info).get("weight_map", {}).values())
        if shards - present:
            raise _incomplete(info, part, f"{index}: {sorted(shards - present)}")
    if present:
        return
    pickled = sorted(path for kind in ("*.bin", "*.pt", "*.ckpt") for path in place.glob(kind))
    if pickled:
        raise EngineError(
            "model_pickled",
            f"The model {info.title} holds only pickled weights in {part}, which could run code; get its .safetensors "
            "files from its authors or choose another model.",
            str(pickled[0]),
        )
    raise _incomplete(info, part, str(place))


def _incomplete(info: ModelInfo, part: str, details: str) -> EngineError:
    return EngineError(
        "model_missing",
        f"The model {info.title} is incomplete: the weights of its {part} are missing; install it again.",
        details,
    )


def _load(info: ModelInfo, part: str, dtype: torch.dtype) -> Any:
    place = place_of(info, part)
    library = importlib.import_module("transformers" if part.startswith("text") else "diffusers")
    plain = any(".fp16." not in path.name for path in place.glob("*.safetensors"))
    options = {"dtype" if part.startswith("text") else "torch_dtype": dtype}
    with quietly(), _explained(info, part):
        network, report = getattr(library, _class_name(info, part)).from_pretrained(
            place,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            variant=None if plain else "fp16",
            output_loading_info=True,
            **options,
        )
    lacking = [*report["missing_keys"], *report.get("mismatched_keys", [])]
    if lacking:
        raise corrupt(info, f"the weights of its {part} do not fit its configuration", f"{lacking[:5]}")
    return network.eval().requires_grad_(False)


def _load_tokenizer(info: ModelInfo, part: str) -> Any:
    assert info.folder is not None
    from transformers import AutoTokenizer, CLIPTokenizer

    place = info.folder / part
    if not place.is_dir():
        raise _incomplete(info, part, str(place))
    for name in ("config.json", "tokenizer_config.json"):
        if (place / name).exists():
            read_json(place / name, info)
    loader = AutoTokenizer if part == "tokenizer_3" else CLIPTokenizer
    with quietly(), _explained(info, part):
        tokenizer = loader.from_pretrained(place, local_files_only=True, trust_remote_code=False)
    if len(tokenizer) < 4:  # a tokenizer without its files is made of its special tokens
        raise _incomplete(info, part, str(place))
    return tokenizer


def _check_fit(info: ModelInfo, kind: str, network: Any, vae: Any, encoders: list[Any]) -> None:
    """Whether the parts belong together."""
    channels, latent = network.config.in_channels, vae.config.latent_channels
    if channels not in (latent, 2 * latent + 1) or (kind == "sd3" and channels != latent):
        raise corrupt(info, f"its {KINDS[kind].network} and its vae do not fit each other", f"{channels}, {latent}")
    widths = [encoder.config.hidden_size for encoder in encoders[:2]]
    wanted = network.config.joint_attention_dim if kind == "sd3" else network.config.cross_attention_dim
    if (kind == "sd3" and sum(widths) > wanted) or (kind != "sd3" and sum(widths) != wanted):
        raise corrupt(info, "its text encoder and its network do not fit each other", f"{widths}, {wanted}")


@contextmanager
def _explained(info: ModelInfo, part: str) -> Iterator[None]:
    """Whatever the libraries raise about a part becomes a sentence about it."""
    try:
        yield
    except Exception as error:  # OSError, ValueError, RuntimeError, KeyError, SafetensorError …
        raise corrupt(info, f"its {part} is damaged or incomplete", repr(error)) from error


@contextmanager
def quietly() -> Iterator[None]:
    """No progress bars and no advice on stderr."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    before = diffusers_logging.get_verbosity(), transformers_logging.get_verbosity()
    diffusers_logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        diffusers_logging.set_verbosity(before[0])
        transformers_logging.set_verbosity(before[1])
        transformers_logging.enable_progress_bar()
