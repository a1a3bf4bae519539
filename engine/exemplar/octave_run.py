"""The run of a job that is painted from the picture itself, octave by octave, all variants in turns.

What is painted at one scale is in :mod:`engine.exemplar.octaves`, how matches come to the next in
:mod:`engine.exemplar.pyramid`; here samplers walk
their schedules, and states are begun, kept and gone on with.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial

import cv2
import numpy as np
import torch

from engine.canvas import Box, bounds, in_parts, places
from engine.exemplar import groups, octaves, pyramid
from engine.exemplar.atlas import Atlas
from engine.exemplar.denoiser import too_little_known
from engine.exemplar.material import Material, Mixture
from engine.exemplar.networks import Exact, Memory
from engine.exemplar.octaves import Octave
from engine.sampling import (
    Diffusion,
    Noise,
    RePaintSettings,
    Schedule,
    Settings,
    State,
    calls_left,
    linear_alpha_bar,
    plain,
    sampler_of,
)

FINE_SETTINGS = RePaintSettings(kappa=0.0)
"""Settings of the runs at finer octaves."""
START_SIGMA = 1.5
"""σ at which the coarsest octave begins, from a smooth continuation of what is known. From pure noise holes in
photographs were filled with islands: with something of the picture that does not belong to what surrounds the hole."""
TIMESTEPS = 1000


@cache
def coarsest_alpha_bar() -> np.ndarray:
    """ᾱ of the coarsest octave's timesteps, (1000,): the linear table up to :data:`START_SIGMA`, stretched."""
    usual = linear_alpha_bar()
    last = int((1 / usual - 1 <= START_SIGMA**2).sum()) - 1
    return np.interp(np.linspace(0, last, TIMESTEPS), np.arange(len(usual)), usual)


@dataclass(frozen=True)
class Begun:
    """Where a run goes on.

    Attributes:
        stage: number of the octave, 0 the coarsest.
        state: of its sampler.
        schedule, settings: that it walks there.
        matches: (G, 2) int32 after the last call, of a finer octave.
        coarsest: (1, C, 1, N), the finished pixels of the coarsest octave, where the run is beyond it.
    """

    stage: int
    state: State
    schedule: Schedule
    settings: Settings
    matches: np.ndarray | None
    coarsest: torch.Tensor | None


@dataclass(frozen=True)
class Moment:
    """One variant after one network call.

    Attributes:
        at: from where it could go on; its matches change with the next call of this variant.
        weight, first: units of progress of a call of this octave, and of one of the coarsest.
        calls: of this octave in all.
        before, after: units of the octaves before and after it.
        finer: units of all octaves above the coarsest.
        fill: the present estimate v as (v + 1) / 2, (box.height, box.width, C) float32 of boxes of the picture that
            hold all that is to be painted.
        done: this was the last call of all.
    """

    variant: int
    at: Begun
    weight: int
    first: int
    calls: int
    before: int
    after: int
    finer: int
    fill: Callable[[], list[tuple[Box, np.ndarray]]] = field(repr=False)
    done: bool


def atlas(wanted: np.ndarray, known: np.ndarray, padding: int | None) -> Atlas | None:
    """An atlas of the places to paint, where they are many or long and thin; arguments as of
    :func:`engine.canvas.places`."""
    align = 1 << pyramid.halvings(known, wanted)
    found = places(wanted, known, align, padding)
    return Atlas.of(found, align) if found else None


