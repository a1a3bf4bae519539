"""Makes the documentation's pictures in a real GIMP: python -m tests.gimp.screenshots [--out docs/images]

With the bundled photograph and its selection: the menu (gimp-menu.jpg), the whole screen while the preview forms
(gimp.jpg) and after the end (gimp-done.jpg), and RePaint's window alone, each page (gimp-window-PAGE.png) and with a
model that is not installed (gimp-window-licence.png). The window while the engine is set up, with all packages coming
from an index on this machine (gimp-window-set-up.png); --set-up: nothing but this. The window beside a texture whose
maps were filled together (gimp-window-maps.png); --maps: nothing but this.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image as Pillow

import tests.conftest  # noqa: F401  (the run's own home, before anything of the project is imported)
from bridge_server.__main__ import main as bridge_command
from bridge_server.client import launch
from bridge_server.client.link import find_or_start
from tests import stones
from tests.desk import write_launch_file
from tests.driven import Display, keep_picture
from tests.setup.index import serving
from tests.wheels import all_wheels

from .desk import Desk, Image
from .host import REPOSITORY, GimpHost, chosen_gimp
from .test_set_up import NO_SETTINGS, opened, stranger

ASSETS = REPOSITORY / "engine/assets"
WIDE, HIGH = 1680, 900
SELECT = """
import base64
channel = Gimp.Channel.new({image}, "selection", {image}.get_width(), {image}.get_height(), 50, Gegl.Color.new("red"))
buffer = channel.get_buffer()
buffer.set(Gegl.Rectangle.new(0, 0, channel.get_width(), channel.get_height()), "Y u8", base64.b64decode({marks!r}))
buffer.flush()
{image}.insert_channel(channel, None, 0)
{image}.select_item(Gimp.ChannelOps.REPLACE, channel)
{image}.remove_channel(channel)
{image}.set_selected_layers({image}.get_layers())
Gimp.displays_flush()
None
"""

LAYER = """
size = ({side}, {side})
l = Gimp.Layer.new({image}, {name!r}, *size, Gimp.ImageType.RGB_IMAGE, 100, {image}.get_default_new_layer_mode())
{image}.insert_layer(l, None, 0 if {name!r} == "colour" else 1)
buffer = l.get_buffer()
buffer.set(Gegl.Rectangle.new(0, 0, *size), {form!r}, base64.b64decode({data!r}))
buffer.flush()
l.update(0, 0, *size)
None
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs/images")
    parser.add_argument("--model", default="exemplar")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--part", type=float, default=0.2, help="of the run at which the picture is taken")
    parser.add_argument("--set-up", action="store_true", help="only the picture of the set-up")
    parser.add_argument("--maps", action="store_true", help="only the picture of maps")
    chosen = parser.parse_args()
    if not chosen.set_up:
        with pictured(Display(WIDE, HIGH), chosen.model) as (host, folder):
            _take_maps(host, folder, chosen)
    if chosen.maps:
        return
    display = Display(WIDE, HIGH)
    _take_set_up(display, chosen)
    if chosen.set_up:
        display.close()
        return
    with pictured(display, chosen.model) as (host, folder):
        _take(host, folder, chosen)


@contextlib.contextmanager
def pictured(display: Display, warm: str, settings: str = "", **variables: str) -> Iterator[tuple[GimpHost, Path]]:
    """A GIMP with a bridge of its own, whose engine has that model, and a folder that both see; all is closed at the
    end, the display too. ``settings``: more lines for its gimprc."""
    with tempfile.TemporaryDirectory(dir=chosen_gimp().temporary) as folder:
        work = Path(folder)
        os.environ[launch.HOME_VARIABLE] = str(work / "bridge")
        write_launch_file(warm=warm)
        find_or_start("tests", "tests").close()
        host = GimpHost(work / "gimp", display, variables)
        try:
            with (host.configuration / "gimprc").open("a") as file:
                file.write(settings)
            host.start()
            yield host, work
            host.stop()
        finally:
            host.kill()
            bridge_command(["stop"])
            display.close()


def _take(host: GimpHost, folder: Path, chosen: argparse.Namespace) -> None:
    desk = Desk(host)
    image = _open(desk, folder)
    main_window = host.window_of("GIMP$")
    host.xdo("windowmove", main_window, 0, 0, "windowsize", main_window, WIDE, HIGH - 20)
    time.sleep(1)
    host.xdo("windowactivate", "--sync", main_window)
    host.keys("shift+ctrl+j")  # all of the picture
    host.keys("alt+r", "Up", "Right")
    time.sleep(1)
    _shot(host, folder, chosen.out / "gimp-menu.jpg", (360, 0, 960, 620))
    host.keys("Escape", "Escape", "Escape")
    _open_window(desk, image, width=700, left=930)
    desk.choose(chosen.model, seed=chosen.seed, variants=3)
    host.xdo("mousemove", WIDE - 1, HIGH - 1)
    desk.press()
    host.wait(f"flow.fraction >= {chosen.part}", seconds=900)
    _shot(host, folder, chosen.out / "gimp.jpg")
    print(desk.wait_end(900), host.run("flow.runs[-1].timings"))
    host.run("run = flow.runs[-1]\nv = run.variants[0]\nNone")
    host.wait("not flow.has_steps and len(v.views)", what="the picture of a step")
    _shot(host, folder, chosen.out / "gimp-done.jpg")
    host.run("pump.do('b', lambda: flow.branch(run, 0, v.steps[-4].call, 'harmonise', 2, 5))\nNone")
    desk.wait_end(900)
    host.run("pump.choose(run, 0)\nNone")
    host.wait("not flow.has_steps and flow.selected[0] is run and len(v.views)", what="the first run is chosen")
    for page in ("selection", "extend", "more"):
        host.run(f"body.pages.set_visible_child_name({page!r})\nNone")
        _window(host, folder, chosen.out / f"gimp-window-{page}.png")
    host.run("body.fields['variants'].write(1)\nbody.panel.start('tile')\nNone")
    host.run("body.pages.set_visible_child_name('tile')\nNone")
    desk.wait_end(900)
    _window(host, folder, chosen.out / "gimp-window-tile.png")
    host.run("body.pages.set_visible_child_name('selection')\nbody.fields['model'].write('sd15')\nNone")
    host.run("pump.do('p', lambda: flow.say('Ready.'))\nNone")
    _window(host, folder, chosen.out / "gimp-window-licence.png")


