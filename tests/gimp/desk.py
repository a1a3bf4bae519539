"""What a test does at GIMP's desk: make and open images, select, look at layers and pixels, work RePaint's window."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.desk import EditorDesk

from .host import GimpHost

PRELUDE = """
import base64, gc, hashlib, math, time
import gi
from gi.repository import Gegl, Gimp, Gio, GLib, GObject
from bridge_server.client.editor.model import Extend, Settings, Tile
from bridge_server.client.editor.panel import settings
from bridge_server.client.geometry import Box
from repaint_gimp import service as service_module
service = next(found for found in gc.get_objects() if isinstance(found, service_module.Service))
pump, flow, host = service.pump, service.pump.flow, service.host
pdb = Gimp.get_pdb()
images, displays = {}, {}

def options(area=None):
    # what a click would send
    return settings(flow, body.panel.values(), area).options

def pattern(width, height):
    # soft waves: R'G'B' bytes
    def wave(x): return int(128 + 90 * math.sin(x))
    row = [bytes((wave(x / 17), wave((x + 40) / 29), 90)) for x in range(width)]
    rows = [b"".join(row[y % 37:] + row[:y % 37]) for y in range(37)]
    return b"".join(rows[y % 37] for y in range(height))

def new(width, height, kind="RGB", precision="U8_NON_LINEAR", alpha=False, show=True):
    first = "RGB" if kind == "INDEXED" else kind
    base = getattr(Gimp.ImageBaseType, first)
    image = Gimp.Image.new_with_precision(width, height, base, getattr(Gimp.Precision, precision))
    form = getattr(Gimp.ImageType, first + ("A_IMAGE" if alpha else "_IMAGE"))
    layer = Gimp.Layer.new(image, "Background", width, height, form, 100, image.get_default_new_layer_mode())
    image.insert_layer(layer, None, 0)
    buffer = layer.get_buffer()
    buffer.set(Gegl.Rectangle.new(0, 0, width, height), "R'G'B' u8", pattern(width, height))
    buffer.flush()
    layer.update(0, 0, width, height)
    if kind == "INDEXED":
        image.convert_indexed(Gimp.ConvertDitherType.NONE, Gimp.ConvertPaletteType.GENERATE, 64, False, False, "")
    image.undo_disable()
    image.undo_enable()
    image.clean_all()
    if show and DISPLAY:
        displays[image.get_id()] = Gimp.Display.new(image)
    return image

def bytes_of(drawable, form=None):
    return bytes(drawable.get_buffer().get(
        Gegl.Rectangle.new(0, 0, drawable.get_width(), drawable.get_height()), 1.0, form, Gegl.AbyssPolicy.NONE))

def walk(layers):
    for layer in layers:
        yield layer
        if layer.is_group():
            yield from walk(layer.get_children())

def tree(image):
    return [[layer.get_name(), layer.get_id()] for layer in walk(image.get_layers())]

def layers_hash(image):
    # every layer as it is: pixels in their own format, offsets, visibility, size; and the selection
    found = hashlib.sha256()
    for layer in walk(image.get_layers()):
        place = tuple(layer.get_offsets())[1:]
        found.update(repr((layer.get_name(), layer.get_id(), place, layer.get_visible())).encode())
        if not layer.is_group():
            found.update(bytes_of(layer))
    found.update(bytes_of(image.get_selection()))
    found.update(repr((image.get_width(), image.get_height())).encode())
    return found.hexdigest()

def visible(image, form="R'G'B'A u8"):
    layer = Gimp.Layer.new_from_visible(image, image, "test")
    data = bytes_of(layer, form)
    layer.delete()
    return data

def interactive(name, image, mode):
    # a click in the menu: the procedure's own process, in the image's window
    procedure = pdb.lookup_procedure(name)
    config = procedure.create_config()
    config.set_property("run-mode", mode)
    config.set_property("image", image)
    config.set_core_object_array("drawables", image.get_selected_drawables())
    return procedure.run(config).index(0).value_nick

def close(image):
    display = displays.pop(image.get_id(), None)
    if display is not None and display.is_valid():
        display.delete()
    if image.is_valid():
        image.delete()

