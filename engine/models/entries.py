"""The catalogue of models that can be had: ids, licences, where they lie, and what pins them.

``catalogue.json`` holds only facts with a public source (docs/guide/models.md): sizes and SHA-256 sums stand there
only where a public page states them. For the other files the hash that the server sends is checked, and what arrived
is pinned in the model's ``origin.json``.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

CATALOGUE = Path(os.environ.get("REPAINT_BRIDGE_CATALOGUE") or Path(__file__).with_name("catalogue.json"))
HUB = "https://huggingface.co"
CONFIG_FILES = ("config.json", "scheduler_config.json")
_TOKENIZER = ("merges.txt", "special_tokens_map.json", "tokenizer_config.json", "vocab.json")
LAYOUTS = {
    "sd": ("unet", "text_encoder"),
    "sdxl": ("unet", "text_encoder", "text_encoder_2"),
    "sd3": ("transformer", "text_encoder", "text_encoder_2"),
}
"""Network and text encoders of a pipeline of each kind; Stable Diffusion 3 without its large third encoder."""


@dataclass(frozen=True)
class Entry:
    """A model of the catalogue; it comes from a hub (``repo``), by plain https (``url``), or by hand (``page``).

    Attributes:
        repo: hub id; files at ``revision``: :data:`CONFIG_FILES` and ``weights``.
        url: of a checkpoint that :mod:`engine.models.convert` converts as ``kind``.
        page: where a person downloads ``file``, to convert it as ``kind``.
        layout: of a pipeline with text, one of :data:`LAYOUTS`; ``weights`` then do not count.
        half: the repository offers its weights in float16 as files of their own, which are taken.
        gated: the repository is handed out only to accounts that have accepted its licence.
        sha256: of the weights or checkpoint; None where no public page states it.
        size: of the same, bytes.
        download_mb: about so much is fetched in all, 10⁶ bytes; None where no public page states it.
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
    layout: str | None = None
    half: bool = False
    gated: bool = False
    sha256: str | None = None
    size: int | None = None
    download_mb: int | None = None
    kind: str | None = None
    takes_label: bool = False
    classifier_url: str | None = None
    classifier_kind: str | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """What a hub is asked for, in that order: what is small first."""
        if self.layout is None:
            return (*CONFIG_FILES, self.weights)
        network, *encoders = LAYOUTS[self.layout]
        suffix = ".fp16.safetensors" if self.half else ".safetensors"
        parts = [network, "vae", *encoders]
        tokenizers = [encoder.replace("text_encoder", "tokenizer") for encoder in encoders]
        return (
            "model_index.json",
            "scheduler/scheduler_config.json",
            *(f"{part}/config.json" for part in parts),
            *(f"{tokenizer}/{name}" for tokenizer in tokenizers for name in _TOKENIZER),
            *(f"{part}/{'diffusion_pytorch_model' if part in (network, 'vae') else 'model'}{suffix}" for part in parts),
        )

    @property
    def source(self) -> str:
        return self.repo or self.url or self.page or ""

    @property
    def where(self) -> str:
        """Where it comes from, for people to read: the hub or its mirror and the repository, or a page's address."""
        if self.repo is None:
            return self.source.removeprefix("https://")
        return f"{urlsplit(endpoint()).netloc}/{self.repo}"

    @property
    def download_bytes(self) -> int:
        """About so much is fetched; 0: not known before."""
        return self.size or (self.download_mb or 0) * 10**6


def endpoint() -> str:
    """Address of the hub, or of the mirror that ``HF_ENDPOINT`` names."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or HUB


def known_models() -> tuple[Entry, ...]:
    return _read(CATALOGUE)


@cache
def _read(path: Path) -> tuple[Entry, ...]:
    return tuple(Entry(**values) for values in json.loads(path.read_text(encoding="utf-8")))


def entry_of(model_id: str) -> Entry | None:
    """By catalogue id or by hub id."""
    return next((known for known in known_models() if model_id in (known.id, known.repo)), None)
