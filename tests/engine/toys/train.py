"""Train the toy model and its judge: ``python -m tests.engine.toys.train WORK [--out FOLDER]``; resumable.

About twenty-five minutes on one core. Nothing is downloaded. WORK holds checkpoints; ``--out`` writes the model in
diffusers' layout (float16) and the judge beside it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from tests.engine.toys import FOLDER, JUDGE, pictures

LATENT_CHANNELS = 4
TOKENS = 77
VAE = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (12, 24, 48, 48),
    "layers_per_block": 1,
    "norm_num_groups": 3,
    "latent_channels": LATENT_CHANNELS,
    "sample_size": pictures.SIDE,
}
UNET = {
    "sample_size": pictures.SIDE // 8,
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "block_out_channels": (32, 64, 64),
    "layers_per_block": 1,
    "norm_num_groups": 16,
    "cross_attention_dim": 64,
    "attention_head_dim": 4,
}
TEXT = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": TOKENS,
}
SCHEDULER = {
    "_class_name": "PNDMScheduler",
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
}
VAE_STEPS, UNET_STEPS, JUDGE_STEPS = 500, 600, 1200


def tokenizer():
    """A CLIP tokenizer of our own: every letter, alone and at the end of a word, and merges that make whole words."""
    from transformers import CLIPTokenizer

    words = ["a", "on", *pictures.COLOURS, *pictures.SHAPES, *pictures.GROUNDS, *pictures.SURFACES]
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    tokens, merges = [*letters, *(letter + "</w>" for letter in letters)], []
    for word in words:
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            if (parts[0], parts[1]) not in merges:
                merges.append((parts[0], parts[1]))
                tokens.append(parts[0] + parts[1])
            parts = [parts[0] + parts[1], *parts[2:]]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=TOKENS)


def batch(rng: np.random.Generator, count: int) -> tuple[torch.Tensor, list[pictures.Scene]]:
    """Pictures (B, 3, 128, 128) in [−1, 1] and what they show."""
    scenes = [pictures.scene(rng) for _ in range(count)]
    drawn = np.stack([pictures.draw(scene) for scene in scenes]).transpose(0, 3, 1, 2)
    return torch.from_numpy(drawn.astype(np.float32) / 127.5 - 1), scenes


class Average:
    """An exponential mean of a network's weights."""

    def __init__(self, network: torch.nn.Module, decay: float) -> None:
        self._decay = decay
        self.state = {name: value.clone() for name, value in network.state_dict().items()}

    def take(self, network: torch.nn.Module) -> None:
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - self._decay)


def rate(step: int, steps: int, peak: float) -> float:
    """Warm-up, then a half cosine down to a fiftieth."""
    return float(peak * min(1, (step + 1) / 50) * (0.02 + 0.98 * (1 + np.cos(np.pi * step / steps)) / 2))


def fit(networks, loss_of, steps: int, peak: float, place: Path, decay: float = 0.995) -> None:
    """AdamW on ``loss_of(step)``; checkpoints of all to ``place``; the networks end as their averages."""
    together = torch.nn.ModuleList(networks)
    parameters = [p for p in together.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=peak, weight_decay=0.01, betas=(0.9, 0.98))
    average, first = Average(together, decay), 0
    if place.exists():
        saved = torch.load(place, weights_only=True)
        together.load_state_dict(saved["now"])
        optimiser.load_state_dict(saved["optimiser"])
        average.state, first = saved["average"], saved["step"]
    began, mean = time.process_time(), None
    for step in range(first, steps):
        for group in optimiser.param_groups:
            group["lr"] = rate(step, steps, peak)
        loss = loss_of(step)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        average.take(together)
        mean = float(loss.detach()) if mean is None else 0.98 * mean + 0.02 * float(loss.detach())
        if step % 50 == 0 or step + 1 == steps:
            print(f"{place.stem} {step} loss {mean:.4f} {time.process_time() - began:.0f} s", flush=True)
        if step % 200 == 199 or step + 1 == steps:
            state = {"now": together.state_dict(), "optimiser": optimiser.state_dict(), "average": average.state}
            torch.save(state | {"step": step + 1}, place)
    together.load_state_dict(average.state)


