"""The row *Maps*: the layers that can be painted along with the active one, each with what it holds and its weight."""

from __future__ import annotations

from typing import Any, List, cast

from gi.repository import GLib, Gtk, Pango

from bridge_server.client.editor import fields
from bridge_server.client.editor.maps import Row
from bridge_server.client.editor.panel import Panel

from .forms import Form, widget_of
from .widgets import GAP, named, note

LONGEST = 14  # letters of a layer's name


class MapLine:
    """One layer, a line of the grid; what it holds and its weight only while it is ticked."""

    def __init__(self, panel: Panel, found: Row, number: int) -> None:
        self._maps, self._layer = panel.maps, found.layer
        self.tick = Gtk.CheckButton(label=found.name, hexpand=True, tooltip_text=found.name)
        self.tick.get_child().set_ellipsize(Pango.EllipsizeMode.MIDDLE)
        self.tick.get_child().set_max_width_chars(LONGEST)
        self.tick.set_name(f"repaint_map_{number}")
        self.kind, self.weight = widget_of(fields.MAP_KIND), widget_of(fields.MAP_WEIGHT)
        for widget in (self.kind, self.weight.button):
            accessible = widget.get_accessible()
            accessible.set_name(f"{found.name}: {accessible.get_name()}")
        self.parts = (self.tick, self.kind, self.weight)
        self.draw(found)
        self.tick.connect("toggled", lambda *_: self._maps.tick(self._layer, bool(self.tick.get_active())))
        for widget in (self.kind, self.weight):
            widget.on_change(self._hold)

    def _hold(self) -> None:
        self._maps.hold(self._layer, self.kind.read(), self.weight.read())

    def draw(self, found: Row) -> None:
        self.tick.set_active(found.ticked)
        for widget, value in ((self.kind, found.kind), (self.weight, found.weight)):
            if widget.read() != value:
                widget.write(value)
            widget.set_no_show_all(False)
            widget.show_all()
            widget.set_no_show_all(True)
            widget.set_visible(found.ticked)


class MapsPanel(Gtk.Box):
    def __init__(self, panel: Panel) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=GAP)
        self._panel = panel
        self._drawn: List[Any] = []
        self.lines: List[MapLine] = []
        self.form = Form(fields.MAP_LAYERS[:1], panel.widgets)
        self.on = cast(Any, panel.widgets[fields.MAP_LAYERS[0].name])
        self.list = named(Gtk.Grid(row_spacing=GAP, column_spacing=GAP), "maps", fields.MAP_LAYERS[1].tip)
        self.note = note(name="maps_note")
        for part in (self.list, self.note):
            part.set_no_show_all(True)
        for part in (self.form, self.list, self.note):
            self.pack_start(part, False, False, 0)
        self.on.connect("toggled", lambda *_: self.look_again())
        panel.maps.on_change(self._later)
        for name in ("model", "material"):
            panel.widgets[name].on_change(self.refresh)

    def look_again(self) -> None:
        """Other layers may be selected now."""
        self._panel.look_at_maps()
        self.refresh()

    def _later(self) -> None:
        """Not while a line tells of its own change."""
        GLib.idle_add(lambda: self._panel.pump.do("maps", self.refresh))

    def refresh(self) -> None:
        rows, shown = self._panel.maps.rows, self.on.get_active()
        now = [(found.layer, found.name) for found in rows]
        if now != self._drawn:
            self._drawn = now
            for child in self.list.get_children():
                child.destroy()
            self.lines = [MapLine(self._panel, found, number) for number, found in enumerate(rows)]
            for number, line in enumerate(self.lines):
                for column, part in enumerate(line.parts):
                    part.show()
                    self.list.attach(part, column, number, 1, 1)
        for line, found in zip(self.lines, rows):
            line.draw(found)
        self.list.set_visible(shown and bool(rows))
        text = self._panel.maps_note()
        self.note.set_text(text)
        self.note.set_visible(bool(text))
