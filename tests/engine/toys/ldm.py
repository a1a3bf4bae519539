"""The toy model as one checkpoint file under the names of the original latent-diffusion code."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tests.engine.toys import FOLDER

State = dict[str, torch.Tensor]
_RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def write(file: Path) -> Path:
    """Write ``file``, float16."""
    unet, vae = (load_file(FOLDER / part / "diffusion_pytorch_model.safetensors") for part in ("unet", "vae"))
    text = load_file(FOLDER / "text_encoder" / "model.safetensors")
    state = {f"model.diffusion_model.{name}": tensor for name, tensor in _unet(unet).items()}
    state |= {f"first_stage_model.{name}": tensor for name, tensor in _vae(vae).items()}
    for name, tensor in text.items():
        state[f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}"] = tensor
    save_file({name: tensor.half().contiguous() for name, tensor in state.items()}, file)
    return file


def _renamed(state: State, places: dict[str, str], inner: dict[str, dict[str, str]]) -> State:
    """``places``: prefix → prefix; ``inner``: by the kind of thing there, names within it."""
    out, left = {}, dict(state)
    for source, target in sorted(places.items(), key=lambda pair: -len(pair[0])):
        for name in [name for name in left if name.startswith(source + ".")]:
            rest, tensor = name[len(source) + 1 :], left.pop(name)
            kind = next((kind for kind in inner if f".{kind}." in f".{source}."), None)
            if kind is not None:
                layer, _, what = rest.rpartition(".")
                rest = f"{inner[kind].get(layer, layer)}.{what}"
            out[f"{target}.{rest}"] = tensor
    assert not left, list(left)[:3]
    return out


def _unet(state: State) -> State:
    """Three levels, one layer each, attention on the first two."""
    places = {
        "conv_in": "input_blocks.0.0", "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2", "conv_norm_out": "out.0", "conv_out": "out.2",
        "mid_block.resnets.0": "middle_block.0", "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2",
    }  # fmt: skip
    for level in range(3):
        places[f"down_blocks.{level}.resnets.0"] = f"input_blocks.{1 + 2 * level}.0"
        places[f"down_blocks.{level}.attentions.0"] = f"input_blocks.{1 + 2 * level}.1"
        places[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{2 + 2 * level}.0.op"
        for layer in range(2):
            number = 2 * level + layer
            places[f"up_blocks.{level}.resnets.{layer}"] = f"output_blocks.{number}.0"
            places[f"up_blocks.{level}.attentions.{layer}"] = f"output_blocks.{number}.1"
        places[f"up_blocks.{level}.upsamplers.0"] = f"output_blocks.{2 * level + 1}.{1 if level == 0 else 2}"
    return _renamed(state, places, {"resnets": _RESNET})


def _vae(state: State) -> State:
    """Four levels, one layer each in the encoder and two in the decoder."""
    places = {name: name for name in ("quant_conv", "post_quant_conv")}
    for half in ("encoder", "decoder"):
        places |= {f"{half}.{name}": f"{half}.{name}" for name in ("conv_in", "conv_out")}
        places[f"{half}.conv_norm_out"] = f"{half}.norm_out"
        places[f"{half}.mid_block.attentions.0"] = f"{half}.mid.attn_1"
        for number in (0, 1):
            places[f"{half}.mid_block.resnets.{number}"] = f"{half}.mid.block_{number + 1}"
    for level in range(4):
        places[f"encoder.down_blocks.{level}.resnets.0"] = f"encoder.down.{level}.block.0"
        places[f"encoder.down_blocks.{level}.downsamplers.0"] = f"encoder.down.{level}.downsample"
        places[f"decoder.up_blocks.{level}.upsamplers.0"] = f"decoder.up.{3 - level}.upsample"
        for layer in range(2):
            places[f"decoder.up_blocks.{level}.resnets.{layer}"] = f"decoder.up.{3 - level}.block.{layer}"
    named = _renamed(state, places, {"resnets": {"conv_shortcut": "nin_shortcut"}, "attentions": _ATTENTION})
    return {
        name: tensor[..., None, None] if ".attn_1." in name and tensor.ndim == 2 else tensor
        for name, tensor in named.items()
    }
