"""Photographs and textures of real size (``python -m engine bench photo``): which they are and where they come from.

``photo/manifest.json`` names, for every case, the file in a Debian package, the part of it, how its mask is drawn and
the SHA-256 of its pixels. No picture comes with the project: packages are fetched when they are needed, the parts are
kept in a cache, the packages are not. Two thirds of the pictures are for tuning; the others are the judgement, which no
setting is tuned on. No picture is in both. None is reduced or enlarged.

Tasks:
    ``hole``     a wavy hole of 64, 128, 256 or 512 pixels; the truth is known
    ``removal``  a thing is to go; there is no truth
    ``extend``   256 pixels more on one side or on all four; the truth is known
    ``tile``     a part becomes a tile; given rolled by half, as in :mod:`engine.bench.texture`; there is no truth
    ``synthesis``  a texture of 256² goes on to 512² (the protocol of NIFTY): what is new is compared with its source
    ``big``      a hole of 1024 pixels in a picture of 8 megapixels and more, for the clock
"""

from __future__ import annotations

import hashlib
import itertools
import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import platformdirs

from engine.bench import masks
from engine.bench.cases import Case, read_picture, rolled
from engine.canvas import extend
from engine.data import debian
from engine.errors import BadInput

MANIFEST = Path(__file__).parent / "photo" / "manifest.json"
SETS = ("tuning", "judgement")
TASKS = ("hole", "extend", "removal", "tile", "synthesis", "big")
SYNTHESIS = "synthesis"
PICTURES = (".png", ".jpg", ".jpeg")
WITH_TRUTH = ("hole", "extend", "big")
CONTENTS = ("photograph", "texture")
WIDE, ROWS = 256, 512
"""Of :func:`wide`: pixels that are new, and rows of what goes on to the right."""
LICENCES = debian.GOOD_LICENCES | {"Apache-2.0", "BSD-3-Clause", "CC-BY-3.0", "CC-BY-SA-3.0"}
"""The pictures are only measured on, so what may not go into the project is good here if it may be used and shown."""


@dataclass(frozen=True)
class Entry:
    """A case of the manifest.

    Attributes:
        kind: ``photograph`` or ``texture``.
        picture: the source's short name; what shares it is in the same set.
        crop: x, y, width and height of the part.
        side: pixels of the hole, the strip or the tile; 0 where a thing's outline decides.
        sha256: of the part's pixels, RGB in rows.
        author: whom to name wherever the picture is shown; set where the licence asks for it.
    """

    name: str
    kind: str
    task: str
    set: str
    picture: str
    package: str
    version: str
    file: str
    licence: str
    crop: tuple[int, int, int, int]
    mask: dict[str, Any]
    sha256: str
    side: int = 0
    author: str = ""


@dataclass(frozen=True)
class PhotoCase(Case):
    """A case with its entry; ``kind`` is the row of the table that it belongs to, e.g. ``hole 256``."""

    entry: Entry | None = None

    @property
    def task(self) -> str:
        return self.entry.task if self.entry else self.kind

    @property
    def has_truth(self) -> bool:
        return self.task in WITH_TRUTH


def entries(which: str = "both", names: Iterable[str] | None = None) -> list[Entry]:
    """The manifest's cases of a set; only those whose name, task, picture or kind is among ``names``, if given.

    Raises:
        BadInput: an unknown set, or a name that nothing has.
    """
    if which not in (*SETS, "both"):
        raise BadInput("bad_case", f"There is no set named {which!r}; choose tuning, judgement or both.")
    found = [
        Entry(**{**case, "crop": tuple(case["crop"])}) for case in json.loads(MANIFEST.read_text("utf-8"))["cases"]
    ]
    wanted = list(names or ())
    known = {word for entry in found for word in _words(entry)}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise BadInput("bad_case", f"There is no case, task, picture or kind named {unknown[0]!r}.")
    chosen = [entry for entry in found if which in (entry.set, "both")]
    return [entry for entry in chosen if not wanted or _words(entry) & set(wanted)]


def _words(entry: Entry) -> set[str]:
    return {entry.name, entry.task, entry.picture, entry.kind, group(entry)}


def group(entry: Entry) -> str:
    """The table's row: the task and, where it has one, the size; for extensions on how many sides."""
    if entry.task == "extend":
        return "extend all sides" if entry.mask["shape"] == "expand" else "extend one side"
    return f"{entry.task} {entry.side}" if entry.side else entry.task


def drawn(chosen: list[Entry], count: int) -> list[Entry]:
    """``count`` holes at places that nobody has chosen, in turn on the photographs of ``chosen``: 128 to 384 pixels
    (evenly on a logarithmic scale), anywhere at least 32 pixels from the border. Always the same ones.

    Raises:
        BadInput: there is no photograph among them, or ``count`` is not positive.
    """
    parts = {entry.picture: entry for entry in chosen if entry.kind == "photograph" and entry.task != "big"}
    if count < 1 or not parts:
        raise BadInput(
            "bad_case", "Holes are drawn on photographs, one at least: choose other cases or a number above 0."
        )
    rng = np.random.default_rng(20)
    out = []
    for number, entry in zip(range(count), itertools.cycle(parts.values()), strict=False):
        width, height = entry.crop[2:]
        side = round(float(128 * 3 ** rng.random()))
        room = side // 2 + 32
        centre = [int(rng.integers(room, width - room)), int(rng.integers(room, height - room))]
        mask = {"shape": "blob", "centre": centre, "side": side, "seed": number}
        out.append(replace(entry, name=f"{entry.picture}-drawn-{number:02d}", task="hole", mask=mask, side=0))
    return out


