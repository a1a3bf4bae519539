"""``lab latent``, the report's § 4.2, Tables 7 and 8: prompts, masks, resampling and guidance of latent models."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import cv2
import numpy as np

from engine import api
from engine.lab.experiment import Cell, Experiment, Live, Number, Option, Result, Setting, Setup
from engine.lab.notebook import Notebook, Record
from engine.lab.plots import Plot
from engine.lab.questions import Question, answered, config, groups, line, mean, middle, names
from engine.lab.report import Claim, Pictures, Section, Table, Value
from engine.models import Model
from engine.sampling import Guide

STEPS, JUMP = 20, 4
SAMPLES = (1, 5)
"""Without and with resampling."""
GUIDANCE = (1.0, 4.0, 7.5)
MASKS = {"center": (0.25, 0.25, 0.5, 0.5), "corner": (0.5, 0.5, 0.5, 0.5)}
"""Top, left, height and width as shares of the side."""
TOY = (128, ("a red circle", "a blue square"))
REAL = (512, ("a burger", "flowers", "cutlery", "ants"))
"""Sides of the pictures, and the prompts; the report's for models of photographs."""
HUES = {"red": 0, "yellow": 26, "green": 64, "blue": 115}
"""OpenCV's hue, 0 … 179, of what a prompt asks for, where it names a colour."""
NEAR_HUE, VIVID, SEEN = 14, 0.45, 0.05
"""Hue and saturation (0 … 1) by which a pixel has the colour; share of the hole from which on it is seen there."""
PLAIN, OURS = "plain", "off the rim"
"""Classifier-free guidance as in the report, everywhere in the hole; and as this engine does it, kept from the rim of
the hole and rescaled (:class:`engine.sampling.Guide`)."""
RIM = 6
"""Pixels of the hole beside its border."""


@dataclass(frozen=True)
class _Task:
    """One way to paint one question."""

    asked: Question
    mask: str
    prompt: str
    samples: int
    guidance: float
    kind: str
    seed: int


class _Plain(Model):
    """A model that is guided as in the report."""

    def guide(self, *asked: Any, **more: Any) -> Guide | None:
        guide = super().guide(*asked, **more)
        return None if guide is None else replace(guide, rescale=0.0, rim=0.0)


def plainly(model: Model) -> Model:
    """The same model with :data:`PLAIN` guidance."""
    return _Plain(**{each.name: getattr(model, each.name) for each in fields(model)})


def dedicated(info: api.ModelInfo) -> bool:
    """Whether a latent model's network is one for inpainting: it takes more channels than it gives."""
    found = config(info)
    return int(found.get("in_channels", 0)) > int(found.get("out_channels", 0))


def ground(seed: int) -> np.ndarray:
    """Striped ground as the toy knows it, (128, 128, 3) uint8."""
    rng = np.random.default_rng(seed)
    y, x = (np.mgrid[:128, :128] + 0.5) / 128
    tint = np.array([(205, 185, 150), (110, 118, 128), (110, 125, 90)][seed % 3], np.float64)
    waves = np.tanh(3 * np.sin(2 * np.pi * ((x + 0.1 * y) * rng.uniform(4.6, 6.4) + rng.uniform())))
    return np.rint(tint * (1 + 0.16 * waves[..., None])).clip(0, 255).astype(np.uint8)


def questions(toy: bool, mask: str, number: int) -> list[Question]:
    side = (TOY if toy else REAL)[0]
    top, left, height, width = (round(share * side) for share in MASKS[mask])
    selection = np.zeros((side, side), np.uint8)
    selection[top : top + height, left : left + width] = 255
    pictures = [ground(seed) if toy else middle("coffee-narrow", side) for seed in range(number if toy else 1)]
    return [Question(f"ground {seed}" if toy else "coffee", each, selection) for seed, each in enumerate(pictures)]


COLUMNS = ("samples", "guidance", "kind")


