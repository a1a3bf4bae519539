"""Two workers behind one bridge: variants are shared out, and no pixel tells."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge_server.client import events, launch
from bridge_server.client.records import BranchRequest
from bridge_server.pool import machine
from tests.bridge.home import BRIDGE, FAST, PLAIN_RUN, SLOW, Home, Watched, alive, request, until
from tests.promises import Tried

LONG = {"model": SLOW, "options": PLAIN_RUN}


@pytest.fixture(scope="module")
def two() -> Iterator[Home]:
    one = Home("--idle-seconds", "900", "--workers", "2")
    one.leave()
    try:
        yield one
    finally:
        one.enter()
        one.close()


@contextlib.contextmanager
def both_idle(home: Home) -> Iterator[None]:
    """Within, it is this process's home, with two idle workers."""
    home.enter()
    try:
        home.ready()
        until(lambda: len(workers(home)) == 2 and home.status().engine == "ready", "two idle workers", pause=0.1)
        yield
    finally:
        home.hang_up()
        home.leave()


@pytest.fixture
def pool(two: Home) -> Iterator[Home]:
    with both_idle(two):
        yield two


def bridge_log(home: Home) -> str:
    return (home.state / "logs" / "bridge.log").read_text()


def workers(home: Home) -> dict[int, int]:
    """The pids of the workers that live and are ready, by the numbers that the pool gave them."""
    text = bridge_log(home).rpartition("listens\n")[2]  # the present bridge's
    found = re.findall(r"worker (\d+) of local \d, process (\d+), has joined", text)
    ready = set(re.findall(r"worker (\d+) is ready", text))
    return {int(number): int(pid) for number, pid in found if number in ready and alive(int(pid))}


def parts(home: Home, job: str) -> list[tuple[int, int, int]]:
    """Count, first variant and worker's number of each part of a job that was given out."""
    found = re.findall(rf"job {job}: (\d+) variants from (\d+) to worker (\d+)", bridge_log(home))
    return [(int(count), int(first), int(worker)) for count, first, worker in found]


def two_parts(home: Home, watched: Watched, progress: int) -> str:
    """A job of two long variants, each with a worker, after so many messages of progress."""
    job = watched.session.submit(request(SLOW, variants=2, options={**PLAIN_RUN, "steps": 200}))
    until(lambda: len(parts(home, job)) == 2, "both are at work")
    watched.wait(job, events.Progress, count=progress)
    return job


def pixels(watched: Watched, job: str) -> list[tuple[int, int, bytes]]:
    results = sorted(watched.of(job, events.Result), key=lambda result: result.variant)
    return [(result.variant, result.seed, result.rgba) for result in results]


@pytest.mark.parametrize("variants", [2, 3, 4])
@pytest.mark.parametrize("model", [FAST, "exemplar"])
def test_variants_are_shared_and_the_pixels_are_those_of_one_worker(
    shared: Home, two: Home, variants: int, model: str
) -> None:
    what = request(model, side=60, variants=variants, options={"steps": 12, "jump_length": 4, "jump_samples": 2})
    watched = shared.session()
    job = watched.session.submit(what)
    assert isinstance(watched.end(job), events.Done)
    alone = pixels(watched, job)
    assert [(count, first) for count, first, _ in parts(shared, job)] == [(variants, 0)], "one worker runs all of it"
    shared.hang_up()
    with both_idle(two):
        watched = two.session()
        job = watched.session.submit(what)
        assert isinstance(watched.end(job), events.Done)
        assert pixels(watched, job) == alone
        given = parts(two, job)
        assert sum(count for count, _, _ in given) == variants
        assert len({worker for _, _, worker in given}) == 2
        watched.check_ends()


def test_two_workers_take_half_the_time(pool: Home) -> None:
    watched = pool.session()
    began = time.monotonic()
    job = watched.session.submit(request(**LONG))
    watched.end(job)
    one = time.monotonic() - began
    began = time.monotonic()
    job = watched.session.submit(request(**LONG, variants=2))
    watched.end(job)
    assert time.monotonic() - began < 1.5 * one  # one worker would need twice as long


