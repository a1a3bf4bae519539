"""``lab diffusers``, the report's § 4.1 and Table 7: this engine beside diffusers' own RePaint, without and with
resampling, on the same network.

diffusers' scheduler departs from the paper in its undo, its variance and its first levels; tests hold it against the
closed form. A network that predicts something else is told to it as one that predicts the noise.
"""

from __future__ import annotations

import time
import warnings
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from engine import api
from engine.lab.experiment import Cell, Experiment, Live, Number, Option, Result, Setting, Setup
from engine.lab.notebook import Notebook, Record
from engine.lab.questions import SIDE, Question, answered, mean, names, questions, scores, side
from engine.lab.report import Claim, Pictures, Section, Table, Value
from engine.sampling import schedule

STEPS, JUMP = 50, 10
SAMPLES = (1, 5)
"""Without and with resampling."""
WAYS = ("this engine", "diffusers")
MEASURES = ("st_lpips_alex", "lpips_alex", "ssim", "seam", "spread")


class _AsNoise(torch.nn.Module):
    """A model as the network that diffusers' pipeline expects: x_t and t → ε̂."""

    dtype = torch.float32

    def __init__(self, model: api.Model, live: Live, calls: int) -> None:
        super().__init__()
        self.device, self._model, self._live, self._calls, self.made = model.device, model, live, calls, 0
        self._label = 0 if model.labels and not model.label_optional else None

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> SimpleNamespace:
        raw = self._model.predict(x, int(t), self._label)[:, :3]
        signal = float(self._model.alpha_bar[int(t)])
        noise = 1 - signal
        self.made += 1
        self._live.step(self.made, self._calls)
        if self._model.prediction == "v_prediction":
            raw = signal**0.5 * raw + noise**0.5 * x
        elif self._model.prediction == "sample":
            raw = (x - signal**0.5 * raw) / noise**0.5
        return SimpleNamespace(sample=raw)


