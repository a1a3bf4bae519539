"""All maps at once in a real Krita: chosen by the mouse, painted together, taken back by one Ctrl+Z."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from .desk import Desk, Document

WIDTH, HEIGHT = 200, 160
BOX = (60, 50, 28, 28)  # x, y, width, height
LONG = 240.0  # seconds, on a busy machine
PAINT = """
import random
shades = random.Random(1)
noise = [shades.randrange(100) for _ in range(200 * 160)]
def fill(node, pixel):
    # of a pixel's bytes for each shade
    node.setPixelData(b"".join(map(pixel, noise)), 0, 0, 200, 160)
def beside(document, name, pixel, space=None):
    node = document.createNode(name, "paintlayer")
    if space:
        assert node.setColorSpace(*space, app.profiles(*space)[0])
    fill(node, pixel)
    node.setVisible(False)
    document.rootNode().addChildNode(node, None)
    document.waitForDone()
def colour(shade):
    # B, G, R, A
    return bytes((shade, 50 + shade, 20 + shade, 255))
def height(shade):
    # 16 bits of gray, the green's white is its white
    return (257 * (50 + shade)).to_bytes(2, "little") + bytes((255, 255))
def roughness(shade):
    return bytes((250 - 2 * shade,) * 3 + (255,))
def layer_bytes(document, name, x, y, w, h):
    found = next(n for n in walk(document.rootNode()) if n.name() == name)
    return base64.b64encode(bytes(found.pixelData(x, y, w, h))).decode()
def lines(document):
    return [n.name() for n in walk(document.rootNode()) if n.type() != "selectionmask"]
"""


@pytest.fixture
def document(desk: Desk) -> Iterator[Document]:
    """Noise of 200 × 160 with a selection, and two hidden maps that are linear functions of its green, one of 16 bits;
    and a layer that is none."""
    made = desk.new(WIDTH, HEIGHT)
    desk.host.run(PAINT)
    desk.host.run(f"""
d = {made.code}
fill(d.nodeByName("Background"), colour)
beside(d, "roughness", roughness)
beside(d, "height", height, ("GRAYA", "U16"))
beside(d, "sketch", roughness)
d.waitForDone()
d.refreshProjection()
""")
    desk.activate_layer(made, "Background")
    desk.choose("exemplar", seed=7)
    desk.select(made, *BOX)
    yield made
    switch(desk, False)


def switch(desk: Desk, on: bool) -> None:
    if bool(desk.host.run("dock().maps.on.isChecked()")) != on:
        tick(desk, "maps.on")
        desk.host.wait(f"dock().maps.on.isChecked() == {on}")


def tick(desk: Desk, box: str) -> None:
    """A click on the box itself: beside its text Qt hears none."""
    widget = f"dock().{box}"
    desk.host.run(f"dock().area.ensureWidgetVisible({widget})")
    place = f"(lambda c: c and [{widget}.mapToGlobal({widget}.rect().topLeft()).x() + 8, c[1]])(clickable({widget}))"
    desk.host.click_on(place, box, f"under_mouse({widget})")


def own(desk: Desk, document: Document, map_name: str = "", box: Any = BOX, kind: str = "u1") -> np.ndarray:
    """The new layer's pixels of the newest run, or that of one of its maps."""
    name = desk.host.run("from bridge_server.client.editor.model import layer_name\nrun = flow.runs[-1]\n"
                         "layer_name(run, run.variants[run.shown])")  # fmt: skip
    name += f" · {map_name}" if map_name else ""
    data = base64.b64decode(desk.host.run(f"layer_bytes({document.code}, {name!r}, *{list(box)!r})"))
    return np.frombuffer(data, kind).reshape(box[3], box[2], -1)


def functions_hold(desk: Desk, document: Document, box: Any = BOX) -> None:
    """Each map is the same function of the colour as before, but for the rounding of both."""
    colour = own(desk, document, box=box)[..., 1].astype(float)
    selected = own(desk, document, box=box)[..., 3] == 255
    assert selected.any()
    assert colour[selected].std() > 8, "something has been painted"
    for name, kind, expected, most in (
        ("height", "<u2", 257 * colour, 257 / 2 + 1),
        ("roughness", "u1", 250 - 2 * (colour - 50), 1.5),
    ):
        found = own(desk, document, name, box, kind)[..., 0].astype(float)
        assert (np.abs(found - expected)[selected] <= most).all(), name


