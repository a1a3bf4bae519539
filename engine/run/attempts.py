"""Tiles whose seam shows are painted again with other noise; all else in one attempt."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from engine.canvas import seam
from engine.run import figures
from engine.run.events import Finished
from engine.run.painting import ATTEMPT_DRAWS, Painting


@dataclass(frozen=True)
class Attempt:
    """Which one of ``most`` it is at most, 0 …, what was spent by the ones before it, and when the first one began.

    Attributes:
        variants, seeds: number and seed of each variant that it paints.
    """

    painting: Painting
    variants: list[int]
    seeds: list[int]
    number: int
    most: int
    began: float = field(default_factory=time.monotonic)
    calls: int = 0
    windows: int = 0
    _again: list[Finished] = field(default_factory=list)

    @property
    def draws(self) -> int:
        """Noise draws that count as made when it begins."""
        return self.number * ATTEMPT_DRAWS

    @property
    def seconds(self) -> float:
        """Since the first one began."""
        return time.monotonic() - self.began

    @property
    def tells(self) -> bool:
        """Whether notes are news; what there is to tell has been told by the ones before it."""
        return self.calls == 0

    def judged(self, finished: Finished) -> Iterator[Finished]:
        """A finished variant, with its figures; none where it is to be painted again."""
        finished = replace(finished, _figures=partial(figures.of, self.painting))
        if self.number + 1 < self.most and figures.tile_jump(self.painting, finished) > seam.SHOWS_ABOVE:
            self._again.append(finished)
        else:
            yield finished

    def following(self) -> Attempt | None:
        """The attempt at what is to be painted again; None if all is well."""
        if not self._again:
            return None
        spent, variants = self._again[-1], [each.variant for each in self._again]
        seeds = [self.seeds[self.variants.index(each)] for each in variants]
        return Attempt(
            self.painting, variants, seeds, self.number + 1, self.most, self.began, spent.calls, spent.windows
        )
