"""The plug-in's actions, so that shortcuts can be set in Krita's settings; they stand under Tools ▸ Scripts."""

from __future__ import annotations

from typing import Any, Callable, Dict, Tuple

from krita import Extension, Krita

from bridge_server.client.editor.words import tr

from .eventloop import Pump
from .qt import QtWidgets

DOCKER_ID = "repaint_docker"
# name → text, and what it does with the docker of the window in front
ACTIONS: Dict[str, Tuple[str, Callable[[Any], Any]]] = {
    "repaint_selection": ("RePaint selection", lambda docker: docker.repaint_selection()),
    "repaint_extend": ("RePaint: extend the picture", lambda docker: docker.extend_page.button.click()),
    "repaint_tile": ("RePaint: make a tile", lambda docker: docker.tile_page.button.click()),
    "repaint_keep": ("RePaint: stop and keep", lambda docker: docker.keep_button.click()),
    "repaint_cancel": ("RePaint: cancel", lambda docker: docker.cancel_button.click()),
    "repaint_next": ("RePaint: next variant", lambda docker: docker.gallery.walk(1)),
    "repaint_previous": ("RePaint: previous variant", lambda docker: docker.gallery.walk(-1)),
    "repaint_apply": ("RePaint: apply the variant", lambda docker: docker.apply.click()),
    "repaint_compare": ("RePaint: compare with the original", lambda docker: docker.toggle_compare()),
    "repaint_more": ("RePaint: more variants", lambda docker: docker.more.click()),
}


class RePaintExtension(Extension):
    """Holds what lives as long as Krita does."""

    def __init__(self, parent: Any, pump: Pump) -> None:
        super().__init__(parent)
        self.pump = pump

    def setup(self) -> None:
        pass

    def createActions(self, window: Any) -> None:
        for name, (text, work) in ACTIONS.items():
            action = window.createAction(name, tr(text), "tools/scripts")
            action.triggered.connect(lambda *_, work=work: self._do(work))

    @staticmethod
    def _do(work: Callable[[Any], Any]) -> None:
        """As the docker's button; a hidden docker is shown, because its status line answers."""
        docker = Krita.instance().activeWindow().qwindow().findChild(QtWidgets.QDockWidget, DOCKER_ID)
        if docker is not None:
            docker.show()
            docker.raise_()
            work(docker)
