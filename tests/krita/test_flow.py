"""The run's state machine without Krita and without a bridge, for orders of events that a real host shows too seldom.

Both sides are played by lists here; that they play true is what test_krita.py shows in the real Krita.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bridge_server.client import events
from bridge_server.client.geometry import Box

from .host import REPOSITORY

PATH = REPOSITORY / "krita_plugin/repaint_krita/flow.py"
SPEC = importlib.util.spec_from_file_location("repaint_flow", PATH)  # the package itself imports krita
assert SPEC is not None
assert SPEC.loader is not None
flow_module = importlib.util.module_from_spec(SPEC)
sys.modules["repaint_flow"] = flow_module
SPEC.loader.exec_module(flow_module)

SIZE = 4
RGBA = [bytes([shade]) * (SIZE * SIZE * 4) for shade in range(10)]


class PaperLayer:
    """A layer that is a list of what was painted; each painting takes two steps."""

    def __init__(self) -> None:
        self.there = flow_module.THERE
        self.name = flow_module.PREVIEW_NAME
        self.painted: list[bytes] = []
        self.takes = True

    def state(self) -> str:
        return str(self.there)

    def give_back_active(self) -> bool:
        return True

    def paint(self, picture: Any) -> Iterator[None]:
        yield
        self.painted.append(picture.rgba)
        return 0.5

    def holds(self, picture: Any) -> Iterator[None]:
        yield
        return self.takes and self.painted[-1] == picture.rgba

    def clear(self) -> None:
        self.painted.append(b"")

    def rename(self, name: str) -> None:
        self.name = name

    def remove(self) -> None:
        self.there = flow_module.GONE


class PaperHost:
    def __init__(self) -> None:
        self.layers: list[PaperLayer] = []

    def capture(self, _source: str) -> Iterator[Any]:
        yield None
        target = flow_module.Target("document", "layer", Box(0, 0, SIZE, SIZE), Box(1, 1, 2, 2))
        yield flow_module.Capture(target, RGBA[0], b"\xff" * (SIZE * SIZE))

    def add_layer(self, _target: Any, name: str, above_active: bool = False) -> PaperLayer:
        del above_active
        self.layers.append(PaperLayer())
        self.layers[-1].name = name
        return self.layers[-1]


class PaperSession:
    def __init__(self) -> None:
        self.waiting: list[Any] = []
        self.calls: list[str] = []

    def poll(self) -> list[Any]:
        waiting, self.waiting = self.waiting, []
        return waiting

    def submit(self, _request: Any) -> str:
        self.calls.append("submit")
        return f"job{self.calls.count('submit')}"

    def cancel(self, _job: str) -> None:
        self.calls.append("cancel")

    def restart_engine(self) -> None:
        self.calls.append("restart")

    def set_preview_interval(self, seconds: float) -> None:
        self.calls.append(f"interval {seconds}")


class Stage:
    """A flow, its two sides and a clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.host, self.session = PaperHost(), PaperSession()
        self.flow = flow_module.Flow(self.host, self.session, lambda: self.now)

    def start(self, variants: int = 1) -> None:
        self.flow.start(flow_module.Settings("texture", "fast", 7, variants))
        self.steps()

    def steps(self) -> None:
        while self.flow.has_steps:
            self.flow.step()

    def tell(self, *news: Any) -> None:
        self.session.waiting.extend(news)
        self.flow.pump()
        self.steps()

    def running(self, variants: int = 1) -> PaperLayer:
        self.start(variants)
        self.tell(events.Accepted("job1", 0, 10))
        return self.host.layers[0]


def preview(variant: int, shade: int, call: int = 1) -> events.Preview:
    return events.Preview("job1", variant, call, SIZE, SIZE, RGBA[shade])


def result(variant: int, shade: int) -> events.Result:
    return events.Result("job1", variant, 7 + variant, SIZE, SIZE, RGBA[shade], "texture", 1.0)


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


def test_previews_are_slowed_to_a_tenth_of_the_time(stage: Stage) -> None:
    stage.running()
    stage.tell(preview(0, 1))
    assert stage.session.calls[-1] == "interval 5.0"


def test_news_of_an_earlier_job_are_not_for_this_one(stage: Stage) -> None:
    stage.running()
    stage.flow.cancel()
    stage.tell(events.Cancelled("job1"))
    stage.start()
    stage.tell(preview(0, 4), result(0, 5), events.Done("job1", 1.0))
    assert stage.flow.phase == flow_module.WAITING
    assert len(stage.host.layers) == 1


ENDS = [events.Done("job1", 1.0), events.Cancelled("job1"), events.Failed("job1", "out_of_memory", "No memory.")]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: type(end).__name__)
def test_every_end_after_a_cancel_leaves_no_layer(stage: Stage, end: events.Event) -> None:
    layer = stage.running()
    stage.tell(preview(0, 1))
    stage.flow.cancel()
    assert layer.painted[-1] == b""
    assert layer.there == flow_module.GONE
    stage.tell(preview(0, 2), end)
    assert not stage.flow.busy
    assert layer.painted[-1] == b""


def test_a_cancel_that_is_never_answered_does_not_lock_the_docker(stage: Stage) -> None:
    stage.running()
    stage.flow.cancel()
    stage.now += flow_module.CANCEL_PATIENCE + 0.1
    stage.flow.tick()
    assert not stage.flow.busy
    assert stage.flow.sentence == "Cancelled."


def test_a_failure_keeps_the_variants_that_are_finished(stage: Stage) -> None:
    layer = stage.running(variants=2)
    stage.tell(preview(0, 1), result(1, 2), events.Failed("job1", "engine_died", "The engine died twice."))
    assert stage.flow.sentence == "The engine died twice."
    assert layer.there == flow_module.THERE
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
    layer.there = flow_module.CLOSED
    stage.tell(result(0, 2), events.Done("job1", 1.0))
    stage.now += flow_module.CANCEL_PATIENCE + 0.1
    stage.flow.tick()
    assert not stage.flow.busy
    assert stage.flow.is_error
    assert stage.flow.sentence == flow_module.DOCUMENT_CLOSED


def test_pixels_that_krita_did_not_take_are_said(stage: Stage) -> None:
    layer = stage.running()
    layer.takes = False
    stage.tell(result(0, 2), events.Done("job1", 1.0))
    assert stage.flow.sentence == flow_module.NOT_TAKEN
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


def test_history_is_bounded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_module, "HISTORY_BYTES", 3 * len(RGBA[0]))
    for number in range(1, 6):
        stage.start()
        job = f"job{number}"
        stage.tell(
            events.Accepted(job, 0, 10),
            events.Result(job, 0, 7, SIZE, SIZE, RGBA[1], "texture", 1.0),
            events.Done(job, 1.0),
        )
    assert [run.number for run in stage.flow.runs] == [3, 4, 5]


def test_an_engine_message_stays_readable(stage: Stage) -> None:
    stage.running()
    stage.tell(events.EngineDown("The engine stopped; it is started again.", True))
    stage.tell(events.Progress("job1", 0, 1, 1, 10, 3.0))
    assert stage.flow.sentence == "The engine stopped; it is started again."
    stage.now += flow_module.HOLD
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


def test_listeners_hear_of_changes(stage: Stage) -> None:
    heard: list[str] = []
    listener: Callable[[], None] = lambda: heard.append(stage.flow.phase)  # noqa: E731
    stage.flow.listeners.append(listener)
    stage.running()
    assert heard[0] == flow_module.READING
    assert heard[-1] == flow_module.RUNNING
