"""Messages over connections that break: in order, each exactly once, few at a time."""

from __future__ import annotations

import random

import pytest

from bridge_server.box import wire
from bridge_server.box.channel import Channel
from bridge_server.client.codec import decode, encode
from bridge_server.client.errors import WireError


def _message(dice: random.Random, number: int) -> list[bytes]:
    size = dice.choice([0, 1, 500, wire.PIECE - 9, wire.PIECE, 3 * wire.PIECE + 5])
    return [b"RPB1", str(number).encode(), dice.randbytes(size)]


@pytest.mark.parametrize("seed", range(20))
def test_every_message_arrives_once_and_in_order_however_often_the_road_breaks(seed: int) -> None:
    dice = random.Random(seed)
    near, far = Channel(), Channel()
    sent: dict[Channel, list[list[bytes]]] = {near: [], far: []}
    come: dict[Channel, list[list[bytes]]] = {near: [], far: []}
    on_the_way: list[tuple[Channel, wire.Piece, bytes]] = []
    for number in range(300):
        one, other = (near, far) if dice.random() < 0.6 else (far, near)
        if number < 60:
            sent[one].append(_message(dice, number))
            one.put(sent[one][-1])
        on_the_way += [(other, piece, payload) for piece, payload in one.due()]
        if dice.random() < 0.1:  # it breaks: what was on its way is lost
            on_the_way.clear()
            near.resume(far.heard)
            far.resume(near.heard)
        for _ in range(dice.randrange(6)):
            if on_the_way:
                to, piece, payload = on_the_way.pop(0)
                lawful, found = decode(encode(piece, payload), wire.FAR)
                assert len(payload) <= wire.PIECE
                message = to.take(lawful, found or b"")
                (far if to is near else near).acknowledge(to.heard)
                if message is not None:
                    come[to].append(message)
    while True:
        on_the_way += [(far, *each) for each in near.due()] + [(near, *each) for each in far.due()]
        if not on_the_way:
            break
        for to, piece, payload in on_the_way:
            message = to.take(piece, payload)
            (far if to is near else near).acknowledge(to.heard)
            if message is not None:
                come[to].append(message)
        on_the_way.clear()
    assert come == {near: sent[far], far: sent[near]}


def test_few_pieces_are_on_their_way_and_the_rest_can_be_dropped() -> None:
    channel = Channel()
    for number in range(10):
        channel.put([bytes([number]) * wire.PIECE])
    assert len(channel.due()) == wire.WINDOW
    assert channel.due() == []
    before = channel.backlog
    channel.drop(lambda frames: frames[0][:1] != b"\x09")
    assert before > 2
    assert channel.backlog == 1
    with pytest.raises(WireError):
        channel.acknowledge(wire.WINDOW + 5)


def test_what_is_no_next_piece_is_refused() -> None:
    channel, whole = Channel(), [b"x"]
    sender = Channel()
    sender.put(whole)
    [(piece, payload)] = sender.due()
    with pytest.raises(WireError):
        channel.take(wire.Piece(1, True, 0), payload)
    with pytest.raises(WireError):
        channel.take(wire.Piece(0, True, 7), payload)
    assert channel.take(piece, payload) == whole
    with pytest.raises(WireError):
        channel.take(piece, payload)
    with pytest.raises(WireError):
        Channel().take(wire.Piece(0, True, 0), b"\0\0\0\x09short")
    with pytest.raises(WireError):
        Channel().take(wire.Piece(0, True, 0), bytes(4 * 4))  # more frames than a message has
    endless = Channel()
    most = wire.LARGEST // wire.PIECE
    for number in range(most):
        assert endless.take(wire.Piece(number, False, 0), bytes(wire.PIECE)) is None
    with pytest.raises(WireError):
        endless.take(wire.Piece(most, False, 0), bytes(wire.PIECE))
