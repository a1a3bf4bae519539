"""Which files are opened as pictures: a list of formats, regular files, and headers before pixels."""

from __future__ import annotations

import os
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.commands import cli
from engine.data import build
from engine.errors import BadInput
from engine.files import imagefile

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\n0 0 40 40 rectfill\nshowpage\n%%EOF\n"


@pytest.fixture
def ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in that leaves a mark when it is started."""
    program, mark = tmp_path / "bin" / "gs", tmp_path / "started"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch '{mark}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    return mark


def _command(folder: Path, image: Path, mask: Path) -> list[str]:
    return ["inpaint", str(image), "--mask", str(mask), "-o", str(folder / "o.png"), "--model", "test/gaussian"]


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain.png"
    Image.new("L", (40, 40), 255).save(path)
    return path


def test_a_program_named_picture_starts_nothing(
    tmp_path: Path, plain: Path, ghostscript: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(EPS)
    for image, mask in ((path, plain), (plain, path)):
        assert cli.main(_command(tmp_path, image, mask)) == 2
        assert "cannot be read as a picture" in capsys.readouterr().err
    candidate = build.Candidate("a", "1", "wall.png", "CC0-1.0", "texture", lambda: EPS, chosen=True)
    assert build._judge(candidate)[1] == "unreadable"
    assert not ghostscript.exists()


@pytest.mark.parametrize("kind", ["TGA", "ICO", "PCX", "SGI", "DDS", "PDF", "EPS"])
def test_other_formats_are_not_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (16, 16)).save(path, format=kind)
    with pytest.raises(BadInput, match="save it again as PNG"):
        imagefile.read(path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "MPO"])
def test_the_usual_formats_are(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.file"
    Image.new("RGB", (16, 12)).save(path, format=kind)
    assert imagefile.read(path).pixels.shape == (12, 16, 3)
    assert imagefile.size(path) == (12, 16)


def test_a_turned_photographs_size_is_that_of_its_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    for orientation in range(1, 9):
        exif[0x0112] = orientation
        Image.new("RGB", (16, 12)).save(tmp_path / "a.jpg", exif=exif)
        assert imagefile.size(tmp_path / "a.jpg") == imagefile.read(tmp_path / "a.jpg").pixels.shape[:2]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipes_and_devices_are_refused_at_once(tmp_path: Path, plain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    for place in (pipe, Path("/dev/zero"), tmp_path):
        for image, mask in ((place, plain), (plain, place)):
            assert cli.main(_command(tmp_path, image, mask)) == 2
            assert "name a file" in capsys.readouterr().err


def _deep_header(path: Path, side: int) -> None:
    """A 16-bit RGB PNG of that size whose pixels are not there."""
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 16, 2, 0, 0, 0)
    chunks = [struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))]
    for name in (b"IDAT", b"IEND"):
        chunks.append(struct.pack(">I", 0) + name + struct.pack(">I", zlib.crc32(name)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def test_sizes_are_compared_before_pixels_are_read(
    tmp_path: Path, plain: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    large = tmp_path / "large.png"
    _deep_header(large, 9400)
    monkeypatch.setattr(imagefile.pillow, "read", lambda *_: np.zeros(1 / 0))
    began = time.process_time()
    learn = ["learn", str(plain), "--mask", str(large), "--steps", "1", "-o", str(tmp_path / "model")]
    for command in (_command(tmp_path, large, plain), _command(tmp_path, plain, large), learn):
        assert cli.main(command) == 2
        assert "make both the same size" in capsys.readouterr().err
    assert time.process_time() - began < 10
