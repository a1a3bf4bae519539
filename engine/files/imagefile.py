"""Picture files in and out, keeping what the artist had: depth, gray, alpha, palette, colour profile, resolution, EXIF,
XMP.

Which library is behind a kind of file is this package's affair: Pillow (PNG, JPEG, WebP, AVIF, BMP, GIF, PPM), tifffile
(TIFF), psd-tools (PSD), OpenImageIO (OpenEXR, JPEG XL, deep PPM), imagecodecs (deep PNG and AVIF), pillow-heif (HEIC,
read only). Documents of Krita and OpenRaster hold the merged picture as PNG.
"""

from __future__ import annotations

import io
import os
import stat
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from engine.canvas import MAX_SIDE
from engine.errors import BadInput, EngineError
from engine.files import colour, containers, heif, oiio, pillow, psd, tiff
from engine.files.picture import Picture, straight
from engine.untrusted import require_file

_TYPES = (np.uint8, np.uint16, np.float32, np.uint32, np.int16, np.int32)
_BY_OIIO = (".exr", ".jxl", ".pfm")
_DOCUMENTS = (b"image/openraster", b"application/x-krita")
_MERGED = "mergedimage.png"
_LEAST = 128
"""Bytes of a JPEG XL file below which OpenImageIO does not recognise it."""
MAX_MERGED = 1 << 30
"""Bytes of the merged picture in a document."""


@dataclass(frozen=True)
class Look:
    """What a header says: the size of the first page, upright, and how many pages or frames there are."""

    height: int
    width: int
    pages: int


def read(path: Path, page: int = 0) -> Picture:
    """Read a picture, upright: gray stays gray, palette becomes RGB or RGBA, depth stays; CMYK and Lab become sRGB.

    Args:
        page: of several pages or frames, from 0.

    Raises:
        BadInput: not there, not a picture, damaged, or too large; no such page.
    """
    with _opened(path) as (kind, file):
        found = _look(kind, file)
        _check(path, found)
        if not 0 <= page < found.pages:
            raise BadInput("bad_page", f"{path.name} has {found.pages} pages; choose one of them with --page.")
        if isinstance(file, Path) and kind in _BY_OIIO:
            picture = oiio.read(file, page)
        elif isinstance(file, Path) and kind == ".tif":
            picture = tiff.read(file, page)
        elif isinstance(file, Path) and kind == ".psd":
            picture = psd.read(file)
        elif isinstance(file, Path) and kind == ".heic":
            picture = heif.read(file, page)
        else:
            picture = pillow.read(file, page)
        if picture.pixels.dtype not in _TYPES or not picture.pixels.size:
            raise ValueError(f"pixels of the type {picture.pixels.dtype}")
        if max(picture.pixels.shape[:2]) > MAX_SIDE:
            raise BadInput("too_large", f"{path.name} is too large; crop or scale it first.")
    return _described(picture)


def look(path: Path) -> Look:
    """What :func:`read` would return, from the file's header; raises as that does."""
    with _opened(path) as (kind, file):
        found = _look(kind, file)
        _check(path, found)
        return found


def size(path: Path) -> tuple[int, int]:
    """(height, width) of what :func:`read` would return, from the file's header; raises as that does."""
    found = look(path)
    return found.height, found.width


def _look(kind: str, file: Path | BinaryIO) -> Look:
    if isinstance(file, Path) and kind in _BY_OIIO:
        return Look(*oiio.look(file))
    if isinstance(file, Path) and kind == ".tif":
        return Look(*tiff.look(file))
    if isinstance(file, Path) and kind == ".psd":
        return Look(*psd.look(file))
    if isinstance(file, Path) and kind == ".heic":
        return Look(*heif.look(file))
    return Look(*pillow.look(file))


def _check(path: Path, found: Look) -> None:
    if max(found.height, found.width) > MAX_SIDE:
        raise BadInput("too_large", f"{path.name} is larger than {MAX_SIDE} pixels a side; crop or scale it first.")
    if found.height * found.width > containers.MAX_PIXELS:
        raise BadInput("too_large", f"{path.name} is too large; crop or scale it first.")


def _described(picture: Picture) -> Picture:
    """Without a profile that is damaged or of another number of channels."""
    if picture.icc_profile is None:
        return picture
    space = "rgb" if picture.pixels.shape[2] >= 3 else "gray"
    return picture if colour.space(picture.icc_profile) == space else replace(picture, icc_profile=None)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[str, Path | BinaryIO]]:
    """The kind of a file, by its content, and what its library opens."""
    require_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damage that is mended, and of metadata
            with open(path, "rb") as file:
                head = file.read(64)
            kind = containers.kind(head)
            if kind is None:
                raise ValueError("not a kind of picture that is read")
            if kind == ".zip":
                yield ".png", io.BytesIO(_merged(path))
            elif kind == ".ppm" and _is_deep_ppm(head):
                with _under_suffix(path, ".pfm") as right:
                    yield ".pfm", right
            elif kind in _BY_OIIO:
                with _under_suffix(path, kind) as right:
                    yield kind, right
            else:
                yield kind, path
    except EngineError:
        raise
    except MemoryError as error:
        raise BadInput("too_large", f"{path.name} is too large; crop or scale it first.", repr(error)) from error
    except Exception as error:  # what libraries make of damage has no common kind
        too_large = "Bomb" in type(error).__name__
        raise BadInput(
            "too_large" if too_large else "bad_file",
            f"{path.name} is too large; crop or scale it first."
            if too_large
            else f"{path.name} cannot be read as a picture; save it again as PNG.",
            repr(error),
        ) from error


