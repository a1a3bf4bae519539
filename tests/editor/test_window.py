"""The third editor's window, driven by mouse and keys, with the real bridge and the real engine behind it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.bridge.home import PATIENCE, ROOT, Home

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
QtTest = pytest.importorskip("PyQt6.QtTest", reason="this system lacks libraries of Qt", exc_type=ImportError)
from PyQt6.QtCore import QPoint, Qt  # noqa: E402
from PyQt6.QtGui import QImage  # noqa: E402
from PyQt6.QtWidgets import QApplication, QWidget  # noqa: E402

from tests.editor.window import Window  # noqa: E402

WIDTH, HEIGHT = 240, 180
HALF_OF_GIMPS = 815
"""Lines. GIMP's window had 1630 when it drew everything itself."""
MODEL = "test/gaussian"
LEFT = Qt.MouseButton.LeftButton
PLACE = (60, 40, 120, 100)  # of the selection: left, top, right, bottom


class Desk:
    def __init__(self, folder: Path, application: QApplication) -> None:
        self.folder, self.application = folder, application
        self.before = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
        self.before[..., 3] = 255
        Image.fromarray(self.before).save(folder / "picture.png")
        self.window = Window(folder)
        self.window.show()
        self.body = self.window.body
        self.flow = self.window.pump.flow

    def until(self, condition: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"in vain: {what}; {self.body.status.text()}"
            self.application.processEvents()
            time.sleep(0.005)

    # ---- mouse and keys ----
    def click(self, widget: Any, place: QPoint | None = None) -> None:
        middle = widget.rect().center() if place is None else place

        def there() -> tuple[QWidget, QPoint] | None:
            """What the mouse meets, once all is laid out; None: something else, or nothing that can be clicked."""
            self.body.area.ensureWidgetVisible(widget)
            point = widget.mapTo(self.window, middle)
            found = self.window.childAt(point)
            ours = found is widget or (found is not None and widget.isAncestorOf(found))
            return (found, found.mapFrom(self.window, point)) if ours and widget.isEnabled() else None

        self.until(there, f"{widget.objectName()} can be clicked")
        found, point = there() or (widget, middle)
        QtTest.QTest.mouseClick(found, LEFT, pos=point)

    def type(self, widget: Any, text: str) -> None:
        widget.setFocus()
        widget.selectAll()
        QtTest.QTest.keyClicks(widget, text)
        QtTest.QTest.keyClick(widget, Qt.Key.Key_Tab)

    def pick(self, box: Any, value: str) -> None:
        """With the keys, as the list that pops up is a window of its own."""
        self.until(lambda: box.findData(value) >= 0, f"{value} can be chosen")
        box.setFocus()
        QtTest.QTest.keyClick(box, Qt.Key.Key_Home)
        while box.currentData() != value:
            before = box.currentIndex()
            QtTest.QTest.keyClick(box, Qt.Key.Key_Down)
            assert box.currentIndex() > before

    def select(self, left: int, top: int, right: int, bottom: int) -> None:
        canvas = self.window.canvas
        QtTest.QTest.mousePress(canvas, LEFT, pos=QPoint(left, top))
        QtTest.QTest.mouseMove(canvas, QPoint(right - 1, bottom - 1))
        QtTest.QTest.mouseRelease(canvas, LEFT, pos=QPoint(right - 1, bottom - 1))

    def end(self) -> None:
        self.until(lambda: not self.flow.busy and not self.flow.has_steps, "the run ends")
        assert self.body.status.text().startswith("Done"), self.body.status.text()

    # ---- what is there ----
    def layers(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("[0-9]*.png"))

    def pixels(self, name: str) -> np.ndarray:
        return np.array(Image.open(self.folder / name))

    def seen(self) -> np.ndarray:
        """What the canvas shows."""
        self.window.canvas.look()
        picture = self.window.canvas.pixmap().toImage().convertToFormat(QImage.Format.Format_RGBA8888)
        data = picture.constBits().asstring(picture.sizeInBytes())
        return np.frombuffer(data, np.uint8).reshape(HEIGHT, WIDTH, 4)

    def screenshot(self, name: str) -> None:
        if os.environ.get("REPAINT_BRIDGE_SHOTS"):
            QtTest.QTest.qWait(500)  # for what is laid out later
            self.window.grab().save(os.environ["REPAINT_BRIDGE_SHOTS"] + f"/third-{name}.png")


@pytest.fixture
def desk(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    del home
    raised: list[Any] = []
    monkeypatch.setattr(sys, "excepthook", lambda *error: raised.append(error))  # of what Qt calls
    application = QApplication.instance() or QApplication(["test"])
    assert isinstance(application, QApplication)
    one = Desk(tmp_path, application)
    yield one
    one.window.close()
    assert raised == []


def test_a_selection_is_filled_and_a_variant_chosen(desk: Desk) -> None:
    left, top, right, bottom = PLACE
    desk.select(*PLACE)
    marks = np.zeros((HEIGHT, WIDTH), bool)
    marks[top:bottom, left:right] = True
    assert np.array_equal(desk.pixels("selection.png") == 255, marks)
    desk.pick(desk.body.fields["model"], MODEL)
    desk.type(desk.body.fields["variants"].lineEdit(), "3")
    desk.type(desk.body.fields["seed"], "7")
    desk.click(desk.body.fields["lock_seed"])
    desk.click(desk.body.button)
    desk.until(lambda: desk.flow.busy, "the run begins")
    desk.end()
    gallery = desk.body.gallery
    assert gallery.count() == 3
    desk.screenshot("filled")
    [layer] = desk.layers()
    filled = desk.pixels(layer)
    assert np.array_equal(filled[..., 3] > 0, marks)
    shown = desk.seen()
    assert np.array_equal(shown[~marks], desk.before[~marks])
    assert np.array_equal(shown[marks], filled[marks])
    seeds = {7, 8, 9}
    assert {each.seed for each in desk.flow.runs[0].variants} == seeds
    others = [place for place in range(3) if place != gallery.currentRow()]
    for place in others:
        desk.click(gallery.viewport(), gallery.visualItemRect(gallery.item(place)).center())
        desk.until(lambda place=place: gallery.currentRow() == place and not desk.flow.has_steps, "it is in the layer")
        [layer] = desk.layers()
        assert f"seed {desk.body.gallery.chosen().variant.seed}" in layer
        assert not np.array_equal(desk.pixels(layer), filled)
    desk.click(desk.body.split)
    desk.until(lambda: desk.body.split_view.isVisible(), "two pictures beside each other")
    desk.click(desk.body.in_layer)
    desk.until(lambda: desk.body.in_layer.is_on() and not desk.flow.has_steps, "both in the layer")
    desk.screenshot("split")
    desk.click(desk.body.in_layer)
    desk.click(desk.body.apply)
    desk.until(lambda: not desk.flow.has_steps, "it is applied")


def test_the_canvas_grows_and_a_run_can_be_cancelled(desk: Desk) -> None:
    desk.pick(desk.body.fields["model"], "test/gaussian-slow")
    desk.click(desk.body.pages.findChildren(QWidget)[1])
    page = desk.body.extend_page
    desk.until(page.isVisible, "the page")
    desk.type(desk.body.fields["extend_right"].lineEdit(), "64")
    desk.until(lambda: page.frame.isVisible(), "the canvas in its frame")
    desk.screenshot("extend")
    desk.click(page.button)
    desk.until(lambda: desk.flow.run is not None and "first_preview" in desk.flow.run.timings, "a preview")
    assert desk.pixels("picture.png").shape[1] == WIDTH + 64
    assert len(desk.layers()) == 1
    desk.click(desk.body.cancel_button)
    desk.until(lambda: not desk.flow.busy and not desk.flow.has_steps, "the run ends")
    assert (desk.layers(), desk.pixels("picture.png").shape[1]) == ([], WIDTH)


def test_a_document_that_is_opened_is_the_one_in_front(desk: Desk) -> None:
    other = desk.folder / "other.png"
    Image.fromarray(np.full((60, 80, 3), 120, np.uint8)).save(other)
    desk.flow.host.open(other)
    desk.until(lambda: desk.window.canvas.width() == 80, "the canvas shows it")
    desk.select(20, 20, 50, 40)
    desk.pick(desk.body.fields["model"], MODEL)
    desk.click(desk.body.button)
    desk.until(lambda: desk.flow.busy, "the run begins")
    desk.end()
    assert desk.layers() == []
    assert len(list((desk.folder / "other").glob("001 RePaint*.png"))) == 1


def test_bad_input_is_answered_in_the_window(desk: Desk) -> None:
    desk.pick(desk.body.fields["model"], MODEL)
    desk.click(desk.body.button)
    desk.until(lambda: desk.flow.is_error and not desk.flow.busy, "an answer")
    assert "select" in desk.body.status.text().lower()
    assert desk.body.warning.isVisible()
    (desk.folder / "picture.png").unlink()
    desk.click(desk.body.button)
    desk.until(lambda: "select" not in desk.body.status.text().lower(), "another answer")
    assert desk.layers() == []


def test_a_folder_without_a_picture_is_answered_with_a_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.editor.window", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("has no picture.png: put one there.")


def test_an_editors_window_costs_half_of_what_gimps_did() -> None:
    krita, gimp = ROOT / "krita_plugin" / "repaint_krita", ROOT / "gimp_plugin" / "repaint_gimp"
    third = Path(__file__).with_name("window.py")
    for parts in ([third], [krita / "docker.py", krita / "saving.py"], [gimp / "window.py", gimp / "saving.py"]):
        assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in parts) <= HALF_OF_GIMPS
    tree = ast.parse(third.read_text(encoding="utf-8"))
    used = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    of_the_tests = {name for name in used if name is not None and name.startswith("tests")}
    assert of_the_tests == {"tests.editor.files", "tests.editor.folders"}, "nothing of the window lies elsewhere"