class Run:
    """A job's octaves, and what all of its variants share.

    Args:
        pixels: (H, W, C) float32, in [−1, 1] or not much beyond: the colours, and behind them the channels of maps.
        known: (H, W) bool, what may be looked at.
        wanted: (H, W) bool, what is to be painted; none of it is known.
        wraps: (along y, along x): the picture is periodic.
        scale: octaves end at so many pixels per picture pixel.
        more: network calls at the finer octaves, over the usual number.
        atlas: where the picture is one.
        cover: (H, W) float32, by how much known pixels count; all the same if None.
        elsewhere: another picture that all is copied from.
        shares: as of :class:`~engine.exemplar.octaves.Octave`.

    Raises:
        BadInput: ``too_little_known``.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        known: np.ndarray,
        wanted: np.ndarray,
        wraps: tuple[bool, bool],
        device: torch.device,
        scale: float = 1.0,
        more: float = 1.0,
        atlas: Atlas | None = None,
        cover: np.ndarray | None = None,
        elsewhere: Material | Mixture | None = None,
        shares: np.ndarray | None = None,
    ) -> None:
        self._region, self._shape, self._device, self._atlas = bounds(wanted), known.shape, device, atlas
        self._channels = pixels.shape[2]
        self._coarser = pyramid.pyramid(pixels, known, wanted, wraps, device, scale, atlas, cover, elsewhere, shares)
        self._octaves, self._more = [next(self._coarser)], more
        if not self._octaves[0].usable.any():
            raise too_little_known()

    def prepared(self) -> Iterator[None]:
        """Make the coarser octaves, in parts between which a run can stop; before anything else is asked."""
        for octave in self._coarser:
            self._octaves.insert(0, octave)
            yield

    def can_go_on(self, begun: Begun) -> bool:
        """Whether it has as many octaves, pixels and matches, each with a patch of known pixels, as these octaves."""
        if not 0 <= begun.stage < len(self._octaves):
            return False
        octave, places, coarsest = self._octaves[begun.stage], begun.matches, begun.coarsest
        if begun.state.x.shape != (1, octave.channels, 1, len(octave.rows)):
            return False
        if begun.stage == 0 or places is None or coarsest is None:
            return begun.stage == 0 and places is None and coarsest is None
        at_coarsest = 1, self._octaves[0].channels, 1, len(self._octaves[0].rows)
        if coarsest.shape != at_coarsest or places.shape != (len(octave.targets.top), 2):
            return False
        inside = ((places >= 0) & (places < octave.usable.shape)).all()
        return bool(inside and octave.usable[places[:, 0], places[:, 1]].all())

    @cached_property
    def _levels(self) -> list[tuple[np.ndarray, Schedule]]:
        """ᾱ and schedule of each octave but the coarsest."""
        return [
            pyramid.levels(number, self._more * octaves.ROUNDS / octave.rounds)
            for number, octave in enumerate(self._octaves[1:])
        ]

    def weights(self) -> list[int]:
        """Units of progress of a call, by octave."""
        work = [len(octave.rows) * octave.rounds / octaves.ROUNDS for octave in self._octaves]
        coarsest = octaves.UNITS * self._octaves[0].pairs / groups.MOST_PAIRS
        return [max(1, round(units)) for units in (coarsest, *(octaves.CALL + n / octaves.PIXELS for n in work[1:]))]

    def units(self, plan: tuple[Schedule, Settings]) -> list[int]:
        """Units of progress of each octave, the coarsest with its ``plan``."""
        each = zip(self.weights(), self._plans(plan), strict=True)
        return [weight * settings.calls(levels) for weight, (levels, settings) in each]

    def _plans(self, plan: tuple[Schedule, Settings]) -> list[tuple[Schedule, Settings]]:
        """Schedule and settings of each octave; the coarsest's say whether estimates are limited to [−1, 1]."""
        settings = replace(FINE_SETTINGS, clip=plan[1].clip)
        return [plan, *((schedule, settings) for _, schedule in self._levels)]

    def moments(
        self,
        plan: tuple[Schedule, Settings],
        seeds: list[int],
        draws: int = 0,
        start: Begun | None = None,
        spent: int = 0,
    ) -> Iterator[Moment | None]:
        """Walk from the coarsest octave, or from ``start``, to the finest. None comes between steps that lie far apart,
        so that whoever listens can stop.

        Args:
            plan: schedule and settings of the coarsest octave; ``start`` has its own.
            draws: noise draws already made.
            spent: units of progress before the first octave that is walked.
        """
        yield from self.prepared()
        plans, weights, units = self._plans(plan), self.weights(), self.units(plan)
        first = start.stage if start else 0
        matches = [start.matches if start else None] * len(seeds)
        coarsest = [start.coarsest if start else None] * len(seeds)
        for stage in range(first, len(self._octaves)):
            begun = start if stage == first else None
            schedule, settings = (begun.schedule, begun.settings) if begun else plans[stage]
            made = begun.state.call if begun else 0
            calls = made + calls_left(begun.state if begun else None, schedule, settings)
            self._octaves[stage] = octave = self._octaves[stage].planar()
            yield from octave.prepared()
            if stage > 0 and begun is None:
                for k, each in enumerate(zip(matches, coarsest, seeds, strict=True)):
                    matches[k] = self._carried(stage, *each)
                    yield None
            noises = [Noise([seed], begun.state.draws if begun else draws) for seed in seeds]
            networks = [self._network(stage, *each, made) for each in zip(matches, noises, strict=True)]
            runs = []
            for network, noise in zip(networks, noises, strict=True):
                runs.append(self._walk(network, noise, schedule, settings, begun))
                yield None
            states: dict[int, State] = dict.fromkeys(range(len(seeds)), begun.state) if begun else {}
            finest, after, finer = stage == len(self._octaves) - 1, sum(units[stage + 1 :]), sum(units[1:])
            for call in range(made + 1, calls + 1):
                last = call == calls
                for k, state in enumerate(_stepped(runs, together=stage == 0)):
                    if last and finest and stage > 0:
                        state = yield from self._melded(state, networks[k].places)
                    states[k] = state
                    at = Begun(stage, state, schedule, settings, networks[k].places, coarsest[k])
                    fill = partial(self._fill, stage, state.x if last else state.x0_hat)
                    yield Moment(k, at, weights[stage], weights[0], calls, spent, after, finer, fill, last and finest)
            draws, spent = states[0].draws, spent + weights[stage] * calls
            if stage == 0:
                coarsest = [states[k].x for k in range(len(seeds))]
            matches = [network.places for network in networks]

    def _network(self, stage: int, matches: np.ndarray | None, noise: Noise, made: int) -> Exact | Memory:
        if matches is None:
            return Exact(self._octaves[stage], coarsest_alpha_bar())
        finest = stage == len(self._octaves) - 1
        attempt = noise.draws >> 32  # of a tile that is painted again
        seed = (noise.seeds[0] * 31 + stage) * 31 + attempt
        return Memory(self._octaves[stage], matches.copy(), self._levels[stage - 1][0], seed, made, finest)

    def _walk(
        self, network: Exact | Memory, noise: Noise, schedule: Schedule, settings: Settings, begun: Begun | None
    ) -> Iterator[State]:
        """A run over the pixels to paint, (1, C, 1, N); known ones are no part of its state."""
        diffusion = Diffusion(network.alpha_bar, schedule.steps, "sample", settings.spacing)
        if begun is not None:
            state = begun.state.mapped(lambda tensor: tensor.to(self._device))
        else:
            first = torch.from_numpy(np.ascontiguousarray(network.first())).to(self._device)[None, :, None]
            x = diffusion.noised(first, diffusion.steps - 1, noise.draw(first))
            state = State(0, 0, x, first, noise.draws)
        nothing = torch.zeros_like(state.x)
        return sampler_of(settings)(network, diffusion, schedule, nothing, nothing[:, :1], noise, settings, state)

    def _melded(self, state: State, places: np.ndarray | None) -> Generator[None, None, State]:
        """The finished state of the finest octave with its shading evened out."""
        assert places is not None
        x = state.x[0, :, 0].cpu().numpy()
        x = yield from self._octaves[-1].melded(places, x)
        return replace(state, x=torch.from_numpy(x).to(state.x)[None, :, None])

    def _carried(self, stage: int, matches: np.ndarray | None, coarsest: torch.Tensor | None, seed: int) -> np.ndarray:
        """The matches that an octave begins with."""
        before = self._octaves[stage - 1]
        if matches is None:
            assert coarsest is not None
            matches = before.nearest(coarsest[0, :, 0].cpu().numpy())
        return pyramid.carried(before, matches, self._octaves[stage], seed)

    def _fill(self, stage: int, x: torch.Tensor) -> list[tuple[Box, np.ndarray]]:
        octave, places = self._octaves[stage], [(self._region, self._region)]
        if self._atlas is not None:
            places = [(place.own, self._atlas.own(number)) for number, place in enumerate(self._atlas.places)]
        picture = np.ascontiguousarray(octave.painted(x[0, :, 0].cpu().numpy())[..., : self._channels])
        return [(box, (_enlarged(picture, octave, self._shape, here) + 1) / 2) for box, here in places]


