"""Every test run has its own home: no file of the user is read or written."""

from __future__ import annotations

import os
import tempfile

import pytest

from tests.hosts import temporary_folder
from tests.promises import note_promises, tried

__all__ = ["tried"]

tempfile.tempdir = temporary_folder()
# Before anything of the project is imported, and inherited by every process that tests start.
os.environ["REPAINT_BRIDGE_HOME"] = tempfile.mkdtemp(prefix="repaint-bridge-tests-")
os.environ["REPAINT_BRIDGE_TEST_MODELS"] = "1"
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    note_promises(items)
