"""What must hold whatever happens, and how often each of it is tried: a little in the usual run, in full with
`python3 installer.py test --soak`, which prints a table (docs/reports/soak.md).

A test that holds a promise is marked `@pytest.mark.promise(NUMBER)`; the fixture `tried` counts for it::

    @pytest.mark.promise(1)
    def test_…(mortal, tried):
        for _ in tried.rounds(1, 20):
            …
            tried.at_most("heard of it", seconds, 1.0, "s")
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

PROMISES = {
    1: "The worker is killed: heard of at once, the same pixels, one end",
    2: "The bridge is killed: no orphan, another one starts, nothing finished is lost",
    3: "The client is killed: its successor gets what it missed",
    4: "Sixteen starters at once: one bridge",
    5: "Garbage in: typed errors, no memory lost, the next honest client is served",
    6: "Whoever cannot prove himself gets nothing",
    7: "Many clients: every end once, in fair order; one that never reads disturbs nobody",
    8: "Cancel at any moment: acknowledged at once, the engine stops, one end",
    9: "The disk is full or can only be read: a clear error, nothing is corrupt, it works when space returns",
    10: "Model files run no code",
    11: "Logs hold no secret and no prompt",
    12: "Anything is killed at any moment: each job ends once, nothing finished is lost",
    13: "Files that are damaged or of another kind: a sentence, and it starts",
    14: "The machine sleeps, or its clock jumps: the work goes on",
    15: "Two versions meet: one sentence, nothing is lost",
    16: "A day of use: memory, files, descriptors and journal stay as they are",
    17: "Any order of submit, cancel, keep, branch, die and come back",
}
VARIABLE = "REPAINT_BRIDGE_SOAK"
SOAKING = os.environ.get(VARIABLE) == "1"


def many(few: int, full: int) -> int:
    """``few`` in the usual run, ``full`` with ``--soak``."""
    return full if SOAKING else few


class Tried:
    """What one test did for its promise. ``record`` takes a name and a value for the report."""

    def __init__(self, record: Callable[[str, object], None]) -> None:
        self._record = record
        self._count = 0
        self._worst: dict[str, tuple[float, float, str]] = {}

    def rounds(self, few: int, full: int) -> Iterator[int]:
        for number in range(many(few, full)):
            yield number
            self._count += 1

    def at_most(self, what: str, value: float, limit: float, unit: str) -> None:
        """Keeps the worst. Times are held to their limit with ``--soak`` only: elsewhere the machine may be busy."""
        if value >= self._worst.get(what, (float("-inf"),))[0]:
            self._worst[what] = value, limit, unit
        if SOAKING or unit != "s":
            assert value <= limit, f"{what}: {value:.2f} {unit}, at most {limit:g}"

    def report(self) -> None:
        self._record("count", self._count or 1)
        for what, (value, limit, unit) in self._worst.items():
            self._record("worst", f"{what}: {value:.3g} of {limit:g} {unit}")


@pytest.fixture
def tried(record_property: Callable[[str, object], None]) -> Iterator[Tried]:
    one = Tried(record_property)
    yield one
    one.report()


def note_promises(items: list[pytest.Item]) -> None:
    """Every test that holds one says so in the report."""
    for item in items:
        for mark in item.iter_markers("promise"):
            item.user_properties.append(("promise", mark.args[0]))
