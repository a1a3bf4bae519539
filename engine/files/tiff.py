"""TIFF, by tifffile: every depth, pages, associated and straight alpha, Lab and CMYK."""

from __future__ import annotations

import logging
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image, TiffImagePlugin

from engine.canvas import whole
from engine.errors import BadInput
from engine.files import colour, metadata
from engine.files.containers import MAX_PIXELS
from engine.files.picture import Picture, indexes

_TEXTS = (270, 271, 272, 305, 306, 315, 33432, 18246, 40091, 40092, 40093, 40094, 40095)
"""Tags of the first directory that describe the picture and not the file."""
_XMP, _ICC = 700, 34675
_PLACE = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)
"""GeoTIFF's tags and GDAL's: where on earth the picture lies, what its values stand for."""
_CENTIMETRE = 3
_PLAIN = (1, 2)
"""Photometric interpretations of integers that are data: gray from black, RGB."""

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it warns on stderr of what is mended here


def look(path: Path) -> tuple[int, int, int]:
    """(height, width, pages) of the first page, from the header."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        pages = _pages(file)
        page = pages[0]
        size = page.imagelength, page.imagewidth
        return *(size if _orientation(page) < 5 else size[::-1]), len(pages)


def read(path: Path, number: int = 0) -> Picture:
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = _pages(file)[number]
        _check(page, path.name)
        samples = page.asarray(maxworkers=1)
        if page.axes == "SYX":
            samples = samples.transpose(1, 2, 0)
        picture = _picture(page, samples[..., None] if samples.ndim == 2 else samples, path)
        exif = _exif(path, page.offset, file.byteorder)
    orientation = _orientation(page)
    own = _own(page) if orientation == 1 else None
    xmp, icc = page.tags.valueof(_XMP), page.tags.valueof(_ICC)
    return replace(
        picture,
        pixels=metadata.upright(picture.pixels, orientation),
        icc_profile=picture.icc_profile or (bytes(icc) if icc else None),
        dpi=metadata.upright_dpi(_dpi(page), orientation),
        exif=exif,
        own=own,
        xmp=metadata.upright_xmp(xmp.encode() if isinstance(xmp, str) else xmp),
    )


def _own(page: Any) -> tuple[str, tuple[Any, ...]] | None:
    tags = [tag for tag in page.tags if tag.code in _PLACE]
    kept = tuple((tag.code, int(tag.dtype), tag.count, tag.value, True) for tag in tags)
    return ("tiff", (page.imagelength, page.imagewidth, kept)) if kept else None


def _pages(file: Any) -> list[Any]:
    """The pictures in a file, without thumbnails and masks."""
    pages = [page for page in file.pages if not page.is_reduced and not page.is_mask]
    if not pages:
        raise ValueError("no page with a picture")
    return pages


def _orientation(page: Any) -> int:
    value = page.tags.valueof(metadata.ORIENTATION, 1)
    return int(value) if value in range(1, 9) else 1


def _dpi(page: Any) -> tuple[float, float] | None:
    unit = page.tags.valueof(296, 2)
    pair = [page.tags.valueof(tag) for tag in (282, 283)]
    if unit == 1 or None in pair:
        return None
    found = metadata.resolution([_ratio(each) for each in pair])
    return (found[0] * 2.54, found[1] * 2.54) if found and unit == _CENTIMETRE else found


def _ratio(value: Any) -> float:
    if isinstance(value, tuple):
        return value[0] / value[1] if value[1] else 0.0
    return float(value)


def _check(page: Any, name: str) -> None:
    """Raise BadInput for what has no meaning here."""
    if page.imagewidth * page.imagelength * max(page.samplesperpixel, 4) > 4 * MAX_PIXELS:
        raise BadInput("too_large", f"{name} is too large; crop or scale it first.")
    if page.imagedepth > 1 or page.axes not in ("YX", "YXS", "SYX"):
        raise BadInput("bad_file", f"{name} holds a volume, not a picture; save one of its planes.")
    if page.photometric in (32803, 34892):
        raise BadInput("bad_file", f"{name} is a camera's raw file; develop it first, and save it as TIFF.")
    dtype = page.dtype
    if dtype is None or dtype.kind not in "uifb" or (dtype.kind in "ui" and dtype.itemsize > 4) or dtype == np.int8:
        raise BadInput(
            "bad_file", f"{name} has pixels of the type {dtype}; save it with 8, 16 or 32 bits, or as 32-bit float."
        )
    if (dtype.kind == "i" or dtype.itemsize > 2) and dtype.kind in "ui" and int(page.photometric) not in _PLAIN:
        raise BadInput("bad_file", f"{name} has colours of the type {dtype}; save it as gray or RGB.")


def _picture(page: Any, samples: np.ndarray, path: Path) -> Picture:
    """Samples of a page as gray or RGB."""
    kind, associated = int(page.photometric), False
    colours = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3, 9: 3, 10: 3}.get(kind)
    extra = samples.shape[2] - (colours or 0)
    if colours is None or extra not in (0, 1):
        raise BadInput(
            "bad_file",
            f"{path.name} has channels that a picture cannot have; save it as gray or RGB, at most with alpha.",
        )
    if extra:
        associated = tuple(page.extrasamples)[:1] == (1,)
    bits = None
    notes: tuple[str, ...] = ()
    if kind == 3:
        return _by_palette(page, samples)
    if page.bitspersample == 1 and samples.dtype.kind in "ub" and colours == 1 and not extra:
        bilevel = np.where(samples > 0, np.uint8(255), np.uint8(0))
        pixels = 255 - bilevel if kind == 0 else bilevel
        return Picture(pixels, palette=np.array([[[0]], [[255]]], np.uint8))
    if samples.dtype.kind == "u" and page.bitspersample not in (8, 16, 32):
        most = 2**page.bitspersample - 1
        bits = page.bitspersample
        samples = ((samples.astype(np.uint32) * whole(samples.dtype) + most // 2) // most).astype(samples.dtype)
    elif samples.dtype.kind == "f":
        bits = 16 if samples.dtype.itemsize == 2 else None
        if samples.dtype.itemsize > 4:
            notes = (f"{path.name} has floats of {8 * samples.dtype.itemsize} bits; the result has 32.",)
            most = np.finfo(np.float32).max
            samples = np.where(np.isfinite(samples), samples.clip(-most, most), samples)
        samples = samples.astype(np.float32)
    if kind == 0:
        samples = whole(samples.dtype) - samples
    if kind in (5, 8, 9, 10):
        return _as_rgb(page, kind, samples, colours, associated)
    return Picture(np.ascontiguousarray(samples), associated=associated, bits=bits, notes=notes)


def _by_palette(page: Any, samples: np.ndarray) -> Picture:
    colours = np.asarray(page.colormap).T
    palette = (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)[:, None]
    return Picture(palette[np.minimum(samples[..., 0], len(palette) - 1), 0], palette=palette)


def _as_rgb(page: Any, kind: int, samples: np.ndarray, colours: int, associated: bool) -> Picture:
    """CMYK and Lab as sRGB."""
    name = "CMYK" if kind == 5 else "Lab"
    if samples.dtype.kind == "f":
        raise ValueError(f"{name} in floats")
    own, alpha = samples[..., :colours], samples[..., colours:]
    if kind == 5:
        icc = page.tags.valueof(_ICC)
        rgb = colour.from_cmyk(np.ascontiguousarray(own), bytes(icc) if icc else None)
    else:
        lab = own.astype(np.float64)
        unit = 256 if samples.dtype == np.uint16 else 1
        lightness = lab[..., :1] * 100 / whole(samples.dtype)
        tint = lab[..., 1:] / unit - 128
        if kind == 8:  # signed numbers
            tint = np.ascontiguousarray(own[..., 1:]).view(np.int16 if unit > 1 else np.int8).astype(np.float64) / unit
        rgb = colour.from_lab(np.concatenate([lightness, tint], axis=2), samples.dtype)
    note = f"The picture is {name}; the result is sRGB."
    return Picture(np.concatenate([rgb, alpha], axis=2), colour.srgb(), associated=associated, notes=(note,))


def _exif(path: Path, offset: int, byteorder: str) -> bytes | None:
    """What the page's directory says of the picture, as EXIF."""
    try:
        found, kept = Image.Exif(), Image.Exif()
        found.endian = kept.endian = byteorder
        with open(path, "rb") as file:
            found.load_from_fp(file, offset)
            for tag in _TEXTS:
                if tag in found:
                    kept[tag] = found[tag]
            for group in (metadata.EXIF_IFD, metadata.GPS_IFD):
                kept.get_ifd(group).update(found.get_ifd(group))
    except Exception:  # damaged directories come as many kinds of exception
        return None
    return metadata.exif_bytes(kept)[0]


