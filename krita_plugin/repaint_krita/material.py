"""Where a fill's material comes from in Krita: layers, masks and documents found by their names, and read."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any, Callable, Generator, Iterator, List, Optional

from krita import Document, Krita, Node

from bridge_server.client.editor import material, sentences
from bridge_server.client.editor.material import Source, Wish
from bridge_server.client.editor.model import Refused
from bridge_server.client.editor.reading import in_slices, marked
from bridge_server.client.geometry import Box
from bridge_server.client.qt.pictures import RGBA, image

from . import colours
from .colours import Space
from .lookup import is_mask, layer_of, root_id, top_nodes

MASKS = ("selectionmask", "transparencymask", "filtermask")  # those that say how much of a pixel
PLAIN_SLICE, CONVERTED_SLICE = 1 << 18, 1 << 15  # pixels read at a time, as in `document`
MARKS_SLICE = 1 << 20


def names(document: Document, kind: str) -> List[str]:
    """Names of what is there of that kind, each once, the highest first; saved selections' masks and layers' alike."""
    if kind == material.PICTURE:
        found = [name_of(each) for each in _others(document)]
    else:
        active = layer_of(document.activeNode())
        skipped = active.uniqueId().toString() if active is not None else ""
        nodes = _nodes(document, marks=kind != material.OTHER)
        found = [node.name() for node in nodes if node.uniqueId().toString() != skipped]
    return list(dict.fromkeys(found))


def name_of(document: Document) -> str:
    return Path(document.fileName() or "").name or document.name()


def read(
    document: Document, seen: Any, wish: Wish, box: Box, into: Space, chosen: Callable[[Box], bytes]
) -> Iterator[Optional[Source]]:
    """The source in the colours and the depth in which a run's pixels travel; yields None between slices and at last
    the source. Raises `Refused`.

    Args:
        seen: the document or the layer around the selection, of which marks say what may be used.
        box: what is sent of the canvas; ``chosen``: what is selected of a part of it, which is never used.
    """
    canvas, inverted = Box(0, 0, document.width(), document.height()), wish.kind == material.UNMARKED
    if wish.kind == material.OTHER:
        yield from _read(_found(_nodes(document, marks=False), wish), canvas, into)
    elif wish.kind == material.PICTURE:
        other = _open(document, wish)
        yield from _read(other, Box(0, 0, other.width(), other.height()), into)
    elif wish.kind == material.FILE:
        opened = _opened(wish)
        try:
            yield from _read(opened, Box(0, 0, opened.width(), opened.height()), into)
        finally:
            opened.setModified(False)
            opened.close()
    elif wish.kind == material.LAYER:
        yield from _read(seen, box, into, lambda part: material.usable(chosen(part)))
    else:
        mark = _found(_nodes(document, marks=True), wish)
        place = box if inverted else (yield from marked(canvas, MARKS_SLICE, lambda part: _marks(mark, part)))
        if place is None:
            raise wish.refusal(sentences.MATERIAL_EMPTY)
        yield from _read(seen, place, into, lambda part: material.usable(chosen(part), _marks(mark, part), inverted))


def shares(document: Document, wish: Wish, box: Box) -> Generator[None, None, bytes]:
    """A byte for each pixel of what is sent, see `Source`; nothing where no mask is wished. Raises `Refused`."""
    if not wish.shares:
        return b""
    mark = _found(_nodes(document, marks=True), wish.of_shares)
    return (yield from in_slices([box], MARKS_SLICE, lambda part: _marks(mark, part)))


def _marks(mark: Node, part: Box) -> bytes:
    """A byte for each pixel of the canvas: 255 is marked."""
    return bytes(mark.pixelData(part.x, part.y, part.width, part.height))


def picture(document: Document, wish: Wish, side: int) -> Any:
    """A QImage of what would be used, at most ``side`` pixels each way; None where there is nothing or for a file."""
    size = document.width(), document.height()
    try:
        if wish.kind == material.PICTURE:
            other = _open(document, wish)
            return _thumbnail(other, other.width(), other.height(), side)
        if wish.kind == material.OTHER:
            return _thumbnail(_found(_nodes(document, marks=False), wish), *size, side)
        if wish.kind == material.LAYER:
            active = layer_of(document.activeNode())
            return active and _thumbnail(active, *size, side)
        if wish.kind != material.FILE:
            mark = _found(_nodes(document, marks=True), wish)
            return _marked(document, mark, wish.kind == material.UNMARKED, side)
    except Refused:
        pass
    return None


def _thumbnail(thing: Any, width: int, height: int, side: int) -> Any:
    scale = min(1.0, side / max(width, height))
    return thing.thumbnail(max(1, round(scale * width)), max(1, round(scale * height)))


def _marked(document: Document, mark: Node, inverted: bool, side: int) -> Any:
    """The document's small picture, transparent where it would not be used; of every n-th row and column."""
    width, height = document.width(), document.height()
    every = max(1, -(-max(width, height) // side))
    rows = range(0, height, every)
    columns = -(-width // every)
    marks = b"".join(_marks(mark, Box(0, y, width, 1))[::every] for y in rows)
    shown = document.thumbnail(columns, len(rows)).convertToFormat(RGBA)
    shown = shown.scaled(columns, len(rows))
    rgba = shown.constBits().asstring(shown.sizeInBytes())
    data = material.masked(rgba, "u8", material.usable(bytes(len(marks)), marks, inverted))
    return image(data, columns, len(rows)).copy()


def _nodes(document: Document, marks: bool) -> List[Node]:
    """All masks that mark something, or all layers, the highest first."""
    found: List[Node] = []
    waiting = [node for node in top_nodes(document) if not _selects(node, document)]
    while waiting:
        node = waiting.pop()
        if (marks and node.type() in MASKS) or (not marks and not is_mask(node)):
            found.append(node)
        waiting.extend(node.childNodes())
    return found


def _selects(node: Node, document: Document) -> bool:
    """Whether it is the mask that holds the present selection."""
    selection = document.selection()
    if node.type() != "selectionmask" or selection is None:
        return False
    part = Box(selection.x(), selection.y(), max(1, selection.width()), max(1, selection.height()))
    return _marks(node, part) == bytes(selection.pixelData(part.x, part.y, part.width, part.height))


def _found(nodes: List[Node], wish: Wish) -> Node:
    for node in nodes:
        if node.name() == wish.name:
            return node
    raise wish.gone()


def _open(document: Document, wish: Wish) -> Document:
    """Another open one. Raises `Refused`."""
    for each in _others(document):
        if name_of(each) == wish.name:
            return each
    raise wish.gone()


def _others(document: Document) -> List[Document]:
    """The other documents that are open."""
    own = None, root_id(document)
    return [each for each in Krita.instance().documents() if root_id(each) not in own]


def _opened(wish: Wish) -> Document:
    """A file as a document that no one sees."""
    if not wish.name or not Path(wish.name).is_file():
        raise wish.gone()
    krita = Krita.instance()
    before = krita.batchmode()
    krita.setBatchmode(True)  # no window that tells of an error
    try:
        found = krita.openDocument(wish.name)
    finally:
        krita.setBatchmode(before)
    if found is None or found.width() < 1 or root_id(found) is None:
        raise wish.refusal(sentences.UNREADABLE_FILE)
    found.waitForDone()
    return found


def _read(
    thing: Any, box: Box, into: Space, free: Optional[Callable[[Box], bytes]] = None
) -> Iterator[Optional[Source]]:
    """``box`` of a document or of a layer; ``free``: of a part, 255 for each pixel that may be used."""
    space = Space.of(thing)

    def read(part: Box) -> bytes:
        if Space.of(thing) != space:
            raise Refused(sentences.CHANGED)
        rgba = reader.outgoing(_pixels(thing, part), part.width, part.height)
        return rgba if free is None else material.masked(rgba, into.sent_depth, free(part))

    with closing(colours.Reader(space, into)) as reader:
        made = yield from in_slices([box], PLAIN_SLICE if space == into else CONVERTED_SLICE, read)
        yield None
    yield Source(box.width, box.height, made)


def _pixels(thing: Any, part: Box) -> Any:
    """Krita's pixels of a document or of a layer; groups and vector layers have none of their own. Raises `Refused`."""
    data = thing.pixelData(part.x, part.y, part.width, part.height)
    if data.isEmpty() and isinstance(thing, Node):
        data = thing.projectionPixelData(part.x, part.y, part.width, part.height)
    if data.isEmpty():
        raise Refused(sentences.NO_LAYER)
    return data
