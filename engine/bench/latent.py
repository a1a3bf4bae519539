"""The clock for latent models: networks of real size with random weights, this engine beside diffusers' inpainting.

A call is a guidance pair: the network for the prompt and for the negative prompt. Every row is a process of its own,
one after the other, so that its peak memory is its own. Text encoders are left out: they run once, and there is no
vocabulary to run them with.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from engine import api
from engine.bench.cost import device_name, load_average, measured
from engine.errors import BadInput, EngineError
from engine.guidance import Words
from engine.models import Model, ModelInfo, latent
from engine.models.pipeline_folder import Parts
from engine.models.unet import inference_dtype

GUIDANCE = 7.5


@dataclass(frozen=True)
class Size:
    """A network of the size of a published one.

    Attributes:
        side: of its pictures.
        unet: what departs from ``UNet2DConditionModel``'s defaults.
        pooled: width of the projection beside the prompt's states; 0 without.
    """

    title: str
    kind: str
    side: int
    unet: dict[str, Any]
    pooled: int = 0


SIZES = {
    "sd15": Size("Stable Diffusion 1.5", "sd", 512, {"cross_attention_dim": 768, "attention_head_dim": 8}),
    "sdxl": Size(
        "Stable Diffusion XL",
        "sdxl",
        1024,
        {
            "block_out_channels": (320, 640, 1280),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "attention_head_dim": (5, 10, 20),
            "transformer_layers_per_block": (1, 2, 10),
            "cross_attention_dim": 2048,
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
        pooled=1280,
    ),
}
VAE: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
}
SCHEDULER = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000}
ROWS = {"ours": "this engine", "diffusers": "diffusers, inpainting pipeline"}


def measure(sizes: list[str], calls: int, device: str | None) -> dict[str, Any]:
    """Time ``calls`` network calls of each size by each row, and what comes before and after them.

    Raises:
        BadInput: values out of range.
        EngineError: a row's process failed.
    """
    unknown = [name for name in sizes if name not in SIZES]
    if unknown or not sizes:
        raise BadInput("bad_size", f"The sizes are {', '.join(SIZES)}, not {', '.join(unknown) or 'none'}.")
    if not 2 <= calls <= 1000:
        raise BadInput("bad_calls", f"The number of calls must be 2 to 1000, not {calls}.")
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    result: dict[str, Any] = {"device": device_name(chosen), "calls": calls, "load": [load_average()], "rows": []}
    for name in sizes:
        for row in ROWS:
            command = [sys.executable, "-m", "engine.bench.latent", row, name, str(calls), chosen.type]
            done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
            if done.returncode:
                details = done.stderr.strip()[-2000:]
                raise EngineError("bench_failed", f"The row {ROWS[row]} of the bench ended early.", details)
            result["rows"].append(json.loads(done.stdout.splitlines()[-1]))
    result["load"].append(load_average())
    return result


def table(result: dict[str, Any]) -> str:
    """The result as Markdown; presets are their calls times the seconds per call, and the rest once."""
    load = " … ".join("?" if value is None else f"{value:.1f}" for value in result["load"])
    presets = [preset for preset in api.PRESETS.values() if preset.calls <= 1000]
    lines = [
        f"{result['device']}; {result['calls']} calls of a guidance pair; load average {load}",
        "",
        "| | size | px | type | s per call | encode, decode … s | peak MiB | "
        + " | ".join(f"{preset.name}, {preset.calls} calls, s" for preset in presets)
        + " |",
        "|---|---|---|---|---|---|---|" + "---|" * len(presets),
    ]
    for row in result["rows"]:
        peak = "–" if row["peak_mib"] is None else f"{row['peak_mib']:.0f}"
        totals = (f"{preset.calls * row['seconds_per_call'] + row['rest']:.0f}" for preset in presets)
        lines.append(
            f"| {ROWS[row['row']]} | {SIZES[row['size']].title} | {SIZES[row['size']].side} | {row['dtype']} "
            f"| {row['seconds_per_call']:.3f} | {row['rest']:.1f} | {peak} | {' | '.join(totals)} |"
        )
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------------- inside a row


def main(argv: list[str]) -> None:
    """Warm up, then time ``calls`` calls and the rest of the run."""
    row, size, calls, device = argv[0], argv[1], int(argv[2]), torch.device(argv[3])
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    torch.manual_seed(0)
    dtype = inference_dtype(device)
    prepare = {"ours": _ours, "diffusers": _diffusers}[row]
    run = prepare(SIZES[size], device, dtype)
    run(2)
    with measured(device) as cost:
        whole, in_calls = run(calls)
    answer = {
        "row": row,
        "size": size,
        "dtype": str(dtype).removeprefix("torch."),
        "seconds_per_call": in_calls / (calls - 1),
        "rest": whole - in_calls * calls / (calls - 1),
        "peak_mib": cost.peak_mib,
    }
    print(json.dumps(answer))


Run = Callable[[int], tuple[float, float]]
"""calls → (seconds of the whole run, seconds from the end of the first call to the end of the last)."""


def _parts(size: Size, channels: int, dtype: torch.dtype) -> Parts:
    from diffusers import AutoencoderKL, UNet2DConditionModel

    unet = UNet2DConditionModel(sample_size=size.side // 8, in_channels=channels, **size.unet)
    vae = AutoencoderKL(**VAE, sample_size=size.side)
    index: dict[str, Any] = {}
    network, autoencoder = (part.eval().requires_grad_(False) for part in (unet.to(dtype), vae))
    return Parts(size.kind, index, SCHEDULER, network, autoencoder, ())


def _words(size: Size, dtype: torch.dtype, device: torch.device) -> dict[str, torch.Tensor]:
    words = {"encoder_hidden_states": torch.randn(1, 77, size.unet["cross_attention_dim"])}
    if size.pooled:
        words["text_embeds"] = torch.randn(1, size.pooled)
    return {name: tensor.to(device, dtype) for name, tensor in words.items()}


def _question(side: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture of noise and a hole of a quarter of it: (side, side, 4), (side, side) uint8."""
    image = np.random.default_rng(0).integers(0, 256, (side, side, 4), dtype=np.uint8)
    image[..., 3] = 255
    selection = np.zeros((side, side), np.uint8)
    selection[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = 255
    return image, selection


def _ours(size: Size, device: torch.device, dtype: torch.dtype) -> Run:
    info = ModelInfo("random", size.title, "latent", "–", takes_prompt=True)
    model: Model = latent.assembled(_parts(size, 4, dtype), info, device, dtype)
    model = replace(model, read=lambda _prompt: Words(_words(size, dtype, device)))
    image, selection = _question(size.side)

    def run(calls: int) -> tuple[float, float]:
        job = api.Job(
            image, selection, model="random", seed=1, prompt="words", guidance=GUIDANCE,
            steps=calls, jump_length=calls, jump_samples=1,
        )  # fmt: skip
        times = []
        with measured(device) as cost:
            for event in api.run(job, model):
                if isinstance(event, api.Step):
                    if device.type == "cuda":
                        torch.cuda.synchronize(device)
                    times.append(event.seconds)
        return cost.seconds, times[-1] - times[0]

    return run


def _diffusers(size: Size, device: torch.device, dtype: torch.dtype) -> Run:
    """The pipeline of the nine-channel network, with as many calls; all parts in the network's number type."""
    import time

    import diffusers
    from PIL import Image

    parts = _parts(size, 9, dtype)
    scheduler = diffusers.DDIMScheduler(**SCHEDULER, clip_sample=False)
    components = {"vae": parts.vae.to(dtype), "unet": parts.network, "scheduler": scheduler}
    absent = dict.fromkeys(("text_encoder", "tokenizer", "feature_extractor", "image_encoder"))
    words, negative = _words(size, dtype, device), _words(size, dtype, device)
    given = {
        "prompt_embeds": words["encoder_hidden_states"],
        "negative_prompt_embeds": negative["encoder_hidden_states"],
    }
    if size.kind == "sdxl":
        absent |= dict.fromkeys(("text_encoder_2", "tokenizer_2"))
        pipeline = diffusers.StableDiffusionXLInpaintPipeline(**components, **absent)
        given |= {
            "pooled_prompt_embeds": words["text_embeds"],
            "negative_pooled_prompt_embeds": negative["text_embeds"],
        }
    else:
        pipeline = diffusers.StableDiffusionInpaintPipeline(
            **components, **absent, safety_checker=None, requires_safety_checker=False
        )
    pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    image, selection = _question(size.side)
    picture, mask = Image.fromarray(image[..., :3]), Image.fromarray(selection)

    def run(calls: int) -> tuple[float, float]:
        times: list[float] = []

        def after(_pipeline: Any, _step: int, _timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.monotonic())
            return values

        with measured(device) as cost:
            pipeline(
                image=picture, mask_image=mask, height=size.side, width=size.side, strength=1.0,
                num_inference_steps=calls, guidance_scale=GUIDANCE, callback_on_step_end=after, output_type="np",
                **given,
            )  # fmt: skip
        return cost.seconds, times[-1] - times[0]

    return run


if __name__ == "__main__":
    main(sys.argv[1:])
