"""Which part of the canvas is sent to the engine.  Integer pixels, origin at the canvas's top left."""

from __future__ import annotations

from bridge_server.client.checks import integer, record, value

MAX_SIDE = 16384  # pixels of what is sent, each way
PLACE, SIDE = integer(0, MAX_SIDE), integer(1, MAX_SIDE)
SMALL_SIDE = 52  # a selection so small is sent with 64 pixels around it
SURROUNDINGS_AREA = 8 * 1000 * 1000  # pixels of a square selection with its surroundings, unless it is larger itself


@record
class Box:
    """A rectangle: columns x … x+width-1, rows y … y+height-1."""

    x: int = value(PLACE)
    y: int = value(PLACE)
    width: int = value(SIDE)
    height: int = value(SIDE)

    @property
    def area(self) -> int:
        return self.width * self.height

    def holds(self, other: Box) -> bool:
        """Whether all of the other one lies inside."""
        across = self.x <= other.x and other.x + other.width <= self.x + self.width
        return across and self.y <= other.y and other.y + other.height <= self.y + self.height


def selection_bounds(selection: bytes, width: int, height: int) -> Box | None:
    """The smallest box that holds every byte that is not 0; None if there is none.

    ``selection``: width*height bytes, rows from the top.  Raises ValueError if the length is another.
    A 4096² selection takes some 10 ms: rows are looked at by C functions of ``bytes``, never pixel by pixel.
    """
    if width < 1 or height < 1 or len(selection) != width * height:
        raise ValueError("a selection needs width*height bytes")
    selection = bytes(selection)
    filled = len(selection.rstrip(b"\0"))
    if not filled:
        return None
    empty = len(selection) - len(selection.lstrip(b"\0"))
    top, bottom = empty // width, (filled - 1) // width
    left, right = width, -1
    for start in range(top * width, (bottom + 1) * width, width):
        row = selection[start : start + width]
        filled = len(row.rstrip(b"\0"))
        if filled:
            right = max(right, filled - 1)
            left = min(left, width - len(row.lstrip(b"\0")))
    return Box(left, top, right - left + 1, bottom - top + 1)


def clipped(box: Box, canvas_width: int, canvas_height: int) -> Box | None:
    """The part of ``box`` on the canvas; None if there is none (a selection may overhang the canvas)."""
    left, top = max(0, box.x), max(0, box.y)
    right = min(canvas_width, box.x + box.width)
    bottom = min(canvas_height, box.y + box.height)
    if right <= left or bottom <= top:
        return None
    return Box(left, top, right - left, bottom - top)


def grown_box(box: Box, canvas_width: int, canvas_height: int, padding: int = 0) -> Box:
    """The surroundings that the engine sees: ``box`` grown on each side and clipped to the canvas.

    It grows by ``padding`` pixels, at least 8; with 0 by twice its longer side, 200 at least, by less where the whole
    would be more than `SURROUNDINGS_AREA` pixels, but never by less than 64; up to `SMALL_SIDE` by 64.  Raises
    ValueError if ``box`` lies fully outside the canvas.
    """
    side = max(box.width, box.height)
    usual = max(64, min(max(200, 2 * side), (int(SURROUNDINGS_AREA**0.5) - side) // 2))
    if side <= SMALL_SIDE:
        usual = 64
    margin = max(8, padding) if padding else usual
    grown = Box(box.x - margin, box.y - margin, box.width + 2 * margin, box.height + 2 * margin)
    inside = clipped(box, canvas_width, canvas_height)
    context = clipped(grown, canvas_width, canvas_height)
    if inside is None or context is None:
        raise ValueError("the box lies outside the canvas")
    return context
