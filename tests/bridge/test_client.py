"""The client's small parts: geometry, folders, and that it runs where plug-ins run."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import platformdirs
import platformdirs.macos
import platformdirs.unix
import platformdirs.windows
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge_server.client import launch
from bridge_server.client.geometry import Box, clipped, grown_box, selection_bounds
from engine import canvas
from tests.bridge.home import ROOT, SLOW, Home

CLIENT = sorted((ROOT / "bridge_server" / "client").glob("*.py"))


@pytest.mark.parametrize("path", CLIENT, ids=lambda path: path.name)
def test_it_is_python_3_8_and_imports_only_the_standard_library(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [node.module or ""]
        for name in names:
            top = name.split(".")[0]
            assert top in sys.stdlib_module_names or name.startswith("bridge_server.client"), f"{path.name}: {name}"


_JOB = """
import importlib, importlib.util, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import bridge_server.client
for module in pkgutil.walk_packages(bridge_server.client.__path__, "bridge_server.client."):
    if module.name.split(".")[2] in ("gtk", "qt"):  # the editors' tests import them: only editors have the toolkits
        assert importlib.util.find_spec(module.name).loader.get_code(module.name) is not None
    else:
        importlib.import_module(module.name)
from bridge_server.client.editor.samples import RGBA_OF_GRAY, arranged, shown
from bridge_server.client.geometry import Box
gray = arranged(bytes(range(32)), "f32", 2, RGBA_OF_GRAY)
assert len(shown(gray, 2, Box(0, 0, 2, 2), "f32", True, 9)[0]) == 16
from bridge_server.client.run_job import run
from bridge_server.client.session import JobRequest, Session
session = Session("another python")
session.start()
previews = []
request = JobRequest(32, 32, bytes([9, 99, 199, 255]) * 1024, bytes(400) + b"\\xff" * 624, model=sys.argv[2], seed=4,
                     options={"steps": 20})
result, = run(session, request, on_preview=previews.append, timeout=200)
session.close()
assert previews and "zmq" not in sys.modules and "numpy" not in sys.modules
print(sys.version_info[:2], len(result.rgba), hash(result.rgba) is not None)
"""


def find_python(version: str) -> str | None:
    """An interpreter of that version in the path or among those of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in [shutil.which(f"python{version}"), *map(str, pyenv.glob(f"{version}.*/bin/python"))]:
        if candidate is not None:
            probe = [candidate, "-c", "import sys; print('.'.join(map(str, sys.version_info[:2])))"]
            if subprocess.run(probe, capture_output=True, text=True, check=False).stdout.strip() == version:
                return candidate
    return None


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14"])
def test_it_runs_a_job_under_other_pythons(shared: Home, tmp_path: Path, version: str) -> None:
    """As plug-ins have it: only the client folder, another interpreter, nothing installed."""
    interpreter = find_python(version)
    if interpreter is None:
        pytest.skip(f"no Python {version} here")
    shutil.copytree(ROOT / "bridge_server" / "client", tmp_path / "bridge_server" / "client")
    (tmp_path / "bridge_server" / "__init__.py").touch()
    command = [interpreter, "-I", "-W", "error", "-c", _JOB, str(tmp_path), SLOW]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "4096" in done.stdout
    assert shared.status().engine in ("ready", "busy")


