"""What all pages share: model, preset, seed, number of variants, and words for models that take them."""

from __future__ import annotations

import random
from typing import Any, Dict, List, Tuple

from krita import Krita

from bridge_server.client.editor.flow import Flow
from bridge_server.client.editor.model import MAX_SEED
from bridge_server.client.editor.texts import MODELS, PRESETS
from bridge_server.client.editor.words import tr

from .qt import QtCore, QtGui, QtWidgets, scoped
from .widgets import combo, form, named, spin, tool

NO_MODEL = ("exemplar", MODELS["exemplar"])
NO_PRESET = ("fast", PRESETS["fast"])


class CommonForm(QtWidgets.QWidget):
    """Reads and shows the common choices by their names in `choices.FIELDS`."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self._flow = flow
        self._wanted = {"model": NO_MODEL[0], "preset": NO_PRESET[0]}
        self._known: Any = None
        self._filling = False
        lines = form(self)
        self.model = combo("model", "The diffusion model that paints", [NO_MODEL])
        self.preset = combo("preset", "How long and how carefully it paints", [NO_PRESET])
        self.variants = spin("variants", "How many different pictures to paint; each has its own seed", 1, 8)
        self.prompt = named(QtWidgets.QLineEdit(), "prompt", "What is to be seen, in words")
        self.negative = named(QtWidgets.QLineEdit(), "negative", "What is not to be seen, in words")
        self.guidance = spin("guidance", "How strongly the words act; 1: plainly", 0, 30, "", "as the model")
        self.label = named(QtWidgets.QLineEdit(), "label", "What is to be seen: name or number of one of its classes")
        self._words = QtWidgets.QWidget()
        inner = form(self._words)
        self._rows: Dict[str, Any] = {}
        for name, text, widget in (
            ("prompt", "Prompt", self.prompt),
            ("negative", "Not", self.negative),
            ("guidance", "Guidance", self.guidance),
            ("label", "Class", self.label),
        ):
            self._rows[name] = (self._add(inner, text, widget), widget)
        self._add(lines, "&Model", self.model)
        self._add(lines, "&Preset", self.preset)
        lines.addRow(self._words)
        row = self._seed_row()
        self._add(lines, "&Seed", row).setBuddy(self.seed)
        self._add(lines, "&Variants", self.variants)
        self.model.currentIndexChanged.connect(lambda *_: self._show_words())
        for key, box in (("model", self.model), ("preset", self.preset)):
            box.currentIndexChanged.connect(lambda *_, key=key, box=box: self._chosen(key, box))
        self._show_words()

    @staticmethod
    def _add(lines: Any, text: str, widget: Any) -> Any:
        caption = QtWidgets.QLabel(tr(text))
        caption.setBuddy(widget)
        lines.addRow(caption, widget)
        return caption

    def _seed_row(self) -> Any:
        self.seed = named(QtWidgets.QLineEdit(), "seed", "The same seed gives the same picture again (0 … 2^53−1)")
        self.seed.setValidator(QtGui.QRegularExpressionValidator(QtCore.QRegularExpression("[0-9]{0,16}"), self.seed))
        self.seed.setMinimumWidth(40)
        self.dice = tool("dice", Krita.instance().icon("view-refresh"), "Draw another seed", self.draw_seed)
        self.lock = tool(
            "lock",
            Krita.instance().icon("layer-unlocked"),
            "Keep this seed for the next click instead of drawing a new one",
        )
        self.lock.setCheckable(True)
        self.lock.toggled.connect(
            lambda locked: self.lock.setIcon(Krita.instance().icon("layer-locked" if locked else "layer-unlocked"))
        )
        row = QtWidgets.QWidget()
        layout = QtWidgets.QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.seed, 1)
        layout.addWidget(self.dice)
        layout.addWidget(self.lock)
        return row

    def draw_seed(self) -> int:
        seed = random.SystemRandom().randrange(MAX_SEED + 1)
        self.seed.setText(str(seed))
        self.seed.setCursorPosition(0)
        return seed

    # ---- choices ----
    def show_choices(self, values: Dict[str, Any]) -> None:
        for name, box in (("model", self.model), ("preset", self.preset)):
            self._wanted[name] = values[name]
            if box.findData(values[name]) < 0 and self._known is None:
                box.addItem(values[name], values[name])  # until the bridge has told what there is
            self._pick(name, box)
        self.variants.setValue(values["variants"])
        self.lock.setChecked(values["lock_seed"])
        if values["lock_seed"]:
            self.seed.setText(str(values["seed"]))
        for name, field in (("prompt", self.prompt), ("negative", self.negative), ("label", self.label)):
            field.setText(values[name])
        self.guidance.setValue(values["guidance"])

    def choices(self) -> Dict[str, Any]:
        """Draws a seed unless it is locked."""
        text = self.seed.text()
        seed = min(int(text), MAX_SEED) if text and self.lock.isChecked() else self.draw_seed()
        chosen = {
            "model": str(self.model.currentData() or NO_MODEL[0]),
            "preset": str(self.preset.currentData() or NO_PRESET[0]),
            "variants": self.variants.value(),
            "seed": min(seed, MAX_SEED - self.variants.value() + 1),
            "lock_seed": self.lock.isChecked(),
        }
        words = (("prompt", self.prompt), ("negative", self.negative), ("label", self.label))
        return {**chosen, "guidance": self.guidance.value(), **{name: field.text() for name, field in words}}

    def words(self) -> Dict[str, Any]:
        """Options for the engine: what this model takes of the words."""
        fields = (("prompt", self.prompt), ("negative", self.negative), ("label", self.label))
        words = {name: f.text().strip() for name, f in fields if f.isVisibleTo(self) and f.text().strip()}
        strength = self.guidance.value()
        return {**words, "guidance": strength} if strength and self.guidance.isVisibleTo(self) else words

    # ---- catalogue ----
    @property
    def learns(self) -> bool:
        """Whether the chosen model can learn a picture."""
        model = self._flow.model(str(self.model.currentData()))
        return model is not None and model.learns

    def refresh(self) -> None:
        known = (tuple(self._flow.models), tuple(self._flow.presets))
        if known == self._known or not (known[0] or known[1]):
            return
        self._known = known
        self._fill(self.model, "model", [(m.id, m.title, m.installed) for m in known[0]])
        self._fill(self.preset, "preset", [(p.name, PRESETS.get(p.name, p.title), True) for p in known[1]])
        for place, preset in enumerate(known[1]):
            tip = tr("{calls} network calls for each variant").format(calls=preset.calls)
            self.preset.setItemData(place, tip, scoped(QtCore.Qt, "ItemDataRole", "ToolTipRole"))
        self._show_words()

    def _fill(self, box: Any, key: str, entries: List[Tuple[str, str, bool]]) -> None:
        if not entries:
            return
        self._filling = True
        box.clear()
        for name, title, installed in entries:
            box.addItem(tr(title) if installed else tr("{model} (not installed)").format(model=tr(title)), name)
        self._pick(key, box)
        self._filling = False

    def _pick(self, key: str, box: Any) -> None:
        """The wanted entry, or the first: what is built in."""
        box.setCurrentIndex(max(0, box.findData(self._wanted[key])))

    def _chosen(self, key: str, box: Any) -> None:
        """What the artist has chosen outlives a new list."""
        if not self._filling:
            self._wanted[key] = str(box.currentData())

    def _show_words(self) -> None:
        """Words only for a model that takes them."""
        model = self._flow.model(str(self.model.currentData()))
        takes_prompt, takes_label = (model.takes_prompt, model.takes_label) if model is not None else (False, False)
        for name in self._rows:
            for widget in self._rows[name]:
                widget.setVisible(takes_label if name == "label" else takes_prompt)
        self._words.setVisible(takes_prompt or takes_label)
