"""Perturbed self-attention (Ahn et al. 2024, arXiv 2403.17377): the network without what its attention knows of shape.

In the perturbed evaluation the self-attention map of the network's middle is the identity, so that every cell keeps its
own value and what holds the picture together is missing; guidance then moves away from that. UNets lose the map in
their middle block, as in the paper. Transformers with joint attention (Stable Diffusion 3) lose it in their middle
block between cells of the picture, and still see the prompt there; that is our transfer, the paper has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch


def layers(network: Any) -> list[Any]:
    """The self-attention layers in the middle of a diffusers network; empty for one that has none there."""
    blocks = getattr(network, "transformer_blocks", None)
    if blocks is not None:
        middle = blocks[len(blocks) // 2]
        return [layer for layer in (middle.attn, getattr(middle, "attn2", None)) if layer is not None]
    names = (name.removesuffix(".processor") for name in network.attn_processors)
    return [network.get_submodule(name) for name in names if name.startswith("mid_block.") and name.endswith("attn1")]


@contextmanager
def perturbed(attentions: Sequence[Any]) -> Iterator[None]:
    """These layers' self-attention is the identity within the block."""
    before = [layer.processor for layer in attentions]
    try:
        for layer, own in zip(attentions, before, strict=True):
            joint = getattr(layer, "add_k_proj", None) is not None
            layer.set_processor(_JointIdentity(own) if joint else _identity)
        yield
    finally:
        for layer, own in zip(attentions, before, strict=True):
            layer.set_processor(own)


def _identity(attention: Any, hidden_states: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    """A diffusers attention processor, (B, N, C) → (B, N, C): the map is the identity, so that values stay."""
    return attention.to_out[1](attention.to_out[0](attention.to_v(hidden_states)))


class _JointIdentity:
    """The same for joint attention: cells of the picture see themselves and the prompt, the prompt sees everything."""

    def __init__(self, own: Any) -> None:
        self._own = own

    def __call__(
        self,
        attention: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        *more: Any,
        **other: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        _, words = self._own(attention, hidden_states, encoder_hidden_states, *more, **other)

        def heads(tensor: torch.Tensor, norm: Any = None) -> torch.Tensor:
            split = tensor.unflatten(-1, (attention.heads, -1)).transpose(1, 2)  # (B, heads, N, D)
            return split if norm is None else norm(split)

        query = heads(attention.to_q(hidden_states), attention.norm_q)
        key = heads(attention.to_k(hidden_states), attention.norm_k)
        value = heads(attention.to_v(hidden_states))
        word_key = heads(attention.add_k_proj(encoder_hidden_states), attention.norm_added_k)
        word_value = heads(attention.add_v_proj(encoder_hidden_states))
        itself = (query * key).sum(dim=-1, keepdim=True)
        scores = torch.cat([itself, query @ word_key.transpose(-1, -2)], dim=-1) * query.shape[-1] ** -0.5
        share = scores.softmax(dim=-1)
        seen = share[..., :1] * value + share[..., 1:] @ word_value
        return attention.to_out[1](attention.to_out[0](seen.transpose(1, 2).flatten(2))), words
