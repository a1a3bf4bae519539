"""What the jury compares: presets, ad-hoc settings, rivals, and the truth itself."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import engine
from engine import api, canvas
from engine.bench.cases import Case, rolled, rolled_back
from engine.bench.rivals import RIVALS, Rival
from engine.errors import BadInput
from engine.learning import adapt
from engine.sampling import PRESETS, CorrectorSettings, Preset, RePaintSettings, Settings

EXEMPLAR_CODE = ("exemplar/*.py", "canvas/smooth.py")
"""Modules of the engine that the exemplar model's pictures depend on."""
FIRST_SEED = 1000
"""Seed of the jury's run 0."""

_REPAINT = re.compile(r"(\d+)/(\d+)/(\d+)/([\d.]+)/(small|large|learned|0?\.\d+|[01])")
_CORRECTOR = re.compile(r"corrector/(\d+)/(\d+)/([\d.]+)/([\d.]+)")


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Attributes:
        paint: (case, seed) → (picture (H, W, 3) uint8 with the fill over the known pixels, network calls, every
            window counted).
        ours: a setting of this engine's sampler.
        seeded: whether another seed gives another picture.
        key: text that changes when the results must be made again.
        prepare: what is kept for later once it was done for a case, and counts as no part of painting it.
    """

    name: str
    title: str
    paint: Callable[[Case, int], tuple[np.ndarray, int]]
    ours: bool
    seeded: bool
    key: str
    prepare: Callable[[Case], None] | None = None


def truth() -> Method:
    """The picture that was cut off: what honest content scores."""
    return Method("truth", "the truth", lambda case, _seed: (case.truth, 0), ours=False, seeded=False, key="truth")


def rivals(names: list[str] | None = None) -> list[Method]:
    """The rivals that can run here, or those of ``names``.

    Raises:
        BadInput: an unknown name, or one that cannot run here.
    """
    chosen = [RIVALS[name] for name in _checked(names)] if names is not None else list(RIVALS.values())
    missing = [rival for rival in chosen if not rival.here()]
    if missing and names is not None:
        raise BadInput("rival_missing", f"{missing[0].title} is not installed here; install it or leave it out.")
    return [_rival(rival) for rival in chosen if rival.here()]


def _checked(names: list[str]) -> list[str]:
    for name in names:
        if name not in RIVALS:
            raise BadInput("rival_missing", f"There is no rival named {name!r}; choose from {', '.join(RIVALS)}.")
    return names


def _rival(rival: Rival) -> Method:
    def paint(case: Case, _seed: int) -> tuple[np.ndarray, int]:
        filled = rival.fill(case.holed, case.new).astype(np.float32) / 255
        height, width = case.selection.shape
        return canvas.composite(case.truth, case.selection, filled, canvas.Box(0, 0, width, height)), 0

    return Method(rival.name, rival.title, paint, ours=False, seeded=False, key=rival.name)


def ours(spec: str, model: api.Model, learn: float | None = None) -> Method:
    """A preset by name, or ad-hoc settings.

    Args:
        spec: a name of :data:`engine.sampling.presets.PRESETS`; or T/L/n/κ/variance or T/L/n/κ/η, e.g.
            ``50/5/2/0/small``; or corrector/levels/steps/λ/dt, e.g. ``corrector/20/5/5/0.8``.
        learn: seconds to learn the known pixels first.

    Raises:
        BadInput: neither.
    """
    preset = preset_of(spec)

    def job_of(case: Case, seed: int) -> api.Job:
        image = np.dstack([case.holed, np.full(case.selection.shape, 255, np.uint8)])
        return api.Job(
            rolled_back(image) if case.wrap else image,
            rolled_back(case.selection) if case.wrap else case.selection,
            model=model.info.id,
            seed=FIRST_SEED + seed,
            wrap=case.wrap,
            learn=learn,
        )

    def prepare(case: Case) -> None:
        """What the model learns is kept: the first step comes after it."""
        for event in api.run(job_of(case, 0), model, preset=preset):
            if isinstance(event, api.Step):
                return

    def paint(case: Case, seed: int) -> tuple[np.ndarray, int]:
        *_, last = api.run(job_of(case, seed), model, preset=preset)
        assert isinstance(last, api.Finished)
        layer = rolled(last.layer()) if case.wrap else last.layer()
        return canvas.over(case.truth, layer), last.windows

    levels = f"{preset.steps}/{preset.jump_length}/{preset.jump_samples}"
    facts = model.settings(preset.settings), model.geometry, model.anchor, fingerprint(model), model.device.type, learn
    key = " ".join(map(str, (levels, *facts)))
    name, title = f"{model.info.id}-{spec}", f"{model.info.id}: {preset.title}"
    if learn is not None:
        key += hashlib.sha256(Path(adapt.__file__).read_bytes()).hexdigest()[:12]  # how it learns stands in the code
        name, title = f"{name}-learned-{learn:g}s", f"{title}, learned for {learn:g} s"
    return Method(name, title, paint, ours=True, seeded=True, key=key, prepare=None if learn is None else prepare)


def preset_of(spec: str) -> Preset:
    """The preset of that name, or one made of ad-hoc settings."""
    if spec in PRESETS:
        return PRESETS[spec]
    settings: Settings
    if match := _REPAINT.fullmatch(spec):
        steps, length, samples = (int(match[k]) for k in (1, 2, 3))
        if match[5].isalpha():
            settings = RePaintSettings(kappa=float(match[4]), variance=match[5])  # type: ignore[arg-type]
        else:
            settings = RePaintSettings(kappa=float(match[4]), variance="auto", eta=float(match[5]))
    elif match := _CORRECTOR.fullmatch(spec):
        steps, length, samples = int(match[1]), int(match[1]), 1
        settings = CorrectorSettings(
            spacing="karras", corrections=int(match[2]), pull=float(match[3]), step_size=float(match[4])
        )
    else:
        raise BadInput(
            "bad_preset",
            f"{spec!r} is neither a preset ({', '.join(PRESETS)}) nor T/L/n/κ/variance|η nor "
            "corrector/levels/steps/λ/dt.",
        )
    return Preset(spec, spec, steps, length, samples, settings)


def fingerprint(model: api.Model) -> str:
    """The first 12 digits of the SHA-256 of the model's weights, or of the code that makes it of a picture."""
    digest = hashlib.sha256(model.info.id.encode())
    if model.info.folder is not None:
        for path in sorted(model.info.folder.rglob("*.safetensors")):
            digest.update(path.read_bytes())
    if model.exemplar is not None:  # its weights are the picture; what it makes of it stands in the code
        folder = Path(engine.__file__).parent
        for path in sorted(path for name in EXEMPLAR_CODE for path in folder.glob(name)):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
