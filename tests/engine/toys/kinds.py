"""Tiny pipelines with random weights of every other kind, made of the toy model's parts where they can be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch

from tests.engine.toys import FOLDER, train


def write(kind: str, folder: Path) -> Path:
    """A pipeline folder of ``kind``: ``v``, ``inpaint``, ``sdxl`` or ``sd3``."""
    torch.manual_seed(5)
    make = {"v": _v, "inpaint": _inpaint, "sdxl": _sdxl, "sd3": _sd3}[kind]
    make(folder)
    return folder


def _copy(folder: Path, *parts: str) -> None:
    for part in parts:
        shutil.copytree(FOLDER / part, folder / part)


def _index(folder: Path, pipeline: str, **parts: str) -> None:
    index: dict = {"_class_name": pipeline}
    for part, name in parts.items():
        library = "transformers" if part.startswith(("text", "token")) else "diffusers"
        index[part] = [library, name] if name else [None, None]
    (folder / "model_index.json").write_text(json.dumps(index))


def _v(folder: Path) -> None:
    """As Stable Diffusion 2 with 768 pixels: v prediction, zero terminal SNR."""
    shutil.copytree(FOLDER, folder)
    config = folder / "scheduler" / "scheduler_config.json"
    changed = json.loads(config.read_text()) | {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    config.write_text(json.dumps(changed))


def _inpaint(folder: Path) -> None:
    """Nine input channels."""
    from diffusers import UNet2DConditionModel

    shutil.copytree(FOLDER, folder)
    shutil.rmtree(folder / "unet")
    UNet2DConditionModel(**train.UNET, in_channels=9).save_pretrained(folder / "unet")


def _text(folder: Path, name: str, projected: bool) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    words = train.tokenizer()
    end = words.eos_token_id
    ids = {"vocab_size": len(words), "bos_token_id": words.bos_token_id, "eos_token_id": end, "pad_token_id": end}
    kind = CLIPTextModelWithProjection if projected else CLIPTextModel
    kind(CLIPTextConfig(**train.TEXT, **ids, projection_dim=32)).save_pretrained(folder / name)
    train.write_tokenizer(words, folder / name.replace("text_encoder", "tokenizer"))


def _sdxl(folder: Path) -> None:
    """Two encoders side by side, and sizes beside the time."""
    from diffusers import UNet2DConditionModel

    _copy(folder, "vae", "scheduler")
    _text(folder, "text_encoder", False)
    _text(folder, "text_encoder_2", True)
    more = {
        "cross_attention_dim": 128,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 32 + 6 * 8,
    }
    UNet2DConditionModel(**(train.UNET | more)).save_pretrained(folder / "unet")
    _index(
        folder, "StableDiffusionXLPipeline", vae="AutoencoderKL", unet="UNet2DConditionModel",
        text_encoder="CLIPTextModel", text_encoder_2="CLIPTextModelWithProjection",
        tokenizer="CLIPTokenizer", tokenizer_2="CLIPTokenizer", scheduler="EulerDiscreteScheduler",
    )  # fmt: skip


def _sd3(folder: Path) -> None:
    """A flow-matching transformer on sixteen latent channels, without T5."""
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel

    latent = {"latent_channels": 16, "scaling_factor": 1.5305, "shift_factor": 0.0609}
    plain = {"use_quant_conv": False, "use_post_quant_conv": False}
    AutoencoderKL(**(train.VAE | latent | plain)).save_pretrained(folder / "vae")
    SD3Transformer2DModel(
        sample_size=16, patch_size=2, in_channels=16, num_layers=2, attention_head_dim=16, num_attention_heads=4,
        joint_attention_dim=160, caption_projection_dim=64, pooled_projection_dim=64, out_channels=16,
        pos_embed_max_size=48,
    ).save_pretrained(folder / "transformer")  # fmt: skip
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(folder / "scheduler")
    _text(folder, "text_encoder", True)
    _text(folder, "text_encoder_2", True)
    _index(
        folder, "StableDiffusion3Pipeline", vae="AutoencoderKL", transformer="SD3Transformer2DModel",
        text_encoder="CLIPTextModelWithProjection", text_encoder_2="CLIPTextModelWithProjection", text_encoder_3="",
        tokenizer="CLIPTokenizer", tokenizer_2="CLIPTokenizer", tokenizer_3="",
        scheduler="FlowMatchEulerDiscreteScheduler",
    )  # fmt: skip
