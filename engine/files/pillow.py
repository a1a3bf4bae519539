"""PNG, JPEG, WebP, AVIF, BMP, GIF and PPM: what Pillow reads and writes, and the deep PNG and AVIF beside it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import Image

from engine.files import colour, metadata
from engine.files.picture import Picture, indexes

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "PPM", "AVIF")
"""What is opened. Pillow knows more by itself, among them EPS, for which it starts Ghostscript."""
_SHIFTED = 0.1
"""A PNG's exponent so far from sRGB's 2.2 is meant."""


@contextmanager
def _opened(file: Path | BinaryIO) -> Iterator[Image.Image]:
    with Image.open(file, formats=FORMATS) as image:
        yield image


def look(file: Path | BinaryIO) -> tuple[int, int, int]:
    """(height, width, frames) from the header."""
    with _opened(file) as image:
        _, orientation = metadata.exif_bytes(Image.Image.getexif(image))  # a PNG's own would decode it
        frames = 1 if image.format in ("JPEG", "MPO") else getattr(image, "n_frames", 1)
        width, height = image.size if orientation < 5 else image.size[::-1]
        return height, width, frames


def read(file: Path | BinaryIO, frame: int = 0) -> Picture:
    with _opened(file) as image:
        if frame or getattr(image, "n_frames", 1) > 1:
            image.seek(frame)
        exif, orientation = metadata.exif_bytes(image.getexif())  # of a PNG all chunks are read then
        dpi = metadata.resolution(image.info.get("dpi")) or metadata.exif_resolution(exif)
        icc = image.info.get("icc_profile") or None
        xmp = metadata.upright_xmp(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"))
        pixels, bits = _deep(file, image)
        palette = None
        notes: tuple[str, ...] = ()
        if pixels is None and image.mode == "CMYK":
            pixels = colour.from_cmyk(np.asarray(image), icc)
            icc, notes = colour.srgb(), ("The picture is CMYK; the result is sRGB.",)
        elif pixels is None:
            palette = _palette(image)
            pixels = _pixels(image)
        if icc is None and image.format in ("PNG", "AVIF"):
            icc = _told_profile(_bytes(file)[:65536], image, pixels.shape[2] < 3)
        duration, loop = image.info.get("duration"), image.info.get("loop")
    pixels = metadata.upright(pixels, orientation)
    dpi = metadata.upright_dpi(dpi, orientation)
    return Picture(pixels, icc, dpi, exif, xmp, palette, bits=bits, notes=notes, duration=duration, loop=loop)


def _deep(file: Path | BinaryIO, image: Image.Image) -> tuple[np.ndarray | None, int | None]:
    """Pixels of more than 8 bits, which Pillow reduces without a word, and how many bits; None, None for others."""
    if image.format not in ("PNG", "AVIF"):
        return None, None
    data = _bytes(file)
    bits = data[24] if image.format == "PNG" else _avif_bits(data)
    if bits <= 8:
        return None, None

    import imagecodecs

    if image.format == "PNG":
        pixels = imagecodecs.png_decode(data)
        return pixels[..., None] if pixels.ndim == 2 else pixels, None
    most = 2**bits - 1
    found = imagecodecs.avif_decode(data, 0).astype(np.uint32)
    pixels = ((found * 65535 + most // 2) // most).astype(np.uint16)
    return pixels[..., None] if pixels.ndim == 2 else pixels, bits


def _bytes(file: Path | BinaryIO) -> bytes:
    if isinstance(file, Path):
        return file.read_bytes()
    file.seek(0)
    return file.read()


def _avif_bits(data: bytes) -> int:
    """From the AV1 codec configuration, which is among the first boxes."""
    at = data.find(b"av1C", 0, 65536)
    flags = data[at + 6] if 0 <= at < len(data) - 6 else 0
    return 8 if not flags & 0x40 else (12 if flags & 0x20 else 10)


def _told_profile(head: bytes, image: Image.Image, is_gray: bool) -> bytes | None:
    """A profile for what a file says by code points, or a PNG by exponent and primaries; None for sRGB's."""
    name, places = (b"cICP", (4, 5)) if image.format == "PNG" else (b"colrnclx", (9, 11))
    at = head.find(name)
    if 0 <= at < len(head) - 12:
        return colour.of_code_points(head[at + places[0]], head[at + places[1]], is_gray)
    gamma = image.info.get("gamma")
    if not gamma or "srgb" in image.info:
        return None
    exponent, primaries = 1 / gamma, colour.REC709
    if image.info.get("chromaticity"):
        white, rest = image.info["chromaticity"][:2], image.info["chromaticity"][2:]
        primaries = (*rest, *white)
    if abs(exponent - 2.2) < _SHIFTED and np.allclose(primaries, colour.REC709, atol=0.005):
        return None
    if not 0.1 < exponent < 10:
        return None
    made = colour.gray(exponent) if is_gray else colour.rgb(exponent, tuple(primaries))
    return made if colour.space(made) else None


def _palette(image: Image.Image) -> np.ndarray | None:
    """(N, 1, 3 or 4) of an indexed file, black and white of a 1-bit file."""
    if image.mode == "1" and "transparency" not in image.info:
        return np.array([[[0]], [[255]]], np.uint8)
    if image.mode != "P" or getattr(image, "n_frames", 1) > 1:
        return None
    number = len(image.getpalette() or ()) // 3
    every = Image.new("P", (1, number))
    every.putdata(range(number))
    every.putpalette(image.getpalette() or ())
    if "transparency" in image.info:
        every.info["transparency"] = image.info["transparency"]
    return _pixels(every)


