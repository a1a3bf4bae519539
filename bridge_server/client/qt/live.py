"""The line on the page Repaint that switches Live on."""

from __future__ import annotations

from typing import Any, Callable, Dict

from bridge_server.client.editor import fields
from bridge_server.client.editor.live import Live
from bridge_server.client.editor.panel import Panel

from .binding import QtWidgets
from .forms import widget_of
from .widgets import row


class LiveLine(QtWidgets.QWidget):
    def __init__(self, panel: Panel, sure: Callable[[str], bool]) -> None:
        super().__init__()
        widgets: Dict[str, Any] = {field.name: widget_of(field) for field in fields.LIVE}
        self.on, self.after = widgets.values()
        self.shared = Live(panel, widgets, sure)
        self.on.toggled.connect(lambda *_: self.shared.switched())
        self.setLayout(row(self.on, self.after, stretch=1))
