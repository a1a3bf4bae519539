"""The run of a job that is painted from the picture itself, octave by octave (:mod:`engine.exemplar.octave_run`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import cv2
import numpy as np
import torch

from engine import canvas
from engine.exemplar import SIDE, Material, Mixture, octave_run
from engine.models import digest, within_memory
from engine.run.attempts import Attempt
from engine.run.events import Event, Finished, Pause, Step
from engine.run.painting import Painting
from engine.run.states import Kept, OctavePlace, not_its_own
from engine.sampling import Schedule, Settings

SMALL_AREA, SMALL_SELECTION = 180 * 180, 8000
"""Pixels of selection and surroundings, and of the selection alone, up to which the exemplar model compares every patch
with all others, so that nothing is repeated; octaves copy pieces, but cost the same for any number of them."""

SHADING, SHADING_SIGMA = 3.0, 4.0
"""How many times shading deviates as much as detail, from which on a picture is smooth: a sky, paper, what is out of
focus; and the deviation in pixels of the blur that tells them apart. Patches compared as they are would bring in their
own shading as a ball or a blotch; textures have 0.1 to 2.4."""


def suits(painting: Painting) -> bool:
    """Whether the model is the picture itself, and what can be looked at so large that comparing all with all takes too
    long, or smooth, of few colours or partly transparent, or whether there are a source or maps: only octaves copy what
    is there without scaling it, weigh pixels, and have further channels."""
    if painting.model.exemplar is None:
        return False
    if painting.job.maps:
        return True
    near, scale = painting.near, painting.job.scale or 1.0
    thin = scale * min(near.width, near.height) < 2 * SIDE
    selected = scale**2 * np.count_nonzero(painting.selection)
    if thin:
        return False
    large = scale**2 * near.width * near.height > SMALL_AREA or selected > SMALL_SELECTION
    if large or painting.job.source is not None:
        return True
    known = painting.known
    patches = cv2.erode(known.astype(np.uint8), np.ones((SIDE, SIDE), np.uint8), borderValue=0)
    of_kind = painting.colours is not None or painting.cover is not None
    return bool(patches.any() and (of_kind or _smooth(painting, known)))


def _smooth(painting: Painting, known: np.ndarray) -> bool:
    weight, colour = known.astype(np.float32), painting.light.encoded(painting.image[..., :3])
    share, blurred = (cv2.GaussianBlur(each, (0, 0), SHADING_SIGMA) for each in (weight, colour * weight[..., None]))
    shading = blurred / np.maximum(share, 1e-6)[..., None]
    detail = (colour - shading)[known].var(0).sum()
    return bool(shading[known].var(0).sum() > SHADING**2 * max(float(detail), 1e-10))


def events(painting: Painting, attempt: Attempt, start: Kept | None) -> Iterator[Event]:
    """All octaves of all variants, in turns; ``start``: where to go on."""
    yield Pause()
    run, begun = _run(painting), None
    yield Pause()
    for _ in _guarded(run.prepared()):
        yield Pause()
    coarsest = painting.schedule, painting.settings.with_eta(None)
    draws, spent = attempt.draws, attempt.calls
    if start is not None:
        begun = _begun(run, coarsest, start)
        draws, spent = start.state.draws, start.before
    calls = attempt.windows
    for moment in _guarded(run.moments(coarsest, attempt.seeds, draws, begun, spent)):
        if moment is None:
            yield Pause()
            continue
        number, seed = attempt.variants[moment.variant], attempt.seeds[moment.variant]
        calls += moment.variant == 0
        made = moment.before + moment.weight * moment.at.state.call
        total = moment.before + moment.weight * moment.calls + moment.after
        preview = partial(_layer, moment.fill, painting)
        keep = partial(_kept, painting, moment, seed, attempt.most)
        yield Step(
            number, made, total, attempt.seconds, preview, keep, _maps=partial(_map_layers, moment.fill, painting)
        )
        if moment.done:
            parts = moment.fill()
            fill, ring = painting.final(_whole(painting, parts))
            yield from attempt.judged(Finished(
                number, seed, total, attempt.seconds, fill, painting.region, calls, painting.selection,
                painting.job.image, ring=ring, maps=painting.job.maps, map_fills=_maps(painting, parts),
            ))  # fmt: skip


def _run(painting: Painting) -> octave_run.Run:
    job, image, atlas = painting.job, painting.image, None
    with within_memory():
        wanted, known, cover = painting.selected > 0, painting.known, painting.cover
        if not any(painting.wraps) and job.scale in (None, 1):
            atlas = octave_run.atlas(wanted, known, job.padding)
        if atlas is not None:
            image, wanted, known = atlas.packed(image), atlas.packed(wanted) & atlas.owned(), atlas.packed(known)
            cover = None if cover is None else atlas.packed(cover)
        canvas.checked_size(*known.shape)
        pixels = painting.light.encoded(image[..., :3])
        if painting.stack is not None:
            maps = painting.stack.encoded()
            pixels = np.concatenate([pixels, maps if atlas is None else atlas.packed(maps)], axis=2)
        pixels[~known] = 0
        scale = canvas.checked_scale(job.scale, painting.near) if job.scale else 1.0
        device = painting.model.device
        elsewhere: Material | Mixture | None = None
        shares: np.ndarray | None = None
        if job.source is not None:
            usable = canvas.opaque(job.source)
            elsewhere = there = Material.of(painting.light.encoded(job.source[..., :3]), usable)
            if job.share_mask is not None:
                shares = job.share_mask[painting.near.slices] / np.float32(255)
                shares = shares if atlas is None else atlas.packed(shares)
            if (job.source_share < 100 or shares is not None) and known.any():
                elsewhere = Mixture(Material.of(pixels, known, cover), there, job.source_share / 100)
        return octave_run.Run(
            pixels, known, wanted, painting.wraps, device, scale, painting.finer, atlas, cover, elsewhere, shares
        )


def _whole(painting: Painting, parts: list[tuple[canvas.Box, np.ndarray]]) -> np.ndarray:
    """(region.height, region.width, 3) of parts of ``near`` as the model sees them, in the picture's unit."""
    region = painting.region
    out = np.zeros((region.height, region.width, 3), np.float32)
    for box, part in parts:
        _put(painting, out, box, painting.light.decoded(part[..., :3]))
    return out


