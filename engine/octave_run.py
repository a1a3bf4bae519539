"""The run of a job whose model is the picture itself: octave by octave, all variants in turns.

What is painted at one scale and how matches come to the next is in :mod:`engine.octaves`; here samplers walk their
schedules, and states are begun, kept and gone on with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import cv2
import numpy as np
import torch

from engine import octaves
from engine.canvas import Box, bounds, grown
from engine.corrector import corrected
from engine.diffusion import Diffusion, linear_alpha_bar
from engine.exemplar import Exemplar
from engine.noise import Noise
from engine.octaves import Memory, Octave
from engine.sampler import Settings, State, repaint
from engine.schedule import Schedule, plain

FINE_SETTINGS = Settings(kappa=0.0)
"""Of the finer octaves' runs. Known pixels are no part of their state; the denoiser sees them as they are."""
START_SIGMA = 1.5
"""σ at which the coarsest octave begins, from a smooth continuation of what is known. From pure noise holes in
photographs were filled with islands: something of the picture that what surrounds the hole says nothing about."""


def alpha_bar(timesteps: int = 1000) -> np.ndarray:
    """ᾱ of the exemplar model's timesteps, (timesteps,): the linear table up to :data:`START_SIGMA`, stretched."""
    usual = linear_alpha_bar()
    last = int((1 / usual - 1 <= START_SIGMA**2).sum()) - 1
    return np.interp(np.linspace(0, last, timesteps), np.arange(len(usual)), usual)


@dataclass(frozen=True)
class Begun:
    """Where a run goes on.

    Attributes:
        stage: number of the octave, 0 the coarsest.
        state: of its sampler.
        schedule, settings: that it walks there.
        matches: (G, 2) int32 after the last call, of a finer octave.
        coarsest: (1, 3, h, w), the finished picture of the coarsest octave, where the run is beyond it.
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
        at: from where it could go on.
        weight: units of progress of a call of this octave.
        calls: of this octave in all.
        before, after: units of the octaves before and after it.
        finer: units of all octaves above the coarsest.
        fill: the present estimate, (region.height, region.width, 3) float32 in [0, 1].
        done: this was the last call of all.
    """

    variant: int
    at: Begun
    weight: int
    calls: int
    before: int
    after: int
    finer: int
    fill: Callable[[], np.ndarray] = field(repr=False)
    done: bool


