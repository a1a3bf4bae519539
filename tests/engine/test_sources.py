"""Where the material comes from: fills that are made of another picture, or of a marked part of their own."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from engine import api
from engine.batch import spec
from engine.commands import cli
from engine.errors import BadInput
from engine.files import colour, imagefile
from engine.files.picture import Picture
from engine.run import states
from engine.tasks import material
from tests.engine.made_files import WIDE

SIDE = 96


def _noise(tint: tuple[int, int, int], side: int = SIDE, dtype: type = np.uint8) -> np.ndarray:
    """(side, side, 4) opaque, near one colour."""
    shades = np.random.default_rng(sum(tint)).integers(-30, 30, (side, side, 1)) + np.array(tint)
    rgba = np.concatenate([shades, np.full((side, side, 1), 255)], 2)
    most = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    return (rgba * (most / 255)).astype(dtype)


RED, GREEN = _noise((200, 60, 60)), _noise((60, 200, 60))
SMALL = np.zeros((SIDE, SIDE), np.uint8)
SMALL[40:56, 40:56] = 255
THIN = np.zeros((SIDE, SIDE), np.uint8)
THIN[8:88, 20:23] = THIN[8:88, 70:73] = 255


@pytest.fixture(scope="module")
def model() -> api.Model:
    return api.load_model("exemplar", "cpu")


def _job(source: np.ndarray | None, image: np.ndarray = RED, selection: np.ndarray = SMALL, **more) -> api.Job:
    return api.Job(image, selection, seed=1, steps=6, jump_samples=1, source=source, **more)


def _fill(job: api.Job, model: api.Model) -> np.ndarray:
    """(N, 3) float, the pixels that were painted, in the picture's unit."""
    *_, last = api.run(job, model)
    layer = last.layer()
    most = np.iinfo(layer.dtype).max if layer.dtype.kind == "u" else 1
    return layer[job.selection > 0][:, :3] / most


