"""Every kind of document, layer and selection: the fill comes in a layer of its own, and nothing else is touched.

`untouched` compares everything that a run must leave alone: each layer's pixels, place, locks and frames, and the
picture outside the selection.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000

from .desk import Desk, Document

WIDTH, HEIGHT = 200, 160
HOLE = (60, 50, 40, 40)
NAME = "RePaint test/gaussian · seed 1234"

LOOK = """
def facts(document, but):
    found = {}
    for node in walk(document.rootNode()):
        if node.name() == but or node.type() == "selectionmask": continue
        box = node.bounds()
        pixels = bytes(node.pixelData(box.x(), box.y(), box.width(), box.height()))
        frames = [hashlib.sha256(bytes(node.pixelDataAtTime(0, 0, document.width(), document.height(), at))).hexdigest()
                  for at in range(12) if node.hasKeyframeAtTime(at)] if node.animated() else []
        found[node.uniqueId().toString()] = [
            node.name(), node.type(), node.visible(), node.locked(), node.alphaLocked(), node.opacity(),
            node.position().x(), node.position().y(), node.parentNode().name(), node.colorModel(), node.colorDepth(),
            hashlib.sha256(pixels).hexdigest(), frames]
    return found
def outside(document):
    s = document.selection()
    chosen = bytes(s.pixelData(0, 0, document.width(), document.height()))
    data = shown(document)
    size = len(data) // len(chosen)
    rest = hashlib.sha256()
    inside = hashlib.sha256()
    for y in range(document.height()):
        row = chosen[y * document.width():(y + 1) * document.width()]
        for x, value in enumerate(row):
            at = (y * document.width() + x) * size
            (inside if value else rest).update(data[at:at + size])
    return [rest.hexdigest(), inside.hexdigest()]
"""


def look(desk: Desk, document: Document) -> Any:
    return desk.host.run(f"{LOOK}\n[facts({document.code}, {NAME!r}), outside({document.code})]")


@contextmanager
def untouched(desk: Desk, document: Document, changes: bool = True) -> Iterator[None]:
    """Around a run: all but the new layer and the selected part stays as it is; one undo brings back the rest.

    changes: whether the fill is to be seen (it is not in a hidden group).
    """
    before, tree = look(desk, document), desk.tree(document)
    fingerprint = desk.fingerprint(document)
    yield
    after = look(desk, document)
    assert after[0] == before[0]
    assert after[1][0] == before[1][0], "outside the selection"
    assert (after[1][1] != before[1][1]) == changes, "inside the selection"
    assert len(desk.tree(document)) == len(tree) + 1
    assert NAME in desk.names(document)
    desk.undo()
    assert desk.tree(document) == tree
    assert desk.fingerprint(document) == fingerprint


SPACES = [
    ("RGBA", "U8", "sRGB-elle-V2-srgbtrc.icc"),
    ("RGBA", "U8", "ClayRGB-elle-V2-g22.icc"),
    ("RGBA", "U16", "sRGB-elle-V2-srgbtrc.icc"),
    ("RGBA", "F16", "sRGB-elle-V2-g10.icc"),
    ("RGBA", "F32", "Rec2020-elle-V4-g10.icc"),
    ("CMYKA", "U16", "Chemical proof"),
    ("GRAYA", "U8", "gray built-in"),
    ("GRAYA", "U16", "Gray-D50-elle-V2-g10.icc"),
    ("GRAYA", "F32", "Gray-D50-elle-V2-g10.icc"),
    ("LABA", "U16", "Lab identity built-in"),
    ("LABA", "F32", "Lab identity built-in"),
]
AS_THEY_ARE = ("RGBA", "GRAYA")  # models whose pixels travel so


IDENTITY = """
import base64
d = {code}
def lab(data, there_and_back=False):
    node = d.createNode("", "paintlayer")
    node.setPixelData(data, 0, 0, {width}, {height})
    node.setColorSpace("LABA", "F32", "Lab identity built-in")
    if there_and_back:
        node.setColorSpace(d.colorModel(), d.colorDepth(), d.colorProfile())
        node.setColorSpace("LABA", "F32", "Lab identity built-in")
    return base64.b64encode(bytes(node.pixelData(0, 0, {width}, {height}))).decode()
