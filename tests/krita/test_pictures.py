"""What cannot be repainted and what just can: layers, selections, colour spaces."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from .desk import Desk, inside


def assert_refused(desk: Desk, words: str) -> None:
    calls = desk.bridge().calls_total
    sentence = desk.repaint()
    assert words in sentence
    assert sentence.endswith(".")
    assert desk.host.run("flow.is_error and len(flow.runs) == 0"), "nothing was sent"
    assert desk.bridge().calls_total == calls


def test_no_document(desk: Desk) -> None:
    desk.choose()
    assert_refused(desk, "Open a picture first")


def test_no_selection_empty_selection_outside_selection(desk: Desk) -> None:
    document = desk.new(200, 200)
    desk.choose()
    tree = desk.tree(document)
    desk.deselect(document)
    assert_refused(desk, "Select the part to repaint first")
    desk.select(document, 50, 50, 20, 20, value=0)
    assert_refused(desk, "selection is empty")
    desk.select(document, 500, 500, 20, 20)
    assert_refused(desk, "outside the picture")
    desk.screenshot("refused")
    assert desk.tree(document) == tree


@pytest.mark.parametrize("kind", ["grouplayer", "vectorlayer"])
@pytest.mark.parametrize("source", ["visible", "layer"])
def test_document_without_a_paint_layer(desk: Desk, kind: str, source: str) -> None:
    """There is nothing to go by, so the engine invents everything; but it neither fails nor touches anything else."""
    document = desk.new(160, 120)
    desk.host.run(f"""
d = {document.code}
other = d.createGroupLayer("only") if {kind!r} == "grouplayer" else d.createVectorLayer("only")
d.rootNode().addChildNode(other, None)
""")
    desk.host.run(f"{document.code}.nodeByName('Background').remove()")
    desk.host.wait(f"{document.code}.activeNode() is not None and {document.code}.activeNode().name() == 'only'")
    desk.choose(source=source)
    desk.select(document, 40, 40, 30, 30)
    assert desk.repaint().startswith("Done")
    assert desk.names(document) == ["only", "RePaint test/gaussian · seed 1234"]
    after = desk.pixels(document)
    mask = inside(document, 40, 40, 30, 30)
    assert (after[~mask] == 0).all()
    assert (after[mask][:, 3] == 255).all()


@pytest.mark.parametrize(
    "box",
    [(70, 60, 1, 1), (10, 5, 3, 90), (0, 0, 160, 120), (150, 110, 40, 40)],
    ids=["one pixel", "three pixels wide", "whole image", "overhanging the edge"],
)
def test_odd_selections(desk: Desk, box: tuple[int, int, int, int]) -> None:
    document = desk.new(160, 120)
    desk.choose()
    desk.select(document, *box)
    before = desk.pixels(document)
    assert desk.repaint().startswith("Done")
    after = desk.pixels(document)
    mask = inside(document, *box)
    assert np.array_equal(after[~mask], before[~mask])
    assert len(desk.tree(document)) == 2
    if box[2] > 1:
        assert not np.array_equal(after[mask], before[mask])
    desk.undo()
    assert np.array_equal(desk.pixels(document), before)


def test_soft_selection_is_the_layers_alpha(desk: Desk) -> None:
    document = desk.new(200, 200)
    desk.choose()
    desk.host.run("s = krita.Selection()\ns.select(60, 60, 80, 70, 255)\ns.feather(9)")
    desk.host.run(f"{document.code}.setSelection(s)")
    before = desk.pixels(document)
    assert desk.repaint().startswith("Done")
    assert desk.host.run(f"""
s = {document.code}.selection()
node = {document.code}.nodeByName("RePaint test/gaussian · seed 1234")
wanted = bytes(s.pixelData(0, 0, 200, 200))
alpha = bytes(node.pixelData(0, 0, 200, 200))[3::4]
[alpha == wanted, len(set(wanted)) > 20]
""") == [True, True]
    text = desk.host.run(f"base64.b64encode(bytes({document.code}.selection().pixelData(0, 0, 200, 200))).decode()")
    outside = np.frombuffer(base64.b64decode(text), np.uint8).reshape(200, 200) == 0
    assert np.array_equal(desk.pixels(document)[outside], before[outside])


def test_a_hole_erased_through_the_same_soft_selection_is_closed(desk: Desk) -> None:
    """Two coverages, one over the other, left a ring with an alpha of 191."""
    document = desk.new(200, 200)
    desk.choose()
    least = desk.host.run(f"""