@pytest.mark.parametrize("selection", [SMALL, THIN], ids=["square", "scratches"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_fill_is_made_of_the_source_alone(model, selection, dtype):
    job = _job(_noise((60, 200, 60), 200, dtype), _noise((200, 60, 60), SIDE, dtype), selection)
    red, green, _ = _fill(job, model).T
    assert (green > red + 0.2).mean() > 0.95  # but for what is fitted to the border
    red, green, _ = _fill(replace(job, source=None), model).T
    assert (red > green + 0.2).all()


@pytest.mark.parametrize("more", [{}, {"source_share": 40}, {"ring": True}], ids=["alone", "share", "ring"])
@pytest.mark.parametrize("empty", [False, True], ids=["all selected", "nothing around"])
def test_where_nothing_is_known_all_is_made_of_the_source(model, empty, more):
    """As in a new, transparent layer."""
    image, selection = RED.copy(), np.full_like(SMALL, 255)
    if empty:
        image[..., 3], selection = 0, SMALL
    *_, last = api.run(_job(GREEN, image, selection, **more), model)
    last.figures()
    painted = last.layer()[selection > 0][:, :3] / 255
    assert np.allclose(painted.mean(0), GREEN[..., :3].mean((0, 1)) / 255, atol=0.03)
    assert painted.std(0).min() > 0.03


def test_a_picture_narrower_than_two_patches_takes_a_source(model):
    band = np.zeros((12, SIDE), np.uint8)
    band[:, 30:60] = 255
    red, green, _ = _fill(_job(GREEN, RED[:12], band), model).T
    assert (green > red + 0.2).mean() > 0.8


def test_only_opaque_pixels_of_the_source_are_used(model):
    both = np.concatenate([_noise((60, 60, 200), 200), _noise((60, 200, 60), 200)])
    both[:200, :, 3] = 0
    _, green, blue = _fill(_job(both), model).T
    assert (green > blue + 0.2).all()


@pytest.mark.parametrize("share", [25, 70])
def test_a_share_of_the_fill_comes_from_the_source_in_pieces(model, share):
    hole = np.zeros((160, 160), np.uint8)
    hole[40:120, 40:120] = 255
    job = _job(_noise((60, 200, 60), 120), _noise((200, 60, 60), 160), hole, source_share=share)
    red, green, _ = _fill(job, model).T
    of_source = (green > red).reshape(80, 80)
    assert of_source.mean() == pytest.approx(share / 100, abs=0.12)
    changes = np.mean(of_source[:, 1:] != of_source[:, :-1])
    assert changes < 0.1, "it is no salt and pepper"


RAMP = np.broadcast_to(np.linspace(0, 255, 160).round().astype(np.uint8), (160, 160)).copy()


def _mixed(model: api.Model, mask: np.ndarray | None, hole: np.ndarray | None = None, **more) -> np.ndarray:
    """(160, 160) bool: what came from the green source, in a red picture."""
    if hole is None:
        hole = np.zeros((160, 160), np.uint8)
        hole[40:120, 20:140] = 255
    job = _job(_noise((60, 200, 60), 120), _noise((200, 60, 60), 160), hole, share_mask=mask, **more)
    green = np.zeros((160, 160), bool)
    green[hole > 0] = np.subtract(*_fill(job, model).T[1::-1]) > 0
    return green


def test_a_mask_says_how_much_of_which(model):
    """From left to right the share of green rises as that of the ramp does; in pieces, not as salt and pepper."""
    found = _mixed(model, RAMP)[40:120, 20:140]
    thirds = [found[:, part].mean() for part in (slice(40), slice(40, 80), slice(80, 120))]
    wanted = [RAMP[0, 20 + part : 60 + part].mean() / 255 for part in (0, 40, 80)]
    print("thirds", np.round(thirds, 2), "wanted", np.round(wanted, 2))
    assert np.allclose(thirds, wanted, atol=0.15)
    assert thirds[0] < thirds[1] < thirds[2]
    assert np.mean(found[:, 1:] != found[:, :-1]) < 0.1


def test_black_and_white_of_a_mask_are_kept_to(model):
    mask = np.zeros((160, 160), np.uint8)
    mask[:, 80:] = 255
    found = _mixed(model, mask)[40:120, 20:140]
    assert not found[:, : 60 - 16].any()  # a patch of the octave where that is decided is 16 pixels wide here
    assert found[8:72, 60 + 16 : 112].mean() > 0.99  # but for what is fitted to the border


def test_a_mask_holds_along_scratches_too(model):
    """Far-apart places are painted side by side on another picture, and the mask with them."""
    hole = np.zeros((160, 160), np.uint8)
    hole[10:150, 30:34] = hole[10:150, 120:124] = 255
    found = _mixed(model, RAMP // 128 * 255, hole)
    assert not found[:, :80].any()
    assert found[10:150, 120:124].mean() > 0.8


def test_a_white_mask_is_the_share_alone(model):
    half = _mixed(model, np.full((160, 160), 255, np.uint8), source_share=40)
    assert np.array_equal(half, _mixed(model, None, source_share=40))
    ramp = _mixed(model, RAMP, source_share=40)
    assert 0 < ramp.sum() < half.sum()


@pytest.mark.parametrize(
    ("job", "says"),
    [
        (_job(None, share_mask=SMALL), "name a source"),
        (_job(GREEN, share_mask=SMALL[:-1]), "another size than the picture"),
        (_job(GREEN, share_mask=SMALL / 255), "another size than the picture"),
    ],
)
def test_masks_of_shares_that_cannot_be_used(model, job, says):
    with pytest.raises(BadInput, match=says) as error:
        next(api.run(job, model))
    assert error.value.sentence.count(". ") == 0


def test_all_targets_keep_to_their_material_at_finer_octaves(model):
    hole = np.zeros((160, 160), np.uint8)
    hole[40:120, 40:120] = 255
    job = _job(_noise((60, 200, 60), 120), _noise((200, 60, 60), 160), hole, source_share=50)
    kinds = []
    for event in api.run(job, model):
        if isinstance(event, api.Step):
            kept = event.keep()
            if kept.octave.matches is not None:
                kinds.append((kept.stage, kept.octave.matches[:, 0] >= 160))  # below the picture on the sheet
    last = [kind for stage, kind in kinds if stage == kinds[-1][0]]
    assert len(last) > 2
    assert 0.1 < last[0].mean() < 0.9
    assert all(np.array_equal(kind, last[0]) for kind in last)


@pytest.mark.parametrize("share", [0, 101, -5])
def test_a_share_is_a_percentage(model, share):
    with pytest.raises(BadInput, match="1 to 100 percent"):
        next(api.run(_job(GREEN, source_share=share), model))


@pytest.mark.parametrize("axis", ["x", "both"])
def test_a_tile_is_made_of_the_source(model, axis):
    band = np.zeros((SIDE, SIDE), np.uint8)
    band[:, :8] = band[:, -8:] = 255
    red, green, _ = _fill(_job(_noise((60, 200, 60), 200), RED, band, wrap=axis), model).T
    assert (green > red + 0.1).mean() > 0.95


def test_few_colours_are_those_of_both(model):
    page, ink = np.full((SIDE, SIDE, 4), 255, np.uint8), np.full((64, 64, 4), 255, np.uint8)
    page[::6, :, :3] = 0
    ink[::5, :, :3] = (0, 0, 255)
    found = _fill(_job(ink, page), model)
    assert {tuple(each) for each in (255 * found).astype(int)} <= {(255, 255, 255), (0, 0, 0), (0, 0, 255)}


def test_a_kept_state_brings_its_source(model, tmp_path):
    mask = np.where(np.arange(SIDE) < SIDE // 2, 0, 255).astype(np.uint8)
    job = _job(_noise((60, 200, 60), 200), share_mask=np.tile(mask, (SIDE, 1)))
    kept = None
    for event in api.run(job, model):
        if isinstance(event, api.Step) and kept is None and event.call > event.calls // 2:
            kept = event.keep()
        last = event
    states.save(kept, tmp_path / "state")
    again, _, _ = states.load(tmp_path / "state")
    assert np.array_equal(again.job.source, job.source)
    assert np.array_equal(again.job.share_mask, job.share_mask)
    *_, other = api.resume(again, model)
    assert np.array_equal(other.layer(), last.layer())


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (GREEN[:7], "smaller than a patch"),
        (GREEN[..., :3], "other channels or another depth"),
        (GREEN.astype(np.uint16), "other channels or another depth"),
        (GREEN * np.array([1, 1, 1, 0], np.uint8), "nothing of it is marked"),
        (np.zeros((1, 16385, 4), np.uint8), "up to 16384 pixels a side"),
        (np.where(np.arange(SIDE)[:, None, None] % 7, GREEN, GREEN * np.uint8(0)), "smaller than a patch"),
    ],
)
def test_sources_that_cannot_be_used(model, source, says):
    with pytest.raises(BadInput, match=says) as error:
        next(api.run(_job(source), model))
    assert error.value.sentence.count(". ") == 0


def test_networks_take_no_sources():
    with pytest.raises(BadInput, match="takes no sources"):
        next(api.run(_job(GREEN, model="test/gaussian"), api.load_model("test/gaussian", "cpu")))


# ------------------------------------------------------------------------------------------------ the command line


@pytest.fixture
def folder(tmp_path):
    for name, pixels in {"in": RED[..., :3], "green": GREEN[..., :3], "mask": SMALL, "none": 0 * SMALL}.items():
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    left = np.zeros((SIDE, SIDE), np.uint8)
    left[:, :40] = 255
    Image.fromarray(left).save(tmp_path / "left.png")
    Image.fromarray(255 - left).save(tmp_path / "right.png")
    halves = RED[..., :3].copy()
    halves[:, :40] = GREEN[:, :40, :3]
    Image.fromarray(halves).save(tmp_path / "halves.png")
    return tmp_path


def _inpaint(folder, *more: str, picture: str = "in.png", out: str = "out.png") -> int:
    given = [str(folder / each) if each.endswith((".png", ".tif")) else each for each in more]
    quick = ["--steps", "6", "--jump-samples", "1", "--seed", "3"]
    files = [str(folder / picture), "-m", str(folder / "mask.png"), "-o", str(folder / out)]
    return cli.main(["inpaint", *files, *quick, *given])


def _painted(folder, out: str = "out.png") -> np.ndarray:
    """(N, 3) float, in [0, 1]."""
    pixels = imagefile.read(folder / out).pixels
    return pixels[SMALL > 0] / (np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1)


@pytest.mark.parametrize(
    ("more", "green"),
    [
        (["--source", "green.png"], True),
        (["--source", "halves.png", "--source-mask", "left.png"], True),
        (["--source", "halves.png", "--source-mask", "left.png", "--invert-source-mask"], False),
        (["--source-mask", "left.png"], False),
        (["--source", "green.png", "--source-share", "1"], False),
        (["--source", "green.png", "--share-mask", "left.png"], False),
        (["--source", "green.png", "--share-mask", "right.png"], True),
    ],
)
def test_sources_of_files(folder, more, green):
    assert _inpaint(folder, *more) == 0
    assert ((_painted(folder)[:, 1] > 0.5) == green).mean() > 0.95


@pytest.mark.parametrize("invert", [[], ["--invert-source-mask"]])
def test_what_is_marked_in_the_picture_itself(folder, invert):
    assert _inpaint(folder, "--source-mask", "left.png", *invert, picture="halves.png") == 0
    assert ((_painted(folder)[:, 1] > 0.5) == (not invert)).mean() > 0.95


WIDE_GREEN = Picture(GREEN[..., :3], colour.rgb(2.2, WIDE))


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        (Picture(GREEN.astype(np.uint16) * 257), GREEN),
        (WIDE_GREEN, colour.as_srgb(WIDE_GREEN).rgba()),
        (colour.as_srgb(Picture(GREEN)), GREEN),
        (Picture(colour.convert(GREEN[..., :3] / np.float32(255), colour.srgb(), colour.rgb(1.0))), GREEN),
        (Picture(GREEN[..., 1:2]), GREEN[..., [1, 1, 1, 3]]),
    ],
    ids=["16 bits", "wide", "srgb", "linear floats", "gray"],
)
def test_sources_of_other_depths_and_colours_are_converted(folder, source, wanted):
    imagefile.write(folder / "other.tif", source)
    arguments = Namespace(image=None, source=folder / "other.tif", source_mask=None, invert_source_mask=False)
    for picture, levels in (Picture(RED), 255), (Picture(RED.astype(np.uint16) * 257), 65535):
        found = material.read(arguments, picture)
        assert found.dtype == picture.pixels.dtype
        assert np.abs(found / levels - wanted / 255).max() < 0.008


