"""What the tests of the editors' shared side have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bridge.home import Home


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """A bridge that has started."""
    one = Home()
    try:
        one.ready()
        yield one
    finally:
        one.close()
