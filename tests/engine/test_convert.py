"""Checkpoints of guided-diffusion → model folders, held against an independent statement of the original arithmetic."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from bridge_server.worker.runner import Runner
from engine import api
from engine.errors import BadInput, EngineError
from engine.models import convert, find, folders, guided, models_dir, noisy_classifier, unet, unpickle
from engine.models.guided import GuidedConfig
from engine.models.noisy_classifier import ClassifierConfig
from tests.engine import guided_reference as reference
from tests.engine.checkpoints import CLASSIFIER, Evil, classifier_config, config_of, noisy, relative, weights_of
from tests.engine.guided_reference import Shape, Weights

ROOT = Path(__file__).parents[2]
TOLERANCE = 1e-5
SHAPES = {
    "head channels, legacy order": Shape(),
    "classes, new order": Shape(classes=7, new_order=True),
    "constant heads": Shape(head_width=None, heads=4, multipliers=(1, 2, 2), attention=(16, 8)),
    "two blocks a level": Shape(layers=2),
    "no learned variance": Shape(outputs=3),
    "attention everywhere": Shape(attention=(32, 16)),
}


@pytest.fixture(autouse=True)
def kinds(monkeypatch):
    """Kinds of model small enough for tests, beside the published ones."""
    small = {name: config_of(shape) for name, shape in SHAPES.items()} | {"small-classifier": classifier_config()}
    monkeypatch.setattr(convert, "PRESETS", convert.PRESETS | small)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("REPAINT_BRIDGE_HOME", str(tmp_path / "home"))
    return models_dir()


def _checkpoint(tmp_path: Path, weights: dict) -> Path:
    """As safetensors: what is to be shown of pickles is shown by the tests about them, each start of which is slow."""
    path = tmp_path / "checkpoint.safetensors"
    save_file(dict(weights), path)
    return path


@pytest.mark.parametrize("name", SHAPES)
def test_a_converted_model_computes_what_the_checkpoint_does(name, tmp_path, home):
    shape = SHAPES[name]
    weights = weights_of(shape)
    convert.convert(_checkpoint(tmp_path, weights), name, "mine", home)
    model = api.load_model("mine", "cpu")
    label = None if shape.classes is None else 3
    assert (
        relative(model.predict(noisy(), 321, label), reference.network(weights, shape, noisy(), 321, label)) < TOLERANCE
    )
    assert find("mine").takes_label == (shape.classes is not None)


def test_the_wrong_row_order_fits_but_errs_and_the_probe_catches_it():
    """Loaded the wrong way round the weights still load strictly; only numbers tell."""
    for shape in (SHAPES["head channels, legacy order"], SHAPES["classes, new order"], SHAPES["constant heads"]):
        weights, config = weights_of(shape), config_of(shape)
        wrong = replace(config, new_order=not config.new_order)
        network = unet.build(guided.unet_config(config), guided.convert_state(weights, wrong))
        with pytest.raises(EngineError) as caught:
            guided.probe_attention(network, weights, config)
        assert caught.value.code == "conversion_failed"
        label = None if shape.classes is None else torch.tensor([3, 3])
        with torch.no_grad():
            found = network(noisy(), 321, label).sample
        assert relative(found, reference.network(weights, shape, noisy(), 321, 3)) > 0.05
        right = unet.build(guided.unet_config(config), guided.convert_state(weights, config))
        assert guided.probe_attention(right, weights, config) < TOLERANCE


def _trained(shape: Shape) -> Weights:
    """Random weights whose last layer is fitted to predict noise: the least that deserves the name trained."""
    weights = weights_of(shape)
    for name in weights:
        if name.endswith("proj_out.weight"):
            weights[name] *= 8  # so that much depends on the attention layers
    config = config_of(shape)
    network = unet.build(guided.unet_config(config), guided.convert_state(weights, config))
    features: list[torch.Tensor] = []
    network.conv_out.register_forward_pre_hook(lambda _module, inputs: features.append(inputs[0]))
    alpha_bar = float(guided.linear_alpha_bar()[guided.PROBE_TIMESTEP])
    z = torch.randn(6, 3, 64, 64, generator=torch.Generator().manual_seed(9))
    x = alpha_bar**0.5 * guided._probe_picture() + (1 - alpha_bar) ** 0.5 * z
    with torch.no_grad():
        network(x, guided.PROBE_TIMESTEP)
    columns = torch.nn.functional.unfold(features[0], 3, padding=1).transpose(1, 2).flatten(0, 1).double()
    columns = torch.cat([columns, torch.ones(len(columns), 1)], dim=1)
    wanted = z.flatten(2).transpose(1, 2).flatten(0, 1).double()
    gram = columns.T @ columns + 1e-3 * torch.eye(columns.shape[1])
    solution = torch.linalg.solve(gram, columns.T @ wanted).T.float()
    weights["out.2.weight"][:3] = solution[:, :-1].reshape(3, -1, 3, 3)
    weights["out.2.bias"][:3] = solution[:, -1]
    return weights


@pytest.mark.parametrize("new_order", [False, True])
@pytest.mark.slow
def test_a_trained_checkpoint_of_the_other_row_order_is_refused(new_order, tmp_path, home, monkeypatch):
    """The artist names a kind whose published row order is not this file's: the noise it predicts gives it away."""
    shape = Shape(multipliers=(1, 1), attention=(32, 16), new_order=new_order)
    monkeypatch.setattr(
        convert, "PRESETS", {"right": config_of(shape), "wrong": config_of(replace(shape, new_order=not new_order))}
    )
    path = _checkpoint(tmp_path, _trained(shape))
    said: list[str] = []
    convert.convert(path, "right", "first", home, say=said.append)
    assert "row order confirmed" in " ".join(said)
    with pytest.raises(EngineError) as caught:
        convert.convert(path, "wrong", "second", home)
    assert caught.value.code == "attention_order"
    assert f"--attention {'new' if new_order else 'legacy'}" in caught.value.sentence
    convert.convert(path, "wrong", "second", home, attention="new" if new_order else "legacy")
    assert sorted(folder.name for folder in home.iterdir()) == ["first", "second"]


