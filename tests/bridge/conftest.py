from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bridge.home import Home


@pytest.fixture
def home() -> Iterator[Home]:
    """A home of its own, for tests that kill or stop things; no bridge runs yet."""
    one = Home()
    try:
        yield one
    finally:
        one.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Home]:
    """One home with a ready engine for all tests of a module, which must leave it as it was."""
    one = Home("--idle-seconds", "300")
    try:
        one.ready()
        yield one
    finally:
        one.close()
