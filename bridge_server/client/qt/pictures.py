"""Small pictures of variants: what the artist would see, from what was sent and what came back."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from bridge_server.client.editor.areas import surroundings
from bridge_server.client.editor.model import Picture, Run, Target, Variant
from bridge_server.client.editor.samples import shown
from bridge_server.client.geometry import Box

from .binding import QtCore, QtGui, QtWidgets, scoped

RGBA = scoped(QtGui.QImage, "Format", "Format_RGBA8888")
SMOOTH = scoped(QtGui.QPainter, "RenderHint", "SmoothPixmapTransform")


def image(data: bytes, width: int, height: int) -> Any:
    """A QImage over ``data`` (8-bit RGBA, width*height*4 bytes) without a copy: keep ``data`` while it is used."""
    return QtGui.QImage(data, width, height, 4 * width, RGBA)


def density() -> float:
    """Pixels of the screen for one of Qt's, in each direction."""
    return float(QtWidgets.QApplication.instance().devicePixelRatio())


def composite(run: Run, variant: Variant, side: int) -> Any:
    """The whole box with the variant over it, at most ``side`` pixels each way."""
    box = run.target.box
    scale = side / max(box.width, box.height)
    pixmap = QtGui.QPixmap(max(1, round(box.width * scale)), max(1, round(box.height * scale)))
    pixmap.fill(scoped(QtCore.Qt, "GlobalColor", "gray"))
    painter = QtGui.QPainter(pixmap)
    painter.setRenderHint(SMOOTH)
    whole = Box(0, 0, box.width, box.height)
    pictures = [] if run.capture is None else [run.capture.picture]
    pictures += [] if variant.picture is None else [variant.picture]
    for picture in pictures:
        _draw(painter, run.target, picture, whole, scale)
    painter.end()
    return pixmap


def _draw(painter: Any, target: Target, picture: Picture, seen: Box, scale: float) -> None:
    """Where it belongs, if what is painted on shows ``seen`` of the box."""
    for each in picture.each(target.depth):
        part = each.part
        x, y = (part.x - seen.x) * scale, (part.y - seen.y) * scale
        place = QtCore.QRectF(x, y, part.width * scale, part.height * scale)
        longest = max(1, round(2 * max(place.width(), place.height())))
        whole = Box(0, 0, each.width, each.height)
        data, width, height = shown(each.rgba, each.width, whole, target.depth, target.linear, longest)
        painter.drawImage(place, image(data, width, height))


class Thumbnails:
    """The selected part with some surroundings, ``side`` pixels each way at most, which are more of the screen's where
    that has a high density; backdrops are made once per run."""

    def __init__(self, side: int) -> None:
        self._ratio = density()
        self.side = round(side * self._ratio)
        self._backdrops: Dict[int, Tuple[Any, Box]] = {}

    def keep(self, numbers: Any) -> None:
        """Forgets the backdrops of other runs."""
        self._backdrops = {number: found for number, found in self._backdrops.items() if number in numbers}

    def of(self, run: Run, picture: Optional[Picture], base: Any) -> Any:
        """``base``: the colour where nothing is known."""
        backdrop, seen = self._backdrop(run, base)
        result = QtGui.QPixmap(backdrop)
        if picture is not None:
            painter = QtGui.QPainter(result)
            painter.setRenderHint(SMOOTH)
            _draw(painter, run.target, picture, seen, result.width() / seen.width)
            painter.end()
        result.setDevicePixelRatio(self._ratio)
        return result

    def _backdrop(self, run: Run, base: Any) -> Tuple[Any, Box]:
        """The source around the selection, scaled down, and which part of the box it shows."""
        found = self._backdrops.get(run.number)
        if found is not None:
            return found
        box, bounds = run.target.box, run.target.bounds
        seen = surroundings(box, bounds)
        scale = self.side / max(seen.width, seen.height)
        pixmap = QtGui.QPixmap(max(1, round(seen.width * scale)), max(1, round(seen.height * scale)))
        pixmap.fill(base)
        if run.capture is not None:
            painter = QtGui.QPainter(pixmap)
            painter.setRenderHint(SMOOTH)
            target = run.target
            if target.pieces:
                _draw(painter, target, run.capture.picture, seen, scale)
            else:
                data, *size = shown(run.capture.pixels, box.width, seen, target.depth, target.linear, 2 * self.side)
                painter.drawImage(QtCore.QRectF(pixmap.rect()), image(data, *size))
            painter.end()
        self._backdrops[run.number] = (pixmap, seen)
        return pixmap, seen
