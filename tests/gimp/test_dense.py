"""A screen with two pixels for each of GTK's: every pixel of the small pictures is one of the screen's."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from tests.driven import Display

from .desk import Desk
from .host import GimpHost

PICTURES = {
    "gallery": ("body.gallery", "body.gallery.rows[0][0]"),
    "split view": ("body.split_view._image", "body.split_view._image.get_pixbuf()"),
    "step": ("body.branches.picture", "body.branches.picture.get_pixbuf()"),
}


def test_small_pictures_are_sharp(work: Path, display: Display) -> None:
    host = GimpHost(work / "dense", display, {"GDK_SCALE": "2"})
    host.start()
    try:
        desk = Desk(host)
        desk.open_window()
        host.wait("flow.connected and flow.engine == 'ready'", seconds=90, what="the engine is ready")
        image = desk.new(240, 180)
        desk.choose(seed=7)
        desk.select(image, 80, 60, 70, 50)
        assert desk.repaint(image).startswith("Done")
        host.run("window.resize(700, 480)\nwindow.move(0, 0)\nbody.marks.split.set_active(True)\nNone")
        host.wait("body.split_view.get_mapped() and body.branches.picture.get_pixbuf() is not None")
        host.xdo("mousemove", "1590", "990")
        host.wait("not flow.has_steps and window.get_scale_factor() == 2")
        for name, (widget, picture) in PICTURES.items():
            width, height, text = host.run(
                f"p = {picture}.add_alpha(False, 0, 0, 0)\n"
                "[p.get_width(), p.get_height(), base64.b64encode(p.get_pixels()).decode()]"
            )
            wanted = np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)[..., :3]
            part = wanted[height // 4 : height // 2, width // 4 : width // 2]
            if name == "step":  # below the split view, and with it below the screen's edge
                host.run("body.marks.split.set_active(False)\nwindow.resize(700, 400)\nNone")
                host.wait("not body.split_view.get_mapped()")
            end = time.monotonic() + 20.0  # what is laid out anew is drawn with one of the next frames
            while not found(shown(host, name, widget), part):
                assert time.monotonic() < end, f"{name}: not drawn pixel by pixel"
        host.stop()
    finally:
        host.kill()


def shown(host: GimpHost, name: str, widget: str) -> np.ndarray:
    """The widget's pixels on the screen."""
    shot = host.screenshot(f"dense-{name}")
    assert shot is not None
    x, y, *size = host.run(
        f"w = {widget}\n_, x, y = w.get_window().get_origin()\na = w.get_allocation()\n"
        "if not w.get_has_window(): x, y = x + a.x, y + a.y\n[x, y, a.width, a.height]"
    )
    with Pillow.open(shot) as screen:
        return np.asarray(screen.convert("RGB").crop((2 * x, 2 * y, 2 * (x + size[0]), 2 * (y + size[1]))))


def found(screen: np.ndarray, part: np.ndarray) -> bool:
    """Whether ``part`` stands somewhere in it as it is."""
    places = np.argwhere((screen[: 1 - len(part), : 1 - part.shape[1]] == part[0, 0]).all(axis=2))
    height, width = part.shape[:2]
    return any(np.array_equal(screen[y : y + height, x : x + width], part) for y, x in places)
