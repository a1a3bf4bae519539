"""The run's state machine without an editor or a bridge, for orders of events that a real host shows too seldom.

The editor is the one made of files, the bridge is played by lists; tests/krita/test_krita.py shows that they play true
in the real Krita.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest

from bridge_server.client import events
from bridge_server.client.editor import layers, library, machine, model, sentences, view
from bridge_server.client.editor.host import Identity
from tests.editor.stage import RGBA, SIZE, Stage, finished_run, preview, result


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_run_from_click_to_layer(stage: Stage) -> None:
    layer = stage.running()
    stage.tell(events.Progress("job1", 0, 1, 5, 10, 3.0), preview(0, 1))
    assert (stage.flow.fraction, stage.flow.seconds_left) == (0.5, 3.0)
    stage.tell(result(0, 2), events.Done("job1", 1.0))
    assert layer.painted == [RGBA[1], RGBA[2]]
    assert layer.name == "RePaint texture · seed 7"
    assert not stage.flow.busy
    assert len(stage.host.layers) == 1


def test_a_preview_that_waits_is_replaced_by_a_newer_one(stage: Stage) -> None:
    layer = stage.running()
    stage.session.waiting = [preview(0, 1), preview(0, 2), preview(0, 3)]
    stage.flow.pump()  # the first is being painted, the second never is
    stage.steps()
    assert layer.painted in ([RGBA[1], RGBA[3]], [RGBA[3]])


def intervals(stage: Stage, *refreshes: float) -> list[str]:
    """What is asked for while previews come whose refresh takes so many seconds each."""
    layer = stage.running()
    for number, seconds in enumerate(refreshes, 1):
        layer.refresh = seconds
        stage.tell(preview(0, number))
    return [call for call in stage.session.calls if call.startswith("interval")]


def test_previews_are_slowed_to_a_tenth_of_the_time(stage: Stage) -> None:
    assert intervals(stage, 0.5, 0.5) == ["interval 0.5", "interval 5.0"]


@pytest.mark.parametrize("refreshes", [(0.5, 0.5, 9.0, 0.5), (9.0, 0.5, 0.5)])
def test_one_refresh_that_waited_for_other_programs_slows_nothing(stage: Stage, refreshes: tuple[float, ...]) -> None:
    assert intervals(stage, *refreshes) == ["interval 0.5", "interval 5.0"]


def test_news_of_an_earlier_job_are_not_for_this_one(stage: Stage) -> None:
    stage.running()
    stage.flow.cancel()
    stage.tell(events.Cancelled("job1"))
    stage.start()
    stage.tell(preview(0, 4), result(0, 5), events.Done("job1", 1.0))
    assert stage.flow.phase == machine.WAITING
    assert len(stage.host.layers) == 1


ENDS = [events.Done("job1", 1.0), events.Cancelled("job1"), events.Failed("job1", "out_of_memory", "No memory.")]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: type(end).__name__)
def test_every_end_after_a_cancel_leaves_no_layer(stage: Stage, end: events.Event) -> None:
    layer = stage.running()
    stage.tell(preview(0, 1))
    stage.flow.cancel()
    assert layer.painted[-1] == b""
    assert layer.state() == model.GONE
    stage.tell(preview(0, 2), end)
    assert not stage.flow.busy
    assert layer.painted[-1] == b""


def test_a_cancel_that_is_never_answered_does_not_lock_the_docker(stage: Stage) -> None:
    stage.running()
    stage.flow.cancel()
    stage.now += machine.CANCEL_PATIENCE + 0.1
    stage.flow.tick()
    assert not stage.flow.busy
    assert stage.flow.sentence == "Cancelled."


def test_a_failure_keeps_the_variants_that_are_finished(stage: Stage) -> None:
    layer = stage.running(variants=2)
    stage.tell(preview(0, 1), result(1, 2), events.Failed("job1", "engine_died", "The engine died twice."))
    assert stage.flow.sentence == "The engine died twice."
    assert layer.state() == model.THERE
    assert layer.painted[-1] == RGBA[2]
    assert layer.name == "RePaint texture · seed 8"
    assert [variant.index for variant in stage.flow.runs[0].variants] == [1]


def test_a_cancel_keeps_finished_variants_to_be_picked(stage: Stage) -> None:
    stage.running(variants=2)
    stage.tell(result(1, 2))
    stage.flow.cancel()
    stage.tell(events.Cancelled("job1"))
    run = stage.flow.runs[0]
    stage.flow.choose(run, 1)
    stage.steps()
    assert len(stage.host.layers) == 2
    assert stage.host.layers[1].name == "RePaint texture · seed 8"
    assert stage.host.layers[1].painted == [RGBA[2]]


def test_document_closed_between_the_last_preview_and_the_end(stage: Stage) -> None:
    layer = stage.running()
    stage.tell(preview(0, 1))
    layer.close_document()
    stage.tell(result(0, 2), events.Done("job1", 1.0))
    stage.now += machine.CANCEL_PATIENCE + 0.1
    stage.flow.tick()
    assert not stage.flow.busy
    assert stage.flow.is_error
    assert stage.flow.sentence == sentences.DOCUMENT_CLOSED


def test_pixels_that_krita_did_not_take_are_said(stage: Stage) -> None:
    layer = stage.running()
    layer.takes = False
    stage.tell(result(0, 2), events.Done("job1", 1.0))
    assert stage.flow.sentence == sentences.NOT_TAKEN
    assert stage.flow.is_error


def test_choosing_another_variant_while_it_forms(stage: Stage) -> None:
    layer = stage.running(variants=2)
    stage.tell(preview(0, 1), preview(1, 2))
    stage.flow.choose(stage.flow.runs[0], 1)
    stage.steps()
    assert layer.painted == [RGBA[1], RGBA[2]]
    stage.tell(result(0, 3), result(1, 4), events.Done("job1", 1.0))
    assert layer.painted[-1] == RGBA[4]
    assert layer.name == "RePaint texture · seed 8"


def test_memory_is_bounded_and_dropped_pictures_are_fetched(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "MEMORY_BYTES", 5 * len(RGBA[0]))
    for number in range(1, 6):
        finished_run(stage, f"job{number}", number)
        stage.host.layers[-1].undo()
        stage.flow.runs[-1].series.shown = None
    assert [run.number for run in stage.flow.runs] == [1, 2, 3, 4, 5]
    first = stage.flow.runs[0]
    assert first.capture is None
    assert first.variants[0].picture is None
    assert first.variants[0].finished
    stage.flow.choose(first, 0)
    assert stage.session.calls[-1] == "fetch job1"
    stage.tell(result(0, 1), events.Done("job1", 1.0))
    assert stage.host.layers[-1].painted == [RGBA[1]]
    assert stage.host.layers[-1].name == "RePaint texture · seed 7"
    assert not stage.flow.is_error


# ---------------------------------------------------------------- branches, more, keep, apply, compare


def test_a_branch_forms_in_the_layer_of_its_parent_and_a_cancel_gives_the_parent_back(stage: Stage) -> None:
    run = finished_run(stage, "job1")
    layer = stage.host.layers[0]
    stage.flow.branch(run, 0, 6, "idea", 2, seed=50)
    request = stage.session.requests[-1]
    assert (request.parent, request.variant, request.call, request.kind) == ("job1", 0, 6, "idea")
    assert (request.variants, request.seed) == (2, 50)
    stage.tell(events.Accepted("job2", 0, 9), events.Preview("job2", 0, 1, 0, 0, SIZE, SIZE, "u8", RGBA[5]))
    assert layer.painted[-1] == RGBA[5]
    assert layer.name == layers.PREVIEW_NAME
    stage.flow.cancel()
    stage.tell(events.Cancelled("job2"))
    assert len(stage.host.layers) == 1
    assert layer.state() == model.THERE
    assert layer.painted[-1] == RGBA[1]
    assert layer.name == "RePaint texture · seed 7"
    stage.flow.branch(run, 0, 3, "harmonise", 1, seed=60)
    stage.tell(
        events.Accepted("job3", 0, 9),
        events.Result("job3", 0, 60, 0, 0, SIZE, SIZE, "texture", 1.0, 9, False, "u8", rgba=RGBA[6]),
    )
    stage.tell(events.Done("job3", 1.0))
    assert layer.name == "RePaint texture · seed 60"
    branch = stage.flow.runs[-1]
    assert (branch.parent, branch.kind) == ((run.number, 0, 3), "harmonise")
    stage.flow.choose(run, 0)
    stage.steps()
    assert layer.painted[-1] == RGBA[1]
    assert layer.name == "RePaint texture · seed 7"


def test_a_branch_from_a_step_that_is_gone_says_so(stage: Stage) -> None:
    run = finished_run(stage, "job1")
    stage.tell(events.Steps("job1", 0, ()))
    stage.flow.branch(run, 0, 6, "idea", 1)
    assert stage.flow.sentence == sentences.NO_STEP
    assert stage.session.calls.count("branch") == 0


def test_what_a_branch_costs_is_known_before(stage: Stage) -> None:
    run = finished_run(stage, "job1")
    step = run.variants[0].steps[1]
    assert stage.flow.price(run, step, "continue", 3) == (12, 6.0)  # the run made 10 calls in 5 s
    assert stage.flow.price(run, step, "idea", 1) == (9, 4.5)


def test_pictures_of_steps_are_asked_for_once(stage: Stage) -> None:
    run = finished_run(stage, "job1")
    stage.flow.look(run, 0, 6)
    stage.tell(events.StepView("job1", 0, 6, 0, 0, SIZE, SIZE, "u8", SIZE, SIZE, RGBA[4]))
    stage.flow.look(run, 0, 6)
    assert stage.session.calls.count("look job1 0 6") == 1
    assert run.variants[0].views[6].rgba == RGBA[4]


def test_more_variants_take_the_next_seeds_in_the_same_layer(stage: Stage) -> None:
    run = finished_run(stage, "job1", variants=2)
    stage.flow.more_variants(run, 3)
    assert (stage.session.requests[-1].seed, stage.session.requests[-1].variants) == (9, 3)
    assert stage.session.requests[-1].pixels == RGBA[0]
    stage.tell(events.Accepted("job2", 0, 10))
    assert len(stage.host.layers) == 1
    stage.flow.cancel()
    stage.tell(events.Cancelled("job2"))
    stage.flow.more_like(run, 0, 1)
    assert stage.session.requests[-1].kind == "continue"
    assert stage.session.requests[-1].seed is not None


def test_stop_and_keep_then_continue(stage: Stage) -> None:
    layer = stage.running(variants=2)
    stage.tell(events.Progress("job1", 1, 2, 4, 10, 3.0), preview(1, 3))
    stage.flow.keep(1)
    assert stage.session.calls[-1] == "keep job1 [1]"
    assert stage.flow.sentence == sentences.KEEPING
    kept = events.Result("job1", 1, 8, 0, 0, SIZE, SIZE, "texture", 1.0, 4, True, "u8", rgba=RGBA[3])
    stage.tell(events.Steps("job1", 1, (events.Step(4, 6, 9, 11),)), kept, events.Done("job1", 1.0))
    assert stage.flow.sentence == sentences.KEPT
    assert layer.painted[-1] == RGBA[3]
    run = stage.flow.runs[0]
    assert [(v.index, v.call, v.unfinished) for v in run.variants] == [(1, 4, True)]
    stage.flow.resume(run, 1)
    request = stage.session.requests[-1]
    assert (request.call, request.kind, request.seed, request.variants) == (4, "continue", None, 1)
    assert view.tree(stage.flow, view.Chosen(run, run.variants[0]))[1].text == "… · Continued · step 4"


def test_applying_leaves_the_layer_to_the_artist(stage: Stage) -> None:
    run = finished_run(stage, "job1", variants=2)
    stage.flow.choose(run, 1, apply=True)
    stage.steps()
    assert stage.host.layers[0].name == "RePaint texture · seed 8"
    stage.flow.choose(run, 0)
    stage.steps()
    assert len(stage.host.layers) == 2
    assert stage.host.layers[0].painted[-1] == RGBA[2]
    assert stage.host.layers[1].painted[-1] == RGBA[1]


def test_comparing_hides_the_layer_and_shows_it_again(stage: Stage) -> None:
    finished_run(stage, "job1")
    layer = stage.host.layers[0]
    stage.flow.compare(True)
    assert (layer.visible, stage.flow.comparing) == (False, True)
    stage.flow.compare(True)
    stage.flow.compare(False)
    assert (layer.visible, stage.flow.comparing) == (True, False)


def test_learning_is_shown(stage: Stage) -> None:
    stage.running()
    stage.tell(events.Learning("job1", 0.25, 30.0))
    assert (stage.flow.fraction, stage.flow.seconds_left) == (0.25, 30.0)
    assert stage.flow.sentence == "Learning this picture …"
    stage.tell(events.Progress("job1", 0, 1, 1, 10, 3.0))
    assert stage.flow.fraction == 0.1


# ---------------------------------------------------------------- history


def recovered(request: Any, job: str, results: int = 1, state: str = "done") -> events.Recovered:
    return events.Recovered(job, request.tag, "texture", state, request.variants, results, SIZE, SIZE, "u8")


def test_pictures_of_an_earlier_time_come_back_with_their_branches(stage: Stage) -> None:
    run = finished_run(stage, "job1", variants=2)
    stage.flow.branch(run, 0, 6, "idea", 1, seed=50)
    first, branch = stage.session.requests
    later = Stage()
    later.host.document = Identity("another id", "key", "")
    later.tell(recovered(first, "job1", 2), recovered(branch, "b"))
    assert sorted(later.session.calls) == ["resume b", "resume job1"]
    for job, count in (("job1", 2), ("b", 1)):
        for variant in range(count):
            later.tell(
                events.Result(
                    job, variant, 7, 0, 0, SIZE, SIZE, "texture", 1.0, 10, False, "u8", rgba=RGBA[variant + 1]
                )
            )
        later.tell(events.Done(job, 1.0))
    found = {each.job: each for each in later.flow.runs}
    assert len(found["job1"].variants) == 2
    assert found["b"].parent == (found["job1"].number, 0, 6)
    assert found["b"].series is found["job1"].series
    assert found["job1"].target.document == "another id"
    later.flow.choose(found["job1"], 1)
    later.steps()
    assert later.host.layers[0].painted == [RGBA[2]]
    assert later.flow.library.bytes == 3 * 4 * 2 * 2  # of what is selected


def test_a_documents_pictures_wait_until_it_is_opened(stage: Stage) -> None:
    finished_run(stage, "job1")
    later = Stage()
    later.host.document = Identity("other", "other key", "/pictures/b.png")
    later.tell(recovered(stage.session.requests[0], "job1"))
    assert later.flow.runs == []
    assert later.flow.library.bytes == len(RGBA[0])
    later.host.document = Identity("again", "", "/pictures/a.png")
    later.flow.document_changed()
    assert later.session.calls == ["resume job1"]


def test_pictures_that_are_lost_are_said_and_leave(stage: Stage) -> None:
    finished_run(stage, "job1")
    later = Stage()
    later.tell(recovered(stage.session.requests[0], "job1"))
    later.tell(events.Failed("job1", "lost", "The picture is gone."))
    assert later.flow.runs == []
    assert later.flow.sentence == "The picture is gone."


def test_a_job_that_is_none_of_ours_is_left_alone(stage: Stage) -> None:
    for tag in ("", "{}", "[]", "no json", '{"key": 1, "box": [1]}'):
        stage.tell(events.Recovered("x", tag, "texture", "done", 1, 1, SIZE, SIZE, "u8"))
    assert stage.flow.runs == []
    assert stage.session.calls == []


def test_deleting(stage: Stage) -> None:
    run = finished_run(stage, "job1")
    finished_run(stage, "job2")
    stage.flow.forget([run])
    assert stage.session.calls[-1] == "release job1"
    assert [each.job for each in stage.flow.runs] == ["job2"]
    stage.flow.forget_all()
    assert stage.flow.runs == []
    assert stage.flow.library.bytes == 0


def test_an_engine_message_stays_readable(stage: Stage) -> None:
    stage.running()
    stage.tell(events.EngineDown("The engine stopped; it is started again.", True))
    stage.tell(events.Progress("job1", 0, 1, 1, 10, 3.0))
    assert stage.flow.sentence == "The engine stopped; it is started again."
    stage.now += machine.HOLD
    stage.tell(events.Progress("job1", 0, 1, 2, 10, 3.0))
    assert stage.flow.sentence == "Painting …"


def test_an_engine_that_stays_down_can_be_restarted(stage: Stage) -> None:
    stage.tell(events.EngineDown("The engine keeps stopping.", False))
    assert stage.flow.can_restart
    stage.flow.restart_engine()
    assert stage.session.calls == ["restart"]
    assert not stage.flow.can_restart


@pytest.mark.parametrize("code", ["not_installed", "cannot_start", "refused"])
def test_without_a_bridge_a_click_says_so_and_sends_nothing(stage: Stage, code: str) -> None:
    stage.tell(events.Disconnected("Run the installer.", code))
    stage.flow.say("")
    stage.start()
    assert stage.flow.sentence == "Run the installer."
    assert stage.session.calls == []
    stage.tell(events.Connected((), (), "1", "ready"))
    stage.start()
    assert stage.session.calls == ["submit"]


def test_every_event_has_its_method() -> None:
    assert {*machine.ABOUT_BRIDGE, *machine.ABOUT_RUN} == set(get_args(events.Event))


def test_listeners_hear_of_changes(stage: Stage) -> None:
    heard: list[str] = []
    listener: Callable[[], None] = lambda: heard.append(stage.flow.phase)  # noqa: E731
    stage.flow.listeners.append(listener)
    stage.running()
    assert heard[0] == machine.READING
    assert heard[-1] == machine.RUNNING
