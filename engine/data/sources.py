"""Where pictures come from. Each source yields candidates lazily; nothing is decoded here.

To add a source: one function that yields :class:`Candidate` and one line in :func:`all_sources`.
GIMP's and Krita's own pattern libraries are no sources, ever: people will try the model on them.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from engine.data import debian, procedural

PROCEDURAL_COUNT = 3100
"""How many procedural pictures: a hundred of each family."""

EXCLUDED = ("Picture_0B_by_freespace", "OneStandsOut", "Path/")
"""Words in paths that keep a picture out altogether: photographs of demonstrations."""

_IMAGE = re.compile(r"\.(jpe?g|png|tga|webp)$", re.IGNORECASE)
_ARCHIVES = {
    "openarena-081-textures": "GPL-2+",
    "nexuiz-textures": "GPL-2+",
    "ufoai-textures": "unknown",
    "sweethome3d": "unknown",
}
"""Packages of textures in zip archives, with the licence that their free-form copyright file names for all files."""

_PLASMA_PHOTOGRAPHS = (
    "BytheWater", "ColdRipple", "ColorfulCups", "EveningGlow", "FallenLeaf", "Grey", "Kite", "Path", "Autumn", "Shell",
)  # fmt: skip
_MATE_NOT = re.compile(r"desktop/|Arc-|Flow|Gulp|Silk|Spring|Waves|Elephants_|Float")
_LOMIRI_NOT = re.compile(r"warty|Painting|Infinite|umang|ubuntu|default", re.IGNORECASE)


@dataclass(frozen=True)
class Candidate:
    """A picture that may join the corpus.

    Attributes:
        origin: its path inside the source.
        read: gives the encoded file; None for procedural pictures.
        seed: set for procedural pictures, whose pixels are computed.
        chosen: picked by hand, so names and statistics are not asked.
    """

    source: str
    version: str
    origin: str
    licence: str
    kind: str
    read: Callable[[], bytes] | None = None
    seed: int | None = None
    chosen: bool = False


@dataclass(frozen=True)
class Source:
    """A name and what it yields, given a folder for downloads; an empty run means that it cannot be had here."""

    name: str
    candidates: Callable[[Path], Iterator[Candidate]]


def all_sources() -> list[Source]:
    """All sources in their fixed order (which decides which of two duplicates stays)."""
    return [
        Source("scikit-image", _scikit_image),
        *(Source(name, partial(_archive, name)) for name in _ARCHIVES),
        Source("plasma-workspace-wallpapers", _plasma),
        Source("mate-backgrounds", partial(_photographs, "mate-backgrounds", _MATE_NOT, "backgrounds/mate/")),
        Source(
            "lomiri-wallpapers-16.04", partial(_photographs, "lomiri-wallpapers-16.04", _LOMIRI_NOT, "backgrounds/")
        ),
        Source("procedural", _procedural),
    ]


def _scikit_image(_cache: Path) -> Iterator[Candidate]:
    """The three CC0 textures that the scikit-image wheel itself ships."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        return
    folder = Path(spec.origin).parent / "data"
    for name in ("brick.png", "grass.png", "gravel.png"):
        path = folder / name
        if path.is_file():
            version = importlib.metadata.version("scikit-image")
            yield Candidate("scikit-image", version, name, "CC0-1.0", "texture", path.read_bytes, chosen=True)


def _archive(name: str, cache: Path) -> Iterator[Candidate]:
    """Pictures inside a package's pk3 or jar archives."""
    package = debian.fetch(name, cache)
    if package is None:
        return
    rights = _copyright(package, _ARCHIVES[name])
    for archive in sorted(p for p in package.folder.rglob("*") if p.suffix in (".pk3", ".jar")):
        with zipfile.ZipFile(archive) as zipped:
            for member in sorted(zipped.namelist()):
                if _IMAGE.search(member) and ("texture" in member):
                    licence, read = _licence_of(rights, member), partial(zipped.read, member)
                    if licence in debian.GOOD_LICENCES:
                        yield Candidate(name, package.version, member, licence, "texture", read)


def _licence_of(rights: debian.Copyright, member: str) -> str:
    """A path inside a game's archive is written in its copyright file below the game's folder, here ``base/``, and
    sometimes with another ending (the archive holds a converted file)."""
    stem = member.rsplit(".", 1)[0]
    names = {rights.licence(f"base/{stem}.{ending}") for ending in ("png", "jpg", "tga")} | {rights.licence(member)}
    bad = sorted(name for name in names if name not in debian.GOOD_LICENCES)
    return bad[0] if bad else rights.licence(f"base/{member}")


def _plasma(cache: Path) -> Iterator[Candidate]:
    """The photographs among Plasma's wallpapers, each once, in its largest size; the licence from its metadata."""
    package = debian.fetch("plasma-workspace-wallpapers", cache)
    if package is None:
        return
    names = {"LGPLv3": "LGPL-3", "CC-BY-SA-4.0": "CC-BY-SA-4.0"}
    for folder in sorted((package.folder / "usr/share/wallpapers").iterdir()):
        metadata = folder / "metadata.json"
        pictures = sorted((folder / "contents/images").glob("*x*.*"), key=lambda p: p.stat().st_size)
        if folder.name not in _PLASMA_PHOTOGRAPHS or not pictures or not metadata.is_file():
            continue
        licence = names.get(json.loads(metadata.read_text())["KPlugin"].get("License", ""), "unknown")
        if licence in debian.GOOD_LICENCES:
            origin = f"{folder.name}/{pictures[-1].name}"
            yield Candidate(package.name, package.version, origin, licence, "photograph", pictures[-1].read_bytes)


def _photographs(name: str, unwanted: re.Pattern[str], root: str, cache: Path) -> Iterator[Candidate]:
    """Photographs that lie as files in a package."""
    package = debian.fetch(name, cache)
    if package is None:
        return
    rights = _copyright(package, "unknown")
    for path in sorted(p for p in package.folder.rglob("*") if p.is_file() and not p.is_symlink()):
        origin = path.relative_to(package.folder).as_posix()
        if not _IMAGE.search(origin) or unwanted.search(origin):
            continue
        inner = origin.split(root, 1)[-1]
        licence = rights.licence(inner)
        for folder in ("16.04/", "20.04/"):
            licence = licence if licence != "unknown" else rights.licence(folder + inner)
        if licence in debian.GOOD_LICENCES:
            yield Candidate(name, package.version, origin, licence, "photograph", path.read_bytes)


def _procedural(_cache: Path) -> Iterator[Candidate]:
    from engine.version import __version__

    for seed in range(PROCEDURAL_COUNT):
        origin = f"{procedural.family_of(seed)}-seed{seed:05d}"
        yield Candidate("procedural", __version__, origin, "GPL-3.0-or-later", "procedural", seed=seed)


def _copyright(package: debian.Package, default: str) -> debian.Copyright:
    path = package.folder / "usr/share/doc" / package.name / "copyright"
    return debian.Copyright(path.read_text(errors="replace") if path.is_file() else "", default)
