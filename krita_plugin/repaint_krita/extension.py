"""The plug-in's actions, so that shortcuts can be set: Tools ▸ Scripts ▸ RePaint selection, RePaint: cancel."""

from __future__ import annotations

from typing import Any

from krita import Extension, Krita

from .eventloop import Pump
from .qt import QtWidgets

DOCKER_ID = "repaint_docker"


class RePaintExtension(Extension):
    """Holds what lives as long as Krita does."""

    def __init__(self, parent: Any, pump: Pump) -> None:
        super().__init__(parent)
        self.pump = pump

    def setup(self) -> None:
        pass

    def createActions(self, window: Any) -> None:
        action = window.createAction("repaint_selection", "RePaint selection", "tools/scripts")
        action.triggered.connect(lambda *_: self._repaint())
        action = window.createAction("repaint_cancel", "RePaint: cancel", "tools/scripts")
        action.triggered.connect(lambda *_: self.pump.cancel())

    def _repaint(self) -> None:
        """As the docker's button; a hidden docker is shown, because its status line answers."""
        docker = Krita.instance().activeWindow().qwindow().findChild(QtWidgets.QDockWidget, DOCKER_ID)
        if docker is not None:
            docker.show()
            docker.raise_()
            docker.repaint_selection()
