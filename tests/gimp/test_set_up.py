"""From the zip to a fill by mouse in a real GIMP, in a home that has never seen the project: the whole engine, from a
folder of wheels; and what can come between, with a kit of a few small wheels (tests/krita/test_set_up.py says more).

A GIMP in a root file system is lent the Python of the tests, for which the engine's build is small.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge_server.__main__ import main as bridge_command
from bridge_server.client import launch
from bridge_server.manage import plugins
from tests.driven import Display
from tests.setup.index import Index, serving
from tests.setup.kits import SmallKit
from tests.wheels import all_wheels, lend, lend_python, remember

from .desk import Desk
from .host import GimpHost

PANEL = "body.set_up_panel"
PAGE = "service.set_up"
NO_SETTINGS = {"PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1"}
KEPT = 15_000_000  # bytes that have come when the index is held; uv alone is larger


@pytest.fixture(scope="module")
def display(work: Path) -> Iterator[Display]:
    """A screen without the shared GIMP, whose windows may come to lie over those of another one."""
    del work  # says what is missing
    with Display() as shown:
        yield shown


def stranger(work: Path, display: Display, packaged: Path, **environment: str) -> GimpHost:
    """A GIMP into whose plug-ins the zip was unpacked, with a home where the engine has never been."""
    host = GimpHost(work, display)
    plugins.uninstall_gimp(host.configuration)
    [path] = packaged.glob("repaint_gimp-*.zip")
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            place = Path(archive.extract(info, host.configuration / "plug-ins"))
            if place.is_file():
                place.chmod(info.external_attr >> 16 & 0o777)  # as programs for artists do
    host.environment[launch.HOME_VARIABLE] = str(host.gimp.inside(work / "home of RePaint"))
    host.environment.update(environment, GSETTINGS_BACKEND="memory")  # GTK’s dialogue writes settings
    host.lent = lend_python(host.gimp, host.environment)
    return host


def opened(host: GimpHost) -> Desk:
    """RePaint's window is open, and the page can be clicked."""
    host.start()
    desk = Desk(host)
    desk.open_window()
    host.wait(
        f"{PANEL}.parts['set_up'].get_sensitive() and {PANEL}.parts['set_up'].get_visible()", what="the plan is made"
    )
    return desk


