"""Small pieces that the window's pages are made of: GTK 3 widgets with a name, a tip and an artist's sentence."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

from gi.repository import Gtk, Pango

from bridge_server.client.editor.words import tr

GAP = 6


def mnemonic(text: str) -> str:
    """The shared sentences mark the key with "&", GTK with "_"."""
    return text.replace("_", "__").replace("&", "_")


def named(widget: Any, name: str, tip: str = "") -> Any:
    """For style sheets and people: the widget's name and what it does, also for screen readers."""
    widget.set_name("repaint_" + name)
    if tip:
        widget.set_tooltip_text(tr(tip))
        widget.get_accessible().set_description(tr(tip))
    return widget


class Combo(Gtk.ComboBox):
    """A list of (value, text)."""

    def __init__(self) -> None:
        super().__init__(model=Gtk.ListStore(str, str), id_column=0, hexpand=True)
        cell = Gtk.CellRendererText(ellipsize=Pango.EllipsizeMode.END, width_chars=8, max_width_chars=18)
        self.pack_start(cell, True)
        self.add_attribute(cell, "text", 1)

    def fill(self, entries: Iterable[Tuple[str, str]], wanted: str = "") -> None:
        """Replaces the list and chooses ``wanted``, else the first."""
        self.get_model().clear()
        for entry in entries:
            self.get_model().append(entry)
        self.choose(wanted)

    def choose(self, wanted: str) -> None:
        values = self.values()
        if values:
            self.set_active_id(wanted if wanted in values else values[0])

    def values(self) -> List[str]:
        return [row[0] for row in self.get_model()]

    @property
    def value(self) -> str:
        return self.get_active_id() or ""


class Tabs(Gtk.Box):
    """A row of the names of a stack's pages: Gtk.StackSwitcher's own buttons are too wide for a narrow window."""

    def __init__(self, stack: Any) -> None:
        super().__init__(homogeneous=True)
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


def combo(name: str, tip: str, entries: Iterable[Tuple[str, str]] = ()) -> Combo:
    """``entries``: (value, English text)."""
    made: Combo = named(Combo(), name, tip)
    made.fill((value, tr(text)) for value, text in entries)
    return made


class Spin(Gtk.Box):
    """A whole number with its unit; at its lowest value ``zero`` stands instead of the unit, if there is one."""

    def __init__(self, low: int, high: int, unit: str, zero: str) -> None:
        super().__init__(spacing=GAP, hexpand=True)
        adjustment = Gtk.Adjustment(value=low, lower=low, upper=high, step_increment=1, page_increment=16)
        self.button = Gtk.SpinButton(adjustment=adjustment, numeric=True, width_chars=5)
        self.pack_start(self.button, False, False, 0)
        self._low, self._unit, self._zero = low, unit, zero
        self._note = Gtk.Label(xalign=0, ellipsize=Pango.EllipsizeMode.END)
        self._note.get_style_context().add_class("dim-label")
        if unit or zero:
            self.pack_start(self._note, True, True, 0)
        self.button.connect("value-changed", lambda *_: self._show())
        self._show()

    def _show(self) -> None:
        self._note.set_text(self._zero if self._zero and self.value == self._low else self._unit)

    @property
    def value(self) -> int:
        self.button.update()  # takes what has been typed and not left yet
        return int(self.button.get_value_as_int())

    def set_value(self, value: int) -> None:
        self.button.set_value(value)

    def on_change(self, work: Callable[[], Any]) -> None:
        self.button.connect("value-changed", lambda *_: work())


def spin(name: str, tip: str, low: int, high: int, unit: str = "", zero: str = "") -> Spin:
    made = Spin(low, high, tr(unit) if unit else "", tr(zero) if zero else "")
    named(made.button, name, tip)
    return made


def button(name: str, text: str, tip: str, clicked: Callable[[], Any]) -> Any:
    made = named(Gtk.Button.new_with_mnemonic(mnemonic(tr(text))), name, tip)
    made.get_child().set_ellipsize(Pango.EllipsizeMode.END)
    made.set_hexpand(True)
    made.connect("clicked", lambda *_: clicked())
    return made


def main_button(name: str, text: str, tip: str, clicked: Callable[[], Any]) -> Any:
    """The one button of a page, which the Enter key presses."""
    made = button(name, text, tip, clicked)
    made.get_style_context().add_class("suggested-action")
    made.set_can_default(True)
    return made


def tool(name: str, icon: str, tip: str, clicked: Callable[[], Any]) -> Any:
    made = named(Gtk.Button.new_from_icon_name(icon, Gtk.IconSize.BUTTON), name, tip)
    made.get_accessible().set_name(tr(tip))
    made.connect("clicked", lambda *_: clicked())
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


class Form(Gtk.Grid):
    """Captions beside fields."""

    def __init__(self) -> None:
        super().__init__(row_spacing=GAP, column_spacing=2 * GAP)
        self._count = 0
        self.captions: Dict[Any, Any] = {}

    def add_line(self, text: str, field: Any, target: Any = None) -> None:
        """``text`` in the artist's language; its key leads to ``target``, else to the field itself."""
        caption = Gtk.Label.new_with_mnemonic(mnemonic(text))
        caption.set_xalign(0)
        caption.set_mnemonic_widget(target or getattr(field, "button", field))
        self.attach(caption, 0, self._count, 1, 1)
        self.attach(field, 1, self._count, 1, 1)
        self.captions[field] = caption
        self._count += 1

    def show_line(self, field: Any, shown: bool) -> None:
        for widget in (field, self.captions[field]):
            widget.set_no_show_all(False)
            widget.show_all()  # what it is made of, once and for all
            widget.set_no_show_all(True)
            widget.set_visible(shown)
