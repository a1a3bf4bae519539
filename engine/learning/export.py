"""Write a training run's averaged weights in diffusers' pipeline layout, with a model card and the corpus's list.

A file ``NOTES.md`` in the run's folder (what happened on the way) goes into the card.

The folder: ``model_index.json``, ``unet/config.json``, ``unet/diffusion_pytorch_model.safetensors`` (float16),
``scheduler/scheduler_config.json``, ``MODEL_CARD.md`` with ``samples.png`` and ``losses.png``, ``corpus.json``.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from engine import devices
from engine.data import Manifest, write_atomic
from engine.learning.train import (
    BETA_END,
    BETA_START,
    LOG_FIELDS,
    SIDES,
    TIMESTEPS,
    alpha_bars,
    batch_shape,
    build_model,
    load_config,
)
from engine.models import unet
from engine.sampling import Diffusion, Noise, RePaintSettings, plot, sampler_of, schedule

WINDOW = 128
"""Longest side of one network call; on larger pictures overlapped windows are fused. With 96 extensions drift sooner,
with 192 they look the same."""
ANCHOR = 1.0
"""σ above which estimates are held to their surroundings; how that was chosen: :mod:`engine.sampling.anchor`."""
SAMPLE_LEVELS = 100
SAMPLE_SIDE, SAMPLE_ROWS, SAMPLE_COLUMNS = 128, 2, 5

LIMITS = """\
- It knows textures, not things: faces, letters, buildings and other whole objects are beyond it.
- Holes of about 45 pixels in walls, stone, wood, soil, grass, straw and other surfaces are filled in their colour and
  grain; courses of small bricks go on, single joints and lines often end. Detail can be a little brighter or darker
  than around it.
- Wide new areas keep colour and brightness, but forget the structure they continue after 30 to 60 pixels: bricks
  turn into mud, boards into plaster. With `--learn` they do not.
- Preset *fast* is made for it; *quality* exaggerates the contrast of wide areas."""


def scheduler_config() -> dict[str, Any]:
    """The diffusion process that the model was trained with."""
    return {
        "_class_name": "DDPMScheduler",
        "_diffusers_version": diffusers.__version__,
        "num_train_timesteps": TIMESTEPS,
        "beta_start": BETA_START,
        "beta_end": BETA_END,
        "beta_schedule": "linear",
        "prediction_type": "v_prediction",
        "variance_type": "fixed_small",
        "clip_sample": True,
        "clip_sample_range": 1.0,
    }


def export(run: Path, data: Path, out: Path, levels: int = SAMPLE_LEVELS) -> None:
    """Write the model of the run in ``run``, trained on the corpus in ``data``, to ``out``.

    Args:
        levels: of the card's samples (some minutes on a CPU).

    Raises:
        FileNotFoundError: ``run`` holds no checkpoint, or ``data`` no corpus.
    """
    config = load_config(run)
    if config is None:
        raise FileNotFoundError(f"{run} holds no training run")
    saved = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)
    model = build_model(config)
    model.load_state_dict(saved["averaged"])
    (out / "unet").mkdir(parents=True, exist_ok=True)
    (out / "scheduler").mkdir(exist_ok=True)
    weights = {name: tensor.detach().half().contiguous() for name, tensor in model.state_dict().items()}
    part = out / "unet" / "diffusion_pytorch_model.safetensors.part"
    save_file(weights, part, metadata={"format": "pt"})
    part.chmod(0o644)
    part.replace(part.with_suffix(""))
    unet = json.loads(model.to_json_string())  # type: ignore[operator]
    unet.pop("_name_or_path", None)
    unet |= {"any_scale": True, "window": WINDOW, "anchor": ANCHOR}  # our own keys, read by engine.models.unet
    write_json(out / "unet" / "config.json", unet)
    write_json(out / "scheduler" / "scheduler_config.json", scheduler_config())
    index = {
        "_class_name": "DDPMPipeline",
        "_diffusers_version": diffusers.__version__,
        "scheduler": ["diffusers", "DDPMScheduler"],
        "unet": ["diffusers", "UNet2DModel"],
    }
    write_json(out / "model_index.json", index)
    manifest = Manifest.load(data)
    write_atomic(out / "corpus.json", json.dumps(manifest.compact(), separators=(",", ":")) + "\n")
    parameters = sum(tensor.numel() for tensor in weights.values())
    log = read_log(run)
    remarks = run / "NOTES.md"
    notes = "\n" + remarks.read_text() if remarks.is_file() else ""
    draw_samples(model, levels).save(out / "samples.png")
    draw_losses(log).save(out / "losses.png")
    facts = {"step": saved["step"], "samples": saved["samples"], "seconds": saved["seconds"], "parameters": parameters}
    write_atomic(out / "MODEL_CARD.md", card(manifest, config, facts, log, notes, levels))


@torch.inference_mode()
def draw_samples(network: torch.nn.Module, levels: int = SAMPLE_LEVELS) -> Image.Image:
    """What a network paints where nothing is known: DDPM (Ho et al. 2020, Algorithm 2), seeds 0, 1, 2 …, not chosen."""
    device = devices.chosen()
    predict = unet.predictor(network, device)
    process = Diffusion(alpha_bars().double().numpy(), levels, "v_prediction")
    rows, settings = [], RePaintSettings(kappa=0.0)
    for row in range(SAMPLE_ROWS):
        seeds = range(row * SAMPLE_COLUMNS, (row + 1) * SAMPLE_COLUMNS)
        nothing = torch.zeros(SAMPLE_COLUMNS, 3, SAMPLE_SIDE, SAMPLE_SIDE, device=device)
        steps = sampler_of(settings)(
            lambda x, timestep: predict(x, timestep, None), process, schedule.plain(levels),
            nothing, torch.zeros_like(nothing[:, :1]), Noise(seeds), settings,
        )  # fmt: skip
        *_, last = steps
        rows.append(torch.cat(list(last.x), dim=2))
    sheet = torch.cat(rows, dim=1).permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(np.uint8(np.clip((sheet + 1) / 2, 0, 1) * 255 + 0.5))


def draw_losses(log: list[dict[str, str]]) -> Image.Image:
    """The losses of a run's log against its samples; a run that was done when it was resumed logs nan."""
    names = {"loss": "loss of v, with its timestep skew", "held_out_loss": "held-out loss of v"}
    lines = {
        title: [(float(line["samples"]), float(line[name])) for line in log if line[name] not in ("", "nan")]
        for name, title in names.items()
    }
    return plot.curves(lines, "samples, as pictures of 64 by 64")


