"""The run of a job: the request, what is said on the way, and states to go on from."""

from engine.run.events import Event, Finished, Note, Pause, Step
from engine.run.job import Job, checked_selection, resolve, seeds
from engine.run.states import Cache, Kept, OctavePlace, branched, calls_left

__all__ = [
    "Cache",
    "Event",
    "Finished",
    "Job",
    "Kept",
    "Note",
    "OctavePlace",
    "Pause",
    "Step",
    "branched",
    "calls_left",
    "checked_selection",
    "resolve",
    "seeds",
]
