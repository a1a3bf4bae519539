"""Another autoencoder for a latent model, above all an asymmetric one that decodes with the known pixels at hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine import api, canvas
from engine.commands import cli
from engine.errors import BadInput, EngineError
from engine.models import catalogue, latent_space
from tests.engine.latent_help import QUICK, hole, image, job, last, relative, toy
from tests.engine.toys import ASYMMETRIC, FOLDER, pictures, train


@pytest.fixture(scope="module")
def model() -> api.Model:
    return api.load_model(str(FOLDER), "cpu", str(ASYMMETRIC))


def _question() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(40)
    drawn = np.stack([pictures.draw(pictures.scene(rng)) for _ in range(6)]).transpose(0, 3, 1, 2)
    keep = torch.ones(1, 1, 128, 128)
    keep[..., 40:88, 36:84] = 0
    return torch.from_numpy(drawn.astype(np.float32) / 127.5 - 1), keep


@torch.inference_mode()
def test_the_known_region_is_decoded_from_the_known_pixels(model):
    """Its error is far less than what the toy's own decoder leaves there; the hole pays for it; with the
    mask the wrong way round it is the hole that is looked at."""
    y, keep = _question()
    cells = model.space.enter(y, torch.ones_like(keep)).y
    z = cells / float(model.space._vae.config.scaling_factor)

    def errors(space, shown, flags):
        row = torch.cat([space._decode(z[k : k + 1], (shown[k : k + 1], flags)) for k in range(len(z))])
        off = (row - y).abs().mean(dim=(0, 1))
        return float(off[keep[0, 0] > 0].mean()), float(off[keep[0, 0] == 0].mean())

    plain, seen, wrong = (
        errors(toy().space, y * keep, keep), errors(model.space, y * keep, keep), errors(model.space, y, 1 - keep)
    )  # fmt: skip
    assert seen[0] < 0.7 * plain[0]
    assert seen[1] < 1.8 * plain[1]  # a minute of training
    assert wrong[0] > 1.5 * seen[0]
    assert wrong[1] < seen[1]


def test_it_is_given_the_picture_and_the_hole_of_each_row(model, monkeypatch):
    """1 in the hole, as diffusers' own pipeline gives it; all of the picture, never what lies in the hole."""
    from diffusers.models.autoencoders import vae as parts

    given = []
    forward = parts.MaskConditionDecoder.forward

    def watched(self, z, image=None, mask=None, latent_embeds=None):
        given.append((image, mask))
        return forward(self, z, image, mask, latent_embeds)

    monkeypatch.setattr(parts.MaskConditionDecoder, "forward", watched)
    picture, selection = image(3), hole(128, 40, 36, 48)
    last(model, picture=picture, selection=selection)
    ((shown, mask),) = given
    assert np.array_equal(mask[0, 0].numpy() > 0, selection > 0)
    expected = picture[..., :3].transpose(2, 0, 1) / 127.5 - 1
    assert np.allclose(shown[0].numpy()[:, selection == 0], expected[:, selection == 0], atol=1e-6)
    assert not shown[0][:, selection > 0].any()


def test_through_the_whole_engine_the_known_pixels_are_bit_for_bit(model):
    picture, selection = image(5), hole(128, 40, 36, 48)
    asked = {"picture": picture, "selection": selection, "prompt": "a red circle", "guidance": 3.0}
    plain, event = last(toy(), **asked), last(model, **asked)
    out = canvas.over(picture, event.layer())
    assert np.array_equal(out[selection == 0], picture[selection == 0])
    assert not np.array_equal(event.fill, plain.fill)
    assert np.abs(event.fill - plain.fill).mean() < 0.1


def test_in_tiles_it_sees_the_same(model, monkeypatch):
    y, keep = _question()
    y = torch.cat([y[:1], y[1:2]], dim=3)
    keep = torch.cat([keep, torch.ones_like(keep)], dim=3)
    cells = model.space.enter(y, keep).y
    whole = model.space.leave(cells, (y * keep, keep))
    monkeypatch.setattr(latent_space, "TILED_FROM", 128 * 128)
    found = model.space.leave(cells, (y * keep, keep))
    assert (found - whole).abs().mean() < 0.01


