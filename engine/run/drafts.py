"""Wide new areas with a network of textures: first as the picture itself has them, then as the network paints them.

A network sees one window at a time and is not told of any scale, so it can tell neither far away from what is known nor
in a smaller picture what belongs where. So a wide area is first painted from the picture itself, octave by octave
(:mod:`engine.run.by_octaves`): what is large in it has the right size and place. That gets noise of :data:`SIGMA`,
enough to hide which pixels were copied, little enough for its structure to stay (as SDEdit does, Meng et al. 2021,
arXiv 2108.01073), and the network finishes it in one stage, resampling as usual.
"""

from __future__ import annotations

from dataclasses import replace

from engine.run.job import Job
from engine.sampling import RePaintSettings, Schedule, Settings, named

SIGMA = 0.3
"""Deviation of the noise on the draft, of a picture in [−1, 1]; at .5 more of its detail is lost."""
SCHEDULE = (10, 5, 2)
"""Levels from there on, jump length and samples per jump."""
SETTINGS = RePaintSettings(kappa=0.0, eta="model", first_alpha_bar=1 / (1 + SIGMA**2), anchored=True)
FIRST_DRAW = 1 << 31
"""Noise draws of an attempt that count as made by its draft."""


def plan(job: Job, more: float, clip: bool) -> tuple[Schedule, Settings]:
    """Schedule and settings of the network's run. What the job says of steps and jumps holds from the draft's noise on.

    Args:
        more: levels, over the usual number.
        clip: estimates are limited to [−1, 1].

    Raises:
        BadInput: values out of range.
    """
    assert isinstance(job.schedule, str)
    steps, length, samples = SCHEDULE
    steps = job.steps or max(length + 1, round(steps * more))
    length, samples = job.jump_length or length, job.jump_samples or samples
    start = None if job.start_resampling is None else min(job.start_resampling, steps)
    return named(job.schedule, steps, length, samples, start), replace(SETTINGS, clip=clip)


def led_to(settings: Settings) -> bool:
    """Whether settings are those of a run that began with a draft."""
    return replace(settings, clip=SETTINGS.clip) == SETTINGS
