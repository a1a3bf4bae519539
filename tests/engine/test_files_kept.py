"""What only some kinds of files have, and keep: boxes of JPEG XL, HEIC's pixels, how often an animation is shown, a
map's place on earth, OpenEXR's attributes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import OpenImageIO
import pytest
import tifffile
from PIL import Image

from engine.errors import BadInput
from engine.files import Picture, colour, imagefile, jxl
from tests.engine import made_files
from tests.engine.made_files import XMP, ramp

EXIF = made_files.exif().tobytes().removeprefix(b"Exif\0\0")


def _again(path: Path, picture: Picture) -> Picture:
    imagefile.write(path, picture)
    return imagefile.read(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("profile", [None, colour.rgb(2.2, made_files.WIDE)])
def test_jpeg_xl_keeps_exif_xmp_and_resolution(tmp_path, dtype, profile):
    picture = Picture(ramp(3, dtype), profile, (300.0, 300.0), EXIF, XMP)
    got = _again(tmp_path / "a.jxl", picture)
    assert np.array_equal(got.pixels, picture.pixels)
    assert (got.icc_profile, got.xmp, got.dpi) == (profile, XMP, (300.0, 300.0))
    assert Image.Exif.get(_exif(got), 271) == "Acme"
    assert _again(tmp_path / "b.jxl", got).exif == got.exif
    pixels = imagecodecs.jpegxl_decode((tmp_path / "a.jxl").read_bytes())  # others read it, too
    assert pixels.shape == picture.pixels.shape


def _exif(picture: Picture) -> Image.Exif:
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + picture.exif)
    return exif


def test_compressed_boxes_of_jpeg_xl_are_read_and_damaged_ones_are_left_out(tmp_path):
    plain = Picture(ramp(3))
    imagefile.write(tmp_path / "a.jxl", replace(plain, xmp=XMP))
    data = (tmp_path / "a.jxl").read_bytes()
    whole = data[: data.index(b"xml ") - 4]
    packed = jxl._box(b"brob", b"xml " + imagecodecs.brotli_encode(XMP))
    for boxes, xmp in (
        (packed, XMP),
        (jxl._box(b"brob", b"xml damaged"), None),
        (jxl._box(b"Exif", b"\0\0\0\xff") + jxl._box(b"xml ", XMP), XMP),
        (jxl._box(b"xml ", XMP)[:-3], None),
    ):
        (tmp_path / "b.jxl").write_bytes(whole + boxes)
        got = imagefile.read(tmp_path / "b.jxl")
        assert (got.xmp, got.exif) == (xmp, None)
        assert np.array_equal(got.pixels, plain.pixels)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [None, 16])
def test_floats_in_linear_light_go_into_jpeg_xl(tmp_path, channels, bits):
    pixels = ramp(channels, np.float32)
    pixels[..., : 1 if channels < 3 else 3] *= 3.0
    pixels = pixels.astype(np.float16 if bits else np.float32).astype(np.float32)
    got = _again(tmp_path / "a.jxl", Picture(pixels, bits=bits, xmp=XMP))
    assert np.array_equal(got.pixels, pixels)
    assert (got.bits, got.xmp) == (bits, XMP)
    assert colour.in_plain_linear_light(got)
    wide = Picture(ramp(3, np.float32), colour.rgb(1.0, made_files.WIDE))
    with pytest.raises(BadInput, match="linear light"):
        imagefile.check_output(tmp_path / "b.jxl", [wide])


def test_heic_is_read_and_not_written(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    path, picture = tmp_path / "a.heic", ramp(3)
    wide = colour.rgb(2.2, made_files.WIDE)
    heif.from_pillow(Image.fromarray(picture)).save(
        path, quality=-1, exif=made_files.exif(6).tobytes(), icc_profile=wide
    )
    got = imagefile.read(path)
    assert imagefile.size(path) == got.pixels.shape[:2]
    turned = got.pixels if got.pixels.shape == picture.shape else np.rot90(got.pixels)
    assert np.abs(turned.astype(int) - picture).mean() < 3  # colours have half the resolution
    assert _exif(got)[271] == "Acme"
    assert _exif(got).get(274, 1) == 1
    deep = ramp(3, np.uint16)
    heif.from_bytes("RGB;16", deep.shape[1::-1], deep.tobytes()).save(path, quality=-1)
    got = imagefile.read(path)
    assert (got.pixels.dtype, got.bits) == (np.uint16, 10)
    assert np.abs(got.pixels.astype(int) - deep).mean() < 3 * 256
    with pytest.raises(BadInput, match=r"not written.*\.avif"):
        imagefile.check_output(tmp_path / "b.heic", [got])
    for data in (b"\0\0\0\x18ftypheic" + bytes(40), path.read_bytes()[:300], b"\0\0\0\x18ftypisom" + bytes(60)):
        path.write_bytes(data)
        with pytest.raises(BadInput, match="cannot be read"):
            imagefile.read(path)


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
@pytest.mark.parametrize("loop", [0, 3, None])
def test_animations_are_shown_as_often_as_before(tmp_path, suffix, loop):
    frames = [Picture(np.full((8, 9, 3), value, np.uint8), duration=50.0, loop=loop) for value in (10, 200)]
    frames = [replace(each, palette=np.unique(each.pixels.reshape(-1, 3), axis=0)[:, None]) for each in frames]
    imagefile.write(tmp_path / f"a{suffix}", *frames)
    read = [imagefile.read(tmp_path / f"a{suffix}", page) for page in (0, 1)]
    assert read[0].loop == (1 if loop is None and suffix != ".gif" else loop)
    with Image.open(tmp_path / f"a{suffix}") as image:
        assert image.n_frames == 2
        assert image.info.get("loop") == read[0].loop


def test_a_map_keeps_its_place_on_earth(tmp_path):
    scale, tie, keys = (10.0, 10.0, 0.0), (0.0, 0.0, 0.0, 4e5, 5e6, 0.0), (1, 1, 0, 1, 1024, 0, 1, 1)
    tags = [(33550, 12, 3, scale, True), (33922, 12, 6, tie, True), (34735, 3, 8, keys, True)]
    tags += [(34737, 2, 6, "WGS84|", True), (42113, 2, 6, "-9999", True)]
    tifffile.imwrite(tmp_path / "a.tif", ramp(1, np.uint16)[..., 0], extratags=tags, metadata=None)
    picture = imagefile.read(tmp_path / "a.tif")
    imagefile.write(tmp_path / "b.tif", replace(picture, pixels=picture.pixels[::-1].copy(), dpi=(72.0, 72.0)))
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        found = file.pages[0].tags
        assert found.valueof(33550) == scale
        assert found.valueof(33922) == tie
        assert found.valueof(34735) == keys
        assert found.valueof(34737) == "WGS84|"
        assert found.valueof(42113) == "-9999"
    wider = replace(picture, pixels=np.pad(picture.pixels, ((0, 0), (8, 0), (0, 0))))
    assert _again(tmp_path / "c.tif", wider).own is None
    imagefile.write(tmp_path / "d.png", picture)


def test_openexr_keeps_its_own_attributes(tmp_path):
    spec = OpenImageIO.ImageSpec(32, 24, 3, "half")
    spec.attribute("owner", "me")
    spec.attribute("expTime", 0.25)
    spec.attribute("worldToCamera", OpenImageIO.TypeMatrix44, tuple(float(k) for k in range(16)))
    writer = OpenImageIO.ImageOutput.create(str(tmp_path / "a.exr"))
    writer.open(str(tmp_path / "a.exr"), spec)
    writer.write_image(ramp(3, np.float32).astype(np.float16))
    writer.close()
    picture = imagefile.read(tmp_path / "a.exr")
    imagefile.write(tmp_path / "b.exr", replace(picture, pixels=picture.pixels * 2))
    reader = OpenImageIO.ImageInput.open(str(tmp_path / "b.exr"))
    said = {each.name: each.value for each in reader.spec().extra_attribs}
    reader.close()
    assert said["worldToCamera"] == tuple(float(k) for k in range(16))
    assert "me" in said.values()
    assert 0.25 in said.values()
