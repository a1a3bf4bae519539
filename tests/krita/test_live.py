"""Live in a real Krita: the mouse draws selections and clicks nothing else; and what it costs at rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.desk import photograph
from tests.driven import LONG

from .desk import Desk, Document


def switch(desk: Desk, on: bool) -> None:
    if bool(desk.host.run("dock().live.on.isChecked()")) != on:
        desk.click("live.on")
        desk.host.wait(f"dock().live.on.isChecked() == {on}")
    if on:
        desk.host.wait(
            "dock().live.shared._document == (flow.host.selected() or [None])[0]",
            what="it has looked at this picture: what is selected already is no news",
        )


def lasso(desk: Desk, x: float, y: float, side: float) -> None:
    """With the freehand selection tool, around a place of the canvas widget, in its pixels from the middle."""
    cx, cy = desk.host.run("center(canvas())")
    points = [(x + side * np.cos(a), y + side * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 9)]
    words: list[object] = ["mousemove", round(cx + points[0][0]), round(cy + points[0][1]), "sleep", "0.1"]
    words += ["mousedown", 1]
    for px, py in points:
        words += ["mousemove", round(cx + px), round(cy + py), "sleep", "0.02"]
    desk.host.xdo(*words, "sleep", "0.05", "mouseup", 1)


def lassos(desk: Desk, document: Document, places: list[tuple[float, float]], side: float) -> list[float]:
    """A fill for each, with nothing else clicked; the seconds from the mouse's release to the final picture."""
    switch(desk, True)
    desk.host.run("app.action('KisToolSelectOutline').trigger()\napp.activeWindow().qwindow().raise_()")
    times = []
    for number, (x, y) in enumerate(places):
        lasso(desk, x, y, side)
        began = desk.host.run("time.monotonic()")
        desk.host.wait(
            f"len(flow.runs) == {number + 1} and not flow.busy and not flow.has_steps "
            f"and {document.code}.selection() is None",
            seconds=60,
            what=f"fill {number + 1} is there and its selection gone",
        )
        times.append(desk.host.run("flow.runs[-1].clicked + flow.runs[-1].timings['ended']") - began)
    print("release to final picture:", [round(each, 2) for each in times], "s")
    switch(desk, False)
    return times


@pytest.mark.essential
def test_ten_in_a_row_need_no_click_but_the_lasso_and_ten_undos(desk: Desk, tmp_path: Path) -> None:
    document = desk.open(photograph(tmp_path / "portrait.png", 1200, 900))
    desk.choose("test/gaussian", seed=7)
    before = desk.pixels(document)
    lassos(desk, document, [(60 * (number % 5) - 120, 80 * (number // 5) - 40) for number in range(10)], 12)
    desk.screenshot("live")
    assert len(desk.names(document)) == 11
    after = desk.pixels(document)
    assert (after != before).any()
    for left in range(10, 0, -1):
        desk.host.run("app.activeWindow().qwindow().activateWindow()")
        desk.host.keys("ctrl+z")
        desk.host.wait(f"len(tree({document.code})) == {left}", what="one Ctrl+Z takes one fill away")
    assert desk.host.run(f"{document.code}.selection() is None")
    assert np.array_equal(desk.pixels(document), before)
    assert desk.host.run("app.action('edit_undo').text()").strip() == "Undo", "nothing else is left to undo"
    for count in range(2, 12):
        desk.redo()
        assert len(desk.names(document)) == count
    assert np.array_equal(desk.pixels(document), after)


def test_a_cancel_selects_again(desk: Desk, tmp_path: Path) -> None:
    """What Live has deselected; and it is not filled again."""
    document = desk.open(photograph(tmp_path / "portrait.png", 1200, 900))
    desk.choose("test/gaussian-slow", LONG, seed=7)
    switch(desk, True)
    desk.host.run("app.action('KisToolSelectOutline').trigger()\napp.activeWindow().qwindow().raise_()")
    lasso(desk, 40, 30, 14)
    desk.wait_preview()
    wanted = desk.host.run("sum(flow.run.capture.selection)")
    assert desk.host.run(f"{document.code}.selection() is None")
    desk.click("cancel_button")
    assert desk.wait_end() == "Cancelled."
    desk.settle()
    assert not desk.host.run("flow.busy"), "it is not filled again"
    x, y, width, height = desk.host.run(f"s = {document.code}.selection()\n[s.x(), s.y(), s.width(), s.height()]")
    assert desk.host.run(f"sum(bytes(s.pixelData({x}, {y}, {width}, {height})))") == wanted
    switch(desk, False)


def test_a_look_costs_next_to_nothing(desk: Desk) -> None:
    """Ten of them a second, with all that is around them, in processor time of Krita's own process."""
    document = desk.new(400, 300)
    desk.select(document, 100, 100, 40, 40)
    switch(desk, True)
    desk.settle()
    cost = desk.host.run("""
begun = time.process_time()
for _ in range(200): pump.do("live", dock().live.shared._look)
(time.process_time() - begun) / 200
""")
    print(f"a look: {1e6 * cost:.0f} µs, so {1000 * cost:.2f} % of a core")
    switch(desk, False)
    assert 10 * cost < 0.01


def test_the_whole_picture_is_asked_for(desk: Desk) -> None:
    document = desk.new(200, 150)
    switch(desk, True)
    desk.host.run("""
asked = []
def answer():
    box = next((w for w in QtWidgets.QApplication.topLevelWidgets() if isinstance(w, QtWidgets.QMessageBox)), None)
    if box is not None and box.isVisible():
        asked.append(box.text())
        box.button(box.StandardButton.No if hasattr(box, "StandardButton") else box.No).click()
driver.watchers["answer"] = answer
""")
    desk.select(document, 0, 0, 200, 150)
    desk.host.wait("asked", what="it asks")
    desk.settle()
    asked = desk.host.run("driver.watchers.clear()\nasked")
    assert asked == ["The selection holds half of the picture or more. Fill it?"]
    assert not desk.host.run("flow.runs")
    switch(desk, False)
