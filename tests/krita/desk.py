"""What a test does at Krita's desk: open pictures, select, click the docker, look at layers and pixels."""

from __future__ import annotations

import base64
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.desk import EditorDesk
from tests.driven import HostFailure

from .host import KritaHost

SETTLE_SECONDS = 0.35
SETTLE_TURNS = 12
"""Of Krita's event loop, beside those seconds; on a busy machine they take longer."""
CLOSES_BADLY = (5, 3)
"""From this version on Krita may die of closing a picture, see `Desk.settle`."""
OF_CLOSING = re.compile(r"_ZN7KisViewD\dEv|_ZN12KisNodeModel18processUpdateQueueEv")
"""Where it does so, in the stack that the driver lets Python write into Krita's output."""


class DiedClosing(HostFailure):
    """Krita's own crash, with or without the plug-in, see `Desk.settle`."""


def died_of_closing(log: str) -> bool:
    """Whether the last thing in Krita's output is the stack of such a death."""
    _, died, stack = log.rpartition("Fatal Python error: Segmentation fault")
    return bool(died and OF_CLOSING.search(stack))


PRELUDE = """
import base64, hashlib, krita
from repaint_krita.docker import RePaintDocker
from bridge_server.client.editor.model import Extend, Settings, Tile
from bridge_server.client.editor.panel import settings
app = Krita.instance()
pump = RePaintDocker.pump
flow = pump.flow
def docker():
    return app.activeWindow().qwindow().findChild(QtWidgets.QDockWidget, "repaint_docker")
def dock():
    return docker().body  # all that stands in it
def options(area=None):
    # what a click would send
    return settings(flow, dock().panel.values(), area).options
def walk(node):
    found = []
    for child in node.childNodes():
        found.append(child)
        found.extend(walk(child))
    return found
def tree(document):
    nodes = [n for n in walk(document.rootNode()) if n.type() != "selectionmask"]
    return [[n.name(), n.type(), n.uniqueId().toString()] for n in nodes]
def shown(document):
    document.refreshProjection()
    return bytes(document.pixelData(0, 0, document.width(), document.height()))
def center(widget):
    point = widget.mapToGlobal(widget.rect().center())
    return [point.x(), point.y()]
def clickable(widget):
    return center(widget) if widget.isVisible() and widget.isEnabled() else None
def under_mouse(widget):
    found = QtWidgets.QApplication.widgetAt(QtGui.QCursor.pos())
    return found is not None and (found is widget or widget.isAncestorOf(found))
def canvas():
    views = [w for w in app.activeWindow().qwindow().findChildren(QtWidgets.QWidget)
             if w.metaObject().className() == "KisQPainterCanvas" and w.isVisible()]
    return views[0]
def add(document):
    app.activeWindow().addView(document)
    app.setActiveDocument(document)
    return document
documents = {}
"""


@dataclass(frozen=True)
class Document:
    """An open document by the name it has in the driver's namespace."""

    name: str
    width: int
    height: int

    @property
    def code(self) -> str:
        return f"documents[{self.name!r}]"