def _pixels(image: Image.Image) -> np.ndarray:
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if image.mode == "PA" or "transparency" in image.info else "RGB")
    elif image.mode in ("1", "L") and "transparency" in image.info:
        image = image.convert("LA")
    elif image.mode == "RGB" and "transparency" in image.info:
        image = image.convert("RGBA")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode in ("I", "F"):
        raise ValueError(f"pixel type {image.mode} is not supported")
    elif image.mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("RGB")
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def write(path: Path, suffix: str, frames: Sequence[Picture]) -> None:
    """Write what :mod:`engine.files.containers` lets through."""
    first = frames[0]
    if suffix == ".avif":
        path.write_bytes(_avif(first))
        return
    if first.pixels.dtype == np.uint16:
        path.write_bytes(_deep_png(first) if suffix == ".png" else _deep_ppm(first))
        return
    may_be_indexed = suffix in (".png", ".gif", ".bmp")
    images = [(may_be_indexed and _indexed(each)) or _plain(each.pixels) for each in frames]
    for image in images if suffix == ".gif" else ():  # one colour at most is transparent there
        clear = image.info.pop("transparency", b"").find(b"\0")
        if clear >= 0:
            image.info["transparency"] = clear
    options = _options(suffix, first, images[0])
    if len(frames) > 1:
        durations = [picture.duration or 100 for picture in frames]
        options |= {"save_all": True, "append_images": images[1:], "duration": durations}
        if first.loop is not None or suffix != ".gif":  # a GIF that does not say is shown once
            options["loop"] = 1 if first.loop is None else first.loop
        if suffix == ".gif":
            options["disposal"] = 2
    images[0].save(path, **options)


def _plain(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _indexed(picture: Picture) -> Image.Image | None:
    """A 1-bit or indexed image with the file's own palette, where all colours are in it."""
    found, palette = indexes(picture), picture.palette
    if found is None or palette is None or (palette.shape[2] < 3 and not picture.is_bilevel):
        return None
    if picture.is_bilevel:
        return Image.fromarray(picture.pixels[..., 0]).convert("1", dither=Image.Dither.NONE)
    image = Image.fromarray(found).convert("L")
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette(palette[:, 0, :3].tobytes())
    if palette.shape[2] == 4:
        image.info["transparency"] = palette[:, 0, 3].tobytes()
    return image


def _options(suffix: str, picture: Picture, image: Image.Image) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if picture.icc_profile and suffix in (".png", ".webp"):
        options["icc_profile"] = picture.icc_profile
    if picture.dpi and suffix in (".png", ".bmp"):
        options["dpi"] = picture.dpi
    exif = metadata.exif_for(picture, suffix == ".webp")
    if exif and suffix in (".png", ".webp"):
        options["exif"] = exif
    if picture.xmp and suffix == ".webp":
        options["xmp"] = picture.xmp
    if suffix == ".webp":
        options |= {"lossless": True, "exact": True}
    if suffix == ".png" and picture.xmp:
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", picture.xmp.decode("utf-8", "replace"))
        options["pnginfo"] = info
    if suffix == ".png" and "transparency" in image.info:
        options["transparency"] = image.info["transparency"]
    if suffix == ".gif":
        options["optimize"] = False
    return options


def _avif(picture: Picture) -> bytes:
    """AVIF without loss, of 8 bits or of those that an AVIF file had."""
    pixels, depth = picture.pixels, 8
    if pixels.dtype == np.uint16:
        depth = picture.bits or 12
        most = 2**depth - 1
        pixels = ((pixels.astype(np.uint32) * most + 32767) // 65535).astype(np.uint16)
    if pixels.shape[2] == 2:
        pixels = pixels[..., [0, 0, 0, 1]]
    if pixels.shape[2] > 1:
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    exif = metadata.exif_for(picture, True)
    parts = [
        (cv2.IMAGE_METADATA_ICCP, picture.icc_profile),
        (cv2.IMAGE_METADATA_EXIF, exif and b"Exif\0\0" + exif),
        (cv2.IMAGE_METADATA_XMP, picture.xmp),
    ]
    given = [(kind, np.frombuffer(data, np.uint8)) for kind, data in parts if data]
    how = [cv2.IMWRITE_AVIF_QUALITY, 100, cv2.IMWRITE_AVIF_DEPTH, depth]
    done, data = cv2.imencodeWithMetadata(
        ".avif", np.ascontiguousarray(pixels), [kind for kind, _ in given], [data for _, data in given], how
    )
    if not done:
        raise OSError("OpenCV could not encode AVIF")
    return bytes(data.tobytes())


def _deep_png(picture: Picture) -> bytes:
    """16 bits per sample, with what the file says beside them."""
    import imagecodecs

    pixels = picture.pixels
    encoded = imagecodecs.png_encode(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
    chunks = b""
    if picture.icc_profile:
        chunks += _chunk(b"iCCP", b"icc\0\0" + zlib.compress(picture.icc_profile))
    if picture.dpi:
        chunks += _chunk(b"pHYs", struct.pack(">IIB", *(round(each / 0.0254) for each in picture.dpi), 1))
    exif = metadata.exif_for(picture)
    if exif:
        chunks += _chunk(b"eXIf", exif)
    if picture.xmp:
        chunks += _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + picture.xmp)
    return bytes(encoded[:33]) + chunks + bytes(encoded[33:])  # right after the signature and IHDR


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _deep_ppm(picture: Picture) -> bytes:
    height, width, channels = picture.pixels.shape
    out = io.BytesIO()
    out.write(b"P%d\n%d %d\n65535\n" % (5 if channels == 1 else 6, width, height))
    out.write(picture.pixels.astype(">u2").tobytes())
    return out.getvalue()
