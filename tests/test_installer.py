"""installer.py: the logic for every system, and the real file work in temporary folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import installer
from bridge_server import __main__ as bridge
from bridge_server.manage import places, plugins
from install import environment

from .conftest import program

ROOT = Path(__file__).parents[1]


@pytest.fixture
def own_home(own_home, monkeypatch):
    """Nor is anything set up: this environment does."""
    monkeypatch.setattr(installer, "set_up", lambda _extra, _torch: Path(sys.executable))
    return own_home


@pytest.mark.parametrize(
    ("system", "machine", "nvidia", "wanted", "flavour"),
    [
        ("Linux", "x86_64", False, "auto", "cpu"),
        ("Linux", "x86_64", True, "auto", "cuda"),
        ("Linux", "x86_64", True, "cpu", "cpu"),
        ("Linux", "aarch64", False, "auto", "cpu"),
        ("Windows", "AMD64", True, "auto", "cuda"),
        ("Windows", "AMD64", False, "cuda", "cuda"),
        ("Darwin", "arm64", False, "auto", "mps"),
        ("Darwin", "arm64", False, "cpu", "mps"),
    ],
)
def test_torch_flavour(system, machine, nvidia, wanted, flavour):
    assert environment.torch_flavour(system, machine, nvidia, wanted) == flavour


@pytest.mark.parametrize(
    ("system", "machine", "wanted"),
    [("Linux", "x86_64", "mps"), ("Darwin", "arm64", "cuda"), ("Darwin", "x86_64", "auto")],
)
def test_torch_flavours_that_do_not_exist(system, machine, wanted):
    with pytest.raises(environment.Stop):
        environment.torch_flavour(system, machine, False, wanted)


CUDA = ["filelock", "nvidia-cublas==13; platform_system == 'Linux'"]


@pytest.mark.parametrize(
    ("flavour", "system", "requirements", "wrong"),
    [
        ("cpu", "Linux", CUDA, True),
        ("cpu", "Linux", ["filelock"], False),
        ("cpu", "Windows", ["filelock"], False),
        ("cuda", "Linux", CUDA, False),
        ("cuda", "Windows", ["filelock"], True),
        ("mps", "Darwin", ["filelock"], False),
    ],
)
def test_wrong_build(flavour, system, requirements, wrong):
    assert environment.wrong_build(flavour, system, requirements) is wrong


def test_krita_folders_on_every_system(monkeypatch):
    home = Path("/h")
    linux = places.krita_resources("Linux", {}, home)
    flatpak, snap = home / ".var/app/org.kde.krita/data/krita", home / "snap/krita/current/.local/share/krita"
    assert linux == [home / ".local/share/krita", flatpak, snap]
    monkeypatch.setenv("HOME", str(home))
    assert [places.sandbox(folder) for folder in (*linux, Path("/snap/x"))] == ["", "flatpak", "snap", ""]
    assert places.krita_resources("Linux", {"XDG_DATA_HOME": "/d"}, home)[0] == Path("/d/krita")
    assert places.krita_resources("Windows", {"APPDATA": "/r"}, home) == [Path("/r/krita")]
    assert places.krita_resources("Darwin", {}, home) == [home / "Library/Application Support/Krita"]
    for system in ("Linux", "Windows", "Darwin"):
        folders, settings = places.krita_resources(system, {}, home), places.krita_settings(system, {}, home)
        assert len(folders) == len(settings)
        assert all(path.name == "kritarc" for path in settings)
    assert places.krita_settings("Darwin", {}, home) == [home / "Library/Preferences/kritarc"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "[python]\nenable_repaint_krita=true\n"),
        ("[a]\nb=c\n", "[a]\nb=c\n\n[python]\nenable_repaint_krita=true\n"),
        ("[python]\nx=1\n", "[python]\nenable_repaint_krita=true\nx=1\n"),
        ("[python]\nenable_repaint_krita=false\n[z]\ny=ü\n", "[python]\nenable_repaint_krita=true\n[z]\ny=ü\n"),
    ],
)
def test_kritarc_keeps_every_other_line(tmp_path, before, after):
    path = tmp_path / "config" / "kritarc"
    if before:
        path.parent.mkdir()
        path.write_text(before, encoding="utf-8")
    plugins.enable_in_krita(path)
    assert path.read_text(encoding="utf-8") == after
    plugins.enable_in_krita(path, enabled=False)
    assert "enable_repaint_krita=false" in path.read_text(encoding="utf-8")


def test_install_into_a_folder_works_alone_and_uninstalls(tmp_path):
    """The copied plug-in finds its client without the repository; uninstalling leaves nothing of ours."""
    target = tmp_path / "krita"
    (target / "pykrita").mkdir(parents=True)
    (target / "pykrita" / "other.desktop").write_text("x")
    plugins.install_krita(target)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import bridge_server.client.editor.flow as f; print(f.__file__)"
    )
    lib = target / "pykrita" / "repaint_krita" / "_lib"
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(lib)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert found.stdout.strip().startswith(str(lib))
    plugins.install_krita(target)
    assert plugins.uninstall_krita(target)
    left = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    assert left == ["pykrita/other.desktop"]
    assert not plugins.uninstall_krita(target)


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_links_go_and_what_they_point_to_stays(tmp_path):
    """A plug-in's folder that is a link to a clone, and a kritarc that is one to a folder of settings."""
    clone, target, gimp = tmp_path / "clone", tmp_path / "krita", tmp_path / "gimp"
    kritarc = tmp_path / "config/kritarc"
    for folder in (clone, target / "pykrita", gimp / "plug-ins", kritarc.parent):
        folder.mkdir(parents=True)
    (clone / "mine.py").touch()
    (target / "pykrita/repaint_krita").symlink_to(clone)
    (gimp / "plug-ins/repaint_gimp").symlink_to(clone)
    (tmp_path / "dotfile").write_text("[a]\nb=c\n")
    kritarc.symlink_to(tmp_path / "dotfile")
    plugins.install_krita(target)
    assert not (target / "pykrita/repaint_krita").is_symlink()
    assert plugins.uninstall_gimp(gimp)
    assert not any((gimp / "plug-ins").iterdir())
    assert [path.name for path in clone.iterdir()] == ["mine.py"]
    plugins.enable_in_krita(kritarc)
    assert kritarc.is_symlink()
    assert plugins.enabled_in_krita(tmp_path / "dotfile")


