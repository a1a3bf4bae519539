"""A widget for each kind of field in `fields`, and forms made of them."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Tuple

from gi.repository import Gtk, Pango

from bridge_server.client.editor import fields, sentences
from bridge_server.client.editor.texts import spoken
from bridge_server.client.editor.words import tr

from .widgets import GAP, button, mnemonic, named, row

LOCKED, FREE = "changes-prevent-symbolic", "changes-allow-symbolic"


class NumberBox(Gtk.Box):
    """A whole number with its unit; at 0 the word for it stands there instead, if there is one."""

    def __init__(self, field: fields.Number) -> None:
        super().__init__(spacing=GAP, hexpand=True)
        self._field, self._before = field, field.default
        adjustment = Gtk.Adjustment(
            value=field.default, lower=field.least, upper=field.high, step_increment=field.step, page_increment=16
        )
        self.button = Gtk.SpinButton(adjustment=adjustment, numeric=True, width_chars=5)
        self.pack_start(self.button, False, False, 0)
        self._note = Gtk.Label(xalign=0, wrap=True, max_width_chars=10)
        self._note.get_style_context().add_class("dim-label")
        if field.unit or field.zero:
            self.pack_start(self._note, True, True, 0)
        self.button.connect("value-changed", lambda *_: self._snap())
        self._snap()

    def _snap(self) -> None:
        value = self._field.snapped(self.button.get_value_as_int(), self._before)
        self._before = value
        self.button.set_value(value)
        zero = value == 0 and bool(self._field.zero)
        self._note.set_text(tr(self._field.zero) if zero else self._field.unit)

    def read(self) -> int:
        self.button.update()  # takes what has been typed and not left yet
        return int(self.button.get_value_as_int())

    def write(self, value: int) -> None:
        self.button.set_value(value)

    def on_change(self, work: Callable[[], Any]) -> None:
        self.button.connect("value-changed", lambda *_: work())


class ChoiceBox(Gtk.ComboBox):
    """What the artist has chosen outlives a new list."""

    def __init__(self, field: fields.Choice) -> None:
        super().__init__(model=Gtk.ListStore(str, str), id_column=0, hexpand=True)
        self._wanted, self._known, self._filling = field.default, not isinstance(field, fields.Catalogue), False
        self._any = isinstance(field, fields.Pick)  # what is written need not be known
        cell = Gtk.CellRendererText(ellipsize=Pango.EllipsizeMode.END, width_chars=8, max_width_chars=18)
        self.pack_start(cell, True)
        self.add_attribute(cell, "text", 1)
        for value, text in field.entries:
            self.get_model().append((value, tr(text)))
        self.set_active_id(field.default)
        self.connect("changed", lambda *_: self._chosen())

    def fill(self, entries: Iterable[Tuple[str, str, str]]) -> None:
        """Value and text of each entry, as they are shown; their tips have no place in GTK."""
        found = [entry[:2] for entry in entries]
        if not found or found == [tuple(line) for line in self.get_model()]:
            return
        self._known = self._filling = True
        self.get_model().clear()
        for entry in found:
            self.get_model().append(entry)
        self._pick()
        self._filling = False

    def _chosen(self) -> None:
        if not self._filling:
            self._wanted = self.read()

    def _pick(self) -> None:
        """The wanted entry, or the first."""
        values = self.values()
        self.set_active_id(self._wanted if self._wanted in values else values[0])

    def values(self) -> List[str]:
        return [line[0] for line in self.get_model()]

    def read(self) -> str:
        return self.get_active_id() or ""

    def write(self, value: str) -> None:
        if value not in self.values() and (self._any or not self._known):
            self.get_model().append((value, value))  # until the bridge has told what there is
        self._wanted = value
        self._pick()

    def on_change(self, work: Callable[[], Any]) -> None:
        self.connect("changed", lambda *_: work())


class TextBox(Gtk.Entry):
    def __init__(self, _field: fields.Text) -> None:
        super().__init__(hexpand=True)

    def read(self) -> str:
        return str(self.get_text())

    def write(self, value: str) -> None:
        self.set_text(value)


class FileBox(Gtk.FileChooserButton):
    def __init__(self, _field: fields.File) -> None:
        super().__init__(title=tr(sentences.CHOOSE_FILE), hexpand=True, width_chars=8)

    def read(self) -> str:
        return self.get_filename() or ""

    def write(self, value: str) -> None:
        if value:
            self.set_filename(value)
        else:
            self.unselect_all()

    def on_change(self, work: Callable[[], Any]) -> None:
        self.connect("file-set", lambda *_: work())


class SeedBox(Gtk.Entry):
    """A number too large for a spin button."""

    def __init__(self, field: fields.Number) -> None:
        super().__init__(hexpand=True, width_chars=8, max_length=16)
        self._most = field.high
        self.set_input_purpose(Gtk.InputPurpose.DIGITS)

    def read(self) -> int:
        text = "".join(sign for sign in self.get_text() if sign in "0123456789")
        return min(int(text), self._most) if text else -1

    def write(self, value: int) -> None:
        self.set_text(str(value))


class FlagBox(Gtk.CheckButton):
    def __init__(self, field: fields.Flag) -> None:
        super().__init__(label=mnemonic(tr(field.label)), use_underline=True)

    def read(self) -> bool:
        return bool(self.get_active())

    def write(self, value: bool) -> None:
        self.set_active(value)


class LockButton(Gtk.ToggleButton):
    """A flag without a label."""

    def __init__(self, _field: fields.Flag) -> None:
        super().__init__(image=Gtk.Image.new_from_icon_name(FREE, Gtk.IconSize.BUTTON))
        self.connect("toggled", lambda *_: self._show())

    def _show(self) -> None:
        self.get_image().set_from_icon_name(LOCKED if self.get_active() else FREE, Gtk.IconSize.BUTTON)

    def read(self) -> bool:
        return bool(self.get_active())

    def write(self, value: bool) -> None:
        self.set_active(value)


KINDS: Dict[str, Any] = {
    "number": NumberBox, "seed": SeedBox, "choice": ChoiceBox, "text": TextBox, "file": FileBox, "flag": FlagBox,
    "lock": LockButton,
}  # fmt: skip


def widget_of(field: fields.Field) -> Any:
    made = KINDS[fields.kind(field)](field)
    inner = named(_inner(made), field.name, field.tip)
    inner.get_accessible().set_name(spoken(field.label, field.tip))
    return made


def _inner(widget: Any) -> Any:
    """What takes the focus."""
    return widget.button if isinstance(widget, NumberBox) else widget


class Form(Gtk.Grid):
    """Captions beside the widgets of some fields."""

    def __init__(self, described: Iterable[fields.Field], widgets: Dict[str, Any]) -> None:
        """``widgets``: by the fields' names; the new ones are added."""
        super().__init__(row_spacing=GAP, column_spacing=2 * GAP)
        self.lines: Dict[str, List[Any]] = {}  # by the field's name: its caption, if it has one, and its widget
        for field in described:
            widget = widgets[field.name] = widget_of(field)
            if field.name == "lock_seed":
                self._beside_seed.pack_start(widget, False, True, 0)  # its neighbour comes just before
            elif isinstance(field, fields.Flag):
                self.attach(widget, 0, len(self.lines), 2, 1)
                self.lines[field.name] = [widget]
            elif field.name == "seed":
                self.add_line(field.name, field.label, self._seed_line(widget), widget)
            else:
                self.add_line(field.name, field.label, widget, _inner(widget))

    def add_line(self, name: str, text: str, widget: Any, target: Any) -> None:
        """The key that ``text`` marks leads to ``target``."""
        caption = Gtk.Label.new_with_mnemonic(mnemonic(tr(text)))
        caption.set_xalign(0)
        caption.set_mnemonic_widget(target)
        self.attach(caption, 0, len(self.lines), 1, 1)
        self.attach(widget, 1, len(self.lines), 1, 1)
        self.lines[name] = [caption, widget]

    def _seed_line(self, seed: Any) -> Any:
        self.dice = button("dice", icon="view-refresh-symbolic")
        self._beside_seed = row(seed, self.dice, wide=0)
        return self._beside_seed

    def show_fields(self, shown: Dict[str, bool]) -> None:
        for name, line in self.lines.items():
            for widget in line:
                widget.set_no_show_all(False)
                widget.show_all()  # what it is made of, once and for all
                widget.set_no_show_all(True)
                widget.set_visible(shown.get(name, True))
