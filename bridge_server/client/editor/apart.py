"""Far-apart places of a selection: which parts of the box around them are sent, and which come back.

What a fill can look at around them is said by `engine/canvas/reach.py`, too, and a test compares both: what is sent is
all of that, so that the pixels that come back are the same as if the whole box were sent.

Rows of cells are integers with a bit for each cell, so that they are shifted and united at once.
"""

from __future__ import annotations

import re
from typing import Callable, Dict, Generator, Iterable, List, NamedTuple, Optional, Set, Tuple

from bridge_server.client.geometry import Box
from bridge_server.client.records import MAX_PIECES

CELL = 32  # pixels a side; the first cell begins where the box around the selection does
SPOT = 3  # cells a side of what is a spot, at most
AROUND_SPOTS, AROUND_LINES, AROUND_MOST = 64, 200, 1131  # pixels looked at around a spot, what is thin, and at most
LEAST_AREA = 512 * 512  # pixels of the box that is sent otherwise, at least
SHARE = 0.5  # of it, that is sent at most
STRIP = 1 << 20  # selection bytes looked through at a time (some 4 ms)

_FULL = b"\xff" * CELL
_MARKED = b"\0" + b"\xff" * 255
_RUNS = re.compile(rb"[^\0]+")
_ONES = re.compile("1+")

Cell = Tuple[int, int]  # row, column
Rows = Dict[int, int]  # bits by row; negative rows and columns are moved by `EDGE`
EDGE = 64  # rows and columns of cells that may lie before the first one


class Apart(NamedTuple):
    """Boxes on the canvas: ``pieces`` are sent, ``parts`` of them come back."""

    pieces: Tuple[Box, ...]
    parts: Tuple[Box, ...]


