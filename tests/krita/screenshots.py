"""Makes the documentation's pictures in a real Krita: python -m tests.krita.screenshots [--out docs/images]

With the bundled photograph and its selection: the whole screen while the preview forms (krita.jpg) and after the end
(krita-done.jpg), and the docker alone, each page at 250 and at 360 pixels, in every language given
(docker-PAGE-WIDTH.png, docker-PAGE-WIDTH-LANGUAGE.png); the docker with a model that is not installed
(docker-licence-…) and while the tests' toy model is downloaded from a hub on this machine (docker-downloading-…). The
road from the zip to the first fill (road-….jpg, docker-set-up-….png, docker-tour-….png), with all packages of a real
set-up coming from an index on this machine; --road: nothing but this. A texture whose maps were filled together
(krita-maps.jpg); --maps: nothing but this.
"""

from __future__ import annotations

import argparse
import base64
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import tests.conftest  # noqa: F401  (the run's own home, before anything of the project is imported)
from bridge_server.__main__ import main as bridge_command
from bridge_server.client import launch
from tests import stones, toy_hub
from tests.desk import write_launch_file
from tests.driven import keep_picture
from tests.engine.standin_hub import StandIn
from tests.setup.index import Index, serving
from tests.wheels import all_wheels

from .conftest import start_krita
from .desk import Desk, Document
from .host import REPOSITORY, Display, KritaHost
from .test_set_up import NO_SETTINGS, type_folder, zip_of

