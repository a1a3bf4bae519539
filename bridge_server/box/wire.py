"""The road between a bridge's relay and a box: CURVE, and on it the frames of docs/protocol.md with these few messages.

One connection carries one worker. What the bridge and the worker say to each other (bridge_server/work.py) travels
whole in numbered pieces, so that a connection that broke is taken up again where it was (`Channel`).
"""

from __future__ import annotations

import os
import re

from bridge_server.client.checks import FLAG, IDENT, integer, one_of, optional, text, value
from bridge_server.client.codec import Registry, message
from bridge_server.client.records import COUNT, SENTENCE
from bridge_server.desk import version

PROTOCOL = 2
MAX_WORKERS = 64
PIECE = 128 * 1024  # bytes of a message at once
WINDOW = 4  # pieces on their way; what is more waits where it can still be dropped
LARGEST_FRAME = 2 * PIECE  # CURVE adds a little to each
LARGEST = 5 << 20  # bytes of a message in all: a payload, a header and a little
BEAT = 1.0  # seconds between signs of life
DIAL = 10.0  # seconds for a connection and its handshake
PATIENCE_VARIABLE = "REPAINT_BRIDGE_PATIENCE"


def patience(words: str) -> tuple[float, float]:
    """What the user has set: two numbers of seconds, 2 to 3600; anything else counts as "8 30"."""
    if re.fullmatch(r"\d{1,4}(\.\d)? \d{1,4}(\.\d)?", words):
        silent, grace = map(float, words.split())
        if 2 <= silent <= 3600 and 2 <= grace <= 3600:
            return silent, grace
    return 8.0, 30.0


SILENT, GRACE = patience(os.environ.get(PATIENCE_VARIABLE, ""))
"""Seconds without a sign of life, then the connection is taken for broken; and in which it may be taken up again after
that, before the run is lost, and run again elsewhere."""

FAR = Registry()
TO_BOX, FROM_BOX = "relay → box", "box → relay"


@message(FAR, "hello", TO_BOX)
class Hello:
    """The first message of a connection.  ``slot``: which of this computer's workers it is for; null: only a question.

    ``session``: random, of one worker from its start to its end; ``fresh``: it begins now; ``heard``: pieces of it that
    have come so far.  ``bridge``: random, of the one that asks, for computers with one home have one key.
    """

    protocol: int = value(integer(1, 1000))
    version: str = value(text(40))
    session: str = value(IDENT)
    bridge: str = value(IDENT)
    slot: int | None = value(optional(integer(0, MAX_WORKERS - 1)), default=None)
    fresh: bool = value(FLAG, default=True)
    heard: int = value(COUNT, default=0)


@message(FAR, "welcome", FROM_BOX)
class Welcome:
    """``workers`` there are; ``heard``: pieces of this session that have come so far."""

    workers: int = value(integer(1, MAX_WORKERS))
    heard: int = value(COUNT, default=0)


@message(FAR, "refused", FROM_BOX)
class Refused:
    """No: another ``version``, all workers ``taken``, or a session that has been ``forgotten``.  Without a sentence if
    other workers serve this bridge."""

    code: str = value(one_of("version", "taken", "forgotten"))
    sentence: str = value(SENTENCE)


@message(FAR, "piece", TO_BOX + ", " + FROM_BOX, payload=True)
class Piece:
    """The ``number``-th piece of what is said in this direction; ``last`` of its message; ``heard`` as in `heard`."""

    number: int = value(COUNT)
    last: bool = value(FLAG)
    heard: int = value(COUNT)


@message(FAR, "heard", TO_BOX + ", " + FROM_BOX)
class Heard:
    """So many pieces have come; also the sign of life, every second."""

    heard: int = value(COUNT)


@message(FAR, "gone", FROM_BOX)
class Gone:
    """The worker died; the session is over."""


@message(FAR, "bye", TO_BOX)
class Bye:
    """The session is over; the box ends the worker and deletes what it has kept."""


def hello(session: str, bridge: str, slot: int | None, fresh: bool = True, heard: int = 0) -> Hello:
    """This version's."""
    return Hello(PROTOCOL, version(), session, bridge, slot, fresh, heard)
