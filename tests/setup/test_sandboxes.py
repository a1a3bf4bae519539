"""Set-up within a sandbox as flatpak and snap lay it out: folders of its own, the rest read-only, processes apart."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bridge_server.client.setup import pythons
from tests.setup.kits import SmallKit

ROOT = Path(__file__).parents[2]
CODE = """
import sys
from pathlib import Path
from bridge_server.client import launch, setup
kit, wheels = map(Path, sys.argv[1:])
before = setup.found(kit).state
one = setup.SetUp(kit, setup.plan(kit, wheels), wheels)
one.start()
one.join(60)
print(before, one.shown().state, setup.found(kit).state, launch.read_launch_file().interpreter, sep="\\n")
"""


def _flatpak(home: Path) -> dict[str, str]:
    own = home / ".var/app/org.kde.krita"
    folders = {"DATA": "data", "CONFIG": "config", "CACHE": "cache", "STATE": ".local/state"}
    return {"HOME": str(home), **{f"XDG_{name}_HOME": str(own / folder) for name, folder in folders.items()}}


def _snap(home: Path) -> dict[str, str]:
    return {"HOME": str(home / "snap/krita/12")}


@pytest.mark.parametrize("place", ["appimage/usr/bin", "snap/krita/12/usr/bin", "GIMP.app/Contents/MacOS", "bin"])
def test_a_python_that_goes_with_the_editor_is_not_taken(place, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / place
    folder.mkdir(parents=True)
    (folder / "python3.12").symlink_to(sys.executable)
    for name, value in {"APPDIR": "appimage", "SNAP": "snap/krita/12"}.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    found = list(pythons.candidates([(3, 12)], tmp_path / "own"))
    assert (str(folder / "python3.12") in found) is (place == "bin")


def sandbox(home: Path, told: dict[str, str]) -> list[str]:
    """The beginning of a command that runs in one; skips where none can be made."""
    for folder in told.values():
        Path(folder).mkdir(parents=True, exist_ok=True)
    command = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/var/tmp"]
    command += ["--bind", str(home), str(home), "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-net"]
    command += ["--die-with-parent", "--clearenv"]
    for name, value in {**told, "PATH": "/usr/bin:/bin", "TMPDIR": "/var/tmp"}.items():
        command += ["--setenv", name, value]
    if not shutil.which("bwrap") or subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("no sandbox can be made here")
    return command


@pytest.mark.parametrize(("layout", "place"), [(_flatpak, ".var/app/org.kde.krita/data"), (_snap, "snap/krita/12")])
def test_set_up_within_a_sandbox_stays_in_its_folders(layout, place, tmp_path: Path) -> None:
    home = tmp_path / "home"
    kit = SmallKit(tmp_path)
    command = [*sandbox(home, layout(home)), sys.executable, "-c", CODE, str(kit.folder), str(kit.wheels)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    before, how, after, interpreter = done.stdout.splitlines()
    assert (before, how, after) == ("missing", "done", "ready"), done.stderr
    assert Path(interpreter).is_relative_to(home / place)
    files = [path for path in home.rglob("*") if path.is_file()]
    assert files
    assert all(path.is_relative_to(home / ".var/app/org.kde.krita") or "snap" in path.parts for path in files)


@pytest.mark.slow
def test_the_bridge_paints_within_a_sandbox(tmp_path: Path) -> None:
    """Processes have other numbers there, and root is somebody else."""
    own = ["--bind", str(ROOT), str(ROOT)]  # the engine's folder can be written to, as where set-up makes it
    command = [*sandbox(tmp_path, _flatpak(tmp_path)), *own, sys.executable, "-m", "bridge_server.check"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("painted through the bridge")
