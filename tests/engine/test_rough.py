"""How rough the picture is, told to the coarser octaves behind its colours."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine import api
from engine.exemplar import matching, texture
from tests.engine.patterns import boxed

NO_WRAP = (False, False)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model() -> api.Model:
    return api.load_model("exemplar", "cpu")


def test_texture_is_told_where_colours_are_alike():
    rng = np.random.default_rng(2)
    pixels = np.zeros((96, 128, 3), np.float32)
    pixels[:, :64] = rng.choice([-0.2, 0.2], (96, 64, 1))  # slopes of 0 or .4, in the mean .2
    known = np.ones((96, 128), bool)
    known[30:60, 20:50] = False
    pixels[~known] = 0.9
    made = texture.features(pixels, known, NO_WRAP, (48, 64), 4)
    rough = texture.WEIGHT * (math.sqrt(0.2 + texture.NOISE) - math.sqrt(texture.NOISE))
    asked = texture.LIMIT * math.tanh(rough / texture.LIMIT)
    assert np.allclose(made[:, :24], asked, rtol=0.15), "beside what is unknown and at the border, too"
    assert not made[:, 48:].any()
    stripes = np.zeros((32, 64, 3), np.float32)
    stripes[::2] = 0.5
    along_y, along_x = texture.features(stripes, np.ones((32, 64), bool), (True, False), (16, 32), 1).transpose(2, 0, 1)
    assert along_y.min() == pytest.approx(along_y.max(), rel=1e-4)
    assert along_y.min() > 0.9 * texture.LIMIT
    assert not along_x.any()
    assert not texture.features(pixels, np.zeros_like(known), NO_WRAP, (48, 64), 4).any()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_hole_in_rough_ground_stays_rough_beside_flat_ground_of_its_colour(model, seed):
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, (560, 900)).astype(np.float32), (0, 0), 1)
    gray = np.full((560, 900), 128.0)
    gray[:, :600] += 40 * (noise / noise.std())[:, :600]
    image = np.dstack([gray.clip(0, 255).astype(np.uint8)] * 3 + [np.full(gray.shape, 255, np.uint8)])
    *_, done = api.run(api.Job(image, boxed(gray.shape, 180, 200, 200, 240), "exemplar", seed=seed), model)
    cells = done.layer()[180:380, 200:440, 0].astype(float).reshape(25, 8, 30, 8).std((1, 3))
    assert (cells < 20).mean() < 0.15, "of 8 px; without texture nine in ten are flat"


def test_set_up_compiles_the_loop_for_texture():
    """In a process of its own: whatever was compiled before it is not there."""
    if not matching.HAS_NUMBA:
        pytest.skip("numba is not installed")
    code = (
        "import torch; from engine.exemplar import matching_numba as loops, octave_run\n"
        "octave_run.warm_up(torch.device('cpu'))\n"
        "assert all(loop.signatures for loop in (*loops._LOOPS.values(), loops._of_any))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
