"""What the pages show beside their fields: the frame around the canvas, the repeated tile, the run's walk, the
memory that a run takes, the history."""

from __future__ import annotations

from typing import Any, Callable, List

from bridge_server.client.editor import fields, material, view
from bridge_server.client.editor.model import Extend
from bridge_server.client.editor.panel import Panel, UsedMaterial

from .binding import QtCore, QtGui, QtWidgets, scoped
from .forms import Form
from .framing import FramePicture
from .pictures import composite, density
from .widgets import button, column, label, main_button, named, note

FRAMED = 256  # pixels of the picture that the frame surrounds
USED = 96  # of the picture of what would be used
REPEATED = 180  # pixels of the repeated tile


class PageWidget(QtWidgets.QWidget):
    """A page's fields and the button that starts its run."""

    def __init__(self, page: fields.Page, panel: Panel) -> None:
        super().__init__()
        self._panel, self._name = panel, page.name
        self.form = Form(page.fields, panel.widgets)
        self.hint = note(name=page.name + "_hint")
        self.column = column(self, self.form, self.hint)
        if page.button[0]:
            name = "button" if page.name == "selection" else page.name + "_button"
            self.button = main_button(name, *page.button, lambda: panel.start(page.name))
            self.column.addWidget(self.button)
        self.column.addStretch(1)

    def refresh(self) -> None:
        """Shows what may have changed."""
        if self.isVisible():
            text = view.hint(self._panel.flow, self._name)
            self.hint.setText(text)
            self.hint.setVisible(bool(text))


class MaterialPanel(QtWidgets.QWidget):
    """Where the material comes from, with a small picture of what would be used."""

    def __init__(self, panel: Panel, changed: Callable[[], None]) -> None:
        super().__init__()
        self._panel = panel
        self._used = UsedMaterial(panel, USED, self._draw)
        self.form = Form(fields.MATERIAL, panel.widgets)
        self.picture = named(label(), "material_picture")
        self.note = note(name="material_note")
        column(self, self.form, self.picture, self.note, margin=0)
        panel.widgets[material.MATERIAL].on_change(panel.material_chosen)
        for field in fields.MATERIAL:
            panel.widgets[field.name].on_change(changed)
            panel.widgets[field.name].on_change(self.refresh)
        panel.widgets["model"].on_change(self.refresh)

    def enterEvent(self, event: Any) -> None:
        """No editor tells of a new layer or mask: the artist's way here does."""
        super().enterEvent(event)
        self.look_again()

    def look_again(self) -> None:
        self._used.look_again()
        self.refresh()

    def refresh(self) -> None:
        text = self._panel.material_note()
        self.note.setText(text)
        self.note.setVisible(bool(text))
        if self.isVisible():
            self._used.refresh()

    def _draw(self, shown: Any) -> None:
        self.picture.setVisible(shown is not None)
        if shown is not None:
            self.picture.setPixmap(QtGui.QPixmap.fromImage(shown))


class ExtendPage(PageWidget):
    """With the canvas inside a frame that is dragged."""

    def __init__(self, page: fields.Page, panel: Panel) -> None:
        super().__init__(page, panel)
        self._shown: Any = None
        self._sides = [panel.widgets["extend_" + side] for side in fields.SIDES]
        self.frame = FramePicture(self._drag)
        self.column.insertWidget(0, self.frame)
        for box in self._sides:
            box.on_change(self._show_sides)
        self._show_sides()

    def _show_sides(self) -> None:
        self.frame.show_sides(Extend(*(box.read() for box in self._sides)))

    def _drag(self, sides: Extend) -> None:
        for box, pixels in zip(self._sides, (sides.left, sides.top, sides.right, sides.bottom)):
            box.write(pixels)

    def refresh(self) -> None:
        """And the canvas in front as it is now, when that may have changed."""
        super().refresh()
        size = self._panel.flow.host.canvas_size()
        state = (size, self._panel.flow.busy)
        if state == self._shown or not self.isVisible():
            return
        self._shown = state
        self.frame.setVisible(size is not None)
        if size is not None:
            self.frame.show_canvas(self._panel.flow.host.thumbnail(FRAMED), size[1], size[2])


