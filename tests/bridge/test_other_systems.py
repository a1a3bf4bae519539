"""Windows' ways, tried by stand-ins where this system has others."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from bridge_server.client import launch, link, locks
from bridge_server.pool import started


def test_the_worker_is_started_by_the_real_interpreter_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual environment's python.exe starts another process, whose number would not be the expected one."""
    monkeypatch.setattr(started.sys, "executable", r"C:\Users\Zoë B\engine\Scripts\python.exe")
    monkeypatch.setattr(started.sys, "_base_executable", r"C:\Python313\python.exe", raising=False)
    assert started.own_interpreter() == (r"C:\Users\Zoë B\engine\Scripts\python.exe", {})
    monkeypatch.setattr(started.sys, "platform", "win32")
    interpreter, variables = started.own_interpreter()
    assert interpreter == r"C:\Python313\python.exe"
    assert variables == {"__PYVENV_LAUNCHER__": r"C:\Users\Zoë B\engine\Scripts\python.exe"}
    monkeypatch.setattr(started.sys, "_base_executable", started.sys.executable)
    assert started.own_interpreter()[1] == {}


def test_a_file_that_another_program_reads_is_waited_for_on_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = []

    def replace(path: Path, target: Path) -> None:
        if len(refused) < 3:
            refused.append(path)
            raise PermissionError(13, "The process cannot access the file because it is being used")
        path.rename(target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(PermissionError):
        launch.write_private(tmp_path / "file", "1")
    assert not any(tmp_path.iterdir())
    monkeypatch.setattr(launch.sys, "platform", "win32")
    launch.write_private(tmp_path / "file", "2")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "2"
    assert len(refused) == 3


def test_the_bridge_gets_no_console_window_and_outlives_the_editor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[dict[str, Any]] = []

    def start(_command: list[str], **options: Any) -> types.SimpleNamespace:
        started.append(options)
        return types.SimpleNamespace(poll=lambda: 0)

    recipe = launch.Launch(r"C:\engine\python.exe", ("-m", "bridge_server", "serve"), tmp_path)
    monkeypatch.setattr(link.subprocess, "Popen", start)
    monkeypatch.setattr(link, "children", [])
    link._spawn(recipe)
    with monkeypatch.context() as windows:
        windows.setattr(link.os, "name", "nt")
        link._spawn(recipe)
    assert started[0]["start_new_session"]
    no_window, new_group = 0x08000000, 0x00000200
    assert started[1]["creationflags"] == no_window | new_group
    assert "start_new_session" not in started[1]
    assert all(options["stdin"] is subprocess.DEVNULL for options in started)


def test_locks_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with the system's own: one holder, who is never waited for longer than said."""
    held: dict[tuple[int, int], int] = {}

    def locking(handle: int, mode: int, size: int) -> None:
        assert (mode, size) == (2, 1)
        status = os.fstat(handle)
        key = (status.st_dev, status.st_ino)
        if held.get(key, handle) != handle:
            raise OSError(36, "Resource deadlock avoided")
        held[key] = handle

    monkeypatch.setitem(sys.modules, "msvcrt", types.SimpleNamespace(LK_NBLCK=2, locking=locking))
    spec = importlib.util.spec_from_file_location("locks_of_windows", locks.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with monkeypatch.context() as windows:
        windows.setattr(os, "name", "nt")
        spec.loader.exec_module(module)
    one, other = module.FileLock(tmp_path / "lock"), module.FileLock(tmp_path / "lock")
    assert one.acquire(0.0)
    assert not other.acquire(0.05)
    one.release()
    held.clear()  # the system does this when the file is closed
    assert other.acquire(0.0)
    other.release()


@pytest.mark.parametrize("name", ["Zoë B", "Ольга", "a" * 60])
def test_folders_of_any_user_name(name: str) -> None:
    """OneDrive moves a user's documents and pictures, never %LOCALAPPDATA%."""
    local = f"C:\\Users\\{name}\\AppData\\Local"
    folders = launch.user_folders("win32", {"LOCALAPPDATA": local, "OneDrive": f"C:\\Users\\{name}\\OneDrive"}, Path())
    assert str(folders.data) == str(Path(local) / "repaint-bridge")
    assert folders.state == folders.config == folders.data
    assert launch.user_folders("darwin", {}, Path("/Users") / name).cache == Path(
        f"/Users/{name}/Library/Caches/repaint-bridge"
    )
