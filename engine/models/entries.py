"""The catalogue of models that can be had: ids, licences, where they lie, and what pins them.

``catalogue.json`` holds only facts with a public source (docs/guide/models.md): sizes and SHA-256 sums stand there
only where a public page states them. For the other files the hash that the server sends is checked, and what arrived
is pinned in the model's ``origin.json``.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

from engine.errors import BadInput
from engine.models.folders import NAME
from engine.untrusted import fits, parsed, require_file

log = logging.getLogger(__name__)

SHIPPED = Path(__file__).with_name("catalogue.json")
CATALOGUE = Path(os.environ.get("REPAINT_BRIDGE_CATALOGUE") or SHIPPED)
MAX_FILE, MAX_WORDS = 4 << 20, 200
"""Bytes of a catalogue, and characters of a text in it."""
HUB = "https://huggingface.co"
CONFIG_FILES = ("config.json", "scheduler_config.json")
_TOKENIZER = ("merges.txt", "special_tokens_map.json", "tokenizer_config.json", "vocab.json")
LAYOUTS = {
    "sd": ("unet", "text_encoder"),
    "sdxl": ("unet", "text_encoder", "text_encoder_2"),
    "sd3": ("transformer", "text_encoder", "text_encoder_2"),
}
"""Network and text encoders of a pipeline of each kind; Stable Diffusion 3 without its large third encoder."""
_REPO = NAME.pattern.replace("63", "95")
PATTERNS = {
    "id": NAME.pattern,
    "weights": NAME.pattern,
    "file": NAME.pattern,
    "revision": NAME.pattern,
    "kind": NAME.pattern,
    "classifier_kind": NAME.pattern,
    "repo": f"{_REPO}/{_REPO}",
    "layout": "|".join(LAYOUTS),
    "sha256": "[0-9a-f]{64}",
}
"""What texts may look like: names of files and folders are nothing but names."""


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
    return _read(CATALOGUE)[0]


def faults() -> tuple[str, ...]:
    """What is left out of the catalogue, or that it cannot be used at all: a sentence each."""
    return _read(CATALOGUE)[1]


@cache
def _read(path: Path) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    """The entries of a file that may be anybody's, and what is wrong with it; the shipped ones where it is no list."""
    try:
        require_file(path, MAX_FILE)
        listed = parsed(path.read_text(encoding="utf-8"))
        if not isinstance(listed, list):
            raise ValueError("not a list")
    except (BadInput, OSError, ValueError) as error:
        log.info("catalogue %s: %s", path, error)
        if path == SHIPPED:
            return (), ("The shipped catalogue of models cannot be read; install RePaint Bridge again.",)
        entries, others = _read(SHIPPED)
        return entries, (f"The catalogue {path.name} cannot be read, so the shipped one is used; check it.", *others)
    found: dict[str, Entry] = {}
    wrong = []
    for number, values in enumerate(listed, start=1):
        try:
            entry = _checked(values)
            if entry.id in found:
                raise ValueError(f"the id {entry.id} is there already")
            found[entry.id] = entry
        except ValueError as error:
            wrong.append(f"Entry {number} of the catalogue {path.name} is left out: {error}.")
            log.info("%s", wrong[-1])
    return tuple(found.values()), tuple(wrong)


def _checked(values: Any) -> Entry:
    """An entry of these values; ValueError says what is wrong with them."""
    if not isinstance(values, dict):
        raise ValueError("it is no object")
    hints = get_type_hints(Entry)
    unknown = [name for name in values if name not in hints]
    if unknown:
        raise ValueError(f"it has an unknown key {shown(unknown[0])}")
    for name in hints:
        if name in ("id", "title", "licence") and name not in values:
            raise ValueError(f"it has no {name}")
        if name in values and not (fits(values[name], hints[name]) and _may_be(name, values[name])):
            raise ValueError(f"its {name} cannot be {shown(values[name])}")
    entry = Entry(**values)
    if sum(each is not None for each in (entry.repo, entry.url, entry.page)) != 1:
        raise ValueError("it must have one of repo, url and page")
    if (entry.repo is None and entry.kind is None) or (entry.page is not None and entry.file is None):
        raise ValueError("it must say its kind, and the file that a page hands out")
    if (entry.classifier_url is None) != (entry.classifier_kind is None):
        raise ValueError("a classifier must have both an url and a kind")
    return entry


def _may_be(name: str, value: Any) -> bool:
    """Whether a value of the right type can be that field's."""
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, int):
        return bool(0 <= value < 2**53 // 10**6 if name == "download_mb" else 0 <= value < 2**53)
    if name in ("url", "classifier_url"):
        parts = urlsplit(value)
        last = parts.path.rsplit("/", 1)[-1]
        if parts.scheme not in ("http", "https") or not parts.hostname or not NAME.fullmatch(last):
            return False
    if name in PATTERNS and not re.fullmatch(PATTERNS[name], value):
        return False
    return bool(0 < len(value) <= MAX_WORDS and value.isprintable())


def shown(value: Any) -> str:
    """The beginning of a value, for a sentence."""
    words = ascii(value)
    return words if len(words) <= 60 else f"{words[:60]}…"


def entry_of(model_id: str) -> Entry | None:
    """By catalogue id or by hub id."""
    return next((known for known in known_models() if model_id in (known.id, known.repo)), None)
