"""How much the seam of a tile shows, and that a tile whose seam shows is painted again."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest

from engine import api
from engine.canvas import extend, seam
from engine.run import states
from engine.run.states import Cache, Spread


def blotches(seed: int = 3, size: tuple[int, int] = (64, 72)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.standard_normal((*size, 3)).astype(np.float32), (0, 0), 1.5)
    return np.rint(128 + 150 * noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("axis", ["x", "y", "both"])
@pytest.mark.parametrize("part", [None, slice(10, 31)])
def test_the_seam_jump_is_what_it_says(axis, part):
    """The gradient across the borders over that along the lines 8 … 24 px away, counted one by one."""
    picture = blotches(size=(61, 44)).astype(float)
    new = None
    if part is not None:
        new = np.zeros((61, 44), bool)
        new[-1, part], new[part, 0] = True, True
    across, beside = [], []
    for wrapped, tile, painted in (("y", picture, new), ("x", picture.swapaxes(0, 1), None if new is None else new.T)):
        if axis in (wrapped, "both"):
            if painted is not None:
                tile = tile[:, painted[0] | painted[-1]]
            around = [np.abs(a - b).mean() for a, b in pairwise([*tile, tile[0]])]
            across.append(around[-1])
            beside += [around[k - 1] for k in range(8, 25) if 2 * k < len(tile)]
            beside += [around[-k - 1] for k in range(8, 25) if 2 * k < len(tile)]
    expected = np.mean(across) / np.mean(beside)
    assert seam.tile_seam_jump(picture, axis, new) == pytest.approx(expected, rel=1e-12)


def test_borders_that_nothing_was_painted_at_have_no_seam_of_ours():
    assert seam.tile_seam_jump(blotches(), "both", np.zeros((64, 72), bool)) == 0


@pytest.fixture(scope="module")
def model():
    return api.load_model("exemplar", "cpu")


@pytest.fixture
def job():
    picture = np.dstack([blotches(), np.full((64, 72), 255, np.uint8)])
    framed = extend.tile(picture)
    return api.Job(framed.rgba(picture), framed.selection, seed=3, steps=8, jump_length=3, wrap="both")


def finished(events) -> list[api.Finished]:
    return [event for event in events if isinstance(event, api.Finished)]


def jump(job: api.Job, done: api.Finished) -> float:
    layer = done.layer()
    tile = np.where(layer[..., 3:] > 0, layer[..., :3], job.image[..., :3])
    return seam.tile_seam_jump(tile, job.wrap)


def test_a_tile_whose_seam_shows_is_painted_again(model, job, monkeypatch):
    monkeypatch.setattr(seam, "SHOWS_ABOVE", np.inf)
    once = list(api.run(job, model))
    calls = once[-1].calls
    assert [event.call for event in once[:-1]] == list(range(1, calls + 1))
    monkeypatch.setattr(seam, "SHOWS_ABOVE", jump(job, once[-1]) - 1e-9)  # what came out would have shown
    events = list(api.run(job, model))
    done = finished(events)
    assert len(done) == 1
    tries = done[0].calls // calls
    assert 1 < tries <= api.ATTEMPTS
    assert done[0].windows == tries * once[-1].windows
    assert events.count(api.Note(api.SEAM_SHOWS)) == tries - 1
    assert [event.call for event in events if isinstance(event, api.Step)] == list(range(1, tries * calls + 1))
    assert jump(job, done[0]) < jump(job, once[-1]) or tries == api.ATTEMPTS
    assert not np.array_equal(done[0].layer(), once[-1].layer())
    known = job.selection == 0
    assert not done[0].layer()[known].any()


def test_it_ends_though_every_seam_shows(model, job, monkeypatch):
    monkeypatch.setattr(seam, "SHOWS_ABOVE", -1.0)
    events = list(api.run(job, model))
    assert len(finished(events)) == 1
    assert events.count(api.Note(api.SEAM_SHOWS)) == api.ATTEMPTS - 1
    layers, each = [], events[-1].calls // api.ATTEMPTS
    for attempt in range(api.ATTEMPTS):  # other noise each time
        first = [e for e in events if isinstance(e, api.Step) and e.call == 1 + attempt * each]
        layers.append(first[0].preview())
    assert not np.array_equal(layers[0], layers[1])
    assert not np.array_equal(layers[1], layers[2])


@pytest.mark.slow
def test_only_the_variants_that_need_it_are_painted_again(model, job, monkeypatch):
    monkeypatch.setattr(seam, "SHOWS_ABOVE", np.inf)
    plain = finished(api.run(replace(job, variants=3), model))
    jumps = sorted(jump(job, each) for each in plain)
    monkeypatch.setattr(seam, "SHOWS_ABOVE", (jumps[1] + jumps[2]) / 2)
    again = {each.variant: each for each in finished(api.run(replace(job, variants=3), model))}
    for each in plain:
        same = np.array_equal(each.layer(), again[each.variant].layer())
        assert same == (jump(job, each) < jumps[2])
        assert again[each.variant].seed == each.seed
        alone = finished(api.run(replace(job, seed=each.seed), model))[0]
        assert np.array_equal(alone.layer(), again[each.variant].layer())


@pytest.mark.slow
def test_states_of_every_attempt_go_on_to_the_same_tile_and_branches_are_what_they_are(
    model, job, monkeypatch, tmp_path
):
    monkeypatch.setattr(seam, "SHOWS_ABOVE", -1.0)
    with Cache(1 << 30, 0) as cache:
        spread, events = Spread(), []
        for event in api.run(job, model):
            events.append(event)
            if isinstance(event, api.Step) and spread.takes(event.variant, event.call, event.calls):
                cache.put(event.variant, event.keep())
        final = finished(events)[0]
        one = final.calls // api.ATTEMPTS
        for attempt in range(api.ATTEMPTS):
            call = max(call for call in cache.calls(0) if call <= attempt * one + one // 2)
            assert call > attempt * one
            states.save(cache.get(0, call), tmp_path / "state")
            kept = states.load(tmp_path / "state")[0]
            resumed = finished(api.resume(kept, model))[0]
            assert np.array_equal(resumed.layer(), final.layer())
            assert resumed.calls == final.calls
            branch = finished(api.resume(kept, model, seed=8))
            assert [each.calls for each in branch] == [call + kept.left]
            jumped = list(api.resume(kept, model, jump="small"))
            assert api.Note(api.SEAM_SHOWS) not in jumped


def test_what_is_no_tile_is_painted_once(model, job, monkeypatch):
    monkeypatch.setattr(seam, "SHOWS_ABOVE", 0.0)
    inside = np.zeros((64, 72), np.uint8)
    inside[20:40, 20:40] = 255
    for other in (replace(job, wrap="", selection=inside), replace(job, selection=inside)):
        events = list(api.run(other, model))
        assert api.Note(api.SEAM_SHOWS) not in events
        assert len(finished(events)) == 1