class Desk(EditorDesk[KritaHost]):
    """Wraps a running Krita; every method is a thing that a person does or sees."""

    def __init__(self, host: KritaHost) -> None:
        super().__init__(host)
        self.host.run(PRELUDE, seconds=90)  # a busy machine goes on starting Krita behind its window
        self.host.run("app.activeWindow().qwindow().showMaximized()\ndocker().show()")
        version = str(self.host.run("app.version()"))
        self.version = tuple(map(int, version.split("-")[0].split(".")[:2]))

    # ---- documents ----
    def open(self, path: Path) -> Document:
        name = secrets.token_hex(4)
        path = self.host.lend(path)
        size = self.host.run(
            f"documents[{name!r}] = add(app.openDocument({str(path)!r}))\n"
            f"[documents[{name!r}].width(), documents[{name!r}].height()]"
        )
        return self._ready(Document(name, *size))

    def new(self, width: int, height: int, model: str = "RGBA", depth: str = "U8", profile: str = "") -> Document:
        """A document of a soft two-colour pattern, made inside Krita."""
        name = secrets.token_hex(4)
        self.host.run(f"""
import math
d = app.createDocument({width}, {height}, {name!r}, "RGBA", "U8", "sRGB-elle-V2-srgbtrc.icc", 100.0)
def wave(x): return int(128 + 90 * math.sin(x))
row = [bytes((wave(x / 17), wave((x + 40) / 29), 90, 255)) for x in range({width})]
rows = [b"".join(row[y % 37:] + row[:y % 37]) for y in range(37)]
d.rootNode().childNodes()[0].setPixelData(b"".join(rows[y % 37] for y in range({height})), 0, 0, {width}, {height})
if ({model!r}, {depth!r}) != ("RGBA", "U8") or {profile!r}:
    d.setColorSpace({model!r}, {depth!r}, {profile!r} or app.profiles({model!r}, {depth!r})[0])
d.refreshProjection()
documents[{name!r}] = add(d)
""")
        return self._ready(Document(name, width, height))

    def _ready(self, document: Document) -> Document:
        self.host.wait(f"app.activeDocument() == {document.code} and {document.code}.activeNode() is not None")
        self.host.run(f"{document.code}.waitForDone()\n{document.code}.setModified(False)")
        return document

    def activate(self, document: Document) -> None:
        self.host.run(f"next(v for v in app.views() if v.document() == {document.code}).setVisible()")
        self.host.wait(f"app.activeDocument() == {document.code}")

    def activate_layer(self, document: Document, name: str) -> None:
        """Krita takes the wish once the layer is in its list."""
        node = f"{document.code}.nodeByName({name!r})"
        self.host.wait(f"{document.code}.setActiveNode({node}) or {document.code}.activeNode().name() == {name!r}")

    def settle(self) -> None:
        """Lets Krita's layer list come to rest before a picture is closed.

        Krita 5.1.5 tells its layer list of a changed node (a selection set, a layer renamed) a tick of a tenth of a
        second later and crashes in it (`KisNodeModel::processUpdateQueue`) if that picture was closed in between,
        whoever closed it. No hand is that quick, a test is.

        Krita 5.3.4 crashes if a picture is closed a tenth of a second after a change, or later on a busy machine
        (`KisView::~KisView` speaks to a tool that is gone): one time in four without any plug-in, by its own menu as by
        its API, and not once in 13 times when its event loop had turned in peace as long as here.
        """
        time.sleep(SETTLE_SECONDS)
        if self.version >= CLOSES_BADLY:
            for _ in range(SETTLE_TURNS):
                self.host.run("None")

    def close(self, document: Document) -> None:
        self.settle()
        self.host.run(f"{document.code}.setModified(False)")
        self.host.run(f"{document.code}.close()\ndel {document.code}")

    def close_all(self) -> None:
        """Cancels what runs, then closes everything, each in its own event-loop turn."""
        self.host.run("driver.watchers.clear()\npump.cancel()")
        self.host.wait("not flow.busy and not flow.has_steps", seconds=15)
        self.host.run("for d in app.documents(): d.waitForDone(); d.setModified(False)")
        self.settle()
        try:
            while self.host.run("len(app.documents())"):
                self.host.run("d = app.documents()[0]\nd.setModified(False)\nd.close()")
        except HostFailure as failure:
            if self.version >= CLOSES_BADLY and self.host.fell and died_of_closing(self.host.log()):
                raise DiedClosing(str(failure)) from failure
            raise
        self.host.run(
            "documents.clear()\nflow.forget_all()\nflow.say('')\ndock().pages.setCurrentIndex(0)\n"
            "dock().choosing.order.setCurrentIndex(0)\ndock().choosing.search.clear()\ndock().live.on.setChecked(False)"
        )

    # ---- looking ----
    def pixels(self, document: Document) -> np.ndarray:
        """The projection: (height, width, 4) uint8, Krita's B, G, R, A. Only for 8-bit RGBA documents."""
        text = self.host.run(f"base64.b64encode(shown({document.code})).decode()")
        return np.frombuffer(base64.b64decode(text), np.uint8).reshape(document.height, document.width, 4)

    def fingerprint(self, document: Document) -> str:
        """Hash of the projection in any colour space."""
        return str(self.host.run(f"hashlib.sha256(shown({document.code})).hexdigest()"))

    def tree(self, document: Document) -> list[list[str]]:
        return list(self.host.run(f"tree({document.code})"))

    def names(self, document: Document) -> list[str]:
        return [node[0] for node in self.tree(document)]

    def status(self) -> str:
        return str(self.host.run("dock().findChild(QtWidgets.QLabel, 'repaint_status').text()"))

    def screenshot(self, name: str) -> None:
        self.host.screenshot(name)

    # ---- selecting ----
    def select(self, document: Document, x: int, y: int, width: int, height: int, value: int = 255) -> None:
        """A rectangle selection by Krita's own API."""
        self.host.run(
            f"s = krita.Selection()\ns.select({x}, {y}, {width}, {height}, {value})\n"
            f"{document.code}.setSelection(s)\n{document.code}.waitForDone()"
        )

    def deselect(self, document: Document) -> None:
        self.host.run(f"{document.code}.setSelection(None)")

    def select_by_mouse(self, document: Document, part: float = 0.16) -> tuple[int, int, int, int]:
        """Draws a rectangle around the canvas' middle with the rectangular selection tool; returns x, y, w, h."""
        self.host.run("app.action('KisToolSelectRectangular').trigger()\napp.activeWindow().qwindow().raise_()")
        x, y, w, h = self.host.run("[*center(canvas()), canvas().width(), canvas().height()]")
        side = min(w, h) * part
        self.host.drag(x - side, y - side, x + side, y + side)
        found = self.host.wait(
            f"(lambda s: s is not None and s.width() > 4 and [s.x(), s.y(), s.width(), s.height()])"
            f"({document.code}.selection())",
            what="a selection drawn by the mouse",
        )
        return tuple(found)

    # ---- the docker ----
    def choose(
        self,
        model: str = "test/gaussian",
        preset: str = "fast",
        seed: int | None = 1234,
        variants: int = 1,
        source: str = "visible",
    ) -> None:
        """Sets the docker's fields; the seed is locked, or drawn at the click if None."""
        self.host.wait(
            f"dock().fields['model'].findData({model!r}) >= 0 and dock().fields['preset'].findData({preset!r}) >= 0",
            seconds=60,
            what=f"the docker offers {model} and {preset}",
        )
        self.host.run(
            f"dock().fields['model'].setCurrentIndex(dock().fields['model'].findData({model!r}))\n"
            f"dock().fields['preset'].setCurrentIndex(dock().fields['preset'].findData({preset!r}))\n"
            f"dock().fields['source'].setCurrentIndex(dock().fields['source'].findData({source!r}))\n"
            f"dock().fields['variants'].setValue({variants})\n"
            f"dock().fields['lock_seed'].setChecked({seed is not None})\n"
            f"dock().fields['seed'].setText({'' if seed is None else str(seed)!r})"
        )

    def click(self, widget: str) -> None:
        """A click of the real mouse on one of the docker's widgets, e.g. "button", "cancel_button"."""
        self.host.run(f"dock().area.ensureWidgetVisible(dock().{widget})")
        self.host.click_on(f"clickable(dock().{widget})", widget, f"under_mouse(dock().{widget})")

    def press(self) -> None:
        """The RePaint button without the mouse's way, for tests in which the mouse is not the point."""
        self.host.run("dock().button.click()")

    def repaint(self, seconds: float = 60.0) -> str:
        self.press()
        return self.wait_end(seconds)

    def undo(self) -> None:
        self.host.run("app.action('edit_undo').trigger()")
        self.host.run("for d in app.documents(): d.waitForDone()")

    def redo(self) -> None:
        self.host.run("app.action('edit_redo').trigger()")
        self.host.run("for d in app.documents(): d.waitForDone()")


def inside(document: Document, x: int, y: int, width: int, height: int) -> np.ndarray:
    mask = np.zeros((document.height, document.width), bool)
    mask[y : y + height, x : x + width] = True
    return mask


def sized(desk: Desk, document: Document) -> Document:
    """The document with its present size."""
    return Document(document.name, *desk.host.run(f"[{document.code}.width(), {document.code}.height()]"))