def _maps(painting: Painting, parts: list[tuple[canvas.Box, np.ndarray]]) -> tuple[np.ndarray, ...]:
    """The same of each map, in its own unit."""
    region, stack = painting.region, painting.stack
    if stack is None:
        return ()
    out = tuple(np.zeros((region.height, region.width, 3), np.float32) for _ in stack.channels)
    for box, part in parts:
        for whole, own in zip(out, stack.decoded(2 * part[..., 3:] - 1), strict=True):
            _put(painting, whole, box, own)
    return out


def _put(painting: Painting, out: np.ndarray, box: canvas.Box, part: np.ndarray) -> None:
    """What a part of ``near`` in a box shows, where it belongs in the region."""
    top, left = box.y + painting.near.y - painting.region.y, box.x + painting.near.x - painting.region.x
    out[top : top + box.height, left : left + box.width] = part


def _begun(run: octave_run.Run, coarsest: tuple[Schedule, Settings], kept: Kept) -> octave_run.Begun:
    """Where a kept run goes on; BadInput if it is none of these octaves."""
    octave = kept.octave
    assert octave is not None
    begun = octave_run.Begun(kept.stage, kept.state, kept.schedule, kept.settings, octave.matches, octave.coarsest)
    if not run.can_go_on(begun):
        raise not_its_own()
    weights, units = run.weights(), run.units(coarsest)
    told = octave.weight, octave.first, octave.finer, kept.after
    if told != (weights[kept.stage], weights[0], sum(units[1:]), sum(units[kept.stage + 1 :])):
        raise not_its_own()
    return begun


def _guarded(moments: Iterator[octave_run.Moment | None]) -> Iterator[octave_run.Moment | None]:
    while True:
        with within_memory(), torch.inference_mode():
            try:
                moment = next(moments)
            except StopIteration:
                return
        yield moment


def _layer(fill: Callable[[], list[tuple[canvas.Box, np.ndarray]]], painting: Painting, _full: bool) -> np.ndarray:
    return canvas.layer(_whole(painting, fill()), painting.selection, painting.region, painting.job.image)


def _map_layers(fill: Callable[[], list[tuple[canvas.Box, np.ndarray]]], painting: Painting) -> list[np.ndarray]:
    fills = _maps(painting, fill())
    return [
        canvas.layer(each, painting.selection, painting.region, own.pixels)
        for each, own in zip(fills, painting.job.maps, strict=True)
    ]


def _kept(painting: Painting, moment: octave_run.Moment, seed: int, attempts: int) -> Kept:
    at = moment.at
    matches = None if at.matches is None else at.matches.copy()
    coarsest = None if at.coarsest is None else at.coarsest.cpu()
    return Kept(
        painting.job, digest(painting.model.info), at.schedule, at.settings, seed,
        at.state.mapped(lambda tensor: tensor.cpu().clone()), at.stage, moment.before, moment.after,
        attempts=attempts, octave=OctavePlace(moment.weight, moment.first, moment.finer, matches, coarsest),
    )  # fmt: skip
