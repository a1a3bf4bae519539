"""Kept steps, branches from them, stop-and-keep and the history, through the real bridge and engine process."""

from __future__ import annotations

import os
import signal
import sqlite3
from typing import Any

import numpy as np
import pytest

from bridge_server.client import events, messages
from bridge_server.client.session import BranchRequest, JobRequest
from tests.bridge.home import ENDS, FAST, PLAIN_RUN, SLOW, Ear, Home, Watched, request, submit, until


def steps_of(watched: Watched, job: str, variant: int = 0) -> tuple[events.Step, ...]:
    """The newest list of kept steps."""
    told = [event for event in watched.of(job, events.Steps) if event.variant == variant]
    return told[-1].steps if told else ()


def finished(watched: Watched, **fields: Any) -> tuple[str, list[events.Result]]:
    """A job of 50 calls that has ended, and its results."""
    job = watched.session.submit(request(options=PLAIN_RUN, **fields))
    assert isinstance(watched.end(job), events.Done)
    return job, sorted(watched.of(job, events.Result), key=lambda result: result.variant)


def branch(watched: Watched, wanted: BranchRequest) -> tuple[str, list[events.Result]]:
    job = watched.session.branch(wanted)
    end = watched.end(job)
    assert isinstance(end, events.Done), end
    return job, sorted(watched.of(job, events.Result), key=lambda result: result.variant)


def test_steps_are_announced_with_their_costs_and_can_be_looked_at(shared: Home) -> None:
    watched = shared.session()
    job, _ = finished(watched, variants=2)
    for variant in (0, 1):
        steps = steps_of(watched, job, variant)
        assert [step.call for step in steps] == list(range(2, 50, 2))
        assert all(step.remaining == 50 - step.call for step in steps)
        assert all(step.remaining < step.harmonise for step in steps)
        assert steps[-1].harmonise < steps[-1].idea
    watched.session.look(job, 1, 30)
    view = until(lambda: watched.of(job, events.StepView), "the picture of a step")[0]
    assert (view.variant, view.call, view.width, view.height) == (1, 30, 96, 96)
    assert view.rgba[3::4] == request().selection
    count = len(watched.of(job, events.Steps))
    watched.session.look(job, 1, 31)  # never kept: told what there is
    until(lambda: len(watched.of(job, events.Steps)) > count, "the steps that there are")


def test_continue_with_the_own_seed_is_the_parents_run(shared: Home) -> None:
    watched = shared.session()
    job, results = finished(watched, variants=2)
    _, again = branch(watched, BranchRequest(job, 1, 24))
    assert again[0].rgba == results[1].rgba
    assert again[0].seed == results[1].seed
    assert again[0].calls == 26


def test_a_branch_at_half_costs_half_and_differs_less_the_later_it_comes(shared: Home) -> None:
    watched = shared.session()
    job, results = finished(watched)
    differences = []
    for call in (6, 24, 44):
        before = shared.status().calls_total
        child, pictures = branch(watched, BranchRequest(job, 0, call, seed=99))
        used = shared.status().calls_total - before
        assert used == 50 - call == pictures[0].calls
        assert watched.of(child, events.Accepted)[0].calls == used, "the cost is told before"
        pairs = zip(pictures[0].rgba, results[0].rgba, strict=True)
        differences.append(sum(abs(a - b) for a, b in pairs))
    assert differences == sorted(differences, reverse=True)
    assert differences[-1] > 0


@pytest.mark.parametrize("kind", ["harmonise", "idea"])
def test_kinds_cost_what_was_told_and_give_different_pictures(shared: Home, kind: str) -> None:
    watched = shared.session()
    job, results = finished(watched)
    step = next(step for step in steps_of(watched, job) if step.call == 40)
    child, pictures = branch(watched, BranchRequest(job, 0, 40, kind, variants=2, seed=5, tag="a branch"))
    assert watched.of(child, events.Accepted)[0].calls == getattr(step, kind)
    assert [result.calls for result in pictures] == [getattr(step, kind)] * 2
    assert len({results[0].rgba, pictures[0].rgba, pictures[1].rgba}) == 3
    assert [result.seed for result in pictures] == [5, 6]
    grandchild, _ = branch(watched, BranchRequest(child, 1, steps_of(watched, child, 1)[-1].call, seed=8))
    assert grandchild != child


