"""Branching from a kept step of the chosen variant: which step, what kind, how many, at what cost; and the tree."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from bridge_server.client import events
from bridge_server.client.editor.model import Run, Variant
from bridge_server.client.editor.texts import KINDS, caption, duration
from bridge_server.client.editor.words import tr

from .eventloop import Pump
from .gallery import KEY, Gallery
from .pictures import Thumbnails
from .qt import QtCore, QtGui, QtWidgets, scoped
from .widgets import button, column, combo, named, note, row, spin

SIDE = 96
TREE_ICON = 32
LOOK_MS = 80  # the slider has to rest so long before a step's picture is asked for


class BranchPanel(QtWidgets.QWidget):
    """Shows what `Gallery.chosen` is, and branches from it."""

    def __init__(self, pump: Pump, gallery: Gallery) -> None:
        super().__init__()
        self._pump, self._flow, self._gallery = pump, pump.flow, gallery
        self._place: Any = None  # run number, variant index, calls of its steps
        self._drawn: Any = None
        self._tree: Any = None
        self._thumbnails = Thumbnails(SIDE)
        self._icons = Thumbnails(TREE_ICON)
        layout = column(self)
        self.picture = named(QtWidgets.QLabel(), "step_picture", "The picture as it was at this step")
        self.picture.setFixedSize(SIDE, SIDE)
        self.step = note(name="step")
        self.slider = named(
            QtWidgets.QSlider(scoped(QtCore.Qt, "Orientation", "Horizontal")),
            "step_slider",
            "Where in its run the branch begins: left early, right late",
        )
        self.kind = combo("kind", "Harmonise: blends better. New idea: changes more", KINDS)
        self.number = spin("branches", "How many branches", 1, 8)
        self.cost = note(name="branch_cost")
        self.go = button("branch", "&Branch", "Paint on from this step in so many ways", self._branch)
        self.resume = button("resume", "C&ontinue", "Paint the stopped picture to its end", self._resume)
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
        buttons = row(self.go, self.resume, stretch=0)
        buttons.setStretch(1, 1)
        layout.addLayout(buttons)
        self.tree = named(QtWidgets.QTreeWidget(), "tree", "What branched from what; click shows it in the layer")
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
        self.kind.currentIndexChanged.connect(lambda *_: self._show_cost())
        self.number.valueChanged.connect(lambda *_: self._show_cost())

    # ---- what the artist does ----
    def chosen_step(self) -> Optional[Tuple[Run, Variant, events.Step]]:
        chosen = self._gallery.chosen()
        if chosen is None or not chosen[1].steps:
            return None
        run, variant = chosen
        return run, variant, variant.steps[min(self.slider.value(), len(variant.steps) - 1)]

    def _branch(self) -> None:
        found = self.chosen_step()
        if found is not None:
            run, variant, step = found
            kind, number = str(self.kind.currentData()), self.number.value()
            self._pump.do("branch", lambda: self._flow.branch(run, variant.index, step.call, kind, number))

    def _resume(self) -> None:
        chosen = self._gallery.chosen()
        if chosen is not None:
            run, variant = chosen
            self._pump.do("continue", lambda: self._flow.resume(run, variant.index))

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
        found = self.chosen_step()
        if found is not None:
            run, variant, step = found
            self._pump.do("look", lambda: self._flow.look(run, variant.index, step.call))

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
        usable = chosen is not None and bool(chosen[1].steps)
        self.go.setEnabled(usable and not self._flow.busy)
        self.slider.setEnabled(usable)
        kept = chosen is not None and chosen[1].unfinished and chosen[1].finished
        self.resume.setVisible(kept)
        self.resume.setEnabled(kept and usable and not self._flow.busy)
        self._show_step()
        self._show_tree(chosen[0] if chosen is not None else None)

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
        found = self.chosen_step()
        if found is None:
            chosen = self._gallery.chosen()
            lost = chosen is not None and chosen[1].finished
            self.step.setText(tr("Its steps are gone; run it again to branch.") if lost else tr("Choose a variant."))
            self.picture.clear()
            self._drawn = None
            self.cost.setText("")
            return
        run, variant, step = found
        text = tr("Step {call} of {calls}").format(call=step.call, calls=max(variant.calls, step.call + step.remaining))
        self.step.setText(text)
        view = variant.views.get(step.call)
        drawn = (run.number, variant.index, step.call, view is not None)
        if drawn != self._drawn:
            self._drawn = drawn
            base = self.palette().color(scoped(QtGui.QPalette, "ColorRole", "Base"))
            self.picture.setPixmap(self._thumbnails.of(run, view, base))
        self._show_cost()

    def _show_cost(self) -> None:
        found = self.chosen_step()
        if found is None:
            return
        run, _, step = found
        number = self.number.value()
        calls, seconds = self._flow.price(run, step, str(self.kind.currentData()), number)
        text = tr("{number} × {calls} calls").format(number=number, calls=calls // number)
        self.cost.setText(text + (", " + tr("about {time}").format(time=duration(seconds)) if seconds >= 0 else ""))

    def _show_tree(self, run: Optional[Run]) -> None:
        """The chosen variant's series, if anything branched in it."""
        runs = [each for each in self._flow.runs if run is not None and each.series is run.series]
        state = [(each.number, [(v.index, v.finished) for v in each.variants]) for each in runs]
        self.tree.setVisible(any(each.parent is not None for each in runs))
        if state == self._tree or not self.tree.isVisibleTo(self):
            return
        self._tree = state
        self.tree.clear()
        items: Dict[Tuple[int, int], Any] = {}
        for each in runs:
            self._add_to_tree(each, items)
        self.tree.expandAll()

    def _add_to_tree(self, run: Run, items: Dict[Tuple[int, int], Any]) -> None:
        above = items.get(run.parent[:2]) if run.parent is not None else None
        base = self.palette().color(scoped(QtGui.QPalette, "ColorRole", "Base"))
        kinds = dict(KINDS)
        for variant in run.variants:
            text = caption(run, variant) if variant.finished else "…"
            if run.parent is not None:
                text += " · " + tr(kinds[run.kind]) + " · " + tr("step {call}").format(call=run.parent[2])
            item = QtWidgets.QTreeWidgetItem(above if above is not None else self.tree, [text])
            item.setData(0, KEY, (run.number, variant.index))
            item.setIcon(0, QtGui.QIcon(self._icons.of(run, variant.picture, base)))
            items[run.number, variant.index] = item
