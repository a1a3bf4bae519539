"""Live in a real GIMP: the mouse draws selections and clicks nothing else; and what it costs at rest."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tests.desk import photograph
from tests.driven import LONG

from .desk import Desk, Image


def switch(desk: Desk, on: bool) -> None:
    if bool(desk.host.run("body.live.on.get_active()")) != on:
        desk.host.run(f"body.live.on.set_active({on})\nNone")
    if on:
        desk.host.wait(
            "body.live.shared._document == (flow.host.selected() or [None])[0]",
            what="it has looked at this picture: what is selected already is no news",
        )


@pytest.fixture
def image(desk: Desk) -> Image:
    """A photograph that fills GIMP's window, with nothing to undo, Live on, the free selection tool in hand."""
    made = desk.open(photograph(desk.host.work / "portrait.png", 1200, 900))
    return ready(desk, made)


def ready(desk: Desk, image: Image) -> Image:
    desk.host.run(f"i = {image.code}\ni.undo_disable()\ni.undo_enable()\ni.clean_all()\nwindow.move(800, 280)\nNone")
    desk.work_on(image)
    main = desk.host.window_of("GIMP$")
    desk.host.xdo("windowmove", main, 0, 0, "windowsize", main, 1600, 980)
    desk.keys("shift+ctrl+j", "f")
    switch(desk, True)
    desk.host.xdo("windowactivate", "--sync", main)
    return image


def lasso(desk: Desk, x: float, y: float, side: float = 24) -> None:
    """Around a point of the screen, the end near the beginning."""
    points = [(x + side * np.cos(a), y + side * np.sin(a)) for a in np.linspace(0, 1.94 * np.pi, 24)]
    words: list[object] = ["mousemove", *map(round, points[0]), "sleep", "0.1", "mousedown", 1, "sleep", "0.1"]
    for point in points:
        words += ["mousemove", *map(round, point), "sleep", "0.03"]
    desk.host.xdo(*words, "sleep", "0.05", "mouseup", 1)


def lassos(desk: Desk, places: list[tuple[float, float]], side: float = 24) -> list[float]:
    """A fill for each, with nothing else clicked; the seconds from the mouse's release to the final picture."""
    times = []
    for number, place in enumerate(places):
        lasso(desk, *place, side)
        began = desk.host.run("time.monotonic()")
        desk.host.wait(
            f"len(flow.runs) == {number + 1} and not flow.busy and not flow.has_steps and host.selected()[1] is None",
            seconds=60,
            what=f"fill {number + 1} is there and its selection gone",
        )
        times.append(desk.host.run("flow.runs[-1].clicked + flow.runs[-1].timings['ended']") - began)
    print("release to final picture:", [round(each, 2) for each in times], "s")
    return times


def undo_by_key(desk: Desk, image: Image) -> tuple[int, bool]:
    """Ctrl+Z in GIMP's window; how many layers there are then, and whether something is selected."""
    before = desk.fingerprint(image)
    desk.keys("ctrl+z")
    desk.host.wait(f"layers_hash({image.code}) != {before!r}", what="something is undone")
    layers, selected = desk.host.run(f"[len(tree({image.code})), host.selected()[1] is not None]")
    return layers, selected


def test_ten_in_a_row_need_no_click_but_the_lasso(desk: Desk, image: Image) -> None:
    """One Ctrl+Z takes each fill away and gives its selection back, the next one takes the lasso itself back."""
    desk.choose("test/gaussian", seed=7)
    before, nothing_done = desk.pixels(image), desk.fingerprint(image)
    desk.host.xdo("windowactivate", "--sync", desk.host.window_of("GIMP$"))
    lassos(desk, [(300 + 90 * (number % 5), 170 + 200 * (number // 5)) for number in range(10)])
    desk.host.screenshot("live")
    assert len(desk.names(image)) == 11
    assert (desk.pixels(image) != before).any()
    for left in range(10, 0, -1):
        assert undo_by_key(desk, image) == (left, True), "the fill is gone, its selection is back"
        assert undo_by_key(desk, image) == (left, False), "and now the lasso, too"
    assert desk.fingerprint(image) == nothing_done
    assert np.array_equal(desk.pixels(image), before)


def test_a_cancel_selects_again(desk: Desk, image: Image) -> None:
    """What Live has deselected, bit for bit; and it is not filled again."""
    desk.choose("test/gaussian-slow", LONG, seed=7)
    desk.host.xdo("windowactivate", "--sync", desk.host.window_of("GIMP$"))
    lasso(desk, 400, 300)
    desk.wait_preview()
    assert desk.host.run("host.selected()[1] is None")
    wanted = desk.host.run(
        "c = flow.run.capture\nw, b = c.target.box.width, c.target.painted\n"
        "p = b''.join(c.selection[y * w + b.x:][:b.width] for y in range(b.y, b.y + b.height))\n"
        "hashlib.sha256(p).hexdigest()"
    )
    box = desk.host.run("list(vars(flow.run.target.bounds).values())")
    desk.press(button="cancel_button")
    assert desk.wait_end() == "Cancelled."
    assert desk.names(image) == ["Background"]
    assert desk.host.run(f"{image.code}.get_channels()") == []
    found = desk.host.run(
        f"hashlib.sha256(bytes({image.code}.get_selection().get_buffer().get("
        f"Gegl.Rectangle.new(*{box}), 1.0, 'Y u8', Gegl.AbyssPolicy.NONE))).hexdigest()"
    )
    assert desk.host.run("list(vars(host.selected()[1]).values())") == box
    assert found == wanted
    time.sleep(0.5)
    assert not desk.host.run("flow.busy"), "it is not filled again"


def test_keep_selected_keeps_it(desk: Desk, image: Image) -> None:
    desk.choose("test/gaussian", seed=7)
    desk.host.run("body.live.after.write('keep')\nNone")
    desk.select(image, 100, 100, 40, 40)
    desk.host.wait("len(flow.runs) == 1 and not flow.busy and not flow.has_steps", seconds=60)
    assert desk.host.run("host.selected()[1] is not None")
    desk.host.run("body.live.after.write('deselect')\nNone")
    assert undo_by_key(desk, image) == (1, True)


def test_a_look_costs_next_to_nothing(desk: Desk, image: Image) -> None:
    desk.select(image, 100, 100, 40, 40)
    cost = desk.host.run("""
begun = time.process_time()
for _ in range(100): host.selected()
(time.process_time() - begun) / 100
""")
    print(f"a look: {1e6 * cost:.0f} µs in the plug-in")
    assert 10 * cost < 0.01
