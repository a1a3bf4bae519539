"""Checkpoints of OpenAI's guided-diffusion and of RePaint, re-expressed as diffusers' ``UNet2DModel``: exact.

The original network (Dhariwal & Nichol 2021, arXiv 2105.05233) and ``UNet2DModel`` do the same arithmetic under other
names, with one trap: the rows of a legacy attention layer's joint qkv projection are ordered [head, (q, k, v), channel]
and must be de-interleaved, while with "new attention order" they are [(q, k, v), head, channel]. Either way round the
weights *fit*, so that only a numeric probe tells (:func:`probe_attention`, :func:`probe_order`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F

from engine.errors import EngineError
from engine.models import unet
from engine.sampling import cosine_alpha_bar, linear_alpha_bar

State = dict[str, torch.Tensor]

ATTENTION_TOLERANCE = 1e-4
ORDER_MARGIN = 0.8
PROBE_SIDE = 64
PROBE_TIMESTEP = 250
_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_WHOLE = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}


@dataclass(frozen=True)
class GuidedConfig:
    """How a checkpoint was trained: the flags that its authors publish for it.

    Attributes:
        image_size: side of the training pictures.
        channels: of the first level.
        multipliers: of the channels, level by level.
        layers: residual blocks a level.
        attention_sizes: sides (pixels) of the levels with attention.
        head_channels: channels of one attention head; None where ``heads`` counts instead.
        heads: heads of every attention layer, where ``head_channels`` is None.
        classes: of a class-conditional model; None for an unconditional one.
        new_order: row order of the joint qkv projection.
        cosine: trained with cosine betas; otherwise linear.
        learned: six output channels, the last three the learned variance range.
    """

    image_size: int = 256
    channels: int = 256
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    layers: int = 2
    attention_sizes: tuple[int, ...] = (32, 16, 8)
    head_channels: int | None = 64
    heads: int = 4
    classes: int | None = None
    new_order: bool = False
    cosine: bool = False
    learned: bool = True

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple(self.channels * multiplier for multiplier in self.multipliers)

    def attends(self, level: int) -> bool:
        return self.image_size >> level in self.attention_sizes

    def head_count(self, width: int) -> int:
        return self.heads if self.head_channels is None else width // self.head_channels


def unet_config(config: GuidedConfig) -> dict[str, Any]:
    """The configuration of the equal ``UNet2DModel``, with our own key ``attention_heads`` where heads are counted."""
    levels = range(len(config.multipliers))
    down = ["AttnDownBlock2D" if config.attends(level) else "ResnetDownsampleBlock2D" for level in levels]
    up = ["AttnUpBlock2D" if config.attends(level) else "ResnetUpsampleBlock2D" for level in reversed(levels)]
    values: dict[str, Any] = {
        "_class_name": "UNet2DModel",
        "sample_size": config.image_size,
        "in_channels": 3,
        "out_channels": 6 if config.learned else 3,
        "layers_per_block": config.layers,
        "block_out_channels": list(config.widths),
        "down_block_types": down,
        "up_block_types": up,
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "resnet_time_scale_shift": "scale_shift",
        "attention_head_dim": config.head_channels or config.channels,
        "attn_norm_num_groups": 32,
        "norm_num_groups": 32,
        "norm_eps": 1e-5,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "num_class_embeds": config.classes,
    }
    if config.head_channels is None:
        values["attention_heads"] = config.heads
    return values


def scheduler_config(config: GuidedConfig) -> dict[str, Any]:
    values = {"_class_name": "DDPMScheduler", "num_train_timesteps": 1000, "prediction_type": "epsilon"}
    if config.cosine:
        return values | {"beta_schedule": "squaredcos_cap_v2"}
    return values | {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}


def blocks(config: GuidedConfig) -> Iterator[tuple[str, str, int | None]]:
    """(original name, diffusers name, width if it is attention else None) of every residual and attention block."""
    last = len(config.multipliers) - 1
    number = 1
    for level, width in enumerate(config.widths):
        for layer in range(config.layers):
            yield f"input_blocks.{number}.0", f"down_blocks.{level}.resnets.{layer}", None
            if config.attends(level):
                yield f"input_blocks.{number}.1", f"down_blocks.{level}.attentions.{layer}", width
            number += 1
        if level < last:
            yield f"input_blocks.{number}.0", f"down_blocks.{level}.downsamplers.0", None
            number += 1
    yield "middle_block.0", "mid_block.resnets.0", None
    yield "middle_block.1", "mid_block.attentions.0", config.widths[-1]
    yield "middle_block.2", "mid_block.resnets.1", None
    number = 0
    for place, level in enumerate(reversed(range(last + 1))):
        for layer in range(config.layers + 1):
            yield f"output_blocks.{number}.0", f"up_blocks.{place}.resnets.{layer}", None
            if config.attends(level):
                yield f"output_blocks.{number}.1", f"up_blocks.{place}.attentions.{layer}", config.widths[level]
            if level > 0 and layer == config.layers:
                part = 2 if config.attends(level) else 1
                yield f"output_blocks.{number}.{part}", f"up_blocks.{place}.upsamplers.0", None
            number += 1


def split_qkv(joint: torch.Tensor, heads: int, new_order: bool) -> tuple[torch.Tensor, ...]:
    """q, k, v, each (C, …), from the joint projection's (3C, …) weight or bias."""
    if new_order:
        return joint.chunk(3)
    rows = joint.shape[0] // (3 * heads)
    parts = joint.reshape(heads, 3, rows, *joint.shape[1:])
    return tuple(parts[:, part].reshape(heads * rows, *joint.shape[1:]) for part in range(3))


