"""Jobs through the real bridge and the real engine process, on the exact Gaussian denoiser."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from dataclasses import replace

import pytest

from bridge_server.__main__ import main
from bridge_server.client import events, messages
from bridge_server.client.errors import JobFailed
from bridge_server.client.geometry import Box
from bridge_server.client.records import BranchRequest
from bridge_server.client.run_job import run
from bridge_server.jobs import MAX_UNENDED
from tests.bridge.home import ENDS, FAST, PATIENCE, PLAIN_RUN, SLOW, Ear, Home, request, submit, until


def test_a_job_runs_and_reports(shared: Home) -> None:
    watched = shared.session()
    job = watched.session.submit(request(variants=2, tag="x"))
    end = watched.end(job)
    assert isinstance(end, events.Done)
    seen = watched.of(job)
    assert isinstance(seen[0], events.Accepted)
    assert seen[0].queue_position == 0
    assert any(isinstance(event, events.Accepted) and event.calls == 75 for event in seen)
    for variant in (0, 1):
        calls = [event.call for event in seen if isinstance(event, events.Progress) and event.variant == variant]
        assert calls == sorted(calls)
        assert calls[-1] == 75
    previews = [event for event in seen if isinstance(event, events.Preview)]
    assert {preview.variant for preview in previews} == {0, 1}
    results = watched.of(job, events.Result)
    assert sorted((r.variant, r.seed, r.model) for r in results) == [(0, 11, FAST), (1, 12, FAST)]
    selection = request().selection
    for pixels in [*previews, *results]:
        assert (pixels.width, pixels.height) == (96, 96)
        assert pixels.rgba[3::4] == selection
    connected = watched.all(events.Connected)[-1]
    assert FAST in [model.id for model in connected.models]
    assert "fast" in [preset.name for preset in connected.presets]
    watched.check_ends()


def test_variants_are_single_runs_and_previews_change_nothing(shared: Home) -> None:
    with_previews = shared.session(preview_interval=0.0)
    without = shared.session(preview_interval=3600.0)
    two = with_previews.run(request(variants=2))
    second = without.run(request(seed=12))
    assert len(with_previews.all(events.Preview)) > len(without.all(events.Preview))
    assert two[1].rgba == second[0].rgba != two[0].rgba


def test_a_seed_is_drawn_and_reported(shared: Home) -> None:
    watched = shared.session()
    drawn = watched.run(request(seed=None))[0]
    assert watched.run(request(seed=drawn.seed))[0].rgba == drawn.rgba


def test_run_job_returns_results_or_raises(shared: Home) -> None:
    watched = shared.session()
    calls: list[int] = []
    results = run(watched.session, request(variants=3), on_progress=lambda event: calls.append(event.call))
    assert [result.variant for result in results] == [0, 1, 2]
    assert max(calls) == 75
    with pytest.raises(JobFailed) as caught:
        run(watched.session, request("no/such-model"))
    assert caught.value.code == "model_unknown"
    assert caught.value.sentence


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"selection": bytes(96 * 96)}, "empty_selection"),
        ({"selection": b"\xff" * 95}, "bad_request"),
        ({"pixels": b"\xff" * 95}, "bad_request"),
        ({"width": 0, "pixels": b"", "selection": b""}, "bad_request"),
        ({"width": 16385}, "bad_request"),
        ({"width": 16384, "height": 16384}, "too_large"),
        ({"seed": -5}, "bad_request"),
        ({"seed": 2**53 - 1, "variants": 2}, "bad_request"),
        ({"variants": 0}, "bad_request"),
        ({"variants": 17}, "bad_request"),
        ({"model": "/etc/passwd"}, "bad_request"),
        ({"model": "../engine/weights"}, "bad_request"),
        ({"model": "engine/weights"}, "model_unknown"),
        ({"model": ""}, "bad_request"),
        ({"preset": "no-such"}, "bad_preset"),
        ({"options": {"steps": -3}}, "bad_schedule"),
        ({"options": {"steps": "many"}}, "bad_request"),
        ({"options": {"schedule": "/etc/passwd"}}, "bad_request"),
        ({"options": {"image": 1}}, "bad_request"),
        ({"options": {"steps": float("nan")}}, "bad_request"),
        ({"options": {"no_such_option": 1}}, "bad_request"),
        ({"options": {"steps": 2**60}}, "bad_request"),
        ({"options": {"padding": "wide"}}, "bad_request"),
        ({"options": {"scale": "half"}}, "bad_request"),
        ({"options": {"classifier_scale": [1]}}, "bad_request"),
        ({"painted": Box(0, 0, 97, 96)}, "bad_request"),
        ({"painted": Box(90, 90, 7, 1)}, "bad_request"),
        ({"options": {"steps": object()}}, "bad_request"),
        ({"pixels": None}, "bad_request"),
        ({"variants": None}, "bad_request"),
        ({"tag": "\ud800"}, "bad_request"),
    ],
)
def test_a_bad_request_ends_in_one_sentence(shared: Home, fields: dict[str, object], code: str) -> None:
    watched = shared.session()
    end = watched.end(watched.session.submit(request(**fields)))
    assert isinstance(end, events.Failed)
    assert end.code == code
    assert end.sentence
    assert "Traceback" not in end.sentence
    assert "\n" not in end.sentence
    watched.check_ends()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 64), (64, 1)])
def test_tiny_and_whole_selections_are_painted(shared: Home, width: int, height: int) -> None:
    watched = shared.session()
    size = width * height
    job = watched.session.submit(
        request(width=width, height=height, pixels=b"\x80" * 4 * size, selection=b"\xff" * size, options={"steps": 10})
    )
    assert isinstance(watched.end(job), events.Done)
    assert len(watched.of(job, events.Result)[0].rgba) == size * 4


def test_only_what_is_painted_comes_back(shared: Home) -> None:
    watched = shared.session(preview_interval=0.0)
    one = request()
    whole = watched.run(one)[0]
    part = Box(32, 32, 32, 32)
    job = watched.session.submit(replace(one, painted=part))
    assert isinstance(watched.end(job), events.Done)
    (result,) = watched.of(job, events.Result)
    rows = range(part.y, part.y + part.height)
    cut = b"".join(whole.rgba[4 * (96 * y + part.x) :][: 4 * part.width] for y in rows)
    assert result.rgba == cut
    for event in [result, *watched.of(job, events.Preview)]:
        assert (event.x, event.y, event.width, event.height) == (32, 32, 32, 32)
        assert len(event.rgba) == 4 * 32 * 32
    assert watched.of(job, events.Preview)
    watched.session.look(job, 0, watched.of(job, events.Steps)[-1].steps[-1].call)
    view = until(lambda: watched.of(job, events.StepView), "the picture of a step")[0]
    assert (view.x, view.y, view.width, view.height, view.columns, view.rows) == (32, 32, 32, 32, 32, 32)
    assert view.rgba[3::4] == result.rgba[3::4]


def test_a_large_picture_goes_both_ways_in_pieces(shared: Home) -> None:
    watched = shared.session(preview_interval=0.0)
    side = 1100  # 4.6 MiB: five pieces
    pixels = bytearray(random.Random(3).randbytes(side * side * 4))
    pixels[3::4] = b"\xff" * (side * side)
    selection = bytearray(side * side)
    for y in range(500, 540):
        selection[y * side + 600 : y * side + 650] = b"\x80" * 50
    job = watched.session.submit(
        request(
            width=side, height=side, pixels=bytes(pixels), selection=bytes(selection), options=PLAIN_RUN, variants=2
        )
    )
    assert isinstance(watched.end(job), events.Done)
    for event in watched.of(job, events.Result, events.Preview):
        assert event.rgba[3::4] == bytes(selection)
    assert watched.of(job, events.Preview)


def test_clients_take_turns(shared: Home) -> None:
    one, two = shared.session(), shared.session()
    blocker = one.session.submit(request(SLOW, options=PLAIN_RUN))
    one.wait(blocker, events.Progress)
    firsts = [one.session.submit(request(seed=k, tag="one")) for k in range(3)]
    one.wait(firsts[-1], events.Accepted)
    late = two.session.submit(request(seed=77))
    assert two.wait(late, events.Accepted).queue_position == 1  # before all of the other client's waiting jobs
    order: list[str] = []

    def step() -> bool:
        for watched, jobs in ((one, firsts), (two, [late])):
            order.extend(job for job in jobs if job not in order and watched.of(job, events.Done))
        return len(order) == 4

    until(step, "all four")
    assert order == [late, *firsts]
    positions = [event.queue_position for event in one.of(firsts[2], events.Accepted)]
    assert positions[0] == 3
    assert max(positions) == 4
    assert positions[-1] == 0


def test_a_repeated_submit_is_never_computed_again(shared: Home) -> None:
    ear = Ear(shared.link("repeats"))
    submit(ear.link, "same", request(SLOW, options=PLAIN_RUN))
    ear.wait(lambda: ear.of("same", messages.Progress), "progress")
    submit(ear.link, "same", request(FAST))
    ear.wait(lambda: ear.of("same", messages.State), "the state")
    ear.wait(lambda: ear.of("same", *ENDS), "the end")
    before = shared.status().calls_total
    submit(ear.link, "same", request(FAST))
    ear.wait(lambda: len(ear.of("same", messages.State)) == 2, "the state")
    assert [state.state for state in ear.of("same", messages.State)] == ["running", "done"]
    ear.link.send(messages.Release("same"))
    submit(ear.link, "same", request(FAST))
    ear.wait(lambda: len(ear.of("same", messages.State)) == 3, "the state")
    assert len(ear.of("same", messages.Result)) == 1
    assert len(ear.of("same", *ENDS)) == 1
    assert shared.status().calls_total == before
    assert not (shared.state / "spool" / "same").exists()


def test_a_submit_without_its_pixels_fails(shared: Home) -> None:
    ear = Ear(shared.link("halves"))
    what = request()
    ear.link.send(messages.Blob("p", len(what.pixels), 0), what.pixels[:1000])
    ear.link.send(messages.Submit("half", what.order(), "p", "s"))
    ear.wait(lambda: ear.of("half", *ENDS), "the end")
    assert ear.of("half", *ENDS)[0].code == "no_pixels"
    ear.link.send(messages.Blob("p", 100, 50), b"x" * 50)
    ear.wait(lambda: [m for _, m, _ in ear.heard if isinstance(m, messages.Error)], "an error for the gap")


def test_jobs_of_others_cannot_be_touched(shared: Home) -> None:
    owner, thief = Ear(shared.link("owner")), Ear(shared.link("thief"))
    submit(owner.link, "mine", request(SLOW, options=PLAIN_RUN))
    owner.wait(lambda: owner.of("mine", messages.Accepted), "accepted")
    for message in (
        messages.Cancel("mine"), messages.Release("mine"), messages.Attach(("mine",)), messages.Pull("mine", 0, 0, 9)
    ):  # fmt: skip
        count = len(thief.heard)
        thief.link.send(message)
        thief.wait(lambda count=count: any(isinstance(m, messages.Error) for _, m, _ in thief.heard[count:]), "refusal")
        refusal = next(m for _, m, _ in thief.heard[count:] if isinstance(m, messages.Error))
        assert (refusal.about, refusal.job) == (type(message).TYPE, "mine")
    owner.wait(lambda: owner.of("mine", *ENDS), "the end")
    assert isinstance(owner.of("mine", *ENDS)[0], messages.Done)
    owner.link.send(messages.Release("mine"))
    owner.link.flush()


class TestCancel:
    def test_at_random_moments(self, shared: Home) -> None:
        """50 moments from before the submit to after the end: acknowledged, at most one more call, one end each."""
        ear = Ear(shared.link("cancels"))
        chance = random.Random(20)
        waits: list[float] = []
        began = time.monotonic()
        submit(ear.link, "measure", request(SLOW, side=64, options={"steps": 10, "jump_length": 10}))
        ear.wait(lambda: ear.of("measure", *ENDS), "the end")
        ear.link.send(messages.Release("measure"))
        usual = time.monotonic() - began  # of one variant; some 0.2 s
        for number in range(50):
            job = f"c{number}"
            one = request(SLOW, side=64, options={"steps": 10, "jump_length": 10}, variants=1 + number % 2)
            delay = usual * chance.uniform(-0.3, 1.8) * (1 + number % 2)
            if delay >= 0:
                submit(ear.link, job, one)
            deadline = time.monotonic() + delay
            while time.monotonic() < deadline:
                ear.listen(deadline - time.monotonic())
            for _ in range(1 + number % 3 // 2):  # every third one is cancelled twice
                ear.link.send(messages.Cancel(job))
            asked = time.monotonic()
            ear.wait(lambda job=job: ear.of(job, messages.State), "the acknowledgement")
            waits.append(next(t for t, m, _ in ear.heard if isinstance(m, messages.State) and m.job == job) - asked)
            if delay < 0:
                submit(ear.link, job, one)  # it comes too late
            ear.wait(lambda job=job: ear.of(job, *ENDS), "the end")
        until(lambda: shared.status().engine == "ready", "an idle engine", pause=0.05)
        for number in range(50):
            assert len(ear.of(f"c{number}", *ENDS)) == 1
            ear.link.send(messages.Release(f"c{number}"))
        ear.link.flush()
        ends = [ear.of(f"c{number}", *ENDS)[0] for number in range(50)]
        assert {type(end) for end in ends} == {messages.Done, messages.Cancelled}
        assert sorted(waits)[25] < 0.1, waits  # the median: a busy machine may delay single ones

    def test_takes_effect_within_one_call(self, shared: Home) -> None:
        ear = Ear(shared.link("calls"))
        for number in range(5):
            job = f"e{number}"
            submit(ear.link, job, request(SLOW, options=PLAIN_RUN))
            ear.wait(lambda job=job: ear.of(job, messages.Progress), "progress")
            ear.link.send(messages.Cancel(job))
            ear.wait(lambda job=job: ear.of(job, messages.Cancelled), "the end")
            status = until(lambda: (s := shared.status()).engine == "ready" and s, "an idle engine")
            assert 0 <= status.calls_after_cancel <= 1
            submit(ear.link, f"after{number}", request())
            ear.wait(lambda number=number: ear.of(f"after{number}", *ENDS), "the end of the next one")
            assert shared.status().calls_total == status.calls_total + 75, "no call of the cancelled one came later"
            assert len(ear.of(job, *ENDS)) == 1
            for name in (job, f"after{number}"):
                ear.link.send(messages.Release(name))
        ear.link.flush()

    def test_by_the_session(self, shared: Home) -> None:
        watched = shared.session()
        running = watched.session.submit(request(SLOW, options=PLAIN_RUN))
        queued = watched.session.submit(request())
        watched.wait(running, events.Progress)
        watched.session.cancel(queued)
        watched.session.cancel(running)
        watched.session.cancel(running)
        watched.session.cancel("no such job")
        assert isinstance(watched.end(running), events.Cancelled)
        assert isinstance(watched.end(queued), events.Cancelled)
        at_once = watched.session.submit(request())
        watched.session.cancel(at_once)
        watched.end(at_once)
        watched.run(request())
        watched.session.cancel(running)
        watched.run(request())
        watched.check_ends()
        until(lambda: not list((shared.state / "spool").glob("*/pixels")), "an empty spool")


def test_every_message_of_a_conversation_is_as_specified(shared: Home) -> None:
    """What really comes over the wire, as raw frames, names all fields of its type and nothing else."""
    one = shared.link("frames")
    one.ask(messages.Attach(()), messages.Jobs)
    seen: dict[str, set[str]] = {}
    submit(one, "f1", request(SLOW, options=PLAIN_RUN))
    submit(one, "f2", request("no/such-model"))
    submit(one, "f3", request(SLOW, options=PLAIN_RUN))
    one.send(messages.Credit("f1", (0,)))
    for message in (
        messages.Ping(1), messages.Attach(()), messages.GetStatus(), messages.Cancel("f3"), messages.Pull("f1", 0, 0, 1)
    ):  # fmt: skip
        one.send(message)
    deadline = time.monotonic() + PATIENCE
    pulled = False
    while time.monotonic() < deadline and not {"done", "failed", "cancelled", "chunk"} <= set(seen):
        one.wait(0.05)
        for frames in one.dealer.receive():
            header = json.loads(frames[1])
            cls = messages.WIRE.types[header.pop("type")]
            assert messages.TO_CLIENT in cls.DIRECTION
            assert header.keys() == set(cls.__dataclass_fields__)
            assert len(frames) == (3 if cls.PAYLOAD else 2)
            seen.setdefault(cls.TYPE, set()).update(header)
            if cls is messages.Result and not pulled:
                pulled = True
                one.send(messages.Pull("f1", 0, 0, 1000))
    wanted = {"accepted", "progress", "preview", "result", "chunk", "state", "pong", "jobs", "status", "error"}
    assert wanted | {"done", "failed", "cancelled"} <= set(seen)
    for job in ("f1", "f2", "f3"):
        one.send(messages.Release(job))
    one.flush()


def test_an_unlawful_message_is_answered_and_changes_nothing(shared: Home) -> None:
    one = shared.link("wild")
    for frames in (
        [b"RPB1", b"{}"], [b"RPB1", b"[" * 60000], [b"RPB2", b"{}"], [b"x"], [b"RPB1", b'{"type":"hello"}', b"x"],
        [b"RPB1", b'{"type":"submit","job":"a"}'], [b"RPB1", b'{"type":"welcome"}'], [b""] * 10,
    ):  # fmt: skip
        one.dealer.send(frames)
        answer = one.ask(messages.Ping(3), messages.Pong)
        assert answer.number == 3


def test_status_tells(shared: Home, capsys: pytest.CaptureFixture[str]) -> None:
    shared.ready()
    assert main(["status"]) == 0
    out = capsys.readouterr().out
    assert str(shared.bridge_pid()) in out
    assert "ready" in out
    assert shared.status().memory_mib < 100


def test_a_stopped_bridge_is_noticed_as_lost(shared: Home) -> None:
    """SIGSTOP: nothing answers for 6 s; after SIGCONT everything goes on."""
    shared.ready()
    watched = shared.session()
    until(lambda: watched.all(events.Connected), "a connection")
    pid = shared.bridge_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: watched.all(events.Disconnected), "the loss")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert len(watched.run(request())) == 1
    assert shared.bridge_pid() == pid


def test_a_second_window_under_the_same_name_gets_a_name_of_its_own(shared: Home) -> None:
    first = shared.session("editor")
    job = first.session.submit(request(SLOW, options=PLAIN_RUN))
    first.wait(job, events.Progress)
    second = shared.session("editor")
    assert len(second.run(request())) == 1
    assert isinstance(first.end(job), events.Done)
    assert not first.all(events.Disconnected)
    assert not second.all(events.Recovered)


def test_a_result_that_vanished_from_the_spool_ends_in_a_sentence(shared: Home) -> None:
    ear = Ear(shared.link("vanishing"))
    submit(ear.link, "v", request())
    ear.wait(lambda: ear.of("v", messages.Done), "the end")
    ear.link.send(messages.Bye())
    ear.link.flush()
    ear.link.close()
    (shared.state / "spool" / "v" / "variant-0").unlink()
    watched = shared.session("vanishing")
    recovered = until(lambda: watched.all(events.Recovered), "the job")
    watched.session.resume(recovered[0].job)
    end = watched.end("v")
    assert isinstance(end, events.Failed)
    assert end.code == "lost"


def test_a_client_has_a_bounded_number_of_unfinished_jobs(shared: Home) -> None:
    watched = shared.session()
    parent = watched.session.submit(request())
    assert isinstance(watched.end(parent), events.Done)
    call = until(lambda: watched.of(parent, events.Steps), "kept steps")[-1].steps[-1].call
    first = watched.session.submit(request(SLOW, variants=16))
    watched.wait(first, events.Accepted)
    jobs = [watched.session.submit(request(side=8, seed=number)) for number in range(MAX_UNENDED + 4)]
    refused = [watched.wait(job, events.Failed) for job in jobs[-5:]]
    assert {end.code for end in refused} == {"too_many"}
    assert f"{MAX_UNENDED} pictures" in refused[0].sentence
    branch = watched.session.branch(BranchRequest(parent, 0, call))
    assert watched.wait(branch, events.Failed).code == "too_many"
    assert shared.status().queued <= MAX_UNENDED
    other = shared.session()
    theirs = other.session.submit(request())
    other.wait(theirs, events.Accepted)
    watched.session.cancel(jobs[0])
    watched.wait(jobs[0], events.Cancelled)
    again = watched.session.submit(request(side=8))
    watched.wait(again, events.Accepted)
    for job in (first, again, *jobs[1:-5]):
        watched.session.cancel(job)
    assert isinstance(other.end(theirs), events.Done)
    watched.check_ends()
