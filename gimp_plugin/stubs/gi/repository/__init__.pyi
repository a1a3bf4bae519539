"""GIMP's and GEGL's own parts are described; the widget set and GLib are Any."""

from typing import Any

from . import Babl as Babl
from . import Gegl as Gegl
from . import Gimp as Gimp

Gdk: Any
GdkPixbuf: Any
GimpUi: Any
Gio: Any
GLib: Any
GObject: Any
Gtk: Any
Pango: Any
