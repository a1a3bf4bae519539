"""``python -m engine batch`` in several processes: the same pixels, deaths, Ctrl+C, a full disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from PIL import Image

from engine import batch
from engine.batch import local
from engine.commands import cli
from engine.errors import EngineError
from tests.engine import dying
from tests.engine.test_batch import GAUSSIAN, make, results, run, specs

SLOW = ["--model", "test/gaussian-slow", "--steps", "30", "--jump-length", "1", "--jump-samples", "1"]


def test_not_one_pixel_changes_with_the_number_of_workers(tmp_path):
    """The network sums in another order with another number of threads; a worker has as many as ever."""
    pictures = make(tmp_path / "in", "ab")
    for workers in ("1", "2"):
        more = ["--model", "texture", "--steps", "2", "--jump-samples", "1", "--workers", workers]
        process = _process(pictures, "-o", tmp_path / workers, *more)
        assert process.wait() == 0
    assert results(tmp_path / "1") == results(tmp_path / "2")


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


def _process(*arguments: str | Path, stderr: IO[str] | int = subprocess.PIPE) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "engine", "batch", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)


def _wait_for(what, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.skipif(os.name == "nt", reason="Windows has another Ctrl+C")
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c(tmp_path, workers, times):
    """Once: what is in progress is finished. Twice: at once. No result is half there; the same command goes on."""
    pictures, out = make(tmp_path / "in", "abcdefgh"), tmp_path / "out"
    command = [pictures, "-o", out, "--workers", workers, *SLOW]
    log = tmp_path / "said"
    with log.open("w", encoding="utf-8") as stream:
        process = _process(*command, stderr=stream)
    _wait_for(lambda: list(out.glob("[!.]*.png")))  # a whole one: what is being written has a dot in front
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        _wait_for(lambda: "Ctrl+C again" in log.read_text(encoding="utf-8"))
    told, _ = process.communicate(timeout=60)
    said = log.read_text(encoding="utf-8")
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert said.splitlines()[0] == "Finishing the jobs in progress; Ctrl+C again stops at once."
    assert said.splitlines()[-1] == "Cancelled; run the same command to continue."
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
