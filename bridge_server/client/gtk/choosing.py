"""Choosing among the pictures: the line above the grid, and the split view below it."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional

from gi.repository import Gdk, Gtk

from bridge_server.client.editor import choosing, fields
from bridge_server.client.editor.labels import IN_LAYER
from bridge_server.client.editor.panel import Panel
from bridge_server.client.editor.pump import Pump
from bridge_server.client.editor.split import InLayer
from bridge_server.client.editor.view import Chosen
from bridge_server.client.editor.words import tr

from .forms import widget_of
from .pictures import Thumbnails
from .widgets import GAP, Sharp, density, named, note, row, toggle

SIDE = 280  # pixels of the split view's pictures
BLACK, WHITE = 0x000000FF, 0xFFFFFFFF  # of the bars
STEP = 0.02  # of an arrow key


class ChoosingLine(Gtk.Box):
    """Search, order, favourites. ``changed``: called when the grid is to be drawn anew."""

    def __init__(self, panel: Panel, changed: Callable[[], Any]) -> None:
        super().__init__(spacing=GAP)
        widgets: Dict[str, Any] = {field.name: widget_of(field) for field in fields.CHOOSING}
        self.search, self.order, self.only = widgets.values()
        self.search.set_width_chars(6)
        self.search.set_placeholder_text(tr(fields.CHOOSING[0].label))
        self.search.connect("changed", lambda *_: changed())
        self.order.on_change(changed)
        self.only.connect("toggled", lambda *_: changed())
        self.shared = choosing.Choosing(panel.flow, panel.choices, widgets)
        self.pack_start(row(self.search, self.order, self.only, wide=0), True, True, 0)


class Marks:
    """The buttons "favourite" and "split", which stay pressed."""

    def __init__(self, favour: Callable[[], Any], split: Callable[[], Any]) -> None:
        self.favourite, self.split = toggle("favourite"), toggle("split")
        self._quiet = False
        self.favourite.connect("toggled", lambda *_: None if self._quiet else favour())
        self.split.connect("toggled", lambda *_: split())

    def show(self, favourite: bool) -> None:
        self._quiet = True
        self.favourite.set_active(favourite)
        self._quiet = False


class SplitView(Gtk.Box):
    """The parts of `Choosing.parts`, each to the left of its bar; their names stand below. ``moved``: called when a bar
    has been moved or let go."""

    def __init__(self, shared: choosing.Choosing) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=2)
        self._shared = shared
        self.parts: List[choosing.Part] = []
        self.moved: Callable[[], Any] = lambda: None
        self._pictures: List[Any] = []
        self._drawn: Any = None
        self.bars = choosing.Bars()
        self._density = density()
        self._thumbnails = Thumbnails(SIDE * self._density)
        self._image = Sharp()
        self.area = named(Gtk.EventBox(can_focus=True, halign=Gtk.Align.CENTER), "split_view")
        self.area.add(self._image)
        self.names = note()
        mask = Gdk.EventMask
        self.area.add_events(mask.BUTTON_RELEASE_MASK | mask.BUTTON1_MOTION_MASK | mask.KEY_PRESS_MASK)
        self.area.connect("button-press-event", self._press)
        self.area.connect("motion-notify-event", self._drag)
        self.area.connect("button-release-event", self._let_go)
        self.area.connect("key-press-event", self._key)
        self.pack_start(self.area, False, False, 0)
        self.pack_start(self.names, False, False, 0)

    def show_chosen(self, chosen: Optional[Chosen]) -> None:
        """``chosen``: what is current in the grid."""
        self.parts = self._shared.parts(chosen)
        state = choosing.drawn(self.parts)
        if state == self._drawn:
            return
        self._drawn = state
        self._pictures = [
            self._thumbnails.of(part.run, part.variant.picture if part.variant is not None else None)
            for part in self.parts
        ]
        self.bars.divide(len(self.parts))
        self.names.set_text(" | ".join(part.title for part in self.parts))
        self._draw()

    # ---- bars ----
    def _press(self, _widget: Any, event: Any) -> bool:
        self.area.grab_focus()
        if self._pictures:
            self.bars.hold(self._place(event))
            self._moved()
        return True

    def _drag(self, _widget: Any, event: Any) -> bool:
        held = bool(self._pictures) and self.bars.drag(self._place(event))
        if held:
            self._moved()
        return held

    def _let_go(self, _widget: Any, _event: Any) -> bool:
        self.bars.let_go()
        self.moved()
        return True

    def _moved(self) -> None:
        self._draw()
        self.moved()

    def _place(self, event: Any) -> float:
        return float(event.x * self._density / self._pictures[0].get_width())

    def _key(self, _widget: Any, event: Any) -> bool:
        by = {Gdk.KEY_Left: -STEP, Gdk.KEY_Right: STEP}.get(event.keyval)
        if by is None or not self.bars.step(by):
            return False
        self._moved()
        return True

    # ---- what it shows ----
    def _draw(self) -> None:
        if not self._pictures:
            self._image.clear()
            return
        made = self._pictures[0].copy()
        width, height = made.get_width(), made.get_height()
        ends = [0, *(round(bar * width) for bar in self.bars.places), width]
        for picture, left, right in zip(self._pictures, ends, ends[1:]):
            if right > left:
                picture.copy_area(left, 0, right - left, height, made, left, 0)
        for x in ends[1:-1]:
            for thick, colour in ((2 * self._density - 1, BLACK), (self._density - 1, WHITE)):
                left, right = max(0, x - thick), min(width, x + thick + 1)
                if right > left:
                    made.new_subpixbuf(left, 0, right - left, height).fill(colour)
        self._image.set_from_pixbuf(made)


class InLayerBox(Gtk.CheckButton):
    """Whether the layer shows what the split view does. It does not while this cannot be seen.

    An editor's own subclass calls `saved` after its document was saved, and unticks this before, if it can.
    """

    def __init__(self, pump: Pump, view: SplitView) -> None:
        super().__init__(label=tr(IN_LAYER))
        named(self, "in_layer")
        self._view, self._shared = view, InLayer(pump, view.bars)
        view.moved = self.refresh
        for signal in ("toggled", "map", "unmap"):
            self.connect_after(signal, lambda *_: self.refresh())

    def saved(self) -> None:
        if self._shared.saved():
            self.set_active(False)

    def is_on(self) -> bool:
        return bool(self.get_mapped() and self.get_active())

    def document(self) -> Optional[str]:
        """In which the layer shows several pictures now."""
        return self._shared.document

    def refresh(self) -> None:
        self._shared.show(self._view.parts, self.is_on())