class Run:
    """A job's octaves and what all of its variants share.

    Args:
        pixels: (H, W, 3) float32 in [−1, 1].
        known: (H, W) bool, what may be looked at.
        wanted: (H, W) bool, what is to be painted; none of it is known.
        wraps: (along y, along x): the picture is periodic.
        scale: octaves end at so many pixels per picture pixel.
        more: network calls at the finer octaves, over the usual number.

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
    ) -> None:
        self.region, self._shape, self._device = bounds(wanted), known.shape, device
        self._octaves = octaves.pyramid(pixels, known, wanted, wraps, device, scale)
        first = self._octaves[0]
        whole = Box(0, 0, first.shape[1], first.shape[0])
        self._box = whole if any(wraps) else grown(bounds(first.wanted), octaves.SIGHT, whole)
        self._exemplar = Exemplar(first.pixels, first.known, device)
        self._levels = [octaves.levels(number, more) for number in range(len(self._octaves) - 1)]

    def weights(self) -> list[int]:
        """Units of progress of a call, by octave."""
        areas = [np.count_nonzero(octave.wanted) for octave in self._octaves]
        return [1, *(max(1, round(area / (octaves.STRIDE**2 * octaves.UNIT))) for area in areas[1:])]

    def units(self, plan: tuple[Schedule, Settings]) -> list[int]:
        """Units of progress of each octave, the coarsest with its ``plan``."""
        plans = [plan, *((schedule, FINE_SETTINGS) for _, schedule in self._levels)]
        return [w * settings.calls(levels) for w, (levels, settings) in zip(self.weights(), plans, strict=True)]

    def moments(
        self,
        model_alpha_bar: np.ndarray,
        plan: tuple[Schedule, Settings],
        seeds: list[int],
        draws: int = 0,
        start: Begun | None = None,
        spent: int = 0,
    ) -> Iterator[Moment]:
        """Walk from the coarsest octave, or from ``start``, to the finest.

        Args:
            plan: schedule and settings of the coarsest octave; ``start`` has its own.
            draws: noise draws already made.
            spent: units of progress before the first octave that is walked.
        """
        plans = [plan, *((schedule, FINE_SETTINGS) for _, schedule in self._levels)]
        weights = self.weights()
        units = self.units(plan)
        first = start.stage if start else 0
        places: list[np.ndarray | None] = [start.matches if start else None] * len(seeds)
        coarsest: list[torch.Tensor | None] = [start.coarsest if start else None] * len(seeds)
        for stage in range(first, len(self._octaves)):
            begun = start if stage == first else None
            schedule, settings = (begun.schedule, begun.settings) if begun else plans[stage]
            last = stage == len(self._octaves) - 1
            octave = self._octaves[stage]
            runs: list[Iterator[State]] = []
            memories: list[Memory | None] = []
            for k, seed in enumerate(seeds):
                noise = Noise([seed], begun.state.draws if begun else draws)
                if stage == 0:
                    memories.append(None)
                    runs.append(self._coarsest(model_alpha_bar, schedule, settings, noise, begun))
                else:
                    if begun is None:
                        places[k] = self._carried(stage, places[k], coarsest[k], seed)
                    matches = places[k]
                    assert matches is not None
                    table = self._levels[stage - 1][0]
                    made = begun.state.call if begun else 0
                    attempt = noise.draws >> 32  # of a tile that is painted again
                    memory = Memory(octave, matches.copy(), table, (seed * 31 + stage) * 31 + attempt, made, last)
                    memories.append(memory)
                    runs.append(self._finer(memory, schedule, settings, noise, begun))
            calls = settings.calls(schedule)
            made = begun.state.call if begun else 0
            if begun:
                calls = (
                    made
                    + settings.calls(schedule, begun.state.position)
                    - min(begun.state.corrections, settings.corrections)
                )
            states: list[State] = [begun.state] * len(seeds) if begun else []
            for call in range(made + 1, calls + 1):
                states = []
                for k, run in enumerate(runs):
                    with _one_thread():
                        state = next(run)
                    states.append(state)
                    at = Begun(stage, state, schedule, settings, _places(memories[k]), coarsest[k])
                    yield Moment(
                        k, at, weights[stage], calls, spent, sum(units[stage + 1 :]), sum(units[1:]),
                        partial(self._fill, stage, state.x if call == calls else state.x0_hat), last and call == calls,
                    )  # fmt: skip
            draws, spent = states[0].draws, spent + weights[stage] * calls
            if stage == 0:
                coarsest = [state.x for state in states]
            places = [_places(memory) for memory in memories]

    def _coarsest(
        self, model_alpha_bar: np.ndarray, schedule: Schedule, settings: Settings, noise: Noise, begun: Begun | None
    ) -> Iterator[State]:
        octave, place = self._octaves[0], self._box.slices
        keep = torch.from_numpy(octave.known[place].astype(np.float32))[None, None].to(self._device)
        y = torch.from_numpy(np.ascontiguousarray(octave.pixels[place].transpose(2, 0, 1)))[None].to(self._device)
        diffusion = Diffusion(model_alpha_bar, schedule.steps, "sample", settings.spacing)
        network = self._exemplar.network(y, keep, model_alpha_bar, octave.wraps)
        if begun is None:
            state = octaves.begun(octaves.smooth_start(octave, self._box).to(self._device), diffusion, noise)
        else:
            state = _on(begun.state, self._device)
        walk = corrected if settings.corrections else repaint
        return walk(network, diffusion, schedule, y, keep, noise, settings, state)

    def _finer(
        self, memory: Memory, schedule: Schedule, settings: Settings, noise: Noise, begun: Begun | None
    ) -> Iterator[State]:
        diffusion = Diffusion(memory.alpha_bar, schedule.steps, "sample")
        if begun is None:
            copied = torch.from_numpy(memory.octave.copied(memory.places))[None, :, None].to(self._device)
            state = octaves.begun(copied, diffusion, noise)
        else:
            state = _on(begun.state, self._device)
        nothing = torch.zeros_like(state.x)
        return repaint(memory, diffusion, schedule, nothing, nothing[:, :1], noise, settings, state)

    def _carried(self, stage: int, places: np.ndarray | None, coarsest: torch.Tensor | None, seed: int) -> np.ndarray:
        """The matches that an octave begins with."""
        before, octave = self._octaves[stage - 1], self._octaves[stage]
        if places is None:
            assert coarsest is not None
            places = octaves.first_places(before, self._painted(coarsest))
        return octaves.carried(before, places, octave, seed)

    def _painted(self, x: torch.Tensor) -> np.ndarray:
        """(H, W, 3), the coarsest octave's picture with what was painted there."""
        octave, picture = self._octaves[0], self._octaves[0].pixels.copy()
        part = picture[self._box.slices]
        new = octave.wanted[self._box.slices]
        part[new] = x[0].permute(1, 2, 0).cpu().numpy()[new]
        return picture

    def _fill(self, stage: int, x: torch.Tensor) -> np.ndarray:
        octave = self._octaves[stage]
        if stage == 0:
            picture = self._painted(x)[octave.box.slices]
        else:
            picture = octave.pixels[octave.box.slices].copy()
            picture[octave.rows, octave.columns] = x[0, :, 0].T.cpu().numpy()
        fill = _enlarged(picture, octave, self._shape, self.region)
        return np.clip((fill + 1) / 2, 0, 1)


def _enlarged(picture: np.ndarray, octave: Octave, shape: tuple[int, ...], region: Box) -> np.ndarray:
    """A part of the whole picture, (region.height, region.width, 3), from an octave's ``box`` (h, w, 3)."""
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
    size = (region.width, region.height)
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, back, size, flags=how, borderMode=cv2.BORDER_REPLICATE)


def warm_up(device: torch.device) -> torch.Tensor:
    """A small fill, so that the first one does not wait for compilers; its last estimate."""
    pixels = np.random.default_rng(0).uniform(-1, 1, (64, 64, 3)).astype(np.float32)
    wanted = np.zeros((64, 64), bool)
    wanted[20:44, 20:44] = True
    run = Run(pixels, ~wanted, wanted, (False, False), device)
    *_, last = run.moments(alpha_bar(), (plain(4), Settings(kappa=0.0)), [0])
    return last.at.state.x


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread of torch: its tensors are so small here that several would wait for each other longer than they work.
    The loops of :mod:`engine.matching` have threads of their own."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _places(memory: Memory | None) -> np.ndarray | None:
    return memory.places if memory else None


def _on(state: State, device: torch.device) -> State:
    drift = None if state.drift is None else state.drift.to(device)
    return replace(state, x=state.x.to(device), x0_hat=state.x0_hat.to(device), drift=drift)
