"""Any order of what an artist and bad luck do, against what must be true of every job.

A job that was submitted ends, exactly once in each process of the client that hears of it and always in the same way:
done with the pixels of its seed, cancelled if somebody asked for it, failed only for a reason that was given. What was
kept and branched is lost only with the engine that held it.
"""

from __future__ import annotations

import os
import random
import signal
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from bridge_server.client import events
from bridge_server.client.records import BranchRequest
from tests.bridge.home import FAST, PLAIN_RUN, SLOW, Home, Watched, until
from tests.bridge.home import request as job_request
from tests.promises import SOAKING, Tried, many

MOST_DEATHS = 3  # of an engine in one conversation: after five within minutes the bridge gives it up
SLOW_CALLS = PLAIN_RUN["steps"]


@dataclass
class Told:
    """A job and what was asked of it."""

    key: tuple[str, int, int]
    cancelled: bool = False
    kept: bool = False
    branch: bool = False
    forgotten: bool = False
    lost: bool = False


@dataclass
class Talk:
    """One bridge; the pixels that each request has given so far, by (model, seed)."""

    home: Home
    pixels: dict[tuple[str, int], bytes] = field(default_factory=dict)


class Conversation(RuleBasedStateMachine):
    talk: ClassVar[Talk]

    def __init__(self) -> None:
        super().__init__()
        self.home = self.talk.home
        self.home.kill()  # the bridge counts deaths of its engine: each conversation has its own
        self.home.ready()
        self.name = f"artist{random.getrandbits(64)}"
        self.watched: Watched = self.home.session(self.name)
        self.jobs: dict[str, Told] = {}
        self.deaths = 0
        self.seen: list[events.Event] = []  # of earlier processes of the client

    # ------------------------------------------------------------------------------------------------ what is done

    @rule(model=st.sampled_from((FAST, SLOW)), seed=st.integers(0, 2), variants=st.integers(1, 2))
    def submit(self, model: str, seed: int, variants: int) -> None:
        job = self.watched.session.submit(job_request(model, side=48, seed=seed, variants=variants, options=PLAIN_RUN))
        self.jobs[job] = Told((model, seed, variants))

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job = self._one(data)
        self.jobs[job].cancelled = True
        self.watched.session.cancel(job)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def keep(self, data: st.DataObject) -> None:
        job = self._one(data)
        self.jobs[job].kept = True
        self.watched.session.keep(job)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), kind=st.sampled_from(("continue", "harmonise", "idea")))
    def branch(self, data: st.DataObject, kind: str) -> None:
        parent = self._one(data)
        job = self.watched.session.branch(BranchRequest(parent, 0, SLOW_CALLS // 2, kind=kind))
        self.jobs[job] = Told(("branch", 0, 1), branch=True)

    @rule(calls=st.integers(1, 20))
    def watch(self, calls: int) -> None:
        """Until the running job, if there is one, has come a little further."""
        before = self.home.status()
        until(lambda: _moved(self.home, before.calls_total + calls) or not self.home.status().running, "some calls")

    # ------------------------------------------------------------------------------------------------ and bad luck

    @precondition(lambda self: self.deaths < MOST_DEATHS)
    @rule()
    def the_worker_dies(self) -> None:
        self.deaths += 1
        victim = until(lambda: self.home.status().worker_pid, "a worker")
        os.kill(victim, signal.SIGKILL)
        until(lambda: self.home.status().worker_pid not in (0, victim), "another worker", pause=0.05)

    @precondition(lambda self: self.deaths < MOST_DEATHS)
    @rule()
    def the_bridge_dies(self) -> None:
        self.deaths += 1
        self.home.kill()
        self.home.ready()

    @rule()
    def the_client_goes_and_comes_back(self) -> None:
        self.watched.session.close(2.0)
        self.watched.poll()
        self.seen += self.watched.events
        open_jobs = {
            job for job, told in self.jobs.items() if not self._ends(job) and not told.forgotten and not told.lost
        }
        self.home.sessions.clear()
        self.watched = self.home.session(self.name)
        until(lambda: self.watched.all(events.Connected), "the bridge")
        arrived = {job for job in open_jobs if self._of(job, events.Accepted)}
        until(lambda: arrived <= self._recovered(), "what was left open")
        for job in open_jobs - self._recovered():
            self.jobs[job].lost = True  # it had not come out of the process
        for job in self._recovered() & set(self.jobs):
            self.watched.session.resume(job)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        """The artist closes the picture: nothing more is to be heard of the job."""
        job = self._one(data)
        self.jobs[job].forgotten = True
        self.watched.session.release(job)

    # ------------------------------------------------------------------------------------------- what must be true

    def teardown(self) -> None:
        for job, told in self.jobs.items():
            if not (told.forgotten or told.lost):
                until(lambda job=job: self._ends(job), f"the end of {job} {told}")
        self.watched.check_ends()
        for job, told in self.jobs.items():
            ends = self._ends(job)
            # once in a process (`check_ends`); the next one may hear what this one had no time to say that it knows
            assert len(set(ends)) == 1 or told.forgotten or told.lost, (told, ends)
            if ends:
                self._check(job, told, ends[0])
        until(lambda: not self.home.status().running, "an idle engine", pause=0.02)
        self.home.hang_up()

    def _check(self, job: str, told: Told, end: events.Event) -> None:
        if isinstance(end, events.Cancelled):
            assert told.cancelled or told.kept or told.forgotten, told
            return
        if isinstance(end, events.Failed):
            assert (told.branch and end.code == "state_gone") or (self.deaths > 1 and end.code == "engine_crashed"), end
            return
        results = {each.variant: each for each in self._of(job, events.Result)}
        model, seed, variants = told.key
        if not told.kept and not told.forgotten:
            assert len(results) == variants, (told, results)
        for each in results.values():
            if not each.unfinished and not told.branch:
                assert each.seed == seed + each.variant
                assert self.talk.pixels.setdefault((model, each.seed), each.rgba) == each.rgba

    def _one(self, data: st.DataObject) -> str:
        return list(self.jobs)[data.draw(st.integers(0, len(self.jobs) - 1))]

    def _of(self, job: str, *kinds: type) -> list:  # type: ignore[type-arg]
        earlier = [event for event in self.seen if getattr(event, "job", None) == job and isinstance(event, kinds)]
        return earlier + self.watched.of(job, *kinds)

    def _ends(self, job: str) -> list:  # type: ignore[type-arg]
        return self._of(job, *events.TERMINAL)

    def _recovered(self) -> set[str]:
        return {event.job for event in self.watched.all(events.Recovered)}


def _moved(home: Home, calls: int) -> bool:
    return home.status().calls_total >= calls


@pytest.mark.promise(17)
def test_any_order_of_what_can_happen(mortal: Home, tried: Tried) -> None:
    class Here(Conversation):
        talk = Talk(mortal)

    few = settings(
        max_examples=many(3, 60),
        stateful_step_count=many(10, 25),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # what is slow is not made smaller
        derandomize=not SOAKING,
        database=None,
    )
    run_state_machine_as_test(Here, settings=few)
    for _ in tried.rounds(few.max_examples, few.max_examples):
        pass
