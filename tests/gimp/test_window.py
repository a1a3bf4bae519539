"""RePaint's window in a real GIMP: variants, branches, pages, what is remembered; by mouse and keyboard, too."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bridge_server.client import launch

from .desk import Desk, Image


def finished(desk: Desk, model: str = "test/gaussian", seed: int = 20, variants: int = 1) -> Image:
    """A new image with a finished run."""
    image = desk.new(200, 160)
    desk.choose(model, seed=seed, variants=variants)
    desk.select(image, 60, 50, 40, 40)
    assert desk.repaint(image).startswith("Done")
    desk.show_first()
    return image


def rest(desk: Desk) -> None:
    desk.host.wait("not flow.busy and not flow.has_steps")


def test_variants_form_side_by_side(desk: Desk) -> None:
    image = desk.new(200, 160)
    desk.choose("test/gaussian-slow", seed=20, variants=3)
    desk.select(image, 60, 50, 40, 40)
    desk.press(image)
    forming = "flow.run is not None and all(v.version > 1 for v in flow.run.variants)"
    desk.host.wait(forming, what="all of them have previews")
    texts = desk.host.run("[row[1] for row in body.gallery.rows]")
    assert len(texts) == 3
    assert all(text.endswith("%") for text in texts)
    assert desk.host.run("[row[0].get_width() for row in body.gallery.rows]") == [72, 72, 72]
    first = desk.host.run("hashlib.sha256(bytes(body.gallery.rows[1][0].get_pixels())).hexdigest()")
    desk.host.wait(f"hashlib.sha256(bytes(body.gallery.rows[1][0].get_pixels())).hexdigest() != {first!r}")
    assert 0 < desk.host.run("body.bar.get_fraction()") < 1
    desk.host.wait("'left' in body.bar.get_text()", what="the time that is left")
    assert desk.wait_end().startswith("Done")
    texts = desk.host.run("[row[1] for row in body.gallery.rows]")
    assert [text.replace("✓ ", "")[0] for text in texts] == ["1", "2", "3"]
    assert [text.startswith("✓") for text in texts].count(True) == 1, "the best one is shown"
    desk.host.screenshot("variants")


def test_keyboard_only(desk: Desk) -> None:
    """From the menu on to the applied second variant: Enter starts, arrows walk, Space compares, Enter applies."""
    image = desk.new(200, 160)
    desk.choose(seed=20, variants=3)
    desk.select(image, 60, 50, 40, 40)
    before = desk.pixels(image)
    desk.menu("selection", image)
    desk.host.wait(f"host.image == str({image.code}.get_id())")
    desk.host.xdo("windowactivate", "--sync", desk.host.window_of("^RePaint$"))
    desk.host.run("body.gallery.grab_focus()\nbody.selection_page.button.grab_focus()\nNone")
    desk.host.keys("Return")
    desk.host.wait("flow.runs and not flow.busy and not flow.has_steps")
    desk.show_first()
    first = desk.pixels(image)
    desk.host.run("body.gallery.grab_focus()\nNone")
    desk.host.keys("Right")
    desk.host.wait("flow.selected[1] == 1")
    rest(desk)
    second = desk.pixels(image)
    assert not np.array_equal(second, before)
    assert not np.array_equal(second, first)
    desk.host.xdo("keydown", "space")
    desk.host.wait("flow.comparing")
    assert np.array_equal(desk.pixels(image), before)
    desk.host.xdo("keyup", "space")
    desk.host.wait("not flow.comparing")
    assert np.array_equal(desk.pixels(image), second)
    desk.host.keys("ctrl+c")
    desk.host.run("from gi.repository import Gdk")
    desk.host.wait("Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD).wait_for_text() == '21'")
    desk.host.keys("Return")
    desk.host.wait("'Applied' in flow.sentence")
    assert desk.names(image) == ["RePaint test/gaussian · seed 21", "Background"]
    desk.host.keys("Right")
    desk.host.wait("flow.selected[1] == 2")
    rest(desk)
    assert desk.names(image)[:2] == ["RePaint test/gaussian · seed 22", "RePaint test/gaussian · seed 21"]
    desk.undo(image)
    desk.undo(image)
    assert np.array_equal(desk.pixels(image), before)


def test_compare_and_walking_add_no_undo_step(desk: Desk) -> None:
    image = finished(desk, variants=2)
    desk.host.run("flow.compare(True)\nflow.compare(False)\nNone")
    for index in (1, 0, 1):
        desk.host.run(f"pump.choose(flow.runs[-1], {index})\nNone")
        rest(desk)
    assert desk.names(image) == ["RePaint test/gaussian · seed 21", "Background"]
    desk.undo(image)
    assert desk.names(image) == ["Background"]


def test_branching_from_a_step(desk: Desk) -> None:
    image = finished(desk)
    before, layer = desk.fingerprint(image), desk.tree(image)[0][1]
    desk.host.wait("body.branches.go.get_sensitive()")
    desk.host.run("body.branches.slider.set_value(2)\nNone")
    desk.host.wait("len(body.gallery.chosen()[1].views) > 0", what="the picture of a step")
    desk.host.wait("body.branches.picture.get_pixbuf() is not None")
    call = desk.host.run("body.branches.chosen_step().step.call")
    desk.host.run("body.branches.kind.write('idea')\nbody.branches.number.write(2)\nNone")
    assert "2 × " in desk.host.run("body.branches.cost.get_text()")
    desk.press(button="branches.go")
    assert desk.wait_end().startswith("Done")
    desk.host.screenshot("branched")
    assert desk.tree(image)[0][1] == layer, "the branches form in the layer of their parent"
    assert len(desk.tree(image)) == 2
    assert desk.fingerprint(image) != before
    assert desk.host.run("[list(flow.runs[-1].parent), len(body.gallery.rows)]") == [
        [desk.host.run("flow.runs[0].number"), 0, call],
        3,
    ]
    top = desk.host.run("rows = body.branches.rows\n[[child[1] for child in row.iterchildren()] for row in rows]")
    assert len(top) == 1
    assert len(top[0]) == 2
    assert "New idea" in top[0][0]
    assert desk.host.run("body.branches.tree.get_mapped()")
    desk.undo(image)
    assert desk.names(image) == ["Background"]


def test_stop_and_keep_and_continue_by_mouse(desk: Desk) -> None:
    image = desk.new(200, 160)
    desk.choose("test/gaussian-slow", seed=40, variants=2)
    desk.select(image, 60, 50, 40, 40)
    desk.press(image)
    desk.wait_preview()
    desk.click("keep_button")
    assert desk.wait_end().startswith("Stopped; the pictures so far are kept")
    assert desk.names(image) == ["RePaint test/gaussian-slow · seed 40", "Background"]
    kept = desk.pixels(image)
    assert desk.host.run("[v.unfinished and 0 < v.call < v.calls for v in flow.runs[-1].variants]") == [True, True]
    desk.host.wait("body.branches.resume.get_mapped() and body.branches.resume.get_sensitive()")
    desk.press(
        button="branches.resume"
    )  # not by mouse: it appears beside *Branch*, which is where a late layout has it
    desk.host.wait("flow.busy")
    assert desk.host.run("[flow.run.kind, flow.run.settings.seed, flow.run.settings.variants]") == ["continue", 40, 1]
    assert desk.wait_end().startswith("Done")
    assert desk.names(image) == ["RePaint test/gaussian-slow · seed 40", "Background"]
    continued = desk.pixels(image)
    assert not np.array_equal(continued, kept)
    desk.undo(image)
    desk.choose("test/gaussian-slow", seed=40)
    assert desk.repaint(image).startswith("Done")
    assert desk.names(image) == ["RePaint test/gaussian-slow · seed 40", "Background"]
    assert np.array_equal(desk.pixels(image), continued), "as if it had never been stopped"


def test_more_variants_are_appended(desk: Desk) -> None:
    image = finished(desk, variants=2)
    desk.host.run("body.fields['variants'].write(1)\nNone")
    desk.press(button="more")
    assert desk.wait_end().startswith("Done")
    assert desk.names(image) == ["RePaint test/gaussian · seed 22", "Background"]
    desk.host.wait("body.more_like.get_sensitive()")
    desk.press(button="more_like")
    assert desk.wait_end().startswith("Done")
    assert desk.host.run("len(body.gallery.rows)") == 4
    assert len(desk.tree(image)) == 2


def test_one_picture_is_deleted_after_a_question(desk: Desk) -> None:
    finished(desk, variants=2)
    desk.host.run("body._sure = lambda question: (asked.append(question), len(asked) > 1)[1]\nasked = []\nNone")
    desk.press(button="drop")
    assert desk.host.run("[len(body.gallery.rows), len(asked)]") == [2, 1]
    desk.press(button="drop")
    desk.host.wait("len(body.gallery.rows) == 1")
    desk.host.run("del body._sure\nNone")


def test_the_question_is_a_real_one(desk: Desk) -> None:
    image = finished(desk)
    desk.host.run("GLib.idle_add(lambda: body.more_page.forget_here.clicked() and False)\nNone")
    desk.host.wait("any(isinstance(w, Gtk.MessageDialog) and w.get_mapped() for w in Gtk.Window.list_toplevels())")
    desk.host.screenshot("question")
    desk.host.run(
        "dialog = next(w for w in Gtk.Window.list_toplevels() if isinstance(w, Gtk.MessageDialog))\n"
        "dialog.response(Gtk.ResponseType.YES)\nNone"
    )
    desk.host.wait("len(body.gallery.rows) == 0")
    assert desk.names(image) == ["RePaint test/gaussian · seed 20", "Background"], "what stands in a layer stays"


def test_a_frame_is_dragged_by_the_mouse(desk: Desk) -> None:
    image = desk.new(160, 120)
    desk.choose()
    desk.host.run(
        "for s, n in zip(('left', 'top', 'right', 'bottom'), (0, 0, 0, 0)): body.fields['extend_' + s].write(n)\n"
        "body.pages.set_visible_child_name('extend')\nNone"
    )
    desk.work_on(image)
    desk.host.wait("body.extend_page.frame.frame() is not None and body.extend_page.frame.get_mapped()")
    desk.host.xdo("windowactivate", "--sync", desk.host.window_of("^RePaint$"))
    x, y = desk.host.run("""