def write_json(path: Path, data: dict[str, Any]) -> None:
    write_atomic(path, json.dumps(data, indent=2, sort_keys=True) + "\n")


def read_log(run: Path) -> list[dict[str, str]]:
    """The lines of a run's ``log.csv``."""
    path = run / "log.csv"
    if not path.is_file():
        return []
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream, LOG_FIELDS))[1:]


def card(
    manifest: Manifest, config: Any, facts: dict[str, Any], log: list[dict[str, str]], notes: str, levels: int
) -> str:
    """The model card's text; ``notes`` are the run's own remarks."""
    rows = "\n".join(
        "| {source} | {version} | {licence} | {kind} | {trained} | {held_out} |".format(**row)
        for row in manifest.summary()
    )
    judged = [line for line in log if line["held_out_loss"]]
    keep = [judged[round(i * (len(judged) - 1) / 11)] for i in range(12)] if len(judged) > 12 else judged
    losses = "\n".join(
        f"| {line['step']} | {line['samples']} | {float(line['seconds']):.0f} | {line['loss']} | "
        f"{line['held_out_loss']} | {line['held_out_x0_loss']} |"
        for line in keep
    )
    pictures, parameters = len(manifest.training()), facts["parameters"]
    sides = [batch_shape(step, config.batch)[1] for step in range(len(SIDES))]
    return f"""# The embedded texture model

A small unconditional colour diffusion model of textures, made for filling holes with RePaint. It is a `UNet2DModel` of
diffusers with {parameters / 1e6:.2f} M parameters (channels {", ".join(map(str, config.channels))};
{config.layers} residual block per level; self-attention at the lowest {config.attention}), predicts v, and was trained
with {TIMESTEPS} linear betas from {BETA_START:g} to {BETA_END:g}. Sides are multiples of 8, from 64 pixels upwards.
The weights are float16 averages over training.

Licence: GPL-3.0-or-later.

## Training

`python -m engine data build` gathered the corpus, `python -m engine train` trained on it, with batch {config.batch},
peak learning rate {config.learning_rate:g}, averaging {config.ema:g}, timestep skew {config.skew:g},
seed {config.seed}: {facts["step"]} steps in {facts["seconds"]:.0f} seconds of work, on as many pixels as
{facts["samples"]} pictures of 64² have; the crops have sides of {min(sides)} to {max(sides)} pixels.
{notes}
![Losses against samples](losses.png)

Loss is the mean squared error of v; the held-out losses are those of the averaged weights on fixed crops of pictures
that were never trained on (v, and the clipped x̂_0 against x_0).

| step | samples | seconds | loss | held-out v | held-out x_0 |
|---|---|---|---|---|---|
{losses}

## Samples

![Ten pictures of 128² pixels](samples.png)

Nothing known: {SAMPLE_ROWS * SAMPLE_COLUMNS} pictures of {SAMPLE_SIDE}² pixels by DDPM with {levels} levels, seeds 0,
1, 2 …, none left out.

## Data

{pictures} pictures were trained on; a tenth was held out by whole source picture. `corpus.json` names every picture.
The pattern libraries that ship with GIMP and Krita are not among them, nor was the
demonstration's photograph trained on.

| source | version | licence | kind | trained on | held out |
|---|---|---|---|---|---|
{rows}

The procedural textures are made by `engine/data/procedural.py`.

## Known limits

{LIMITS}
"""
