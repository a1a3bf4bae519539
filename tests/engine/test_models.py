"""Model folders: diffusers layout in all its shapes, and every way one can be broken."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel
from PIL import Image
from safetensors.torch import load_file, save_file

from engine import api
from engine.data import procedural
from engine.errors import EngineError
from engine.models import find, models_dir
from engine.sampling.diffusion import cosine_alpha_bar, linear_alpha_bar
from engine.sampling.presets import PRESETS

WEIGHTS = "diffusion_pytorch_model.safetensors"


def _unet(**more) -> UNet2DModel:
    torch.manual_seed(0)
    values = {
        "sample_size": 32, "in_channels": 3, "out_channels": 3, "layers_per_block": 1, "block_out_channels": (16, 32),
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "norm_num_groups": 8,
    }  # fmt: skip
    return UNet2DModel(**(values | more))


@pytest.fixture
def folder(tmp_path) -> Path:
    """A small real model as diffusers itself saves a pipeline."""
    place = tmp_path / "small"
    _unet().save_pretrained(place / "unet")
    DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear").save_pretrained(place / "scheduler")
    return place


def _image():
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 4), dtype=np.uint8)
    image[..., 3] = 255
    selection = np.zeros((40, 40), np.uint8)
    selection[10:20, 10:20] = 255
    return image, selection


def test_a_folder_that_diffusers_saved_runs(folder):
    model = api.load_model(str(folder), "cpu")
    assert model.prediction == "epsilon"
    assert np.allclose(model.alpha_bar, linear_alpha_bar())
    assert model.geometry.window == 32
    api.warm_up(model)
    job = api.Job(*_image(), model=model.info.id, seed=1, steps=4, jump_length=2, jump_samples=2)
    *_, last = api.run(job, model)
    assert last.layer().shape == (40, 40, 4)


def test_output_equals_diffusers(folder):
    model = api.load_model(str(folder), "cpu")
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = UNet2DModel.from_pretrained(folder / "unet")(x, 321).sample
    assert torch.allclose(model.predict(x, 321), expected, atol=1e-5)


def test_flat_layout_and_the_users_models_folder(folder):
    home = models_dir() / "mine"
    home.mkdir(parents=True)
    for source in (
        folder / "unet" / "config.json",
        folder / "unet" / WEIGHTS,
        folder / "scheduler/scheduler_config.json",
    ):
        shutil.copy(source, home)
    try:
        assert find("mine").installed
        assert api.load_model("mine", "cpu").geometry.window == 32
    finally:
        shutil.rmtree(home)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"beta_schedule": "squaredcos_cap_v2"}, cosine_alpha_bar()),
        ({"trained_betas": [0.1, 0.2, 0.3]}, np.cumprod([0.9, 0.8, 0.7])),
        ({"beta_start": 0.001, "beta_end": 0.01, "num_train_timesteps": 500}, linear_alpha_bar(500, 0.001, 0.01)),
    ],
)
def test_the_models_own_betas_count(folder, changes, expected):
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    assert np.allclose(api.load_model(str(folder), "cpu").alpha_bar, expected)


def test_a_preset_may_leave_eta_to_the_model():
    texture, patches = api.load_model("texture"), api.load_model("exemplar")
    fast, whole = PRESETS["fast"].settings, PRESETS["repaint"].settings
    assert texture.settings(fast).eta is patches.settings(fast).eta is None
    assert texture.settings(whole).eta is patches.settings(whole).eta is None, "the reference is DDPM"
    assert replace(texture, eta=0.25).settings(fast).eta == 0.25
    own = replace(fast, eta=0.1)
    assert texture.settings(own).eta == patches.settings(own).eta == 0.1


def test_a_run_begins_where_noise_does_not_yet_decide():
    fast, whole = PRESETS["fast"], PRESETS["repaint"]
    ends = {}
    for name in ("texture", "exemplar"):
        model = api.load_model(name)
        for preset in (fast, whole):
            diffusion = model.diffusion(preset.steps, model.settings(preset.settings))
            ends[name, preset.name] = float(diffusion.alpha_bars[-1])
    assert ends["texture", "fast"] == pytest.approx(0.0004, rel=0.05)
    assert ends["exemplar", "fast"] == pytest.approx(0.002, rel=0.05), "it says the same above, whatever it sees"
    assert ends["texture", "repaint"] == ends["exemplar", "repaint"] == linear_alpha_bar()[-1]


def test_scaled_linear_betas_equal_diffusers(folder):
    scheduler = DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    scheduler.save_pretrained(folder / "scheduler")
    ours = api.load_model(str(folder), "cpu").alpha_bar
    assert np.allclose(ours, scheduler.alphas_cumprod.numpy(), atol=1e-5)


def _break(folder: Path, how: str) -> None:
    weights = folder / "unet" / WEIGHTS
    if how == "no weights":
        weights.unlink()
    elif how == "no configuration":
        (folder / "unet" / "config.json").unlink()
    elif how == "cut weights":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif how == "garbage weights":
        weights.write_bytes(b"\x00" * 100)
    elif how == "missing key":
        state = load_file(weights)
        state.pop("conv_in.weight")
        save_file(state, weights)
    elif how == "extra key":
        save_file(load_file(weights) | {"surplus": torch.zeros(1)}, weights)
    elif how == "other shape":
        _unet(block_out_channels=(8, 16)).save_pretrained(folder / "other")
        shutil.copy(folder / "other" / WEIGHTS, weights)
    elif how == "broken configuration":
        (folder / "unet" / "config.json").write_text("{")
    elif how == "gray model":
        _unet(in_channels=1, out_channels=1).save_pretrained(folder / "unet")
    elif how == "unknown betas":
        (folder / "scheduler" / "scheduler_config.json").write_text('{"beta_schedule": "mine"}')
    elif how == "unknown prediction":
        (folder / "scheduler" / "scheduler_config.json").write_text('{"prediction_type": "mine"}')


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("no weights", "model_missing"),
        ("no configuration", "model_missing"),
        ("cut weights", "model_corrupt"),
        ("garbage weights", "model_corrupt"),
        ("missing key", "model_corrupt"),
        ("extra key", "model_corrupt"),
        ("other shape", "model_corrupt"),
        ("broken configuration", "model_corrupt"),
        ("gray model", "model_corrupt"),
        ("unknown betas", "model_corrupt"),
        ("unknown prediction", "model_corrupt"),
    ],
)
def test_broken_models_are_sentences(folder, how, code):
    _break(folder, how)
    with pytest.raises(EngineError) as caught:
        api.load_model(str(folder), "cpu")
    assert caught.value.code == code
    assert "install it again" in caught.value.sentence or "choose another" in caught.value.sentence


@pytest.mark.promise(10)
def test_pickled_weights_are_refused_and_do_not_run(folder, tmp_path):
    flag = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (flag.touch, ())

    (folder / "unet" / WEIGHTS).unlink()
    torch.save({"w": Evil()}, folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(EngineError) as caught:
        api.load_model(str(folder), "cpu")
    assert caught.value.code == "model_pickled"
    assert not flag.exists()


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("models.unet.load_file", MemoryError("injected")),
        ("models.unet.build", torch.OutOfMemoryError("injected")),
        ("models.unet.predictor", torch.OutOfMemoryError("injected")),
    ],
)
def test_a_model_that_does_not_fit_is_not_called_damaged(folder, monkeypatch, name, error):
    monkeypatch.setattr(f"engine.{name}", _raises(error))
    with pytest.raises(EngineError, match="memory for the model small; close other programs") as caught:
        api.load_model(str(folder), "cpu")
    assert (caught.value.code, "injected" in caught.value.details) == ("out_of_memory", True)


def test_memory_that_ends_in_the_warm_up_is_a_sentence(folder, monkeypatch):
    """It is the first thing that a worker does with a model."""
    monkeypatch.setattr("engine.exemplar.octave_run.Run.moments", _raises(MemoryError("injected")))
    short = replace(api.load_model(str(folder), "cpu"), predict=_raises(torch.OutOfMemoryError("injected")))
    for model in (short, api.load_model("exemplar", "cpu")):
        with pytest.raises(EngineError, match=f"memory for the model {model.info.title}; ") as caught:
            api.warm_up(model)
        assert (caught.value.code, caught.value.details) == ("out_of_memory", "injected")


def _raises(error):
    def fail(*_, **__):
        raise error

    return fail


def test_learned_variance_model_runs(tmp_path):
    place = tmp_path / "six"
    _unet(out_channels=6).save_pretrained(place / "unet")
    DDPMScheduler().save_pretrained(place / "scheduler")
    model = api.load_model(str(place), "cpu")
    job = api.Job(*_image(), model=model.info.id, seed=1, steps=3, jump_length=3, jump_samples=1)
    *_, last = api.run(job, model)
    assert last.calls == 3


@pytest.mark.slow
def test_the_shipped_model_learns_within_its_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("REPAINT_BRIDGE_HOME", str(tmp_path / "home"))
    Image.fromarray(procedural.generate(1_000_012, 192)).save(tmp_path / "in.png")
    base = ["learn", "in.png", "--steps", "4", "-o", "mine", "--json"]
    code = (
        "import sys, resource; from engine.commands.cli import main; code = main(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**10); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *base], cwd=tmp_path, capture_output=True, text=True, check=True)
    report, peak = done.stdout.splitlines()
    assert json.loads(report)["steps"] <= 4
    assert int(peak) <= 2048
    assert (tmp_path / "mine" / "origin.json").is_file()
