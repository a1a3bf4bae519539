"""A process that ends before it has done anything; it imports nothing, so that its death takes no time."""

from __future__ import annotations

import os


def at_once(_pipe: object, _device: object) -> None:
    os._exit(9)
