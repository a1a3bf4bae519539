"""What the docker shows while there is no working engine, or an old one: the set-up, from the plan to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

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

from .qt import QtWidgets
from .widgets import ProgressBar, broken, button, column, main_button, named, note, plain

LOG_LINES = 8


class SetUpPanel(QtWidgets.QWidget):
    """Draws `SetUpPage.shown`. ``rest``: what the docker shows otherwise."""

    def __init__(self, pump: Pump, page: SetUpPage, rest: Any) -> None:
        super().__init__()
        self._pump, self._page, self._rest = pump, page, rest
        self.about = note(name="set_up_about")
        self.main = main_button("set_up", *BUTTONS["set_up"], lambda: self._do(page.start))
        self.bar = named(ProgressBar(), "set_up_progress")
        self.stop = button("stop_set_up", lambda: self._do(page.cancel))
        self.steps = note(name="set_up_steps")
        self.sentence = note(name="set_up_sentence")
        self.log_button = button("show_log")
        self.log_button.setCheckable(True)
        self.log_button.toggled.connect(lambda on: self._do(lambda: page.show_log(on)))
        self.log = named(QtWidgets.QPlainTextEdit(), "set_up_log")
        self.log.setReadOnly(True)
        self.log.setMinimumHeight(LOG_LINES * self.log.fontMetrics().lineSpacing())
        self.use = button("use_engine", lambda: self._choose(CHOOSE_ENGINE, page.use))
        self.box = button("use_box", self._ask_box)
        self.take_from = button("from_folder", lambda: self._choose(CHOOSE_SOURCE, page.take_from))
        column(
            self, self.about, self.main, self.bar, self.steps, self.stop, self.sentence, self.use, self.box,
            self.take_from, self.log_button, self.log, margin=0,
        ).addStretch(1)  # fmt: skip
        page.listeners.append(self.refresh)
        self.refresh()

    def _do(self, work: Callable[[], Any]) -> None:
        self._pump.do("set-up", work)

    def _choose(self, title: str, work: Callable[[Path], Any]) -> None:
        folder = QtWidgets.QFileDialog.getExistingDirectory(self, tr(title))
        if folder:
            self._do(lambda: work(Path(folder)))

    def _ask_box(self) -> None:
        line, accepted = QtWidgets.QInputDialog.getText(self, tr(BUTTONS["use_box"][0]), tr(CHOOSE_BOX))
        if accepted and line.strip():
            self._do(lambda: self._page.use_box(line))

    def refresh(self) -> None:
        shown = self._page.shown()
        text, tip = BUTTONS[shown.button]
        self.main.setText(tr(text))
        self.main.setToolTip(plain(tr(tip)))
        self.main.setEnabled(shown.can_start)
        self.stop.setEnabled(shown.can_stop)
        self.bar.setRange(0, 1000 if shown.fraction >= 0 else 0)
        self.bar.setValue(round(1000 * shown.fraction))
        self.bar.setFormat(shown.progress)
        for label, words in ((self.about, shown.text), (self.steps, shown.steps), (self.sentence, shown.sentence)):
            label.setText(words)
            label.setVisible(bool(words))
        if shown.log != self.log.toPlainText():
            self.log.setPlainText(shown.log)
            self.log.verticalScrollBar().setValue(self.log.verticalScrollBar().maximum())
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
            widget.setVisible(there)


class RemovalPanel(QtWidgets.QWidget):
    """Draws `RemovalPage.shown`."""

    def __init__(self, pump: Pump, page: RemovalPage) -> None:
        super().__init__()
        self._page = page
        self.ask = button("remove", lambda: pump.do("removal", page.ask))
        self.text = note(name="removal")
        self.models, self.history = (QtWidgets.QCheckBox(broken(tr(text))) for text in (WITH_MODELS, WITH_HISTORY))
        for box in (self.models, self.history):
            box.toggled.connect(lambda *_: page.include(self.models.isChecked(), self.history.isChecked()))
        self.remove = button("remove_now", lambda: pump.do("removal", page.remove))
        self.leave = button("remove_not", lambda: pump.do("removal", page.leave))
        column(self, self.ask, self.text, self.models, self.history, self.remove, self.leave, margin=0)
        page.listeners.append(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        shown = self._page.shown()
        self.text.setText(shown.text)
        self.text.setVisible(bool(shown.text))
        for widget in (self.models, self.history, self.remove, self.leave):
            widget.setVisible(shown.asks)
        if not shown.asks:
            self.models.setChecked(False)
            self.history.setChecked(False)


class BoxPanel(QtWidgets.QWidget):
    """Draws a `BoxPage`."""

    def __init__(self, pump: Pump, page: BoxPage) -> None:
        super().__init__()
        self._page = page
        self.line = named(QtWidgets.QLineEdit(), "box_line")
        self.line.setPlaceholderText(BOX_COMMAND)
        self.connect_button = button("box_connect", lambda: pump.do("box", lambda: page.connect(self.line.text())))
        self.alone = button("box_disconnect", lambda: pump.do("box", page.disconnect))
        self.text = note(name="box")
        column(self, self.line, self.connect_button, self.alone, self.text, margin=0)
        page.listeners.append(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        self.text.setText(self._page.text)
        self.text.setVisible(bool(self._page.text))
