"""The grid of variants: they form while they run; click or arrow keys show one, double click or Enter applies it."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional

from bridge_server.client.editor import view
from bridge_server.client.editor.pump import Pump
from bridge_server.client.editor.view import Chosen, Place

from .binding import QtCore, QtGui, QtWidgets, scoped
from .pictures import Thumbnails
from .widgets import named, plain

THUMBNAIL = 72
KEY = scoped(QtCore.Qt, "ItemDataRole", "UserRole")


class Gallery(QtWidgets.QListWidget):
    """Draws ``entries``."""

    def __init__(
        self,
        pump: Pump,
        entries: Callable[[], List[view.Entry]],
        picked: Callable[[], None],
        drop: Callable[[], None],
    ) -> None:
        super().__init__()
        self._entries = entries
        self._pump, self._flow, self._picked_one, self._drop = pump, pump.flow, picked, drop
        self._items: Dict[Place, Any] = {}
        self._states: Dict[Place, Any] = {}
        self._order: List[Place] = []
        self._followed: Any = None  # the flow's choice that was last made the current item
        self._thumbnails = Thumbnails(THUMBNAIL)
        named(self, "gallery")
        self.setViewMode(scoped(QtWidgets.QListView, "ViewMode", "IconMode"))
        self.setResizeMode(scoped(QtWidgets.QListView, "ResizeMode", "Adjust"))
        self.setMovement(scoped(QtWidgets.QListView, "Movement", "Static"))
        self.setIconSize(QtCore.QSize(THUMBNAIL, THUMBNAIL))
        self.setSpacing(2)
        self.setMinimumHeight(THUMBNAIL + 36)
        self.itemClicked.connect(self.show_item)
        self.itemDoubleClicked.connect(lambda item: self.show_item(item, apply=True))

    # ---- what the artist does ----
    def show_item(self, item: Any, apply: bool = False) -> None:
        number, index = item.data(KEY)
        run = self._flow.library.find(number)
        if run is not None:
            self._pump.choose(run, index, apply)
            self._picked_one()

    def chosen(self) -> Optional[Chosen]:
        """The current item's."""
        item = self.currentItem()
        if item is None:
            return None
        number, index = item.data(KEY)
        run = self._flow.library.find(number)
        variant = run.variant(index) if run is not None else None
        return Chosen(run, variant) if run is not None and variant is not None else None

    def walk(self, by: int) -> None:
        """Shows the next variant, or the one before."""
        if self.count():
            row = self.currentRow() + by if self.currentRow() >= 0 else 0
            self.setCurrentRow(max(0, min(self.count() - 1, row)))
            self.show_item(self.currentItem())

    def select(self, key: Place) -> None:
        """Makes it the current item."""
        if key in self._items:
            self.setCurrentItem(self._items[key])

    def event(self, event: Any) -> bool:
        """The editor's own shortcuts (Ctrl+C, Enter …) must not take the keys that mean something here."""
        if event.type() == scoped(QtCore.QEvent, "Type", "ShortcutOverride") and self._is_mine(event):
            event.accept()
            return True
        return bool(super().event(event))

    @staticmethod
    def _is_mine(event: Any) -> bool:
        plain = event.modifiers() == scoped(QtCore.Qt, "KeyboardModifier", "NoModifier")
        control = event.modifiers() == scoped(QtCore.Qt, "KeyboardModifier", "ControlModifier")
        named_keys = ("Return", "Enter", "Space", "Delete", "Left", "Right", "Up", "Down", "Home", "End")
        mine = [scoped(QtCore.Qt, "Key", "Key_" + name) for name in named_keys]
        return (plain and event.key() in mine) or (control and event.key() == scoped(QtCore.Qt, "Key", "Key_C"))

    def keyPressEvent(self, event: Any) -> None:
        key = event.key()
        keys = {name: scoped(QtCore.Qt, "Key", "Key_" + name) for name in ("Return", "Enter", "Space", "Delete", "C")}
        control = scoped(QtCore.Qt, "KeyboardModifier", "ControlModifier")
        if key in (keys["Return"], keys["Enter"]):
            if self.currentItem() is not None:
                self.show_item(self.currentItem(), apply=True)
        elif key == keys["Space"]:
            if not event.isAutoRepeat():
                self._pump.do("compare", lambda: self._flow.compare(True))
        elif key == keys["Delete"]:
            self._drop()
        elif key == keys["C"] and event.modifiers() == control:
            self.copy_seed()
        else:
            before = self.currentItem()
            super().keyPressEvent(event)
            if self.currentItem() is not None and self.currentItem() is not before:
                self.show_item(self.currentItem())

    def keyReleaseEvent(self, event: Any) -> None:
        if event.key() == scoped(QtCore.Qt, "Key", "Key_Space"):
            if not event.isAutoRepeat():
                self._pump.do("compare", lambda: self._flow.compare(False))
        else:
            super().keyReleaseEvent(event)

    def focusOutEvent(self, event: Any) -> None:
        self._pump.do("compare", lambda: self._flow.compare(False))  # its release will never come here
        super().focusOutEvent(event)

    def copy_seed(self) -> None:
        chosen = self.chosen()
        if chosen is not None:
            QtWidgets.QApplication.clipboard().setText(str(chosen[1].seed))

    # ---- what it shows ----
    def refresh(self) -> None:
        entries = self._entries()
        order = [entry.place for entry in entries]
        if order != self._order:
            self._arrange(order)
        self._thumbnails.keep({number for number, _ in order})
        for entry in entries:
            self._fill(entry)
        chosen = self._flow.selected
        if chosen is not None and (self.currentItem() is None or chosen != self._followed):
            self._followed = chosen
            self.select((chosen[0].number, chosen[1]))

    def _arrange(self, order: List[Place]) -> None:
        for key in [key for key in self._items if key not in order]:
            self.takeItem(self.row(self._items.pop(key)))
            self._states.pop(key, None)
        for place, key in enumerate(order):
            item = self._items.get(key)
            if item is None:
                item = self._items[key] = QtWidgets.QListWidgetItem()
                item.setData(KEY, key)
                self.insertItem(place, item)
            elif self.row(item) != place:
                current = self.currentItem() is item
                self.insertItem(place, self.takeItem(self.row(item)))
                if current:
                    self.setCurrentItem(item)
        self._order = order

    def _fill(self, entry: view.Entry) -> None:
        state = (entry.version, entry.text)
        known = self._states.get(entry.place)
        if known == state:
            return
        self._states[entry.place] = state
        item = self._items[entry.place]
        item.setText(entry.text)
        item.setToolTip(plain(entry.tip))
        if known is None or (known[0] != entry.version and entry.variant.picture is not None):
            base = self.palette().color(scoped(QtGui.QPalette, "ColorRole", "Base"))
            picture = self._thumbnails.of(entry.run, entry.variant.picture, base)
            icon = QtGui.QIcon(picture)
            icon.addPixmap(picture, scoped(QtGui.QIcon, "Mode", "Selected"))  # else Qt tints the chosen one
            item.setIcon(icon)
