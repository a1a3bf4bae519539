"""Latent models in diffusers' layout: Stable Diffusion 1 and 2, XL, 3 (flow matching), and those for inpainting.

The sampler is the pixel engine's own and takes single steps: whatever multistep scheduler a folder names, only its
betas (or its shift) are used. A network with 2 C + 1 input channels is one for inpainting; it is told the hole and the
masked picture at every call, and is otherwise used alike.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from itertools import groupby
from typing import Any

import numpy as np
import torch

from engine.canvas import Geometry
from engine.devices import inference_dtype
from engine.errors import EngineError
from engine.models import lora, memory, perturbed, pipeline_folder
from engine.models.latent_space import LatentSpace
from engine.models.model import Model, ModelInfo
from engine.models.pipeline_folder import KINDS, Parts
from engine.models.prompts import reader
from engine.models.unet import alpha_bar_of, corrupt
from engine.sampling import LEAST_ALPHA_BAR, Prediction, Words, flow_alpha_bar

log = logging.getLogger(__name__)

MOST = 2048 * 2048
"""Model pixels of the largest plan: windows make the calls, and the autoencoder works in tiles."""


def is_flow(info: ModelInfo) -> bool:
    """Whether a model of the catalogue is a flow, as its index says, or that of what a LoRA changes; False where it
    does not tell. It loads nothing."""
    if not info.installed:
        return info.entry is not None and info.entry.layout == "sd3"
    if info.family != "latent":
        return False
    try:
        return pipeline_folder.kind_of(lora.base_of(info)[0])[0] == "sd3"
    except EngineError:
        return False


def load(info: ModelInfo, device: torch.device) -> Model:
    """Load ``info.folder`` for inference.

    Raises:
        EngineError: ``model_missing``, ``model_pickled`` or ``model_corrupt``, with what to do next.
    """
    dtype = inference_dtype(device)
    base, merge = lora.base_of(info)
    return assembled(merge(pipeline_folder.read(base, dtype)), info, device, dtype)


def assembled(parts: Parts, info: ModelInfo, device: torch.device, dtype: torch.dtype) -> Model:
    """The model that parts make up; they are moved to where they are to work.

    Raises:
        EngineError: ``model_corrupt``, a prediction type or noise schedule that is not known.
    """
    prediction, alpha_bar, times = _process(parts, info)
    geometry = _geometry(parts)
    others = [parts.vae, *(encoder for _, encoder in parts.encoders)]
    place = _placement(parts, others, geometry, device)
    try:
        aside = _move(parts.network, others, place, device)
    except RuntimeError as error:
        if place.streamed or not memory.exhausted(error):
            raise
        log.warning("out of memory while the model is moved: its network is sent over layer by layer")
        place = memory.LEAST
        aside = _move(parts.network, others, place, device)
    masked = parts.network.config.in_channels > parts.vae.config.latent_channels
    return Model(
        info,
        _predictor(parts, times, dtype, device, place.paired),
        alpha_bar,
        prediction,
        geometry,
        device,
        space=LatentSpace(parts.vae, device, masked),
        read=reader(parts, aside, device),
        guidance=KINDS[parts.kind].guidance,
        perturbs=bool(perturbed.layers(parts.network)),
    )


def _process(parts: Parts, info: ModelInfo) -> tuple[Prediction, np.ndarray, np.ndarray]:
    """What the network predicts, ᾱ, and the time that the network is told for each, the last two (N,) float64."""
    scheduler = parts.scheduler
    if parts.kind == "sd3":
        steps = int(scheduler.get("num_train_timesteps", 1000))
        alpha_bar, times = flow_alpha_bar(steps, float(scheduler.get("shift", 1.0)))
        return "flow", alpha_bar, times * steps
    prediction = scheduler.get("prediction_type", "epsilon")
    if prediction not in ("epsilon", "v_prediction"):
        raise corrupt(info, f"its prediction type {prediction!r} is not known")
    alpha_bar = alpha_bar_of(scheduler, info)
    if scheduler.get("rescale_betas_zero_snr"):
        alpha_bar = without_signal_at_the_end(alpha_bar)
    return prediction, alpha_bar, np.arange(len(alpha_bar), dtype=np.float64)


def without_signal_at_the_end(alpha_bar: np.ndarray) -> np.ndarray:
    """ᾱ shifted and scaled so that the last is (not quite) 0 (Lin et al. 2023, arXiv 2305.08891, Algorithm 1)."""
    root = np.sqrt(alpha_bar)
    return np.maximum(((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2, LEAST_ALPHA_BAR)


def _geometry(parts: Parts) -> Geometry:
    """The native size is one window; a region larger than that is painted in several."""
    factor = 2 ** (len(parts.vae.config.block_out_channels) - 1)
    config = parts.network.config
    window = int(config.sample_size) * factor
    halvings = config.patch_size if parts.kind == "sd3" else 2 ** (len(config.block_out_channels) - 1)
    multiple = factor * halvings
    return Geometry(multiple, max(multiple, window // 2 // multiple * multiple), window, False, MOST, grid=factor)


def _placement(parts: Parts, others: list[Any], geometry: Geometry, device: torch.device) -> memory.Placement:
    if device.type != "cuda":
        return memory.Placement(True, False, False)
    config = parts.network.config
    width = config.block_out_channels[0] if parts.kind != "sd3" else parts.network.inner_dim
    factor = 2 ** (len(parts.vae.config.block_out_channels) - 1)
    return memory.placement(
        torch.cuda.mem_get_info(device)[0],
        memory.weight_bytes(parts.network),
        sum(memory.weight_bytes(part) for part in others),
        (geometry.window // factor) ** 2,
        width,
        geometry.window**2,
    )


def _move(network: Any, others: list[Any], place: memory.Placement, device: torch.device) -> torch.device:
    """All parts to where they are to work; where text encoders and autoencoder are now."""
    aside = device if place.beside else torch.device("cpu")
    if place.streamed:
        torch.nn.Module.to(network, device="cpu")
    for part in others:
        torch.nn.Module.to(part, device=aside, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if place.streamed:
        from accelerate import cpu_offload

        cpu_offload(network, device)
    else:
        torch.nn.Module.to(network, device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return aside


def _predictor(
    parts: Parts, times: np.ndarray, dtype: torch.dtype, device: torch.device, paired: bool
) -> Callable[[torch.Tensor, int, tuple[Words, ...]], torch.Tensor]:
    network, kind, middle = parts.network, parts.kind, perturbed.layers(parts.network)
    factor = 2 ** (len(parts.vae.config.block_out_channels) - 1)

    def evaluate(x: torch.Tensor, time: float, words: tuple[Words, ...]) -> torch.Tensor:
        """The output for each prompt, one after the other along the batch; ``x`` comes as often."""
        rows = len(x) // len(words)
        given = {
            name: torch.cat([each.embeddings[name].to(dtype).expand(rows, *tensor.shape[1:]) for each in words])
            for name, tensor in words[0].embeddings.items()
        }
        if kind == "sd3":
            moment = torch.full((len(x),), time, device=device)
            return network(x, timestep=moment, return_dict=False, **given)[0]
        if kind == "sdxl":
            height, width = x.shape[2] * factor, x.shape[3] * factor
            sizes = torch.tensor([[height, width, 0, 0, height, width]], device=device, dtype=torch.float32)
            added = {"text_embeds": given.pop("text_embeds"), "time_ids": sizes.expand(len(x), -1)}
            return network(x, time, added_cond_kwargs=added, return_dict=False, **given)[0]
        return network(x, time, return_dict=False, **given)[0]

    def answers(x: torch.Tensor, time: float, together: tuple[Words, ...]) -> list[torch.Tensor]:
        """For each prompt, all in one batch, or one after the other where memory does not suffice for that."""
        nonlocal paired
        if paired:
            try:
                return list(evaluate(torch.cat([x] * len(together)), time, together).chunk(len(together)))
            except RuntimeError as error:
                if len(together) == 1 or not memory.exhausted(error):
                    raise
            log.warning("out of memory with both prompts at once, going on one by one")
            paired = False
        return [evaluate(x, time, (each,)) for each in together]

    def predict(x: torch.Tensor, timestep: int, words: tuple[Words, ...]) -> torch.Tensor:
        time = float(times[timestep])
        x = x.to(dtype).contiguous(memory_format=torch.channels_last)
        outputs: list[torch.Tensor] = []
        with torch.inference_mode():
            for apart, group in groupby(words, lambda each: each.perturbed):
                together = tuple(group)
                with perturbed.perturbed(middle) if apart else nullcontext():
                    outputs += answers(x, time, together)
        return torch.cat(outputs, dim=1).float()

    return predict