@pytest.mark.essential
def test_the_maps_of_a_group_are_painted_together_and_go_with_one_undo(desk: Desk, document: Document) -> None:
    switch(desk, True)
    assert desk.host.run("[[l.tick.text(), l.tick.isChecked(), l.kind.read()] for l in dock().maps.lines]") == [
        ["sketch", False, "values"],
        ["height", True, "values"],
        ["roughness", True, "values"],
    ]
    desk.screenshot("maps")
    tree, before = desk.tree(document), desk.fingerprint(document)
    desk.click("button")
    desk.host.wait("flow.busy")
    assert desk.wait_end(LONG).startswith("Done")
    painted = desk.fingerprint(document)
    names = desk.names(document)
    assert [name.split(" · ")[-1] for name in names] == [
        "Background", "seed 7", "roughness", "roughness", "height", "height", "sketch"
    ]  # fmt: skip
    visible = f"[n.visible() for n in walk({document.code}.rootNode()) if n.name().startswith('RePaint')]"
    assert desk.host.run(visible) == [True, False, False]
    assert desk.host.run(f"{document.code}.activeNode().name()") == "Background"
    functions_hold(desk, document)
    desk.host.run("canvas().setFocus()\napp.activeWindow().qwindow().activateWindow()")
    desk.host.keys("ctrl+z")
    desk.host.wait(f"tree({document.code}) == {tree!r}", what="one Ctrl+Z takes all of them away")
    assert desk.fingerprint(document) == before
    desk.host.keys("ctrl+shift+z")
    desk.host.wait(f"lines({document.code}) == {names!r}", what="one redo brings all of them back")
    assert desk.fingerprint(document) == painted
    functions_hold(desk, document)


def layers_of_the_list(desk: Desk, *names: str) -> None:
    """Selects layers in Krita's list by the mouse: a click, then Ctrl+clicks. The first one is the active layer then:
    before Krita 5.2 the one that was clicked last is, so it is clicked last."""
    if desk.version < (5, 2):
        names = (*names[1:], names[0])
    desk.host.run("""
def line_of(name):
    view = app.activeWindow().qwindow().findChild(QtWidgets.QTreeView, "listLayers")
    for row in range(view.model().rowCount()):
        index = view.model().index(row, 0)
        if index.data() == name:
            view.scrollTo(index)
            found = view.visualRect(index)
            point = view.viewport().mapToGlobal(found.center())
            return [point.x(), point.y()]
""")
    for number, name in enumerate(names):
        if number:
            desk.host.xdo("keydown", "ctrl")
        desk.host.click_on(f"line_of({name!r})", name)
        if number:
            desk.host.xdo("keyup", "ctrl")


def test_layers_that_are_selected_in_kritas_list_stay_chosen(desk: Desk, document: Document) -> None:
    switch(desk, True)
    layers_of_the_list(desk, "Background", "roughness")
    desk.host.wait("len(app.activeWindow().activeView().selectedNodes()) == 2")
    desk.host.wait(f"{document.code}.activeNode().name() == 'Background'", what="which layer is active")
    desk.host.run("dock().maps.look_again()")
    assert desk.host.run("[l.tick.text() for l in dock().maps.lines if l.tick.isChecked()]") == ["height", "roughness"]
    tick(desk, "maps.lines[1].tick")
    desk.host.wait("[w.name for w in dock().panel.map_wishes()] == ['roughness']")
    for number in range(2):
        assert desk.repaint(LONG).startswith("Done")
        assert desk.host.run("[m.name for m in flow.runs[-1].target.maps]") == ["roughness"], number
        desk.undo()
    assert desk.names(document) == ["Background", "roughness", "height", "sketch"]


def test_an_extension_grows_the_canvas_once_and_goes_with_one_undo(desk: Desk, document: Document) -> None:
    switch(desk, True)
    tree, before = desk.tree(document), desk.fingerprint(document)
    desk.host.run("dock().pages.setCurrentIndex(1)")
    for side in ("left", "top", "right", "bottom"):
        desk.host.run(f"dock().fields['extend_{side}'].write({32 if side == 'left' else 0})")
    desk.host.run("dock().extend_page.button.click()")
    assert desk.wait_end(LONG).startswith("Done")
    assert desk.host.run(f"[{document.code}.width(), {document.code}.height()]") == [WIDTH + 32, HEIGHT]
    functions_hold(desk, document, (0, 0, 32, HEIGHT))
    names = desk.names(document)
    desk.undo()
    assert desk.tree(document) == tree
    assert desk.host.run(f"[{document.code}.width(), {document.code}.height()]") == [WIDTH, HEIGHT]
    assert desk.fingerprint(document) == before
    desk.redo()
    assert desk.names(document) == names
    assert desk.host.run(f"{document.code}.width()") == WIDTH + 32
    functions_hold(desk, document, (0, 0, 32, HEIGHT))


