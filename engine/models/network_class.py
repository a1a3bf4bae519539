"""diffusers' ``UNet2DModel`` without the rest of diffusers: 0.9 s of processor time instead of 3.8.

Its module needs a few blocks of two packages whose ``__init__`` loads every network that diffusers has, and with them
transformers' models, peft and scipy. Meanwhile these packages are empty ones with the same folder. torch's compiler is
left out as on a torch that has none: diffusers only marks networks for it, and `UNet2DModel` uses none of those.
Whatever needs the packages later gets the real ones. No other thread may import torch's compiler meanwhile.
"""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any

_BIG = ("diffusers.models.transformers", "diffusers.models.unets")
_COMPILER = "torch._dynamo"
_lock = threading.Lock()
log = logging.getLogger(__name__)


@cache
def unet_2d() -> Any:
    """The class."""
    with _lock:
        if not any(name in sys.modules for name in _BIG):
            try:
                with _lean():
                    return importlib.import_module("diffusers.models.unets.unet_2d").UNet2DModel
            except Exception:  # another diffusers than the one this is made for: the whole one says what is wrong
                log.info("diffusers is loaded as a whole", exc_info=True)
        from diffusers import UNet2DModel

        return UNet2DModel


@contextmanager
def _lean() -> Iterator[None]:
    without_compiler = _COMPILER not in sys.modules
    try:
        if without_compiler:
            sys.modules[_COMPILER] = None  # type: ignore[assignment]  # an import of it fails
        parent = importlib.import_module("diffusers.models")
        for name in _BIG:
            package = ModuleType(name)
            package.__path__ = [f"{folder}/{name.rpartition('.')[2]}" for folder in parent.__path__]
            sys.modules[name] = package
        yield
    finally:
        for name in _BIG:
            sys.modules.pop(name, None)
        if without_compiler:
            sys.modules.pop(_COMPILER, None)
