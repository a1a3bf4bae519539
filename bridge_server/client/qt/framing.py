"""The Extend page's picture: the canvas inside a frame whose edges the mouse drags."""

from __future__ import annotations

from typing import Any, Callable, Optional, Tuple

from bridge_server.client.editor.frame import NONE, Frame
from bridge_server.client.editor.model import Extend

from .binding import QtCore, QtGui, QtWidgets, scoped
from .widgets import named

HIGH = 150
CURSORS = {
    (1, 0): "SizeHorCursor", (0, 1): "SizeVerCursor", (1, 1): "SizeFDiagCursor", (-1, 1): "SizeBDiagCursor",
}  # fmt: skip


class FramePicture(QtWidgets.QWidget):
    """Shows what `show_canvas` was given; ``moved`` is called with the sides whenever the mouse changes them."""

    def __init__(self, moved: Callable[[Extend], None]) -> None:
        super().__init__()
        named(self, "extend_frame")
        self._moved = moved
        self._image: Any = None
        self._size: Tuple[int, int] = (0, 0)
        self._sides = Extend()
        self._held: Optional[Tuple[Frame, Tuple[int, int]]] = None  # while the mouse has an edge: its scale stays
        self.setMinimumSize(80, HIGH)
        self.setMouseTracking(True)

    def show_canvas(self, image: Any, width: int, height: int) -> None:
        """A small picture of a canvas of that size; 0 × 0: there is none."""
        if (width, height) != self._size:
            self._size, self._held = (width, height), None
        self._image = image
        self.update()

    def show_sides(self, sides: Extend) -> None:
        if sides != self._sides:
            self._sides = sides
            self.update()

    def frame(self) -> Optional[Frame]:
        """As it is drawn; None without a canvas."""
        if self._held is not None:
            return self._held[0]
        if min(*self._size, self.width(), self.height()) < 1:
            return None
        return Frame.fitted(*self._size, self._sides, self.width(), self.height())

    # ---- the mouse ----
    def mousePressEvent(self, event: Any) -> None:
        frame = self.frame()
        if frame is not None and event.button() == scoped(QtCore.Qt, "MouseButton", "LeftButton"):
            grip = frame.grip(*_place(event))
            self._held = (frame, grip) if grip != NONE else None

    def mouseMoveEvent(self, event: Any) -> None:
        if self._held is not None:
            self._drag(event)
            return
        frame = self.frame()
        grip = frame.grip(*_place(event)) if frame is not None else NONE
        name = CURSORS.get(grip) or CURSORS.get((-grip[0], -grip[1]), "ArrowCursor")
        self.setCursor(scoped(QtCore.Qt, "CursorShape", name))

    def mouseReleaseEvent(self, event: Any) -> None:
        if self._held is not None:
            self._drag(event)
            self._held = None

    def _drag(self, event: Any) -> None:
        assert self._held is not None
        held, grip = self._held
        held = held.dragged(grip, *_place(event))
        self._held, self._sides = (held, grip), held.sides
        self._moved(held.sides)
        self.update()

    # ---- what it shows ----
    def paintEvent(self, _event: Any) -> None:
        frame = self.frame()
        if frame is None:
            return
        painter = QtGui.QPainter(self)
        painter.setRenderHint(scoped(QtGui.QPainter, "RenderHint", "SmoothPixmapTransform"))
        palette = self.palette()
        new = palette.color(scoped(QtGui.QPalette, "ColorRole", "Highlight"))
        outer = QtCore.QRectF(*frame.outer)
        painter.fillRect(outer, palette.color(scoped(QtGui.QPalette, "ColorRole", "Base")))
        painter.fillRect(outer, QtGui.QBrush(new, scoped(QtCore.Qt, "BrushStyle", "BDiagPattern")))
        if self._image is not None:
            painter.drawImage(QtCore.QRectF(*frame.canvas), self._image)
        painter.setPen(QtGui.QPen(new, 2))
        painter.drawRect(outer)
        painter.end()


def _place(event: Any) -> Tuple[float, float]:
    """Where in the widget (PyQt5 and PyQt6 call it differently)."""
    point = event.position() if hasattr(event, "position") else event.localPos()
    return point.x(), point.y()
