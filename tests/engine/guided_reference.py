"""guided-diffusion's networks, written down independently from the paper and by arithmetic on a dictionary of weights.

Only tests use it: the engine's conversion and its classifier must compute the same. No module, no class hierarchy: each
function is one formula. Weight names and shapes are those of the checkpoints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Shape:
    """A network small enough for tests, of the same construction as the published ones."""

    size: int = 32
    width: int = 32
    multipliers: tuple[int, ...] = (1, 2)
    layers: int = 1
    attention: tuple[int, ...] = (16,)
    head_width: int | None = 16
    heads: int = 4
    classes: int | None = None
    new_order: bool = False
    outputs: int = 6
    pooled: bool = False


class Weights(dict):
    """Random weights, drawn when first asked for, so that the arithmetic itself states which ones there are."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self._random = torch.Generator().manual_seed(seed)

    def take(self, name: str, *shape: int) -> torch.Tensor:
        if name not in self:
            fan = math.prod(shape[1:]) if len(shape) > 1 else 1
            tensor = torch.randn(*shape, generator=self._random) / fan**0.5
            if len(shape) == 1:
                tensor = tensor * 0.2 + (1.0 if name.endswith("weight") else 0.0)
            self[name] = tensor
        return self[name]


def linear(w: Weights, name: str, x: torch.Tensor, out: int) -> torch.Tensor:
    return x @ w.take(f"{name}.weight", out, x.shape[1]).T + w.take(f"{name}.bias", out)


