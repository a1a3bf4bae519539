"""Small pieces that the pages are made of, so that all of them fit 250 pixels."""

from __future__ import annotations

import html
from typing import Any, Callable, Iterable, Optional

from bridge_server.client.editor.labels import BUTTONS, TIPS
from bridge_server.client.editor.words import tr

from . import icons
from .binding import QtCore, QtGui, QtWidgets, scoped

NARROW = 226  # pixels: the room in a docker of 250 beside its scroll bar and within its margins
SPACE = 4  # pixels between the parts of a form
BOX = 32  # of it, before a check box's text and around it


def plain(text: str) -> str:
    """For tool tips and questions, of which Qt takes some for HTML: what is shown as this very text."""
    if "<" not in text and "&" not in text:
        return text
    return "<qt>" + html.escape(text, quote=False).replace("\n", "<br>") + "</qt>"


class Label(QtWidgets.QLabel):
    """Takes no text for HTML. What it says is also its name, and whoever listens is told of it when it changes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.setTextFormat(scoped(QtCore.Qt, "TextFormat", "PlainText"))
        self.setText(text)

    def setText(self, text: str) -> None:
        super().setText(text)
        self.setAccessibleName(text)


def label(text: str = "") -> Any:
    return Label(text)


def named(widget: Any, name: str, tip: str = "") -> Any:
    """For tests and style sheets: the object's name; for people: what it does, also for screen readers."""
    widget.setObjectName("repaint_" + name)
    tip = tr(tip or TIPS.get(name, ""))
    if tip:
        widget.setToolTip(plain(tip))
        widget.setAccessibleDescription(tip)
        if not getattr(widget, "text", str)():
            call(widget, tip)
    return widget


def call(widget: Any, name: str) -> None:
    """For screen readers; the line of a number and the list of a choice can have the focus, too, and have the same."""
    widget.setAccessibleName(name)
    for inner in ("lineEdit", "view"):
        part = getattr(widget, inner, lambda: None)()
        if part is not None:
            part.setAccessibleName(name)


class ProgressBar(QtWidgets.QProgressBar):
    """A bar that is drawn with everything else. Qt's own draws itself within `setValue`, and the window's surface with
    it: 20 ms each time in Krita 6 with both cores busy."""

    def setValue(self, value: int) -> None:
        if value != self.value():
            self.setUpdatesEnabled(False)
            super().setValue(value)
            self.setUpdatesEnabled(True)


def button(name: str, clicked: Optional[Callable[[], Any]] = None, icon: str = "") -> Any:
    """A button of `labels.BUTTONS` that may become narrow; ``icon``: for one without text, see `icons`."""
    text, tip = BUTTONS[name]
    made: Any
    if icon:
        made = QtWidgets.QToolButton()
        icons.put(made, icon)
        call(made, tr(tip))
    else:
        made = push_button(tr(text))
    if clicked is not None:
        made.clicked.connect(lambda *_: clicked())
    return named(made, name, tip)


def push_button(text: str) -> Any:
    made = QtWidgets.QPushButton(text)
    policy = scoped(QtWidgets.QSizePolicy, "Policy", "Ignored")
    made.setSizePolicy(policy, scoped(QtWidgets.QSizePolicy, "Policy", "Fixed"))
    made.setMinimumWidth(40)
    return made


def main_button(name: str, text: str, tip: str, clicked: Callable[[], Any]) -> Any:
    """The one button of a page."""
    made = named(push_button(tr(text)), name, tip)
    made.clicked.connect(lambda *_: clicked())
    font = made.font()
    font.setBold(True)
    made.setFont(font)
    made.setMinimumHeight(made.sizeHint().height() * 3 // 2)
    return made


def broken(text: str) -> str:
    """A check box's text, in two lines where 250 pixels are too few for one: Qt breaks none."""
    metrics = QtGui.QFontMetrics(QtWidgets.QApplication.font())
    lines = [""]
    for word in text.split(" "):
        longer = (lines[-1] + " " + word).strip()
        if lines[-1] and metrics.horizontalAdvance(longer.replace("&", "")) > NARROW - BOX:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def form(parent: Any, wraps: bool = True) -> Any:
    """Labels beside fields; with ``wraps`` above those for which there is no room beside."""
    layout = QtWidgets.QFormLayout(parent)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(SPACE)
    if wraps:
        layout.setRowWrapPolicy(scoped(QtWidgets.QFormLayout, "RowWrapPolicy", "WrapLongRows"))
    layout.setFieldGrowthPolicy(scoped(QtWidgets.QFormLayout, "FieldGrowthPolicy", "AllNonFixedFieldsGrow"))
    return layout


def row(*widgets: Any, stretch: int = -1) -> Any:
    """Widgets side by side; the one numbered ``stretch`` takes the room, or all alike."""
    layout = QtWidgets.QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for number, widget in enumerate(widgets):
        layout.addWidget(widget, 1 if stretch in (-1, number) else 0)
    return layout


def column(parent: Any, *parts: Any, margin: int = 4) -> Any:
    """Widgets and layouts one below the other."""
    layout = QtWidgets.QVBoxLayout(parent)
    layout.setContentsMargins(margin, margin, margin, margin)
    layout.setSpacing(4)
    for part in parts:
        if isinstance(part, QtWidgets.QLayout):
            layout.addLayout(part)
        else:
            layout.addWidget(part)
    return layout


def note(text: str = "", name: str = "") -> Any:
    """Wrapped text."""
    made = label(tr(text))
    if name:
        named(made, name)
    made.setWordWrap(True)
    made.setMinimumWidth(60)
    made.setTextInteractionFlags(scoped(QtCore.Qt, "TextInteractionFlag", "TextSelectableByMouse"))
    return made


class PageButtons(QtWidgets.QWidget):
    """A row of page names, of which one is chosen: narrower than tabs; two rows where 250 pixels do not hold them."""

    currentChanged = QtCore.pyqtSignal(int)

    def __init__(self, texts: Iterable[str]) -> None:
        super().__init__()
        self._group = QtWidgets.QButtonGroup(self)
        layout = QtWidgets.QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        expanding = scoped(QtWidgets.QSizePolicy, "Policy", "Expanding")
        fixed = scoped(QtWidgets.QSizePolicy, "Policy", "Fixed")
        pages = []
        for number, text in enumerate(texts):
            page = QtWidgets.QToolButton()
            page.setText(tr(text))
            page.setCheckable(True)
            page.setSizePolicy(expanding, fixed)
            self._group.addButton(page, number)
            page.toggled.connect(lambda on, number=number: self.currentChanged.emit(number) if on else None)
            pages.append(page)
        wide = sum(page.sizeHint().width() for page in pages)
        columns = len(pages) if wide <= NARROW else (len(pages) + 1) // 2
        for number, page in enumerate(pages):
            layout.addWidget(page, number // columns, number % columns)
        self.setCurrentIndex(0)

    def currentIndex(self) -> int:
        return int(self._group.checkedId())

    def setCurrentIndex(self, number: int) -> None:
        self._group.button(number).setChecked(True)
