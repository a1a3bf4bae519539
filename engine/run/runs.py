"""A job from its first event to its last: learning where it asks for it, attempts at tiles, states that are kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch

from engine import canvas
from engine.canvas import seam
from engine.errors import BadInput
from engine.exemplar import octave_run
from engine.learning import Learning, adapt
from engine.models import Model, digest, within_memory
from engine.run import by_octaves, figures
from engine.run.events import Event, Finished, Note, Step
from engine.run.job import Job, seeds
from engine.run.painting import ATTEMPT_DRAWS, ATTEMPTS, LARGE_ATTEMPTS, Attempt, Painting
from engine.run.staged import Staged
from engine.run.states import Cache, Kept, branched, not_its_own
from engine.sampling import Preset, conditioned

KEPT_STATES = 20
SEAM_SHOWS = "The seam of a tile would have shown, so it was painted again."


def run(job: Job, model: Model, cache: Cache | None = None, preset: Preset | None = None) -> Iterator[Learning | Event]:
    """Run a job; stop iterating to cancel, in effect after the network call in progress.

    With ``job.learn`` come :class:`Learning` events first, the last of them with ``done`` = 1; only that when the cache
    of learned weights has what the job needs.

    ``preset`` stands in place of the one that the job names, for trials: states of such a run cannot be gone on with.
    Into ``cache``, where given, go about :data:`KEPT_STATES` states of each variant, evenly spread over the run.

    On a CPU every variant is a run of its own and they take turns, so that each is bit for bit the single run with its
    seed; on other devices they share one batch, with the same noise.

    Raises:
        EngineError: before the first event for bad input; later for a failing model or too little memory.
    """
    if model.info.id != job.model:
        raise BadInput("model_missing", f"The model {job.model!r} is not loaded; load it first.")
    painting, chosen = Painting.of(job, model, preset), seeds(job.seed, job.variants)
    if job.learn is not None:
        unknown, scale = painting.selection > 0, job.scale or 1.0
        image = canvas.in_relation(job.image, unknown)
        learned = yield from adapt.learn(image, unknown, painting.light, model, job.learn, scale=scale)
        painting = replace(painting, model=adapt.with_learned(model, learned))
    attempts = 1
    if job.wrap and model.geometry.any_scale:
        attempts = LARGE_ATTEMPTS if by_octaves.suits(painting) else ATTEMPTS
    yield from _keeping(_attempts(painting, chosen, attempts), cache)


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
    job = kept.job
    if job.learn is not None:
        painting = Painting.of(job, model)
        unknown = painting.selection > 0
        image = canvas.in_relation(job.image, unknown)
        learned = adapt.recall(image, unknown, painting.light, model, job.learn, job.scale or 1.0)
        if learned is None:
            raise BadInput("bad_state", "What this run had learned of the picture is no longer here; run it again.")
        model = adapt.with_learned(model, learned)
    if digest(model.info) != kept.digest:
        raise BadInput("bad_state", f"This state was not made with the model {model.info.title}; run it again.")
    chosen = seeds(kept.seed if seed is None else seed, variants)
    attempts = kept.attempts if jump is None and chosen == [kept.seed] else 1  # a branch is what it is
    if jump is not None:
        kept = branched(kept, jump, times, late)
    if kept.remaining < 1:
        raise BadInput("bad_state", "This state is the end of its run; branch from an earlier one.")
    yield from _keeping(_attempts(Painting.of(job, model), chosen, attempts, kept), cache)


def _keeping(events: Iterator[Event], cache: Cache | None) -> Iterator[Event]:
    last: dict[int, int] = {}  # which part of the way of each variant the step before lay in
    for event in events:
        if cache is not None and isinstance(event, Step) and event.call < event.calls:
            part = event.call // max(1, event.calls // KEPT_STATES)
            if part > last.get(event.variant, 0):
                cache.put(event.variant, event.keep())
            last[event.variant] = part
        yield event


def _attempts(painting: Painting, chosen: list[int], attempts: int, start: Kept | None = None) -> Iterator[Event]:
    """All variants. Tiles whose seam shows are painted again with other noise, at most ``attempts`` times in all."""
    attempt = Attempt(start.state.draws // ATTEMPT_DRAWS if start else 0, attempts, time.monotonic())
    todo = list(range(len(chosen)))
    while todo:
        again, shown = [], attempt
        for event in _events(painting, [chosen[k] for k in todo], attempt, start):
            if isinstance(event, Step | Finished):
                event = replace(event, variant=todo[event.variant])
            if isinstance(event, Finished):
                event = replace(event, _figures=partial(figures.of, painting))
                shows = attempt.number + 1 < attempts and figures.tile_jump(painting, event) > seam.SHOWS_ABOVE
            if isinstance(event, Finished) and shows:
                again.append(event.variant)
                shown = replace(attempt, number=attempt.number + 1, calls=event.calls, windows=event.windows)
            elif attempt.calls == 0 or not isinstance(event, Note):  # what there is to tell has been told
                yield event
        todo, attempt, start = again, shown, None
        if todo:
            yield Note(SEAM_SHOWS)


def _events(painting: Painting, chosen: list[int], attempt: Attempt, start: Kept | None) -> Iterator[Event]:
    octaves = by_octaves.suits(painting)
    if start is not None and octaves != (start.octave is not None):
        raise not_its_own()
    if octaves:
        return by_octaves.events(painting, chosen, attempt, start)
    return Staged(painting, chosen, attempt, start).events()


def warm_up(model: Model) -> torch.Tensor:
    """One small network call, so that the first click does not pay for lazy initialisation; its output.

    Raises:
        EngineError: ``out_of_memory``.
    """
    side, middle = max(model.geometry.minimum, 32), len(model.alpha_bar) // 2
    label = 0 if model.labels else None
    with within_memory(model.info.title):
        if model.exemplar is not None:
            return octave_run.warm_up(model.device)
        y = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(model.device)
        entered = model.space.enter(y, torch.ones_like(y[:, :1]))
        way = model.guide("", "", None, (0.0, 1.0)) or label
        network = conditioned(
            model.predict, way, entered.keep, entered.beside, model.alpha_bar, model.prediction, lambda network: network
        )
        return network(entered.y, middle)
