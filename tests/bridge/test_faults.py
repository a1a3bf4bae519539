"""Processes die at bad moments: one end per job, the same pixels, nothing left behind."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from bridge_server.client import events, messages
from bridge_server.client.errors import BridgeError
from tests.bridge.home import FAST, PLAIN_RUN, SLOW, Ear, Home, Watched, alive, python, request, submit, until
from tests.promises import Tried

LONG = {"model": SLOW, "options": PLAIN_RUN}


def pixels(watched: Watched, job: str) -> list[tuple[int, bytes]]:
    """Seed and pixels of a job's results, by variant."""
    results = sorted(watched.of(job, events.Result), key=lambda result: result.variant)
    return [(result.seed, result.rgba) for result in results]


@pytest.mark.promise(1)
def test_a_killed_worker_is_said_at_once_and_the_job_ends_with_the_same_pixels(mortal: Home, tried: Tried) -> None:
    undisturbed = mortal.session().run(request(**LONG, variants=2))
    for number in tried.rounds(1, 20):
        if number % 4 == 3:
            mortal.kill()  # another bridge has seen no crash yet
            mortal.ready()
        watched = mortal.session()
        job = watched.session.submit(request(**LONG, variants=2))
        watched.wait(job, events.Progress, count=random.randint(2, 25))
        victim = mortal.status().worker_pid
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        down = until(lambda watched=watched: watched.all(events.EngineDown), "the news of the death")
        tried.at_most("heard", time.monotonic() - killed, 1.0, "s")
        assert down[0].will_retry
        assert isinstance(watched.end(job), events.Done)
        assert pixels(watched, job) == [(r.seed, r.rgba) for r in undisturbed]
        assert mortal.status().worker_pid != victim
        assert len(watched.all(events.EngineDown)) == 1
        watched.check_ends()
        mortal.hang_up()


def test_a_job_that_kills_the_worker_twice_fails_and_the_next_one_runs(mortal: Home) -> None:
    watched = mortal.session()
    first = watched.session.submit(request(**LONG))
    second = watched.session.submit(request(FAST))
    for _ in range(2):
        before = len(watched.of(first, events.Progress))
        watched.wait(first, events.Progress, count=before + 3)
        victim = mortal.status().worker_pid
        os.kill(victim, signal.SIGKILL)
        until(lambda victim=victim: mortal.status().worker_pid not in (victim, 0), "another worker", pause=0.05)
    end = watched.end(first)
    assert isinstance(end, events.Failed)
    assert end.code == "engine_crashed"
    assert end.sentence.endswith(".")
    assert isinstance(watched.end(second), events.Done)
    assert [down.will_retry for down in watched.all(events.EngineDown)] == [True, True]
    watched.check_ends()


def test_five_crashes_take_the_engine_down_until_the_user_restarts_it(home: Home) -> None:
    watched = home.session()
    until(lambda: watched.all(events.Connected), "a connection")
    for crash in range(5):
        victim = until(lambda: home.status().worker_pid, "a worker", pause=0.05)
        os.kill(victim, signal.SIGKILL)
        until(lambda crash=crash: len(watched.all(events.EngineDown)) == crash + 1, "the news")
    assert [down.will_retry for down in watched.all(events.EngineDown)] == [True] * 4 + [False]
    job = watched.session.submit(request())
    end = watched.end(job)
    assert isinstance(end, events.Failed)
    assert end.code == "engine_down"
    watched.session.restart_engine()
    until(lambda: home.status().engine == "ready", "the engine is back", pause=0.05)
    assert len(watched.run(request())) == 1
    watched.check_ends()


def test_a_worker_that_does_not_stop_after_a_cancel_is_replaced(mortal: Home) -> None:
    watched = mortal.session()
    job = watched.session.submit(request(**LONG))
    watched.wait(job, events.Progress, count=2)
    victim = mortal.status().worker_pid
    os.kill(victim, signal.SIGSTOP)
    watched.session.cancel(job)
    assert isinstance(watched.end(job), events.Cancelled)
    assert alive(victim)  # it has its five seconds
    following = watched.session.submit(request())
    assert isinstance(watched.end(following), events.Done)
    assert not alive(victim)
    assert not watched.all(events.EngineDown), mortal.log()
    watched.check_ends()


