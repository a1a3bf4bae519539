"""The run of a job by a model's network, or by all of a small picture's patches: stage after stage, all variants in
turns. Each stage takes as known what the ones before it painted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, pairwise

import numpy as np
import torch

from engine import canvas
from engine.canvas import Geometry, stages
from engine.errors import EngineError
from engine.exemplar import Exemplar
from engine.learning import adapt
from engine.models import Model, digest, out_of_memory, within_memory
from engine.run import drafts
from engine.run.attempts import Attempt
from engine.run.events import Event, Finished, Halves, Note, Step
from engine.run.painting import Painting
from engine.run.states import Kept, not_its_own
from engine.sampling import (
    Anchor,
    Entered,
    Guidance,
    Network,
    Noise,
    RePaintSettings,
    Schedule,
    Settings,
    State,
    calls_left,
    conditioned,
    left_out,
    sampler_of,
    windowed,
)

log = logging.getLogger(__name__)

SMALLER_PARTS = "Memory was short, so this was painted in smaller parts; a smaller selection may look better."


@dataclass(frozen=True)
class Walk:
    """One stage's walk down its schedule.

    Attributes:
        start: the state that it goes on from.
        before, after: network calls of the stages before it and after it.
    """

    stage: int
    schedule: Schedule
    settings: Settings
    start: State | None
    before: int
    after: int

    @property
    def left(self) -> int:
        """Network calls still to make."""
        return calls_left(self.start, self.schedule, self.settings)

    @property
    def calls(self) -> int:
        """Network calls in all."""
        return self.left + (self.start.call if self.start is not None else 0)


@dataclass(frozen=True)
class Batches:
    """A stage under way.

    Attributes:
        part: its plan.
        runs: of a batch of variants each, in their order.
        smaller: memory did not suffice for the roomiest windows.
    """

    part: stages.Part
    runs: list[Iterator[State]]
    smaller: bool

    def steps(self, calls: int) -> Iterator[tuple[int, State]]:
        """(variant, its own state) after so many network calls of each."""
        for _ in range(calls):
            variant = 0
            for run in self.runs:
                state = next(run)
                for row in range(len(state.x)):
                    yield variant, state.mapped(lambda tensor, row=row: tensor[row : row + 1])  # type: ignore[misc]
                    variant += 1


class Staged:
    """All stages of a painting.

    Args:
        start: where to go on; its stage walks its schedule with its settings, the later ones those of the job.
        begun: a draft of each variant, (region.height, region.width, 3) float32 in the picture's unit.
    """

    def __init__(
        self, painting: Painting, attempt: Attempt, start: Kept | None, begun: list[np.ndarray] | None = None
    ) -> None:
        self._painting, self._attempt, self._start = painting, attempt, start
        self._seeds = attempt.seeds
        canvas.checked_size(*painting.selected.shape)
        solid = canvas.solid(painting.image)
        self._drafted = begun is not None or (start is not None and drafts.led_to(start.settings))
        self._schedule, self._settings = painting.schedule, painting.settings
        if self._drafted:
            self._schedule, self._settings = drafts.plan(painting.job, painting.finer, painting.settings.clip)
        self._order = stages.order(painting.selected, solid, painting.model.geometry, painting.wraps, self._drafted)
        region = painting.region
        nothing = np.zeros((region.height, region.width, 3), np.float32)
        painted = nothing if start is None or start.painted is None else start.painted
        self._painted = begun or [painted] * len(self._seeds)
        first = attempt.draws + (drafts.FIRST_DRAW if self._drafted else 0)
        self._draws = first if start is None else start.state.draws
        if start is not None:
            further = int(self._order.max()) - start.stage
            if further < 0 or start.after != further * self._calls:
                raise not_its_own()
        self._windows = attempt.windows
        self._denoisers: dict[float, Exemplar] = {}
        """By scale, of a model that is the picture itself."""

    def events(self) -> Iterator[Event]:
        guide, start, told = self._painting.guide, self._start, False
        note = left_out([guide.words, guide.against]) if guide else ""
        if note and self._attempt.tells:
            yield Note(note)
        for walk in self._walks():
            if walk.left == 0:  # kept at the end of a stage
                assert start is not None
                part = self._part(walk.stage, self._painting.model.geometry)
                self._entered(walk, part)
                self._painted = [part.put(each, self._leave(part, each, start.state.x)) for each in self._painted]
                continue
            batches = self._begun(walk)
            if batches.smaller and not told and self._attempt.tells:
                yield Note(SMALLER_PARTS)
                told = True
            yield from self._walked(walk, batches)

    @property
    def _calls(self) -> int:
        """Network calls of a stage that is walked from its beginning."""
        return self._settings.calls(self._schedule)

    def _walks(self) -> Iterator[Walk]:
        start, schedule, settings = self._start, self._schedule, self._settings
        first, last = start.stage if start else 0, int(self._order.max())
        made = start.before if start else self._attempt.calls
        for stage in range(first, last + 1):
            after = (last - stage) * self._calls
            if start is not None and stage == first:
                walk = Walk(stage, start.schedule, start.settings, start.state, made, after)
            else:
                walk = Walk(stage, schedule, settings, None, made, after)
            yield walk
            made += walk.calls

    def _walked(self, walk: Walk, batches: Batches) -> Iterator[Event]:
        painting, attempt, part = self._painting, self._attempt, batches.part
        painted, total = list(self._painted), walk.before + walk.calls
        for variant, state in batches.steps(walk.left):
            number = attempt.variants[variant]
            before = self._painted[variant]
            preview = partial(self._layer, part, before, state.x0_hat)
            keep = partial(self._kept, walk, variant, state, before)
            calls, halves = total + walk.after, partial(self._halves, walk, part, variant, state)
            yield Step(number, walk.before + state.call, calls, attempt.seconds, preview, keep, halves)
            if state.call == walk.calls:
                self._draws = state.draws
                painted[variant] = part.put(before, self._leave(part, before, state.x))
                if variant == 0:
                    self._windows += self._evaluations(walk) * len(part.plan.windows)
                if walk.after == 0:
                    fill, ring = painting.final(painted[variant])
                    yield from attempt.judged(Finished(
                        number, self._seeds[variant], total, attempt.seconds, fill, painting.region, self._windows,
                        painting.selection, painting.job.image, ring=ring,
                    ))  # fmt: skip
        self._painted = painted

    def _begun(self, walk: Walk) -> Batches:
        """The stage in the roomiest plan for whose first call memory suffices."""
        model, failed = self._painting.model, None
        for geometry, together in _geometries(model, len(self._seeds)):
            part = self._part(walk.stage, geometry)
            at_once = min(part.plan.batch, len(part.plan.windows))
            demand = part.plan.size, part.plan.windows, at_once, together
            if demand == failed:  # it is no smaller
                continue
            runs = self._runs(walk, part, together)
            try:
                first = next(runs[0])
            except EngineError as error:
                if error.code != "out_of_memory":
                    raise
                failed = demand
                log.warning("out of memory with %d windows of %d: %s", at_once, geometry.window, error.details)
                continue
            return Batches(part, [chain([first], runs[0]), *runs[1:]], geometry.window < model.geometry.window)
        raise out_of_memory("in the smallest plan")

    def _runs(self, walk: Walk, part: stages.Part, together: int) -> list[Iterator[State]]:
        """A run of each batch of so many variants."""
        model, seeds, wraps = self._painting.model, self._seeds, part.plan.wraps
        entered = self._entered(walk, part)
        y = entered.y if walk.stage else entered.y.expand(len(seeds), -1, -1, -1)
        settings = model.settings(walk.settings)
        sampler = partial(
            sampler_of(settings),
            self._network(part.plan, entered),
            schedule=walk.schedule,
            keep=entered.keep,
            settings=settings,
            guidance=self._guidance(part.plan),
            known_noise=self._painting.known_noise,
        )
        drafted = None
        if self._drafted and walk.start is None:
            drafted = torch.cat([part.draft(each) for each in self._painted]).to(model.device)
        runs = []
        for first in range(0, len(seeds), together):
            rows, known = seeds[first : first + together], y[first : first + together]
            diffusion, start, draws = model.diffusion(walk.schedule.steps, settings), walk.start, self._draws
            if drafted is not None:
                draft = drafted[first : first + together]
                x = diffusion.noised(draft, diffusion.steps - 1, Noise(rows, draws).draw(draft))
                draws += 1
                start = State(0, 0, x, draft, draws)
            if settings.anchored and model.anchor and entered.keep.any():
                diffusion = replace(diffusion, hold=Anchor.of(known, entered.keep, model.anchor, wraps))
            runs.append(_sampled(partial(sampler, diffusion=diffusion), known, rows, draws, start))
        return runs

    def _entered(self, walk: Walk, part: stages.Part) -> Entered:
        """What the stages before have painted, of all variants, in the model's space; of none there is one row."""
        model = self._painting.model
        inputs = [part.model_input(each) for each in (self._painted if walk.stage else self._painted[:1])]
        y, keep = torch.cat([each for each, _ in inputs]).to(model.device), inputs[0][1].to(model.device)
        with within_memory():
            entered = model.space.enter(y, keep, part.plan.wraps)
        if walk.start is not None and walk.start.x.shape[1:] != entered.y.shape[1:]:
            raise not_its_own()
        return entered

    def _part(self, stage: int, geometry: Geometry) -> stages.Part:
        painting, job = self._painting, self._painting.job
        return stages.part(
            painting.image, painting.light, self._order, stage, geometry, job.padding, job.scale, painting.wraps
        )

    def _network(self, plan: canvas.Plan, entered: Entered) -> Network:
        """The model's network over a plan's windows, or the denoiser made of the picture's own known pixels, all of
        those that the job can look at."""
        painting, model = self._painting, self._painting.model
        if model.exemplar is None:
            asked = painting.label if painting.guide is None else painting.guide
            fuse = partial(windowed, plan=plan.cells(model.space.factor))
            return conditioned(
                model.predict, asked, entered.keep, entered.beside, model.alpha_bar, model.prediction, fuse
            )
        scale = plan.scaled[1] / plan.region.width
        if scale not in self._denoisers:
            image, unknown = painting.image, self._order >= 0
            if painting.job.source is not None:
                image, unknown = painting.job.source, ~canvas.opaque(painting.job.source)
            part = adapt.known_part(image, unknown, painting.light, scale, least=0)
            self._denoisers[scale] = model.exemplar(*part)
        return self._denoisers[scale].network(entered.y, entered.keep, model.alpha_bar, plan.wraps)

    def _guidance(self, plan: canvas.Plan) -> Guidance | None:
        """Classifier guidance at the job's scale s, fused over the windows like the network itself."""
        gradient, label = self._painting.model.classifier_gradient, self._painting.label
        scale = self._painting.job.classifier_scale
        if gradient is None or label is None or scale == 0:
            return None
        fused = windowed(lambda x, timestep: gradient(x, timestep, label), plan)
        return lambda x, timestep: scale * fused(x, timestep)

    def _evaluations(self, walk: Walk) -> int:
        """Evaluations of the network on each window, in one stage."""
        model, guide, settings = self._painting.model, self._painting.guide, walk.settings
        if guide is None:
            return settings.calls(walk.schedule)
        timesteps = model.diffusion(walk.schedule.steps, model.settings(settings)).timesteps
        return sum(
            settings.calls_at(t) * guide.evaluations(int(timesteps[t]), len(model.alpha_bar))
            for t, s in pairwise(walk.schedule.levels)
            if s < t
        )

    def _leave(self, part: stages.Part, painted: np.ndarray, x: torch.Tensor) -> torch.Tensor:
        """The picture (3, H, W) of one row (1, C, h, w)."""
        model = self._painting.model
        with within_memory(), torch.inference_mode():
            return model.space.leave(x.to(model.device), part.model_input(painted), part.plan.wraps)[0]

    def _layer(self, part: stages.Part, painted: np.ndarray, x0_hat: torch.Tensor, full: bool) -> np.ndarray:
        """The layer of the whole picture: what ``near`` holds of it, nothing elsewhere or of stages to come."""
        painting, space = self._painting, self._painting.model.space
        with torch.inference_mode():
            picture = self._leave(part, painted, x0_hat) if full else space.glance(x0_hat, part.plan.wraps)[0]
        out, near = np.zeros_like(painting.job.image), painting.near.slices
        done = self._drafted or self._order <= part.stage
        shown = np.where(done, painting.selected, 0)
        out[near] = canvas.layer(part.put(painted, picture), shown, part.region, painting.job.image[near])
        return out

    @torch.inference_mode()
    def _halves(self, walk: Walk, part: stages.Part, variant: int, state: State) -> Halves:
        """The known half lies in x_t, but for κ = 1: there the next call draws it anew."""
        model, entered = self._painting.model, self._entered(walk, part)
        settings, known = model.settings(walk.settings), state.x
        if isinstance(settings, RePaintSettings) and settings.kappa == 1:
            diffusion = model.diffusion(walk.schedule.steps, settings)
            noise = Noise([self._seeds[variant]], state.draws).draw(state.x)
            row = entered.y[min(variant, len(entered.y) - 1)][None]
            known = diffusion.noised(row, walk.schedule.levels[state.position], noise)

        def shown(x: torch.Tensor) -> np.ndarray:
            picture = model.space.glance(x, part.plan.wraps)[0].movedim(0, -1)
            return ((picture.clamp(-1, 1) + 1) / 2).float().cpu().numpy()

        kept = entered.keep.repeat_interleave(model.space.factor, 2).repeat_interleave(model.space.factor, 3)
        return Halves(shown(known), shown(state.x), kept[0, 0, ..., None].float().cpu().numpy())

    def _kept(self, walk: Walk, variant: int, state: State, painted: np.ndarray) -> Kept:
        job, info = self._painting.job, self._painting.model.info
        return Kept(
            job, digest(info), walk.schedule, walk.settings, self._seeds[variant],
            state.mapped(lambda tensor: tensor.cpu().clone()), walk.stage, walk.before, walk.after,
            painted if walk.stage or self._drafted else None, self._attempt.most,
        )  # fmt: skip