WIDTHS = (250, 360)
ROAD = (1000, 750)  # the screen of the pictures of the road
MAPS = (1120, 860)
PAGES = ("repaint", "extend", "tile", "more")
ARRANGE = """
for docker in app.activeWindow().qwindow().findChildren(QtWidgets.QDockWidget):
    if docker.objectName() in ("PresetDocker", "ColorSelectorNg", "sharedtooldocker"):
        docker.hide()
docker().show()
"""
SELECT = """
mask = QtGui.QImage({path!r}).convertToFormat(QtGui.QImage.Format.Format_Grayscale8)
rows = b"".join(bytes(mask.constScanLine(y).asstring(mask.width())) for y in range(mask.height()))
s = krita.Selection()
s.select(0, 0, mask.width(), mask.height(), 0)
s.setPixelData(rows, 0, 0, mask.width(), mask.height())
{document}.setSelection(s)
{document}.setModified(False)
"""
LAYERS = """
d, found = {document}, {found!r}
base = d.rootNode().childNodes()[0]
base.setName("colour")
base.setPixelData(base64.b64decode(found["colour"]), 0, 0, {side}, {side})
for name, space in (("height", ("GRAYA", "U16")), ("normal", ("RGBA", "U8"))):
    node = d.createNode(name, "paintlayer")
    if space[0] == "GRAYA":
        node.setColorSpace(*space, app.profiles(*space)[0])
    node.setPixelData(base64.b64decode(found[name]), 0, 0, {side}, {side})
    node.setVisible(False)
    d.rootNode().addChildNode(node, None)
    d.waitForDone()
d.refreshProjection()
d.setModified(False)
"""
FLOAT = """
d = docker()
d.setFloating(True)
d.body.pages.setCurrentIndex({page})
d.move(20, 20)
d.resize({width}, {height})
d.body.refresh()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs/images")
    parser.add_argument("--model", default="exemplar")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--part", type=float, default=0.2, help="of the run at which the picture is taken")
    parser.add_argument("--languages", nargs="*", default=["de"], help="besides English")
    parser.add_argument("--road", action="store_true", help="only the road from the zip to the first fill")
    parser.add_argument("--maps", action="store_true", help="only the picture of maps")
    parser.add_argument("--pages-only", action="store_true", help="not the pictures of the whole screen")
    chosen = parser.parse_args()
    if not chosen.pages_only and not chosen.maps:
        _take_road(chosen)
    if chosen.road:
        return
    write_launch_file(warm=chosen.model)
    if not chosen.pages_only:
        _take_maps(chosen)
    if chosen.maps:
        return
    display = Display(1280, 1000)
    try:
        for language in ["en", *chosen.languages]:
            with tempfile.TemporaryDirectory() as folder:
                host = start_krita(Path(folder), display, LANGUAGE=language)
                try:
                    _take(host, Path(folder), chosen, language)
                    host.stop()
                finally:
                    host.kill()
        bridge_command(["stop"])
        with toy_hub.running() as hub, tempfile.TemporaryDirectory() as folder:
            host = start_krita(Path(folder), display, LANGUAGE="en")
            try:
                _take_download(host, Path(folder), chosen, hub)
                host.stop()
            finally:
                host.kill()
    finally:
        display.close()
        bridge_command(["stop"])


def _take(host: KritaHost, folder: Path, chosen: argparse.Namespace, language: str) -> None:
    desk = Desk(host)
    host.wait("flow.connected and flow.engine == 'ready'", seconds=120)
    host.run(ARRANGE)
    document = desk.open(REPOSITORY / "engine/assets/demo.jpg")
    host.run("flow.forget_all()")  # of the language before
    _select(host, document)
    desk.choose(chosen.model, seed=chosen.seed, variants=3)
    host.run("app.action('KisToolSelectRectangular').trigger()")
    host.xdo("mousemove", 1279, 999)
    if language == "en" and not chosen.pages_only:
        desk.press()
        host.wait(f"flow.fraction >= {chosen.part}", seconds=900)
        keep_picture(host.screenshot("forming", folder), chosen.out / "krita.jpg")
        print(desk.wait_end(900), host.run("flow.runs[-1].timings"))
        keep_picture(host.screenshot("done", folder), chosen.out / "krita-done.jpg")
    else:
        desk.repaint(900)
    run = "flow.runs[-1]"
    host.run(f"v = {run}.variants[0]\npump.do('b', lambda: flow.branch({run}, 0, v.steps[-4].call, 'harmonise', 2, 5))")
    desk.wait_end(900)
    host.run("dock().gallery.walk(-2)")
    host.wait("not flow.has_steps and flow.selected[0] is flow.runs[0]", what="the first run is chosen")
    host.wait("len(dock().gallery.chosen()[1].views)", what="the picture of a step")
    for number, page in enumerate(PAGES):
        if page == "tile":
            host.run("dock().fields['variants'].setValue(1)\ndock().panel.start('tile')")
            desk.wait_end(900)
        _take_docker(host, folder, chosen, page, number, language)
    host.run("dock().fields['model'].write('sd15')\npump.do('p', lambda: flow.say('Ready.'))")
    _take_docker(host, folder, chosen, "licence", 0, language)


def _take_maps(chosen: argparse.Namespace) -> None:
    """Stones, of which a part is filled in three layers at once."""
    display = Display(*MAPS)
    with tempfile.TemporaryDirectory() as folder:
        host = start_krita(Path(folder), display, LANGUAGE="en")
        try:
            desk = Desk(host)
            host.wait("flow.connected and flow.engine == 'ready'", seconds=120)
            host.run(ARRANGE)
            found = {name: base64.b64encode(data).decode() for name, data in stones.in_krita().items()}
            document = desk.new(stones.SIDE, stones.SIDE)
            host.run(LAYERS.format(document=document.code, side=stones.SIDE, found=found))
            desk.activate_layer(document, "colour")
            desk.select(document, 96, 128, 112, 96)
            desk.choose(chosen.model, seed=chosen.seed)
            host.run("canvas().setFocus()\ndock().maps.on.setChecked(True)")
            host.keys("2")  # the whole picture
            host.xdo("mousemove", MAPS[0] - 1, MAPS[1] - 1)
            desk.repaint(900)
            host.run(f"{document.code}.setSelection(None)\ndock().area.verticalScrollBar().setValue(0)")
            host.wait("not flow.has_steps")
            time.sleep(1)
            keep_picture(host.screenshot("maps", Path(folder)), chosen.out / "krita-maps.jpg")
            host.stop()
        finally:
            host.kill()
            display.close()
            bridge_command(["stop"])


def _take_docker(
    host: KritaHost,
    folder: Path,
    chosen: argparse.Namespace,
    name: str,
    page: int,
    language: str = "en",
    height: int = 960,
) -> None:
    """The docker alone, at both widths."""
    for width in WIDTHS:
        host.run(FLOAT.format(page=page, width=width, height=height))
        host.wait(f"docker().isFloating() and [docker().width(), docker().height()] == [{width}, {height}]")
        host.wait("not dock().branches._timer.isActive() and not flow.has_steps")
        shot = folder / "docker.png"
        host.run(f"docker().grab().save({str(shot)!r})")
        suffix = "" if language == "en" else "-" + language
        keep_picture(shot, chosen.out / f"docker-{name}-{width}{suffix}.png")


def _take_download(host: KritaHost, folder: Path, chosen: argparse.Namespace, hub: StandIn) -> None:
    desk = Desk(host)
    host.wait("flow.connected and flow.engine == 'ready'", seconds=120)
    host.run(ARRANGE)
    document = desk.open(REPOSITORY / "engine/assets/demo.jpg")
    host.run("flow.forget_all()")
    _select(host, document)
    desk.choose(toy_hub.TOY, seed=chosen.seed)
    hub.pace = 0.5
    host.run(
        "dock().fields['prompt'].setText('a red circle')\n"
        "dock().download.parts['accept'].click()\ndock().download.parts['download'].click()"
    )
    host.wait(f"flow.downloads.now.done > {toy_hub.SIZE // 4}", seconds=60)
    _take_docker(host, folder, chosen, "downloading", 0)
    host.run("flow.stop_download()")
    host.wait("flow.downloads.now is None")


def _take_road(chosen: argparse.Namespace) -> None:
    """In a home of the usual folders, whose paths are shown."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        dist, work = Path(folder) / "dist", Path(tempfile.gettempdir()) / "mia"
        subprocess.run([sys.executable, str(REPOSITORY / "installer.py"), "package", "--out", str(dist)], check=True)
        display = Display(*ROAD)
        with serving(all_wheels(dist / "kit")) as index:
            variables = {"PIP_INDEX_URL": index.address, **NO_SETTINGS}
            host = KritaHost(work, display=display, plugin=False, environment=variables)
            patch.delenv(launch.HOME_VARIABLE)
            for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
                patch.setenv(name, host.environment[name])
            try:
                _walk(host, Path(folder), chosen, index, zip_of(dist))
                host.stop()
            finally:
                host.kill()
                bridge_command(["stop"])
                display.close()
                shutil.rmtree(work)


