"""The docker's pages: repaint the selection, extend the canvas, make a tile, and more (advanced, history)."""

from __future__ import annotations

from typing import Any, Callable, Dict, List

from bridge_server.client.editor.choices import FIELDS
from bridge_server.client.editor.flow import Flow
from bridge_server.client.editor.frame import MOST
from bridge_server.client.editor.memory import forecast
from bridge_server.client.editor.model import Area, Extend, Run, Tile
from bridge_server.client.editor.schedule import levels
from bridge_server.client.editor.words import tr

from .forms import CommonForm
from .framing import FramePicture
from .pictures import composite
from .qt import QtCore, QtGui, QtWidgets, scoped
from .widgets import button, column, combo, form, main_button, named, note, spin

Click = Callable[[Area], None]
THUMBNAIL = 256  # pixels of the picture that the frame surrounds


class SelectionPage(QtWidgets.QWidget):
    """Repaints what is selected."""

    def __init__(self, click: Click) -> None:
        super().__init__()
        self._column = column(self)
        self.source = combo(
            "source",
            "What the model sees around the selection",
            [("visible", "Visible image"), ("layer", "Active layer")],
        )
        line = form(None)
        caption = QtWidgets.QLabel(tr("S&ource"))
        caption.setBuddy(self.source)
        line.addRow(caption, self.source)
        self.button = main_button(
            "button",
            "&RePaint selection",
            "Repaint the selected part in a new layer (set a shortcut: “RePaint selection”)",
            lambda: click(None),
        )
        self._column.addLayout(line)
        self._column.addWidget(self.button)
        self._column.addStretch(1)

    def show_choices(self, values: Dict[str, Any]) -> None:
        self.source.setCurrentIndex(max(0, self.source.findData(values["source"])))

    def choices(self) -> Dict[str, Any]:
        return {"source": str(self.source.currentData() or "visible")}


class ExtendPage(QtWidgets.QWidget):
    """Makes the canvas larger and paints what is new."""

    SIDES = (("left", "Left"), ("top", "Top"), ("right", "Right"), ("bottom", "Bottom"))
    LEARN_SECONDS = 60

    def __init__(self, flow: Flow, click: Click) -> None:
        super().__init__()
        self._flow = flow
        self._shown: Any = None
        layout = column(self)
        self.frame = FramePicture(self._show_sides)
        layout.addWidget(self.frame)
        lines = form(None)
        self.sides: Dict[str, Any] = {}
        for side, text in self.SIDES:
            box = spin("extend_" + side, "Pixels to add on this side", 0, MOST, "px")
            box.setSingleStep(16)
            box.valueChanged.connect(lambda *_: self.frame.show_sides(self.area()))
            lines.addRow(tr(text), box)
            self.sides[side] = box
        layout.addLayout(lines)
        self.learn = named(
            QtWidgets.QCheckBox(tr("&Learn this picture first")),
            "extend_learn",
            "Takes a minute more, and the new part follows this picture's texture more closely",
        )
        layout.addWidget(self.learn)
        self.button = main_button(
            "extend_button",
            "&Extend the picture",
            "Enlarge the canvas and paint the new part in a new layer; undo twice to go back",
            lambda: click(self.area()),
        )
        layout.addWidget(self.button)
        layout.addStretch(1)

    def area(self) -> Extend:
        return Extend(*(self.sides[side].value() for side in ("left", "top", "right", "bottom")))

    def _show_sides(self, sides: Extend) -> None:
        for side, box in self.sides.items():
            box.setValue(getattr(sides, side))

    def show_choices(self, values: Dict[str, Any]) -> None:
        self._show_sides(Extend(*(values["extend_" + side] for side in ("left", "top", "right", "bottom"))))

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self.refresh()

    def refresh(self) -> None:
        """The canvas in front as it is now, when that may have changed."""
        state = (self._flow.host.canvas_size(), self._flow.busy)
        if state == self._shown or not self.isVisible():
            return
        self._shown = state
        size = state[0]
        self.frame.setVisible(size is not None)
        if size is not None:
            self.frame.show_canvas(self._flow.host.thumbnail(THUMBNAIL), size[1], size[2])

    def show_learning(self, learns: bool) -> None:
        """Only for a model that can learn."""
        self.learn.setVisible(learns)

    def options(self) -> Dict[str, Any]:
        return {"learn": self.LEARN_SECONDS} if self.learn.isChecked() and self.learn.isVisibleTo(self) else {}

    def choices(self) -> Dict[str, Any]:
        return {"extend_" + side: box.value() for side, box in self.sides.items()}


