"""``python -m engine batch``: what comes out is what single commands give, once, wherever it runs."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image

from engine import batch, version
from engine.batch import on_ray
from engine.commands import cli
from engine.errors import EngineError

GAUSSIAN = ["--model", "test/gaussian", "--steps", "3", "--jump-length", "1", "--jump-samples", "1"]
ALONE = [*GAUSSIAN, "--workers", "1"]


def make(folder: Path, names: str, side: int = 48) -> Path:
    """Pictures of noise with masks beside them."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for name in names:
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(folder / f"{name}.png")
        mask = np.zeros((side, side), np.uint8)
        mask[12:30, 12:30] = 255
        Image.fromarray(mask).save(folder / f"{name}-mask.png")
    return folder


def results(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.png"))}


def run(*arguments: str | Path) -> int:
    return cli.main(["batch", *map(str, arguments)])


def single(task: str, picture: Path, out: Path, *more: str) -> bytes:
    """The result of a command of its own, with one thread as in a batch."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert cli.main([task, str(picture), "-o", str(out), *more]) == 0
    finally:
        torch.set_num_threads(threads)
    return out.read_bytes()


@pytest.mark.slow
def test_a_folder(tmp_path, capsys):
    pictures = make(tmp_path / "in", "abc")
    assert run(pictures, "-o", tmp_path / "out", *GAUSSIAN, "--seed", "7", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["jobs"], told["done"], told["failed"]) == (3, 3, 0)
    mask = str(pictures / "b-mask.png")
    alone = single("inpaint", pictures / "b.png", tmp_path / "b.png", "-m", mask, *GAUSSIAN, "--seed", "7")
    assert results(tmp_path / "out")["b.png"] == alone
    assert set(results(tmp_path / "out")) == {"a.png", "b.png", "c.png"}
    assert not (tmp_path / "out" / "failures.csv").exists()


def test_what_is_done_and_unchanged_is_skipped(tmp_path, capsys, monkeypatch):
    """A changed picture, mask, option, version, or a lost result: exactly that job is done again."""
    pictures, out = make(tmp_path / "in", "abc"), tmp_path / "out"

    def done(*more: str) -> int:
        assert run(pictures, "-o", out, *ALONE, "--json", *more) == 0
        return json.loads(capsys.readouterr().out)["done"]

    assert done() == 3
    first = results(out)
    assert done() == 0
    (out / "b.png").unlink()
    assert done() == 1
    assert results(out) == first
    for name in ("a.png", "c-mask.png"):
        pixels = np.asarray(Image.open(pictures / name)).copy()
        pixels[20, 20] = 255 - pixels[20, 20]
        Image.fromarray(pixels).save(pictures / name)
        assert done() == 1, name
    assert done("--preset", "quality") == 3
    assert done("--preset", "quality") == 0
    assert done("--threads", "2", "--preset", "quality") == 3
    monkeypatch.setattr("engine.batch.spec.__version__", version.__version__ + ".post1")
    assert done() == 3
    assert done("--again") == 3


@pytest.mark.parametrize("steps_then", ["3", "4"])
def test_what_was_made_anew_but_not_written_down_is_neither_done_nor_somebody_elses(tmp_path, monkeypatch, steps_then):
    """Ctrl+C between a picture and its line, where there was a picture before: with other options and with its own."""
    pictures, out = make(tmp_path / "in", "a"), tmp_path / "out"
    assert run(pictures, "-o", out, *ALONE) == 0
    assert run(pictures, "-o", tmp_path / "right", *ALONE, "--steps", steps_then) == 0
    with monkeypatch.context() as patch:
        patch.setattr(batch.Manifest, "add", _interrupted)
        assert run(pictures, "-o", out, *ALONE, "--steps", "4") == 130
    assert run(pictures, "-o", out, *ALONE, "--steps", steps_then) == 0
    assert results(out) == results(tmp_path / "right")


def _interrupted(*_arguments):
    raise KeyboardInterrupt


def test_a_model_whose_weights_changed_is_another(tmp_path, monkeypatch):
    pictures = make(tmp_path / "in", "a")
    spec = batch.Spec(0, "inpaint", str(pictures / "a.png"), str(pictures / "a-mask.png"), str(tmp_path / "o.png"), 1)
    before = batch.key(spec)
    assert batch.key(spec) == before
    monkeypatch.setattr("engine.batch.spec.digest", lambda info: info.id + " after an update")
    batch.spec._model_digest.cache_clear()
    assert batch.key(spec) != before
    batch.spec._model_digest.cache_clear()


LIST = [
    {"picture": "in/a.png", "mask": "in/a-mask.png", "seed": 3, "hard": True, "guidance-interval": [0, 0.5]},
    {"picture": "in/b.png", "task": "extend", "right": 16, "output": "wide/b.png", "seed": 4},
    {"picture": "in/c.png", "task": "tile", "band": 8, "output": "tile.tif", "variants": 2, "seed": 5},
]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "semicolons"])
def test_a_list(tmp_path, kind):
    make(tmp_path / "in", "abc")
    jobs = tmp_path / ("jobs.jsonl" if kind == "jsonl" else "jobs.csv")
    if kind == "jsonl":
        jobs.write_text("\n".join(map(json.dumps, LIST[:1])) + "\n\n" + "\n".join(map(json.dumps, LIST[1:])))
    else:
        names = sorted({name for row in LIST for name in row})
        with open(jobs, "w", newline="", encoding="utf-8-sig") as file:
            table = csv.DictWriter(file, names, delimiter="," if kind == "csv" else ";")
            table.writeheader()
            table.writerows([{**row, **({"guidance-interval": "0 0.5"} if "hard" in row else {})} for row in LIST])
    out = tmp_path / "out"
    assert run(jobs, "-o", out, *ALONE) == 0
    made = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert made == {"a.png", "wide/b.png", "tile-1.tif", "tile-2.tif", "manifest.jsonl"}
    assert Image.open(out / "wide/b.png").size == (64, 48)
    alone = single("tile", tmp_path / "in/c.png", tmp_path / "c.tif", "--band", "8", "--seed", "6", *GAUSSIAN)
    assert (out / "tile-2.tif").read_bytes() == alone


def test_a_job_may_say_no_where_the_command_says_yes(tmp_path):
    (tmp_path / "jobs.jsonl").write_text('{"picture": "a.png", "mask": "m.png", "hard": false}')
    (entry,) = batch.read([str(tmp_path / "jobs.jsonl")], batch.Common(tmp_path, "inpaint", {"hard": True}))
    assert entry.spec
    assert entry.spec.options == {"hard": False}


def test_patterns_and_lists_of_files_keep_their_folders(tmp_path, monkeypatch):
    make(tmp_path / "in", "a")
    make(tmp_path / "in/deep", "b")
    monkeypatch.chdir(tmp_path)
    assert run("in/**/*.png", "-o", "in/out", *ALONE) == 0
    assert {path.as_posix() for path in Path("in/out").rglob("*.png")} == {"in/out/a.png", "in/out/deep/b.png"}
    assert run("in/**/*.png", "-o", "in/out", *ALONE) == 0, "results are no new jobs"
    assert run("in/a.png", "in/deep/b.png", "-o", "two", "--task", "extend", "--left", "8", *ALONE) == 0
    assert {path.as_posix() for path in Path("two").rglob("*.png")} == {"two/a.png", "two/deep/b.png"}
    make(tmp_path / "on", "c")
    monkeypatch.chdir(tmp_path / "on")
    assert run("../in", ".", "-o", "../three", *ALONE) == 0
    assert {path.as_posix() for path in Path("../three").rglob("*.png")} == {"../three/in/a.png", "../three/on/c.png"}


def test_seeds_differ_from_job_to_job_and_stay(tmp_path):
    pictures = make(tmp_path / "in", "ab")
    (pictures / "b.png").write_bytes((pictures / "a.png").read_bytes())
    for out in ("one", "two"):
        assert run(pictures, "-o", tmp_path / out, *ALONE) == 0
    assert results(tmp_path / "one") == results(tmp_path / "two")
    first, second = results(tmp_path / "one").values()
    assert first != second
    told = [json.loads(line) for line in (tmp_path / "one" / "manifest.jsonl").read_text().splitlines()]
    (seed,) = (line["seed"] for line in told if line.get("output") == "b.png")
    mask = str(pictures / "b-mask.png")
    assert (
        single("inpaint", pictures / "b.png", tmp_path / "b.png", "-m", mask, *GAUSSIAN, "--seed", str(seed)) == second
    )


def test_a_failing_job_does_not_stop_the_others(tmp_path, capsys):
    """A picture whose header is whole and whose pixels are not."""
    pictures, out = make(tmp_path / "in", "abc"), tmp_path / "out"
    whole = (pictures / "b.png").read_bytes()
    (pictures / "b.png").write_bytes(whole[: len(whole) // 2])
    assert run(pictures, "-o", out, *ALONE) == 4
    assert "b.png" in capsys.readouterr().err
    assert set(results(out)) == {"a.png", "c.png"}
    with open(out / "failures.csv", newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["job"] == str(pictures / "b.png")
    assert row["code"] == "bad_file"
    assert row["sentence"] == "b.png cannot be read as a picture; save it again as PNG."
    (pictures / "b.png").write_bytes(whole)
    assert run(pictures, "-o", out, *ALONE) == 0
    assert "1 of 3 jobs done" in capsys.readouterr().out
    assert not (out / "failures.csv").exists()


def test_a_failure_inside_the_engine_is_a_sentence(tmp_path, monkeypatch):
    pictures, out = make(tmp_path / "in", "a"), tmp_path / "out"

    def fails(*_arguments):
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr("engine.models.gaussian.linear_alpha_bar", fails)
    assert run(pictures, "-o", out, *ALONE) == 4
    text = (out / "failures.csv").read_text(encoding="utf-8")
    assert "Something went wrong inside the engine" in text
    assert "of all things" in text
    assert "Traceback" not in text


def test_a_dry_run_tells_why_jobs_fail(tmp_path, capsys):
    pictures = make(tmp_path / "in", "a")
    whole = (pictures / "a.png").read_bytes()
    (pictures / "a.png").write_bytes(whole[: len(whole) // 2])
    assert run(pictures, "-o", tmp_path / "out", *ALONE, "--dry-run") == 0
    assert capsys.readouterr().out.splitlines()[1:3] == [
        "time: not known, all jobs that were tried failed",
        "failed when tried: a.png cannot be read as a picture; save it again as PNG.",
    ]
    assert not (tmp_path / "out").exists()


def test_a_cluster_is_entered_for_work_only(tmp_path, capsys, monkeypatch):
    def enters(*_arguments):
        raise EngineError("ray_nothing", "It was entered.")

    monkeypatch.setattr("engine.cluster.enter", enters)
    command = [make(tmp_path / "in", "a"), "-o", tmp_path / "out", *GAUSSIAN]
    assert run(*command, "--ray", "auto", "--dry-run") == 0
    assert run(*command, "--ray", "auto") == 3
    assert capsys.readouterr().err == "error: It was entered.\n"
    assert run(*command, "--workers", "1") == 0
    assert run(*command, "--ray", "auto") == 0


def specs(folder: Path, out: Path) -> list[batch.Spec]:
    common = batch.Common(out, "inpaint", {"model": "test/gaussian-slow", "steps": 30, "jump_length": 1})
    out.mkdir(exist_ok=True)
    return [entry.spec for entry in batch.read([str(folder)], common) if entry.spec]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such locks")
def test_two_batches_do_not_share_a_folder(tmp_path):
    manifest = batch.Manifest.of(tmp_path)
    manifest.begin([])
    with pytest.raises(EngineError, match="Another batch is writing"):
        batch.Manifest.of(tmp_path).begin([])
    manifest.close()
    batch.Manifest.of(tmp_path).begin([])


@pytest.mark.skipif(os.name == "nt", reason="Windows does not tell which processes there are")
def test_what_a_killed_run_left_half_written_goes(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    left = [tmp_path / f".repaint-{process.pid}-a.png", tmp_path / "deep" / f".repaint-{process.pid}-b.png"]
    mine = tmp_path / f".repaint-{os.getpid()}-c.png"
    (tmp_path / "deep").mkdir()
    for path in (*left, mine):
        path.write_bytes(b"half")
    manifest = batch.Manifest.of(tmp_path)
    manifest.begin(["deep/b.png"])
    manifest.close()
    assert not any(path.exists() for path in left)
    assert mine.exists()


def test_a_state_that_was_lost_is_made_again(tmp_path):
    pictures, out = make(tmp_path / "in", "a"), tmp_path / "out"
    for _ in range(2):
        assert run(pictures, "-o", out, *ALONE, "--save-state", "kept.state") == 0
        (out / "kept-a.state").unlink()


def test_a_cluster_without_a_free_seat_is_waited_for_until_ctrl_c(tmp_path, monkeypatch, caplog):
    """Ray itself is a double in which no actor ever begins."""
    node = {"NodeID": "n", "NodeManagerHostname": "h", "NodeManagerAddress": "a", "Alive": True}
    waits, affinity = [], SimpleNamespace(NodeAffinitySchedulingStrategy=lambda *_arguments: None)
    ray = mock.MagicMock(util=SimpleNamespace(scheduling_strategies=affinity))
    ray.exceptions = SimpleNamespace(RayError=RuntimeError)
    ray.nodes = lambda: [{**node, "Resources": {"CPU": 4.0}}]
    ray.wait = lambda references, timeout: (waits.append(timeout), ([], references))[1]
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr("engine.cluster.enter", lambda *_arguments: "a:1")
    monkeypatch.setattr(on_ray, "QUIET_SECONDS", 0)
    executor = on_ray.OnRay("a:1", stopping=lambda: len(waits) == 5)
    assert list(executor.finished(specs(make(tmp_path / "in", "ab"), tmp_path / "out"))) == []
    assert len(waits) == 5
    assert caplog.messages == [on_ray.FULL]
    assert ray.shutdown.called
