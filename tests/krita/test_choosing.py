"""Choosing with figures in a real Krita, by mouse: the best one, the order, a favourite, a search, the split view."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.desk import photograph

from .desk import Desk

TEXTS = "[dock().gallery.item(k).text() for k in range(dock().gallery.count())]"


@pytest.mark.essential
def test_choosing_with_figures(desk: Desk, tmp_path: Path) -> None:
    document = desk.open(photograph(tmp_path / "photograph.png", 500, 400))
    desk.choose("test/gaussian", seed=7, variants=3)
    desk.select(document, 200, 150, 90, 70)
    assert desk.repaint(180).startswith("Done")
    found = desk.host.run("[vars(v.figures) for v in flow.runs[-1].variants]")
    discords = [sum(abs(math.log(each[name])) for name in ("seam", "grain") if each[name]) for each in found]
    assert all(each["seam"] > 0 and 0 <= each["new"] <= 1 for each in found)
    best = discords.index(min(discords))
    assert desk.host.run("flow.selected[1]") == best
    assert desk.host.run("flow.runs[-1].shown") == best
    texts = desk.host.run(TEXTS)
    assert [text.lstrip("✓ ")[0] for text in texts] == ["1", "2", "3"]
    assert texts[best].startswith("✓")
    assert "Edge " in desk.host.run("dock().gallery.item(0).toolTip()")

    desk.host.run("dock().choosing.order.setCurrentIndex(1)")
    order = sorted(range(3), key=lambda k: discords[k])
    assert [text.lstrip("✓ ")[0] for text in desk.host.run(TEXTS)] == [str(k + 1) for k in order]

    desk.click("favourite")
    desk.host.wait(f"{TEXTS}[0].startswith('★')", what="the best one is a favourite")
    desk.click("choosing.only")
    desk.host.wait("dock().gallery.count() == 1")
    desk.click("choosing.only")
    desk.host.wait("dock().gallery.count() == 3")
    for words, count in (("gauss 90x70", 3), (">90", 0), (">80", 3), ("2020-01", 0), ("8", 1)):
        desk.host.run(f"dock().choosing.search.setText({words!r})")
        assert desk.host.run("dock().gallery.count()") == count, words
    desk.host.run("dock().choosing.search.setText('')")

    desk.click("split")
    desk.host.wait("dock().split_view.isVisible()")
    desk.host.run("dock().gallery.setCurrentRow(1)\ndock().gallery.show_item(dock().gallery.item(1))")
    desk.host.wait("len(dock().split_view.bars.places) == 2 and not flow.has_steps", what="original, A and B")
    desk.host.run("dock().area.ensureWidgetVisible(dock().split_view)")
    x, y = desk.host.at_rest("center(dock().split_view)", "split view")
    before = desk.host.run("dock().split_view.bars.places")
    width = desk.host.run("dock().split_view._frame().width()")
    desk.screenshot("split")
    desk.host.drag(x + (before[1] - 0.5) * width, y, x + 0.4 * width, y)
    after = desk.host.run("dock().split_view.bars.places")
    assert after[0] == before[0]
    assert after[1] == pytest.approx(0.9, abs=0.03)
    desk.screenshot("split-dragged")
    desk.click("split")
    desk.click("favourite")


@pytest.mark.essential
def test_the_split_view_in_the_layer(desk: Desk, tmp_path: Path) -> None:
    """By the mouse: columns of the original, A and B in the picture itself; B again when it is off; no undo step."""
    document = desk.open(photograph(tmp_path / "photograph.png", 500, 400))
    desk.choose("test/gaussian", seed=7, variants=2)
    desk.select(document, 200, 150, 90, 70)
    original = desk.pixels(document)
    assert desk.repaint(180).startswith("Done")
    desk.click("split")
    desk.host.run("dock().gallery.setCurrentRow(0)\ndock().gallery.show_item(dock().gallery.item(0))")
    desk.host.wait(f"{TEXTS}[0].startswith('✓') and not flow.has_steps")
    first = desk.pixels(document)
    desk.host.run("dock().gallery.setCurrentRow(1)\ndock().gallery.show_item(dock().gallery.item(1))")
    desk.host.wait("len(dock().split_view.bars.places) == 2 and not flow.has_steps", what="original, A and B")
    second, name = desk.pixels(document), desk.names(document)[-1]
    assert (first != second).any()
    undo = "app.action('edit_undo').text()"
    step = desk.host.run(undo)
    desk.host.run("dock().area.ensureWidgetVisible(dock().in_layer)")
    desk.click("in_layer")
    desk.host.wait("'RePaint split view' in [n[0] for n in tree(app.activeDocument())]")
    assert set(columns(desk.pixels(document), original, first, second)) == {"original", "A", "B", "bar"}
    assert (outside(desk.pixels(document)) == outside(original)).all()
    desk.screenshot("split-in-layer")

    desk.host.run("dock().area.ensureWidgetVisible(dock().split_view)")
    x, y = desk.host.at_rest("center(dock().split_view)", "split view")
    places, width = desk.host.run("[dock().split_view.bars.places, dock().split_view._frame().width()]")
    desk.host.drag(x + (places[0] - 0.5) * width, y, x - 0.45 * width, y)
    desk.host.wait("dock().split_view.bars.places[0] < 0.1 and not flow.has_steps")
    assert set(columns(desk.pixels(document), original, first, second)) == {"A", "B", "bar"}
    desk.host.drag(x + (places[1] - 0.5) * width, y, x + 0.45 * width, y)
    desk.host.wait("dock().split_view.bars.places[1] > 0.9 and not flow.has_steps")
    assert np.array_equal(desk.pixels(document), first)

    desk.host.run("dock().area.ensureWidgetVisible(dock().in_layer)")
    desk.click("in_layer")
    desk.host.wait(f"{name!r} in [n[0] for n in tree(app.activeDocument())] and not flow.has_steps")
    assert np.array_equal(desk.pixels(document), second)
    assert desk.host.run(undo) == step, "nothing of it is an undo step"
    desk.click("in_layer")
    desk.host.wait("'RePaint split view' in [n[0] for n in tree(app.activeDocument())] and not flow.has_steps")
    desk.click("apply")
    desk.host.wait(f"{name!r} in [n[0] for n in tree(app.activeDocument())] and not flow.has_steps")
    assert np.array_equal(desk.pixels(document), second)
    desk.host.run("dock().in_layer.setChecked(False)")
    desk.click("split")


@pytest.mark.essential
def test_a_saved_file_has_the_picture_and_not_the_split_view(desk: Desk, tmp_path: Path) -> None:
    """Saved by its key, by the mouse on its entry in the menu, and by a script, of which Krita tells afterwards."""
    document = desk.open(photograph(tmp_path / "photograph.png", 500, 400))
    path = desk.host.lend(photograph(tmp_path / "other.png", 8, 8)).with_name("saved.kra")
    assert desk.host.run(f"app.setBatchmode(True)\n{document.code}.saveAs({str(path)!r})")
    desk.choose("test/gaussian", seed=7, variants=2)
    desk.select(document, 200, 150, 90, 70)
    assert desk.repaint(180).startswith("Done")
    desk.click("split")
    whole = desk.pixels(document)
    shown = "'RePaint split view' in [n[0] for n in tree(app.activeDocument())] and not flow.has_steps"

    def in_layer() -> None:
        desk.host.run("dock().area.ensureWidgetVisible(dock().in_layer)\ndock().in_layer.setChecked(True)")
        desk.host.wait(shown)
        assert (desk.pixels(document) != whole).any()

    def saved() -> np.ndarray:
        """What the file shows, once it is written: B, G, R, A as `Desk.pixels`."""
        desk.host.wait(f"not {document.code}.modified()", what="it is saved")
        with zipfile.ZipFile(path) as file:
            merged = np.frombuffer(file.read("mergedimage.png"), np.uint8)
        return cv2.imdecode(merged, cv2.IMREAD_UNCHANGED)

    in_layer()
    desk.host.run("app.activeWindow().qwindow().activateWindow()\ncanvas().setFocus()")
    desk.host.keys("ctrl+s")
    desk.host.wait("not dock().in_layer.isChecked()", what="it is switched off")
    assert np.array_equal(saved()[..., :3], whole[..., :3])
    assert np.array_equal(desk.pixels(document), whole)

    in_layer()
    desk.host.run(f"{document.code}.setModified(True)")
    desk.host.run(
        "menu = app.activeWindow().qwindow().menuBar().actions()[0]\n"
        "app.activeWindow().qwindow().menuBar().setActiveAction(menu)"
    )
    place = desk.host.run(
        "m = menu.menu()\nr = m.actionGeometry(app.action('file_save'))\np = m.mapToGlobal(r.center())\n[p.x(), p.y()]"
    )
    desk.host.click(*place)
    desk.host.wait("not dock().in_layer.isChecked()", what="it is switched off")
    assert np.array_equal(saved()[..., :3], whole[..., :3])

    in_layer()
    desk.host.run(f"{document.code}.save()")
    desk.host.wait("not dock().in_layer.isChecked()", what="the save is heard of")
    assert "save once more" in desk.status()
    assert np.array_equal(desk.pixels(document), whole)
    desk.host.run("app.setBatchmode(False)")
    desk.click("split")


def outside(pixels: np.ndarray) -> np.ndarray:
    return np.concatenate(
        (pixels[:150].ravel(), pixels[220:].ravel(), pixels[:, :200].ravel(), pixels[:, 290:].ravel())
    )


def columns(pixels: np.ndarray, original: np.ndarray, first: np.ndarray, second: np.ndarray) -> list[str]:
    """What each column of the selection shows."""
    known = {"original": original, "A": first, "B": second}
    found = []
    for x in range(200, 290):
        same = [name for name, each in known.items() if np.array_equal(pixels[150:220, x], each[150:220, x])]
        found.append(same[0] if same else "bar")
    return found


def test_the_tip_of_a_picture_of_an_earlier_time_has_its_figures(desk: Desk) -> None:
    """They lie in the bridge's journal, beside the picture."""
    document = desk.new(160, 120)
    desk.choose("test/gaussian", seed=7)
    desk.select(document, 40, 30, 40, 32)
    assert desk.repaint().startswith("Done")
    told = desk.host.run("vars(flow.runs[-1].variants[0].figures)")
    desk.host.run("flow.runs[-1].variants[0].picture = None\nflow.runs[-1].variants[0].figures = None")
    desk.host.run("pump.choose(flow.runs[-1], 0)")
    desk.host.wait("flow.runs[-1].variants[0].figures is not None", what="the picture is fetched")
    assert desk.host.run("vars(flow.runs[-1].variants[0].figures)") == told
