"""What was gathered, from where, under which licence: one JSON file beside the pictures."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 1
NAME = "manifest.json"


@dataclass(frozen=True)
class Picture:
    """One picture of the corpus.

    Attributes:
        file: path relative to the corpus folder.
        origin: path inside the source.
        source: name of the source (a package, ``scikit-image`` or ``procedural``).
        version: the source's version.
        licence: short licence name of this very file.
        kind: ``texture``, ``photograph`` or ``procedural``.
        group: whole source picture; held_out is decided per group.
        width, height: pixels as stored.
        held_out: never trained on.
    """

    file: str
    origin: str
    source: str
    version: str
    licence: str
    kind: str
    group: str
    width: int
    height: int
    held_out: bool


@dataclass
class Manifest:
    """The corpus: its folder, its pictures, and how many were left out for which reason."""

    folder: Path
    pictures: list[Picture] = field(default_factory=list)
    rejected: dict[str, int] = field(default_factory=dict)

    def training(self) -> list[Picture]:
        return [picture for picture in self.pictures if not picture.held_out]

    def held_out(self) -> list[Picture]:
        return [picture for picture in self.pictures if picture.held_out]

    def save(self) -> Path:
        """Write ``manifest.json`` in one step."""
        path = self.folder / NAME
        data = {"format": FORMAT, "rejected": self.rejected, "pictures": [asdict(p) for p in self.pictures]}
        write_atomic(path, json.dumps(data, indent=0))
        return path

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Read a corpus folder's manifest.

        Raises:
            FileNotFoundError: nothing was built there.
        """
        data = json.loads((folder / NAME).read_text())
        return cls(folder, [Picture(**entry) for entry in data["pictures"]], dict(data["rejected"]))

    def summary(self) -> list[dict[str, Any]]:
        """One line per source, version, licence and kind: counts of trained and held-out pictures."""
        return summarise(self.pictures)

    def compact(self) -> dict[str, Any]:
        """The manifest as it is kept beside trained weights: per source and licence the names, no sizes."""
        names: dict[tuple[str, str, str, str], dict[str, list[str]]] = {}
        for p in self.pictures:
            key = (p.source, p.version, p.licence, p.kind)
            entry = names.setdefault(key, {"trained": [], "held_out": []})
            entry["held_out" if p.held_out else "trained"].append(p.origin)
        return {
            "format": FORMAT,
            "sources": [
                {"source": s, "version": v, "licence": li, "kind": k, **lists} for (s, v, li, k), lists in names.items()
            ],
        }


def summarise(pictures: Iterable[Picture]) -> list[dict[str, Any]]:
    trained: Counter[tuple[str, str, str, str]] = Counter()
    held: Counter[tuple[str, str, str, str]] = Counter()
    for p in pictures:
        (held if p.held_out else trained)[p.source, p.version, p.licence, p.kind] += 1
    return [
        {
            "source": s,
            "version": v,
            "licence": li,
            "kind": k,
            "trained": trained[s, v, li, k],
            "held_out": held[s, v, li, k],
        }
        for s, v, li, k in sorted(trained.keys() | held.keys())
    ]


def write_atomic(path: Path, text: str) -> None:
    """Replace a file in one step: a reader sees the old text or the new, never half."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)
