"""Maps beside the picture (``--with``): normals, height, roughness and other files of the same texture."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine import canvas
from engine.errors import BadInput
from engine.files import Picture, containers, imagefile
from engine.run import Map, maps

if TYPE_CHECKING:
    from engine.canvas import extend
    from engine.run import Finished, Job

_NORMAL = re.compile(r"(?i)(^|[^a-z])(n|nor|norm|nrm|normals?(gl|dx|ogl)?)([^a-z]|$)")
_COLOUR = re.compile(
    r"(?i)(^|[^a-z])(albedo|basecolou?r|col|colou?r|diff|diffuse|emissive|emission|specular)([^a-z]|$)"
)
_PARTS = "_-. "


@dataclass(frozen=True)
class Companion:
    """A map in a file.

    Attributes:
        path: of it.
        picture: what it holds.
        kind, weight: as of :class:`engine.run.Map`.
        ending: of the names of its results, with its suffix.
    """

    path: Path
    picture: Picture
    kind: str
    weight: float
    ending: str

    def map(self, framed: extend.Framed | None = None) -> Map:
        """As a job takes it; ``framed``: in a frame, as the picture is."""
        pixels = self.picture.rgba()
        return Map(self.path.name, pixels if framed is None else framed.rgba(pixels), self.kind, self.weight)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--with", action="append", metavar="MAP[:KIND]",
        help="a map of the same size, filled from the same places and written beside OUT; KIND is colour, normal or "
        "values (default: guessed from its name); can be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--with-weight", action="append", type=float, metavar="W",
        help="how much a map counts compared with the picture, 0.01 … 100 (default 1); one for all, or one for each",
    )  # fmt: skip


def named(arguments: argparse.Namespace) -> list[tuple[Path, str]]:
    """File and kind of each map."""
    return [parted(text) for text in getattr(arguments, "with", None) or []]


def parted(text: str) -> tuple[Path, str]:
    """``FILE:KIND`` as file and kind; without a kind what the name says.

    Raises:
        BadInput: no such kind.
    """
    name, colon, kind = text.rpartition(":")
    if not colon or not name or "/" in kind or "\\" in kind or Path(text).is_file():
        return Path(text), _kind(Path(text).stem)
    if kind not in maps.KINDS:
        if "." in kind or len(name) == 1:  # a name that holds a colon, or a drive
            return Path(text), _kind(Path(text).stem)
        raise BadInput("bad_maps", f"The kind of a map is {', '.join(maps.KINDS)}, not {kind!r}.")
    return Path(name), kind


def _kind(stem: str) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", stem).replace("_", " ")  # of wallNormal and NormalGL, too
    if _NORMAL.search(words):
        return "normal"
    return "colour" if _COLOUR.search(words) else "values"


def weights(arguments: argparse.Namespace, number: int) -> list[float]:
    """Weights of so many maps.

    Raises:
        BadInput: neither one nor as many were given.
    """
    given = arguments.with_weight or [1.0]
    if len(given) not in (1, number):
        sentence = (
            f"There are {len(given)} weights for {number} maps; give --with-weight once, or once for each --with."
        )
        raise BadInput("bad_maps", sentence)
    return given * number if len(given) == 1 else given


def check(arguments: argparse.Namespace) -> None:
    """What can be told from the files' headers; raises BadInput."""
    files = named(arguments)
    if not files:
        if arguments.with_weight:
            raise BadInput("bad_maps", "--with-weight needs a map; add --with MAP.")
        return
    weights(arguments, len(files))
    if getattr(arguments, "streamed", False):
        raise BadInput("bad_output", "Standard output holds one picture; name a file, its maps are written beside it.")
    if imagefile.look(arguments.image).pages > 1:
        raise BadInput("bad_maps", f"{arguments.image.name} has several pages; save the one with maps by itself.")
    endings = [ending(path, arguments.image) for path, _ in files]
    if len(set(endings)) < len(endings) or len({path.name for path, _ in files}) < len(files):
        raise BadInput("bad_maps", "Two maps would have results of the same name; give them other names.")
    height, width = imagefile.size(arguments.image)
    for path, _ in files:
        if imagefile.look(path).pages > 1:
            raise BadInput("bad_maps", f"{path.name} has several pages; save the one to use by itself.")
        rows, columns = imagefile.size(path)
        if (rows, columns) != (height, width):
            raise BadInput(
                "size_mismatch",
                f"The map {path.name} is {columns} × {rows} pixels but the picture is {width} × {height}; make both "
                "the same size.",
            )


