"""What the window's pages show beside their fields: the frame around the canvas, the repeated tile, the run's walk, the
memory that a run takes, the history."""

from __future__ import annotations

from typing import Any, Callable

from gi.repository import Gtk

from bridge_server.client.editor import fields, material, view
from bridge_server.client.editor.model import Extend
from bridge_server.client.editor.panel import Panel, UsedMaterial

from .forms import Form
from .framing import FramePicture
from .pictures import composite, curve, repeated
from .widgets import GAP, Sharp, button, density, main_button, named, note

FRAMED = 256  # pixels of the picture that the frame surrounds
USED = 96  # of the picture of what would be used
REPEATED = 180  # pixels of the repeated tile
WALK = (260, 56)  # pixels of the run's walk


class PageWidget(Gtk.Box):
    """A page's fields, and the button that starts its run; the window places it below what scrolls."""

    def __init__(self, page: fields.Page, panel: Panel) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=GAP)
        self._panel, self._name = panel, page.name
        self.hint = note(name=page.name + "_hint")
        self.form = Form(page.fields, panel.widgets)
        self.button: Any = None
        if page.button[0]:
            name = "button" if page.name == "selection" else page.name + "_button"
            self.button = main_button(name, *page.button, lambda: panel.start(page.name))
        self._build()

    def _build(self) -> None:
        self._stack(self.form, self.hint)

    def _stack(self, *parts: Any) -> None:
        for part in parts:
            self.pack_start(part, False, False, 0)

    def refresh(self) -> None:
        """Shows what may have changed."""
        if self.get_mapped():
            self.hint.set_text(view.hint(self._panel.flow, self._name))


class MaterialPanel(Gtk.Box):
    """Where the material comes from, with a small picture of what would be used."""

    def __init__(self, panel: Panel, changed: Callable[[], None]) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=GAP)
        self._panel = panel
        self._used = UsedMaterial(panel, USED * density(), self._draw)
        self.form = Form(fields.MATERIAL, panel.widgets)
        self.picture = named(Sharp(no_show_all=True, halign=Gtk.Align.START), "material_picture")
        self.note = note(name="material_note")
        self.note.set_no_show_all(True)
        for part in (self.form, self.picture, self.note):
            self.pack_start(part, False, False, 0)
        panel.widgets[material.MATERIAL].on_change(panel.material_chosen)
        for field in fields.MATERIAL:
            panel.widgets[field.name].on_change(changed)
            panel.widgets[field.name].on_change(self.refresh)
        panel.widgets["model"].on_change(self.refresh)

    def look_again(self) -> None:
        """Layers and channels may have come or gone."""
        self._used.look_again()
        self.refresh()

    def refresh(self) -> None:
        if not self.get_mapped():
            return
        text = self._panel.material_note()
        self.note.set_text(text)
        self.note.set_visible(bool(text))
        self._used.refresh()

    def _draw(self, shown: Any) -> None:
        self.picture.set_visible(shown is not None)
        if shown is not None:
            self.picture.set_from_pixbuf(shown)


class ExtendPage(PageWidget):
    """With the canvas inside a frame that is dragged."""

    def _build(self) -> None:
        self._shown: Any = None
        self._sides = [self._panel.widgets["extend_" + side] for side in fields.SIDES]
        self.frame = FramePicture(self._drag)
        for box in self._sides:
            box.on_change(self._show_sides)
        self._show_sides()
        self._stack(self.frame, self.form, self.hint)

    def _show_sides(self) -> None:
        self.frame.show_sides(Extend(*(box.read() for box in self._sides)))

    def _drag(self, sides: Extend) -> None:
        for box, pixels in zip(self._sides, (sides.left, sides.top, sides.right, sides.bottom)):
            box.write(pixels)

    def refresh(self) -> None:
        """And the canvas as it is now, when that may have changed."""
        super().refresh()
        if not self.get_mapped():
            return
        size = self._panel.flow.host.canvas_size()
        state = (size, self._panel.flow.busy)
        if state == self._shown:
            return
        self._shown = state
        if size is not None:
            self.frame.show_canvas(self._panel.flow.host.thumbnail(FRAMED), size[1], size[2])
        else:
            self.frame.show_canvas(None, 0, 0)


class TilePage(PageWidget):
    """With the tile, repeated."""

    def _build(self) -> None:
        self._shown: Any = None
        self.preview = named(Sharp(halign=Gtk.Align.CENTER), "tile_preview")
        self._stack(self.form, self.hint, self.preview)

    def refresh(self) -> None:
        super().refresh()
        tile = view.tile(self._panel.flow)
        state = (tile.run.number, tile.variant.index, tile.variant.version) if tile is not None else None
        if state == self._shown or not self.get_mapped():
            return
        self._shown = state
        if tile is not None:
            self.preview.set_from_pixbuf(repeated(composite(tile.run, tile.variant, REPEATED * density() // 2)))
        else:
            self.preview.clear()


class MorePage(PageWidget):
    """With the run's walk, the memory that it takes, and the history."""

    def _build(self) -> None:
        self._walk: Any = None
        panel = self._panel
        self.picture = named(Gtk.Image(), "schedule_picture")
        self.reset = button("reset", panel.reset)
        self.forget_here = button("forget_here", panel.forget_here)
        self.forget_all = button("forget_all", panel.forget_all)
        self.memory, self.used = note(name="memory"), note(name="history_used")
        history = Form(fields.HISTORY, panel.widgets)
        self._stack(
            self.form, self.picture, self.reset, self.memory, self.used, history, self.forget_here, self.forget_all
        )
        for name in ("preset", "steps", "jump_length", "jump_samples", "schedule"):
            panel.widgets[name].on_change(self.show_schedule)
        for name in ("model", "variants", "padding"):
            panel.widgets[name].on_change(self.show_memory)

    def show_schedule(self) -> None:
        walk = view.walk(self._panel.flow, self._panel.values())
        if walk and walk != self._walk:
            self._walk = walk
            self.picture.set_from_pixbuf(curve(walk, *WALK))

    def refresh(self) -> None:
        self.used.set_text(view.history(self._panel.flow, self._panel.widgets["history_mib"].read()))
        self.show_schedule()
        self.show_memory()

    def show_memory(self) -> None:
        """No editor tells of a new selection; the window asks when it gets the focus."""
        if self.get_mapped():
            self.memory.set_text(view.memory(self._panel.flow, self._panel.values(), len(self._panel.map_wishes())))
