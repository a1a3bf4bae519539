"""The docker "RePaint": what the artist sees and clicks. It shows `Flow`'s attributes and calls `Pump`'s methods."""

from __future__ import annotations

import random
from typing import Any, Dict, List, Optional, Tuple

from krita import DockWidget, Krita

from .eventloop import Pump
from .flow import CANCELLING, READING, Run, Settings, Variant
from .pixels import image
from .qt import QtCore, QtGui, QtWidgets, scoped

TITLE = "RePaint"
GROUP = "repaint_bridge"  # the plug-in's group in Krita's settings file
MAX_SEED = 2**53 - 1
THUMBNAIL = 72
SOURCES = (("visible", "Visible image"), ("layer", "Active layer"))
NO_MODEL = ("texture", "Texture")
NO_PRESET = ("fast", "Fast")


def time_left(seconds: float) -> str:
    """ "12 s left", "3 min left", or nothing while it cannot be told."""
    if seconds < 0:
        return ""
    if seconds < 99:
        return f"{seconds:.0f} s left"
    return f"{seconds / 60:.0f} min left"


class RePaintDocker(DockWidget):
    """One per Krita window; all of them show the same controller."""

    pump: Optional[Pump] = None  # set by the package once; Krita makes the dockers without arguments

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle(TITLE)
        assert self.pump is not None
        self._pump: Pump = self.pump
        self._flow = self._pump.flow
        self._backdrops: Dict[int, Tuple[Any, Any]] = {}
        self._items: Dict[Tuple[int, int], Any] = {}
        self._versions: Dict[Tuple[int, int], Any] = {}
        self._known: Any = None
        self._build()
        self._load()
        self._flow.listeners.append(self.refresh)
        self.destroyed.connect(lambda *_: self._forget())
        self.refresh()

    def canvasChanged(self, _canvas: Any) -> None:  # Krita's interface; the document is asked for at the click
        pass

    def _forget(self) -> None:
        if self.refresh in self._flow.listeners:
            self._flow.listeners.remove(self.refresh)

    # ---- building ----
    def _build(self) -> None:
        body = QtWidgets.QWidget(self)
        column = QtWidgets.QVBoxLayout(body)
        column.setContentsMargins(6, 6, 6, 6)
        column.setSpacing(6)
        form = QtWidgets.QGridLayout()
        form.setSpacing(4)
        form.setColumnStretch(1, 1)
        self.model = self._combo("model", "The diffusion model that paints")
        self.preset = self._combo("preset", "How long and how carefully it paints")
        self.source = self._combo("source", "What the model sees around the selection")
        for key, text in SOURCES:
            self.source.addItem(text, key)
        self.variants = QtWidgets.QSpinBox()
        self.variants.setRange(1, 8)
        self.variants.setObjectName("repaint_variants")
        self.variants.setToolTip("How many different pictures to paint; each has its own seed")
        rows = (
            ("&Model", self.model),
            ("&Preset", self.preset),
            ("S&ource", self.source),
            ("&Seed", self._seed_row()),
            ("&Variants", self.variants),
        )
        for row, (text, widget) in enumerate(rows):
            label = QtWidgets.QLabel(text)
            label.setBuddy(self.seed if "Seed" in text else widget)
            form.addWidget(label, row, 0)
            form.addWidget(widget, row, 1)
        column.addLayout(form)

        self.button = QtWidgets.QPushButton("&RePaint selection")
        self.button.setObjectName("repaint_button")
        self.button.setToolTip("Repaint the selected part in a new layer (set a shortcut: “RePaint selection”)")
        font = self.button.font()
        font.setBold(True)
        self.button.setFont(font)
        self.button.setMinimumHeight(self.button.sizeHint().height() * 3 // 2)
        self.button.clicked.connect(lambda *_: self.repaint_selection())
        column.addWidget(self.button)

        row_layout = QtWidgets.QHBoxLayout()
        self.bar = QtWidgets.QProgressBar()
        self.bar.setObjectName("repaint_progress")
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(True)
        self.cancel_button = QtWidgets.QPushButton("&Cancel")
        self.cancel_button.setObjectName("repaint_cancel_button")
        self.cancel_button.setToolTip("Stop and remove the preview layer")
        self.cancel_button.clicked.connect(lambda *_: self._pump.cancel())
        row_layout.addWidget(self.bar, 1)
        row_layout.addWidget(self.cancel_button)
        column.addLayout(row_layout)

        status = QtWidgets.QHBoxLayout()
        self.warning = QtWidgets.QLabel()
        icon = self.style().standardIcon(scoped(QtWidgets.QStyle, "StandardPixmap", "SP_MessageBoxWarning"))
        self.warning.setPixmap(icon.pixmap(16, 16))
        self.warning.setAlignment(scoped(QtCore.Qt, "AlignmentFlag", "AlignTop"))
        self.status = QtWidgets.QLabel()
        self.status.setObjectName("repaint_status")
        self.status.setWordWrap(True)
        self.status.setTextInteractionFlags(scoped(QtCore.Qt, "TextInteractionFlag", "TextSelectableByMouse"))
        self.status.setMinimumWidth(60)
        status.addWidget(self.warning)
        status.addWidget(self.status, 1)
        column.addLayout(status)
        self.restart = QtWidgets.QPushButton("R&estart the engine")
        self.restart.setObjectName("repaint_restart")
        self.restart.clicked.connect(lambda *_: self._pump.restart_engine())
        column.addWidget(self.restart)

        self.gallery = QtWidgets.QListWidget()
        self.gallery.setObjectName("repaint_gallery")
        self.gallery.setViewMode(scoped(QtWidgets.QListView, "ViewMode", "IconMode"))
        self.gallery.setResizeMode(scoped(QtWidgets.QListView, "ResizeMode", "Adjust"))
        self.gallery.setMovement(scoped(QtWidgets.QListView, "Movement", "Static"))
        self.gallery.setIconSize(QtCore.QSize(THUMBNAIL, THUMBNAIL))
        self.gallery.setSpacing(2)
        self.gallery.setUniformItemSizes(True)
        self.gallery.setMinimumHeight(THUMBNAIL + 36)
        self.gallery.setToolTip("Click a picture to put it into the layer")
        self.gallery.itemClicked.connect(self._picked)
        self.gallery.itemActivated.connect(self._picked)
        column.addWidget(self.gallery, 1)
        self.setWidget(body)

    def _combo(self, name: str, tip: str) -> Any:
        combo = QtWidgets.QComboBox()
        combo.setObjectName("repaint_" + name)
        combo.setToolTip(tip)
        combo.setSizeAdjustPolicy(
            scoped(QtWidgets.QComboBox, "SizeAdjustPolicy", "AdjustToMinimumContentsLengthWithIcon")
        )
        combo.setMinimumContentsLength(8)
        return combo

    def _seed_row(self) -> Any:
        self.seed = QtWidgets.QLineEdit()
        self.seed.setObjectName("repaint_seed")
        self.seed.setToolTip("The same seed gives the same picture again (0 … 2^53−1)")
        self.seed.setValidator(QtGui.QRegularExpressionValidator(QtCore.QRegularExpression("[0-9]{0,16}"), self.seed))
        self.seed.setMinimumWidth(40)
        self.dice = QtWidgets.QToolButton()
        self.dice.setObjectName("repaint_dice")
        self.dice.setIcon(Krita.instance().icon("view-refresh"))
        self.dice.setToolTip("Draw another seed")
        self.dice.clicked.connect(lambda *_: self._draw_seed())
        self.lock = QtWidgets.QToolButton()
        self.lock.setObjectName("repaint_lock")
        self.lock.setCheckable(True)
        self.lock.setToolTip("Keep this seed for the next click instead of drawing a new one")
        self.lock.toggled.connect(self._lock_icon)
        row = QtWidgets.QWidget()
        layout = QtWidgets.QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.seed, 1)
        layout.addWidget(self.dice)
        layout.addWidget(self.lock)
        self._lock_icon(False)
        return row

    def _lock_icon(self, locked: bool) -> None:
        self.lock.setIcon(Krita.instance().icon("layer-locked" if locked else "layer-unlocked"))

    # ---- settings ----
    def _load(self) -> None:
        """The last choices; anything unreadable falls back to the defaults."""
        read = Krita.instance().readSetting
        self._wanted = {"model": read(GROUP, "model", "texture"), "preset": read(GROUP, "preset", "fast")}
        for combo, name, (key, text) in ((self.model, "model", NO_MODEL), (self.preset, "preset", NO_PRESET)):
            combo.addItem(text, key)  # until the bridge has told what there is
            if self._wanted[name] != key:
                combo.addItem(self._wanted[name], self._wanted[name])
                combo.setCurrentIndex(1)
        self.source.setCurrentIndex(max(0, self.source.findData(read(GROUP, "source", "visible"))))
        try:
            self.variants.setValue(int(read(GROUP, "variants", "1")))
        except ValueError:
            self.variants.setValue(1)

    def _save(self, settings: Settings) -> None:
        self._wanted = {"model": settings.model, "preset": settings.preset}
        write = Krita.instance().writeSetting
        for key, value in (
            ("model", settings.model),
            ("preset", settings.preset),
            ("source", settings.source),
            ("variants", str(settings.variants)),
        ):
            write(GROUP, key, value)

    def _draw_seed(self) -> int:
        seed = random.SystemRandom().randrange(MAX_SEED + 1)
        self.seed.setText(str(seed))
        self.seed.setCursorPosition(0)
        return seed

    def _settings(self) -> Settings:
        text = self.seed.text()
        seed = min(int(text), MAX_SEED) if text and self.lock.isChecked() else self._draw_seed()
        variants = self.variants.value()
        return Settings(
            str(self.model.currentData() or "texture"),
            str(self.preset.currentData() or "fast"),
            min(seed, MAX_SEED - variants + 1),
            variants,
            str(self.source.currentData() or "visible"),
        )

    # ---- commands ----
    def repaint_selection(self) -> None:
        if self._flow.busy:
            return
        settings = self._settings()
        self._save(settings)
        self._pump.start(settings)

    def _picked(self, item: Any) -> None:
        key = item.data(scoped(QtCore.Qt, "ItemDataRole", "UserRole"))
        for run in self._flow.runs:
            if run.number == key[0]:
                self._pump.choose(run, key[1])

    def showEvent(self, event: Any) -> None:
        """The session starts when the docker is first seen, so that the engine is warm at the first click."""
        super().showEvent(event)
        self._pump.connect_once()

    # ---- showing ----
    def refresh(self) -> None:
        flow = self._flow
        self._fill_combos()
        busy = flow.busy
        self.button.setEnabled(not busy)
        self.cancel_button.setEnabled(busy and flow.phase != CANCELLING)
        fraction = flow.fraction
        self.bar.setRange(0, 0 if flow.phase == READING else 1000)
        self.bar.setValue(round(1000 * fraction) if busy else 0)
        left = time_left(flow.seconds_left)
        self.bar.setFormat("{:.0f} %{}".format(100 * fraction, " · " + left if left else "") if busy else "")
        self.status.setText(flow.sentence)
        self.status.setToolTip(flow.sentence)
        self.warning.setVisible(flow.is_error)
        self.restart.setVisible(flow.can_restart)
        self._fill_gallery()

    def _fill_combos(self) -> None:
        known = (tuple(self._flow.models), tuple(self._flow.presets))
        if known == self._known or not (known[0] or known[1]):
            return
        self._known = known
        self._fill(self.model, "model", [(m.id, m.title, m.installed) for m in known[0]])
        self._fill(self.preset, "preset", [(p.name, p.title, True) for p in known[1]])

    def _fill(self, combo: Any, key: str, entries: List[Tuple[str, str, bool]]) -> None:
        if not entries:
            return
        combo.clear()
        for name, title, installed in entries:
            combo.addItem(title if installed else title + " (not installed)", name)
            if not installed:
                combo.model().item(combo.count() - 1).setEnabled(False)
        wanted = combo.findData(self._wanted[key])
        if wanted < 0 or not combo.model().item(wanted).isEnabled():
            wanted = next((index for index, entry in enumerate(entries) if entry[2]), 0)
        combo.setCurrentIndex(wanted)

    def _fill_gallery(self) -> None:
        wanted: Dict[Tuple[int, int], Tuple[Run, Variant]] = {}
        for run in self._flow.runs:
            for variant in run.variants:
                wanted[(run.number, variant.index)] = (run, variant)
        for key in [key for key in self._items if key not in wanted]:
            self.gallery.takeItem(self.gallery.row(self._items.pop(key)))
            self._versions.pop(key, None)
        for number in [number for number in self._backdrops if all(key[0] != number for key in wanted)]:
            del self._backdrops[number]
        for key, (run, variant) in wanted.items():
            self._fill_item(key, run, variant)

    def _fill_item(self, key: Tuple[int, int], run: Run, variant: Variant) -> None:
        item = self._items.get(key)
        if item is None:
            item = QtWidgets.QListWidgetItem()
            item.setData(scoped(QtCore.Qt, "ItemDataRole", "UserRole"), key)
            self._items[key] = item
            same_run = sum(1 for other in self._items if other[0] == key[0]) - 1
            self.gallery.insertItem(same_run, item)  # the newest run comes first
        if variant.finished:
            text = f"✓ {variant.index + 1}" if run.shown == variant.index else str(variant.index + 1)
        else:
            text = f"{100 * variant.call / variant.calls:.0f} %" if variant.calls else "…"
        state = (variant.version, text)
        if self._versions.get(key) == state:
            return
        fresh = self._versions.get(key, (None, ""))[0] != variant.version
        self._versions[key] = state
        item.setText(text)
        item.setToolTip(f"{run.settings.model} · {run.settings.preset} · seed {variant.seed}")
        if fresh:
            item.setIcon(QtGui.QIcon(self._thumbnail(run, variant)))

    def _thumbnail(self, run: Run, variant: Variant) -> Any:
        """The selected part with some surroundings as the artist sees it, THUMBNAIL pixels wide and high at most."""
        backdrop, region = self._backdrop(run)
        if variant.picture is None:
            return backdrop
        result = QtGui.QPixmap(backdrop)
        painter = QtGui.QPainter(result)
        painter.setRenderHint(scoped(QtGui.QPainter, "RenderHint", "SmoothPixmapTransform"))
        picture = variant.picture
        painter.drawImage(QtCore.QRectF(result.rect()), image(picture.rgba, picture.width, picture.height), region)
        painter.end()
        return result

    def _backdrop(self, run: Run) -> Tuple[Any, Any]:
        """The source around the selection, scaled down, and which part of the box it shows."""
        found = self._backdrops.get(run.number)
        if found is not None:
            return found
        box, bounds = run.target.box, run.target.bounds
        margin = max(8, max(bounds.width, bounds.height) // 8)
        region = QtCore.QRectF(
            bounds.x - box.x - margin, bounds.y - box.y - margin, bounds.width + 2 * margin, bounds.height + 2 * margin
        )
        region = region.intersected(QtCore.QRectF(0, 0, box.width, box.height))
        scale = THUMBNAIL / max(region.width(), region.height())
        pixmap = QtGui.QPixmap(max(1, round(region.width() * scale)), max(1, round(region.height() * scale)))
        pixmap.fill(self.palette().color(scoped(QtGui.QPalette, "ColorRole", "Base")))
        if run.capture is not None:
            painter = QtGui.QPainter(pixmap)
            painter.setRenderHint(scoped(QtGui.QPainter, "RenderHint", "SmoothPixmapTransform"))
            painter.drawImage(QtCore.QRectF(pixmap.rect()), image(run.capture.pixels, box.width, box.height), region)
            painter.end()
        self._backdrops[run.number] = (pixmap, region)
        return pixmap, region
