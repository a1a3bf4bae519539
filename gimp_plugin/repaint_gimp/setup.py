"""What the window shows while there is no working engine, or an old one: the set-up, from the plan to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

from gi.repository import Gtk

from bridge_server.client.editor.box import BOX_COMMAND, BoxPage
from bridge_server.client.editor.labels import (
    BUTTONS,
    CHOOSE_BOX,
    CHOOSE_ENGINE,
    CHOOSE_SOURCE,
    WITH_HISTORY,
    WITH_MODELS,
)
from bridge_server.client.editor.pump import Pump
from bridge_server.client.editor.removal import RemovalPage
from bridge_server.client.editor.setup import SetUpPage
from bridge_server.client.editor.words import tr

from .widgets import GAP, button, column, main_button, mnemonic, named, note

LOG_HEIGHT = 160  # pixels


class SetUpPanel(Gtk.Box):
    """Draws `SetUpPage.shown`. ``rest``: what the window shows otherwise."""

    def __init__(self, pump: Pump, page: SetUpPage, rest: Any) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=GAP, border_width=GAP)
        self._pump, self._page, self._rest = pump, page, rest
        self.about, self.steps, self.sentence = (note(name="set_up_" + name) for name in ("about", "steps", "sentence"))
        self.main = main_button("set_up", *BUTTONS["set_up"], lambda: self._do(page.start))
        self.bar = named(Gtk.ProgressBar(show_text=True), "set_up_progress")
        self.stop = button("stop_set_up", lambda: self._do(page.cancel))
        self.use = button("use_engine", lambda: self._choose(CHOOSE_ENGINE, page.use))
        self.box = button("use_box", self._ask_box)
        self.take_from = button("from_folder", lambda: self._choose(CHOOSE_SOURCE, page.take_from))
        text, tip = BUTTONS["show_log"]
        self.log_button = named(Gtk.ToggleButton(label=mnemonic(tr(text)), use_underline=True), "show_log", tip)
        self.log_button.connect("toggled", lambda one: self._do(lambda: page.show_log(one.get_active())))
        self.text = named(Gtk.TextView(editable=False, monospace=True), "set_up_log")
        self.log = Gtk.ScrolledWindow(min_content_height=LOG_HEIGHT)
        self.log.add(self.text)
        parts = (self.about, self.main, self.bar, self.steps, self.stop, self.sentence)
        for widget in (*parts, self.use, self.box, self.take_from, self.log_button):
            widget.show_all()
            self.pack_start(widget, False, False, 0)
        self.log.show_all()
        self.pack_start(self.log, True, True, 0)
        self.set_no_show_all(True)
        page.listeners.append(self.refresh)
        self.refresh()

    def _do(self, work: Callable[[], Any]) -> None:
        self._pump.do("set-up", work)

    def _choose(self, title: str, work: Callable[[Path], Any]) -> None:
        dialog = Gtk.FileChooserNative(
            title=tr(title), transient_for=self.get_toplevel(), action=Gtk.FileChooserAction.SELECT_FOLDER
        )
        accepted = dialog.run() == Gtk.ResponseType.ACCEPT
        name = dialog.get_filename()  # None for a place that is no folder of this computer's
        if accepted and name is not None:
            self._do(lambda: work(Path(name)))
        dialog.destroy()

    def _ask_box(self) -> None:
        dialog = Gtk.Dialog(title=tr(BUTTONS["use_box"][0]), transient_for=self.get_toplevel(), modal=True)
        cancel = mnemonic(tr(BUTTONS["cancel"][0]))
        dialog.add_buttons(cancel, Gtk.ResponseType.CANCEL, "_OK", Gtk.ResponseType.OK)
        dialog.set_default_response(Gtk.ResponseType.OK)
        entry = named(Gtk.Entry(activates_default=True, width_chars=60), "box_line")
        for part in (Gtk.Label(label=tr(CHOOSE_BOX), xalign=0.0), entry):
            dialog.get_content_area().pack_start(part, False, False, 6)
        dialog.show_all()
        line = entry.get_text() if dialog.run() == Gtk.ResponseType.OK else ""
        dialog.destroy()
        if line.strip():
            self._do(lambda: self._page.use_box(line))

    def refresh(self) -> None:
        shown = self._page.shown()
        text, tip = BUTTONS[shown.button]
        self.main.set_label(mnemonic(tr(text)))
        self.main.set_tooltip_text(tr(tip))
        self.main.set_sensitive(shown.can_start)
        self.stop.set_sensitive(shown.can_stop)
        if shown.fraction >= 0:
            self.bar.set_fraction(min(1.0, shown.fraction))
        elif shown.runs:
            self.bar.pulse()
        self.bar.set_text(shown.progress)
        for label, words in ((self.about, shown.text), (self.steps, shown.steps), (self.sentence, shown.sentence)):
            label.set_text(words)
            label.set_visible(bool(words))
        content = self.text.get_buffer()
        if shown.log != content.get_text(*content.get_bounds(), False):
            content.set_text(shown.log)
            self.text.scroll_to_iter(content.get_end_iter(), 0.0, False, 0.0, 0.0)
        for widget, there in (
            (self.main, not shown.runs),
            (self.bar, shown.runs),
            (self.stop, shown.runs),
            (self.use, not shown.runs),
            (self.box, not shown.runs),
            (self.take_from, not shown.runs),
            (self.log_button, shown.has_log),
            (self.log, bool(shown.log)),
            (self, shown.visible),
            (self._rest, not shown.alone),
        ):
            widget.set_visible(there)


class RemovalPanel(Gtk.Box):
    """Draws `RemovalPage.shown`."""

    def __init__(self, pump: Pump, page: RemovalPage) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=GAP)
        self._page = page
        self.ask = button("remove", lambda: pump.do("removal", page.ask))
        self.text = note(name="removal")
        self.models, self.history = Gtk.CheckButton(label=tr(WITH_MODELS)), Gtk.CheckButton(label=tr(WITH_HISTORY))
        for box in (self.models, self.history):
            box.connect("toggled", lambda *_: page.include(self.models.get_active(), self.history.get_active()))
        self.remove_button = button("remove_now", lambda: pump.do("removal", page.remove))
        self.leave = button("remove_not", lambda: pump.do("removal", page.leave))
        self.choice = column(self.remove_button, self.leave)
        for widget in (self.ask, self.text, self.models, self.history, self.choice):
            widget.show_all()
            self.pack_start(widget, False, False, 0)
        self.set_no_show_all(True)
        self.show()
        page.listeners.append(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        shown = self._page.shown()
        self.text.set_text(shown.text)
        self.text.set_visible(bool(shown.text))
        for widget in (self.models, self.history, self.choice):
            widget.set_visible(shown.asks)
        if not shown.asks:
            self.models.set_active(False)
            self.history.set_active(False)


class BoxPanel(Gtk.Box):
    """Draws a `BoxPage`."""

    def __init__(self, pump: Pump, page: BoxPage) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=GAP)
        self._page = page
        self.line = named(Gtk.Entry(hexpand=True, placeholder_text=BOX_COMMAND), "box_line")
        self.connect_button = button("box_connect", lambda: pump.do("box", lambda: page.connect(self.line.get_text())))
        self.alone = button("box_disconnect", lambda: pump.do("box", page.disconnect))
        self.text = note(name="box")
        for widget in (self.line, self.connect_button, self.alone, self.text):
            self.pack_start(widget, False, False, 0)
        page.listeners.append(self.refresh)

    def refresh(self) -> None:
        self.text.set_text(self._page.text)
