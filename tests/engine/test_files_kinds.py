"""Palettes, documents of other programs, and formats with ways of their own."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

from engine import canvas
from engine.errors import BadInput
from engine.files import colour, containers, imagefile
from engine.files.picture import Picture, nearest
from tests.engine import made_files
from tests.engine.made_files import WIDE, XMP, again, profiles, ramp, written

SUFFIXES = sorted(set(containers.CONTAINERS) - {".tiff", ".gif"})


def test_indexed_and_one_bit_files_are_written_as_such(tmp_path):
    indexed = Image.fromarray((np.arange(96).reshape(8, 12) % 5).astype(np.uint8), "P")
    indexed.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9, 1, 2, 3])
    for suffix, options in ((".png", {}), (".png", {"transparency": 2}), (".gif", {}), (".bmp", {}), (".tif", {})):
        indexed.save(tmp_path / f"a{suffix}", **options)
        picture = imagefile.read(tmp_path / f"a{suffix}")
        assert picture.palette is not None
        for other in (suffix, ".png"):
            imagefile.write(tmp_path / f"b{other}", picture)
            with Image.open(tmp_path / f"b{other}") as image:
                assert image.mode == "P"
            assert np.array_equal(imagefile.read(tmp_path / f"b{other}").rgba(), picture.rgba())
    changed = replace(picture, pixels=np.where(picture.pixels == 9, np.uint8(8), picture.pixels))
    imagefile.write(tmp_path / "c.png", changed)
    assert Image.open(tmp_path / "c.png").mode == "RGB"
    assert np.array_equal(imagefile.read(tmp_path / "c.png").pixels, changed.pixels)
    bilevel = Image.fromarray(ramp(1)[..., 0] > 100)
    for suffix in (".png", ".tif", ".bmp"):
        bilevel.save(tmp_path / f"d{suffix}")
        got = again(tmp_path / f"e{suffix}", imagefile.read(tmp_path / f"d{suffix}"))
        assert Image.open(tmp_path / f"e{suffix}").mode == "1"
        assert np.array_equal(got.pixels[..., 0] > 0, np.asarray(bilevel))


def test_few_colours_in_files_without_a_palette(tmp_path):
    for palette in (np.array([[[0]], [[255]]], np.uint8), ramp(3, size=(16, 1))):
        pixels = palette[:, 0][np.arange(80).reshape(8, 10) % len(palette)]
        picture = Picture(pixels, palette=palette)
        for suffix in (".webp", ".avif", ".jxl", ".pgm" if palette.shape[2] == 1 else ".ppm"):
            assert np.array_equal(again(tmp_path / f"a{suffix}", picture).rgba(), picture.rgba())


def test_nearest_colours():
    colours = np.array([[[0, 0, 0]], [[255, 255, 255]], [[255, 0, 0]]], np.uint8)
    made = nearest(np.array([[[10, 0, 0], [200, 30, 20], [200, 200, 220]]], np.uint8), colours)
    assert made.tolist() == [[[0, 0, 0], [255, 0, 0], [255, 255, 255]]]


# Other kinds


@pytest.mark.parametrize("mimetype", ["image/openraster", "application/x-krita"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_documents_of_krita_and_openraster(tmp_path, mimetype, dtype):
    picture = Picture(ramp(4, dtype), colour.srgb())
    imagefile.write(tmp_path / "m.png", picture)
    made_files.document(tmp_path / "a.kra", (tmp_path / "m.png").read_bytes(), mimetype)
    got = imagefile.read(tmp_path / "a.kra")
    assert np.array_equal(got.pixels, picture.pixels)
    assert got.icc_profile == picture.icc_profile
    made_files.document(tmp_path / "b.zip", (tmp_path / "m.png").read_bytes(), "application/zip")
    with pytest.raises(BadInput, match="cannot be read"):
        imagefile.read(tmp_path / "b.zip")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_photoshop_documents(tmp_path, channels, dtype):
    profile = profiles(channels)["other"]
    (tmp_path / "a.psd").write_bytes(made_files.psd(ramp(channels, dtype), profile, channels))
    picture = imagefile.read(tmp_path / "a.psd")
    assert np.array_equal(picture.pixels, ramp(channels, dtype))
    assert (picture.icc_profile, picture.dpi) == (profile, (300, 300))
    with pytest.raises(BadInput, match=r"documents are read, but not written"):
        imagefile.check_output(tmp_path / "b.psd", [picture])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_transparency_of_photoshop_is_told_from_a_saved_selection(tmp_path, dtype):
    own, whole = ramp(4, dtype), np.iinfo(dtype).max
    alpha = own[..., 3:] / whole
    white = np.rint(own[..., :3] * alpha + whole * (1 - alpha)).astype(dtype)
    for transparent in (True, False):
        data = made_files.psd(np.concatenate([white, own[..., 3:]], 2), transparent=transparent)
        picture = imagefile.read(written(tmp_path / "a.psd", data))
        assert picture.pixels.shape[2] == 3 + transparent
        assert any("selections" in note for note in picture.notes) != transparent
        if transparent:
            error = np.abs(picture.pixels[..., :3].astype(float) - own[..., :3]) * alpha
            assert error.max() <= 1
            assert np.array_equal(picture.pixels[..., 3], own[..., 3])
        else:
            assert np.array_equal(picture.pixels, white)


@pytest.mark.parametrize("bits", [10, 12])
def test_deep_avif(tmp_path, bits):
    most = 2**bits - 1
    levels = np.rint(ramp(4, np.float32) * most).astype(np.uint32)
    picture = Picture(((levels * 65535 + most // 2) // most).astype(np.uint16), colour.rgb(2.2, WIDE), bits=bits)
    got = again(tmp_path / "a.avif", picture)
    assert np.array_equal(got.pixels, picture.pixels)
    assert (got.bits, got.icc_profile) == (bits, picture.icc_profile)
    with pytest.raises(BadInput, match="12 bits"):
        imagefile.write(tmp_path / "b.avif", replace(picture, bits=None))


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_deep_ppm(tmp_path, dtype):
    pixels = ramp(3, dtype)
    head, kind = (b"P6\n32 24\n65535\n", ">u2") if dtype == np.uint16 else (b"PF\n32 24\n-1.0\n", "<f4")
    rows = pixels if dtype == np.uint16 else pixels[::-1]
    (tmp_path / "a.ppm").write_bytes(head + rows.astype(kind).tobytes())
    assert np.array_equal(imagefile.read(tmp_path / "a.ppm").pixels, pixels)


def test_openexr_windows_layers_and_halves(tmp_path):
    import OpenImageIO

    spec = OpenImageIO.ImageSpec(6, 5, 4, "half")
    spec.channelnames = ("B", "G", "R", "Z")
    spec.x, spec.y, spec.full_x, spec.full_y, spec.full_width, spec.full_height = 2, 1, 0, 0, 12, 10
    writer = OpenImageIO.ImageOutput.create(str(tmp_path / "a.exr"))
    assert writer.open(str(tmp_path / "a.exr"), spec)
    own = ramp(4, np.float16, (5, 6))
    writer.write_image(own)
    writer.close()
    picture = imagefile.read(tmp_path / "a.exr")
    assert picture.pixels.shape == (10, 12, 3) == (*imagefile.size(tmp_path / "a.exr"), 3)
    assert np.array_equal(picture.pixels[1:6, 2:8], own[..., [2, 1, 0]])
    assert not picture.pixels[6:].any()
    assert picture.bits == 16
    assert any("Z" in note for note in picture.notes)
    assert any("window" in note for note in picture.notes)


def test_tiff_of_other_programs(tmp_path):
    for number, (pixels, options) in enumerate(
        [
            (ramp(1), {"photometric": "miniswhite"}),
            (ramp(3, np.uint16), {"photometric": "rgb", "compression": "lzw", "predictor": 2, "tile": (16, 16)}),
            (ramp(3).transpose(2, 0, 1).copy(), {"photometric": "rgb", "planarconfig": "separate"}),
            (ramp(3, np.float32), {"photometric": "rgb", "compression": "zlib", "predictor": 3}),
            (ramp(4, np.float16), {"photometric": "rgb", "extrasamples": ["assocalpha"]}),
        ]
    ):
        path = tmp_path / f"{number}.tif"
        tifffile.imwrite(path, pixels, bigtiff=number % 2 == 0, byteorder="<>"[number % 2], **options)
        got = imagefile.read(path)
        wanted = pixels.transpose(1, 2, 0) if number == 2 else 255 - pixels if number == 0 else pixels
        assert np.array_equal(got.pixels, wanted.astype(got.pixels.dtype))
    for number, (pixels, says) in enumerate(
        [
            (ramp(1)[..., 0].astype(np.int64), "type int64"),
            (np.zeros((9, 9, 7), np.uint8), "channels that a picture cannot have"),
        ]
    ):
        tifffile.imwrite(tmp_path / f"x{number}.tif", pixels, photometric="minisblack", planarconfig=number or None)
        with pytest.raises(BadInput, match=says):
            imagefile.read(tmp_path / f"x{number}.tif")


@pytest.mark.parametrize("dtype", [np.uint32, np.int16, np.int32])
@pytest.mark.parametrize("channels", [1, 3])
def test_integers_of_32_bits_and_with_a_sign_are_kept_as_they_are(tmp_path, dtype, channels):
    """Heights in millimetres, some below the sea where the type has a sign."""
    least = -2000 if np.dtype(dtype).kind == "i" else 0
    heights = (ramp(channels, np.float32) * 20000 + least).astype(dtype)
    heights[:2] = np.iinfo(dtype).max
    heights[2:4] = np.iinfo(dtype).min
    tifffile.imwrite(
        tmp_path / "a.tif",
        heights[..., 0] if channels == 1 else heights,
        photometric="rgb" if channels == 3 else "minisblack",
    )
    read = imagefile.read(tmp_path / "a.tif")
    assert np.array_equal(read.pixels, heights)
    assert read.pixels.dtype == dtype
    assert read.rgba().dtype == np.float32
    selection = np.zeros(heights.shape[:2], np.uint8)
    selection[8:16, 10:20] = 255
    fill = read.rgba()[8:16, 10:20, :3] + np.float32(1000 / np.iinfo(dtype).max)
    fill[0], fill[1] = 7, -7  # of floats a fill may go beyond what integers can hold
    box = canvas.Box(10, 8, 10, 8)
    got = again(tmp_path / "b.tif", replace(read, pixels=canvas.composite(read.pixels, selection, fill, box)))
    assert got.pixels.dtype == dtype
    assert np.array_equal(got.pixels[selection == 0], heights[selection == 0])
    assert np.abs(got.pixels[10:16, 10:20].astype(float) - heights[10:16, 10:20] - 1000).max() <= 1
    assert (got.pixels[8, 10:20] == np.iinfo(dtype).max).all()
    assert (got.pixels[9, 10:20] == np.iinfo(dtype).min).all()
    for suffix in SUFFIXES:
        if suffix != ".tif":
            with pytest.raises(BadInput, match=r"TIFF only.*\.tif"):
                imagefile.check_output(tmp_path / f"c{suffix}", [read])
    with pytest.raises(BadInput, match="--profile srgb"):
        colour.as_srgb(replace(read, icc_profile=colour.gray(1.8) if channels == 1 else colour.rgb(1.8)))


@pytest.mark.parametrize("channels", [1, 2])
def test_gray_of_16_bits_goes_into_jpeg_xl(tmp_path, channels):
    pixels = ramp(channels, np.uint16)
    for profile in (None, colour.gray(), colour.gray(1.0)):
        got = again(tmp_path / "a.jxl", Picture(pixels, profile, dpi=(300.0, 300.0), xmp=XMP))
        linear = profile is not None and colour.is_linear(profile)
        assert np.array_equal(got.rgba(), Picture(pixels).rgba())
        assert got.pixels.shape[2] == (4 if channels == 2 and not linear else channels)
        assert colour.in_linear_light(got) == linear
        assert linear or got.icc_profile is None
        assert (got.dpi, got.xmp) == ((300.0, 300.0), XMP)
    with pytest.raises(BadInput, match="--profile srgb"):
        imagefile.check_output(tmp_path / "b.jxl", [Picture(pixels, colour.gray(1.8))])


def test_pages_and_frames(tmp_path):
    pages = [Picture(ramp(3)), Picture(ramp(1, np.uint16, (7, 5)), dpi=(10.0, 10.0))]
    imagefile.write(tmp_path / "a.tif", *pages)
    assert imagefile.look(tmp_path / "a.tif").pages == 2
    for number, page in enumerate(pages):
        got = imagefile.read(tmp_path / "a.tif", number)
        assert np.array_equal(got.pixels, page.pixels)
        assert got.dpi == page.dpi
    with pytest.raises(BadInput, match="2 pages"):
        imagefile.read(tmp_path / "a.tif", 2)
    for suffix, says in ((".exr", "one picture"), (".png", "several sizes"), (".avif", "one picture")):
        with pytest.raises(BadInput, match=says):
            imagefile.check_output(tmp_path / f"b{suffix}", pages)
    frames = [Picture(np.roll(ramp(4), 5 * k, 1), duration=40.0 + k) for k in range(3)]
    for suffix in (".png", ".webp"):
        imagefile.write(tmp_path / f"c{suffix}", *frames)
        assert imagefile.look(tmp_path / f"c{suffix}").pages == 3
        for number, frame in enumerate(frames):
            assert np.array_equal(imagefile.read(tmp_path / f"c{suffix}", number).pixels, frame.pixels)


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_rights_and_links_of_an_old_file_stay(tmp_path):
    (tmp_path / "deep").mkdir()
    target, link = tmp_path / "deep" / "real.png", tmp_path / "link.png"
    imagefile.write(target, Picture(ramp(3)))
    target.chmod(0o640)
    link.symlink_to(target)
    imagefile.write(link, Picture(ramp(1)))
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert imagefile.read(target).pixels.shape[2] == 1
    assert [each.name for each in (tmp_path / "deep").iterdir()] == ["real.png"]


def test_places_that_cannot_be_written_to(tmp_path):
    picture = [Picture(ramp(3))]
    for name, says in (
        ("", "folder"),
        ("no/a.png", "There is no folder"),
        ("n" * 300 + ".png", "cannot be a file's name"),
    ):
        path = tmp_path / name if name else tmp_path / "folder.png"
        if not name:
            path.mkdir()
        with pytest.raises(BadInput, match=says):
            imagefile.check_output(path, picture)
    if os.name == "nt" or os.geteuid() == 0:
        return
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(BadInput, match="cannot be written to"):
        imagefile.check_output(tmp_path / "closed" / "a.png", picture)


def test_who_is_stopped_while_looking_at_a_place_leaves_nothing_there(tmp_path, monkeypatch):
    """Ctrl+C; and who is killed leaves a file with the process in its name, which a batch removes."""
    made, close = [], os.close

    def interrupted(handle: int) -> None:
        close(handle)
        made.extend(path.name for path in tmp_path.iterdir())
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(imagefile.os, "close", interrupted)
        with pytest.raises(KeyboardInterrupt):
            imagefile.check_place(tmp_path / "a.png")
    assert [name.startswith(f".repaint-{os.getpid()}-") for name in made] == [True]
    assert not list(tmp_path.iterdir())
