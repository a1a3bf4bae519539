"""Drafts of wide new areas for networks of textures (:mod:`engine.run.drafts`), painted from the picture itself."""

from __future__ import annotations

import logging
from collections.abc import Generator
from dataclasses import replace

import numpy as np

from engine.canvas import stages
from engine.errors import BadInput, EngineError
from engine.models import load
from engine.run import by_octaves
from engine.run.attempts import Attempt
from engine.run.events import Draft, Finished, Pause, Step
from engine.run.painting import Painting

log = logging.getLogger(__name__)


def suits(painting: Painting) -> bool:
    """Whether the area is deeper than the model paints at once, and model and preset begin with a draft there; a
    hand-written schedule is walked as it stands, from pure noise."""
    job, drafted = painting.job, painting.model.geometry.drafted and painting.drafted
    if not drafted or job.known_noise or not isinstance(job.schedule, str):
        return False
    scale = job.scale or 1.0
    return scale * stages.depth(painting.selected > 0, ~painting.known, painting.wraps) > painting.model.geometry.deep


def drafts(painting: Painting, attempt: Attempt) -> Generator[Pause, None, list[np.ndarray] | None]:
    """A draft for each of the attempt's seeds, (region.height, region.width, 3) float32 in the picture's unit; None
    where too little of the picture is known, or memory is too short."""
    found: dict[int, np.ndarray] = {}
    try:
        own = _from_picture(painting)
        if not by_octaves.suits(own) or not np.array_equal(own.selection, painting.selection):
            return None
        only = Attempt(own, list(range(len(attempt.seeds))), attempt.seeds, attempt.number, attempt.number + 1)
        for event in by_octaves.events(own, only, None):
            if isinstance(event, Finished):
                found[event.variant] = event.fill
            if isinstance(event, Step):
                yield Draft(attempt.variants[event.variant], event.preview)
            else:
                yield Pause()
    except EngineError as error:
        if not isinstance(error, BadInput) and error.code != "out_of_memory":
            raise
        log.info("no draft: %s", error.sentence)
        return None
    return [found[number] for number in range(len(found))]


def _from_picture(painting: Painting) -> Painting:
    model = load("exemplar", painting.model.device.type)
    return Painting.of(replace(painting.job, model=model.info.id, learn=None, ring=False), model)
