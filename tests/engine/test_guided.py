"""Class labels and classifier guidance through the whole engine, on small guided-diffusion models."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine import api
from engine.commands import models as commands
from engine.errors import BadInput, EngineError
from engine.models import convert, find, models_dir
from engine.sampling.presets import PRESETS
from engine.sampling.sampler import RePaintSettings
from tests.engine import guided_reference as reference
from tests.engine.checkpoints import CLASSIFIER, classifier_config, config_of, noisy, relative, weights_of
from tests.engine.guided_reference import Shape

CONDITIONAL, PLAIN = Shape(classes=7), Shape()
NAMES = ["tench, Tinca tinca", "crane", "goldfish, golden carp", "crane", "cock", "hen", "3"]


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    """Two installed models, one of them class-conditional, both with a classifier."""
    place = tmp_path_factory.mktemp("guided")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPAINT_BRIDGE_HOME", str(place))
        kinds = {"cond": config_of(CONDITIONAL), "plain": config_of(PLAIN), "judge": classifier_config()}
        patch.setattr(convert, "PRESETS", kinds)
        for kind, shape in (("cond", CONDITIONAL), ("plain", PLAIN), ("judge", CLASSIFIER)):
            save_file(dict(weights_of(shape)), place / f"{kind}.safetensors")
        for name in ("cond", "plain"):
            convert.convert(place / f"{name}.safetensors", name, name, models_dir())
        convert.convert(place / "cond.safetensors", "cond", "alone", models_dir())
        for name in ("cond", "plain"):
            convert.convert(place / "judge.safetensors", "judge", name, models_dir())
        (models_dir() / "cond" / "labels.txt").write_text("# names\n" + "\n".join(NAMES) + "\n")
        yield models_dir()


def _job(**more) -> api.Job:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 4), dtype=np.uint8)
    image[..., 3] = 255
    selection = np.zeros((32, 32), np.uint8)
    selection[8:20, 8:20] = 255
    values = {"model": "cond", "seed": 1, "steps": 4, "jump_length": 2, "jump_samples": 2}
    return api.Job(image, selection, **(values | more))


def _pixels(job: api.Job) -> np.ndarray:
    *_, last = api.run(job, api.load_model(job.model, "cpu"))
    return last.layer()


def test_a_label_by_name_number_or_synonym():
    model = api.load_model("cond", "cpu")
    assert [model.label_number(label) for label in (2, "2", "Golden Carp", " TENCH ", "tench, tinca tinca")] == [
        2, 2, 2, 0, 0,
    ]  # fmt: skip
    assert model.label_number("3") == 3  # a number counts before a name
    x = noisy(1)
    expected = reference.network(weights_of(CONDITIONAL), CONDITIONAL, x, 77, 5)
    assert relative(model.predict(x, 77, model.label_number("hen")), expected) < 1e-5


@pytest.mark.parametrize("label", [7, -1, "7", "dragon", "", None, "crane"])
def test_other_labels_are_one_sentence(label):
    with pytest.raises(BadInput) as caught:
        list(api.run(_job(label=label), api.load_model("cond", "cpu")))
    assert caught.value.code == "bad_label"
    if label == "crane":
        assert "1 or 3" in caught.value.sentence


def test_numbers_stand_in_for_names():
    model = api.load_model("alone", "cpu")
    assert model.labels == tuple("0123456")
    assert model.label_number("6") == 6


def test_a_wrong_number_of_names_is_said(home, tmp_path):
    shutil.copytree(home / "alone", tmp_path / "alone")
    (tmp_path / "alone" / "labels.txt").write_text("one\ntwo\n")
    with pytest.raises(EngineError) as caught:
        api.load_model(str(tmp_path / "alone"), "cpu")
    assert caught.value.code == "model_corrupt"


def test_the_label_changes_the_pixels_and_only_it():
    first, again, other = (_pixels(_job(label=label, classifier_scale=0)) for label in (1, "1", 5))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("timestep", [0, 500, 999])
def test_the_gradient_is_that_of_the_log_probability(timestep):
    """Against the independent network, differentiated by torch, and inside inference mode as the sampler runs it."""
    gradient = api.load_model("plain", "cpu").classifier_gradient
    weights = weights_of(CLASSIFIER)
    x = noisy().requires_grad_(True)
    log_probability = torch.log_softmax(reference.network(weights, CLASSIFIER, x, timestep), dim=1)[:, 4].sum()
    expected = torch.autograd.grad(log_probability, x)[0]
    with torch.inference_mode():
        assert relative(gradient(noisy() + 0, timestep, 4), expected) < 1e-4


def test_guidance_raises_the_probability_of_its_class():
    """One step up the gradient, and a whole run at a high scale: log p(label) rises."""
    model = api.load_model("plain", "cpu")
    weights, label = weights_of(CLASSIFIER), 2

    def log_p(x):
        with torch.no_grad():
            return torch.log_softmax(reference.network(weights, CLASSIFIER, x, 0), dim=1)[:, label]

    x = noisy()
    step = model.classifier_gradient(x, 0, label)
    assert (log_p(x + 0.05 * step / step.norm()) > log_p(x)).all()

    def end(scale):
        layer = _pixels(_job(model="plain", label=label, classifier_scale=scale, steps=10, jump_samples=1))
        job = _job()
        picture = np.where(job.selection[..., None] > 0, layer[..., :3], job.image[..., :3])
        return float(log_p(torch.tensor(picture).permute(2, 0, 1)[None] / 127.5 - 1))

    assert end(100.0) > end(0.0)


def test_an_unconditional_model_needs_no_label_but_takes_one_for_its_classifier():
    assert find("plain").takes_label
    free = _pixels(_job(model="plain"))
    assert np.array_equal(free, _pixels(_job(model="plain", label=3, classifier_scale=0)))
    assert not np.array_equal(free, _pixels(_job(model="plain", label=3, classifier_scale=50.0)))


def test_the_models_own_variance_counts(monkeypatch):
    """A six-channel model's learned range is used without being asked for, and is not the fixed variance."""
    for variance in ("learned", "small"):
        preset = replace(PRESETS["repaint"], name=variance, settings=RePaintSettings(variance=variance))
        monkeypatch.setitem(PRESETS, variance, preset)
    usual, learned, fixed = (_pixels(_job(model="plain", preset=name)) for name in ("repaint", "learned", "small"))
    assert np.array_equal(usual, learned)
    assert not np.array_equal(learned, fixed)


def test_a_classifier_for_another_size_is_refused(home):
    shutil.copytree(home / "plain", home / "misfit")
    try:
        config = home / "misfit" / "classifier" / "config.json"
        config.write_text(config.read_text().replace('"image_size": 32', '"image_size": 64'))
        with pytest.raises(EngineError) as caught:
            api.load_model("misfit", "cpu")
        assert caught.value.code == "model_corrupt"
    finally:
        shutil.rmtree(home / "misfit")


def test_verify_answers_and_notices_a_changed_file(home):
    assert any("loads and answers" in line for line in commands.verify("plain"))
    weights = home / "alone" / "diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(EngineError) as caught:
        commands.verify("alone")
    assert caught.value.code == "model_changed"


def test_imagenet_names():
    names = convert.imagenet_labels()
    assert len(names) == 1000
    assert names[0] == "tench, Tinca tinca"
    assert names[207] == "golden retriever"
    assert names[999].startswith("toilet tissue")
    assert Path(convert.__file__).with_name("imagenet.txt").read_text().startswith("#")
