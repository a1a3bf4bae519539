"""The preview layer's life: added once, repainted in place, promoted or removed — never an orphan.

Adding is one undo step. Writing to a layer's buffer is none, and what GIMP would record of a name or of the visibility
is kept off the undo stack, so that one Ctrl+Z takes everything away and a redo brings the newest pixels back.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import Generator, Iterator, List, Set

from gi.repository import Gegl, Gimp, GLib

from bridge_server.client.editor.areas import grown_size, slices
from bridge_server.client.editor.model import CLOSED, GONE, THERE, Picture, Target
from bridge_server.client.editor.probe import Probe
from bridge_server.client.geometry import Box

from . import pixels
from .lookup import find_image, find_layer, select_items, selected_items

STRIP = 1 << 18  # pixels written in one step of the event loop (some 5 ms)
REDO_MS = 500  # how often it is looked whether an undone, half-made picture has come back


class PreviewLayer:
    """One layer in one image. All methods are for the main thread and never raise for a layer that is gone.

    An undo makes the layer's id invalid, a redo makes it valid again: it is the same layer.
    """

    def __init__(
        self, probe: Probe, target: Target, layer: Gimp.Layer, selected: List[Gimp.Drawable], marks: bytes = b""
    ) -> None:
        """``marks``: of the target's bounds, what its adding deselected."""
        self.probe = probe
        self.target = target
        self._id = str(layer.get_id())
        self._selected, self._marks = selected, marks
        self.layer = layer
        self._form = pixels.known(target.space, layer, target.depth)
        self._painted: List[Box] = []  # what it holds, canvas coordinates at the click

    def _there(self) -> bool:
        image = find_image(self.target.document)
        return image is not None and find_layer(image, self._id) is not None

    def state(self) -> str:
        if find_image(self.target.document) is None:
            return CLOSED
        return THERE if self._there() else GONE

    def paint(self, picture: Picture) -> Generator[None, None, float]:
        """Puts the selected part of ``picture`` into the layer, a strip per step, then lets GIMP refresh once, so that
        no half-written picture is ever seen; returns the refresh's seconds."""
        if not self._there():
            return 0.0
        buffer = self.layer.get_buffer()
        strips = self._strips(picture)
        for number, strip in enumerate(strips):
            if number:
                yield
                if not self._there():
                    return 0.0
            self._write(buffer, picture, strip)
        return self._refresh(buffer)

    def holds(self, picture: Picture) -> Generator[None, None, bool]:
        """Whether GIMP took the pixels: reads them back, a strip per step, and compares with what they become in the
        layer's own precision, colour space or palette."""
        if not self._there():
            return False
        expected = pixels.like(self.layer.get_buffer())
        for strip in self._strips(picture):
            if not self._there():
                return False
            part = self._inside(strip)
            self._write(expected, picture, strip)
            if pixels.read(self.layer.get_buffer(), part, None) != pixels.read(expected, part, None):
                return False
            yield
        return True

    def _strips(self, picture: Picture) -> List[Box]:
        """The selected parts in pieces of at most `STRIP` pixels (or one row), canvas coordinates at the click."""
        self._painted = self.target.on_canvas(picture)
        return [strip for part in self._painted for strip in slices(part, STRIP)]

    def _inside(self, strip: Box) -> Box:
        """In the layer's own coordinates: previews follow a layer that the user moves."""
        return Box(strip.x - self.target.bounds.x, strip.y - self.target.bounds.y, strip.width, strip.height)

    def _write(self, buffer: Gegl.Buffer, picture: Picture, strip: Box) -> None:
        data = picture.cut(self.target.inside(strip), self.target.depth)
        pixels.write(buffer, self._inside(strip), data, self._form, self.target.depth)

    def _refresh(self, buffer: Gegl.Buffer) -> float:
        began = time.monotonic()
        with self.probe.host():
            buffer.flush()
            for part in map(self._inside, self._painted):
                self.layer.update(part.x, part.y, part.width, part.height)
            Gimp.displays_flush()
        return time.monotonic() - began

    def clear(self) -> None:
        """Empties the layer. One that an undo has taken out of the image cannot be written: it is emptied as soon as a
        redo brings it back."""
        if self._there():
            buffer = self.layer.get_buffer()
            for strip in (strip for part in self._painted for strip in slices(part, STRIP)):
                pixels.write(buffer, self._inside(strip), bytes(4 * strip.area), pixels.COLOUR, "u8")
            self._refresh(buffer)
        elif find_image(self.target.document) is not None:
            _empty_when_redone(self)

    def set_visible(self, visible: bool) -> None:
        """Shows or hides it, to compare with the original; no undo step."""
        if self._there():
            with _without_undo(self.layer.get_image()):
                self.layer.set_visible(visible)
            Gimp.displays_flush()

    def rename(self, name: str) -> None:
        if self._there() and self.layer.get_name() != name:
            with _without_undo(self.layer.get_image()):
                self.layer.set_name(name)

    def remove(self) -> None:
        """Takes the layer out of the image, with the canvas that grew for it, and selects again what its adding
        deselected; the selected layers stay selected."""
        if not self._there():
            return
        image = self.layer.get_image()
        selected = [item for item in selected_items(image) if item != self.layer]
        with self.probe.host():
            image.undo_group_start()
            try:
                image.remove_layer(self.layer)
                old = self.target.grown
                if old is not None and (image.get_width(), image.get_height()) == grown_size(self.target):
                    image.resize(old.width, old.height, -old.x, -old.y)
                if self._marks and Gimp.Selection.is_empty(image):
                    _select(image, self.target.bounds, self._marks)
            finally:
                image.undo_group_end()
            select_items(image, selected or self._selected)
            Gimp.displays_flush()


def _select(image: Gimp.Image, box: Box, marks: bytes) -> None:
    """Selects what the marks of the box say; they reach GIMP in a channel that is there for a moment. It has another
    curve than a selection, so that soft edges are written once more as they were."""
    channel = Gimp.Channel.new(image, "", image.get_width(), image.get_height(), 100.0, Gegl.Color.new("black"))
    buffer = channel.get_buffer()
    buffer.clear(Gegl.Rectangle.new(0, 0, image.get_width(), image.get_height()))
    buffer.set(Gegl.Rectangle.new(box.x, box.y, box.width, box.height), pixels.MARKS, marks)
    buffer.flush()
    image.insert_channel(channel, None, 0)
    image.select_item(Gimp.ChannelOps.REPLACE, channel)
    image.remove_channel(channel)
    buffer = image.get_selection().get_buffer()
    buffer.set(Gegl.Rectangle.new(box.x, box.y, box.width, box.height), pixels.MARKS, marks)
    buffer.flush()


@contextmanager
def _without_undo(image: Gimp.Image) -> Iterator[None]:
    image.undo_freeze()
    try:
        yield
    finally:
        image.undo_thaw()


_undone: Set[PreviewLayer] = set()


def _empty_when_redone(layer: PreviewLayer) -> None:
    if not _undone:
        GLib.timeout_add(REDO_MS, _look_at_undone)
    _undone.add(layer)


def _look_at_undone() -> bool:
    """Two small questions to GIMP for each such layer, as long as its image is open; then it ends by itself."""
    for layer in list(_undone):
        if layer.state() != GONE:
            _undone.discard(layer)
            layer.clear()
    return bool(_undone)
