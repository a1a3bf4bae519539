"""The toy as a rectified flow, and what samples it best: ``python -m tests.engine.toys.flow WORK`` trains and measures.

Text encoder and autoencoder are the toy's own; the network begins with the toy's weights and learns ε − x_0 in two
minutes on one core (Lipman et al. 2023, arXiv 2210.02747). WORK holds its checkpoint; the table goes to WORK/flow.md.
DInG (Moufad et al. 2025, arXiv 2512.18365), for a known region without noise: each step goes down with the noise
√(1 − ᾱ) √t, t = √(1 − ᾱ)/(√ᾱ + √(1 − ᾱ)), and the known region takes the noise that the network sees in the state that
was arrived at, at a second call; the delayed form takes the one it saw before the step, as κ = 0 does.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from engine import api
from engine.bench.measures import seam_jump
from engine.models import Model
from engine.sampling import Diffusion, Noise, Schedule, flow_alpha_bar, plain, schedule
from engine.sampling.guidance import Guide, Words, conditioned
from tests.engine.toys import FOLDER, pictures, study, train

STEPS, BATCH, PICTURES = 260, 24, 2400
ALPHA_BAR, TIMES = flow_alpha_bar()


def trained(place: Path) -> Model:
    """The flow, trained as far as its checkpoint lacks."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    toy = api.load_model(str(FOLDER), "cpu")
    whole = {"torch_dtype": torch.float32, "local_files_only": True}
    unet = UNet2DConditionModel.from_pretrained(FOLDER, subfolder="unet", **whole)
    text = CLIPTextModel.from_pretrained(FOLDER, subfolder="text_encoder", **whole).eval().requires_grad_(False)
    vae = AutoencoderKL.from_pretrained(FOLDER, subfolder="vae", **whole).eval().requires_grad_(False)
    words = CLIPTokenizer.from_pretrained(FOLDER, subfolder="tokenizer", local_files_only=True)
    checkpoint = place / "flow.pt"
    done = checkpoint.exists() and torch.load(checkpoint, weights_only=True)["step"] >= STEPS
    z, ids = (torch.zeros(0), torch.zeros(0)) if done else _latents(vae, words, place / "flow-latents.pt")

    def loss_of(step: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(step)
        chosen = torch.randint(len(z), (BATCH,), generator=generator)
        distinct, back = ids[chosen].unique(dim=0, return_inverse=True)
        noise = torch.randn(BATCH, *z.shape[1:], generator=generator)
        t = torch.rand(BATCH, generator=generator)
        x = z[chosen].lerp(noise, t[:, None, None, None])
        embedded = text(distinct).last_hidden_state[back]
        return F.mse_loss(unet(x, 1000 * t, embedded).sample, noise - z[chosen])

    train.fit([unet], loss_of, STEPS, 1.5e-3, checkpoint, 0.99)
    unet.eval().requires_grad_(False)

    def predict(x: torch.Tensor, timestep: int, asked: tuple[Words, ...]) -> torch.Tensor:
        time_ = float(1000 * TIMES[timestep])
        together = [each.embeddings["encoder_hidden_states"].float().expand(len(x), -1, -1) for each in asked]
        return torch.cat([unet(x, time_, each).sample for each in together], dim=1)

    return replace(toy, predict=predict, alpha_bar=ALPHA_BAR, prediction="flow")


@torch.no_grad()
def _latents(vae, words, file: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Scaled latents of pictures and a caption of each, as tokens."""
    if not file.exists():
        rng, parts, captions = np.random.default_rng(12), [], []
        for _ in range(PICTURES // 50):
            x, scenes = train.batch(rng, 50)
            parts.append(vae.encode(x).latent_dist.mean)
            captions += [scene.caption(rng) for scene in scenes]
        ids = words(captions, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
        torch.save({"z": torch.cat(parts) * vae.config.scaling_factor, "ids": ids}, file)
    saved = torch.load(file, weights_only=True)
    return saved["z"], saved["ids"]


# ------------------------------------------------------------------------------------------------------------- samplers


def walk(
    network: Callable, diffusion: Diffusion, levels: Schedule, y: torch.Tensor, keep: torch.Tensor, noise: Noise,
    power: float | None = None, fresh: bool = False, twice: bool = False,
) -> tuple[torch.Tensor, int]:  # fmt: skip
    """x_0 and the calls made.

    Args:
        power: p of a step's noise √(1 − ᾱ) t^p; DDPM's if None.
        fresh: κ = 1, else κ = 0.
        twice: the known region's noise is that of a second call (DInG).
    """
    x, calls = noise.draw(y), 0
    for t, s in pairwise(levels.levels):
        if s > t:
            x = diffusion.undo(x, s, noise.draw(x))
            continue
        if fresh:
            x = keep * diffusion.noised(y, t, noise.draw(x)) + (1 - keep) * x
        estimate, below = diffusion.estimate(network, x, t, clip=False), diffusion.alpha_bar(s)
        spread, calls = math.sqrt(1 - below), calls + 1
        deviation = math.sqrt(float(diffusion.posterior_variances[t]))
        if power is not None:
            deviation = spread * (spread / (math.sqrt(below) + spread)) ** power
        x = math.sqrt(below) * estimate.x0_hat + math.sqrt(1 - below - deviation**2) * estimate.epsilon
        x = x + deviation * noise.draw(x)
        epsilon = estimate.epsilon
        if twice and s >= 0:
            epsilon, calls = diffusion.estimate(network, x, s, clip=False).epsilon, calls + 1
        if not fresh:
            x = keep * diffusion.noised(y, s, epsilon) + (1 - keep) * x
    return x, calls


WAYS = {
    "plain masking (κ = 1)": (plain(50), {"fresh": True}),
    "κ = 0, as `fast`": (schedule.uniform(40, 5, 2), {}),
    "κ = 0": (plain(50), {}),
    "κ = 0, 28 levels": (plain(28), {}),
    "κ = 0, jumps of 4": (schedule.uniform(28, 4, 2), {}),
    "DInG": (plain(25), {"power": 0.5, "twice": True}),
    "delayed DInG, noise √(1 − ᾱ) √t": (plain(50), {"power": 0.5}),
    "delayed DInG, noise √(1 − ᾱ) √t, jumps of 4": (schedule.uniform(28, 4, 2), {"power": 0.5}),
    "delayed DInG, noise √(1 − ᾱ) √t, 28 levels": (plain(28), {"power": 0.5}),
    "delayed DInG, noise √(1 − ᾱ) t": (plain(50), {"power": 1.0}),
}  # fmt: skip


def questions(count: int, seed: int) -> tuple[np.ndarray, list[pictures.Scene]]:
    """Pictures with a shape that the hole cuts, (B, 128, 128, 3) uint8, and what they show."""
    rng = np.random.default_rng(seed)
    scenes = [pictures.scene(rng, empty=0.3) for _ in range(count)]
    return np.stack([pictures.draw(scene) for scene in scenes]), scenes


@torch.inference_mode()
def paint(model: Model, known: np.ndarray, way: str, seed: int) -> tuple[np.ndarray, int]:
    """(B, 128, 128, 3) uint8, without a prompt, and the calls."""
    from engine import canvas

    levels, more = WAYS[way]
    hole = study.selection()
    y = torch.from_numpy(known.astype(np.float32) / 127.5 - 1).permute(0, 3, 1, 2)
    keep = torch.from_numpy((hole == 0).astype(np.float32))[None, None]
    entered = model.space.enter(y * keep, keep)
    nothing = model.read("") if model.read else None
    assert nothing is not None
    network = conditioned(
        partial(study._each, model), Guide(nothing, nothing, 1.0), entered.keep, None, ALPHA_BAR, "flow", lambda n: n
    )
    diffusion = Diffusion(ALPHA_BAR, levels.steps, "flow", first_alpha_bar=0.0004)
    noise = Noise([seed + row for row in range(len(known))])
    x, calls = walk(network, diffusion, levels, entered.y, entered.keep, noise, **more)
    painted = (model.space.leave(x, (y * keep, keep)).permute(0, 2, 3, 1).numpy() + 1) / 2
    box = canvas.Box(0, 0, pictures.SIDE, pictures.SIDE)
    return np.stack([canvas.composite(a, hole, b, box) for a, b in zip(known, painted, strict=True)]), calls


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    parser.add_argument("--pictures", type=int, default=12)
    parser.add_argument("--seeds", default="5")
    parser.add_argument("--questions", type=int, default=81, help="seed of the pictures")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    model, new = trained(arguments.work), study.selection() > 0
    known, _ = questions(arguments.pictures, arguments.questions)
    seeds = [int(text) for text in arguments.seeds.split(",")]
    lines = ["| way | calls | seam jump | rim error | error in the hole | spread |", "|---|---|---|---|---|---|"]
    truth = np.median([seam_jump(each, new) for each in known])
    lines.append(f"| the pictures | – | {truth:.2f} | 0 | 0 | 1 |")
    for way in WAYS:
        began, rows = time.process_time(), []
        for seed in seeds:
            painted, calls = paint(model, known, way, seed)
            inside = np.abs(painted[:, new].astype(float) - known[:, new])
            spread = painted[:, new].astype(float).std(1).mean() / known[:, new].astype(float).std(1).mean()
            jumps = np.median([seam_jump(each, new) for each in painted])
            rows.append((jumps, study.rim_error(painted, known), inside.mean(), spread))
        seam, rim, error, spread = np.mean(rows, axis=0)
        lines.append(f"| {way} | {calls} | {seam:.2f} | {rim:.1f} | {error:.1f} | {spread:.2f} |")
        print(lines[-1], f"{time.process_time() - began:.0f} s", flush=True)
    (arguments.work / "flow.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
