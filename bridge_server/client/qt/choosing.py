"""Choosing among the pictures: the line above the grid, and the split view below it."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from bridge_server.client.editor import choosing, fields
from bridge_server.client.editor.labels import BUTTONS, IN_LAYER
from bridge_server.client.editor.panel import Panel
from bridge_server.client.editor.pump import Pump
from bridge_server.client.editor.split import InLayer
from bridge_server.client.editor.view import Chosen
from bridge_server.client.editor.words import tr

from .binding import QtCore, QtGui, QtWidgets, scoped
from .forms import widget_of
from .pictures import Thumbnails
from .widgets import broken, named, row

SIDE = 320  # pixels of the split view's pictures
HEIGHT = 160
STEP = 0.02  # of an arrow key


class ChoosingLine(QtWidgets.QWidget):
    """Search, order, favourites. ``changed``: called when the grid is to be drawn anew."""

    changed = QtCore.pyqtSignal()

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        widgets: Dict[str, Any] = {field.name: widget_of(field) for field in fields.CHOOSING}
        self.search, self.order, self.only = widgets.values()
        self.search.setClearButtonEnabled(True)
        self.search.setPlaceholderText(tr(fields.CHOOSING[0].label))
        self.search.setMinimumWidth(40)
        self.shared = choosing.Choosing(panel.flow, panel.choices, widgets)
        self.search.textChanged.connect(lambda *_: self.changed.emit())
        self.order.on_change(self.changed.emit)
        self.only.toggled.connect(lambda *_: self.changed.emit())
        self.setLayout(row(self.search, self.order, self.only, stretch=0))


def mark(name: str) -> Any:
    """A small button of `labels.BUTTONS` that stays pressed, with a sign as its text."""
    text, tip = BUTTONS[name]
    made = QtWidgets.QToolButton()
    made.setText(text)
    made.setCheckable(True)
    made.setAccessibleName(tr(tip))
    return named(made, name, tip)


class SplitView(QtWidgets.QWidget):
    """The parts of `Choosing.parts`, each to the left of its bar. ``moved``: a bar has been moved or let go."""

    moved = QtCore.pyqtSignal()

    def __init__(self, shared: choosing.Choosing) -> None:
        super().__init__()
        self._shared = shared
        self.parts: List[choosing.Part] = []
        self._pictures: List[Any] = []
        self._drawn: Any = None
        self.bars = choosing.Bars()
        self._thumbnails = Thumbnails(SIDE)
        named(self, "split_view")
        self.setMinimumHeight(HEIGHT)
        self.setCursor(scoped(QtCore.Qt, "CursorShape", "SplitHCursor"))
        self.setFocusPolicy(scoped(QtCore.Qt, "FocusPolicy", "StrongFocus"))

    def show_chosen(self, chosen: Optional[Chosen]) -> None:
        """``chosen``: what is current in the grid."""
        self.parts = self._shared.parts(chosen)
        state = choosing.drawn(self.parts)
        if state != self._drawn:
            self._drawn = state
            base = self.palette().color(scoped(QtGui.QPalette, "ColorRole", "Base"))
            self._pictures = [
                self._thumbnails.of(part.run, part.variant.picture if part.variant is not None else None, base)
                for part in self.parts
            ]
            self.bars.divide(len(self.parts))
            self.update()

    # ---- bars ----
    def _frame(self) -> Any:
        """Where the pictures are drawn: as large as fits, in the middle."""
        size = self._pictures[0].size()
        scale = min(self.width() / size.width(), self.height() / size.height())
        width, height = size.width() * scale, size.height() * scale
        return QtCore.QRectF((self.width() - width) / 2, (self.height() - height) / 2, width, height)

    def _place(self, event: Any) -> float:
        frame = self._frame()
        x = event.position().x() if hasattr(event, "position") else event.x()
        return float((x - frame.x()) / frame.width())

    def mousePressEvent(self, event: Any) -> None:
        if self._pictures:
            self.bars.hold(self._place(event))
            self._moved()

    def mouseMoveEvent(self, event: Any) -> None:
        if self._pictures and self.bars.drag(self._place(event)):
            self._moved()

    def mouseReleaseEvent(self, _event: Any) -> None:
        self.bars.let_go()
        self.moved.emit()

    def _moved(self) -> None:
        self.update()
        self.moved.emit()

    def keyPressEvent(self, event: Any) -> None:
        keys = {scoped(QtCore.Qt, "Key", "Key_Left"): -STEP, scoped(QtCore.Qt, "Key", "Key_Right"): STEP}
        if event.key() in keys and self.bars.step(keys[event.key()]):
            self._moved()
        else:
            super().keyPressEvent(event)

    # ---- drawing ----
    def paintEvent(self, _event: Any) -> None:
        if not self._pictures:
            return
        frame, painter = self._frame(), QtGui.QPainter(self)
        painter.setRenderHint(scoped(QtGui.QPainter, "RenderHint", "SmoothPixmapTransform"))
        ends = [0.0, *self.bars.places, 1.0]
        for part, picture, low, high in zip(self.parts, self._pictures, ends, ends[1:]):
            left, width = frame.x() + low * frame.width(), (high - low) * frame.width()
            seen = QtCore.QRectF(low * picture.width(), 0, (high - low) * picture.width(), picture.height())
            shown = QtCore.QRectF(left, frame.y(), width, frame.height())
            painter.drawPixmap(shown, picture, seen)
            painter.setClipRect(shown)
            _caption(painter, shown, part.title)
            painter.setClipping(False)
        for bar in self.bars.places:
            x = frame.x() + bar * frame.width()
            for colour, thick in (("black", 3), ("white", 1)):
                painter.setPen(QtGui.QPen(QtGui.QColor(colour), thick))
                painter.drawLine(QtCore.QPointF(x, frame.top()), QtCore.QPointF(x, frame.bottom()))
        painter.end()


def _caption(painter: Any, place: Any, text: str) -> None:
    """White on black, so that it is read on every picture."""
    metrics = painter.fontMetrics()
    box = QtCore.QRectF(place.x() + 3, place.y() + 3, metrics.horizontalAdvance(text) + 6, metrics.height() + 2)
    painter.fillRect(box, QtGui.QColor(0, 0, 0, 150))
    painter.setPen(QtGui.QColor("white"))
    painter.drawText(box, scoped(QtCore.Qt, "AlignmentFlag", "AlignCenter"), text)


class InLayerBox(QtWidgets.QCheckBox):
    """Whether the layer shows what the split view does. It does not while this cannot be seen.

    An editor's own subclass calls `saved` after its document was saved, and unticks this before, if it can.
    """

    def __init__(self, pump: Pump, view: SplitView) -> None:
        super().__init__(broken(tr(IN_LAYER)))
        named(self, "in_layer")
        policy = scoped(QtWidgets.QSizePolicy, "Policy", "Maximum")  # no click beside its text
        self.setSizePolicy(policy, scoped(QtWidgets.QSizePolicy, "Policy", "Fixed"))
        self._view, self._shared = view, InLayer(pump, view.bars)
        self.toggled.connect(lambda *_: self.refresh())
        view.moved.connect(self.refresh)

    def saved(self) -> None:
        if self._shared.saved():
            self.setChecked(False)

    def is_on(self) -> bool:
        return bool(self.isVisible() and self.isChecked())

    def refresh(self) -> None:
        self._shared.show(self._view.parts, self.is_on())

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self.refresh()

    def hideEvent(self, event: Any) -> None:
        super().hideEvent(event)
        self.refresh()
