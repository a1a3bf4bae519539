"""Extend and tile: what is kept, what is painted, as files and as arrays; bad input is one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bridge_server.client.editor import fields
from engine import api
from engine.canvas import extend, seam
from engine.commands import cli
from engine.errors import BadInput
from engine.files import imagefile

FAST = ["--model", "test/gaussian", "--steps", "4", "--jump-length", "4", "--jump-samples", "1", "--seed", "3"]


def _pixels(height, width, channels=3, dtype=np.uint8, seed=0):
    top = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, top, (height, width, channels), dtype=dtype, endpoint=True)


def _run(tmp_path: Path, command: str, pixels: np.ndarray, *more: str) -> np.ndarray:
    imagefile.write(tmp_path / "in.png", imagefile.Picture(pixels))
    arguments = [command, str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png"), *FAST, *more]
    assert cli.main(arguments) == 0
    return imagefile.read(tmp_path / "out.png").pixels


@pytest.mark.parametrize(
    ("channels", "dtype"), [(1, np.uint8), (2, np.uint8), (3, np.uint8), (4, np.uint8), (3, np.uint16), (1, np.uint16)]
)
def test_extension_keeps_every_pixel_of_every_kind_of_picture(tmp_path, channels, dtype):
    pixels = _pixels(50, 70, channels, dtype)
    if channels in (2, 4):
        pixels[..., -1] = np.iinfo(dtype).max
        pixels[10:20, 10:30, -1] = 0
    out = _run(tmp_path, "extend", pixels, "--left", "33", "--right", "7", "--top", "1", "--bottom", "40")
    assert out.shape == (91, 110, channels)
    assert out.dtype == dtype
    assert np.array_equal(out[1:51, 33:103], pixels)
    new = np.ones(out.shape[:2], bool)
    new[1:51, 33:103] = False
    if channels in (2, 4):
        assert (out[new][:, -1] == np.iinfo(dtype).max).all()
    assert out[new][:, 0].std() > 0


@pytest.mark.parametrize(("height", "width"), [(5, 5), (3, 400), (300, 2), (1, 1)])
def test_tiny_pictures_and_thin_strips_are_extended(tmp_path, height, width):
    pixels = _pixels(height, width)
    out = _run(tmp_path, "extend", pixels, "--right", str(2 * width), "--bottom", "1")
    assert out.shape == (height + 1, 3 * width, 3)
    assert np.array_equal(out[:height, :width], pixels)


def test_json_counts_the_calls_of_all_stages(tmp_path, capsys):
    _run(tmp_path, "extend", _pixels(64, 64), "--right", "96", "--json")
    assert json.loads(capsys.readouterr().out)["calls"] == 3 * 4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "which side"),
        (["--left", "0"], "which side"),
        (["--left", "-5"], "--left must be 0 to 240"),
        (["--top", "201"], "--top must be 0 to 200"),
        (["--right", "100000"], "--right must be"),
    ],
)
def test_absurd_extensions_are_one_sentence(tmp_path, capsys, arguments, says):
    imagefile.write(tmp_path / "in.png", imagefile.Picture(_pixels(50, 60)))
    command = ["extend", str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png"), *FAST, *arguments]
    assert cli.main(command) == 2
    err = capsys.readouterr().err
    assert says in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out.png").exists()


def test_an_extension_beyond_the_largest_picture_is_refused():
    with pytest.raises(BadInput, match="larger than 16384"):
        extend.extended(np.zeros((10, 9000, 1), np.uint8), right=9000)


def test_a_wholly_transparent_picture_has_nothing_to_continue():
    for framed in (lambda pixels: extend.extended(pixels, right=20), extend.tile):
        with pytest.raises(BadInput, match="transparent"):
            framed(np.full((64, 64, 4), 249, np.uint8))
        assert framed(np.full((64, 64, 4), 250, np.uint8)).selection.any()


@pytest.mark.parametrize("axis", ["both", "x", "y"])
@pytest.mark.parametrize(("channels", "dtype"), [(3, np.uint8), (1, np.uint16), (4, np.uint8)])
def test_only_the_band_of_a_tile_is_repainted(tmp_path, axis, channels, dtype):
    pixels = _pixels(90, 120, channels, dtype)
    out = _run(tmp_path, "tile", pixels, "--axis", axis, "--band", "20")
    assert out.shape == pixels.shape
    assert out.dtype == dtype
    rows = np.s_[10:-10] if axis in ("both", "y") else np.s_[:]
    columns = np.s_[10:-10] if axis in ("both", "x") else np.s_[:]
    assert np.array_equal(out[rows, columns], pixels[rows, columns])
    changed = (out != pixels).any(axis=2)
    assert changed[:, :10].mean() > 0.9 or axis == "y"
    assert changed[:10].mean() > 0.9 or axis == "x"


@pytest.mark.parametrize(("size", "kept"), [("64x48", (24, 32)), ("200x150", (70, 80)), ("90x90", (45, 45))])
def test_a_tile_can_have_another_size(tmp_path, size, kept):
    """The middle of the picture lies in the middle of the tile."""
    pixels = _pixels(70, 80)
    out = _run(tmp_path, "tile", pixels, "--size", size)
    width, height = map(int, size.split("x"))
    assert out.shape == (height, width, 3)
    y, x = (70 - kept[0]) // 2, (80 - kept[1]) // 2
    top, left = (height - kept[0]) // 2, (width - kept[1]) // 2
    same = out[top : top + kept[0], left : left + kept[1]] == pixels[y : y + kept[0], x : x + kept[1]]
    assert same.all()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--size", "big"], "must look like"),
        (["--size", "31x64"], "width of a tile"),
        (["--size", "64x2000"], "height of a tile"),
        (["--size", "64x50", "--axis", "x"], "height stays 60"),
        (["--size", "64x60", "--axis", "y"], "width stays 50"),
        (["--band", "0"], "band"),
        (["--band", "-4"], "band"),
    ],
)
def test_bad_tiles_are_one_sentence(tmp_path, capsys, arguments, says):
    imagefile.write(tmp_path / "in.png", imagefile.Picture(_pixels(60, 50)))
    assert cli.main(["tile", str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png"), *FAST, *arguments]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()


def test_a_picture_too_small_to_tile_is_refused():
    with pytest.raises(BadInput, match="must be 32 to"):
        extend.tile(_pixels(20, 100))
    assert extend.tile(_pixels(20, 100), "x").selection.any()


@pytest.mark.slow
def test_constant_colour_stays_that_colour_with_the_texture_model():
    """The real model, a few steps: no smudge of another brightness where there is nothing to see."""
    pixels = np.full((64, 48, 3), (120, 130, 110), np.uint8)
    framed = extend.extended(pixels, right=16)
    image = framed.rgba(np.dstack([framed.pixels, np.full(framed.selection.shape, 255, np.uint8)]))
    *_, last = api.run(
        api.Job(image, framed.selection, "texture", seed=1, steps=8, jump_samples=1), api.load_model("texture")
    )
    new = last.layer()[:, 48:, :3].astype(float)
    assert np.abs(new.mean(axis=(0, 1)) - pixels[0, 0]).max() < 45


@pytest.mark.slow
def test_the_texture_model_makes_a_tile_without_a_seam():
    rng = np.random.default_rng(0)
    noise = rng.normal(128, 30, (96, 96, 3))
    ramp = np.linspace(-60, 60, 96)[None, :, None]
    pixels = np.clip(noise + ramp, 0, 255).astype(np.uint8)
    framed = extend.tile(pixels, "x", band=48)
    image = framed.rgba(np.dstack([framed.pixels, np.full(framed.selection.shape, 255, np.uint8)]))
    job = api.Job(image, framed.selection, "texture", seed=1, steps=12, jump_samples=1, wrap="x")
    *_, last = api.run(job, api.load_model("texture"))
    painted = np.where(framed.selection[..., None] > 0, last.layer()[..., :3], framed.pixels)
    before, after = seam.tile_seam_jump(pixels, "x"), seam.tile_seam_jump(painted, "x")
    assert before > 1.8
    assert after < 1.4


def test_the_editors_begin_with_the_same_band():
    assert fields.FIELDS["tile_band"].default == extend.TILE_BAND
