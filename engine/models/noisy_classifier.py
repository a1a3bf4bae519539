"""The noisy classifier of classifier guidance: p(class | x_t, t), the half U-Net of Dhariwal & Nichol 2021.

diffusers has no such class; this is an own small port. Parameter names are those of guided-diffusion's checkpoints, so
that a checkpoint's weights are used as they are: residual and attention blocks down to the lowest resolution, then one
attention layer that pools it into the classes' logits (their "attention" pooling).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from engine.errors import EngineError
from engine.models.folders import WEIGHTS
from engine.untrusted import read_json

GROUPS = 32


@dataclass(frozen=True)
class ClassifierConfig:
    """How a classifier was trained; fields as in :class:`engine.models.guided.GuidedConfig`."""

    image_size: int = 256
    channels: int = 128
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    layers: int = 2
    attention_sizes: tuple[int, ...] = (32, 16, 8)
    head_channels: int = 64
    classes: int = 1000


class Residual(nn.Module):
    """Two convolutions; the time embedding scales and shifts the second normalisation; ``down`` halves the sides."""

    def __init__(self, channels: int, out: int, embedding: int, down: bool = False) -> None:
        super().__init__()
        self.down = down
        self.in_layers = nn.Sequential(
            nn.GroupNorm(GROUPS, channels), nn.SiLU(), nn.Conv2d(channels, out, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, 2 * out))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(GROUPS, out), nn.SiLU(), nn.Identity(), nn.Conv2d(out, out, 3, padding=1)
        )
        self.skip_connection = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        norm, act, conv = self.in_layers
        h = act(norm(x))
        if self.down:
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        h = conv(h)
        scale, shift = self.emb_layers(embedding)[..., None, None].chunk(2, dim=1)
        norm, *rest = self.out_layers
        h = norm(h) * (1 + scale) + shift
        for layer in rest:
            h = layer(h)
        return self.skip_connection(x) + h


class Attention(nn.Module):
    """Self-attention over pixels; qkv rows in the legacy order [head, (q, k, v), channel]."""

    def __init__(self, channels: int, head_channels: int) -> None:
        super().__init__()
        self.heads = channels // head_channels
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x: torch.Tensor, _embedding: torch.Tensor) -> torch.Tensor:
        joint = self.qkv(self.norm(x.flatten(2)))
        q, k, v = joint.unflatten(1, (self.heads, 3, -1)).unbind(2)
        return x + self.proj_out(_attend(q, k, v)).view_as(x)


class AttentionPool(nn.Module):
    """The mean of all pixels attends to them and itself; rows in the order [(q, k, v), head, channel]."""

    def __init__(self, side: int, channels: int, head_channels: int, classes: int) -> None:
        super().__init__()
        self.heads = channels // head_channels
        self.positional_embedding = nn.Parameter(torch.zeros(channels, side**2 + 1))
        self.qkv_proj = nn.Conv1d(channels, 3 * channels, 1)
        self.c_proj = nn.Conv1d(channels, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(2)
        x = torch.cat([x.mean(dim=2, keepdim=True), x], dim=2) + self.positional_embedding
        q, k, v = self.qkv_proj(x).unflatten(1, (3, self.heads, -1)).unbind(1)
        return self.c_proj(_attend(q[..., :1], k, v))[..., 0]


class NoisyClassifier(nn.Module):
    """(x_t (B, 3, S, S), timesteps (B,)) → logits (B, classes); S is the configuration's ``image_size``."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        embedding = 4 * width
        self.time_embed = nn.Sequential(nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        channels = width * config.multipliers[0]
        self.input_blocks = nn.ModuleList([nn.ModuleList([nn.Conv2d(3, channels, 3, padding=1)])])
        last = len(config.multipliers) - 1
        for level, multiplier in enumerate(config.multipliers):
            out = width * multiplier
            for _ in range(config.layers):
                block: list[nn.Module] = [Residual(channels, out, embedding)]
                if config.image_size >> level in config.attention_sizes:
                    block.append(Attention(out, config.head_channels))
                self.input_blocks.append(nn.ModuleList(block))
                channels = out
            if level < last:
                self.input_blocks.append(nn.ModuleList([Residual(channels, channels, embedding, down=True)]))
        self.middle_block = nn.ModuleList(
            [
                Residual(channels, channels, embedding),
                Attention(channels, config.head_channels),
                Residual(channels, channels, embedding),
            ]
        )
        pool = AttentionPool(config.image_size >> last, channels, config.head_channels, config.classes)
        self.out = nn.Sequential(nn.GroupNorm(GROUPS, channels), nn.SiLU(), pool)

    def forward(self, x: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        embedding = self.time_embed(_sinusoids(timesteps, self.config.channels))
        h = self.input_blocks[0][0](x)  # type: ignore[index]
        for block in [*self.input_blocks[1:], self.middle_block]:
            for layer in block:
                h = layer(h, embedding)
        return self.out(h)


def load_gradient(
    folder: Path, device: torch.device, image_size: int
) -> tuple[Callable[[torch.Tensor, int, int], torch.Tensor], int]:
    """∇_x log p(label | x, t) by the classifier in ``folder``, and its number of classes.

    Raises:
        EngineError: ``model_corrupt``, or a classifier for pictures of another size.
    """
    try:
        values: dict[str, Any] = read_json(folder / "config.json")
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        config = ClassifierConfig(**values)
        network = build(config, load_file(folder / WEIGHTS))
    except Exception as error:  # safetensors, JSON, missing files, wrong shapes: all the same to the artist
        raise EngineError(
            "model_corrupt", "The model's classifier cannot be used; convert it again or remove it.", repr(error)
        ) from error
    if config.image_size != image_size:
        raise EngineError(
            "model_corrupt",
            f"The classifier is for pictures of {config.image_size} pixels, but the model makes {image_size}; "
            "convert the matching classifier.",
        )
    network = network.to(device)

    def gradient(x: torch.Tensor, timestep: int, label: int) -> torch.Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            leaf = x.detach().to(torch.float32).clone().requires_grad_(True)
            timesteps = torch.full((len(leaf),), timestep, device=leaf.device)
            log_probability = F.log_softmax(network(leaf, timesteps), dim=1)[:, label].sum()
            return torch.autograd.grad(log_probability, leaf)[0]

    return gradient, config.classes


def build(config: ClassifierConfig, state: dict[str, torch.Tensor]) -> NoisyClassifier:
    """The network with these weights, strictly.

    Raises:
        RuntimeError: they do not fit.
    """
    with torch.device("meta"):
        network = NoisyClassifier(config)
    network.load_state_dict({name: tensor.float() for name, tensor in state.items()}, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def config_json(config: ClassifierConfig) -> str:
    return json.dumps(asdict(config), indent=2)


def _attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Attention of (B, heads, channels, positions) operands → (B, heads · channels, query positions)."""
    a = F.scaled_dot_product_attention(q.transpose(2, 3), k.transpose(2, 3), v.transpose(2, 3))
    return a.transpose(2, 3).flatten(1, 2)


def _sinusoids(timesteps: torch.Tensor, width: int) -> torch.Tensor:
    """cos then sin of t · 10000^(−i / (width/2)), (B, width)."""
    half = width // 2
    rates = torch.exp(torch.arange(half, device=timesteps.device) * (-math.log(10000.0) / half))
    angles = timesteps[:, None].float() * rates
    return torch.cat([angles.cos(), angles.sin()], dim=1)
