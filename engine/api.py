"""What the worker and the command line use: one request object in, a generator of events out.

>>> model = load_model("texture")
>>> for event in run(Job(image, selection, seed=1), model):
...     if isinstance(event, Step): show(event.preview())
...     elif isinstance(event, Finished): keep(event.layer())

Same request, seed, device, thread count and version → same pixels, whether previews are taken or not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
import torch

from engine import canvas
from engine.canvas import Geometry, Wraps, seam, stages
from engine.errors import BadInput, EngineError
from engine.exemplar import SIDE, Exemplar, octave_run
from engine.learning import Learning, adapt
from engine.models import Model, ModelInfo, catalogue, digest, exhausted
from engine.models import load as load_model
from engine.run import (
    Cache,
    Event,
    Finished,
    Job,
    Kept,
    Note,
    OctavePlace,
    Pause,
    Step,
    branched,
    calls_left,
    checked_selection,
    resolve,
    seeds,
)
from engine.sampling import (
    DEFAULT_PRESET,
    PRESETS,
    Anchor,
    Diffusion,
    Entered,
    Guidance,
    Guide,
    Network,
    Noise,
    Preset,
    Settings,
    State,
    conditioned,
    corrected,
    left_out,
    repaint,
    schedule,
    windowed,
)

__all__ = [
    "DEFAULT_PRESET",
    "PRESETS",
    "EngineError",
    "Finished",
    "Job",
    "Kept",
    "Learning",
    "Model",
    "ModelInfo",
    "Note",
    "Pause",
    "Preset",
    "Step",
    "catalogue",
    "load_model",
    "resolve",
    "resume",
    "run",
    "warm_up",
]

log = logging.getLogger(__name__)

KEPT_STATES = 20
SMALL_AREA, SMALL_SELECTION = 180 * 180, 8000
"""Pixels of selection and surroundings, and of the selection alone, up to which the exemplar model compares every patch
with all others, so that nothing is repeated; the octaves of :mod:`engine.exemplar.octave_run` copy pieces, but cost
the same for any number of them."""
ATTEMPTS, LARGE_ATTEMPTS = 6, 3
"""How often a tile is painted at most, where its seam shows; and one that is painted octave by octave."""
ATTEMPT_DRAWS = 1 << 32
"""Noise draws set apart for each, so that none repeats another's noise and a kept state tells which one it is of."""
SEAM_SHOWS = "The seam of a tile would have shown, so it was painted again."
SMALLER_PARTS = "Memory was short, so this was painted in smaller parts; a smaller selection may look better."


def run(job: Job, model: Model, cache: Cache | None = None) -> Iterator[Learning | Event]:
    """Run a job; stop iterating to cancel, in effect after the network call in progress.

    With ``job.learn`` come :class:`Learning` events first, the last of them with ``done`` = 1; only that when the cache
    of learned weights has what the job needs.

    Into ``cache``, where given, go about :data:`KEPT_STATES` states of each variant, evenly spread over the run.

    On a CPU every variant is a run of its own and they take turns, so that each is bit for bit the single run with its
    seed; on CUDA they share one batch, with the same noise.

    Raises:
        EngineError: before the first event for bad input; later for a failing model or too little memory.
    """
    resolve(job)
    if model.info.id != job.model:
        raise BadInput("model_missing", f"The model {job.model!r} is not loaded.")
    if job.learn is not None:
        unknown, scale = checked_selection(job) > 0, job.scale or 1.0
        learned = yield from adapt.learn(job.image, unknown, model, job.learn, scale=scale)
        model = adapt.with_learned(model, learned)
    attempts = 1
    if job.wrap and model.geometry.any_scale:
        attempts = LARGE_ATTEMPTS if _by_octaves(job, model) else ATTEMPTS
    yield from _keeping(_execute(job, model, seeds(job.seed, job.variants), attempts), cache)


