"""A model that is not installed: its licence and source, the download, and how it goes. Nothing is fetched unasked."""

from __future__ import annotations

from typing import Any

from bridge_server.client.editor.labels import ACCEPT
from bridge_server.client.editor.pump import Pump
from bridge_server.client.editor.words import tr

from .qt import QtWidgets
from .widgets import ProgressBar, broken, button, column, named, note


class DownloadPanel(QtWidgets.QWidget):
    """Draws `Flow.shown_download` of the model chosen in ``model``, a combo box."""

    def __init__(self, pump: Pump, model: Any) -> None:
        super().__init__()
        self._pump, self._flow, self._model = pump, pump.flow, model
        self.about = note(name="download_about")
        self.accept = named(QtWidgets.QCheckBox(broken(tr(ACCEPT))), "accept")
        self.accept.clicked.connect(self._accept)
        self.start = button("download", self._start)
        self.bar = named(ProgressBar(), "download_progress")
        self.stop = button("stop_download", lambda: self._pump.do("stop download", self._flow.stop_download))
        self.sentence = note(name="download_sentence")
        column(self, self.about, self.accept, self.start, self.bar, self.stop, self.sentence, margin=0)
        self._model.currentIndexChanged.connect(lambda *_: self.refresh())
        self.refresh()

    def _chosen(self) -> str:
        return str(self._model.read())

    def _accept(self, yes: bool) -> None:
        name = self._chosen()
        self._pump.do("licence", lambda: self._flow.accept_licence(name, yes))

    def _start(self) -> None:
        name = self._chosen()
        self._pump.do("download", lambda: self._flow.download(name))

    def refresh(self) -> None:
        shown = self._flow.shown_download(self._chosen())
        self.about.setText(shown.text)
        self.accept.setChecked(shown.accepted)
        self.start.setEnabled(shown.can_start)
        self.stop.setEnabled(shown.can_stop)
        self.bar.setRange(0, 1000 if shown.fraction >= 0 else 0)
        self.bar.setValue(round(1000 * shown.fraction))
        self.bar.setFormat(shown.progress)
        self.sentence.setText(shown.sentence)
        for widget, there in (
            (self.accept, shown.asks),
            (self.start, shown.asks),
            (self.bar, shown.runs),
            (self.stop, shown.runs),
            (self.sentence, bool(shown.sentence)),
        ):
            widget.setVisible(there)
        self.setVisible(shown.visible)
