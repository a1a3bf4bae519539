"""The Extend page's picture: the canvas inside a frame whose edges the mouse drags."""

from __future__ import annotations

from typing import Any, Callable, Optional, Tuple

from gi.repository import Gdk, GdkPixbuf, Gtk

from bridge_server.client.editor.frame import NONE, Frame
from bridge_server.client.editor.model import Extend

from .widgets import named

WIDE, HIGH = 280, 150
BACK, NEW, EDGE = 0x00000000, 0x8FB0E0FF, 0x3060A0FF
CURSORS = {
    (-1, 0): "w-resize", (1, 0): "e-resize", (0, -1): "n-resize", (0, 1): "s-resize",
    (-1, -1): "nw-resize", (1, -1): "ne-resize", (-1, 1): "sw-resize", (1, 1): "se-resize",
}  # fmt: skip


class FramePicture(Gtk.EventBox):
    """Shows what `show_canvas` was given; ``moved`` is called with the sides whenever the mouse changes them."""

    def __init__(self, moved: Callable[[Extend], None]) -> None:
        super().__init__(halign=Gtk.Align.CENTER)
        named(self, "extend_frame")
        self._moved = moved
        self._picture: Any = None
        self._size: Tuple[int, int] = (0, 0)
        self._sides = Extend()
        self._held: Optional[Tuple[Frame, Tuple[int, int]]] = None  # while the mouse has an edge: its scale stays
        self._image = Gtk.Image()
        self.add(self._image)
        self.add_events(Gdk.EventMask.POINTER_MOTION_MASK | Gdk.EventMask.BUTTON_RELEASE_MASK)
        self.connect("button-press-event", self._press)
        self.connect("motion-notify-event", self._move)
        self.connect("button-release-event", self._release)

    def show_canvas(self, picture: Any, width: int, height: int) -> None:
        """A small pixbuf of a canvas of that size; 0 × 0: there is none."""
        self._picture, self._size, self._held = picture, (width, height), None
        self._draw()

    def show_sides(self, sides: Extend) -> None:
        if sides != self._sides:
            self._sides = sides
            self._draw()

    def frame(self) -> Optional[Frame]:
        """As it is drawn; None without a canvas."""
        if self._held is not None:
            return self._held[0]
        return Frame.fitted(*self._size, self._sides, WIDE, HIGH) if min(self._size) > 0 else None

    # ---- the mouse ----
    def _press(self, _widget: Any, event: Any) -> bool:
        frame = self.frame()
        if frame is not None and event.button == 1:
            grip = frame.grip(event.x, event.y)
            self._held = (frame, grip) if grip != NONE else None
        return True

    def _move(self, _widget: Any, event: Any) -> bool:
        if self._held is not None:
            held, grip = self._held
            held = held.dragged(grip, event.x, event.y)
            self._held, self._sides = (held, grip), held.sides
            self._moved(held.sides)
            self._draw()
            return True
        frame = self.frame()
        name = CURSORS.get(frame.grip(event.x, event.y) if frame is not None else NONE, "default")
        self.get_window().set_cursor(Gdk.Cursor.new_from_name(self.get_display(), name))
        return True

    def _release(self, *_: Any) -> bool:
        self._held = None
        self._draw()
        return True

    # ---- what it shows ----
    def _draw(self) -> None:
        frame = self.frame()
        if frame is None:
            self._image.clear()
            return
        made = GdkPixbuf.Pixbuf.new(GdkPixbuf.Colorspace.RGB, True, 8, WIDE, HIGH)
        made.fill(BACK)
        x, y, width, height = (round(value) for value in frame.outer)
        _fill(made, x - 1, y - 1, width + 2, height + 2, EDGE)
        _fill(made, x + 1, y + 1, width - 2, height - 2, NEW)
        x, y, width, height = (max(1, round(value)) for value in frame.canvas)
        if self._picture is not None:
            part = self._picture.scale_simple(width, height, GdkPixbuf.InterpType.BILINEAR)
            width, height = min(width, WIDE - x), min(height, HIGH - y)
            if width > 0 and height > 0:
                part.composite(made, x, y, width, height, x, y, 1, 1, GdkPixbuf.InterpType.NEAREST, 255)
        else:
            _fill(made, x, y, width, height, EDGE)
        self._image.set_from_pixbuf(made)


def _fill(picture: Any, x: int, y: int, width: int, height: int, colour: int) -> None:
    """The part of the rectangle that lies inside."""
    left, top = max(0, x), max(0, y)
    width, height = min(picture.get_width(), x + width) - left, min(picture.get_height(), y + height) - top
    if width > 0 and height > 0:
        picture.new_subpixbuf(left, top, width, height).fill(colour)