def test_extend_and_tile_take_sources(folder):
    fading = np.zeros((SIDE, SIDE + 32), np.uint8)
    fading[:, SIDE:] = 255
    Image.fromarray(fading).save(folder / "fading.png")
    mask = ["--share-mask", str(folder / "fading.png")]
    for task, *more in (["extend", "--right", "32"], ["extend", "--right", "32", *mask], ["tile", "--axis", "x"]):
        given = [str(folder / "in.png"), "-o", str(folder / "out.png"), "--source", str(folder / "green.png")]
        assert cli.main([task, *given, "--steps", "6", *more]) == 0
        assert np.median(imagefile.read(folder / "out.png").pixels[:, -8:, 1]) > 128


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--share-mask", "left.png"], "add --source PICTURE or --source-mask MASK"),
        (["--source", "green.png", "--share-mask", "small.png"], "small.png is 7 × 7 pixels but the result is 96 × 96"),
        (["--source", "green.png", "--share-mask", "text.png"], "text.png"),
        (["--invert-source-mask"], "add --source-mask"),
        (["--source", "none-there.png"], "none-there.png"),
        (["--source", "text.png"], "text.png"),
        (["--source-mask", "text.png"], "text.png"),
        (["--source-mask", "none.png"], "nothing of it is marked"),
        (["--source-mask", "mask.png"], "entirely inside the selection"),
        (["--source-mask", "small.png"], "make both the same size"),
        (["--source", "small.png"], "smaller than a patch"),
        (["--source", "pages.tif"], "several pages"),
        (["--source", "green.png", "--model", "test/gaussian"], "takes no sources"),
    ],
)
def test_bad_sources_are_one_sentence(folder, capsys, more, says):
    (folder / "text.png").write_text("no picture")
    Image.fromarray(GREEN[:7, :7, :3]).save(folder / "small.png")
    imagefile.write(folder / "pages.tif", Picture(GREEN), Picture(GREEN))
    assert _inpaint(folder, *more) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert says in said
    assert len(said.splitlines()) == 1
    assert not (folder / "out.png").exists()


def test_a_batch_takes_sources_by_place_and_knows_them_by_content(folder, capsys):
    job = {"picture": "in.png", "mask": "mask.png", "source": "green.png", "output": "out.png", "steps": 6}
    (folder / "jobs.jsonl").write_text(json.dumps(job | {"jump_samples": 1}))
    run = ["batch", str(folder / "jobs.jsonl"), "-o", str(folder / "made"), "--workers", "1"]
    assert cli.main(run) == 0, capsys.readouterr()
    assert (_painted(folder / "made")[:, 1] > 0.5).mean() > 0.95
    options = {"source": str(folder / "green.png")}
    given = spec.Spec(0, "inpaint", str(folder / "in.png"), str(folder / "mask.png"), "out.png", 1, options)
    before = spec.key(given)
    Image.fromarray(GREEN[::-1, :, :3]).save(folder / "green.png")
    assert spec.key(given) != before