def read(arguments: argparse.Namespace) -> list[Companion]:
    """All of them; raises BadInput as :func:`check`, and where a file is no picture."""
    check(arguments)
    files = named(arguments)
    return [
        Companion(path, imagefile.read(path), kind, weight, ending(path, arguments.image))
        for (path, kind), weight in zip(files, weights(arguments, len(files)), strict=True)
    ]


def of_state(job: Job) -> list[Companion]:
    """Those that a kept state has, as files hold them: without alpha where they are opaque, gray where they are."""
    made = []
    for each in job.maps:
        pixels = each.pixels[..., :3] if canvas.opaque(each.pixels).all() else each.pixels
        gray = bool((pixels[..., 1:3] == pixels[..., :1]).all())
        if gray and each.kind != "normal":
            pixels = pixels[..., [0] if pixels.shape[2] == 3 else [0, 3]]
        path = Path(each.name)
        suffix = ".tif" if pixels.dtype.kind == "f" and path.suffix.lower() != ".exr" else _suffix(path)
        pixels = pixels.astype(np.float32) if pixels.dtype == np.float16 else pixels
        made.append(
            Companion(path, Picture(np.ascontiguousarray(pixels)), each.kind, each.weight, f"_{path.stem}{suffix}")
        )
    return made


def ending(path: Path, image: Path) -> str:
    """What the name of a map's result has behind that of the picture's: of ``wall_normal.png`` beside
    ``wall_colour.jpg`` it is ``_normal.png``."""
    common = 0
    for here, (one, other) in enumerate(zip(path.stem, image.stem, strict=False)):
        if one != other:
            break
        common = here + 1 if one in _PARTS or len(image.stem) == here + 1 else common
    own = path.stem[common:].lstrip(_PARTS) or path.stem
    return f"_{own}{_suffix(path)}"


def _suffix(path: Path) -> str:
    """Suffix of a result: the file's own, if such files are written."""
    if path.suffix.lower() in containers.CONTAINERS:
        return path.suffix
    return ".tif" if path.suffix.lower() == ".pfm" else ".png"


def results(out: Path, companions: Sequence[Companion]) -> list[Path]:
    """Where the maps' results go that belong to one variant's."""
    return [out.with_name(out.stem + each.ending) for each in companions]


def check_place(place: Path, files: Sequence[Path]) -> None:
    """Raise BadInput where a result would take the place of one of these files, which were read."""
    for each in files:
        if place.exists() and each.exists() and place.samefile(each):
            sentence = f"A result would overwrite {each.name}, which this run reads; choose another name for OUT."
            raise BadInput("bad_output", sentence)


def framed(
    companions: Sequence[Companion], frame: Callable[[np.ndarray], extend.Framed]
) -> list[tuple[Companion, extend.Framed]]:
    """Each map in its frame."""
    frames = [frame(each.picture.pixels) for each in companions]
    return [
        (replace(each, picture=replace(each.picture, pixels=own.pixels)), own)
        for each, own in zip(companions, frames, strict=True)
    ]


def finished(event: Finished, companions: Sequence[Companion], alpha: str) -> list[Picture]:
    """The maps with what was painted; normals keep unit length under a soft edge, too."""
    made = []
    for each, fill in zip(companions, event.map_fills, strict=True):
        picture = each.picture
        pixels = canvas.composite(picture.pixels, event.selection, fill, event.region, alpha, picture.associated)
        soft = (event.selection > 0) & (event.selection < 255)
        if each.kind == "normal" and pixels.shape[2] >= 3 and soft.any():
            some = pixels[soft][None]
            some[..., :3] = maps.renewed(some[..., :3])
            pixels[soft] = some[0]
        made.append(replace(picture, pixels=pixels))
    return made
