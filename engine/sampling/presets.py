"""Presets: points of one family (T, L, n, κ, variance, corrections), named in plain words."""

from __future__ import annotations

from dataclasses import dataclass

from engine.sampling.sampler import Settings
from engine.sampling.schedule import Schedule, uniform


@dataclass(frozen=True)
class Preset:
    """A named setting of the sampler; single values can be overridden by a job.

    Attributes:
        finer: network calls at the finer octaves of :mod:`engine.exemplar.octave_run`, over the usual number.
    """

    name: str
    title: str
    steps: int
    jump_length: int
    jump_samples: int
    settings: Settings
    finer: float = 1.0

    @property
    def schedule(self) -> Schedule:
        return uniform(self.steps, self.jump_length, self.jump_samples)

    @property
    def calls(self) -> int:
        """Network calls of one variant."""
        return self.settings.calls(self.schedule)


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "fast",
            "Fast (75 calls)",
            40,
            5,
            2,
            Settings(kappa=0.0, models_eta=True, first_alpha_bar=0.0004, anchored=True),
        ),
        Preset(
            "quality",
            "Quality (115 calls)",
            20,
            20,
            1,
            Settings(spacing="karras", corrections=5),
            finer=1.5,
        ),
        Preset("repaint", "RePaint, the paper's reference (2410 calls)", 250, 10, 10, Settings(variance="auto"), 3.0),
    )
}
DEFAULT_PRESET = "fast"