d = {document.code}
s = krita.Selection()
s.select(60, 60, 80, 70, 255)
s.feather(9)
d.setSelection(s)
node = d.nodeByName("Background")
data = bytearray(node.pixelData(0, 0, 200, 200))
data[3::4] = bytes(255 - v for v in bytes(s.pixelData(0, 0, 200, 200)))
node.setPixelData(bytes(data), 0, 0, 200, 200)
d.refreshProjection()
d.waitForDone()
min(bytes(d.pixelData(0, 0, 200, 200))[3::4])
""")
    assert least < 10
    assert desk.repaint().startswith("Done")
    assert desk.host.run("d.waitForDone()\nmin(bytes(d.pixelData(0, 0, 200, 200))[3::4])") >= 250


COLOUR_SPACES = [
    ("RGBA", "U16", "sRGB-elle-V2-g10.icc"),
    ("RGBA", "F32", "sRGB-elle-V2-g10.icc"),
    ("GRAYA", "U8", "Gray-D50-elle-V2-srgbtrc.icc"),
    ("CMYKA", "U8", "Chemical proof"),
    ("LABA", "U16", "Lab identity built-in"),
    ("RGBA", "U8", "ClayRGB-elle-V2-g22.icc"),
]


@pytest.mark.essential
@pytest.mark.parametrize("space", COLOUR_SPACES, ids=lambda space: space[0] + space[1])
def test_every_colour_space(desk: Desk, space: tuple[str, str, str]) -> None:
    """The layer has the document's colours, or floats without a limit; outside nothing changes at all."""
    document = desk.new(200, 160, *space)
    desk.choose()
    desk.select(document, 60, 50, 40, 40)
    before = desk.fingerprint(document)
    desk.host.run(f"""
d = {document.code}
s = d.selection()
s.invert()
rest = bytes(s.pixelData(0, 0, 200, 160))
def outside():
    data = shown(d)
    size = len(data) // (200 * 160)
    return hashlib.sha256(b"".join(data[i * size:(i + 1) * size] for i in range(0, 200 * 160) if rest[i])).hexdigest()
s.invert()
kept = outside()
""")
    assert desk.repaint().startswith("Done")
    found = desk.host.run("""
node = d.nodeByName("RePaint test/gaussian · seed 1234")
[[node.colorModel(), node.colorDepth(), node.colorProfile()], outside() == kept]
""")
    own = list(space) if space[0] in ("RGBA", "GRAYA") else ["RGBA", "F32", "sRGB-elle-V2-g10.icc"]
    assert found == [own, True]
    assert desk.fingerprint(document) != before
    desk.undo()
    assert desk.fingerprint(document) == before


def test_active_layer_with_offset_as_source(desk: Desk) -> None:
    """Only the active layer is sent, from where it lies on the canvas, and the result lies on the selection."""
    document = desk.new(240, 200)
    desk.host.run(f"""
d = {document.code}
small = d.createNode("small", "paintlayer")
small.setPixelData(bytes((10, 20, 200, 255)) * (60 * 60), 0, 0, 60, 60)
d.rootNode().addChildNode(small, d.rootNode().childNodes()[0])
small.move(100, 80)
""")
    desk.host.wait(f"{document.code}.activeNode().name() == 'small'")
    desk.choose(source="layer")
    desk.select(document, 110, 90, 20, 20)
    capture = desk.host.run("""
capture = None
reader = flow.host.capture(Settings("texture", "fast", 1, source="layer"))
while capture is None: capture = next(reader)
box = capture.target.box
def pixel(x, y): return list(capture.pixels[4 * ((y - box.y) * box.width + x - box.x):][:4])
[pixel(100, 80), pixel(159, 139), pixel(99, 80), pixel(160, 139)]
""")
    assert capture == [[200, 20, 10, 255], [200, 20, 10, 255], [0, 0, 0, 0], [0, 0, 0, 0]]
    before = desk.pixels(document)
    assert desk.repaint().startswith("Done")
    after, mask = desk.pixels(document), inside(document, 110, 90, 20, 20)
    assert np.array_equal(after[~mask], before[~mask])
    assert not np.array_equal(after[mask], before[mask])
    desk.host.wait(f"{document.code}.activeNode().name() == 'small'", what="the artist's layer is the active one again")


def test_layer_goes_above_the_active_one(desk: Desk) -> None:
    """Inside the group of the active layer, also when a mask of that layer is the active node."""
    document = desk.new(160, 120)
    desk.host.run(f"""
d = {document.code}
group = d.createGroupLayer("group")
d.rootNode().addChildNode(group, None)
""")
    desk.host.run("""
inner, top = d.createNode("inner", "paintlayer"), d.createNode("top", "paintlayer")
group.addChildNode(inner, None)
group.addChildNode(top, inner)
mask = d.createTransformMask("mask")
inner.addChildNode(mask, None)
""")
    desk.host.run(f"{document.code}.setActiveNode({document.code}.nodeByName('mask'))")
    desk.host.wait(f"{document.code}.activeNode().name() == 'mask'")
    desk.choose()
    desk.select(document, 40, 40, 30, 30)
    assert desk.repaint().startswith("Done")
    assert desk.host.run("[n.name() for n in group.childNodes()]") == [
        "inner",
        "RePaint test/gaussian · seed 1234",
        "top",
    ]
