"""Every test run has its own home: no file of the user is read or written."""

from __future__ import annotations

import gc
import inspect
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.hosts import temporary_folder
from tests.promises import note_promises, tried

__all__ = ["tried"]

gc.disable()  # what is imported stays: looking for garbage among it takes a quarter of the time
tempfile.tempdir = temporary_folder()
# Before anything of the project is imported, and inherited by every process that tests start.
os.environ["REPAINT_BRIDGE_HOME"] = tempfile.mkdtemp(prefix="repaint-bridge-tests-")
os.environ["REPAINT_BRIDGE_TEST_MODELS"] = "1"
os.environ.setdefault("HF_HUB_OFFLINE", "1")


POSIX_ONLY = re.compile(r"mkfifo|SIGSTOP|SIGCONT|SIGKILL|#!/bin/|program\(|/proc/|geteuid|umask|chmod|symlink_to")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    note_promises(items)
    if os.name != "posix":
        for item in items:
            found = POSIX_ONLY.search(inspect.getsource(item.function)) if isinstance(item, pytest.Function) else None
            if found:
                item.add_marker(pytest.mark.skip(reason=f"this system has no {found[0]}"))


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # nanobind takes what is not cleaned up at the end for a leak


@pytest.fixture(scope="session")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``installer.py package`` makes, once per run: ``kit/`` and a zip for each editor."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, str(Path(__file__).parents[1] / "installer.py"), "package", "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    return out


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that has never seen the project, for this process and those it starts."""
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "GIMP3_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "Zoë’s home"
    home.mkdir()
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("REPAINT_BRIDGE_HOME", str(home / "rb"))
    return home


def program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path
