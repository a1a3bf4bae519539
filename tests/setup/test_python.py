"""A Python that set-up brings: uv takes it from a stand-in of where it usually takes it."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import sys
import tarfile
from pathlib import Path

import pytest

from bridge_server.client import launch, setup
from bridge_server.client.setup import environments, pythons, running
from tests.setup.kits import HERE, SmallKit
from tests.setup.test_road import good, run

LEFT_OUT = {"test", "tests", "site-packages", "idlelib", "__pycache__", "tkinter", "ensurepip", "lib2to3"}


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallKit:
    """On a computer without a suitable Python."""
    usual = pythons.candidates
    ours = lambda versions, own: (each for each in usual(versions, own) if each.startswith(str(own)))  # noqa: E731
    monkeypatch.setattr(pythons, "candidates", ours)
    return SmallKit(tmp_path / "one")


@pytest.mark.skipif(platform.system() != "Linux", reason="the stand-in is a Python of Linux")
def test_a_python_is_brought(home: Path, kit: SmallKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if set(Path(entry.name).parts) & LEFT_OUT or "config-" in entry.name else entry

    archive, base = tmp_path / "python.tar.gz", Path(sys.base_prefix)
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        tar.add(base / "bin" / f"python{HERE}", f"python/bin/python{HERE}")
        tar.add(base / "lib" / f"python{HERE}", f"python/lib/python{HERE}", filter=kept)
    full = "{}.{}.{}".format(*sys.version_info[:3])
    machine = platform.machine()
    entry = {
        "name": "cpython", "arch": {"family": machine, "variant": None}, "os": "linux", "libc": "gnu", "major": 3,
        "minor": sys.version_info[1], "patch": sys.version_info[2], "prerelease": "", "url": archive.as_uri(),
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(), "variant": None, "build": "20261101",
    }  # fmt: skip
    (tmp_path / "list.json").write_text(json.dumps({f"cpython-{full}-linux-{machine}-gnu": entry}))
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS_JSON_URL", str(tmp_path / "list.json"))

    plan = setup.plan(kit.folder, kit.wheels)
    assert plan.python == f"Python {HERE}, downloaded for the engine alone"
    monkeypatch.delenv("UV_NO_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (home / "state").mkdir(parents=True)
    for folder in (home, home / "state"):  # above the log's: not the user's settings
        (folder / "uv.toml").write_text('required-version = "==0.0.1"')
    good(kit, kit.wheels)
    own = environments.pythons()
    assert own.stat().st_mode & 0o777 == 0o700
    assert launch.read_launch_file().interpreter.startswith(str(plan.folder))
    assert f"home = {own}" in (plan.folder / "pyvenv.cfg").read_text()
    assert not (home / ".local").exists()

    (own / "cpython-3.9.1-old").mkdir()
    running.tidy(plan.folder)
    assert [path.name for path in own.iterdir() if path.is_dir() and not path.is_symlink()] == [
        f"cpython-{full}-linux-{machine}-gnu"
    ]
    assert setup.found(kit.folder) == setup.Found("ready")
    assert setup.broken_parts(plan.folder) == []
    shutil.rmtree(own)
    assert setup.found(kit.folder) == setup.Found("broken", "The Python that the engine needs is gone: click Repair.")
    good(kit, kit.wheels)


def test_no_python_can_be_had(kit: SmallKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS_JSON_URL", str(tmp_path / "list.json"))
    (tmp_path / "list.json").write_text("{}")
    shown = run(kit, kit.wheels)
    assert shown.sentence == (
        f"Python {HERE} could not be downloaded: install Python {HERE} yourself or check the network, then try again."
    )
    assert [step.state for step in shown.steps][:3] == ["done", "failed", "waiting"]