def likeness(out: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """L1 of pixels, of gradients, and most of all of the mean colours of cells: without these the few latents are spent
    on light and shade, and all dark things come out alike."""
    edges = sum((out.diff(dim=axis) - x.diff(dim=axis)).abs().mean() for axis in (-1, -2))
    colours = sum((F.avg_pool2d(out, side) - F.avg_pool2d(x, side)).abs().mean() for side in (4, 8))
    return (out - x).abs().mean() + 0.5 * edges + 2 * colours


LEVEL, BIAS = 4.0, 5.0


@torch.no_grad()
def start(vae) -> None:
    """Weights with which the autoencoder already passes the mean colour of each cell, in three of the latents.

    Blocks begin as identities, channels 0 … 2 carry the colours, and channel 3 a constant that keeps the last group
    norms from taking their level away; SiLU is nearly linear around :data:`BIAS`.
    """
    for name, module in vae.named_modules():
        if name.endswith(("conv2", "to_out.0")):
            module.weight.zero_()
            module.bias.zero_()
        elif name.endswith("conv_shortcut"):
            _pass(module, min(module.weight.shape[:2]), 0, 0)
        elif name.endswith("downsamplers.0.conv"):
            _pass(module, len(module.weight), 0, 0)
            for y, x in ((0, 1), (1, 0), (1, 1)):
                module.weight[:, :, y, x] = module.weight[:, :, 0, 0]
            module.weight /= 4
        elif name.endswith("upsamplers.0.conv"):
            _pass(module, len(module.weight), 1, 1)
        elif name.endswith("quant_conv"):
            _pass(module, len(module.weight), 0, 0)
    for half in (vae.encoder, vae.decoder):
        half.conv_in.weight[:4] = 0
        for channel in range(3):
            half.conv_in.weight[channel, channel, 1, 1] = 1
        half.conv_in.bias[:4] = torch.tensor([0, 0, 0, LEVEL])
        group = half.conv_norm_out.num_channels // half.conv_norm_out.num_groups
        mean, deviation = LEVEL / group, LEVEL * (1 / group * (1 - 1 / group)) ** 0.5
        half.conv_norm_out.bias[:3] = BIAS
        half.conv_out.weight[:3] = 0
        for channel in range(3):
            half.conv_out.weight[channel, channel, 1, 1] = deviation
        half.conv_out.bias[:3] = mean - BIAS * deviation


def _pass(module, count: int, y: int, x: int) -> None:
    """The first ``count`` channels as they are."""
    module.weight.zero_()
    module.bias.zero_()
    for channel in range(count):
        module.weight[channel, channel, y, x] = 1


def train_vae(place: Path):
    """On crops, with a touch of the KL term that keeps latents near N(0, 1)."""
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    vae = AutoencoderKL(**VAE)
    start(vae)

    def loss_of(step: int) -> torch.Tensor:
        rng = np.random.default_rng([1, step])
        whole, _ = batch(rng, 10)
        side = 64
        top, left = rng.integers(0, (pictures.SIDE - side) // 8 + 1, 2) * 8
        x = whole[..., top : top + side, left : left + side].contiguous(memory_format=torch.channels_last)
        posterior = vae.encode(x).latent_dist
        z = posterior.mean + posterior.std * torch.randn_like(posterior.mean)
        out = vae.decode(z).sample
        return likeness(out, x) + 1e-5 * posterior.kl().mean() / z[0].numel()

    fit([vae], loss_of, VAE_STEPS, 1e-3, place / "vae.pt", 0.98)
    return vae


@torch.no_grad()
def latents(vae, place: Path, count: int = 6000) -> tuple[torch.Tensor, list[str]]:
    """Scaled latents of many pictures, three captions of each, and the scaling factor set in the configuration."""
    rng = np.random.default_rng(2)
    file = place / "latents.pt"
    if file.exists():
        saved = torch.load(file, weights_only=True)
        vae.register_to_config(scaling_factor=saved["factor"])
        return saved["z"], saved["captions"]
    parts, captions = [], []
    for _ in range(count // 50):
        x, scenes = batch(rng, 50)
        parts.append(vae.encode(x).latent_dist.mean)
        captions += [scene.caption(rng) for scene in scenes for _ in range(3)]
    z = torch.cat(parts)
    factor = float(1 / z.std())
    vae.register_to_config(scaling_factor=factor)
    print(f"latents: scaling factor {factor:.4f}, means {z.mean((0, 2, 3)).tolist()}", flush=True)
    torch.save({"z": z * factor, "captions": captions, "factor": factor}, file)
    return z * factor, captions


def train_unet(place: Path, words, z: torch.Tensor, captions: list[str]):
    """ε prediction, text encoder and UNet together; the captions are empty now and then."""
    from diffusers import DDPMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(1)
    end = words.eos_token_id
    vocabulary = {"vocab_size": len(words), "bos_token_id": words.bos_token_id, "eos_token_id": end}
    text = CLIPTextModel(CLIPTextConfig(**TEXT, **vocabulary, pad_token_id=end))
    unet = UNet2DConditionModel(**UNET)
    scheduler = DDPMScheduler.from_config(SCHEDULER)
    ids = words(captions, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt").input_ids

    def loss_of(step: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(step)
        chosen = torch.randint(len(z), (24,), generator=generator)
        caption = ids[chosen * 3 + torch.randint(3, (24,), generator=generator)]
        distinct, back = caption.unique(dim=0, return_inverse=True)
        embedded = text(distinct).last_hidden_state[back]
        t = torch.randint(1000, (24,), generator=generator)
        noise = torch.randn(24, *z.shape[1:], generator=generator)
        return F.mse_loss(unet(scheduler.add_noise(z[chosen], noise, t), t, embedded).sample, noise)

    fit([text, unet], loss_of, UNET_STEPS, 2e-3, place / "unet.pt", 0.99)
    return text, unet


def judge() -> torch.nn.Module:
    """A classifier of 64 × 64 pictures in [−1, 1]: colour and shape, each with "none" last."""
    torch.manual_seed(3)
    outputs = len(pictures.COLOURS) + len(pictures.SHAPES) + 2
    layers: list[torch.nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 48), (48, 64)):
        layers += [torch.nn.Conv2d(before, after, 3, 2, 1), torch.nn.GroupNorm(4, after), torch.nn.SiLU()]
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(64 * 16, outputs))


def train_judge(place: Path) -> torch.nn.Module:
    network = judge()

    def loss_of(step: int) -> torch.Tensor:
        x, scenes = batch(np.random.default_rng([4, step]), 32)
        x = F.avg_pool2d(x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(step)), 2)
        colour, shape = network(x).split((len(pictures.COLOURS) + 1, len(pictures.SHAPES) + 1), 1)
        wanted = torch.tensor([classes(scene) for scene in scenes])
        return F.cross_entropy(colour, wanted[:, 0]) + F.cross_entropy(shape, wanted[:, 1])

    fit([network], loss_of, JUDGE_STEPS, 2e-3, place / "judge.pt", 0.98)
    return network


def classes(scene: pictures.Scene) -> tuple[int, int]:
    """(colour, shape) by number, "none" last."""
    if not scene.shape:
        return len(pictures.COLOURS), len(pictures.SHAPES)
    return list(pictures.COLOURS).index(scene.colour), pictures.SHAPES.index(scene.shape)


def load_judge() -> torch.nn.Module:
    """The shipped classifier."""
    network = judge()
    network.load_state_dict({name: value.float() for name, value in load_file(JUDGE).items()})
    return network.eval().requires_grad_(False)


def write_tokenizer(words, place: Path) -> None:
    """As Stable Diffusion 1 has it: vocabulary and merges in files of their own."""
    place.mkdir(parents=True, exist_ok=True)
    model = json.loads(words.backend_tokenizer.to_str())["model"]
    (place / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = "\n".join(" ".join(pair) for pair in model["merges"])
    (place / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    special = {"bos_token": "<|startoftext|>"} | dict.fromkeys(("eos_token", "pad_token", "unk_token"), "<|endoftext|>")
    (place / "special_tokens_map.json").write_text(json.dumps(special))
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": TOKENS, "do_lower_case": True, **special}
    (place / "tokenizer_config.json").write_text(json.dumps(config))


def write(folder: Path, vae, text, unet, words, network) -> None:
    """The model in diffusers' layout, float16."""
    from diffusers import PNDMScheduler

    for name, part in (("vae", vae), ("text_encoder", text), ("unet", unet)):
        part.half().save_pretrained(folder / name, safe_serialization=True)
    write_tokenizer(words, folder / "tokenizer")
    PNDMScheduler.from_config(SCHEDULER).save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "feature_extractor": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "PNDMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    save_file({name: value.half() for name, value in network.state_dict().items()}, folder.with_name(JUDGE.name))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    network = train_judge(arguments.work)
    vae = train_vae(arguments.work)
    words = tokenizer()
    text, unet = train_unet(arguments.work, words, *latents(vae, arguments.work))
    write(arguments.out, vae, text, unet, words, network)


if __name__ == "__main__":
    main()
