"""The rules by which idle workers get parts of jobs, without a process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bridge_server.client.records import Box, BranchRequest, Model, Order, Step
from bridge_server.job import Job
from bridge_server.jobs import Jobs
from bridge_server.journal import Journal
from bridge_server.pool import sharing
from bridge_server.pool.backend import Limits
from bridge_server.pool.sharing import Sharing
from bridge_server.pool.worker import Part, Worker
from bridge_server.steps import KeptSteps


class Room:
    """So many idle workers of this machine, and no jobs."""

    def __init__(self, tmp_path: Path, count: int, memory_mib: float = 0.0) -> None:
        self.jobs, self.steps = Jobs(Journal(tmp_path)), KeptSteps()
        here: Any = SimpleNamespace(backend=SimpleNamespace(shared=False))
        self.workers = [Worker(number, here, b"", Limits(), lambda *_: None) for number in range(1, count + 1)]
        for worker in self.workers:
            worker.state, worker.device = "ready", "cpu"
            worker.on_models((model("texture"), model("sky")))
        self.given: list[tuple[int, str, int, int]] = []
        self._sharing = Sharing(self.jobs, self, self.steps, self._given)  # type: ignore[arg-type]
        self._sharing._memory_mib = memory_mib

    may_grow = False
    models = property(lambda self: self.workers[0].models)
    size = property(lambda self: len(self.workers))

    def worker(self, number: int) -> Worker | None:
        return next((worker for worker in self.workers if worker.number == number), None)

    def add(self, name: str, client: str = "a", variants: int = 1, origin: Any = None, **options: Any) -> Job:
        order = Order(512, 512, Box(0, 0, 8, 8), options.pop("model", "texture"), "fast", 7, variants, options)
        (self.jobs.journal.spool.incoming).mkdir(parents=True, exist_ok=True)
        return self.jobs.add(name, client, order, False, origin=origin)

    def _given(self, _job: Job, part: Part) -> None:
        number = next(worker.number for worker in self.workers if worker.part == part)
        self.given.append((number, part.job, part.first, part.count))

    def share(self) -> list[tuple[int, str, int, int]]:
        """Who was given what of which job: first variant, how many."""
        self.given.clear()
        self._sharing.give_all()
        return sorted(self.given)


def model(name: str) -> Model:
    return Model(name, name, "family", "", True, False, False, memory_mib=1000, pixel_bytes=1024)


def test_a_job_is_spread_over_all_idle_workers(tmp_path: Path) -> None:
    room = Room(tmp_path, 3)
    room.add("one", variants=4)
    assert room.share() == [(1, "one", 0, 2), (2, "one", 2, 1), (3, "one", 3, 1)]
    assert room.share() == []


@pytest.mark.parametrize(("variants", "parts"), [(2, [1, 1]), (3, [2, 1]), (4, [2, 2]), (7, [4, 3])])
def test_parts_are_of_the_same_size(tmp_path: Path, variants: int, parts: list[int]) -> None:
    room = Room(tmp_path, 2)
    room.add("one", variants=variants)
    assert [count for _, _, _, count in room.share()] == parts


def test_a_single_worker_gets_all_of_it(tmp_path: Path) -> None:
    room = Room(tmp_path, 1)
    room.add("one", variants=5)
    assert room.share() == [(1, "one", 0, 5)]


def test_clients_share_the_workers(tmp_path: Path) -> None:
    room = Room(tmp_path, 4)
    room.add("many", "a", 4)
    room.add("more", "a", 4)
    room.add("few", "b", 2)
    shared = room.share()
    assert sorted(job for _, job, _, _ in shared) == ["few", "few", "many", "many"]
    room.workers[0].part, room.workers[0].state = None, "ready"
    assert [job for _, job, _, _ in room.share()] in (["more"], ["many"]), "nobody else waits"


def test_a_client_with_nothing_in_hand_comes_before_one_with_much(tmp_path: Path) -> None:
    room = Room(tmp_path, 2)
    room.add("long", "a", 8)
    room.share()
    room.add("late", "b", 8)
    room.workers[1].part, room.workers[1].state = None, "ready"
    assert [job for _, job, _, _ in room.share()] == ["late"]


@pytest.mark.parametrize("crashed", [False, True])
def test_an_interrupted_job_comes_first(tmp_path: Path, crashed: bool) -> None:
    room = Room(tmp_path, 1)
    room.add("first", "a")
    second = room.add("second", "b")
    second.crashes = {0: 1} if crashed else {}
    assert [job for _, job, _, _ in room.share()] == ["second" if crashed else "first"]


def test_only_crashes_count_as_attempts(tmp_path: Path) -> None:
    room = Room(tmp_path, 1)
    job = room.add("one")
    for _ in range(3):
        room.jobs.begin(job)
        room.jobs.again(job, hold=False)
    assert job.attempts == 0
    job.crashes = {0: 1}
    room.jobs.begin(job)
    room.jobs.again(job, hold=False)
    assert job.attempts == 1


@pytest.mark.parametrize("may_grow", [False, True])
def test_a_job_that_learns_is_one_part(tmp_path: Path, may_grow: bool) -> None:
    room = Room(tmp_path, 3)
    room.may_grow = may_grow
    room.add("one", variants=7, learn=30)
    assert room.share() == [(1, "one", 0, 7)]


def test_what_is_left_of_a_job_that_learns_does_not_run_beside_it(tmp_path: Path) -> None:
    room = Room(tmp_path, 3)
    room.add("one", variants=4, learn=30).finished[1] = None  # type: ignore[assignment]
    assert room.share() == [(1, "one", 0, 1)]


def test_a_worker_that_has_the_model_loaded_is_preferred_and_one_without_it_gets_nothing(tmp_path: Path) -> None:
    room = Room(tmp_path, 3)
    room.workers[0].on_models((model("sky"),))
    room.workers[2].loaded = "texture"
    room.add("one", variants=1)
    assert room.share() == [(3, "one", 0, 1)]
    room.add("two", variants=2)
    assert room.share() == [(2, "two", 0, 1)]
    assert room.share() == [], "the rest waits for one that has the model"


def test_a_gpu_goes_before_processors(tmp_path: Path) -> None:
    room = Room(tmp_path, 3)
    room.workers[1].device = "cuda"
    room.add("one", variants=2)
    assert room.share() == [(2, "one", 0, 2)]
    room.workers[1].on_models((model("sky"),))
    room.add("two", variants=2)
    assert room.share() == [(1, "two", 0, 1), (3, "two", 1, 1)]


def test_of_a_model_that_nobody_has_somebody_says_so(tmp_path: Path) -> None:
    room = Room(tmp_path, 2)
    room.add("one", model="unknown")
    assert room.share() == [(1, "one", 0, 1)]


def test_a_model_that_nobody_has_yet_is_waited_for_while_a_worker_starts(tmp_path: Path) -> None:
    room = Room(tmp_path, 2)
    room.workers[0].on_models((model("sky"),))
    room.workers[1].state = "starting"
    room.add("one")
    assert room.share() == []
    room.workers[1].state = "ready"
    assert room.share() == [(2, "one", 0, 1)]


def test_a_branch_waits_for_the_worker_with_its_step(tmp_path: Path) -> None:
    room = Room(tmp_path, 2)
    parent = room.add("parent")
    parent.state = "done"
    room.steps.put(parent, "parent", 0, (Step(5, 5, 5, 5),), worker=2)
    room.workers[1].state, room.workers[1].part = "busy", Part("other", 0, 1)
    room.add("branch", variants=3, origin=BranchRequest("parent", 0, 5))
    assert room.share() == []
    room.workers[1].state, room.workers[1].part = "ready", None
    assert room.share() == [(2, "branch", 0, 3)]


@pytest.mark.parametrize(("memory", "workers"), [(0.0, 3), (10_000.0, 3), (4_000.0, 2), (100.0, 1)])
def test_no_more_parts_at_once_than_memory_allows(tmp_path: Path, memory: float, workers: int) -> None:
    """Each takes 1256 MiB by the forecast, of 80 % of the machine's."""
    room = Room(tmp_path, 3, memory)
    room.add("one", variants=3)
    assert len(room.share()) == workers


@pytest.mark.parametrize(
    ("fields", "workers"), [({}, 3), ({"selected": 512 * 512}, 1), ({"options": {"wrap": "x"}}, 2)]
)
def test_what_is_painted_counts(tmp_path: Path, fields: dict[str, Any], workers: int) -> None:
    """1000 MiB each, and 2048 where all is selected, 512 for a tile; of 3200."""
    room = Room(tmp_path, 3, 4000.0)
    for worker in room.workers:
        worker.on_models((replace(model("texture"), pixel_bytes=0, selected_bytes=8192, tile_bytes=2048),))
    job = room.add("one", variants=3)
    job.order = replace(job.order, **fields)
    assert len(room.share()) == workers


def test_memory_of_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "meminfo"
    path.write_text("MemTotal:        8048576 kB\nMemFree:  1 kB\n")
    assert sharing.memory_mib(str(path)) == pytest.approx(7859.9, abs=0.1)
    assert sharing.memory_mib(str(tmp_path / "none")) == 0.0
