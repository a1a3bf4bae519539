"""Picture files: bit depth, gray, palette, alpha, profile; damage; a full disk."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from engine.errors import BadInput, EngineError
from engine.files import imagefile
from engine.files.imagefile import Picture

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_round_trip_keeps_every_bit(tmp_path, suffix, channels, dtype):
    pixels = RNG.integers(0, np.iinfo(dtype).max + 1, (20, 30, channels)).astype(dtype)
    path = tmp_path / f"a{suffix}"
    imagefile.write(path, Picture(pixels))
    again = imagefile.read(path).pixels
    assert again.dtype == dtype
    assert np.array_equal(again, pixels)


def test_sixteen_bit_gray_alpha_png_by_another_program(tmp_path):
    """ImageMagick writes PNG colour type 4 at 16 bits."""
    path = tmp_path / "ga.png"
    if not _has("convert"):
        pytest.skip("needs ImageMagick")
    made = subprocess.run(
        ["convert", "-size", "8x8", "gradient:", "-alpha", "set", "-channel", "A", "-evaluate", "set", "50%",
         "-depth", "16", "-define", "png:color-type=4", "-define", "png:bit-depth=16", str(path)],
        capture_output=True, text=True,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("this ImageMagick cannot make the file")
    picture = imagefile.read(path)
    assert picture.pixels.shape == (8, 8, 2)
    assert picture.pixels.dtype == np.uint16
    assert abs(int(picture.pixels[0, 0, 1]) - 32768) < 2


def _has(tool: str) -> bool:
    found = subprocess.run(["sh", "-c", f"command -v {tool}"], capture_output=True, text=True).stdout.strip()
    return bool(found) and "ImageMagick" in subprocess.run([found, "-version"], capture_output=True, text=True).stdout


def test_palette_becomes_colour_and_keeps_transparency(tmp_path):
    image = Image.fromarray(RNG.integers(0, 4, (10, 10), dtype=np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    image.save(tmp_path / "p.png")
    assert imagefile.read(tmp_path / "p.png").pixels.shape == (10, 10, 3)
    image.save(tmp_path / "t.png", transparency=2)
    with_alpha = imagefile.read(tmp_path / "t.png").pixels
    assert with_alpha.shape == (10, 10, 4)
    assert set(np.unique(with_alpha[..., 3])) == {0, 255}


def test_profile_and_resolution_travel(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for dtype in (np.uint8, np.uint16):
        path = tmp_path / f"{np.dtype(dtype).name}.png"
        imagefile.write(path, Picture(np.full((5, 5, 3), 7, dtype), profile, (300.0, 300.0)))
        assert Image.open(path).info["icc_profile"] == profile
        assert imagefile.read(path).icc_profile == profile
    assert imagefile.read(tmp_path / "uint8.png").dpi == pytest.approx((300, 300), abs=0.1)


def test_sixteen_bit_becomes_eight_for_the_engine_by_rounding():
    pixels = np.array([[[0], [65535], [32896], [32767]]], np.uint16)
    rgba = Picture(pixels).rgba8()
    assert rgba[0, :, 0].tolist() == [0, 255, 128, 127]
    assert rgba[..., 3].min() == 255


def test_damaged_and_missing_files_are_sentences(tmp_path):
    good = tmp_path / "good.png"
    imagefile.write(good, Picture(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)))
    data = good.read_bytes()
    for name, content in {"cut.png": data[: len(data) // 2], "empty.png": b"", "text.png": b"hello"}.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(BadInput, match=name):
            imagefile.read(path)
    with pytest.raises(BadInput, match="no file"):
        imagefile.read(tmp_path / "nothing.png")


def test_huge_header_takes_no_memory(tmp_path):
    Image.fromarray(np.zeros((1, 1), np.uint8)).save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[16:24] = (60000).to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(bytes(data))
    with pytest.raises(BadInput, match=r"larger|large"):
        imagefile.read(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["out.jpg", "out", "out.txt", "missing/out.png"])
def test_output_names_that_cannot_work(tmp_path, name):
    with pytest.raises(BadInput):
        imagefile.check_output(tmp_path / name)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB: a real tmpfs, mounted for this test (needs root)."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_full_disk_leaves_the_old_file(small_disk: Path, dtype):
    path = small_disk / "out.png"
    small = Picture(np.full((8, 8, 3), 3, dtype))
    imagefile.write(path, small)
    before = path.read_bytes()
    with pytest.raises(EngineError, match="disk is full") as caught:
        imagefile.write(path, Picture(RNG.integers(0, 256, (400, 400, 3)).astype(dtype)))
    assert caught.value.code == "disk_full"
    assert path.read_bytes() == before
    assert list(small_disk.iterdir()) == [path]
    imagefile.write(path, small)
