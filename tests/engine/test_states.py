"""States: saved, resumed bit for bit, branched with other seeds and with jumps, kept within budgets."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine import api
from engine.commands import cli
from engine.errors import BadInput, EngineError
from engine.files.imagefile import Picture, read, write
from engine.run import states
from engine.sampling import schedule

JURY = Path(api.__file__).parent / "bench/jury"
SHAPES = {
    "fast": {"steps": 20, "jump_length": 4, "jump_samples": 2},
    "repaint": {"steps": 20, "jump_length": 4, "jump_samples": 2},
    "quality": {"steps": 8, "jump_length": 8, "jump_samples": 1},
}


@pytest.fixture(scope="module")
def model():
    return api.load_model("test/gaussian", "cpu")


def _job(preset="fast", **more) -> api.Job:
    image = np.random.default_rng(0).integers(0, 256, (70, 80, 4), dtype=np.uint8)
    image[..., 3] = 255
    selection = np.zeros((70, 80), np.uint8)
    selection[20:50, 30:60] = 255
    selection[20:50, 28:30] = 128
    values = {"model": "test/gaussian", "preset": preset, "seed": 9} | SHAPES[preset] | more
    return api.Job(image, selection, **values)


def _run(job, model):
    """The final layer and the kept state of every call."""
    kept = {}
    for event in api.run(job, model):
        if isinstance(event, api.Step):
            kept[event.call] = event.keep()
    return event.layer(), kept


def _last(events):
    *_, last = events
    return last


@pytest.mark.parametrize("preset", SHAPES)
def test_saved_and_resumed_equals_uninterrupted(model, tmp_path, preset):
    final, kept = _run(_job(preset), model)
    for call in (1, len(kept) // 2, len(kept) - 1):
        deep = np.arange(70 * 80 * 3, dtype=np.uint16).reshape(70, 80, 3)
        states.save(kept[call], tmp_path / "a.state", {"note": 1}, deep)
        again, extra, original = states.load(tmp_path / "a.state")
        assert extra == {"note": 1}
        assert np.array_equal(original, deep)
        assert again.remaining == len(kept) - call
        events = list(api.resume(again, model))
        assert sum(isinstance(event, api.Step) for event in events) == again.remaining
        assert np.array_equal(events[-1].layer(), final)
        assert events[-1].seed == 9


def test_branch_with_another_seed_changes_the_hole_only(model):
    final, kept = _run(_job(), model)
    half = kept[len(kept) // 2]
    branch = _last(api.resume(half, model, seed=77))
    layer = branch.layer()
    assert branch.seed == 77
    assert np.array_equal(layer[..., 3], final[..., 3])
    assert not np.array_equal(layer, final)
    assert np.array_equal(layer[layer[..., 3] == 0], final[final[..., 3] == 0])
    assert np.array_equal(_last(api.resume(half, model, seed=77)).layer(), layer)


def test_difference_to_the_parent_falls_as_the_branch_comes_later(model):
    final, kept = _run(_job(), model)
    away = []
    for share in (0.1, 0.5, 0.9):
        other = _last(api.resume(kept[int(share * len(kept))], model, seed=5)).layer()
        away.append(np.abs(other.astype(float) - final).mean())
    assert away[0] > away[1] > away[2] > 0


def test_larger_jumps_change_more_and_cost_more(model):
    final, kept = _run(_job(steps=40, jump_length=40, jump_samples=1), model)
    late = kept[36]
    away, costs = [], []
    for jump in ("small", "medium", "large"):
        costs.append(states.branched(late, jump).remaining)
        other = _last(api.resume(late, model, seed=9, jump=jump)).layer()
        away.append(np.abs(other.astype(float) - final).mean())
    assert away[0] < away[1] < away[2]
    assert costs == [4 + 4, 4 + 10, 4 + 20]


def test_branch_schedules():
    def kept(levels, position, corrections=0):
        tensors = torch.zeros(1, 3, 8, 8)
        settings = states.CorrectorSettings(corrections=1) if corrections else states.RePaintSettings()
        return api.Kept(None, "", levels, settings, 0,
                         states.State(position, position, tensors, tensors, 0, corrections))  # fmt: skip

    def branched(*arguments, **more):
        return states.branched(*arguments, **more).schedule.levels

    plain = schedule.plain(6)  # 5 4 3 2 1 0 -1
    assert branched(kept(plain, 3), 2) == (5, 4, 3, 2, 3, 4, 3, 2, 1, 0, -1)
    assert branched(kept(plain, 3), 1, times=2) == (5, 4, 3, 2, 3, 2, 3, 2, 1, 0, -1)
    assert branched(kept(plain, 3), 2, late=True) == (5, 4, 3, 2, 1, 0, 1, 2, 1, 0, -1)
    assert branched(kept(plain, 3), 6) == (5, 4, 3, 2, 3, 4, 5, 4, 3, 2, 1, 0, -1)
    assert branched(kept(plain, 0), 3) == plain.levels
    assert branched(kept(plain, 2, corrections=1), 1) == (5, 4, 3, 2, 3, 2, 1, 0, -1)
    for arguments in ({"jump": 0}, {"jump": 7}, {"jump": "huge"}, {"jump": 1, "times": 0}, {"jump": 1, "times": 99}):
        with pytest.raises(BadInput):
            states.branched(kept(plain, 3), **arguments)
    with pytest.raises(BadInput, match="end of its run"):
        states.branched(kept(plain, 6), 1)


@pytest.mark.parametrize("preset", api.PRESETS)
@pytest.mark.parametrize("kind", [("small", 3, True), ("medium", 1, False), ("large", 1, False)])
def test_a_branch_at_half_costs_at_most_55_percent(preset, kind):
    """Of the presets as they are; and wherever a branch begins, it ends at the end of a lawful schedule."""
    levels, settings = api.PRESETS[preset].schedule, api.PRESETS[preset].settings
    whole = settings.calls(levels)
    for state in _places(levels, settings):
        own = states.Kept(None, "", levels, settings, 0, state)
        branch = states.branched(own, *kind)
        assert branch.schedule.levels[: state.position + 1] == levels.levels[: state.position + 1]
        assert branch.settings.calls_at(1) <= settings.calls_at(1)
        assert branch.schedule != levels or state.call == 1  # there is nothing to jump to yet
        if state.call == whole // 2:
            assert own.remaining / whole <= 0.51
            assert branch.remaining / whole <= 0.55
        assert branch.remaining <= max(own.remaining, whole // 2) + whole // 20


def _places(levels, settings):
    """States without pixels at some twenty calls of a run and at half of it."""
    whole = settings.calls(levels)
    wanted, call = {*range(1, whole, max(1, whole // 20)), whole // 2}, 0
    nothing = torch.zeros(1, 3, 8, 8)
    for position, (t, s) in enumerate(pairwise(levels.levels)):
        for correction in range(1, settings.calls_at(t) + 1) if s < t else ():
            call += 1
            if call in wanted:
                done = correction < settings.calls_at(t)
                yield states.State(call, position if done else position + 1, nothing, nothing, 0,
                                   correction if done else 0)  # fmt: skip
    assert call == whole


@pytest.mark.parametrize("preset", ["fast", "quality"])
@pytest.mark.parametrize("kind", [("small", 3, True), ("large", 1, False)])
def test_a_branch_makes_the_calls_it_told(model, preset, kind):
    _, kept = _run(_job(preset, steps=None, jump_length=None, jump_samples=None), model)
    for share in (0.1, 0.5, 0.9):
        state = kept[round(share * len(kept))]
        events = list(api.resume(state, model, 5, 1, *kind))
        steps = [event for event in events if isinstance(event, api.Step)]
        assert len(steps) == states.branched(state, *kind).remaining
        assert steps[-1].call == steps[-1].calls == events[-1].calls
        middle = steps[len(steps) // 2].keep()
        assert np.array_equal(_last(api.resume(middle, model)).layer(), events[-1].layer())


@pytest.mark.slow
def test_jumps_change_less_the_later_they_come():
    """With the shipped model: the exact Gaussian one knows only how much is known, not what has formed."""
    image = read(JURY / "pebbles.png").rgba8()[100:164, 100:164].copy()
    selection = np.zeros((64, 64), np.uint8)
    selection[16:40, 16:40] = 255
    texture = api.load_model("texture", "cpu")
    final, kept = _run(api.Job(image, selection, model="texture", seed=3, **SHAPES["fast"]), texture)
    for kind in (("small", 3, True), ("large", 1, False)):
        away = []
        for share in (0.2, 0.9):
            branch = _last(api.resume(kept[round(share * len(kept))], texture, 5, 1, *kind)).layer()
            away.append(np.abs(branch.astype(float) - final).sum() / (selection > 0).sum())
        assert away[0] > 1.1 * away[1] > 0, kind


def test_quality_branches_too(model):
    final, kept = _run(_job("quality"), model)
    for call in (7, 10, 13):
        branch = _last(api.resume(kept[call], model, seed=9, jump="medium", times=2))
        assert not np.array_equal(branch.layer(), final)
        assert branch.calls <= 1.55 * len(kept)


def test_variants_of_a_branch_are_single_branches(model):
    _, kept = _run(_job(), model)
    half = kept[len(kept) // 2]
    both = {e.seed: e.layer() for e in api.resume(half, model, seed=20, variants=2) if isinstance(e, api.Finished)}
    assert sorted(both) == [20, 21]
    assert np.array_equal(both[21], _last(api.resume(half, model, seed=21)).layer())


def test_state_of_another_model_is_refused(model):
    _, kept = _run(_job(), model)
    other = replace(kept[5], digest="something else")
    with pytest.raises(BadInput, match="not made with the model"):
        next(api.resume(other, model))


def test_finished_state_has_nothing_left(model):
    _, kept = _run(_job(), model)
    with pytest.raises(BadInput, match="end of its run"):
        next(api.resume(kept[len(kept)], model))


def _spoil(path, how):
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        meta = json.loads(file.metadata()["meta"])
    if how == "version":
        meta["version"] = "0.0.0"
    elif how == "levels":
        meta["levels"] = [3, 1, -1]
    elif how == "call":
        meta["state"]["call"] = 10**6
    elif how == "position":
        meta["state"]["position"] = 10**6
    elif how == "tensor":
        del tensors["x"]
    elif how == "shape":
        tensors["x"] = tensors["x"][:, :, 1:].contiguous()
    elif how == "setting":
        meta["settings"]["surplus"] = 1
    save_file(tensors, path, {"meta": json.dumps(meta)})


@pytest.mark.parametrize("how", ["version", "levels", "call", "position", "tensor", "shape", "setting", "cut", "text"])
def test_spoiled_state_files_are_sentences(model, tmp_path, how):
    _, kept = _run(_job(), model)
    path = tmp_path / "a.state"
    states.save(kept[4], path)
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    elif how == "text":
        path.write_text("hello")
    else:
        _spoil(path, how)
    with pytest.raises(BadInput) as caught:
        states.load(path)
    assert caught.value.sentence.endswith(".")


def test_cache_keeps_to_its_budgets_and_says_what_it_drops(model, tmp_path, caplog):
    final, kept = _run(_job(), model)
    one = kept[1].nbytes
    with states.Cache(memory=2 * one, disk=0, folder=tmp_path) as cache, caplog.at_level(logging.WARNING):
        for call in range(1, 6):
            cache.put(0, kept[call])
        assert cache.calls(0) == [4, 5]
        assert cache.dropped == 3
        assert "dropped" in caplog.text
        with pytest.raises(BadInput, match="call 1"):
            cache.get(0, 1)
    with states.Cache(memory=one, disk=100 * one, folder=tmp_path) as cache:
        for call in range(1, 6):
            cache.put(0, kept[call])
        cache.put(1, kept[2])
        assert cache.calls(0) == [1, 2, 3, 4, 5]
        assert cache.calls(1) == [2]
        assert cache.dropped == 0
        assert np.array_equal(_last(api.resume(cache.get(0, 2), model)).layer(), final)
        assert len(list(tmp_path.rglob("*.safetensors"))) == 5
    assert not list(tmp_path.rglob("*.safetensors"))


def test_kept_steps_are_spread_evenly(model):
    job = _job(variants=2)
    with states.Cache(memory=1 << 24, disk=0) as cache:
        final, spread = {}, states.Spread()
        for event in api.run(job, model):
            if isinstance(event, api.Finished):
                final[event.variant] = event.layer()
            elif isinstance(event, api.Step) and spread.takes(event.variant, event.call, event.calls):
                cache.put(event.variant, event.keep())
        calls = cache.calls(1)
        assert calls == cache.calls(0)
        assert 15 <= len(calls) <= 40
        assert calls[0] <= 2
        half = cache.get(1, calls[len(calls) // 2])
        assert half.seed == 10
        assert np.array_equal(_last(api.resume(half, model)).layer(), final[1])


def test_save_and_branch_on_the_command_line(tmp_path, capsys):
    job = _job()
    write(tmp_path / "in.png", Picture(job.image[..., :3]))
    write(tmp_path / "mask.png", Picture(job.selection[..., None]))
    base = ["inpaint", str(tmp_path / "in.png"), "--mask", str(tmp_path / "mask.png"), "-o", str(tmp_path / "out.png")]
    shape = ["--model", "test/gaussian", "--steps", "20", "--jump-length", "4", "--jump-samples", "2", "--seed", "3"]
    state, plot = tmp_path / "half.state", tmp_path / "plot.png"
    assert cli.main([*base, *shape, "--save-state", str(state), "--plot-schedule", str(plot), "--json"]) == 0
    calls = json.loads(capsys.readouterr().out)["calls"]
    assert plot.is_file()
    resumed, branched = tmp_path / "resumed.png", tmp_path / "branch.png"
    assert cli.main(["branch", str(state), "-o", str(resumed), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["calls"] == calls - calls // 2
    assert resumed.read_bytes() == (tmp_path / "out.png").read_bytes()
    assert cli.main(["branch", str(state), "-o", str(branched), "--jump", "large", "--times", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["calls"] > report["calls"]
    assert branched.read_bytes() != resumed.read_bytes()
    assert cli.main(["branch", str(state), "-o", str(tmp_path / "h.png"), "--harmonise"]) == 0
    assert cli.main(["branch", str(tmp_path / "in.png"), "-o", str(branched)]) == 2
    assert "not a state file" in capsys.readouterr().err


def test_full_disk_while_saving_a_state(model, tmp_path):
    import subprocess

    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        _, kept = _run(_job(), model)
        with pytest.raises(EngineError) as caught:
            states.save(kept[1], place / "a.state")
        assert caught.value.code == "disk_full"
        assert not list(place.iterdir())
    finally:
        subprocess.run(["umount", str(place)], check=True)
