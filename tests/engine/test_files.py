"""Picture files of every kind: what is read, what is kept, and that what is written describes what it holds."""

from __future__ import annotations

import io
import os
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from PIL import Image, ImageCms, ImageOps
from skimage.color import rgb2lab

from engine import canvas
from engine.errors import BadInput
from engine.files import colour, containers, imagefile, metadata
from engine.files.picture import Picture, associate, colours_of, nearest, straight
from tests.engine import made_files
from tests.engine.made_files import WIDE, XMP, profiles, ramp

SUFFIXES = sorted(set(containers.CONTAINERS) - {".tiff", ".gif"})
EXIF, _ = metadata.exif_bytes(made_files.exif())


def _picture(kind: str, channels: int, profile: str = "none", **more: object) -> Picture:
    dtype = {"8": np.uint8, "16": np.uint16, "half": np.float32, "float": np.float32}[kind]
    pixels = ramp(channels, dtype, (9, 11))
    if dtype is np.float32:
        pixels = np.concatenate([pixels[..., :1] * 3 - 0.5, pixels[..., 1:]], axis=2).astype(np.float16)
        pixels = pixels.astype(np.float32)
    bits = 16 if kind == "half" else None
    return Picture(pixels, profiles(channels)[profile], (300.25, 72.0), EXIF, XMP, bits=bits, **more)


def _again(path: Path, picture: Picture) -> Picture:
    imagefile.write(path, picture)
    return imagefile.read(path)


def _can_hold(path: Path, picture: Picture) -> bool:
    try:
        imagefile.check_output(path, [picture])
    except BadInput:
        return False
    return True


def _same_meaning(one: Picture, other: Picture) -> bool:
    """Whether both profiles say the same of their pixels."""
    if colour.in_linear_light(one) != colour.in_linear_light(other):
        return False
    got, wanted = one.icc_profile, other.icc_profile
    if got == wanted:
        return True
    plain = one.pixels.dtype != np.float32
    if got is None or wanted is None:
        profile = got or wanted
        return colour.is_srgb(profile) if plain else _light(profile) == pytest.approx(_light(None), abs=2e-3)
    return _light(got) == pytest.approx(_light(wanted), abs=2e-3)


def _light(profile: bytes | None) -> list[float]:
    if profile is None or colour.space(profile) == "gray":
        return list(colour.REC709)
    return list(colour.chromaticities(profile))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=some.sampled_from(["8", "16", "half", "float"]),
    channels=some.integers(1, 4),
    profile=some.sampled_from(["none", "srgb", "other", "linear"]),
    associated=some.booleans(),
    alpha=some.sampled_from(["keep", "opaque"]),
    source=some.sampled_from(SUFFIXES),
    target=some.sampled_from(SUFFIXES),
    seed=some.integers(0, 9),
)
def test_outside_the_selection_nothing_changes_and_the_file_tells_the_truth(
    tmp_path, kind, channels, profile, associated, alpha, source, target, seed
):
    """From any kind of file into any other: the same pixels where nothing was selected, whatever can be said of them is
    said, and what cannot be held is refused by a sentence before anything is written."""
    first = _picture(kind, channels, profile)
    if associated and first.has_alpha:
        first = replace(first, pixels=associate(first.pixels), associated=True)
    a, b = tmp_path / f"a{source}", tmp_path / f"b{target}"
    b.unlink(missing_ok=True)
    try:
        imagefile.write(a, first)
    except BadInput:
        return
    read = imagefile.read(a)
    generator = np.random.default_rng(seed)
    box = canvas.Box(*generator.integers(0, 5, 2), 4, 3)
    selection = np.zeros(read.pixels.shape[:2], np.uint8)
    selection[box.slices] = generator.integers(0, 256, (3, 4))
    fill = generator.random((3, 4, 3)).astype(np.float32)
    made = canvas.composite(read.pixels, selection, fill, box, alpha, read.associated)
    done = replace(read, pixels=made)
    if not _can_hold(b, read):
        with pytest.raises(BadInput, match=r"\.$"):
            imagefile.write(b, done)
        assert not b.exists()
        return
    got = _again(b, done)
    before, after = read.rgba(), got.rgba()
    out = selection == 0
    assert after.dtype == before.dtype
    if got.associated != read.associated and kind in ("half", "float"):
        near = np.abs(after[out] - before[out]) <= 2e-3 * np.maximum(np.abs(before[out]), 1e-3) / before[out][
            :, 3:
        ].clip(1e-3)
        assert near.all()
    else:
        assert np.array_equal(after[out], before[out])
    if kind == "8" and target != ".exr":
        assert np.abs(after.astype(int) - done.rgba().astype(int)).max() <= 0
    if alpha == "opaque" and got.has_alpha:
        assert (after[selection > 0][:, 3] == (1 if after.dtype == np.float32 else np.iinfo(after.dtype).max)).all()
    assert _same_meaning(got, read)
    assert got.bits == read.bits
    if target in (".png", ".tif"):
        assert got.dpi == pytest.approx(read.dpi, rel=1e-3) if read.dpi else got.dpi is None
        assert (got.xmp, got.exif is None) == (read.xmp, read.exif is None)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".avif"])
