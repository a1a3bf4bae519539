"""Krita's documents for the shared `flow`: found again by id, read in slices, written by `layer.PreviewLayer`.

What is odd about Krita is in docs/reports/hosts.md. All of it runs on the GUI thread; reading is cut into slices
of some 15 ms so that a large picture never holds the editor up.
"""

from __future__ import annotations

import io
import secrets
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Generator, Iterator, List, Optional, Tuple

from krita import Document, Krita, Node, Selection

from bridge_server.client.editor import sentences as shared
from bridge_server.client.editor.areas import selected_pixels
from bridge_server.client.editor.host import Identity
from bridge_server.client.editor.maps import Candidate, MapWish, Reading, along, map_name
from bridge_server.client.editor.material import LAYER, Wish, checked
from bridge_server.client.editor.model import Capture, Extend, MapTarget, Refused, Settings, Target
from bridge_server.client.editor.probe import Probe
from bridge_server.client.editor.reading import Wanted, in_slices, marked, wanted
from bridge_server.client.geometry import Box, clipped, grown_box

from . import colours, maps, material, sentences
from .colours import Space
from .layer import PreviewLayer
from .lookup import find_document, find_node, is_mask, layer_of, layers, root_id
from .undo import Top, take_back, top

ANNOTATION = "repaint_bridge"
OURS = "RePaint "  # how the names of the plug-in's layers begin
PLAIN_SLICE = 1 << 18  # pixels read at a time without conversion (1 to 6 ms)
SELECTION_SLICE = 1 << 20  # selection bytes looked through at a time (some 4 ms)
CONVERTED_SLICE = 1 << 15  # pixels converted by Krita at a time (10 to 30 ms, of which up to 20 are spent once a slice)


