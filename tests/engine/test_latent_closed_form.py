"""Latent space against the closed form: an orthonormal linear "autoencoder", and the tables of v and flow models."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from engine.models.latent import without_signal_at_the_end
from engine.models.latent_space import LatentSpace
from engine.sampling import schedule
from engine.sampling.diffusion import Diffusion, flow_alpha_bar, linear_alpha_bar
from engine.sampling.noise import Noise
from engine.sampling.sampler import RePaintSettings, repaint
from tests.engine.exact import ROWS, gaussian_network

SIDE = 2
CHANNELS = 3 * SIDE**2
CELLS = 3334
SAMPLES = CHANNELS * CELLS


class Orthonormal(torch.nn.Module):
    """Cells of 2 × 2 pixels, turned by one orthonormal matrix; scale and shift as any autoencoder has them."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(block_out_channels=(1, 1), scaling_factor=0.5, shift_factor=0.25)
        square = torch.linalg.qr(torch.randn(CHANNELS, CHANNELS, generator=torch.Generator().manual_seed(0)))[0]
        self.turn = torch.nn.Parameter(square, requires_grad=False)

    def encode(self, x: torch.Tensor) -> SimpleNamespace:
        turned = torch.einsum("kc,bchw->bkhw", self.turn, F.pixel_unshuffle(x, SIDE))
        z = turned / self.config.scaling_factor + self.config.shift_factor
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: z))

    def decode(self, z: torch.Tensor) -> SimpleNamespace:
        turned = (z - self.config.shift_factor) * self.config.scaling_factor
        return SimpleNamespace(sample=F.pixel_shuffle(torch.einsum("kc,bkhw->bchw", self.turn, turned), SIDE))

    def enable_tiling(self) -> None: ...

    def disable_tiling(self) -> None: ...


@pytest.fixture(scope="module")
def vae() -> Orthonormal:
    return Orthonormal()


def _network(alpha_bar: np.ndarray, prediction: str):
    """Three cells a row: the first two as in :data:`tests.engine.exact.COVARIANCE`, the third N(0, 1) by itself."""
    pair = gaussian_network(alpha_bar, prediction)

    def network(x: torch.Tensor, timestep: int) -> torch.Tensor:
        a = float(alpha_bar[timestep])
        noisy = x[..., 2:] * ((a**0.5 + (1 - a) ** 0.5) if prediction == "flow" else 1.0)
        x0_hat, epsilon = a**0.5 * noisy, (1 - a) ** 0.5 * noisy
        v = a**0.5 * epsilon - (1 - a) ** 0.5 * x0_hat
        third = {"epsilon": epsilon, "v_prediction": v, "flow": epsilon - x0_hat}[prediction]
        return torch.cat([pair(x[..., :2], timestep), third], dim=-1)

    return network


