"""A job from its first event to its last: learning where it asks for it, and attempts at tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from engine import canvas
from engine.errors import BadInput
from engine.exemplar import octave_run
from engine.learning import Learning, adapt
from engine.models import Model, digest, within_memory
from engine.run import by_octaves, drafting, drafts
from engine.run.attempts import Attempt
from engine.run.events import Event, Note
from engine.run.job import Job, seeds
from engine.run.painting import ATTEMPT_DRAWS, ATTEMPTS, LARGE_ATTEMPTS, Painting
from engine.run.staged import Staged
from engine.run.states import Kept, branched, not_its_own
from engine.sampling import Preset, conditioned

SEAM_SHOWS = "The seam of a tile would have shown, so it was painted again."


def run(job: Job, model: Model, preset: Preset | None = None) -> Iterator[Learning | Event]:
    """Run a job; stop iterating to cancel, in effect after the network call in progress.

    With ``job.learn`` come :class:`Learning` events first, the last of them with ``done`` = 1; only that when the cache
    of learned weights has what the job needs.

    ``preset`` stands in place of the one that the job names, for trials: states of such a run cannot be gone on with.

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
    most = 1
    if job.wrap and model.geometry.any_scale:
        most = LARGE_ATTEMPTS if by_octaves.suits(painting) else ATTEMPTS
    yield from _attempts(painting, chosen, most)


def resume(
    kept: Kept,
    model: Model,
    seed: int | None = None,
    variants: int = 1,
    jump: int | str | None = None,
    times: int = 1,
    late: bool = False,
) -> Iterator[Event]:
    """Go on from a kept state, or branch from it.

    Without further arguments the run goes on as if it had not been interrupted. ``seed`` (and ``variants``) branch it
    with other noise from here on; ``jump``, ``times`` and ``late`` as in :func:`engine.run.states.branched`.

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
    most = kept.attempts if jump is None and chosen == [kept.seed] else 1  # a branch is what it is
    if jump is not None:
        kept = branched(kept, jump, times, late)
    if kept.remaining < 1:
        raise BadInput("bad_state", "This state is the end of its run; branch from an earlier one.")
    yield from _attempts(Painting.of(job, model), chosen, most, kept)


def _attempts(painting: Painting, chosen: list[int], most: int, start: Kept | None = None) -> Iterator[Event]:
    """All variants. Tiles whose seam shows are painted again with other noise, at most ``most`` times in all."""
    number = start.state.draws // ATTEMPT_DRAWS if start else 0
    attempt: Attempt | None = Attempt(painting, list(range(len(chosen))), chosen, number, most)
    while attempt is not None:
        yield from _events(painting, attempt, start)
        attempt, start = attempt.following(), None
        if attempt is not None:
            yield Note(SEAM_SHOWS)


def _events(painting: Painting, attempt: Attempt, start: Kept | None) -> Iterator[Event]:
    octaves = by_octaves.suits(painting)
    if start is not None and octaves != (start.octave is not None):
        raise not_its_own()
    if octaves:
        return by_octaves.events(painting, attempt, start)
    if start is not None and drafts.led_to(start.settings):
        if not painting.model.geometry.drafted:
            raise not_its_own()
        if start.painted is None:  # it begins with another draft
            return _drafted(painting, replace(attempt, calls=start.before))
    if start is None and drafting.suits(painting):
        return _drafted(painting, attempt)
    return Staged(painting, attempt, start).events()


def _drafted(painting: Painting, attempt: Attempt) -> Iterator[Event]:
    canvas.checked_size(*painting.selected.shape)
    drafts.plan(painting.job, painting.finer, painting.settings.clip)
    begun = yield from drafting.drafts(painting, attempt)
    yield from Staged(painting, attempt, None, begun).events()


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
