"""The plug-in inside a real GIMP with a window, over the real bridge, with the real engine: nothing is a stand-in."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np
import pytest

from tests.desk import photograph
from tests.driven import LONG

from .desk import Desk, Image

DONE = "RePaint test/gaussian-slow · seed 7"


def changed(before: np.ndarray, after: np.ndarray) -> tuple[slice, slice]:
    """The smallest box that holds every pixel that differs."""
    rows, columns = np.nonzero((before != after).any(axis=2))
    return slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)


def start(desk: Desk, image: Image, model: str = "test/gaussian-slow", **more: Any) -> None:
    desk.choose(model, seed=7, **more)
    desk.press(image)
    desk.wait_preview()


def test_select_click_watch_undo_redo(desk: Desk) -> None:
    """The whole road: menu, button by mouse, previews in a layer while GIMP goes on, one Ctrl+Z, redo."""
    image = desk.new(400, 300)
    desk.select(image, 100, 80, 120, 90)
    before, tree, mark = desk.pixels(image), desk.tree(image), desk.fingerprint(image)
    began = time.monotonic()
    assert desk.menu("selection", image) == "success"
    assert time.monotonic() - began < 10, "the menu's call returns at once"
    desk.host.wait(f"window.get_mapped() and host.image == str({image.code}.get_id())")
    desk.choose("test/gaussian-slow", seed=7)
    desk.host.run("""
states = []
def watch():
    if flow.run is None or flow.run.layer is None: return
    layer = flow.run.layer.layer
    if not layer.is_valid(): return
    state = hashlib.sha256(bytes_of(layer)).hexdigest()
    if state not in states: states.append(state)
driver.watchers["states"] = watch
None
""")
    desk.click("selection_page.button")
    desk.wait_preview()
    desk.host.screenshot("preview")
    assert desk.names(image)[0] == "RePaint preview"
    assert desk.wait_end().startswith("Done")
    states = desk.host.run("driver.watchers.clear()\nlen(states)")
    assert states >= 4, "the empty layer and three different previews at least were to be seen"
    after, done = desk.pixels(image), desk.tree(image)
    assert [layer[0] for layer in done] == [DONE, "Background"]
    assert desk.selected(image) == ["Background"], "the artist's layer stays the selected one"
    rows, columns = changed(before, after)
    assert (rows, columns) == (slice(80, 170), slice(100, 220))
    desk.undo(image)
    assert desk.tree(image) == tree
    assert desk.fingerprint(image) == mark
    desk.redo(image)
    assert desk.tree(image) == done
    assert np.array_equal(desk.pixels(image), after)


def test_a_wide_selection_in_a_photograph(desk: Desk) -> None:
    """512 × 512 of 4000 × 3000: the first preview shows the whole selection; what lies outside stays as it is."""
    image = desk.open(photograph(desk.host.work / "photograph.png", 4000, 3000))
    desk.choose("exemplar", seed=7)
    desk.select(image, 100, 100, 32, 32)
    assert desk.repaint(image).startswith("Done")  # the engine has loaded this model, as it has after a usual start
    desk.select(image, 1700, 1200, 512, 512)
    before = desk.pixels(image)
    desk.host.run("""
painted_at_first = []
def watch():
    if flow.run is None or flow.run.layer is None or painted_at_first: return
    alpha = bytes_of(flow.run.layer.layer, "R'G'B'A u8")[3::4]
    if any(alpha): painted_at_first.append(alpha.count(255))