def test_from_the_zip_to_a_fill(work: Path, display: Display, packaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = work / "from the zip"
    host = stranger(folder, display, packaged)
    host.expected = re.compile(
        "gtk_tree_model_get_iter_first|gtk_widget_event"
    )  # GTK's own dialogue, while a path is typed
    wheels = lend(all_wheels(packaged / "kit"), folder / "wheels")
    monkeypatch.setenv(launch.HOME_VARIABLE, str(folder / "home of RePaint"))  # to stop the bridge by
    try:
        desk = opened(host)
        assert not host.run("body.halves.get_visible()"), "there is nothing to paint with yet"
        text = host.run(f"{PANEL}.parts['set_up_about'].get_text()")
        for part in ("not set up yet", "Download: ", "home of RePaint/data/engines", "GPL-3.0"):
            assert part in text
        desk.click("set_up_panel.parts['from_folder']")
        host.window_of("The folder with all packages", 40)  # on a busy machine GTK's dialogue takes long to come
        time.sleep(1)
        host.keys("Escape")  # GTK completes paths while they are typed: what is chosen is told by the test
        place = str(host.gimp.inside(wheels))
        host.run(f"import pathlib\npump.do('test', lambda: {PAGE}.take_from(pathlib.Path({place!r})))\nNone")
        ready = f"{PANEL}.parts['set_up'].get_sensitive()"
        host.wait(f"'without a download' in {PANEL}.parts['set_up_about'].get_text() and {ready}")
        remember(host, PAGE)
        began = time.monotonic()
        desk.click("set_up_panel.parts['set_up']")
        host.wait(f"{PANEL}.parts['set_up_progress'].get_visible()")
        host.wait("seen and '▸ Try a small fill' in seen[-1]", seconds=300, what="the engine is tried")
        host.screenshot("trying")
        host.wait("flow.connected and flow.engine == 'ready'", seconds=400, what="the engine is ready")
        print("set up within", time.monotonic() - began)
        host.run("driver.watchers.clear()\nNone")
        assert host.run("body.halves.get_visible() and body.selection_page.button.get_sensitive()"), "no restart"
        assert not host.run(f"{PANEL}.get_visible()")
        take_the_tour(desk)
        host.stop()
    finally:
        host.kill()
        bridge_command(["stop"])


def take_the_tour(desk: Desk) -> None:
    """By mouse, through its four steps; the fill arrives and one undo removes it."""
    host, text = desk.host, "body.tour.parts['tour'].get_text()"
    host.wait("body.tour.get_visible()", what="the tour is offered")
    desk.click("tour.parts['tour_begin']")
    host.wait(f"{text}.startswith('1 of 4')")
    host.run("images['tour'] = Gimp.Image.get_by_id(int(host.image))\ntour = images['tour']\nNone")
    assert host.run("[tour.get_width(), tour.get_height()]") == [600, 450]
    host.run("window.move(900, 100)\nNone")
    main = host.window_of("GIMP$")
    host.xdo("windowactivate", "--sync", main, "windowmove", main, 0, 0, "windowsize", main, 880, 700)
    time.sleep(1)
    # By GIMP's procedure: a drag over the canvas does not always reach a busy GIMP.
    host.run("images['tour'].select_rectangle(Gimp.ChannelOps.REPLACE, 240, 180, 120, 100)\nNone")
    host.wait(f"{text}.startswith('2 of 4')", what="the selection was seen")
    host.screenshot("tour")
    before = host.run("tree(tour)")
    desk.click("selection_page.button")
    host.wait(f"{text}.startswith('3 of 4')", seconds=120, what="the fill has arrived")
    desk.wait_end(120)
    assert len(host.run("tree(tour)")) == len(before) + 1
    place = host.run(
        "g = body.gallery\nn = 1 - g.get_selected_items()[0].get_indices()[0]\n"
        "found, cell = g.get_cell_rect(Gtk.TreePath.new_from_indices([n]), None)\n"
        "_, x, y = g.get_window().get_origin()\n"
        "[x + cell.x + cell.width // 2, y + cell.y + cell.height // 2]"
    )
    host.xdo("windowactivate", "--sync", host.window_of("^RePaint$"))
    host.click(*place)
    host.wait(f"{text}.startswith('4 of 4')", what="the other one is chosen")
    host.wait("not flow.has_steps")
    desk.keys("ctrl+z")
    host.wait(f"{text}.startswith('That is all')", what="the undo was seen")
    assert host.run("tree(tour)") == before
    desk.click("tour.parts['tour_no']")
    host.wait("not body.tour.get_visible()")


# ---------------------------------------------------------------- with a small kit


class Shop:
    """A GIMP before its set-up, with a small kit, and the index that has what the kit asks for."""

    def __init__(self, work: Path, display: Display, packaged: Path, kit: SmallKit, index: Index) -> None:
        self.kit, self.index = kit, index
        self.host = stranger(work, display, packaged, PIP_INDEX_URL=index.address, **NO_SETTINGS)
        inside = self.host.configuration / "plug-ins/repaint_gimp/kit"
        shutil.rmtree(inside)
        shutil.copytree(kit.folder, inside)
        self.desk = opened(self.host)

    def begin(self, hold: bool = False) -> None:
        """Clicks the main button; with ``hold`` the index stops in the middle."""
        self.index.stop_after = self.index.sent + KEPT if hold else -1
        self.desk.click("set_up_panel.parts['set_up']")
        if hold:
            self.host.wait(f"{PAGE}.job.shown().steps[0].done >= {KEPT}", what="it downloads")

    def wait_done(self) -> None:
        self.host.wait(f"{PAGE}.state == 'ready'", seconds=90, what="it is set up")


@pytest.fixture
def shop(work: Path, display: Display, packaged: Path, tmp_path: Path) -> Iterator[Shop]:
    kit = SmallKit(tmp_path / "made")
    with serving(kit.wheels) as index:
        one = Shop(work / tmp_path.name, display, packaged, kit, index)
        yield one
        one.host.kill()


def test_cancel_kill_and_go_on(shop: Shop) -> None:
    host = shop.host
    shop.begin(hold=True)
    host.screenshot("downloading")
    shop.desk.click("set_up_panel.parts['stop_set_up']")
    host.wait(
        f"{PANEL}.parts['set_up'].get_visible() and {PANEL}.parts['set_up'].get_sensitive()",
        seconds=5,
        what="it has stopped",
    )
    said = "Stopped; what has arrived is kept. Click Continue to go on from there."
    assert host.run(f"[{PANEL}.parts['set_up_sentence'].get_text(), {PANEL}.parts['set_up'].get_label()]") == [
        said,
        "_Continue",
    ]
    shop.index.stop_after = shop.index.sent + 1_000_000
    shop.desk.click("set_up_panel.parts['set_up']")
    host.wait(f"{PAGE}.job.shown().steps[0].done > {KEPT} + 900000", what="it goes on")
    host.kill()
    shop.desk = opened(host)
    assert "begun and not finished" in host.run(f"{PANEL}.parts['set_up_about'].get_text()")
    sent, whole = shop.index.sent, sum(path.stat().st_size for path in shop.kit.wheels.iterdir())
    shop.begin()
    shop.wait_done()
    assert shop.index.sent - sent < whole - KEPT, "what had come is not fetched again"
    host.stop()


def test_what_goes_wrong_is_a_sentence_in_the_window(shop: Shop) -> None:
    host, index = shop.host, shop.index
    index.harm = True
    shop.begin()
    host.wait(f"'is not the file that it should be' in {PANEL}.parts['set_up_sentence'].get_text()", seconds=30)
    host.wait(f"{PANEL}.parts['set_up'].get_sensitive()", what="it can be tried again")
    shop.desk.click("set_up_panel.parts['show_log']")
    host.wait(f"'set-up of' in {PAGE}.shown().log and {PANEL}.parts['set_up_log'].get_visible()", what="the log")
    host.screenshot("wrong-hash")
    index.shutdown()
    index.server_close()
    shop.desk.click("set_up_panel.parts['set_up']")
    host.wait(f"'cannot be reached: check the network' in {PANEL}.parts['set_up_sentence'].get_text()", seconds=60)
    host.stop()


def test_the_line_of_another_machine(shop: Shop) -> None:
    """What is no such line is said; with one, that machine is named before anything is set up."""
    host = shop.host
    key = "b" * 52
    for line, told in (
        (
            "connect box:5560",
            f"'This is not the line of another machine' in {PANEL}.parts['set_up_sentence'].get_text()",
        ),
        (
            f"repaint-bridge connect box:5560 {key}",
            f"'The machine box:5560 does the work' in {PANEL}.parts['set_up_about'].get_text()",
        ),
    ):
        shop.desk.click("set_up_panel.parts['use_box']")
        host.window_of("Use another machine")
        host.xdo("type", "--delay", "5", line)
        host.screenshot("another-machine")
        host.keys("Return")
        host.wait(told)
        host.wait(f"{PANEL}.parts['set_up'].get_sensitive()", what="the plan is made")
    host.stop()
