"""What Ray costs and what it survives, in minutes, as root: ``python -m tests.ray.measure overhead|tiny|kills [COUNT]``

overhead   jobs of two seconds, which sleep: a bare loop and one actor in turns, and how long the first result takes
tiny       COUNT (10 000) jobs of the test model through two actors: jobs a second, and memory as they go
kills      COUNT (20) times 200 jobs on four nodes, in turn with an actor, a raylet and the head killed by kill -9;
           each job's result must be there exactly once and right. After the head's death the batch is run again, as
           ``python -m engine batch`` would, for what is not done.
"""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from tests.ray.cluster import TOKEN, Loopback, Nodes, cluster

FOLDER = Path(tempfile.mkdtemp(prefix="ray-measure-"))
os.environ["REPAINT_BRIDGE_TEST_MODELS"] = "1"
os.environ["REPAINT_BRIDGE_HOME"] = str(FOLDER / "home")
os.environ.update(TOKEN)

from engine.batch import Models, Outcome, Spec, run  # noqa: E402
from engine.batch.on_ray import OnRay  # noqa: E402
from engine.errors import EngineError  # noqa: E402

SLOW = {"model": "test/gaussian-slow", "steps": 100, "jump_length": 100, "jump_samples": 1}  # 100 calls of 20 ms
TINY = {"model": "test/gaussian", "steps": 2, "jump_length": 2, "jump_samples": 1}
SHORT = {"model": "test/gaussian-slow", "steps": 5, "jump_length": 5, "jump_samples": 1}


def jobs(name: str, count: int, options: dict[str, object]) -> list[Spec]:
    noise, hole = np.random.default_rng(3).integers(0, 256, (32, 32, 3), np.uint8), np.zeros((32, 32), np.uint8)
    hole[10:22, 10:22] = 255
    cv2.imwrite(str(FOLDER / "picture.png"), noise)
    cv2.imwrite(str(FOLDER / "mask.png"), hole)
    (FOLDER / name).mkdir(exist_ok=True)
    named = [str(FOLDER / "picture.png"), str(FOLDER / "mask.png")]
    return [Spec(n, "inpaint", *named, str(FOLDER / name / f"{n}.png"), n, options) for n in range(count)]


def overhead(count: int = 20) -> None:
    models, bare, through = Models(), [], []
    run(jobs("warm", 1, SLOW)[0], models)
    with cluster() as nodes:
        nodes.add()
        began = time.monotonic()
        outcomes = OnRay(nodes.address).finished(jobs("ray", count + 1, SLOW))
        next(outcomes)
        print(f"first result after {time.monotonic() - began:.1f} s")
        for job in jobs("bare", count, SLOW):  # in turns: a busy neighbour disturbs both alike
            began = time.monotonic()
            run(job, models)
            between = time.monotonic()
            next(outcomes)
            bare.append(between - began)
            through.append(time.monotonic() - between)
        outcomes.close()
    for what, seconds in (("bare", bare), ("Ray", through)):
        print(f"{what}: median {statistics.median(seconds):.3f} s a job, mean {statistics.mean(seconds):.3f} s")
    print(f"overhead {100 * (statistics.median(through) / statistics.median(bare) - 1):+.1f} %")


