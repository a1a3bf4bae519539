"""Tiles by latent models: the autoencoder and the windows reach over the borders, and no seam is left."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from engine import api, canvas
from engine.canvas import extend
from engine.commands import cli
from engine.sampling import windowed
from tests.engine.latent_help import QUICK, image, toy
from tests.engine.toys import FOLDER, kinds

BOTH = (True, True)


def _job(model: api.Model, pixels: np.ndarray, axis: str, band: int = 48, **more) -> tuple[api.Job, extend.Framed]:
    framed = extend.tile(pixels, axis, band=band)
    rgba = framed.rgba(np.dstack([framed.pixels, np.full(framed.selection.shape, 255, np.uint8)]))
    values = {"seed": 1} | QUICK | more
    return api.Job(rgba, framed.selection, model=model.info.id, wrap=axis, **values), framed


def _tile(pixels: np.ndarray, axis: str, **more) -> tuple[np.ndarray, np.ndarray]:
    """The finished tile and its selection."""
    job, framed = _job(toy(), pixels, axis, **more)
    *_, event = api.run(job, toy())
    return canvas.composite(framed.pixels, framed.selection, event.fill, event.region), framed.selection


def test_decoding_does_not_know_where_a_tile_begins():
    """Latents rolled by any number of cells give the picture rolled by as much; without wrapping they do not."""
    space = toy().space
    x = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))

    def error(wraps, rows, columns):
        rolled = space.leave(torch.roll(x, (rows, columns), (2, 3)), wraps=wraps)
        return (torch.roll(rolled, (-8 * rows, -8 * columns), (2, 3)) - space.leave(x, wraps=wraps)).abs().mean()

    for rows, columns in ((8, 8), (3, 5)):
        assert error(BOTH, rows, columns) < 0.003
        assert error((False, False), rows, columns) > 0.01
    glance = space.glance(x, BOTH)
    assert torch.allclose(torch.roll(space.glance(torch.roll(x, 5, 3), BOTH), -40, 3), glance, atol=1e-4)


def test_encoding_does_not_know_where_a_tile_begins():
    """Of a picture that is known and one with a hole across the border: its fill, its cells and what is unknown."""
    space = toy().space
    cells = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    picture, keep = space.leave(cells, wraps=BOTH), torch.ones(1, 1, 128, 128)
    keep[..., :12] = keep[..., -12:] = 0
    entered = space.enter(picture * keep, keep, BOTH)
    rolled = space.enter(torch.roll(picture * keep, 64, 3), torch.roll(keep, 64, 3), BOTH)
    assert torch.equal(torch.roll(rolled.keep, -8, 3), entered.keep)
    assert entered.keep[0, 0, 0].tolist() == [0] * 3 + [1] * 10 + [0] * 3
    assert (torch.roll(rolled.y, -8, 3) - entered.y).abs().mean() < 0.02
    plain = space.enter(picture * keep, keep)
    assert (plain.y - entered.y).abs()[..., [0, -1]].mean() > 0.04


@pytest.mark.slow
@pytest.mark.parametrize("axis", ["both", "x"])
def test_the_borders_meet_as_any_other_cells_do(axis):
    """The jump across the borders against that along the next borders of cells: the toy's decoder shows each of them.

    As the pictures come, rolled by half, the borders stand out several times over.
    """
    along = {"both": (0, 1), "x": (1,)}[axis]
    before, after = [], []
    for seed in (0, 2, 4, 7, 8, 9):
        pixels = image(seed)[..., :3]
        painted, selection = _tile(pixels, axis, steps=12, jump_length=4)
        assert np.array_equal(painted[selection == 0], pixels[selection == 0])
        before.append(_jump(pixels, along))
        after.append(_jump(painted, along))
    assert np.median(before) > 3
    assert np.median(after) <= 1.1


def _jump(picture: np.ndarray, along: tuple[int, ...]) -> float:
    across, beside = [], []
    for axis in along:
        jump = np.abs(np.roll(picture.astype(float), -1, axis) - picture).mean(axis=(1 - axis, 2))
        across.append(jump[-1])
        beside += [jump[k] for cells in (8, 16) for k in (cells - 1, -cells - 1)]
    return float(np.mean(across) / max(np.mean(beside), 0.5))


@pytest.mark.parametrize(("size", "axis"), [((131, 77), "both"), ((300, 200), "both"), ((90, 260), "x")])
def test_any_size_and_the_middle_bit_for_bit(size, axis):
    """Sides that are no multiples of a cell, and larger than the model's own: windows that wrap."""
    seen = []

    def predict(x, timestep, words):
        seen.append(tuple(x.shape[2:]))
        return toy().predict(x, timestep, words)

    pixels = np.ascontiguousarray(image(2, 320)[: size[1], : size[0], :3])
    model = replace(toy(), predict=predict)
    job, framed = _job(model, pixels, axis, band=24, steps=3)
    *_, event = api.run(job, model)
    painted = canvas.composite(framed.pixels, framed.selection, event.fill, event.region)
    assert painted.shape == pixels.shape
    assert np.array_equal(painted[framed.selection == 0], pixels[framed.selection == 0])
    assert max(max(shape) for shape in seen) <= 16


