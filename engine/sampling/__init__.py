"""Sampling by the papers: schedules, the diffusion process, RePaint, its corrector, guidance, presets of these."""

from engine.sampling.anchor import Anchor
from engine.sampling.corrector import CorrectorSettings, sampler_of
from engine.sampling.diffusion import (
    LEAST_ALPHA_BAR,
    Diffusion,
    Network,
    Prediction,
    cosine_alpha_bar,
    flow_alpha_bar,
    linear_alpha_bar,
)
from engine.sampling.fusion import windowed
from engine.sampling.guidance import Guide, Words, conditioned, left_out
from engine.sampling.noise import MAX_SEED, Noise
from engine.sampling.presets import DEFAULT_PRESET, PRESETS, Preset
from engine.sampling.sampler import Guidance, RePaintSettings, Settings, State, calls_left
from engine.sampling.schedule import Schedule, named, plain
from engine.sampling.space import Entered, Known, Pixels, Space

__all__ = [
    "DEFAULT_PRESET",
    "LEAST_ALPHA_BAR",
    "MAX_SEED",
    "PRESETS",
    "Anchor",
    "CorrectorSettings",
    "Diffusion",
    "Entered",
    "Guidance",
    "Guide",
    "Known",
    "Network",
    "Noise",
    "Pixels",
    "Prediction",
    "Preset",
    "RePaintSettings",
    "Schedule",
    "Settings",
    "Space",
    "State",
    "Words",
    "calls_left",
    "conditioned",
    "cosine_alpha_bar",
    "flow_alpha_bar",
    "left_out",
    "linear_alpha_bar",
    "named",
    "plain",
    "sampler_of",
    "windowed",
]