def click(widget):
    # where a widget's middle is on the screen; None while it cannot be clicked
    if not (widget.get_mapped() and widget.is_sensitive()):
        return None
    widget.get_toplevel().check_resize()  # lay out now what would be laid out with the next frame
    scrolled = widget.get_ancestor(Gtk.ScrolledWindow)
    if scrolled is not None:
        _, y = widget.translate_coordinates(scrolled.get_child().get_child(), 0, 0)
        scrolled.get_vadjustment().clamp_page(y, y + widget.get_allocated_height())
    window = widget.get_window()
    _, x, y = window.get_origin()
    place = widget.get_allocation()
    if not widget.get_has_window():
        x, y = x + place.x, y + place.y
    return [x + place.width // 2, y + place.height // 2]

def under_mouse(widget):
    # whether the mouse is over the widget's window, with no other program's above it
    found = widget.get_display().get_default_seat().get_pointer().get_window_at_position()[0]
    return found is not None and found.get_toplevel() == widget.get_toplevel().get_window()

def call(name, image, **arguments):
    # a procedure, non-interactively: status, message, ids of returned layers
    procedure = pdb.lookup_procedure(name)
    config = procedure.create_config()
    for key, value in {"run_mode": Gimp.RunMode.NONINTERACTIVE, **arguments}.items():
        config.set_property(key.replace("_", "-"), value)
    config.set_property("image", image)
    config.set_core_object_array("drawables", image.get_selected_drawables())
    values = procedure.run(config)
    status = values.index(0)
    rest = [values.index(i) for i in range(1, values.length())]
    return [status.value_nick, pdb.get_last_error(), [x.get_id() if isinstance(x, Gimp.Layer) else None for x in rest]]
"""


@dataclass(frozen=True)
class Image:
    """An open image by the name it has in the driver's namespace."""

    name: str
    width: int
    height: int

    @property
    def code(self) -> str:
        return f"images[{self.name!r}]"


class Desk(EditorDesk[GimpHost]):
    """Wraps a running GIMP; every method is a thing that a person, or a script, does or sees."""

    def __init__(self, host: GimpHost) -> None:
        super().__init__(host)
        host.run(f"DISPLAY = {host.display is not None}\n" + PRELUDE + "\nNone")

    # ---- images ----
    def new(self, width: int, height: int, kind: str = "RGB", precision: str = "U8_NON_LINEAR", **more: Any) -> Image:
        """An image of a soft pattern with one layer "Background", nothing to undo; in a window if there can be one."""
        name = secrets.token_hex(4)
        self.host.run(f"images[{name!r}] = new({width}, {height}, {kind!r}, {precision!r}, **{more!r})\nNone")
        return Image(name, width, height)

    def open(self, path: Path) -> Image:
        """A picture's file, which lies where GIMP sees it, in a window."""
        name, place = secrets.token_hex(4), str(self.host.gimp.inside(path))
        size = self.host.run(
            f"i = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path({place!r}))\n"
            f"images[{name!r}] = i\ndisplays[i.get_id()] = Gimp.Display.new(i)\n[i.get_width(), i.get_height()]",
            seconds=60,
        )
        return Image(name, *size)

    def select(self, image: Image, x: int, y: int, width: int, height: int) -> None:
        self.host.run(
            f"{image.code}.select_rectangle(Gimp.ChannelOps.REPLACE, {x}, {y}, {width}, {height})\n"
            "Gimp.displays_flush()\nNone"
        )

    def tree(self, image: Image) -> list[list[Any]]:
        return list(self.host.run(f"tree({image.code})"))

    def names(self, image: Image) -> list[str]:
        return [layer[0] for layer in self.tree(image)]

    def fingerprint(self, image: Image) -> str:
        """Hash of all layers, each in its own precision, of the selection and the canvas' size."""
        return str(self.host.run(f"layers_hash({image.code})", seconds=60))

    def pixels(self, image: Image) -> np.ndarray:
        """What is seen: (height, width, 4) uint8 sRGB."""
        text = self.host.run(f"base64.b64encode(visible({image.code})).decode()", seconds=60)
        return np.frombuffer(base64.b64decode(text), np.uint8).reshape(image.height, image.width, 4)

    def layer_pixels(self, image: Image, name: str, form: str | None = "R'G'B'A u8") -> np.ndarray:
        """One layer's own pixels: (height, width, channels) uint8."""
        width, height, text = self.host.run(
            f"l = next(l for l in walk({image.code}.get_layers()) if l.get_name() == {name!r})\n"
            f"[l.get_width(), l.get_height(), base64.b64encode(bytes_of(l, {form!r})).decode()]"
        )
        return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, -1)

    def selected(self, image: Image) -> list[str]:
        """Names of the selected layers."""
        return list(self.host.run(f"[layer.get_name() for layer in {image.code}.get_selected_layers()]"))

    def close(self, image: Image) -> None:
        """Closes the image's window, and with it the image."""
        self.host.run(f"close({image.code})\nNone")

    def forget_images(self) -> None:
        self.host.run("for image in list(images.values()): close(image)\nimages.clear()\nNone")

    def close_all(self) -> None:
        """Cancels what runs, closes every image, forgets every picture."""
        self.host.run("pump.cancel()")
        self.host.wait("not flow.busy and not flow.has_steps", seconds=15)
        self.forget_images()
        self.host.run(
            "pump.do('forget', flow.forget_all)\nflow.say('')\nhost.image = ''\n"
            "body.pages.set_visible_child_name('selection')\n"
            "body.panel.show_values(defaults())\nbody.choosing.order.write('newest')\n"
            "body.choosing.search.set_text('')\nbody.live.on.set_active(False)\nNone"
        )

    # ---- keys ----
    def keys(self, *names: str) -> None:
        """Keys for GIMP's main window."""
        self.host.xdo("windowactivate", "--sync", self.host.window_of("GIMP$"))
        self.host.keys(*names)

    def undo(self, image: Image) -> None:
        """Ctrl+Z, and waits until the layers are other ones."""
        before = self.tree(image)
        self.keys("ctrl+z")
        self.host.wait(f"tree({image.code}) != {before!r}", what="the undo is done")

    def redo(self, image: Image) -> None:
        before = self.tree(image)
        self.keys("ctrl+y")
        self.host.wait(f"tree({image.code}) != {before!r}", what="the redo is done")

    # ---- RePaint's window ----
    def open_window(self) -> None:
        """By the menu's own procedure, on an image that is closed again."""
        image = self.new(64, 64)
        self.menu("variants", image)
        self.host.wait("service.window is not None and service.window.get_mapped()", what="RePaint's window is there")
        self.host.run(
            "from gi.repository import Gtk\nfrom bridge_server.client.editor.fields import defaults\n"
            "window, body = service.window, service.window.body\nNone"
        )
        self.close(image)

    def menu(self, gesture: str, image: Image, mode: str = "INTERACTIVE") -> str:
        """What a click on the menu entry does; returns GIMP's status of it."""
        code = f"interactive('plug-in-repaint-{gesture}', {image.code}, Gimp.RunMode.{mode})"
        return str(self.host.run(code, seconds=30))

    def choose(
        self, model: str = "test/gaussian", preset: str = "fast", seed: int | None = 1234, variants: int = 1
    ) -> None:
        """Sets the window's fields; the seed is locked, or drawn at the click if None."""
        self.host.wait(
            f"{model!r} in body.fields['model'].values() and {preset!r} in body.fields['preset'].values()",
            seconds=60,
            what=f"the window offers {model} and {preset}",
        )
        self.host.run(
            f"f = body.fields\nf['model'].write({model!r})\nf['preset'].write({preset!r})\n"
            f"f['variants'].write({variants})\nf['lock_seed'].write({seed is not None})\n"
            f"f['seed'].set_text({'' if seed is None else str(seed)!r})\nNone"
        )

    def work_on(self, image: Image) -> None:
        """Chooses the image in the window's list."""
        self.host.run(f"window._images_changed()\nwindow.image.set_active_id(str({image.code}.get_id()))\nNone")

    def press(self, image: Image | None = None, button: str = "selection_page.button") -> None:
        """One of the window's buttons without the mouse's way."""
        if image is not None:
            self.work_on(image)
        self.host.run(f"body.{button}.clicked()\nNone")

    def click(self, widget: str) -> None:
        """A click of the real mouse on one of the window's widgets."""
        own = self.host.window_of("^RePaint$")
        self.host.xdo("windowactivate", "--sync", own, "windowraise", own)
        self.host.click_on(f"click(body.{widget})", widget, f"under_mouse(body.{widget})")

    def status(self) -> str:
        return str(self.host.run("body.status.get_text()"))

    def repaint(self, image: Image, seconds: float = 60.0) -> str:
        self.press(image)
        return self.wait_end(seconds)

    # ---- procedures ----
    def call(self, procedure: str, image: Image, seconds: float = 120.0, **arguments: Any) -> list[Any]:
        """Runs a procedure non-interactively: its status, the error message, the ids of the layers it returns."""
        return list(self.host.run(f"call({procedure!r}, {image.code}, **{arguments!r})", seconds=seconds))
