"""Model folders on disk: names, safe appearance, labels, and the record of where a model comes from.

``origin.json`` lies beside every model that this program downloaded or converted: source, revision, and size and
SHA-256 of each file as they were when it arrived. That pins the model: ``models verify`` compares.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from engine.errors import BadInput, EngineError
from engine.untrusted import read_json

WEIGHTS = "diffusion_pytorch_model.safetensors"
ORIGIN = "origin.json"
LABELS = "labels.txt"
CLASSIFIER = "classifier"
INDEX = "model_index.json"
LORA, LORA_CLASS = "lora.safetensors", "LoRA"
AUTOENCODERS = ("AutoencoderKL", "AsymmetricAutoencoderKL")
STALE_SECONDS = 24 * 3600
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def part_folder(folder: Path, part: str) -> Path:
    """Where a pipeline's part lies: in a folder of its name, or in ``folder`` itself where a network stands alone."""
    return folder / part if (folder / part).is_dir() else folder


def valid_name(name: str) -> str:
    """The name itself.

    Raises:
        BadInput: it cannot be a model folder's name.
    """
    if not NAME.fullmatch(name):
        raise BadInput(
            "bad_name", f"{name!r} cannot be a model's name; use up to 64 letters, digits, dots, dashes or underscores."
        )
    return name


def is_pipeline(folder: Path) -> bool:
    """Whether a folder in diffusers' layout holds a pipeline with text, supported or not."""
    return any(name.startswith("text_encoder") for name in _object(folder / INDEX))


def is_autoencoder(folder: Path) -> bool:
    """Whether a folder holds an autoencoder alone, which is no model of its own but can be part of one."""
    return _object(folder / "config.json").get("_class_name") in AUTOENCODERS


def is_lora(folder: Path) -> bool:
    """Whether a folder holds a LoRA and names the model that it changes (:mod:`engine.models.lora`)."""
    return _object(folder / "config.json").get("_class_name") == LORA_CLASS


def _object(path: Path) -> dict[str, Any]:
    """A JSON object from a file; empty where there is none."""
    try:
        content = read_json(path)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def private_folder(path: Path) -> None:
    """Make a folder, and what is missing above it, for this user only, whatever the umask."""
    if not path.is_dir():
        private_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def staging(target: Path, parent: Path | None = None, replace_it: bool = False) -> Iterator[Path]:
    """An empty hidden folder that becomes ``target`` when the block ends well, and vanishes when it does not."""
    parent = parent or target.parent
    private_folder(parent)
    folder = parent / f".new-{uuid.uuid4().hex[:12]}"
    folder.mkdir()
    try:
        yield folder
        if replace_it and target.exists():
            shutil.rmtree(target)
        folder.replace(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(models: Path) -> None:
    """Delete what a killed conversion left behind, and a killed installation a day or more ago."""
    for place in models.glob(".new-*"):
        if time.time() - place.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(place, ignore_errors=True)
    for name in {path.name.removesuffix(".lock") for path in models.glob(".convert-*")}:
        lock = FileLock(models / f"{name}.lock", timeout=0)
        with suppress(Timeout, OSError), lock:  # else it goes on
            shutil.rmtree(models / name, ignore_errors=True)
            Path(lock.lock_file).unlink()


@contextmanager
def converting(scratch: Path) -> Iterator[Path]:
    """A folder for what lies between a checkpoint and a model; :func:`sweep` deletes it if this process dies."""
    private_folder(scratch)
    place = scratch / f".convert-{uuid.uuid4().hex[:12]}"
    lock = FileLock(f"{place}.lock")
    with lock:
        place.mkdir(mode=0o700)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)
            Path(lock.lock_file).unlink(missing_ok=True)


def read_labels(path: Path) -> tuple[str, ...]:
    """Class names by number, one a line; lines that begin with # do not count. Empty where there is no file."""
    if not path.is_file():
        return ()
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(line.strip() for line in lines if not line.startswith("#"))


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record_origin(folder: Path, **facts: Any) -> dict[str, Any]:
    """Pin the folder: write ``origin.json`` with the facts and size and SHA-256 of every file in it.

    A classifier's folder within has its own record.
    """
    source = facts.pop("source", None)
    if isinstance(source, Path):
        facts |= {"source": source.name, "source_sha256": sha256(source)}
    elif source is not None:
        facts["source"] = source
    files = {
        path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ORIGIN and path.relative_to(folder).parts[0] != CLASSIFIER
    }
    origin = facts | {"files": files}
    (folder / ORIGIN).write_text(json.dumps(origin, indent=2), encoding="utf-8")
    return origin


def read_origin(folder: Path) -> dict[str, Any]:
    """The record beside a model; empty where there is none or it cannot be read."""
    return _object(folder / ORIGIN)


def check_files(folder: Path) -> int:
    """Compare a folder with its record; the number of files compared, 0 without a record.

    Raises:
        EngineError: ``model_changed``, a file is missing or differs.
    """
    files = read_origin(folder).get("files", {})
    for name, known in files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != known["size"] or sha256(path) != known["sha256"]:
            raise EngineError(
                "model_changed",
                f"The file {name} of the model {folder.name} is not the one that was installed; "
                "remove the model and install it again.",
                str(path),
            )
    return len(files)
