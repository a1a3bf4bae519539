"""Latent models through the whole engine: loading, prompts, guidance, sizes, states, and all that can be broken."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine import api, canvas
from engine.errors import BadInput, EngineError
from engine.models import find, latent, latent_space
from engine.models.entries import entry_of
from engine.models.model import ModelInfo
from engine.run import states
from tests.engine.latent_help import QUICK, hole, image, job, last, relative, toy
from tests.engine.toys import FOLDER, kinds

CPU = torch.device("cpu")
TOLERANCE = 1e-4
"""Between our calls and diffusers'."""


@pytest.fixture(scope="module")
def others(tmp_path_factory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("kinds")
    return {kind: kinds.write(kind, place / kind) for kind in ("v", "inpaint", "sdxl", "sd3")}


@pytest.fixture
def copy(tmp_path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "copy"))


# ------------------------------------------------------------------------------------------------------- what is loaded


def test_a_folder_is_known_without_loading_it():
    info = find(str(FOLDER))
    assert (info.family, info.takes_prompt, info.takes_label, info.installed) == ("latent", True, False, True)


def test_which_are_flows_is_known_without_loading_them(others):
    flows = {kind: latent.is_flow(find(str(folder))) for kind, folder in {"toy": FOLDER, **others}.items()}
    assert flows == {"toy": False, "v": False, "inpaint": False, "sdxl": False, "sd3": True}
    assert {kind: api.load_model(str(folder), "cpu").prediction == "flow" for kind, folder in others.items()} == {
        kind: flow for kind, flow in flows.items() if kind != "toy"
    }
    entry = entry_of("sd35-medium")
    assert latent.is_flow(ModelInfo("sd35-medium", "", "latent", "", Path("nowhere"), installed=False, entry=entry))


@pytest.mark.parametrize("kind", ["toy", "v", "inpaint", "sdxl", "sd3"])
def test_prompts_and_network_are_what_diffusers_makes_of_them(kind, others):
    """The embeddings of diffusers' own pipeline, and its network called with them."""
    import diffusers

    folder = FOLDER if kind == "toy" else others[kind]
    nothing = dict.fromkeys(("text_encoder_3", "tokenizer_3", "image_encoder", "feature_extractor"))
    more = nothing if kind == "sd3" else {}
    pipeline = diffusers.DiffusionPipeline.from_pretrained(
        folder, local_files_only=True, torch_dtype=torch.float32, **more
    )
    model = api.load_model(str(folder), "cpu")
    prompt, factor = "a red circle on sand", 8
    words = model.read(prompt)
    channels = pipeline.vae.config.latent_channels
    x = torch.randn(1, channels * 2 + 1 if kind == "inpaint" else channels, 16, 16)
    time = 500
    with torch.no_grad():
        if kind == "sd3":
            states_, _, pooled, _ = pipeline.encode_prompt(prompt, prompt, prompt, do_classifier_free_guidance=False)
            t = torch.tensor([1000 * 3.0 * 0.501 / (1 + 2.0 * 0.501)])
            expected = pipeline.transformer(x, states_, pooled, t).sample
        elif kind == "sdxl":
            states_, _, pooled, _ = pipeline.encode_prompt(prompt, do_classifier_free_guidance=False)
            sizes = torch.tensor([[16 * factor, 16 * factor, 0, 0, 16 * factor, 16 * factor]], dtype=torch.float32)
            added = {"text_embeds": pooled, "time_ids": sizes}
            expected = pipeline.unet(x, time, states_, added_cond_kwargs=added).sample
        else:
            states_, _ = pipeline.encode_prompt(prompt, CPU, 1, False)
            expected = pipeline.unet(x, time, states_).sample
    assert relative(words.embeddings["encoder_hidden_states"], states_) < TOLERANCE
    found = model.predict(x, time, (words,))
    assert found.dtype == torch.float32
    assert relative(found, expected) < TOLERANCE
    pair = model.predict(x, time, (words, model.read("")))
    assert pair.shape[1] == 2 * channels
    assert torch.allclose(pair[:, :channels], found, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["v", "inpaint", "sdxl", "sd3"])
@pytest.mark.parametrize("preset", ["fast", "quality"])
def test_every_kind_runs_with_every_sampler(kind, preset, others):
    model = api.load_model(str(others[kind]), "cpu")
    short = QUICK if preset == "fast" else {}
    *_, event = api.run(job(model, preset=preset, prompt="a red circle", **{"steps": None} | short), model)
    assert event.fill.shape == (48, 48, 3)
    assert np.isfinite(event.fill).all()
    assert event.fill.std() > 0.01


