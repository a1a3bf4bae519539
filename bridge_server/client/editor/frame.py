"""A small picture of the canvas inside a frame whose edges can be dragged: how large the canvas is to become."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Tuple

from .model import Extend

MARGIN = 0.35  # room around the frame, as a share of its longer side, to drag into
REACH = 7.0  # widget pixels within which an edge is taken hold of
STEP = 8  # canvas pixels that a side grows by
MOST = 4096  # canvas pixels that may be added on a side
NONE: Tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Frame:
    """``width``, ``height``: of the canvas now; ``sides``: what is to be added; ``wide``, ``high``: of the widget.

    ``scale`` widget pixels are one canvas pixel, and the canvas's corner lies at ``left``, ``top`` of the widget.
    """

    width: int
    height: int
    sides: Extend
    wide: int
    high: int
    scale: float
    left: float
    top: float

    @classmethod
    def fitted(cls, width: int, height: int, sides: Extend, wide: int, high: int) -> Frame:
        """All of the frame and its margin in the middle of the widget."""
        across, down = width + sides.left + sides.right, height + sides.top + sides.bottom
        margin = MARGIN * max(across, down)
        scale = min(wide / (across + 2 * margin), high / (down + 2 * margin))
        left, top = wide / 2 - scale * across / 2, high / 2 - scale * down / 2
        return cls(width, height, sides, wide, high, scale, left + scale * sides.left, top + scale * sides.top)

    @property
    def canvas(self) -> Tuple[float, float, float, float]:
        """x, y, width, height of the canvas in the widget."""
        return self.left, self.top, self.scale * self.width, self.scale * self.height

    @property
    def outer(self) -> Tuple[float, float, float, float]:
        """x, y, width, height of the frame in the widget."""
        sides = self.sides
        across, down = self.width + sides.left + sides.right, self.height + sides.top + sides.bottom
        left, top = self.left - self.scale * sides.left, self.top - self.scale * sides.top
        return left, top, self.scale * across, self.scale * down

    def grip(self, x: float, y: float) -> Tuple[int, int]:
        """The edges at that place: −1 left or top, 1 right or bottom, 0 none; both at a corner."""
        left, top, across, down = self.outer
        if not (left - REACH <= x <= left + across + REACH and top - REACH <= y <= top + down + REACH):
            return NONE
        return _near(x, left, left + across), _near(y, top, top + down)

    def dragged(self, grip: Tuple[int, int], x: float, y: float) -> Frame:
        """With the edges of ``grip`` at that place of the widget; the scale stays."""
        sides = self.sides
        if grip[0] < 0:
            sides = replace(sides, left=_added(self.left - x, self.scale))
        elif grip[0] > 0:
            sides = replace(sides, right=_added(x - self.left - self.scale * self.width, self.scale))
        if grip[1] < 0:
            sides = replace(sides, top=_added(self.top - y, self.scale))
        elif grip[1] > 0:
            sides = replace(sides, bottom=_added(y - self.top - self.scale * self.height, self.scale))
        return replace(self, sides=sides)


def _near(place: float, low: float, high: float) -> int:
    if abs(place - low) <= REACH and abs(place - low) <= abs(place - high):
        return -1
    return 1 if abs(place - high) <= REACH else 0


def _added(length: float, scale: float) -> int:
    """Canvas pixels for a length in the widget, a multiple of `STEP`."""
    return min(MOST, max(0, STEP * round(length / scale / STEP)))
