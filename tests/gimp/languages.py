"""The window in every language, in a real GIMP: python -m tests.gimp.languages [--out FOLDER]

A sheet for each language, all pages beside each other, with a run in the history and a model that is not installed,
and a line for each text that does not fit. GDK_SCALE=2 shows it as on a screen of high density, --light in GIMP's light
colours.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from PIL import Image

import tests.conftest  # noqa: F401  (the run's own home, before anything of the project is imported)
from tests.driven import Display
from tests.krita.languages import LANGUAGES

from .desk import Desk
from .host import GimpHost
from .screenshots import pictured

STATES = {
    "selection": "made.body.fields['model'].write('sd15')",
    "extend": "made.body.fields['model'].write('exemplar')\nmade.body.pages.set_visible_child_name('extend')",
    "tile": "made.body.pages.set_visible_child_name('tile')",
    "more": "made.body.pages.set_visible_child_name('more')",
    "maps": """
from bridge_server.client.editor.maps import KINDS, Row
made.body.pages.set_visible_child_name('selection')
made.body.panel.maps.look = lambda: None
made.body.panel.maps.rows = [Row(kind, kind, True, kind) for kind, _ in KINDS]
made.body.maps.on.set_active(True)
""",
    "removal": "for part in made.body.removal.parts.values(): part.show()",
    "set-up": """
made.body.set_up_panel.show()
made.body.halves.hide()
for part in made.body.set_up_panel.get_children():
    part.show()
""",
}
"""What the window ``made`` is brought into, one after the other: its pages, and what is seen but once."""
PRELUDE = """
import pathlib
from gi.repository import Gtk
from bridge_server.client.editor import words
from repaint_gimp import window as window_module
CONTROLS = (Gtk.Button, Gtk.Entry, Gtk.ComboBox, Gtk.Scale, Gtk.ProgressBar, Gtk.IconView, Gtk.TreeView, Gtk.TextView)

def speaking(language):
    # a window of its own in this language
    words.choose(language)
    made = window_module.Window(pump, service.choices, pathlib.Path("/nonexistent"), host, service.set_up)
    made.set_title("RePaint, " + language)
    made.present()
    made.move(40, 40)
    made.body.refresh()
    return made

def parts(widget):
    yield widget
    found = []
    if isinstance(widget, Gtk.Container):
        widget.forall(found.append)
    for each in found:
        yield from parts(each)

def cut(window):
    # [name, text] of what has less room than it needs
    size, needed = window_module.SIZE[0], window.get_preferred_width()[0]
    found = [["window", "%d of %d pixels" % (needed, size)]] if needed > size else []
    for part in parts(window):
        shortened = isinstance(part, Gtk.Label) and part.get_mapped() and part.get_layout().is_ellipsized()
        if shortened and part.get_ancestor(Gtk.ComboBox) is None:
            found.append([part.get_parent().get_name(), part.get_text()])
    return found

def is_control(part):
    frames = (Gtk.Window, Gtk.ScrolledWindow, Gtk.Paned)
    inner = isinstance(part.get_parent(), (Gtk.SpinButton, Gtk.TreeView)) or part.get_ancestor(Gtk.ComboBox) is not None
    if isinstance(part, frames):
        return False
    return (isinstance(part, CONTROLS) or part.get_can_focus()) and not inner

def unnamed(window):
    # controls of which a screen reader has nothing to say
    return [part.get_name() for part in parts(window)
            if is_control(part) and not any(c.isalpha() for c in part.get_accessible().get_name() or "")]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("languages-of-gimp"))
    parser.add_argument("--languages", nargs="*", default=LANGUAGES)
    parser.add_argument("--light", action="store_true")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    display = Display(1680, 1500)
    variables = {name: value for name, value in os.environ.items() if name in ("GDK_SCALE", "GTK_THEME")}
    colours = "(theme-color-scheme light)\n" if chosen.light else ""
    with pictured(display, "exemplar", colours, **variables) as (host, folder):
        _take(host, folder, chosen)


def _take(host: GimpHost, folder: Path, chosen: argparse.Namespace) -> None:
    desk = Desk(host)
    image = desk.new(300, 240)
    desk.menu("selection", image)
    host.wait("service.window is not None and service.window.get_mapped()")
    host.run("window, body = service.window, service.window.body\nNone")
    host.wait("flow.connected and flow.engine == 'ready'", seconds=120)
    desk.choose("exemplar", seed=7, variants=2)
    desk.select(image, 60, 50, 40, 40)
    desk.press(image)
    desk.wait_end(300)
    host.run(PRELUDE + "window.hide()\nNone")
    for language in chosen.languages:
        host.run(f"made = speaking({language!r})\nNone")
        host.wait("made.get_mapped()")
        pictures = []
        for name, code in STATES.items():
            host.run(code + "\nNone")
            time.sleep(0.7)
            for place, text in host.run("cut(made)"):
                print(f"{language}, {name}, {place}: {text}")
            x, y, width, height, scale = host.run(
                "_, x, y = made.get_window().get_origin()\n[x, y, *made.get_size(), made.get_scale_factor()]"
            )
            shot = host.screenshot(name, folder)
            assert shot is not None
            box = (x * scale, y * scale, (x + width) * scale, (y + height) * scale)
            pictures.append(Image.open(shot).convert("RGB").crop(box))
        print(*host.run("unnamed(made)"), sep="\n", end="")
        host.run("made.destroy()\nwords.choose('en')\nNone")
        sheet = Image.new("RGB", (sum(each.width for each in pictures), max(each.height for each in pictures)))
        for number, picture in enumerate(pictures):
            sheet.paste(picture, (sum(each.width for each in pictures[:number]), 0))
        sheet.save(chosen.out / f"{language}.png")


if __name__ == "__main__":
    main()