def test_what_the_system_refuses_is_one_sentence(tmp_path, capsys):
    (tmp_path / "pykrita").touch()
    assert bridge.main(["krita", "--target", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path / 'pykrita'}")
    assert said.endswith("run this again.\n")
    assert said.count("\n") == 1


def test_gimp_folders_on_every_system(tmp_path):
    home = Path("/h")
    linux = places.gimp_folders("Linux", {}, home)
    flatpak, snap = home / ".var/app/org.gimp.GIMP/config/GIMP", home / "snap/gimp/current/.config/GIMP"
    assert linux == [home / ".config/GIMP", flatpak, snap]
    assert places.gimp_folders("Linux", {"XDG_CONFIG_HOME": "/c"}, home)[0] == Path("/c/GIMP")
    assert places.gimp_folders("Windows", {"APPDATA": "/r"}, home) == [Path("/r/GIMP")]
    assert places.gimp_folders("Darwin", {}, home) == [home / "Library/Application Support/GIMP"]
    for name in (".config/GIMP/2.10", ".config/GIMP/3.0", ".config/GIMP/3.2", ".var/app/org.gimp.GIMP/config/GIMP/3.0"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / ".config/GIMP/3.0.old").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in places.gimp_configurations("Linux", {}, tmp_path)]
    assert found == [".config/GIMP/3.0", ".config/GIMP/3.2", ".var/app/org.gimp.GIMP/config/GIMP/3.0"]
    assert places.gimp_configurations("Linux", {"GIMP3_DIRECTORY": "/g"}, tmp_path) == [Path("/g")]


