"""What a run says of itself, in the order in which it happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from engine import canvas
from engine.run.figures import Figures
from engine.run.maps import Map
from engine.run.states import Kept


@dataclass(frozen=True)
class Note:
    """Something to tell of a run that goes on nonetheless, in one sentence; comes before its first step."""

    sentence: str


@dataclass(frozen=True)
class Pause:
    """Nothing to tell, but a chance to stop: comes between steps that lie far apart."""


@dataclass(frozen=True)
class Draft(Pause):
    """What a variant (0-based) will begin with, as far as it is painted (:mod:`engine.run.drafts`)."""

    variant: int
    _preview: Callable[[bool], np.ndarray] = field(repr=False)

    def preview(self) -> np.ndarray:
        """As of :meth:`Step.preview`. Costs when called."""
        return self._preview(False)


@dataclass(frozen=True)
class Halves:
    """x_t as its two halves (Lugmayr et al. 2022, Fig. 2), of what the network sees: (h, w, 3) float32, 0 … 1.

    Attributes:
        known: the known picture with this level's noise; ``unknown``: what the network has made of it all.
        keep: (h, w, 1), 1 where the first one counts, 0 where the other does.
    """

    known: np.ndarray
    unknown: np.ndarray
    keep: np.ndarray


@dataclass(frozen=True)
class Step:
    """After one network call of one variant (0-based). ``seconds`` is the time since the run began.

    What is too deep or too large for one run is painted in stages (:mod:`engine.canvas.stages`); calls count through
    them.
    """

    variant: int
    call: int
    calls: int
    seconds: float
    _preview: Callable[[bool], np.ndarray] = field(repr=False)
    _keep: Callable[[], Kept] = field(repr=False)
    _halves: Callable[[], Halves] | None = field(default=None, repr=False)
    _maps: Callable[[], list[np.ndarray]] | None = field(default=None, repr=False)

    def preview(self, full: bool = False) -> np.ndarray:
        """The present estimate as a layer, (H, W, 4) as of :func:`engine.canvas.layer`, 0 in stages to come. Costs when
        called.

        Of a latent model it is a cheap glance, unless ``full`` asks for what would be kept.
        """
        return self._preview(full)

    def map_layers(self) -> list[np.ndarray]:
        """The same of the job's maps, each of its own type. Costs when called."""
        return self._maps() if self._maps is not None else []

    def keep(self) -> Kept:
        """The state after this call, to be saved, resumed or branched from. Copies the tensors."""
        return self._keep()

    def halves(self) -> Halves | None:
        """What the next call is given, to be looked at; None where a picture is painted octave by octave."""
        return self._halves() if self._halves is not None else None


@dataclass(frozen=True)
class Finished:
    """A variant is done: its seed, its calls and its pixels.

    Attributes:
        fill: the new area's own colour, (region.height, region.width, 3) float32 in the picture's unit: in [0, 1] for
            integers, for floats as they are.
        region: the box around the selection.
        windows: evaluations of the network, each of one window: what the run cost. Guidance makes two of one,
            perturbed attention makes one more.
        image: (H, W, 4), the job's picture.
        ring: with ``job.ring``, the mean colour difference CIEDE2000 across the border before and after.
        maps, map_fills: the job's maps, and the new area of each, as ``fill`` in its own unit.
    """

    variant: int
    seed: int
    calls: int
    seconds: float
    fill: np.ndarray = field(repr=False)
    region: canvas.Box
    windows: int
    selection: np.ndarray = field(repr=False)
    image: np.ndarray = field(repr=False)
    _figures: Callable[[Finished], Figures] = field(default=lambda _: Figures(), repr=False)
    ring: tuple[float, float] | None = None
    maps: tuple[Map, ...] = field(default=(), repr=False)
    map_fills: tuple[np.ndarray, ...] = field(default=(), repr=False)

    def figures(self) -> Figures:
        """How well it joins. Costs when called."""
        return self._figures(self)

    def layer(self) -> np.ndarray:
        """The layer to show over the picture, (H, W, 4) of its type, see :func:`engine.canvas.layer`."""
        return canvas.layer(self.fill, self.selection, self.region, self.image)

    def map_layers(self) -> list[np.ndarray]:
        """The same of each map, (H, W, 4) of its type."""
        return [
            canvas.layer(fill, self.selection, self.region, each.pixels)
            for each, fill in zip(self.maps, self.map_fills, strict=True)
        ]


Event = Note | Pause | Step | Finished