def resume(
    kept: Kept,
    model: Model,
    seed: int | None = None,
    variants: int = 1,
    jump: int | str | None = None,
    times: int = 1,
    late: bool = False,
    cache: Cache | None = None,
) -> Iterator[Event]:
    """Go on from a kept state, or branch from it.

    Without further arguments the run goes on as if it had not been interrupted. ``seed`` (and ``variants``) branch it
    with other noise from here on; ``jump``, ``times`` and ``late`` as in :func:`engine.run.states.branched`; ``cache``
    as in :func:`run`.

    Raises:
        EngineError: as :func:`run`; also a state of another model, or of learned weights that are gone.
    """
    if kept.job.learn is not None:
        unknown, scale = checked_selection(kept.job) > 0, kept.job.scale or 1.0
        learned = adapt.recall(kept.job.image, unknown, model, kept.job.learn, scale)
        if learned is None:
            raise BadInput("bad_state", "What this run had learned of the picture is no longer here; run it anew.")
        model = adapt.with_learned(model, learned)
    if digest(model.info) != kept.digest:
        raise BadInput("bad_state", f"This state was made with another model than {model.info.title}; run it anew.")
    chosen = seeds(kept.seed if seed is None else seed, variants)
    attempts = kept.attempts if jump is None and chosen == [kept.seed] else 1  # a branch is what it is
    if jump is not None:
        kept = branched(kept, jump, times, late)
    if kept.remaining < 1:
        raise BadInput("bad_state", "This state is the end of its run; branch from an earlier one.")
    yield from _keeping(_execute(kept.job, model, chosen, attempts, kept), cache)


def _keeping(events: Iterator[Event], cache: Cache | None) -> Iterator[Event]:
    last: dict[int, int] = {}  # which part of the way of each variant the step before lay in
    for event in events:
        if cache is not None and isinstance(event, Step) and event.call < event.calls:
            part = event.call // max(1, event.calls // KEPT_STATES)
            if part > last.get(event.variant, 0):
                cache.put(event.variant, event.keep())
            last[event.variant] = part
        yield event


@dataclass(frozen=True)
class Attempt:
    """Which one of ``most`` it is at most, 0 …, what was spent by the ones before it, and when the first one began."""

    number: int
    most: int
    began: float
    calls: int = 0
    windows: int = 0