@pytest.mark.parametrize(("height", "width"), [(128, 128), (200, 96), (40, 520), (24, 24)])
def test_windows_over_a_ring_of_cells_are_exact_for_a_pointwise_network(height, width):
    """They lie on whole cells, and each unknown cell is under one of them, or under several."""
    selection = np.full((height, width), 255, np.uint8)
    selection[8:-8, 8:-8] = 0
    plan = canvas.plan(selection, toy().geometry, wraps=(True, True))
    assert all(length % 8 == 0 for length in plan.size)
    assert all(part % 8 == 0 for box in plan.windows for part in (box.x, box.y, box.width, box.height))
    cells = plan.cells(8)
    x = torch.randn(1, 4, *cells.size, generator=torch.Generator().manual_seed(0))
    fused = windowed(lambda part, _: 2 * part - 1, cells)(x, 500)
    unknown = canvas.model_input(
        np.dstack([np.zeros((height, width, 3), np.uint8), 255 - selection]), selection, plan, canvas.Light()
    )
    hole = torch.nn.functional.max_pool2d(1 - unknown[1], 8) > 0
    assert torch.allclose(fused[hole.expand_as(fused)], (2 * x - 1)[hole.expand_as(x)], atol=1e-5)


def test_a_tile_at_another_scale_still_meets():
    """What is painted at a smaller scale is enlarged as if it were repeated."""
    fill = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
    selection = np.full((200, 200), 255, np.uint8)
    plan = canvas.plan(selection, toy().geometry, wanted_scale=0.32, wraps=(True, True))
    assert plan.size == (64, 64)
    repeated = np.tile((fill.permute(1, 2, 0).numpy() + 1) / 2, (3, 3, 1))
    expected = cv2.resize(repeated, (600, 600), interpolation=cv2.INTER_CUBIC)[200:400, 200:400].clip(0, 1)
    assert np.abs(canvas.picture_fill(fill, plan, canvas.Light()) - expected).max() < 0.03


def test_a_tile_goes_on_from_a_state_bit_for_bit():
    job, _ = _job(toy(), image(3)[..., :3], "both", prompt="a red circle", guidance=3.0)
    events = list(api.run(job, toy()))
    middle = next(event for event in events if isinstance(event, api.Step) and event.call == 3).keep()
    *_, resumed = api.resume(middle, toy())
    assert np.array_equal(resumed.layer(), events[-1].layer())


def test_a_model_for_inpainting_makes_tiles_too(tmp_path):
    model = api.load_model(str(kinds.write("inpaint", tmp_path / "inpaint")), "cpu")
    job, _ = _job(model, image(3)[..., :3], "both")
    *_, event = api.run(job, model)
    assert np.isfinite(event.fill).all()


def test_the_command_line_makes_one(tmp_path):
    Image.fromarray(image(1)[:, :100]).save(tmp_path / "in.png")
    quick = ["--steps", "3", "--jump-length", "3", "--jump-samples", "1", "--band", "16"]
    files = [str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png")]
    assert cli.main(["tile", *files, "--model", str(FOLDER), "--device", "cpu", *quick]) == 0
    before, after = (np.asarray(Image.open(tmp_path / name)) for name in ("in.png", "out.png"))
    assert np.array_equal(before[8:-8, 8:-8], after[8:-8, 8:-8])
    assert not np.array_equal(before[:, -8:], after[:, -8:])
