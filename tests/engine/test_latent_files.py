"""Latent models from files: single-file checkpoints, LoRA, downloads of whole pipelines, and the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine import api
from engine.commands import cli
from engine.commands import models as commands
from engine.errors import BadInput, EngineError
from engine.files.imagefile import Picture, read, write
from engine.models import catalogue, find, lora, models_dir, single_file
from engine.models.entries import entry_of
from tests.engine.latent_help import hole, image, job, last, toy
from tests.engine.toys import FOLDER, kinds, ldm


@pytest.fixture(scope="module", autouse=True)
def installed():
    """The toy model in the user's own folder, as ``toy-latent``."""
    target = models_dir() / "toy-latent"
    shutil.copytree(FOLDER, target)
    before = {path.name for path in models_dir().iterdir()}
    yield target
    for path in models_dir().iterdir():
        if path.name not in before or path == target:
            shutil.rmtree(path, ignore_errors=True)


# --------------------------------------------------------------------------------------------------------- single files


def test_a_single_file_becomes_the_same_model(tmp_path):
    file = ldm.write(tmp_path / "my-model.safetensors")
    target = single_file.convert(file, "toy-latent", None, models_dir())
    assert target.name == "my-model"
    for part in ("unet", "vae"):
        name = f"{part}/diffusion_pytorch_model.safetensors"
        mine, theirs = load_file(target / name), load_file(FOLDER / name)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in theirs)
    made = api.load_model("my-model", "cpu")
    assert np.array_equal(last(made, prompt="a red circle").fill, last(toy(), prompt="a red circle").fill)
    assert commands.verify("my-model")[-1].endswith("loads and answers")


@pytest.mark.parametrize("spoil", ["truncated", "other", "pickled", "nothing", "pixel-model"])
def test_a_file_that_will_not_do(tmp_path, spoil):
    file, like = tmp_path / "bad.safetensors", "toy-latent"
    if spoil == "truncated":
        ldm.write(file)
        file.write_bytes(file.read_bytes()[:-5000])
    elif spoil == "other":
        save_file({"a.weight": torch.zeros(3)}, file)
    elif spoil == "pickled":
        file = tmp_path / "bad.ckpt"
        file.write_bytes(b"\x80\x04.")
    elif spoil == "pixel-model":
        ldm.write(file)
        like = "texture"
    with pytest.raises(EngineError) as caught:
        single_file.convert(file, like, "bad", models_dir())
    expected = {"pickled": "model_pickled", "nothing": "no_file", "pixel-model": "bad_base"}
    assert caught.value.code == expected.get(spoil, "model_corrupt")
    assert not (models_dir() / "bad").exists()


# ----------------------------------------------------------------------------------------------------------------- LoRA


def _lora(file: Path, scale: float = 0.3) -> tuple[str, torch.Tensor]:
    """A LoRA of rank 2 for one attention layer, in diffusers' names; returns the layer and what it adds at weight 1."""
    layer = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_q"
    random = torch.Generator().manual_seed(1)
    down, up = torch.randn(2, 32, generator=random) * scale, torch.randn(32, 2, generator=random) * scale
    save_file({f"unet.{layer}.lora_A.weight": down, f"unet.{layer}.lora_B.weight": up}, file)
    return layer, up @ down


@pytest.mark.parametrize("weight", [1.0, -0.5])
def test_a_lora_adds_its_product_to_the_weights(tmp_path, weight):
    from engine.models import pipeline_folder

    layer, product = _lora(tmp_path / "style.safetensors")
    name = f"style{weight:g}"
    target = lora.add(tmp_path / "style.safetensors", "toy-latent", weight, name, models_dir())
    info = find(name)
    assert (info.family, info.takes_prompt, info.folder) == ("latent", True, target)
    base, merge = lora.base_of(info)
    before = pipeline_folder.read(base, torch.float32).network.get_submodule(layer).weight.clone()
    after = merge(pipeline_folder.read(base, torch.float32)).network.get_submodule(layer).weight
    assert torch.allclose(after - before, weight * product, atol=1e-5)
    changed = last(api.load_model(name, "cpu"), prompt="a red circle").fill
    assert not np.array_equal(changed, last(toy(), prompt="a red circle").fill)


