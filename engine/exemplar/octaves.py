"""Fills from the picture itself at any size: octave by octave, from the whole down to the grain.

The picture is halved until the area to paint is a few patches wide. There all that is seen at once is decided by a
whole run of the job's sampler and schedule with the exact posterior over all patches. Each finer octave begins with the
picture that its matches say: where a patch of the coarser octave came from, the finer one comes from, too
(so grain is copied and never enlarged). Noise is added to it, and a short run of the same sampler lets the patches
agree at this scale. Its denoiser compares a patch with few places, those that :mod:`engine.exemplar.matching`
remembers, so that the cost is linear in the area. Coarse to fine with matches carried up: Wexler, Shechtman & Irani
2007 (doi 10.1109/TPAMI.2007.60), PatchMatch (Barnes et al. 2009); with noise at every octave and matches remembered
from step to
step: NIFTY (arXiv 2509.22318).

Patches of the coarser octaves also tell how rough the picture is there (:mod:`engine.exemplar.texture`), which colours
no longer show at that size.

Three things let what surrounds the area decide. Known pixels are compared as they are, with the small deviation
:data:`KNOWN_SIGMA`. Of the unknown ones those count most that lie near known ones (:data:`CONFIDENCE`), as matches and
as votes, so that what reaches the area is carried inwards call by call. And a place that the neighbours would go on
with counts as nearer (:data:`COHERENCE`), so that detail stays in one piece.

After the very last call shading is evened out between pieces that were copied from lighter and darker places
(:mod:`engine.exemplar.melding`).
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
import torch

from engine import canvas
from engine.canvas import Box, distance_to_known, smooth_fill
from engine.exemplar import fitting, groups, matching, melding
from engine.exemplar.atlas import Atlas
from engine.exemplar.material import Material, Mixture, planar
from engine.exemplar.patch import SIDE, means, patches, vote_window
from engine.exemplar.targets import RING, Targets

STRIP = 1 << 18
"""Pixels of a sheet that shading is evened out on at a time."""
ROUNDS, ROUNDS_BELOW = 2, 200_000
"""Rounds of :func:`engine.exemplar.matching.improve` in a call. Where so many pixels or more are to be painted it is
one, in twice as many calls, so that none takes long."""
KNOWN_SIGMA = 0.1
"""By how much known pixels may differ from their match; from one elsewhere, also by what its mean colour is apart."""
CONFIDENCE = (0.7, 0.02)
"""Weight of an unknown pixel, for each pixel of distance from what is known; and the least weight."""
COHERENCE = 0.2
"""Share of its squared distance that a place is forgiven if all eight neighbours would go on with it."""
LIVELINESS = 0.15
"""Share of its contrast that is taken off a place's squared distance, for pixels that are not known. What is compared
there is a mean of patches and has lost contrast, so that without it flat places would always be nearest: of a patch of
variance V a mean with variance v is V − v away, but only v from a flat one."""
STEADINESS = 0.5
"""How much a contrast unlike that of the remembered place adds to a place's squared distance: this share of the squared
difference of their roots. So flat places do not creep in at a hole's border."""
VOTE_SIGMA, LAST_VOTE_SIGMA = 2.5, 1.0
"""Deviation in pixels of the weights with which a patch votes for its pixels; in the last call of all they are
narrower, because votes that do not agree blur the grain."""
UNITS = 9
"""Units of progress in a call of the coarsest octave that compares :data:`engine.exemplar.groups.MOST_PAIRS`; a unit is
a millisecond or so of one core."""
CALL, PIXELS = 2, 1000
"""Units of progress in any call of a finer octave, and pixels that are painted in one unit more."""


