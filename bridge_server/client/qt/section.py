"""The sections that all editors have (`sections`), made of Qt's widgets."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict

from bridge_server.client.editor.labels import BUTTONS
from bridge_server.client.editor.sections import Look, Piece, Section
from bridge_server.client.editor.words import tr

from .binding import QtWidgets
from .widgets import ProgressBar, broken, button, column, main_button, named, note, plain, row

LOG_LINES = 8


class LogBox(QtWidgets.QPlainTextEdit):
    """Much text, its end in sight."""

    def __init__(self) -> None:
        super().__init__()
        self.setReadOnly(True)
        self.setMinimumHeight(LOG_LINES * self.fontMetrics().lineSpacing())

    def setText(self, text: str) -> None:
        if text != self.toPlainText():
            self.setPlainText(text)
            self.verticalScrollBar().setValue(self.verticalScrollBar().maximum())


class SectionPanel(QtWidgets.QWidget):
    """``parts``: the widgets by the names of the pieces."""

    def __init__(self, section: Section, margin: int = 0) -> None:
        super().__init__()
        self._section, self._quiet = section, False
        self.parts: Dict[str, Any] = {}
        rows = (row(*map(self._made, each)) if isinstance(each, list) else self._made(each) for each in section.pieces)
        self.column = column(self, *rows, margin=margin)
        section.listeners.append(self.refresh)
        self.refresh()

    def _made(self, piece: Piece) -> Any:
        made = self.parts[piece.name] = getattr(self, "_" + piece.kind)(piece)
        return made

    def _note(self, piece: Piece) -> Any:
        return note(name=piece.name)

    def _title(self, piece: Piece) -> Any:
        made = note(name=piece.name)
        font = made.font()
        font.setBold(True)
        made.setFont(font)
        return made

    def _button(self, piece: Piece) -> Any:
        return button(piece.name, piece.do)

    def _main(self, piece: Piece) -> Any:
        return main_button(piece.name, *BUTTONS[piece.name], piece.do)

    def _toggle(self, piece: Piece) -> Any:
        made = button(piece.name)
        made.setCheckable(True)
        return self._switch(piece, made)

    def _flag(self, piece: Piece) -> Any:
        return self._switch(piece, named(QtWidgets.QCheckBox(broken(tr(piece.text))), piece.name))

    def _switch(self, piece: Piece, made: Any) -> Any:
        made.toggled.connect(lambda on: None if self._quiet else piece.do(bool(on)))
        return made

    def _bar(self, piece: Piece) -> Any:
        return named(ProgressBar(), piece.name)

    def _line(self, piece: Piece) -> Any:
        made = named(QtWidgets.QLineEdit(), piece.name)
        made.setPlaceholderText(piece.text)
        self._section.typed[piece.name] = lambda: str(made.text())
        return made

    def _log(self, piece: Piece) -> Any:
        return named(LogBox(), piece.name)

    def refresh(self) -> None:
        self._quiet = True
        try:
            for name, look in self._section.looks().items():
                self._draw(self.parts[name] if name else self, look)
        finally:
            self._quiet = False

    def _draw(self, widget: Any, look: Look) -> None:
        widget.setVisible(look.visible)
        widget.setEnabled(look.enabled)
        if isinstance(widget, QtWidgets.QAbstractButton):
            if widget.isCheckable():
                widget.setChecked(look.on)
            if look.label:
                text, tip = BUTTONS[look.label]
                widget.setText(tr(text))
                widget.setToolTip(plain(tr(tip)))
        elif isinstance(widget, (QtWidgets.QLabel, LogBox)):
            widget.setText(look.text)
        elif isinstance(widget, ProgressBar):
            widget.setRange(0, 1000 if look.fraction >= 0 else 0)
            widget.setValue(round(1000 * look.fraction))
            widget.setFormat(look.text)


class Asking:
    """`sections.Asking` over ``widget``."""

    def __init__(self, widget: Any) -> None:
        self._widget = widget

    def folder(self, title: str, then: Callable[[Path], Any]) -> None:
        folder = QtWidgets.QFileDialog.getExistingDirectory(self._widget, tr(title))
        if folder:
            then(Path(folder))

    def line(self, title: str, question: str, then: Callable[[str], Any]) -> None:
        typed, accepted = QtWidgets.QInputDialog.getText(self._widget, tr(BUTTONS[title][0]), tr(question))
        if accepted and typed.strip():
            then(typed)
