"""Learning a picture: the hole teaches nothing, the budget is kept, the cache works, bad input is a sentence."""

from __future__ import annotations

import itertools
import json
import logging
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from engine import api, canvas
from engine.commands import cli
from engine.data import procedural
from engine.errors import BadInput, EngineError
from engine.learning import adapt, export, learned
from engine.learning.train import Config, build_model
from engine.models.digest import digest
from engine.run import states

QUICK = {"steps": 6, "jump_length": 6, "jump_samples": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A texture model of toy size, untrained, in diffusers' layout."""
    out = tmp_path_factory.mktemp("models") / "toy"
    (out / "unet").mkdir(parents=True)
    (out / "scheduler").mkdir()
    torch.manual_seed(0)
    network = build_model(Config(channels=(4, 8, 8), groups=2, head=8))
    weights = {name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, out / "unet" / "diffusion_pytorch_model.safetensors")
    shape = json.loads(network.to_json_string()) | {"any_scale": True, "window": 96}
    export.write_json(out / "unet" / "config.json", shape)
    export.write_json(out / "scheduler" / "scheduler_config.json", export.scheduler_config())
    return out


@pytest.fixture(scope="module")
def model(folder):
    return api.load_model(str(folder), "cpu")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("REPAINT_BRIDGE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Small crops, one thread, short budgets: the toy network gains nothing from more."""
    monkeypatch.setattr(adapt, "CROPS", ((32, 2), (48, 1)))
    monkeypatch.setattr(adapt, "SECONDS", (1, 600))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _picture(height=128, width=120, seed=1_000_012) -> np.ndarray:
    pixels = procedural.generate(seed, max(height, width))[:height, :width]
    return np.dstack([pixels, np.full((height, width), 255, np.uint8)])


def _hole(height=128, width=120) -> np.ndarray:
    unknown = np.zeros((height, width), bool)
    unknown[height // 2 - 16 : height // 2 + 16, width // 2 - 16 : width // 2 + 16] = True
    return unknown


def _job(model, **more) -> api.Job:
    image, unknown = _picture(), _hole()
    image[unknown] = 255
    values = {"model": model.info.id, "seed": 3, "learn": 1.0} | QUICK | more
    return api.Job(image, np.where(unknown, 255, 0).astype(np.uint8), **values)


def _learn(image, unknown, model, seconds=None, steps=None, **more):
    """All events, and what was learned."""
    events = adapt.learn(image, unknown, canvas.Light(), model, seconds, steps, **more)
    seen = []
    while True:
        try:
            seen.append(next(events))
        except StopIteration as end:
            return seen, end.value


def _same(a: learned.Learned, b: learned.Learned) -> bool:
    return all(torch.equal(tensor, b.weights[name]) for name, tensor in a.weights.items())


def _files(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file()]


# --------------------------------------------------------------------------------------------------------- the hole


@pytest.mark.parametrize(("side", "scale"), [(32, 1.0), (80, 1.0), (40, 1.7), (40, 0.7)])
def test_what_is_in_the_hole_changes_nothing(model, home, side, scale):
    """Bit for bit, also where no crop can avoid the hole; neither does the colour under transparent pixels."""
    image, unknown = _picture(), np.zeros((128, 120), bool)
    unknown[40 : 40 + side, 20 : 20 + side] = True
    image[:8, :8, 3] = 0
    image[100:110, 60:70, 3] = 100
    _, first = _learn(image, unknown, model, steps=4, scale=scale)
    other = image.copy()
    other[unknown] = np.random.default_rng(0).integers(0, 256, (int(unknown.sum()), 4))
    other[:8, :8, :3] = (255, 0, 0)
    other[100:110, 60:70, :3] = (0, 0, 255)
    for path in _files(home):  # or the cache would answer
        path.unlink()
    _, second = _learn(other, unknown, model, steps=4, scale=scale)
    assert _same(first, second)
    assert first.facts == replace(second.facts, seconds=first.facts.seconds)
    elsewhere = image.copy()
    elsewhere[~unknown, 0] ^= 64
    _, third = _learn(elsewhere, unknown, model, steps=4, scale=scale)
    assert not _same(first, third), "a known pixel does count"


def test_no_crop_holds_what_is_unknown_where_there_is_room(monkeypatch):
    monkeypatch.setattr(adapt, "CROPS", ((64, 4), (96, 2)))
    pixels, known = adapt.known_part(_picture(192, 192), _hole(192, 192), canvas.Light())
    crops = adapt.Crops(pixels, known)
    held = crops.judged
    assert 0.05 < held.sum() / known.sum() < 0.15
    assert not (held & ~known).any()
    for step in range(6):
        x0, counts = crops.batch(step)
        assert tuple(x0.shape[::2]) == ((4, 64), (2, 96))[step % 2]
        assert x0.abs().max() <= 1
        if x0.shape[2] == 64:
            assert (counts == 1).all()
        assert counts.mean() >= 0.5
    x0, counts = crops.held_out()
    assert counts.sum() == held.sum()
    judged, own = (torch.where(counts > 0, x0, 9).unique(), torch.from_numpy(pixels[held]).unique())
    assert set(own.tolist()) == set(judged.tolist()) - {9.0}, "the judged pixels are the picture's own"


def test_it_learns(model):
    events, found = _learn(_picture(), _hole(), model, steps=40)
    assert found.facts.loss < 0.97 * found.facts.loss_before
    assert [event.step for event in events] == [*range(40), found.facts.steps]
    shares = [event.done for event in events]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    job = _job(model, learn=None)
    plain, other = (list(api.run(job, each))[-1].layer() for each in (model, adapt.with_learned(model, found)))
    assert not np.array_equal(plain, other)
    assert np.array_equal(plain[..., 3], other[..., 3])


def test_a_number_of_steps_gives_the_same_weights_again(model, home):
    _, first = _learn(_picture(), _hole(), model, steps=12)
    for path in _files(home):
        path.unlink()
    _, again = _learn(_picture(), _hole(), model, steps=first.facts.steps)
    assert first.facts.steps > 0
    assert _same(first, again)


# ------------------------------------------------------------------------------------------------- budget and cancel


def test_the_budget_is_kept(model):
    """To within the longest step, whatever else the machine does."""
    events, found = _learn(_picture(), _hole(), model, seconds=4)
    moments = [0.0, *(event.seconds for event in events)]
    longest = max(after - before for before, after in itertools.pairwise(moments))
    assert abs(moments[-1] - 4) <= longest
    assert found.facts.steps <= events[-2].step + 1
    left = [event.seconds_left for event in events]
    assert left == sorted(left, reverse=True)


def test_learning_ends_when_nothing_is_learned(model, caplog, monkeypatch):
    monkeypatch.setattr(adapt, "LEARNING_RATE", 0.0)
    with caplog.at_level(logging.WARNING):
        events, found = _learn(_picture(), _hole(), model, steps=100_000)
    assert len(events) < 200
    assert found.facts.steps == 0
    assert found.facts.loss == found.facts.loss_before
    assert "nothing could be learned" in caplog.text


@pytest.mark.parametrize("seconds", [4.9, 0, -1, 601, float("nan"), float("inf")])
def test_budgets_out_of_range(model, seconds, monkeypatch):
    monkeypatch.setattr(adapt, "SECONDS", (5, 600))
    with pytest.raises(BadInput, match="5 to 600"):
        next(api.run(_job(model, learn=seconds), model))


def test_cancel_leaves_nothing(model, home):
    events = api.run(_job(model, learn=600.0), model)
    for _ in range(3):
        assert isinstance(next(events), api.Learning)
    events.close()
    assert not _files(home)


# ---------------------------------------------------------------------------------------------------------- the cache


def test_the_same_question_is_answered_from_the_cache(model, home):
    began = [event for event in api.run(_job(model), model) if isinstance(event, api.Learning)]
    assert began[-1].done == 1
    assert len(_files(home)) == 1
    first, second = (list(api.run(_job(model, seed=9), model)) for _ in range(2))
    news = [event for event in first if isinstance(event, api.Learning)]
    assert [event.done for event in news] == [1.0]
    assert np.array_equal(first[-1].layer(), second[-1].layer())
    assert len(_files(home)) == 1


def test_another_question_is_not(model, home):
    image, unknown = _picture(), _hole()
    _learn(image, unknown, model, steps=2)
    _learn(image, unknown, model, steps=3)
    _learn(image, np.roll(unknown, 8, 0), model, steps=2)
    _learn(image, unknown, model, steps=2, scale=0.75)
    assert len(_files(home)) == 4


@pytest.mark.parametrize("how", ["cut", "text", "tensor", "nan", "facts"])
def test_a_spoiled_file_is_learned_anew(model, home, caplog, how):
    _, first = _learn(_picture(), _hole(), model, steps=3)
    [path] = _files(home)
    tensors = load_file(path)
    name = next(iter(tensors))
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    elif how == "text":
        path.write_text("hello")
    elif how == "tensor":
        del tensors[name]
        save_file(tensors, path, {"facts": json.dumps(vars(first.facts))})
    elif how == "nan":
        tensors[name] = torch.full_like(tensors[name], float("nan"))
        save_file(tensors, path, {"facts": json.dumps(vars(first.facts))})
    else:
        save_file(tensors, path, {"facts": "{}"})
    with caplog.at_level(logging.WARNING):
        _, again = _learn(_picture(), _hole(), model, steps=3)
    assert "anew" in caplog.text
    assert _same(first, again)
    assert learned.get(path.stem, {name: tuple(t.shape) for name, t in first.weights.items()}) is not None


def test_the_cache_keeps_to_its_limit(home, caplog):
    weights = {"a": torch.zeros(1000, dtype=torch.float16)}
    entry = learned.Learned(weights, learned.Facts(1, 1.0, 0.5, 2.0))
    shapes = {"a": (1000,)}
    with caplog.at_level(logging.WARNING):
        for name in ("first", "second", "third"):
            learned.put(name, entry, limit=7000)
            time.sleep(0.02)
            assert learned.get("first", shapes) is not None  # used: it is not the oldest
            time.sleep(0.02)
        assert "dropped" not in caplog.text
        learned.put("fourth", entry, limit=7000)
    assert "dropped" in caplog.text
    assert sorted(path.stem for path in _files(home)) == ["first", "fourth", "third"]


@pytest.mark.parametrize("how", ["file in the way", "full disk"])
def test_without_a_cache_it_still_works(model, home, caplog, how):
    home.mkdir()
    if how == "full disk":
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(home)], capture_output=True)
        if done.returncode:
            pytest.skip("mounting a small file system needs root")
    else:
        (home / "cache").write_text("not a folder")
    try:
        with caplog.at_level(logging.WARNING):
            events = list(api.run(_job(model), model))
        assert isinstance(events[-1], api.Finished)
        assert "could not be kept" in caplog.text
        assert not list(home.rglob("*.part"))
    finally:
        if how == "full disk":
            subprocess.run(["umount", str(home)], check=True)


# ---------------------------------------------------------------------------------------------------------- its states


def test_states_of_a_learned_run_go_on_with_what_was_learned(model, tmp_path, home):
    kept = None
    for event in api.run(_job(model), model):
        if isinstance(event, api.Step) and event.call == 3:
            kept = event.keep()
    final = event.layer()
    assert kept is not None
    assert kept.digest != digest(model.info)
    states.save(kept, tmp_path / "a.state")
    again = states.load(tmp_path / "a.state")[0]
    assert np.array_equal(list(api.resume(again, model))[-1].layer(), final)
    assert not np.array_equal(list(api.resume(again, model, seed=8))[-1].layer(), final)
    with pytest.raises(BadInput, match="not made with the model"):
        next(api.resume(replace(again, job=replace(again.job, learn=None)), model))
    for path in _files(home):
        path.unlink()
    with pytest.raises(BadInput, match="no longer here"):
        next(api.resume(again, model))


# ------------------------------------------------------------------------------------------------------------ bad input


def test_only_texture_models_learn(folder):
    exact = api.load_model("test/gaussian", "cpu")
    with pytest.raises(BadInput, match="cannot learn"):
        next(api.run(_job(exact), exact))
    scene = api.load_model(str(folder), "cpu")
    scene = replace(scene, geometry=replace(scene.geometry, any_scale=False))
    with pytest.raises(BadInput, match="texture model"):
        next(api.run(_job(scene), scene))


def test_too_little_to_learn_from(model):
    image = _picture(256, 256)
    unknown = np.ones((256, 256), bool)
    unknown[:20, :30] = False
    with pytest.raises(BadInput, match="too little"):
        _learn(image, unknown, model, steps=2)
    scattered = np.random.default_rng(0).random((256, 256)) > 0.05
    with pytest.raises(BadInput, match="pieces too small"):
        _learn(image, scattered, model, steps=2)


@pytest.mark.parametrize("shape", [(20, 400), (300, 17), (33, 40), (600, 90)])
def test_strips_and_small_pictures(model, shape):
    image, unknown = _picture(*shape), np.zeros(shape, bool)
    unknown[4:10, 4:10] = True
    events, found = _learn(image, unknown, model, steps=3)
    assert events[-1].done == 1
    assert all(tensor.isfinite().all() for tensor in found.weights.values())


def test_constant_colour_and_transparent_parts(model):
    image = np.full((100, 100, 4), (200, 40, 90, 255), np.uint8)
    image[60:90, :30, 3] = 0
    job = api.Job(image, np.where(_hole(100, 100), 255, 0).astype(np.uint8), model=model.info.id, learn=1, **QUICK)
    assert isinstance(list(api.run(job, model))[-1], api.Finished)


def test_a_whole_picture_and_its_scale(model):
    pixels, known = adapt.known_part(_picture(90, 100), np.zeros((90, 100), bool), canvas.Light(), 0.5)
    assert known.shape == (45, 50)
    assert known.all()
    assert pixels.shape == (45, 50, 3)
    far = np.zeros((1400, 1300), bool)
    far[700:720, 0:20] = True
    pixels, known = adapt.known_part(np.full((1400, 1300, 4), 255, np.uint8), far, canvas.Light())
    assert known.shape == (20 + 2 * adapt.REACH, 20 + adapt.REACH)
    _, found = _learn(_picture(90, 100), np.zeros((90, 100), bool), model, steps=2)
    assert found.weights


# ----------------------------------------------------------------------------------------------------- command line


@pytest.mark.parametrize("mode", ["L", "RGBA", "I;16"])
def test_learn_on_the_command_line(folder, tmp_path, capsys, mode):
    pixels = _picture()
    if mode == "RGBA":
        pixels[:20, :20, 3] = 0
        picture = Image.fromarray(pixels)
    elif mode == "L":
        picture = Image.fromarray(pixels[..., 0])
    else:
        picture = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    picture.save(tmp_path / "in.png")
    Image.fromarray(np.where(_hole(), 255, 0).astype(np.uint8)).save(tmp_path / "mask.png")
    files = [str(tmp_path / "in.png"), "--mask", str(tmp_path / "mask.png"), "--json"]
    out = tmp_path / "mine"
    assert cli.main(["learn", *files, "--model", str(folder), "--steps", "4", "-o", str(out)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["model"] == str(out)
    assert report["held_out_loss"] > 0
    assert (api.load_model(str(folder)).eta, api.load_model(str(out)).eta) == (None, adapt.ETA)
    assert cli.main(["inpaint", *files, "--model", str(out), *_flags(QUICK), "-o", str(tmp_path / "a.png")]) == 0
    capsys.readouterr()
    again = ["inpaint", *files, "--model", str(folder), *_flags(QUICK), "--learn", "1", "-o", str(tmp_path / "b.png")]
    assert cli.main(again) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["learning_steps"] >= 0
    assert report["learning_seconds"] > 0
    before, after = (np.asarray(Image.open(tmp_path / name)) for name in ("in.png", "b.png"))
    assert before.dtype == after.dtype
    assert np.array_equal(before[~_hole()], after[~_hole()])


def _flags(values: dict[str, int]) -> list[str]:
    return [word for name, number in values.items() for word in ("--" + name.replace("_", "-"), str(number))]


def test_learn_refuses_in_sentences(folder, tmp_path, capsys):
    Image.fromarray(_picture()).save(tmp_path / "in.png")
    out = tmp_path / "mine"
    base = ["learn", str(tmp_path / "in.png"), "-o", str(out), "--model"]
    for more, words in (
        ([str(folder)], "how long"),
        ([str(folder), "--seconds", "5", "--steps", "3"], "how long"),
        ([str(folder), "--seconds", "1000"], "to 600 seconds"),
        ([str(folder), "--steps", "0"], "1 to 100000"),
        (["test/gaussian", "--steps", "3"], "cannot learn"),
        ([str(folder), "--steps", "3", "--mask", str(tmp_path / "none.png")], "none.png"),
    ):
        assert cli.main([*base, *more]) == 2
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1
    out.mkdir()
    assert cli.main([*base, str(folder), "--steps", "3"]) == 2
    assert "already" in capsys.readouterr().err
    assert not list(out.iterdir())


def test_a_model_that_cannot_be_written(model, tmp_path):
    _, found = _learn(_picture(), _hole(), model, steps=1)
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match="not written"):
        adapt.write_model(model, found, tmp_path / "file" / "mine")
