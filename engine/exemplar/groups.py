"""Which source patches the coarsest octave's targets are compared with, all with all."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from engine.canvas import Box, grown
from engine.exemplar.material import LEAST_SOURCES, Mixture
from engine.exemplar.patch import SIDE, means, patches

if TYPE_CHECKING:
    from engine.exemplar.octaves import Octave

MOST_PAIRS = 400_000
"""Pairs of targets and source patches that are compared in a call of the coarsest octave; where there are more
patches, some of them are taken, evenly spread."""
NEARNESS = 10.0
"""What speaks against a source patch of the coarsest octave for lying far away, in nats at one side of a square of the
area to be painted (a Gaussian prior): what belongs together in a photograph is seldom far apart."""
REACH = 3.0
"""How far away these may be on an atlas, in sides of a square of a place's pixels to paint: :data:`NEARNESS` rules out
others."""

PART, BATCH = 1024, 4096
"""Targets that are compared with all of them at a time, which bounds the memory; and those of several places, about."""

BANDS = 8
"""Shares, from 0 to 1, that count as about the same."""


@dataclass(frozen=True)
class Lean:
    """By how much each of two materials is taken.

    Attributes:
        second: (…, S) bool, which sources are of the second.
        painted: (all targets,), which part of each is to be painted.
        rest: (all targets,), of what is to be painted that is not to come from the second, 0 … 1; alike for all, or as
            a mask has it there.
    """

    second: torch.Tensor
    painted: torch.Tensor
    rest: torch.Tensor

    def leant(
        self, logits: torch.Tensor, targets: torch.Tensor, total: Callable[[torch.Tensor, int], torch.Tensor]
    ) -> torch.Tensor:
        """(…, G, S) of these targets with so much for or against the second material that it has the larger ``total``
        for its share of what they paint. Where a mask gives several shares, targets of about one are those among which
        the ones that suit it better are found: what has been taken for one material suits it ever better, so that
        among all of them a little less than half would soon be nothing. For none where it is 0, for all where 1."""
        second = self.second.unsqueeze(-2)
        those, others = (logits.masked_fill(out, -torch.inf) for out in (~second, second))
        ahead, order = (total(those, -1) - total(others, -1)).sort(-1)
        painted, rest = self.painted[targets], self.rest[targets]
        band, needed = (rest * BANDS).int(), torch.zeros_like(ahead)
        for number in band.unique():
            among = band == number
            until = torch.where(among, painted, 0).gather(-1, order).cumsum(-1)
            last = torch.searchsorted(until, rest * until[..., -1:]).clamp(max=ahead.shape[-1] - 1)
            needed = torch.where(among, ahead.gather(-1, last), needed)
        logits = torch.where(second, logits - needed.unsqueeze(-1), logits)
        never = torch.where(second, (rest >= 1).unsqueeze(-1), (rest <= 0).unsqueeze(-1))
        return logits.masked_fill(never, -torch.inf)


@dataclass(frozen=True)
class Group:
    """Targets that are compared with the same source patches at the coarsest octave; or, with one more dimension in
    front, B places at once, each of whose targets are compared with the sources there.

    Attributes:
        targets: (G,), their numbers; where there are several places one may come more than once.
        rows, columns: (S,), where the source patches begin.
        stock: (S, C · SIDE²), these.
        squares: (S, SIDE²) of them, summed over the channels.
        farness: (G, S), nats against each source patch for each target.
        lean: of two materials, by how much each is to be taken; None where there is one.
    """

    targets: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    stock: torch.Tensor
    squares: torch.Tensor
    farness: torch.Tensor
    lean: Lean | None = None

    @classmethod
    def of(
        cls, octave: Octave, targets: np.ndarray, rows: np.ndarray, columns: np.ndarray, painted: np.ndarray
    ) -> Group:
        """Groups of (…, G) targets and (…, S) sources; ``painted``: (…), pixels to paint, by which farness counts."""
        stock = patches(octave.source, rows.reshape(-1), columns.reshape(-1)).view(*rows.shape, -1)
        squares = stock.view(*rows.shape, len(octave.source), -1).square().sum(-2)
        farness = torch.zeros(())
        begins = octave.targets.top[targets] + octave.box.y, octave.targets.left[targets] + octave.box.x
        there = np.full(rows.shape, octave.elsewhere is not None)
        if isinstance(octave.elsewhere, Mixture):
            there = rows >= len(octave.elsewhere.first.known)
        for begin, source, period in zip(begins, (rows, columns), octave.periods, strict=True):
            apart = _apart(begin, source, period)
            if there.any():
                apart = np.where(there[..., None, :], _apart(*_laid_over(begin, source, source[there])), apart)
            farness = farness + torch.from_numpy(apart).square()
        farness = farness * torch.from_numpy(NEARNESS / painted[..., None, None])
        numbers, down, right = (torch.from_numpy(each) for each in (targets, rows, columns))
        lean = None
        if isinstance(octave.elsewhere, Mixture) and there.any() and not there.all():
            lean = Lean(torch.from_numpy(there), *map(torch.from_numpy, _painted_and_rest(octave, octave.elsewhere)))
        return cls(numbers, down, right, stock, squares, farness.float(), lean)

    def average(self, query: torch.Tensor, heavy: torch.Tensor, out: torch.Tensor) -> None:
        """The posterior means of these targets into ``out``; all three of all targets, (G, C · SIDE²) what is seen,
        (G, SIDE²) the weights of squared differences, and the former again."""
        channels = query.shape[-1] // SIDE**2
        for at, farness in zip(self.targets.split(PART, -1), self.farness.split(PART, -2), strict=True):
            w = heavy[at]
            weighed = query[at] * w.repeat(*[1] * at.dim(), channels)
            logits = 2 * weighed @ self.stock.mT - w @ self.squares.mT - farness
            if self.lean is not None:
                logits = self.lean.leant(logits, at, torch.logsumexp)
            out[at] = torch.softmax(logits, -1) @ self.stock

    def nearest(self, query: torch.Tensor, out: np.ndarray) -> None:
        """The nearest sources, (G, 2), of these targets into ``out``."""
        energy = 0.5 * self.squares.sum(-1)[..., None, :]
        for at in self.targets.split(PART, -1):
            likeness = query[at] @ self.stock.mT - energy
            if self.lean is not None:
                likeness = self.lean.leant(likeness, at, torch.amax)
            best = likeness.argmax(-1)
            places = [each.expand(*at.shape[:-1], -1).gather(-1, best) for each in (self.rows, self.columns)]
            out[at.numpy()] = torch.stack(places, -1).numpy()


def _painted_and_rest(octave: Octave, mixture: Mixture) -> tuple[np.ndarray, np.ndarray]:
    """As of :class:`Lean`."""

    def mean(values: np.ndarray) -> np.ndarray:
        over: np.ndarray = means(octave.on_canvas(values).astype(np.float32))[octave.targets.top, octave.targets.left]
        return over

    painted = mean(octave.wanted)
    if octave.shares is None:
        return painted, np.full(len(painted), 1 - mixture.share, np.float32)
    shares = mean(octave.wanted * octave.shares) / np.maximum(painted, np.float32(1e-6))
    rest = np.where(shares > 1 - 1e-4, 0, np.where(shares < 1e-4, 1, 1 - mixture.share * shares))
    if mixture.share < 1:
        rest = np.maximum(rest, 1 - mixture.share)
    return painted, rest.astype(np.float32)


def _apart(begin: np.ndarray, source: np.ndarray, period: int) -> np.ndarray:
    """(…, G, S) float32, the distances along one side, which is periodic if ``period`` > 0."""
    apart = np.abs(begin[..., :, None] - source[..., None, :]).astype(np.float32)
    return np.minimum(apart, np.abs(float(period) - apart)) if period else apart


def _laid_over(begin: np.ndarray, source: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Where targets lie along one side if the sources ``there``, of another picture, are laid over them, middle over
    middle, and again beside themselves, with that period: neighbours then come from neighbours, and not all from one
    place."""
    first, period = int(there.min()), int(np.ptp(there)) + 1
    middle = (int(begin.min()) + int(begin.max())) // 2
    return (begin - middle + period // 2) % period + first, source, period


def of(octave: Octave) -> list[Group]:
    """All targets with all source patches; of an atlas, those of each place with the sources there."""
    rows, columns = np.nonzero(octave.usable)
    count, atlas = len(octave.targets.top), octave.atlas
    most = max(LEAST_SOURCES, MOST_PAIRS // count)
    if isinstance(octave.elsewhere, Mixture):
        first = np.searchsorted(rows, len(octave.elsewhere.first.known))
        halves = [_some(rows[part], columns[part], most // 2) for part in (slice(first), slice(first, None))]
        rows, columns = (np.concatenate(each) for each in zip(*halves, strict=True))
    if atlas is None:
        return [Group.of(octave, np.arange(count), *_some(rows, columns, most), np.array(len(octave.rows)))]
    whole = Box(0, 0, octave.shape[1], octave.shape[0])
    of_pixel = np.bincount(atlas.number[octave.rows + octave.box.y, octave.columns + octave.box.x])
    order = np.argsort(octave.target_place, kind="stable")
    begins = np.flatnonzero(np.diff(octave.target_place[order], prepend=-1))
    alike: dict[int, list[tuple[np.ndarray, ...]]] = {}
    for targets in np.split(order, begins[1:]):
        number = int(octave.target_place[targets[0]])
        painted = int(of_pixel[number]) if number < len(of_pixel) else 0
        top, left = octave.targets.top[targets] + octave.box.y, octave.targets.left[targets] + octave.box.x
        reached = Box(int(left.min()), int(top.min()), int(np.ptp(left)) + 1, int(np.ptp(top)) + 1)
        near, seen = grown(reached, round(REACH * math.sqrt(painted)) + SIDE, whole), atlas.seen(number)
        y, x = max(seen.y, near.y), max(seen.x, near.x)
        bottom, right = min(seen.y + seen.height, near.y + near.height), min(seen.x + seen.width, near.x + near.width)
        here = np.nonzero(octave.usable[y:bottom, x:right])
        enough = len(here[0]) >= LEAST_SOURCES and not octave.elsewhere
        own = _some(*((here[0] + y, here[1] + x) if enough else (rows, columns)), most)
        alike.setdefault(len(own[0]), []).append((targets, *own, np.array(max(1, painted))))
    return [Group.of(octave, *batch) for places in alike.values() for batch in _batches(places)]


def voted(patches: torch.Tensor, trust: np.ndarray, window: np.ndarray, under: torch.Tensor, out: torch.Tensor) -> None:
    """Adds to (C + 1, pixels): the values of patches (G, C · SIDE²), weighed by the ``trust`` in each and by the place
    in it, and the weights. ``under``: (G, SIDE²), which pixels those of a patch are."""
    within = torch.from_numpy(window).flatten()
    for begin in range(0, len(patches), PART):
        part = patches[begin : begin + PART].view(-1, len(out) - 1, SIDE**2)
        weights = torch.from_numpy(trust[begin : begin + PART, None]) * within
        values = torch.cat([part * weights[:, None], weights[:, None]], 1)
        out.index_add_(1, under[begin : begin + PART].flatten(), values.permute(1, 0, 2).reshape(len(out), -1))


def _batches(places: list[tuple[np.ndarray, ...]]) -> Iterator[list[np.ndarray]]:
    """Places with the same number of sources together, those of about as many targets; where there are fewer, the first
    one comes again."""
    places.sort(key=lambda place: len(place[0]))
    while places:
        most = len(places[-1][0])
        number = max(1, BATCH // most)
        last, places = places[-number:], places[:-number]
        filled = [np.append(each[0], np.full(most - len(each[0]), each[0][0])) for each in last]
        yield [np.stack(filled), *(np.stack([each[k] for each in last]) for k in (1, 2, 3))]


def _some(rows: np.ndarray, columns: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """At most so many of these, evenly spread."""
    if len(rows) <= most:
        return rows, columns
    chosen = np.linspace(0, len(rows) - 1, most).astype(int)
    return rows[chosen], columns[chosen]
