"""The run of a job: the request, what is said on the way, and states to go on from.

A :class:`Job` and its model make a :class:`engine.run.painting.Painting`; :mod:`engine.run.staged` or
:mod:`engine.run.by_octaves` paints it; :func:`run` and :func:`resume` are the ways in.
"""

from engine.run.events import Draft, Event, Finished, Note, Pause, Step
from engine.run.figures import Figures
from engine.run.job import Job, resolve, seeds
from engine.run.maps import Map
from engine.run.painting import ATTEMPTS
from engine.run.runs import SEAM_SHOWS, resume, run, warm_up
from engine.run.staged import SMALLER_PARTS
from engine.run.states import Cache, Kept

__all__ = [
    "ATTEMPTS",
    "SEAM_SHOWS",
    "SMALLER_PARTS",
    "Cache",
    "Draft",
    "Event",
    "Figures",
    "Finished",
    "Job",
    "Kept",
    "Map",
    "Note",
    "Pause",
    "Step",
    "resolve",
    "resume",
    "run",
    "seeds",
    "warm_up",
]
