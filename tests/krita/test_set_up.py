"""From the zip to a fill by mouse and keyboard, in a home that has never seen the project; and what can come between.

The first test sets up the whole engine, from a folder of wheels. The others have a kit of a few small wheels and an
index on this machine (tests/setup): what they set up is no engine, but page, downloads and environment are real.
A Krita in a root file system is lent the Python of the tests, for which the engine's build is small.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge_server.__main__ import main as bridge_command
from bridge_server.client import launch
from tests.box.road import Box, command, fingerprints
from tests.bridge.home import SLOW, until
from tests.setup.index import Index, serving
from tests.setup.kits import SmallKit, renew
from tests.wheels import DOWNLOADED, all_wheels, lend, lend_python, own_settings, remember

from .desk import Desk
from .host import REPOSITORY, Display, KritaHost, chosen_krita
from .test_installed import import_zip

PANEL = "dock().set_up_panel"
PAGE = "dock()._page"
KEPT = 15_000_000  # bytes that have come when the index is held; uv alone is larger
HELD = 3.0  # seconds that the GUI thread may stand still, whatever else this machine does; a third of one is usual
DOWNLOADS = DOWNLOADED and chosen_krita().root is None  # once is enough
NO_SETTINGS = {"PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1"}


def zip_of(packaged: Path) -> Path:
    [archive] = packaged.glob("repaint_krita-*.zip")
    return archive


def stranger(work: Path, display: Display, **environment: str) -> KritaHost:
    """A Krita without the plug-in, and on a computer with a Python for the engine."""
    host = KritaHost(work, display=display, plugin=False, environment=environment)
    host.lent = lend_python(host.krita, host.environment)
    return host


def type_folder(host: KritaHost, folder: Path) -> None:
    """Into the dialogue that asks for a folder or a file."""
    host.wait("QtWidgets.QApplication.activeModalWidget() is not None", what="the dialogue")
    host.wait("isinstance(QtWidgets.QApplication.focusWidget(), QtWidgets.QLineEdit)", what="it takes what is typed")
    host.xdo("type", "--delay", "5", str(folder))
    host.keys("Return")
    host.wait(
        "not isinstance(QtWidgets.QApplication.activeModalWidget(), QtWidgets.QFileDialog)",
        what="the dialogue is closed",
    )


def test_from_the_zip_to_a_fill(
    display: Display, packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = lend(all_wheels(packaged / "kit"), tmp_path / "wheels")
    home = tmp_path / "home of RePaint"
    monkeypatch.setenv(launch.HOME_VARIABLE, str(home))  # for the bridge that this test asks and stops
    own = own_settings() if DOWNLOADS else {}
    host = stranger(tmp_path, display, **{launch.HOME_VARIABLE: str(home), **own})
    settings = host.home / ".config/kritarc"
    settings.write_text("[python]\nenable_repaint_test_driver=true\n")
    try:
        host.start()
        host.run("QtCore.QTimer.singleShot(0, Krita.instance().action('plugin_importer_file').trigger)")
        type_folder(host, zip_of(packaged))
        host.wait("isinstance(QtWidgets.QApplication.activeModalWidget(), QtWidgets.QMessageBox)")
        host.keys("alt+y")  # enable it? (requires a restart)
        host.wait("QtWidgets.QApplication.activeModalWidget() is None")
        host.run(
            "QtCore.QTimer.singleShot(0, Krita.instance().action('file_quit').trigger)"
        )  # what writes its settings
        assert host.process is not None
        host.process.wait(20)
        host.process = None
        assert "enable_repaint_krita=true" in settings.read_text()
        host.start()
        desk = Desk(host)
        host.wait(
            f"{PANEL}.parts['set_up'].isEnabled() and {PANEL}.parts['set_up'].isVisible()", what="the plan is made"
        )
        assert not host.run("dock().button.isVisible()"), "there is nothing to paint with yet"
        text = host.run(f"{PANEL}.parts['set_up_about'].text()")
        for part in ("not set up yet", "Download: ", "On the disk: ", str(home / "data/engines"), "GPL-3.0"):
            assert part in text
        if not DOWNLOADS:
            desk.click("set_up_panel.parts['from_folder']")
            type_folder(host, wheels)
            host.wait(
                f"'without a download' in {PANEL}.parts['set_up_about'].text() and {PANEL}.parts['set_up'].isEnabled()"
            )
        remember(host, PAGE)
        host.run("driver.gaps.clear()\ndriver.record_gaps = True")
        began = time.monotonic()
        desk.click("set_up_panel.parts['set_up']")
        host.wait(f"{PANEL}.parts['set_up_progress'].isVisible()")
        host.wait("'▸ Try a small fill' in seen[-1]", seconds=500, what="the engine is tried")
        desk.screenshot("trying")
        host.wait("flow.connected and flow.engine == 'ready'", seconds=400, what="the engine is ready")
        print("set up within", time.monotonic() - began)
        gaps = host.run("driver.record_gaps = False\nsorted(driver.gaps)[-3:]")
        print("GUI thread held for", gaps)
        assert gaps[-1] < HELD
        seen = host.run("driver.watchers.clear()\nseen")
        first = "▸ Download the packages" if DOWNLOADS else "▸ Check the packages"
        assert any(first in each or "▸ Install the packages" in each for each in seen)
        assert all(" · " in each for each in seen), "seconds are told"
        assert host.run("dock().button.isVisible() and dock().button.isEnabled()"), "without a restart"
        assert not host.run(f"{PANEL}.isVisible()")
        until(lambda: not (home / "cache/wheels").exists(), "the downloads are removed", patience=60)
        take_the_tour(desk)
        shown, picture = paint_once(desk, tmp_path)
        host.stop()
        renew(host.home / ".local/share/krita/pykrita/repaint_krita/kit", "99.1")
        host.start()
        desk = Desk(host)
        host.wait("flow.connected and flow.engine == 'ready'", seconds=90)
        assert not host.run("dock().tour.isVisible()"), "it is offered once"
        update(desk, wheels)
        assert not host.run("dock().tour.isVisible()"), "nor after an update"
        engines = home / "data/engines"
        until(
            lambda: [each.name[:5] for each in engines.iterdir()] == ["99.1-"], "the old one is removed", patience=300
        )
        find_again(desk, picture, shown)
        host.run("dock().pages.setCurrentIndex(3)")
        desk.click("removal.parts['remove']")
        host.wait("'Will be removed:' in dock().removal.parts['removal'].text()", what="what goes and what stays")
        assert "The history" in host.run("dock().removal.parts['removal'].text()").partition("Will be kept:")[2]
        desk.click("removal.parts['remove_now']")
        host.wait("dock().removal.parts['removal'].text().startswith('Removed.')", seconds=300, what="it is gone")
        host.wait(f"{PANEL}.isVisible() and {PANEL}.parts['set_up'].isEnabled()", what="it could be set up again")
        assert not (home / "data/engines").exists()
        host.stop()
    finally:
        host.kill()
        bridge_command(["stop"])


def paint_once(desk: Desk, folder: Path) -> tuple[str, Path]:
    """One variant in a picture that stays in the history; what it looks like, and the picture's file."""
    picture = folder / "picture.png"
    shutil.copy(REPOSITORY / "engine/assets/demo.jpg", picture)
    document = desk.open(picture)
    desk.select(document, 60, 50, 40, 40)
    desk.choose("exemplar", seed=20)
    assert desk.repaint().startswith("Done")
    return desk.fingerprint(document), picture


