"""``bench photo``: the manifest, the fetching, the measures at real size, the run and its report; no network."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from engine import api
from engine.bench import cases, masks, measures, methods, photo, photo_report, photo_run, rivals
from engine.commands import cli
from engine.data import debian
from engine.errors import BadInput, EngineError

CPU = torch.device("cpu")
ENTRIES = photo.entries()
FORBIDDEN = ("mate-backgrounds", "lomiri-wallpapers", "ukui-wallpapers", "gimp", "krita")


def _texture(side: int, seed: int = 0) -> np.ndarray:
    """Coloured noise with some structure."""
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    return cv2.addWeighted(cv2.GaussianBlur(noise, (0, 0), 4), 0.7, noise, 0.3, 0)


def _entry(pixels: np.ndarray, name: str = "made-up", task: str = "hole", **other: object) -> photo.Entry:
    height, width = pixels.shape[:2]
    mask = {"shape": "blob", "centre": [width // 2, height // 2], "side": 24, "seed": 3}
    known = {"kind": "texture", "set": "tuning", "picture": name, "package": "made-up", "version": "1", "file": "a.png"}
    fields = {**known, "licence": "CC0-1.0", "crop": (0, 0, width, height), "mask": mask, "side": 24, **other}
    return photo.Entry(name=name, task=task, sha256=photo.digest(pixels), **fields)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------- manifest


def test_the_manifest_has_only_pictures_that_may_be_used():
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES)
    assert {entry.task for entry in ENTRIES} == set(photo.TASKS)
    assert {entry.kind for entry in ENTRIES} == set(photo.CONTENTS)
    in_jury = json.loads((cases.FOLDER / "manifest.json").read_text("utf-8"))["cases"]
    seen_by_jury = {Path(str(entry.get("origin", ""))).name for entry in in_jury}
    for entry in ENTRIES:
        assert not any(word in entry.package for word in FORBIDDEN), entry.name
        assert entry.licence in photo.LICENCES, entry.name
        assert entry.author or not entry.licence.startswith("CC-BY"), entry.name
        assert Path(entry.file).name not in seen_by_jury, entry.name
        assert not Path(entry.file).is_absolute()
        assert ".." not in Path(entry.file).parts
        assert len(entry.sha256) == 64


def test_there_is_enough_and_a_third_is_for_the_judgement():
    photographs = {entry.picture for entry in ENTRIES if entry.kind == "photograph"}
    textures = {entry.picture for entry in ENTRIES if entry.kind == "texture"}
    assert len(photographs) >= 24
    assert len(textures) >= 12
    assert sum(entry.task == "removal" for entry in ENTRIES) >= 8
    assert sum(entry.task == "extend" for entry in ENTRIES) >= 6
    for task in ("hole", "removal", "extend", "tile"):
        judged = [entry.set == "judgement" for entry in ENTRIES if entry.task == task]
        assert 0.25 <= sum(judged) / len(judged) <= 0.4, task
    for which in photo.SETS:
        sides = {entry.side for entry in ENTRIES if entry.set == which and entry.task == "hole"}
        assert sides == {64, 128, 256, 512}
    by_set = [{(e.package, e.file) for e in ENTRIES if e.set == which} for which in photo.SETS]
    assert not by_set[0] & by_set[1]


def test_every_mask_can_be_drawn_and_leaves_most_of_its_picture():
    for entry in ENTRIES:
        _, _, width, height = entry.crop
        if entry.task == "tile":
            assert width == height == entry.side
            continue
        selection = masks.draw(entry.mask, width, height)
        assert selection.shape == (height, width)
        assert 0 < (selection > 0).mean() < {"extend": 0.6, "synthesis": 0.8}.get(entry.task, 0.35), entry.name
        if entry.task in ("hole", "big"):
            rows, columns = np.nonzero(selection)
            assert [np.ptp(rows) + 1, np.ptp(columns) + 1] == pytest.approx([entry.side] * 2, abs=3)


def test_holes_are_drawn_at_the_same_places_in_turn_on_the_photographs_of_the_set():
    chosen = photo.entries("judgement")
    holes = photo.drawn(chosen, 30)
    assert holes == photo.drawn(chosen, 30)
    assert len({hole.name for hole in holes}) == 30
    photographs = [entry for entry in chosen if entry.kind == "photograph"]
    counts = Counter(hole.picture for hole in holes)
    assert set(counts) == {entry.picture for entry in photographs}
    assert max(counts.values()) - min(counts.values()) <= 1
    assert {hole.sha256 for hole in holes} <= {entry.sha256 for entry in photographs}, "the same parts, one each"
    for hole in holes:
        drawn = masks.draw(hole.mask, *hole.crop[2:])
        rows, columns = np.nonzero(drawn)
        assert 128 <= np.ptp(rows) + 1 <= 384
        assert min(rows.min(), columns.min()) >= 31
    for which, count in ((chosen, 0), ([entry for entry in chosen if entry.kind == "texture"], 3)):
        with pytest.raises(BadInput, match="drawn on photographs"):
            photo.drawn(which, count)


def test_cases_are_chosen_by_set_name_task_picture_and_kind():
    assert {entry.set for entry in photo.entries("judgement")} == {"judgement"}
    assert {entry.task for entry in photo.entries("both", ["removal"])} == {"removal"}
    assert {entry.picture for entry in photo.entries("both", ["kite", "bark"])} == {"kite", "bark"}
    assert {entry.side for entry in photo.entries("both", ["hole 256"])} == {256}
    with pytest.raises(BadInput, match="no set"):
        photo.entries("all")
    with pytest.raises(BadInput, match="nowhere"):
        photo.entries("both", ["nowhere"])


def test_a_lasso_and_a_blob_are_drawn_where_they_are_asked_for():
    lasso = masks.draw({"shape": "polygon", "points": [[10, 10], [29, 10], [29, 39], [10, 39]]}, 60, 60)
    assert (lasso > 0).sum() == 20 * 30
    blob = {"shape": "blob", "centre": [30, 30], "side": 40, "seed": 5}
    assert np.array_equal(masks.draw(blob, 60, 60), masks.draw(blob, 60, 60))
    assert not np.array_equal(masks.draw(blob, 60, 60), masks.draw({**blob, "seed": 6}, 60, 60))


# ------------------------------------------------------------------------------------------------- fetching


class _Packages:
    """A stand-in for Debian: packages with one picture each; counts the fetches."""

    def __init__(self, pictures: dict[str, np.ndarray]) -> None:
        self.pictures, self.asked = pictures, []

    def __call__(self, name: str, folder: Path) -> debian.Package | None:
        self.asked.append(name)
        if name not in self.pictures:
            return None
        (folder / name).mkdir()
        cv2.imwrite(str(folder / name / "a.png"), self.pictures[name][..., ::-1])
        return debian.Package(name, "2", folder / name)


def test_pictures_are_cut_checked_and_kept(tmp_path):
    whole = _texture(80)
    packages, said = _Packages({"made-up": whole}), []
    entry = _entry(np.ascontiguousarray(whole[4:68, 8:72]), crop=(8, 4, 64, 64))
    pictures = photo.Pictures(tmp_path, packages, said.append)
    (case,) = pictures.cases([entry])
    assert np.array_equal(case.truth, whole[4:68, 8:72])
    assert (case.task, case.kind, case.has_truth, said) == ("hole", "hole 24", True, [])
    assert np.array_equal(pictures.cases([entry])[0].truth, case.truth)
    assert packages.asked == ["made-up"]
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]  # the package itself is not kept


def test_what_cannot_be_had_is_said_in_one_sentence_and_the_rest_goes_on(tmp_path):
    whole, said = _texture(64), []
    pictures = photo.Pictures(tmp_path, _Packages({"made-up": whole, "changed": _texture(64, 1)}), said.append)
    wanted = [
        _entry(_texture(64, 7), "gone", package="gone"),
        _entry(whole, "other", package="changed"),
        _entry(_texture(64, 2), "moved", file="b.png"),
        _entry(whole, "fine"),
    ]
    wanted[1] = replace(wanted[1], sha256=photo.digest(_texture(64, 3)))
    assert [case.name for case in pictures.cases(wanted)] == ["fine"]
    assert len(said) == 3
    assert "The package gone cannot be had here, so these cases are left out: gone." in said
    assert any("other pixels than that of version 1" in line for line in said)
    assert any("moved is left out: made-up 2 has no picture b.png." in line for line in said)


def test_a_damaged_picture_in_the_cache_is_removed(tmp_path):
    whole, said = _texture(64), []
    pictures = photo.Pictures(tmp_path, _Packages({"made-up": whole}), said.append)
    entry = _entry(whole)
    pictures.cases([entry])
    (kept,) = (tmp_path / "parts").iterdir()
    cv2.imwrite(str(kept), _texture(64, 9))
    assert pictures.cases([entry]) == []
    assert "damaged" in said[0]
    assert len(pictures.cases([entry])) == 1


def test_a_tile_is_given_rolled_with_its_frame_as_a_cross():
    pixels = _texture(256)
    case = photo.case_of(_entry(pixels, task="tile", mask={"shape": "frame"}, side=256), pixels)
    assert case.wrap == "both"
    assert np.array_equal(cases.rolled_back(case.truth), pixels)
    assert case.new[128].all()
    assert case.new[:, 128].all()
    assert not case.new[:64, :64].any()
    assert not case.has_truth


# ------------------------------------------------------------------------------------------------- measures


def _holed(side: int = 160) -> tuple[np.ndarray, np.ndarray]:
    new = masks.draw({"shape": "ellipse", "centre": [side // 2, side // 2], "radii": [35, 30]}, side, side) > 0
    return _texture(side), new


def test_grain_is_one_for_the_truth_low_for_a_blur_and_high_for_noise():
    truth, new = _holed()
    blurred = np.where(new[..., None], cv2.GaussianBlur(truth, (0, 0), 3), truth)
    noise = np.random.default_rng(1).normal(0, 60, truth.shape)
    noisy = np.where(new[..., None], np.clip(truth + noise, 0, 255).astype(np.uint8), truth)
    for measure in (measures.grain, lambda picture, new: measures.grain_against(picture, truth, new)):
        assert measure(truth, new) == pytest.approx(1, abs=0.07)
        assert measure(blurred, new) < 0.5
        assert measure(noisy, new) > 1.25


def test_grain_has_no_meaning_where_there_is_none():
    truth, new = _holed()
    flat = np.full_like(truth, 90)
    assert measures.grain(flat, new) is None
    assert measures.grain_against(flat, flat, new) is None
    thin = np.zeros_like(new)
    thin[:, 80:84] = True
    assert measures.grain(truth, thin) is None


def test_the_error_of_the_smoothed_picture_sees_a_shift_of_colour_and_no_grain():
    truth, new = _holed()
    shifted = np.clip(truth.astype(int) + 10 * new[..., None], 0, 255).astype(np.uint8)
    assert measures.smooth_error(truth, truth, new) == 0
    assert 5 < measures.smooth_error(shifted, truth, new) < 10
    grain = np.random.default_rng(2).integers(-10, 11, truth.shape)
    grainy = np.clip(truth + grain * new[..., None], 0, 255).astype(np.uint8)
    assert measures.smooth_error(grainy, truth, new) < 1
    assert measures.roughness(np.full_like(truth, 3), new) == 0
    assert measures.roughness(truth, new) > photo_report.SMOOTH_BELOW


def test_synthesis_measures_see_another_scale_and_another_contrast():
    new = np.ones((256, 256), bool)
    new[:128, :128] = False
    waves = 40 * np.sin(np.arange(256) * 2 * np.pi / 16)
    stripes = np.clip(128 + waves[None, :, None] + np.zeros((256, 256, 3)), 0, 255).astype(np.uint8)
    wide = np.clip(128 + 40 * np.sin(np.arange(256) * 2 * np.pi / 23)[None, :, None] + np.zeros((256, 256, 3)), 0, 255)
    other = np.where(new[..., None], wide.astype(np.uint8), stripes)
    assert measures.autocorrelation_error(stripes, new) < 0.05
    assert measures.autocorrelation_error(other, new) > 0.3
    noise = _texture(256)
    faint = np.where(new[..., None], (noise // 2 + 64).astype(np.uint8), noise)
    assert measures.sliced_distance(faint, new) > 5 * measures.sliced_distance(noise, new)


def test_a_large_area_is_judged_in_parts_that_hold_something_new(monkeypatch):
    monkeypatch.setattr(photo_run, "LARGEST", 40)
    picture, truth, new = (
        np.zeros((100, 100, 3), np.uint8),
        np.zeros((100, 100, 3), np.uint8),
        np.zeros((100, 100), bool),
    )
    new[:30, :60] = True
    picture[:34, :33] = 255
    asked = []

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        asked.append(a.shape[:2])
        return float(np.abs(a.astype(int) - b).mean())

    assert photo_run.far_apart(picture, truth, new, distance) == pytest.approx(255 * 33 / 60, rel=0.02)
    assert len(asked) == 2
    new[:] = True
    asked.clear()
    photo_run.far_apart(picture, truth, new, distance)
    assert len(asked) == photo_run.MOST_PARTS


def test_processor_seconds_count_this_process_and_its_children():
    before = photo_run.processor_seconds()
    if before is None:
        pytest.skip("this system does not tell")
    end = os.times().user + 0.2
    while os.times().user < end:
        sum(range(1000))
    assert photo_run.processor_seconds() - before == pytest.approx(0.2, abs=0.15)


# ------------------------------------------------------------------------------------------------- run and report


@pytest.fixture(scope="module")
def made_up() -> list[photo.PhotoCase]:
    pixels = [_texture(96, seed) for seed in range(3)]
    tile = _texture(128, 5)
    strip = {"shape": "edge", "side": "right", "width": 24}
    return [
        photo.case_of(_entry(pixels[0], "a-hole"), pixels[0]),
        photo.case_of(_entry(pixels[1], "b-removal", "removal", side=0), pixels[1]),
        photo.case_of(_entry(pixels[2], "c-extend", "extend", mask=strip, set="judgement"), pixels[2]),
        photo.case_of(_entry(tile, "d-tile", "tile", side=128), tile),
    ]


def test_a_run_writes_its_report_and_is_gone_on_with(tmp_path, made_up):
    model = api.load_model("test/gaussian", "cpu")
    own = methods.ours("5/1/1/0/small", model)
    others = photo_run.rivals(["telea"])
    said: list[str] = []

    def run() -> photo_run.PhotoRun:
        everyone = [methods.truth(), own, *others]
        return photo_run.PhotoRun(tmp_path, made_up, everyone, 2, CPU, {"telea": photo_run.Order("telea")}, said.append)

    assert run().paint() == 0
    assert len(said) == 4 * (1 + 2 + 1)
    assert run().paint() == 0
    assert len(said) == 16  # all of it was there
    results = run().judge(perceptual=False)
    assert {r.case.name for r in results if r.method.name == "truth"} == {"a-hole", "c-extend"}
    telea = next(r.entry for r in results if r.method.name == "telea")
    assert telea["processor_seconds"] is None or telea["processor_seconds"] >= 0
    for result in results:
        result.entry["scores"]["st_lpips"] = 0.1 if result.method.ours else 0.2
    facts = {"model": "test/gaussian", "fingerprint": "0", "preset": "tiny", "device": "here"}
    paths = photo_report.write(tmp_path, results, {own.name: 0.5}, facts)
    assert all(path.exists() for path in paths)
    text = (tmp_path / "photo.md").read_text("utf-8")
    for words in ("tuning: hole 24", "judgement: extend one side", "tuning: tile 128", "OpenCV Telea", "100%"):
        assert words in text
    data = json.loads((tmp_path / "photo.json").read_text("utf-8"))
    hole = {row["method"]: row for row in data["rows"] if row["kind"] == "hole 24"}
    assert hole[own.name]["best"] == 1
    assert hole["telea"]["best"] == 0
    assert hole["telea"]["against"] is None  # nothing to compare with
    assert hole["telea"]["grain"] < 0.5
    assert {path.stem for path in (tmp_path / "sheets").iterdir()} == {case.name for case in made_up}
    with Image.open(tmp_path / "sheets" / "a-hole.jpg") as shown:
        assert shown.size[0] >= 4 * 72  # hole, two methods, truth: at their own size


def test_results_are_made_anew_when_the_method_changed_or_when_asked(tmp_path, made_up):
    said: list[str] = []
    plain = methods.rivals(["telea"])[0]
    run = photo_run.PhotoRun(tmp_path, made_up[:1], [replace(plain, ours=True)], 1, CPU, {}, said.append)
    run.paint()
    run.paint()
    assert len(said) == 1
    run.paint(again=True)
    assert len(said) == 2
    photo_run.PhotoRun(tmp_path, made_up[:1], [replace(plain, key="new")], 1, CPU, {}, said.append).paint()
    assert len(said) == 3
    assert photo_run.PhotoRun(tmp_path, made_up, [plain], 1, CPU, {}, said.append).paint(limit=-1) == 4


def test_a_method_that_fails_is_reported_and_the_others_go_on(tmp_path, made_up):
    def broken(_case: cases.Case, _seed: int) -> tuple[np.ndarray, int]:
        raise EngineError("rival_failed", "It gave no picture.")

    bad = methods.Method("bad", "Bad", broken, ours=False, seeded=False, key="bad")
    said: list[str] = []
    run = photo_run.PhotoRun(tmp_path, made_up[:2], [bad, *methods.rivals(["telea"])], 1, CPU, {}, said.append)
    assert run.paint() == 2
    assert sum("It gave no picture." in line for line in said) == 2
    said.clear()
    assert run.paint() == 2  # nothing is tried again
    assert said == []
    assert {result.method.name for result in run.judge(perceptual=False)} == {"telea"}


def test_a_rival_that_leaves_a_part_black_gets_no_row(tmp_path, made_up):
    def lazy(case: cases.Case, _seed: int) -> tuple[np.ndarray, int]:
        return case.holed, 0

    rival = methods.Method("lazy", "Lazy", lazy, ours=False, seeded=False, key="lazy")
    said: list[str] = []
    assert photo_run.PhotoRun(tmp_path, made_up[:1], [rival], 1, CPU, {}, said.append).paint() == 1
    assert "left a part of the area black" in said[0]
    assert photo_run.left_empty(made_up[0].truth, made_up[0]) == 0


def test_a_process_that_cannot_build_its_method_says_so(made_up):
    workers = photo_run.Workers()
    try:
        with pytest.raises(EngineError, match="no rival named"):
            workers.paint("nobody", photo_run.Order("nobody"), made_up[0], 0)
    finally:
        workers.stop()


def test_a_rival_that_is_not_installed_is_left_out_in_one_sentence(monkeypatch, capsys):
    gone = replace(rivals.RIVALS["pypatchmatch"], here=lambda: False)
    monkeypatch.setitem(rivals.RIVALS, "pypatchmatch", gone)
    assert [method.name for method in photo_run.rivals(["telea", "pypatchmatch"])] == ["telea"]
    assert capsys.readouterr().out == "PyPatchMatch is not installed here; install it or leave it out.\n"
    assert photo_run.rivals(["none"]) == []
    with pytest.raises(BadInput, match="no rival named"):
        photo_run.rivals(["nobody"])


@pytest.mark.parametrize("name", ["pypatchmatch", "resynthesizer", "gmic-patch"])
def test_a_rival_fills_the_hole_and_leaves_the_rest(name, made_up):
    if not rivals.RIVALS[name].here():
        pytest.skip("not installed here")
    case = made_up[0]
    filled = rivals.RIVALS[name].fill(case.holed, case.new)
    assert filled.dtype == np.uint8
    assert np.array_equal(filled[~case.new], case.truth[~case.new])
    assert filled[case.new].std() > 5


def test_the_command_says_what_is_wrong(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(debian, "available", lambda: False)
    wanted = ["bench", "photo", "--model", "none", "--rivals", "telea", "--pictures", str(tmp_path / "pictures")]
    assert cli.main([*wanted, "--cases", "kite", "--set", "both", "--out", str(tmp_path)]) != 0
    said = capsys.readouterr()
    assert "plasma-workspace-wallpapers cannot be had here" in said.out
    assert "None of the pictures can be had" in said.err


def test_the_textures_of_a_folder_go_on_to_twice_their_size(tmp_path, capsys):
    folder, out = tmp_path / "mine", tmp_path / "out"
    folder.mkdir()
    wanted = ["bench", "photo", "--textures", str(folder), "--model", "none", "--rivals", "telea", "--out", str(out)]
    assert cli.main(wanted) != 0
    assert "There is no PNG or JPEG picture" in capsys.readouterr().err
    cv2.imwrite(str(folder / "waves.png"), _texture(64))
    cv2.imwrite(str(folder / "narrow.png"), _texture(64)[:, :48])
    assert cli.main(wanted) == 0
    said = capsys.readouterr().out
    assert "folder: synthesis" in said
    assert "sliced Wasserstein" in said
    (narrow, waves) = photo.textures(folder)
    assert (narrow.truth.shape, waves.truth.shape) == ((128, 96, 3), (128, 128, 3))
    assert np.array_equal(waves.truth[:64, :64], cv2.imread(str(folder / "waves.png"))[..., ::-1])
    assert (waves.new.mean(), narrow.task, narrow.has_truth) == (0.75, "synthesis", False)