def test_a_prompt_may_bring_colour_to_a_gray_page():
    gray = image().copy()
    gray[..., :3] = gray[..., :1]
    *_, event = api.run(replace(job(toy(), prompt="a red circle on sand", **QUICK), image=gray), toy())
    assert np.ptp(event.fill, axis=2).mean() > 0.005


def test_an_empty_prompt_of_a_large_model_is_nothing_at_all(others):
    """SDXL was trained with zeros in place of an absent prompt, as its index says."""
    read = api.load_model(str(others["sdxl"]), "cpu").read
    assert not any(tensor.any() for tensor in read("").embeddings.values())
    assert all(tensor.any() for tensor in read("a").embeddings.values())


def test_half_precision_files_will_do(copy):
    """Only ``*.fp16.safetensors`` in the folders, as many repositories offer them."""
    for part, name in (
        ("unet", "diffusion_pytorch_model"),
        ("vae", "diffusion_pytorch_model"),
        ("text_encoder", "model"),
    ):
        (copy / part / f"{name}.safetensors").rename(copy / part / f"{name}.fp16.safetensors")
    assert np.array_equal(last(api.load_model(str(copy), "cpu")).fill, last(toy()).fill)


# ------------------------------------------------------------------------------------------------ what is wrong with it


def _pickled(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").rename(folder / "unet" / "diffusion_pytorch_model.bin")


def _missing(folder: Path) -> None:
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()


def _truncated(folder: Path) -> None:
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def _no_shard(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").rename(
        folder / "unet" / "diffusion_pytorch_model-00001-of-00002.safetensors"
    )
    shards = {"a": "diffusion_pytorch_model-00001-of-00002.safetensors", "b": "…-00002-of-00002.safetensors"}
    index = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": shards}))


def _no_tokenizer(folder: Path) -> None:
    shutil.rmtree(folder / "tokenizer")


def _empty_tokenizer(folder: Path) -> None:
    for name in ("vocab.json", "merges.txt"):
        (folder / "tokenizer" / name).unlink()


def _wrong_part(folder: Path) -> None:
    shutil.rmtree(folder / "text_encoder")
    shutil.copytree(folder / "unet", folder / "text_encoder")


def _fewer_weights(folder: Path) -> None:
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    state.pop("conv_in.weight")
    save_file(state, file)


def _other_latents(folder: Path) -> None:
    from diffusers import AutoencoderKL

    from tests.engine.toys import train

    shutil.rmtree(folder / "vae")
    AutoencoderKL(**train.VAE | {"latent_channels": 8}).save_pretrained(folder / "vae")


def _other_width(folder: Path) -> None:
    from diffusers import UNet2DConditionModel

    from tests.engine.toys import train

    shutil.rmtree(folder / "unet")
    UNet2DConditionModel(**train.UNET | {"cross_attention_dim": 32}).save_pretrained(folder / "unet")


def _other_pipeline(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text()) | {"_class_name": "KandinskyPipeline"}
    (folder / "model_index.json").write_text(json.dumps(index))


def _unknown_prediction(folder: Path) -> None:
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"prediction_type": "sample"}))


