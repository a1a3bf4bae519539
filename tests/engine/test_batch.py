"""``python -m engine batch``: what comes out is what single commands give, once, wherever it runs."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image

from engine import batch, version
from engine.batch import local, on_ray
from engine.commands import cli
from engine.errors import EngineError
from tests.engine import dying

GAUSSIAN = ["--model", "test/gaussian", "--steps", "3", "--jump-length", "1", "--jump-samples", "1"]
ALONE = [*GAUSSIAN, "--workers", "1"]
SLOW = ["--model", "test/gaussian-slow", "--steps", "30", "--jump-length", "1", "--jump-samples", "1"]


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


@pytest.mark.slow
def test_not_one_pixel_changes_with_the_number_of_workers(tmp_path):
    """The network sums in another order with another number of threads; a worker has as many as ever."""
    pictures = make(tmp_path / "in", "ab")
    for workers in ("1", "2"):
        more = ["--model", "texture", "--steps", "2", "--jump-samples", "1", "--workers", workers]
        process = _process(pictures, "-o", tmp_path / workers, *more)
        assert process.wait() == 0
    assert results(tmp_path / "1") == results(tmp_path / "2")


def specs(folder: Path, out: Path) -> list[batch.Spec]:
    common = batch.Common(out, "inpaint", {"model": "test/gaussian-slow", "steps": 30, "jump_length": 1})
    out.mkdir(exist_ok=True)
    return [entry.spec for entry in batch.read([str(folder)], common) if entry.spec]


@pytest.mark.slow
def test_a_dead_process_costs_its_job_a_second_run_only(tmp_path):
    jobs = specs(make(tmp_path / "in", "abcdef"), tmp_path / "out")
    numbers = []
    for outcome in batch.Local(2).finished(jobs):
        assert not outcome.code, outcome.sentence
        numbers.append(outcome.number)
        if len(numbers) == 2:
            victim = local.multiprocessing.active_children()[0]
            os.kill(victim.pid, signal.SIGKILL)
    assert sorted(numbers) == list(range(6))
    assert len(results(tmp_path / "out")) == 6
    assert not list((tmp_path / "out").glob(".repaint-*"))
    for job in jobs[:2]:  # and to the same pixels
        before = Path(job.output).read_bytes()
        (outcome,) = batch.Local(1).finished([job])
        assert not outcome.code
        assert Path(job.output).read_bytes() == before


@pytest.mark.slow
def test_a_job_that_kills_its_process_twice_is_a_failure(tmp_path, monkeypatch):
    jobs = specs(make(tmp_path / "in", "ab"), tmp_path / "out")
    monkeypatch.setattr(local, "_work", _dies_over_a)
    found = {outcome.number: outcome.code for outcome in batch.Local(2).finished(jobs)}
    assert found == {0: "worker_died", 1: ""}


def test_processes_that_cannot_live_end_the_batch(tmp_path, monkeypatch):
    jobs = specs(make(tmp_path / "in", "abcdefgh"), tmp_path / "out")
    monkeypatch.setattr(local, "_work", dying.at_once)
    monkeypatch.setattr(local, "HOPELESS", 3)
    with pytest.raises(EngineError, match="ended with status 9"):
        list(batch.Local(2).finished(jobs))
    assert not local.multiprocessing.active_children()


def _dies_over_a(pipe, _device):
    while True:
        try:
            spec = pipe.recv()
        except EOFError:
            return
        if spec.number == 0:
            os._exit(9)
        pipe.send(batch.Outcome(spec.number))


def _process(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "engine", "batch", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _wait_for(what, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.skipif(os.name == "nt", reason="Windows has another Ctrl+C")
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.slow
def test_ctrl_c(tmp_path, workers, times):
    """Once: what is in progress is finished. Twice: at once. No result is half there; the same command goes on."""
    pictures, out = make(tmp_path / "in", "abcdefgh"), tmp_path / "out"
    command = [pictures, "-o", out, "--workers", workers, *SLOW]
    process = _process(*command)
    _wait_for(lambda: list(out.glob("*.png")))
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    told, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert said.splitlines()[0] == "Finishing the jobs in progress; Ctrl+C again stops at once."
    assert said.splitlines()[-1] == "Cancelled; the same command goes on where this ended."
    made = results(out)
    assert 0 < len(made) < 8
    for name in made:
        Image.open(out / name).load()
    assert not list(out.glob(".repaint-*"))
    assert told.startswith(f"{len(made)} of 8 jobs done") or times == 2
    assert run(*command) == 0
    assert len(results(out)) == 8
    assert all(results(out)[name] == made[name] for name in made)


@pytest.fixture
def disk(tmp_path: Path):
    """A real file system of 128 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(place)]
    if os.name == "nt" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.slow
def test_a_disk_that_is_full_in_the_middle(tmp_path, disk, workers, capsys):
    pictures = make(tmp_path / "in", "abcdefgh", 100)
    command = [pictures, "-o", disk, "--workers", workers, *GAUSSIAN]
    assert run(*command) == 3
    said = capsys.readouterr()
    assert said.err.splitlines()[-1].startswith("error: ")
    assert "disk is full" in said.err
    made = results(disk)
    assert 0 < len(made) < 8
    for name in made:
        Image.open(disk / name).load()
    subprocess.run(["mount", "-o", "remount,size=2m", str(disk)], check=True)
    assert run(*command) == 0
    assert len(results(disk)) == 8
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    capsys.readouterr()
    assert run(*command, "--again") == 2
    assert "cannot be written to; choose another" in capsys.readouterr().err


@pytest.mark.slow
def test_a_dry_run_tells_and_writes_nothing(tmp_path, capsys):
    pictures, out = make(tmp_path / "in", "abcd"), tmp_path / "out"
    assert run(pictures, "-o", out, "--workers", "2", "--dry-run", "--json", *SLOW) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["jobs"] == 4
    assert len(told["tried"]) >= 3
    assert all(0.6 <= each < 6 for each in told["tried"])
    assert told["seconds"] == pytest.approx(2 * np.mean(told["tried"]), abs=1)
    assert told["disk_mib"] > 0
    assert not out.exists()
    assert run(pictures, "-o", out, "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines[1:]] == ["time", "disk", "memory"]


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


@pytest.mark.slow
def test_bench_batch(tmp_path, capsys):
    command = ["bench", "batch", "--out", str(tmp_path / "bench"), "--json"]
    assert cli.main([*command, "--jobs", "0", "--tiny", "30"]) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert [row["workers"] for row in rows] == [1, 1, 1, 2, 2, 2]
    assert all(row["wall_s"] > 0 for row in rows)
    assert all(0 < row["main_s"] <= row["processor_s"] + 0.02 for row in rows)
    assert rows[4]["late_mib"] > rows[1]["late_mib"] > 100
    assert (tmp_path / "bench" / "batch.csv").read_text(encoding="utf-8").count("\n") == 7
    assert cli.main(command) == 2
    assert "is there already" in capsys.readouterr().err
    assert cli.main([*command[:3], str(tmp_path / "new"), "--jobs", "7"]) == 2


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