def write(path: Path, pages: Sequence[Picture]) -> None:
    import tifffile

    with tifffile.TiffWriter(path) as file:
        for picture in pages:
            _write_page(file, picture)
    exifs = [metadata.exif_for(each) for each in pages]
    _append_exif(path, exifs)


def _write_page(file: Any, picture: Picture) -> None:
    pixels, channels = picture.pixels, picture.pixels.shape[2]
    options: dict[str, Any] = {"compression": "zlib", "photometric": "minisblack" if channels < 3 else "rgb"}
    indexed = indexes(picture)
    if pixels.dtype == np.float32 and picture.bits == 16:
        pixels = pixels.astype(np.float16)
    if picture.has_alpha:
        options["extrasamples"] = ["assocalpha" if picture.associated else "unassalpha"]
    if indexed is not None and picture.is_bilevel:
        pixels, options = pixels > 0, {**options, "photometric": "minisblack", "compression": None}
    elif indexed is not None and picture.palette is not None and channels == 3:
        colours = np.zeros((256, 3), np.uint16)
        colours[: len(picture.palette)] = picture.palette[:, 0].astype(np.uint16) * 257
        pixels, options = indexed[..., None], {**options, "photometric": "palette", "colormap": colours.T.copy()}
    elif pixels.dtype.itemsize < 4 or pixels.dtype.kind == "f":
        options["predictor"] = True
    extratags: list[tuple[int, int, int, Any, bool]] = []
    if picture.xmp:
        extratags.append((_XMP, 1, len(picture.xmp), picture.xmp, True))
    if picture.own and picture.own[0] == "tiff" and picture.own[1][:2] == pixels.shape[:2]:
        extratags += picture.own[1][2]  # of an enlarged picture they would be wrong
    if picture.exif:
        exif = metadata.parsed_exif(picture.exif)
        for tag in _TEXTS:
            if isinstance(exif.get(tag), str):
                text = exif[tag].encode("utf-8", "replace") + b"\0"
                extratags.append((tag, 2, len(text), text, True))
        for group in (metadata.EXIF_IFD, metadata.GPS_IFD):
            if exif.get_ifd(group):
                extratags.append((group - 1, 4, 1, 0, True))
    dpi = picture.dpi
    file.write(
        pixels[..., 0] if pixels.shape[2] == 1 else pixels,
        iccprofile=picture.icc_profile,
        resolution=dpi,
        resolutionunit=2 if dpi else None,
        planarconfig="contig" if pixels.shape[2] > 1 else None,
        metadata=None,
        software=False,
        extratags=extratags,
        **options,
    )