@pytest.mark.promise(2)
def test_a_killed_bridge_leaves_no_worker_and_loses_nothing(mortal: Home, tried: Tried) -> None:
    undisturbed = mortal.session().run(request(**LONG, variants=2))
    for _ in tried.rounds(1, 20):
        watched = mortal.session()
        running = watched.session.submit(request(**LONG, variants=2))
        queued = watched.session.submit(request(seed=5))
        watched.wait(queued, events.Accepted)
        watched.wait(running, events.Progress, count=random.randint(2, 25))
        worker, instance = mortal.status().worker_pid, mortal.address().instance
        mortal.kill()
        killed = time.monotonic()
        until(lambda worker=worker: not alive(worker), "no orphan")
        tried.at_most("worker gone", time.monotonic() - killed, 2.0, "s")
        until(lambda instance=instance: _other_instance(mortal, instance), "a new bridge")
        tried.at_most("another bridge", time.monotonic() - killed, 5.0, "s")
        assert isinstance(watched.end(running), events.Done)
        assert isinstance(watched.end(queued), events.Done)
        assert pixels(watched, running) == [(r.seed, r.rgba) for r in undisturbed]
        assert watched.all(events.Disconnected)
        watched.check_ends()
        mortal.hang_up()


def test_a_bridge_that_lost_its_journal_gets_the_job_once_more(mortal: Home) -> None:
    watched = mortal.session()
    job = watched.session.submit(request(**LONG))
    watched.wait(job, events.Progress, count=3)
    mortal.kill()
    (mortal.state / "journal.sqlite").write_bytes(b"this is no data base" * 300)
    (mortal.state / "journal.sqlite-wal").unlink(missing_ok=True)
    assert isinstance(watched.end(job), events.Done)
    assert (mortal.state / "journal.sqlite.broken").exists()
    watched.check_ends()


_CLIENT = """
import sys, time
from bridge_server.client.session import Session
from tests.bridge.home import request, FAST, PLAIN_RUN
from bridge_server.client import events
session = Session("mortal", client_id=sys.argv[2])
session.start()
first = session.submit(request(sys.argv[1], variants=2, tag="first", options=PLAIN_RUN))
second = session.submit(request(FAST, seed=99, tag="second"))
seen = []
while True:
    for event in session.poll():
        seen.append(event)
        if isinstance(event, events.Progress) and event.call > 3 and any(
            isinstance(e, events.Accepted) and e.job == second for e in seen):
            print(first, second, flush=True)
            time.sleep(1000)
    time.sleep(0.01)
"""


@pytest.mark.promise(3)
def test_what_a_killed_client_missed_is_handed_to_its_successor(mortal: Home, tried: Tried) -> None:
    other = mortal.session()
    undisturbed = other.run(request(SLOW, variants=2, options=PLAIN_RUN))
    before = mortal.status().queued  # of clients of other tests, which never came back
    for number in tried.rounds(1, 20):
        client = python(_CLIENT, SLOW, f"mortal{number}", stdout=-1)
        try:
            assert client.stdout is not None
            running, queued = client.stdout.readline().decode().split()
        finally:
            client.kill()
            client.wait()
        # its running job finishes into the spool; its queued one does not start, another client's does
        until(lambda running=running: mortal.status().running != running, "the end of the running job", pause=0.05)
        other.run(request())
        until(lambda: mortal.status().clients <= 2, "the bridge misses the client", pause=0.1)
        assert mortal.status().queued == before + 1
        watched = mortal.session(f"mortal{number}")
        both = until(lambda watched=watched: _two(watched.all(events.Recovered)), "both jobs")
        recovered = {event.tag: event for event in both}
        assert recovered["first"].job == running
        assert recovered["first"].state == "done"
        assert recovered["first"].results == 2
        assert recovered["second"].job == queued
        assert recovered["second"].state == "queued"
        watched.session.resume(running)
        watched.session.resume(queued)
        assert isinstance(watched.end(running), events.Done)
        assert isinstance(watched.end(queued), events.Done)
        assert pixels(watched, running) == [(r.seed, r.rgba) for r in undisturbed]
        watched.check_ends()
        watched.session.close(2.0)
        spool = mortal.state / "spool"
        jobs = [spool / running, spool / queued]
        until(lambda jobs=jobs: not any(job.exists() for job in jobs), "nothing in the spool")


def test_a_discarded_job_leaves_nothing(mortal: Home) -> None:
    one = mortal.link("mortal")
    ear = Ear(one)
    submit(one, "job1", request())
    ear.wait(lambda: ear.of("job1", messages.Done), "the end")
    one.close()
    watched = mortal.session("mortal")
    recovered = until(lambda: watched.all(events.Recovered), "the job")
    watched.session.discard(recovered[0].job)
    until(lambda: not (mortal.state / "spool" / "job1").exists(), "nothing in the spool")


def _two(found: list[events.Recovered]) -> list[events.Recovered]:
    return found if len(found) == 2 else []


def _other_instance(mortal: Home, instance: str) -> bool:
    try:
        return mortal.address().instance != instance
    except BridgeError:
        return False