def update(desk: Desk, wheels: Path) -> None:
    """By mouse, while the old engine goes on."""
    host = desk.host
    host.wait(
        f"{PANEL}.parts['set_up'].isVisible() and {PANEL}.parts['set_up'].isEnabled()", what="the update is offered"
    )
    assert host.run(f"{PANEL}.parts['set_up'].text()") == "&Update"
    assert "99.1 came with this plug-in" in host.run(f"{PANEL}.parts['set_up_about'].text()")
    assert host.run("dock().button.isVisible()"), "one can go on painting"
    desk.click("set_up_panel.parts['from_folder']")
    type_folder(host, wheels)
    host.wait(f"'without a download' in {PANEL}.parts['set_up_about'].text() and {PANEL}.parts['set_up'].isEnabled()")
    desk.click("set_up_panel.parts['set_up']")
    host.wait(f"{PAGE}.job is not None")
    desk.screenshot("update")
    host.wait(f"{PAGE}.job is None", seconds=300, what="the update is done")
    host.wait(f"{PAGE}.state == 'ready' and not {PANEL}.isVisible()", what="nothing more is offered")
    host.wait("flow.connected and flow.engine == 'ready'", seconds=90, what="the new engine is ready")


def find_again(desk: Desk, picture: Path, shown: str) -> None:
    """What was painted by the engine before lies in the history, and the new one paints."""
    host = desk.host
    document = desk.open(picture)
    host.wait("sum(v.finished for r in flow.runs for v in r.variants) == 1", seconds=60, what="it is found again")
    host.run("dock().gallery.show_item(dock().gallery._items[flow.runs[0].number, 0])")
    host.wait("flow.runs[0].series.shown is not None and not flow.has_steps")
    assert desk.fingerprint(document) == shown
    desk.select(document, 60, 50, 40, 40)
    assert desk.repaint().startswith("Done")
    assert host.run("dock().gallery.count()") == 2
    desk.screenshot("updated")


