"""Where a fill's material comes from: the artist's choice, and the bytes of what may be used of a picture.

Bytes are masked as large integers, by C functions: the plug-ins have no arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

from bridge_server.client.records import PIXEL_BYTES

from . import sentences
from .model import Refused
from .words import tr

AROUND, LAYER, OTHER, PICTURE, FILE, MARKED, UNMARKED = (
    "around", "layer", "other", "picture", "file", "marked", "unmarked",
)  # fmt: skip
NAMED = (OTHER, PICTURE, MARKED, UNMARKED)  # with a name from a list
MATERIAL, NAME, PATH, SHARE, SHARES = (
    "material", "material_name", "material_file", "source_share", "share_mask",
)  # fields  # fmt: skip
ENTRIES: Tuple[Tuple[str, str], ...] = (
    (AROUND, "Around it (automatic)"),
    (LAYER, "Active layer only"),
    (OTHER, "Another layer"),
    (PICTURE, "Another open picture"),
    (FILE, "A picture file"),
    (MARKED, "Only what is marked"),
    (UNMARKED, "What is not marked"),
)
_HALF = bytes(128) + b"\xff" * 128
_LESS_THAN_HALF = _HALF[::-1]
_NOTHING = b"\xff" + bytes(255)
_ALPHA_BYTES = {"u8": (3,), "u16": (6, 7), "f16": (6, 7), "f32": (12, 13, 14, 15)}  # of a pixel


@dataclass(frozen=True)
class Wish:
    """``kind``: one of those above but AROUND; ``name``: of a layer, a picture or a mark, or a file's path; ``shares``:
    of the mark that says how much of the share holds where, "" all of it everywhere."""

    kind: str
    name: str = ""
    shares: str = ""

    @property
    def of_shares(self) -> Wish:
        """For the mark alone."""
        return Wish(MARKED, self.shares)

    @property
    def shown(self) -> str:
        return Path(self.name).name if self.kind == FILE else self.name

    def refusal(self, sentence: str) -> Refused:
        """With its name filled in."""
        return Refused(tr(sentence).format(name=self.shown))

    def gone(self) -> Refused:
        """What to raise where it is not to be found."""
        return self.refusal(sentences.MATERIAL_GONE) if self.name else Refused(sentences.NO_MATERIAL)


@dataclass(frozen=True)
class Source:
    """A picture whose opaque pixels may be used: RGBA in the run's depth and colours. ``shares``: a byte for
    each pixel of the target's box, 255 where all of the source's share holds; empty: everywhere."""

    width: int
    height: int
    rgba: bytes
    shares: bytes = b""


def masked(rgba: bytes, depth: str, usable: bytes) -> bytes:
    """The pixels, transparent where ``usable``, a byte each, is 0 instead of 255."""
    made, size = bytearray(rgba), PIXEL_BYTES[depth]
    for place in _ALPHA_BYTES[depth]:
        made[place::size] = _both(bytes(made[place::size]), usable)
    return bytes(made)


def usable(selection: bytes, marks: bytes = b"", inverted: bool = False) -> bytes:
    """255 where nothing is selected and, if there are ``marks``, where these are at least half; ``inverted``: less."""
    free = selection.translate(_NOTHING)
    return _both(free, marks.translate(_LESS_THAN_HALF if inverted else _HALF)) if marks else free


def checked(source: Source, depth: str, wish: Wish) -> Source:
    """The source; raises `Refused` if nothing of it can be used."""
    place = _ALPHA_BYTES[depth][-1]
    if not source.rgba[place :: PIXEL_BYTES[depth]].strip(b"\0"):
        raise wish.refusal(sentences.MATERIAL_EMPTY if wish.name else sentences.LAYER_EMPTY)
    return source


def _both(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "little") & int.from_bytes(other, "little")).to_bytes(len(one), "little")