def _cells(setup: Setup) -> list[Cell]:
    out = []
    for info in setup.models(lambda info: info.takes_prompt, "model that reads prompts"):
        for task in _tasks(setup, info):
            settings: dict[str, Setting] = {
                "model": info.id, "picture": task.asked.name, "mask": task.mask, "prompt": task.prompt,
                "samples": task.samples, "guidance": task.guidance, "kind": task.kind,
                "seed": task.seed,
            }  # fmt: skip
            out.append(Cell(settings, partial(_run, setup, info.id, task)))
    return out


def _tasks(setup: Setup, info: api.ModelInfo) -> list[_Task]:
    toy, own = info.id.startswith("toy"), str(setup.options["prompts"])
    prompts = tuple(text.strip() for text in own.split(",") if text.strip()) or (TOY if toy else REAL)[1]
    samples = SAMPLES[:1] if dedicated(info) else SAMPLES  # it knows the surroundings without resampling
    scales: tuple[float, ...] = GUIDANCE
    masks, number = list(MASKS), int(setup.options["pictures"])
    if setup.small:
        prompts, scales, masks, number = prompts[:1], GUIDANCE[:2], masks[:1], 1
    ways = [("", 1.0, PLAIN), *((prompt, scale, PLAIN) for prompt in prompts for scale in scales)]
    ways += [(prompt, scale, OURS) for prompt in prompts for scale in scales if scale > 1]
    return [
        _Task(asked, mask, prompt, count, scale, kind, 1)
        for mask in masks
        for asked in questions(toy, mask, number)
        for count in samples
        for prompt, scale, kind in ways
    ]


def _run(setup: Setup, name: str, task: _Task, live: Live) -> Result:
    model = setup.load(name)
    if task.kind == PLAIN:
        model = plainly(model)
    steps, length = (6, 2) if setup.small else (STEPS, JUMP)
    job = task.asked.job(
        model, task.seed, prompt=task.prompt, guidance=task.guidance, steps=steps, jump_length=length,
        jump_samples=task.samples,
    )  # fmt: skip
    picture, numbers = answered(live, task.asked, model, job)
    numbers |= {"asked": colour_asked(picture, task), "rim": rim_error(picture, task.asked)}
    return Result(numbers, {"result": picture, "original": task.asked.truth})


def colour_asked(picture: np.ndarray, task: _Task) -> Number:
    """Share of the hole in the colour that the prompt names; None where it names none."""
    hue = next((HUES[word] for word in task.prompt.split() if word in HUES), None)
    if hue is None:
        return None
    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)[task.asked.new].astype(int)
    away = np.abs((hsv[:, 0] - hue + 90) % 180 - 90)
    return float(((away <= NEAR_HUE) & (hsv[:, 1] > 255 * VIVID)).mean())


def rim_error(picture: np.ndarray, asked: Question) -> float:
    """Mean absolute difference, 0 … 255, from the truth in the hole's outermost pixels beside known ones."""
    new = asked.new.astype(np.uint8)
    rim = asked.new & (cv2.erode(new, np.ones((2 * RIM + 1,) * 2), borderType=cv2.BORDER_REPLICATE) == 0)
    return float(np.abs(picture[rim].astype(float) - asked.truth[rim]).mean())


def _conclude(notebook: Notebook) -> list[Section]:
    out = []
    for model in names(notebook.records, "model"):
        rows: list[list[Value]] = []
        for samples, some in groups(notebook.find(model=model), "samples").items():
            for guidance, records in groups(some, "guidance").items():
                for words, group in _by_words(records):
                    figures = [mean(group, name) for name in ("calls", "asked", "rim", "seam", "st_lpips_alex")]
                    rows.append([samples, guidance, words, len(group), _seen(group), *figures])
        head = ["samples", "guidance", "prompt", "pictures", "seen in", "calls", "asked", "rim", "seam", "ST-LPIPS"]
        caption = (
            "Asked: share of the hole in the colour asked for; seen in: share of the pictures in which it is 5 % or "
            "more. Rim: difference from the ground in the hole's outermost 6 px, of 255."
        )
        out.append(Section(model, "", [*_claims(notebook, model), Table(head, rows, caption)]))
    out.append(Section("Guidance against resampling", "", [_plot(notebook, "rim"), _plot(notebook, "asked")]))
    out.append(Section("Tables 7 and 8", "", [_grid(notebook)]))
    return out