def convert_state(original: State, config: GuidedConfig) -> State:
    """The state of the equal ``UNet2DModel``.

    Raises:
        EngineError: ``checkpoint_keys``, weights are missing or left over.
    """
    left, state, missing = dict(original), {}, []

    def move(source: str, target: str, optional: bool = False) -> None:
        for kind in ("weight", "bias"):
            if f"{source}.{kind}" in left:
                state[f"{target}.{kind}"] = left.pop(f"{source}.{kind}")
            elif not optional:
                missing.append(f"{source}.{kind}")

    for source, target in _WHOLE.items():
        move(source, target)
    if config.classes is not None:
        if "label_emb.weight" in left:
            state["class_embedding.weight"] = left.pop("label_emb.weight")
        else:
            missing.append("label_emb.weight")
    for source, target, width in blocks(config):
        if width is None:
            for inner, ours in _RESNET.items():
                move(f"{source}.{inner}", f"{target}.{ours}", optional=inner == "skip_connection")
            continue
        move(f"{source}.norm", f"{target}.group_norm")
        move(f"{source}.qkv", f"{target}.qkv")
        move(f"{source}.proj_out", f"{target}.to_out.0")
        for kind in ("weight", "bias"):
            joint = state.pop(f"{target}.qkv.{kind}", None)
            if joint is None or joint.shape[0] % (3 * config.head_count(width)):
                continue
            parts = split_qkv(joint, config.head_count(width), config.new_order)
            for name, part in zip(("to_q", "to_k", "to_v"), parts, strict=True):
                state[f"{target}.{name}.{kind}"] = part.squeeze(-1) if kind == "weight" else part
        if f"{target}.to_out.0.weight" in state:
            state[f"{target}.to_out.0.weight"] = state[f"{target}.to_out.0.weight"].squeeze(-1)
    if missing or left:
        raise keys_error(missing, list(left))
    return {name: tensor.contiguous() for name, tensor in state.items()}


def keys_error(missing: list[str], extra: list[str]) -> EngineError:
    return EngineError(
        "checkpoint_keys",
        f"The checkpoint is of another kind: {len(missing)} of the weights of this kind are missing in it and "
        f"{len(extra)} do not belong; check --as, or name another file.",
        f"missing: {', '.join(missing[:5])}; extra: {', '.join(extra[:5])}",
    )