@pytest.mark.parametrize("kind", ["8", "16"])
def test_exif_and_xmp_travel_and_the_size_in_them_is_true(tmp_path, suffix, kind):
    picture = _picture(kind, 3, "other")
    if kind == "16" and suffix == ".avif":
        picture = replace(picture, pixels=(picture.pixels >> 6) * 64, bits=10)
    if kind == "16" and suffix == ".webp":
        with pytest.raises(BadInput, match=r"16 bits .* WebP cannot hold"):
            imagefile.write(tmp_path / "a.webp", picture)
        return
    got = _again(tmp_path / f"a{suffix}", picture)
    found = metadata.parsed_exif(got.exif)
    assert found[271] == "Acme"
    assert found.get_ifd(34665)[33434] == pytest.approx(0.01)
    assert (found.get_ifd(34665)[40962], found.get_ifd(34665)[40963]) == (11, 9)
    assert found.get_ifd(34853)[1] == "N"
    assert (got.xmp, got.icc_profile) == (XMP, picture.icc_profile)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_a_png_says_after_its_pixels_counts_too(tmp_path, dtype):
    imagefile.write(tmp_path / "a.png", Picture(ramp(3, dtype)))
    data = (tmp_path / "a.png").read_bytes()
    late = _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP) + _chunk(b"eXIf", EXIF)
    picture = imagefile.read(_written(tmp_path / "b.png", data[:-12] + late + data[-12:]))
    assert picture.xmp == XMP
    assert metadata.parsed_exif(picture.exif)[271] == "Acme"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
def test_pictures_are_turned_upright_once(tmp_path, suffix, orientation):
    path, image = tmp_path / f"a{suffix}", Image.fromarray(ramp(3))
    xmp = b"<x:xmpmeta tiff:Orientation='6' xmlns:x='adobe:ns:meta/'/>"
    options = {".webp": {"lossless": True, "xmp": xmp}, ".jpg": {"quality": 100}, ".tif": {"dpi": (300, 72)}}
    image.save(path, exif=made_files.exif(orientation), **options.get(suffix, {}))
    picture = imagefile.read(path)
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    assert np.array_equal(picture.pixels, wanted)
    assert imagefile.size(path) == wanted.shape[:2]
    assert metadata.parsed_exif(picture.exif).get(274, 1) == 1
    assert b"Orientation" not in (picture.xmp or b"")
    if suffix == ".tif":
        assert picture.dpi == ((72, 300) if orientation > 4 else (300, 72))
    assert np.array_equal(_again(tmp_path / "b.png", picture).pixels, wanted)


@pytest.mark.parametrize(
    ("dpi", "kept"),
    [((300.5, 299.99), (300.5, 299.99)), ((0, 0), None), ((float("nan"), 300), None), ((float("inf"), 1), None)],
)
def test_resolutions_of_every_sort(tmp_path, dpi, kept):
    assert metadata.resolution(dpi) == kept
    if kept:
        assert _again(tmp_path / "a.tif", Picture(ramp(3), dpi=dpi)).dpi == pytest.approx(kept, abs=0.01)


@pytest.mark.parametrize("ratio", [(0, 1), (1, 0), (0, 0), (7_200_001, 100_000)])
def test_resolutions_in_tiff(tmp_path, ratio):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, ramp(3), photometric="rgb", resolution=((9, 4), (9, 4)), resolutionunit=2)
    path.write_bytes(path.read_bytes().replace(struct.pack("<2I", 9, 4), struct.pack("<2I", *ratio)))
    found = imagefile.read(path).dpi
    assert found is None if 0 in ratio else found == pytest.approx((72.00001, 72.00001), rel=1e-5)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".avif", ".bmp", ".exr"])
