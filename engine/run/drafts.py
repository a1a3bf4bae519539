"""Wide new areas with a network of textures: first as the picture itself has them, then as the network paints them.

A network sees one window at a time and is not told of any scale, so it can tell neither far away from what is known nor
in a smaller picture what belongs where. So a wide area is first painted from the picture itself, octave by octave
(:mod:`engine.run.by_octaves`): what is large in it has the right size and place. That gets noise of :data:`SIGMA`,
enough to hide which pixels were copied, little enough for its structure to stay (as SDEdit does, Meng et al. 2021,
arXiv 2108.01073), and the network finishes it in one stage, resampling as usual.
"""

from __future__ import annotations

from dataclasses import replace

from engine.sampling import RePaintSettings, Schedule, Settings, uniform

SIGMA = 0.3
"""Deviation of the noise on the draft, of a picture in [−1, 1]; at .5 more of its detail is lost."""
SCHEDULE = (10, 5, 2)
"""Levels from there on, jump length and samples per jump."""
SETTINGS = RePaintSettings(kappa=0.0, eta="model", first_alpha_bar=1 / (1 + SIGMA**2), anchored=True)
FIRST_DRAW = 1 << 31
"""Noise draws of an attempt that count as made by its draft."""


def plan(more: float, clip: bool) -> tuple[Schedule, Settings]:
    """Schedule and settings of the network's run.

    Args:
        more: levels, over the usual number.
        clip: estimates are limited to [−1, 1].
    """
    steps, length, samples = SCHEDULE
    return uniform(max(length + 1, round(steps * more)), length, samples), replace(SETTINGS, clip=clip)


def led_to(settings: Settings) -> bool:
    """Whether settings are those of a run that began with a draft."""
    return replace(settings, clip=SETTINGS.clip) == SETTINGS
