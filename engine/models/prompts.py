"""Prompts as the text encoders of latent models turn them into numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch

from engine.models.pipeline_folder import Parts
from engine.sampling import Words

T5_TOKENS = 256
MAX_CHARACTERS = 20_000


def reader(parts: Parts, place: torch.device, device: torch.device) -> Callable[[str], Words]:
    """prompt → :class:`engine.sampling.guidance.Words` of a pipeline.

    Args:
        place: where the text encoders are.
        device: where the embeddings are needed.
    """
    embed = {"sd": _sd, "sdxl": _sdxl, "sd3": _sd3}[parts.kind]

    @lru_cache(maxsize=16)
    def read(prompt: str) -> Words:
        prompt = prompt[:MAX_CHARACTERS]
        with torch.inference_mode():
            embeddings, cut = embed(parts, prompt, place)
        return Words({name: tensor.to(device) for name, tensor in embeddings.items()}, cut)

    return read


Embedded = tuple[dict[str, torch.Tensor], str]


def _sd(parts: Parts, prompt: str, place: torch.device) -> Embedded:
    """The last hidden states, (1, 77, D)."""
    (tokenizer, encoder), *_ = parts.encoders
    ids, mask, cut = _tokens(tokenizer, prompt, place)
    uses_mask = getattr(encoder.config, "use_attention_mask", False)
    hidden = encoder(ids, attention_mask=mask if uses_mask else None).last_hidden_state
    return {"encoder_hidden_states": hidden}, cut


def _sdxl(parts: Parts, prompt: str, place: torch.device) -> Embedded:
    """Both encoders' last but one hidden states side by side and the second one's projection.

    Nothing at all stands for the empty prompt where the model was trained so.
    """
    hidden, pooled, cuts = zip(*(_clip(pair, prompt, place) for pair in parts.encoders), strict=True)
    states, text = torch.cat(hidden, dim=-1), pooled[1]
    if not prompt and parts.index.get("force_zeros_for_empty_prompt", True):
        states, text = torch.zeros_like(states), torch.zeros_like(text)
    return {"encoder_hidden_states": states, "text_embeds": text}, _shortest(cuts)


def _sd3(parts: Parts, prompt: str, place: torch.device) -> Embedded:
    """Both CLIP encoders side by side, padded, then T5's states, or zeros where a model comes without T5."""
    hidden, pooled, cuts = zip(*(_clip(pair, prompt, place) for pair in parts.encoders[:2]), strict=True)
    states, width = torch.cat(hidden, dim=-1), parts.network.config.joint_attention_dim
    states = torch.nn.functional.pad(states, (0, width - states.shape[-1]))
    cut = _shortest(cuts)
    if len(parts.encoders) > 2:
        tokenizer, encoder = parts.encoders[2]
        ids, _, cut = _tokens(tokenizer, prompt, place, T5_TOKENS)
        more = encoder(ids).last_hidden_state.to(states.dtype)
    else:
        more = states.new_zeros(1, T5_TOKENS, width)
    return {
        "encoder_hidden_states": torch.cat([states, more], dim=1),
        "pooled_projections": torch.cat(pooled, dim=-1),
    }, cut


def _clip(pair: tuple[Any, Any], prompt: str, place: torch.device) -> tuple[torch.Tensor, torch.Tensor, str]:
    """The last but one hidden states (1, 77, D), the projection (1, P) of one that has it, and what was cut."""
    tokenizer, encoder = pair
    ids, _, cut = _tokens(tokenizer, prompt, place)
    output = encoder(ids, output_hidden_states=True)
    return output.hidden_states[-2], output[0] if output[0].ndim == 2 else output[1], cut


def _tokens(
    tokenizer: Any, prompt: str, place: torch.device, most: int | None = None
) -> tuple[torch.Tensor, torch.Tensor, str]:
    """Token numbers and attention mask, (1, N), and the end of the prompt that did not fit, in its own words."""
    most = most or tokenizer.model_max_length
    fitted = tokenizer(prompt, padding="max_length", max_length=most, truncation=True, return_tensors="pt")
    whole = tokenizer(prompt, return_offsets_mapping=True, verbose=False)
    cut = ""
    if len(whole.input_ids) > most:
        ends = tokenizer.num_special_tokens_to_add() - (1 if whole.input_ids[0] == tokenizer.bos_token_id else 0)
        cut = prompt[whole.offset_mapping[most - ends][0] :].strip()
    return fitted.input_ids.to(place), fitted.attention_mask.to(place), cut


def _shortest(cuts: tuple[str, ...]) -> str:
    """What neither encoder reads."""
    return min(cuts, key=len)
