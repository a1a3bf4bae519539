"""What a list or a folder of a batch means, job by job."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from engine import batch
from engine.errors import EngineError
from tests.engine.test_batch import ALONE, make, run


def test_what_is_written_beside_each_result_has_its_name(tmp_path):
    """Unless a line of a list says its own. A folder that was moved with all that is done."""
    make(tmp_path / "in", "ab")
    jobs, beside = tmp_path / "jobs.csv", ["--save-state", "states/s.state", "--previews", "seen"]
    jobs.write_text(
        "picture,mask,output,save_state\nin/a.png,in/a-mask.png,,own.state\nin/b.png,in/b-mask.png,deep/b.png,\n"
    )
    assert run(jobs, "-o", tmp_path / "out", *ALONE, *beside) == 0
    assert {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.state")} == {
        "own.state",
        "states/deep/s-b.state",
    }
    assert list((tmp_path / "out/seen/a").iterdir())
    assert list((tmp_path / "out/seen/deep/b").iterdir())
    (tmp_path / "out").rename(tmp_path / "moved")
    before = (tmp_path / "moved" / "own.state").stat().st_mtime_ns
    assert run(jobs, "-o", tmp_path / "moved", *ALONE, *beside) == 0
    assert (tmp_path / "moved" / "own.state").stat().st_mtime_ns == before


def test_common_options_hold_for_the_tasks_that_have_them(tmp_path):
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text('{"picture": "a.png", "mask": "m.png"}\n{"picture": "b.png", "task": "extend"}')
    common = batch.Common(tmp_path, "inpaint", {"hard": True, "left": 8, "steps": 3})
    first, second = (entry.spec for entry in batch.read([str(jobs)], common))
    assert first
    assert second
    assert first.options == {"hard": True, "steps": 3}
    assert second.options == {"left": 8, "steps": 3}
    with pytest.raises(EngineError, match="'band' is for tile, not for extend or inpaint"):
        batch.read([str(jobs)], batch.Common(tmp_path, "inpaint", {"band": 8}))


def test_which_files_of_a_folder_are_pictures_and_which_masks(tmp_path, monkeypatch):
    """Whatever is no picture is left out, by a folder and by a pattern; no two results have one name."""
    pictures = make(tmp_path / "in", "at")
    (pictures / "a-mask.png").rename(pictures / "a-MASK.png")
    Image.open(pictures / "t.png").save(pictures / "t.jpg")
    (pictures / "t.txt").write_text("notes")
    monkeypatch.chdir(tmp_path)
    common = batch.Common(tmp_path / "out", "inpaint", {})
    for jobs in ("in", "in/*"):
        found = [entry.spec for entry in batch.read([jobs], common) if entry.spec]
        assert [Path(spec.output).name for spec in found] == ["a.png", "t-jpg.png", "t.png"]
        assert [Path(spec.mask or "").name for spec in found] == ["a-MASK.png", "t-mask.png", "t-mask.png"]
