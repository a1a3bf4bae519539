"""The cache of learned weights: one safetensors file (float16) per picture, model and budget, within a size limit.

A file's name says what it was learned from, so the same known pixels find it again; what is damaged is learned anew.
A cache that cannot be read or written never stops a fill: the log says so.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import platformdirs
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from engine.models import folders

log = logging.getLogger(__name__)

FORMAT = "repaint-bridge-learned-1"
LIMIT = 512 * 2**20
"""Bytes of all files together; beyond it the one used longest ago goes first."""


@dataclass(frozen=True)
class Facts:
    """How weights were learned.

    Attributes:
        steps: optimiser steps after which they were taken.
        loss_before, loss: of the model as it was and of these weights, on the held-out part of the known pixels.
        seconds: that learning took.
    """

    steps: int
    loss_before: float
    loss: float
    seconds: float


@dataclass(frozen=True)
class Learned:
    """Weights by name (float16, on the CPU) and how they were learned."""

    weights: dict[str, torch.Tensor]
    facts: Facts

    def digest(self) -> str:
        """SHA-256 of the weights."""
        total = hashlib.sha256()
        for name in sorted(self.weights):
            total.update(name.encode() + self.weights[name].numpy().tobytes())
        return total.hexdigest()


def folder() -> Path:
    """Where the files lie; ``REPAINT_BRIDGE_LEARNED`` moves them, for a worker that shall leave nothing behind."""
    moved = os.environ.get("REPAINT_BRIDGE_LEARNED")
    if moved:
        return Path(moved)
    home = os.environ.get("REPAINT_BRIDGE_HOME")
    cache = Path(home) / "cache" if home else platformdirs.user_cache_path("repaint-bridge", appauthor=False)
    return cache / "learned"


def key(pixels: np.ndarray, known: np.ndarray, *facts: object) -> str:
    """The name of what is learned from the known pixels under these circumstances.

    Args:
        pixels: (H, W, 3); what is not known must be constant.
        known: (H, W) bool.
    """
    total = hashlib.sha256(repr((FORMAT, pixels.shape, str(pixels.dtype), *facts)).encode())
    total.update(np.ascontiguousarray(pixels).tobytes())
    total.update(np.packbits(known).tobytes())
    return total.hexdigest()


def get(name: str, shapes: dict[str, tuple[int, ...]]) -> Learned | None:
    """What was learned under that name, if it is there and its tensors have these names and shapes."""
    path = folder() / f"{name}.safetensors"
    try:
        with safe_open(path, framework="pt") as file:
            facts = Facts(**json.loads((file.metadata() or {})["facts"]))
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
        if {key: tuple(tensor.shape) for key, tensor in weights.items()} != shapes:
            raise ValueError("tensors of another network")
        if not all(bool(tensor.isfinite().all()) for tensor in weights.values()):
            raise ValueError("not finite")
    except FileNotFoundError:
        return None
    except Exception as error:  # SafetensorError, OSError, KeyError, TypeError, ValueError: whatever is wrong with it
        log.warning("learned weights %s cannot be used and are learned anew: %r", path.name, error)
        return None
    try:
        os.utime(path)
    except OSError as error:
        log.info("%s cannot be marked as used: %s", path.name, error)
    return Learned(weights, facts)


def put(name: str, learned: Learned, limit: int = LIMIT) -> None:
    """Keep what was learned, all or nothing; then drop what was used longest ago until all is within ``limit``."""
    place = folder()
    scratch = place / f".{name}-{uuid.uuid4().hex[:8]}.part"
    try:
        folders.private_folder(place)
        save_file(learned.weights, scratch, {"facts": json.dumps(asdict(learned.facts))})
        scratch.chmod(0o600)
        scratch.replace(place / f"{name}.safetensors")
        _prune(place, name, limit)
    except Exception as error:  # OSError, or safetensors' own around it
        log.warning("what was learned could not be kept for the next time: %r", error)
    finally:
        try:
            scratch.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s is left over: %s", scratch, error)


def _prune(place: Path, newest: str, limit: int) -> None:
    files = sorted(place.glob("*.safetensors"), key=lambda path: (path.stem == newest, path.stat().st_mtime_ns))
    total = sum(path.stat().st_size for path in files)
    for path in files[:-1]:
        if total <= limit:
            return
        total -= path.stat().st_size
        path.unlink(missing_ok=True)
        log.warning("learned weights %s dropped: all together they may take %d MiB", path.name, limit // 2**20)
