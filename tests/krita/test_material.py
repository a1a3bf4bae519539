"""Where the material comes from, in a real Krita: layers, masks, other documents and files, chosen by the mouse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .desk import Desk, Document

BOX = (slice(50, 90), slice(60, 100))
PAINT = """
import random
def layer(document, name, colour, alpha=255):
    # noise near a colour given as B, G, R, hidden at the bottom
    node = document.createNode(name, "paintlayer")
    shades = random.Random(1)
    w, h = document.width(), document.height()
    rows = [bytes(v for _ in range(w) for v in (*(min(255, c + shades.randrange(40)) for c in colour), alpha))
            for _ in range(h)]
    node.setPixelData(b"".join(rows), 0, 0, w, h)
    node.setVisible(False)
    document.rootNode().addChildNode(node, None)
    return node
def mark(document, name, x, y, w, h, kind="selectionmask"):
    # on the hidden layer
    owner = next(n for n in walk(document.rootNode()) if n.name() == "grass")
    node = document.createSelectionMask(name) if kind == "selectionmask" else document.createTransparencyMask(name)
    owner.addChildNode(node, None)
    chosen = krita.Selection()
    chosen.select(x, y, w, h, 255)
    node.setSelection(chosen)
    document.waitForDone()
"""


@pytest.fixture
def document(desk: Desk) -> Iterator[Document]:
    """Waves of 200 × 160 with a selection, whose left half is green where nothing is selected."""
    made = desk.new(200, 160)
    desk.host.run(PAINT)
    desk.host.run(f"""
d = {made.code}
base = d.rootNode().childNodes()[0]
green = layer(d, "grass", (10, 190, 10))
layer(d, "empty", (0, 0, 0), 0)
base.setPixelData(bytes(green.pixelData(0, 0, 50, 160)), 0, 0, 50, 160)
d.waitForDone()
d.refreshProjection()
""")
    desk.activate_layer(made, "Background")
    desk.choose("exemplar", seed=7)
    desk.select(made, 60, 50, 40, 40)
    yield made
    choose(desk, "around")  # whatever comes next is not of this


def choose(desk: Desk, kind: str, name: str = "") -> None:
    desk.host.run(
        f"f = dock().fields\nf['material'].setCurrentIndex(f['material'].findData({kind!r}))\n"
        f"f['material_file' if {kind!r} == 'file' else 'material_name'].write({name!r})"
    )


def greens(desk: Desk, document: Document) -> float:
    """Share of the fill that is green, after a run."""
    assert desk.repaint().startswith("Done")
    inside = desk.pixels(document)[BOX].astype(int)
    return float((inside[..., 1] > inside[..., [0, 2]].max(-1) + 40).mean())  # as print's dull green is, too


@pytest.mark.essential
def test_another_layer_is_chosen_by_the_mouse(desk: Desk, document: Document) -> None:
    desk.click("fields['material']")
    desk.host.keys("Down", "Down", "Return")
    desk.host.wait("dock().fields['material'].read() == 'other' and dock().fields['material_name'].isVisible()")
    assert desk.host.run("[dock().fields['material_name'].itemText(k) for k in range(2)]") == ["empty", "grass"]
    desk.click("fields['material_name']")
    desk.host.keys("Down", "Return")
    desk.host.wait("dock().fields['material_name'].read() == 'grass'")
    desk.host.wait("dock().material.picture.isVisible() and dock().material.picture.pixmap().width() == 96")
    desk.screenshot("material")
    tree = desk.tree(document)
    desk.click("button")
    desk.host.wait("flow.busy")
    assert desk.wait_end().startswith("Done")
    inside = desk.pixels(document)[BOX].astype(int)
    assert (inside[..., 1] > inside[..., 2] + 60).mean() > 0.95
    desk.undo()
    assert desk.tree(document) == tree


def test_marks_say_what_may_be_used(desk: Desk, document: Document) -> None:
    desk.host.run(f"mark({document.code}, 'left', 0, 0, 50, 160)")
    choose(desk, "marked", "left")
    assert greens(desk, document) > 0.95
    choose(desk, "unmarked", "left")
    assert greens(desk, document) < 0.05
    masks = desk.host.run(f"hasattr({document.code}, 'createTransparencyMask')")  # scripts make one from Krita 5.2 on
    if masks:
        desk.host.run(f"mark({document.code}, 'hidden', 0, 0, 50, 160, 'transparencymask')")
        choose(desk, "marked", "hidden")
        assert greens(desk, document) > 0.95
    assert desk.host.run("[flow.host.materials('marked'), dock().material.picture.isVisible()]") == [
        ["hidden", "left"] if masks else ["left"],
        True,
    ]


@pytest.mark.essential
def test_a_mask_chosen_by_the_mouse_says_how_much_holds_where(desk: Desk, document: Document) -> None:
    """Green where it is white, the picture itself where it is not; a mask that is gone is said."""
    desk.host.run(f"""
