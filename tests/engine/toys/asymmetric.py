"""Train the toy's asymmetric autoencoder: ``python -m tests.engine.toys.asymmetric [--out FOLDER] [--steps N]``.

It keeps the toy's encoder; its decoder begins as the toy's and learns to use the known pixels (Zhu et al. 2023, arXiv
2306.04632, with an absolute error alone for a loss). A minute and a half on one core.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from tests.engine.toys import ASYMMETRIC, FOLDER, train

SIDE = 64
STEPS = 700


def untrained():
    """The toy's encoder and decoder with a branch for the known pixels, which begins at random."""
    from diffusers import AsymmetricAutoencoderKL, AutoencoderKL

    torch.manual_seed(0)
    plain = AutoencoderKL.from_pretrained(FOLDER / "vae", torch_dtype=torch.float32)
    widths, layers = train.VAE["block_out_channels"], train.VAE["layers_per_block"]
    vae = AsymmetricAutoencoderKL(
        down_block_types=train.VAE["down_block_types"],
        up_block_types=train.VAE["up_block_types"],
        down_block_out_channels=widths,
        up_block_out_channels=widths,
        layers_per_down_block=layers,
        layers_per_up_block=layers,
        latent_channels=train.LATENT_CHANNELS,
        norm_num_groups=train.VAE["norm_num_groups"],
        sample_size=train.VAE["sample_size"],
        scaling_factor=plain.config.scaling_factor,
    )
    missing, unexpected = vae.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    assert all("condition_encoder" in name for name in missing)
    return vae


def unknown(rng: np.random.Generator, count: int) -> torch.Tensor:
    """Boxes of any size, one a picture, and now and then everything: (B, 1, SIDE, SIDE), 1 where unknown."""
    out = torch.zeros(count, 1, SIDE, SIDE)
    for row in out:
        if rng.random() < 0.1:
            row[:] = 1
            continue
        (top, left), (height, width) = rng.integers(0, SIDE - 8, 2), rng.integers(8, SIDE, 2)
        row[:, top : top + height, left : left + width] = 1
    return out


def trained(steps: int):
    vae, rng, began = untrained(), np.random.default_rng(3), time.monotonic()
    vae.requires_grad_(False)
    vae.decoder.requires_grad_(True)
    optimizer = torch.optim.Adam(vae.decoder.parameters())
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = train.rate(step, steps, 2e-3)
        x, _ = train.batch(rng, 2)
        top, left = rng.integers(0, x.shape[2] - SIDE, 2)
        x = torch.cat([x[..., top : top + SIDE, left : left + SIDE], x[..., :SIDE, -SIDE:]])
        with torch.no_grad():
            z = vae.encode(x).latent_dist.mode()
        loss = F.l1_loss(vae.decode(z, image=x, mask=unknown(rng, len(x))).sample, x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0 or step == steps - 1:
            print(f"step {step} loss {loss.item():.4f} {time.monotonic() - began:.0f} s", flush=True)
    return vae.eval().requires_grad_(False)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=ASYMMETRIC)
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    trained(arguments.steps).half().save_pretrained(arguments.out)


if __name__ == "__main__":
    main()