def original_attention(original: State, name: str, x: torch.Tensor, heads: int, new_order: bool) -> torch.Tensor:
    """An attention block as the checkpoint's authors compute it, (B, C, N) → (B, C, N), without its residual."""
    h = F.group_norm(x, 32, original[f"{name}.norm.weight"], original[f"{name}.norm.bias"])
    joint = F.conv1d(h, original[f"{name}.qkv.weight"], original[f"{name}.qkv.bias"])
    batch, rows, length = joint.shape
    size = rows // (3 * heads)
    if new_order:
        q, k, v = joint.reshape(batch, 3, heads, size, length).unbind(1)
    else:
        q, k, v = joint.reshape(batch, heads, 3, size, length).unbind(2)
    weights = torch.softmax(torch.einsum("bhct,bhcs->bhts", q, k) / size**0.5, dim=-1)
    a = torch.einsum("bhts,bhcs->bhct", weights, v).reshape(batch, rows // 3, length)
    return F.conv1d(a, original[f"{name}.proj_out.weight"], original[f"{name}.proj_out.bias"])


@torch.no_grad()
def probe_attention(network: Any, original: State, config: GuidedConfig) -> float:
    """Largest relative error of any converted attention layer against the original arithmetic on random input.

    Raises:
        EngineError: ``conversion_failed`` beyond :data:`ATTENTION_TOLERANCE`; a wrong row order errs by about 1.
    """
    worst = 0.0
    generator = torch.Generator().manual_seed(0)
    for source, target, width in blocks(config):
        if width is None:
            continue
        x = torch.randn(1, width, 4, 4, generator=generator)
        expected = original_attention(original, source, x.flatten(2), config.head_count(width), config.new_order)
        found = (network.get_submodule(target)(x) - x).flatten(2)
        worst = max(worst, float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-12)))
    if not worst < ATTENTION_TOLERANCE:
        raise EngineError(
            "conversion_failed",
            "The converted attention layers do not compute what the checkpoint's do; please report this checkpoint.",
            f"largest relative error {worst:.3g}",
        )
    return worst


@torch.no_grad()
def probe_order(original: State, config: GuidedConfig, network: Any) -> tuple[float, float]:
    """Mean squared error of the predicted noise on a simple picture: (as converted, with the other row order).

    A trained network predicts noise far better with its attention rows the right way round.

    Raises:
        EngineError: ``attention_order``, the other order is clearly the right one.
    """
    other = unet.build(unet_config(config), convert_state(original, replace(config, new_order=not config.new_order)))
    x0, z = _probe_picture(), torch.randn(1, 3, PROBE_SIDE, PROBE_SIDE, generator=torch.Generator().manual_seed(1))
    alpha_bar = float((cosine_alpha_bar() if config.cosine else linear_alpha_bar())[PROBE_TIMESTEP])
    x = alpha_bar**0.5 * x0 + (1 - alpha_bar) ** 0.5 * z
    label = None if config.classes is None else torch.zeros(1, dtype=torch.long)
    mine, others = (
        float(F.mse_loss(each(x, PROBE_TIMESTEP, label, return_dict=False)[0][:, :3], z)) for each in (network, other)
    )
    if others < ORDER_MARGIN * mine:
        raise EngineError(
            "attention_order",
            "The attention layers of this checkpoint are stored in the other row order; "
            f"convert it again with --attention {'legacy' if config.new_order else 'new'}.",
            f"noise error {mine:.3g} as asked, {others:.3g} the other way round",
        )
    return mine, others


def _probe_picture() -> torch.Tensor:
    """A smooth picture with one edge, (1, 3, 64, 64) in [−1, 1]."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, PROBE_SIDE),) * 2, indexing="ij")
    edge = (x + 0.4 * y > 0.1).float() * 0.6 - 0.3
    return torch.stack([0.5 * x + edge, 0.4 * y - edge, 0.3 * x * y + edge])[None]
