"""The report's experiments: settings, measures and conclusions, and each one's smallest run."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine import api
from engine.bench import measures
from engine.lab import (
    Notebook,
    Result,
    Setup,
    diversity,
    evolutive,
    latent,
    lpips,
    questions,
    resampling,
    run,
    steps,
    texture,
)
from engine.lab import diffusers as beside
from engine.lab.report import Claim
from engine.models import find
from engine.sampling import schedule
from engine.sampling.schedule import Schedule
from tests.engine.latent_help import toy
from tests.engine.toys import FOLDER, kinds, pictures

EVERYONE = (steps, resampling, evolutive, diversity, texture, beside, latent)


class _Nobody:
    def step(self, call, calls, _look=None, _numbers=None):
        assert 1 <= call <= calls


def _setup(experiment, *models: str, small: bool = True) -> Setup:
    return Setup(models, "cpu", small, {option.name: option.default for option in experiment.EXPERIMENT.options})


def _ran(experiment, folder: Path, *models: str):
    return run(experiment.EXPERIMENT, _setup(experiment, *models), folder, "a test")


def _claims(experiment, notebook: Notebook) -> list[Claim]:
    sections = experiment.EXPERIMENT.conclude(notebook)
    return [part for section in sections for part in section.parts if isinstance(part, Claim)]


def _notebook(folder: Path, cells) -> Notebook:
    """Of made-up cells: (settings, numbers)."""
    notebook = Notebook(folder, {})
    picture = np.zeros((8, 8, 3), np.uint8)
    for settings, numbers in cells:
        notebook.add(settings, Result(numbers, {"result": picture, "original": picture, "given": picture}), 1.0)
    return notebook


# ------------------------------------------------------------------------------------------------------- what is asked


def test_the_report_s_settings_are_the_defaults():
    """Its numbers of steps and samples, its numbers of iterations, its jumps from level 14."""
    cells = steps.EXPERIMENT.cells(_setup(steps, "exemplar", small=False))
    assert sorted({cell.settings["steps"] for cell in cells}) == [2, 5, 10, 25, 50, 100, 250, 500, 1000]
    assert len({cell.settings["picture"] for cell in cells}) == 10
    cells = resampling.EXPERIMENT.cells(_setup(resampling, "exemplar", small=False))
    assert sorted({cell.settings["samples"] for cell in cells}) == [1, 2, 5, 10, 25, 50]
    iterations = {n: schedule.uniform(resampling.TIMES, resampling.JUMP, n).transitions for n in (2, 50)}
    assert iterations == {2: 130, 50: 3970}
    assert {name: round(share * diversity.STEPS) for name, share in api.states.JUMPS.items()} == diversity.JUMPS
    for experiment in EVERYONE[:4]:
        few = experiment.EXPERIMENT.cells(_setup(experiment, "texture", small=False))
        many = experiment.EXPERIMENT.cells(_setup(experiment, "exemplar", small=False))
        assert len(few) <= len(many)


def test_every_picture_comes_with_another_mask_and_hides_its_truth():
    asked = questions.questions(10)
    assert len({each.selection.tobytes() for each in asked}) == len({each.truth.tobytes() for each in asked}) == 10
    for each in asked:
        assert each.truth.shape == (64, 64, 3)
        assert 0.02 < each.new.mean() < 0.8
        assert (each.holed[each.new] == 128).all()
        assert np.array_equal(each.holed[~each.new], each.truth[~each.new])


# ---------------------------------------------------------------------------------------------------------- measures


def test_the_truth_scores_one_and_a_copied_border_shows():
    asked = questions.questions(2)[1]
    own = questions.scores(asked.truth, asked)
    assert [own[name] for name in ("seam", "spread", "border", "elsewhere", "ssim")] == pytest.approx([1] * 5)
    copied = asked.truth.copy()
    copied[20:44, 20:44] = np.concatenate([asked.truth[20:44, 8:20], asked.truth[20:44, 44:56]], axis=1)
    flat = np.where(asked.new[..., None], np.uint8(128), asked.truth)
    assert questions.scores(copied, asked)["border"] < 0.6
    assert questions.scores(copied, asked)["elsewhere"] > 0.6
    assert questions.scores(flat, asked)["spread"] == 0


def test_lpips_is_what_its_paper_says(tmp_path, monkeypatch):
    """Random weights under the files' names, against torch's own layers; nothing without the files."""
    assert not lpips.available()
    torch.manual_seed(0)
    nn = torch.nn
    trunk = nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(),
        nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
    )  # fmt: skip
    linear = {f"lin{k}.model.1.weight": torch.rand(1, n, 1, 1) for k, n in enumerate((64, 192, 384, 256, 256))}
    trunk.requires_grad_(False)
    torch.save({f"features.{name}": each for name, each in trunk.state_dict().items()}, tmp_path / "trunk.pth")
    torch.save(linear, tmp_path / "linear.pth")
    monkeypatch.setattr(lpips, "files", lambda: (tmp_path / "linear.pth", tmp_path / "trunk.pth"))
    assert lpips.available()
    a, b = (np.random.default_rng(seed).integers(0, 256, (64, 80, 3), np.uint8) for seed in (1, 2))
    taps = []
    for each in (a, b):
        x = torch.from_numpy(each / 127.5 - 1).float().permute(2, 0, 1)[None]
        x = (x - torch.tensor(lpips.SHIFT).view(1, 3, 1, 1)) / torch.tensor(lpips.SCALE).view(1, 3, 1, 1)
        found = []
        for layer in trunk:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                found.append(nn.functional.normalize(x, dim=1))
        taps.append(found)
    expected = sum(
        float((((p - q) ** 2) * linear[f"lin{k}.model.1.weight"]).sum(1).mean())
        for k, (p, q) in enumerate(zip(*taps, strict=True))
    )
    measure = lpips.Lpips()
    assert measure(a, b) == pytest.approx(expected, rel=1e-4)
    assert measure(a, a) == 0


def test_the_colour_asked_for_is_seen_where_it_is():
    ground, selection = latent.ground(0), np.zeros((128, 128), np.uint8)
    selection[32:96, 32:96] = 255
    asked = questions.Question("ground", ground, selection)
    task = latent._Task(asked, "center", "a blue square", 1, 1.0, latent.PLAIN, 1)
    painted = ground.copy()
    painted[48:80, 48:80] = pictures.COLOURS["blue"]
    assert latent.colour_asked(ground, task) == 0
    assert latent.colour_asked(painted, task) == pytest.approx(0.25)
    assert latent.colour_asked(painted, replace(task, prompt="a red circle")) == 0
    assert latent.colour_asked(painted, replace(task, prompt="an ant")) is None
    assert latent.rim_error(painted, asked) == 0
    painted[32:38] = 0
    assert latent.rim_error(painted, asked) > 10
    for colour, name in ((colour, name) for name, colour in pictures.COLOURS.items()):
        painted[48:80, 48:80] = colour
        assert latent.colour_asked(painted, replace(task, prompt=f"a {name} circle")) == pytest.approx(0.25)


# ------------------------------------------------------------------------------------------------------- conclusions


def test_a_flat_distance_and_steps_that_get_slower_are_told(tmp_path):
    values = {2: 0.5, 10: 0.2, 50: 0.21, 250: 0.2, 1000: 0.19}
    cells = [
        (
            {"model": "m", "picture": "p", "steps": n},
            {"calls": n, "seconds": 5.0 + n * (0.1 if n < 1000 else 0.175), "st_lpips_alex": value},
        )
        for n, value in values.items()
    ]
    time, flat = _claims(steps, _notebook(tmp_path / "a", cells))
    assert (time.holds, flat.holds) == ("not linear", "holds")
    assert "2.00 times" in time.found
    assert "0.500 at 2 steps, 0.200 at 10, then 0.190 to 0.210" in flat.found
    half = [({**settings, "picture": "q"}, {**numbers, "st_lpips_alex": 9.0}) for settings, numbers in cells[:3]]
    assert _claims(steps, _notebook(tmp_path / "half", cells + half))[1].found == flat.found, "whole pictures only"
    cells[-1][1]["st_lpips_alex"] = 0.6
    assert _claims(steps, _notebook(tmp_path / "b", cells))[1].holds == "does not hold"


def test_resampling_is_held_against_the_truth(tmp_path):
    """Less than without resampling is not less than there should be."""
    cells = [
        (
            {"model": "m", "asked": "holes", "picture": "p", "class": "", "samples": n},
            {"seam": 2 - n / 50, "spread": 1.5 - n / 150, "border": 1.2 - n / 100, "elsewhere": 1.0},
        )
        for n in (1, 50)
    ]
    found = {claim.found.split()[0]: claim.holds for claim in _claims(resampling, _notebook(tmp_path, cells))}
    assert found == {"seam": "holds", "spread": "does not hold", "border": "holds"}


def test_early_against_late_is_judged_in_pairs(tmp_path):
    """Pictures differ by far more than the two ways do."""
    cells = [
        (
            {"model": "m", "picture": f"p{k}", "resampling": way, "steps": 25, "jump": 5, "seed": 1},
            {
                "dissimilarity": k + (0.1 if way == "early" else 0.001 * k),
                "st_lpips_alex": float(k % 2 != (way == "early")),
            },
        )
        for k in range(6)
        for way in ("early", "late", "uniform")
    ]
    found = {claim.found.split(":")[0]: claim for claim in _claims(evolutive, _notebook(tmp_path, cells))}
    assert found["dissimilarity"].holds == "holds"
    assert "late is better" in found["dissimilarity"].found
    assert found["st_lpips_alex"].holds == "holds"
    assert "no difference" in found["st_lpips_alex"].found


def test_schedules_of_equal_cost_resample_where_they_say():
    ways = evolutive.schedules(evolutive.STEPS, evolutive.JUMP)
    assert {way: each.calls for way, each in ways.items()} == {"early": 45, "late": 45, "uniform": 45}
    visits = {way: np.bincount([level for level in each.levels if level >= 0]) for way, each in ways.items()}
    assert visits["early"][20:].min() >= 5
    assert visits["early"][:19].max() == 1
    assert visits["late"][:5].min() >= 5
    assert visits["late"][6:].max() == 1


# ---------------------------------------------------------------------------------------------------- the smallest runs


@pytest.mark.parametrize("experiment", [steps, resampling, evolutive, texture], ids=lambda each: each.EXPERIMENT.name)
def test_an_experiment_of_the_picture_s_own_patches(experiment, tmp_path):
    outcome = _ran(experiment, tmp_path, "exemplar")
    assert not outcome.failed
    records = outcome.notebook.records
    assert len(records) == len(experiment.EXPERIMENT.cells(_setup(experiment, "exemplar"))) >= 2
    for record in records:
        result, original = record.picture("result"), record.picture("original")
        assert result.shape == original.shape
        assert 0.02 < (result != original).any(axis=2).mean() < 0.8
        assert record.number("calls") >= 2
    assert all(section.parts for section in experiment.EXPERIMENT.conclude(outcome.notebook))
    calls = {json.dumps(record.settings): record.number("calls") for record in records}
    if experiment is steps:
        assert list(calls.values()) == [2, 5, 10]
    if experiment is evolutive:
        assert len(set(calls.values())) == 1


def test_a_branch_without_jumps_and_with_the_same_noise_is_its_parent():
    model, asked = api.load_model("exemplar", "cpu"), questions.questions(1)[0]
    kept, before = diversity.parent(asked, model, 6, 2, _Nobody())
    assert kept.schedule.levels[kept.state.position] == 2
    same = diversity.along(kept, ())
    *_, last = api.resume(same, model)
    assert np.array_equal(asked.shown(last), before)
    jumped = diversity.along(kept, ((2, 3), (1, 1)))
    assert jumped.schedule.levels == (5, 4, 3, 2, 3, 4, 5, 4, 3, 2, 1, 2, 1, 0, -1)
    assert jumped.remaining == same.remaining + 3 + 1
    for way in diversity.ways(False).values():
        Schedule((49, *range(48, 13, -1), *diversity.walk(14, way)[1:]))


def test_branches_are_compared_with_their_parent_and_among_themselves(tmp_path):
    records = {each.settings["way"]: each for each in _ran(diversity, tmp_path, "exemplar").notebook.records}
    assert list(records) == list(diversity.ways(True))
    for record in records.values():
        parent, one, two = (record.picture(name) for name in ("parent", "seed 1", "seed 2"))
        assert not np.array_equal(one, two)
        new = (one != parent).any(axis=2)
        assert record.number("structure") > 0
        assert 0 < new.mean() < 0.5
    assert records["large × 1"].number("structure") > records["another seed"].number("structure")


def test_diffusers_paints_with_the_same_network_and_as_many_calls(tmp_path):
    outcome = _ran(beside, tmp_path, "texture")
    assert not outcome.failed
    for record in outcome.notebook.records:
        levels = schedule.uniform(6, 2, record.settings["samples"])
        assert record.number("calls") == levels.calls
        known = ~questions.questions(1)[0].new
        assert np.array_equal(record.picture("result")[known], record.picture("original")[known])
    assert {record.settings["way"] for record in outcome.notebook.records} == set(beside.WAYS)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_whatever_a_network_predicts_is_told_as_noise(prediction):
    model = api.load_model("test/gaussian", "cpu")
    x, noise = torch.randn(2, 1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    signal = float(model.alpha_bar[400])
    clean = (x - math.sqrt(1 - signal) * noise) / math.sqrt(signal)
    said = {
        "epsilon": noise,
        "sample": clean,
        "v_prediction": math.sqrt(signal) * noise - math.sqrt(1 - signal) * clean,
    }[prediction]
    model = replace(model, prediction=prediction, predict=lambda *_: said)
    network = beside._AsNoise(model, _Nobody(), 1)
    torch.testing.assert_close(network(x, torch.tensor(400)).sample, noise, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_toy_is_asked_with_and_without_words(tmp_path):
    outcome = _ran(latent, tmp_path, str(FOLDER))
    assert not outcome.failed
    assert {record.settings["prompt"] for record in outcome.notebook.records} == {"", "a red circle"}
    without = outcome.notebook.find(prompt="")
    assert all(record.number("asked") is None for record in without)
    assert len(_claims(latent, outcome.notebook)) == 2
    hard = resampling.centre(toy().info.id)
    assert (hard.new.mean(), hard.truth.shape) == (pytest.approx(1 - (56 / 128) ** 2), (128, 128, 3))


def test_a_network_for_inpainting_is_not_resampled(tmp_path):
    folder = kinds.write("inpaint", tmp_path / "toy-inpaint")
    assert latent.dedicated(find(str(folder)))
    assert not latent.dedicated(find(str(FOLDER)))
    assert not latent.dedicated(find("exemplar"))
    cells = latent.EXPERIMENT.cells(_setup(latent, str(folder), small=False))
    assert {cell.settings["samples"] for cell in cells} == {1}
    assert Setup((str(folder),), "cpu").load("toy-inpaint").info.folder == folder


def test_what_a_model_was_made_for_decides_what_the_claim_is(tmp_path):
    cells = [
        ({"model": model, "kind": kind, "picture": f"p{k}", "samples": 1}, {"passes": float(k < count)})
        for model, kind, count in (("a", "scenes", 0), ("b", "textures", 3))
        for k in range(4)
    ]
    scene, own = _claims(texture, _notebook(tmp_path, cells))
    assert (scene.holds, own.holds) == ("holds", "holds")
    assert "0 of 4" in scene.found
    assert "3 of 4" in own.found
    truths = [measures.Source(each.truth, each.new).judge(each.truth) for each in texture.questions(64)]
    kept = [all(low <= getattr(each, name) <= high for name, (low, high) in texture.LIMITS.items()) for each in truths]
    assert sum(kept) >= len(truths) - 1
