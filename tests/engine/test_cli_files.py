"""The command line and files: depth, pages, colours, alpha, palettes, streams; what is checked before a run, and what
is said when one is cut short."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.canvas import OPAQUE
from engine.commands import cli
from engine.files import colour, imagefile
from engine.files.picture import Picture, associate
from tests.engine import made_files
from tests.engine.made_files import WIDE, XMP

SIZE = (64, 80)
QUICK = ["--model", "test/gaussian", "--steps", "4", "--jump-length", "1", "--jump-samples", "1", "--seed", "3"]


def _noise(channels: int, dtype: type = np.uint8, share: float = 1.0) -> np.ndarray:
    generator = np.random.default_rng(channels)
    values = generator.random((*SIZE, channels)) * share
    if channels in (2, 4):
        values[..., -1] = 1
    most = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    return (values * most).astype(dtype)


@pytest.fixture
def mask(tmp_path) -> Path:
    selection = np.zeros(SIZE, np.uint8)
    selection[20:40, 30:50] = 255
    selection[40:44, 30:50] = 128
    Image.fromarray(selection).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


def _inpaint(mask: Path, source: Path, out: Path, *more: str) -> int:
    return cli.main(["inpaint", str(source), "--mask", str(mask), "-o", str(out), *QUICK, *more])


def _made(mask: Path, picture: Picture, suffix: str, out: str, *more: str) -> Picture:
    """The result of a run on a picture in such a file; checks that it changed inside the selection alone."""
    source = mask.with_name(f"in{suffix}")
    imagefile.write(source, picture)
    assert _inpaint(mask, source, mask.with_name(out), *more) == 0
    got, before = imagefile.read(mask.with_name(out)), imagefile.read(source)
    if got.icc_profile == before.icc_profile:
        selection = np.asarray(Image.open(mask))
        assert np.array_equal(got.rgba()[selection == 0], before.rgba()[selection == 0])
        assert not np.array_equal(got.rgba()[selection == 255], before.rgba()[selection == 255])
    return got


@pytest.mark.parametrize(
    ("dtype", "bits", "suffix"),
    [(np.uint16, None, ".png"), (np.uint16, None, ".tif"), (np.float32, None, ".tif"), (np.float32, 16, ".exr")],
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_fill_has_the_depth_of_the_picture(mask, channels, dtype, bits, suffix):
    pixels = _noise(channels, dtype)
    if bits == 16:
        pixels = pixels.astype(np.float16).astype(np.float32)
    got = _made(mask, Picture(pixels, dpi=(300.0, 299.5), exif=None, xmp=XMP, bits=bits), suffix, f"out{suffix}")
    assert (got.pixels.dtype, got.bits, got.pixels.shape) == (dtype, bits, pixels.shape)
    assert got.dpi == pytest.approx((300, 299.5), abs=0.05)
    inside = got.pixels[22:38, 32:48, 0]
    levels = inside % 257 if dtype == np.uint16 else inside * 255 % 1
    assert len(np.unique(levels)) > 40


def test_wide_and_linear_profiles_survive(mask):
    for profile in (colour.rgb(2.2, WIDE), colour.rgb(1.0, WIDE)):
        for dtype in (np.uint8, np.uint16):
            got = _made(mask, Picture(_noise(3, dtype), profile), ".tif", "out.png")
            assert got.icc_profile == profile


def test_conversion_to_srgb_on_the_way(mask):
    picture = Picture(_noise(3, np.uint16), colour.rgb(2.2, WIDE))
    got = _made(mask, picture, ".png", "out.png", "--profile", "srgb")
    assert colour.is_srgb(got.icc_profile)
    outside = np.asarray(Image.open(mask)) == 0
    assert np.array_equal(got.pixels[outside], colour.as_srgb(picture).pixels[outside])


def test_what_a_file_cannot_hold_is_said_before_the_run(mask, capsys):
    source = mask.with_name("in.tif")
    for picture, out, says in (
        (Picture(_noise(3, np.uint16)), "out.webp", "16 bits per channel, which WebP cannot hold"),
        (Picture(_noise(3, np.float32)), "out.png", "32 bits per channel, which PNG cannot hold"),
        (Picture(_noise(3), colour.rgb(2.2, WIDE)), "out.bmp", "--profile srgb"),
        (Picture(_noise(4)), "out.ppm", "cannot hold transparency"),
        (Picture(_noise(3)), "out.exr", "linear light"),
        (Picture(_noise(3)), "out.psd", "Photoshop's documents are read, but not written"),
        (Picture(_noise(3)), "out.ora", "OpenRaster's documents are read, but not written"),
        (Picture(_noise(3)), "out.kra", "Krita's documents are read, but not written"),
    ):
        imagefile.write(source, picture)
        assert _inpaint(mask, source, mask.with_name(out)) == 2
        assert says in capsys.readouterr().err
        assert not mask.with_name(out).exists()


def test_soft_holes_are_closed_where_asked(mask, capsys):
    alpha = np.asarray(Image.open(mask))
    pixels = np.dstack([_noise(3), 255 - alpha])
    assert _made(mask, Picture(pixels), ".png", "out.png").pixels[..., 3].min() == 255
    assert "--alpha opaque" not in capsys.readouterr().err
    pixels[..., 3] //= 2
    got = _made(mask, Picture(pixels), ".png", "out.png").pixels[..., 3]
    assert got[alpha > 0].min() < OPAQUE
    assert "--alpha opaque" in capsys.readouterr().err
    opaque = _made(mask, Picture(pixels), ".png", "out.png", "--alpha", "opaque").pixels[..., 3]
    assert (opaque[alpha > 0] == 255).all()


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_associated_alpha(mask, suffix):
    pixels = _noise(4, np.uint16)
    pixels[:10, :10, 3] = 30000
    got = _made(mask, Picture(associate(pixels), associated=True), ".tif", f"out{suffix}")
    assert got.associated == (suffix == ".tif")
    assert np.abs(got.rgba()[:10, :10].astype(int) - pixels[:10, :10]).max() <= 2


def test_a_picture_that_is_see_through_everywhere(mask):
    pixels = _noise(4, np.uint16)
    pixels[..., 3] = np.linspace(9000, 60000, SIZE[1])
    got = _made(mask, Picture(associate(pixels), associated=True), ".tif", "out.tif", "--model", "exemplar")
    assert got.associated
    inside = got.rgba()[22:38, 32:48, :3] / 65535
    assert abs(inside.mean() - 0.5) < 0.1


def test_few_colours_stay_few(mask):
    lines = Image.fromarray((_noise(1)[..., 0] > 127).astype(np.uint8) * 255).convert("1")
    lines.save(mask.with_name("in.png"))
    assert _inpaint(mask, mask.with_name("in.png"), mask.with_name("out.png")) == 0
    assert Image.open(mask.with_name("out.png")).mode == "1"
    assert _inpaint(mask, mask.with_name("in.png"), mask.with_name("out.png"), "--palette", "free") == 0
    assert Image.open(mask.with_name("out.png")).mode == "L"
    indexed = Image.fromarray(_noise(3)).quantize(200)
    indexed.save(mask.with_name("in.gif"))
    for out, mode in (("out.gif", "P"), ("out.png", "RGB")):
        assert _inpaint(mask, mask.with_name("in.gif"), mask.with_name(out)) == 0
        assert Image.open(mask.with_name(out)).mode == mode
    assert _inpaint(mask, mask.with_name("in.gif"), mask.with_name("out.png"), "--palette", "keep") == 0
    assert Image.open(mask.with_name("out.png")).mode == "P"


def test_gif_is_never_reduced_without_a_word(mask, capsys):
    source, out = mask.with_name("in.png"), mask.with_name("out.gif")
    for pixels in (_noise(1) // 20 * 20, _noise(2) // 64 * 85, _noise(3) // 64 * 85):
        imagefile.write(source, Picture(pixels))
        assert _inpaint(mask, source, out) == 0
        got, outside = imagefile.read(out).rgba(), np.asarray(Image.open(mask)) == 0
        assert np.array_equal(got[outside], Picture(pixels).rgba()[outside])
        assert len(np.unique(got.reshape(-1, 4), axis=0)) <= 256
    assert _inpaint(mask, source, out, "--palette", "free") == 2
    imagefile.write(source, Picture(_noise(3)))
    assert _inpaint(mask, source, out) == 2
    assert capsys.readouterr().err.count("GIF holds at most 256 colours") == 2


def test_pages_are_asked_for_and_all_can_be_treated(mask, capsys):
    source, out = mask.with_name("in.tif"), mask.with_name("out.tif")
    pages = [Picture(_noise(3)), Picture(_noise(1, np.uint16))]
    imagefile.write(source, *pages)
    assert _inpaint(mask, source, out) == 2
    assert "in.tif has 2 pages; add --page 1" in capsys.readouterr().err
    for wrong in ("0", "3", "x"):
        assert _inpaint(mask, source, out, "--page", wrong) == 2
    assert _inpaint(mask, source, out, "--page", "2") == 0
    assert (imagefile.look(out).pages, imagefile.read(out).pixels.dtype) == (1, np.uint16)
    assert _inpaint(mask, source, out, "--page", "all", "--variants", "2") == 0
    outside = np.asarray(Image.open(mask)) == 0
    for name in ("out-1.tif", "out-2.tif"):
        assert imagefile.look(mask.with_name(name)).pages == 2
        for number, page in enumerate(pages):
            got = imagefile.read(mask.with_name(name), number).pixels
            assert np.array_equal(got[outside], page.pixels[outside])
            assert not np.array_equal(got, page.pixels)
    assert _inpaint(mask, source, mask.with_name("out.png"), "--page", "all") == 2
    capsys.readouterr()
    for more, says in (([], "add --page 1 for one of them."), (["--page", "all"], "--page must be 1 to 2")):
        assert cli.main(["learn", str(source), "--steps", "1", "-o", str(mask.with_name("model")), *more]) == 2
        assert says in capsys.readouterr().err


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_every_frame_of_an_animation(mask, suffix, clear):
    frames = [Image.fromarray(np.roll(_noise(3), 7 * k, 1)).quantize(60) for k in range(3)]
    source, out = mask.with_name(f"in{suffix}"), mask.with_name(f"out{suffix}")
    for frame in frames:
        frame.info = {"transparency": 3} if clear else {}
    if suffix != ".gif":
        frames = [frame.convert("RGBA" if clear else "RGB") for frame in frames]
    more = {"disposal": 2} if suffix == ".gif" else {}
    frames[0].save(source, save_all=True, append_images=frames[1:], duration=[50, 60, 70], lossless=True, **more)
    assert _inpaint(mask, source, out, "--page", "all") == 0
    outside = np.asarray(Image.open(mask)) == 0
    with Image.open(out) as made:
        assert made.n_frames == 3
    for number in range(3):
        before, after = imagefile.read(source, number), imagefile.read(out, number)
        assert np.array_equal(before.rgba()[outside], after.rgba()[outside])
        assert (before.rgba()[..., 3].min() == 0) == clear
        assert before.duration == after.duration


def test_extensions_keep_what_the_file_says(tmp_path):
    picture = Picture(_noise(3, np.uint16), colour.rgb(2.2, WIDE), (300.5, 299.0), made_files.exif().tobytes()[6:], XMP)
    imagefile.write(tmp_path / "in.tif", picture)
    assert cli.main(["extend", str(tmp_path / "in.tif"), "--right", "16", "-o", str(tmp_path / "out.tif"), *QUICK]) == 0
    got = imagefile.read(tmp_path / "out.tif")
    assert (got.icc_profile, got.xmp, got.pixels.shape) == (picture.icc_profile, XMP, (SIZE[0], SIZE[1] + 16, 3))
    assert got.dpi == pytest.approx(picture.dpi)
    assert got.exif is not None
    assert np.array_equal(got.pixels[:, : SIZE[1]], picture.pixels)


def test_a_state_keeps_what_the_file_says(mask):
    picture = Picture(
        _noise(4, np.uint16),
        colour.rgb(2.2, WIDE),
        (300.5, 72.25),
        made_files.exif().tobytes()[6:],
        XMP,
        associated=True,
    )
    state = mask.with_name("s.state")
    _made(mask, picture, ".tif", "out.tif", "--save-state", str(state))
    assert cli.main(["branch", str(state), "-o", str(mask.with_name("b.tif")), "--seed", "9"]) == 0
    got = imagefile.read(mask.with_name("b.tif"))
    assert (got.icc_profile, got.xmp, got.associated, got.pixels.dtype) == (picture.icc_profile, XMP, True, np.uint16)
    assert got.dpi == pytest.approx(picture.dpi, rel=1e-4)
    assert got.exif is not None


def test_heights_in_integers_of_32_bits_octave_by_octave(tmp_path):
    """A step at a coarse octave counts for several calls: a state is kept there, too."""
    rows, columns = np.mgrid[:150, :170]
    rough = np.random.default_rng(5).integers(-20, 20, (150, 170))
    heights = Picture((2000 * np.sin(rows / 20) + 30 * columns + rough).astype(np.int32)[..., None])
    selection = ((rows - 75) ** 2 + (columns - 85) ** 2 < 30**2).astype(np.uint8) * 255
    source, mask, state, out = (tmp_path / name for name in ("a.tif", "m.png", "s.state", "b.tif"))
    imagefile.write(source, heights)
    imagefile.write(mask, Picture(selection[..., None]))
    same = ["--mask", str(mask), "--seed", "3", "--save-state", str(state), "--save-at", "20"]
    assert cli.main(["inpaint", str(source), "-o", str(out), *same]) == 0
    assert cli.main(["branch", str(state), "--seed", "4", "-o", str(tmp_path / "c.tif")]) == 0
    outside = selection == 0
    for path in (out, tmp_path / "c.tif"):
        made = imagefile.read(path).pixels
        assert made.dtype == np.int32
        assert np.array_equal(made[outside], heights.pixels[outside])
        assert np.abs(made[~outside].mean() - heights.pixels[~outside].mean()) < 300


def test_ten_variants_sort(mask, capsys):
    imagefile.write(mask.with_name("in.png"), Picture(_noise(3)))
    assert _inpaint(mask, mask.with_name("in.png"), mask.with_name("o.png"), "--variants", "10", "--json") == 0
    files = [Path(variant["file"]).name for variant in json.loads(capsys.readouterr().out)["variants"]]
    assert files == sorted(files) == [f"o-{k:02}.png" for k in range(1, 11)]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["-o", "no/out.png"], "There is no folder"),
        (["-o", "out.jpg"], "would lose detail"),
        (["-o", "in.png", "--save-state", "no/a.state"], "There is no folder"),
        (["-o", "out.png", "--plot-schedule", "a.txt"], "a.txt would lose detail"),
        (["-o", "out.png", "--previews", "in.png"], "cannot be made"),
        (["-o", "in.png/out.png"], "cannot be a file's name"),
        (["-o", "-", "--variants", "2"], "Standard output holds one picture"),
    ],
)
def test_places_are_looked_at_before_the_run(mask, monkeypatch, capsys, more, says):
    monkeypatch.chdir(mask.parent)
    imagefile.write(Path("in.png"), Picture(_noise(3)))
    monkeypatch.setattr("engine.api.load_model", lambda *_: pytest.fail("the run began"))
    assert cli.main(["inpaint", "in.png", "--mask", "mask.png", *more, *QUICK]) == 2
    assert says in capsys.readouterr().err


def _process(folder: Path, *command: str, **more: object) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    environment = {**os.environ, "PYTHONIOENCODING": "", **more.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-m", "engine", *command],
        cwd=folder,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        env=environment,
        **more,
    )


@pytest.mark.slow
def test_streams(mask):
    imagefile.write(mask.with_name("in.png"), Picture(_noise(3, np.uint16), colour.rgb(2.2, WIDE)))
    process = _process(mask.parent, "--verbose", "inpaint", "-", "--mask", "mask.png", "-o", "-", "--json", *QUICK)
    out, said = process.communicate(mask.with_name("in.png").read_bytes(), timeout=120)
    assert process.returncode == 0, said
    mask.with_name("got.png").write_bytes(out)
    got = imagefile.read(mask.with_name("got.png"))
    assert (got.pixels.dtype, got.icc_profile) == (np.uint16, colour.rgb(2.2, WIDE))
    assert json.loads(said.splitlines()[-1])["variants"][0]["file"] == "-"
    process = _process(mask.parent, "inpaint", "-", "--mask", "mask.png", "-o", "o.png", *QUICK, "--verbose")
    out, said = process.communicate(b"no picture", timeout=120)
    assert (process.returncode, out) == (2, b"")
    assert said.splitlines()[0] == b"error: standard-input cannot be read as a picture; save it again as PNG."
    assert b"details" in said


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_names_that_cannot_be_shown_are_no_failure(mask):
    imagefile.write(mask.with_name("in.png"), Picture(_noise(3)))
    name = os.fsdecode("öut-\xe9".encode("latin-1")) + ".png"
    process = _process(
        mask.parent, "inpaint", "in.png", "--mask", "mask.png", "-o", name, *QUICK,
        env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    )  # fmt: skip
    out, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert b"seed 3" in out
    assert (mask.parent / name).is_file()


SLOW = ["--model", "test/gaussian-slow", "--steps", "15", "--jump-length", "1", "--jump-samples", "1"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has another Ctrl+C")
@pytest.mark.parametrize("moment", [0.15, 0.7, "first variant"])
def test_ctrl_c_is_one_line_that_is_true(mask, moment):
    imagefile.write(mask.with_name("in.png"), Picture(_noise(3)))
    reader, writer = os.pipe()
    start = "import os, runpy, signal, sys, engine; signal.signal(signal.SIGINT, signal.default_int_handler); "
    start += "os.close(int(sys.argv.pop(1))); "  # a shell's background jobs ignore Ctrl+C
    start += "runpy.run_module('engine', run_name='__main__', alter_sys=True)"
    command = [sys.executable, "-c", start, str(writer), "inpaint", "in.png", "--mask", "mask.png", "-o", "o.png"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [*command, "--variants", "12", *SLOW], cwd=mask.parent, stdout=pipe, stderr=pipe, pass_fds=[writer]
    )
    os.close(writer)
    os.read(reader, 1)  # its end: Python itself has started, and what follows is the program's own
    os.close(reader)
    first = mask.with_name("o-01.png")
    until = time.monotonic() + (moment if isinstance(moment, float) else 200)
    while time.monotonic() < until and not first.exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=120)
    lines = said.decode().splitlines()
    assert len(lines) == 1, said
    done = sorted(path.name for path in mask.parent.glob("o-*.png"))
    if not done:
        assert lines == ["Cancelled; nothing was written."]
    else:
        assert lines == [f"Cancelled; {', '.join(done)} {'was' if len(done) == 1 else 'were'} written."]
    assert (process.returncode, out) == (130, b"")


def test_a_mask_made_before_the_photograph_was_turned(mask, capsys):
    Image.fromarray(_noise(3).swapaxes(0, 1)).save(mask.with_name("in.jpg"), exif=made_files.exif(6), quality=95)
    with Image.open(mask.with_name("mask.png")) as image:
        image.transpose(Image.Transpose.ROTATE_90).save(mask.with_name("turned.png"))
    assert _inpaint(mask.with_name("turned.png"), mask.with_name("in.jpg"), mask.with_name("o.png")) == 2
    assert "one of them must be turned" in capsys.readouterr().err
    assert _inpaint(mask, mask.with_name("in.jpg"), mask.with_name("o.png")) == 0
    assert imagefile.read(mask.with_name("o.png")).pixels.shape == (*SIZE, 3)


@pytest.mark.parametrize("suffix", [".tif", ".exr"])
def test_masks_of_every_depth(mask, suffix):
    imagefile.write(mask.with_name("in.png"), Picture(_noise(3)))
    values = np.asarray(Image.open(mask))[..., None]
    deep = values.astype(np.float32) / 255 if suffix == ".exr" else values.astype(np.uint16) * 257
    imagefile.write(mask.with_name(f"m{suffix}"), Picture(deep))
    for number, each in enumerate((mask, mask.with_name(f"m{suffix}"))):
        assert _inpaint(each, mask.with_name("in.png"), mask.with_name(f"{number}.png")) == 0
    assert np.array_equal(*(imagefile.read(mask.with_name(f"{number}.png")).pixels for number in (0, 1)))


def test_a_mask_with_pages_goes_with_the_pages_of_a_picture(mask):
    first = np.asarray(Image.open(mask))[..., None]
    second = np.roll(first, 15, 0)
    imagefile.write(mask.with_name("m.tif"), Picture(first), Picture(second))
    pages = [Picture(_noise(3)), Picture(_noise(1))]
    imagefile.write(mask.with_name("in.tif"), *pages)
    assert _inpaint(mask.with_name("m.tif"), mask.with_name("in.tif"), mask.with_name("o.tif"), "--page", "all") == 0
    for number, (page, selection) in enumerate(zip(pages, (first, second), strict=True)):
        got = imagefile.read(mask.with_name("o.tif"), number).pixels
        assert np.array_equal((got != page.pixels).any(2) & (selection[..., 0] == 0), np.zeros(SIZE, bool))
        assert (got != page.pixels).any(2)[selection[..., 0] == 255].mean() > 0.9
