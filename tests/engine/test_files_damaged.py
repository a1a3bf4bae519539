"""Damaged and hostile picture files of every kind: each ends in a picture or in one sentence, in a bounded time, and
never in a crash of the library behind it."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from engine.errors import BadInput
from engine.files import colour, imagefile
from engine.files.picture import Picture
from tests.engine import made_files
from tests.engine.made_files import XMP, ramp

resource = pytest.importorskip("resource", reason="limits of memory are set as on Unix")

NUMBER = 300
"""Damaged files of each kind."""
LONGEST = 5.0
"""Seconds for one file."""
KINDS = ("png", "png16", "apng", "jpg", "cmyk", "webp", "avif", "avif10", "tif", "tif-lzw", "tif-jpeg", "tif-palette",
         "tif-g4", "bmp", "gif", "ppm", "pfm", "exr", "exr-piz", "jxl", "jxl16", "psd", "psd-cmyk", "kra")  # fmt: skip


def make(kind: str, folder: Path) -> Path:
    """A whole file of a kind, with all that can go wrong in it."""
    suffix = "." + kind.split("-")[0].rstrip("0123456789").replace("apng", "png").replace("cmyk", "jpg")
    path = folder / f"whole{suffix}"
    image, more = Image.fromarray(ramp(3)), {"exif": made_files.exif(6), "icc_profile": colour.srgb()}
    picture = Picture(ramp(4), colour.srgb(), (300.0, 300.0), made_files.exif().tobytes()[6:], XMP)
    deep = Picture(ramp(3, np.uint16), colour.srgb(), None, picture.exif, XMP)
    if kind in ("png", "jpg", "webp", "avif"):
        image.save(path, **more)
    elif kind == "cmyk":
        image.convert("CMYK").save(path, icc_profile=made_files.cmyk_profile())
    elif kind in ("bmp", "gif", "ppm"):
        image.convert("P" if kind == "gif" else "RGB").save(path)
    elif kind == "pfm":
        path.write_bytes(b"PF\n32 24\n-1.0\n" + ramp(3, np.float32).tobytes())
    elif kind == "apng":
        imagefile.write(path, picture, picture)
    elif kind in ("tif-lzw", "tif-jpeg"):
        tifffile.imwrite(path, ramp(3), compression=kind[4:], photometric="rgb", tile=(16, 16))
    elif kind == "tif-palette":
        image.quantize(16).save(path)
    elif kind == "tif-g4":
        image.convert("1").save(path, compression="group4")
    elif kind == "exr-piz":
        _piz(path)
    elif kind.startswith("psd"):
        own = (255 - ramp(4), made_files.cmyk_profile(), 4) if kind == "psd-cmyk" else (ramp(3), colour.srgb(), 3)
        path.write_bytes(made_files.psd(*own))
    elif kind == "kra":
        made_files.document(path, made_files.png(ramp(3)), "application/x-krita")
    else:
        own = {
            "png16": deep,
            "avif10": Picture(deep.pixels, bits=10),
            "tif": picture,
            "exr": Picture(ramp(4, np.float32), bits=16, associated=True),
            "jxl": picture,
            "jxl16": deep,
        }[kind]
        imagefile.write(path, own)
    return path


def _piz(path: Path) -> None:
    import OpenImageIO

    spec = OpenImageIO.ImageSpec(32, 24, 3, "half")
    spec.attribute("compression", "piz")
    writer = OpenImageIO.ImageOutput.create(str(path))
    writer.open(str(path), spec)
    writer.write_image(ramp(3, np.float16))
    writer.close()


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Cut short, or with a few bytes changed, mostly in its head; of a document the picture in it."""
    if data.startswith(b"PK") and chance.random() < 0.7:
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as whole, zipfile.ZipFile(out, "w") as archive:
            for name in whole.namelist():
                archive.writestr(name, whole.read(name) if name == "mimetype" else damaged(whole.read(name), chance))
        return out.getvalue()
    if chance.random() < 0.25:
        return data[: chance.randrange(len(data))]
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5, 30))):
        at = chance.randrange(len(data) if chance.random() < 0.4 else min(len(data), 400))
        changed[at] = chance.choice((0, 255, chance.randrange(256), changed[at] ^ (1 << chance.randrange(8))))
    return bytes(changed)


