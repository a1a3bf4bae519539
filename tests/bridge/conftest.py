"""Homes with real bridges.  A start of the engine costs seconds, so most tests share one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bridge.home import Home


@pytest.fixture
def home() -> Iterator[Home]:
    """A home of its own; no bridge runs yet."""
    one = Home()
    try:
        yield one
    finally:
        one.close()


def _keep() -> Iterator[Home]:
    one = Home("--idle-seconds", "900")
    one.leave()
    try:
        yield one
    finally:
        one.enter()
        one.close()


def _use(one: Home) -> Iterator[Home]:
    one.enter()
    try:
        one.ready()
        yield one
    finally:
        one.hang_up()
        one.leave()


_unharmed = pytest.fixture(scope="session", name="_unharmed")(_keep)
_wounded = pytest.fixture(scope="session", name="_wounded")(_keep)


@pytest.fixture
def shared(_unharmed: Home) -> Iterator[Home]:
    """A ready engine for tests that leave it as it was; connections end with the test."""
    yield from _use(_unharmed)


@pytest.fixture
def mortal(_wounded: Home) -> Iterator[Home]:
    """A ready engine for tests that kill processes."""
    yield from _use(_wounded)
