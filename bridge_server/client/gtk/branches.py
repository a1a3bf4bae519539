"""Branching from a kept step of the chosen variant: which step, what kind, how many, at what cost; and the tree."""

from __future__ import annotations

from typing import Any, Dict, Optional

from gi.repository import GdkPixbuf, GLib, Gtk

from bridge_server.client.editor import view
from bridge_server.client.editor.fields import BRANCH_KIND, BRANCH_NUMBER
from bridge_server.client.editor.model import Variant
from bridge_server.client.editor.panel import Panel

from .forms import widget_of
from .gallery import Gallery
from .pictures import Thumbnails
from .widgets import GAP, Sharp, button, column, density, named, note, row, sharp_cell

SIDE = 96
TREE_ICON = 32
LOOK_MS = 80  # the slider has to rest so long before a step's picture is asked for


class BranchPanel(Gtk.Box):
    """Shows what `Gallery.chosen` is, and branches from it."""

    def __init__(self, panel: Panel, gallery: Gallery) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=GAP)
        self._pump, self._flow, self._gallery = panel.pump, panel.flow, gallery
        self._place: Any = None  # run number, variant index, calls of its steps
        self._drawn: Any = None
        self._tree: Any = None
        self._quiet = False
        self._timer = 0
        self._thumbnails = Thumbnails(SIDE * density())
        self._icons = Thumbnails(TREE_ICON * density())
        self.picture = named(Sharp(), "step_picture")
        self.picture.set_size_request(SIDE, SIDE)
        self.step = note(name="step")
        self.cost = note(name="branch_cost")
        self.slider = named(Gtk.Scale.new_with_range(Gtk.Orientation.HORIZONTAL, 0, 1, 1), "step_slider")
        self.slider.set_draw_value(False)
        self.slider.set_round_digits(0)
        self.kind, self.number = widget_of(BRANCH_KIND), widget_of(BRANCH_NUMBER)
        self.number.set_hexpand(False)
        self.go = button("branch", self._branch)
        self.resume = button("resume", panel.resume)
        self.resume.set_no_show_all(True)
        self.rows = Gtk.TreeStore(GdkPixbuf.Pixbuf, str, int, int)
        self.tree = named(
            Gtk.TreeView(model=self.rows, headers_visible=False, activate_on_single_click=True),
            "tree",
        )
        branch = Gtk.TreeViewColumn()
        for cell, attribute, place in ((sharp_cell(TREE_ICON), "gicon", 0), (Gtk.CellRendererText(), "text", 1)):
            branch.pack_start(cell, False)
            branch.add_attribute(cell, attribute, place)
        self.tree.append_column(branch)
        self._shelf = Gtk.ScrolledWindow(hscrollbar_policy=Gtk.PolicyType.NEVER, min_content_height=3 * TREE_ICON)
        self._shelf.add(self.tree)
        self._shelf.set_no_show_all(True)
        self.tree.show()
        for widget in (
            row(self.picture, column(self.step, self.cost), wide=1),
            self.slider,
            row(self.kind, self.number, wide=0),
            row(self.go, self.resume),
            self._shelf,
        ):
            self.pack_start(widget, False, False, 0)
        self.slider.connect("value-changed", self._moved)
        self.kind.on_change(self._show_step)
        self.number.on_change(self._show_step)
        self.tree.connect("row-activated", self._tree_clicked)

    # ---- what the artist does ----
    def chosen_step(self) -> view.KeptStep:
        position, kind, number = round(self.slider.get_value()), self.kind.read(), self.number.read()
        return view.kept_step(self._flow, self._gallery.chosen(), position, kind, number)

    def _branch(self) -> None:
        chosen, step = self._gallery.chosen(), self.chosen_step().step
        if chosen is not None and step is not None:
            (run, variant), call, kind, number = chosen, step.call, self.kind.read(), self.number.read()
            self._pump.do("branch", lambda: self._flow.branch(run, variant.index, call, kind, number))

    def _tree_clicked(self, _tree: Any, path: Any, _column: Any) -> None:
        line = self.rows[path]
        run = self._flow.library.find(line[2])
        if run is not None:
            self._pump.choose(run, line[3])
            self._gallery.select((line[2], line[3]))

    def _moved(self, _widget: Any) -> None:
        if not self._quiet:
            self._look_soon()
            self._show_step()

    def _look_soon(self) -> None:
        if self._timer:
            GLib.source_remove(self._timer)
        self._timer = GLib.timeout_add(LOOK_MS, self._look)

    def _look(self) -> bool:
        self._timer = 0
        chosen, step = self._gallery.chosen(), self.chosen_step().step
        if chosen is not None and step is not None:
            (run, variant), call = chosen, step.call
            self._pump.do("look", lambda: self._flow.look(run, variant.index, call))
        return False

    # ---- what it shows ----
    def refresh(self) -> None:
        chosen = self._gallery.chosen()
        place = None
        if chosen is not None:
            place = (chosen[0].number, chosen[1].index, tuple(step.call for step in chosen[1].steps))
        if place != self._place:
            moved = place is None or self._place is None or place[:2] != self._place[:2]
            self._place = place
            self._show_slider(chosen[1] if chosen is not None else None, moved)
        self.slider.set_sensitive(chosen is not None and bool(chosen.variant.steps))
        self.resume.set_visible(view.can_resume(chosen))
        self._show_step()
        self._show_tree()

    def _show_slider(self, variant: Optional[Variant], moved: bool) -> None:
        count = len(variant.steps) if variant is not None else 0
        self._quiet = True
        self.slider.set_range(0, max(1, count - 1))
        if moved:
            self.slider.set_value(count // 2)
        self._quiet = False
        if count:
            self._look_soon()

    def _show_step(self) -> None:
        shown = self.chosen_step()
        self.step.set_text(shown.text)
        self.cost.set_text(shown.cost)
        if shown.state == self._drawn:
            return
        self._drawn = shown.state
        if shown.run is None:
            self.picture.clear()
        else:
            self.picture.set_from_pixbuf(self._thumbnails.of(shown.run, shown.picture))

    def _show_tree(self) -> None:
        lines = view.tree(self._flow, self._gallery.chosen())
        self._shelf.set_visible(bool(lines))
        state = [(line.place, line.variant.finished) for line in lines]
        if state == self._tree:
            return
        self._tree = state
        self.rows.clear()
        items: Dict[view.Place, Any] = {}
        for line in lines:
            above = items.get(line.above) if line.above is not None else None
            picture = self._icons.of(line.run, line.variant.picture)
            items[line.place] = self.rows.append(above, (picture, line.text, *line.place))
        self.tree.expand_all()