def seen():
    d.waitForDone()
    d.refreshProjection()
    return bytes(d.pixelData({x}, {y}, {width}, {height}))
before = seen()
history, open_documents = str(app.action("edit_undo").text()), len(app.documents())
capture = None
reader = flow.host.capture(Settings("texture", "fast", 1))
while capture is None: capture = next(reader)
from bridge_server.client.editor.model import Picture
from bridge_server.client.geometry import Box
assert str(app.action("edit_undo").text()) == history, "reading is no undo step"
assert len(app.documents()) == open_documents
box = capture.target.box
layer = flow.host.add_layer(capture.target, "RePaint identity")
picture = Picture(box.width, box.height, capture.pixels, Box(0, 0, box.width, box.height))
for _ in layer.paint(picture): pass
after = seen()
reader = layer.holds(picture)
try:
    while True: next(reader)
except StopIteration as end:
    held = end.value
[held, before == after, lab(before), lab(after), lab(before, True)]
"""


def identity(desk: Desk, document: Document) -> tuple[bool, float, float]:
    """When what was read lies over it as the plug-in's layer: whether not one value is another, and the largest ΔE00.

    The last number is that of Krita's own way to L*a*b* and back: what the document's space can hold.
    """
    x, y, width, height = HOLE
    held, same, *texts = desk.host.run(IDENTITY.format(code=document.code, x=x, y=y, width=width, height=height))
    assert held
    before, after, converted = (np.frombuffer(base64.b64decode(text), "<f4").reshape(-1, 4)[:, :3] for text in texts)
    difference = [float(deltaE_ciede2000(other, before).max()) for other in (after, converted)]
    return same, difference[0], difference[1]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space[0] + space[1])
def test_what_was_read_and_put_back_is_the_same(desk: Desk, space: tuple[str, str, str]) -> None:
    document = desk.new(WIDTH, HEIGHT, *space)
    desk.select(document, *HOLE)
    same, ours, the_documents = identity(desk, document)
    assert same or space[0] not in AS_THEY_ARE
    assert ours <= max(0.05, the_documents)


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space[0] + space[1])
def test_depths_and_models_from_the_active_layer(desk: Desk, space: tuple[str, str, str]) -> None:
    document = desk.new(WIDTH, HEIGHT, *space)
    assert desk.host.run(f"[{document.code}.colorModel(), {document.code}.colorDepth()]") == list(space[:2])
    desk.choose(source="layer")
    desk.select(document, *HOLE)
    with untouched(desk, document):
        assert desk.repaint().startswith("Done")


def test_layer_of_another_colour_space_than_its_document(desk: Desk) -> None:
    """Such a layer is read as it is, and the fill's layer has its colours."""
    document = desk.new(WIDTH, HEIGHT)
    desk.host.run(f"""
d = {document.code}
layer = d.rootNode().childNodes()[0]
layer.setColorSpace("RGBA", "U16", "Rec2020-elle-V4-g10.icc")
d.refreshProjection()
""")
    desk.choose(source="layer")
    desk.select(document, *HOLE)
    assert desk.host.run("""
capture = None
reader = flow.host.capture(Settings("texture", "fast", 1, source="layer"))
while capture is None: capture = next(reader)
box = capture.target.box
bgra = bytes(layer.pixelData(box.x, box.y, box.width, box.height))
[capture.target.depth, capture.target.linear, bgra[4:6] == capture.pixels[0:2], bgra[2:4] == capture.pixels[2:4]]
""") == ["u16", True, True, True]
    with untouched(desk, document):
        assert desk.repaint().startswith("Done")
        assert desk.host.run(f"d.nodeByName({NAME!r}).colorProfile()") == "Rec2020-elle-V4-g10.icc"


# ---------------------------------------------------------------- layers