def _walk(host: KritaHost, folder: Path, chosen: argparse.Namespace, index: Index, archive: Path) -> None:
    host.start()
    host.run("app = Krita.instance()\napp.activeWindow().qwindow().showMaximized()")
    host.run("QtCore.QTimer.singleShot(0, app.action('plugin_importer_file').trigger)")
    type_folder(host, archive)
    host.wait("isinstance(QtWidgets.QApplication.activeModalWidget(), QtWidgets.QMessageBox)")
    time.sleep(1)
    keep_picture(host.screenshot("import", folder), chosen.out / "road-import.jpg")
    host.keys("alt+y")
    host.wait("QtWidgets.QApplication.activeModalWidget() is None")
    host.stop()
    host.start()
    desk = Desk(host)
    host.run(ARRANGE)
    host.run("app.activeWindow().qwindow().findChild(QtWidgets.QDockWidget, 'KisLayerBox').hide()")
    host.wait("dock().set_up_panel.parts['set_up'].isEnabled()")
    document = desk.open(REPOSITORY / "engine/assets/demo.jpg")
    host.run("canvas().setFocus()")
    host.keys("2")  # the whole picture
    index.stop_after, index.stop = 230_000_000, "drip"
    desk.click("set_up_panel.parts['set_up']")
    host.xdo("mousemove", ROAD[0] - 1, ROAD[1] - 1)
    host.wait("dock()._page.job.shown().steps[0].done > 225000000", seconds=60)
    time.sleep(2)
    keep_picture(host.screenshot("set-up", folder), chosen.out / "road-set-up.jpg")
    _take_docker(host, folder, chosen, "set-up", 0, height=380)
    host.run("docker().setFloating(False)")
    index.stop_after = -1
    host.wait("flow.connected and flow.engine == 'ready'", seconds=600)
    _take_docker(host, folder, chosen, "tour", 0, height=420)
    host.run("docker().setFloating(False)\ndock().guide.close()")
    _select(host, document)
    desk.choose(chosen.model, seed=chosen.seed)
    desk.repaint(900)
    keep_picture(host.screenshot("fill", folder), chosen.out / "road-fill.jpg")


def _select(host: KritaHost, document: Document) -> None:
    host.run(SELECT.format(path=str(REPOSITORY / "engine/assets/demo-selection.png"), document=document.code))


if __name__ == "__main__":
    main()
