"""A widget for each kind of field in `fields`, and forms made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Tuple

from bridge_server.client.editor import fields, sentences
from bridge_server.client.editor.texts import spoken
from bridge_server.client.editor.words import tr

from . import icons
from .binding import QtCore, QtGui, QtWidgets, scoped
from .widgets import NARROW, SPACE, broken, button, call, form, label, named, plain

COMBO = (("ComplexControl", "CC_ComboBox"), ("SubControl", "SC_ComboBoxEditField"))
TEXT_MARGIN = 2  # pixels that styles keep free at both ends of a combo box's text
TOOLTIP = scoped(QtCore.Qt, "ItemDataRole", "ToolTipRole")


class NumberBox(QtWidgets.QSpinBox):
    def __init__(self, field: fields.Number) -> None:
        super().__init__()
        self._field, self._before = field, field.default
        self.setRange(field.least, field.high)
        self.setSingleStep(field.step)
        self.setKeyboardTracking(False)
        if field.unit:
            self.setSuffix(" " + field.unit)
        if field.zero:
            self.setSpecialValueText(tr(field.zero))
        self.setValue(field.default)
        self.valueChanged.connect(lambda *_: self._snap())

    def _snap(self) -> None:
        value = self._field.snapped(self.value(), self._before)
        self._before = value
        self.setValue(value)

    def read(self) -> int:
        self.interpretText()  # what has been typed and not left yet
        return int(self.value())

    def write(self, value: int) -> None:
        self.setValue(value)

    def on_change(self, work: Callable[[], Any]) -> None:
        self.valueChanged.connect(lambda *_: work())


class ChoiceBox(QtWidgets.QComboBox):
    """Shrinks with its window. What the artist has chosen outlives a new list."""

    def __init__(self, field: fields.Choice) -> None:
        super().__init__()
        self._wanted, self._known, self._filling = field.default, not isinstance(field, fields.Catalogue), False
        self._any = isinstance(field, fields.Pick)  # what is written need not be known
        policy = scoped(QtWidgets.QComboBox, "SizeAdjustPolicy", "AdjustToMinimumContentsLengthWithIcon")
        self.setSizeAdjustPolicy(policy)
        self.setMinimumContentsLength(6)
        for value, text in field.entries:
            self.addItem(tr(text), value)
        self.currentIndexChanged.connect(lambda *_: self._chosen())

    def fill(self, entries: Iterable[Tuple[str, str, str]]) -> None:
        """Value, text and tip of each entry, as they are shown."""
        found = list(entries)
        if found and [entry[:2] for entry in found] != self._listed():
            self._known = self._filling = True
            self.clear()
            for value, text, _ in found:
                self.addItem(text, value)
            self._pick()
            self._filling = False
        for place, (_, _, tip) in enumerate(found):
            self.setItemData(place, plain(tip), TOOLTIP)

    def paintEvent(self, _event: Any) -> None:
        """As Qt draws it, but with "…" where the text is too long."""
        painter, option = QtWidgets.QStylePainter(self), QtWidgets.QStyleOptionComboBox()
        self.initStyleOption(option)
        control, part = (scoped(QtWidgets.QStyle, *names) for names in COMBO)
        room = self.style().subControlRect(control, option, part, self).width() - 2 * TEXT_MARGIN
        elide = scoped(QtCore.Qt, "TextElideMode", "ElideRight")
        option.currentText = self.fontMetrics().elidedText(option.currentText, elide, room)
        painter.drawComplexControl(control, option)
        painter.drawControl(scoped(QtWidgets.QStyle, "ControlElement", "CE_ComboBoxLabel"), option)

    def _listed(self) -> List[Tuple[str, str]]:
        return [(self.itemData(place), self.itemText(place)) for place in range(self.count())]

    def _chosen(self) -> None:
        if not self._filling:
            self._wanted = str(self.currentData())

    def _pick(self) -> None:
        """The wanted entry, or the first."""
        self.setCurrentIndex(max(0, self.findData(self._wanted)))

    def read(self) -> str:
        return str(self.currentData())

    def write(self, value: str) -> None:
        if self.findData(value) < 0 and (self._any or not self._known):
            self.addItem(value, value)  # until the bridge has told what there is
        self._wanted = value
        self._pick()

    def on_change(self, work: Callable[[], Any]) -> None:
        self.currentIndexChanged.connect(lambda *_: work())


class TextBox(QtWidgets.QLineEdit):
    def __init__(self, _field: fields.Text) -> None:
        super().__init__()

    def read(self) -> str:
        return str(self.text())

    def write(self, value: str) -> None:
        self.setText(value)


class FileBox(QtWidgets.QPushButton):
    """The name of a file; a click chooses another one."""

    def __init__(self, _field: fields.File) -> None:
        super().__init__()
        policy = scoped(QtWidgets.QSizePolicy, "Policy", "Ignored")
        self.setSizePolicy(policy, scoped(QtWidgets.QSizePolicy, "Policy", "Fixed"))
        self._changed: List[Callable[[], Any]] = []
        self.write("")
        self.clicked.connect(lambda *_: self._choose())

    def _choose(self) -> None:
        found, _ = QtWidgets.QFileDialog.getOpenFileName(self.window(), tr(sentences.CHOOSE_FILE), self._path)
        if found:
            self.write(str(found))

    def read(self) -> str:
        return self._path

    def write(self, value: str) -> None:
        self._path = value
        self.setText(Path(value).name.replace("&", "&&") if value else tr(sentences.CHOOSE_FILE))
        for work in self._changed:
            work()

    def on_change(self, work: Callable[[], Any]) -> None:
        self._changed.append(work)


class SeedBox(QtWidgets.QLineEdit):
    """A number too large for a spin box."""

    def __init__(self, field: fields.Number) -> None:
        super().__init__()
        self._most = field.high
        self.setValidator(QtGui.QRegularExpressionValidator(QtCore.QRegularExpression("[0-9]{0,16}"), self))
        self.setMinimumWidth(40)

    def read(self) -> int:
        return min(int(self.text()), self._most) if self.text() else -1

    def write(self, value: int) -> None:
        self.setText(str(value))
        self.setCursorPosition(0)


class FlagBox(QtWidgets.QCheckBox):
    def __init__(self, field: fields.Flag) -> None:
        super().__init__(broken(tr(field.label)))

    def read(self) -> bool:
        return bool(self.isChecked())

    def write(self, value: bool) -> None:
        self.setChecked(value)


class LockButton(QtWidgets.QToolButton):
    """A flag without a label."""

    def __init__(self, _field: fields.Flag) -> None:
        super().__init__()
        self.setCheckable(True)
        self.toggled.connect(lambda *_: self._show())
        self._show()

    def _show(self) -> None:
        icons.put(self, "layer-locked" if self.isChecked() else "layer-unlocked")

    def read(self) -> bool:
        return bool(self.isChecked())

    def write(self, value: bool) -> None:
        self.setChecked(value)


KINDS: Dict[str, Any] = {
    "number": NumberBox, "seed": SeedBox, "choice": ChoiceBox, "text": TextBox, "file": FileBox, "flag": FlagBox,
    "lock": LockButton,
}  # fmt: skip


def widget_of(field: fields.Field) -> Any:
    made = named(KINDS[fields.kind(field)](field), field.name, field.tip)
    call(made, spoken(field.label, field.tip))
    return made


class Form(QtWidgets.QWidget):
    """Labels beside the widgets of some fields."""

    def __init__(self, described: Iterable[fields.Field], widgets: Dict[str, Any]) -> None:
        """``widgets``: by the fields' names; the new ones are added."""
        super().__init__()
        self._lines: Dict[str, List[Any]] = {}
        self._inner: List[Tuple[Any, List[str]]] = []  # fields that may all be hidden: without them no gap is left
        outer = lines = form(self)
        for field in described:
            widget = widgets[field.name] = widget_of(field)
            if field.needs and lines is outer:
                self._inner.append((QtWidgets.QWidget(), []))
                lines = form(self._inner[-1][0], wraps=False)
                outer.addRow(self._inner[-1][0])
            elif not field.needs:
                lines = outer
            if field.needs:
                self._inner[-1][1].append(field.name)
            if field.name == "lock_seed":
                self._beside_seed.addWidget(widget)  # its neighbour comes just before
            elif isinstance(field, fields.Flag):
                lines.addRow(widget)
                self._lines[field.name] = [widget]
            else:
                caption = label(tr(field.label))
                caption.setBuddy(widget)
                self._lines[field.name] = [caption, widget]
                lines.addRow(caption, self._seed_line(widget) if field.name == "seed" else widget)
        for group, names in self._inner:
            lines = [self._lines[name] for name in names]
            if sum(max(part.minimumSizeHint().width() for part in column) for column in zip(*lines)) > NARROW - SPACE:
                all_rows = scoped(QtWidgets.QFormLayout, "RowWrapPolicy", "WrapAllRows")
                group.layout().setRowWrapPolicy(all_rows)  # inside another form its height must not depend on its width

    def _seed_line(self, seed: Any) -> Any:
        line = QtWidgets.QWidget()
        self._beside_seed = QtWidgets.QHBoxLayout(line)
        self._beside_seed.setContentsMargins(0, 0, 0, 0)
        self._beside_seed.setSpacing(2)
        self._beside_seed.addWidget(seed, 1)
        self.dice = button("dice", icon="view-refresh")
        self._beside_seed.addWidget(self.dice)
        return line

    def show_fields(self, shown: Dict[str, bool]) -> None:
        for name, line in self._lines.items():
            for widget in line:
                widget.setVisible(shown[name])
        for group, names in self._inner:
            group.setVisible(any(shown[name] for name in names))
