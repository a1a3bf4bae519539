"""A model that is not installed: its licence and source, the download, and how it goes. Nothing is fetched unasked."""

from __future__ import annotations

from gi.repository import Gtk

from bridge_server.client.editor.labels import ACCEPT
from bridge_server.client.editor.pump import Pump
from bridge_server.client.editor.words import tr

from .forms import ChoiceBox
from .widgets import GAP, button, named, note


class DownloadPanel(Gtk.Box):
    """Draws `Flow.shown_download` of the model chosen in ``model``."""

    def __init__(self, pump: Pump, model: ChoiceBox) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=GAP)
        self._pump, self._flow, self._model = pump, pump.flow, model
        self._drawing = False
        self.about = note(name="download_about")
        self.accept = named(Gtk.CheckButton(label=tr(ACCEPT)), "accept")
        self.accept.connect("toggled", lambda *_: self._accept())
        self.start = button("download", self._start)
        self.bar = named(Gtk.ProgressBar(show_text=True), "download_progress")
        self.stop = button("stop_download", lambda: self._pump.do("stop download", self._flow.stop_download))
        self.sentence = note(name="download_sentence")
        for widget in (self.about, self.accept, self.start, self.bar, self.stop, self.sentence):
            widget.show_all()
            self.pack_start(widget, False, False, 0)
        self.set_no_show_all(True)
        model.on_change(self.refresh)
        self.refresh()

    def _accept(self) -> None:
        if not self._drawing:
            name, yes = self._model.read(), self.accept.get_active()
            self._pump.do("licence", lambda: self._flow.accept_licence(name, yes))

    def _start(self) -> None:
        name = self._model.read()
        self._pump.do("download", lambda: self._flow.download(name))

    def refresh(self) -> None:
        shown = self._flow.shown_download(self._model.read())
        self._drawing = True
        self.accept.set_active(shown.accepted)
        self._drawing = False
        self.about.set_text(shown.text)
        self.start.set_sensitive(shown.can_start)
        self.stop.set_sensitive(shown.can_stop)
        if shown.fraction >= 0:
            self.bar.set_fraction(min(1.0, shown.fraction))
        else:
            self.bar.pulse()
        self.bar.set_text(shown.progress)
        self.sentence.set_text(shown.sentence)
        for widget, there in (
            (self.accept, shown.asks),
            (self.start, shown.asks),
            (self.bar, shown.runs),
            (self.stop, shown.runs),
            (self.sentence, bool(shown.sentence)),
            (self, shown.visible),
        ):
            widget.set_visible(there)
