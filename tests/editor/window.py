"""A third editor's window, whole: the editor made of files (`files` is its host) with Qt's widgets.

    python -m tests.editor.window FOLDER

FOLDER has a ``picture.png``. On the left stands the document, in which the mouse selects; on the right `Body`, which is
all that RePaint shows. Whoever adds an editor begins with `Window`: the rest is what an editor has anyway.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bridge_server.client.editor import words
from bridge_server.client.editor.choices import Choices
from bridge_server.client.editor.flow import Flow
from bridge_server.client.editor.identity import client_id, open_log
from bridge_server.client.editor.material import Wish
from bridge_server.client.editor.probe import Probe
from bridge_server.client.editor.setup import SetUpPage
from bridge_server.client.launch import user_folders
from bridge_server.client.qt.binding import QtCore, QtGui, QtWidgets, scoped
from bridge_server.client.qt.body import TITLE, Body
from bridge_server.client.qt.eventloop import Pump
from bridge_server.client.qt.pictures import image
from bridge_server.client.session import Session
from tests.editor.files import FileHost
from tests.editor.folders import picture_of, size_of, small

SIZE = (760, 900)
LOOK_MS = 200
KIT = Path(__file__).parent / "kit"  # what `installer.py package` makes: with it, artists can set the engine up


def shown(picture: Image.Image | None) -> Any:
    """A picture as Qt has it."""
    if picture is None:
        return None
    data = picture.convert("RGBA").tobytes()
    return image(data, *picture.size).copy()


class Host(FileHost):
    """With small pictures that Qt's widgets can draw. ``opened``: called when another document is in front."""

    opened: Callable[[], None]

    def open(self, path: Path) -> None:
        super().open(path)
        self.opened()

    def thumbnail(self, side: int) -> Any:
        return shown(super().thumbnail(side))

    def material_picture(self, wish: Wish, side: int) -> Any:
        return shown(super().material_picture(wish, side))


class Canvas(QtWidgets.QLabel):
    """The document with its visible layers. Files tell of no change, so it looks at them now and then."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self._host, self._seen = host, ()
        self._from = QtCore.QPoint()
        self._band = QtWidgets.QRubberBand(scoped(QtWidgets.QRubberBand, "Shape", "Rectangle"), self)
        self._timer = QtCore.QTimer(self)
        self._timer.timeout.connect(self.look)
        self._timer.start(LOOK_MS)
        self.look()

    def look(self) -> None:
        path = picture_of(self._host.folder) if self._host.folder is not None else None
        if path is None:
            return
        layers = [each for each in sorted(path.parent.glob(f"[0-9]*{path.suffix}")) if each.stat().st_mode & 0o400]
        seen = tuple((each, each.stat().st_mtime_ns) for each in (path, *layers))
        if seen != self._seen:
            self._seen, side = seen, max(size_of(path.parent))
            whole = small(path, side)
            for layer in layers:
                whole.alpha_composite(small(layer, side))
            self.setPixmap(QtGui.QPixmap.fromImage(shown(whole)))
            self.setFixedSize(*whole.size)

    # ---- the mouse selects ----
    def mousePressEvent(self, event: Any) -> None:
        self._from = event.pos()
        self._band.setGeometry(QtCore.QRect(self._from, self._from))
        self._band.show()

    def mouseMoveEvent(self, event: Any) -> None:
        self._band.setGeometry(QtCore.QRect(self._from, event.pos()).normalized() & self.rect())

    def mouseReleaseEvent(self, _event: Any) -> None:
        place, path = self._band.geometry(), self._host.folder / "selection.png"
        marks = np.zeros((self.height(), self.width()), np.uint8)
        marks[place.top() : place.bottom() + 1, place.left() : place.right() + 1] = 255
        if min(place.width(), place.height()) > 1:
            Image.fromarray(marks).save(path)
        else:  # a click deselects
            self._band.hide()
            path.unlink(missing_ok=True)


class Window(QtWidgets.QSplitter):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.setWindowTitle(TITLE)
        host = Host(folder)
        self.pump = Pump(Probe(), logging.getLogger("repaint_files"))
        self.session = Session("files", self.pump.notify, client_id("files"), history=True)
        self.pump.drive(Flow(host, self.session), open_log("files"))
        self.set_up = SetUpPage(KIT, self.pump)
        self.canvas = Canvas(host)
        self.body = Body(self.pump, Choices(user_folders().config / "files.json"), self.set_up)
        view = QtWidgets.QScrollArea()
        view.setWidget(self.canvas)
        self.addWidget(view)
        self.addWidget(self.body)
        self.resize(*SIZE)
        self.body.document_changed()
        host.opened = self.body.document_changed

    def closeEvent(self, event: Any) -> None:
        self.set_up.close()
        self.session.close(timeout=1.0)
        super().closeEvent(event)


def main() -> int:
    parser = argparse.ArgumentParser(description="An editor made of files, with RePaint in its window.")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the document: it has a picture.png")
    folder = parser.parse_args().folder.resolve()
    if picture_of(folder) is None:
        parser.error(f"{folder} has no picture.png: put one there.")
    application = QtWidgets.QApplication([TITLE])
    words.choose(QtCore.QLocale().name())
    window = Window(folder)
    window.show()
    return int(application.exec())


if __name__ == "__main__":
    sys.exit(main())