driver.watchers["first"] = watch
pump.probe.reset()
None
""")
    desk.press(image)
    assert desk.wait_end(240).startswith("Done")
    first = desk.host.run("driver.watchers.clear()\npainted_at_first[0]")
    assert first == 512 * 512, "all of it is painted in the first preview"
    print("click to …:", desk.host.run("flow.runs[-1].timings"), desk.host.run("pump.probe.summary()"))
    desk.host.run("window.move(1010, 100)\nNone")  # beside the selection
    desk.host.screenshot("wide")
    after = desk.pixels(image)
    mask = np.zeros((3000, 4000), bool)
    mask[1200:1712, 1700:2212] = True
    assert np.array_equal(after[~mask], before[~mask])
    assert (after[mask] != before[mask]).any(-1).mean() > 0.9


def test_painting_goes_on_meanwhile(desk: Desk) -> None:
    """What the artist does during a run stands, and is undone on its own."""
    image = desk.new(300, 200)
    desk.select(image, 100, 60, 80, 60)
    start(desk, image)
    desk.host.run(
        f"b = {image.code}.get_layers()[-1]\nc = Gimp.Layer.copy(b)\n{image.code}.insert_layer(c, None, 2)\n"
        "c.set_name('meanwhile')\nNone"
    )
    assert desk.wait_end().startswith("Done")
    assert desk.names(image) == [DONE, "Background", "meanwhile"]


@pytest.mark.parametrize("moment", ["at once", "waiting", "preview"])
def test_cancel_leaves_nothing(desk: Desk, moment: str) -> None:
    image = desk.new(300, 200)
    desk.select(image, 100, 60, 80, 60)
    before = desk.fingerprint(image)
    desk.choose("test/gaussian-slow", LONG)
    desk.work_on(image)
    if moment == "at once":
        desk.host.run("body.selection_page.button.clicked()\nbody.cancel_button.clicked()\nNone")
    else:
        desk.press()
        if moment == "preview":
            desk.wait_preview()
        else:
            desk.host.wait("flow.phase in ('waiting', 'running')")
        desk.press(button="cancel_button")
    assert desk.wait_end() == "Cancelled."
    assert desk.fingerprint(image) == before
    idle = desk.wait_bridge("the worker is idle", lambda status: not status.running)
    assert idle.calls_after_cancel <= 1
    assert desk.selected(image) == ["Background"]


def test_undo_mid_run_cancels(desk: Desk) -> None:
    image = desk.new(300, 200)
    desk.select(image, 100, 60, 80, 60)
    before = desk.fingerprint(image)
    start(desk, image, preset=LONG)
    desk.keys("ctrl+z")
    assert "preview layer is gone" in desk.wait_end()
    assert desk.fingerprint(image) == before
    desk.wait_bridge("the worker is idle", lambda status: not status.running)
    desk.redo(image)
    look = f"not any(bytes_of({image.code}.get_layers()[0]))"
    desk.host.wait(look, what="redo brings back an empty layer, not a half-made picture")
    assert len(desk.tree(image)) == 2


def test_a_selected_channel_stays_selected(desk: Desk) -> None:
    image = desk.new(300, 200)
    desk.select(image, 100, 60, 80, 60)
    desk.host.run(f"""
