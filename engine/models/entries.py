"""The catalogue of models that can be had: ids, licences, where they lie, and what pins them.

``catalogue.json`` holds only facts with a public source (docs/models.md names each): sizes and SHA-256 sums stand there
only where a public page states them. For the other files the hash that the server sends is checked, and what arrived
is pinned in the model's ``origin.json``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CATALOGUE = Path(__file__).with_name("catalogue.json")
CONFIG_FILES = ("config.json", "scheduler_config.json")


@dataclass(frozen=True)
class Entry:
    """A model of the catalogue; it comes from a hub (``repo``), by plain https (``url``), or by hand (``page``).

    Attributes:
        repo: hub id; files at ``revision``: :data:`CONFIG_FILES` and ``weights``.
        url: of a checkpoint that :mod:`engine.models.convert` converts as ``kind``.
        page: where a person downloads ``file``, to convert it as ``kind``.
        sha256: of the weights or checkpoint; None where no public page states it.
        size: of the same, bytes.
    """

    id: str
    title: str
    licence: str
    repo: str | None = None
    revision: str = "main"
    weights: str = "diffusion_pytorch_model.safetensors"
    url: str | None = None
    page: str | None = None
    file: str | None = None
    sha256: str | None = None
    size: int | None = None
    kind: str | None = None
    takes_label: bool = False
    classifier_url: str | None = None
    classifier_kind: str | None = None

    @property
    def source(self) -> str:
        return self.repo or self.url or self.page or ""


def known_models() -> tuple[Entry, ...]:
    return _read(CATALOGUE)


@cache
def _read(path: Path) -> tuple[Entry, ...]:
    return tuple(Entry(**values) for values in json.loads(path.read_text(encoding="utf-8")))


def entry_of(model_id: str) -> Entry | None:
    """By catalogue id or by hub id."""
    return next((known for known in known_models() if model_id in (known.id, known.repo)), None)