LAYERS = {
    "locked": "layer.setLocked(True)",
    "alpha locked": "layer.setAlphaLocked(True)",
    "hidden": "layer.setVisible(False)",
    "half transparent": "layer.setOpacity(100)",
    "moved off the canvas": "layer.move(-150, -90)",
    "in a group with an offset": """
group = d.createGroupLayer("group")
d.rootNode().addChildNode(group, layer)
layer.remove()
group.addChildNode(layer, None)
# later
layer.move(13, -7)
""",
    "in a locked group": """
group = d.createGroupLayer("group")
d.rootNode().addChildNode(group, layer)
layer.remove()
group.addChildNode(layer, None)
# later
group.setLocked(True)
""",
    "in a hidden group": """
group = d.createGroupLayer("group")
d.rootNode().addChildNode(group, layer)
layer.remove()
group.addChildNode(layer, None)
# later
group.setVisible(False)
""",
    "with a filter mask": """
everywhere = krita.Selection()
everywhere.select(0, 0, 200, 160, 255)
layer.addChildNode(d.createFilterMask("mask", app.filter("invert"), everywhere), None)
""",
}


@pytest.mark.parametrize("source", ["visible", "layer"])
@pytest.mark.parametrize("kind", list(LAYERS))
def test_layers(desk: Desk, kind: str, source: str) -> None:
    """The active layer, whatever it is, is read and not written."""
    document = desk.new(WIDTH, HEIGHT)
    desk.host.run(f"""
d = {document.code}
layer = d.createNode("subject", "paintlayer")
layer.setPixelData(bytes((10, 90, 200, 255, 200, 40, 10, 255)) * (100 * 60), 0, 0, 120, 100)
d.rootNode().addChildNode(layer, d.rootNode().childNodes()[0])
layer.move(20, 20)
""")
    for part in LAYERS[kind].split("# later\n"):
        desk.settle()
        desk.host.run(part)
    desk.settle()
    desk.host.run("d.waitForDone()\nd.setActiveNode(layer)\nd.refreshProjection()")
    desk.host.wait("d.activeNode().name() == 'subject'")
    desk.choose(source=source)
    desk.select(document, *HOLE)
    with untouched(desk, document, changes=kind != "in a hidden group"):
        assert desk.repaint().startswith("Done")
        parents = desk.host.run(f"d.nodeByName({NAME!r}).parentNode() == layer.parentNode()")
        assert parents, "the fill stands beside the layer that was active"


@pytest.mark.parametrize("source", ["visible", "layer"])
def test_active_group(desk: Desk, source: str) -> None:
    """A group has no pixels of its own; what it shows is read."""
    document = desk.new(WIDTH, HEIGHT)
    desk.host.run(f"""
d = {document.code}
group = d.createGroupLayer("group")
d.rootNode().addChildNode(group, d.rootNode().childNodes()[0])
child = d.createNode("child", "paintlayer")
child.setPixelData(bytes((10, 90, 200, 255)) * (120 * 100), 0, 0, 120, 100)
group.addChildNode(child, None)
""")
    desk.settle()
    desk.host.run("d.waitForDone()\nd.setActiveNode(group)\nd.refreshProjection()")
    desk.host.wait("d.activeNode().name() == 'group'")
    desk.choose(source=source)
    desk.select(document, *HOLE)
    assert desk.host.run(f"""
capture = None
reader = flow.host.capture(Settings("texture", "fast", 1, source={source!r}))
while capture is None: capture = next(reader)
list(capture.pixels[:4])
""") == [200, 90, 10, 255]
    with untouched(desk, document):
        assert desk.repaint().startswith("Done")