def test_a_new_idea_of_a_run_over_a_draft_takes_another_draft(shared: Home) -> None:
    watched = shared.session()
    job = watched.session.submit(request("texture", side=399))
    assert isinstance(watched.end(job), events.Done)
    result = watched.of(job, events.Result)[0]
    first = watched.of(job, events.Preview)[0]
    assert first.call == 0, "the draft is shown"
    assert np.frombuffer(first.rgba, np.uint8)[3::4].any()
    step = next(step for step in steps_of(watched, job) if step.call > result.calls // 2)
    child, pictures = branch(watched, BranchRequest(job, 0, step.call, "idea"))
    assert pictures[0].calls == step.idea == result.calls
    assert watched.of(child, events.Progress)[0].call >= 1
    assert pictures[0].rgba != result.rgba


def test_a_branch_from_what_is_not_there_is_one_sentence(shared: Home) -> None:
    watched = shared.session()
    job, _ = finished(watched)
    for wanted in (
        BranchRequest("no-such-job", 0, 24),
        BranchRequest(job, 3, 24),
        BranchRequest(job, 0, 25),
    ):
        end = watched.end(watched.session.branch(wanted))
        assert isinstance(end, events.Failed)
        assert end.code == "state_gone"
        assert "run it again" in end.sentence
    bad = {"kind": "better"}, {"variants": 0}, {"seed": -1}, {"call": -1}, {"seed": 2**53}
    for fields in bad:
        end = watched.end(watched.session.branch(BranchRequest(**{"parent": job, "variant": 0, "call": 24, **fields})))
        assert isinstance(end, events.Failed)
        assert end.code == "bad_request"
    watched.check_ends()


def test_steps_of_others_cannot_be_used(shared: Home) -> None:
    owner, thief = shared.session(), Ear(shared.link("thief"))
    job, _ = finished(owner)
    for message in (messages.Branch("stolen", BranchRequest(job, 0, 24)), messages.Look(job, 0, 24)):
        count = len(thief.heard)
        thief.link.send(message)
        thief.wait(
            lambda count=count: any(isinstance(m, messages.Error) for _, m, _ in thief.heard[count:]), "a refusal"
        )


def test_stop_and_keep_then_continue(shared: Home) -> None:
    watched = shared.session()
    whole = watched.run(request(SLOW, options=PLAIN_RUN, variants=2))
    job = watched.session.submit(request(SLOW, options=PLAIN_RUN, variants=2))
    until(lambda: any(event.call >= 10 for event in watched.of(job, events.Progress)), "ten calls")
    before = shared.status().calls_total
    watched.session.keep(job)
    assert isinstance(watched.end(job), events.Done)
    assert shared.status().calls_total - before < 60, "it was stopped on the way"
    kept = sorted(watched.of(job, events.Result), key=lambda result: result.variant)
    assert [result.unfinished for result in kept] == [True, True]
    assert all(10 <= result.calls < 50 for result in kept)
    for result, full in zip(kept, whole, strict=True):
        assert result.rgba != full.rgba
        assert result.calls in [step.call for step in steps_of(watched, job, result.variant)]
        _, rest = branch(watched, BranchRequest(job, result.variant, result.calls))
        assert rest[0].rgba == full.rgba, "continued, it is the run that was never stopped"
        assert not rest[0].unfinished


def test_one_variant_is_kept_and_the_others_dropped(shared: Home) -> None:
    watched = shared.session()
    job = watched.session.submit(request(SLOW, options=PLAIN_RUN, variants=3))
    until(lambda: any(event.call >= 5 for event in watched.of(job, events.Progress)), "some calls")
    watched.session.keep(job, [1])
    assert isinstance(watched.end(job), events.Done)
    assert [result.variant for result in watched.of(job, events.Result)] == [1]


def test_keeping_what_has_not_begun_cancels_it(shared: Home) -> None:
    watched = shared.session()
    first = watched.session.submit(request(SLOW, options=PLAIN_RUN))
    watched.wait(first, events.Progress)
    second = watched.session.submit(request())
    watched.wait(second, events.Accepted)
    watched.session.keep(second)
    assert isinstance(watched.end(second), events.Cancelled)
    assert isinstance(watched.end(first), events.Done)


def test_the_engines_death_takes_the_steps_but_not_the_kept_one(mortal: Home) -> None:
    watched = mortal.session(client_id="studio", history=True)
    job = watched.session.submit(request(SLOW, options=PLAIN_RUN))
    until(lambda: any(event.call >= 10 for event in watched.of(job, events.Progress)), "ten calls")
    watched.session.keep(job)
    assert isinstance(watched.end(job), events.Done)
    result = watched.of(job, events.Result)[0]
    assert len(steps_of(watched, job)) > 1
    os.kill(mortal.status().worker_pid, signal.SIGKILL)
    until(lambda: [step.call for step in steps_of(watched, job)] == [result.calls], "the steps that are left")
    _, rest = branch(watched, BranchRequest(job, 0, result.calls))
    assert rest[0].rgba == watched.run(request(SLOW, options=PLAIN_RUN))[0].rgba


def test_only_the_last_jobs_keep_their_steps(shared: Home) -> None:
    watched = shared.session()
    first, _ = finished(watched)
    for seed in range(8):
        finished(watched, seed=seed)
    assert steps_of(watched, first) == ()
    end = watched.end(watched.session.branch(BranchRequest(first, 0, 24)))
    assert end.code == "state_gone"


def test_history_outlives_the_bridge_and_is_fetched_again(home: Home) -> None:
    watched = home.session(client_id="painter", history=True)
    job, results = finished(watched, variants=2, tag="which document")
    stopped = watched.session.submit(request(SLOW, options=PLAIN_RUN))
    until(lambda: any(event.call >= 5 for event in watched.of(stopped, events.Progress)), "some calls")
    watched.session.keep(stopped)
    watched.end(stopped)
    kept = watched.of(stopped, events.Result)[0]
    watched.session.fetch(job)
    until(lambda: len(watched.of(job, events.Result)) == 4, "the results once more")
    home.kill()
    watched.session.fetch(job)
    until(lambda: len(watched.of(job, events.Result)) == 6, "the results from the next bridge")
    until(lambda: len(watched.of(job, events.Done)) == 3, "its end")
    home.hang_up()
    assert not (home.state / "spool" / job / "pixels").exists()
    pid = home.kill()
    base = sqlite3.connect(home.state / "journal.sqlite")
    base.execute("UPDATE jobs SET about = replace(about, '\"created\": ', '\"created\": -')")  # long ago
    base.commit()
    base.close()
    later = home.session(client_id="painter", history=True)
    found = until(lambda: len(later.all(events.Recovered)) == 2 and later.all(events.Recovered), "the history")
    assert home.bridge_pid() != pid
    assert {(entry.job, entry.tag, entry.state) for entry in found} == {
        (job, "which document", "done"),
        (stopped, "", "done"),
    }
    for name in (job, stopped):
        later.session.resume(name)
    assert isinstance(later.end(job), events.Done)
    assert [result.rgba for result in sorted(later.of(job, events.Result), key=lambda r: r.variant)] == [
        result.rgba for result in results
    ]
    later.end(stopped)
    assert later.of(stopped, events.Result)[0].rgba == kept.rgba
    assert [step.call for step in steps_of(later, stopped)] == [kept.calls]
    _, rest = branch(later, BranchRequest(stopped, 0, kept.calls))
    assert rest[0].calls == 50 - kept.calls
    later.session.release(job)
    until(lambda: not (home.state / "spool" / job).exists(), "the release")
    assert (home.state / "spool" / stopped).exists()


def test_a_single_result_is_dropped_and_the_last_one_takes_the_job_along(home: Home) -> None:
    watched = home.session(client_id="painter", history=True)
    job, results = finished(watched, variants=3)
    folder = home.state / "spool" / job
    home.kill()
    watched.session.drop(job, 1)  # said as soon as there is a bridge again
    watched.session.fetch(job)
    until(lambda: not (folder / "variant-1").exists(), "its pixels are deleted")
    until(lambda: len(watched.of(job, events.Done)) == 2, "the others once more")
    later = sorted(watched.of(job, events.Result)[3:], key=lambda result: result.variant)
    assert [(result.variant, result.rgba) for result in later] == [(0, results[0].rgba), (2, results[2].rgba)]
    watched.session.drop(job, 1)
    watched.session.drop(job, 0)
    until(lambda: not (folder / "variant-0").exists(), "the next")
    assert (folder / "variant-2").exists()
    watched.session.drop(job, 2)
    until(lambda: not folder.exists(), "the job")


def test_a_branch_at_half_of_a_preset_costs_at_most_55_percent(shared: Home) -> None:
    watched = shared.session()
    for preset in ("fast", "quality"):
        job = watched.session.submit(request(preset=preset))
        assert isinstance(watched.end(job), events.Done)
        whole = watched.of(job, events.Result)[0].calls
        step = next(step for step in steps_of(watched, job) if step.call >= whole / 2)
        for kind in ("continue", "harmonise", "idea"):
            before = shared.status().calls_total
            branch(watched, BranchRequest(job, 0, step.call, kind, seed=9))
            used = shared.status().calls_total - before
            assert used == getattr(step, "remaining" if kind == "continue" else kind)
            assert used <= 0.55 * whole, (preset, kind)


def test_a_journal_of_the_last_version_is_taken_over(home: Home) -> None:
    """Version 0.1 knew no kept steps."""
    home.state.mkdir(parents=True, exist_ok=True)
    base = sqlite3.connect(home.state / "journal.sqlite")
    base.execute(
        "CREATE TABLE results(job TEXT NOT NULL, variant INTEGER NOT NULL, seed INTEGER NOT NULL, seconds REAL NOT NULL"
        ", calls INTEGER NOT NULL, claimed INTEGER NOT NULL, PRIMARY KEY(job, variant)) WITHOUT ROWID"
    )
    base.commit()
    base.close()
    assert len(home.session().run(request())) == 1


def test_a_repeated_branch_is_never_computed_again(shared: Home) -> None:
    ear = Ear(shared.link("repeats-branches"))
    submit(ear.link, "trunk", request(options=PLAIN_RUN))
    ear.wait(lambda: ear.of("trunk", messages.Done), "the end")
    for _ in range(2):
        ear.link.send(messages.Branch("twig", BranchRequest("trunk", 0, 24)))
    ear.wait(lambda: ear.of("twig", messages.Done) and ear.of("twig", messages.State), "the end")
    assert len(ear.of("twig", messages.Result)) == 1


def test_looks_of_a_client_that_never_reads_are_bounded(shared: Home) -> None:
    """3000 wishes for pictures of a MiB: the newest few are kept, one is worked on."""
    side = 512
    pixels, selection = b"\x80" * (side * side * 4), b"\xff" * (side * side)
    big = JobRequest(side, side, pixels, selection, model=FAST, seed=1, options={"steps": 10, "jump_length": 10})
    deaf = Ear(shared.link("deaf-looker"))
    submit(deaf.link, "looked-at", big)
    deaf.wait(lambda: deaf.of("looked-at", *ENDS) and deaf.of("looked-at", messages.Steps), "kept steps")
    call = deaf.of("looked-at", messages.Steps)[-1].steps[-1].call
    before = highest = shared.status().memory_mib
    for _ in range(30):
        for _ in range(100):
            deaf.link.send(messages.Look("looked-at", 0, call))
        until(deaf.link.flush, "the wishes are sent")
        highest = max(highest, shared.status().memory_mib)
    assert len(shared.session().run(request())) == 1
    for _ in range(20):
        highest = max(highest, shared.status().memory_mib)
    assert highest < before + 64
    deaf.wait(lambda: len(deaf.of("looked-at", messages.View)) > 2, "the pictures, when it reads")
    deaf.link.send(messages.Look("unheard-of", 3, 1))
    deaf.wait(lambda: deaf.of("unheard-of", messages.Steps), "an answer after all the others")
    assert len(deaf.of("looked-at", messages.View)) < 100
    deaf.link.send(messages.Release("looked-at"))
    deaf.link.flush()
