"""The frame around the canvas: fits its widget, its edges are found where they are drawn and follow the pointer."""

from __future__ import annotations

import pytest

from bridge_server.client.editor.frame import MOST, Frame
from bridge_server.client.editor.model import Extend


@pytest.mark.parametrize("canvas", [(512, 384), (40, 3000), (8192, 16)])
@pytest.mark.parametrize("sides", [Extend(), Extend(right=128), Extend(300, 20, 0, 4096)])
def test_all_of_it_lies_in_the_widget_with_room_to_drag(canvas: tuple[int, int], sides: Extend) -> None:
    frame = Frame.fitted(*canvas, sides, 220, 160)
    left, top, across, down = frame.outer
    assert left >= 0
    assert top >= 0
    assert left + across <= 220
    assert top + down <= 160
    x, y, wide, high = frame.canvas
    assert (x - left) / frame.scale == pytest.approx(sides.left, abs=1e-6)
    assert (top + down - y - high) / frame.scale == pytest.approx(sides.bottom, abs=1e-6)
    assert wide / high == pytest.approx(canvas[0] / canvas[1])


def test_an_edge_is_taken_where_it_is_and_follows() -> None:
    frame = Frame.fitted(400, 300, Extend(), 200, 200)
    left, top, across, down = frame.outer
    assert frame.grip(left + across, top + down / 2) == (1, 0)
    assert frame.grip(left - 3, top + 2) == (-1, -1)
    assert frame.grip(left + across / 2, top + down / 2) == (0, 0)
    assert frame.grip(0, 0) == (0, 0)
    wider = frame.dragged((1, 0), left + across + 100 * frame.scale, 0)
    assert wider.sides == Extend(right=104) or wider.sides == Extend(right=96)
    assert wider.scale == frame.scale, "nothing jumps under the pointer"
    corner = frame.dragged((-1, -1), left - 50 * frame.scale, top - 1e9)
    assert corner.sides == Extend(left=48, top=MOST)
    assert corner.dragged((-1, -1), left + 40, top + 40).sides == Extend()
    assert corner.grip(*corner.outer[:2]) == (-1, -1)
