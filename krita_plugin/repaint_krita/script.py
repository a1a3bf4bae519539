"""RePaint for scripts: the Scripter, Ten Scripts, other plug-ins.

    from repaint_krita import script

    layer = script.repaint(document, seed=7)

Each function puts one new layer into the document and returns its node. Meanwhile Krita stays alive; the docker need
not be visible, nor the document: one that ``Krita.openDocument`` returned will do. With ``then`` a function returns at
once, and ``then(layer, error)`` is called in the end: with the node and None, or with None and a `ScriptError`.

``layer``: the new one comes above it, and the option ``source="layer"`` reads it alone; without it the active layer.
Other options, as on the command line: model, preset, seed, steps, jump_length, jump_samples, schedule, padding, hard,
learn, prompt, … and ``feather``, in pixels.
"""

from __future__ import annotations

import logging
from typing import Any, Callable, Generator, List, Optional, Set, Tuple

from krita import Document, Krita, Node

from bridge_server.client.editor import script as shared
from bridge_server.client.editor import sentences
from bridge_server.client.editor.model import Area, Extend, Refused, Tile
from bridge_server.client.editor.probe import Probe
from bridge_server.client.editor.words import tr
from bridge_server.client.errors import BridgeError
from bridge_server.client.qt.binding import QtCore
from bridge_server.client.session import Session

from .docker import RePaintDocker
from .document import KritaHost
from .layer import PreviewLayer
from .lookup import find_document, find_node, layer_of, root_id

SETTLE_SECONDS = 0.1  # between two looks whether Krita has made the new layer the active one
log = logging.getLogger("repaint_krita")

Then = Callable[[Optional[Node], Optional["ScriptError"]], Any]


class ScriptError(Exception):
    """Why there is no layer; the document is as it was before. ``sentence``: in Krita's language, with what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


def repaint(
    document: Document, layer: Optional[Node] = None, then: Optional[Then] = None, **options: Any
) -> Optional[Node]:
    """Repaints what is selected in ``document``. One undo step."""
    return _run(document, layer, then, lambda: None, options)


def extend(
    document: Document,
    left: int = 0,
    top: int = 0,
    right: int = 0,
    bottom: int = 0,
    layer: Optional[Node] = None,
    then: Optional[Then] = None,
    **options: Any,
) -> Optional[Node]:
    """Enlarges the canvas by so many pixels on each side and fills them. One undo step for each of the two."""

    def area() -> Area:
        sides = {"left": left, "top": top, "right": right, "bottom": bottom}
        return Extend(**{side: shared.checked("extend_" + side, value, side) for side, value in sides.items()})

    return _run(document, layer, then, area, options)


def tile(
    document: Document,
    axis: str = "both",
    band: int = 24,
    layer: Optional[Node] = None,
    then: Optional[Then] = None,
    **options: Any,
) -> Optional[Node]:
    """Repaints ``band`` pixels along the borders, so that the picture repeats along ``axis``: "x", "y" or "both". One
    undo step."""

    def area() -> Area:
        return Tile(shared.checked("tile_axis", axis, "axis"), shared.checked("tile_band", band, "band"))

    return _run(document, layer, then, area, options)


def _run(
    document: Document, layer: Optional[Node], then: Optional[Then], area: Callable[[], Area], options: Any
) -> Optional[Node]:
    host = _Host(document, layer)
    if then is not None:
        _Running(_steps(host, area, options), host, then)
        return None
    loop = QtCore.QEventLoop()
    found: List[Tuple[Optional[Node], Optional[ScriptError]]] = []

    def end(node: Optional[Node], error: Optional[ScriptError]) -> None:
        found.append((node, error))
        loop.quit()

    running = _Running(_steps(host, area, options), host, end)
    loop.exec()
    if not found:  # Krita is closing
        running.stop()
        raise ScriptError(tr(sentences.CANCELLED))
    node, error = found[0]
    if error is not None:
        raise error
    return node


def _steps(host: _Host, area: Callable[[], Area], options: Any) -> Generator[float, None, Node]:
    wanted = shared.settings(area(), **options)
    session = Session("krita " + Krita.instance().version() + " script", preview_interval=3600.0)
    try:
        layer = yield from shared.steps(host, session, wanted)
    finally:
        session.close()
    assert isinstance(layer, PreviewLayer)
    while host.is_shown() and not layer.give_back_active():
        yield SETTLE_SECONDS
    return layer.node


class _Host(KritaHost):
    """As if that document were in front, and that layer the active one."""

    def __init__(self, document: Document, layer: Optional[Node]) -> None:
        super().__init__(Probe(), lambda _name, _work: None)
        self._document = root_id(document) or ""
        self._layer = layer.uniqueId().toString() if layer is not None else ""

    def in_front(self) -> Optional[Document]:
        return find_document(self._document)

    def active_layer(self, document: Document) -> Optional[Node]:
        return layer_of(find_node(document, self._layer) if self._layer else document.activeNode())

    def is_closed(self) -> bool:
        return bool(self._document) and self.in_front() is None

    def is_shown(self) -> bool:
        """Only then Krita makes the new layer the active one."""
        document = self.in_front()
        return document is not None and document == Krita.instance().activeDocument()


ALIVE: Set[_Running] = set()  # nothing else holds those with a callback


class _Running:
    """Takes one step after the other on Krita's event loop, and says in the end what came of it."""

    def __init__(self, steps: Generator[float, None, Node], host: _Host, then: Then) -> None:
        self._steps, self._host, self._then = steps, host, then
        ALIVE.add(self)
        self._later(0.0)

    def stop(self) -> None:
        ALIVE.discard(self)
        self._steps.close()

    def _later(self, seconds: float) -> None:
        QtCore.QTimer.singleShot(round(1000 * seconds), self._step)

    def _step(self) -> None:
        if self not in ALIVE:
            return
        try:
            if self._host.is_closed():
                self._steps.throw(Refused(sentences.CLOSED_DOCUMENT))
            self._later(next(self._steps))
        except StopIteration as end:
            self._end(end.value, None)
        except (Refused, BridgeError) as error:
            self._end(None, ScriptError(tr(error.sentence)))
        except Exception:
            log.exception("in a script")
            assert RePaintDocker.pump is not None
            self._end(None, ScriptError(tr(sentences.BROKEN).format(RePaintDocker.pump.log_place)))

    def _end(self, node: Optional[Node], error: Optional[ScriptError]) -> None:
        ALIVE.discard(self)
        try:
            self._then(node, error)
        except Exception:  # Qt would end Krita
            log.exception("in a script's callback")
