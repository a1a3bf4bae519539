"""A job in the hands of its model: what all of its stages, octaves and variants share, checked and worked out once."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from engine import canvas
from engine.canvas import Box, Light, Wraps, grain, hills, palette
from engine.errors import BadInput
from engine.models import Model
from engine.run import maps, ring
from engine.run.job import Job, check_source, checked_selection, looked_at, preset_of, resolve
from engine.sampling import Guide, Preset, Schedule, Settings

ATTEMPT_DRAWS = 1 << 32
"""Noise draws set apart for each attempt, so that none repeats another's noise and a kept state tells which one it is
of."""
ATTEMPTS, LARGE_ATTEMPTS = 6, 3
"""How often a tile is painted at most, where its seam shows; and one that is painted octave by octave."""

NO_SOURCES = (
    "The model {model} paints what it has learned and takes no sources; choose another model, or leave them out."
)


@dataclass(frozen=True)
class Painting:
    """A job and its model.

    Attributes:
        selection: (H, W) uint8, as it acts.
        near: the part of the picture that a fill can look at.
        image, selected: picture, its alpha :func:`~engine.canvas.in_relation`, and selection in ``near``.
        cover: (H, W) float32 as of :func:`engine.canvas.cover`, in ``near``; None where no pixel is partly transparent.
        light: the way of the picture's values to the model and back.
        colours: (N, 3) float32 in the picture's unit, which the fill keeps to; None where it may have any.
        region: the box around the selection, in the picture.
        wraps: whether the picture is periodic (along y, along x).
        schedule, settings: that preset and job ask for.
        finer: network calls at finer octaves, over the usual number.
        label: number of the class; None without one.
        guide: what the words mean to the model; None for a model without prompts.
    """

    job: Job
    model: Model
    selection: np.ndarray
    near: Box
    image: np.ndarray
    selected: np.ndarray
    cover: np.ndarray | None
    light: Light
    colours: np.ndarray | None
    region: Box
    wraps: Wraps
    schedule: Schedule
    settings: Settings
    finer: float
    drafted: bool
    label: int | None
    guide: Guide | None

    @classmethod
    def of(cls, job: Job, model: Model, preset: Preset | None = None) -> Painting:
        """All checks that need no network; ``preset`` as in :func:`engine.run.run`.

        Raises:
            BadInput: the job cannot be carried out, or not by this model.
        """
        drafted = preset is None and preset_of(job).drafted
        preset = preset or preset_of(job).of(model.prediction)
        schedule, settings = resolve(job, preset)
        seen = job.image if model.exemplar is None else looked_at(job)
        (selection, own), wraps = checked_selection(job, seen), canvas.axes(job.wrap)
        if job.source is not None and model.exemplar is None:
            raise BadInput("bad_source", NO_SOURCES.format(model=model.info.title))
        check_source(job)
        maps.check(job)
        if job.maps and model.exemplar is None:
            raise BadInput("bad_maps", maps.OTHER_MODEL.format(model=model.info.title))
        if job.scale:
            canvas.checked_scale(job.scale, canvas.bounds(selection), sys.maxsize)
        if not 0 <= job.classifier_scale <= 100:
            raise BadInput("bad_guidance", f"The classifier scale must be 0 to 100, not {job.classifier_scale}.")
        if job.known_noise and model.exemplar is not None:
            sentence = (
                f"The model {model.info.title} copies the picture as it is, noise too; leave its known noise at 0."
            )
            raise BadInput("bad_noise", sentence)
        interval = (job.guidance_start, job.guidance_stop)
        guide = model.guide(job.prompt, job.negative, job.guidance, interval, job.pag_scale)
        near = canvas.surroundings(selection, job.padding, wraps)
        selected = selection[near.slices]
        image = canvas.in_relation(seen[near.slices], selected)
        light = Light.of(*_told_by(job, image, selected == 0), job.linear, network=model.exemplar is None)
        if guide is not None or job.label is not None:
            light = replace(light, gray=False)  # what was asked for may have a colour
        colours = None if own is None else canvas.in_unit(own)
        if light.limits != (-1, 1) or job.maps:
            settings = replace(settings, clip=False)
        painting = cls(
            job, model, selection, near, image, selected, canvas.cover(image), light, colours,
            canvas.bounds(selection), wraps, schedule, settings, preset.finer, drafted, model.label_number(job.label),
            guide,
        )  # fmt: skip
        if job.maps and painting.known.any():
            assert painting.stack is not None
        return painting

    @cached_property
    def known(self) -> np.ndarray:
        """(H, W) bool, in ``near``: where a colour counts, and every map has a value."""
        known = (self.selected == 0) & (canvas.opaque(self.image) if self.cover is None else self.cover > 0)
        if not self.job.maps:
            return known
        return maps.usable(self.job.maps, self.near, known, self.job.scale or 1.0)

    @cached_property
    def stack(self) -> maps.Stack | None:
        """The maps, as further channels; None where there are none."""
        if not self.job.maps:
            return None
        return maps.Stack.of(self.job, self.near, self.known, self.light.encoded(self.image[..., :3]))

    @property
    def known_noise(self) -> float:
        """τ of what is known, as the model sees it."""
        return self.job.known_noise / 255 * 2 / (self.light.high - self.light.low)

    def final(self, fill: np.ndarray) -> tuple[np.ndarray, tuple[float, float] | None]:
        """The fill of a finished run, (H, W, 3) float32 in the picture's unit, in the colours that it keeps to; of a
        deep picture with hills that go on and as much detail as there is beside. And where its ring was asked for, how
        far that was apart and is now, see :func:`engine.run.ring.agreeing`."""
        if self.colours is not None:
            return palette.nearest(fill, self.colours), None
        place, apart = replace(self.region, x=self.region.x - self.near.x, y=self.region.y - self.near.y), None
        if self.job.ring:
            fill, apart = ring.agreeing(fill, place, self.image, self.selected, self.known, self.light)
        if self.image.dtype == np.uint8 or self.job.source is not None or self.job.maps:
            return fill, apart
        around = place, self.image, self.selected, self.light, self.wraps
        fill = hills.settled(fill, *around[:-1])
        return grain.regrained(grain.calmed(fill, *around), *around), apart


def _told_by(job: Job, image: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Picture and known pixels that tell the light: with a source those of both, in one row."""
    if job.source is None:
        return image, known
    both = np.concatenate([image[known], job.source[canvas.opaque(job.source)]])[None]
    return both, np.ones(both.shape[:2], bool)
