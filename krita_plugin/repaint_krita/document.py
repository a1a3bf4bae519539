"""Krita's documents for `repaint_krita.flow`: found again by id, read in slices, written by `layer.PreviewLayer`.

Facts about Krita that shaped this are in docs/hosts.md. All of it runs on the GUI thread; reading is cut into slices
of some 15 ms so that a large picture never holds the editor up.
"""
from __future__ import annotations

import time
from typing import Any, Iterator, List, Optional, Tuple

from krita import Krita

from bridge_server.client.geometry import Box, clipped, grown_box, selection_bounds

from . import pixels
from .flow import Capture, Refused, Target
from .layer import PreviewLayer
from .lookup import find_document, find_node, is_mask, layer_of
from .probe import Probe

SRGB = "sRGB-elle-V2-srgbtrc.icc"
SLICE_SECONDS = 0.015
PLAIN_SLICE = 1 << 18           # pixels read at a time without conversion (about 1 ms)
CONVERTED_SLICE = 1 << 14       # pixels converted by Krita at a time (1 to 13 ms)

NO_DOCUMENT = "Open a picture first, select the part to repaint, then click RePaint."
NO_SELECTION = "Select the part to repaint first (with any selection tool), then click RePaint."
OUTSIDE = "The selection lies outside the picture; select a part of the picture, then click RePaint."
EMPTY = "The selection is empty; select the part to repaint, then click RePaint."
NO_LAYER = "There is no active layer to read; click a layer, or choose “Visible image” as the source."
CLOSED_DOCUMENT = "The picture of this RePaint is closed; open it and start again."


def is_plain(space: Tuple[str, str, str]) -> bool:
    """Whether (model, depth, profile) is the wire's own: 8-bit RGBA in sRGB."""
    return space == ("RGBA", "U8", SRGB)


class KritaHost:
    """What `Flow` asks of the editor."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe

    # ---- reading ----
    def capture(self, source: str) -> Iterator[Optional[Capture]]:
        """Reads selection and pixels of the active document; yields None between slices and at last the Capture.

        source: "visible" for what is seen, "layer" for the active layer alone. Raises `Refused`.
        """
        document = Krita.instance().activeDocument()
        if document is None:
            raise Refused(NO_DOCUMENT)
        box, bounds, chosen = self._selection(document)
        active = layer_of(document.activeNode())
        if source == "layer" and active is None:
            raise Refused(NO_LAYER)
        space = _space(document)
        document_id = document.rootNode().uniqueId().toString()
        target = Target(document_id, active.uniqueId().toString() if active is not None else "", box, bounds,
                        is_plain(space))
        yield None
        parts: List[bytes] = []
        row, began = box.y, time.monotonic()
        while row < box.y + box.height:
            if find_document(document_id) is None:
                raise Refused(CLOSED_DOCUMENT)
            slice_box = Box(box.x, row, box.width, min(self._rows(box.width, space), box.y + box.height - row))
            parts.append(self._slice(document, active if source == "layer" else None, slice_box, space))
            row += slice_box.height
            if time.monotonic() - began > SLICE_SECONDS:
                yield None
                began = time.monotonic()
        yield Capture(target, b"".join(parts), chosen)

    def _selection(self, document: Any) -> Tuple[Box, Box, bytes]:
        """The box to send, the selected part's bounding box, and the selection bytes of the box."""
        selection = document.selection()
        if selection is None:
            raise Refused(NO_SELECTION)
        width, height = document.width(), document.height()
        extent = Box(selection.x(), selection.y(), selection.width(), selection.height())
        if extent.width < 1 or extent.height < 1:
            raise Refused(EMPTY)
        area = clipped(extent, width, height)
        if area is None:
            raise Refused(OUTSIDE)
        inside = bytes(selection.pixelData(area.x, area.y, area.width, area.height))
        found = selection_bounds(inside, area.width, area.height)
        if found is None:
            raise Refused(EMPTY)
        bounds = Box(area.x + found.x, area.y + found.y, found.width, found.height)
        box = grown_box(bounds, width, height)
        return box, bounds, bytes(selection.pixelData(box.x, box.y, box.width, box.height))

    def _rows(self, width: int, space: Tuple[str, str, str]) -> int:
        return max(1, (PLAIN_SLICE if is_plain(space) else CONVERTED_SLICE) // width)

    def _slice(self, document: Any, node: Any, part: Box, space: Tuple[str, str, str]) -> bytes:
        """RGBA bytes of ``part``: of the projection, or of ``node`` if given."""
        if node is None:
            data = document.pixelData(part.x, part.y, part.width, part.height)
        else:
            space = _space(node)
            data = node.pixelData(part.x, part.y, part.width, part.height)
            if data.isEmpty():      # groups and vector layers have no pixels of their own
                data = node.projectionPixelData(part.x, part.y, part.width, part.height)
        if not is_plain(space):
            with self.probe.host():
                data = _converted(document, data, part, space)
        raw = bytes(data)
        if len(raw) != 4 * part.width * part.height:
            raise Refused(NO_LAYER)
        return pixels.swapped(raw, part.width, part.height)

    # ---- writing ----
    def add_layer(self, target: Target, name: str, above_active: bool = False) -> PreviewLayer:
        """One new, empty sRGB paint layer above the run's active layer: one undo step. Raises `Refused`.

        above_active: above the layer that is active now (for a picture put in later) instead of at the click.
        """
        document = find_document(target.document)
        if document is None:
            raise Refused(CLOSED_DOCUMENT)
        active = layer_of(document.activeNode())
        wanted = active if above_active else (find_node(document, target.active) if target.active else None)
        node = document.createNode(name, "paintlayer")
        if not target.plain:
            node.setColorSpace("RGBA", "U8", SRGB)
        parent, above = _place(document, wanted)
        with self.probe.host():
            added = parent.addChildNode(node, above)
        if not added:
            raise Refused("Krita did not add the preview layer; unlock the group of the active layer and try again.")
        return PreviewLayer(self.probe, target, node, active.uniqueId().toString() if active is not None else "")


def _space(thing: Any) -> Tuple[str, str, str]:
    return thing.colorModel(), thing.colorDepth(), thing.colorProfile()


def _converted(document: Any, data: Any, part: Box, space: Tuple[str, str, str]) -> Any:
    """``data`` of any colour space as Krita's 8-bit sRGB RGBA, through a node that never enters the document."""
    scratch = document.createNode("", "paintlayer")
    if _space(scratch) != space:
        scratch.setColorSpace(*space)
    scratch.setPixelData(data, 0, 0, part.width, part.height)
    scratch.setColorSpace("RGBA", "U8", SRGB)
    return scratch.pixelData(0, 0, part.width, part.height)


def _place(document: Any, wanted: Any) -> Tuple[Any, Any]:
    """Parent and lower neighbour for a layer just above ``wanted``; the top of the picture if that is None."""
    if wanted is not None and wanted.parentNode() is not None:
        return wanted.parentNode(), wanted
    root = document.rootNode()
    layers = [node for node in root.childNodes() if not is_mask(node)]
    return root, (layers[-1] if layers else None)
