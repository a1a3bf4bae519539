"""The preview layer's life: added once, repainted in place, promoted or removed — never an orphan.

Adding is one undo step, repainting none: one Ctrl+Z takes everything away and a redo brings the newest pixels back.
"""

from __future__ import annotations

import time
from typing import Generator, List, Optional, Tuple

from krita import Document, Node, Selection

from bridge_server.client.editor.areas import slices
from bridge_server.client.editor.model import CLOSED, GONE, THERE, Picture, Target
from bridge_server.client.editor.probe import Probe
from bridge_server.client.geometry import Box
from bridge_server.client.records import PIXEL_BYTES

from . import colours
from .colours import Space
from .lookup import find_document, find_node, has_node
from .undo import Top, take_back, top

STRIP = 1 << 18  # pixels written in one step of the event loop (one to five milliseconds)
GIVE_BACK_CALLS = 40  # Krita makes a new layer the active one some event-loop turns later, on a busy machine seconds


class PreviewLayer:
    """One layer in one document. All methods are for the GUI thread and never raise for a layer that is gone.

    The node object is kept: it stays good while an undo holds the layer out of the document, and is the same one after
    the redo. It is touched only while its document is open.
    """

    def __init__(self, probe: Probe, target: Target, node: Node, users_layer: str, converted: bool) -> None:
        """``converted``: another undo step, just below that of its adding, gave it its colour space."""
        self.probe = probe
        self.steps_below = int(converted)
        self.target = target
        self.deselected: Optional[Selection] = None  # by its adding
        self.node = node
        self._space = Space.named(target.space)
        self._id = node.uniqueId().toString()
        self._users_layer = users_layer
        self.top: Optional[Top] = None  # of the undo stack when the layer was the last thing on it
        self._asked = 0  # how often the user's layer was to be given back
        self._given_back = False
        self.settled = False  # Krita has made it the active one, and the user's layer is the active one again
        self._origin = (node.position().x(), node.position().y())
        self._painted: List[Box] = []  # what it holds, canvas coordinates

    def _document(self) -> Optional[Document]:
        return find_document(self.target.document)

    def _home(self) -> Optional[Document]:
        """Its document, while it stands there."""
        document = self._document()
        return document if document is not None and has_node(document, self._id) else None

    def state(self) -> str:
        if self._document() is None:
            return CLOSED
        return THERE if self._home() is not None else GONE

    def is_there(self) -> bool:
        return self._home() is not None

    def give_back_active(self) -> bool:
        """Makes the user's layer the active one again, once, after Krita has activated the new one.

        To be called until it returns True. In a picture that is not in front Krita would not do it, so it waits.
        """
        self.settled = self._gave_back()
        return self.settled

    def _gave_back(self) -> bool:
        document = self._document()
        self._asked += 1
        if document is None or not self._users_layer or self._asked > GIVE_BACK_CALLS:
            return True
        active = document.activeNode()
        if active is None or active.uniqueId().toString() != self._id:
            return self._given_back
        if self.top is None:
            self.top = top(self.target.document)
        node = find_node(document, self._users_layer)
        if node is None:
            return True
        document.setActiveNode(node)
        self._given_back = True  # whether Krita did it, the next call sees: asking it takes 15 ms in Krita 6
        return False

    def paint(self, picture: Picture) -> Generator[None, None, float]:
        """Puts the selected part of ``picture`` into the layer, a strip per step, then lets Krita refresh once, so that
        no half-written picture is ever seen; returns the refresh's seconds."""
        strips = self._strips(picture)
        for number, strip in enumerate(strips):
            if number:
                yield
            if self._home() is None:
                return 0.0
            self._write(self._krita_bytes(picture, strip), strip)
        document = self._home()
        return self._refresh(document) if document is not None else 0.0

    def holds(self, picture: Picture) -> Generator[None, None, bool]:
        """Whether Krita took the pixels: reads them back, a strip per step."""
        for strip in self._strips(picture):
            if self._home() is None:
                return False
            dx, dy = self._moved()
            found = bytes(self.node.pixelData(strip.x + dx, strip.y + dy, strip.width, strip.height))
            if found != self._krita_bytes(picture, strip):
                return False
            yield
        return True

    def _strips(self, picture: Picture) -> List[Box]:
        """The selected parts in pieces of whole rows, canvas coordinates."""
        self._painted = self.target.on_canvas(picture)
        return [strip for part in self._painted for strip in slices(part, STRIP)]

    def _krita_bytes(self, picture: Picture, strip: Box) -> bytes:
        data = picture.cut(self.target.inside(strip), self.target.depth)
        return colours.incoming(data, strip.width, strip.height, self._space)

    def _write(self, data: bytes, strip: Box) -> None:
        dx, dy = self._moved()
        self.node.setPixelData(data, strip.x + dx, strip.y + dy, strip.width, strip.height)

    def _moved(self) -> Tuple[int, int]:
        """How far the user has moved the layer since it was added: previews follow it."""
        position = self.node.position()
        return position.x() - self._origin[0], position.y() - self._origin[1]

    def _refresh(self, document: Document) -> float:
        began = time.monotonic()
        with self.probe.host():
            document.refreshProjection()
        return time.monotonic() - began

    def clear(self) -> None:
        """Empties the layer, also one that an undo has taken out of the document (a redo then brings back nothing)."""
        document = self._document()
        if document is None:
            return
        size = len(colours.incoming(bytes(PIXEL_BYTES[self.target.depth]), 1, 1, self._space))
        for strip in (strip for part in self._painted for strip in slices(part, STRIP)):
            self._write(bytes(size * strip.area), strip)
        if self._home() is not None:
            self._refresh(document)

    def set_visible(self, visible: bool) -> None:
        """Shows or hides it, to compare with the original; no undo step."""
        document = self._home()
        if document is not None:
            self.node.setVisible(visible)
            self._refresh(document)

    def rename(self, name: str) -> None:
        # Never in the turn that added it: Krita does not know it yet.
        if self._home() is not None and self.node.name() != name:
            self.node.setName(name)

    def remove(self, ours: Optional[Top] = None) -> None:
        """Takes the layer out of the document and gives the user's layer back: by an undo if nothing has been done
        since it was added, else by a command of its own. What its adding deselected is selected again. ``ours``: of
        the undo stack then, if it is not known here."""
        document = self._home()
        if document is None:
            return
        active = document.activeNode()
        wanted = active.uniqueId().toString() if active is not None else self._id
        wanted = self._users_layer if wanted == self._id else wanted
        with self.probe.host():
            if not take_back(self.top or ours, lambda: self._home() is None, self.steps_below):
                self.node.remove()
        self.select_again()
        active = document.activeNode()
        if wanted and (active is None or active.uniqueId().toString() != wanted):
            back = find_node(document, wanted)
            if back is not None:
                document.setActiveNode(back)

    def select_again(self) -> None:
        """What its adding deselected."""
        document = self._document()
        if document is not None and self.deselected is not None and document.selection() is None:
            with self.probe.host():
                document.setSelection(self.deselected)