@pytest.mark.parametrize("with_exif", [False, True])
def test_the_resolution_is_kept_where_there_is_a_place_for_it(tmp_path, suffix, with_exif):
    exif = made_files.exif()
    exif[282], exif[283], exif[296] = 72.0, 72.0, 2
    pixels = ramp(3, np.float32 if suffix == ".exr" else np.uint8)
    picture = Picture(pixels, dpi=(300.5, 150.25), exif=exif.tobytes()[6:] if with_exif else None)
    got = _again(tmp_path / f"a{suffix}", picture)
    assert got.dpi == pytest.approx(picture.dpi, abs=0.02)
    if with_exif and got.exif and suffix != ".tif":
        assert metadata.exif_resolution(got.exif) == pytest.approx(picture.dpi, abs=0.02)


def test_a_camera_photograph_with_a_resolution_as_fraction(tmp_path):
    exif = Image.Exif()
    exif[282], exif[283], exif[296], exif[271] = 300.25, 300.25, 2, "Maker"
    Image.fromarray(ramp(3)).save(tmp_path / "a.jpg", exif=exif)
    assert imagefile.read(tmp_path / "a.jpg").dpi == pytest.approx((300.25, 300.25))


# Alpha


@pytest.mark.parametrize("suffix", [".tif", ".exr"])
def test_associated_and_straight_alpha_are_told_apart(tmp_path, suffix):
    dtype = np.uint16 if suffix == ".tif" else np.float32
    own = ramp(4, dtype)
    picture = Picture(associate(own), associated=True)
    got = _again(tmp_path / f"a{suffix}", picture)
    assert got.associated
    assert np.array_equal(got.pixels, picture.pixels)
    seen = own[..., 3] > (256 if suffix == ".tif" else 0.01)
    assert np.abs(got.rgba()[seen].astype(float) - own[seen]).max() <= (256 if suffix == ".tif" else 1e-5)
    if suffix == ".tif":
        other = _again(tmp_path / "b.png", got)
        assert not other.associated
        assert np.array_equal(other.pixels, straight(picture.pixels))
        assert tifffile.TiffFile(tmp_path / "a.tif").pages[0].extrasamples == (1,)


def test_light_without_cover_survives():
    """A flame: colour where alpha is 0."""
    pixels = np.array([[[2.0, 1.0, 0.5, 0.0]]], np.float32)
    assert np.array_equal(associate(straight(pixels)), pixels)


@pytest.mark.parametrize(("alpha", "share"), [("keep", 1.0), ("opaque", 1.0), ("opaque", 0.3)])
def test_soft_selections_of_soft_holes_leave_no_ring(alpha, share):
    """A hole erased through the very selection, or through one that took less away."""
    seen = np.linspace(0, 255, 256).astype(np.uint8)[None]
    picture = np.dstack([np.full((1, 256, 3), 200, np.uint8), (seen * share).astype(np.uint8)])
    fill = np.full((1, 256, 3), 100 / 255, np.float32)
    made = canvas.composite(picture, 255 - seen, fill, canvas.Box(0, 0, 256, 1), alpha)
    assert (made[seen < 255][:, 3] == 255).all()
    assert np.abs(np.diff(made[:, :255, 0].astype(int))).max() <= 2


def test_beside_a_soft_edge_a_thin_layer_stays_thin():
    selection = np.arange(256, dtype=np.uint8)[None]
    picture, fill = np.full((1, 256, 4), 76, np.uint8), np.full((1, 256, 3), 0.3, np.float32)
    made = canvas.composite(picture, selection, fill, canvas.Box(0, 0, 256, 1))
    assert np.array_equal(made[0, :, 3], np.minimum(255, np.arange(256) + 76))


def test_associated_pixels_mix_as_light_does():
    own = ramp(4, np.float32)
    selection = np.full(own.shape[:2], 128, np.uint8)
    fill, region = np.full((*own.shape[:2], 3), 0.25, np.float32), canvas.Box(0, 0, own.shape[1], own.shape[0])
    for alpha in ("keep", "opaque"):
        mixed = canvas.composite(own, selection, fill, region, alpha)
        light = canvas.composite(associate(own), selection, fill, region, alpha, associated=True)
        assert np.allclose(straight(light), mixed, atol=1e-6)


def test_no_number_in_a_picture_does_not_spread():
    own = np.full((4, 4, 3), np.nan, np.float32)
    fill = np.full((4, 4, 3), 0.5, np.float32)
    made = canvas.composite(own, np.full((4, 4), 100, np.uint8), fill, canvas.Box(0, 0, 4, 4))
    assert (made == 0.5).all()


