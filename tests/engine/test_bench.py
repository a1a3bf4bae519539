"""The bench: cases, masks, methods, the jury's run and its tables, and the clock's rows."""

from __future__ import annotations

import contextlib
import gc
import json
import mmap
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from engine import api
from engine.bench import cases, judge, masks, methods, report, rivals, sparse, speed
from engine.bench.cost import measured
from engine.commands import cli
from engine.devices import inference_dtype
from engine.errors import BadInput, EngineError
from engine.sampling.presets import PRESETS

CPU = torch.device("cpu")
MANIFEST = json.loads((cases.FOLDER / "manifest.json").read_text(encoding="utf-8"))["cases"]


@pytest.fixture(scope="module")
def gaussian() -> api.Model:
    return api.load_model("test/gaussian", "cpu")


def _small() -> list[cases.Case]:
    return cases.jury(["rocket-half", "coffee-expand"])


# ------------------------------------------------------------------------------------------------- cases and masks


def test_the_bundled_set_is_whole_small_and_of_every_kind():
    assert 20 <= len(MANIFEST) <= 28
    assert {entry["kind"] for entry in MANIFEST} == set(cases.KINDS)
    assert {entry["mask"]["shape"] for entry in MANIFEST} == {"box", "ellipse", "brush", "lines", "expand", "edge"}
    assert any("soft" in entry["mask"] for entry in MANIFEST)
    files = {path.name for path in cases.FOLDER.glob("*.png")}
    assert files == {entry["picture"] for entry in MANIFEST}
    assert sum(path.stat().st_size for path in cases.FOLDER.iterdir()) < 5e6
    licences = (cases.FOLDER / "LICENSES.md").read_text(encoding="utf-8")
    for case, entry in zip(cases.jury(), MANIFEST, strict=True):
        height, width = case.truth.shape[:2]
        assert [width, height] == entry["size"]
        assert max(width, height) <= 384
        assert 0.005 < case.new.mean() < 0.8
        assert f"| {entry['picture']} | {entry['kind']} | {entry['source']} | {entry['origin']} |" in licences


def test_no_case_was_trained_on():
    """The embedded model's own list of what it was trained on names none of the jury's pictures."""
    corpus = json.loads((Path(api.__file__).parent / "weights/texture/corpus.json").read_text(encoding="utf-8"))
    trained = {(entry["source"], origin) for entry in corpus["sources"] for origin in entry["trained"]}
    assert len(trained) > 100
    for entry in MANIFEST:
        source = entry["source"].split()[0]
        name = entry["origin"]
        if source == "procedural":
            name = f"{name.split(',')[0]}-seed{int(name.split()[-1]):05d}"
        assert (source, name) not in trained, entry["name"]


def test_tuning_pictures_are_other_pictures():
    tuning = cases.tuning(4)
    assert len({case.name for case in tuning}) == 4
    assert all(case.truth.shape == (96, 96, 3) and case.new.any() for case in tuning)
    assert np.array_equal(cases.tuning(1)[0].truth, tuning[0].truth)


def test_masks_are_what_their_numbers_say():
    assert masks.draw({"shape": "box", "box": [3, 4, 5, 6]}, 40, 30).sum() == 30 * 255
    assert masks.draw({"shape": "expand", "box": [3, 4, 5, 6]}, 40, 30).sum() == (1200 - 30) * 255
    lines = masks.draw({"shape": "lines", "period": 10, "width": 2, "box": [0, 0, 40, 30]}, 40, 30)
    assert (lines.all(axis=1).nonzero()[0] == [0, 1, 10, 11, 20, 21]).all()
    for side, edge in (("left", np.s_[:, :5]), ("right", np.s_[:, -5:]), ("top", np.s_[:5]), ("bottom", np.s_[-5:])):
        drawn = masks.draw({"shape": "edge", "side": side, "width": 5}, 40, 30)
        assert drawn[edge].all()
        assert (drawn > 0).sum() == drawn[edge].size
    disc = {"shape": "ellipse", "centre": [20, 15], "radii": [8, 6]}
    assert (masks.draw(disc, 40, 30) > 0).sum() == pytest.approx(np.pi * 48, rel=0.05)
    soft = masks.draw({**disc, "soft": 6}, 40, 30)
    assert set(np.unique(masks.draw(disc, 40, 30))) == {0, 255}
    assert ((soft > 0) & (soft < 255)).sum() > 50
    brush = {"shape": "brush", "seed": 1, "strokes": 3, "width": 4}
    assert np.array_equal(masks.draw(brush, 100, 80), masks.draw(brush, 100, 80))
    assert not np.array_equal(masks.draw(brush, 100, 80), masks.draw({**brush, "seed": 2}, 100, 80))