def take_the_tour(desk: Desk) -> None:
    """By mouse, through its four steps; the fill arrives and one undo removes it."""
    host, text = desk.host, "dock().tour.parts['tour'].text()"
    host.wait("dock().tour.isVisible()", what="the tour is offered")
    desk.click("tour.parts['tour_begin']")
    host.wait("app.activeDocument() is not None", what="its picture")
    host.wait(f"{text}.startswith('1 of 4')")
    host.run("documents['tour'] = app.activeDocument()\ndocuments['tour'].waitForDone()")
    host.run("app.action('KisToolSelectRectangular').trigger()\napp.activeWindow().qwindow().raise_()")
    x, y = host.run("center(canvas())")
    host.drag(x - 60, y - 40, x + 60, y + 60)
    host.wait(f"{text}.startswith('2 of 4')", what="the selection was seen")
    desk.screenshot("tour")
    before = host.run("hashlib.sha256(shown(documents['tour'])).hexdigest()")
    desk.click("button")
    host.wait(f"{text}.startswith('3 of 4')", seconds=120, what="the fill has arrived")
    desk.wait_end(120)
    assert host.run("hashlib.sha256(shown(documents['tour'])).hexdigest()") != before
    assert host.run("dock().gallery.count()") == 2
    other = "1 - dock().gallery.currentRow()"
    place = host.run(
        f"r = dock().gallery.visualItemRect(dock().gallery.item({other}))\n"
        "dock().area.ensureWidgetVisible(dock().gallery)\n"
        "p = dock().gallery.viewport().mapToGlobal(r.center())\n[p.x(), p.y()]"
    )
    host.click(*place)
    host.wait(f"{text}.startswith('4 of 4')", what="the other one is chosen")
    host.wait("not flow.has_steps")
    host.run("canvas().setFocus()")
    host.keys("ctrl+z")
    host.wait(f"{text}.startswith('That is all')", what="the undo was seen")
    assert host.run("hashlib.sha256(shown(documents['tour'])).hexdigest()") == before
    desk.click("tour.parts['tour_no']")
    host.wait("not dock().tour.isVisible()")
    host.run("documents['tour'].setModified(False)")


