"""Every field of the editors' windows, described once: its name, default, range, unit, label and tip.

An editor makes one kind of widget for each kind of field here; `PAGES` says which fields stand on which page. A field
that is an option of the engine has the option's name. To add one: describe it, put it on a page, run
``python -m install.languages`` and translate its label and tip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from bridge_server.client import events
from bridge_server.client.errors import BridgeError
from bridge_server.client.messages import NAME

from . import maps, material, sentences
from .model import MAX_SEED
from .texts import KINDS

MAX_VARIANTS = 8  # in one run; the bridge takes more, but a window shows no more at a time
LONGEST_TEXT = 2000


@dataclass(frozen=True)
class Field:
    """``needs``: what the chosen model must be able to do for the field to be shown: "prompt", "label" or "learning";
    "network": it must not be made of the picture itself. "material": where the material comes from decides.
    ``option``: its value is sent to the engine, unless it is empty or 0, which leave it to the preset or the engine.
    """

    name: str
    default: Any
    label: str = ""
    tip: str = ""
    needs: str = ""
    option: bool = False

    def check(self, value: Any) -> Any:
        """The value; raises ValueError for one that the field cannot have."""
        raise NotImplementedError

    def shown_for(self, model: Optional[events.Model]) -> bool:
        if self.needs in ("", "material"):
            return True
        if model is None:
            return False
        able = {"prompt": model.takes_prompt, "label": model.takes_label, "learning": model.learns}
        return {**able, "network": model.family != "exemplar"}[self.needs]


@dataclass(frozen=True)
class Number(Field):
    """A whole number from ``low`` to ``high``; with ``zero``, the word for it, 0 as well. ``step``: of its arrows."""

    low: int = 0
    high: int = 0
    unit: str = ""
    zero: str = ""
    step: int = 1

    @property
    def least(self) -> int:
        return 0 if self.zero else self.low

    def check(self, value: Any) -> Any:
        if type(value) is not int or not (self.low <= value <= self.high or (value == 0 and self.zero)):
            raise ValueError(value)
        return value

    def snapped(self, value: int, before: int) -> int:
        """The nearest value that it can have: between 0 and ``low`` there is none."""
        if self.least < value < self.low:
            return self.low if value > before else 0
        return max(self.least, min(self.high, value))


@dataclass(frozen=True)
class Choice(Field):
    """One of ``entries``, (value, text)."""

    entries: Tuple[Tuple[str, str], ...] = ()

    def check(self, value: Any) -> Any:
        if value not in [name for name, _ in self.entries]:
            raise ValueError(value)
        return value


@dataclass(frozen=True)
class Catalogue(Choice):
    """One of the names that the bridge tells; ``entries``: what is there until then."""

    def check(self, value: Any) -> Any:
        try:
            return NAME.accept(value)
        except BridgeError:
            raise ValueError(value) from None


@dataclass(frozen=True)
class Pick(Choice):
    """One of the names that the document in front has; remembered ones may be gone from it."""

    def check(self, value: Any) -> Any:
        if not isinstance(value, str) or len(value) > LONGEST_TEXT:
            raise ValueError(value)
        return value


@dataclass(frozen=True)
class Text(Field):
    def check(self, value: Any) -> Any:
        if not isinstance(value, str) or len(value) > LONGEST_TEXT:
            raise ValueError(value)
        return value


@dataclass(frozen=True)
class File(Text):
    """The path of a file, "" none."""


@dataclass(frozen=True)
class Flag(Field):
    def check(self, value: Any) -> Any:
        if type(value) is not bool:
            raise ValueError(value)
        return value


@dataclass(frozen=True)
class Layers(Field):
    """Layers by their names: whether each is ticked, its kind and its weight. Its widget is `maps.Rows`."""

    def check(self, value: Any) -> Any:
        try:
            good = len(value) <= maps.MOST_REMEMBERED and all(_is_row(name, *row) for name, row in value.items())
        except (AttributeError, TypeError):
            good = False
        if not good:
            raise ValueError(value)
        return value


def _is_row(name: Any, ticked: Any, kind: Any, weight: Any) -> bool:
    known = isinstance(name, str) and type(ticked) is bool and kind in dict(maps.KINDS)
    return known and type(weight) is int and maps.LEAST <= weight <= maps.MOST


def kind(field: Field) -> str:
    """Which widget it wants: "number", "seed" (a number too large for most), "choice", "text", "file", "flag", or
    "lock", a flag without a label."""
    if isinstance(field, Number):
        return "seed" if field.name == "seed" else "number"
    if isinstance(field, Flag):
        return "flag" if field.label else "lock"
    if isinstance(field, Choice):
        return "choice"
    return "file" if isinstance(field, File) else "text"


# titles of the engine's own models and presets, in the artist's language when they are shown
MODELS = {"exemplar": "From this picture", "texture": "Texture"}
PRESETS = {
    "fast": "Fast – good for most pictures",
    "quality": "Quality – slower, more detail",
    "repaint": "RePaint reference – very slow",
}
SIDES = ("left", "top", "right", "bottom")
MOST_ADDED = 4096  # pixels on a side of the canvas
PRESET = "preset"


def _side(name: str, label: str, default: int) -> Number:
    tip = "Pixels to add on this side"
    return Number("extend_" + name, default, label, tip, low=0, high=MOST_ADDED, unit="px", step=16)


COMMON: Tuple[Field, ...] = (
    Catalogue("model", "exemplar", "&Model", "The model that paints", entries=(("exemplar", MODELS["exemplar"]),)),
    Catalogue(
        "preset", "fast", "&Preset", "How long and how carefully it paints", entries=(("fast", PRESETS["fast"]),)
    ),
    Text("prompt", "", "Prompt", "Describe what should appear", "prompt", True),
    Text("negative", "", "Negative prompt", "Describe what should not appear", "prompt", True),
    Number(
        "guidance", 0, "Guidance", "How closely the picture follows the prompt; 1: loosely", "prompt", True,
        low=1, high=30, zero="model default",
    ),
    Text("label", "", "Class", "Name or number of one of the classes that the model knows", "label", True),
    Number(
        "seed", 0, "&Seed", "The same seed and settings give the same picture again (0 … 2^53−1)",
        low=0, high=MAX_SEED,
    ),
    Flag("lock_seed", False, "", "Use this seed again for the next run instead of drawing a new one"),
    Number(
        "variants", 1, "&Variants", "How many pictures to paint; each has its own seed", low=1, high=MAX_VARIANTS
    ),
)  # fmt: skip
MATERIAL: Tuple[Field, ...] = (
    Choice(
        material.MATERIAL, material.AROUND, "T&ake from", "Where the material of the fill comes from",
        entries=material.ENTRIES,
    ),
    Pick(material.NAME, "", "Which one", "The layer, the picture or the mark, by its name", "material"),
    File(material.PATH, "", "File", "The picture file that the material comes from", "material"),
    Number(
        material.SHARE, 100, "Share", "How much of the fill comes from there; the rest comes from around it",
        "material", True, low=1, high=100, unit="%", step=5,
    ),
    Pick(
        material.SHARES, "", "Share mask",
        "A mask that sets where the share applies: fully in white, not at all in black", "material",
        entries=(("", sentences.ALIKE),),
    ),
)  # fmt: skip
MAP_LAYERS: Tuple[Field, ...] = (
    Flag(maps.WITH_MAPS, False, "Maps", "Paint other layers along with the active one, from the same places"),
    Layers(maps.MAPS, {}, "Layers", "Which layers are painted along, what they hold, and how much each counts"),
)
MAP_KIND = Choice("map_kind", maps.VALUES, "", "What the layer holds", entries=maps.KINDS)
MAP_WEIGHT = Number(
    "map_weight", maps.USUAL, "", "How much it counts beside the active layer",
    low=maps.LEAST, high=maps.MOST, unit="%", step=10,
)  # fmt: skip
SELECTION: Tuple[Field, ...] = (
    Choice(
        "source", "visible", "S&ource", "What the model sees around the selection",
        entries=(("visible", "Visible image"), ("layer", "Active layer")),
    ),
)  # fmt: skip
EXTEND: Tuple[Field, ...] = (
    _side("left", "Left", 0),
    _side("top", "Top", 0),
    _side("right", "Right", 128),
    _side("bottom", "Bottom", 0),
    Flag(
        "extend_learn", False, "&Learn this picture first",
        "Takes a minute longer; the new part then follows this picture's texture more closely", "learning",
    ),
)  # fmt: skip
TILE: Tuple[Field, ...] = (
    Choice(
        "tile_axis", "both", "Repeat", "In which directions the picture should repeat",
        entries=(("both", "Both directions"), ("x", "Horizontally"), ("y", "Vertically")),
    ),
    # the default as engine.extend.TILE_BAND
    Number("tile_band", 24, "Border", "Width of the band along the borders to repaint", low=8, high=1024, unit="px"),
)  # fmt: skip
MORE: Tuple[Field, ...] = (
    Number("steps", 0, "Steps", "Noise levels between noise and picture", "", True, low=2, high=1000, zero=PRESET),
    Number(
        "jump_length", 0, "Jump length", "How many levels each jump goes back up", "", True,
        low=1, high=1000, zero=PRESET,
    ),
    Number(
        "jump_samples", 0, "Samples per jump", "How many times each stretch between two jumps is painted", "", True,
        low=1, high=100, zero=PRESET,
    ),
    Choice(
        "schedule", "uniform", "Jumps", "Where in the run the jumps are made", "", True,
        entries=(("uniform", "everywhere"), ("early", "early"), ("late", "late"), ("none", "nowhere")),
    ),
    Number(
        "padding", 0, "Surroundings", "How far around the selection the model looks; farther takes longer", "", True,
        low=8, high=1024, unit="px", zero="automatic",
    ),
    Number(
        "feather", 0, "Feather", "Soft edge inwards from the selection's border",
        low=1, high=200, unit="px", zero="as selected",
    ),
    Number(
        "learn", 0, "Learn", "Seconds to learn from this picture before painting", "learning", True,
        low=5, high=600, unit="s", zero="off",
    ),
    Number(
        "known_noise", 0, "Ignore grain",
        "How strong the grain or compression noise around the selection is, of 255; the fill does not copy it",
        "network", True, low=1, high=128, zero="none",
    ),
    Flag("hard", False, "&Hard edge", "No soft edge: what is at least half selected is repainted fully", "", True),
    Flag(
        "palette", False, "Keep the picture's co&lours",
        "Only colours that are around the selection, up to 256; pictures of few colours keep theirs anyway", "", True,
    ),
    Flag(
        "ring", False, "Match su&rrounding colours",
        "Shifts the fill's colours, but not its detail, to match those just around it", "", True,
    ),
)  # fmt: skip
HISTORY: Tuple[Field, ...] = (
    Number(
        "history_mib", 2048, "Limit", "You are told when the history grows larger; nothing is deleted automatically",
        low=64, high=1 << 20, unit="MiB", step=256,
    ),
)  # fmt: skip

# of the grid of pictures; they are not remembered
CHOOSING: Tuple[Field, ...] = (
    Text("search", "", "Search", "Show only these: model, date (2026-11-30), size (300x200, >500) or seed"),
    Choice(
        "order", "newest", "", "Best first: by how well they join, edge and grain",
        entries=(("newest", "Newest first"), ("best", "Best first")),
    ),
    Flag("only_favourites", False, "★", "Show only favourites"),
)  # fmt: skip

# of Live; they are not remembered
LIVE: Tuple[Field, ...] = (
    Flag("live", False, "Li&ve", "Fill every selection as soon as it is finished; one Ctrl+Z takes each fill away"),
    Choice(
        "after_live", "deselect", "", "What happens to the selection once it has been filled",
        entries=(("deselect", "then deselect"), ("keep", "keep selected")),
    ),
)  # fmt: skip

# of a branch; they are not remembered
BRANCH_KIND = Choice("kind", "harmonise", "", "Harmonise: blends better. New idea: changes more", entries=KINDS)
BRANCH_NUMBER = Number("branches", 1, "", "How many branches", low=1, high=MAX_VARIANTS)

FIELDS: Dict[str, Field] = {
    each.name: each
    for group in (COMMON, MATERIAL, MAP_LAYERS, SELECTION, EXTEND, TILE, MORE, HISTORY)
    for each in group
}
# never of the user: another document has other layers and marks
OF_A_DOCUMENT = tuple(each.name for each in (*MATERIAL, *MAP_LAYERS))
OF_THE_USER = ("history_mib",)  # never of a document
LEARN_SECONDS = 60  # of ``extend_learn``


@dataclass(frozen=True)
class Page:
    """``button``: its text and tip; without one there is nothing to start."""

    name: str
    title: str
    fields: Tuple[Field, ...]
    button: Tuple[str, str] = ("", "")


PAGES = (
    Page("selection", "Repaint", SELECTION, ("&RePaint selection", "Repaint the selected part in a new layer")),
    Page(
        "extend", "Extend", EXTEND, ("&Extend the picture", "Enlarge the canvas and paint the new part in a new layer")
    ),
    Page(
        "tile", "Tile", TILE, ("Make a &tile", "Repaint the borders in a new layer so that the picture can be repeated")
    ),
    Page("more", "More", MORE),
)  # fmt: skip


def defaults() -> Dict[str, Any]:
    return {name: each.default for name, each in FIELDS.items()}


def number(name: str) -> Number:
    found = FIELDS[name]
    assert isinstance(found, Number)
    return found


def options(values: Dict[str, Any], model: Optional[events.Model]) -> Dict[str, Any]:
    """Those that the chosen model takes and that differ from the preset, by the wire's names."""
    found: Dict[str, Any] = {}
    for each in FIELDS.values():
        value = values[each.name]
        value = value.strip() if isinstance(each, Text) else value
        if each.option and value and value != each.default and each.shown_for(model):
            found[each.name] = value
    return found


def texts() -> List[str]:
    """Every English text above, for the catalogues."""
    found = [*MODELS.values(), *PRESETS.values()]
    for each in (*FIELDS.values(), *CHOOSING, *LIVE, BRANCH_KIND, BRANCH_NUMBER, MAP_KIND, MAP_WEIGHT):
        found += [each.label, each.tip, getattr(each, "zero", "")]
        found += [text for _, text in getattr(each, "entries", ())]
    for page in PAGES:
        found += [page.title, *page.button]
    return [text for text in found if text]