def tiny(count: int = 10_000) -> None:
    models, few = Models(), jobs("bare", 300, TINY)
    run(few[0], models)
    began = time.monotonic()
    for job in few:
        run(job, models)
    print(f"bare loop: {len(few) / (time.monotonic() - began):.1f} jobs/s")
    with cluster() as nodes:
        nodes.add()
        nodes.add()
        for done, outcome in enumerate(OnRay(nodes.address).finished(jobs("tiny", count, TINY)), 1):
            assert not outcome.code, outcome
            if done == 20:
                began = time.monotonic()
            if done % (count // 10) == 0:
                rate = (done - 20) / (time.monotonic() - began)
                print(f"{done:6} jobs, {rate:.1f} jobs/s, MiB: {memory()}", flush=True)


def memory() -> dict[str, int]:
    """Resident MiB by kind of process, of this namespace's Ray and this driver."""
    found: dict[str, int] = {}
    for stat in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = stat.read_text().replace("\0", " ")
            pages = int((stat.parent / "statm").read_text().split()[1])
        except (OSError, IndexError):
            continue
        kinds = [kind for kind in ("gcs_server", "raylet/raylet", "ray::Painter") if kind in words]
        kind = "driver" if int(stat.parent.name) == os.getpid() else (kinds[0] if kinds else "")
        if kind:
            found[kind] = max(found.get(kind, 0), pages * os.sysconf("SC_PAGESIZE") >> 20)
    return found


def kills(rounds: int = 20) -> None:
    here = [run(job, models).files for models in [Models()] for job in jobs("here", 200, SHORT)]
    right = [next(iter(files.values())) for files in here]
    for number in range(rounds):
        kind = ("actor", "raylet", "head")[number % 3]
        began = time.monotonic()
        seen = _one_round(kind, random.Random(number))
        twice = [n for n in seen if len(seen[n]) != 1]
        wrong = [n for n in seen if [next(iter(each.files.values()), "") for each in seen[n]] != [right[n]]]
        told = f"{number + 1:3} {kind:7} results {len(seen)} of 200, twice {len(twice)}, wrong {len(wrong)}"
        print(f"{told}, {time.monotonic() - began:.0f} s", flush=True)
        assert len(seen) == 200
        assert not twice
        assert not wrong


def _one_round(kind: str, chance: random.Random) -> dict[int, list[Outcome]]:
    """The outcomes by the numbers of their jobs."""
    seen: dict[int, list[Outcome]] = {}
    todo = jobs("there", 200, SHORT)
    victim = chance.randrange(20, 180)
    while todo:
        with cluster() as nodes:
            added = [nodes.add() for _ in range(4)]
            try:
                for outcome in _outcomes(nodes.address, todo):
                    seen.setdefault(outcome.number, []).append(outcome)
                    if sum(map(len, seen.values())) == victim:
                        _kill(nodes, kind, added[chance.randrange(4)])
            except EngineError as error:
                print(f"    after {len(seen)} jobs: {error.sentence}", flush=True)
        todo = [job for job in todo if job.number not in seen]
    return seen


def _outcomes(address: str, todo: list[Spec]) -> Iterator[Outcome]:
    """Through a driver in a process of its own: one that loses its cluster may be ended by Ray."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        with open(writing, "w") as out:
            try:
                for outcome in OnRay(address).finished(todo):
                    out.write(json.dumps(vars(outcome)) + "\n")
                    out.flush()
            except EngineError as error:
                out.write(json.dumps({"error": error.sentence}) + "\n")
        os._exit(0)
    os.close(writing)
    with open(reading) as told:
        for line in told:
            found = json.loads(line)
            if "error" in found:
                os.waitpid(pid, 0)
                raise EngineError("ray", found["error"])
            yield Outcome(**found)
    if os.waitpid(pid, 0)[1]:
        raise EngineError("ray", "Ray has ended the driver.")


def _kill(nodes: Nodes, kind: str, number: int) -> None:
    if kind == "actor":
        found = [int(p.parent.name) for p in Path("/proc").glob("[0-9]*/cmdline") if "ray::Painter" in p.read_text()]
        os.kill(random.choice(found), signal.SIGKILL)
    elif kind == "raylet":
        os.kill(nodes.pids(number)["raylet"][0], signal.SIGKILL)
    else:
        os.kill(nodes.pids(0)["gcs_server"][0], signal.SIGKILL)


if __name__ == "__main__":
    Loopback().enter()
    {"overhead": overhead, "tiny": tiny, "kills": kills}[sys.argv[1]](*map(int, sys.argv[2:3]))
