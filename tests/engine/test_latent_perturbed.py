"""Perturbed-attention guidance: the perturbed network against diffusers' own, the formula, what it costs, bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import (
    Attention,
    JointAttnProcessor2_0,
    PAGIdentitySelfAttnProcessor2_0,
    PAGJointAttnProcessor2_0,
)
from PIL import Image

from engine import api
from engine.commands import cli
from engine.errors import BadInput
from engine.models import memory, perturbed
from engine.sampling.guidance import Guide, Words, conditioned
from tests.engine.latent_help import hole, image, job, last, relative, toy
from tests.engine.toys import FOLDER, kinds

KINDS = ("toy", "v", "inpaint", "sdxl", "sd3")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("perturbed")
    return {"toy": FOLDER} | {kind: kinds.write(kind, place / kind) for kind in KINDS[1:]}


def _question(model: api.Model, folder: Path) -> tuple[torch.Tensor, Words]:
    channels = 16 if "sd3" in str(folder) else 9 if "inpaint" in str(folder) else 4
    x = torch.randn(2, channels, 16, 16, generator=torch.Generator().manual_seed(0))
    return x, model.read("a red circle on sand")


@torch.inference_mode()
@pytest.mark.parametrize("kind", KINDS)
def test_the_perturbed_network_is_diffusers_own(kind, folders):
    """diffusers' processors answer to a batch of which the second half is perturbed."""
    import diffusers

    folder = folders[kind]
    model = api.load_model(str(folder), "cpu")
    x, words = _question(model, folder)
    plain = model.predict(x, 500, (words,))
    found = model.predict(x, 500, (replace(words, perturbed=True),))
    again = model.predict(x, 500, (words,))
    assert torch.equal(again, plain)
    assert not torch.equal(found, plain)

    part, name = ("transformer", "SD3Transformer2DModel") if kind == "sd3" else ("unet", "UNet2DConditionModel")
    network = getattr(diffusers, name).from_pretrained(folder / part, torch_dtype=torch.float32)
    double = {key: tensor.expand(4, *tensor.shape[1:]) for key, tensor in words.embeddings.items()}
    if kind == "sd3":
        network.transformer_blocks[1].attn.set_processor(PAGJointAttnProcessor2_0())
        t = torch.full((4,), 1000 * 3.0 * 0.501 / (1 + 2.0 * 0.501))
        expected = network(torch.cat([x, x]), timestep=t, **double).sample
    else:
        for each, module in network.named_modules():
            if each.startswith("mid_block.") and each.endswith("attn1"):
                module.set_processor(PAGIdentitySelfAttnProcessor2_0())
        more = {}
        if kind == "sdxl":
            sizes = torch.tensor([[128.0, 128, 0, 0, 128, 128]]).expand(4, -1)
            more = {"added_cond_kwargs": {"text_embeds": double.pop("text_embeds"), "time_ids": sizes}}
        expected = network(torch.cat([x, x]), 500, **double, **more).sample
    assert relative(plain, expected[:2]) < 1e-4
    assert relative(found - plain, expected[2:] - expected[:2]) < 0.05  # small itself: the middle is 4 × 4 cells


def test_joint_attention_with_normalised_keys_is_the_masked_softmax():
    """As Stable Diffusion 3.5 has it: by a dense map with −∞ between different cells of the picture."""
    torch.manual_seed(0)
    layer = Attention(
        query_dim=32, cross_attention_dim=None, added_kv_proj_dim=32, dim_head=8, heads=4, out_dim=32,
        context_pre_only=False, bias=True, processor=JointAttnProcessor2_0(), qk_norm="rms_norm",
    )  # fmt: skip
    cells, words = torch.randn(2, 9, 32), torch.randn(2, 5, 32)

    def heads(tensor, norm=None):
        tensor = tensor.view(2, -1, 4, 8).transpose(1, 2)
        return tensor if norm is None else norm(tensor)

    with torch.no_grad():
        key = torch.cat([heads(layer.to_k(cells), layer.norm_k), heads(layer.add_k_proj(words), layer.norm_added_k)], 2)
        value = torch.cat([heads(layer.to_v(cells)), heads(layer.add_v_proj(words))], 2)
        scores = heads(layer.to_q(cells), layer.norm_q) @ key.transpose(-1, -2) / 8**0.5
        scores[..., :9] += torch.zeros(9, 9).masked_fill(~torch.eye(9, dtype=torch.bool), -torch.inf)
        expected = layer.to_out[0]((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))
        plain = layer(cells, encoder_hidden_states=words)
        with perturbed.perturbed([layer]):
            found = layer(cells, encoder_hidden_states=words)
    assert relative(found[0], expected) < 1e-5
    assert torch.equal(found[1], plain[1])
    assert relative(plain[0], expected) > 0.01


def test_the_layers_come_back_after_a_failure():
    layer = Attention(query_dim=8, heads=2, dim_head=4)
    before = layer.processor
    with pytest.raises(RuntimeError), perturbed.perturbed([layer]):
        layer(torch.randn(1, 3, 7))
    assert layer.processor is before


