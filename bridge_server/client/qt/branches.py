"""Branching from a kept step of the chosen variant: which step, what kind, how many, at what cost; and the tree."""

from __future__ import annotations

from typing import Any, Dict, Optional

from bridge_server.client.editor import view
from bridge_server.client.editor.fields import BRANCH_KIND, BRANCH_NUMBER
from bridge_server.client.editor.model import Variant
from bridge_server.client.editor.panel import Panel

from .binding import QtCore, QtGui, QtWidgets, scoped
from .forms import widget_of
from .gallery import KEY, Gallery
from .pictures import Thumbnails
from .widgets import button, column, label, named, note, row

SIDE = 96
TREE_ICON = 32
LOOK_MS = 80  # the slider has to rest so long before a step's picture is asked for


class BranchPanel(QtWidgets.QWidget):
    """Shows what `Gallery.chosen` is, and branches from it."""

    def __init__(self, panel: Panel, gallery: Gallery) -> None:
        super().__init__()
        self._pump, self._flow, self._gallery = panel.pump, panel.flow, gallery
        self._place: Any = None  # run number, variant index, calls of its steps
        self._drawn: Any = None
        self._tree: Any = None
        self._thumbnails = Thumbnails(SIDE)
        self._icons = Thumbnails(TREE_ICON)
        layout = column(self)
        self.picture = named(label(), "step_picture")
        self.picture.setFixedSize(SIDE, SIDE)
        self.step = note(name="step")
        self.slider = named(QtWidgets.QSlider(scoped(QtCore.Qt, "Orientation", "Horizontal")), "step_slider")
        self.kind = widget_of(BRANCH_KIND)
        self.number = widget_of(BRANCH_NUMBER)
        self.cost = note(name="branch_cost")
        self.go = button("branch", self._branch)
        self.resume = button("resume", panel.resume)
        aside = QtWidgets.QVBoxLayout()
        aside.addWidget(self.step)
        aside.addWidget(self.cost)
        aside.addStretch(1)
        top = QtWidgets.QHBoxLayout()
        top.addWidget(self.picture)
        top.addLayout(aside, 1)
        layout.addLayout(top)
        layout.addWidget(self.slider)
        layout.addLayout(row(self.kind, self.number, stretch=0))
        layout.addLayout(row(self.go, self.resume))
        self.tree = named(QtWidgets.QTreeWidget(), "tree")
        self.tree.setHeaderHidden(True)
        self.tree.setIconSize(QtCore.QSize(TREE_ICON, TREE_ICON))
        self.tree.setMinimumHeight(3 * TREE_ICON)
        self.tree.setIndentation(14)
        self.tree.itemClicked.connect(self._tree_clicked)
        self.tree.itemActivated.connect(self._tree_clicked)
        layout.addWidget(self.tree)
        self._timer = QtCore.QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self._look)
        self.slider.valueChanged.connect(lambda *_: self._moved())
        self.kind.currentIndexChanged.connect(lambda *_: self._show_step())
        self.number.valueChanged.connect(lambda *_: self._show_step())

    # ---- what the artist does ----
    def chosen_step(self) -> view.KeptStep:
        kind, number = self.kind.read(), self.number.read()
        return view.kept_step(self._flow, self._gallery.chosen(), self.slider.value(), kind, number)

    def _branch(self) -> None:
        chosen, step = self._gallery.chosen(), self.chosen_step().step
        if chosen is not None and step is not None:
            (run, variant), call, kind, number = chosen, step.call, self.kind.read(), self.number.read()
            self._pump.do("branch", lambda: self._flow.branch(run, variant.index, call, kind, number))

    def _tree_clicked(self, item: Any, *_: Any) -> None:
        key = item.data(0, KEY)
        run = self._flow.library.find(key[0])
        if run is not None:
            self._pump.choose(run, key[1])
            self._gallery.select(key)

    def _moved(self) -> None:
        self._timer.start()
        self._show_step()

    def _look(self) -> None:
        chosen, step = self._gallery.chosen(), self.chosen_step().step
        if chosen is not None and step is not None:
            (run, variant), call = chosen, step.call
            self._pump.do("look", lambda: self._flow.look(run, variant.index, call))

    # ---- what it shows ----
    def refresh(self) -> None:
        chosen = self._gallery.chosen()
        place = None
        if chosen is not None:
            place = (chosen[0].number, chosen[1].index, tuple(step.call for step in chosen[1].steps))
        if place != self._place:
            moved = place is None or self._place is None or place[:2] != self._place[:2]
            self._place = place
            self._show_slider(chosen[1] if chosen is not None else None, moved)
        self.slider.setEnabled(chosen is not None and bool(chosen.variant.steps))
        self.resume.setVisible(view.can_resume(chosen))
        self._show_step()
        self._show_tree()

    def _show_slider(self, variant: Optional[Variant], moved: bool) -> None:
        count = len(variant.steps) if variant is not None else 0
        self.slider.blockSignals(True)
        self.slider.setRange(0, max(0, count - 1))
        if moved:
            self.slider.setValue(count // 2)
        self.slider.blockSignals(False)
        if count:
            self._timer.start()

    def _show_step(self) -> None:
        shown = self.chosen_step()
        self.step.setText(shown.text)
        self.cost.setText(shown.cost)
        if shown.state == self._drawn:
            return
        self._drawn = shown.state
        if shown.run is None:
            self.picture.clear()
        else:
            self.picture.setPixmap(self._thumbnails.of(shown.run, shown.picture, self._base()))

    def _base(self) -> Any:
        return self.palette().color(scoped(QtGui.QPalette, "ColorRole", "Base"))

    def _show_tree(self) -> None:
        lines = view.tree(self._flow, self._gallery.chosen())
        self.tree.setVisible(bool(lines))
        state = [(line.place, line.variant.finished) for line in lines]
        if state == self._tree or not self.tree.isVisibleTo(self):
            return
        self._tree = state
        self.tree.clear()
        items: Dict[view.Place, Any] = {}
        for line in lines:
            above = items.get(line.above, self.tree) if line.above is not None else self.tree
            item = items[line.place] = QtWidgets.QTreeWidgetItem(above, [line.text])
            item.setData(0, KEY, line.place)
            item.setIcon(0, QtGui.QIcon(self._icons.of(line.run, line.variant.picture, self._base())))
        self.tree.expandAll()
