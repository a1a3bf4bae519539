"""A batch in a Ray cluster: the same pixels as here, each job once, and a sentence for whatever is not right."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from engine.batch import Models, Spec, run
from engine.batch.on_ray import Painter
from tests.ray.cluster import ROOT, Nodes

JOBS = 12


@pytest.fixture
def jobs(tmp_path: Path) -> list[Spec]:
    noise, hole = np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8)
    hole[20:44, 20:44] = 255
    cv2.imwrite(str(tmp_path / "picture.png"), noise)
    cv2.imwrite(str(tmp_path / "mask.png"), hole)
    named = [str(tmp_path / name) for name in ("picture.png", "mask.png")]
    options = {"model": "test/gaussian-slow", "steps": 10}
    return [Spec(n, "inpaint", *named, str(tmp_path / f"out-{n}.png"), 100 + n, options) for n in range(JOBS)]


def through_ray(address: str, jobs: list[Spec], then: str = "") -> list[dict[str, Any]]:
    """Outcomes, or one error, in a driver of its own; ``then`` is done for each outcome ``o``, with the executor."""
    code = textwrap.dedent(
        """
        import dataclasses, json, os, sys
        from engine.batch import Spec
        from engine.batch.on_ray import OnRay
        from engine.errors import EngineError
        def say(**fields): print("said " + json.dumps(fields), flush=True)
        try:
            executor = OnRay(sys.argv[1])
            for o in executor.finished(Spec(**each) for each in json.load(sys.stdin)):
                say(**dataclasses.asdict(o))
                %s
        except EngineError as error:
            say(error=error.code, sentence=error.sentence)
        """
    )
    told = json.dumps([vars(job) for job in jobs])
    command = [sys.executable, "-c", code % (then or "pass"), address]
    done = subprocess.run(command, input=told, capture_output=True, text=True, cwd=ROOT, timeout=120)
    said = [json.loads(line[5:]) for line in done.stdout.splitlines() if line.startswith("said ")]
    assert said, done.stderr
    return said


def test_a_batch_through_ray_has_the_same_pixels_and_a_killed_worker_costs_nothing(nodes: Nodes, jobs: list[Spec]):
    here = [run(job, Models()).files[job.output] for job in jobs]
    for job in jobs:
        Path(job.output).unlink()
    kill = "import ray; o.number == 4 and ray.kill(next(iter(executor._actors.values())))"
    outcomes = through_ray(nodes.address, jobs, kill)
    assert sorted(each["number"] for each in outcomes) == list(range(JOBS))
    there = {each["number"]: each["files"] for each in outcomes}
    assert [there[job.number][job.output] for job in jobs] == here


def test_a_batch_whose_node_dies_goes_on_with_the_others(nodes: Nodes, jobs: list[Spec]):
    number = nodes.add()
    (raylet,) = nodes.pids(number)["raylet"]
    outcomes = through_ray(nodes.address, jobs, f"o.number == 3 and os.kill({raylet}, {signal.SIGKILL:d})")
    assert sorted(each["number"] for each in outcomes) == list(range(JOBS))
    assert not [each for each in outcomes if each["code"]]


def test_a_job_that_cannot_be_run_stands_with_its_sentence(nodes: Nodes, jobs: list[Spec]):
    Path(jobs[0].mask or "").unlink()
    (outcome,) = through_ray(nodes.address, jobs[:1])
    assert outcome["code"] == "no_file"
    assert "mask.png" in outcome["sentence"]
    assert not Path(jobs[0].output).exists()


def test_a_node_without_the_model_leaves_the_job_to_others(jobs: list[Spec]):
    for model in ("no/such/folder", "sd15"):
        assert Painter().run(jobs[0], model, "its digest") is None
    assert Painter().run(jobs[0], "test/gaussian-slow", "test/gaussian-slow").files