def _append_exif(path: Path, exifs: Sequence[bytes | None]) -> None:
    """EXIF's own directories, which tifffile does not write: at the end of the file, and their places in it."""
    import tifffile

    with tifffile.TiffFile(path, mode="r+") as file:
        for page, data in zip(cast(Any, file.pages), exifs, strict=True):
            if data is None:
                continue
            exif = metadata.parsed_exif(data)
            for group in (metadata.EXIF_IFD, metadata.GPS_IFD):
                # A free number beside its own, which tifffile does not let through.
                tag = next((each for each in page.tags if each.code == group - 1), None)
                if tag is None:
                    continue
                prefix = (b"II" if file.byteorder == "<" else b"MM") + struct.pack(file.byteorder + "HI", 42, 8)
                directory = TiffImagePlugin.ImageFileDirectory_v2(ifh=prefix, group=group)
                for number, value in exif.get_ifd(group).items():
                    if not isinstance(value, dict):
                        directory[number] = value
                file.filehandle.seek(0, 2)
                file.filehandle.write(bytes(file.filehandle.tell() % 2))
                end = file.filehandle.tell()
                file.filehandle.write(directory.tobytes(end))
                file.filehandle.flush()
                tag.overwrite(end)
                file.filehandle.seek(tag.offset)
                file.filehandle.write(struct.pack(file.byteorder + "H", group))