@pytest.fixture(scope="module")
def imported(display: Display, packaged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a Krita whose importer has taken the zip, and that has ended: to be copied."""
    work = tmp_path_factory.mktemp("imported")
    host = KritaHost(
        work, display=display, plugin=False, environment={launch.HOME_VARIABLE: str(work / "home of RePaint")}
    )
    try:
        host.start()
        assert import_zip(host, zip_of(packaged)) == ["repaint_krita"]
        host.stop()
    finally:
        host.kill()
    for name in ("run", "tmp"):  # sockets
        shutil.rmtree(host.home / name)
    return host.home


def test_another_machine_paints(display: Display, packaged: Path, imported: Path, tmp_path: Path) -> None:
    """The bridge alone is set up, from a line that is pasted, and the box lets this computer in."""
    wheels = lend(all_wheels(packaged / "kit"), tmp_path / "wheels")
    home = tmp_path / "home of RePaint"
    shutil.copytree(imported, tmp_path / "home", symlinks=True)
    host = stranger(tmp_path, display, **{launch.HOME_VARIABLE: str(home)})
    box = Box(home=tmp_path / "box")
    try:
        host.start()
        desk = Desk(host)
        host.wait(
            f"{PANEL}.parts['set_up'].isEnabled() and {PANEL}.parts['set_up'].isVisible()", what="the plan is made"
        )
        desk.click("set_up_panel.parts['use_box']")
        host.wait("isinstance(QtWidgets.QApplication.activeModalWidget(), QtWidgets.QInputDialog)")
        host.xdo("type", "--delay", "5", f"repaint-bridge connect {box.address} {box.key}")
        desk.screenshot("another-machine")
        host.keys("Return")
        told = f"'The machine {box.address} does the work' in {PANEL}.parts['set_up_about'].text()"
        host.wait(f"{told} and {PANEL}.parts['set_up'].isEnabled()")
        desk.click("set_up_panel.parts['from_folder']")
        type_folder(host, wheels)
        host.wait(
            f"'without a download' in {PANEL}.parts['set_up_about'].text() and {PANEL}.parts['set_up'].isEnabled()"
        )
        desk.click("set_up_panel.parts['set_up']")
        host.wait(f"'does not let this computer in yet' in {PANEL}.parts['set_up_sentence'].text()", seconds=90)
        host.wait(
            f"{PANEL}.parts['set_up'].isVisible() and {PANEL}.parts['set_up'].isEnabled()", what="it can be tried again"
        )
        desk.screenshot("not-let-in")
        assert (
            command(
                "allow", fingerprints(host.run(f"{PANEL}.parts['set_up_sentence'].text()"))[0], home=box.home
            ).returncode
            == 0
        )
        desk.click("set_up_panel.parts['set_up']")
        host.wait("flow.connected and flow.engine == 'ready'", seconds=90, what="the box's workers")
        document = desk.new(96, 96)
        desk.select(document, 30, 30, 40, 40)
        desk.choose(SLOW, seed=20)
        assert desk.repaint().startswith("Done")
        desk.screenshot("painted-by-the-box")
        host.stop()
    finally:
        host.kill()
        command("stop", home=home)
        box.close()


# ---------------------------------------------------------------- with a small kit


class Shop:
    """A Krita before its set-up, with a small kit, and the index that has what the kit asks for."""

    def __init__(
        self, work: Path, display: Display, imported: Path, kit: SmallKit, index: Index, folder: Path | None = None
    ) -> None:
        shutil.copytree(imported, work / "home", symlinks=True)
        self.kit, self.index, self.folder = kit, index, folder or work / "home of RePaint"
        own = {launch.HOME_VARIABLE: str(self.folder), "PIP_INDEX_URL": index.address, **NO_SETTINGS}
        self.host = stranger(work, display, **own)
        inside = self.host.home / ".local/share/krita/pykrita/repaint_krita/kit"
        shutil.rmtree(inside)
        shutil.copytree(self.kit.folder, inside)
        self.start()

    def start(self) -> None:
        """And waits until the page can be clicked."""
        self.host.start()
        self.desk = Desk(self.host)
        self.host.wait(
            f"{PANEL}.parts['set_up'].isEnabled() and {PANEL}.parts['set_up'].isVisible()", what="the plan is made"
        )

    def begin(self, hold: bool = False) -> None:
        """Clicks the main button; with ``hold`` the index stops in the middle."""
        self.index.stop_after = self.index.sent + KEPT if hold else -1
        self.desk.click("set_up_panel.parts['set_up']")
        if hold:
            self.host.wait(
                f"' of ' in {PANEL}.parts['set_up_steps'].text() and {PANEL}.parts['set_up_progress'].value() > 100",
                what="the download is under way",
            )

    def go_on(self) -> None:
        """To the end; what had come is not fetched again."""
        sent, whole = self.index.sent, sum(path.stat().st_size for path in self.kit.wheels.iterdir())
        self.begin()
        self.wait_done()
        assert self.index.sent - sent < whole - KEPT / 2

    def wait_done(self) -> None:
        self.host.wait(f"{PAGE}.state == 'ready'", seconds=90, what="it is set up")

    def said(self) -> str:
        return str(self.host.run(f"{PANEL}.parts['set_up_sentence'].text()"))


@pytest.fixture
def shop(display: Display, imported: Path, tmp_path: Path) -> Iterator[Shop]:
    kit = SmallKit(tmp_path / "made")
    with serving(kit.wheels) as index:
        one = Shop(tmp_path / "krita", display, imported, kit, index)
        yield one
        one.host.kill()


def test_cancel_and_go_on(shop: Shop) -> None:
    host = shop.host
    shop.begin(hold=True)
    shop.desk.screenshot("downloading")
    shop.desk.click("set_up_panel.parts['stop_set_up']")
    host.wait(
        f"{PANEL}.parts['set_up'].isVisible() and {PANEL}.parts['set_up'].isEnabled()", seconds=5, what="it has stopped"
    )
    assert shop.said() == "Stopped; what has arrived is kept. Click Continue to go on from there."
    assert host.run(f"{PANEL}.parts['set_up'].text()") == "&Continue"
    shop.go_on()
    host.stop()


def test_killed_while_it_sets_up_and_gone_on(shop: Shop) -> None:
    shop.begin(hold=True)
    shop.host.kill()
    shop.start()
    assert shop.host.run(f"{PANEL}.parts['set_up'].text()") == "&Continue"
    assert "begun and not finished" in shop.host.run(f"{PANEL}.parts['set_up_about'].text()")
    shop.go_on()
    shop.host.stop()


def test_two_editors_at_once(shop: Shop, display: Display, imported: Path, tmp_path: Path) -> None:
    """The second shows what the first does, and both are ready at its end."""
    shop.begin(hold=True)
    second = Shop(tmp_path / "second", display, imported, shop.kit, shop.index, shop.folder)
    try:
        second.host.xdo("windowraise", second.host.xdo("search", "--pid", second.host.process.pid).split()[-1])
        second.host.run(f"{PANEL}.parts['set_up'].click()")
        second.host.wait(f"'Another program is setting the engine up' in {PANEL}.parts['set_up_sentence'].text()")
        second.host.wait(f"' of ' in {PANEL}.parts['set_up_steps'].text()", what="how far the first is")
        second.desk.screenshot("another")
        shop.index.stop_after = -1
        shop.index.let_go.set()
        shop.wait_done()
        second.wait_done()
        second.host.stop()
    finally:
        second.host.kill()
    shop.host.stop()


def test_what_goes_wrong_is_a_sentence_in_the_page(shop: Shop) -> None:
    host = shop.host
    shop.index.harm = True
    shop.begin()
    host.wait(f"'is not the file that it should be' in {PANEL}.parts['set_up_sentence'].text()", seconds=30)
    host.wait(f"{PANEL}.parts['set_up'].isEnabled()", what="it can be tried again")
    assert host.run(f"{PANEL}.parts['set_up_steps'].text()").startswith("✗ Download the packages")
    shop.desk.click("set_up_panel.parts['show_log']")
    host.wait(f"'set-up of' in {PANEL}.parts['set_up_log'].toPlainText()", what="the log")
    shop.desk.screenshot("wrong-hash")
    shop.index.harm = False
    shop.index.shutdown()
    shop.index.server_close()
    shop.desk.click("set_up_panel.parts['set_up']")
    host.wait(f"'cannot be reached: check the network' in {PANEL}.parts['set_up_sentence'].text()", seconds=60)
    host.stop()


def test_repair(shop: Shop) -> None:
    """A package of the engine was deleted."""
    host = shop.host
    shop.begin()
    shop.wait_done()
    [numpy] = (shop.folder / "data/engines").glob("*/lib/python*/site-packages/numpy")
    host.stop()
    shutil.rmtree(numpy)
    shop.start()
    assert host.run(f"{PANEL}.parts['set_up'].text()") == "&Repair"
    assert "Parts of the engine are missing (numpy)" in host.run(f"{PANEL}.parts['set_up_about'].text()")
    shop.desk.screenshot("repair")
    shop.begin()
    until((numpy / "core.bin").exists, "the package is there again", patience=90)
    host.wait(
        f"'numpy' not in {PANEL}.parts['set_up_about'].text() and not {PANEL}.parts['stop_set_up'].isVisible()",
        seconds=60,
        what="the end of it",
    )
    host.stop()
