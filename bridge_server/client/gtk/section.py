"""The sections that all editors have (`sections`), made of GTK's widgets."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict

from gi.repository import Gtk

from bridge_server.client.editor.labels import BUTTONS
from bridge_server.client.editor.sections import Look, Piece, Section
from bridge_server.client.editor.words import tr

from .widgets import GAP, button, main_button, mnemonic, named, note, row

LOG_HEIGHT = 160  # pixels


class LogBox(Gtk.ScrolledWindow):
    """Much text, its end in sight."""

    def __init__(self, name: str) -> None:
        super().__init__(min_content_height=LOG_HEIGHT)
        self._text = named(Gtk.TextView(editable=False, monospace=True), name)
        self.add(self._text)

    def set_text(self, text: str) -> None:
        content = self._text.get_buffer()
        if text != content.get_text(*content.get_bounds(), False):
            content.set_text(text)
            self._text.scroll_to_iter(content.get_end_iter(), 0.0, False, 0.0, 0.0)

    def get_text(self) -> str:
        content = self._text.get_buffer()
        return str(content.get_text(*content.get_bounds(), False))


class SectionPanel(Gtk.Box):
    """``parts``: the widgets by the names of the pieces."""

    def __init__(self, section: Section, border: int = 0) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=GAP, border_width=border)
        self._section, self._quiet = section, False
        self.parts: Dict[str, Any] = {}
        for piece in section.pieces:
            made = row(*map(self._made, piece)) if isinstance(piece, list) else self._made(piece)
            made.show_all()
            self.pack_start(made, isinstance(made, LogBox), True, 0)
        self.set_no_show_all(True)
        self.show()
        section.listeners.append(self.refresh)
        self.refresh()

    def _made(self, piece: Piece) -> Any:
        made = self.parts[piece.name] = getattr(self, "_" + piece.kind)(piece)
        return made

    def _note(self, piece: Piece) -> Any:
        return note(name=piece.name)

    def _title(self, piece: Piece) -> Any:
        made = note(name=piece.name)
        made.get_style_context().add_class("title")
        return made

    def _button(self, piece: Piece) -> Any:
        return button(piece.name, piece.do)

    def _main(self, piece: Piece) -> Any:
        return main_button(piece.name, *BUTTONS[piece.name], piece.do)

    def _toggle(self, piece: Piece) -> Any:
        text, tip = BUTTONS[piece.name]
        return self._switch(piece, Gtk.ToggleButton(label=mnemonic(tr(text)), use_underline=True), tip)

    def _flag(self, piece: Piece) -> Any:
        return self._switch(piece, Gtk.CheckButton(label=tr(piece.text)))

    def _switch(self, piece: Piece, made: Any, tip: str = "") -> Any:
        made.connect("toggled", lambda *_: None if self._quiet else piece.do(made.get_active()))
        return named(made, piece.name, tip)

    def _bar(self, piece: Piece) -> Any:
        return named(Gtk.ProgressBar(show_text=True), piece.name)

    def _line(self, piece: Piece) -> Any:
        made = named(Gtk.Entry(hexpand=True, placeholder_text=piece.text), piece.name)
        self._section.typed[piece.name] = made.get_text
        return made

    def _log(self, piece: Piece) -> Any:
        return LogBox(piece.name)

    def refresh(self) -> None:
        self._quiet = True
        try:
            for name, look in self._section.looks().items():
                self._draw(self.parts[name] if name else self, look)
        finally:
            self._quiet = False

    def _draw(self, widget: Any, look: Look) -> None:
        widget.set_visible(look.visible)
        widget.set_sensitive(look.enabled)
        if isinstance(widget, Gtk.ToggleButton):
            widget.set_active(look.on)
        elif isinstance(widget, Gtk.Button) and look.label:
            text, tip = BUTTONS[look.label]
            widget.set_label(mnemonic(tr(text)))
            widget.set_tooltip_text(tr(tip))
        elif isinstance(widget, (Gtk.Label, LogBox, Gtk.ProgressBar)):
            widget.set_text(look.text)
        if isinstance(widget, Gtk.ProgressBar) and look.visible:
            if look.fraction < 0:
                widget.pulse()
            else:
                widget.set_fraction(min(1.0, look.fraction))


class Asking:
    """`sections.Asking` over the window of ``widget``."""

    def __init__(self, widget: Any) -> None:
        self._widget = widget

    def folder(self, title: str, then: Callable[[Path], Any]) -> None:
        dialog = Gtk.FileChooserNative(
            title=tr(title), transient_for=self._widget.get_toplevel(), action=Gtk.FileChooserAction.SELECT_FOLDER
        )
        accepted = dialog.run() == Gtk.ResponseType.ACCEPT
        name = dialog.get_filename()  # None for a place that is no folder of this computer's
        if accepted and name is not None:
            then(Path(name))
        dialog.destroy()

    def line(self, title: str, question: str, then: Callable[[str], Any]) -> None:
        dialog = Gtk.Dialog(title=tr(BUTTONS[title][0]), transient_for=self._widget.get_toplevel(), modal=True)
        cancel = mnemonic(tr(BUTTONS["cancel"][0]))
        dialog.add_buttons(cancel, Gtk.ResponseType.CANCEL, "_OK", Gtk.ResponseType.OK)
        dialog.set_default_response(Gtk.ResponseType.OK)
        entry = named(Gtk.Entry(activates_default=True, width_chars=60), "box_line")
        for part in (Gtk.Label(label=tr(question), xalign=0.0), entry):
            dialog.get_content_area().pack_start(part, False, False, 6)
        dialog.show_all()
        typed = entry.get_text() if dialog.run() == Gtk.ResponseType.OK else ""
        dialog.destroy()
        if typed.strip():
            then(typed)