def test_progress_of_all_parts_never_goes_back_and_previews_of_both_come(pool: Home) -> None:
    watched = pool.session()
    job = watched.session.submit(request(**LONG, variants=4))
    watched.end(job)
    done = dict.fromkeys(range(4), 0)
    for event in watched.of(job, events.Progress):
        assert event.call >= done[event.variant]
        done[event.variant] = event.call
    assert set(done.values()) == {PLAIN_RUN["steps"]}
    assert {event.variant for event in watched.of(job, events.Preview)} == {0, 1, 2, 3}
    left = [event.seconds_left for event in watched.of(job, events.Progress) if event.seconds_left >= 0]
    assert left[len(left) // 2] > left[-1]


@pytest.mark.promise(1)
def test_a_dead_worker_costs_only_its_variants(pool: Home, tried: Tried) -> None:
    undisturbed = [(r.variant, r.seed, r.rgba) for r in pool.session().run(request(**LONG, variants=4))]
    for number in tried.rounds(1, 20):
        if number % 4 == 3:
            pool.kill()  # another bridge has seen no crash yet
            pool.ready()
        until(lambda: len(workers(pool)) == 2, "two idle workers", pause=0.1)
        kill_one(pool, number, undisturbed)
        pool.hang_up()


def kill_one(pool: Home, number: int, undisturbed: list[tuple[int, int, bytes]]) -> None:
    watched = pool.session()
    job = watched.session.submit(request(**LONG, variants=4))
    until(lambda: len(parts(pool, job)) == 2, "both are at work")
    watched.wait(job, events.Progress, count=20)
    _, first, worker = parts(pool, job)[number % 2]
    os.kill(workers(pool)[worker], signal.SIGKILL)
    assert isinstance(watched.end(job), events.Done)
    assert pixels(watched, job) == undisturbed
    again = parts(pool, job)[2:]
    assert {variant for count, start, _ in again for variant in range(start, start + count)} == {first, first + 1}
    assert not watched.all(events.EngineDown), "the others go on"
    assert len(watched.all(events.Notice)) == 1
    calls: dict[int, int] = {}
    for event in watched.of(job, events.Progress):
        assert event.call >= calls.get(event.variant, 0)
        calls[event.variant] = event.call
    watched.check_ends()


def test_a_part_that_kills_two_workers_ends_its_job_and_no_other(pool: Home) -> None:
    watched = pool.session()
    job = watched.session.submit(request(SLOW, variants=1, options={**PLAIN_RUN, "steps": 200}))
    other = watched.session.submit(request(SLOW, variants=1, options={**PLAIN_RUN, "steps": 200}, seed=5))
    for kill in range(2):
        given = until(lambda kill=kill: (parts(pool, job) + [None] * 2)[kill], "it has a worker")
        watched.wait(job, events.Progress, count=len(watched.of(job, events.Progress)) + 1)  # it is at work
        os.kill(workers(pool)[given[2]], signal.SIGKILL)
    end = watched.end(job)
    assert isinstance(end, events.Failed)
    assert end.code == "engine_crashed"
    assert isinstance(watched.end(other), events.Done)
    watched.check_ends()


def test_a_job_of_many_variants_does_not_keep_another_client_waiting(pool: Home) -> None:
    many, few = pool.session("many"), pool.session("few")
    until(lambda: many.all(events.Connected) and few.all(events.Connected), "both are here")
    jobs = [many.session.submit(request(**LONG, variants=4, seed=100 + number)) for number in range(3)]
    many.wait(jobs[0], events.Progress)
    one = few.session.submit(request(**LONG))
    assert isinstance(few.end(one), events.Done)
    assert not [job for job in jobs[1:] if many.of(job, *events.TERMINAL)], "it did not wait for the whole queue"
    both = few.session.submit(request(**LONG, variants=2))
    few.wait(both, events.Progress)
    assert len({worker for _, _, worker in parts(pool, both)}) == 1, "it leaves the other worker to the other client"
    for job in jobs:
        assert isinstance(many.end(job), events.Done)
    assert isinstance(few.end(both), events.Done)


def test_branches_go_to_the_worker_that_keeps_the_step(pool: Home) -> None:
    watched = pool.session()
    parent = watched.session.submit(request(**LONG, variants=2))
    watched.end(parent)
    results = pixels(watched, parent)
    owner = {first: worker for _, first, worker in parts(pool, parent)}
    assert len(set(owner.values())) == 2
    for variant in (0, 1):
        steps = [event for event in watched.of(parent, events.Steps) if event.variant == variant][-1].steps
        step = steps[len(steps) // 2]
        branch = watched.session.branch(BranchRequest(parent, variant, step.call))
        assert isinstance(watched.end(branch), events.Done)
        assert [worker for _, _, worker in parts(pool, branch)] == [owner[variant]]
        assert [rgba for _, _, rgba in pixels(watched, branch)] == [results[variant][2]]
        watched.session.look(parent, variant, step.call)
        until(lambda v=variant: any(e.variant == v for e in watched.of(parent, events.StepView)), "a look")
    os.kill(workers(pool)[owner[1]], signal.SIGKILL)
    gone = until(lambda: [e for e in watched.of(parent, events.Steps) if e.variant == 1 and not e.steps], "gone steps")
    assert gone
    assert [event for event in watched.of(parent, events.Steps) if event.variant == 0][-1].steps, "the other's stay"
    steps = [event for event in watched.of(parent, events.Steps) if event.variant == 0][-1].steps
    branch = watched.session.branch(BranchRequest(parent, 0, steps[0].call))
    assert isinstance(watched.end(branch), events.Done)
    lost = watched.session.branch(BranchRequest(parent, 1, steps[0].call))
    end = watched.end(lost)
    assert isinstance(end, events.Failed)
    assert end.code == "state_gone"


def test_a_cancel_stops_all_parts(pool: Home) -> None:
    watched = pool.session()
    job = two_parts(pool, watched, 10)
    watched.session.cancel(job)
    assert isinstance(watched.end(job), events.Cancelled)
    status = until(lambda: (s := pool.status()).engine == "ready" and s, "both are idle", patience=3.0)
    assert 0 <= status.calls_after_cancel <= 1
    assert len(watched.run(request(variants=4))) == 4
    watched.check_ends()


def test_stopping_keeps_what_there_is_of_all_parts(pool: Home) -> None:
    watched = pool.session()
    job = two_parts(pool, watched, 30)
    watched.session.keep(job)
    assert isinstance(watched.end(job), events.Done)
    results = watched.of(job, events.Result)
    assert sorted(result.variant for result in results) == [0, 1]
    assert all(result.unfinished for result in results)


def test_stopping_keeps_what_there_is_although_a_worker_dies(pool: Home) -> None:
    watched = pool.session()
    job = two_parts(pool, watched, 30)
    victim = workers(pool)[parts(pool, job)[1][2]]
    os.kill(victim, signal.SIGSTOP)
    watched.session.keep(job)
    watched.wait(job, events.Result)
    os.kill(victim, signal.SIGKILL)
    assert isinstance(watched.end(job), events.Done)
    assert len(watched.of(job, events.Result)) == 1
    assert len(parts(pool, job)) == 2, "nothing is begun again"


def test_a_worker_that_crashes_again_and_again_stays_off_and_the_other_goes_on(home: Home) -> None:
    home.arguments += ["--workers", "2"]
    launch.write_launch_file(sys.executable, home.arguments, home.state)
    home.ready()
    until(lambda: len(workers(home)) == 2, "two workers")
    watched = home.session()
    until(lambda: watched.all(events.Connected), "a connection")
    stays = min(workers(home))
    for crash in range(5):
        victim = until(lambda: max(workers(home)) if len(workers(home)) == 2 else 0, "another one", pause=0.05)
        os.kill(workers(home)[victim], signal.SIGKILL)
        until(lambda crash=crash: len(watched.all(events.Notice)) == crash + 1, "the news")
    assert "stays off" in watched.all(events.Notice)[-1].sentence
    assert len(watched.run(request(variants=2))) == 2
    assert list(workers(home)) == [stays]
    watched.session.restart_engine()
    until(lambda: len(workers(home)) == 2, "the other one again", pause=0.1)


def test_the_number_of_workers_is_remembered(home: Home) -> None:
    def said(*arguments: str) -> tuple[int, str]:
        done = subprocess.run([sys.executable, BRIDGE, "workers", *arguments], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    alone = f"{machine.workers()} (by itself; GPUs: {len(machine.gpus())}), when the bridge starts next\n"
    assert said() == (0, alone)
    assert said("3") == (0, "3 (as set), when the bridge starts next\n")
    assert said("0")[0] == 2
    home.ready()
    until(lambda: len(workers(home)) == 3, "three workers", pause=0.1)
    Path(home.path / "config" / "bridge.json").write_text("{not json")
    assert said()[1].startswith(alone)
    assert said("auto")[0] == 0