def _open_window(desk: Desk, image: Image, width: int, left: int) -> None:
    """RePaint's window at that place of the screen, its engine ready."""
    host = desk.host
    desk.menu("selection", image)
    host.run("from gi.repository import Gtk")
    host.wait("service.window is not None and service.window.get_mapped()")
    host.run("window, body = service.window, service.window.body\nNone")
    host.run(f"window.resize({width}, 660)\nwindow.move({left}, 200)\nNone")
    host.wait("flow.connected and flow.engine == 'ready'", seconds=120)


def _take_maps(host: GimpHost, folder: Path, chosen: argparse.Namespace) -> None:
    """Stones, of which a part is filled in three layers at once."""
    desk = Desk(host)
    image = desk.new(stones.SIDE, stones.SIDE)
    for name, pixels in stones.stones().items():
        form = "Y' u16" if pixels.ndim == 2 else "R'G'B' u8"
        data = base64.b64encode(pixels.tobytes()).decode()
        host.run(LAYER.format(image=image.code, name=name, form=form, data=data, side=stones.SIDE))
    host.run(
        f"i = {image.code}\ni.remove_layer(i.get_layers()[-1])\n"
        "for name in ('normal', 'height'): i.get_layer_by_name(name).set_visible(False)\n"
        "i.set_selected_layers(list(i.get_layers()))\nNone"
    )
    desk.select(image, 96, 128, 112, 96)
    main_window = host.window_of("GIMP$")
    host.xdo("windowmove", main_window, 0, 0, "windowsize", main_window, WIDE, HIGH - 20)
    _open_window(desk, image, width=760, left=700)
    desk.choose(chosen.model, seed=chosen.seed, variants=2)
    host.run("body.maps.on.set_active(True)\nNone")
    host.xdo("mousemove", WIDE - 1, HIGH - 1)
    print(desk.repaint(image, 900), desk.names(image))
    host.run(f"Gimp.Selection.none({image.code})\nGimp.displays_flush()\nNone")
    _window(host, folder, chosen.out / "gimp-window-maps.png")


def _take_set_up(display: Display, chosen: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(dir=chosen_gimp().temporary) as folder:
        dist = Path(folder) / "dist"
        subprocess.run([sys.executable, str(REPOSITORY / "installer.py"), "package", "--out", str(dist)], check=True)
        with serving(all_wheels(dist / "kit")) as index:
            host = stranger(Path(folder) / "mia", display, dist, PIP_INDEX_URL=index.address, **NO_SETTINGS)
            try:
                desk = opened(host)
                host.run("window.resize(560, 420)\nwindow.move(700, 200)\nNone")
                index.stop_after, index.stop = 230_000_000, "drip"
                desk.click("set_up_panel.parts['set_up']")
                host.xdo("mousemove", WIDE - 1, HIGH - 1)
                host.wait("service.set_up.job.shown().steps[0].done > 225000000", seconds=120)
                time.sleep(2)
                _window(host, Path(folder), chosen.out / "gimp-window-set-up.png")
                host.run("service.set_up.close()\nNone")  # or it would go on in its folder
                host.stop()
            finally:
                host.kill()


def _open(desk: Desk, folder: Path) -> Image:
    path = folder / "demo.jpg"
    shutil.copyfile(ASSETS / "demo.jpg", path)
    with Pillow.open(ASSETS / "demo-selection.png") as mask:
        marks = base64.b64encode(mask.convert("L").tobytes()).decode()
    image = desk.open(path)
    desk.host.run(SELECT.format(image=image.code, marks=marks))
    return image


def _shot(host: GimpHost, folder: Path, target: Path, part: tuple[int, int, int, int] | None = None) -> None:
    """The screen, or a part of it (left, top, right, bottom)."""
    shot = host.screenshot("screen", folder)
    assert shot is not None
    if part is not None:
        with Pillow.open(shot) as whole:
            whole.crop(part).save(shot)
    keep_picture(shot, target)


def _window(host: GimpHost, folder: Path, target: Path) -> None:
    """RePaint's window alone."""
    time.sleep(0.7)
    x, y, width, height = host.run("_, x, y = window.get_window().get_origin()\n[x, y, *window.get_size()]")
    _shot(host, folder, target, (x, y, x + width, y + height))


if __name__ == "__main__":
    main()
