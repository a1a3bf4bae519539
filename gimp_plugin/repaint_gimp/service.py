"""The process that lives as long as GIMP: the controller, the bridge's session and, when it is first asked for, the
window. Others speak to it through one temporary procedure, which returns at once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from gi.repository import Gimp, GLib, GObject

from bridge_server.client.editor.choices import Choices
from bridge_server.client.editor.flow import Flow
from bridge_server.client.editor.identity import client_id, open_log
from bridge_server.client.editor.model import Refused
from bridge_server.client.editor.probe import Probe
from bridge_server.client.editor.setup import SetUpPage
from bridge_server.client.gtk.eventloop import Pump
from bridge_server.client.launch import user_folders
from bridge_server.client.session import Session

from . import sentences
from .host import GimpHost

SHOW = "repaint-bridge-show"
READWRITE = GObject.ParamFlags.READWRITE


def hand_over(image: Any, display: Any, page: str, start: bool) -> bool:
    """Asks the running service to show its window for an image; False if none runs. Raises `Refused`: no display."""
    if not Gimp.get_pdb().procedure_exists(SHOW):
        return False
    procedure = Gimp.get_pdb().lookup_procedure(SHOW)
    config = procedure.create_config()
    config.set_property("image", image)
    config.set_property("display", display)
    config.set_property("page", page)
    config.set_property("start", start)
    if procedure.run(config).index(0) != Gimp.PDBStatusType.SUCCESS:
        raise Refused(sentences.NO_WINDOW)
    return True


class Service:
    """One in each GIMP."""

    def __init__(self, plug_in: Any) -> None:
        self.plug_in = plug_in
        self.pump = Pump(Probe(), logging.getLogger("repaint_gimp"))
        self.window: Any = None
        self.host = GimpHost(self.pump.probe)
        self.session = Session("gimp " + Gimp.version(), self.pump.notify, client_id("gimp"), history=True)
        self.pump.drive(Flow(self.host, self.session), open_log("gimp"))
        self.set_up = SetUpPage(Path(__file__).parent / "kit", self.pump)
        self.choices = Choices(user_folders().config / "gimp.json")

    def install(self) -> None:
        """Registers the temporary procedure; it is gone when this process is."""
        procedure = Gimp.Procedure.new(self.plug_in, SHOW, Gimp.PDBProcType.TEMPORARY, self._asked, None)
        procedure.set_documentation("Shows RePaint's window", "For RePaint's own procedures.", SHOW)
        procedure.add_image_argument("image", "Image", "The image to work on", True, READWRITE)
        procedure.add_display_argument("display", "Display", "The image's window", True, READWRITE)
        procedure.add_string_argument("page", "Page", "selection, extend, tile, or empty", "", READWRITE)
        procedure.add_boolean_argument("start", "Start", "Start at once", False, READWRITE)
        self.plug_in.add_temp_procedure(procedure)

    def run(self) -> None:
        """Serves until GIMP ends."""
        self.plug_in.persistent_enable()
        GLib.MainLoop().run()

    def _asked(self, procedure: Any, config: Any, _data: Any) -> Any:
        image, display, page, start = (config.get_property(name) for name in ("image", "display", "page", "start"))
        if not self._can_show():
            error = GLib.Error.new_literal(Gimp.PlugIn.error_quark(), sentences.NO_WINDOW, 0)
            return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, error)
        # Later: GIMP waits for the end of this call, and the window asks GIMP this and that.
        GLib.idle_add(self._show_once, image, display, page, start)
        return procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, None)

    def _show_once(self, image: Any, display: Any, page: str, start: bool) -> bool:
        self.show(image, display, page, start)
        return False

    @staticmethod
    def _can_show() -> bool:
        """GTK is loaded only now: a console has no display, and GIMP starts sooner without."""
        try:
            from . import window  # noqa: F401
        except (ImportError, RuntimeError):
            return False
        return True

    def show(self, image: Any, display: Any, page: str, start: bool) -> None:
        """The window on that page, above the image's own; ``start``: and its gesture begins at once, as last time."""
        from .window import Window

        if self.window is None:
            memory = user_folders().config / "gimp-window.json"
            self.window = Window(self.pump, self.choices, memory, self.host, self.set_up)
        self.window.open(image, display, page, start)

    def close(self) -> None:
        if self.window is not None:
            self.window.remember()
        self.set_up.close()
        self.session.close(timeout=1.0)
