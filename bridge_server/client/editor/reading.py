"""What all hosts do alike in `Host.capture`: they work out what is sent, and read it some milliseconds at a time."""

from __future__ import annotations

import io
import time
from typing import Callable, Generator, Iterable, List, NamedTuple, Optional, Tuple

from bridge_server.client.geometry import Box, grown_box, selection_bounds

from . import sentences
from .apart import apart
from .areas import around, extended, frame, marks, slices
from .model import Extend, Refused, Settings, Tile

SLICE_SECONDS = 0.015

Marks = Callable[[Box], bytes]
"""A byte for each pixel of a part of the canvas, rows from the top: 255 is marked."""


class Wanted(NamedTuple):
    """What a click asks for, on the canvas as it will be. ``marks``: what is repainted; the others: as in `Target`."""

    box: Box
    bounds: Box
    marks: Marks
    grown: Optional[Box] = None
    pieces: Tuple[Box, ...] = ()
    parts: Tuple[Box, ...] = ()


def wanted(
    width: int, height: int, settings: Settings, bounds: Optional[Box] = None, selected: Optional[Marks] = None
) -> Generator[None, None, Wanted]:
    """On a canvas of that size. Raises `Refused`.

    bounds: of the selection; selected: its bytes. None where there is none: an `Extend` and a `Tile` need none.
    """
    area, canvas = settings.area, Box(0, 0, width, height)
    if isinstance(area, Extend):
        box, bounds, old = extended(width, height, area, settings.padding)
        return Wanted(box, bounds, lambda part: marks(part, old), old)
    if isinstance(area, Tile):
        return Wanted(canvas, canvas, frame(canvas, area))
    if bounds is None or selected is None:
        raise Refused(sentences.NO_SELECTION)
    box = grown_box(bounds, width, height, settings.padding)
    places = (yield from apart(bounds, box, settings.padding, selected)) if settings.apart else None
    return Wanted(box, bounds, selected, None, *(places or ()))


def in_slices(boxes: Iterable[Box], size: int, read: Callable[[Box], bytes]) -> Generator[None, None, bytes]:
    """What ``read`` says of the boxes, one after the other, in whole rows of about ``size`` pixels at a time."""
    made, began = io.BytesIO(), time.monotonic()  # it grows and is handed over without being copied
    for part in (part for box in boxes for part in slices(box, size)):
        made.write(read(part))
        if time.monotonic() - began > SLICE_SECONDS:
            yield None
            began = time.monotonic()
    return made.getvalue()


def marked(area: Box, size: int, read: Marks) -> Generator[None, None, Optional[Box]]:
    """The smallest box in ``area`` that holds everything marked, looked at ``size`` pixels at a time; None: nothing."""
    found: List[Box] = []
    for part in slices(area, size):
        inside = selection_bounds(read(part), part.width, part.height)
        if inside is not None:
            found.append(Box(part.x + inside.x, part.y + inside.y, inside.width, inside.height))
        if part.y + part.height < area.y + area.height:
            yield None
    return around(found)
