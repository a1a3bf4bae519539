"""The docker "RePaint": where `Body` stands in Krita."""

from __future__ import annotations

from typing import Any, Optional

from krita import DockWidget

from bridge_server.client.editor.choices import Choices
from bridge_server.client.editor.pump import Pump
from bridge_server.client.editor.setup import SetUpPage
from bridge_server.client.qt.binding import QtCore
from bridge_server.client.qt.body import TITLE, Body

from .saving import SavingInLayerBox


class RePaintDocker(DockWidget):
    """One per Krita window; all of them show the same controller."""

    pump: Optional[Pump] = None  # set by the package once; Krita makes the dockers without arguments
    choices: Optional[Choices] = None
    set_up: Optional[SetUpPage] = None

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle(TITLE)
        assert self.pump is not None
        assert self.choices is not None
        assert self.set_up is not None
        self.body = Body(self.pump, self.choices, self.set_up, SavingInLayerBox)
        self.setWidget(self.body)

    def canvasChanged(self, canvas: Any) -> None:
        self.body.document_changed()
        choices = self.body.panel.choices
        if canvas is not None and choices.first_time:
            choices.first_time = False
            choices.keep({})
            QtCore.QTimer.singleShot(0, self._show_first)

    def _show_first(self) -> None:
        """Once, to whoever has just installed the plug-in: Krita 5.2 and later hide a docker that is new to them."""
        self.show()
        self.raise_()
