"""What all pages share: image, model, preset, seed, number of variants, and words for models that take them."""

from __future__ import annotations

import random
from typing import Any, Dict, List, Tuple

from gi.repository import Gtk

from bridge_server.client.editor.choices import FIELDS
from bridge_server.client.editor.flow import Flow
from bridge_server.client.editor.model import MAX_SEED
from bridge_server.client.editor.texts import MODELS, PRESETS
from bridge_server.client.editor.words import tr

from .widgets import Combo, Form, combo, named, row, spin, tool

NO_MODEL: str = FIELDS["model"][0]
NO_PRESET: str = FIELDS["preset"][0]
SEED_TIP = "The same seed gives the same picture again (0 … 2^53−1)"
LOCK_TIP = "Keep this seed for the next click instead of drawing a new one"
LOCKED, FREE = "changes-prevent-symbolic", "changes-allow-symbolic"


class CommonForm(Form):
    """Reads and shows the common choices by their names in `choices.FIELDS`."""

    def __init__(self, flow: Flow, image: Combo) -> None:
        super().__init__()
        self._flow = flow
        self._add("&Image", image)
        self._wanted = {"model": NO_MODEL, "preset": NO_PRESET}
        self._known: Any = None
        self.model = combo("model", "The diffusion model that paints")
        self.preset = combo("preset", "How long and how carefully it paints")
        self.model.fill([(NO_MODEL, tr(MODELS[NO_MODEL]))])  # until the bridge has told what there is
        self.preset.fill([(NO_PRESET, tr(PRESETS[NO_PRESET]))])
        self.variants = spin("variants", "How many different pictures to paint; each has its own seed", 1, 8)
        self.prompt = named(Gtk.Entry(hexpand=True), "prompt", "What is to be seen, in words")
        self.negative = named(Gtk.Entry(hexpand=True), "negative", "What is not to be seen, in words")
        self.guidance = spin("guidance", "How strongly the words act; 1: plainly", 0, 30, "", "as the model")
        self.label = named(Gtk.Entry(hexpand=True), "label", "What is to be seen: name or number of one of its classes")
        self._add("&Model", self.model)
        self._add("&Preset", self.preset)
        self._add("Prompt", self.prompt)
        self._add("Not", self.negative)
        self._add("Guidance", self.guidance)
        self._add("Class", self.label)
        line = self._seed_line()
        self._add("&Seed", line, self.seed)
        self._add("&Variants", self.variants)
        self._filling = False
        self.model.connect("changed", lambda *_: self._show_words())
        for key, box in (("model", self.model), ("preset", self.preset)):
            box.connect("changed", lambda box, key=key: self._chosen(key, box))
        self._show_words()

    def _add(self, text: str, field: Any, target: Any = None) -> None:
        self.add_line(tr(text), field, target)

    def _seed_line(self) -> Any:
        self.seed = named(Gtk.Entry(hexpand=True, width_chars=8, max_length=16), "seed", SEED_TIP)
        self.seed.set_input_purpose(Gtk.InputPurpose.DIGITS)
        self.dice = tool("dice", "view-refresh-symbolic", "Draw another seed", self.draw_seed)
        self.lock = named(
            Gtk.ToggleButton(image=Gtk.Image.new_from_icon_name(FREE, Gtk.IconSize.BUTTON)), "lock", LOCK_TIP
        )
        self.lock.get_accessible().set_name(tr(LOCK_TIP))
        self.lock.connect("toggled", lambda *_: self._show_lock())
        return row(self.seed, self.dice, self.lock, wide=0)

    def _show_lock(self) -> None:
        self.lock.get_image().set_from_icon_name(LOCKED if self.lock.get_active() else FREE, Gtk.IconSize.BUTTON)

    def draw_seed(self) -> int:
        seed = random.SystemRandom().randrange(MAX_SEED + 1)
        self.seed.set_text(str(seed))
        return seed

    # ---- choices ----
    def show_choices(self, values: Dict[str, Any]) -> None:
        for name, box in (("model", self.model), ("preset", self.preset)):
            self._wanted[name] = values[name]
            if self._known is None and values[name] not in box.values():
                box.get_model().append((values[name], values[name]))
            box.choose(values[name])
        self.variants.set_value(values["variants"])
        self.lock.set_active(values["lock_seed"])
        if values["lock_seed"]:
            self.seed.set_text(str(values["seed"]))
        for name, field in self._words():
            field.set_text(values[name])
        self.guidance.set_value(values["guidance"])

    def choices(self) -> Dict[str, Any]:
        """Draws a seed unless it is locked."""
        text = "".join(sign for sign in self.seed.get_text() if sign in "0123456789")
        seed = min(int(text), MAX_SEED) if text and self.lock.get_active() else self.draw_seed()
        variants = self.variants.value
        chosen = {
            "model": self.model.value or NO_MODEL,
            "preset": self.preset.value or NO_PRESET,
            "variants": variants,
            "seed": min(seed, MAX_SEED - variants + 1),
            "lock_seed": self.lock.get_active(),
        }
        words = {name: field.get_text() for name, field in self._words()}
        return {**chosen, "guidance": self.guidance.value, **words}

    def words(self) -> Dict[str, Any]:
        """Options for the engine: what this model takes of the words."""
        words: Dict[str, Any] = {
            name: field.get_text().strip()
            for name, field in self._words()
            if self._takes(name) and field.get_text().strip()
        }
        if self._takes("guidance") and self.guidance.value:
            words["guidance"] = self.guidance.value
        return words

    def _words(self) -> List[Tuple[str, Any]]:
        return [("prompt", self.prompt), ("negative", self.negative), ("label", self.label)]

    # ---- catalogue ----
    def refresh(self) -> None:
        known = (tuple(self._flow.models), tuple(self._flow.presets))
        if known == self._known or not (known[0] or known[1]):
            return
        self._known = known
        self._fill(self.model, "model", [(m.id, m.title, m.installed) for m in known[0]])
        self._fill(self.preset, "preset", [(p.name, PRESETS.get(p.name, p.title), True) for p in known[1]])
        self._show_words()

    def _fill(self, box: Combo, key: str, entries: List[Tuple[str, str, bool]]) -> None:
        if entries:
            missing = tr("{model} (not installed)")
            shown = [(name, tr(title) if here else missing.format(model=tr(title))) for name, title, here in entries]
            self._filling = True
            box.fill(shown, self._wanted[key])
            self._filling = False

    def _chosen(self, key: str, box: Combo) -> None:
        """What the artist has chosen outlives a new list."""
        if not self._filling:
            self._wanted[key] = box.value

    @property
    def learns(self) -> bool:
        """Whether the chosen model can learn a picture."""
        model = self._flow.model(self.model.value)
        return model is not None and model.learns

    def _takes(self, name: str) -> bool:
        model = self._flow.model(self.model.value)
        return model is not None and (model.takes_label if name == "label" else model.takes_prompt)

    def _show_words(self) -> None:
        """Words only for a model that takes them."""
        for name, field in self._words():
            self.show_line(field, self._takes(name))
        self.show_line(self.guidance, self._takes("guidance"))
