"""The request: all that defines a result, and its checks."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import numpy as np

from engine import canvas
from engine.canvas import palette, reach
from engine.errors import BadInput
from engine.exemplar import SIDE, all_under
from engine.models import DEFAULT_MODEL
from engine.run.maps import Map
from engine.sampling import DEFAULT_PRESET, MAX_SEED, PRESETS, Preset, Settings, schedule

MAX_VARIANTS = 64
MAX_KNOWN_NOISE = 128.0


@dataclass(frozen=True)
class Job:
    """All that defines a result.

    Attributes:
        image: (H, W, 4) uint8, uint16, float16 or float32 with straight alpha. Integers span 0 … 1; floats are what the
            document holds, above 1 and below 0, too. Pixels whose alpha is below 250/255 are unknown, never black, as
            are those that hold no number.
        selection: (H, W) uint8, 255 = repaint; a pixel is known only where it is 0.
        model: id from the catalogue; checked against the model that runs it.
        preset: name from :data:`PRESETS`; the fields after it override single values.
        seed: 0 … 2^53 − 1, drawn if None; variant k is the single run with seed + k.
        variants: 1 … 64.
        schedule: a name of :data:`engine.sampling.schedule.NAMED`, or a hand-written list of levels.
        label: class of a class-conditional model, by name or number.
        classifier_scale: s of classifier guidance, 0 … 100; acts only where the model comes with a classifier.
        prompt, negative: what is to be seen and what not, for models that read; both may be empty.
        guidance: scale of classifier-free guidance, 0 … 30, 1 is none; the model's own if None.
        guidance_start, guidance_stop: shares of the way from noise to picture within which it acts.
        pag_scale: of perturbed-attention guidance, 0 … 30, within the same shares; 0 is none.
        known_noise: standard deviation of the noise in what is known (film grain, a scan's, JPEG's), in 255ths of the
            range as it is seen, 0 … 128; the fill follows the picture behind it (:mod:`engine.sampling.observation`).
            Latents have as much for each, in their own unit. Networks only.
        padding: pixels of surroundings that the model sees on each side, 8 … 1024; the engine chooses if None.
        scale: model pixels per picture pixel, 1/16 … 4; the engine chooses if None.
        hard: selection without soft edge: everything from 128 up is 255, the rest 0.
        wrap: ``x``, ``y`` or ``both``: the picture is a tile that goes on beyond its borders with its opposite side,
            so that a selection along the borders makes it seamless. Textures whose seam shows nonetheless are painted
            again (:mod:`engine.canvas.seam`).
        learn: seconds, 5 … 600, to learn the known pixels first (texture models only; :mod:`engine.learning.adapt`);
            None: off.
        linear: the values are proportional to light; else they are encoded as those of sRGB are.
        palette: keep to the picture's own colours, at most 256, with a selection that acts as ``hard``; None: where
            there are two or a few more (:mod:`engine.canvas.palette`) and no prompt or label asks for something: a
            network may paint anything on a blank page.
        source: (h, w, 4) of the image's type and in its colours: only its opaque pixels make up the fill, what lies
            around the selection only says what fits; for models that are the picture itself. None: what is around.
        source_share: percent of the fill, 1 … 100, that the source makes up; the rest is copied from around, each place
            from where it suits better.
        share_mask: (H, W) uint8 beside a source: of its share, how much holds at each place, 255 is all of it, 0 is
            nothing. Where it lies between, so much of such places comes from the source, those that suit it better.
            None: all of it everywhere.
        ring: bring the fill's low frequencies into agreement with those of a ring around it (:mod:`engine.run.ring`);
            nothing of a fill in few colours.
        maps: further pictures of the same size that are filled from the same places (:mod:`engine.run.maps`); for
            models that are the picture itself.
    """

    image: np.ndarray
    selection: np.ndarray
    model: str = DEFAULT_MODEL
    preset: str = DEFAULT_PRESET
    seed: int | None = None
    variants: int = 1
    steps: int | None = None
    jump_length: int | None = None
    jump_samples: int | None = None
    start_resampling: int | None = None
    schedule: str | tuple[int, ...] = "uniform"
    label: str | int | None = None
    classifier_scale: float = 1.0
    prompt: str = ""
    negative: str = ""
    guidance: float | None = None
    guidance_start: float = 0.0
    guidance_stop: float = 1.0
    pag_scale: float = 0.0
    known_noise: float = 0.0
    padding: int | None = None
    scale: float | None = None
    hard: bool = False
    wrap: str = ""
    learn: float | None = None
    linear: bool = False
    palette: bool | None = None
    source: np.ndarray | None = None
    source_share: int = 100
    share_mask: np.ndarray | None = None
    ring: bool = False
    maps: tuple[Map, ...] = ()


def preset_of(job: Job) -> Preset:
    """The preset that a job names; raises BadInput for another name."""
    if job.preset not in PRESETS:
        raise BadInput("bad_preset", f"There is no preset named {job.preset!r}; choose one of {', '.join(PRESETS)}.")
    return PRESETS[job.preset]


def resolve(job: Job, preset: Preset | None = None) -> tuple[schedule.Schedule, Settings]:
    """The schedule and the sampler settings that a job asks for.

    Args:
        preset: in place of the one that the job names.

    Raises:
        BadInput: unknown preset, values out of range, malformed schedule.
    """
    preset = preset or preset_of(job)
    if not 0 <= job.known_noise <= MAX_KNOWN_NOISE:
        sentence = f"The known noise must be 0 to {MAX_KNOWN_NOISE:g}, not {job.known_noise:g}."
        raise BadInput("bad_noise", sentence)
    if not isinstance(job.schedule, str):
        return schedule.Schedule(job.schedule), preset.settings
    values = (
        _default(job.steps, preset.steps),
        _default(job.jump_length, preset.jump_length),
        _default(job.jump_samples, preset.jump_samples),
    )
    return schedule.named(job.schedule, *values, job.start_resampling), preset.settings


def checked_selection(job: Job, image: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """The job's selection as it acts, and (N, 3) the colours that its fill keeps to, None where it may have any.

    Args:
        image: as of :func:`looked_at`; None: the job's own.

    Raises:
        BadInput: picture and selection cannot be used, or more colours to keep to than a palette has.
    """
    canvas.check(job.image, job.selection)
    own = _own_colours(job, job.image if image is None else image)
    if not job.hard and own is None:
        return job.selection, None
    selection = np.where(job.selection >= 128, 255, 0).astype(np.uint8)
    canvas.check(job.image, selection)
    return selection, own


def looked_at(job: Job) -> np.ndarray:
    """(H, W, 4): what the model that is the picture itself looks at; of far-apart places only what is around them.

    Raises:
        BadInput: picture and selection cannot be used.
    """
    canvas.check(job.image, job.selection)
    wraps = canvas.axes(job.wrap)
    if any(wraps) or job.scale not in (None, 1):
        return job.image
    found = reach.reached(job.selection, canvas.surroundings(job.selection, job.padding), job.padding)
    return job.image if found is None else reach.only(job.image, found)


def check_source(job: Job) -> None:
    """Raise BadInput where there is a source that nothing can be copied from."""
    source = job.source
    if not 1 <= job.source_share <= 100:
        raise BadInput("bad_source", f"The source's share must be 1 to 100 percent, not {job.source_share}.")
    if job.share_mask is not None:
        if source is None:
            raise BadInput("bad_source", "A share mask mixes a source with what is around; name a source as well.")
        if job.share_mask.shape != job.selection.shape or job.share_mask.dtype != np.uint8:
            sentence = "The share mask has another size than the picture; make both the same size."
            raise BadInput("bad_source", sentence)
    if source is None:
        return
    if source.ndim != 3 or source.shape[2] != 4 or source.dtype != job.image.dtype:
        sentence = "The source has other channels or another depth than the picture; convert it to the picture's."
        raise BadInput("bad_source", sentence, f"{source.shape} {source.dtype}")
    if max(source.shape[:2]) > canvas.MAX_SIDE:
        raise BadInput("bad_source", f"A source may be up to {canvas.MAX_SIDE} pixels a side; crop it first.")
    usable = canvas.opaque(source)
    if not usable.any():
        sentence = "Nothing of the source can be used: it is transparent, or nothing of it is marked; mark more of it."
        raise BadInput("empty_source", sentence)
    if not all_under(usable).any():
        sentence = f"The source is smaller than a patch of {SIDE} × {SIDE} pixels; choose a larger one, or mark more."
        raise BadInput("small_source", sentence)


def _own_colours(job: Job, image: np.ndarray) -> np.ndarray | None:
    asked = bool(job.prompt) or job.label is not None
    if job.palette is False or (job.palette is None and asked) or job.maps:
        return None
    near = canvas.surroundings(job.selection, job.padding, canvas.axes(job.wrap)).slices
    image, known = canvas.in_relation(image[near], job.selection[near]), job.selection[near] == 0
    if job.palette is None:
        few = palette.few_colours(image, known)
        if few is not None and job.source is not None:
            there = palette.few_colours(job.source, canvas.opaque(job.source))
            few = None if there is None else np.unique(np.concatenate([few, there]), axis=0)
        return few if few is not None and len(few) > 1 else None
    found = palette.colours(image, known & canvas.opaque(image), palette.MOST)
    if found is None:
        sentence = f"There are more than {palette.MOST} colours around the selection; do not limit the fill to them."
        raise BadInput("bad_palette", sentence)
    return found[0]


def seeds(seed: int | None, variants: int) -> list[int]:
    """The seeds of so many variants: from ``seed`` on, or from one that is drawn.

    Raises:
        BadInput: out of range.
    """
    if not 1 <= variants <= MAX_VARIANTS:
        raise BadInput("bad_variants", f"The number of variants must be 1 to {MAX_VARIANTS}, not {variants}.")
    last = MAX_SEED - variants + 1
    first = secrets.randbelow(last + 1) if seed is None else seed
    if not 0 <= first <= last:
        raise BadInput("bad_seed", f"The seed must be 0 to {last}, not {first}.")
    return list(range(first, first + variants))


def _default(value: int | None, preset: int) -> int:
    return preset if value is None else value