def _execute(job: Job, model: Model, seeds: list[int], attempts: int, start: Kept | None = None) -> Iterator[Event]:
    """All variants. Tiles whose seam shows are painted again with other noise, at most ``attempts`` times in all."""
    attempt = Attempt(start.state.draws // ATTEMPT_DRAWS if start else 0, attempts, time.monotonic())
    todo = list(range(len(seeds)))
    while todo:
        again, shown = [], attempt
        paint = _octaves if _by_octaves(job, model) else _stages
        for event in paint(job, model, [seeds[k] for k in todo], attempt, start):
            if isinstance(event, Step | Finished):
                event = replace(event, variant=todo[event.variant])
            if isinstance(event, Finished) and attempt.number + 1 < attempts and _seam_shows(job, event):
                again.append(event.variant)
                shown = replace(attempt, number=attempt.number + 1, calls=event.calls, windows=event.windows)
            elif attempt.calls == 0 or not isinstance(event, Note):  # what there is to tell has been told
                yield event
        todo, attempt, start = again, shown, None
        if todo:
            yield Note(SEAM_SHOWS)


def _seam_shows(job: Job, finished: Finished) -> bool:
    tile = canvas.over(job.image[..., :3], finished.layer())
    return seam.tile_seam_jump(tile, job.wrap, job.selection > 0) > seam.SHOWS_ABOVE


def _stages(job: Job, model: Model, seeds: list[int], attempt: Attempt, start: Kept | None) -> Iterator[Event]:
    """All stages; each takes as known what the ones before it painted.

    ``start``: where to go on; its stage walks its schedule with its settings, the later ones those of the job.
    """
    selection = checked_selection(job)
    interval = (job.guidance_start, job.guidance_stop)
    guide = model.guide(job.prompt, job.negative, job.guidance, interval, job.pag_scale)
    note = left_out([guide.words, guide.against]) if guide else ""
    if note:
        yield Note(note)
    near = canvas.surroundings(selection, job.padding, job.wrap)
    small = replace(job, image=job.image[near.slices], selection=selection[near.slices])
    order = stages.order(small.selection, small.image[..., 3] == 255, model.geometry, job.wrap)
    region, last = canvas.bounds(selection), int(order.max())
    first, made, draws = 0, attempt.calls, attempt.number * ATTEMPT_DRAWS
    if start is not None:
        first, made, draws = start.stage, start.before, start.state.draws
    windows = attempt.windows
    nothing = np.zeros((region.height, region.width, 3), np.float32)
    painted = [nothing if start is None or start.painted is None else start.painted] * len(seeds)
    made_of: dict[float, Exemplar] = {}
    plan = resolve(job)
    own, told, most = plan[1].calls(plan[0]), False, attempt.most
    for stage in range(first, last + 1):
        here = start if stage == first else None
        resumed = here.state if here else None
        levels, settings = (here.schedule, here.settings) if here else plan
        calls = here.state.call + here.left if here else own
        after, after_this = (last - stage) * own, list(painted)
        shown = np.where(order <= stage, small.selection, 0)
        if resumed is not None and resumed.call == calls:  # kept at the end of a stage
            part = stages.part(small.image, order, stage, model.geometry, job.padding, job.scale, job.wrap)
            painted = [part.put(each, _leave(model, part, each, resumed.x)) for each in painted]
            made += calls
            continue
        for event in _stage(
            small, model, guide, order, stage, painted, levels, settings, seeds, draws, resumed, made_of
        ):
            if isinstance(event, Note):
                if not told:
                    yield event
                told = True
                continue
            variant, part, state, place = event
            estimate = state.x0_hat[place : place + 1]
            preview = partial(_layer, model, part, painted[variant], estimate, shown, near, selection.shape)
            before = painted[variant] if stage else None
            keeper = partial(
                _kept, job, model.info, levels, settings, seeds[variant], state, place, stage, made, after, before, most
            )
            seconds = time.monotonic() - attempt.began
            yield Step(variant, made + state.call, made + calls + after, seconds, preview, keeper)
            if state.call == calls:
                draws = state.draws
                done = _leave(model, part, painted[variant], state.x[place : place + 1])
                after_this[variant] = part.put(painted[variant], done)
                if variant == 0:
                    windows += _evaluations(model, guide, levels, settings) * len(part.plan.windows)
                if stage == last:
                    seconds = time.monotonic() - attempt.began
                    yield Finished(
                        variant, seeds[variant], made + calls, seconds, after_this[variant], region, windows, selection
                    )
        painted, made = after_this, made + calls


def _octaves(job: Job, model: Model, seeds: list[int], attempt: Attempt, start: Kept | None) -> Iterator[Event]:
    """All octaves of a model that is the picture itself (:mod:`engine.exemplar.octave_run`); arguments as of
    :func:`_stages`."""
    selection = checked_selection(job)
    model.guide(job.prompt, job.negative, job.guidance, (job.guidance_start, job.guidance_stop), job.pag_scale)
    model.label_number(job.label)
    near = canvas.surroundings(selection, job.padding, job.wrap)
    part, wanted = job.image[near.slices], selection[near.slices] > 0
    known = ~wanted & (part[..., 3] == 255)
    levels, settings = resolve(job)
    plan = levels, replace(settings, models_eta=False)
    with _memory():
        pixels = part[..., :3].astype(np.float32)
        pixels /= 127.5
        pixels -= 1
        scale = canvas.checked_scale(job.scale, near) if job.scale else 1.0
        wraps, more = canvas.axes(job.wrap), PRESETS[job.preset].finer
        run = octave_run.Run(pixels, known, wanted, wraps, model.device, scale, more)
        del pixels
    begun, draws = None, attempt.number * ATTEMPT_DRAWS
    if start is not None:
        assert start.octave is not None
        begun = octave_run.Begun(
            start.stage, start.state, start.schedule, start.settings, start.octave.matches, start.octave.coarsest
        )
        draws = start.state.draws
    spent = start.before if start is not None else attempt.calls
    moments = run.moments(plan, seeds, draws, begun, spent)
    box = canvas.Box(near.x + run.region.x, near.y + run.region.y, run.region.width, run.region.height)
    calls = attempt.windows
    for moment in _guarded(moments):
        if moment is None:
            yield Pause()
            continue
        calls += moment.variant == 0
        made = moment.before + moment.weight * moment.at.state.call
        total = moment.before + moment.weight * moment.calls + moment.after
        seconds = time.monotonic() - attempt.began
        preview = partial(_octave_layer, moment.fill, selection, box)
        keep = partial(_kept_octave, job, model.info, moment, seeds[moment.variant], attempt.most)
        yield Step(moment.variant, made, total, seconds, preview, keep)
        if moment.done:
            fill = moment.fill()
            yield Finished(moment.variant, seeds[moment.variant], total, seconds, fill, box, calls, selection)


def _guarded(moments: Iterator[octave_run.Moment | None]) -> Iterator[octave_run.Moment | None]:
    while True:
        with _memory(), torch.inference_mode():
            try:
                moment = next(moments)
            except StopIteration:
                return
        yield moment


def _octave_layer(fill: Callable[[], np.ndarray], selection: np.ndarray, box: canvas.Box, _full: bool) -> np.ndarray:
    return canvas.layer(fill(), selection, box)


def _kept_octave(job: Job, info: ModelInfo, moment: octave_run.Moment, seed: int, attempts: int) -> Kept:
    at = moment.at
    state = _map_tensors(at.state, lambda tensor: tensor.cpu().clone())
    octave = OctavePlace(
        moment.weight,
        moment.finer,
        None if at.matches is None else at.matches.copy(),
        None if at.coarsest is None else at.coarsest.cpu(),
    )
    return Kept(
        job, digest(info), at.schedule, at.settings, seed, state, at.stage, moment.before, moment.after,
        attempts=attempts, octave=octave,
    )  # fmt: skip


def _stage(
    job: Job,
    model: Model,
    guide: Guide | None,
    order: np.ndarray,
    stage: int,
    painted: list[np.ndarray],
    levels: schedule.Schedule,
    settings: Settings,
    seeds: list[int],
    draws: int,
    start: State | None,
    made_of: dict[float, Exemplar],
) -> Iterator[Note | tuple[int, stages.Part, State, int]]:
    """One stage of all variants, in turns: (variant, part, state, its row there) after each network call.

    It runs in the roomiest plan; where memory does not suffice for its first call, in smaller ones; a note then comes
    first if the picture is another one for it. ``draws``: of noise already made, so that no stage repeats the noise of
    another.
    """
    label, resolved = model.label_number(job.label), model.settings(settings)
    failed: tuple[object, ...] = ()
    for geometry, together in _plans(model, len(seeds)):
        part = stages.part(job.image, order, stage, geometry, job.padding, job.scale, job.wrap)
        at_once = min(part.plan.batch, len(part.plan.windows))
        layout = part.plan.size, part.plan.windows, at_once, together
        if layout == failed:  # it is no smaller
            continue
        inputs = [part.model_input(each) for each in (painted if stage else painted[:1])]
        y, keep = torch.cat([each for each, _ in inputs]).to(model.device), inputs[0][1].to(model.device)
        with _memory():
            entered = model.space.enter(y, keep, part.plan.wraps)
        y = entered.y if stage else entered.y.expand(len(seeds), -1, -1, -1)
        if start is not None and start.x.shape[1:] != y.shape[1:]:
            raise BadInput("bad_state", "This state does not fit its picture; run it anew.", f"{start.x.shape}")
        if model.exemplar is not None:
            network = _of_itself(model, job, order, part.plan, entered, made_of)
        else:
            network = conditioned(
                model.predict,
                label if guide is None else guide,
                entered.keep,
                entered.beside,
                len(model.alpha_bar),
                partial(windowed, plan=part.plan.cells(model.space.factor)),
            )
        sampler = partial(
            corrected if settings.corrections else repaint,
            network,
            schedule=levels,
            keep=entered.keep,
            settings=resolved,
            guidance=_guidance(model, label, job.classifier_scale, part.plan),
        )
        rows = [range(k, min(k + together, len(seeds))) for k in range(0, len(seeds), together)]
        runs = []
        for row in rows:
            known = y[row.start : row.stop]
            diffusion = _diffusion(model, levels.steps, resolved, known, entered.keep, part.plan.wraps)
            runs.append(_sample(partial(sampler, diffusion=diffusion), known, [seeds[k] for k in row], draws, start))
        try:
            probe = next(runs[0])
            break
        except EngineError as error:
            if error.code != "out_of_memory":
                raise
            failed = layout
            log.warning("out of memory with %d windows of %d: %s", at_once, geometry.window, error.details)
    else:
        raise _out_of_memory("in the smallest plan")
    if geometry.window < model.geometry.window:
        yield Note(SMALLER_PARTS)
    first = start.call + 1 if start else 1
    calls = start.call + calls_left(start, levels, settings) if start else settings.calls(levels)
    for call in range(first, calls + 1):
        for row, run in zip(rows, runs, strict=True):
            state = probe if call == first and run is runs[0] else next(run)
            for place, variant in enumerate(row):
                yield variant, part, state, place


def _diffusion(
    model: Model, steps: int, settings: Settings, y: torch.Tensor, keep: torch.Tensor, wraps: Wraps
) -> Diffusion:
    """The levels of a run of these rows, its estimates held to their surroundings where model and preset want that."""
    diffusion = model.diffusion(steps, settings)
    if not (settings.anchored and model.anchor and keep.any()):
        return diffusion
    return replace(diffusion, hold=Anchor.of(y, keep, model.anchor, wraps))


def _of_itself(
    model: Model, job: Job, order: np.ndarray, plan: canvas.Plan, entered: Entered, made_of: dict[float, Exemplar]
) -> Network:
    """The denoiser made of the picture's own known pixels, all of those that the job can look at.

    ``made_of``: by scale, for the job's other stages.
    """
    assert model.exemplar is not None
    scale = plan.scaled[1] / plan.region.width
    if scale not in made_of:
        made_of[scale] = model.exemplar(*adapt.known_part(job.image, order >= 0, scale, least=0))
    return made_of[scale].network(entered.y, entered.keep, model.alpha_bar, plan.wraps)


def _by_octaves(job: Job, model: Model) -> bool:
    """Whether the model is the picture itself, and what can be looked at so large that comparing all with all takes too
    long."""
    if model.exemplar is None:
        return False
    selection, scale = checked_selection(job), job.scale or 1.0
    near = canvas.surroundings(selection, job.padding, job.wrap)
    thin = scale * min(near.width, near.height) < 2 * SIDE
    wide = scale**2 * near.width * near.height > SMALL_AREA or scale**2 * np.count_nonzero(selection) > SMALL_SELECTION
    return bool(wide and not thin)


def _evaluations(model: Model, guide: Guide | None, levels: schedule.Schedule, settings: Settings) -> int:
    """Of the network on each window, in one stage."""
    if guide is None:
        return settings.calls(levels)
    timesteps = model.diffusion(levels.steps, model.settings(settings)).timesteps
    return sum(
        (1 + settings.corrections * (t > 0)) * guide.evaluations(int(timesteps[t]), len(model.alpha_bar))
        for t, s in pairwise(levels.levels)
        if s < t
    )


def _plans(model: Model, variants: int) -> list[tuple[Geometry, int]]:
    """Geometries and variants per batch, the roomiest first: then one window a call, which gives the same picture, then
    smaller windows; only models of more than one size take these."""
    batches = [variants, 1] if model.device.type == "cuda" and variants > 1 else [1]
    plans = [(model.geometry, batch) for batch in batches]
    if model.exemplar is None:
        plans.append((replace(model.geometry, together=1), 1))
    window = model.geometry.window // 2
    while (
        model.geometry.any_scale
        and model.exemplar is None
        and window >= max(model.geometry.minimum, 2 * model.geometry.multiple)
    ):
        plans.append((replace(model.geometry, window=window, together=1), 1))
        window //= 2
    if model.geometry.most and model.geometry.minimum < model.geometry.window:
        plans.append((replace(model.geometry, window=model.geometry.minimum), 1))
    return plans


def warm_up(model: Model) -> torch.Tensor:
    """One small network call, so that the first click does not pay for lazy initialisation; its output."""
    side, middle = max(model.geometry.minimum, 32), len(model.alpha_bar) // 2
    y = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(model.device)
    if model.exemplar is not None:
        return octave_run.warm_up(model.device)
    entered = model.space.enter(y, torch.ones_like(y[:, :1]))
    guide = model.guide("", "", None, (0.0, 1.0))
    label = 0 if model.labels else None
    steps = len(model.alpha_bar)
    network = conditioned(model.predict, guide or label, entered.keep, entered.beside, steps, lambda network: network)
    return network(entered.y, middle)


@contextmanager
def _memory() -> Iterator[None]:
    """A lack of memory becomes a sentence."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if exhausted(error):
            raise _out_of_memory(str(error)) from error
        raise


@torch.inference_mode()
def _sample(
    sampler: Callable[..., Iterator[State]], y: torch.Tensor, seeds: list[int], draws: int, start: State | None
) -> Iterator[State]:
    """One run of a batch of variants, all from ``start`` (one row); a lack of memory becomes a sentence."""
    if start is not None:
        start = _map_tensors(start, lambda tensor: tensor.to(y.device).expand(len(seeds), -1, -1, -1))
    with _memory():
        yield from sampler(y=y, noise=Noise(seeds, draws), start=start)


def _map_tensors(state: State, change: Callable[[torch.Tensor], torch.Tensor]) -> State:
    drift = None if state.drift is None else change(state.drift)
    return replace(state, x=change(state.x), x0_hat=change(state.x0_hat), drift=drift)


def _kept(
    job: Job,
    info: ModelInfo,
    levels: schedule.Schedule,
    settings: Settings,
    seed: int,
    state: State,
    place: int,
    stage: int,
    before: int,
    after: int,
    painted: np.ndarray | None,
    attempts: int,
) -> Kept:
    row = _map_tensors(state, lambda tensor: tensor[place : place + 1].cpu().clone())
    return Kept(job, digest(info), levels, settings, seed, row, stage, before, after, painted, attempts)


def _guidance(model: Model, label: int | None, scale: float, layout: canvas.Plan) -> Guidance | None:
    """Classifier guidance at scale s, fused over the windows like the network itself."""
    if not 0 <= scale <= 100:
        raise BadInput("bad_guidance", f"The classifier scale must be 0 to 100, not {scale}.")
    gradient = model.classifier_gradient
    if gradient is None or label is None or scale == 0:
        return None
    fused = windowed(lambda x, timestep: gradient(x, timestep, label), layout)
    return lambda x, timestep: scale * fused(x, timestep)


def _leave(model: Model, part: stages.Part, painted: np.ndarray, x: torch.Tensor) -> torch.Tensor:
    """The picture (3, H, W) of one row (1, C, h, w)."""
    with _memory(), torch.inference_mode():
        return model.space.leave(x.to(model.device), part.model_input(painted), part.plan.wraps)[0]


def _out_of_memory(details: str) -> EngineError:
    return EngineError(
        "out_of_memory",
        "There is not enough memory for this selection; select a smaller region or fewer variants.",
        details,
    )


def _layer(
    model: Model,
    part: stages.Part,
    painted: np.ndarray,
    x0_hat: torch.Tensor,
    shown: np.ndarray,
    near: canvas.Box,
    shape: tuple[int, ...],
    full: bool,
) -> np.ndarray:
    """The layer of the whole picture: what ``near`` holds of it, nothing elsewhere."""
    with torch.inference_mode():
        picture = _leave(model, part, painted, x0_hat) if full else model.space.glance(x0_hat, part.plan.wraps)[0]
    out = np.zeros((*shape, 4), np.uint8)
    out[near.slices] = canvas.layer(part.put(painted, picture), shown, part.region)
    return out
