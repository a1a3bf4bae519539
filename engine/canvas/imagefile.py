"""Picture files in and out, keeping what the artist had: bit depth, gray, alpha, colour profile, resolution.

8-bit files go through Pillow; 16-bit colour, which Pillow reduces to 8 bits without a word, goes through OpenCV.
"""

from __future__ import annotations

import os
import struct
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps

from engine.canvas import MAX_SIDE
from engine.errors import BadInput, EngineError
from engine.untrusted import require_file

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "PPM")
"""What is read. Pillow knows more by itself, among them EPS, for which it starts Ghostscript."""
LOSSLESS = (".png", ".tif", ".tiff", ".webp", ".bmp")
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Picture:
    """A picture file in memory.

    Attributes:
        pixels: (H, W, C) uint8 or uint16; C = 1 gray, 2 gray + alpha, 3 RGB, 4 RGBA, straight alpha.
        icc_profile: the embedded colour profile, or None.
        dpi: (x, y) resolution, or None.
    """

    pixels: np.ndarray
    icc_profile: bytes | None = None
    dpi: tuple[float, float] | None = None

    def rgba8(self) -> np.ndarray:
        """What the engine sees: (H, W, 4) uint8, straight alpha."""
        pixels = self.pixels
        if pixels.dtype == np.uint16:
            pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
        channels = pixels.shape[2]
        alpha = pixels[..., -1:] if channels in (2, 4) else np.full((*pixels.shape[:2], 1), 255, np.uint8)
        colour = pixels[..., :3] if channels >= 3 else np.repeat(pixels[..., :1], 3, axis=2)
        return np.concatenate([colour, alpha], axis=2)


def read(path: Path) -> Picture:
    """Read a picture: gray stays gray, palette becomes RGB or RGBA, 16-bit stays 16-bit.

    Raises:
        BadInput: not there, not a picture, damaged, or too large.
    """
    with _opened(path) as image:
        icc, dpi = image.info.get("icc_profile"), image.info.get("dpi")
        pixels = _read_deep(path) if _is_deep(path, image) else _to_array(ImageOps.exif_transpose(image))
    return Picture(pixels, icc, dpi)


def size(path: Path) -> tuple[int, int]:
    """(height, width) of what :func:`read` would return, from the file's header; raises as that does."""
    with _opened(path) as image:
        turned = not _is_deep(path, image) and image.getexif().get(ExifTags.Base.Orientation) in range(5, 9)
        return (image.width, image.height) if turned else (image.height, image.width)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The picture, of which only the header has been read."""
    require_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                if max(image.size) > MAX_SIDE:
                    raise BadInput(
                        "too_large", f"{path.name} is larger than {MAX_SIDE} pixels a side; crop or scale it first."
                    )
                yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadInput("too_large", f"{path.name} is too large; crop or scale it first.", str(error)) from error
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, cv2.error) as error:
        raise BadInput(
            "bad_file", f"{path.name} cannot be read as a picture; save it again as PNG.", repr(error)
        ) from error


def check_output(path: Path) -> None:
    """Raise BadInput unless ``path`` can hold a lossless picture in an existing folder."""
    if path.suffix.lower() not in LOSSLESS:
        raise BadInput(
            "bad_output", f"{path.name} would lose detail or is no picture file; choose a name that ends in .png."
        )
    if not path.parent.is_dir():
        raise BadInput("bad_output", f"There is no folder {path.parent}; make it first.")


def write(path: Path, picture: Picture) -> None:
    """Write losslessly, all or nothing: a full disk leaves the old file as it was.

    Raises:
        EngineError: ``disk_full`` or ``not_written``.
    """
    check_output(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".repaint-", suffix=path.suffix)
    os.close(handle)
    scratch = Path(name)
    try:
        if picture.pixels.dtype == np.uint16:
            scratch.write_bytes(_encode_deep(path, picture))
        else:
            _to_image(picture.pixels).save(scratch, **_save_options(path, picture))
        with open(scratch, "rb+") as file:
            os.fsync(file.fileno())
        scratch.chmod(0o666 & ~_umask())
        scratch.replace(path)
    except OSError as error:
        code = "disk_full" if error.errno in (28, 122) else "not_written"
        why = "the disk is full; free some space" if code == "disk_full" else "the folder cannot be written to"
        raise EngineError(code, f"{path.name} was not written: {why} and run again.", repr(error)) from error
    finally:
        scratch.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _is_deep(path: Path, image: Image.Image) -> bool:
    if image.format == "PNG":
        with open(path, "rb") as file:
            return file.read(26)[24] == 16
    if image.format == "TIFF":
        bits = image.tag_v2.get(258, 8)  # type: ignore[attr-defined]
        return max(bits if isinstance(bits, tuple) else (bits,)) == 16
    return image.mode.startswith("I;16")


def _read_deep(path: Path) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise ValueError("not a 16-bit picture that OpenCV can read")
    if pixels.ndim == 2:
        return pixels[..., None]
    if pixels.shape[2] == 4:
        rgba = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA)
        gray = bool((rgba[..., 0] == rgba[..., 1]).all() and (rgba[..., 1] == rgba[..., 2]).all())
        return rgba[..., [0, 3]] if gray and _png_is_gray(path) else rgba
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _png_is_gray(path: Path) -> bool:
    """PNG colour type 4: gray with alpha, which OpenCV widens to four channels."""
    with open(path, "rb") as file:
        header = file.read(26)
    return header[:8] == _PNG and header[25] == 4


def _to_array(image: Image.Image) -> np.ndarray:
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


def _to_image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _save_options(path: Path, picture: Picture) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if picture.icc_profile:
        options["icc_profile"] = picture.icc_profile
    if picture.dpi:
        options["dpi"] = picture.dpi
    if path.suffix.lower() == ".webp":
        options |= {"lossless": True, "exact": True}
    return options


def _encode_deep(path: Path, picture: Picture) -> bytes:
    suffix = ".tif" if path.suffix.lower() in (".tif", ".tiff") else ".png"
    pixels = picture.pixels
    if pixels.shape[2] == 2:
        pixels = pixels[..., [0, 0, 0, 1]]
    if pixels.shape[2] >= 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(suffix, pixels)
    if not done:
        raise OSError(f"OpenCV could not encode {suffix}")
    encoded = data.tobytes()
    if suffix == ".png" and picture.icc_profile:
        body = b"iCCP" + b"icc\x00\x00" + zlib.compress(picture.icc_profile)
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        encoded = encoded[:33] + chunk + encoded[33:]  # right after the signature and IHDR
    return encoded
