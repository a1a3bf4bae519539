"""A bridge paints with a box: real processes on loopback, and roads that break."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from bridge_server.client import events
from bridge_server.client.records import BranchRequest
from tests.box.conftest import Pair
from tests.box.road import Box, command
from tests.bridge.home import PLAIN_RUN, SLOW, Home, Watched, alive, request, until

LONG = {"model": SLOW, "options": {**PLAIN_RUN, "steps": 100, "jump_length": 100}}  # 2 s
ENDLESS = {"steps": 1000, "jump_length": 10, "jump_samples": 20}  # 6 minutes: no test takes as long


def release(pair: Pair, watched: Watched) -> None:
    watched.session.cancel(pair.busy)
    assert isinstance(watched.end(pair.busy), events.Cancelled)


def rgba(results: list[events.Result]) -> list[bytes]:
    return [result.rgba for result in results]


def undisturbed(pair: Pair, watched: Watched, variants: int = 1) -> list[bytes]:
    """What a long job paints when nothing happens to it."""
    key = str(variants)
    if key not in pair.undisturbed:
        pair.undisturbed[key] = rgba(watched.run(request(**{**LONG, "variants": variants})))
    return pair.undisturbed[key]


def on_box(pair: Pair, job: str) -> int:
    """How many parts of the job went to workers of the box."""
    log = pair.home.log()
    numbers = [
        line.split("worker ")[1].split()[0] for line in log.splitlines() if "of box 0" in line and "joined" in line
    ]
    parts = [line for line in log.splitlines() if f"job {job}:" in line and " to worker " in line]
    return sum(line.rsplit(" ", 1)[1] in numbers for line in parts)


def begun(pair: Pair, watched: Watched, **fields: object) -> str:
    """A job that the box has begun to run, for the worker here is busy; ``release`` makes that one idle."""
    pair.busy = watched.session.submit(request(SLOW, options={**PLAIN_RUN, **ENDLESS}))
    watched.wait(pair.busy, events.Progress)
    job = watched.session.submit(request(**{**LONG, **fields}))
    watched.wait(job, events.Progress, count=3)
    assert on_box(pair, job) == 1
    return job


@pytest.mark.parametrize("own_pair", [2], indirect=True)
def test_two_workers_of_a_box_paint_the_same_pixels_and_its_log_says_nothing_of_them(own_pair: Pair) -> None:
    own_pair.home.ready()
    watched = own_pair.home.session()
    here = watched.run(request(SLOW, options=PLAIN_RUN, variants=3))
    own_pair.connect()
    job = watched.session.submit(request(SLOW, options=PLAIN_RUN, variants=3, tag="/home/zoe/wedding.kra"))
    assert isinstance(watched.end(job), events.Done)
    there = sorted(watched.of(job, events.Result), key=lambda result: result.variant)
    assert rgba(there) == rgba(here)
    assert on_box(own_pair, job) == 2
    bad = watched.session.submit(request(SLOW, options={"prompt": "a secret wedding", "guidance": "loud"}))
    assert isinstance(watched.end(bad), events.Failed)
    told = own_pair.box.log() + "".join(own_pair.box.lines)
    assert "serves" in told
    for word in ("wedding", "zoe", ".kra", "/home", "prompt", str(own_pair.home.path)):
        assert word not in told
    steps = watched.of(job, events.Steps)
    assert steps, "steps are kept on the box"
    workers = own_pair.box.workers()
    environ = Path(f"/proc/{workers[1]}/environ").read_text().split("\0")
    learned = own_pair.box.home / "state" / "box" / "1" / "learned"
    assert f"REPAINT_BRIDGE_LEARNED={learned}" in environ
    learned.mkdir()
    (learned / "picture.safetensors").write_bytes(b"of a picture")
    done = command("connect", "--workers", "1", own_pair.box.address, own_pair.box.key)
    assert "1 worker(s)" in done.stdout
    until(lambda: own_pair.home.status().device == "2 × cpu", "one of two workers", pause=0.1)
    assert command("disconnect").returncode == 0
    until(lambda: not any(map(alive, workers)), "the end of the workers that have seen pictures", 10)
    until(lambda: not own_pair.box.kept(), "nothing of them is left", 10)
    assert rgba(watched.run(request(SLOW, options=PLAIN_RUN, variants=3))) == rgba(here)


def test_a_short_cut_is_waited_for_and_the_run_goes_on(pair: Pair) -> None:
    pair.connect()
    watched = pair.home.session()
    expected = undisturbed(pair, watched)
    job = begun(pair, watched)
    pair.road.cut()
    assert "does not answer" in watched.wait(job, events.Note).sentence
    assert "goes on" in watched.wait(job, events.Note, count=2).sentence
    assert isinstance(watched.end(job), events.Done)
    assert rgba(watched.of(job, events.Result)) == expected
    assert on_box(pair, job) == 1, "it was not run again"
    watched.check_ends()


def test_a_half_open_connection_is_noticed_and_replaced(pair: Pair) -> None:
    pair.connect()
    watched = pair.home.session()
    expected = undisturbed(pair, watched)
    job = begun(pair, watched)
    pair.road.stall()
    stalled = time.monotonic()
    assert "does not answer" in watched.wait(job, events.Note).sentence
    assert time.monotonic() - stalled < 6
    assert isinstance(watched.end(job), events.Done)
    assert rgba(watched.of(job, events.Result)) == expected
    assert on_box(pair, job) == 1


def test_a_box_that_stays_away_costs_only_time_and_comes_back_by_itself(pair: Pair) -> None:
    pair.connect()
    watched = pair.home.session()
    expected = undisturbed(pair, watched, 2)
    job = watched.session.submit(request(**LONG, variants=2))
    until(lambda: on_box(pair, job), "a part for the box")
    watched.wait(job, events.Progress, count=3)
    pair.road.blocked = True
    pair.road.cut()
    assert isinstance(watched.end(job), events.Done)
    results = sorted(watched.of(job, events.Result), key=lambda result: result.variant)
    assert rgba(results) == expected
    [notice] = [each for each in watched.all(events.Notice) if "does not answer" in each.sentence]
    assert pair.road.address in notice.sentence
    assert not watched.all(events.EngineDown)
    late = pair.home.session()
    until(lambda: [each for each in late.all(events.Notice) if "does not answer" in each.sentence], "the news")
    pair.road.blocked = False
    pair.wait()
    assert isinstance(watched.end(begun(pair, watched)), events.Done)


def test_a_box_that_dies_and_is_started_again(pair: Pair) -> None:
    pair.connect()
    watched = pair.home.session()
    expected = undisturbed(pair, watched)
    job = begun(pair, watched)
    before = pair.box.workers()
    pair.box.kill()
    release(pair, watched)
    until(lambda: not any(map(alive, before)), "no worker outlives its box", 5)
    pair.box = Box(home=pair.box.home, port=pair.box.port)
    assert isinstance(watched.end(job), events.Done)
    assert rgba(watched.of(job, events.Result)) == expected
    pair.wait()
    assert isinstance(watched.end(begun(pair, watched)), events.Done)


def test_a_worker_that_dies_on_the_box_costs_its_part_once_and_then_the_job(pair: Pair) -> None:
    pair.connect()
    watched = pair.home.session()
    expected = undisturbed(pair, watched)
    job = begun(pair, watched)
    os.kill(pair.box.workers()[0], signal.SIGKILL)
    assert isinstance(watched.end(job), events.Done)
    assert rgba(watched.of(job, events.Result)) == expected
    assert any("stopped unexpectedly" in notice.sentence for notice in watched.all(events.Notice))
    pair.wait()


@pytest.mark.slow
def test_a_slow_road_carries_a_run_and_a_cancel(own_pair: Pair) -> None:
    own_pair.connect()
    watched = own_pair.home.session()
    big = request(SLOW, side=256, options={"steps": 100, "jump_length": 100, "jump_samples": 1})
    expected = rgba(watched.run(big))
    begun(own_pair, watched)
    own_pair.road.rate, own_pair.road.delay = 2e6 / 8, 0.1
    job = watched.session.submit(big)
    assert isinstance(watched.end(job), events.Done)
    assert rgba(watched.of(job, events.Result)) == expected
    assert on_box(own_pair, job) == 1
    job = watched.session.submit(big)
    watched.wait(job, events.Progress, count=2)
    watched.session.cancel(job)
    cancelled = time.monotonic()
    job = watched.session.submit(request(SLOW, options=PLAIN_RUN))
    watched.wait(job, events.Progress)
    assert time.monotonic() - cancelled < 4
    assert on_box(own_pair, job) == 1
    assert not [each for each in watched.all(events.Notice) if "answer" in each.sentence]


def test_who_is_forbidden_is_cut_off(pair: Pair) -> None:
    pair.connect()
    watched = pair.home.session()
    until(lambda: watched.all(events.Connected), "a connection")
    [mine] = {words for line in command("allow", home=pair.box.home).stdout.splitlines() for words in line.split()[:1]}
    assert command("forbid", mine, home=pair.box.home).returncode == 0
    notice = until(lambda: watched.all(events.Notice), "the news")[0]
    assert f"allow {mine}" in notice.sentence
    assert len(watched.run(request())) == 1
    pair.connected = False


def test_a_box_that_cannot_read_whom_it_lets_in_keeps_who_is_here(pair: Pair) -> None:
    pair.connect()
    before, ended = pair.box.workers(), pair.box.log().count("is allowed no more")
    allowed = pair.box.home / "config" / "box" / "allowed.json"
    allowed.write_text("{")
    assert "allowed.json" in pair.box.said("cannot be read")
    time.sleep(2.5)
    assert sum("allowed.json" in line for line in pair.box.lines) == 1
    assert pair.box.workers() == before
    assert pair.box.log().count("is allowed no more") == ended
    allowed.write_text("{}")
    until(lambda: pair.box.log().count("is allowed no more") > ended, "the end of the session")
    pair.connected = False


def test_an_end_in_order_leaves_no_worker_and_no_picture(pair: Pair) -> None:
    pair.connect()
    watched = pair.home.session()
    watched.run(request(**LONG))
    workers = pair.box.workers()
    pair.box.process.send_signal(signal.SIGTERM)
    assert pair.box.process.wait(10) == 0
    assert not any(map(alive, workers))
    assert not pair.box.kept()


def test_a_killed_bridge_leaves_the_box_to_the_next_one(own_pair: Pair) -> None:
    own_pair.connect()
    watched = own_pair.home.session()
    expected = undisturbed(own_pair, watched, 2)
    job = watched.session.submit(request(**LONG, variants=2))
    until(lambda: on_box(own_pair, job), "a part for the box")
    before = own_pair.box.workers()
    own_pair.home.kill()
    until(lambda: not any(map(alive, before)), "the end of the worker that had a part", 10)
    assert isinstance(watched.end(job), events.Done)  # of the next bridge
    results = sorted(watched.of(job, events.Result), key=lambda result: result.variant)
    assert rgba(results) == expected
    own_pair.wait()


def test_a_worker_serves_one_computer_at_a_time(own_pair: Pair) -> None:
    own_pair.connect()
    other = Home()
    try:
        own_pair.box.allow()
        assert command("connect", own_pair.box.address, own_pair.box.key).returncode == 0
        watched = other.session()
        notice = until(lambda: watched.all(events.Notice), "the news")[0]
        assert "busy with other computers" in notice.sentence
        assert len(watched.run(request())) == 1
        assert command("disconnect", home=own_pair.home.path).returncode == 0
        until(lambda: other.status().device == "2 × cpu", "the worker is free", pause=0.1)
    finally:
        other.close()


def test_a_branch_goes_to_the_box_and_what_it_keeps_is_gone_with_the_worker(pair: Pair) -> None:
    pair.connect()
    watched = pair.home.session()
    expected = undisturbed(pair, watched)
    job = begun(pair, watched)
    assert isinstance(watched.end(job), events.Done)
    call = watched.of(job, events.Steps)[-1].steps[0].call
    branch = watched.session.branch(BranchRequest(job, 0, call))
    assert isinstance(watched.end(branch), events.Done)
    assert rgba(watched.of(branch, events.Result)) == expected
    assert on_box(pair, branch) == 1
    pair.road.blocked = True
    pair.road.cut()
    until(lambda: not watched.of(job, events.Steps)[-1].steps, "the steps are gone")
    late = watched.session.branch(BranchRequest(job, 0, call))
    end = watched.end(late)
    assert isinstance(end, events.Failed)
    assert end.code == "state_gone"


def test_what_is_stopped_and_kept_on_the_box_can_be_branched_from_as_long_as_its_worker_is_there(pair: Pair) -> None:
    pair.connect()
    watched = pair.home.session()
    job = begun(pair, watched)
    watched.session.keep(job)
    assert isinstance(watched.end(job), events.Done)
    [result] = watched.of(job, events.Result)
    assert result.unfinished
    assert watched.of(job, events.Steps)[-1].steps
    pair.road.blocked = True
    pair.road.cut()
    until(lambda: not watched.of(job, events.Steps)[-1].steps, "the steps are gone")
