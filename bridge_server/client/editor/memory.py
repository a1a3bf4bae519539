"""What a run will take of the machine's memory, told before it begins."""

from __future__ import annotations

from typing import Optional

from bridge_server.client.events import Model

from . import sentences
from .words import tr


def forecast(model: Model, sent: int, selected: int, variants: int, maps: int = 0) -> Optional[str]:
    """A sentence or two for a run with so many pixels sent and selected, and so many maps; None where the engine cannot
    tell."""
    if not model.memory_mib or sent < 1:
        return None
    moving = model.needed_mib(sent, selected, variants, maps=maps)
    text = tr(sentences.FORECAST).format(need=f"{model.memory_mib + moving:.0f}")
    free = free_mib()
    if free is not None and moving > free:  # the engine has the rest already
        text += " " + tr(sentences.SHORT).format(free=f"{free:.0f}")
    return text


def free_mib(meminfo: str = "/proc/meminfo") -> Optional[float]:
    """Memory that programs can still have; None where the system does not tell (anything but Linux)."""
    try:
        with open(meminfo, encoding="ascii") as file:
            for line in file:
                name, _, rest = line.partition(":")
                if name == "MemAvailable":
                    return int(rest.split()[0]) / 1024
    except (OSError, ValueError, IndexError):
        pass
    return None
