"""No document is saved with a layer that shows several pictures. Krita's API tells of saving only afterwards.

Krita copies the document within the very call that its action makes. So the artist's way to the action is watched: the
mouse on its entry or its button, its shortcut, and the closing of a picture or of Krita, which may end in saving.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Callable, List

from krita import Krita

from bridge_server.client.editor.pump import Pump
from bridge_server.client.qt.binding import QtCore, QtWidgets, scoped
from bridge_server.client.qt.choosing import InLayerBox, SplitView

ACTIONS = (
    "file_save", "file_save_as", "file_export_file", "file_export_advanced", "save_incremental_version",
    "save_incremental_backup", "file_close", "file_close_all", "file_quit",
)  # fmt: skip


class BeforeSaving(QtCore.QObject):
    """Calls ``work`` before a document may be saved, while it is on."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__()
        self._work = work
        self._watched: List[Any] = []
        self._hovered: List[Any] = []
        self._meant = {scoped(QtCore.QEvent, "Type", name) for name in ("Shortcut", "Close")}

    def switch(self, on: bool) -> None:
        """Looks for the windows anew each time: pictures come and go."""
        for thing in self._watched:
            with suppress(RuntimeError):  # its window has been closed
                thing.removeEventFilter(self)
        for action in self._hovered:
            with suppress(RuntimeError):
                action.hovered.disconnect(self._before)
        self._watched, self._hovered = [], []
        window = Krita.instance().activeWindow() if on else None
        if window is None:
            return
        found = [Krita.instance().action(name) for name in ACTIONS]
        self._hovered = [action for action in found if action is not None]
        main = window.qwindow()
        self._watched = [*self._hovered, main, *main.findChildren(QtWidgets.QMdiSubWindow)]
        for action in self._hovered:
            action.hovered.connect(self._before)
        for thing in self._watched:
            thing.installEventFilter(self)

    def eventFilter(self, _thing: Any, event: Any) -> bool:
        if event.type() in self._meant:
            self._work()
        return False

    def _before(self) -> None:
        self._work()


class SavingInLayerBox(InLayerBox):
    """Unticked before a document is saved."""

    def __init__(self, pump: Pump, view: SplitView) -> None:
        super().__init__(pump, view)
        self._saving = BeforeSaving(lambda: self.setChecked(False))
        # by a script, or in another way that was not seen
        Krita.instance().notifier().imageSaved.connect(lambda *_: self.saved())

    def refresh(self) -> None:
        self._saving.switch(self.is_on())
        super().refresh()