@pytest.mark.parametrize(("scale", "pag_scale"), [(1.0, 2.5), (4.0, 2.5), (4.0, 0.0), (1.0, 0.0)])
def test_both_kinds_of_guidance_add_up_in_the_hole_only(scale, pag_scale):
    """ε̂(c) + (s − 1)(ε̂(c) − ε̂(∅)) + p (ε̂(c) − ε̂'(c)), of the toy network's three answers."""
    model = toy()
    keep = torch.ones(1, 1, 16, 16)
    keep[..., 4:12, 5:13] = 0
    words, against = model.read("a red circle"), model.read("")
    x = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    network = conditioned(
        model.predict,
        Guide(words, against, scale, pag_scale=pag_scale, rescale=0.0, rim=0.0),
        keep,
        None,
        model.alpha_bar,
        model.prediction,
        lambda n: n,
    )
    found = network(x, 600)
    c, empty, weak = (model.predict(x, 600, (each,)) for each in (words, against, replace(words, perturbed=True)))
    pushed = c + (scale - 1) * (c - empty) + pag_scale * (c - weak)
    expected = torch.where(keep > 0, c, pushed)
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.equal(found[..., :4, :], c[..., :4, :])


def _evaluations(**more) -> int:
    """Evaluations of the network in one run of 6 calls, as the network sees them and as the run says."""
    seen = []

    def predict(x, timestep, words):
        seen.extend(list(words) * len(x))
        return toy().predict(x, timestep, words)

    event = last(replace(toy(), predict=predict), **more)
    assert event.windows == len(seen)
    return len(seen)


def test_it_costs_a_third_evaluation():
    words = {"prompt": "a red circle", "guidance": 3.0}
    assert _evaluations(**words) == 12
    assert _evaluations(**words, pag_scale=2.0) == 18
    assert _evaluations(pag_scale=2.0) == 12  # without words, beside the plain answer
    assert _evaluations(**words, pag_scale=2.0, guidance_stop=0.5) == 12
    assert _evaluations(**words, pag_scale=2.0, preset="quality", steps=4, jump_length=4) > 18


def test_at_scale_zero_nothing_changes_bit_for_bit():
    words = {"prompt": "a red circle", "guidance": 3.0}
    plain = last(toy(), **words)
    assert np.array_equal(last(toy(), **words, pag_scale=0.0).fill, plain.fill)
    assert not np.array_equal(last(toy(), **words, pag_scale=2.0).fill, plain.fill)
    assert np.array_equal(last(toy(), **words).fill, plain.fill)  # the network is as it was


@pytest.mark.parametrize("kind", KINDS[1:])
def test_every_kind_of_model_runs_with_it(kind, folders):
    model = api.load_model(str(folders[kind]), "cpu")
    plain, found = (last(model, prompt="a red circle", pag_scale=scale) for scale in (0.0, 3.0))
    assert np.isfinite(found.fill).all()
    assert not np.array_equal(found.fill, plain.fill)


def test_layers_sent_over_one_by_one_give_the_same(monkeypatch):
    x, words = torch.randn(1, 4, 16, 16), toy().read("a red circle")
    asked = (words, toy().read(""), replace(words, perturbed=True))
    expected = toy().predict(x, 500, asked)
    for chosen in (memory.Placement(True, False, True), memory.Placement(False, True, False)):
        monkeypatch.setattr("engine.models.latent._placement", lambda *_, chosen=chosen: chosen)
        assert relative(api.load_model(str(FOLDER), "cpu").predict(x, 500, asked), expected) < 1e-4


@pytest.mark.parametrize("scale", [-0.5, 31.0])
def test_out_of_range(scale):
    with pytest.raises(BadInput) as caught:
        list(api.run(job(toy(), pag_scale=scale), toy()))
    assert caught.value.code == "bad_guidance"


def test_models_without_it():
    for model in (api.load_model("test/gaussian", "cpu"), replace(toy(), perturbs=False)):
        with pytest.raises(BadInput) as caught:
            list(api.run(job(model, pag_scale=1.0), model))
        assert caught.value.code == "bad_guidance"


def test_the_command_line_has_it(tmp_path):
    Image.fromarray(image()).save(tmp_path / "in.png")
    Image.fromarray(hole(128, 40, 36, 48)).save(tmp_path / "mask.png")
    quick = ["--steps", "4", "--jump-length", "4", "--jump-samples", "1", "--seed", "1", "--prompt", "a red circle"]
    for name, more in (("plain", []), ("zero", ["--pag-scale", "0"]), ("pag", ["--pag-scale", "3"])):
        files = [str(tmp_path / "in.png"), "-m", str(tmp_path / "mask.png"), "-o", str(tmp_path / f"{name}.png")]
        assert cli.main(["inpaint", *files, "--model", str(FOLDER), "--device", "cpu", *quick, *more]) == 0
    plain, zero, pag = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("plain", "zero", "pag"))
    assert np.array_equal(plain, zero)
    assert not np.array_equal(plain, pag)
