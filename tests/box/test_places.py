"""Who gets a worker of a box, and a relay whose bridge takes nothing: without a bridge."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import zmq

from bridge_server.box import keys, wire
from bridge_server.box.call import Call
from bridge_server.box.lane import Lane
from bridge_server.pool.backend import Joining
from tests.box.road import Box
from tests.bridge.home import until

pytestmark = pytest.mark.usefixtures("own_home")


@pytest.fixture
def dial(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Says `hello` as a bridge for a slot, of a box with two workers, and returns the answer."""
    monkeypatch.setenv(wire.PATIENCE_VARIABLE, "2 60")
    box, context = Box(workers=2), zmq.Context()
    calls: list[Call] = []

    def dial(bridge: str, slot: int) -> Any:
        host, _, port = box.address.rpartition(":")
        call = Call(context, keys.Box(host, int(port), box.key), keys.own())
        calls.append(call)
        call.say(wire.hello(secrets.token_hex(16), bridge, slot))
        assert call.far.poll(5000), "an answer"
        heard = call.hear()
        assert heard is not None
        return heard[0]

    try:
        box.allow()
        yield dial
    finally:
        for call in calls:
            call.close()
        context.destroy(0)
        box.close()


def test_two_computers_with_one_key_do_not_take_each_others_workers(dial: Callable[..., Any]) -> None:
    assert isinstance(dial("one", 0), wire.Welcome)
    assert isinstance(dial("two", 0), wire.Welcome)
    for bridge in ("one", "two"):
        refused = dial(bridge, 1)
        assert (refused.code, refused.sentence) == ("taken", ""), "another worker serves it"
    taken = dial("three", 0)
    assert taken.code == "taken"
    assert "busy with other computers" in taken.sentence
    assert isinstance(dial("one", 0), wire.Welcome), "its own place"
    until(lambda: isinstance(dial("three", 0), wire.Welcome), "the others are silent", patience=20, pause=0.2)


@pytest.mark.parametrize("deaf", [True, False])
def test_a_bridge_that_takes_nothing_is_no_silent_box(deaf: bool) -> None:
    context = zmq.Context()
    joining = Joining("tcp://127.0.0.1:9", "password", "ticket")
    lane = Lane(context, keys.Box("box", 1, ""), keys.own(), ("bridge", 0), joining, lambda sentence: sentence)
    call: Any = SimpleNamespace(look=lambda: "", say=lambda *_: None, close=lambda: None, refused=False)
    lane.call, lane._open, lane._online = call, True, True
    lane._heard = time.monotonic() - wire.SILENT - 1
    while deaf and lane.near.poll(0, zmq.POLLOUT):
        lane.near.send(b"")
    lane.tick()
    assert (lane.call is call) == deaf
    context.destroy(0)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [("", (8, 30)), ("2.5 6", (2.5, 6)), ("60 600", (60, 600)), ("0 30", (8, 30)), ("8", (8, 30)), ("8 long", (8, 30))],
)
def test_patience_is_a_setting(words: str, seconds: tuple[float, float]) -> None:
    assert wire.patience(words) == seconds
