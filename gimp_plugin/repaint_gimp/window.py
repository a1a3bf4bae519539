"""The window "RePaint": where `Body` stands in GIMP, with the list of the open images."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import gi

gi.require_version("Gdk", "3.0")
gi.require_version("Gtk", "3.0")
gi.require_version("GimpUi", "3.0")
from gi.repository import Gdk, Gimp, GimpUi, Gtk  # noqa: E402

if not Gtk.init_check()[0]:
    raise RuntimeError("no display")  # GimpUi.init would end the process

from bridge_server.client.editor import fields  # noqa: E402
from bridge_server.client.editor.choices import Choices  # noqa: E402
from bridge_server.client.editor.pump import Pump  # noqa: E402
from bridge_server.client.editor.setup import SetUpPage  # noqa: E402
from bridge_server.client.gtk.body import Body  # noqa: E402
from bridge_server.client.launch import private_folder, read_json, write_private  # noqa: E402

from . import sentences  # noqa: E402
from .host import GimpHost  # noqa: E402
from .lookup import find_image  # noqa: E402
from .saving import SavingInLayerBox  # noqa: E402

TITLE = "RePaint"
SIZE = (800, 690)
IMAGE = fields.Catalogue("image", "", sentences.IMAGE, sentences.IMAGE_TIP)  # GIMP does not tell which one is in front


class Window(Gtk.Window):
    """One in each GIMP. Closing it hides it: what runs goes on."""

    def __init__(self, pump: Pump, choices: Choices, memory: Path, host: GimpHost, set_up: SetUpPage) -> None:
        """``memory``: the file in which size and place are kept."""
        GimpUi.init("repaint_gimp")
        super().__init__(title=TITLE, type_hint=Gdk.WindowTypeHint.UTILITY)
        self.set_role("repaint")
        self._host, self._memory = host, memory
        self.body = Body(pump, choices, set_up, (IMAGE,), SavingInLayerBox)
        self.image = self.body.own["image"]
        self.image.on_change(self._pick_image)
        self.add(self.body)
        self.connect("delete-event", lambda *_: self._close())
        self.connect("key-press-event", self._key)
        self.connect("focus-in-event", lambda *_: self._images_changed())
        self._put_back()

    # ---- where it is ----
    def _put_back(self) -> None:
        """Size and place of last time, if that place is still on a screen."""
        size, place = SIZE, None
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found = read_json(self._memory)
            size = (max(400, int(found["width"])), max(300, int(found["height"])))
            place = (int(found["x"]), int(found["y"]))
        self.set_default_size(*size)
        if place is not None and _on_screen(*place):
            self.move(*place)
        else:
            self.set_position(Gtk.WindowPosition.MOUSE)

    def remember(self) -> None:
        if not self.get_visible():
            return
        (x, y), (width, height) = self.get_position(), self.get_size()
        with contextlib.suppress(OSError):
            private_folder(self._memory.parent)
            write_private(self._memory, json.dumps({"x": x, "y": y, "width": width, "height": height}))

    def _close(self) -> bool:
        self.remember()
        self.hide()
        self._put_back()
        return True

    def _key(self, _widget: Any, event: Any) -> bool:
        control = event.state & Gdk.ModifierType.CONTROL_MASK
        if event.keyval == Gdk.KEY_Escape or (control and event.keyval in (Gdk.KEY_w, Gdk.KEY_W)):
            return self._close()
        return False

    # ---- the image ----
    def open(self, image: Any, display: Any, page: str, start: bool) -> None:
        """Shows it for an image on that page, above GIMP's window of ``display``; ``start``: and its gesture begins at
        once, with the choices of last time."""
        if image is not None:
            self._host.image = str(image.get_id())
        self._images_changed()
        if page:
            self.body.pages.set_visible_child_name(page)
        if display is not None:
            GimpUi.window_set_transient_for_display(self, display)
        self.present()
        self.body.look()
        if start:
            self.body.panel.start(page)

    def _images_changed(self) -> bool:
        """Fills the list of open images anew."""
        images = [(str(image.get_id()), image.get_name()) for image in Gimp.get_images()]
        if images != [(line[0], line[1]) for line in self.image.get_model()]:
            wanted = self._host.image
            self.image.get_model().clear()
            for entry in images:
                self.image.get_model().append(entry)
            self.image.set_active_id(wanted if find_image(wanted) is not None else None)
        elif self.image.read() != self._host.image:
            self.image.set_active_id(self._host.image)
        self.body.look_again()
        return False

    def _pick_image(self) -> None:
        if self.image.read() and self.image.read() != self._host.image:
            self._host.image = self.image.read()
            self.body.document_changed()


def _on_screen(x: int, y: int) -> bool:
    display = Gdk.Display.get_default()
    for number in range(display.get_n_monitors()):
        found = display.get_monitor(number).get_geometry()
        if found.x <= x < found.x + found.width - 50 and found.y <= y < found.y + found.height - 50:
            return True
    return False