i = {image.code}
channel = Gimp.Channel.new(i, "channel", 300, 200, 50, Gegl.Color.new("red"))
i.insert_channel(channel, None, 0)
i.set_selected_channels([channel])
None
""")
    names = f"[channel.get_name() for channel in {image.code}.get_selected_channels()]"
    start(desk, image, preset=LONG)
    assert desk.host.run(names) == ["channel"]
    desk.press(button="cancel_button")
    assert desk.wait_end() == "Cancelled."
    assert desk.host.run(names) == ["channel"]
    assert desk.selected(image) == []


def test_deleting_the_layer_mid_run_cancels(desk: Desk) -> None:
    image = desk.new(300, 200)
    desk.select(image, 100, 60, 80, 60)
    start(desk, image, preset=LONG)
    desk.host.run(f"{image.code}.remove_layer(flow.run.layer.layer)\nNone")
    assert "preview layer is gone" in desk.wait_end()
    assert desk.names(image) == ["Background"]


def test_closing_the_image_mid_run(desk: Desk) -> None:
    image, other = desk.new(300, 200), desk.new(200, 200)
    desk.select(image, 100, 60, 80, 60)
    before = desk.fingerprint(other)
    start(desk, image, preset=LONG)
    desk.close(image)
    assert "was closed" in desk.wait_end()
    assert desk.fingerprint(other) == before
    desk.wait_bridge("the worker is idle", lambda status: not status.running)
    desk.select(other, 50, 50, 40, 40)
    desk.choose("test/gaussian-slow")
    assert desk.repaint(other).startswith("Done")


def test_previews_follow_a_moved_layer(desk: Desk) -> None:
    image = desk.new(300, 200)
    desk.select(image, 100, 60, 80, 60)
    start(desk, image)
    desk.host.run("flow.run.layer.layer.set_offsets(10, 20)\nNone")
    assert desk.wait_end().startswith("Done")
    assert (desk.layer_pixels(image, DONE)[..., 3] == 255).all()
    assert list(desk.host.run(f"{image.code}.get_layers()[0].get_offsets()"))[1:] == [10, 20]


def test_another_image_in_front_gets_nothing(desk: Desk) -> None:
    image, other = desk.new(300, 200), desk.new(300, 200)
    desk.select(image, 100, 60, 80, 60)
    before = desk.fingerprint(other)
    start(desk, image)
    desk.work_on(other)
    assert desk.wait_end().startswith("Done")
    assert desk.names(image) == [DONE, "Background"]
    assert desk.fingerprint(other) == before


@pytest.mark.parametrize("undo", [True, False])
def test_extend_is_one_undo_step(desk: Desk, undo: bool) -> None:
    image = desk.new(200, 150)
    before = desk.fingerprint(image)
    desk.choose("test/gaussian-slow" if not undo else "test/gaussian", seed=7)
    desk.host.run(
        "for s, n in zip(('left', 'top', 'right', 'bottom'), (16, 0, 48, 8)): body.fields['extend_' + s].write(n)"
    )
    desk.press(image, "extend_page.button")
    if undo:
        assert desk.wait_end().startswith("Done")
        grown = Image(image.name, 264, 158)
        assert (desk.pixels(grown)[..., 3] == 255).all(), "no hole is left"
        desk.undo(image)
    else:
        desk.wait_preview()
        desk.press(button="cancel_button")
        assert desk.wait_end() == "Cancelled."
    assert desk.fingerprint(image) == before


def test_tile(desk: Desk) -> None:
    image = desk.new(128, 96)
    before = desk.pixels(image)
    desk.choose(seed=7)
    desk.host.run("body.pages.set_visible_child_name('tile')\nbody.fields['tile_band'].write(32)\nNone")
    desk.press(image, "tile_page.button")
    assert desk.wait_end().startswith("Done")
    after = desk.pixels(image)
    assert np.array_equal(after[16:-16, 16:-16], before[16:-16, 16:-16])
    assert not np.array_equal(after[:16], before[:16])
    desk.host.wait("body.tile_page.preview.get_pixbuf() is not None", what="the repeated picture is shown")


def test_with_last_values_starts_at_once(desk: Desk) -> None:
    image = desk.new(200, 150)
    desk.select(image, 60, 50, 40, 40)
    desk.choose(seed=99)
    assert desk.menu("selection", image, "WITH_LAST_VALS") == "success"
    desk.host.wait(f"len({image.code}.get_layers()) == 2")
    assert desk.wait_end().startswith("Done")
    assert desk.names(image)[0] == "RePaint test/gaussian · seed 99"


def test_refusals_are_one_sentence(desk: Desk) -> None:
    desk.choose()
    desk.host.run("body.selection_page.button.clicked()\nNone")
    assert "Open a picture first" in desk.wait_end()
    image = desk.new(200, 150)
    before = desk.fingerprint(image)
    assert "Select the part to repaint first" in desk.repaint(image)
    desk.host.run(
        f"Gimp.edit_copy({image.code}.get_layers())\nGimp.edit_paste({image.code}.get_layers()[0], True)\nNone"
    )
    assert "floating selection" in desk.repaint(image)
    desk.host.run(f"{image.code}.remove_layer({image.code}.get_floating_sel())\nNone")
    assert desk.fingerprint(image) == before


def test_worker_killed_mid_run(desk: Desk) -> None:
    """The engine dies: it is started again, and the run ends with the same pixels."""
    image = desk.new(300, 200)
    desk.select(image, 100, 60, 80, 60)
    start(desk, image)
    assert desk.wait_end().startswith("Done")
    wanted = desk.layer_pixels(image, DONE)
    again = desk.new(300, 200)
    desk.select(again, 100, 60, 80, 60)
    start(desk, again)
    os.kill(desk.bridge().worker_pid, signal.SIGKILL)
    desk.host.wait("flow.is_error and 'started again' in flow.sentence", what="the artist is told")
    assert desk.wait_end(120).startswith("Done")
    assert np.array_equal(desk.layer_pixels(again, DONE), wanted)


def test_slots_are_short(desk: Desk) -> None:
    """A whole 2048² canvas: what the plug-in does between two turns of its loop stays short, and GIMP answers."""
    image = desk.new(2048, 2048)
    desk.select(image, 0, 0, 2048, 2048)
    desk.host.run("pump.probe.reset()\nNone")
    desk.choose("test/gaussian", seed=7)
    desk.press(image)
    desk.host.wait("flow.run is not None and flow.run.variants[0].version >= 3", seconds=120)
    desk.press(button="cancel_button")
    desk.wait_end()
    slots = desk.host.run("pump.probe.summary()")
    assert slots["processor_p99_ms"] < 50, slots
