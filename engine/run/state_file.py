"""What a state file may say. It may come from anybody, so it is held against what a run of this version would write:
names, types, sizes and ranges before a pixel is read, and what the parts of a state say of each other afterwards."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import safe_open

from engine import canvas
from engine.exemplar import octave_run
from engine.run import drafts, maps
from engine.run.job import check_source, checked_selection, preset_of, resolve
from engine.run.painting import ATTEMPT_DRAWS, ATTEMPTS
from engine.sampling import MAX_SEED, CorrectorSettings
from engine.untrusted import parsed, require_file

if TYPE_CHECKING:
    from engine.run.states import Kept

MAX_HEADER = 16 << 20
"""Bytes of the header, in which everything but the tensors stands: levels, a colour profile."""
MAX_UNITS = 10**12
"""Units of progress that any run can have."""
MAX_SCALE = 4
"""Model pixels per picture pixel."""
MAX_VALUE = 1e6
"""Of a number in a sampler's tensor; the noisiest known have some hundreds."""
TENSORS = {
    "image": ("U8 U16 F16 F32", 3),
    "selection": ("U8", 2),
    "original": ("U8 U16 U32 I16 I32 F16 F32", 3),
    "source": ("U8 U16 F16 F32", 3),
    "share_mask": ("U8", 2),
    "painted": ("F32", 3),
    "x": ("F32", 4),
    "x0_hat": ("F32", 4),
    "drift": ("F32", 4),
    "coarsest": ("F32", 4),
    "matches": ("I32", 2),
}
"""Number type and dimensions of each tensor."""
TENSORS |= {f"map-{number}": TENSORS["image"] for number in range(maps.MAX_MAPS)}


def read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The header's object and the tensors, if they are of the sizes that the picture allows.

    Raises:
        BadInput: no such file, or no file at all.
        Exception: whatever a file that is no state makes libraries raise.
    """
    require_file(path)
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER:
        raise ValueError(f"a header of {length} bytes")
    with safe_open(path, framework="pt") as file:
        meta = parsed((file.metadata() or {})["meta"])
        if not isinstance(meta, dict):
            raise ValueError("no object in the header")
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        _check_sizes({name: (each.get_dtype(), tuple(each.get_shape())) for name, each in slices.items()})
        return meta, {name: file.get_tensor(name) for name in slices}


def _check_sizes(tensors: dict[str, tuple[str, tuple[int, ...]]]) -> None:
    for name, (dtype, shape) in tensors.items():
        known = TENSORS[name]
        if dtype not in known[0].split() or len(shape) != known[1] or min(shape) < 1:
            raise ValueError(f"tensor {name} {shape} of {dtype}")
    height, width, _ = tensors["image"][1]
    channels = 3 + 3 * sum(name.startswith("map-") for name in tensors)
    most = channels * MAX_SCALE**2 * height * width + (1 << 22)  # a small picture is seen with a border
    for name, (_, shape) in tensors.items():
        if name in ("selection", "original", "share_mask") and shape[:2] != (height, width):
            raise ValueError(f"tensor {name} {shape} of another size than the picture")
        if name == "original" and shape[2] > 4:
            raise ValueError(f"tensor {name} {shape} of too many channels")
        if name == "source":
            if max(shape[:2]) > canvas.MAX_SIDE or shape[2] != 4:
                raise ValueError(f"tensor {name} {shape}")
        elif math.prod(shape) > most:
            raise ValueError(f"tensor {name} {shape} is too large for the picture")


def check(kept: Kept) -> None:
    """Raise ValueError, or the job's own BadInput, unless these values can stand together."""
    state, job, levels = kept.state, kept.job, kept.schedule.levels
    region = canvas.bounds(checked_selection(job)[0])
    resolve(job)
    check_source(job)
    maps.check(job)
    if job.scale:
        canvas.checked_scale(job.scale, region, sys.maxsize)
    _require(not set("/\\") & set(job.model.removeprefix("test/")), "the model is a path")
    _require(0 <= kept.seed <= MAX_SEED, "the seed")
    _require(kept.painted is None or kept.painted.shape == (region.height, region.width, 3), "what is painted")
    _require(kept.painted is None or bool(np.isfinite(kept.painted).all()), "a number of what is painted")
    _require(state.x.shape[0] == 1 and state.x.shape == state.x0_hat.shape, "shapes")
    _require(state.drift is None or state.drift.shape == state.x.shape, "the shape of the drift")
    numbers: list[Any] = [state.x, state.x0_hat, state.drift, kept.octave and kept.octave.coarsest]
    for tensor in numbers:
        _require(tensor is None or bool(abs(tensor).max() <= MAX_VALUE), "a number of a tensor")  # NaN is not
    _check_settings(kept)
    most = preset_of(job).settings.calls_at(1) - 1
    _require(0 <= state.position < len(levels), "the position")
    _require(0 <= state.corrections <= most, "the corrections made")
    if state.corrections:
        level, below = levels[state.position : state.position + 2]
        _require(below < level > 0, "corrections at a level that has none")
    walked = sum(s < t for t, s in pairwise(levels[: state.position + 1]))
    _require(walked <= state.call <= (walked + 1) * (most + 1), "the call's number")
    _require(1 <= kept.attempts <= (ATTEMPTS if job.wrap else 1), "the attempts")
    _require(0 <= state.draws < ATTEMPTS * ATTEMPT_DRAWS, "the draws")
    _require(kept.stage >= 0, "the stage")
    counts = [kept.before, kept.after, kept.octave.finer if kept.octave else 0]
    weights = [kept.octave.weight, kept.octave.first] if kept.octave else [1]
    _require(min(counts) >= 0 and min(weights) >= 1 and max(counts + weights) <= MAX_UNITS, "the units of progress")


def _check_settings(kept: Kept) -> None:
    """Those of the preset, or of octaves; a branch may make fewer corrections."""
    preset, settings = preset_of(kept.job).settings, kept.settings
    if isinstance(settings, CorrectorSettings) and isinstance(preset, CorrectorSettings):
        _require(1 <= settings.corrections <= preset.corrections, "the corrections")
        preset = replace(preset, corrections=settings.corrections)
    usual = [preset, preset.with_eta(None), octave_run.FINE_SETTINGS, drafts.SETTINGS]
    flow = preset_of(kept.job).flow
    if flow is not None:
        usual.append(flow.settings)
    _require(not drafts.led_to(settings) or isinstance(kept.job.schedule, str), "a draft's schedule")
    _require(settings in [replace(each, clip=settings.clip) for each in usual], "the settings")


def _require(fine: bool, what: str) -> None:
    if not fine:
        raise ValueError(f"{what}: no run can have come there")
