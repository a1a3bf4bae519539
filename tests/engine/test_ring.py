"""The colour of the ring: low frequencies that agree, detail that stays."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from engine import api
from engine.canvas import Box, Light
from engine.commands import cli
from engine.run import ring

SIDE, BOX = 160, (slice(50, 110), slice(40, 120))
SELECTION = np.zeros((SIDE, SIDE), np.uint8)
SELECTION[BOX] = 255


def _texture(brightness: float, seed: int = 1) -> np.ndarray:
    """(SIDE, SIDE, 4) uint8, noise that becomes lighter to the right."""
    shades = np.random.default_rng(seed).normal(0, 12, (SIDE, SIDE, 1)) + np.linspace(80, 150, SIDE)[None, :, None]
    colour = (shades * np.array([1, 0.9, 0.7]) * brightness).clip(0, 255)
    return np.concatenate([colour, np.full((SIDE, SIDE, 1), 255)], 2).astype(np.uint8)


def test_the_measure_is_ciede2000() -> None:
    from skimage.color import deltaE_ciede2000

    rng = np.random.default_rng(3)
    one, other = (rng.uniform((0, -90, -90), (100, 90, 90), (4000, 3)) for _ in range(2))
    one[:50, 1:] = 0
    assert np.allclose(ring.delta_e00(one, other), deltaE_ciede2000(one, other), atol=1e-6)
    assert ring.delta_e00(one, one).max() == 0


def test_a_fill_of_another_light_agrees_and_keeps_its_detail() -> None:
    image, place = _texture(1.0), Box(40, 50, 80, 60)
    fill = (_texture(0.7, 2)[BOX][..., :3] / np.float32(255)).astype(np.float32)
    made, (before, after) = ring.agreeing(fill, place, image, SELECTION, SELECTION == 0, Light())
    assert before > 6
    assert after < 1
    change = made - fill
    assert np.abs(np.diff(change, axis=0)).max() < 0.02, "what is added is smooth"
    assert np.abs(np.diff(change, axis=1)).max() < 0.02
    wanted = image[BOX][..., :3].mean() / 255
    assert made.mean() == pytest.approx(wanted, abs=0.02)


def test_where_nothing_around_is_known_nothing_changes() -> None:
    fill = np.full((60, 80, 3), 0.5, np.float32)
    none = np.zeros((SIDE, SIDE), bool)
    made, apart = ring.agreeing(fill, Box(40, 50, 80, 60), _texture(1.0), SELECTION, none, Light())
    assert np.array_equal(made, fill)
    assert apart == (0.0, 0.0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_source_of_another_light(dtype) -> None:
    unit = np.iinfo(dtype).max / 255 if np.dtype(dtype).kind == "u" else 1 / 255
    image, source = ((_texture(light, seed) * unit).astype(dtype) for light, seed in ((1.0, 1), (0.7, 2)))
    job = api.Job(image, SELECTION, seed=1, steps=6, jump_samples=1, source=source, ring=True)
    model = api.load_model("exemplar", "cpu")
    *_, last = api.run(job, model)
    before, after = last.ring
    assert before > 3
    assert after < before / 4
    most = 255 * unit
    assert last.layer()[BOX][..., :3].mean() / most == pytest.approx(image[BOX][..., :3].mean() / most, abs=0.02)


def test_it_is_off_unless_it_is_asked_for_and_told_on_the_command_line(tmp_path, capsys) -> None:
    for name, pixels in {"in": _texture(1.0)[..., :3], "dark": _texture(0.7, 2)[..., :3], "mask": SELECTION}.items():
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    run = ["inpaint", str(tmp_path / "in.png"), "-m", str(tmp_path / "mask.png"), "-o", str(tmp_path / "out.png")]
    run += ["--source", str(tmp_path / "dark.png"), "--steps", "6", "--jump-samples", "1", "--seed", "1", "--json"]
    assert cli.main(run) == 0
    assert "ring" not in json.loads(capsys.readouterr().out)["variants"][0]
    assert cli.main([*run, "--ring"]) == 0
    before, after = json.loads(capsys.readouterr().out)["variants"][0]["ring"]
    assert after < before / 4
    assert cli.main([*run[:-1], "--ring"]) == 0
    assert "colour difference at the edge: ΔE00" in capsys.readouterr().out