mark({document.code}, 'right', 80, 0, 120, 160)
base = {document.code}.nodeByName("Background")
base.setPixelData(base.pixelData(50, 0, 50, 160), 0, 0, 50, 160)  # no green around
{document.code}.refreshProjection()
""")
    choose(desk, "other", "grass")
    desk.host.run("dock().material.look_again()")
    desk.click("fields['share_mask']")
    desk.host.keys("Down", "Return")
    desk.host.wait("dock().fields['share_mask'].read() == 'right'")
    desk.screenshot("shares")
    assert desk.repaint().startswith("Done")
    inside = desk.pixels(document)[BOX].astype(int)
    green = inside[..., 1] > inside[..., 2] + 60
    assert green[:, :12].mean() < 0.05
    assert green[:, 28:].mean() > 0.95
    desk.host.run("dock().fields['share_mask'].write('gone')")
    assert "“gone” is no longer there" in desk.repaint()
    desk.host.run("dock().fields['share_mask'].write('')")


@pytest.mark.parametrize(("model", "depth"), [("RGBA", "U8"), ("RGBA", "F32"), ("CMYKA", "U16"), ("LABA", "F32")])
def test_another_picture_and_a_file_of_any_colours(
    desk: Desk, document: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, depth: str
) -> None:
    # Krita's layer list says so by itself where a document is converted whose layers are new, and goes on.
    monkeypatch.setattr(desk.host, "overlooked", 'SAFE ASSERT (krita): "dummy"')
    other = desk.new(64, 64)
    desk.host.run(
        f"o = {other.code}\nlayer(o, 'grass', (10, 190, 10)).setVisible(True)\n"
        "o.nodeByName('Background').setVisible(False)\no.waitForDone()"
    )
    desk.settle()
    desk.host.run(
        f"o.setColorSpace({model!r}, {depth!r}, app.profiles({model!r}, {depth!r})[0])\n"
        "o.waitForDone()\no.refreshProjection()"
    )
    desk.activate(document)
    name = desk.host.run(f"import repaint_krita.material as m\nm.name_of({other.code})")
    choose(desk, "picture", name)
    assert greens(desk, document) > 0.95
    noise = np.random.default_rng(1).integers(0, 40, (64, 64, 3), np.uint8)
    noise[..., 1] += 190
    Image.fromarray(noise).save(tmp_path / "grass.png")
    choose(desk, "file", str(desk.host.krita.inside(desk.host.lend(tmp_path / "grass.png"))))
    open_documents = desk.host.run("len(app.documents())")
    assert greens(desk, document) > 0.95
    assert desk.host.run("len(app.documents())") == open_documents


def test_what_cannot_be_used_is_one_sentence_and_changes_nothing(
    desk: Desk, document: Document, tmp_path: Path
) -> None:
    desk.host.run(f"mark({document.code}, 'inside', 62, 52, 20, 20)")
    desk.host.run(f"mark({document.code}, 'nothing', 0, 0, 0, 0)")
    desk.host.run(f"mark({document.code}, 'tiny', 0, 0, 5, 5)")
    (tmp_path / "text.png").write_text("no picture")
    text = str(desk.host.krita.inside(desk.host.lend(tmp_path / "text.png")))
    tree, before = desk.tree(document), desk.fingerprint(document)
    for kind, name, says in (
        ("other", "gone", "“gone” is no longer there"),
        ("other", "empty", "Nothing of “empty” can be used"),
        ("marked", "inside", "Nothing of “inside” can be used"),
        ("marked", "nothing", "Nothing of “nothing” can be used"),
        ("marked", "tiny", "smaller than a patch"),
        ("picture", "gone.png", "“gone.png” is no longer there"),
        ("file", "/nowhere/a.png", "“a.png” is no longer there"),
        ("file", text, "“text.png” cannot be read as a picture"),
        ("file", "", "nothing to take the material from yet"),
    ):
        choose(desk, kind, name)
        assert says in desk.repaint(), (kind, name)
        assert desk.tree(document) == tree
        assert desk.fingerprint(document) == before
    desk.choose("test/gaussian", seed=7)
    assert "paints what it has learned" in desk.repaint()
    assert desk.host.run("dock().material.note.isVisible()")


def test_the_choice_is_remembered_for_each_document(desk: Desk, document: Document) -> None:
    choose(desk, "other", "grass")
    assert greens(desk, document) > 0.95  # and has left its key
    desk.host.run("dock().panel.document_changed()")
    assert greens(desk, document) > 0.95
    other = desk.new(64, 64)
    choose(desk, "around")
    desk.activate(document)
    desk.host.run("dock().panel.document_changed()")
    desk.host.wait("dock().fields['material'].read() == 'other' and dock().fields['material_name'].read() == 'grass'")
    desk.close(other)