def read_damaged(kinds: list[str], folder: Path) -> None:
    """In a process of its own: read damaged files of these kinds; raises what is no sentence."""
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    for kind in kinds:
        whole = make(kind, folder)
        data, chance = whole.read_bytes(), random.Random(kind)
        imagefile.read(whole)
        good, sentences = 0, set()
        for number in range(NUMBER):
            path = whole.with_stem(f"damaged-{kind}")
            path.write_bytes(damaged(data, chance))
            began = time.process_time()
            try:
                picture = imagefile.read(path)
                assert picture.pixels.dtype in (np.uint8, np.uint16, np.float32)
                assert picture.pixels.ndim == 3
                assert picture.rgba().shape[2] == 4
                good += 1
            except BadInput as error:
                sentences.add(error.sentence)
            assert time.process_time() - began < LONGEST, f"{kind} {number}"
        assert all(each.endswith(".") and "\n" not in each for each in sentences), sentences
        print(kind, good, flush=True)


@pytest.mark.parametrize("kinds", [KINDS[::2], KINDS[1::2]], ids=["even", "odd"])
@pytest.mark.slow
def test_damaged_files_end_in_sentences(tmp_path, kinds):
    code = (
        "import sys; from pathlib import Path; from tests.engine.test_files_damaged import read_damaged;"
        "read_damaged(sys.argv[2:], Path(sys.argv[1]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path), *kinds], capture_output=True, text=True)
    assert done.returncode == 0, f"after {done.stdout.split()[-2:]}: {done.stderr[-2000:]}"
    told = dict(line.split() for line in done.stdout.splitlines())
    assert set(told) == set(kinds)
    assert all(int(good) < NUMBER for good in told.values()), "nothing was damaged"


def _header(kind: str, side: int) -> bytes:
    """A file that promises that many pixels a side and holds none."""
    small = {"bmp": b"BM", "gif": b"GIF89a", "psd": b"8BPS"}
    if kind == "bmp":
        return small[kind] + (54).to_bytes(4, "little") + bytes(4) + b"\x36\0\0\0\x28\0\0\0" + (
            side.to_bytes(4, "little") * 2 + b"\1\0\x18\0" + bytes(24)
        )  # fmt: skip
    if kind == "gif":
        return small[kind] + min(side, 65535).to_bytes(2, "little") * 2 + bytes(3) + b";"
    if kind == "psd":
        return small[kind] + b"\0\1" + bytes(6) + b"\0\3" + side.to_bytes(4, "big") * 2 + b"\0\x08\0\3" + bytes(20)
    if kind == "ppm":
        return b"P6\n%d %d\n255\n" % (side, side)
    return b"PF\n%d %d\n-1.0\n" % (side, side)


@pytest.mark.parametrize("side", [16000, 60000])
@pytest.mark.parametrize("kind", ["bmp", "gif", "psd", "ppm", "pfm"])
def test_promised_sizes_are_looked_at_before_pixels(tmp_path, kind, side):
    path = tmp_path / f"a.{kind}"
    path.write_bytes(_header(kind, side))
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadInput, match=r"larger than 16384 pixels|is too large|cannot be read"):
        imagefile.read(path)
    assert time.process_time() - began < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_a_document_whose_picture_is_a_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(imagefile, "MAX_MERGED", 1 << 20)
    with zipfile.ZipFile(tmp_path / "a.ora", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "image/openraster")
        archive.writestr("mergedimage.png", bytes((1 << 20) + 1))
    with pytest.raises(BadInput, match="too large"):
        imagefile.read(tmp_path / "a.ora")
