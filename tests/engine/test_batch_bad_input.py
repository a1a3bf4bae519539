"""What can be wrong with a batch is said before its first job, each with its line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.engine.test_batch import ALONE, make, results, run

GOOD = {"picture": "in/a.png", "mask": "in/a-mask.png"}


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ({"guidence": 3}, "There is no option 'guidence'; did you mean 'guidance'?"),
        ({"Picture": "in/b.png"}, "one field twice"),
        ({"bogus-thing": 3}, "There is no option 'bogus-thing'; a job has picture, mask, output, task and"),
        ({"steps": "many"}, "line 2: --steps: invalid int value: 'many'"),
        ({"steps": 1}, "The number of steps must be 2 to"),
        ({"preset": "fst"}, "choose from"),
        ({"seed": -3}, "The seed must be 0 to"),
        ({"variants": 65}, "variants must be 1 to 64"),
        ({"hard": "perhaps"}, "--hard is true or false, not 'perhaps'"),
        ({"padding": [3]}, "--padding takes one value"),
        ({"left": 8}, "The option 'left' is for extend, not for inpaint"),
        ({"task": "paint"}, "There is no task 'paint'; it is one of inpaint, extend, tile"),
        ({"task": "tile"}, "The task tile takes no mask"),
        ({"task": "extend", "mask": ""}, "Say on which side to extend"),
        ({"task": "tile", "mask": "", "size": "9x9"}, "of a tile of this picture must be"),
        ({"mask": ""}, "The task inpaint needs a mask"),
        ({"picture": ""}, "It names no picture"),
        ({"picture": 3}, "The field 'picture' must be text, not 3"),
        ({"picture": "in/gone.png"}, "There is no file"),
        ({"picture": "jobs.jsonl"}, "cannot be read as a picture"),
        ({"mask": "in/gone-mask.png"}, "There is no file"),
        ({"mask": "in/small.png"}, "size"),
        ({"output": "a.png"}, "It writes a.png, as jobs.jsonl, line 1 does; give it another output"),
        ({"output": "../b.png"}, "lies outside the folder of the results"),
        ({"output": "b.jpg"}, "b.jpg would lose detail"),
        ({"save_state": "/etc/b.state"}, "lies outside the folder of the results"),
        ({"output": "\ud800.png"}, "contains bytes that are not UTF-8 text; rename the file"),
        ({"output": "b" * 252 + ".png"}, "is too long for a file; give it a shorter output"),
        ({"schedule": "gone.json"}, "There is no file"),
        ({"model": "nothing"}, "There is no model named 'nothing'"),
        ({"model": "sd15"}, "is not installed; run 'python -m engine models get sd15' first"),
        ({"prompt": "a door"}, "The model Exact Gaussian (test) takes no prompt; leave it out"),
        ({"negative": "a door"}, "takes no prompt; leave it out"),
        ({"pag_scale": 3}, "leave --pag-scale out"),
        ({"known_noise": -1}, "must be 0 to 128, not -1"),
        ({"known_noise": 3, "model": "exemplar"}, "leave --known-noise out"),
        ({"device": "abacus"}, "choose from"),
        ("no object", "It is no JSON"),
        ("[1, 2]", "It is no object of JSON"),
        ('{"picture": NaN}', "It is no JSON"),
    ],
)
def test_a_bad_line(tmp_path, capsys, second, says):
    make(tmp_path / "in", "ab")
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "in" / "small.png")
    if isinstance(second, dict):
        second = json.dumps({"output": "b.png", **GOOD, **second})
    (tmp_path / "jobs.jsonl").write_text(json.dumps(GOOD) + "\n" + second + "\n")
    assert run(tmp_path / "jobs.jsonl", "-o", tmp_path / "out", "--model", "test/gaussian") == 2
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("jobs.jsonl, line 2: ")
    assert says in first
    assert last == "error: One job cannot be done, so nothing was done; correct the problems above."
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_mask_of_another_size_in_line_7312(tmp_path, capsys):
    make(tmp_path / "in", "a")
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "in" / "small.png")
    lines = [json.dumps({**GOOD, "output": f"{k}.png"}) for k in range(1, 8001)]
    lines[7311] = json.dumps({**GOOD, "mask": "in/small.png", "output": "wrong.png"})
    (tmp_path / "jobs.jsonl").write_text("\n".join(lines))
    assert run(tmp_path / "jobs.jsonl", "-o", tmp_path / "out", *ALONE) == 2
    first, _ = capsys.readouterr().err.splitlines()
    assert first.startswith("jobs.jsonl, line 7312: The mask")
    assert "48 × 48" in first
    assert "30 × 20" in first


def test_many_problems_are_counted(tmp_path, capsys):
    make(tmp_path / "in", "a")
    (tmp_path / "jobs.csv").write_text("picture,mask\n" + "in/gone.png,in/a-mask.png\n" * 30)
    assert run(tmp_path / "jobs.csv", "-o", tmp_path / "out", *ALONE) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 22
    assert said[-2:] == [
        "… and 10 more",
        "error: 30 jobs cannot be done, so nothing was done; correct the problems above.",
    ]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("jobs.csv", b"picture,mask\nin/a.png,in/a-mask.png,surplus\n", "It has 3 cells, the heading has 2"),
        ("jobs.csv", "picture\nä.png\n".encode("latin-1"), "not UTF-8 text"),
        ("jobs.csv", b"", "There is no job in"),
        ("jobs.csv", b"picture,mask\n\n,\n", "There is no job in"),
        ("jobs.jsonl", b"\n\n", "There is no job in"),
        ("jobs.jsonl", b"[" * 100_000, "It is no JSON"),
    ],
)
def test_a_list_that_is_none(tmp_path, capsys, name, content, says):
    make(tmp_path / "in", "a")
    (tmp_path / name).write_bytes(content)
    assert run(tmp_path / name, "-o", tmp_path / "out", *ALONE) == 2
    said = capsys.readouterr().err
    assert says in said
    assert len(said) < 1000
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["gone.jsonl"], "There is no file gone.jsonl"),
        (["gone/*.png"], "There is no job in gone/*.png"),
        (["in/a.png", "gone.png"], "There is no file or folder gone.png"),
        (["jobs.json"], "jobs.json is neither a picture nor a list; a list ends in .jsonl or .csv"),
        (["in", "--left", "8"], "The option 'left' is for extend, not for inpaint"),
        (["in", "--workers", "0"], "must be at least 1"),
        (["in", "--page", "3"], "--page must be"),
    ],
)
def test_a_bad_command(tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "in", "a")
    (tmp_path / "jobs.json").write_text("[]")
    assert run(*ALONE, *arguments, "-o", "out") == 2
    said = capsys.readouterr().err
    assert says in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_pictures_without_masks_and_masks_without_pictures(tmp_path, capsys):
    pictures = make(tmp_path / "in", "ab")
    (pictures / "a.png").rename(pictures / "c.png")
    assert run(pictures, "-o", tmp_path / "out", *ALONE) == 2
    first, second, _ = capsys.readouterr().err.splitlines()
    assert first.endswith(
        "a-mask.png: It is a mask, and there is no picture beside it; put that there, or move it away."
    )
    assert "c.png: There is no mask c-mask.png beside it" in second


@pytest.mark.parametrize("jobs", ["in", "in/*"])
def test_a_picture_that_is_empty_is_not_left_out(tmp_path, monkeypatch, capsys, jobs):
    (make(tmp_path / "in", "a") / "b.png").write_bytes(b"")
    (tmp_path / "in" / "notes.txt").write_text("none")
    monkeypatch.chdir(tmp_path)
    assert run(jobs, "-o", "out", "--task", "tile", *ALONE) == 2
    first, _ = capsys.readouterr().err.splitlines()
    assert first == "in/b.png: b.png cannot be read as a picture; save it again as PNG."


def test_nothing_that_is_somebodys_is_overwritten(tmp_path, capsys):
    """Neither the pictures themselves, nor what lay there before, nor a result that was retouched."""
    pictures, out = make(tmp_path / "in", "ab"), tmp_path / "out"
    before = results(pictures)
    assert run(pictures / "a.png", "-o", pictures, *ALONE) == 2
    assert "It would overwrite a.png, a picture of the list" in capsys.readouterr().err
    assert results(pictures) == before
    out.mkdir()
    (out / "b.png").write_bytes(b"a drawing")
    assert run(pictures, "-o", out, *ALONE) == 2
    assert "b.png is there and is not of this batch" in capsys.readouterr().err
    assert run(pictures, "-o", out, "--again", *ALONE) == 0
    Image.new("RGB", (48, 48), "red").save(out / "b.png")
    retouched = (out / "b.png").read_bytes()
    assert run(pictures, "-o", out, *ALONE) == 0
    assert (out / "b.png").read_bytes() == retouched, "the job is done"
    assert run(pictures, "-o", out, "--seed", "5", *ALONE) == 2
    assert "b.png was changed since it was made; move it away, or add --again" in capsys.readouterr().err
    assert (out / "b.png").read_bytes() == retouched


def test_a_manifest_cut_short_or_of_something_else(tmp_path, capsys):
    pictures, out = make(tmp_path / "in", "ab"), tmp_path / "out"
    assert run(pictures, "-o", out, *ALONE) == 0
    manifest = out / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-30])
    capsys.readouterr()
    assert run(pictures, "-o", out, *ALONE) == 0
    assert "1 of 2 jobs done" in capsys.readouterr().out
    assert run(pictures, "-o", out, *ALONE) == 0
    assert "0 of 2 jobs done" in capsys.readouterr().out
    manifest.write_text('{"name": "a web app"}')
    assert run(pictures, "-o", out, *ALONE) == 2
    assert "is not a manifest of this version" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_folder_that_cannot_be(tmp_path, capsys, more):
    pictures = make(tmp_path / "in", "a")
    (tmp_path / "file").write_text("")
    assert run(pictures, "-o", Path(tmp_path / "file" / "out"), *ALONE, *more) == 2
    assert "choose another" in capsys.readouterr().err


def test_quotes_in_a_table(tmp_path, capsys):
    """One that is left open would swallow the jobs after it; a cell of two lines counts at its first."""
    make(tmp_path / "in", "a")
    jobs, head = tmp_path / "jobs.csv", "picture, mask, output, label\n"
    jobs.write_text(
        head + 'in/gone.png, in/a-mask.png, "b, c.png", "two\nlines"\nin/a.png,in/a-mask.png,,"open\nin/a.png\n'
    )
    assert run(jobs, "-o", tmp_path / "out", *ALONE) == 2
    assert "jobs.csv, line 4, cannot be read as a table; close its quotes" in capsys.readouterr().err
    jobs.write_text(head + 'in/a.png, in/a-mask.png, "b, c.png", "two\nlines"\nin/gone.png, in/a-mask.png\n')
    assert run(jobs, "-o", tmp_path / "out", *ALONE) == 2
    said = capsys.readouterr().err
    assert said.startswith("jobs.csv, line 4: There is no file")
    assert "One job" in said


def test_results_do_not_go_among_the_pictures_of_a_folder(tmp_path, capsys):
    make(tmp_path / "in", "a")
    assert run(tmp_path / "in", "-o", tmp_path / "in", "--task", "tile", *ALONE) == 2
    assert "would be pictures of the next run; choose another folder" in capsys.readouterr().err


def test_a_table_of_somebody_elses_stays(tmp_path, capsys):
    pictures, out = make(tmp_path / "in", "a"), tmp_path / "out"
    out.mkdir()
    (out / "failures.csv").write_text("mine")
    assert run(pictures, "-o", out, *ALONE) == 2
    assert "failures.csv does not belong to a batch; move it away" in capsys.readouterr().err
    assert (out / "failures.csv").read_text() == "mine"