def _geometries(model: Model, variants: int) -> list[tuple[Geometry, int]]:
    """Geometries and variants per batch, the roomiest first: then one window a call, which gives the same picture, then
    smaller windows; only models of more than one size take these."""
    batches = [variants, 1] if model.device.type != "cpu" and variants > 1 else [1]
    found = [(model.geometry, batch) for batch in batches]
    if model.exemplar is None:
        found.append((replace(model.geometry, together=1), 1))
    window = model.geometry.window // 2
    while (
        model.geometry.any_scale
        and model.exemplar is None
        and window >= max(model.geometry.minimum, 2 * model.geometry.multiple)
    ):
        found.append((replace(model.geometry, window=window, together=1), 1))
        window //= 2
    if model.geometry.most and model.geometry.minimum < model.geometry.window:
        found.append((replace(model.geometry, window=model.geometry.minimum), 1))
    return found


@torch.inference_mode()
def _sampled(
    sampler: Callable[..., Iterator[State]], y: torch.Tensor, seeds: list[int], draws: int, start: State | None
) -> Iterator[State]:
    """One run of a batch of variants, all from ``start`` (one row).

    Args:
        draws: of noise already made, so that no stage repeats the noise of another.
    """
    if start is not None:
        start = start.mapped(lambda tensor: tensor.to(y.device).expand(len(seeds), -1, -1, -1))
    with within_memory():
        yield from sampler(y=y, noise=Noise(seeds, draws), start=start)
