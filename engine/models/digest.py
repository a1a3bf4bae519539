"""What a model is made of, as one number, so that another one is noticed."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from engine.models.model import ModelInfo


def digest(info: ModelInfo) -> str:
    """SHA-256 of a model's weight files, configuration, other autoencoder and what it has learned; its id for models
    without files.

    Computed once as long as the files stay as they are: they can be large.
    """
    if info.folder is None:
        return info.id
    files = [file for folder in (info.folder, info.vae) if folder is not None for file in sorted(folder.rglob("*"))]
    return _computed(info, tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=4)
def _computed(info: ModelInfo, _files: tuple[tuple[str, int, int], ...]) -> str:
    total = hashlib.sha256()
    for folder in (info.folder, info.vae):
        paths = [] if folder is None else [*folder.rglob("*.safetensors"), *folder.rglob("*config.json")]
        for path in sorted(paths):
            with open(path, "rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
    total.update(info.learned.encode())
    return total.hexdigest()
