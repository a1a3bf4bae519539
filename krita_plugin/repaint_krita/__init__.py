"""RePaint for Krita 5 and 6: repaints the selection through the RePaint bridge.

Only the standard library, Krita's own modules and `bridge_server.client` (which the installer puts into `_lib`, since
Krita's importer copies nothing but this folder) may be imported here: the interpreter is Krita's own.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from pathlib import Path
from typing import Any

from krita import DockWidgetFactory, DockWidgetFactoryBase, Krita

HERE = Path(__file__).resolve().parent


def _find_client() -> None:
    """Puts the client on the path once: `_lib` as installed, or the checkout that this folder is part of."""
    for folder in (HERE / "_lib", HERE.parent.parent):
        if (folder / "bridge_server" / "client" / "session.py").is_file():
            if str(folder) not in sys.path:
                sys.path.append(str(folder))
            return


def _add_docker(name: str, kind: Any) -> None:
    place: Any = DockWidgetFactoryBase
    right = getattr(place, "DockPosition", place).DockRight
    Krita.instance().addDockWidgetFactory(DockWidgetFactory(name, right, kind))


def _register() -> None:
    """Builds the one controller of this Krita and hands it to the docker and the actions."""
    from bridge_server.client.editor import words
    from bridge_server.client.editor.choices import Choices
    from bridge_server.client.editor.flow import Flow
    from bridge_server.client.editor.identity import client_id, open_log
    from bridge_server.client.editor.probe import Probe
    from bridge_server.client.editor.setup import SetUpPage
    from bridge_server.client.launch import user_folders
    from bridge_server.client.qt import icons
    from bridge_server.client.qt.binding import QtCore
    from bridge_server.client.qt.eventloop import Pump
    from bridge_server.client.session import Session

    from .docker import RePaintDocker
    from .document import KritaHost
    from .extension import DOCKER_ID, RePaintExtension

    application = Krita.instance()
    words.choose(os.environ.get("LANGUAGE", "").split(":")[0] or QtCore.QLocale().name())
    icons.choose(application.icon)
    probe = Probe()
    pump = Pump(probe, logging.getLogger("repaint_krita"))
    log = open_log("krita")
    session = Session("krita " + application.version(), pump.notify, client_id("krita"), history=True)
    pump.drive(Flow(KritaHost(probe, pump.repeat), session), log)
    RePaintDocker.pump = pump
    page = SetUpPage(HERE / "kit", pump)
    RePaintDocker.set_up = page
    RePaintDocker.choices = Choices(user_folders().config / "krita.json")
    application.addExtension(RePaintExtension(application, pump))
    _add_docker(DOCKER_ID, RePaintDocker)
    notifier = application.notifier()
    notifier.setActive(True)
    notifier.applicationClosing.connect(page.close)
    notifier.applicationClosing.connect(lambda: session.close(timeout=1.0))


def _register_incomplete(missing: str) -> None:
    """Without the client (a source archive imported as it is) the docker says what to do instead of being absent."""
    from krita import DockWidget

    binding = "PyQt6" if "PyQt6.QtCore" in sys.modules else "PyQt5"
    Qt = importlib.import_module(binding + ".QtCore").Qt
    QtWidgets = importlib.import_module(binding + ".QtWidgets")

    class IncompleteDocker(DockWidget):
        def __init__(self) -> None:
            super().__init__()
            self.setWindowTitle("RePaint")
            label = QtWidgets.QLabel(
                f"This copy of the plug-in is not complete ({missing}): import the file repaint_krita-….zip of the "
                "project's releases instead of its source, then start Krita again."
            )
            label.setTextFormat(getattr(Qt, "TextFormat", Qt).PlainText)
            label.setObjectName("repaint_status")
            label.setWordWrap(True)
            label.setMargin(6)
            label.setMinimumHeight(6 * label.fontMetrics().lineSpacing())
            self.setWidget(label)

        def canvasChanged(self, _canvas: object) -> None:
            pass

    _add_docker("repaint_docker", IncompleteDocker)


_find_client()
try:
    _register()
except ModuleNotFoundError as error:
    if not (error.name or "").startswith("bridge_server"):
        raise
    _register_incomplete(error.name or "bridge_server")