@pytest.mark.parametrize(
    "mask",
    [{"shape": "star"}, {}, {"shape": "edge", "side": "front", "width": 3}, {"shape": "box", "box": [90, 90, 5, 5]}],
)
def test_bad_masks_are_sentences(mask):
    with pytest.raises(BadInput):
        masks.draw(mask, 40, 30)


def test_unknown_case_is_a_sentence():
    with pytest.raises(BadInput, match="no jury case"):
        cases.jury(["nothing"])
    assert {case.kind for case in cases.jury(["extension"])} == {"extension"}


# ------------------------------------------------------------------------------------------------- methods


def _gradient_case() -> cases.Case:
    columns = np.repeat(np.arange(64, dtype=np.uint8)[None, :] * 3, 64, axis=0)
    selection = np.zeros((64, 64), np.uint8)
    selection[24:40, 24:40] = 255
    return cases.Case("gradient", "regular", np.dstack([columns] * 3), selection)


@pytest.mark.parametrize("name", rivals.RIVALS)
def test_rivals_fill_the_hole_without_having_seen_it(name):
    if not rivals.RIVALS[name].here():
        pytest.skip(f"{name} is not installed")
    case = _gradient_case()
    seen_nothing = case.holed
    assert not seen_nothing[case.new].any()
    picture, calls = methods.rivals([name])[0].paint(case, 0)
    assert calls == 0
    assert np.array_equal(picture[~case.new], case.truth[~case.new])
    assert np.abs(picture[case.new].astype(int) - case.truth[case.new]).mean() < 40


def test_our_results_do_not_depend_on_what_the_hole_hides(gaussian):
    case = _gradient_case()
    other = cases.Case("other", "regular", case.holed, case.selection)
    method = methods.ours("8/4/2/0/small", gaussian)
    first, calls = method.paint(case, 0)
    assert calls == 12
    assert np.array_equal(first[case.new], method.paint(other, 0)[0][case.new])
    assert not np.array_equal(first, method.paint(case, 1)[0])
    assert np.array_equal(first[~case.new], case.truth[~case.new])


def test_ad_hoc_settings():
    repaint = methods.preset_of("30/5/3/0.5/large")
    assert (repaint.steps, repaint.jump_length, repaint.jump_samples) == (30, 5, 3)
    assert (repaint.settings.kappa, repaint.settings.variance) == (0.5, "large")
    assert methods.preset_of("30/5/3/0/0.5").settings == replace(PRESETS["repaint"].settings, kappa=0.0, eta=0.5)
    assert list(PRESETS) == ["fast", "quality", "repaint"], "they are no presets of the engine"
    corrector = methods.preset_of("corrector/10/3/4/0.6")
    assert corrector.calls == 9 * 4 + 1
    assert (corrector.settings.pull, corrector.settings.step_size) == (4.0, 0.6)
    assert methods.preset_of("fast") is PRESETS["fast"]
    for bad in ("nothing", "50/5/2", "50/5/2/0/huge", "corrector/20"):
        with pytest.raises(BadInput, match="neither a preset"):
            methods.preset_of(bad)
    with pytest.raises(BadInput, match="no rival"):
        methods.rivals(["nothing"])


# ------------------------------------------------------------------------------------------------- the run


def _jury(folder, model, seeds=2, spec="6/3/2/0/small") -> judge.Jury:
    everyone = [methods.truth(), methods.ours(spec, model), *methods.rivals(["telea"])]
    return judge.Jury(folder, _small(), everyone, seeds, CPU, report=lambda _text: None)


def test_a_run_is_resumed_and_made_again_only_where_the_question_changed(tmp_path, gaussian):
    assert _jury(tmp_path, gaussian).paint(limit=0) == 2 * (1 + 2 + 1)
    assert _jury(tmp_path, gaussian).paint() == 0
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert len(times) == 8
    assert _jury(tmp_path, gaussian).paint() == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == times
    results = _jury(tmp_path, gaussian).judge(perceptual=False)
    assert [r.entry["scores"]["psnr"] for r in results if r.method.name == "truth"] == [99.0, 99.0]
    assert all(r.entry["calls"] % 9 == 0 for r in results if r.method.ours)
    next(tmp_path.rglob("telea-0.json")).write_text("{half a file")
    next(tmp_path.rglob("truth-0.png")).unlink()
    assert _jury(tmp_path, gaussian).paint(limit=0) == 2
    assert _jury(tmp_path, gaussian, spec="6/3/3/0/small").paint(limit=0) == 2 + 4


