"""Estimates held to their surroundings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine import api
from engine.bench.cases import FOLDER, read_picture
from engine.canvas import extend
from engine.canvas.smooth import smooth_fill
from engine.learning import adapt
from engine.learning.learned import Facts, Learned
from engine.sampling import anchor
from engine.sampling.anchor import Anchor

HIGH, LOW = 0.1, 0.9
"""ᾱ at which σ is 3 and 1/3."""


def _half_known(value: float, width: int = 96, height: int = 96) -> tuple[torch.Tensor, torch.Tensor]:
    """A flat picture whose right half is unknown."""
    y, keep = torch.full((1, 3, height, width), value), torch.ones(1, 1, height, width)
    keep[..., width // 2 :] = 0
    return y * keep, keep


def test_a_new_area_gets_the_colour_of_what_is_known_and_keeps_its_detail():
    y, keep = _half_known(0.4)
    detail = 0.2 * torch.cos(torch.pi * torch.arange(96)).expand(1, 3, 96, 96)
    held = Anchor.of(y, keep, 1.0)(detail - 0.5, HIGH)
    new, far = held[..., 48:], held[..., -12:]
    assert abs(float(far.mean()) - 0.4) < 0.02, "it was at −0.5"
    assert abs(float(new.mean()) - 0.4) < 0.1, "beside what is known, less: the network sees that itself"
    assert torch.allclose(far - far.mean(), detail[..., -12:], atol=0.02)
    change = new - (detail - 0.5)[..., 48:]
    assert float(change.diff(dim=-1).abs().max()) < 0.04, "smooth"


def test_what_is_known_and_little_noise_are_left_alone():
    y, keep = _half_known(0.4)
    estimate = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    held = Anchor.of(y, keep, 1.0)
    assert torch.equal(held(estimate, LOW), estimate)
    assert torch.equal(held(estimate, HIGH)[..., :48], estimate[..., :48])
    assert not torch.equal(held(estimate, HIGH)[..., 48:], estimate[..., 48:])
    assert torch.equal(Anchor.of(y, keep, 4.0)(estimate, HIGH), estimate), "σ is 3"


def test_a_smooth_continuation_is_a_fixed_point():
    picture = torch.from_numpy(read_picture(FOLDER / "pebbles.png")[:96, :80].astype(np.float32) / 127.5 - 1)
    y, keep = picture.permute(2, 0, 1)[None], torch.ones(1, 1, 96, 80)
    keep[..., 30:70, 25:60] = 0
    smooth = smooth_fill(picture.numpy(), keep[0, 0].numpy() > 0)
    estimate = torch.from_numpy(smooth).permute(2, 0, 1)[None]
    assert torch.allclose(Anchor.of(y * keep, keep, 1.0)(estimate, HIGH), estimate, atol=1e-5)


def test_a_picture_that_wraps_goes_on_with_its_other_side():
    """Known is dark on the left and bright on the right: between them, across the border, is the middle."""
    y, keep = torch.zeros(1, 3, 64, 96), torch.zeros(1, 1, 64, 96)
    y[..., 16:48], y[..., 48:80] = -0.6, 0.6
    keep[..., 16:80] = 1
    plain, ring = (
        Anchor.of(y, keep, 1.0, wraps)(torch.zeros(1, 3, 64, 96), HIGH) for wraps in ((False, False), (False, True))
    )
    assert float(plain[..., :4].mean()) < -0.4, "the left end goes on from the dark"
    assert float(plain[..., -4:].mean()) > 0.4
    assert abs(float(ring[..., :4].mean()) - float(ring[..., -4:].mean())) < 0.3, "the ends meet"
    tiny = Anchor.of(y[..., :20, :20], keep[..., :20, :20], 1.0, (True, True))
    assert tiny(y[..., :20, :20], HIGH).isfinite().all(), "smaller than the Gaussian"


def test_rows_are_held_for_themselves():
    known = torch.cat([_half_known(0.4)[0], _half_known(-0.3)[0]])
    keep = _half_known(0.4)[1]
    estimate = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    both = Anchor.of(known, keep, 1.0)(estimate, HIGH)
    for row in (0, 1):
        alone = Anchor.of(known[row : row + 1], keep, 1.0)(estimate[row : row + 1], HIGH)
        assert torch.allclose(alone, both[row : row + 1], atol=1e-6)


@pytest.fixture(scope="module")
def texture() -> api.Model:
    return api.load_model("texture", "cpu")


def _extension(seed: int = 3, **fields) -> api.Job:
    picture = read_picture(FOLDER / "straw.png")[:72, :72]
    frame = extend.extended(np.ascontiguousarray(picture), right=48)
    image = np.dstack([frame.pixels, 255 - frame.selection])
    return api.Job(image, frame.selection, "texture", seed=seed, **fields)


def _layer(job: api.Job, model: api.Model) -> np.ndarray:
    *_, last = api.run(job, model)
    assert isinstance(last, api.Finished)
    return last.layer()


def test_extensions_keep_the_colours_of_the_picture(texture):
    """By and large: 12 pixels blurred, against the smooth continuation, mean of two seeds."""
    off = {}
    for held in (True, False):
        model = texture if held else replace(texture, anchor=0.0)
        found = []
        for seed in (3, 4):
            job = _extension(seed, steps=6)
            known = job.selection == 0
            painted = np.where(known[..., None], job.image[..., :3], _layer(job, model)[..., :3])
            goal = smooth_fill(job.image[..., :3].astype(np.float32), known)
            pair = torch.from_numpy(np.stack([painted.astype(np.float32), goal])).permute(0, 3, 1, 2)
            rows, columns = (anchor._gaussian(length, False) for length in known.shape)
            drawn, wanted = rows @ pair @ columns.T
            found.append(float((drawn - wanted)[:, ~torch.from_numpy(known)].square().mean().sqrt()))
        off[held] = np.mean(found)
    assert off[True] < 0.4 * off[False], off


def test_only_the_fast_preset_holds_and_nothing_that_has_learned(texture):
    network = adapt.unet.read(texture.info)[2]
    weights = {name: tensor.half() for name, tensor in network.state_dict().items()}
    learned = adapt.with_learned(texture, Learned(weights, Facts(1, 1.0, 1.0, 1.0)))
    assert (texture.anchor, learned.anchor, api.load_model("exemplar").anchor) == (1.0, 0.0, 0.0)
    held = {name: texture.settings(preset.settings).anchored for name, preset in api.PRESETS.items() if "/" not in name}
    assert held == {"fast": True, "quality": False, "repaint": False}, "the reference is the paper's"


def test_variants_of_bands_are_single_runs(texture):
    """The second band of each is held to what that variant's first one painted."""
    picture = _extension(11, variants=2, steps=4)
    done = [event for event in api.run(picture, texture) if isinstance(event, api.Finished)]
    assert [event.seed for event in done] == [11, 12]
    alone = _layer(replace(picture, seed=12, variants=1), texture)
    assert np.array_equal(done[1].layer(), alone)


def test_nothing_known_is_nothing_to_hold_to(texture):
    image = np.zeros((64, 64, 4), np.uint8)
    layer = _layer(api.Job(image, np.full((64, 64), 255, np.uint8), "texture", seed=1, steps=4), texture)
    assert layer[..., :3].std() > 0
