"""What the worker and the command line use: one request object in, a generator of events out.

>>> model = load_model("texture")
>>> for event in run(Job(image, selection, seed=1), model):
...     if isinstance(event, Step): show(event.preview())
...     else: keep(event.layer())

Same request, seed, device, thread count and version → same pixels, whether previews are taken or not.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from engine import canvas, schedule
from engine.errors import BadInput, EngineError
from engine.models import DEFAULT_MODEL, Model, ModelInfo, catalogue
from engine.models import load as load_model
from engine.noise import MAX_SEED, Noise
from engine.presets import DEFAULT_PRESET, PRESETS, Preset
from engine.sampler import Guidance, Settings, State, repaint

__all__ = [
    "DEFAULT_PRESET",
    "PRESETS",
    "EngineError",
    "Finished",
    "Job",
    "Model",
    "ModelInfo",
    "Preset",
    "Step",
    "catalogue",
    "load_model",
    "resolve",
    "run",
    "warm_up",
]

MAX_VARIANTS = 64


@dataclass(frozen=True)
class Job:
    """All that defines a result.

    Attributes:
        image: (H, W, 4) uint8, straight-alpha sRGB; transparent pixels are unknown, never black.
        selection: (H, W) uint8, 255 = repaint; a pixel is known only where it is 0.
        model: id from the catalogue; checked against the model that runs it.
        preset: name from :data:`PRESETS`; the fields after it override single values.
        seed: 0 … 2^53 − 1, drawn if None; variant k is the single run with seed + k.
        variants: 1 … 64.
        schedule: a name of :data:`engine.schedule.NAMED`, or a hand-written list of levels.
        label: class of a class-conditional model, by name or number.
        classifier_scale: s of classifier guidance, 0 … 100; acts only where the model comes with a classifier.
        hard: selection without soft edge: everything from 128 up is 255, the rest 0.
    """

    image: np.ndarray
    selection: np.ndarray
    model: str = DEFAULT_MODEL
    preset: str = DEFAULT_PRESET
    seed: int | None = None
    variants: int = 1
    steps: int | None = None
    jump_length: int | None = None
    jump_samples: int | None = None
    start_resampling: int | None = None
    schedule: str | tuple[int, ...] = "uniform"
    label: str | int | None = None
    classifier_scale: float = 1.0
    hard: bool = False


@dataclass(frozen=True)
class Step:
    """After one network call of one variant (0-based). ``seconds`` is the time since the run began."""

    variant: int
    call: int
    calls: int
    seconds: float
    _preview: Callable[[], np.ndarray] = field(repr=False)

    def preview(self) -> np.ndarray:
        """The present estimate as a layer, (H, W, 4) uint8, A = selection. Costs only when called."""
        return self._preview()


@dataclass(frozen=True)
class Finished:
    """A variant is done: its seed, its calls and its pixels.

    Attributes:
        fill: the region's own colour, (region.height, region.width, 3) float32 in [0, 1].
        plan: where the region lies.
    """

    variant: int
    seed: int
    calls: int
    seconds: float
    fill: np.ndarray = field(repr=False)
    plan: canvas.Plan = field(repr=False)
    selection: np.ndarray = field(repr=False)

    def layer(self) -> np.ndarray:
        """(H, W, 4) uint8: the fill's uncomposited colour, A = selection."""
        return canvas.layer(self.fill, self.selection, self.plan)


def resolve(job: Job) -> tuple[schedule.Schedule, Settings]:
    """The schedule and the sampler settings that a job asks for.

    Raises:
        BadInput: unknown preset, values out of range, malformed schedule.
    """
    if job.preset not in PRESETS:
        raise BadInput("bad_preset", f"There is no preset named {job.preset!r}; choose one of {', '.join(PRESETS)}.")
    preset = PRESETS[job.preset]
    if not isinstance(job.schedule, str):
        return schedule.Schedule(job.schedule), preset.settings
    values = (
        _default(job.steps, preset.steps),
        _default(job.jump_length, preset.jump_length),
        _default(job.jump_samples, preset.jump_samples),
    )
    return schedule.named(job.schedule, *values, job.start_resampling), preset.settings


