"""Which pixels of the canvas are sent and which of them are repainted. Integer pixels, origin at the top left."""

from __future__ import annotations

from typing import Callable, List, Optional, Tuple

from bridge_server.client.geometry import MAX_SIDE, Box, grown_box
from bridge_server.client.records import MAX_PIXELS

from . import sentences
from .model import Extend, Refused, Target, Tile

COUNTED_ROWS = 64  # at most, by which selected pixels are told


def extended(width: int, height: int, area: Extend, padding: int = 0) -> Tuple[Box, Box, Box]:
    """For a canvas of that size before it grows: what is sent, the new area's bounding box, the old canvas; all of
    them on the canvas as it will be, which is ``area`` larger. Raises `Refused`: nothing to add, too large."""
    old = Box(area.left, area.top, width, height)
    across, down = area.left + area.right, area.top + area.bottom
    if not across and not down:
        raise Refused(sentences.NO_SIDE)
    width, height = width + across, height + down
    bounds = Box(0, 0, width, height)
    if not down and not (area.left and area.right):
        bounds = Box(0 if area.left else old.width, 0, across, height)
    elif not across and not (area.top and area.bottom):
        bounds = Box(0, 0 if area.top else old.height, width, down)
    box = grown_box(bounds, width, height, padding)
    if max(width, height) > MAX_SIDE or box.width * box.height > MAX_PIXELS:
        raise Refused(sentences.TOO_LARGE)
    return box, bounds, old


def grown_size(target: Target) -> Tuple[int, int]:
    """Width and height of the canvas after an `Extend`; (0, 0) for another target."""
    old, bounds = target.grown, target.bounds
    if old is None:
        return 0, 0
    return max(old.x + old.width, bounds.x + bounds.width), max(old.y + old.height, bounds.y + bounds.height)


def frame(canvas: Box, area: Tile) -> Callable[[Box], bytes]:
    """Marks of the band along those borders that are to meet; half of it on either side."""
    half = max(1, area.band // 2)
    dx = min(half, canvas.width // 3) if area.axis in ("x", "both") else 0
    dy = min(half, canvas.height // 3) if area.axis in ("y", "both") else 0
    rest = Box(dx, dy, canvas.width - 2 * dx, canvas.height - 2 * dy)
    return lambda part: marks(part, rest)


def surroundings(box: Box, bounds: Box) -> Box:
    """The part of ``box`` that a thumbnail shows: ``bounds`` and a little around. In ``box``'s own coordinates."""
    margin = max(8, max(bounds.width, bounds.height) // 8)
    left, top = max(0, bounds.x - box.x - margin), max(0, bounds.y - box.y - margin)
    right = min(box.width, bounds.x - box.x + bounds.width + margin)
    bottom = min(box.height, bounds.y - box.y + bounds.height + margin)
    return Box(left, top, right - left, bottom - top)


def around(boxes: List[Box]) -> Optional[Box]:
    """The smallest box that holds all of these; None for none."""
    if not boxes:
        return None
    left, top = min(each.x for each in boxes), min(each.y for each in boxes)
    right, bottom = max(each.x + each.width for each in boxes), max(each.y + each.height for each in boxes)
    return Box(left, top, right - left, bottom - top)


def selected_pixels(box: Box, read: Callable[[Box], bytes]) -> int:
    """About how many are selected in ``box``, told by some of its rows."""
    every = -(-box.height // COUNTED_ROWS)
    rows = [read(Box(box.x, y, box.width, 1)) for y in range(box.y, box.y + box.height, every)]
    return sum(len(row) - row.count(0) for row in rows) * box.height // len(rows)


def marks(part: Box, keep: Box) -> bytes:
    """255 for the pixels of ``part`` outside ``keep``, 0 for the others, rows of whole bytes."""
    left = min(part.width, max(0, keep.x - part.x))
    right = max(left, min(part.width, keep.x + keep.width - part.x))
    mixed = b"\xff" * left + bytes(right - left) + b"\xff" * (part.width - right)
    whole = b"\xff" * part.width
    rows = range(part.y, part.y + part.height)
    return b"".join(mixed if keep.y <= y < keep.y + keep.height else whole for y in rows)


def slices(box: Box, size: int) -> List[Box]:
    """The box in pieces of whole rows, at most ``size`` pixels each (or one row)."""
    rows = max(1, size // box.width)
    return [Box(box.x, y, box.width, min(rows, box.y + box.height - y)) for y in range(box.y, box.y + box.height, rows)]
