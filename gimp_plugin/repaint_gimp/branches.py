"""Branching from a kept step of the chosen variant: which step, what kind, how many, at what cost; and the tree."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from gi.repository import GdkPixbuf, GLib, Gtk

from bridge_server.client import events
from bridge_server.client.editor.model import Run, Variant
from bridge_server.client.editor.texts import KINDS, caption, duration
from bridge_server.client.editor.words import tr

from .eventloop import Pump
from .gallery import Gallery
from .pictures import Thumbnails
from .widgets import GAP, button, column, combo, named, note, row, spin

SIDE = 96
TREE_ICON = 32
LOOK_MS = 80  # the slider has to rest so long before a step's picture is asked for


class BranchPanel(Gtk.Box):
    """Shows what `Gallery.chosen` is, and branches from it."""

    def __init__(self, pump: Pump, gallery: Gallery) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=GAP)
        self._pump, self._flow, self._gallery = pump, pump.flow, gallery
        self._place: Any = None  # run number, variant index, calls of its steps
        self._drawn: Any = None
        self._tree: Any = None
        self._quiet = False
        self._timer = 0
        self._thumbnails = Thumbnails(SIDE)
        self._icons = Thumbnails(TREE_ICON)
        self.picture = named(Gtk.Image(), "step_picture", "The picture as it was at this step")
        self.picture.set_size_request(SIDE, SIDE)
        self.step = note(name="step")
        self.cost = note(name="branch_cost")
        self.slider = named(
            Gtk.Scale.new_with_range(Gtk.Orientation.HORIZONTAL, 0, 1, 1),
            "step_slider",
            "Where in its run the branch begins: left early, right late",
        )
        self.slider.set_draw_value(False)
        self.slider.set_round_digits(0)
        self.kind = combo("kind", "Harmonise: blends better. New idea: changes more", KINDS)
        self.number = spin("branches", "How many branches", 1, 8)
        self.number.set_hexpand(False)
        self.go = button("branch", "&Branch", "Paint on from this step in so many ways", self._branch)
        self.resume = button("resume", "C&ontinue", "Paint the stopped picture to its end", self._resume)
        self.resume.set_no_show_all(True)
        self.rows = Gtk.TreeStore(GdkPixbuf.Pixbuf, str, int, int)
        self.tree = named(
            Gtk.TreeView(model=self.rows, headers_visible=False, activate_on_single_click=True),
            "tree",
            "What branched from what; click shows it in the layer",
        )
        branch = Gtk.TreeViewColumn()
        for cell, attribute, place in ((Gtk.CellRendererPixbuf(), "pixbuf", 0), (Gtk.CellRendererText(), "text", 1)):
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
        self.kind.connect("changed", lambda *_: self._show_cost())
        self.number.on_change(self._show_cost)
        self.tree.connect("row-activated", self._tree_clicked)

    # ---- what the artist does ----
    def chosen_step(self) -> Optional[Tuple[Run, Variant, events.Step]]:
        chosen = self._gallery.chosen()
        if chosen is None or not chosen[1].steps:
            return None
        run, variant = chosen
        return run, variant, variant.steps[min(round(self.slider.get_value()), len(variant.steps) - 1)]

    def _branch(self) -> None:
        found = self.chosen_step()
        if found is not None:
            run, variant, step = found
            kind, number = self.kind.value, self.number.value
            self._pump.do("branch", lambda: self._flow.branch(run, variant.index, step.call, kind, number))

    def _resume(self) -> None:
        chosen = self._gallery.chosen()
        if chosen is not None:
            run, variant = chosen
            self._pump.do("continue", lambda: self._flow.resume(run, variant.index))

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
        found = self.chosen_step()
        if found is not None:
            run, variant, step = found
            self._pump.do("look", lambda: self._flow.look(run, variant.index, step.call))
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
        usable = chosen is not None and bool(chosen[1].steps)
        self.go.set_sensitive(usable and not self._flow.busy)
        self.slider.set_sensitive(usable)
        kept = chosen is not None and chosen[1].unfinished and chosen[1].finished
        self.resume.set_visible(kept)
        self.resume.set_sensitive(kept and usable and not self._flow.busy)
        self._show_step()
        self._show_tree(chosen[0] if chosen is not None else None)

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
        found = self.chosen_step()
        if found is None:
            chosen = self._gallery.chosen()
            lost = chosen is not None and chosen[1].finished
            self.step.set_text(tr("Its steps are gone; run it again to branch.") if lost else tr("Choose a variant."))
            self.picture.clear()
            self._drawn = None
            self.cost.set_text("")
            return
        run, variant, step = found
        text = tr("Step {call} of {calls}").format(call=step.call, calls=max(variant.calls, step.call + step.remaining))
        self.step.set_text(text)
        view = variant.views.get(step.call)
        drawn = (run.number, variant.index, step.call, view is not None)
        if drawn != self._drawn:
            self._drawn = drawn
            self.picture.set_from_pixbuf(self._thumbnails.of(run, view))
        self._show_cost()

    def _show_cost(self) -> None:
        found = self.chosen_step()
        if found is None:
            return
        run, _, step = found
        number = self.number.value
        calls, seconds = self._flow.price(run, step, self.kind.value, number)
        text = tr("{number} × {calls} calls").format(number=number, calls=calls // number)
        self.cost.set_text(text + (", " + tr("about {time}").format(time=duration(seconds)) if seconds >= 0 else ""))

    def _show_tree(self, run: Optional[Run]) -> None:
        """The chosen variant's series, if anything branched in it."""
        runs = [each for each in self._flow.runs if run is not None and each.series is run.series]
        state = [(each.number, [(v.index, v.finished) for v in each.variants]) for each in runs]
        self._shelf.set_visible(any(each.parent is not None for each in runs))
        if state == self._tree or not self._shelf.get_visible():
            return
        self._tree = state
        self.rows.clear()
        items: Dict[Tuple[int, int], Any] = {}
        for each in runs:
            self._add_to_tree(each, items)
        self.tree.expand_all()

    def _add_to_tree(self, run: Run, items: Dict[Tuple[int, int], Any]) -> None:
        above = items.get(run.parent[:2]) if run.parent is not None else None
        kinds = dict(KINDS)
        for variant in run.variants:
            text = caption(run, variant) if variant.finished else "…"
            if run.parent is not None:
                text += " · " + tr(kinds[run.kind]) + " · " + tr("step {call}").format(call=run.parent[2])
            picture = self._icons.of(run, variant.picture)
            items[run.number, variant.index] = self.rows.append(above, (picture, text, run.number, variant.index))
