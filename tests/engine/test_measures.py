"""The measures on pictures whose answer is known: identical texture, flat fill, noise, copies, steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.bench import measures, perceptual
from engine.errors import EngineError
from engine.run import figures

HOLE = np.s_[40:72, 40:72]


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    """A stationary texture: smoothed noise, 112²."""
    rng = np.random.default_rng(5)
    fine = rng.normal(size=(112, 112, 3))
    for axis in (0, 1):
        fine = sum(np.roll(fine, k, axis) for k in range(-2, 3)) / 5
    return np.clip(128 + fine / fine.std() * 40, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def hole() -> np.ndarray:
    new = np.zeros((112, 112), bool)
    new[HOLE] = True
    return new


def _with(texture, fill) -> np.ndarray:
    out = texture.copy()
    out[HOLE] = fill
    return out


def _scores(result, texture, hole) -> measures.Scores:
    return measures.Source(texture, hole).judge(result)


def test_honest_texture_scores_one(texture, hole):
    scores = _scores(texture, texture, hole)
    for ratio in (scores.seam_ratio, scores.far_ratio, scores.spread_ratio, scores.seam_jump):
        assert ratio == pytest.approx(1.0, abs=0.1)
    assert scores.copy_share == 0.0


def test_a_flat_fill_is_below_and_noise_above(texture, hole):
    flat = _scores(_with(texture, 128), texture, hole)
    assert flat.far_ratio < 0.8
    assert flat.seam_ratio < 0.95
    assert flat.spread_ratio < 0.05
    noise = np.random.default_rng(1).integers(0, 256, (32, 32, 3))
    rough = _scores(_with(texture, noise), texture, hole)
    assert rough.far_ratio > 1.5
    assert rough.seam_ratio > 1.2
    assert rough.spread_ratio > 1.3
    assert rough.seam_jump > 2


def test_a_copy_is_told_by_its_copy_share_and_far_ratio(texture, hole):
    scores = _scores(_with(texture, texture[4:36, 70:102]), texture, hole)
    assert scores.copy_share == 1.0
    assert scores.far_ratio < 0.05
    assert scores.spread_ratio == pytest.approx(1.0, abs=0.15)
    half = _with(texture, 128)
    half[40:72, 40:56] = texture[4:36, 70:86]
    assert 0 < _scores(half, texture, hole).copy_share < 0.5


def test_copy_share_allows_for_less_than_one_level(texture, hole):
    copied = texture[4:36, 70:102].astype(int)
    nearly = np.clip(copied + np.random.default_rng(0).choice([-1, 0, 0, 1], copied.shape), 0, 255)
    assert _scores(_with(texture, nearly), texture, hole).copy_share == 1.0
    assert _scores(_with(texture, np.clip(copied + 3, 0, 255)), texture, hole).copy_share == 0.0


def test_patch_distance_is_exact():
    rng = np.random.default_rng(0)
    asked, reference = rng.normal(size=(5, 12)) * 50, rng.normal(size=(20000, 12)) * 50
    slow = [np.sqrt(((reference - row) ** 2).mean(1).min()) for row in asked]
    got = measures.nearest_rms(torch.tensor(asked).float(), torch.tensor(reference).float())
    assert np.allclose(got.numpy(), slow, atol=1e-3)
    assert measures.patch_distance(torch.zeros(3, 12), torch.full((1, 12), 7.0)) == pytest.approx(7.0)


def test_only_known_pixels_are_the_source(texture, hole):
    """What lies under the hole must not help or hurt."""
    result = _with(texture, 128)
    other = _with(texture, 0)
    assert _scores(result, texture, hole) == _scores(result, other, hole)


def test_bands_of_patches(hole):
    assert figures.wholly_in(hole, 7).sum() == 26**2
    assert measures.across_border(hole, 7).sum() == 38**2 - 26**2
    assert measures.far_patches(hole).sum() == 26**2  # a hole of 32 lies wholly within 21 px of its middle
    strip = np.zeros((112, 112), bool)
    strip[:, 60:] = True
    far = measures.far_patches(strip)
    assert far.any(axis=0).nonzero()[0].tolist() == list(range(91, 109))
    thin = np.zeros((50, 50), bool)
    thin[20:22] = True
    assert not measures.far_patches(thin).any()


def test_thin_lines_have_no_far_ratio_and_no_copy_share(texture):
    lines = np.zeros((112, 112), bool)
    lines[40:72:8] = True
    scores = _scores(texture, texture, lines)
    assert scores.far_ratio is None
    assert scores.copy_share is None
    assert scores.seam_ratio == pytest.approx(1.0, abs=0.15)


def test_seam_jump_counts_the_border_only():
    """A ramp of slope 2 with a step of 20 at the border: 22 / 2."""
    columns = 2 * np.arange(100)[None, :, None] + np.zeros((100, 100, 3))
    new = np.zeros((100, 100), bool)
    new[:, 50:] = True
    picture = columns + 20 * new[..., None]
    assert measures.seam_jump(picture, new) == pytest.approx(11.0)
    assert measures.seam_jump(columns, new) == pytest.approx(1.0)


def test_control_compares_right_quarter_with_left(texture):
    known = np.ones((112, 112), bool)
    assert measures.control(texture, known) > 5
    tiled = np.tile(texture[:56, :28], (2, 4, 1))
    assert measures.control(tiled, known) == pytest.approx(0.0, abs=0.1)
    assert measures.control(texture, np.eye(112, dtype=bool)) is None


def test_spread_is_of_colours_not_of_their_mean():
    picture = np.zeros((10, 10, 3), np.uint8)
    picture[:5, :, 0] = 200
    assert measures.spread(picture, np.ones((10, 10), bool)) == pytest.approx(100 / 3**0.5)


def test_against_the_truth(texture, hole):
    assert measures.psnr(texture, texture, hole) == 99.0
    one_off = _with(texture, np.clip(texture[HOLE].astype(int) + 10, 0, 255))
    assert measures.psnr(one_off, texture, hole) == pytest.approx(20 * np.log10(255 / 10), abs=0.1)
    assert measures.ssim(texture, texture, hole) == pytest.approx(1.0)
    assert measures.ssim(_with(texture, 128), texture, hole) < 0.3
    black, white = np.zeros((20, 20, 3), np.uint8), np.full((20, 20, 3), 255, np.uint8)
    assert measures.delta_e(black, white).mean() == pytest.approx(100, abs=0.1)
    scores = measures.judge(_with(texture, 128), hole, texture, {})
    assert scores.delta_e_outside == 0.0
    assert scores.delta_e_inside > 3
    assert scores.st_lpips_alex is None


def test_rings_and_box(hole):
    inside, outside = measures.rings(hole, 4)
    assert inside.sum() == 32**2 - 24**2
    assert outside.sum() == 40**2 - 32**2
    assert not (inside & ~hole).any()
    assert not (outside & hole).any()
    assert np.zeros((112, 112))[measures.hole_box(hole)].shape == (64, 64)


def test_diversity_is_the_mean_over_pairs():
    pictures = [np.full((2, 2, 3), value) for value in (0, 1, 4)]

    def distance(a, b):
        return float(abs(a - b).mean())

    assert measures.diversity(pictures, distance) == pytest.approx((1 + 4 + 3) / 3)
    assert measures.diversity(pictures[:1], distance) is None


# ------------------------------------------------------------------------------------------------- ST-LPIPS

EXPECTED = {"alex": (0.3956291, 0.0368387), "vgg": (0.3002616, 0.0658442)}


def _figure(kind: int) -> np.ndarray:
    """(96, 96, 3) uint8, made by whole numbers only."""
    y, x = np.mgrid[:96, :96]
    planes = [x * x // (9 + kind) + y * (3 - kind), x * y // (16 - 5 * kind), (x ^ y) * (1 + kind)]
    return (np.stack(planes, axis=2) % 256).astype(np.uint8)


@pytest.fixture(scope="module", params=["alex", "vgg"])
def st_lpips(request) -> perceptual.StLpips:
    if not perceptual.available():
        pytest.skip("stlpips-pytorch is not installed")
    return perceptual.StLpips(request.param)


def test_st_lpips_gives_the_published_networks_numbers(st_lpips):
    """Values of the stlpips-pytorch 0.0.2 code itself, run once on the same pictures."""
    picture, other = _figure(0), _figure(1)
    expected = EXPECTED[st_lpips.backbone]
    assert st_lpips(picture, other) == pytest.approx(expected[0], rel=1e-4)
    assert st_lpips(picture, np.roll(picture, 2, axis=1)) == pytest.approx(expected[1], rel=1e-4)


def test_st_lpips_grows_with_damage_and_forgives_a_shift(st_lpips):
    picture = _figure(0)
    rng = np.random.default_rng(0)
    noisy = [np.clip(picture + rng.normal(0, s, picture.shape), 0, 255).astype(np.uint8) for s in (10, 60)]
    assert st_lpips(picture, picture) == 0
    assert 0 < st_lpips(picture, noisy[0]) < st_lpips(picture, noisy[1])
    assert st_lpips(picture, np.roll(picture, 1, axis=0)) < st_lpips(picture, noisy[1])
    assert st_lpips(picture[:20, :30], picture[:20, :30]) == 0  # small pictures are mirrored up


def test_weights_of_another_file_are_refused(st_lpips, monkeypatch, tmp_path):
    fake = tmp_path / "weights.pth"
    fake.write_bytes(b"not the published file")
    monkeypatch.setattr(perceptual, "_path", lambda _backbone: fake)
    with pytest.raises(EngineError, match="cannot be used"):
        perceptual.StLpips(st_lpips.backbone)