def test_a_state_knows_its_lora(tmp_path):
    """Base and LoRA are different models to a kept state."""
    _lora(tmp_path / "other.safetensors")
    lora.add(tmp_path / "other.safetensors", "toy-latent", 1.0, "with-lora", models_dir())
    base = api.load_model("toy-latent", "cpu")
    kept = next(event for event in api.run(job(base), base) if isinstance(event, api.Step)).keep()
    with pytest.raises(BadInput) as caught:
        list(api.resume(kept, api.load_model("with-lora", "cpu")))
    assert caught.value.code == "bad_state"


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        ("pickled", "model_pickled"),
        ("foreign", "model_corrupt"),
        ("damaged", "model_corrupt"),
        ("pixel", "bad_base"),
        ("weight", "bad_weight"),
    ],
)
def test_a_lora_that_will_not_do(tmp_path, spoil, code):
    file, base, weight = tmp_path / "bad.safetensors", "toy-latent", 1.0
    _lora(file)
    if spoil == "pickled":
        file = file.rename(tmp_path / "bad.pt")
    elif spoil == "foreign":
        save_file({"unet.nowhere.to_q.lora_A.weight": torch.zeros(2, 9)}, file)
    elif spoil == "damaged":
        file.write_bytes(file.read_bytes()[:-10])
    elif spoil == "pixel":
        base = "texture"
    else:
        weight = 9.0
    with pytest.raises(EngineError) as caught:
        lora.add(file, base, weight, "bad", models_dir())
    assert caught.value.code == code
    assert not (models_dir() / "bad").exists()


def test_a_lora_without_its_model_is_a_sentence():
    folder = models_dir() / "orphan"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"_class_name": "LoRA", "base": "gone", "weight": 1.0}))
    _lora(folder / "lora.safetensors")
    with pytest.raises(EngineError) as caught:
        api.load_model("orphan", "cpu")
    assert caught.value.code == "model_missing"
    assert "gone" in caught.value.sentence


# ---------------------------------------------------------------------------------------------- catalogue, command line


def test_catalogued_pipelines_list_what_a_loader_needs(tmp_path):
    """Every file that such a pipeline is loaded from, and nothing else."""
    listed = {info.id: info for info in catalogue()}
    for name, kind in (("sd15", "toy"), ("sdxl", "sdxl"), ("sd35-medium", "sd3")):
        entry = entry_of(name)
        assert listed[name].takes_prompt
        assert listed[name].licence
        folder = FOLDER if kind == "toy" else kinds.write(kind, tmp_path / kind)
        present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert {file.replace(".fp16", "") for file in entry.files} == present - {"README.md"}


def test_inpaint_with_words_on_the_command_line(tmp_path, capsys):
    picture, mask, out = tmp_path / "in.png", tmp_path / "mask.png", tmp_path / "out.png"
    source, selection = image(4)[..., :3], hole(128, 40, 40, 40)
    write(picture, Picture(source))
    write(mask, Picture(selection[..., None]))
    words = ["--prompt", "a red circle " + "sand " * 80, "--negative", "a blue square", "--guidance", "3"]
    arguments = ["inpaint", str(picture), "-m", str(mask), "-o", str(out), "--model", "toy-latent", "--seed", "1"]
    assert cli.main([*arguments, "--steps", "4", "--guidance-interval", "0", "0.8", *words, "--json"]) == 0
    shown = capsys.readouterr()
    assert "not read: “sand" in shown.err
    assert json.loads(shown.out)["calls"] == 4
    result = read(out).pixels
    assert np.array_equal(result[selection == 0], source[selection == 0])
    assert (result[selection > 0] != source[selection > 0]).any()


def test_words_out_of_place_on_the_command_line(tmp_path, capsys):
    picture, mask = tmp_path / "in.png", tmp_path / "mask.png"
    write(picture, Picture(image(4)[..., :3]))
    write(mask, Picture(hole(128, 40, 40, 40)[..., None]))
    arguments = ["inpaint", str(picture), "-m", str(mask), "-o", str(tmp_path / "out.png")]
    assert cli.main([*arguments, "--model", "test/gaussian", "--prompt", "a cat"]) == 2
    assert cli.main([*arguments, "--model", "toy-latent", "--prompt", "a cat", "--guidance", "99"]) == 2
    assert "no prompt" in (shown := capsys.readouterr().err) or "takes no prompt" in shown


def test_models_commands(tmp_path, capsys):
    file = ldm.write(tmp_path / "single.safetensors")
    assert cli.main(["models", "convert", str(file), "--like", "toy-latent", "-o", "converted"]) == 0
    _lora(tmp_path / "l.safetensors")
    assert cli.main(["models", "lora", str(tmp_path / "l.safetensors"), "--of", "converted", "-o", "with-l"]) == 0
    assert cli.main(["models", "convert", str(file)]) == 2
    assert cli.main(["models", "list"]) == 0
    assert "with-l" in capsys.readouterr().out
    assert cli.main(["models", "verify", "with-l"]) == 0
