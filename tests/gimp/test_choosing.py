"""Choosing with figures, in GIMP's window."""

from __future__ import annotations

import math

import numpy as np
import pytest

from .desk import Desk

TEXTS = "[row[1] for row in body.gallery.rows]"


def test_choosing_with_figures(desk: Desk) -> None:
    image = desk.new(240, 180)
    desk.choose("test/gaussian", seed=7, variants=3)
    desk.select(image, 80, 60, 70, 50)
    original = desk.host.run(f"hashlib.sha256(visible({image.code})).hexdigest()")
    assert desk.repaint(image, 180).startswith("Done")
    found = desk.host.run("[vars(v.figures) for v in flow.runs[-1].variants]")
    discords = [sum(abs(math.log(each[name])) for name in ("seam", "grain") if each[name]) for each in found]
    best = discords.index(min(discords))
    assert desk.host.run("flow.selected[1]") == best
    assert desk.host.run(TEXTS)[best].startswith("✓")
    assert "Edge " in desk.host.run("body.gallery.rows[0][4]")
    desk.host.run("body.choosing.order.write('best')\nNone")
    order = [str(k + 1) for k in sorted(range(3), key=lambda k: discords[k])]
    assert [text.lstrip("✓ ")[0] for text in desk.host.run(TEXTS)] == order
    desk.click("marks.favourite")
    desk.host.wait(f"any(text.startswith('★') for text in {TEXTS})")
    desk.host.run("body.choosing.only.set_active(True)\nNone")
    assert len(desk.host.run(TEXTS)) == 1
    desk.host.run("body.choosing.only.set_active(False)\nbody.choosing.search.set_text('9')\nNone")
    assert len(desk.host.run(TEXTS)) == 1, "the seed"
    desk.host.run("body.choosing.search.set_text('')\nNone")

    desk.click("marks.split")
    desk.host.wait("body.split_view.get_mapped()")
    desk.host.run("pump.choose(flow.runs[-1], (flow.selected[1] + 1) % 3)\nNone")
    desk.host.wait("len(body.split_view.bars.places) == 2 and not flow.has_steps", what="original, A and B")
    assert desk.host.run("body.split_view.names.get_text()") == "Original | A | B"
    desk.host.screenshot("split")
    x, y = desk.host.at_rest("click(body.split_view.area)", "split view")
    width, before = desk.host.run("[body.split_view._image.get_pixbuf().get_width(), body.split_view.bars.places]")
    desk.host.drag(x + (before[1] - 0.5) * width, y, x + 0.4 * width, y)
    after = desk.host.run("body.split_view.bars.places")
    assert after[0] == before[0]
    assert after[1] == pytest.approx(0.9, abs=0.05)

    whole, chosen = desk.pixels(image), "next(line[1] for line in body.gallery.rows if line[1].startswith('✓'))"
    layers, mark = desk.names(image), desk.host.run(chosen)
    desk.click("in_layer")
    desk.host.wait(f"tree({image.code})[0][0] == 'RePaint split view' and not flow.has_steps")
    assert (desk.pixels(image) != whole).any()
    desk.host.screenshot("split-in-layer")
    desk.click("in_layer")
    desk.host.wait(f"tree({image.code})[0][0] == {layers[0]!r} and not flow.has_steps")
    assert (desk.pixels(image) == whole).all()
    assert desk.host.run(chosen) == mark
    desk.click("in_layer")
    desk.host.wait(f"tree({image.code})[0][0] == 'RePaint split view' and not flow.has_steps")
    desk.undo(image)
    desk.click("in_layer")
    desk.redo(image)
    desk.host.wait(f"hashlib.sha256(visible({image.code})).hexdigest() == {original!r}", what="it is emptied")
    desk.host.run("body.marks.split.set_active(False)\nbody.marks.favourite.set_active(False)\nNone")


def test_a_save_ends_the_split_view_and_asks_for_another(desk: Desk) -> None:
    """GIMP tells of a save when it is done; the file of the next one has the picture."""
    first, path = desk.new(240, 180), desk.host.work / "saved.xcf"
    place = str(desk.host.gimp.inside(path))
    desk.host.run(
        f"Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, {first.code}, Gio.File.new_for_path({place!r}), None)\nNone"
    )
    image = desk.open(path)
    desk.choose("test/gaussian", seed=7, variants=2)
    desk.select(image, 80, 60, 70, 50)
    assert desk.repaint(image, 180).startswith("Done")
    whole = desk.pixels(image)
    desk.host.run("body.marks.split.set_active(True)\nNone")
    desk.host.wait("body.split_view.get_mapped()")
    desk.click("in_layer")
    desk.host.wait(f"tree({image.code})[0][0] == 'RePaint split view' and not flow.has_steps")
    assert (desk.pixels(image) != whole).any()
    for number in range(2):
        desk.keys("ctrl+s")
        desk.host.wait(
            f"not {image.code}.is_dirty()" if number else "not body.in_layer.get_active()", what="it is saved"
        )
        assert np.array_equal(desk.pixels(image), whole)
        if not number:
            assert "save once more" in desk.status()
    again = desk.open(path)
    assert np.array_equal(desk.pixels(again), whole)
    desk.host.run("body.marks.split.set_active(False)\nNone")
