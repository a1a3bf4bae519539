"""A home that has never seen the project, and settings of nobody."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bridge_server.client import launch


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in list(os.environ):
        if variable.startswith(("PIP_", "UV_")) or variable.lower().endswith("_proxy"):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    path = tmp_path / "Zoë’s home"
    monkeypatch.setenv(launch.HOME_VARIABLE, str(path))
    return path