def _by_words(records: list[Record]) -> list[tuple[str, list[Record]]]:
    """Without a prompt, and with one by the kind of guidance."""
    with_words = [record for record in records if record.settings["prompt"]]
    without = [record for record in records if not record.settings["prompt"]]
    kinds = {f"asked, guided {kind}": group for kind, group in groups(with_words, "kind").items()}
    return [(title, group) for title, group in {"none": without, **kinds}.items() if group]


def _seen(records: list[Record]) -> float | None:
    shares = [share for share in (record.number("asked") for record in records) if share is not None]
    return float(np.mean([share >= SEEN for share in shares])) if shares else None


def _asked(notebook: Notebook, model: str, samples: int, guidance: float) -> list[Record]:
    found = notebook.find(model=model, samples=samples, guidance=guidance, kind=PLAIN)
    return [record for record in found if record.settings["prompt"]]


def _claims(notebook: Notebook, model: str) -> list[Claim]:
    out = []
    counts = sorted(names(notebook.find(model=model), "samples"))
    strong = max(names(notebook.find(model=model), "guidance"))
    bare, often = (_asked(notebook, model, count, strong) for count in (counts[0], counts[-1]))
    if len(counts) > 1 and bare and often and None not in (_seen(bare), _seen(often)):
        holds = "holds" if (_seen(often) or 0) < (_seen(bare) or 0) - 0.1 else "does not hold"
        found = (
            f"At guidance {strong:g} the colour asked for is seen in {_seen(bare):.0%} without and in "
            f"{_seen(often):.0%} with {counts[-1]} samples a jump; rim error {mean(bare, 'rim'):.1f} and "
            f"{mean(often, 'rim'):.1f}."
        )
        out.append(
            Claim("Guidance fights against the homogenization of resampling: prompts are ignored.", holds, found)
        )
    plain = [notebook.find(model=model, samples=count, prompt="") for count in counts]
    if len(counts) > 1 and plain[0] and plain[-1]:
        before, after = mean(plain[0], "rim") or 0.0, mean(plain[-1], "rim") or 0.0
        found = f"Without a prompt the rim error is {before:.1f} without and {after:.1f} with resampling."
        out.append(
            Claim(
                "Resampling is necessary to match the original's style.",
                "holds" if after < before else "does not hold",
                found,
            )
        )
    return out


def _plot(notebook: Notebook, name: str) -> Plot:
    lines = {}
    for model in names(notebook.records, "model"):
        for samples, group in groups(notebook.find(model=model), "samples").items():
            for kind in (PLAIN, OURS):
                asked = [record for record in group if record.settings["prompt"] and record.settings["kind"] == kind]
                lines[f"{model}, {samples} samples, {kind}"] = line(asked, "guidance", name)
    return Plot(lines, "guidance", "rim error, of 255" if name == "rim" else "share in the colour asked for")


def _grid(notebook: Notebook) -> Pictures:
    columns = sorted({tuple(record.settings[name] for name in COLUMNS) for record in notebook.records})
    found: dict[str, dict[tuple[Setting, ...], Record]] = {}
    for record in notebook.records:
        kept = record.settings
        title = ", ".join(str(kept[name]) for name in ("model", "picture", "mask")) + f", “{kept['prompt']}”"
        found.setdefault(title, {})[tuple(kept[name] for name in COLUMNS)] = record
    rows: list[tuple[str, list[np.ndarray | None]]] = []
    for title, group in found.items():
        original = next(iter(group.values())).picture("original")
        cells = [group[column].picture("result") if column in group else None for column in columns]
        rows.append((title, [original, *cells]))
    return Pictures(
        ["original", *(f"{samples} samples, guidance {scale}, {kind}" for samples, scale, kind in columns)], rows
    )


EXPERIMENT = Experiment(
    "latent",
    "Prompts and resampling of latent models (§ 4.2)",
    "Resampling is necessary to match the style, and classifier-free guidance fights against it: prompts are ignored.",
    _cells,
    _conclude,
    (
        Option("pictures", 2, "grounds for the toy model"),
        Option("prompts", "", "separated by commas; default: the report's, and for the toy what it knows"),
    ),
)