def test_a_tile_has_the_same_places_in_all_maps_and_goes_with_one_undo(desk: Desk, document: Document) -> None:
    switch(desk, True)
    tree, before = desk.tree(document), desk.fingerprint(document)
    desk.host.run("dock().pages.setCurrentIndex(2)\ndock().fields['tile_band'].write(32)\n"
                  "dock().tile_page.button.click()")  # fmt: skip
    assert desk.wait_end(LONG).startswith("Done")
    functions_hold(desk, document, (0, 0, WIDTH, HEIGHT))
    assert len(desk.names(document)) == len(tree) + 3
    desk.undo()
    assert desk.tree(document) == tree
    assert desk.fingerprint(document) == before


def test_an_undo_of_something_else_takes_no_map_away(desk: Desk, document: Document) -> None:
    switch(desk, True)
    assert desk.repaint(LONG).startswith("Done")
    tree = desk.tree(document)
    desk.host.run(f"""
d = {document.code}
own = d.createNode("mine", "paintlayer")
d.rootNode().addChildNode(own, None)
d.waitForDone()
""")
    desk.settle()
    desk.undo()
    assert desk.tree(document) == tree, "the artist's own layer, and nothing else"
    desk.redo()
    assert len(desk.tree(document)) == len(tree) + 1
    desk.undo()
    desk.undo()
    assert len(desk.tree(document)) == len(tree) - 3, "now the three of the run"
    desk.redo()
    assert desk.tree(document) == tree
    desk.redo()
    assert len(desk.tree(document)) == len(tree) + 1


def test_a_cancel_takes_all_away_and_leaves_nothing_to_undo(desk: Desk, document: Document) -> None:
    """With an engine that is slow enough: many variants."""
    switch(desk, True)
    desk.host.run(f"{document.code}.setModified(False)")
    stack = "[app.action('edit_undo').text(), __import__('repaint_krita.undo').undo._line()]"
    tree, before = desk.tree(document), desk.host.run(stack)
    desk.choose("exemplar", preset="quality", seed=7, variants=8)
    desk.press()
    desk.host.wait(f"len(tree({document.code})) == {len(tree) + 3}", what="the layers of all maps")
    desk.host.wait("flow.run is not None and flow.run.layer.lead.settled", what="Krita has activated the new layer")
    desk.click("cancel_button")
    desk.host.wait("not flow.busy")
    assert desk.status() == "Cancelled."
    assert desk.tree(document) == tree
    assert desk.host.run(stack) == before


def test_another_variant_brings_its_own_maps(desk: Desk, document: Document) -> None:
    switch(desk, True)
    desk.choose("exemplar", seed=7, variants=2)
    assert desk.repaint(LONG).startswith("Done")
    seen = set()
    for index in (0, 1):
        desk.host.run(f"pump.choose(flow.runs[-1], {index})")
        desk.host.wait(f"not flow.has_steps and flow.runs[-1].series.shown[1] == {index}")
        functions_hold(desk, document)
        seen.add(own(desk, document, "height", kind="<u2").tobytes())
    assert len(seen) == 2
    assert len(desk.names(document)) == 7
    desk.host.run("r = flow.runs[-1]\npump.do('b', lambda: flow.more_variants(r, 1))")
    assert desk.wait_end(LONG).startswith("Done")
    functions_hold(desk, document)
    assert len(desk.names(document)) == 7, "in the same layers"


def test_what_does_not_fit_is_one_sentence_and_changes_nothing(desk: Desk, document: Document) -> None:
    switch(desk, True)
    desk.host.run(f"{document.code}.nodeByName('height').cropNode(0, 0, 150, 160)\n{document.code}.waitForDone()")
    tree, before = desk.tree(document), desk.fingerprint(document)
    assert "“height” does not cover all" in desk.repaint(LONG)
    desk.host.run("dock().pages.setCurrentIndex(1)\ndock().extend_page.button.click()")
    assert "“height” does not cover all" in desk.wait_end(LONG)
    assert desk.host.run(f"{document.code}.width()") == WIDTH, "the canvas is as it was"
    desk.host.run("dock().pages.setCurrentIndex(0)")
    desk.host.run(
        "flow.host.kept = flow.host.maps\nfound = flow.host.maps()\nflow.host.maps = lambda: found\n"
        f"{document.code}.nodeByName('height').remove()\n{document.code}.waitForDone()"
    )
    tree = [node for node in tree if node[0] != "height"]
    assert "“height” is no longer there" in desk.repaint(LONG)
    desk.host.run("flow.host.maps = flow.host.kept")
    desk.host.run("dock().fields['material'].write('layer')")
    assert "choose “Around it”" in desk.repaint(LONG)
    assert desk.host.run("dock().maps.note.isVisible()")
    desk.host.run("dock().fields['material'].write('around')")
    desk.choose("test/gaussian", seed=7)
    assert "paints one picture only" in desk.repaint(LONG)
    assert desk.tree(document) == tree
    assert desk.fingerprint(document) == before
