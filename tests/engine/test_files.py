"""Picture files of every kind: what is read, what is kept, and that what is written describes what it holds."""

from __future__ import annotations

import io
import struct
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
from engine.files.picture import Picture, associate, colours_of, straight
from tests.engine import made_files
from tests.engine.made_files import WIDE, XMP, again, chunk, profiles, ramp, written

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
    got = again(b, done)
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
    got = again(tmp_path / f"a{suffix}", picture)
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
    late = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP) + chunk(b"eXIf", EXIF)
    picture = imagefile.read(written(tmp_path / "b.png", data[:-12] + late + data[-12:]))
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
    assert np.array_equal(again(tmp_path / "b.png", picture).pixels, wanted)


@pytest.mark.parametrize(
    ("dpi", "kept"),
    [((300.5, 299.99), (300.5, 299.99)), ((0, 0), None), ((float("nan"), 300), None), ((float("inf"), 1), None)],
)
def test_resolutions_of_every_sort(tmp_path, dpi, kept):
    assert metadata.resolution(dpi) == kept
    if kept:
        assert again(tmp_path / "a.tif", Picture(ramp(3), dpi=dpi)).dpi == pytest.approx(kept, abs=0.01)


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
    got = again(tmp_path / f"a{suffix}", picture)
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
    got = again(tmp_path / f"a{suffix}", picture)
    assert got.associated
    assert np.array_equal(got.pixels, picture.pixels)
    seen = own[..., 3] > (256 if suffix == ".tif" else 0.01)
    assert np.abs(got.rgba()[seen].astype(float) - own[seen]).max() <= (256 if suffix == ".tif" else 1e-5)
    if suffix == ".tif":
        other = again(tmp_path / "b.png", got)
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


def test_floats_of_64_bits_are_said_to_become_32(tmp_path):
    path, values = tmp_path / "a.tif", ramp(3, np.float32).astype(np.float64) / 3
    values[0, 0] = (1e200, -1e200, np.inf)
    tifffile.imwrite(path, values, photometric="rgb")
    got = imagefile.read(path)
    assert got.notes == ("a.tif has floats of 64 bits; the result has 32.",)
    assert np.array_equal(got.pixels[1:], values[1:].astype(np.float32))
    assert got.pixels[0, 0].tolist() == [np.finfo(np.float32).max, np.finfo(np.float32).min, np.inf]
    tifffile.imwrite(path, values[1:].astype(np.float32), photometric="rgb")
    assert imagefile.read(path).notes == ()


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
        got = again(tmp_path / "a.png", picture)
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
    told = chunk(b"gAMA", struct.pack(">I", 100000))
    (tmp_path / "a.png").write_bytes(data[:33] + told + data[33:])
    assert colour.in_linear_light(imagefile.read(tmp_path / "a.png"))
    assert not colour.in_linear_light(imagefile.read(written(tmp_path / "b.png", data)))


@pytest.mark.parametrize(
    ("points", "made"), [((12, 13), (None, WIDE)), ((9, 8), (1.0, colour.REC2020)), ((1, 13), None)]
)
def test_code_points_become_a_profile(tmp_path, points, made):
    told = chunk(b"cICP", bytes([*points, 0, 1]))
    data = made_files.png(ramp(3))
    wanted = colour.rgb(*made) if made else None
    assert imagefile.read(written(tmp_path / "a.png", data[:33] + told + data[33:])).icc_profile == wanted
    Image.fromarray(ramp(3)).save(tmp_path / "a.avif")
    avif = (tmp_path / "a.avif").read_bytes()
    at = avif.index(b"colrnclx") + 8
    avif = avif[:at] + struct.pack(">HH", *points) + avif[at + 4 :]
    assert imagefile.read(written(tmp_path / "a.avif", avif)).icc_profile == wanted
    hdr = written(tmp_path / "b.png", data[:33] + chunk(b"cICP", bytes([9, 16, 0, 1])) + data[33:])
    with pytest.raises(BadInput, match="HDR"):
        imagefile.read(hdr)


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
    got = again(tmp_path / "a.exr", picture)
    assert colour.chromaticities(got.icc_profile) == pytest.approx(WIDE, abs=1e-4)
    assert colour.is_linear(got.icc_profile)
    assert again(tmp_path / "b.tif", got).icc_profile == got.icc_profile
    with pytest.raises(BadInput, match="linear light"):
        imagefile.write(tmp_path / "c.exr", replace(picture, icc_profile=colour.srgb()))