def apart(bounds: Box, box: Box, padding: int, read: Callable[[Box], bytes]) -> Generator[None, None, Optional[Apart]]:
    """Looks through a selection, some milliseconds at a time; None where all of ``box`` is to be sent.

    bounds: of what is selected. padding: pixels of surroundings, 0: as many as are usual. read: the selection's bytes
    of a part of ``bounds``.
    """
    area = box.width * box.height
    if area < LEAST_AREA:
        return None
    some: Set[Cell] = set()
    full: Set[Cell] = set()
    rows = CELL * max(1, STRIP // (CELL * bounds.width))
    for top in range(0, bounds.height, rows):
        height = min(rows, bounds.height - top)
        _look(read(Box(bounds.x, bounds.y + top, bounds.width, height)), bounds.width, top // CELL, some, full)
        if len(some) * CELL * CELL > SHARE * area:
            return None
        yield None
    sent = _grown(some, full, padding)
    if _area(_boxes(sent, bounds, box, EDGE)) > SHARE * area:
        return None
    pieces, parts = _few(sent, bounds, box, EDGE), _few(_as_rows(some), bounds, bounds, 0)
    return Apart(pieces, parts) if _area(pieces) <= SHARE * area else None


def _look(data: bytes, width: int, first: int, some: Set[Cell], full: Set[Cell]) -> None:
    """Adds the cells of some rows of pixels in which something is selected, and those in which everything is."""
    for start in range(0, len(data), CELL * width):
        block = data[start : start + CELL * width]
        if not block.strip(b"\0"):
            continue
        row = first + start // (CELL * width)
        lines = [block[at : at + width].translate(_MARKED) for at in range(0, len(block), width)]
        numbers = [int.from_bytes(line, "big") for line in lines]
        one, every = 0, numbers[0] if len(lines) == CELL else 0
        for number in numbers:
            one, every = one | number, every & number
        marks, filled = one.to_bytes(width, "big"), every.to_bytes(width, "big")
        for run in _RUNS.finditer(marks):
            for column in range(run.start() // CELL, (run.end() - 1) // CELL + 1):
                some.add((row, column))
                if filled[column * CELL : (column + 1) * CELL] == _FULL:
                    full.add((row, column))


def _grown(some: Set[Cell], full: Set[Cell], padding: int) -> Rows:
    """The cells that are looked at, rows and columns moved by `EDGE`."""
    found: Rows = {}
    for touching in _components(some):
        margin = -(-_around(touching, full, padding) // CELL)
        wide: Rows = {}
        for row, bits in _as_rows(touching).items():
            bits <<= EDGE - margin
            for _ in range(2 * margin):
                bits |= bits << 1
            wide[row] = bits
        for row, bits in wide.items():
            for near in range(row - margin, row + margin + 1):
                found[near + EDGE] = found.get(near + EDGE, 0) | bits
    return found


def _components(some: Set[Cell]) -> Iterable[Set[Cell]]:
    """Cells that touch each other, also at a corner."""
    left = set(some)
    while left:
        todo = [left.pop()]
        found = set(todo)
        while todo:
            row, column = todo.pop()
            beside = {(row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)} & left
            left -= beside
            found |= beside
            todo.extend(beside)
        yield found


def _around(cells: Set[Cell], full: Set[Cell], padding: int) -> int:
    """Pixels that are looked at around cells that touch each other."""
    if padding:
        return max(8, padding)
    solid = cells & full
    if solid:
        return min(max(AROUND_LINES, 2 * CELL * (min(_spans(solid)) + 2)), AROUND_MOST)
    return AROUND_SPOTS if max(_spans(cells)) <= SPOT else AROUND_LINES


def _spans(cells: Set[Cell]) -> Tuple[int, int]:
    """Rows and columns that they reach over."""
    rows, columns = [row for row, _ in cells], [column for _, column in cells]
    return max(rows) - min(rows) + 1, max(columns) - min(columns) + 1


def _as_rows(cells: Set[Cell]) -> Rows:
    rows: Rows = {}
    for row, column in cells:
        rows[row] = rows.get(row, 0) | 1 << column
    return rows


def _few(rows: Rows, bounds: Box, limit: Box, edge: int) -> Tuple[Box, ...]:
    """As boxes of the canvas, at most `MAX_PIECES`: of larger cells, where they would be more."""
    size = 1
    while True:
        boxes = _boxes(rows, bounds, limit, edge, size)
        if len(boxes) <= MAX_PIECES:
            return boxes
        size *= 2


def _boxes(rows: Rows, bounds: Box, limit: Box, edge: int, size: int = 1) -> Tuple[Box, ...]:
    """Cells as boxes of the canvas within ``limit``, of ``size`` × ``size`` cells together: runs of a row, with the
    same ones of the rows below."""
    lines: Dict[int, Set[Tuple[int, int]]] = {}
    for row, bits in _coarse(rows, size).items():
        lines[row] = {match.span() for match in _ONES.finditer(format(bits, "b")[::-1])}
    found: List[Box] = []
    side = CELL * size
    for row in sorted(lines):
        above = lines.get(row - 1, set())
        for first, end in lines[row] - above:
            below = row + 1
            while (first, end) in lines.get(below, ()):
                below += 1
            x, y = bounds.x + side * first - CELL * edge, bounds.y + side * row - CELL * edge
            left, top = max(limit.x, x), max(limit.y, y)
            right = min(limit.x + limit.width, x + side * (end - first))
            bottom = min(limit.y + limit.height, y + side * (below - row))
            if right > left and bottom > top:
                found.append(Box(left, top, right - left, bottom - top))
    return tuple(sorted(found, key=lambda each: (each.y, each.x)))


def _coarse(rows: Rows, size: int) -> Rows:
    if size == 1:
        return rows
    found: Rows = {}
    for row, bits in rows.items():
        united = 0
        for match in _ONES.finditer(format(bits, "b")[::-1]):
            first, end = match.start() // size, (match.end() - 1) // size + 1
            united |= (1 << end) - (1 << first)
        found[row // size] = found.get(row // size, 0) | united
    return found


def _area(boxes: Iterable[Box]) -> int:
    return sum(each.width * each.height for each in boxes)