frame = body.extend_page.frame
x, y, w, h = frame.frame().outer
_, left, top = frame.get_window().get_origin()
[round(left + x + w), round(top + y + h / 2)]
""")
    desk.host.drag(x, y, x + 20, y)
    right = desk.host.run("body.fields['extend_right'].read()")
    assert right >= 32
    assert right % 8 == 0
    assert desk.host.run("[body.fields['extend_' + s].read() for s in ('left', 'top', 'bottom')]") == [0, 0, 0]
    desk.host.screenshot("frame")
    desk.press(button="extend_page.button")
    assert desk.wait_end().startswith("Done")
    assert desk.host.run(f"{image.code}.get_width()") == 160 + right


def test_choices_and_place_are_remembered(desk: Desk) -> None:
    image = desk.new(160, 120)
    desk.select(image, 60, 40, 30, 30)
    desk.choose(seed=5, variants=2)
    desk.host.run("body.fields['feather'].write(3)\nbody.fields['schedule'].write('late')\nNone")
    assert desk.repaint(image).startswith("Done")
    kept = json.loads((launch.user_folders().config / "gimp.json").read_text(encoding="utf-8"))
    assert kept["user"]["feather"] == 3
    assert kept["user"]["schedule"] == "late"
    assert kept["user"]["seed"] == 5
    desk.host.run("window.move(300, 120)\nwindow.resize(860, 720)\nNone")
    desk.host.wait("list(window.get_size()) == [860, 720]")
    place = desk.host.run("list(window.get_position())")
    desk.host.run("window._close()\nNone")
    desk.host.wait("not window.get_mapped()")
    desk.menu("variants", image)
    desk.host.wait("window.get_mapped()")
    desk.host.wait("list(window.get_size()) == [860, 720]")
    # the window manager tells the place a moment after the window is there
    desk.host.wait(
        f"all(abs(a - b) <= 30 for a, b in zip(window.get_position(), {place}))", what="its place is as before"
    )
    stored = json.loads((launch.user_folders().config / "gimp-window.json").read_text(encoding="utf-8"))
    assert (stored["width"], stored["height"]) == (860, 720)


def test_closing_the_window_does_not_stop_a_run(desk: Desk) -> None:
    image = desk.new(200, 160)
    desk.choose("test/gaussian-slow", seed=7)
    desk.select(image, 60, 50, 40, 40)
    desk.press(image)
    desk.wait_preview()
    desk.host.run("window._close()\nNone")
    desk.host.wait("not flow.busy and not flow.has_steps", seconds=60)
    assert desk.names(image) == ["RePaint test/gaussian-slow · seed 7", "Background"]
    desk.menu("variants", image)
    desk.host.wait("window.get_mapped() and body.status.get_text().startswith('Done')")


@pytest.mark.parametrize("preset", ["fast", "quality", "repaint"])
def test_presets_in_plain_words(desk: Desk, preset: str) -> None:
    desk.host.wait(f"{preset!r} in body.fields['preset'].values()")
    text = desk.host.run(f"[row[1] for row in body.fields['preset'].get_model() if row[0] == {preset!r}][0]")
    assert "–" in text
    desk.choose(preset=preset)
    desk.host.run("body.pages.set_visible_child_name('more')\nbody.more_page.show_schedule()\nNone")
    assert desk.host.run("body.more_page.picture.get_pixbuf() is not None")


def test_memory_is_told_before(desk: Desk) -> None:
    image = desk.new(400, 300)
    desk.choose("texture")
    desk.work_on(image)
    desk.host.run("body.pages.set_visible_child_name('more')\nNone")
    assert desk.host.run("body.more_page.memory.get_text()") == ""
    desk.select(image, 100, 100, 100, 100)
    desk.host.run("window._images_changed()\nNone")
    text = desk.host.run("body.more_page.memory.get_text()")
    assert text.startswith("Memory needed for the selection: about ")
    desk.host.run("body.fields['variants'].write(8)\nNone")
    assert desk.host.run("body.more_page.memory.get_text()") != text


def test_another_machine_is_connected_on_the_more_page(desk: Desk) -> None:
    """What the command says is Krita's test: the root in which GIMP may run here has no engine."""
    desk.host.run("body.pages.set_visible_child_name('more')\nNone")
    desk.host.run("body.box.parts['box_line'].set_text('box:5560')\nbody.box.parts['box_connect'].clicked()\nNone")
    assert "This is not the line" in desk.host.run("body.box.parts['box'].get_text()")
    desk.host.run("body.box_page.run = lambda *words: 'Asked to ' + ' '.join(words)\nNone")
    desk.host.run(f"body.box.parts['box_line'].set_text('repaint-bridge connect box:5560 {52 * 'a'}')\nNone")
    desk.host.run("body.box.parts['box_connect'].clicked()\nNone")
    desk.host.wait(f"body.box.parts['box'].get_text() == 'Asked to connect box:5560 {52 * 'a'}'")
    desk.host.run("body.box.parts['box_disconnect'].clicked()\nNone")
    desk.host.wait("body.box.parts['box'].get_text() == 'Asked to disconnect'")