@pytest.mark.parametrize(
    ("spoil", "code", "says"),
    [
        (_pickled, "model_pickled", "unet"),
        (_missing, "model_missing", "vae"),
        (_truncated, "model_corrupt", "unet"),
        (_no_shard, "model_missing", "unet"),
        (_no_tokenizer, "model_missing", "tokenizer"),
        (_empty_tokenizer, "model_missing", "tokenizer"),
        (_wrong_part, "model_corrupt", "text_encoder is a UNet2DConditionModel"),
        (_fewer_weights, "model_corrupt", "unet"),
        (_other_latents, "model_corrupt", "vae"),
        (_other_width, "model_corrupt", "text encoder"),
        (_other_pipeline, "model_corrupt", "KandinskyPipeline"),
        (_unknown_prediction, "model_corrupt", "sample"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_broken_folder_is_one_sentence(copy, spoil, code, says):
    spoil(copy)
    with pytest.raises(EngineError) as caught:
        api.load_model(str(copy), "cpu")
    assert caught.value.code == code
    assert says in caught.value.sentence
    assert caught.value.sentence.endswith(".")


# ---------------------------------------------------------------------------------------------------- prompts, guidance


def test_what_is_cut_of_a_long_prompt_is_said():
    end = " ".join(["yellow"] * 20) + " moss"
    events = list(api.run(job(toy(), prompt="a red circle on " + " ".join(["sand"] * 71) + " " + end), toy()))
    notes = [event for event in events if isinstance(event, api.Note)]
    assert [note.sentence for note in notes] == [f"The prompt is too long for this model; not read: “{end}”."]
    assert isinstance(events[-1], api.Finished)


def test_a_prompt_that_just_fits_is_not_cut():
    fits = " ".join(["sand"] * 75)
    assert toy().read(fits).cut == ""
    assert toy().read(fits + " slate").cut == "slate"


def test_words_for_a_model_that_does_not_read():
    model = api.load_model("test/gaussian", "cpu")
    with pytest.raises(BadInput) as caught:
        list(api.run(api.Job(image(), hole(128, 40, 36, 48), model=model.info.id, prompt="a cat"), model))
    assert caught.value.code == "bad_prompt"


@pytest.mark.parametrize(
    "more", [{"guidance": -1.0}, {"guidance": 31.0}, {"guidance_start": 0.6, "guidance_stop": 0.4}]
)
def test_guidance_out_of_range(more):
    with pytest.raises(BadInput) as caught:
        list(api.run(job(toy(), prompt="a", **more), toy()))
    assert caught.value.code == "bad_guidance"


def _evaluations(**more) -> int:
    """Evaluations of the network in one run, a guidance pair counted as two."""
    seen = []

    def predict(x, timestep, words):
        seen.extend(words)
        return toy().predict(x, timestep, words)

    model = replace(toy(), predict=predict)
    calls = last(model, **more).calls
    assert calls == 6
    return len(seen)


def test_what_guidance_costs():
    """Two evaluations a call; one without a prompt, at scale 1, and outside its interval."""
    assert _evaluations(prompt="a red circle", guidance=3.0) == 12
    assert _evaluations(negative="a red circle", guidance=3.0) == 12
    assert _evaluations() == 6
    assert _evaluations(prompt="a red circle", guidance=1.0) == 6
    assert _evaluations(prompt="a red circle", guidance=3.0, guidance_stop=0.5) == 9


# ------------------------------------------------------------------------------------------------------ pictures, holes


@pytest.mark.parametrize("side", [128, 131, 77, 200])
def test_any_size_and_the_original_bit_for_bit(side):
    """Sides that are no multiples of eight, smaller and larger than the model's own."""
    picture, selection = image(3, side), hole(side, 20, 17, 41)
    event = last(toy(), picture=picture, selection=selection)
    out = canvas.over(picture, event.layer())
    assert np.array_equal(out[selection == 0], picture[selection == 0])
    assert (out[selection > 0] != picture[selection > 0]).any(axis=-1).mean() > 0.9


@pytest.mark.parametrize("size", [1, 3])
def test_a_hole_smaller_than_a_latent_cell_is_repainted(size):
    picture = image(3)
    picture[61 : 61 + size, 70 : 70 + size, :3] = (255, 0, 255)
    selection = hole(128, 61, 70, size)
    event = last(toy(), picture=picture, selection=selection, steps=20)
    found = canvas.over(picture, event.layer())[61 : 61 + size, 70 : 70 + size, :3].astype(int)
    around = picture[40:90, 50:100, :3].reshape(-1, 3).astype(int)
    assert abs(found.reshape(-1, 3).mean(0) - np.median(around, axis=0)).max() < 60  # ground, not magenta


def test_a_picture_selected_whole_and_one_with_transparent_pixels():
    """Nothing known at all; and holes that come from transparency are unknown, never black."""
    event = last(toy(), selection=np.full((128, 128), 255, np.uint8))
    assert event.fill.shape == (128, 128, 3)
    picture = image(3)
    picture[:40, :40, 3] = 0
    picture[:40, :40, :3] = 0
    clear = last(toy(), picture=picture, selection=hole(128, 30, 30, 20))
    picture[:40, :40, :3] = 255
    assert np.array_equal(clear.fill, last(toy(), picture=picture, selection=hole(128, 30, 30, 20)).fill)


def test_a_large_picture_is_painted_at_its_own_scale_in_windows():
    sizes = []

    def predict(x, timestep, words):
        sizes.extend([tuple(x.shape[-2:])] * len(x))
        return toy().predict(x, timestep, words)

    model = replace(toy(), predict=predict)
    picture, selection = image(2, 400), hole(400, 60, 70, 240)
    event = last(model, picture=picture, selection=selection)
    assert set(sizes) == {(16, 16)}  # never more than the model's own size
    assert event.windows == len(sizes) > 6 * 4
    plan = canvas.plan(selection, model.geometry)
    assert plan.scaled == (plan.region.height, plan.region.width)


@pytest.mark.slow
def test_several_megapixels_are_windows_for_the_network_and_tiles_for_the_autoencoder(monkeypatch):
    """The plan of a real size, and a run in which both are many: the tiles change next to nothing of the picture."""
    geometry = replace(toy().geometry, window=512, minimum=256, multiple=64)
    plan = canvas.plan(hole(2000, 100, 150, 1700), geometry)
    assert plan.size == (2048, 2048)
    assert plan.scaled == (2000, 2000)
    assert {(box.width, box.height) for box in plan.windows} == {(512, 512)}
    assert len(plan.windows) == 25
    whole = last(toy(), picture=image(2, 400), selection=hole(400, 60, 70, 240), steps=3)
    monkeypatch.setattr(latent_space, "TILED_FROM", 128 * 128)
    tiled = last(toy(), picture=image(2, 400), selection=hole(400, 60, 70, 240), steps=3)
    assert np.abs(tiled.fill - whole.fill).mean() < 0.02


def test_a_small_hole_is_painted_at_the_models_own_size():
    """Hole and surroundings are enlarged to one window."""
    plan = canvas.plan(hole(128, 60, 60, 8), replace(toy().geometry, window=512, minimum=256, multiple=64))
    assert max(plan.size) == 512
    assert plan.scaled[0] / plan.region.height > 3


def test_known_cells_stay_as_they_were_encoded():
    """The sampler's own last state, before anything is pasted back."""
    *_, before, _ = api.run(job(toy(), preset="repaint", **QUICK), toy())
    kept = before.keep()
    y, keep = canvas.model_input(
        kept.job.image, kept.job.selection, canvas.plan(kept.job.selection, toy().geometry), canvas.Light()
    )
    entered = toy().space.enter(y, keep)
    known = entered.keep.expand_as(entered.y) > 0
    assert 0.3 < known.float().mean() < 0.9
    # The last step goes from level 0 (ᾱ .99915) to the clean picture: σ ≈ .03 of noise at most.
    assert (kept.state.x0_hat - entered.y)[known].abs().mean() < 0.1


def test_previews_are_a_cheap_likeness_of_the_decoded_picture():
    """Never through the decoder, and close to it."""
    decoded = []
    space = toy().space

    class Watched:
        factor, clip = space.factor, space.clip
        enter, glance = staticmethod(space.enter), staticmethod(space.glance)

        @staticmethod
        def leave(x, known=None, wraps=(False, False)):
            decoded.append(1)
            return space.leave(x, known, wraps)

    model = replace(toy(), space=Watched())
    for event in api.run(job(model, steps=12), model):
        if isinstance(event, api.Step) and event.call == 10:
            assert not decoded
            glance, full = event.preview()[40:88, 36:84, :3], event.preview(full=True)[40:88, 36:84, :3]
            assert len(decoded) == 1
    assert len(decoded) == 2
    assert np.abs(glance.astype(float) - full).mean() < 25


# ------------------------------------------------------------------------------------------- states, branches, variants


def test_a_state_goes_on_bit_for_bit_and_branches(tmp_path):
    model, wanted = toy(), {"prompt": "a red circle", "guidance": 3.0, "steps": 10}
    events = list(api.run(job(model, **wanted), model))
    middle = next(event for event in events if isinstance(event, api.Step) and event.call == 5).keep()
    states.save(middle, tmp_path / "half.state")
    kept = states.load(tmp_path / "half.state")[0]
    assert kept.job.prompt == "a red circle"
    *_, resumed = api.resume(kept, model)
    assert np.array_equal(resumed.layer(), events[-1].layer())
    *_, branch = api.resume(kept, model, seed=9, jump="small")
    assert not np.array_equal(branch.layer(), events[-1].layer())


def test_variants_are_single_runs_and_previews_do_not_matter():
    model = toy()
    events = list(api.run(job(model, variants=2, prompt="a red circle"), model))
    layers = {event.variant: event.layer() for event in events if isinstance(event, api.Finished)}
    for variant in (0, 1):
        *_, alone = api.run(job(model, seed=1 + variant, prompt="a red circle"), model)
        assert np.array_equal(alone.layer(), layers[variant])
    for event in api.run(job(model, prompt="a red circle"), model):
        if isinstance(event, api.Step):
            event.preview()
    assert np.array_equal(event.layer(), layers[0])


@pytest.mark.parametrize("kind", ["inpaint", "v"])
def test_a_state_of_another_model_is_refused(kind, others):
    """Other weights, or the same weights with another prediction."""
    model = toy()
    kept = next(event for event in api.run(job(model), model) if isinstance(event, api.Step)).keep()
    other = api.load_model(str(others[kind]), "cpu")
    with pytest.raises(BadInput) as caught:
        list(api.resume(kept, replace(other, info=replace(other.info, id=model.info.id))))
    assert caught.value.code == "bad_state"