def test_kept_scores_are_used_and_renewed_when_a_measure_changes(tmp_path, gaussian, monkeypatch):
    jury = _jury(tmp_path, gaussian, seeds=1)
    jury.paint()
    jury.judge(perceptual=False)
    path = next(tmp_path.rglob("telea-0.json"))
    entry = json.loads(path.read_text())
    entry["scores"]["psnr"] = -1.0
    path.write_text(json.dumps(entry))
    kept = [r.entry["scores"]["psnr"] for r in jury.judge(perceptual=False)]
    assert kept.count(-1.0) == 1
    monkeypatch.setattr(judge, "SCORES_VERSION", judge.SCORES_VERSION + 1)
    assert -1.0 not in [r.entry["scores"]["psnr"] for r in jury.judge(perceptual=False)]


def _result(case, method, seed, **scores) -> judge.Result:
    empty = dict.fromkeys((name for name, _, _ in report.COLUMNS if name != "off_ideal"), None)
    entry = {"calls": 5, "seconds": 1.0, "peak_mib": None, "device": "test", "scores": {**empty, **scores}}
    return judge.Result(case, method, seed, case.truth, entry)


def test_the_table_takes_medians_over_cases_then_means_over_seeds():
    first, second = _small()
    method = methods.truth()
    values = {(first.name, 0): 1.0, (second.name, 0): 3.0, (first.name, 1): 2.0, (second.name, 1): 6.0}
    results = [
        _result(case, method, seed, psnr=values[case.name, seed], seam_ratio=2.0, far_ratio=0.5, spread_ratio=1.0)
        for case in (first, second)
        for seed in (0, 1)
    ]
    results.append(_result(first, method, 2, psnr=1000.0))  # an unfinished seed does not count
    (row,) = report.rows(results, {})
    assert (row["cases"], row["seeds"]) == (2, 2)
    assert row["psnr"] == pytest.approx((2.0 + 4.0) / 2)
    assert row["spread"]["psnr"] == pytest.approx(1.0)
    assert row["off_ideal"] == pytest.approx(2 / 3)
    assert row["ssim"] is None
    text = report.table([row])
    assert "3.0 ± 1.0" in text
    assert len({line.count("|") for line in text.splitlines()}) == 1


def test_a_method_with_fewer_cases_gets_a_table_on_those():
    first, second = _small()
    one, other = methods.truth(), methods.rivals(["telea"])[0]
    common = {"seam_ratio": 1.0, "far_ratio": 1.0, "spread_ratio": 1.0}
    results = [_result(case, one, 0, **common) for case in (first, second)] + [_result(first, other, 0, **common)]
    text = report.markdown(results, {}, {"model": "m", "fingerprint": "f", "device": "d"})
    assert f"On the 1 cases that *{other.title}* ran on ({first.name})" in text