def conv(w: Weights, name: str, x: torch.Tensor, out: int, kernel: int = 3) -> torch.Tensor:
    weight = w.take(f"{name}.weight", out, x.shape[1], kernel, kernel)
    return F.conv2d(x, weight, w.take(f"{name}.bias", out), padding=kernel // 2)


def norm(w: Weights, name: str, x: torch.Tensor) -> torch.Tensor:
    """32 groups, each with mean 0 and variance 1."""
    grouped = x.reshape(x.shape[0], 32, -1)
    grouped = grouped - grouped.mean(dim=2, keepdim=True)
    grouped = grouped / (grouped.square().mean(dim=2, keepdim=True) + 1e-5).sqrt()
    view = (1, -1) + (1,) * (x.dim() - 2)
    channels = x.shape[1]
    scale, shift = w.take(f"{name}.weight", channels), w.take(f"{name}.bias", channels)
    return grouped.reshape(x.shape) * scale.view(view) + shift.view(view)


def silu(x: torch.Tensor) -> torch.Tensor:
    return x / (1 + torch.exp(-x))


def halved(x: torch.Tensor) -> torch.Tensor:
    return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4


def doubled(x: torch.Tensor) -> torch.Tensor:
    return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def residual(w, name, x, emb, out, resize=lambda x: x):
    h = conv(w, f"{name}.in_layers.2", resize(silu(norm(w, f"{name}.in_layers.0", x))), out)
    x = resize(x)
    modulation = linear(w, f"{name}.emb_layers.1", silu(emb), 2 * out)[:, :, None, None]
    h = norm(w, f"{name}.out_layers.0", h) * (1 + modulation[:, :out]) + modulation[:, out:]
    h = conv(w, f"{name}.out_layers.3", silu(h), out)
    return h + (x if x.shape[1] == out else conv(w, f"{name}.skip_connection", x, out, kernel=1))


def attend(joint: torch.Tensor, heads: int, new_order: bool) -> torch.Tensor:
    """Head by head; ``joint`` (B, 3C, N) holds q, k, v of all heads in one of the two row orders."""
    channels = joint.shape[1] // 3
    size = channels // heads
    results = []
    for head in range(heads):
        if new_order:
            starts = [part * channels + head * size for part in range(3)]
        else:
            starts = [(3 * head + part) * size for part in range(3)]
        q, k, v = (joint[:, start : start + size] for start in starts)
        weights = torch.softmax(q.transpose(1, 2) @ k / math.sqrt(size), dim=2)
        results.append(v @ weights.transpose(1, 2))
    return torch.cat(results, dim=1)


def project(w: Weights, name: str, x: torch.Tensor, out: int) -> torch.Tensor:
    weight = w.take(f"{name}.weight", out, x.shape[1], 1)
    return weight[:, :, 0] @ x + w.take(f"{name}.bias", out)[:, None]


def attention(w, name, x, shape: Shape):
    channels = x.shape[1]
    heads = shape.heads if shape.head_width is None else channels // shape.head_width
    flat = x.flatten(2)
    joint = project(w, f"{name}.qkv", norm(w, f"{name}.norm", flat), 3 * channels)
    return (flat + project(w, f"{name}.proj_out", attend(joint, heads, shape.new_order), channels)).reshape(x.shape)


def embedding(w: Weights, timestep: int, width: int) -> torch.Tensor:
    angles = torch.tensor([timestep * 10000 ** (-i / (width // 2)) for i in range(width // 2)])
    code = torch.cat([angles.cos(), angles.sin()])[None]
    return linear(w, "time_embed.2", silu(linear(w, "time_embed.0", code, 4 * width)), 4 * width)


def network(w: Weights, shape: Shape, x: torch.Tensor, timestep: int, label: int | None = None) -> torch.Tensor:
    """The U-Net's output (B, outputs, S, S), or with ``shape.pooled`` the classifier's logits (B, classes)."""
    emb = embedding(w, timestep, shape.width)
    if shape.classes is not None and not shape.pooled:
        emb = emb + w.take("label_emb.weight", shape.classes, 4 * shape.width)[label]
    h = conv(w, "input_blocks.0.0", x, shape.width * shape.multipliers[0])
    skips, number, last = [h], 1, len(shape.multipliers) - 1
    for level, multiplier in enumerate(shape.multipliers):
        out, attends = shape.width * multiplier, shape.size // 2**level in shape.attention
        for _ in range(shape.layers):
            h = residual(w, f"input_blocks.{number}.0", h, emb, out)
            if attends:
                h = attention(w, f"input_blocks.{number}.1", h, shape)
            skips.append(h)
            number += 1
        if level < last:
            h = residual(w, f"input_blocks.{number}.0", h, emb, out, halved)
            skips.append(h)
            number += 1
    h = residual(w, "middle_block.0", h, emb, h.shape[1])
    h = attention(w, "middle_block.1", h, shape)
    h = residual(w, "middle_block.2", h, emb, h.shape[1])
    if shape.pooled:
        return _pool(w, silu(norm(w, "out.0", h)), shape)
    number = 0
    for level in range(last, -1, -1):
        out, attends = shape.width * shape.multipliers[level], shape.size // 2**level in shape.attention
        for layer in range(shape.layers + 1):
            h = residual(w, f"output_blocks.{number}.0", torch.cat([h, skips.pop()], dim=1), emb, out)
            if attends:
                h = attention(w, f"output_blocks.{number}.1", h, shape)
            if level > 0 and layer == shape.layers:
                h = residual(w, f"output_blocks.{number}.{2 if attends else 1}", h, emb, out, doubled)
            number += 1
    return conv(w, "out.2", silu(norm(w, "out.0", h)), shape.outputs)


def _pool(w: Weights, x: torch.Tensor, shape: Shape) -> torch.Tensor:
    channels, flat = x.shape[1], x.flatten(2)
    tokens = torch.cat([flat.mean(dim=2, keepdim=True), flat], dim=2)
    tokens = tokens + w.take("out.2.positional_embedding", channels, flat.shape[2] + 1)
    joint = project(w, "out.2.qkv_proj", tokens, 3 * channels)
    pooled = attend(joint, channels // (shape.head_width or channels), new_order=True)
    return project(w, "out.2.c_proj", pooled, shape.classes or 0)[:, :, 0]
