"""Krita's documents for `repaint_krita.flow`: found again by id, read in slices, written by `layer.PreviewLayer`.

Facts about Krita that shaped this are in docs/hosts.md. All of it runs on the GUI thread; reading is cut into slices
of some 15 ms so that a large picture never holds the editor up.
"""

from __future__ import annotations

import time
from typing import Any, Generator, Iterator, List, Optional, Tuple

from krita import Krita

from bridge_server.client.geometry import Box, clipped, grown_box, selection_bounds

from . import pixels
from .flow import Capture, Refused, Target
from .layer import PreviewLayer
from .lookup import find_document, find_node, is_mask, layer_of
from .probe import Probe

SRGB = "sRGB-elle-V2-srgbtrc.icc"
SLICE_SECONDS = 0.015
PLAIN_SLICE = 1 << 18  # pixels read at a time without conversion (about 1 ms)
SELECTION_SLICE = 1 << 20  # selection bytes looked through at a time (some 4 ms)
CONVERTED_SLICE = 1 << 14  # pixels converted by Krita at a time (1 to 13 ms)

NO_DOCUMENT = "Open a picture first, select the part to repaint, then click RePaint."
NO_SELECTION = "Select the part to repaint first (with any selection tool), then click RePaint."
OUTSIDE = "The selection lies outside the picture; select a part of the picture, then click RePaint."
EMPTY = "The selection is empty; select the part to repaint, then click RePaint."
NO_LAYER = "There is no active layer to read; click a layer, or choose “Visible image” as the source."
CHANGED = "The picture or its selection changed while it was read; click RePaint again."
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
        active = layer_of(document.activeNode())
        if source == "layer" and active is None:
            raise Refused(NO_LAYER)
        document_id = document.rootNode().uniqueId().toString()
        space = _space(document)
        bounds = yield from self._bounds(document)
        box = grown_box(bounds, document.width(), document.height())
        target = Target(
            document_id, active.uniqueId().toString() if active is not None else "", box, bounds, is_plain(space)
        )
        colours: List[bytes] = []
        chosen: List[bytes] = []
        began = time.monotonic()
        for part in _slices(box, PLAIN_SLICE if is_plain(space) else CONVERTED_SLICE):
            selection = document.selection() if find_document(document_id) is not None else None
            if selection is None:
                raise Refused(CHANGED)
            colours.append(self._slice(document, active if source == "layer" else None, part, space))
            chosen.append(bytes(selection.pixelData(part.x, part.y, part.width, part.height)))
            if time.monotonic() - began > SLICE_SECONDS:
                yield None
                began = time.monotonic()
        yield Capture(target, b"".join(colours), b"".join(chosen))

    def _bounds(self, document: Any) -> Generator[None, None, Box]:
        """The smallest box on the canvas that holds every selected pixel."""
        selection = document.selection()
        if selection is None:
            raise Refused(NO_SELECTION)
        extent = Box(selection.x(), selection.y(), selection.width(), selection.height())
        if extent.width < 1 or extent.height < 1:
            raise Refused(EMPTY)
        area = clipped(extent, document.width(), document.height())
        if area is None:
            raise Refused(OUTSIDE)
        found: List[Box] = []
        for part in _slices(area, SELECTION_SLICE):
            data = bytes(selection.pixelData(part.x, part.y, part.width, part.height))
            inside = selection_bounds(data, part.width, part.height)
            if inside is not None:
                found.append(Box(part.x + inside.x, part.y + inside.y, inside.width, inside.height))
            if part.y + part.height < area.y + area.height:
                yield None
        if not found:
            raise Refused(EMPTY)
        left, top = min(each.x for each in found), min(each.y for each in found)
        right, bottom = max(each.x + each.width for each in found), max(each.y + each.height for each in found)
        return Box(left, top, right - left, bottom - top)

    def _slice(self, document: Any, node: Any, part: Box, space: Tuple[str, str, str]) -> bytes:
        """RGBA bytes of ``part``: of the projection, or of ``node`` if given."""
        if node is None:
            data = document.pixelData(part.x, part.y, part.width, part.height)
        else:
            space = _space(node)
            data = node.pixelData(part.x, part.y, part.width, part.height)
            if data.isEmpty():  # groups and vector layers have no pixels of their own
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


def _slices(box: Box, size: int) -> List[Box]:
    """The box in pieces of whole rows, at most ``size`` pixels each (or one row)."""
    rows = max(1, size // box.width)
    return [Box(box.x, y, box.width, min(rows, box.y + box.height - y)) for y in range(box.y, box.y + box.height, rows)]


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
