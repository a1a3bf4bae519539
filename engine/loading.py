"""How large libraries are loaded."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_looking_for_garbage() -> Iterator[None]:
    """What is loaded within stays: looking for garbage among it takes a quarter of the time, now, and more later."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