def _stepped(runs: list[Iterator[State]], together: bool) -> Iterator[State]:
    """The next state of every run.

    Args:
        together: in threads, of which each takes a run; for runs whose network does not use several itself.
    """
    if together and len(runs) > 1:
        with ThreadPoolExecutor(min(len(runs), torch.get_num_threads())) as pool:
            yield from list(pool.map(_next, runs))
    else:
        yield from map(_next, runs)


def _next(run: Iterator[State]) -> State:
    """Numbers below float32's normal range count as 0 meanwhile: many weights of a posterior are such, and processors
    take many times as long for them."""
    with _one_thread(), torch.inference_mode():
        torch.set_flush_denormal(True)
        try:
            return next(run)
        finally:
            torch.set_flush_denormal(False)


def _enlarged(picture: np.ndarray, octave: Octave, shape: tuple[int, ...], region: Box) -> np.ndarray:
    """A part of the whole picture, (region.height, region.width, C), from an octave's ``box`` (h, w, C)."""
    box = octave.box
    if octave.shape == shape:
        return picture[region.y - box.y :, region.x - box.x :][: region.height, : region.width]
    down, right = (small / large for small, large in zip(octave.shape, shape, strict=True))
    back = np.array(
        [
            [right, 0, (region.x + 0.5) * right - 0.5 - box.x],
            [0, down, (region.y + 0.5) * down - 0.5 - box.y],
        ]
    )
    size, how = (region.width, region.height), cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP

    def warped(part: np.ndarray) -> np.ndarray:
        return cv2.warpAffine(part, back, size, flags=how, borderMode=cv2.BORDER_REPLICATE)

    return in_parts(warped, picture)


def warm_up(device: torch.device) -> torch.Tensor:
    """Small fills, one with a map, so that the first ones do not wait for compilers; the last estimate without."""
    wanted = np.zeros((144, 144), bool)
    wanted[52:92, 52:92] = True  # so deep that there are three octaves, the middle one with texture
    for channels in (4, 3):
        pixels = np.random.default_rng(0).uniform(-1, 1, (144, 144, channels)).astype(np.float32)
        run = Run(pixels, ~wanted, wanted, (False, False), device)
        with torch.inference_mode():
            *_, last = run.moments((plain(4), FINE_SETTINGS), [0])
    assert last is not None
    return last.at.state.x


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread of torch: its tensors are so small here that several would wait for each other longer than they work.
    The loops of :mod:`engine.exemplar.matching` have threads of their own."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