def _is_deep_ppm(head: bytes) -> bool:
    words = b"\n".join(line.partition(b"#")[0] for line in head.split(b"\n")).split()
    return words[0] in (b"P2", b"P3", b"P5", b"P6") and len(words) > 3 and words[3].isdigit() and int(words[3]) > 255


@contextmanager
def _under_suffix(path: Path, suffix: str) -> Iterator[Path]:
    """The file under the usual suffix of its kind, by which OpenImageIO chooses its reader."""
    lacking = max(0, _LEAST - path.stat().st_size)
    if path.suffix == suffix and not lacking:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="repaint-") as folder:
        right = Path(folder) / f"picture{suffix}"
        try:
            if lacking:
                right.write_bytes(path.read_bytes() + bytes(lacking))
            else:
                right.symlink_to(path.resolve())
        except OSError:  # Windows without the right to make links
            right.write_bytes(path.read_bytes())
        yield right


def _merged(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        if archive.open("mimetype").read(64).strip() not in _DOCUMENTS:
            raise ValueError("a ZIP file that is no document of Krita or OpenRaster")
        if archive.getinfo(_MERGED).file_size > MAX_MERGED:
            raise BadInput("too_large", f"{path.name} is too large; crop or scale it first.")
        with archive.open(_MERGED) as file:
            data = file.read(MAX_MERGED)
    if containers.kind(data[:64]) != ".png":
        raise ValueError("the merged picture is no PNG")
    return data


def check_place(path: Path) -> None:
    """Raise BadInput unless a file can be written there."""
    try:
        found = path.stat()
    except FileNotFoundError:
        found = None
    except (OSError, ValueError) as error:
        raise BadInput("bad_output", f"{path.name!r} cannot be a file's name; choose another.", repr(error)) from error
    target = path.resolve()
    if not target.parent.is_dir():
        raise BadInput("bad_output", f"There is no folder {target.parent}; make it first.")
    if found is not None and not stat.S_ISREG(found.st_mode):
        raise BadInput("bad_output", f"{path} is a folder, a pipe or a device; name a file.")
    if found is not None and not os.access(path, os.W_OK):
        raise BadInput("bad_output", f"{path.name} is write-protected; choose another name.")
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=_scratch_prefix())
    except OSError as error:
        raise BadInput(
            "bad_output", f"The folder {target.parent} cannot be written to; choose another.", repr(error)
        ) from error
    try:
        os.close(handle)
    finally:
        Path(name).unlink()


def _scratch_prefix() -> str:
    """What names of files begin with that are not to stay. The process in it tells who may remove them later."""
    return f".repaint-{os.getpid()}-"


def check_output(path: Path, pictures: Sequence[Picture] = ()) -> None:
    """Raise BadInput unless ``path`` can hold these pictures without loss, in an existing folder that can be written
    to; without pictures only the name and the place are looked at."""
    containers.check(path.name, path.suffix.lower(), pictures)
    check_place(path)


def write(path: Path, *pictures: Picture) -> None:
    """Write losslessly, all or nothing: a full disk leaves the old file as it was. An old file's mode stays, and where
    ``path`` is a link, what it links to is written.

    Args:
        pictures: one, or the pages or frames of a file.

    Raises:
        BadInput: the kind of file cannot hold them.
        EngineError: ``disk_full`` or ``not_written``.
    """
    check_output(path, pictures)
    suffix, target = path.suffix.lower(), path.resolve()
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666 & ~_umask()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=_scratch_prefix(), suffix=suffix)
    os.close(handle)
    scratch = Path(name)
    try:
        _encode(scratch, suffix, [_fitting(suffix, picture) for picture in pictures])
        with open(scratch, "rb+") as file:
            os.fsync(file.fileno())
        scratch.chmod(mode)
        scratch.replace(target)
    except Exception as error:  # what libraries make of what they cannot write has no common kind
        is_full = getattr(error, "errno", None) in (28, 122) or _is_full(target.parent)
        why = "the disk is full; free some space and run again" if is_full else "choose another place or kind of file"
        raise EngineError(
            "disk_full" if is_full else "not_written", f"{path.name} was not written: {why}.", repr(error)
        ) from error
    finally:
        scratch.unlink(missing_ok=True)


def _encode(path: Path, suffix: str, pictures: list[Picture]) -> None:
    if suffix in (".tif", ".tiff"):
        tiff.write(path, pictures)
    elif suffix in (".jxl", ".exr"):
        oiio.write(path, suffix, pictures[0])
    else:
        pillow.write(path, suffix, pictures)


def _fitting(suffix: str, picture: Picture) -> Picture:
    """Straight alpha where the kind of file has no other; no profile of gray where gray becomes RGB or is sRGB's."""
    if picture.pixels.shape[2] < 3 and suffix in (".webp", ".avif", ".jxl") and not colour.in_linear_light(picture):
        picture = replace(picture, icc_profile=None)
    if suffix == ".gif":  # its palette is of colours
        wide = picture.rgba()[..., : 4 if picture.has_alpha else 3]
        palette = None if picture.palette is None else Picture(picture.palette).rgba()[..., : wide.shape[2]]
        picture = replace(picture, pixels=wide, palette=palette, associated=False)
    if picture.associated and suffix not in (".tif", ".tiff", ".exr"):
        return replace(picture, pixels=straight(picture.pixels), associated=False)
    return picture


def _is_full(folder: Path) -> bool:
    """Libraries that write by themselves do not say why they could not."""
    try:
        system = os.statvfs(folder)
    except (AttributeError, OSError):
        return False
    return system.f_bavail == 0


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
