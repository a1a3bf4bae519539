"""The split view in the picture itself: the layer shows the parts of the split view until it is switched off.

What is to the left of the first bar is transparent, so that the original is seen. Nothing of it is an undo step. The
layer gets its own picture back when that is switched off, a picture is applied, or a run is to read what is visible.
"""

from __future__ import annotations

from typing import Any, List, Optional

from bridge_server.client.geometry import Box
from bridge_server.client.records import PIXEL_BYTES

from . import sentences
from .areas import surroundings
from .choosing import Bars, Part, drawn
from .model import Picture, Target
from .pump import Pump
from .samples import OPAQUE

FOLLOWED = 1 << 22  # pixels of a canvas up to which the layer follows a bar that is being dragged


class InLayer:
    """Of one window. ``wanted``: whether the artist wants it now."""

    def __init__(self, pump: Pump, bars: Bars) -> None:
        self._pump, self._layers, self._bars = pump, pump.flow.layers, bars
        self._shown: Any = None  # what this window has put into a layer

    @property
    def document(self) -> Optional[str]:
        """In which a layer shows the split view of this window now."""
        return self._layers.split_document if self._shown is not None else None

    def saved(self) -> bool:
        """To be called when a document has been saved. Whether that was one with the split view in it: then the layer
        gets its own picture back, and the artist is asked to save again."""
        if self.document is None:
            return False
        self._pump.do("saved", self._saved)
        return True

    def _saved(self) -> None:
        self._shown = None
        self._layers.whole()
        self._pump.flow.say(sentences.SPLIT_SAVED, error=True)

    def show(self, parts: List[Part], wanted: bool) -> None:
        self._pump.do("split", lambda: self._show(parts, wanted))

    def _show(self, parts: List[Part], wanted: bool) -> None:
        flow = self._pump.flow
        if flow.busy or self._layers.painter.busy:
            return
        finished = all(part.variant is None or part.variant.finished for part in parts)
        if not (wanted and parts and finished):
            if self._shown is not None:
                self._shown = None
                self._layers.whole()
            return
        size = flow.host.canvas_size()
        if self._bars.held and (size is None or size[1] * size[2] > FOLLOWED):
            return
        now = (drawn(parts), tuple(self._bars.places))
        if now != self._shown or not self._layers.is_split(parts[-1].run):
            chosen = parts[-1]
            if chosen.variant is not None and self._layers.split(
                chosen.run, chosen.variant, composed(chosen.run.target, parts, self._bars.places)
            ):
                self._shown = now
            elif self._shown is not None:  # undone, or the artist's now
                self._shown = None
                self._layers.whole()


def composed(target: Target, parts: List[Part], bars: List[float]) -> Picture:
    """The selected part of the pictures side by side, with a line of black and white at each bar.

    Args:
        parts: of one place, from left to right; each covers the target's bounds.
        bars: between them, 0 … 1 of what the split view shows.
    """
    painted, seen = target.painted, surroundings(target.box, target.bounds)
    chosen = parts[-1].variant
    apart = chosen.picture.parts if chosen is not None and chosen.picture is not None else ()
    columns = [round(seen.x + bar * seen.width) for bar in bars]
    made = b"".join(_composed(target, place, parts, columns) for place in apart or (painted,))
    return Picture(painted.width, painted.height, made, painted, apart)


def _composed(target: Target, place: Box, parts: List[Part], columns: List[int]) -> bytes:
    """A rectangle of the box, with bars at those columns of the box."""
    size = PIXEL_BYTES[target.depth]
    cuts = [max(0, min(place.width, column - place.x)) for column in columns]
    ends = [0, *cuts, place.width]
    pictures = [_pixels(target, place, part) for part in parts]
    stride = size * place.width
    made = bytearray().join(
        picture[start + size * left : start + size * right]
        for start in range(0, stride * place.height, stride)
        for picture, left, right in zip(pictures, ends, ends[1:])
    )
    for at in cuts:
        if 0 < at < place.width:
            for column, colour in ((at - 1, bytes(size)), (at, OPAQUE[target.depth] * 3)):
                _line(made, bytes(pictures[-1]), stride, size * column, colour[: size * 3 // 4])
    return bytes(made)


def _pixels(target: Target, place: Box, part: Part) -> memoryview:
    """Pixels of that rectangle of the box; transparent for the original."""
    picture = part.variant.picture if part.variant is not None else None
    if picture is None:
        return memoryview(bytes(PIXEL_BYTES[target.depth] * place.area))
    return memoryview(picture.cut(place, target.depth))


def _line(made: bytearray, alpha_of: bytes, stride: int, start: int, colour: bytes) -> None:
    """A column in that colour, as opaque as the selection is there."""
    rows = len(made) // stride
    for number, value in enumerate(colour):
        made[start + number :: stride] = bytes([value]) * rows
    for number in range(len(colour), len(colour) // 3 * 4):
        made[start + number :: stride] = alpha_of[start + number :: stride]