def _run(vae: Orthonormal, row: dict, prediction: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Final latents (1, 12, CELLS, 3) and the picture; every latent of the first cell is 1, the last cell is cut."""
    space = LatentSpace(vae, torch.device("cpu"), masked=False)
    known = torch.ones(1, CHANNELS, CELLS, 3)
    picture = vae.decode(known / vae.config.scaling_factor + vae.config.shift_factor).sample
    keep = torch.ones(1, 1, SIDE * CELLS, SIDE * 3)
    keep[..., 2 * SIDE :] = 0
    entered = space.enter(picture * keep, keep)
    assert entered.keep[0, 0, 5].tolist() == [1, 0, 0]  # the neighbour of an unknown cell is unknown, too
    assert torch.allclose(entered.y[..., 0], known[..., 0], atol=1e-5)
    alpha_bar = linear_alpha_bar()
    kappa = 1.0 if row["alg"].startswith("repaint") else 0.0
    settings = RePaintSettings(kappa=kappa, variance=row.get("var", "large"), eta=None, clip=False)
    levels = schedule.uniform(row["T"], row["L"], row["n"])
    diffusion = Diffusion(alpha_bar, row["T"], prediction)
    *_, last = repaint(
        _network(alpha_bar, prediction), diffusion, levels, entered.y, entered.keep, Noise([3]), settings
    )
    return last.x, torch.einsum(
        "kc,bchw->bkhw", vae.turn, F.pixel_unshuffle(vae.decode(last.x / 0.5 + 0.25).sample, SIDE)
    )


ROW = next(row for row in ROWS if row["alg"].startswith("repaint") and (row["T"], row["n"]) == (50, 5))
OTHER = next(row for row in ROWS if not row["alg"].startswith(("repaint", "diffusers")) and row["eta"] == "L")


@pytest.mark.parametrize("row", [ROW, OTHER], ids=["kappa-1", "kappa-0"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "flow"])
def test_the_sampler_in_latent_space_is_exact(vae, row, prediction):
    """Mean and variance of the cell beside the known one within 4 standard errors of the recursion, as in pixels."""
    latents, pixels = _run(vae, row, prediction)
    for found in (latents[..., 1].double(), pixels[..., 1].double()):
        assert abs(found.mean().item() - row["mean"]) < 4 * math.sqrt(row["variance"] / SAMPLES)
        assert abs(found.var().item() - row["variance"]) < 4 * row["variance"] * math.sqrt(2 / SAMPLES)


def test_latents_go_out_as_they_came_in(vae):
    space = LatentSpace(vae, torch.device("cpu"), masked=False)
    picture = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(1)) * 2 - 1
    entered = space.enter(picture, torch.ones(1, 1, 8, 12))
    assert torch.allclose(space.leave(entered.y), picture, atol=1e-5)
    assert entered.keep.all()


def test_one_unknown_pixel_makes_its_cell_and_the_ring_around_it_unknown(vae):
    space = LatentSpace(vae, torch.device("cpu"), masked=False)
    keep = torch.ones(1, 1, 12, 12)
    keep[0, 0, 5, 6] = 0
    unknown = 1 - space.enter(torch.zeros(1, 3, 12, 12), keep).keep[0, 0]
    rows, columns = torch.nonzero(unknown, as_tuple=True)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (1, 3, 2, 4)
    assert unknown.sum() == 9


def test_the_hole_is_filled_smoothly_before_encoding(vae):
    """What lies in the hole does not matter, and the cells there come from the surroundings, not from black."""
    space = LatentSpace(vae, torch.device("cpu"), masked=False)
    picture, keep = torch.full((1, 3, 32, 32), 0.6), torch.ones(1, 1, 32, 32)
    keep[..., 8:24, 8:24] = 0
    filled = space.leave(space.enter(picture * keep - 0.9 * (1 - keep), keep).y)
    assert torch.allclose(filled, picture, atol=1e-4)


def test_an_inpainting_network_is_told_the_hole_and_the_masked_picture(vae):
    space = LatentSpace(vae, torch.device("cpu"), masked=True)
    picture, keep = torch.full((1, 3, 8, 8), 0.5), torch.ones(1, 1, 8, 8)
    keep[..., 2:4, 2:4] = 0
    beside = space.enter(picture * keep, keep).beside
    assert beside.shape == (1, 1 + CHANNELS, 4, 4)
    assert beside[0, 0].nonzero().tolist() == [[1, 1]]
    assert torch.allclose(space.leave(beside[:, 1:]), picture * keep, atol=1e-5)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_flow_times_and_alpha_bar_agree(shift):
    """x^f = (1 − t) x_0 + t ε is x_t over √ᾱ + √(1 − ᾱ); t runs as the shift says."""
    alpha_bar, t = flow_alpha_bar(1000, shift)
    assert t[499] == pytest.approx(shift * 0.5 / (1 + (shift - 1) * 0.5))
    gain = 1 / (np.sqrt(alpha_bar) + np.sqrt(1 - alpha_bar))
    assert np.allclose(gain * np.sqrt(alpha_bar), 1 - t, atol=1e-3)
    assert np.allclose(gain * np.sqrt(1 - alpha_bar), t, atol=1e-3)
    assert (np.diff(alpha_bar) < 0).all()


def test_flow_estimate_is_the_clean_picture():
    alpha_bar, t = flow_alpha_bar(1000, 3.0)
    diffusion = Diffusion(alpha_bar, 50, "flow")
    x0, noise = torch.randn(2, 1, 3, 4, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for level in (0, 20, 49):
        seen = []

        def network(x: torch.Tensor, timestep: int, seen: list = seen) -> torch.Tensor:
            seen.append((x, t[timestep]))
            return noise - x0

        estimate = diffusion.estimate(network, diffusion.noised(x0, level, noise), level, clip=False)
        ((x, time),) = seen
        assert torch.allclose(x, (1 - time) * x0 + time * noise, atol=2e-3)
        assert torch.allclose(estimate.x0_hat, x0, atol=1e-3)
        assert torch.allclose(estimate.epsilon, noise, atol=1e-3)


def test_terminal_snr_of_zero():
    """Lin et al. 2023: the first ᾱ stays, the last is (almost) 0; v then says x̂_0 = −v at pure noise."""
    alpha_bar = without_signal_at_the_end(linear_alpha_bar())
    assert alpha_bar[0] == pytest.approx(linear_alpha_bar()[0])
    assert 0 < alpha_bar[-1] < 1e-7
    diffusion = Diffusion(alpha_bar, 10, "v_prediction")
    estimate = diffusion.estimate(lambda x, _: torch.full_like(x, -0.25), torch.randn(1, 1, 2, 2), 9, clip=False)
    assert torch.allclose(estimate.x0_hat, torch.tensor(0.25), atol=1e-3)