@dataclass(frozen=True)
class Octave:
    """The picture at one scale.

    Attributes:
        pixels: (H, W, C) float32 in [−1, 1]; unknown ones are 0. Behind the colours come channels of maps
            (:mod:`engine.run.maps`), if there are any, and where it is copied from itself, those of texture
            (:mod:`engine.exemplar.texture`) at all octaves
            but the finest.
        known: (H, W) bool.
        wanted: (H, W) bool, what is to be painted. What is neither known nor wanted is never looked at.
        wraps: (along y, along x): the picture is periodic.
        device: where patches are compared.
        atlas: what it is made of, where it is one.
        cover: (H, W) float32, by how much known pixels count, 0 where unknown; all the same if None.
        elsewhere: another picture that all is copied from.
        shares: (H, W) float32, of a mixture's share, how much holds at each pixel, 0 … 1; all of it if None.
    """

    pixels: np.ndarray
    known: np.ndarray
    wanted: np.ndarray
    wraps: tuple[bool, bool]
    device: torch.device
    atlas: Atlas | None = None
    cover: np.ndarray | None = None
    elsewhere: Material | Mixture | None = None
    shares: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.known.shape

    @property
    def channels(self) -> int:
        return self.pixels.shape[2]

    @cached_property
    def material(self) -> Material | Mixture:
        """What is copied."""
        return self.elsewhere or Material(self.pixels, self.known, self.cover)

    @property
    def source(self) -> np.ndarray:
        return self.material.source

    @property
    def usable(self) -> np.ndarray:
        return self.material.usable

    @property
    def contrast(self) -> np.ndarray:
        return self.material.contrast

    @cached_property
    def box(self) -> Box:
        """The part of the picture that is looked at: what is painted and the patches over it; whole along an axis that
        wraps."""
        box = canvas.bounds(self.wanted)
        starts, lengths = [], []
        for start, extent, length, wraps in zip(
            (box.y, box.x), (box.height, box.width), self.shape, self.wraps, strict=True
        ):
            first, last = max(0, start - SIDE - RING), min(length, start + extent + SIDE + RING)
            if last - first < SIDE:  # near two borders of a small picture
                first, last = 0, length
            starts.append(0 if wraps else first)
            lengths.append(length if wraps else last - first)
        return Box(starts[1], starts[0], lengths[1], lengths[0])

    @cached_property
    def pads(self) -> tuple[int, int]:
        """Rows and columns that the canvas repeats beyond its end, so that a patch never leaves it."""
        down, right = (SIDE - 1 if wraps else 0 for wraps in self.wraps)
        return down, right

    def on_canvas(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, …) → the part in :attr:`box`, with its repetition where it wraps."""
        part = picture[self.box.slices]
        if not any(self.pads):
            return part
        return np.pad(part, [(0, self.pads[0]), (0, self.pads[1])] + [(0, 0)] * (part.ndim - 2), mode="wrap")

    @cached_property
    def periods(self) -> np.ndarray:
        return np.array([length * wraps for length, wraps in zip(self.shape, self.wraps, strict=True)], np.int32)

    @cached_property
    def _to_paint(self) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = np.nonzero(self.wanted[self.box.slices])
        return rows.astype(np.int32), columns.astype(np.int32)

    @property
    def rows(self) -> np.ndarray:
        """(N,) int32, of the pixels to paint, in the box."""
        return self._to_paint[0]

    @property
    def columns(self) -> np.ndarray:
        """(N,) int32, of these."""
        return self._to_paint[1]

    @property
    def pairs(self) -> int:
        """Pairs of a target and a source patch that :meth:`exact` compares."""
        return sum(group.farness.numel() for group in self._groups)

    @property
    def rounds(self) -> int:
        return ROUNDS if len(self.rows) < ROUNDS_BELOW else 1

    @cached_property
    def distance(self) -> np.ndarray:
        """(h, w) float32 on the canvas: from each pixel to the nearest known one."""
        return self.on_canvas(distance_to_known(self.known, self.wraps, cv2.DIST_L2))

    @cached_property
    def targets(self) -> Targets:
        box = self.box.slices
        return Targets.of(self.wanted[box], self.known[box], self.on_canvas(self.wanted), self.wraps)

    def planar(self) -> Octave:
        """The same with the picture's planes one after the other, so that they are no copy of its source."""
        return replace(self, pixels=planar(self.pixels))

    def prepared(self) -> Iterator[None]:
        """Work out what the first call needs, in parts between which a run can stop."""
        for part in ("source", "usable", "contrast", "distance", "targets", "_trust", "_inside", "_near_known"):
            getattr(self, part)
            yield

    def painted(self, x: np.ndarray) -> np.ndarray:
        """(h, w, C), the picture in :attr:`box` with (C, N) pixels painted."""
        picture = self.pixels[self.box.slices].copy()
        picture[self.rows, self.columns] = x.T
        rows, columns, number = self._copies
        picture[rows, columns] = x.T[number]
        return picture

    def smooth(self) -> np.ndarray:
        """(C, N), to begin with: what is known, gone on with smoothly, in the mean colour of what is copied; that alone
        where nothing is known."""
        if not self.known.any():
            empty = np.zeros((self.channels, len(self.rows)), np.float32)
            return empty + self.material.apart(empty)
        smooth = smooth_fill(self.pixels, self.known, self.cover)[self.box.slices][self.rows, self.columns].T
        return smooth if self.elsewhere is None else smooth + self.elsewhere.apart(smooth)

    def nearest(self, x: np.ndarray) -> np.ndarray:
        """(G, 2) int32: the nearest source of every target, where (C, N) is painted."""
        query = patches(self._seen(x, 1.0, own=True)[0], self.targets.top, self.targets.left)
        out = np.empty((len(query), 2), np.int32)
        for group in self._groups:
            group.nearest(query, out)
        return out

    def copied(self, places: np.ndarray) -> np.ndarray:
        """(C, N): the pixels to paint as the matches ``places`` (G, 2) say."""
        return self._voted(places, np.ones(len(places), np.float32), LAST_VOTE_SIGMA)

    def estimate(self, x: np.ndarray, sigma: float, places: np.ndarray, seed: int, last: bool) -> np.ndarray:
        """x̂_0 (C, N) of x_t/√ᾱ (C, N); ``places`` (G, 2) int32 are made better in place.

        Args:
            seed: of the random places, another one for each call.
            last: the last call of the finest octave.
        """
        targets = self.targets
        seen, weights = self._seen(x, sigma)
        unknown = np.where(self._clear, np.float32(0), weights)
        gains = means(unknown)[targets.top, targets.left]
        likings = np.array([COHERENCE, LIVELINESS, STEADINESS], np.float32)
        fixed = self.source, self.usable, self.contrast, targets.top, targets.left, targets.near, self.periods, gains
        radius = min(self.atlas.side if self.atlas and not self.elsewhere else max(self.usable.shape), 0x7FFF)
        twins, others = self._twins
        for turn in range(self.rounds):
            number = (seed * ROUNDS + turn) & 0xFFFFFFFF
            places[:] = matching.improve(seen, weights, *fixed, places, likings, radius, number, self.device)
            places[twins] = places[others]
        return self._voted(places, self._trust, LAST_VOTE_SIGMA if last else VOTE_SIGMA)

    def exact(self, x: np.ndarray, sigma: float) -> np.ndarray:
        """x̂_0 (C, N) of x_t/√ᾱ (C, N), from the exact posterior over all source patches."""
        targets = self.targets
        seen, weights = self._seen(x, sigma, own=True)
        query = patches(seen, targets.top, targets.left)
        heavy = patches(weights[None], targets.top, targets.left)
        mean = torch.empty_like(query)
        for group in self._groups:
            group.average(query, heavy, mean)
        sums = torch.zeros((self.channels + 1, self.box.height * self.box.width))
        groups.voted(mean, self._trust, vote_window(VOTE_SIGMA), self._under, sums)
        votes = sums.view(-1, self.box.height, self.box.width).numpy()[:, targets.rows, targets.columns]
        return self._fitted(np.concatenate([votes[:-1] / np.maximum(votes[-1], 1e-12), votes[-1:]]))

    def melded(self, places: np.ndarray, x: np.ndarray) -> Generator[None, None, np.ndarray]:
        """(C, N): the finished pixels ``x`` with shading that goes on across the borders of copied pieces
        (:mod:`engine.exemplar.melding`)."""
        box, (sheet, rows, columns) = self.box.slices, self._sheet
        cover = self.known if self.cover is None else self.cover
        cover = cover if self.elsewhere is None else np.zeros_like(cover)  # what is there has another light
        given = [self.painted(x), cover[box], self.wanted[box]]
        yield
        steps: Iterable[np.ndarray] = (self._steps(places, axis) for axis in (0, 1))
        strips = [slice(0, self.box.height)]
        if sheet is not None:
            given, packed = [sheet.packed(each) for each in given], []
            for each in steps:
                packed.append(sheet.packed(each))
                yield
            steps = packed
            strips = sheet.strips(STRIP)
        rows, columns = rows[self._inside[0]], columns[self._inside[0]]
        out = x.copy()
        for strip in strips:
            painted, counts, wanted = (each[strip] for each in given)
            change = painted
            for change in melding.changes(painted, (each[strip] for each in steps), counts, wanted, self.wraps):  # noqa: B007
                yield
            here = np.flatnonzero((rows >= strip.start) & (rows < strip.stop))
            out[:, here] += change[rows[here] - strip.start, columns[here]].T
        return out

    def _steps(self, places: np.ndarray, axis: int) -> np.ndarray:
        """(h, w, C) in the box: by how much the next pixel along an axis differs, as the matches say."""
        window = vote_window(LAST_VOTE_SIGMA)
        window[(-1, slice(None)) if axis == 0 else (slice(None), -1)] = 0  # the next pixel may be unknown
        here = self._votes(self.source, places, self._trust, window)
        copied = self._votes(self.source, places + (np.arange(2) == axis).astype(np.int32), self._trust, window)
        copied -= here
        steps = np.zeros((self.box.height, self.box.width, self.channels), np.float32)
        steps[self.targets.rows, self.targets.columns] = copied[:-1].T
        return steps

    @cached_property
    def _groups(self) -> list[groups.Group]:
        """All targets with all source patches; of an atlas, those of each place with the sources there."""
        return groups.of(self)

    @cached_property
    def target_place(self) -> np.ndarray:
        """(G,) int32, the atlas's place of each target."""
        assert self.atlas is not None
        return self.atlas.reached(self.targets.top + self.box.y, self.targets.left + self.box.x)

    @cached_property
    def _twins(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of targets that are another one's on the picture, and of these."""
        if self.atlas is None:
            return np.zeros(0, int), np.zeros(0, int)
        return self.atlas.twins(self.targets.top + self.box.y, self.targets.left + self.box.x, self.target_place)

    @cached_property
    def _copies(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows and columns in the box of pixels that are painted elsewhere on the atlas, and the numbers of these."""
        if self.atlas is None:
            return np.zeros(0, int), np.zeros(0, int), np.zeros(0, int)
        return self.atlas.copies(self._neither, self.box, self.rows, self.columns)

    @cached_property
    def _under(self) -> torch.Tensor:
        """(G, SIDE²), which pixel of the box each pixel of the targets is."""
        along = np.arange(SIDE)
        rows = (self.targets.top[:, None] + along) % self.box.height
        columns = (self.targets.left[:, None] + along) % self.box.width
        return torch.from_numpy((rows[:, :, None] * self.box.width + columns[:, None]).reshape(len(rows), -1))

    def _seen(self, x: np.ndarray, sigma: float, own: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """What is compared and the weights of its pixels, on the canvas; ``own``: for the caller alone, else the same
        arrays at every call."""
        seen, weights = (each.copy() for each in self._still) if own else self._still
        seen[:, self.rows, self.columns] = x
        rows, columns, number = self._copies
        seen[:, rows, columns] = x[:, number]
        self._repeat(seen)
        weights.reshape(-1)[self._unclear] = self._confidence.reshape(-1)[self._unclear] / (2 * sigma**2)
        return seen, weights

    @cached_property
    def _still(self) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`_seen`, of known pixels; 0 elsewhere."""
        sigma = KNOWN_SIGMA
        if self.elsewhere is not None:
            away = self.elsewhere.apart(self.pixels[self.box.slices][self.known[self.box.slices]].T)
            sigma = math.hypot(sigma, float(np.sqrt(np.mean(away**2))))
        weights = np.where(self._clear, self._cover / np.float32(2 * sigma**2), np.float32(0))
        return self.on_canvas(self.pixels).transpose(2, 0, 1).copy(), weights

    @cached_property
    def _unclear(self) -> np.ndarray:
        """Numbers of the canvas's pixels that are painted, here or elsewhere on the atlas."""
        return np.flatnonzero(~(self._clear | self._ignored))

    @cached_property
    def _clear(self) -> np.ndarray:
        """(h, w) bool on the canvas: what is known."""
        return self.on_canvas(self.known)

    @cached_property
    def _cover(self) -> np.ndarray:
        """On the canvas, by how much what is known counts."""
        return np.ones((), np.float32) if self.cover is None else self.on_canvas(self.cover)

    @cached_property
    def _ignored(self) -> np.ndarray:
        """(h, w) bool on the canvas: what is neither known nor wanted, here or elsewhere on the atlas."""
        ignored, (rows, columns, _) = self._neither.copy(), self._copies
        ignored[rows, columns] = False
        return ignored

    @property
    def _neither(self) -> np.ndarray:
        """(h, w) bool on the canvas: what is neither known nor wanted."""
        return self.on_canvas(~(self.known | self.wanted))

    def _repeat(self, seen: np.ndarray) -> None:
        """What the canvas (…, h, w) repeats beyond its end made the same again."""
        down, right = self.pads
        if down:
            seen[..., -down:, :] = seen[..., :down, :]
        if right:
            seen[..., :, -right:] = seen[..., :, :right]

    @cached_property
    def _confidence(self) -> np.ndarray:
        rate, least = CONFIDENCE
        return np.maximum(np.float32(rate) ** self.distance, np.float32(least))

    @cached_property
    def _trust(self) -> np.ndarray:
        """(G,) float32, the weights of the targets' votes: the mean confidence of their pixels."""
        confidence = np.where(self._clear, self._cover, self._confidence)
        return np.ascontiguousarray(means(confidence)[self.targets.top, self.targets.left])

    def _voted(self, places: np.ndarray, trust: np.ndarray, sigma: float) -> np.ndarray:
        return self._fitted(self._votes(self.source, places, trust, vote_window(sigma)))

    def _votes(self, source: np.ndarray, places: np.ndarray, trust: np.ndarray, window: np.ndarray) -> np.ndarray:
        """(C + 1, M): see :func:`engine.exemplar.matching.vote`."""
        these = self.targets
        pixels, over = (these.rows, these.columns), (these.over_row, these.over_column)
        where = *pixels, *over, these.number, these.top, these.left, self.periods
        return matching.vote(source, *where, places, trust, window, self.device)

    def _fitted(self, voted: np.ndarray) -> np.ndarray:
        """(C, N): the votes (C + 1, M) for the pixels to paint, fitted to what is known beside them."""
        inside, ring = self._inside
        beside = ring[voted[-1, ring] > 0]
        rows, columns = self.targets.rows[beside] + self.box.y, self.targets.columns[beside] + self.box.x
        sheet, row, column = self._sheet
        shape = (self.box.height, self.box.width) if sheet is None else sheet.shape
        misses = fitting.misses(self.pixels[rows, columns], voted[:-1, beside].T)
        if self.cover is not None:
            misses[:, :-1] *= self.cover[rows, columns, None]
        near = self._near_known
        places = (row[beside], column[beside]), (row[inside[near]], column[inside[near]])
        out: np.ndarray = np.take(voted[:-1], inside, axis=1)
        out[:, near] += fitting.gone_on(misses, *places, shape, self.wraps).T
        return out

    @cached_property
    def _sheet(self) -> tuple[Atlas | None, np.ndarray, np.ndarray]:
        """Where on an atlas something is painted, packed closer, and rows and columns there of the targets' pixels;
        of one picture it is the box."""
        rows, columns = self.targets.rows, self.targets.columns
        if self.atlas is None:
            return None, rows, columns
        return self.atlas.closer(rows, columns, self.box)

    @cached_property
    def _inside(self) -> tuple[np.ndarray, np.ndarray]:
        """Which of the targets' pixels are to be painted, and which are known."""
        return np.flatnonzero(self.targets.inside), np.flatnonzero(~self.targets.inside)

    @cached_property
    def _near_known(self) -> np.ndarray:
        """Which of the pixels to paint lie so near to known ones that the fit reaches them."""
        return np.flatnonzero(self.distance[self.rows, self.columns] <= fitting.REACH * math.sqrt(2) + 1)