def test_published_kinds_build_what_their_authors_publish(monkeypatch):
    """Parameter counts of the published networks, and each one's noise schedule and row order."""
    monkeypatch.undo()
    parameters = {}
    for kind, config in convert.PRESETS.items():
        with torch.device("meta"):
            if isinstance(config, ClassifierConfig):
                network = noisy_classifier.NoisyClassifier(config)
            else:
                from diffusers import UNet2DModel

                values = {k: v for k, v in guided.unet_config(config).items() if k not in unet.OWN_KEYS}
                network = UNet2DModel.from_config(values)
        parameters[kind] = round(sum(p.numel() for p in network.parameters()) / 1e6, 1)
    assert parameters == {
        "adm-64": 295.9, "adm-128": 421.5, "adm-256": 553.8, "adm-256-uncond": 552.8, "repaint-celebahq-256": 552.8,
        "repaint-places2-256": 552.8, "lsun-256": 552.8, "classifier-64": 65.4, "classifier-128": 42.6,
        "classifier-256": 54.1,
    }  # fmt: skip
    schedules = {kind: config.cosine for kind, config in convert.PRESETS.items() if isinstance(config, GuidedConfig)}
    assert [kind for kind, cosine in schedules.items() if cosine] == ["adm-64"]
    assert guided.unet_config(convert.PRESETS["adm-128"])["attention_heads"] == 4


@pytest.mark.parametrize(
    "change",
    ["missing key", "extra key", "class weights in an unconditional kind", "other shape", "cut file", "garbage"],
)
def test_other_files_are_one_sentence_and_leave_nothing(change, tmp_path, home):
    weights: dict = dict(weights_of(Shape()))
    if change == "missing key":
        weights.pop("middle_block.1.qkv.weight")
    elif change == "extra key":
        weights["surplus"] = torch.zeros(3)
    elif change.startswith("class"):
        weights["label_emb.weight"] = torch.zeros(7, 128)
    elif change == "other shape":
        weights["out.2.weight"] = torch.zeros(3, 32, 3, 3)
    path = _checkpoint(tmp_path, weights)
    if change == "cut file":
        path.write_bytes(path.read_bytes()[:-2000])
    elif change == "garbage":
        path.write_bytes(b"GIF89a" + bytes(1000))
    with pytest.raises(EngineError) as caught:
        convert.convert(path, "head channels, legacy order", "mine", home)
    assert caught.value.code == ("model_corrupt" if change in ("cut file", "garbage") else "checkpoint_keys")
    assert "\n" not in caught.value.sentence
    assert not home.exists() or not list(home.iterdir())


@pytest.mark.promise(10)
def test_a_malicious_pickle_never_runs(tmp_path, home):
    """As a model and, in the format before torch 1.6, as a classifier, each read in a process of its own."""
    kind = "head channels, legacy order"
    convert.convert(_checkpoint(tmp_path, weights_of(Shape())), kind, "mine", home)
    flag = tmp_path / "ran"
    for shape, into, name, zipped in ((Shape(), kind, "other", True), (CLASSIFIER, "small-classifier", "mine", False)):
        path = tmp_path / f"evil-{zipped}.pt"
        torch.save(dict(weights_of(shape)) | {"extra": Evil(flag)}, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(EngineError) as caught:
            convert.convert(path, into, name, home)
        assert caught.value.code == "model_pickled"
        assert not flag.exists()
        assert [folder.name for folder in home.iterdir()] == ["mine"]
        assert not (home / "mine" / "classifier").exists()
        torch.load(path, weights_only=False)  # the file is what it claims to be: loaded carelessly, it does run
        assert flag.exists()
        flag.unlink()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({"epoch": 3, "optimizer": {"lr": 0.1}}, unpickle.NO_WEIGHTS),
        ({}, unpickle.NO_WEIGHTS),
        ([torch.zeros(3)], unpickle.NO_WEIGHTS),
        ({"steps": torch.zeros(3, dtype=torch.long)}, unpickle.NO_WEIGHTS),
        ({3: torch.zeros(3)}, unpickle.NO_WEIGHTS),
        ({"model": {"w": torch.zeros(3)}}, unpickle.OK),
        ({"w": torch.zeros(3), "shared": torch.zeros(6)[:3]}, unpickle.OK),
    ],
)
def test_what_counts_as_weights(content, code, tmp_path):
    torch.save(content, tmp_path / "x.pt")
    assert unpickle.main(str(tmp_path / "x.pt"), str(tmp_path / "x.safetensors")) == code
    assert (tmp_path / "x.safetensors").exists() == (code == unpickle.OK)