class TilePage(QtWidgets.QWidget):
    """Makes the picture repeat without a seam; shows it repeated."""

    SIDE = 180

    def __init__(self, flow: Flow, click: Click) -> None:
        super().__init__()
        self._flow = flow
        self._shown: Any = None
        layout = column(self)
        self.axis = combo(
            "tile_axis",
            "In which directions it is to repeat",
            [("both", "Both directions"), ("x", "Sideways"), ("y", "Up and down")],
        )
        self.band = spin("tile_band", "How wide a strip along the borders is painted anew", 8, 1024, "px")
        lines = form(None)
        lines.addRow(tr("Repeat"), self.axis)
        lines.addRow(tr("Strip"), self.band)
        layout.addLayout(lines)
        self.button = main_button(
            "tile_button",
            "Make a &tile",
            "Paint the borders anew, in a new layer, so that the picture can be repeated",
            lambda: click(self.area()),
        )
        layout.addWidget(self.button)
        self.preview = named(QtWidgets.QLabel(), "tile_preview", "The picture, repeated two by two")
        self.preview.setAlignment(scoped(QtCore.Qt, "AlignmentFlag", "AlignCenter"))
        layout.addWidget(self.preview)
        layout.addStretch(1)

    def area(self) -> Tile:
        return Tile(str(self.axis.currentData()), self.band.value())

    def show_choices(self, values: Dict[str, Any]) -> None:
        self.axis.setCurrentIndex(max(0, self.axis.findData(values["tile_axis"])))
        self.band.setValue(values["tile_band"])

    def choices(self) -> Dict[str, Any]:
        return {"tile_axis": str(self.axis.currentData()), "tile_band": self.band.value()}

    def refresh(self) -> None:
        """The tile that was chosen last, or forms, as it repeats."""
        run = self._run()
        variant = None
        if run is not None:
            chosen = self._flow.selected
            index = chosen[1] if chosen is not None and chosen[0] is run else run.shown
            variant = run.variant(index)
        state = (run.number, variant.index, variant.version) if run is not None and variant is not None else None
        if state == self._shown or not self.isVisible():
            return
        self._shown = state
        self.preview.setVisible(state is not None)
        if run is not None and variant is not None:
            self.preview.setPixmap(self._repeated(composite(run, variant, self.SIDE // 2)))

    def _run(self) -> Any:
        chosen = self._flow.selected[0] if self._flow.selected is not None else None
        for run in (self._flow.run, chosen):
            if isinstance(run, Run) and isinstance(run.settings.area, Tile) and run.capture is not None:
                return run
        return None

    @staticmethod
    def _repeated(tile: Any) -> Any:
        pixmap = QtGui.QPixmap(2 * tile.width(), 2 * tile.height())
        painter = QtGui.QPainter(pixmap)
        painter.drawTiledPixmap(pixmap.rect(), tile)
        painter.end()
        return pixmap


class SchedulePicture(QtWidgets.QWidget):
    """The walk through the noise levels: noisy at the top, clean at the bottom, time from left to right."""

    def __init__(self) -> None:
        super().__init__()
        self.walk: List[int] = []
        self.setMinimumSize(80, 48)
        named(self, "schedule_picture", "How a run goes: from noise (top) to the picture (bottom), with steps back up")

    def show_walk(self, walk: List[int]) -> None:
        self.walk = walk
        self.update()

    def paintEvent(self, _event: Any) -> None:
        painter = QtGui.QPainter(self)
        palette = self.palette()
        painter.fillRect(self.rect(), palette.color(scoped(QtGui.QPalette, "ColorRole", "Base")))
        painter.setPen(palette.color(scoped(QtGui.QPalette, "ColorRole", "Text")))
        painter.setRenderHint(scoped(QtGui.QPainter, "RenderHint", "Antialiasing"))
        if len(self.walk) > 1:
            wide, high = self.width() - 5, self.height() - 5
            top = max(self.walk)
            every = max(1, len(self.walk) // 2000)
            points = [
                QtCore.QPointF(2 + wide * i / (len(self.walk) - 1), 2 + high * (1 - (self.walk[i] + 1) / (top + 1)))
                for i in range(0, len(self.walk), every)
            ]
            painter.drawPolyline(QtGui.QPolygonF(points))
        painter.end()


class MorePage(QtWidgets.QWidget):
    """For those who want to know: the run's numbers, the edge, learning, the history."""

    NUMBERS = (
        ("steps", "Steps", "Noise levels from noise to picture", 0, 1000, "", "as preset"),
        ("jump_length", "Jump", "Levels that it goes back up each time", 0, 1000, "", "as preset"),
        ("jump_samples", "Walks", "How often each stretch is walked", 0, 100, "", "as preset"),
        ("padding", "Padding", "Pixels of surroundings that the model sees on each side", 0, 1024, "px", "automatic"),
        ("feather", "Feather", "Soft edge inwards from the selection's border", 0, 200, "px", "as selected"),
        ("learn", "Learn", "Seconds in which the model learns this picture first", 0, 600, "s", "off"),
    )

    def __init__(self, flow: Flow, common: CommonForm, forget: Callable[[bool], None]) -> None:
        super().__init__()
        self._flow, self._common = flow, common
        layout = column(self)
        lines = form(None)
        self.numbers: Dict[str, Any] = {}
        for name, text, tip, low, high, unit, zero in self.NUMBERS:
            box = spin(name, tip, low, high, unit, zero)
            box.valueChanged.connect(lambda *_: self.show_schedule())
            lines.addRow(tr(text), box)
            self.numbers[name] = box
        self._learning = (self.numbers["learn"], lines.labelForField(self.numbers["learn"]))
        self.schedule = combo(
            "schedule",
            "Where in the run it goes back up",
            [("uniform", "everywhere"), ("early", "early"), ("late", "late"), ("none", "nowhere")],
        )
        self.schedule.currentIndexChanged.connect(lambda *_: self.show_schedule())
        lines.insertRow(3, tr("Back up"), self.schedule)
        self.picture = SchedulePicture()
        self.hard = named(
            QtWidgets.QCheckBox(tr("&Hard edge")), "hard", "No soft edge: half selected or more is wholly repainted"
        )
        layout.addLayout(lines)
        layout.addWidget(self.picture)
        layout.addWidget(self.hard)
        self.reset = button("reset", "As at the beginning", "All numbers of this page as at first", self._reset)
        layout.addWidget(self.reset)
        self.memory = note(name="memory")
        layout.addWidget(self.memory)
        self.used = note(name="history_used")
        self.limit = spin(
            "history_mib",
            "Beyond this the docker says so; nothing is deleted by itself",
            64,
            1 << 20,
            "MiB",
        )
        self.limit.setSingleStep(256)
        layout.addWidget(self.used)
        history = form(None)
        history.addRow(tr("Limit"), self.limit)
        layout.addLayout(history)
        self.forget_here = button(
            "forget_here", "Delete this picture's history", "Delete all variants of this document, also on disk",
            lambda: forget(False),
        )  # fmt: skip
        self.forget_all = button(
            "forget_all", "Delete the whole history", "Delete all variants of all documents, also on disk",
            lambda: forget(True),
        )  # fmt: skip
        layout.addWidget(self.forget_here)
        layout.addWidget(self.forget_all)
        layout.addStretch(1)

    def show_choices(self, values: Dict[str, Any]) -> None:
        for name, box in self.numbers.items():
            box.setValue(values[name])
        self.schedule.setCurrentIndex(max(0, self.schedule.findData(values["schedule"])))
        self.hard.setChecked(values["hard"])
        self.limit.setValue(values["history_mib"])
        self.show_schedule()

    def choices(self) -> Dict[str, Any]:
        numbers = {name: box.value() for name, box in self.numbers.items()}
        return {
            **numbers,
            "schedule": str(self.schedule.currentData()),
            "hard": self.hard.isChecked(),
            "history_mib": self.limit.value(),
        }

    def options(self) -> Dict[str, Any]:
        """What differs from the preset, by the wire's names."""
        names = ["steps", "jump_length", "jump_samples", "padding", *(["learn"] if self._common.learns else [])]
        chosen = {name: self.numbers[name].value() for name in names if self.numbers[name].value()}
        if self.schedule.currentData() != "uniform":
            chosen["schedule"] = str(self.schedule.currentData())
        if self.hard.isChecked():
            chosen["hard"] = True
        return chosen

    def show_learning(self, learns: bool) -> None:
        """Only for a model that can learn."""
        for widget in self._learning:
            widget.setVisible(learns)

    def _reset(self) -> None:
        limit = self.limit.value()
        self.show_choices({**{name: default for name, (default, _) in FIELDS.items()}, "history_mib": limit})

    def show_schedule(self) -> None:
        preset = next((p for p in self._flow.presets if p.name == self._common.preset.currentData()), None)
        if preset is None or not preset.steps:
            return
        given = {name: self.numbers[name].value() for name in ("steps", "jump_length", "jump_samples")}
        steps = given["steps"] or preset.steps
        length = given["jump_length"] or preset.jump_length
        samples = given["jump_samples"] or preset.jump_samples
        self.picture.show_walk(levels(steps, length, samples, str(self.schedule.currentData())))

    def refresh(self) -> None:
        used, limit = self._flow.library.bytes / (1 << 20), self.limit.value()
        count = self._flow.library.pictures
        text = tr("History: {count} pictures, {used} of {limit} MiB on disk.")
        self.used.setText(text.format(count=count, used=f"{used:.1f}", limit=limit))
        self.show_memory()

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self.show_memory()

    def enterEvent(self, event: Any) -> None:
        """Krita tells nobody of a new selection: the artist's way here does."""
        super().enterEvent(event)
        self.show_memory()

    def show_memory(self) -> None:
        if self.isVisible():
            model = self._flow.model(str(self._common.model.currentData()))
            pixels = self._flow.host.sent_pixels(self.numbers["padding"].value())
            text = forecast(model, pixels, self._common.variants.value()) if model is not None else None
            self.memory.setText(text or "")
            self.memory.setVisible(bool(text))