class KritaHost:
    """A `Host`. ``repeat``: calls work again and again until it returns True."""

    def __init__(self, probe: Probe, repeat: Callable[[str, Callable[[], bool]], None]) -> None:
        self.probe, self._repeat = probe, repeat
        self._grown: Optional[Top] = None  # of the undo stack after the last enlarging
        self._selecting: Tuple[Optional[Box], Optional[Top]] = None, None  # the selection at the click, and the stack's

    # ---- which document ----
    def in_front(self) -> Optional[Document]:
        return Krita.instance().activeDocument()

    def active_layer(self, document: Document) -> Optional[Node]:
        return layer_of(document.activeNode())

    def identity(self) -> Optional[Identity]:
        document = self.in_front()
        document_id = root_id(document)
        if document is None or document_id is None:
            return None
        return Identity(document_id, _key(document), str(document.fileName() or ""))

    def canvas_size(self) -> Optional[Tuple[str, int, int]]:
        document = self.in_front()
        document_id = root_id(document)
        if document is None or document_id is None:
            return None
        return document_id, document.width(), document.height()

    def extent(self, padding: int = 0) -> Tuple[int, int]:
        found, size, document = self.selected(), self.canvas_size(), self.in_front()
        selection = document.selection() if document is not None else None
        if found is None or found[1] is None or size is None or selection is None:
            return 0, 0
        count = selected_pixels(found[1], lambda part: bytes(selection.pixelData(*vars(part).values())))
        return grown_box(found[1], size[1], size[2], padding).area, count

    def selected(self) -> Optional[Tuple[str, Optional[Box]]]:
        document = self.in_front()
        document_id = root_id(document)
        return (document_id, _selected(document)) if document is not None and document_id is not None else None

    def thumbnail(self, side: int) -> Any:
        """A QImage of the document in front, at most ``side`` pixels each way; None if there is none."""
        document = self.in_front()
        if document is None:
            return None
        scale = min(1.0, side / max(document.width(), document.height()))
        with self.probe.host():
            return document.thumbnail(max(1, round(scale * document.width())), max(1, round(scale * document.height())))

    def materials(self, kind: str) -> List[str]:
        document = Krita.instance().activeDocument()
        return material.names(document, kind) if document is not None else []

    def material_picture(self, wish: Wish, side: int) -> Any:
        document = Krita.instance().activeDocument()
        if document is None or root_id(document) is None:
            return None
        with self.probe.host():
            return material.picture(document, wish, side)

    def maps(self) -> List[Candidate]:
        document = self.in_front()
        if document is None or root_id(document) is None:
            return []
        return maps.candidates(document, self.active_layer(document))

    def open(self, path: Path) -> None:
        """Opens a picture file in a view of its own."""
        with self.probe.host():
            window = Krita.instance().activeWindow()
            if window is not None:
                window.addView(Krita.instance().openDocument(str(path)))

    # ---- reading ----
    def capture(self, settings: Settings) -> Iterator[Optional[Capture]]:
        """Reads what ``settings.area`` asks for of the active document; yields None between slices and at last the
        Capture. For an `Extend` the canvas is enlarged first: one undo step. Raises `Refused`.
        """
        document = self.in_front()
        document_id = root_id(document)
        if document is None or document_id is None:
            raise Refused(shared.NO_DOCUMENT)
        active = self.active_layer(document)
        for wish in settings.maps:
            self._map(document, wish)
        source = active if settings.source == "layer" else None
        if settings.source == "layer" and active is None:
            raise Refused(shared.NO_LAYER)
        want = yield from self._wanted(document, document_id, settings)
        if isinstance(settings.area, Extend):
            self._enlarge(document, settings.area)
        space = Space.of(source or document)
        target = Target(
            document_id,
            active.uniqueId().toString() if active is not None else "",
            want.box,
            want.bounds,
            _key(document, make=True),
            str(document.fileName() or ""),
            want.grown,
            space.sent_depth,
            colours.is_linear(space),
            space.travelling.name,
            want.pieces,
            want.parts,
        )
        chosen = io.BytesIO()

        def read(part: Box) -> bytes:
            if find_document(document_id) is None:
                raise Refused(shared.CHANGED)
            pixels = self._slice(document, source, part, reader)
            chosen.write(want.marks(part))
            return pixels

        with closing(colours.Reader(space)) as reader:
            pixels = yield from in_slices(target.pieces or [want.box], _at_a_time(space), read)
            yield None
        capture = Capture(target, pixels, chosen.getvalue())
        try:
            if settings.material is not None:
                capture = yield from self._with_source(capture, settings.material, document, active, source, want.marks)
            capture = yield from self._with_maps(capture, settings.maps, document)
        except Refused:
            self._grown = top(document_id)
            self.withdraw(target)
            raise
        yield capture

    def _with_source(
        self,
        capture: Capture,
        wish: Wish,
        document: Document,
        active: Optional[Node],
        source: Optional[Node],
        chosen: Callable[[Box], bytes],
    ) -> Generator[None, None, Capture]:
        """The capture with what the fill is to be made of."""
        if wish.kind == LAYER and active is None:
            raise Refused(shared.NO_LAYER)
        seen = (active if wish.kind == LAYER else source) or document
        into = Space.named(capture.target.space)
        with self.probe.host():
            for found in material.read(document, seen, wish, capture.target.box, into, chosen):
                if found is not None:
                    usable = checked(found, capture.target.depth, wish)
                    shares = yield from material.shares(document, wish, capture.target.box)
                    return replace(capture, source=replace(usable, shares=shares))
                yield None
        raise wish.gone()

    def _map(self, document: Document, wish: MapWish) -> Node:
        node = find_node(document, wish.layer)
        if node is None:
            raise wish.refusal(shared.MAP_GONE)
        return node

    def _with_maps(
        self, capture: Capture, wishes: Tuple[MapWish, ...], document: Document
    ) -> Generator[None, None, Capture]:
        """The capture with the layers that are painted along, each in its own depth and colours."""

        def one(wish: MapWish) -> Reading:
            node = self._map(document, wish)
            space = Space.of(node)

            def read(part: Box) -> bytes:
                if find_document(capture.target.document) is None:
                    raise Refused(shared.CHANGED)
                return wish.checked(self._slice(document, node, part, reader), space.sent_depth, capture, part)

            with closing(colours.Reader(space)) as reader:
                rgba = yield from in_slices([capture.target.box], _at_a_time(space), read)
            linear, shown = colours.is_linear(space), node.visible()
            return wish.target(wish.layer, space.sent_depth, linear, space.travelling.name, shown), rgba

        return (yield from along(capture, wishes, one))

    def _wanted(self, document: Document, document_id: str, settings: Settings) -> Generator[None, None, Wanted]:
        size = document.width(), document.height()
        if settings.area is not None:
            return (yield from wanted(*size, settings))
        selection = self._selection(document, settings.feather)
        self._selecting = _selected(document), top(document_id)

        def selected(part: Box) -> bytes:
            if document.selection() is None:
                raise Refused(shared.CHANGED)
            return bytes(selection.pixelData(part.x, part.y, part.width, part.height))

        bounds = yield from self._bounds(document, selection)
        return (yield from wanted(*size, settings, bounds, selected))

    def _selection(self, document: Document, feather: int) -> Selection:
        """The document's selection; with ``feather`` a copy whose edge fades inwards over so many pixels."""
        selection = document.selection()
        if selection is None:
            raise Refused(shared.NO_SELECTION)
        if feather < 1:
            return selection
        with self.probe.host():
            soft = selection.duplicate()
            soft.shrink(max(1, feather // 2), max(1, feather // 2), False)
            soft.feather(feather)
            soft.intersect(selection)  # never outwards
        return soft

    def _enlarge(self, document: Document, area: Extend) -> None:
        """The canvas: one undo step. Raises `Refused`."""
        width, height = document.width() + area.left + area.right, document.height() + area.top + area.bottom
        with self.probe.host():
            document.resizeImage(-area.left, -area.top, width, height)
            document.waitForDone()
        if (document.width(), document.height()) != (width, height):
            raise Refused(sentences.NO_GROWTH)

    def withdraw(self, target: Target) -> None:
        """After a cancel: takes back what `capture` did to the canvas, if nothing else has changed its size since."""
        document = find_document(target.document)
        old = target.grown
        if document is None or old is None:
            return
        with self.probe.host():
            if take_back(self._grown, lambda: (document.width(), document.height()) == (old.width, old.height)):
                return
            document.resizeImage(old.x, old.y, old.width, old.height)
            document.waitForDone()

    def _bounds(self, document: Document, selection: Selection) -> Generator[None, None, Box]:
        """The smallest box on the canvas that holds every selected pixel."""
        extent = Box(selection.x(), selection.y(), selection.width(), selection.height())
        if extent.width < 1 or extent.height < 1:
            raise Refused(shared.EMPTY)
        area = clipped(extent, document.width(), document.height())
        if area is None:
            raise Refused(shared.OUTSIDE)
        bounds = yield from marked(area, SELECTION_SLICE, lambda part: bytes(selection.pixelData(*vars(part).values())))
        if bounds is None:
            raise Refused(shared.EMPTY)
        return bounds

    def _slice(self, document: Document, node: Optional[Node], part: Box, reader: colours.Reader) -> bytes:
        """The wire's pixels of ``part``: of the projection, or of ``node`` if given."""
        if node is None:
            data = document.pixelData(part.x, part.y, part.width, part.height)
        else:
            data = node.pixelData(part.x, part.y, part.width, part.height)
            if data.isEmpty():  # groups and vector layers have no pixels of their own
                data = node.projectionPixelData(part.x, part.y, part.width, part.height)
        if Space.of(node or document) != reader.space:
            raise Refused(shared.CHANGED)
        if data.isEmpty():
            raise Refused(shared.NO_LAYER)
        with self.probe.host() if reader.space.travelling != reader.space else nullcontext():
            return reader.outgoing(data, part.width, part.height)

    # ---- writing ----
    def add_layer(self, target: Target, name: str, above_active: bool = False, deselect: bool = False) -> Any:
        """One new, empty paint layer of the run's colour space above its active layer, and one above each of its maps:
        one undo step (`maps`). Raises `Refused`.

        above_active: above the layer that is active now (for a picture put in later) instead of at the click.
        deselect: what was selected at the click is not any more; its making is undone, so that it is no step in the
            history, if nothing has been done since, else it takes a step of its own.
        """
        document = find_document(target.document)
        if document is None:
            raise Refused(shared.CLOSED_DOCUMENT)
        active = layer_of(document.activeNode())
        wanted = active if above_active else (find_node(document, target.active) if target.active else None)
        users_layer = active.uniqueId().toString() if active is not None else ""
        old = target.grown
        if old is not None:
            self._grown = top(target.document)  # by now Krita's menu knows of the enlarging
        deselected = self._deselect(document) if deselect else None
        others: List[PreviewLayer] = []
        try:
            for one in target.maps:
                below = _layer_of_map(document, one) or wanted
                own = target.of_map(one)
                others.append(self._add(document, own, map_name(name, one), below, users_layer, one.shown))
            lead = self._add(document, target, name, wanted, users_layer)
        except Refused:
            for layer in reversed(others):
                layer.remove()
            if deselected is not None:
                document.setSelection(deselected)
            raise
        lead.deselected = deselected
        self._repeat("give back", lead.give_back_active)
        if old is None:
            return maps.together(lead, others, target.maps)
        size = (old.width, old.height)
        return maps.together(
            lead, others, target.maps, self._grown, lambda: (document.width(), document.height()) == size
        )

    def _add(
        self,
        document: Document,
        target: Target,
        name: str,
        wanted: Optional[Node],
        users_layer: str,
        shown: bool = True,
    ) -> PreviewLayer:
        """One layer above ``wanted``."""
        node = document.createNode(name, "paintlayer")
        if not shown:
            node.setVisible(False)
        space = Space.named(target.space)
        converted = Space.of(node) != space
        with self.probe.host():
            if converted and not node.setColorSpace(*space):  # an undo step
                raise Refused(sentences.NO_SPACE)
        parent, above = _place(document, wanted)
        with self.probe.host():
            added = parent.addChildNode(node, above)
        if not added:
            raise Refused(sentences.NOT_ADDED)
        return PreviewLayer(self.probe, target, node, users_layer, converted)

    def _deselect(self, document: Document) -> Optional[Selection]:
        """What was selected, a copy; None, and nothing happens, if it is not what was at the click."""
        (wanted, before), here, selection = self._selecting, _selected(document), document.selection()
        if selection is None or here is None or here != wanted:
            return None
        with self.probe.host():
            selection = selection.duplicate()
            take_back(before, lambda: _selected(document) != here)
            if _selected(document) is not None:
                document.setSelection(None)
        return selection


def _at_a_time(space: Space) -> int:
    """Pixels that are read in one slice."""
    return PLAIN_SLICE if space.travelling == space else CONVERTED_SLICE


def _selected(document: Document) -> Optional[Box]:
    """The box of its selection, about; None if there is none."""
    selection = document.selection()
    if selection is None or selection.width() < 1 or selection.height() < 1:
        return None
    box = Box(selection.x(), selection.y(), selection.width(), selection.height())
    return clipped(box, document.width(), document.height())


def _key(document: Document, make: bool = False) -> str:
    """What the plug-in has left in the document to know it again, "" if nothing; it is saved with a .kra."""
    if ANNOTATION in document.annotationTypes():
        return bytes(document.annotation(ANNOTATION)).decode("ascii", "replace")[:64]
    if not make:
        return ""
    key, modified = secrets.token_hex(16), document.modified()
    document.setAnnotation(ANNOTATION, "RePaint: finds the pictures made for this document", key.encode("ascii"))
    document.setModified(modified)
    return key


def _layer_of_map(document: Document, one: MapTarget) -> Optional[Node]:
    """By its id; of an earlier session by its name."""
    if one.active:
        return find_node(document, one.active)
    return next((node for node in layers(document) if node.name() == one.name), None)


def _place(document: Document, wanted: Optional[Node]) -> Tuple[Node, Optional[Node]]:
    """Parent and lower neighbour for a layer just above ``wanted``; the top of the picture if that is None.

    Layers of earlier runs directly above stay below the new one: the model has seen them, and they would hide it.
    """
    parent = wanted.parentNode() if wanted is not None else None
    if wanted is not None and parent is not None:
        siblings = parent.childNodes()
        ids = [node.uniqueId().toString() for node in siblings]
        place = ids.index(wanted.uniqueId().toString())
        while place + 1 < len(siblings) and siblings[place + 1].name().startswith(OURS):
            place += 1
        return parent, siblings[place]
    root = document.rootNode()
    layers = [node for node in root.childNodes() if not is_mask(node)]
    return root, (layers[-1] if layers else None)