def test_gimp_plugin_is_installed_whole_and_taken_away(tmp_path):
    other = tmp_path / "plug-ins" / "other" / "other.py"
    other.parent.mkdir(parents=True)
    other.touch()
    plugins.install_gimp(tmp_path)
    folder = tmp_path / "plug-ins" / "repaint_gimp"
    assert (folder / "repaint_gimp.py").stat().st_mode & 0o111
    assert not (folder / "plugin.py").stat().st_mode & 0o111
    code = "import sys; sys.path[:0] = [sys.argv[1]]; import bridge_server.client.editor.flow as f; print(f.__file__)"
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(folder / "_lib")], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip().startswith(str(folder))
    (folder / "old.py").touch()
    plugins.install_gimp(tmp_path)
    assert not (folder / "old.py").exists()
    assert plugins.uninstall_gimp(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [other]
    assert not plugins.uninstall_gimp(tmp_path)


def test_gimp_command_installs_everywhere_and_writes_the_launch_file(own_home, capfd):
    folders = [own_home / ".config/GIMP" / name for name in ("3.0", "3.2")]
    for folder in folders:
        folder.mkdir(parents=True)
    assert installer.main(["gimp"]) == 0
    for folder in folders:
        assert (folder / "plug-ins" / plugins.GIMP_STARTS).stat().st_mode & 0o111
    content = json.loads((own_home / "rb/config/launch.json").read_text())
    assert content["interpreter"] == sys.executable
    assert content["arguments"] == ["-m", "bridge_server", "serve"]
    assert "Filters ▸ RePaint" in capfd.readouterr().out
    assert installer.main(["gimp", "--target", str(own_home / "elsewhere")]) == 0
    assert (own_home / "elsewhere/plug-ins" / plugins.GIMP_STARTS).is_file()


@pytest.mark.parametrize("command", ["krita", "gimp"])
def test_nobody_else_can_change_what_is_installed(command, own_home):
    (own_home / ".config/GIMP/3.0").mkdir(parents=True)
    before = os.umask(0)
    try:
        assert installer.main([command]) == 0
    finally:
        assert os.umask(before) == 0
    found = [path for path in own_home.rglob("*") if path.is_relative_to(own_home / "rb") or "repaint" in path.name]
    assert len(found) >= 5
    for path in found:
        assert path.stat().st_mode & 0o022 == 0, path
        if path.is_dir():
            assert path.stat().st_mode & 0o077 == 0, path


def test_an_editor_in_a_sandbox_gets_no_engine_that_it_cannot_start(own_home, capfd):
    """Flatpak's and snap's: one sentence each, and nothing is written there."""
    folders = [own_home / ".var/app/org.kde.krita/data/krita", own_home / "snap/krita/current/.local/share/krita"]
    for folder in (own_home / ".local/share/krita", *folders):
        folder.mkdir(parents=True)
    assert installer.main(["krita"]) == 0
    said = capfd.readouterr().out
    for folder, sandbox in zip(folders, ("flatpak", "snap"), strict=True):
        assert f"Not installed into {folder}: an editor from {sandbox} cannot start programs outside" in said
        assert not any(folder.iterdir())
    assert (own_home / ".local/share/krita/pykrita/repaint_krita.desktop").is_file()


@pytest.mark.parametrize("command", ["demo", "krita", "gimp", "test"])
def test_only_the_tests_install_debian_packages(command, tmp_path, monkeypatch, capsys):
    """A Python without ensurepip, and an apt-get that leaves a trace."""
    python = program(tmp_path / "python", "echo not created: ensurepip is not available; exit 1")
    program(tmp_path / "apt-get", f"echo $@ >> {tmp_path}/installed")
    monkeypatch.setattr(environment.sys, "executable", str(python))
    monkeypatch.setattr(environment, "VENV", tmp_path / "venv")
    monkeypatch.setattr(environment, "LOG", tmp_path / "install.log")
    monkeypatch.setattr(environment, "is_debian", lambda: True)
    monkeypatch.setattr(environment.os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    target = ["--target", str(tmp_path / "target")] if command in ("krita", "gimp") else []
    assert installer.main([command, *target]) == 1
    said = capsys.readouterr().err
    if command == "test":
        assert "-venv" in (tmp_path / "installed").read_text()
        assert "could not be made" in said
    else:
        assert not (tmp_path / "installed").exists()
        assert said.count("\n") == 1
        assert "“sudo apt install python3." in said


def test_gimp_needs_a_gimp_3(own_home, monkeypatch, capfd):
    """Without a configuration folder nothing is set up; GIMP 2.10 is named as too old."""
    program(own_home / "gimp", "echo GNU Image Manipulation Program version 2.10.34")
    monkeypatch.setenv("PATH", f"{own_home}:/usr/bin:/bin")
    monkeypatch.setattr(installer, "set_up", lambda *_: pytest.fail("nothing is to be set up"))
    with pytest.raises(SystemExit, match="1"):
        installer.main(["gimp"])
    said = capfd.readouterr().err
    assert "start GIMP 3 once" in said
    assert "GIMP 2.10.34 has no Python 3" in said
    plugins.install_gimp(own_home / ".config/GIMP/3.0")
    installer.main(["gimp", "--uninstall"])
    installer.main(["gimp", "--uninstall"])
    said = capfd.readouterr().out
    assert "Removed from" in said
    assert "was not installed" in said