def test_the_command_writes_table_json_and_sheet(tmp_path, capsys):
    out = tmp_path / "jury"
    arguments = ["bench", "jury", "--model", "test/gaussian", "--presets", "6/3/2/0/small", "--rivals", "telea"]
    arguments += ["--cases", "coffee-expand", "--seeds", "2", "--no-perceptual", "--device", "cpu", "--out", str(out)]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "OpenCV Telea" in printed
    data = json.loads((out / "jury.json").read_text(encoding="utf-8"))
    assert [row["method"] for row in data["rows"]] == ["truth", "test/gaussian-6/3/2/0/small", "telea"]
    assert data["facts"]["missing"] == 0
    sheet = cv2.imread(str(out / "jury.png"))
    assert sheet.shape[1] == report.CELL * (2 + 2 + 1)
    assert sheet[report.CELL // 2, report.CELL * 3 // 2].std() > 0
    assert cli.main([*arguments, "--beside", str(out / "jury.json")]) == 0
    assert "earlier: OpenCV Telea" in capsys.readouterr().out


@pytest.mark.parametrize(
    "more",
    [["--seeds", "0"], ["--cases", "nothing"], ["--presets", "nothing"], ["--rivals", "nothing"], ["--model", "no"]],
)
def test_bad_arguments_are_exit_code_2(tmp_path, capsys, more):
    usual = ["bench", "jury", "--model", "test/gaussian", "--out", str(tmp_path / "jury")]
    assert cli.main([*usual, *more]) == cli.BAD_INPUT
    assert capsys.readouterr().err.startswith("error: ")


# ------------------------------------------------------------------------------------------------- the clock


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory can be reset on Linux only")
def test_peak_memory_is_that_of_the_block():
    gc.collect()  # nothing of earlier tests goes meanwhile
    with measured(CPU) as idle:
        pass
    # of the system, for malloc would give what earlier tests have freed
    with measured(CPU) as busy, mmap.mmap(-1, 96 << 20) as block:
        for page in range(0, len(block), mmap.PAGESIZE):
            block[page] = 1
    with measured(CPU) as after:
        pass
    assert busy.peak_mib > idle.peak_mib + 80
    assert after.peak_mib < busy.peak_mib - 40
    assert busy.seconds > 0


@pytest.fixture
def random_folder(tmp_path) -> Path:
    """A small random network in diffusers layout."""
    from diffusers import DDPMScheduler, UNet2DModel

    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    unet = UNet2DModel(
        sample_size=64, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8, **blocks
    )  # fmt: skip
    unet.save_pretrained(tmp_path / "net" / "unet")
    DDPMScheduler().save_pretrained(tmp_path / "net" / "scheduler")
    return tmp_path / "net"


@pytest.mark.parametrize("row", [row for row in speed.ROWS if not row.cuda_only], ids=lambda row: row.name)
def test_every_row_of_the_clock_makes_the_same_calls(row, random_folder):
    run = speed._prepared(row.name, str(random_folder), 64, CPU)
    answer = run()
    imitated = row.dtype == "bfloat16" and inference_dtype(CPU) == torch.float32
    assert answer["calls"] == (2 if imitated else 35)
    assert answer["seconds"] > 0


def test_preset_totals_and_the_large_picture(random_folder, monkeypatch):
    few = {name: methods.preset_of(name) for name in ("10/5/2/0/small", "60/10/5/1/small")}
    monkeypatch.setattr(api, "PRESETS", few)
    clock = SimpleNamespace(seconds=7.0)  # a machine busy with other things must not decide
    monkeypatch.setattr(speed, "measured", lambda _: contextlib.nullcontext(clock))
    short, long = speed._presets(str(random_folder), 64, CPU)["presets"]
    assert (short["calls"], short["measured"]) == (15, True)
    assert (long["calls"], long["measured"]) == (260, False)
    assert (short["seconds"], long["seconds"]) == (7.0, pytest.approx(7.0 * 260 / 35)), (
        "the first 35 calls stand for all"
    )


def test_the_clocks_table_has_a_line_for_every_row():
    row = {"title": "a", "model": "m", "size": 64, "calls": 35, "seconds": 2.0, "fastest": 1.0, "slowest": 3.0}
    result = {
        "device": "d",
        "rounds": 3,
        "load": [0.5, None],
        "size": 64,
        "rows": [{**row, "seconds_per_call": 0.057, "ratio": 1.0, "peak_mib": None}],
        "presets": [{"preset": "fast", "calls": 95, "seconds": 5.0, "measured": True}],
        "large": {"small_mib": 1.0, "large_mib": 2.0, "buffers_mib": 114.4},
        "sparse": [
            {"title": "b", "pixels": 9, "seconds": 2.0, "alone": 5.0, "peak_mib": 30.0},
            {"title": "c", "pixels": 8, "seconds": 1.0, "alone": None, "peak_mib": None},
        ],
    }
    text = speed.table(result)
    assert "| b | 9 | 2.0 | 5.0 | 30 |" in text
    assert "| c | 8 | 1.0 | – | – |" in text
    assert "| a | m | 64 | 35 | 2.00 (1.00 … 3.00) | 0.0570 | 1.00 | – |" in text
    assert "| fast | 95 | 5.0 | measured |" in text
    assert "2 MiB beyond the picture" in text


@pytest.mark.slow
def test_many_small_places_cost_less_together_than_one_by_one(monkeypatch):
    monkeypatch.setattr(sparse, "SIZES", ((700, 520),))
    monkeypatch.setattr(sparse, "ALONE", 1)
    seconds = iter(range(1, 100))
    monkeypatch.setattr(sparse.time, "process_time", lambda: 2.0 ** next(seconds))  # a busy machine must not decide
    spots, wire = sparse.measure(CPU)
    assert (spots["alone"], spots["seconds"]) == (20 * 2.0, 8.0)
    assert (wire["alone"], wire["seconds"]) == (None, 32.0)
    assert spots["pixels"] > 20 * 100
    assert wire["pixels"] > 5 * 600


def test_a_row_that_cannot_run_is_a_sentence():
    with pytest.raises(BadInput, match="size"):
        speed.measure("texture", 100, 1, "cpu")
    with pytest.raises(EngineError, match="diffusers layout"):
        speed._Process("plain-fp32", "test/gaussian", 64, CPU)
