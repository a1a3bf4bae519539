"""Many small places, and long thin ones: what they cost, that they are one run, and that nobody sees the joints."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine import api, canvas
from engine.exemplar.atlas import Atlas
from engine.exemplar.octaves import Octave
from engine.run import by_octaves, states
from engine.run.painting import Painting

QUICK = {"seed": 4, "steps": 8, "jump_length": 8, "jump_samples": 1}


@pytest.fixture(scope="module")
def model() -> api.Model:
    return api.load_model("exemplar", "cpu")


def picture(height: int, width: int) -> np.ndarray:
    """Slanted stripes of two widths with a little noise: (H, W, 4) uint8."""
    y, x = np.mgrid[:height, :width]
    waves = 60 * np.sin((x + y / 2) / 5) + 30 * np.sin((y - x / 3) / 9)
    noise = np.random.default_rng(0).normal(0, 4, (height, width))
    grays = (128 + waves + noise).clip(0, 255).astype(np.uint8)
    return np.dstack([grays, grays, grays // 2 + 60, np.full_like(grays, 255)])


def spots(height: int, width: int) -> np.ndarray:
    """Six spots, spread over the picture: (H, W) uint8."""
    selection = np.zeros((height, width), np.uint8)
    for row in (1, 3):
        for column in (1, 3, 5):
            cv2.circle(selection, (column * width // 6, row * height // 4), 3 + column, 255, -1)
    return selection


def wire(height: int, width: int) -> np.ndarray:
    selection = np.zeros((height, width), np.uint8)
    cv2.line(selection, (20, 30), (width - 25, height - 40), 255, 5)
    return selection


def looked_at(selection: np.ndarray, align: int = 4) -> int:
    return sum(p.seen.width * p.seen.height for p in canvas.places(selection > 0, selection == 0, align))


def atlas_of(job: api.Job, model: api.Model) -> Atlas | None:
    return by_octaves._run(Painting.of(job, model))._atlas


def octaves_of(job: api.Job, model: api.Model) -> list[Octave]:
    """As a run has them when it begins, the coarsest first."""
    run = by_octaves._run(Painting.of(job, model))
    for _ in run.prepared():
        pass
    return [octave.planar() for octave in run._octaves]


@pytest.mark.parametrize("shape", [spots, wire])
@pytest.mark.parametrize("align", [1, 4, 64])
def test_every_selected_pixel_belongs_to_one_place(shape, align):
    selection = shape(900, 1200)
    found = canvas.places(selection > 0, selection == 0, align)
    assert len(found) >= 6 - 3 * (align == 64)
    count = np.zeros(selection.shape, int)
    for place in found:
        count[place.own.slices] += 1
        seen, own = place.seen, place.own
        assert seen.x % align == seen.y % align == seen.width % align == seen.height % align == 0
        assert seen.x <= max(0, own.x - 32)
        assert seen.y <= max(0, own.y - 32)
        assert seen.x + seen.width >= min(1200, own.x + own.width + 32)
        assert seen.y + seen.height >= min(900, own.y + own.height + 32)
    assert (count[selection > 0] == 1).all()
    assert count.max() == 1


def test_what_is_looked_at_follows_the_selected_pixels():
    assert looked_at(spots(2400, 3600)) == pytest.approx(looked_at(spots(800, 1200)), rel=0.1)
    assert looked_at(wire(1800, 2400)) == pytest.approx(2 * looked_at(wire(900, 1200)), rel=0.2)
    assert looked_at(wire(1800, 2400)) < 0.25 * 1800 * 2400


def test_what_is_compact_or_small_stays_whole():
    blob = np.zeros((900, 1200), np.uint8)
    cv2.ellipse(blob, (600, 450), (200, 120), 0, 0, 360, 255, -1)
    near = np.zeros((900, 1200), np.uint8)
    near[400:420, 500:520] = near[400:420, 540:560] = 255
    for selection in (blob, near, wire(400, 500), np.full((900, 1200), 255, np.uint8)):
        assert canvas.places(selection > 0, selection == 0) == []


def test_places_on_an_atlas_do_not_touch():
    selection = wire(900, 1200)
    atlas = Atlas.of(canvas.places(selection > 0, selection == 0, 4), 4)
    boxes = [atlas.seen(number) for number in range(len(atlas.places))]
    for a, b in combinations(boxes, 2):
        gap_x = max(a.x, b.x) - min(a.x + a.width, b.x + b.width)
        gap_y = max(a.y, b.y) - min(a.y + a.height, b.y + b.height)
        assert max(gap_x, gap_y) >= 4
    assert np.count_nonzero(atlas.packed(selection) * atlas.owned()) == np.count_nonzero(selection)
    assert atlas.coarser().shape == (atlas.shape[0] // 2, atlas.shape[1] // 2)


def test_around_a_joint_what_the_neighbour_paints_is_seen(model):
    """Every octave shows in each place what is painted in the next one, pixel for pixel."""
    octaves = octaves_of(api.Job(picture(900, 1200), wire(900, 1200)), model)
    assert len(octaves) > 1
    for octave in octaves:
        # The pixels to paint are told apart by where they lie in the picture.
        number = octave.atlas.number[octave.rows + octave.box.y, octave.columns + octave.box.x]
        ids = octave.atlas.ids(octave.rows + octave.box.y, octave.columns + octave.box.x, number)
        assert len(np.unique(ids)) == len(ids)
        rows, columns, copied = octave._copies
        assert len(copied) > 20
        theirs = octave.atlas.number[rows + octave.box.y, columns + octave.box.x]
        assert (octave.atlas.ids(rows + octave.box.y, columns + octave.box.x, theirs) == ids[copied]).all()
        assert (theirs != number[copied]).all()
        x = np.random.default_rng(1).normal(0, 1, (octave.channels, len(ids))).astype(np.float32)
        assert (octave._seen(x, 1.0)[0][:, rows, columns] == x[:, copied]).all()
    twins, others = octaves[-1]._twins
    assert len(twins) > 10
    corners = np.stack([octaves[-1].targets.top, octaves[-1].targets.left])
    assert (corners[:, twins] != corners[:, others]).any(axis=0).all()


@pytest.mark.parametrize("shape", [spots, wire])
def test_places_are_worked_on_together_but_apart(model, shape):
    """All targets of the coarsest octave, each with sources of its own place; and all that is painted on one sheet."""
    octave = octaves_of(api.Job(picture(900, 1200), shape(900, 1200)), model)[0]
    groups = octave._groups
    assert len(groups) < len(octave.atlas.places)
    asked = np.concatenate([group.targets.numpy().reshape(-1) for group in groups])
    assert np.array_equal(np.unique(asked), np.arange(len(octave.targets.top)))
    for group in groups:
        theirs = octave.atlas.reached(group.rows.numpy(), group.columns.numpy())
        assert (theirs == octave.target_place[group.targets][:, :1]).all()
    sheet, rows, columns = octave._sheet
    assert np.prod(sheet.shape) < 0.7 * np.prod(octave.atlas.shape)
    assert len(np.unique(rows * sheet.shape[1] + columns)) == len(rows)
    values = np.random.default_rng(0).random((octave.box.height, octave.box.width))
    assert np.array_equal(sheet.packed(values)[rows, columns], values[octave.targets.rows, octave.targets.columns])
    strips = sheet.strips(300)
    assert [0, *(strip.stop for strip in strips[:-1])] == [strip.start for strip in strips]
    assert strips[-1].stop == sheet.shape[0]
    inside = [strip.start <= top < strip.stop for top in sheet.tops for strip in strips]
    ends = [
        strip.start < top + place.seen.height <= strip.stop
        for top, place in zip(sheet.tops, sheet.places, strict=True)
        for strip in strips
    ]
    assert inside == ends


def test_a_run_counts_and_costs_the_same_in_a_larger_picture(model):
    small, large = (api.Job(picture(h, w), spots(h, w), **QUICK) for h, w in ((600, 900), (1200, 1800)))
    steps = [[event for event in api.run(job, model) if isinstance(event, api.Step)] for job in (small, large)]
    assert len(steps[0]) == len(steps[1])
    assert steps[1][-1].calls == pytest.approx(steps[0][-1].calls, rel=0.2)
    areas = [np.prod(atlas_of(job, model).shape) for job in (small, large)]
    assert areas[1] == pytest.approx(areas[0], rel=0.1)


@pytest.mark.parametrize(("shape", "dtype"), [(spots, np.uint8), (wire, np.uint16)])
def test_fills_go_on_with_the_pattern(model, shape, dtype):
    top = np.iinfo(dtype).max
    image = picture(700, 1000).astype(dtype) * dtype(top // 255)
    selection = shape(700, 1000)
    *_, last = api.run(api.Job(image, selection, seed=1), model)
    layer = last.layer()
    assert layer.dtype == dtype
    assert (layer[..., 3] == selection.astype(dtype) * (top // 255)).all()
    miss = np.abs(layer[..., 0] / top - image[..., 0] / top)[selection > 0]
    assert miss.mean() < 0.05
    assert np.quantile(miss, 0.99) < 0.25


@pytest.mark.slow
@pytest.mark.parametrize("shape", [spots, wire])
def test_a_run_goes_on_bit_for_bit_and_can_be_branched(model, shape, tmp_path: Path):
    job = api.Job(picture(600, 900), shape(600, 900), **QUICK)
    kept = []
    for event in api.run(job, model):
        if isinstance(event, api.Step):
            kept.append(event.keep())
    final = event.layer()
    for state, changes in ((kept[2], True), (kept[-2], False)):
        states.save(state, tmp_path / "a.state")
        loaded = states.load(tmp_path / "a.state")[0]
        *_, again = api.resume(loaded, model)
        assert (again.layer() == final).all()
        *_, other = api.resume(loaded, model, seed=99)
        changed = (other.layer() != final).any(axis=2)
        assert not changed[job.selection == 0].any()
        assert not changes or changed.any()


def test_variants_are_single_runs_and_runs_are_repeatable(model):
    job = api.Job(picture(600, 900), spots(600, 900), variants=2, **QUICK)
    both = [event.layer() for event in api.run(job, model) if isinstance(event, api.Finished)]
    *_, alone = api.run(api.Job(picture(600, 900), spots(600, 900), **(QUICK | {"seed": 5})), model)
    assert (both[1] == alone.layer()).all()
    assert (both[0] != both[1]).any()


def test_previews_show_every_place_from_the_first_call(model):
    job = api.Job(picture(600, 900), spots(600, 900), **QUICK)
    events = api.run(job, model)
    first = next(event for event in events if isinstance(event, api.Step))
    shown = first.preview()
    assert (shown[..., 3] == job.selection).all()
    assert (shown[job.selection > 0][:, :3] > 0).any(axis=1).all()
    assert not shown[job.selection == 0].any()
    events.close()
