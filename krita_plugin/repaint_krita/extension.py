"""The plug-in's actions, so that shortcuts can be set in Krita's settings; they stand under Tools ▸ Scripts."""

from __future__ import annotations

from typing import Any, Callable, Dict

from krita import Extension, Krita

from bridge_server.client.editor.pump import Pump
from bridge_server.client.editor.words import tr
from bridge_server.client.qt.binding import QtWidgets

from . import sentences

DOCKER_ID = "repaint_docker"
# what each action does with the docker's body in the window in front
WORK: Dict[str, Callable[[Any], Any]] = {
    "repaint_selection": lambda body: body.button.click(),
    "repaint_extend": lambda body: body.extend_page.button.click(),
    "repaint_tile": lambda body: body.tile_page.button.click(),
    "repaint_keep": lambda body: body.keep_button.click(),
    "repaint_cancel": lambda body: body.cancel_button.click(),
    "repaint_next": lambda body: body.gallery.walk(1),
    "repaint_previous": lambda body: body.gallery.walk(-1),
    "repaint_apply": lambda body: body.apply.click(),
    "repaint_compare": lambda body: body.toggle_compare(),
    "repaint_more": lambda body: body.more.click(),
}


class RePaintExtension(Extension):
    """Holds what lives as long as Krita does."""

    def __init__(self, parent: Any, pump: Pump) -> None:
        super().__init__(parent)
        self.pump = pump

    def setup(self) -> None:
        pass

    def createActions(self, window: Any) -> None:
        for name, text in sentences.ACTIONS.items():
            action = window.createAction(name, tr(text), "tools/scripts")
            action.triggered.connect(lambda *_, work=WORK[name]: self._do(work))

    @staticmethod
    def _do(work: Callable[[Any], Any]) -> None:
        """As the docker's button; a hidden docker is shown, because its status line answers."""
        window = Krita.instance().activeWindow()
        docker = window.qwindow().findChild(QtWidgets.QDockWidget, DOCKER_ID) if window is not None else None
        if docker is not None:
            docker.show()
            docker.raise_()
            work(docker.body)