def wide(cases: Iterable[PhotoCase]) -> list[PhotoCase]:
    """Two cases of each texture that has a hole among ``cases``: a hole of :data:`WIDE` pixels in its middle, and its
    middle :data:`ROWS` rows, of which the last :data:`WIDE` columns are to be found again.

    Raises:
        BadInput: there is no texture among them.
    """
    out = []
    for case in cases:
        if case.entry is None or (case.entry.kind, case.task) != ("texture", "hole"):
            continue
        name = case.entry.picture
        height, width = case.truth.shape[:2]
        middle = {"shape": "blob", "centre": [width // 2, height // 2], "side": WIDE, "seed": 1}
        right = {"shape": "edge", "side": "right", "width": WIDE}
        hole = replace(case.entry, name=f"{name}-wide-hole", task="hole", mask=middle, side=WIDE)
        more = replace(case.entry, name=f"{name}-wide-extend", task="extend", mask=right, side=WIDE)
        top = max(0, (height - ROWS) // 2)
        out += [case_of(hole, case.truth), case_of(more, np.ascontiguousarray(case.truth[top : top + ROWS]))]
    if not out:
        raise BadInput("bad_case", "There is no hole in a texture among these cases; choose other ones.")
    return out


def textures(folder: Path) -> list[PhotoCase]:
    """A synthesis of each picture in a folder, by name: it goes on to the right and below to twice its size.

    Raises:
        BadInput: there is no picture in it, or one that cannot be read.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in PICTURES)
    if not paths:
        raise BadInput("no_pictures", f"There is no PNG or JPEG picture in {folder}; name a folder of textures.")
    out = []
    for path in paths:
        own = read_picture(path)
        height, width = own.shape[:2]
        pixels = np.zeros((2 * height, 2 * width, 3), np.uint8)
        pixels[:height, :width] = own
        selection = masks.draw({"shape": "expand", "box": [0, 0, width, height]}, 2 * width, 2 * height)
        out.append(PhotoCase(path.stem, SYNTHESIS, pixels, selection))
    return out


def case_of(entry: Entry, pixels: np.ndarray) -> PhotoCase:
    """The case that an entry makes of its pixels, (height, width, 3) uint8."""
    height, width = pixels.shape[:2]
    if entry.task == "tile":
        return PhotoCase(
            entry.name, group(entry), rolled(pixels), rolled(extend.tile(pixels).selection), wrap="both", entry=entry
        )
    return PhotoCase(entry.name, group(entry), pixels, masks.draw(entry.mask, width, height), entry=entry)


class Pictures:
    """The cache of parts, filled from packages when a part is missing.

    Args:
        folder: where parts are kept; a folder of the user's cache if None. Packages (``NAME_*.deb``) that lie there
            already are used as they are.
        fetch: gives a package, or None where it cannot be had.
        report: told, in one sentence each, what cannot be had.
    """

    def __init__(
        self,
        folder: Path | None = None,
        fetch: Callable[[str, Path], debian.Package | None] = debian.fetch,
        report: Callable[[str], None] = print,
    ) -> None:
        self.folder = folder or platformdirs.user_cache_path("repaint-bridge", appauthor=False) / "bench-photo"
        self._fetch, self._report = fetch, report
        self.folder.mkdir(parents=True, exist_ok=True)

    def cases(self, wanted: list[Entry]) -> list[PhotoCase]:
        """The cases that can be had, in the given order; what cannot is reported and left out."""
        missing = [entry for entry in wanted if not self._path(entry).is_file()]
        for package in dict.fromkeys(entry.package for entry in missing):
            self._fill(package, [entry for entry in missing if entry.package == package])
        out = []
        for entry in wanted:
            pixels = self._kept(entry)
            if pixels is not None:
                out.append(case_of(entry, pixels))
        return out

    def _path(self, entry: Entry) -> Path:
        return self.folder / "parts" / f"{entry.sha256[:24]}.png"

    def _kept(self, entry: Entry) -> np.ndarray | None:
        path = self._path(entry)
        if not path.is_file():
            return None
        pixels = read_picture(path)
        if digest(pixels) == entry.sha256:
            return pixels
        path.unlink()
        self._report(f"{entry.name} is left out: its picture in the cache was damaged and is removed; run again.")
        return None

    def _fill(self, name: str, wanted: list[Entry]) -> None:
        """Take the parts out of one package."""
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            for archive in self.folder.glob(f"{name}_*.deb"):
                (Path(scratch) / archive.name).symlink_to(archive.resolve())
            package = self._fetch(name, Path(scratch))
            if package is None:
                lost = ", ".join(entry.name for entry in wanted)
                self._report(f"The package {name} cannot be had here, so these cases are left out: {lost}.")
                return
            for entry in wanted:
                self._take(entry, package)

    def _take(self, entry: Entry, package: debian.Package) -> None:
        x, y, width, height = entry.crop
        try:
            pixels = np.ascontiguousarray(read_picture(package.folder / entry.file)[y : y + height, x : x + width])
        except (BadInput, cv2.error):
            self._report(f"{entry.name} is left out: {entry.package} {package.version} has no picture {entry.file}.")
            return
        if digest(pixels) != entry.sha256:
            self._report(
                f"{entry.name} is left out: {entry.file} of {entry.package} {package.version} has other pixels than "
                f"that of version {entry.version}."
            )
            return
        path = self._path(entry)
        path.parent.mkdir(exist_ok=True)
        part = path.with_suffix(".part.png")
        cv2.imwrite(str(part), pixels[..., ::-1])
        part.replace(path)


def digest(pixels: np.ndarray) -> str:
    """SHA-256 of (H, W, 3) uint8."""
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
