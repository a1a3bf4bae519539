"""The grid of variants: they form while they run; click or arrow keys show one, double click or Enter applies it."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional

from gi.repository import Gdk, GdkPixbuf, GLib, Gtk

from bridge_server.client.editor import view
from bridge_server.client.editor.pump import Pump
from bridge_server.client.editor.view import Chosen, Place

from .pictures import Thumbnails
from .widgets import density, named, sharp_cell

THUMBNAIL = 72
PICTURE, TEXT, NUMBER, INDEX, TIP = range(5)
LET_GO_MS = 60  # a key that repeats is let go and pressed again in less


class Gallery(Gtk.IconView):
    """Draws ``entries``."""

    def __init__(
        self,
        pump: Pump,
        entries: Callable[[], List[view.Entry]],
        picked: Callable[[], None],
        drop: Callable[[], None],
    ) -> None:
        self.rows = Gtk.ListStore(GdkPixbuf.Pixbuf, str, int, int, str)
        super().__init__(
            model=self.rows, text_column=TEXT, tooltip_column=TIP,
            item_width=THUMBNAIL, column_spacing=2, row_spacing=2, margin=2,
        )  # fmt: skip
        self._pump, self._flow, self._picked_one, self._drop = pump, pump.flow, picked, drop
        self._entries = entries
        self._states: Dict[Place, Any] = {}
        self._order: List[Place] = []
        self._followed: Any = None  # the flow's choice that was last made the current item
        self._quiet = False  # the selection is changed by this class, not by the artist
        self._letting_go = 0
        self._thumbnails = Thumbnails(THUMBNAIL * density())
        cell = sharp_cell(THUMBNAIL)
        self.pack_start(cell, False)
        self.reorder(cell, 0)
        self.add_attribute(cell, "gicon", PICTURE)
        named(self, "gallery")
        self.set_has_tooltip(True)
        self.set_selection_mode(Gtk.SelectionMode.BROWSE)
        self.connect("selection-changed", self._selected)
        self.connect("item-activated", lambda *_: self.show_chosen(apply=True))
        self.connect("button-press-event", self._press)
        self.connect("key-press-event", self._key)
        self.connect("key-release-event", self._key_up)
        self.connect("focus-out-event", self._left)

    # ---- what the artist does ----
    def show_chosen(self, apply: bool = False) -> None:
        chosen = self.chosen()
        if chosen is not None:
            self._pump.choose(chosen[0], chosen[1].index, apply)
            self._picked_one()

    def chosen(self) -> Optional[Chosen]:
        """The current item's."""
        paths = self.get_selected_items()
        if not paths:
            return None
        line = self.rows[paths[0]]
        run = self._flow.library.find(line[NUMBER])
        variant = run.variant(line[INDEX]) if run is not None else None
        return Chosen(run, variant) if run is not None and variant is not None else None

    def select(self, key: Place) -> None:
        """Makes it the current item without showing it."""
        if key in self._order:
            path = Gtk.TreePath.new_from_indices([self._order.index(key)])
            self._quiet = True
            self.select_path(path)
            self.set_cursor(path, None, False)
            self._quiet = False

    def _selected(self, _widget: Any) -> None:
        if not self._quiet:
            self.show_chosen()

    def _press(self, _widget: Any, event: Any) -> bool:
        """A click on the current item shows it once more: its layer may have been undone."""
        path = self.get_path_at_pos(int(event.x), int(event.y))
        if event.type == Gdk.EventType.BUTTON_PRESS and path is not None and self.path_is_selected(path):
            self.show_chosen()
        return False

    def _key(self, _widget: Any, event: Any) -> bool:
        control = bool(event.state & Gdk.ModifierType.CONTROL_MASK)
        if event.keyval == Gdk.KEY_space and not control:
            if self._letting_go:
                GLib.source_remove(self._letting_go)
                self._letting_go = 0
            self._compare(True)
        elif event.keyval in (Gdk.KEY_Left, Gdk.KEY_Right):
            self._walk(1 if event.keyval == Gdk.KEY_Right else -1)
        elif event.keyval == Gdk.KEY_Delete:
            self._drop()
        elif event.keyval in (Gdk.KEY_c, Gdk.KEY_C) and control:
            self.copy_seed()
        else:
            return False
        return True

    def _walk(self, by: int) -> None:
        """Left and right go on in the next row, which GTK's own do not."""
        paths = self.get_selected_items()
        place = paths[0].get_indices()[0] + by if paths else 0
        if 0 <= place < len(self._order):
            self.select(self._order[place])
            self.show_chosen()

    def _key_up(self, _widget: Any, event: Any) -> bool:
        if event.keyval != Gdk.KEY_space:
            return False
        if not self._letting_go:
            self._letting_go = GLib.timeout_add(LET_GO_MS, self._let_go)
        return True

    def _let_go(self) -> bool:
        self._letting_go = 0
        self._compare(False)
        return False

    def _left(self, *_: Any) -> bool:
        self._compare(False)  # its release will never come here
        return False

    def _compare(self, hidden: bool) -> None:
        self._pump.do("compare", lambda: self._flow.compare(hidden))

    def copy_seed(self) -> None:
        chosen = self.chosen()
        if chosen is not None:
            Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD).set_text(str(chosen[1].seed), -1)

    # ---- what it shows ----
    def refresh(self) -> None:
        entries = self._entries()
        order = [entry.place for entry in entries]
        if order != self._order:
            self._arrange(order)
        self._thumbnails.keep({number for number, _ in order})
        for line, entry in zip(self.rows, entries):
            self._fill(line, entry)
        chosen = self._flow.selected
        if chosen is not None and (not self.get_selected_items() or chosen != self._followed):
            self._followed = chosen
            self.select((chosen[0].number, chosen[1]))

    def _arrange(self, order: List[Place]) -> None:
        """The list anew; the current item stays it."""
        paths = self.get_selected_items()
        current = self._order[paths[0].get_indices()[0]] if paths else None
        self._quiet = True
        self.rows.clear()
        for number, index in order:
            self.rows.append((None, "", number, index, ""))
        self._quiet = False
        self._order = order
        self._states.clear()
        if current is not None:
            self.select(current)

    def _fill(self, line: Any, entry: view.Entry) -> None:
        state = (entry.version, entry.text)
        known = self._states.get(entry.place)
        if known == state:
            return
        self._states[entry.place] = state
        line[TEXT] = entry.text
        if known is None or known[0] != entry.version:
            line[PICTURE] = self._thumbnails.of(entry.run, entry.variant.picture)
            line[TIP] = GLib.markup_escape_text(entry.tip)
