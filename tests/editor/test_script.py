"""Runs for scripts, on the editor made of files and a bridge that is played by lists."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from bridge_server.client import events
from bridge_server.client.editor import script, sentences
from bridge_server.client.editor.model import MAX_SEED, Extend, Refused
from bridge_server.client.errors import BridgeError, JobFailed
from tests.editor.stage import RGBA, PaperSession, WatchedHost, result


class Session(PaperSession):
    def start(self) -> None:
        self.calls.append("start")


def begun() -> tuple[WatchedHost, Session, Generator[float, None, Any]]:
    """A run that waits for the bridge."""
    host, session = WatchedHost(), Session()
    steps = script.steps(host, session, script.settings(None, seed=7))
    while next(steps) == 0:
        pass
    return host, session, steps


def outcome(steps: Generator[float, None, Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_a_run_returns_its_layer() -> None:
    host, session, steps = begun()
    assert session.calls == ["start", "submit"]
    session.waiting = [events.Accepted("job1", 0, 10), result(0, 2), events.Done("job1", 1.0)]
    assert outcome(steps) is host.layers[0]
    assert host.layers[0].painted == [RGBA[2]]
    assert host.layers[0].name == "RePaint exemplar · seed 7"
    assert "cancel" not in session.calls


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (events.Failed("job1", "oom", "Too large.", ""), JobFailed),
        (events.Disconnected("No engine.", "not_installed"), BridgeError),
        (events.EngineDown("It will not start.", False), BridgeError),
    ],
)
def test_a_failure_is_a_sentence_and_leaves_nothing(event: events.Event, error: type[BridgeError]) -> None:
    host, session, steps = begun()
    session.waiting = [event]
    with pytest.raises(error) as failure:
        next(steps)
    assert failure.value.sentence == event.sentence  # type: ignore[union-attr]
    assert not host.layers
    assert ("cancel" in session.calls) == (error is BridgeError)


def test_closing_it_cancels_the_job() -> None:
    host, session, steps = begun()
    steps.close()
    assert session.calls == ["start", "submit", "cancel"]
    assert not host.layers


def test_a_layer_that_does_not_take_the_picture_goes() -> None:
    host, session, steps = begun()
    session.waiting = [result(0, 2), events.Done("job1", 1.0)]
    while not host.layers:
        next(steps)
    host.layers[0].takes = False
    with pytest.raises(Refused, match="does not hold"):
        list(steps)
    assert not host.layers[0].path.exists()


def test_options_are_called_as_on_the_command_line() -> None:
    wanted = script.settings(Extend(right=8), seed=3, preset="quality", steps=12, hard=True, source="layer", feather=2)
    assert (wanted.model, wanted.preset, wanted.seed, wanted.variants) == ("exemplar", "quality", 3, 1)
    assert (wanted.options, wanted.source, wanted.feather) == ({"steps": 12, "hard": True}, "layer", 2)
    assert script.settings(None, learn=60).model == "texture"
    assert 0 <= script.settings(None).seed <= MAX_SEED
    assert script.settings(None).seed != script.settings(None).seed


@pytest.mark.parametrize(
    "option",
    [
        {"seed": -1},
        {"seed": "seven"},
        {"model": "../x"},
        {"preset": 3},
        {"source": "clipboard"},
        {"feather": 1000},
        {"steps": 1},
        {"hard": 1},
        {"prompt": None},
    ],
)
def test_what_an_option_cannot_be_is_said(option: dict[str, Any]) -> None:
    name, value = next(iter(option.items()))
    with pytest.raises(Refused) as refusal:
        script.settings(None, **option)
    assert refusal.value.sentence == sentences.BAD_OPTION.format(name=name, value=repr(value))
