"""The judgement on textures: its cases, its limits, its tables, and a whole run with a cheap model."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from engine import api
from engine.bench import cases, judge, measures, methods, texture, texture_report
from engine.canvas import extend, seam
from engine.commands import cli
from engine.errors import BadInput
from engine.sampling.presets import PRESETS

MANIFEST = json.loads((cases.FOLDER / "manifest.json").read_text(encoding="utf-8"))["cases"]


@pytest.fixture(scope="module")
def gaussian() -> api.Model:
    return api.load_model("test/gaussian", "cpu")


def test_twelve_pictures_of_four_kinds_from_the_jury():
    chosen = texture.cases()
    assert len(chosen) == 3 * 12
    kinds = [case.kind for case in chosen[::3]]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "regular": 3, "near-regular": 3, "stochastic": 3, "coloured": 3,
    }  # fmt: skip
    pictures = {entry["picture"] for entry in MANIFEST if entry["kind"] != "photograph"}
    for name, _, picture, (x, y, width, height) in texture.TEXTURES:
        assert f"{picture}.png" in pictures, name
        shape = cases.read_picture(cases.FOLDER / f"{picture}.png").shape
        assert y + height <= shape[0]
        assert x + width <= shape[1]
        assert abs(width / height - 1.5) < 0.01


def test_the_three_questions_share_their_source():
    fill, extension, tile = texture.cases(["straw"])
    assert fill.truth.shape == tile.truth.shape == (120, 120, 3)
    assert extension.truth.shape == (120, 180, 3)
    assert np.array_equal(extension.truth[:, :120], fill.truth)
    assert np.array_equal(np.roll(tile.truth, (60, 60), (0, 1)), fill.truth)
    assert extension.new.sum() == 60 * 120
    assert tile.wrap == "both"
    assert tile.new[60].all()
    assert tile.new[:, 60].all()
    assert not tile.new[:30, :30].any()
    with pytest.raises(BadInput):
        texture.cases(["velvet"])


def test_the_seam_of_a_tile_is_found_wherever_it_lies():
    rng = np.random.default_rng(0)
    seamless = rng.integers(100, 130, (120, 120, 3)).astype(np.uint8)
    assert texture.tile_jump(seamless) < 1.1
    ramp = seamless + np.linspace(0, 100, 120).astype(np.uint8)[:, None, None]
    assert seam.tile_seam_jump(ramp, "y") > 3
    assert seam.tile_seam_jump(ramp, "x") < 1.1
    assert texture.tile_jump(np.roll(ramp, 60, 0)) > 3
    assert texture.tile_jump(ramp) < 1.1  # its own seam lies in the middle of a tile that is given rolled by half …
    cross = np.zeros((120, 120), bool)
    cross[48:72] = cross[:, 48:72] = True
    assert texture.ends_jump(ramp, cross) > 3  # … and where the ends of a repainted cross meet
    joint = seamless.copy()
    joint[0] += 60  # a joint of the picture itself, which happens to lie in its middle, is nobody's seam
    joint[0, 40:80] -= 60
    assert texture.ends_jump(joint, cross) < 1.1
    assert seam.tile_seam_jump(np.full((40, 40, 3), 7, np.uint8), "both") == 0


def test_ours_paint_a_tile_as_the_editors_send_it(gaussian, monkeypatch):
    """The frame of the picture as it came, with what is known in one piece; judged is the rolled picture."""
    case = texture.cases(["brick"])[2]
    jobs, run = [], api.run
    monkeypatch.setattr(api, "run", lambda job, model, **more: jobs.append(job) or run(job, model, **more))
    picture, _ = methods.ours("4/2/1/0/small", gaussian).paint(case, 0)
    framed = extend.tile(cases.rolled_back(case.truth))
    assert np.array_equal(jobs[0].selection, framed.selection)
    assert np.array_equal(jobs[0].image[..., :3], framed.pixels)
    assert np.array_equal(picture[~case.new], case.truth[~case.new])
    assert (picture[case.new] != case.truth[case.new]).mean() > 0.5


def test_measures_along_the_distance_see_drift():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (60, 160, 3)).astype(np.uint8)
    new = np.zeros((60, 160), bool)
    new[:, 100:] = True
    source = measures.Source(picture, new)
    honest = measures.along(picture, source, 20)
    assert len(honest) == 3
    assert all(0.9 < distance < 1.1 and 0.9 < spread < 1.1 for distance, spread in honest)
    flat = picture.copy()
    flat[:, 140:] = 128
    assert measures.along(flat, source, 20)[2][1] == 0
    assert measures.along(flat, source, 20)[0] == honest[0]


def _result(case, method, value, seed=0):
    scores = {
        "seam_ratio": value, "far_ratio": value, "spread_ratio": value, "copy_share": 0.0,
        "st_lpips_alex": 0.1 * value, "st_lpips_vgg": 0.3 * value,
    }  # fmt: skip
    return judge.Result(case, method, seed, case.truth, {"scores": scores, "seconds": 1.0, "seed": seed})


def test_verdicts_are_medians_against_the_best_rival(gaussian):
    own, telea, spots = methods.ours("fast", gaussian), *methods.rivals(["telea", "navier-stokes"])
    fill, _, tile = texture.cases(["asphalt"])
    results = [_result(fill, own, value, seed) for seed, value in enumerate((1.0, 1.1, 99.0))]
    results += [_result(fill, telea, 1.06), _result(fill, spots, 2.0), _result(tile, own, 1.0)]
    judged = {(verdict.case.name, verdict.method): verdict for verdict in texture.verdicts(results)}
    ours = judged["asphalt fill", "test/gaussian-fast"]
    assert ours.values["seam_ratio"] == 1.1
    assert ours.values["st_lpips"] == pytest.approx(1.1 / 1.06)
    assert ours.broken == ()
    assert judged["asphalt fill", "navier-stokes"].broken == ("seam", "far", "spread", "ST-LPIPS / best rival")
    assert judged["asphalt tile", "test/gaussian-fast"].values["st_lpips"] is None
    assert judged["asphalt tile", "test/gaussian-fast"].broken == ("seam jump",)
    table = texture_report.summary(results, list(judged.values()))
    assert "| 1 of 1 | – | 0 of 1 | – |" in table


def test_a_cut_through_what_has_no_seam_is_judged_as_a_seam_would_be():
    rng = np.random.default_rng(0)
    picture = rng.integers(100, 130, (120, 120, 3)).astype(np.uint8)
    jumps = measures.cut_jumps(picture)
    assert jumps.shape == (71, 71)
    assert abs(np.median(jumps) - 1) < 0.01
    assert (jumps <= 1.1).all()
    assert jumps[30, 40] == pytest.approx(seam.tile_seam_jump(np.roll(picture, (-55, -65), (0, 1)), "both"), rel=0.01)
    picture[60] = 255  # a joint
    jumps = measures.cut_jumps(picture)
    assert (jumps[[35, 36]] > 2).all()
    assert (jumps[:30] < 1.1).all()


def test_what_learning_does_is_counted_against_one_and_against_the_truth(gaussian):
    plain, learned = methods.ours("fast", gaussian), methods.ours("fast", gaussian, 60)
    fill = texture.cases(["asphalt"])[0]
    rows = ((plain, 1.02), (learned, 0.91), (methods.truth(), 0.9), (methods.rivals(["telea"])[0], 2.0))
    results = [_result(fill, method, value) for method, value in rows]
    text = texture_report.markdown(results, texture.verdicts(results), [], dict.fromkeys(
        ("model", "fingerprint", "device", "seeds"), ""))  # fmt: skip
    assert text.count("## What learning does") == 1
    assert "| asphalt fill | 1.02 → 0.91 (0.90) |" in text
    assert "| *fill: nearer to 1; median distance* | 0 of 1; 0.020 → 0.090 |" in text
    assert "| *fill: nearer to the truth; median distance* | 1 of 1; 0.120 → 0.010 |" in text
    assert text.count("1 of 1; 0.510 → 0.455") == 2, "of ST-LPIPS 0 is the ideal either way"


def test_a_whole_run_is_written_and_gone_on_with(tmp_path, capsys):
    command = [
        "bench", "texture", "--model", "test/gaussian", "--preset", "fast", "--seeds", "1", "--rivals", "telea",
        "--pictures", "slats", "--out", str(tmp_path),
    ]  # fmt: skip
    assert cli.main([*command, "--limit", "0"]) == 0
    assert "9 pictures are still missing" in capsys.readouterr().out
    assert cli.main(command) == 0
    assert "missing" not in capsys.readouterr().out
    text = (tmp_path / "texture.md").read_text(encoding="utf-8")
    for heading in ("## fill", "## extend", "## tile", "## Along the distance"):
        assert heading in text
    assert "0 … 20 px" in text
    data = json.loads((tmp_path / "texture.json").read_text(encoding="utf-8"))
    assert len(data["verdicts"]) == 8
    assert {verdict["case"] for verdict in data["verdicts"] if verdict["method"] == "truth"} == {
        "slats fill",
        "slats extend",
    }, "a tile has no truth"
    for task in texture.TASKS:
        with Image.open(tmp_path / f"texture-{task}.png") as sheet:
            assert sheet.width > 300
    stamp = (tmp_path / "results").rglob("*.png")
    times = {path: path.stat().st_mtime_ns for path in stamp}
    assert cli.main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_bad_arguments_are_sentences(tmp_path, capsys):
    base = ["bench", "texture", "--model", "test/gaussian", "--out", str(tmp_path)]
    for arguments, says in (
        (["--seeds", "0"], "seeds"),
        (["--pictures", "velvet"], "velvet"),
        (["--rivals", "x"], "rival"),
        (["--learn", "60,soon"], "--learn"),
    ):
        assert cli.main([*base, *arguments]) == 2
        assert says in capsys.readouterr().err


def test_titles_of_learned_runs_say_so(gaussian):
    learned = methods.ours("fast", gaussian, 60)
    assert learned.name == "test/gaussian-fast-learned-60s"
    assert "60 s" in learned.title
    assert learned.key != methods.ours("fast", gaussian).key


def test_budgets_are_measured(gaussian):
    said: list[str] = []
    fill, extension = texture.budgets(gaussian, said.append)
    assert (fill.limit, extension.limit) == (20, 60)
    assert 0 < fill.processor_seconds < 60
    assert fill.seconds > 0
    assert extension.windows > fill.windows >= PRESETS["fast"].calls
    assert len(said) == 2
    table = texture_report._budgets([fill, extension])
    assert table.count("\n") == 3
