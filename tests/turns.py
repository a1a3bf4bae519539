"""Several runs of pytest share the same tests: each module goes to the run that comes to it first.

``-p tests.turns`` with the variable naming a folder of theirs, in which a module that has been taken is a file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

VARIABLE = "REPAINT_BRIDGE_TEST_TURNS"
TOGETHER = ("tests/ray",)
"""Folders whose modules share what is expensive to start: they go to one run, and come first."""


def pytest_runtestloop(session: pytest.Session) -> bool:
    """As pytest's own, but over those that are this run's."""
    if session.testsfailed and not session.config.option.continue_on_collection_errors:
        raise session.Interrupted(f"{session.testsfailed} modules could not be collected")
    if session.config.option.collectonly:
        return True
    mine = _mine(session.items, Path(os.environ[VARIABLE]))
    item = next(mine, None)
    while item is not None:
        following = next(mine, None)
        session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        item = following
    return True


def _mine(items: list[pytest.Item], folder: Path) -> Iterator[pytest.Item]:
    taken: dict[str, bool] = {}
    for item in sorted(items, key=lambda item: not item.nodeid.startswith(TOGETHER)):
        module = item.nodeid.partition("::")[0]
        name = next((each for each in TOGETHER if module.startswith(f"{each}/")), module)
        if name not in taken:
            taken[name] = _take(folder / name.replace("/", "-"))
        if taken[name]:
            yield item


def _take(place: Path) -> bool:
    try:
        place.open("x").close()
    except FileExistsError:
        return False
    return True
