"""Small pictures of variants: what the artist would see, from what was sent and what came back. By GdkPixbuf alone."""

from __future__ import annotations

from typing import Any, Collection, Dict, List, Optional, Tuple

from gi.repository import GdkPixbuf, GLib

from bridge_server.client.editor.areas import surroundings
from bridge_server.client.editor.model import Picture, Run, Target, Variant
from bridge_server.client.editor.samples import shown
from bridge_server.client.geometry import Box

GRAY = 0x808080FF  # where nothing is known
INK, PAPER = b"\x30\x50\x90\xff", b"\xff\xff\xff\xff"
RGB = GdkPixbuf.Colorspace.RGB
ROUGH, SMOOTH = GdkPixbuf.InterpType.NEAREST, GdkPixbuf.InterpType.BILINEAR


def pixbuf(rgba: bytes, width: int, height: int) -> Any:
    return GdkPixbuf.Pixbuf.new_from_bytes(GLib.Bytes.new(rgba), RGB, True, 8, width, height, 4 * width)


def scaled(picture: Any, width: int, height: int) -> Any:
    """A good small picture in a time that does not grow with the large one's size."""
    rough_width, rough_height = min(picture.get_width(), 4 * width), min(picture.get_height(), 4 * height)
    if (rough_width, rough_height) != (picture.get_width(), picture.get_height()):
        picture = picture.scale_simple(rough_width, rough_height, ROUGH)
    return picture.scale_simple(width, height, SMOOTH)


def _blank(width: int, height: int) -> Any:
    made = GdkPixbuf.Pixbuf.new(RGB, True, 8, width, height)
    made.fill(GRAY)
    return made


def _put(below: Any, above: Any, left: int = 0, top: int = 0) -> None:
    """Blends ``above`` over ``below`` at that place; what lies outside is left out."""
    x, y = max(0, left), max(0, top)
    width = min(below.get_width(), left + above.get_width()) - x
    height = min(below.get_height(), top + above.get_height()) - y
    if width > 0 and height > 0:
        above.composite(below, x, y, width, height, left, top, 1, 1, ROUGH, 255)


def _draw(below: Any, target: Target, picture: Picture, seen: Box, scale: float) -> None:
    """Where it belongs, if ``below`` shows ``seen`` of the box."""
    for each in picture.each(target.depth):
        part = each.part
        left, top = round((part.x - seen.x) * scale), round((part.y - seen.y) * scale)
        right, bottom = round((part.x + part.width - seen.x) * scale), round((part.y + part.height - seen.y) * scale)
        width, height = max(1, right - left), max(1, bottom - top)
        whole = Box(0, 0, each.width, each.height)
        data = shown(each.rgba, each.width, whole, target.depth, target.linear, 2 * max(width, height))
        _put(below, scaled(pixbuf(*data), width, height), left, top)


def composite(run: Run, variant: Variant, side: int) -> Any:
    """The whole box with the variant over it, at most ``side`` pixels each way."""
    box = run.target.box
    scale = side / max(box.width, box.height)
    made = _blank(max(1, round(box.width * scale)), max(1, round(box.height * scale)))
    whole = Box(0, 0, box.width, box.height)
    pictures = [] if run.capture is None else [run.capture.picture]
    pictures += [] if variant.picture is None else [variant.picture]
    for picture in pictures:
        _draw(made, run.target, picture, whole, scale)
    return made


def repeated(tile: Any) -> Any:
    """Two by two of it."""
    width, height = tile.get_width(), tile.get_height()
    made = GdkPixbuf.Pixbuf.new(RGB, True, 8, 2 * width, 2 * height)
    for x, y in ((0, 0), (width, 0), (0, height), (width, height)):
        tile.copy_area(0, 0, width, height, made, x, y)
    return made


def curve(walk: List[int], width: int, height: int) -> Any:
    """The walk through the noise levels: noisy at the top, clean at the bottom, time from left to right."""
    top = max(walk) + 1
    rows = [round((height - 1) * (1 - (walk[len(walk) * x // width] + 1) / (top or 1))) for x in range(width)]
    data = bytearray(PAPER * (width * height))
    for x, end in enumerate(rows):
        begin = rows[x - 1] if x else end
        for y in range(min(begin, end), max(begin, end) + 1):
            data[4 * (y * width + x) : 4 * (y * width + x) + 4] = INK
    return pixbuf(bytes(data), width, height)


class Thumbnails:
    """The selected part with some surroundings, ``side`` pixels each way at most; backdrops are made once per run."""

    def __init__(self, side: int) -> None:
        self.side = side
        self._backdrops: Dict[int, Tuple[Any, Box]] = {}

    def keep(self, numbers: Collection[int]) -> None:
        """Forgets the backdrops of other runs."""
        self._backdrops = {number: found for number, found in self._backdrops.items() if number in numbers}

    def of(self, run: Run, picture: Optional[Picture]) -> Any:
        backdrop, seen = self._backdrop(run)
        if picture is None:
            return backdrop
        made = backdrop.copy()
        _draw(made, run.target, picture, seen, made.get_width() / seen.width)
        return made

    def _backdrop(self, run: Run) -> Tuple[Any, Box]:
        """The source around the selection, scaled down, and which part of the box it shows."""
        found = self._backdrops.get(run.number)
        if found is not None:
            return found
        target, box = run.target, run.target.box
        region = surroundings(box, target.bounds)
        scale = self.side / max(region.width, region.height)
        made = _blank(max(1, round(region.width * scale)), max(1, round(region.height * scale)))
        if run.capture is not None and target.pieces:
            _draw(made, target, run.capture.picture, region, scale)
        elif run.capture is not None:
            data = shown(run.capture.pixels, box.width, region, target.depth, target.linear, 2 * self.side)
            _put(made, scaled(pixbuf(*data), made.get_width(), made.get_height()))
        self._backdrops[run.number] = (made, region)
        return made, region
