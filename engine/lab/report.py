"""What an experiment found, as sections of a page."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine.lab.plots import Plot

Value = str | int | float | None


@dataclass(frozen=True)
class Table:
    """Rows of values under a head; floats are shown with three digits, None as a dash."""

    head: list[str]
    rows: list[list[Value]]
    caption: str = ""


@dataclass(frozen=True)
class Pictures:
    """A grid of pictures, (H, W, 3 or 4) or (H, W) uint8, None where one is missing; rows under a head."""

    head: list[str]
    rows: list[tuple[str, list[np.ndarray | None]]]
    caption: str = ""


@dataclass(frozen=True)
class Claim:
    """What the report says, whether it holds here, and what was found: a sentence with the figure."""

    words: str
    holds: str
    found: str


@dataclass(frozen=True)
class Section:
    """A title, a paragraph, and what follows it."""

    title: str
    text: str = ""
    parts: list[Table | Plot | Pictures | Claim] = field(default_factory=list)