def test_animated_layer(desk: Desk) -> None:
    """The frame in view is what is repainted; every frame stays as it is, also when the artist moves in time."""
    document = desk.new(WIDTH, HEIGHT)
    desk.host.run(f"""
d = {document.code}
layer = d.rootNode().childNodes()[0]
d.setActiveNode(layer)
layer.enableAnimation()
d.setCurrentTime(6)
""")
    desk.host.run("d.waitForDone()\napp.action('add_blank_frame').trigger()\nd.waitForDone()")
    desk.host.wait("layer.hasKeyframeAtTime(6)", what="a second frame")
    desk.host.run(f"""
layer.setPixelData(bytes((200, 30, 90, 255)) * ({WIDTH} * {HEIGHT}), 0, 0, {WIDTH}, {HEIGHT})
d.refreshProjection()
""")
    desk.choose("test/gaussian-slow")
    desk.select(document, *HOLE)
    look_before = look(desk, document)
    frames = next(iter(look_before[0].values()))[-1]
    assert len(frames) == len(set(frames)) == 2, "two different frames"
    desk.press()
    desk.wait_preview()
    desk.host.run("d.setCurrentTime(0)\nd.waitForDone()")
    assert desk.wait_end().startswith("Done")
    desk.host.run("d.setCurrentTime(6)\nd.waitForDone()")
    desk.settle()
    name = NAME.replace("gaussian", "gaussian-slow")
    after = desk.host.run(f"[facts(d, {name!r}), outside(d)]")
    assert after[0] == look_before[0]
    assert after[1][0] == look_before[1][0]
    assert after[1][1] != look_before[1][1]


# ---------------------------------------------------------------- selections

SELECTIONS = {
    "inverted": "s.select(0, 0, 200, 100, 255)\ns.invert()",
    "inverted, of a part beyond the canvas": "s.select(-50, -50, 300, 150, 255)\ns.invert()",
    "feathered beyond the canvas": "s.select(-10, 40, 60, 60, 255)\ns.feather(12)",
    "feathered and inverted": "s.select(0, 0, 200, 90, 255)\ns.feather(6)\ns.invert()",
    "two parts": "s.select(20, 20, 20, 20, 255)\no = krita.Selection()\no.select(120, 90, 30, 30, 255)\ns.add(o)",
    "weak everywhere": "s.select(60, 50, 40, 40, 90)",
    "far beyond all edges": "s.select(-500, -400, 1400, 1200, 255)",
}


@pytest.mark.parametrize("kind", list(SELECTIONS))
def test_selections(desk: Desk, kind: str) -> None:
    document = desk.new(WIDTH, HEIGHT)
    desk.choose()
    desk.host.run(f"d = {document.code}\ns = krita.Selection()\n{SELECTIONS[kind]}\nd.setSelection(s)\nd.waitForDone()")
    with untouched(desk, document):
        assert desk.repaint().startswith("Done")
        assert desk.host.run(f"""
node = d.nodeByName({NAME!r})
wanted = bytes(d.selection().pixelData(0, 0, {WIDTH}, {HEIGHT}))
bytes(node.pixelData(0, 0, {WIDTH}, {HEIGHT}))[3::4] == wanted
"""), "the layer's alpha is the selection"


def test_selection_inverted_by_kritas_menu(desk: Desk) -> None:
    document = desk.new(WIDTH, HEIGHT)
    desk.choose()
    desk.select(document, 0, 0, WIDTH, 110)
    desk.host.wait("app.action('invert_selection').isEnabled()", what="Krita's menu knows of the selection")
    desk.host.run(f"d = {document.code}\napp.action('invert_selection').trigger()\nd.waitForDone()")
    desk.host.wait(f"bytes(d.selection().pixelData(0, 0, 1, {HEIGHT}))[-1] == 255", what="inverted")
    with untouched(desk, document):
        assert desk.repaint().startswith("Done")


# ---------------------------------------------------------------- the host's event loop


def test_event_loop_that_turns_inside_a_call(desk: Desk) -> None:
    """Krita 5.3 does that while it refreshes a picture: no part of the plug-in may start inside another."""
    document = desk.new(WIDTH, HEIGHT)
    desk.choose("test/gaussian-slow")
    desk.select(document, *HOLE)
    desk.host.run("""
def turn():
    QtWidgets.QApplication.processEvents()
flow.listeners.append(turn)
""")
    try:
        assert desk.repaint().startswith("Done")
    finally:
        desk.host.run("flow.listeners.remove(turn)")
    assert desk.names(document) == ["Background", NAME.replace("gaussian", "gaussian-slow")]
