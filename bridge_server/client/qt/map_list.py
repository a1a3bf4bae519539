"""The row *Maps*: the layers that can be painted along with the active one, each with what it holds and its weight."""

from __future__ import annotations

from typing import Any, List, cast

from bridge_server.client.editor import fields
from bridge_server.client.editor.maps import Row
from bridge_server.client.editor.panel import Panel

from .binding import QtCore, QtWidgets, scoped
from .forms import Form, widget_of
from .widgets import BOX, call, column, named, note, plain, row

INDENT = 18  # pixels of what belongs to a ticked layer


class NameBox(QtWidgets.QCheckBox):
    """With "…" in the middle of a name that is too long."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self.setSizePolicy(*(scoped(QtWidgets.QSizePolicy, "Policy", policy) for policy in ("Ignored", "Fixed")))
        self.setToolTip(plain(name))
        self.setAccessibleName(name)
        self._fit(self.width())

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self._fit(event.size().width())

    def _fit(self, width: int) -> None:
        middle = scoped(QtCore.Qt, "TextElideMode", "ElideMiddle")
        self.setText(self.fontMetrics().elidedText(self._name, middle, max(0, width - BOX)).replace("&", "&&"))


class MapLine(QtWidgets.QWidget):
    """One layer; what it holds and its weight only while it is ticked."""

    def __init__(self, panel: Panel, found: Row, number: int) -> None:
        super().__init__()
        self._maps, self._layer = panel.maps, found.layer
        self.tick = NameBox(found.name)
        self.kind, self.weight = widget_of(fields.MAP_KIND), widget_of(fields.MAP_WEIGHT)
        named(self.tick, f"map_{number}")
        for widget in (self.kind, self.weight):
            widget.setObjectName(f"{widget.objectName()}_{number}")
            call(widget, f"{found.name}: {widget.accessibleName()}")
        self.details = QtWidgets.QWidget()
        self.details.setLayout(row(self.kind, self.weight, stretch=0))
        self.details.layout().setContentsMargins(INDENT, 0, 0, 0)
        column(self, self.tick, self.details, margin=0)
        self.draw(found)
        self.tick.toggled.connect(lambda on: self._maps.tick(self._layer, bool(on)))
        for widget in (self.kind, self.weight):
            widget.on_change(self._hold)

    def _hold(self) -> None:
        self._maps.hold(self._layer, self.kind.read(), self.weight.read())

    def draw(self, found: Row) -> None:
        self.tick.setChecked(found.ticked)
        for widget, value in ((self.kind, found.kind), (self.weight, found.weight)):
            if widget.read() != value:
                widget.write(value)
        self.details.setVisible(found.ticked)


class MapsPanel(QtWidgets.QWidget):
    def __init__(self, panel: Panel) -> None:
        super().__init__()
        self._panel = panel
        self._drawn: List[Any] = []
        self.lines: List[MapLine] = []
        self.form = Form(fields.MAP_LAYERS[:1], panel.widgets)
        self.on = cast(Any, panel.widgets[fields.MAP_LAYERS[0].name])
        self.list = named(QtWidgets.QWidget(), "maps", fields.MAP_LAYERS[1].tip)
        self._column = column(self.list, margin=0)
        self._column.setContentsMargins(INDENT // 2, 0, 0, 0)
        self.note = note(name="maps_note")
        column(self, self.form, self.list, self.note, margin=0)
        self.on.toggled.connect(lambda *_: self.look_again())
        panel.maps.on_change(self._later)
        for name in ("model", "material"):
            panel.widgets[name].on_change(self.refresh)
        self.refresh()

    def enterEvent(self, event: Any) -> None:
        """No editor tells of other selected layers: the artist's way here does."""
        super().enterEvent(event)
        self.look_again()

    def look_again(self) -> None:
        self._panel.look_at_maps()
        self.refresh()

    def _later(self) -> None:
        """Not while a line tells of its own change."""
        QtCore.QTimer.singleShot(0, lambda: self._panel.pump.do("maps", self.refresh))

    def refresh(self) -> None:
        rows, shown = self._panel.maps.rows, self.on.isChecked()
        now = [(found.layer, found.name) for found in rows]
        if now != self._drawn:
            self._drawn = now
            for line in self.lines:
                self._column.removeWidget(line)
                line.deleteLater()
            self.lines = [MapLine(self._panel, found, number) for number, found in enumerate(rows)]
            for line in self.lines:
                self._column.addWidget(line)
        for line, found in zip(self.lines, rows):
            line.draw(found)
        self.list.setVisible(shown and bool(rows))
        text = self._panel.maps_note()
        self.note.setText(text)
        self.note.setVisible(bool(text))
