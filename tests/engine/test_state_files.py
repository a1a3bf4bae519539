"""State files and schedule files from anybody: a run, or one sentence, soon; nothing else."""

from __future__ import annotations

import json
import os
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine import api
from engine.commands import cli
from engine.errors import BadInput
from engine.files import imagefile
from engine.run import states

Meta = dict[str, Any]
Tensors = dict[str, torch.Tensor]


def _kept(job: api.Job, call: int) -> states.Kept:
    model = api.load_model(job.model, "cpu")
    return next(event.keep() for event in api.run(job, model) if isinstance(event, api.Step) and event.call >= call)


def _picture(side: int) -> np.ndarray:
    image = np.random.default_rng(0).integers(0, 256, (side, side, 4), dtype=np.uint8)
    image[..., 3] = 255
    return image


def _hole(side: int, low: int, high: int) -> np.ndarray:
    selection = np.zeros((side, side), np.uint8)
    selection[low:high, low:high] = 255
    return selection


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A state of the sampler with Langevin steps, one within an octave, and one of a picture with maps."""
    folder = tmp_path_factory.mktemp("states")
    shape = {"seed": 3, "steps": 6, "jump_length": 6, "jump_samples": 1}
    gaussian = api.Job(_picture(40), _hole(40, 12, 28), model="test/gaussian", preset="quality", **shape)
    octaves = api.Job(_picture(192), _hole(192, 40, 140), model="exemplar", seed=3, steps=4)
    height = np.repeat(_picture(48)[..., :1].astype(np.uint16) * 257, 4, axis=2)
    height[..., 3] = 65535
    lean = np.full((48, 48, 4), (200, 128, 230, 255), np.uint8)
    maps = api.Map("height", height), api.Map("normal", lean, "normal", 2.0)
    with_maps = api.Job(_picture(48), _hole(48, 16, 32), model="exemplar", seed=3, steps=4, maps=maps)
    kept = {"gaussian": _kept(gaussian, 8), "octaves": _kept(octaves, 1), "maps": _kept(with_maps, 1)}
    for event in api.run(octaves, api.load_model("exemplar", "cpu")):
        if isinstance(event, api.Step) and (late := event.keep()).stage and late.left < 4:
            kept["octaves"] = late
            break
    assert kept["octaves"].octave is not None
    assert kept["octaves"].octave.matches is not None
    for name, each in kept.items():
        states.save(each, folder / name, {"icc": None, "dpi": [72, 72]})
    return {name: folder / name for name in kept}


def _parts(path: Path) -> tuple[Meta, Tensors]:
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["meta"]), load_file(path)


def _written(path: Path, meta: Any, tensors: Tensors) -> Path:
    text = meta if isinstance(meta, str) else json.dumps(meta)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, {"meta": text})
    return path


def _gone_on(path: Path) -> None:
    """Load it and walk to the end, also as the branch that the artist asks for most."""
    kept, _, _ = states.load(path)
    model = api.load_model(kept.job.model, "cpu")
    for more in ({}, {"seed": 5, "jump": "large"}):
        *_, last = api.resume(kept, model, **more)
        assert isinstance(last, api.Finished)


def _set(*way: str, to: object) -> Callable[[Meta, Tensors], None]:
    def change(meta: Meta, _: Tensors) -> None:
        for name in way[:-1]:
            meta = meta[name]
        meta[way[-1]] = to

    return change


def _fill(name: str, to: float) -> Callable[[Meta, Tensors], None]:
    return lambda _, tensors: tensors.__setitem__(name, torch.full_like(tensors[name], to))


ATTACKS = {
    "corrections": _set("settings", "corrections", to=10**9),
    "kappa": _set("settings", "kappa", to=1e300),
    "corrections made": _set("state", "corrections", to=10**9),
    "stage": _set("stage", "stage", to=-5),
    "a stage that there is not": _set("stage", "stage", to=7),
    "before": _set("stage", "before", to="text"),
    "after": _set("stage", "after", to=10**6),
    "attempts": _set("stage", "attempts", to=10**9),
    "seed": _set("seed", to="text"),
    "negative seed": _set("seed", to=-1),
    "draws": _set("state", "draws", to=10**30),
    "draws below": _set("state", "draws", to=-1),
    "flag for a number": _set("state", "position", to=True),
    "deep schedule": _set("levels", to=[[[[0]]]]),
    "job's schedule": _set("job", "schedule", to=[3, 1, -1]),
    "prompt": _set("job", "prompt", to=5),
    "long prompt": _set("job", "prompt", to="x" * 10**6),
    "scale": _set("job", "scale", to=1e9),
    "a model elsewhere": _set("job", "model", to="/etc/model"),
    "a model on another computer": _set("job", "model", to="\\\\host\\share"),
    "surplus": _set("job", "surplus", to=1),
    "version": _set("version", to="x" * 10**5),
    "extra": _set("extra", to=[1]),
    "not a number": _fill("x", float("nan")),
    "huge numbers": _fill("x", 1e30),
    "tensor": lambda _, tensors: tensors.__setitem__("surplus", tensors["x"].clone()),
    "type": lambda _, tensors: tensors.__setitem__("x", tensors["x"].to(torch.int8)),
    "drift": lambda _, tensors: tensors.__setitem__("drift", tensors["x"][..., 1:].clone()),
    "selection": lambda _, tensors: tensors.__setitem__("selection", tensors["selection"][1:].clone()),
    "painted": lambda _, tensors: tensors.__setitem__("painted", torch.zeros(2, 2, 3)),
    "original": lambda _, tensors: tensors.__setitem__("original", torch.zeros(2, 2, 3, dtype=torch.uint8)),
    "octave": _set("octave", to={"weight": 1, "first": 1, "finer": 0}),
    "number for an octave": _set("octave", to=5),
}
OCTAVE_ATTACKS = {
    "weight": _set("octave", "weight", to=10**30),
    "no weight": _set("octave", "weight", to=0),
    "another weight": _set("octave", "weight", to=10**6),
    "first": _set("octave", "first", to="text"),
    "finer": _set("octave", "finer", to=-1),
    "another finer": _set("octave", "finer", to=1),
    "no octave": _set("octave", to=None),
    "matches outside": _fill("matches", 10**8),
    "matches below": _fill("matches", -1),
    "matches of unknown pixels": _fill("matches", 90),
    "fewer matches": lambda _, tensors: tensors.__setitem__("matches", tensors["matches"][1:].clone()),
    "no matches": lambda _, tensors: tensors.__delitem__("matches"),
    "coarsest": lambda _, tensors: tensors.__setitem__("coarsest", tensors["coarsest"][..., 1:].clone()),
    "pixels": lambda _, tensors: tensors.update(x=tensors["x"][..., 1:], x0_hat=tensors["x0_hat"][..., 1:]),
    "stage": _set("stage", "stage", to=50),
    "coarser": _set("stage", "stage", to=0),
}
MAP_ATTACKS = {
    "no list": _set("maps", to=5),
    "fewer": lambda meta, _: meta["maps"].pop(),
    "more": lambda meta, _: meta["maps"].append({"name": "x", "kind": "values", "weight": 1.0}),
    "kind": lambda meta, _: meta["maps"][0].update(kind="x" * 10**6),
    "name": lambda meta, _: meta["maps"][0].update(name="x" * 10**6),
    "lines in a name": lambda meta, _: meta["maps"][0].update(name="a\nb"),
    "same name": lambda meta, _: meta["maps"][0].update(name="normal"),
    "weight": lambda meta, _: meta["maps"][0].update(weight=1e300),
    "surplus": lambda meta, _: meta["maps"][0].update(surplus=1),
    "another size": lambda _, tensors: tensors.__setitem__("map-0", tensors["map-0"][1:].clone()),
    "no pixels": lambda _, tensors: tensors.__delitem__("map-1"),
    "too many": lambda _, tensors: tensors.__setitem__("map-7", tensors["map-0"].clone()),
    "zero normals": _fill("map-1", 128),
    "empty": _fill("map-0", 0),
    "channels": lambda _, tensors: tensors.update(x=tensors["x"][:, 1:], x0_hat=tensors["x0_hat"][:, 1:]),
}


EVERY = {"gaussian": ATTACKS, "octaves": OCTAVE_ATTACKS, "maps": MAP_ATTACKS}


@pytest.mark.parametrize(("kind", "how"), [(kind, how) for kind, attacks in EVERY.items() for how in attacks])
def test_what_no_run_wrote_is_a_sentence(files: dict[str, Path], tmp_path: Path, kind: str, how: str) -> None:
    meta, tensors = _parts(files[kind])
    EVERY[kind][how](meta, tensors)
    path, began = _written(tmp_path / "a.state", meta, tensors), time.process_time()
    with pytest.raises(BadInput) as caught:
        _gone_on(path)
    assert caught.value.sentence.endswith(".")
    assert len(caught.value.sentence) < 300
    assert time.process_time() - began < 10


@pytest.mark.parametrize("meta", ["[" * 10**5, '{"format": NaN}', "[]", "5", "{}", '{"a": 1' + "0" * 10**4 + "}"])
def test_a_header_of_anything_is_a_sentence(files: dict[str, Path], tmp_path: Path, meta: str) -> None:
    with pytest.raises(BadInput, match="not a state file"):
        states.load(_written(tmp_path / "a.state", meta, _parts(files["gaussian"])[1]))


def test_a_header_without_end_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.state"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 99 * 10**6) + b"{")  # the library itself would read it
        file.truncate(99 * 10**6 + 8)
    with pytest.raises(BadInput, match="not a state file") as caught:
        states.load(path)
    assert "a header of 99000000 bytes" in caught.value.details


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_file_is_not_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    out = str(tmp_path / "out.png")
    for place in (pipe, tmp_path, Path("/dev/zero")):
        assert cli.main(["branch", str(place), "-o", out]) == 2
        assert "name a file" in capsys.readouterr().err


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([-(10**30), -(2**63), 2**31, 2**53, 10**9, 10**30]),
    st.floats(allow_nan=True),
    st.sampled_from(["", "text", "fast", "karras", "both", "x" * 70000, "..", "a/b", "\0"]),
    st.lists(st.integers(-2, 9), max_size=9),
    st.just({}),
    st.just([[[[[]]]]]),
)


def _ways(value: Any, way: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = (
        [found for name, each in value.items() for found in _ways(each, (*way, name))]
        if isinstance(value, dict)
        else []
    )
    return [way, *inner] if way else inner


def _mutated(data: st.DataObject, meta: Meta, tensors: Tensors) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        if data.draw(st.integers(0, 3)):
            *way, name = data.draw(st.sampled_from(_ways(meta)))
            place = meta
            for each in way:
                place = place[each]
            if data.draw(st.integers(0, 9)):
                place[name] = data.draw(LEAVES)
            else:
                del place[name]
            continue
        name = data.draw(st.sampled_from(sorted(tensors)))
        kind = data.draw(st.sampled_from(["gone", "shorter", "other type", "value", "flat", "empty"]))
        old = tensors[name]
        if kind == "gone":
            del tensors[name]
        elif kind == "shorter":
            tensors[name] = old.narrow(data.draw(st.integers(0, old.ndim - 1)), 0, 1)
        elif kind == "other type":
            tensors[name] = old.to(data.draw(st.sampled_from([torch.int8, torch.float16, torch.float64, torch.uint8])))
        elif kind == "value":
            whole = not old.dtype.is_floating_point
            tensors[name] = torch.full_like(old, data.draw(st.integers(0, 99) if whole else st.floats(width=32)))
        else:
            tensors[name] = old.flatten() if kind == "flat" else old[:0]


@pytest.mark.parametrize(("kind", "examples"), [("gaussian", 150), ("octaves", 25), ("maps", 40)])
def test_a_changed_state_is_a_run_or_a_sentence(
    files: dict[str, Path], tmp_path: Path, kind: str, examples: int
) -> None:
    @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def held(data: st.DataObject) -> None:
        meta, tensors = _parts(files[kind])
        _mutated(data, meta, tensors)
        with suppress(BadInput):
            _gone_on(_written(tmp_path / "a.state", meta, tensors))

    held()


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_changed_bytes_are_a_state_or_a_sentence(files: dict[str, Path], tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(files["gaussian"].read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, 3000))] = data.draw(st.integers(0, 255))
    path = tmp_path / "a.state"
    path.write_bytes(content[: data.draw(st.sampled_from([len(content), 5, 800, len(content) - 1]))])
    with suppress(BadInput):
        states.load(path)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10**5,
        '{"levels": ' * 10**4,
        "[1, 0, NaN]",
        "[" + "1, 0, " * 10**6 + "-1]",
        '"text"',
        "[1.5, 0, -1]",
        "[[[[[0]]]], 0, -1]",
        '["2", 1, 0, -1]',
        '[2, {"level": 1}, 0, -1]',
    ],
)
def test_a_schedule_of_anything_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(text)
    _files(tmp_path)
    where = [str(tmp_path / "in.png"), "--mask", str(tmp_path / "mask.png"), "-o", str(tmp_path / "out.png")]
    assert cli.main(["inpaint", *where, "--model", "test/gaussian", "--schedule", str(path)]) == 2
    assert "wrong" not in capsys.readouterr().err


def _files(folder: Path) -> None:
    imagefile.write(folder / "in.png", imagefile.Picture(_picture(40)))
    imagefile.write(folder / "mask.png", imagefile.Picture(_hole(40, 12, 28)[..., None]))


def test_a_damaged_profile_or_resolution_counts_as_none(files: dict[str, Path], tmp_path: Path) -> None:
    for extra in ({"icc": 5}, {"icc": "?"}, {"dpi": 5}, {"dpi": ["a", "b"]}, {"dpi": [1e300, 1]}, {"dpi": [72]}):
        meta, tensors = _parts(files["gaussian"])
        meta["extra"] = extra
        path = _written(tmp_path / "a.state", meta, tensors)
        assert cli.main(["branch", str(path), "-o", str(tmp_path / "out.png")]) == 0
        assert imagefile.read(tmp_path / "out.png").icc_profile is None