def run(job: Job, model: Model) -> Iterator[Step | Finished]:
    """Run a job; stop iterating to cancel, in effect after the network call in progress.

    On a CPU every variant is a run of its own and they take turns, so that each is bit for bit the single run with its
    seed; on CUDA they share one batch, with the same noise.

    Raises:
        EngineError: before the first event for bad input; later for a failing model or too little memory.
    """
    levels, settings = resolve(job)
    seeds = _seeds(job)
    if model.info.id != job.model:
        raise BadInput("model_missing", f"The model {job.model!r} is not loaded.")
    selection = job.selection
    if job.hard:
        selection = np.where(selection >= 128, 255, 0).astype(np.uint8)
    canvas.check(job.image, selection)
    layout = canvas.plan(selection, model.geometry)
    y, keep = canvas.model_input(job.image, selection, layout)
    label = model.label_number(job.label)
    network = canvas.windowed(partial(_predict, model, label), layout)
    guidance = _guidance(model, label, job.classifier_scale, layout)
    rows = [range(job.variants)] if model.device.type == "cuda" else [range(k, k + 1) for k in range(job.variants)]
    runs = [
        _variants(
            partial(repaint, network, model.diffusion(levels.steps), levels, settings=settings, guidance=guidance),
            y.to(model.device),
            keep.to(model.device),
            [seeds[k] for k in row],
        )
        for row in rows
    ]
    began = time.monotonic()
    for _ in range(levels.calls):
        for row, states in zip(rows, runs, strict=True):
            state = next(states)
            for place, variant in enumerate(row):
                preview = partial(_layer, state.x0_hat[place], selection, layout)
                yield Step(variant, state.call, levels.calls, time.monotonic() - began, preview)
                if state.call == levels.calls:
                    fill = canvas.picture_fill(state.x[place], layout)
                    yield Finished(
                        variant, seeds[variant], levels.calls, time.monotonic() - began, fill, layout, selection
                    )


def warm_up(model: Model) -> None:
    """One small network call, so that the first click does not pay for lazy initialisation."""
    side = model.geometry.minimum
    label = 0 if model.labels else None
    model.predict(torch.zeros(1, 3, side, side, device=model.device), len(model.alpha_bar) - 1, label)


def _variants(
    sampler: Callable[..., Iterator[State]], y: torch.Tensor, keep: torch.Tensor, seeds: list[int]
) -> Iterator[State]:
    """One run of a batch of variants; a lack of memory becomes a sentence."""
    try:
        with torch.inference_mode():
            yield from sampler(y.expand(len(seeds), -1, -1, -1), keep, Noise(seeds))
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise _out_of_memory(str(error)) from error
    except RuntimeError as error:
        if "can't allocate memory" in str(error):
            raise _out_of_memory(str(error)) from error
        raise


def _predict(model: Model, label: int | None, x: torch.Tensor, timestep: int) -> torch.Tensor:
    return model.predict(x, timestep, label)


def _guidance(model: Model, label: int | None, scale: float, layout: canvas.Plan) -> Guidance | None:
    """Classifier guidance at scale s, fused over the windows like the network itself."""
    if not 0 <= scale <= 100:
        raise BadInput("bad_guidance", f"The classifier scale must be 0 to 100, not {scale}.")
    gradient = model.classifier_gradient
    if gradient is None or label is None or scale == 0:
        return None
    fused = canvas.windowed(lambda x, timestep: gradient(x, timestep, label), layout)
    return lambda x, timestep: scale * fused(x, timestep)


def _out_of_memory(details: str) -> EngineError:
    return EngineError(
        "out_of_memory",
        "There is not enough memory for this selection; select a smaller region or fewer variants.",
        details,
    )


def _seeds(job: Job) -> list[int]:
    if not 1 <= job.variants <= MAX_VARIANTS:
        raise BadInput("bad_variants", f"The number of variants must be 1 to {MAX_VARIANTS}, not {job.variants}.")
    last = MAX_SEED - job.variants + 1
    first = secrets.randbelow(last + 1) if job.seed is None else job.seed
    if not 0 <= first <= last:
        raise BadInput("bad_seed", f"The seed must be 0 to {last}, not {first}.")
    return list(range(first, first + job.variants))


def _layer(x0_hat: torch.Tensor, selection: np.ndarray, layout: canvas.Plan) -> np.ndarray:
    return canvas.layer(canvas.picture_fill(x0_hat, layout), selection, layout)


def _default(value: int | None, preset: int) -> int:
    return preset if value is None else value
