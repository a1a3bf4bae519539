"""Small pieces that the window's pages are made of: GTK 3 widgets with a name, a tip and an artist's sentence."""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional

from gi.repository import Gdk, Gtk, Pango

from bridge_server.client.editor.labels import BUTTONS, TIPS
from bridge_server.client.editor.words import tr

GAP = 6


def mnemonic(text: str) -> str:
    """The shared sentences mark the key with "&", GTK with "_"."""
    return text.replace("_", "__").replace("&", "_")


def named(widget: Any, name: str, tip: str = "") -> Any:
    """For style sheets and people: the widget's name and what it does, also for screen readers."""
    widget.set_name("repaint_" + name)
    tip = tr(tip or TIPS.get(name, ""))
    if tip:
        widget.set_tooltip_text(tip)
        widget.get_accessible().set_description(tip)
        if not widget.get_accessible().get_name():
            widget.get_accessible().set_name(tip)
    return widget


def density() -> int:
    """Pixels of the screen for one of GTK's, in each direction."""
    display = Gdk.Display.get_default()
    return int((display.get_primary_monitor() or display.get_monitor(0)).get_scale_factor())


class Sharp(Gtk.Layout):
    """A picture of `density` times as many pixels as it is to have of GTK's, each way. Gtk.Image draws every pixel of a
    pixbuf that large, but not those of an icon; an icon's room is square, and this one is cut to its picture."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._pixbuf: Any = None
        self._image = Gtk.Image(visible=True)
        self.put(self._image, 0, 0)

    def set_from_pixbuf(self, pixbuf: Any) -> None:
        self._pixbuf = pixbuf
        width, height = (-(-side // density()) for side in (pixbuf.get_width(), pixbuf.get_height()))
        self._image.set_from_gicon(pixbuf, Gtk.IconSize.DIALOG)
        self._image.set_pixel_size(max(width, height))
        self.set_size(width, height)
        self.set_size_request(width, height)

    def get_pixbuf(self) -> Any:
        return self._pixbuf

    def clear(self) -> None:
        self._pixbuf = None
        self._image.clear()


def sharp_cell(side: int) -> Any:
    """For the pictures of a list's lines: its attribute "gicon" takes a pixbuf of ``side`` times `density` pixels."""
    name = f"repaint-{side}"
    size = Gtk.IconSize.from_name(name) or Gtk.IconSize.register(name, side, side)
    return Gtk.CellRendererPixbuf(stock_size=size, yalign=1.0)


class Tabs(Gtk.Box):
    """A row of the names of a stack's pages: Gtk.StackSwitcher's own buttons are too wide for a narrow window."""

    def __init__(self, stack: Any) -> None:
        super().__init__()
        self.get_style_context().add_class("linked")
        self._buttons: Dict[str, Any] = {}
        for page in stack.get_children():
            name, text = (stack.child_get_property(page, key) for key in ("name", "title"))
            tab = Gtk.RadioButton(label=text, draw_indicator=False)
            tab.join_group(next(iter(self._buttons.values()), None))
            tab.connect("toggled", lambda tab, name=name: tab.get_active() and stack.set_visible_child_name(name))
            self.pack_start(tab, True, True, 0)
            self._buttons[name] = tab
        stack.connect("notify::visible-child-name", lambda *_: self._show(stack.get_visible_child_name()))

    def _show(self, name: str) -> None:
        self._buttons[name].set_active(True)


def button(name: str, clicked: Optional[Callable[[], Any]] = None, icon: str = "") -> Any:
    """A button of `labels.BUTTONS`; ``icon``: for one without text."""
    text, tip = BUTTONS[name]
    made = Gtk.Button.new_from_icon_name(icon, Gtk.IconSize.BUTTON) if icon else push_button(tr(text))
    if clicked is not None:
        made.connect("clicked", lambda *_: clicked())
    return named(made, name, tip)


def toggle(name: str) -> Any:
    """A button of `labels.BUTTONS` that stays pressed, with a sign as its text."""
    text, tip = BUTTONS[name]
    made = Gtk.ToggleButton(label=text)
    made.get_accessible().set_name(tr(tip))
    return named(made, name, tip)


def push_button(text: str) -> Any:
    made = Gtk.Button.new_with_mnemonic(mnemonic(text))
    made.get_child().set_ellipsize(Pango.EllipsizeMode.END)
    made.set_hexpand(True)
    return made


def main_button(name: str, text: str, tip: str, clicked: Callable[[], Any]) -> Any:
    """The one button of a page, which the Enter key presses."""
    made = named(push_button(tr(text)), name, tip)
    made.connect("clicked", lambda *_: clicked())
    made.get_style_context().add_class("suggested-action")
    made.set_can_default(True)
    return made


def note(text: str = "", name: str = "") -> Any:
    """Wrapped text that can be copied."""
    label = Gtk.Label(label=tr(text) if text else "", xalign=0, wrap=True, selectable=True, hexpand=True)
    label.set_line_wrap_mode(Pango.WrapMode.WORD_CHAR)
    label.set_width_chars(20)
    label.set_max_width_chars(40)
    label.set_can_focus(False)
    return named(label, name) if name else label


def column(*widgets: Any) -> Any:
    box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=GAP)
    for widget in widgets:
        box.pack_start(widget, False, False, 0)
    return box


def row(*widgets: Any, wide: Optional[int] = None) -> Any:
    """Widgets side by side; the one numbered ``wide`` takes the room, or all alike."""
    box = Gtk.Box(spacing=GAP, homogeneous=wide is None)
    for number, widget in enumerate(widgets):
        box.pack_start(widget, wide is None or number == wide, True, 0)
    return box
