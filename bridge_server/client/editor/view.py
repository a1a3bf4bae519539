"""What a window shows of a `Flow`, worked out once for all editors: texts, flags, orders. A window only draws it.

Each function looks at the flow as it is now and changes nothing. ``chosen`` is the run and the variant that are current
in the grid of pictures, or None. A place is (number of a run, index of its variant).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from bridge_server.client import events
from bridge_server.client.records import preset_for

from . import figures, sentences
from .fields import MODELS, PRESETS
from .flow import Flow
from .machine import CANCELLING, READING, RUNNING
from .memory import forecast
from .model import Picture, Run, Tile, Variant
from .schedule import levels
from .texts import KINDS, caption, duration, time_left
from .words import ntr, tr

MIB = 1 << 20

Place = Tuple[int, int]


class Chosen(NamedTuple):
    run: Run
    variant: Variant


# ---- the run ----
def progress(flow: Flow) -> Tuple[float, str]:
    """What the bar shows: the done part, 0…1, negative while it is not known; its text."""
    if not flow.busy:
        return 0.0, ""
    left = time_left(flow.seconds_left)
    text = f"{100 * flow.fraction:.0f} %" + (" · " + left if left else "")
    return (-1.0 if flow.phase == READING else flow.fraction), text


def enabled(flow: Flow, chosen: Optional[Chosen]) -> Dict[str, bool]:
    """Which buttons can be pressed, by their names in `labels.BUTTONS`; "start": those of the pages."""
    free, there = not flow.busy, chosen is not None
    steps = chosen is not None and bool(chosen.variant.steps)
    return {
        "start": free,
        "cancel": flow.busy and flow.phase != CANCELLING,
        "keep": flow.phase == RUNNING and not flow.keeping,
        "copy_seed": there,
        "favourite": chosen is not None and chosen.variant.finished,
        "split": there,
        "compare": there or flow.busy,
        "apply": there and free,
        "drop": chosen is not None and chosen.variant.finished and chosen.run is not flow.run,
        "more": chosen is not None and free and chosen.run.capture is not None,
        "more_like": steps and free,
        "branch": steps and free,
        "resume": steps and free,
    }


def can_resume(chosen: Optional[Chosen]) -> bool:
    """Whether there is something to continue at all."""
    return chosen is not None and chosen.variant.unfinished and chosen.variant.finished


# ---- catalogues ----
def models(flow: Flow) -> List[Tuple[str, str, str]]:
    """Name, text and tip of each model; empty until the bridge has told."""
    found = []
    for model in flow.models:
        title = tr(MODELS.get(model.id, model.title))
        found.append(
            (model.id, title if model.installed else tr(sentences.TITLE_NOT_INSTALLED).format(model=title), "")
        )
    return found


def presets(flow: Flow, model: str = "") -> List[Tuple[str, str, str]]:
    """Name, text and tip of each preset, as that model is sampled with it; empty until the bridge has told."""
    found = []
    for name in dict.fromkeys(each.name for each in flow.presets):
        preset = preset_for(flow.presets, name, flow.model(model))
        assert preset is not None
        tip = ntr(sentences.CALLS_EACH, preset.calls).format(calls=preset.calls)
        found.append((preset.name, tr(PRESETS.get(preset.name, preset.title)), tip))
    return found


# ---- the grid of pictures ----
class Entry(NamedTuple):
    """``version`` grows whenever the picture changes."""

    place: Place
    text: str
    tip: str
    version: int
    run: Run
    variant: Variant


def gallery(flow: Flow) -> List[Entry]:
    """All variants, the newest series first; within a series in the order in which they came."""
    first: Dict[int, int] = {}
    for run in flow.runs:
        first.setdefault(id(run.series), run.number)
    found = []
    for run in sorted(flow.runs, key=lambda run: (-first[id(run.series)], run.number)):
        for variant in run.variants:
            place = (run.number, variant.index)
            shown = variant.finished and run.series.shown == place
            tip = f"{run.settings.model} · {run.settings.preset} · " + tr(sentences.SEED_WORD) + f" {variant.seed}"
            tip += "".join("\n" + line for line in (figures.explained(variant.figures), _size_and_date(run)) if line)
            text = " ".join(filter(None, ("✓" * shown, caption(run, variant), figures.verdict(variant.figures))))
            found.append(Entry(place, text, tip, variant.version, run, variant))
    return found


def _size_and_date(run: Run) -> str:
    size = f"{run.target.bounds.width} × {run.target.bounds.height}"
    return size + (time.strftime(" · %Y-%m-%d %H:%M", time.localtime(run.made)) if run.made else "")


def seed(chosen: Optional[Chosen]) -> str:
    return tr(sentences.SEED).format(seed=chosen.variant.seed) if chosen is not None else ""


# ---- branches ----
@dataclass(frozen=True)
class KeptStep:
    """The step to branch from. ``state`` changes when another picture is to be drawn; ``picture``: of the step, None
    while it is on its way."""

    text: str
    cost: str = ""
    run: Optional[Run] = None
    step: Optional[events.Step] = None
    picture: Optional[Picture] = None
    state: Any = None


def kept_step(flow: Flow, chosen: Optional[Chosen], position: int, kind: str, number: int) -> KeptStep:
    """``position``: of the slider, counted in kept steps."""
    if chosen is None or not chosen.variant.steps:
        return KeptStep(
            tr(sentences.NO_STEPS if chosen is not None and chosen.variant.finished else sentences.NO_CHOICE)
        )
    run, variant = chosen
    step = variant.steps[min(position, len(variant.steps) - 1)]
    calls, seconds = flow.price(run, step, kind, number)
    each = calls // number
    cost = ntr(sentences.CALLS, each).format(number=number, calls=each)
    if seconds >= 0:
        cost += ", " + tr(sentences.ABOUT).format(time=duration(seconds))
    text = tr(sentences.STEP_OF).format(call=step.call, calls=max(variant.calls, step.call + step.remaining))
    picture = variant.views.get(step.call)
    return KeptStep(text, cost, run, step, picture, (run.number, variant.index, step.call, picture is not None))


class Twig(NamedTuple):
    """A line of the tree; ``above``: the place that it branched from."""

    place: Place
    above: Optional[Place]
    text: str
    run: Run
    variant: Variant


def tree(flow: Flow, chosen: Optional[Chosen]) -> List[Twig]:
    """The chosen variant's series, each line after the one above it; empty if nothing branched in it."""
    runs = flow.library.of_series(chosen.run) if chosen is not None else []
    if all(run.parent is None for run in runs):
        return []
    found = []
    for run in runs:
        for variant in run.variants:
            text = caption(run, variant) if variant.finished else "…"
            if run.parent is not None:
                text += " · " + _kind(flow, run) + " · " + tr(sentences.STEP).format(call=run.parent[2])
            above = run.parent[:2] if run.parent is not None else None
            found.append(Twig((run.number, variant.index), above, text, run, variant))
    return found


