"""The preview layer's life: added once, repainted in place, promoted or removed — never an orphan.

Adding is one undo step, repainting none: one Ctrl+Z takes everything away and a redo brings the newest pixels back.
"""
from __future__ import annotations

import time
from typing import Any, Optional

from bridge_server.client.geometry import Box

from . import pixels
from .flow import CLOSED, GONE, THERE, Picture, Target
from .lookup import find_document, find_node
from .probe import Probe

GIVE_BACK_SECONDS = 2.0     # Krita 5.1 makes a new layer the active one some event-loop turns later


class PreviewLayer:
    """One layer in one document. All methods are for the GUI thread and never raise for a layer that is gone."""

    def __init__(self, probe: Probe, target: Target, node: Any, users_layer: str) -> None:
        self.probe = probe
        self.target = target
        self._node = node
        self._id = node.uniqueId().toString()
        self._users_layer = users_layer
        self._added = time.monotonic()
        self._given_back = False
        self._origin = (node.position().x(), node.position().y())

    def _document(self) -> Any:
        return find_document(self.target.document)

    def _found(self, document: Any) -> Any:
        return find_node(document, self._id) if document is not None else None

    def state(self) -> str:
        document = self._document()
        if document is None:
            return CLOSED
        return THERE if self._found(document) is not None else GONE

    def give_back_active(self) -> None:
        """Makes the user's layer the active one again, once, after Krita has activated the new layer."""
        if self._given_back or not self._users_layer:
            return
        document = self._document()
        if document is None or time.monotonic() - self._added > GIVE_BACK_SECONDS:
            self._given_back = True
            return
        active = document.activeNode()
        if active is None or active.uniqueId().toString() != self._id:
            return
        node = find_node(document, self._users_layer)
        if node is not None:
            document.setActiveNode(node)
            back = document.activeNode()
            self._given_back = back is not None and back.uniqueId().toString() == self._users_layer
        else:
            self._given_back = True

    def show(self, picture: Picture) -> float:
        """Puts the selected part of ``picture`` (the whole box) into the layer; returns the refresh's seconds."""
        document = self._document()
        if self._found(document) is None:
            return 0.0
        self._write(self._node, self._krita_bytes(picture))
        return self._refresh(document)

    def _krita_bytes(self, picture: Picture) -> bytes:
        box, bounds = self.target.box, self.target.bounds
        part = Box(bounds.x - box.x, bounds.y - box.y, bounds.width, bounds.height)
        return pixels.cut_swapped(picture.rgba, picture.width, picture.height, part)

    def _write(self, node: Any, data: bytes) -> None:
        bounds, (dx, dy) = self.target.bounds, self._moved(node)
        node.setPixelData(data, bounds.x + dx, bounds.y + dy, bounds.width, bounds.height)

    def _moved(self, node: Any) -> Any:
        """How far the user has moved the layer since it was added: previews follow it."""
        return node.position().x() - self._origin[0], node.position().y() - self._origin[1]

    def _refresh(self, document: Any) -> float:
        began = time.monotonic()
        with self.probe.host():
            document.refreshProjection()
        return time.monotonic() - began

    def holds(self, picture: Picture) -> bool:
        """Whether Krita took the pixels: reads them back. A fully transparent pixel's colour does not count."""
        node = self._found(self._document())
        if node is None:
            return False
        bounds, (dx, dy) = self.target.bounds, self._moved(node)
        found: Optional[bytes] = bytes(node.pixelData(bounds.x + dx, bounds.y + dy, bounds.width, bounds.height))
        return found == self._krita_bytes(picture)

    def clear(self) -> None:
        """Empties the layer, also one that an undo has taken out of the document (a redo then brings back nothing)."""
        document = self._document()
        if document is None:
            return
        bounds = self.target.bounds
        self._write(self._node, bytes(4 * bounds.width * bounds.height))
        if self._found(document) is not None:
            self._refresh(document)

    def rename(self, name: str) -> None:
        node = self._found(self._document())
        if node is not None:
            node.setName(name)

    def remove(self) -> None:
        """Takes the layer out of the document and gives the user's layer back."""
        document = self._document()
        node = self._found(document)
        if node is None:
            return
        active = document.activeNode()
        was_active = active is not None and active.uniqueId().toString() == self._id
        with self.probe.host():
            node.remove()
        if was_active and self._users_layer:
            back = find_node(document, self._users_layer)
            if back is not None:
                document.setActiveNode(back)