def test_a_tile_can_be_made_with_it(model):
    wide = last(model, selection=255 - hole(128, 24, 24, 80), wrap="both")
    assert np.isfinite(wide.fill).all()


def test_a_folder_that_holds_it_as_its_own_is_a_model_like_others(model, tmp_path):
    folder = Path(shutil.copytree(FOLDER, tmp_path / "model"))
    shutil.rmtree(folder / "vae")
    shutil.copytree(ASYMMETRIC, folder / "vae")
    found = api.load_model(str(folder), "cpu")
    assert np.array_equal(last(found).fill, last(model).fill)


def test_by_name_in_the_models_folder_and_not_a_model_itself(model, tmp_path, monkeypatch):
    monkeypatch.setenv("REPAINT_BRIDGE_HOME", str(tmp_path))
    shutil.copytree(ASYMMETRIC, tmp_path / "data" / "models" / "asym")
    assert "asym" not in [info.id for info in catalogue()]
    x = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    keep = torch.ones(1, 1, 128, 128)
    keep[..., 40:] = 0
    known = (torch.zeros(1, 3, 128, 128), keep)
    found = api.load_model(str(FOLDER), "cpu", "asym").space.leave(x, known)
    assert relative(found, model.space.leave(x, known)) < 1e-6


def test_another_models_own_autoencoder_will_do():
    assert np.array_equal(last(api.load_model(str(FOLDER), "cpu", str(FOLDER))).fill, last(toy()).fill)


def test_a_state_belongs_to_its_autoencoder(model):
    kept = next(event for event in api.run(job(model), model) if isinstance(event, api.Step)).keep()
    *_, event = api.resume(kept, model)
    assert np.array_equal(event.fill, last(model).fill)
    with pytest.raises(BadInput) as caught:
        list(api.resume(kept, toy()))
    assert caught.value.code == "bad_state"


def test_the_command_line_takes_it(tmp_path):
    Image.fromarray(image()).save(tmp_path / "in.png")
    Image.fromarray(hole(128, 40, 36, 48)).save(tmp_path / "mask.png")
    quick = [f"--{name.replace('_', '-')}={value}" for name, value in QUICK.items()]
    base = [
        "inpaint",
        str(tmp_path / "in.png"),
        "-m",
        str(tmp_path / "mask.png"),
        "--model",
        str(FOLDER),
        "--seed",
        "1",
    ]
    for name, more in (("plain", []), ("asym", ["--vae", str(ASYMMETRIC)])):
        out = ["-o", str(tmp_path / f"{name}.png"), "--device", "cpu"]
        assert cli.main([*base, *out, *quick, *more]) == 0
    plain, found = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("plain", "asym"))
    assert not np.array_equal(plain, found)


def test_what_cannot_be_used_is_one_sentence(tmp_path):
    pickled = Path(shutil.copytree(ASYMMETRIC, tmp_path / "pickled"))
    (pickled / "diffusion_pytorch_model.safetensors").rename(pickled / "diffusion_pytorch_model.bin")
    truncated = Path(shutil.copytree(ASYMMETRIC, tmp_path / "truncated"))
    weights = truncated / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-500])
    other = Path(shutil.copytree(ASYMMETRIC, tmp_path / "other"))
    config = json.loads((other / "config.json").read_text()) | {"_class_name": "AutoencoderTiny"}
    (other / "config.json").write_text(json.dumps(config))
    for model, vae, code in (
        (str(FOLDER), str(tmp_path / "nowhere"), "no_vae"),
        (str(FOLDER), str(other), "no_vae"),
        ("texture", str(ASYMMETRIC), "no_vae"),
        (str(FOLDER), str(pickled), "model_pickled"),
        (str(FOLDER), str(truncated), "model_corrupt"),
    ):
        with pytest.raises(EngineError) as caught:
            api.load_model(model, "cpu", vae)
        assert caught.value.code == code
        assert caught.value.sentence.endswith(".")


def test_latents_of_another_width_do_not_fit(tmp_path):
    from diffusers import AutoencoderKL

    AutoencoderKL(**train.VAE | {"latent_channels": 8}).save_pretrained(tmp_path / "wide")
    with pytest.raises(EngineError) as caught:
        api.load_model(str(FOLDER), "cpu", str(tmp_path / "wide"))
    assert caught.value.code == "model_corrupt"