def _kind(flow: Flow, run: Run) -> str:
    """What a branch is called; a stopped variant that went on with its own seed is no variation."""
    assert run.parent is not None
    parent = flow.library.find(run.parent[0])
    before = parent.variant(run.parent[1]) if parent is not None else None
    if run.kind == "continue" and before is not None and before.seed == run.variants[0].seed:
        return tr(sentences.CONTINUED)
    return tr(dict(KINDS)[run.kind])


# ---- pages ----
def hint(flow: Flow, page: str) -> str:
    """What to do on a page where there is nothing yet; "" where there is something."""
    if page == "more":
        return ""  # `history` says it
    if flow.host.canvas_size() is None:
        return tr(sentences.NO_DOCUMENT if page == "selection" else sentences.HINT_DOCUMENT)
    if page == "selection" and not flow.runs:
        return tr(sentences.HINT_SELECTION)
    return tr(sentences.HINT_TILE) if page == "tile" and tile(flow) is None else ""


def tile(flow: Flow) -> Optional[Chosen]:
    """The tile that forms, or that was chosen last."""
    selected = flow.selected
    for run in (flow.run, selected[0] if selected is not None else None):
        if run is not None and isinstance(run.settings.area, Tile) and run.capture is not None:
            index = selected[1] if selected is not None and selected[0] is run else run.shown
            variant = run.variant(index)
            return Chosen(run, variant) if variant is not None else None
    return None


def walk(flow: Flow, values: Dict[str, Any]) -> List[int]:
    """Levels of a run with these choices; empty while the preset is not known."""
    preset = preset_for(flow.presets, values["preset"], flow.model(values["model"]))
    if preset is None or not preset.steps:
        return []
    steps, length = values["steps"] or preset.steps, values["jump_length"] or preset.jump_length
    return levels(steps, length, values["jump_samples"] or preset.jump_samples, values["schedule"])


def memory(flow: Flow, values: Dict[str, Any], maps: int = 0) -> str:
    """What a run with so many maps would take; "" where that cannot be told."""
    model = flow.model(values["model"])
    if model is None:
        return ""
    return forecast(model, *flow.host.extent(values["padding"]), values["variants"], maps) or ""


def history(flow: Flow, limit: int) -> str:
    count = flow.library.pictures
    if not count:
        return tr(sentences.HINT_HISTORY)
    used = f"{flow.library.bytes / MIB:.1f}"
    return ntr(sentences.HISTORY, count).format(count=count, used=used, limit=limit)


def history_warning(flow: Flow, limit: int) -> str:
    """Nothing is deleted by itself, so it has to be said when there is much; else ""."""
    used = flow.library.bytes / MIB
    return tr(sentences.HISTORY_FULL).format(used=f"{used:.0f}", limit=limit) if used > limit else ""