def naive_bounds(selection: bytes, width: int) -> Box | None:
    points = [(k % width, k // width) for k, byte in enumerate(selection) if byte]
    if not points:
        return None
    left, top = min(x for x, _ in points), min(y for _, y in points)
    right, bottom = max(x for x, _ in points), max(y for _, y in points)
    return Box(left, top, right - left + 1, bottom - top + 1)


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_bounds_are_those_of_a_slow_search(width: int, height: int, data: st.DataObject) -> None:
    chosen = data.draw(st.sets(st.integers(0, width * height - 1), max_size=6))
    selection = bytes(data.draw(st.integers(1, 255)) if k in chosen else 0 for k in range(width * height))
    assert selection_bounds(selection, width, height) == naive_bounds(selection, width)


def test_bounds_refuse_another_size() -> None:
    for selection, width, height in ((b"\xff", 1, 2), (b"", 0, 0), (b"\xff" * 4, 4, -1)):
        with pytest.raises(ValueError, match="width"):
            selection_bounds(selection, width, height)


@settings(deadline=None)
@given(
    st.integers(1, 500), st.integers(1, 500), st.integers(-50, 499), st.integers(-50, 499),
    st.integers(1, 300), st.integers(1, 300),
)  # fmt: skip
def test_the_grown_box(canvas_w: int, canvas_h: int, x: int, y: int, width: int, height: int) -> None:
    box = Box(x, y, width, height)
    inside = clipped(box, canvas_w, canvas_h)
    if inside is None:
        with pytest.raises(ValueError, match="outside"):
            grown_box(box, canvas_w, canvas_h)
        return
    grown = grown_box(box, canvas_w, canvas_h)
    side = max(width, height)
    margin = 64 if side <= 52 else max(200, 2 * side)
    assert grown.x == max(0, x - margin)
    assert grown.y == max(0, y - margin)
    assert grown.x + grown.width == min(canvas_w, x + width + margin)
    assert grown.y + grown.height == min(canvas_h, y + height + margin)


@pytest.mark.parametrize("padding", [0, 8, 100, 1000])
@pytest.mark.parametrize("size", [(10, 20), (52, 9), (53, 53), (300, 200), (1500, 700), (3000, 3400)])
def test_what_is_sent_is_what_the_engine_looks_at(size: tuple[int, int], padding: int) -> None:
    width, height = 5000, 4500
    selection = np.zeros((height, width), np.uint8)
    selection[900 : 900 + size[1], 1200 : 1200 + size[0]] = 255
    looked_at = canvas.surroundings(selection, padding or None)
    sent = grown_box(Box(1200, 900, *size), width, height, padding)
    assert (sent.x, sent.y, sent.width, sent.height) == (looked_at.x, looked_at.y, looked_at.width, looked_at.height)


HOMELIKE = Path("/home/artist")


def test_linux_folders_are_those_of_platformdirs(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(HOMELIKE))
    for environ in (
        {},
        {"XDG_CONFIG_HOME": "/x/c", "XDG_STATE_HOME": "/x/s", "XDG_CACHE_HOME": " ", "XDG_DATA_HOME": ""},
    ):
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        theirs = platformdirs.unix.Unix(launch.NAME, appauthor=False)
        ours = launch.user_folders("linux", environ, HOMELIKE)
        assert [str(path) for path in (ours.config, ours.data, ours.cache, ours.state)] == [
            theirs.user_config_dir, theirs.user_data_dir, theirs.user_cache_dir, theirs.user_state_dir
        ]  # fmt: skip


def test_macos_folders_are_those_of_platformdirs(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(HOMELIKE))
    theirs = platformdirs.macos.MacOS(launch.NAME, appauthor=False)
    ours = launch.user_folders("darwin", {}, HOMELIKE)
    assert [str(path) for path in (ours.config, ours.data, ours.cache, ours.state)] == [
        theirs.user_config_dir, theirs.user_data_dir, theirs.user_cache_dir, theirs.user_state_dir
    ]  # fmt: skip


def test_windows_folders() -> None:
    local = Path("C:/Users/a/AppData/Local")
    for environ in ({"LOCALAPPDATA": str(local)}, {}):
        ours = launch.user_folders("win32", environ, Path("C:/Users/a"))
        assert ours == launch.Folders(
            local / launch.NAME, local / launch.NAME, local / launch.NAME / "Cache", local / launch.NAME
        )


def test_one_variable_moves_all_folders() -> None:
    for platform in ("linux", "darwin", "win32"):
        ours = launch.user_folders(platform, {launch.HOME_VARIABLE: "/elsewhere"}, HOMELIKE)
        assert {path.parent for path in (ours.config, ours.data, ours.cache, ours.state)} == {Path("/elsewhere")}
        assert [ours.config.name, ours.data.name, ours.cache.name, ours.state.name] == [
            "config",
            "data",
            "cache",
            "state",
        ]


_WITHOUT_HANDLERS = """
import signal, socket, threading
signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as in Krita, which starts Python without signal handlers
from bridge_server.client.threads import NO_SIGNAL, spared

def write(flags):
    reader, writer = socket.socketpair()
    reader.close()
    try:
        writer.send(b"x", flags)
    except BrokenPipeError:
        print("an error")

def thread():
    write(0)

one = threading.Thread(target=%s)
one.start()
one.join()
write(NO_SIGNAL)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="there is no such signal")
@pytest.mark.parametrize(("target", "status"), [("spared(thread)", 0), ("thread", -signal.SIGPIPE)])
def test_a_connection_that_is_gone_does_not_end_the_editor(target: str, status: int) -> None:
    done = subprocess.run([sys.executable, "-c", _WITHOUT_HANDLERS % target], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == status
    assert done.stdout == ("an error\n" * 2 if status == 0 else "")
