"""RePaint for Krita 5 and 6: repaints the selection through the RePaint bridge.

Only the standard library, Krita's own modules and `bridge_server.client` (which the installer puts into `_lib`, since
Krita's importer copies nothing but this folder) may be imported here: the interpreter is Krita's own.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import re
import secrets
import sys
from pathlib import Path
from typing import Optional

from krita import DockWidgetFactory, DockWidgetFactoryBase, Krita

HERE = Path(__file__).resolve().parent


def _find_client() -> None:
    """Puts the client on the path once: `_lib` as installed, or the checkout that this folder is part of."""
    for folder in (HERE / "_lib", HERE.parent.parent):
        if (folder / "bridge_server" / "client" / "session.py").is_file():
            if str(folder) not in sys.path:
                sys.path.append(str(folder))
            return


def _open_log() -> str:
    """Messages and tracebacks go to logs/krita.log in the state folder; returns its path, or "" if it cannot be."""
    from bridge_server.client.launch import user_folders

    logger = logging.getLogger("repaint_krita")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        folder = user_folders().state / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "krita.log"
        handler = logging.handlers.RotatingFileHandler(path, maxBytes=1 << 20, backupCount=1, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
        return str(path)
    except OSError:
        logger.addHandler(logging.NullHandler())
        return ""


def _client_id(state: Path) -> Optional[str]:
    """The name under which the bridge keeps this user's pictures over crashes and restarts; None: cannot be kept."""
    from bridge_server.client.launch import private_folder, write_private

    path = state / "krita-client"
    try:
        name = path.read_text(encoding="ascii") if path.exists() else ""
        if re.fullmatch(r"krita-[0-9a-f]{32}", name) is None:
            name = "krita-" + secrets.token_hex(16)
            private_folder(state)
            write_private(path, name)
        return name
    except (OSError, ValueError):
        return None


def _register() -> None:
    """Builds the one controller of this Krita and hands it to the docker and the actions."""
    from bridge_server.client.launch import user_folders
    from bridge_server.client.session import Session

    from . import words
    from .choices import Choices
    from .docker import RePaintDocker
    from .document import KritaHost
    from .eventloop import Pump
    from .extension import DOCKER_ID, RePaintExtension
    from .flow import Flow
    from .probe import Probe
    from .qt import QtCore, scoped

    application = Krita.instance()
    words.choose(os.environ.get("LANGUAGE", "").split(":")[0] or QtCore.QLocale().name())
    probe = Probe()
    pump = Pump(probe)
    log = _open_log()
    session = Session("krita " + application.version(), pump.notify, _client_id(user_folders().state), history=True)
    pump.drive(Flow(KritaHost(probe), session), log)
    RePaintDocker.pump = pump
    RePaintDocker.choices = Choices(user_folders().config / "krita.json")
    application.addExtension(RePaintExtension(application, pump))
    right = scoped(DockWidgetFactoryBase, "DockPosition", "DockRight")
    application.addDockWidgetFactory(DockWidgetFactory(DOCKER_ID, right, RePaintDocker))
    notifier = application.notifier()
    notifier.setActive(True)
    notifier.applicationClosing.connect(lambda: session.close(timeout=1.0))


def _register_incomplete(missing: str) -> None:
    """Without the client (a source archive imported as it is) the docker says what to do instead of being absent."""
    from krita import DockWidget

    from .qt import QtWidgets, scoped

    class IncompleteDocker(DockWidget):
        def __init__(self) -> None:
            super().__init__()
            self.setWindowTitle("RePaint")
            label = QtWidgets.QLabel(
                f"This copy of the plug-in is not complete ({missing}): run “python3 installer.py krita” in the "
                "project's folder, then restart Krita."
            )
            label.setObjectName("repaint_status")
            label.setWordWrap(True)
            label.setMargin(6)
            label.setMinimumHeight(6 * label.fontMetrics().lineSpacing())
            self.setWidget(label)

        def canvasChanged(self, _canvas: object) -> None:
            pass

    right = scoped(DockWidgetFactoryBase, "DockPosition", "DockRight")
    Krita.instance().addDockWidgetFactory(DockWidgetFactory("repaint_docker", right, IncompleteDocker))


_find_client()
try:
    _register()
except ModuleNotFoundError as error:
    if not (error.name or "").startswith("bridge_server"):
        raise
    _register_incomplete(error.name or "bridge_server")