@pytest.mark.parametrize("content", [b"", b"GIF89a" + bytes(1000), b"PK\x03\x04" + bytes(1000)])
def test_damaged_pickles(content, tmp_path):
    (tmp_path / "x.pt").write_bytes(content)
    assert unpickle.main(str(tmp_path / "x.pt"), str(tmp_path / "x.safetensors")) in (
        unpickle.NO_WEIGHTS,
        unpickle.UNSAFE,
    )


@pytest.mark.slow
def test_wrapped_half_precision_and_safetensors_checkpoints(tmp_path, home):
    shape = Shape()
    weights = weights_of(shape)
    expected = reference.network(weights, shape, noisy(), 50)
    wrapped = tmp_path / "wrapped.pt"
    torch.save({"state_dict": {name: tensor.half() for name, tensor in weights.items()}}, wrapped)
    plain = tmp_path / "plain.safetensors"
    save_file(dict(weights), plain)
    for path, name, tolerance in ((wrapped, "half", 0.02), (plain, "plain", TOLERANCE)):
        convert.convert(path, "head channels, legacy order", name, home)
        assert relative(api.load_model(name, "cpu").predict(noisy(), 50), expected) < tolerance
        stored = load_file(home / name / "diffusion_pytorch_model.safetensors")
        assert {tensor.dtype for tensor in stored.values()} == {torch.float32}


def test_names_are_checked(tmp_path, home):
    path = _checkpoint(tmp_path, weights_of(Shape()))
    kind = "head channels, legacy order"
    convert.convert(path, kind, "mine", home)
    for call in (
        (path, "no such kind", "new"),
        (path, kind, "mine"),
        (path, kind, "../escape"),
        (path, kind, ".hidden"),
        (tmp_path / "absent.pt", kind, "new"),
        (path, "small-classifier", None),
        (path, "small-classifier", "absent"),
        (path, "small-classifier", "../mine"),
    ):
        with pytest.raises(BadInput):
            convert.convert(*call, home)
    assert [folder.name for folder in home.iterdir()] == ["mine"]


def test_origin_says_where_a_model_comes_from(tmp_path, home):
    path = _checkpoint(tmp_path, weights_of(Shape()))
    convert.convert(path, "head channels, legacy order", "mine", home)
    origin = json.loads((home / "mine" / "origin.json").read_text())
    assert origin["source"] == "checkpoint.safetensors"
    assert set(origin["files"]) == {"config.json", "scheduler_config.json", "diffusion_pytorch_model.safetensors"}


_CONVERTING = """
import sys
from pathlib import Path
from engine.models import convert
with convert.tensors(Path(sys.argv[1]), Path(sys.argv[2])):
    pass
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_what_a_conversion_starts_dies_with_it_and_its_folder_is_cleared(tmp_path):
    """The checkpoint is a pipe on which the unpickling process waits."""
    os.mkfifo(tmp_path / "x.pt")
    models = tmp_path / "models"
    one = subprocess.Popen([sys.executable, "-c", _CONVERTING, str(tmp_path / "x.pt"), str(models)], cwd=ROOT)

    def children():
        return [int(pid) for pid in Path(f"/proc/{one.pid}/task/{one.pid}/children").read_text().split()]

    try:
        _until(lambda: children() and list(models.glob(".convert-*/")))
        (child,) = children()
        _until(lambda: b"unpickle.py" in Path(f"/proc/{child}/cmdline").read_bytes())
        folders.sweep(models)
        assert [path for path in models.glob(".convert-*") if path.is_dir()], "it goes on"
    finally:
        one.kill()
        one.wait()
    began = time.monotonic()
    _until(lambda: _gone(child))
    assert time.monotonic() - began < 5
    assert list(models.iterdir())
    folders.sweep(models)
    assert list(models.iterdir()) == []


def test_a_worker_that_starts_clears_what_a_dead_conversion_left(tmp_path, home):
    (home / ".convert-0123456789ab").mkdir(parents=True)
    (home / ".convert-0123456789ab" / folders.WEIGHTS).touch()
    Runner(SimpleNamespace(), tmp_path / "scratch", tmp_path / "spool", sys.exit)
    assert list(home.iterdir()) == []


def _gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def _until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
