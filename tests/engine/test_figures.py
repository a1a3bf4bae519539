"""The figures that a run reports of its variants."""

from __future__ import annotations

import numpy as np
import pytest

from engine import api
from engine.run import figures


def texture(height: int = 160, width: int = 200) -> np.ndarray:
    """(H, W, 3) uint8: noise with some correlation."""
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 40, (height, width, 3))
    return (128 + noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1)).clip(0, 255).astype(np.uint8)


def hole(height: int = 160, width: int = 200) -> np.ndarray:
    new = np.zeros((height, width), bool)
    new[60:100, 70:130] = True
    return new


def test_the_truth_joins_and_flaws_are_told() -> None:
    picture, new = texture(), hole()
    assert figures.seam_jump(picture, new) == pytest.approx(1, abs=0.15)
    assert figures.grain(picture, new) == pytest.approx(1, abs=0.1)
    flat = picture.copy()
    flat[new] = 128
    assert figures.grain(flat, new) < 0.05
    brighter = np.where(new[..., None], picture.astype(int) + 90, picture).clip(0, 255).astype(np.uint8)
    assert figures.seam_jump(brighter, new) > 1.2


def test_what_has_no_colour_is_no_edge() -> None:
    """A black transparent strip along the hole."""
    picture, new = texture(), hole()
    usable = np.ones_like(new)
    usable[:, 60:70] = False
    picture[~usable] = 0
    assert figures.seam_jump(picture, new, usable) == pytest.approx(1, abs=0.15)
    assert figures.seam_jump(picture, new) > 1.15


@pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
def test_copies_are_counted(part: float) -> None:
    picture, new = texture(), hole()
    width = round(60 * part)
    picture[60:100, 70 : 70 + width] = picture[5:45, 100 : 100 + width]
    found = figures.copied(picture, new, ~new, 32)
    assert found == pytest.approx(part, abs=0.25)
    assert (found == part) or part == 0.5


@pytest.mark.parametrize(("new", "known"), [("thin", "all"), ("hole", "none")])
def test_no_figure_where_there_is_no_meaning(new: str, known: str) -> None:
    picture, where = texture(), hole()
    if new == "thin":
        where = np.zeros_like(where)
        where[80:84, :] = True
    source = ~where if known == "all" else np.zeros_like(where)
    assert figures.copied(picture, where, source, 8) is None
    assert figures.grain(picture, where, source) is None


def figures_of(image: np.ndarray, selection: np.ndarray, **options: object) -> figures.Figures:
    job = api.Job(image=image, selection=selection, model="exemplar", seed=2, steps=4, **options)  # type: ignore[arg-type]
    last = list(api.run(job, api.load_model("exemplar", "cpu")))[-1]
    assert isinstance(last, api.Finished)
    return last.figures()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_finished_variant_tells_them(dtype: str) -> None:
    """In every depth about the same; a fill of the picture's own patches joins."""
    colour = np.dstack([texture(96, 96), np.full((96, 96), 255, np.uint8)])
    scale = {"uint8": 1, "uint16": 257, "float32": 1 / 255}[dtype]
    selection = np.zeros((96, 96), np.uint8)
    selection[34:66, 34:66] = 255
    found = figures_of((colour.astype(float) * scale).astype(dtype), selection)
    assert found.seam is not None
    assert 0.5 < found.seam < 1.5
    assert found.grain is not None
    assert 0.4 < found.grain < 1.6
    assert found.new is not None
    assert 0 <= found.new <= 1


def test_far_apart_spots_have_figures() -> None:
    """Nothing is painted in the middle of the box around them."""
    image = np.full((2400, 2400, 4), 255, np.uint8)
    image[..., :3] = np.tile(texture(100, 100), (24, 24, 1))
    selection = np.zeros((2400, 2400), np.uint8)
    for place in (40, 2300):
        selection[place : place + 24, place : place + 24] = 255
    found = figures_of(image, selection)
    assert found.seam is not None
    assert found.grain is not None


def test_of_a_tile_the_seam_between_its_borders_counts() -> None:
    image = np.dstack([texture(96, 96), np.full((96, 96), 255, np.uint8)])
    selection = np.zeros((96, 96), np.uint8)
    selection[:, :8] = selection[:, -8:] = 255
    found = figures_of(image, selection, wrap="x")
    assert found.seam is not None
    assert 0.5 < found.seam < 2


def test_large_fills_take_no_longer() -> None:
    """Of four megapixels that are nearly all new a few windows are looked at."""
    new = np.zeros((2048, 2048), bool)
    new[50:-50, 50:-50] = True
    cuts = list(figures.windows(new))
    assert len(cuts) == figures.WINDOWS
    for cut in cuts:
        assert new[cut].shape == (512, 512)
        assert 0 < new[cut].mean() < 1
