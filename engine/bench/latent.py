"""The clock for latent models: networks of real size with random weights, this engine beside diffusers' inpainting.

A call is a guidance pair: the network for the prompt and for the negative prompt. Every row is a process of its own,
one after the other, so that its peak memory is its own. Text encoders are left out: they run once, and there is no
vocabulary to run them with. What was measured is kept after every row, so that a run that was stopped goes on; a row
that fails (for want of memory, say) is said so, and the others are measured nonetheless.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine import api, devices
from engine.bench.cost import device_name, load_average, measured
from engine.errors import BadInput
from engine.models import Model, ModelInfo, latent, pipeline_folder
from engine.sampling import Words

log = logging.getLogger(__name__)

GUIDANCE = 7.5
SIDES = {"cpu": (None,), "cuda": (512, 1024)}
"""Sides in pixels of the pictures; None: the size's own."""
MARK = "row: "
"""Begins the line in which a row's process answers."""


@dataclass(frozen=True)
class Size:
    """A network of the size of a published one.

    Attributes:
        side: of its pictures, where none is asked for.
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


def measure(
    sizes: list[str], calls: int, device: str | None, sides: list[int] | None = None, out: Path | None = None
) -> dict[str, Any]:
    """Time ``calls`` network calls of each size at each side by each row, and what comes before and after them.

    Args:
        sides: of the pictures, multiples of 64, 64 … 2048; by default the size's own on a CPU, 512 and 1024 on CUDA.
        out: a JSON file of the rows; those in it that were measured so, on this device, are not measured again.

    Raises:
        BadInput: values out of range, or a file of something else.
    """
    unknown = [name for name in sizes if name not in SIZES]
    if unknown or not sizes:
        raise BadInput("bad_size", f"The sizes are {', '.join(SIZES)}, not {', '.join(unknown) or 'none'}.")
    if not 2 <= calls <= 1000:
        raise BadInput("bad_calls", f"The number of calls must be 2 to 1000, not {calls}.")
    if any(side % 64 or not 64 <= side <= 2048 for side in sides or []):
        raise BadInput("bad_size", "The sides must be multiples of 64 up to 2048.")
    chosen = devices.chosen(device)
    name_of_device = device_name(chosen)
    rows = _read(out)
    for name in sizes:
        for side in sides or [side or SIZES[name].side for side in SIDES[chosen.type]]:
            for row in ROWS:
                facts = {"row": row, "size": name, "side": side, "calls": calls, "device": name_of_device}
                if any("failed" not in each and facts.items() <= each.items() for each in rows):
                    continue
                rows = [each for each in rows if not facts.items() <= each.items()]
                rows.append(facts | {"load": load_average()} | _measured_apart(row, name, side, calls, chosen))
                if out is not None:
                    out.write_text(json.dumps({"kind": "latent", "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return {"rows": rows}


def _read(out: Path | None) -> list[dict[str, Any]]:
    if out is None or not out.exists():
        return []
    try:
        content = json.loads(out.read_text(encoding="utf-8"))
        if content["kind"] != "latent":
            raise ValueError(content["kind"])
        return list(content["rows"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput("bad_argument", f"{out} holds no rows of this bench; name another file.", repr(error)) from error


def _measured_apart(row: str, size: str, side: int, calls: int, device: torch.device) -> dict[str, Any]:
    """What a row's process answers, or why it did not."""
    command = [sys.executable, "-m", "engine.bench.latent", row, size, str(side), str(calls), device.type]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    answers = [line.removeprefix(MARK) for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode == 0 and answers:
        return dict(json.loads(answers[-1]))
    log.info("row %s of %s failed: %s", row, size, done.stderr.strip()[-2000:])
    last = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
    memory = done.returncode == -9 or "memory" in last.lower()
    return {"failed": "out of memory" if memory else last[:200]}


def table(result: dict[str, Any]) -> str:
    """The rows as Markdown, a table for each device; presets are their calls times the seconds per call, and the rest
    once. Between two rows of the same network stands how much faster ours is."""
    presets = [preset for preset in api.PRESETS.values() if preset.calls <= 1000]
    lines: list[str] = []
    for device in dict.fromkeys(row["device"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["device"] == device]
        loads = [row["load"] for row in rows if row["load"] is not None]
        load = f"{min(loads):.1f} … {max(loads):.1f}" if loads else "not known"
        counts = " or ".join(str(count) for count in sorted({row["calls"] for row in rows}))
        lines += [
            f"{device}; {counts} calls of a guidance pair; load average {load}",
            "",
            "| | size | px | type | s per call | against diffusers | encode, decode … s | peak MiB | "
            + " | ".join(f"{preset.name}, {preset.calls} calls, s" for preset in presets)
            + " |",
            "|---|---|---|---|---|---|---|---|" + "---|" * len(presets),
        ]
        for row in rows:
            head = f"| {ROWS[row['row']]} | {SIZES[row['size']].title} | {row['side']} |"
            if "failed" in row:
                lines.append(f"{head} {row['failed']} |" + " |" * (4 + len(presets)))
                continue
            peak = "–" if row["peak_mib"] is None else f"{row['peak_mib']:.0f}"
            totals = (f"{preset.calls * row['seconds_per_call'] + row['rest']:.0f}" for preset in presets)
            lines.append(
                f"{head} {row['dtype']} | {row['seconds_per_call']:.3f} | {_against(row, rows)} "
                f"| {row['rest']:.1f} | {peak} | {' | '.join(totals)} |"
            )
        lines.append("")
    return "\n".join(lines).rstrip()


def _against(row: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """How many times the rival's seconds per call this row takes."""
    same = {name: row[name] for name in ("size", "side", "calls")} | {"row": "diffusers"}
    rival = next((each for each in rows if same.items() <= each.items() and "failed" not in each), None)
    return "–" if rival is None else f"{row['seconds_per_call'] / rival['seconds_per_call']:.2f} ×"


# ------------------------------------------------------------------------------------------------------- inside a row


def main(argv: list[str]) -> None:
    """Warm up, then time ``calls`` calls and the rest of the run."""
    row, name, side, calls, device = argv[0], argv[1], int(argv[2]), int(argv[3]), torch.device(argv[4])
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    torch.manual_seed(0)
    dtype = devices.inference_dtype(device)
    prepare = {"ours": _ours, "diffusers": _diffusers}[row]
    run = prepare(replace(SIZES[name], side=side), device, dtype)
    run(2)
    with measured(device) as cost:
        whole, in_calls = run(calls)
    answer = {
        "dtype": str(dtype).removeprefix("torch."),
        "seconds_per_call": in_calls / (calls - 1),
        "rest": max(0.0, whole - in_calls * calls / (calls - 1)),
        "peak_mib": cost.peak_mib,
    }
    print(MARK + json.dumps(answer))


Run = Callable[[int], tuple[float, float]]
"""calls → (seconds of the whole run, seconds from the end of the first call to the end of the last)."""


def _parts(size: Size, channels: int, dtype: torch.dtype) -> pipeline_folder.Parts:
    from diffusers import AutoencoderKL, UNet2DConditionModel

    unet = UNet2DConditionModel(sample_size=size.side // 8, in_channels=channels, **size.unet)
    vae = AutoencoderKL(**VAE, sample_size=size.side)
    index: dict[str, Any] = {}
    network, autoencoder = (part.eval().requires_grad_(False) for part in (unet.to(dtype), vae))
    return pipeline_folder.Parts(size.kind, index, SCHEDULER, network, autoencoder, ())


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
