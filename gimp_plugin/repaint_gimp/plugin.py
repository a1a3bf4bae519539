"""What stands in GIMP's procedure database: the extension, and one procedure for each gesture.

A gesture's procedure is a short-lived process. From the menu (run mode interactive, or "with last values": at once) it
hands the image over to the extension and returns; from a script (non-interactive) it runs to the end and returns the
layer. If the extension is gone (a crash, `kill`), the process becomes the service itself.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any, Callable, Dict, Optional

import gi

gi.require_version("Gimp", "3.0")
gi.require_version("Gegl", "0.4")
from gi.repository import Gimp, GLib, GObject  # noqa: E402

from bridge_server.client.editor import fields, words  # noqa: E402
from bridge_server.client.editor.fields import FIELDS  # noqa: E402
from bridge_server.client.editor.model import MAX_SEED, Area, Extend, Refused, Tile  # noqa: E402
from bridge_server.client.editor.words import tr  # noqa: E402
from bridge_server.client.errors import BridgeError  # noqa: E402

from . import script, sentences, service  # noqa: E402

EXTENSION = "extension-repaint"
PREFIX = "plug-in-repaint-"
MENU = "<Image>/Filters/RePaint"
READWRITE = GObject.ParamFlags.READWRITE


@dataclass(frozen=True)
class Gesture:
    """A menu entry. ``page``: of the window; ``arguments``: adds its own to the procedure; ``area``: what they mean.
    Without ``area`` there is nothing for scripts."""

    label: str
    blurb: str
    page: str
    arguments: Callable[[Any], None] = lambda _procedure: None
    area: Optional[Callable[[Any], Area]] = None


def _argument(procedure: Any, name: str, field: fields.Field) -> None:
    """A field of the window as the argument ``name``."""
    nick, tip = words.unmarked(tr(field.label)), tr(field.tip)
    if isinstance(field, fields.Number):
        procedure.add_int_argument(name, nick, tip, field.least, field.high, field.default, READWRITE)
    elif isinstance(field, fields.Choice) and not isinstance(field, fields.Catalogue):
        choice = Gimp.Choice.new()
        for number, (value, text) in enumerate(field.entries):
            choice.add(value, number, tr(text), "")
        procedure.add_choice_argument(name, nick, tip, choice, field.default, READWRITE)
    else:
        procedure.add_string_argument(name, nick, tip, field.default, READWRITE)


def _extend_arguments(procedure: Any) -> None:
    for side in fields.SIDES:
        _argument(procedure, side, FIELDS["extend_" + side])


def _tile_arguments(procedure: Any) -> None:
    _argument(procedure, "axis", FIELDS["tile_axis"])
    _argument(procedure, "band", FIELDS["tile_band"])


def _extend_area(config: Any) -> Area:
    return Extend(*(config.get_property(side) for side in fields.SIDES))


def _tile_area(config: Any) -> Area:
    return Tile(config.get_property("axis"), config.get_property("band"))


GESTURES: Dict[str, Gesture] = {
    PREFIX + "selection": Gesture(*sentences.MENU["selection"], "selection", area=lambda _config: None),
    PREFIX + "extend": Gesture(*sentences.MENU["extend"], "extend", _extend_arguments, _extend_area),
    PREFIX + "seamless": Gesture(*sentences.MENU["seamless"], "tile", _tile_arguments, _tile_area),
    PREFIX + "variants": Gesture(*sentences.MENU["variants"], ""),
}


class RePaint(Gimp.PlugIn):
    """One object in each process that GIMP starts."""

    service: Optional[service.Service] = None

    def do_query_procedures(self) -> Any:
        return [EXTENSION, *GESTURES]

    def do_set_i18n(self, _name: str) -> bool:
        return False  # the sentences have a catalogue of their own

    def do_create_procedure(self, name: str) -> Any:
        if name == EXTENSION:
            procedure = Gimp.Procedure.new(self, name, Gimp.PDBProcType.PERSISTENT, self._extend_gimp, None)
            procedure.set_documentation("Keeps RePaint running", "Started by GIMP; not meant to be called.", name)
            return procedure
        gesture = GESTURES[name]
        procedure = Gimp.ImageProcedure.new(self, name, Gimp.PDBProcType.PLUGIN, self._run, None)
        procedure.set_image_types("*")
        mask = Gimp.ProcedureSensitivityMask
        procedure.set_sensitivity_mask(mask.DRAWABLE | mask.DRAWABLES | mask.NO_DRAWABLES)
        procedure.set_menu_label(tr(gesture.label))
        procedure.add_menu_path(MENU)
        procedure.set_documentation(tr(gesture.blurb), _help(gesture), name)
        procedure.set_attribution("RePaint Bridge", "GPL-3.0-or-later", "2026")
        if gesture.area is not None:
            _common_arguments(procedure)
            gesture.arguments(procedure)
            procedure.add_layer_return_value("layer", "Layer", "The new layer", True, READWRITE)
        return procedure

    def do_quit(self) -> None:
        if self.service is not None:
            self.service.close()

    # ---- runs ----
    def _extend_gimp(self, procedure: Any, _config: Any, _data: Any) -> Any:
        self.service = service.Service(self)
        self.service.install()
        procedure.persistent_ready()
        self.service.run()
        return procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, None)

    def _run(self, procedure: Any, mode: Any, image: Any, _drawables: Any, config: Any, _data: Any) -> Any:
        gesture = GESTURES[procedure.get_name()]
        try:
            if mode == Gimp.RunMode.NONINTERACTIVE:
                if gesture.area is None:
                    return _failed(procedure, sentences.NO_SCRIPT)
                layer = script.run(image, script.settings(config, gesture.area(config)))
                values = procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, None)
                values.remove(1)
                values.insert(1, GObject.Value(Gimp.Layer, layer))
                return values
            start = mode == Gimp.RunMode.WITH_LAST_VALS and gesture.area is not None
            if not service.hand_over(image, Gimp.default_display(), gesture.page, start):
                self.service = service.Service(self)
                self.service.install()
                self.service.show(image, Gimp.default_display(), gesture.page, start)
                self.service.run()
            return procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, None)
        except (Refused, BridgeError) as error:
            return _failed(procedure, error.sentence)


def _common_arguments(procedure: Any) -> None:
    for name in ("model", "preset", "source", "learn", "feather"):
        _argument(procedure, name, FIELDS[name])
    seed = "The same seed gives the same picture again; -1: one is drawn"
    procedure.add_double_argument("seed", "Seed", seed, -1, MAX_SEED, -1, READWRITE)


def _help(gesture: Gesture) -> str:
    if gesture.area is None:
        return "Opens the window with the pictures that were painted."
    return (
        "Interactive: opens the window and returns. With last values: starts at once with the window's settings and "
        "returns. Non-interactive: runs to the end and returns the new layer, in one undo step."
    )


def _failed(procedure: Any, sentence: str) -> Any:
    error = GLib.Error.new_literal(Gimp.PlugIn.error_quark(), tr(sentence), 0)
    return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, error)


def main() -> None:
    words.choose(os.environ.get("LANGUAGE", "").split(":")[0] or GLib.get_language_names()[0])
    Gimp.main(RePaint.__gtype__, sys.argv)
