"""Extending a picture, tiles, and learning a picture first, by the docker."""

from __future__ import annotations

import numpy as np
import pytest

from tests.driven import LONG

from .desk import Desk, sized


def extend(desk: Desk, **sides: int) -> None:
    for side in ("left", "top", "right", "bottom"):
        desk.host.run(f"dock().fields['extend_' + {side!r}].setValue({sides.get(side, 0)})")
    desk.host.run("dock().pages.setCurrentIndex(1)\ndock().extend_page.button.click()")


@pytest.mark.essential
@pytest.mark.parametrize("sides", [{"right": 48}, {"left": 32, "bottom": 24}], ids=lambda sides: " ".join(sides))
def test_extending_keeps_the_original_and_takes_two_undos(desk: Desk, sides: dict[str, int]) -> None:
    document = desk.new(160, 120)
    desk.choose()
    before, tree = desk.pixels(document), desk.tree(document)
    extend(desk, **sides)
    assert desk.wait_end().startswith("Done")
    larger = sized(desk, document)
    left, top = sides.get("left", 0), sides.get("top", 0)
    assert (larger.width, larger.height) == (160 + left + sides.get("right", 0), 120 + top + sides.get("bottom", 0))
    after = desk.pixels(larger)
    assert np.array_equal(after[top : top + 120, left : left + 160], before)
    new = np.ones((larger.height, larger.width), bool)
    new[top : top + 120, left : left + 160] = False
    assert (after[new][:, 3] == 255).all()
    assert len(np.unique(after[new][:, :3], axis=0)) > 20
    desk.screenshot("extended")
    assert desk.names(larger) == ["Background", "RePaint test/gaussian · seed 1234"]
    desk.undo()
    assert desk.tree(larger) == tree
    assert sized(desk, document) == larger
    desk.undo()
    assert sized(desk, document) == document
    assert np.array_equal(desk.pixels(document), before)


def test_undo_while_extending_cancels_then_takes_the_canvas_back(desk: Desk) -> None:
    document = desk.new(160, 120)
    desk.choose("test/gaussian-slow", LONG)
    before = desk.pixels(document)
    extend(desk, top=40)
    desk.wait_preview()
    desk.undo()
    assert "preview layer is gone" in desk.wait_end()
    desk.wait_bridge("the worker is idle", lambda status: not status.running)
    assert sized(desk, document).height == 160
    desk.undo()
    assert sized(desk, document) == document
    assert np.array_equal(desk.pixels(document), before)


@pytest.mark.essential
def test_a_cancelled_extension_takes_the_canvas_back(desk: Desk) -> None:
    document = desk.new(160, 120)
    desk.choose("test/gaussian-slow", LONG)
    before, tree = desk.pixels(document), desk.tree(document)
    extend(desk, right=40, bottom=16)
    desk.wait_preview()
    desk.click("cancel_button")
    assert desk.wait_end() == "Cancelled."
    assert desk.host.run("app.action('edit_undo').text()").strip() == "Undo", "nothing to undo is left behind"
    assert sized(desk, document) == document
    assert desk.tree(document) == tree
    assert np.array_equal(desk.pixels(document), before)


@pytest.mark.essential
def test_a_frame_is_dragged_by_the_mouse(desk: Desk) -> None:
    document = desk.new(160, 120)
    desk.choose()
    extend(desk)
    assert "how many pixels" in desk.wait_end()
    desk.host.run("frame = dock().extend_page.frame\ndock().area.ensureWidgetVisible(frame)")

    def edge(across: float, down: float) -> list[float]:
        """Where that place of the frame lies on the screen; 0 … 1 each way."""
        return desk.host.run(
            f"x, y, w, h = frame.frame().outer\n"
            f"p = frame.mapToGlobal(QtCore.QPoint(round(x + {across} * w), round(y + {down} * h)))\n[p.x(), p.y()]"
        )

    desk.screenshot("frame")
    x, y = edge(1.0, 0.5)
    desk.host.drag(x, y, x + 20, y)
    right = desk.host.wait("(lambda v: v >= 32 and v)(dock().fields['extend_right'].value())", what="it grows")
    desk.host.wait("frame._held is None", what="the mouse has let go")
    assert right % 8 == 0
    assert desk.host.run("[dock().fields['extend_' + s].value() for s in ('left', 'top', 'bottom')]") == [0, 0, 0]
    x, y = edge(0.5, 0.0)
    desk.host.drag(x, y, x, y - 12)
    desk.host.wait("dock().fields['extend_top'].value() >= 16 and frame._held is None")
    x, y = edge(0.5, 0.0)
    desk.host.drag(x, y, x, y + 60)
    desk.host.wait("dock().fields['extend_top'].value() == 0 and frame._held is None")
    right = desk.host.run("dock().fields['extend_right'].value()")
    desk.screenshot("frame-dragged")
    desk.host.run("dock().extend_page.button.click()")
    assert desk.wait_end().startswith("Done")
    assert sized(desk, document).width == 160 + right


def test_extending_by_nothing_is_refused(desk: Desk) -> None:
    document = desk.new(160, 120)
    desk.choose()
    extend(desk)
    assert "how many pixels" in desk.wait_end()
    assert sized(desk, document) == document


@pytest.mark.essential
@pytest.mark.parametrize("axis", ["both", "x"])
def test_a_tile_is_a_layer_along_the_borders(desk: Desk, axis: str) -> None:
    document = desk.new(160, 120)
    desk.choose()
    before = desk.pixels(document)
    desk.host.run(f"""
dock().pages.setCurrentIndex(2)
dock().fields['tile_axis'].setCurrentIndex(dock().fields['tile_axis'].findData({axis!r}))
dock().fields['tile_band'].setValue(32)
dock().tile_page.button.click()
""")
    assert desk.wait_end().startswith("Done")
    desk.screenshot("tile")
    after = desk.pixels(document)
    inner = (slice(16, -16) if axis == "both" else slice(None), slice(16, -16))
    assert np.array_equal(after[inner], before[inner])
    changed = (after != before).any(axis=2)
    changed[inner] = True
    assert changed.mean() > 0.95
    assert desk.host.run("dock().tile_page.preview.pixmap().width()") == 2 * 90
    desk.undo()
    assert np.array_equal(desk.pixels(document), before)


def test_learning_first_is_shown(desk: Desk) -> None:
    desk.new(160, 120)
    desk.choose("texture")
    desk.host.run("""
heard = []
driver.watchers["learning"] = lambda: flow.learning > 0 and heard.append(flow.learning)
dock().fields['learn'].setValue(5)
dock().fields['steps'].setValue(10)
""")
    extend(desk, right=16)
    desk.host.wait("flow.phase == 'running' and flow.run.variants[0].call > 0", seconds=120, what="it paints")
    found = desk.host.run("driver.watchers.clear()\nheard")
    desk.host.run(
        "from bridge_server.client.editor.fields import defaults\npump.cancel()\ndock().panel.show_values(defaults())"
    )
    assert desk.wait_end() == "Cancelled."
    assert found == sorted(found)
    assert len(found) > 2
    assert 0 < found[0] <= found[-1] <= 1