# Colour


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_cmyk_becomes_srgb_by_its_profile(tmp_path, dtype):
    ink, profile = ramp(4, dtype), made_files.cmyk_profile()
    tifffile.imwrite(tmp_path / "a.tif", ink, photometric="separated", iccprofile=profile)
    (tmp_path / "a.psd").write_bytes(made_files.psd(np.iinfo(dtype).max - ink, profile, 4))
    found = [imagefile.read(tmp_path / name) for name in ("a.tif", "a.psd")]
    if dtype == np.uint8:
        Image.fromarray(ink, "CMYK").save(tmp_path / "a.jpg", icc_profile=profile, quality=100, subsampling=0)
        found.append(imagefile.read(tmp_path / "a.jpg"))
    rows = Image.fromarray((ink >> (8 if dtype == np.uint16 else 0)).astype(np.uint8), "CMYK")
    with_profile = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    wanted = np.asarray(
        ImageCms.profileToProfile(
            rows, with_profile, ImageCms.createProfile("sRGB"), outputMode="RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC, flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    ).astype(float)  # fmt: skip
    for picture in found:
        assert picture.pixels.dtype == dtype
        assert colour.is_srgb(picture.icc_profile)
        assert "CMYK" in picture.notes[0]
        got = picture.pixels.astype(float) / (257 if dtype == np.uint16 else 1)
        assert np.abs(got - wanted).mean() < 1.5
    assert np.array_equal(found[0].pixels, found[1].pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lab_becomes_srgb(tmp_path, dtype):
    rgb = ramp(3)
    lab = rgb2lab(rgb)
    unit = 256 if dtype == np.uint16 else 1
    stored = np.concatenate([lab[..., :1] / 100 * np.iinfo(dtype).max, lab[..., 1:] * unit], axis=2)
    signed = np.rint(stored).astype(np.int64).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", signed, photometric="cielab")
    icc = np.rint(np.concatenate([stored[..., :1], stored[..., 1:] + 128 * unit], axis=2)).astype(dtype)
    tifffile.imwrite(tmp_path / "b.tif", icc, photometric="icclab")
    (tmp_path / "c.psd").write_bytes(made_files.psd(icc, None, 9))
    for name in ("a.tif", "b.tif", "c.psd"):
        picture = imagefile.read(tmp_path / name)
        assert picture.pixels.dtype == dtype
        assert np.abs(picture.rgba8()[..., :3].astype(float) - rgb).mean() < 2
        assert "Lab" in picture.notes[0]


def test_profiles_are_of_the_pixels_or_gone(tmp_path):
    for pixels, profile in ((ramp(3), colour.gray()), (ramp(1), colour.srgb()), (ramp(3), b"not a profile" * 20)):
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(
            tmp_path / "a.png", icc_profile=profile
        )
        assert imagefile.read(tmp_path / "a.png").icc_profile is None


def test_gray_with_alpha_and_a_gray_profile_stays_so(tmp_path):
    for dtype in (np.uint8, np.uint16):
        picture = Picture(ramp(2, dtype), colour.gray(1.8))
        got = _again(tmp_path / "a.png", picture)
        assert np.array_equal(got.pixels, picture.pixels)
        assert got.icc_profile == picture.icc_profile
        with pytest.raises(BadInput, match=r"colour profile|16 bits"):
            imagefile.write(tmp_path / "a.webp", got)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_conversion_to_srgb(dtype):
    picture = Picture(ramp(4, dtype), colour.rgb(2.2, WIDE))
    made = colour.as_srgb(picture)
    assert colour.is_srgb(made.icc_profile)
    assert made.pixels.dtype == dtype
    assert np.array_equal(made.pixels[..., 3], picture.pixels[..., 3])
    assert not np.array_equal(made.pixels, picture.pixels)
    gray = colour.as_srgb(Picture(ramp(1, dtype), colour.gray(1.0)))
    half = 0.5 * (np.iinfo(dtype).max if dtype != np.float32 else 1)
    assert np.interp(half, ramp(1, dtype)[0, :, 0], gray.pixels[0, :, 0]) / half == pytest.approx(1.47, abs=0.02)


def test_a_png_that_tells_its_light_by_gamma_alone(tmp_path):
    data = made_files.png(ramp(3))
    chunk = _chunk(b"gAMA", struct.pack(">I", 100000))
    (tmp_path / "a.png").write_bytes(data[:33] + chunk + data[33:])
    assert colour.in_linear_light(imagefile.read(tmp_path / "a.png"))
    assert not colour.in_linear_light(imagefile.read(_written(tmp_path / "b.png", data)))


@pytest.mark.parametrize(
    ("points", "made"), [((12, 13), (None, WIDE)), ((9, 8), (1.0, colour.REC2020)), ((1, 13), None)]
)
def test_code_points_become_a_profile(tmp_path, points, made):
    chunk = _chunk(b"cICP", bytes([*points, 0, 1]))
    data = made_files.png(ramp(3))
    wanted = colour.rgb(*made) if made else None
    assert imagefile.read(_written(tmp_path / "a.png", data[:33] + chunk + data[33:])).icc_profile == wanted
    Image.fromarray(ramp(3)).save(tmp_path / "a.avif")
    avif = (tmp_path / "a.avif").read_bytes()
    at = avif.index(b"colrnclx") + 8
    avif = avif[:at] + struct.pack(">HH", *points) + avif[at + 4 :]
    assert imagefile.read(_written(tmp_path / "a.avif", avif)).icc_profile == wanted
    hdr = _written(tmp_path / "b.png", data[:33] + _chunk(b"cICP", bytes([9, 16, 0, 1])) + data[33:])
    with pytest.raises(BadInput, match="HDR"):
        imagefile.read(hdr)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def test_colours_that_occur():
    for channels in (1, 2, 3, 4):
        pixels = (ramp(channels) // 100) * 100
        found = colours_of(Picture(pixels), 256)
        assert np.array_equal(np.unique(found[:, 0], axis=0), np.unique(pixels.reshape(-1, channels), axis=0))
    assert colours_of(Picture(ramp(3)), 256) is None
    rare = np.zeros((200, 200, 3), np.uint8)
    rare[17, 33] = 9
    assert len(colours_of(Picture(rare), 2)) == 2
    assert colours_of(Picture(rare), 1) is None


def test_primaries_of_openexr_become_a_profile_and_come_back(tmp_path):
    picture = Picture(ramp(3, np.float32), colour.rgb(1.0, WIDE))
    got = _again(tmp_path / "a.exr", picture)
    assert colour.chromaticities(got.icc_profile) == pytest.approx(WIDE, abs=1e-4)
    assert colour.is_linear(got.icc_profile)
    assert _again(tmp_path / "b.tif", got).icc_profile == got.icc_profile
    with pytest.raises(BadInput, match="linear light"):
        imagefile.write(tmp_path / "c.exr", replace(picture, icc_profile=colour.srgb()))


# Few colours


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
        got = _again(tmp_path / f"e{suffix}", imagefile.read(tmp_path / f"d{suffix}"))
        assert Image.open(tmp_path / f"e{suffix}").mode == "1"
        assert np.array_equal(got.pixels[..., 0] > 0, np.asarray(bilevel))


def test_few_colours_in_files_without_a_palette(tmp_path):
    for palette in (np.array([[[0]], [[255]]], np.uint8), ramp(3, size=(16, 1))):
        pixels = palette[:, 0][np.arange(80).reshape(8, 10) % len(palette)]
        picture = Picture(pixels, palette=palette)
        for suffix in (".webp", ".avif", ".jxl", ".pgm" if palette.shape[2] == 1 else ".ppm"):
            assert np.array_equal(_again(tmp_path / f"a{suffix}", picture).rgba(), picture.rgba())


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
    with pytest.raises(BadInput, match=r"no picture file"):
        imagefile.check_output(tmp_path / "b.psd", [picture])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_transparency_of_photoshop_is_told_from_a_saved_selection(tmp_path, dtype):
    own, whole = ramp(4, dtype), np.iinfo(dtype).max
    alpha = own[..., 3:] / whole
    white = np.rint(own[..., :3] * alpha + whole * (1 - alpha)).astype(dtype)
    for transparent in (True, False):
        data = made_files.psd(np.concatenate([white, own[..., 3:]], 2), transparent=transparent)
        picture = imagefile.read(_written(tmp_path / "a.psd", data))
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
    got = _again(tmp_path / "a.avif", picture)
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
            (np.zeros((9, 9, 7), np.uint8), "channels that a picture has not"),
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
    got = _again(tmp_path / "b.tif", replace(read, pixels=canvas.composite(read.pixels, selection, fill, box)))
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
        got = _again(tmp_path / "a.jxl", Picture(pixels, profile, dpi=(300.0, 300.0), xmp=XMP))
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


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
