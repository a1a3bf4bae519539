"""Presets: points of one family (T, L, n, κ, variance, corrections), named in plain words."""

from __future__ import annotations

from dataclasses import dataclass

from engine.sampling.corrector import CorrectorSettings
from engine.sampling.diffusion import Prediction
from engine.sampling.sampler import RePaintSettings, Settings
from engine.sampling.schedule import Schedule, uniform


@dataclass(frozen=True)
class Preset:
    """A named setting of the sampler; single values can be overridden by a job.

    Attributes:
        finer: network calls at the finer octaves of :mod:`engine.exemplar.octave_run`, over the usual number.
        flow: in its place for flow models; None: it is for these as well.
        drafted: networks of textures begin deep holes with a draft (:mod:`engine.run.drafts`).
    """

    name: str
    label: str
    steps: int
    jump_length: int
    jump_samples: int
    settings: Settings
    finer: float = 1.0
    flow: Preset | None = None
    drafted: bool = True

    def of(self, prediction: Prediction) -> Preset:
        """The preset as a model of this prediction is sampled with it."""
        return self.flow if self.flow is not None and prediction == "flow" else self

    @property
    def schedule(self) -> Schedule:
        return uniform(self.steps, self.jump_length, self.jump_samples)

    @property
    def title(self) -> str:
        return f"{self.label} ({self.calls} calls)"

    @property
    def calls(self) -> int:
        """Network calls of one variant."""
        return self.settings.calls(self.schedule)


FAST = (40, 5, 2)
"""Levels, jump length and samples per jump: chosen for the pictures that they give for their calls, on procedural ones
(docs/reports/comparison.md), as was where they begin:"""
FAST_ALPHA_BAR = 0.0004
"""σ = 50, of which next to nothing is seen of a picture."""

FLOW_STEPS = 50
"""Levels of *fast* for flow models, without jumps: docs/reports/latent.md."""

PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "fast",
            "Fast",
            *FAST,
            RePaintSettings(kappa=0.0, eta="model", first_alpha_bar=FAST_ALPHA_BAR, anchored=True),
            flow=Preset(
                "fast",
                "Fast",
                FLOW_STEPS,
                FLOW_STEPS,
                1,
                RePaintSettings(kappa=0.0, eta="flow", first_alpha_bar=FAST_ALPHA_BAR, anchored=True),
            ),
        ),
        Preset(
            "quality",
            "Quality",
            20,
            20,
            1,
            CorrectorSettings(spacing="karras", corrections=5),
            finer=1.5,
        ),
        Preset(
            "repaint",
            "RePaint, the paper's reference",
            250,
            10,
            10,
            RePaintSettings(variance="auto"),
            3.0,
            drafted=False,
        ),
    )
}
DEFAULT_PRESET = "fast"