class TilePage(PageWidget):
    """With the tile, repeated."""

    def __init__(self, page: fields.Page, panel: Panel) -> None:
        super().__init__(page, panel)
        self._shown: Any = None
        self.preview = named(label(), "tile_preview")
        self.preview.setAlignment(scoped(QtCore.Qt, "AlignmentFlag", "AlignCenter"))
        self.column.insertWidget(2, self.preview)

    def refresh(self) -> None:
        super().refresh()
        tile = view.tile(self._panel.flow)
        state = (tile.run.number, tile.variant.index, tile.variant.version) if tile is not None else None
        if state == self._shown or not self.isVisible():
            return
        self._shown = state
        self.preview.setVisible(tile is not None)
        if tile is not None:
            side = round(REPEATED // 2 * density())
            self.preview.setPixmap(_repeated(composite(tile.run, tile.variant, side)))


def _repeated(tile: Any) -> Any:
    pixmap = QtGui.QPixmap(2 * tile.width(), 2 * tile.height())
    painter = QtGui.QPainter(pixmap)
    painter.drawTiledPixmap(pixmap.rect(), tile)
    painter.end()
    pixmap.setDevicePixelRatio(density())
    return pixmap


class SchedulePicture(QtWidgets.QWidget):
    """The walk through the noise levels: noisy at the top, clean at the bottom, time from left to right."""

    def __init__(self) -> None:
        super().__init__()
        self.walk: List[int] = []
        self.setMinimumSize(80, 48)
        named(self, "schedule_picture")

    def show_walk(self, walk: List[int]) -> None:
        self.walk = walk
        self.update()

    def paintEvent(self, _event: Any) -> None:
        painter = QtGui.QPainter(self)
        palette = self.palette()
        painter.fillRect(self.rect(), palette.color(scoped(QtGui.QPalette, "ColorRole", "Base")))
        painter.setPen(palette.color(scoped(QtGui.QPalette, "ColorRole", "Text")))
        painter.setRenderHint(scoped(QtGui.QPainter, "RenderHint", "Antialiasing"))
        if len(self.walk) > 1:
            wide, high = self.width() - 5, self.height() - 5
            top = max(self.walk)
            every = max(1, len(self.walk) // 2000)
            points = [
                QtCore.QPointF(2 + wide * i / (len(self.walk) - 1), 2 + high * (1 - (self.walk[i] + 1) / (top + 1)))
                for i in range(0, len(self.walk), every)
            ]
            painter.drawPolyline(QtGui.QPolygonF(points))
        painter.end()


class MorePage(PageWidget):
    """With the run's walk, the memory that it takes, and the history."""

    def __init__(self, page: fields.Page, panel: Panel) -> None:
        super().__init__(page, panel)
        self.picture = SchedulePicture()
        self.reset = button("reset", panel.reset)
        self.forget_here = button("forget_here", panel.forget_here)
        self.forget_all = button("forget_all", panel.forget_all)
        self.memory, self.used = note(name="memory"), note(name="history_used")
        history = Form(fields.HISTORY, panel.widgets)
        for place, part in enumerate(
            (self.picture, self.reset, self.memory, self.used, history, self.forget_here, self.forget_all), 1
        ):
            self.column.insertWidget(place, part)
        for name in ("preset", "steps", "jump_length", "jump_samples", "schedule"):
            panel.widgets[name].on_change(self.show_schedule)
        for name in ("model", "variants", "padding"):
            panel.widgets[name].on_change(self.show_memory)

    def show_schedule(self) -> None:
        self.picture.show_walk(view.walk(self._panel.flow, self._panel.values()))

    def refresh(self) -> None:
        super().refresh()
        self.used.setText(view.history(self._panel.flow, self._panel.widgets["history_mib"].read()))
        self.show_schedule()
        self.show_memory()

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self.show_memory()

    def enterEvent(self, event: Any) -> None:
        """No editor tells of a new selection: the artist's way here does."""
        super().enterEvent(event)
        self.show_memory()

    def show_memory(self) -> None:
        if self.isVisible():
            text = view.memory(self._panel.flow, self._panel.values(), len(self._panel.map_wishes()))
            self.memory.setText(text)
            self.memory.setVisible(bool(text))