def theirs(
    asked: Question, model: api.Model, levels: tuple[int, int, int], seed: int, live: Live
) -> tuple[np.ndarray, int]:
    """What ``RePaintPipeline`` paints, (H, W, 3) uint8 as it comes, and its network calls."""
    warnings.simplefilter("ignore", FutureWarning)
    from diffusers import RePaintScheduler
    from diffusers.pipelines.deprecated import RePaintPipeline

    alpha_bar = np.asarray(model.alpha_bar, np.float64)
    betas = 1 - alpha_bar / np.concatenate([[1.0], alpha_bar[:-1]])
    scheduler = RePaintScheduler(len(alpha_bar), trained_betas=betas.astype(np.float32))
    steps, length, samples = levels
    network = _AsNoise(model, live, schedule.uniform(steps, length, samples).calls)
    pipeline: Any = RePaintPipeline(network, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    picture = torch.from_numpy(asked.holed.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    keep = torch.from_numpy((asked.selection == 0).astype(np.float32))[None, None]
    shown = pipeline(
        image=picture, mask_image=keep, num_inference_steps=steps, jump_length=length, jump_n_sample=samples,
        generator=torch.Generator(model.device).manual_seed(seed), output_type="np",
    ).images[0]  # fmt: skip
    return np.rint(shown * 255).astype(np.uint8), network.made


def _cells(setup: Setup) -> list[Cell]:
    steps, length, samples = (6, 2, (1, 2)) if setup.small else (STEPS, JUMP, SAMPLES)
    out = []
    count = 1 if setup.small else int(setup.options["pictures"])
    for info in setup.models(lambda info: info.family == "diffusers-pixel", "network in diffusers' layout"):
        for asked in questions(count, side(setup, info)):
            for number in samples:
                for way in WAYS:
                    settings: dict[str, Setting] = {
                        "model": info.id, "picture": asked.name, "way": way, "samples": number, "steps": steps,
                        "jump": length, "seed": 1,
                    }  # fmt: skip
                    out.append(Cell(settings, partial(_run, setup, info.id, asked, way, (steps, length, number))))
    return out


def _run(setup: Setup, name: str, asked: Question, way: str, levels: tuple[int, int, int], live: Live) -> Result:
    model, (steps, length, samples) = setup.load(name), levels
    pictures = {"original": asked.truth, "given": asked.holed}
    if way == WAYS[0]:
        job = asked.job(model, 1, steps=steps, jump_length=length, jump_samples=samples)
        picture, numbers = answered(live, asked, model, job)
        return Result(numbers, {"result": picture} | pictures)
    began = time.monotonic()
    raw, calls = theirs(asked, model, levels, 1, live)
    seconds = time.monotonic() - began
    known = ~asked.new
    picture = np.where(asked.new[..., None], raw, asked.truth)
    changed = float(np.abs(raw[known].astype(float) - asked.truth[known]).mean())
    cost: dict[str, Number] = {"calls": calls, "seconds": seconds, "known_changed": changed}
    return Result(cost | scores(picture, asked), {"result": picture} | pictures)


def _conclude(notebook: Notebook) -> list[Section]:
    out = []
    for model in names(notebook.records, "model"):
        kept = [name for name in MEASURES if mean(notebook.find(model=model), name) is not None]
        rows: list[list[Value]] = []
        for samples in names(notebook.find(model=model), "samples"):
            for way in WAYS:
                group = notebook.find(model=model, samples=samples, way=way)
                figures = [mean(group, name) for name in ("calls", "seconds", *kept, "known_changed")]
                rows.append([way, samples, len(group), *figures])
        head = ["", "samples", "pictures", "calls", "seconds", *kept, "known pixels changed by, of 255"]
        out.append(Section(model, "", [*_claims(notebook, model), Table(head, rows, "Means over the pictures.")]))
    out.append(Section("Table 7", "", [_grid(notebook)]))
    return out


def _claims(notebook: Notebook, model: str) -> list[Claim]:
    counts = sorted(names(notebook.find(model=model), "samples"))
    out = []
    for way in WAYS:
        few, many = (notebook.find(model=model, way=way, samples=count) for count in (counts[0], counts[-1]))
        values = [mean(group, "st_lpips_alex") for group in (few, many)]
        seams = [mean(group, "seam") for group in (few, many)]
        if len(counts) < 2 or None in values or None in seams:
            continue
        better = values[1] < values[0]  # type: ignore[operator]
        found = (
            f"{way}: ST-LPIPS {values[0]:.3f} without, {values[1]:.3f} with; seam {seams[0]:.2f} and {seams[1]:.2f} of "
            "the truth's own."
        )
        out.append(
            Claim("Resampling is what makes pictures of better quality.", "holds" if better else "does not hold", found)
        )
    return out


def _grid(notebook: Notebook) -> Pictures:
    columns = [(way, samples) for samples in sorted(names(notebook.records, "samples")) for way in WAYS]
    rows: list[tuple[str, list[np.ndarray | None]]] = []
    for model in names(notebook.records, "model"):
        for picture in names(notebook.find(model=model), "picture"):
            group: dict[tuple[Any, Any], Record] = {
                (each.settings["way"], each.settings["samples"]): each
                for each in notebook.find(model=model, picture=picture)
            }
            first = next(iter(group.values()))
            cells = [group[column].picture("result") if column in group else None for column in columns]
            rows.append((f"{model}, {picture}", [first.picture("original"), first.picture("given"), *cells]))
    return Pictures(["original", "given", *(f"{way}, {samples} samples" for way, samples in columns)], rows)


EXPERIMENT = Experiment(
    "diffusers",
    "Beside diffusers' own RePaint (§ 4.1)",
    "diffusers makes RePaint straightforward, and resampling is what makes the pictures better.",
    _cells,
    _conclude,
    (
        Option("pictures", 2, "pictures, each with another mask"),
        SIDE,
    ),
)
