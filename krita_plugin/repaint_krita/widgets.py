"""Small pieces that the docker's pages are made of, so that all of them fit 250 pixels."""

from __future__ import annotations

from typing import Any, Callable, Iterable, Optional, Tuple

from bridge_server.client.editor.words import tr

from .qt import QtCore, QtWidgets, scoped


def named(widget: Any, name: str, tip: str = "") -> Any:
    """For tests and style sheets: the object's name; for people: what it does, also for screen readers."""
    widget.setObjectName("repaint_" + name)
    if tip:
        widget.setToolTip(tr(tip))
        widget.setAccessibleDescription(tr(tip))
    return widget


def combo(name: str, tip: str, entries: Iterable[Tuple[str, str]] = ()) -> Any:
    """A list that shrinks with the docker; ``entries``: (data, English text)."""
    box = named(QtWidgets.QComboBox(), name, tip)
    box.setSizeAdjustPolicy(scoped(QtWidgets.QComboBox, "SizeAdjustPolicy", "AdjustToMinimumContentsLengthWithIcon"))
    box.setMinimumContentsLength(6)
    for data, text in entries:
        box.addItem(tr(text), data)
    return box


def spin(name: str, tip: str, low: int, high: int, unit: str = "", zero: str = "") -> Any:
    """A number; ``zero``: what its lowest value is called."""
    box = named(QtWidgets.QSpinBox(), name, tip)
    box.setRange(low, high)
    box.setMinimumWidth(50)
    if unit:
        box.setSuffix(" " + tr(unit))
    if zero:
        box.setSpecialValueText(tr(zero))
    return box


class ProgressBar(QtWidgets.QProgressBar):
    """A bar that is drawn with everything else. Qt's own draws itself within `setValue`, and the window's surface with
    it: 20 ms each time in Krita 6 with both cores busy."""

    def setValue(self, value: int) -> None:
        if value != self.value():
            self.setUpdatesEnabled(False)
            super().setValue(value)
            self.setUpdatesEnabled(True)


def button(name: str, text: str, tip: str, clicked: Optional[Callable[[], Any]] = None) -> Any:
    """A push button that may become narrow."""
    made = named(QtWidgets.QPushButton(tr(text)), name, tip)
    policy = scoped(QtWidgets.QSizePolicy, "Policy", "Ignored")
    made.setSizePolicy(policy, scoped(QtWidgets.QSizePolicy, "Policy", "Fixed"))
    made.setMinimumWidth(40)
    if clicked is not None:
        made.clicked.connect(lambda *_: clicked())
    return made


def main_button(name: str, text: str, tip: str, clicked: Callable[[], Any]) -> Any:
    """The one button of a page."""
    made = button(name, text, tip, clicked)
    font = made.font()
    font.setBold(True)
    made.setFont(font)
    made.setMinimumHeight(made.sizeHint().height() * 3 // 2)
    return made


def tool(name: str, icon: Any, tip: str, clicked: Optional[Callable[[], Any]] = None) -> Any:
    made = named(QtWidgets.QToolButton(), name, tip)
    made.setIcon(icon)
    made.setAccessibleName(tr(tip))
    if clicked is not None:
        made.clicked.connect(lambda *_: clicked())
    return made


def form(parent: Any) -> Any:
    """Labels beside fields."""
    layout = QtWidgets.QFormLayout(parent)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    layout.setFieldGrowthPolicy(scoped(QtWidgets.QFormLayout, "FieldGrowthPolicy", "AllNonFixedFieldsGrow"))
    return layout


def row(*widgets: Any, stretch: int = -1) -> Any:
    """Widgets side by side; the one numbered ``stretch`` takes the room."""
    layout = QtWidgets.QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for number, widget in enumerate(widgets):
        layout.addWidget(widget, 1 if number == stretch else 0)
    return layout


def column(parent: Any) -> Any:
    layout = QtWidgets.QVBoxLayout(parent)
    layout.setContentsMargins(4, 4, 4, 4)
    layout.setSpacing(4)
    return layout


def note(text: str = "", name: str = "") -> Any:
    """Wrapped text."""
    label = QtWidgets.QLabel(tr(text))
    if name:
        named(label, name)
    label.setWordWrap(True)
    label.setMinimumWidth(60)
    label.setTextInteractionFlags(scoped(QtCore.Qt, "TextInteractionFlag", "TextSelectableByMouse"))
    return label


class PageButtons(QtWidgets.QWidget):
    """A row of page names, of which one is chosen: narrower than tabs, so that 250 pixels hold them in any language."""

    currentChanged = QtCore.pyqtSignal(int)

    def __init__(self, texts: Iterable[str]) -> None:
        super().__init__()
        self._group = QtWidgets.QButtonGroup(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        expanding = scoped(QtWidgets.QSizePolicy, "Policy", "Expanding")
        fixed = scoped(QtWidgets.QSizePolicy, "Policy", "Fixed")
        for number, text in enumerate(texts):
            page = QtWidgets.QToolButton()
            page.setText(tr(text))
            page.setCheckable(True)
            page.setSizePolicy(expanding, fixed)
            self._group.addButton(page, number)
            layout.addWidget(page)
            page.toggled.connect(lambda on, number=number: self.currentChanged.emit(number) if on else None)
        self.setCurrentIndex(0)

    def currentIndex(self) -> int:
        return int(self._group.checkedId())

    def setCurrentIndex(self, number: int) -> None:
        self._group.button(number).setChecked(True)
