"""What an experiment is: cells that are run and kept one by one, and what is concluded from them.

To add one: a module here with an :class:`Experiment`, and one line in :data:`engine.lab.EXPERIMENTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from engine import api, canvas
from engine.errors import BadInput
from engine.learning import Learning
from engine.models import find
from engine.run import Event

if TYPE_CHECKING:
    from engine.lab.notebook import Notebook
    from engine.lab.report import Section

TOYS = tuple(str(path) for path in [Path(__file__).parents[2] / "tests/engine/data/toy-latent"] if path.is_dir())
"""The trained toy model, where the engine runs from a checkout."""

Setting = str | int | float
Number = float | list[float] | None
"""What was measured; None where it could not be."""


@dataclass(frozen=True)
class Scene:
    """One moment of a run for people to look at: pictures (H, W, 3 or 4) uint8, None where a run has no such thing.

    Attributes:
        estimate: x̂_0, the whole picture.
        known, unknown, merged: x_t where the picture is known, where it is not, and both, of what the network sees
            (:class:`engine.run.events.Halves`).
    """

    estimate: np.ndarray
    known: np.ndarray | None = None
    unknown: np.ndarray | None = None
    merged: np.ndarray | None = None


class Live(Protocol):
    """Who hears of a cell while it runs: the progress bar, TensorBoard, the page of ``--watch``."""

    def step(
        self,
        call: int,
        calls: int,
        look: Callable[[], Scene] | None = None,
        numbers: Mapping[str, float] | None = None,
    ) -> None:
        """After each network call, or whatever the cell counts: it is number ``call``, 1 …, of ``calls``.

        Args:
            look: makes the scene; it is called before this returns, and only if somebody looks.
            numbers: what is to be drawn as a curve over the calls.
        """


@dataclass(frozen=True)
class Result:
    """What a cell found: numbers by name, and pictures by name, (H, W, 3 or 4) or (H, W) uint8."""

    numbers: dict[str, Number]
    pictures: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """The smallest unit that is run and kept, named by its settings: they hold all that its result depends on, but for
    what :class:`Setup` says."""

    settings: dict[str, Setting]
    run: Callable[[Live], Result]


@dataclass(frozen=True)
class Option:
    """A setting of one experiment, ``--NAME`` on its command line; it takes what has the type of its default."""

    name: str
    default: Setting
    help: str


class Setup:
    """With what an experiment is run.

    Attributes:
        device: kind of device, None for the best one here.
        small: everything as little as a test can afford.
        options: values by name, of the experiment's own options.
        chosen: the models that :meth:`models` has named.
    """

    def __init__(
        self,
        models: tuple[str, ...] = (),
        device: str | None = None,
        small: bool = False,
        options: Mapping[str, Setting] | None = None,
    ) -> None:
        """
        Args:
            models: ids as of :func:`engine.models.find`; none for all that are installed, but for those of tests, and
                for the toy of a checkout.

        Raises:
            BadInput: an unknown model.
        """
        self.device, self.small, self.options = device, small, dict(options or {})
        self.chosen: list[api.ModelInfo] = []
        self._named = bool(models)
        here = [info.id for info in api.catalogue() if info.installed and info.family != "gaussian"]
        names = models or (*here, *TOYS)
        self._infos = [find(name) for name in names]
        self._names = {info.id: name for info, name in zip(self._infos, names, strict=True)}
        self._loaded: tuple[str, api.Model] | None = None

    def models(
        self, suits: Callable[[api.ModelInfo], bool] = lambda _: True, what: str = "model"
    ) -> list[api.ModelInfo]:
        """The models asked for, or installed, that suit an experiment.

        Args:
            what: a kind of model, as it is called in a sentence.

        Raises:
            BadInput: ``no_model``, there is none.
        """
        found = [info for info in self._infos if suits(info)]
        if not found:
            where = "among those given with --model" if self._named else "installed here"
            raise BadInput("no_model", f"This experiment needs a {what}, and there is none {where}; see 'models list'.")
        self.chosen += [info for info in found if info not in self.chosen]
        return found

    def load(self, name: str) -> api.Model:
        """A model by id; the last one stays loaded, so order cells by model.

        Raises:
            EngineError: it cannot be loaded.
        """
        if self._loaded is None or self._loaded[0] != name:
            self._loaded = None  # one at a time
            self._loaded = name, api.load_model(self._names.get(name, name), self.device)
        return self._loaded[1]


@dataclass(frozen=True)
class Experiment:
    """One command of the laboratory.

    Attributes:
        name: on the command line.
        title, claim: what the page says of it; the claim is the report's, one sentence.
        cells: what is to be run, in order. It loads no model; a cell does, by :meth:`Setup.load`.
        conclude: tables, plots, pictures and sentences from the cells that are done.
    """

    name: str
    title: str
    claim: str
    cells: Callable[[Setup], list[Cell]]
    conclude: Callable[[Notebook], list[Section]]
    options: tuple[Option, ...] = ()


def painted(live: Live, job: api.Job, model: api.Model, preset: api.Preset | None = None) -> api.Finished:
    """Run a job of one variant to its end, before the eyes of who looks on.

    Raises:
        EngineError: as :func:`engine.api.run`.
    """
    return watched(live, job, api.run(job, model, preset=preset))


def watched(live: Live, job: api.Job, events: Iterator[Learning | Event]) -> api.Finished:
    """The same of a run that goes on from elsewhere."""
    for event in events:
        if isinstance(event, api.Step):
            live.step(event.call, event.calls, partial(_scene, job, event))
        elif isinstance(event, api.Finished):
            finished = event
    return finished


def _scene(job: api.Job, step: api.Step) -> Scene:
    estimate = canvas.over(job.image[..., :3], step.preview())
    if estimate.dtype != np.uint8:
        estimate = _bytes(canvas.in_unit(estimate))
    halves = step.halves()
    if halves is None:
        return Scene(estimate)
    known, unknown, keep = halves.known, halves.unknown, halves.keep
    merged = keep * known + (1 - keep) * unknown
    return Scene(estimate, *map(_bytes, (np.dstack([known, keep]), np.dstack([unknown, 1 - keep]), merged)))


def _bytes(picture: np.ndarray) -> np.ndarray:
    """(H, W, C) uint8 of 0 … 1."""
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
