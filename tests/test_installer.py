"""installer.py: the logic for every system, and the real file work in temporary folders."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("installer", ROOT / "installer.py")
assert spec is not None
assert spec.loader is not None
installer = importlib.util.module_from_spec(spec)
sys.modules.setdefault("installer", installer)  # where dataclasses look for it
spec.loader.exec_module(installer)


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
    assert installer.torch_flavour(system, machine, nvidia, wanted) == flavour


@pytest.mark.parametrize(
    ("system", "machine", "wanted"),
    [("Linux", "x86_64", "mps"), ("Darwin", "arm64", "cuda"), ("Darwin", "x86_64", "auto")],
)
def test_torch_flavours_that_do_not_exist(system, machine, wanted):
    with pytest.raises(installer.Stop):
        installer.torch_flavour(system, machine, False, wanted)


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
    assert installer.wrong_build(flavour, system, requirements) is wrong


def test_krita_folders_on_every_system():
    home = Path("/h")
    linux = installer.krita_resources("Linux", {}, home)
    assert linux == [home / ".local/share/krita", home / ".var/app/org.kde.krita/data/krita"]
    assert installer.krita_resources("Linux", {"XDG_DATA_HOME": "/d"}, home)[0] == Path("/d/krita")
    assert installer.krita_resources("Windows", {"APPDATA": "/r"}, home) == [Path("/r/krita")]
    assert installer.krita_resources("Darwin", {}, home) == [home / "Library/Application Support/Krita"]
    for system in ("Linux", "Windows", "Darwin"):
        folders, settings = installer.krita_resources(system, {}, home), installer.krita_settings(system, {}, home)
        assert len(folders) == len(settings)
        assert all(path.name == "kritarc" for path in settings)
    assert installer.krita_settings("Darwin", {}, home) == [home / "Library/Preferences/kritarc"]


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
    installer.enable_in_krita(path)
    assert path.read_text(encoding="utf-8") == after
    installer.enable_in_krita(path, enabled=False)
    assert "enable_repaint_krita=false" in path.read_text(encoding="utf-8")


def test_install_into_a_folder_works_alone_and_uninstalls(tmp_path):
    """The copied plug-in finds its client without the repository; uninstalling leaves nothing of ours."""
    target = tmp_path / "krita"
    (target / "pykrita").mkdir(parents=True)
    (target / "pykrita" / "other.desktop").write_text("x")
    installer.install_krita(target)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import bridge_server.client.editor.flow as f; print(f.__file__)"
    )
    lib = target / "pykrita" / "repaint_krita" / "_lib"
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(lib)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert found.stdout.strip().startswith(str(lib))
    installer.install_krita(target)
    assert installer.uninstall_krita(target)
    left = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    assert left == ["pykrita/other.desktop"]
    assert not installer.uninstall_krita(target)


def test_packages_have_folder_entries_and_the_client(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "installer.py"), "package", "--out", str(tmp_path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    paths = [Path(line) for line in done.stdout.splitlines()]
    plugins = ("repaint_krita", "repaint_gimp")
    assert [path.name for path in paths] == [f"{plugin}-{installer.version()}.zip" for plugin in plugins]
    for path, plugin in zip(paths, plugins, strict=True):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            assert archive.testzip() is None
            modes = {info.filename: info.external_attr >> 16 & 0o777 for info in archive.infolist()}
        assert f"{plugin}/" in names
        assert f"{plugin}/_lib/bridge_server/client/session.py" in names
        assert f"{plugin}/_lib/bridge_server/client/editor/flow.py" in names
        assert not [name for name in names if "__pycache__" in name]
        for name in names:
            for parent in Path(name).parents:
                assert parent == Path() or parent.as_posix() + "/" in names
        executable = [name for name, mode in modes.items() if mode & 0o111]
        assert executable == (["repaint_gimp/repaint_gimp.py"] if plugin == "repaint_gimp" else [])
    assert "repaint_krita.desktop" in zipfile.ZipFile(paths[0]).namelist()


def test_gimp_folders_on_every_system(tmp_path):
    home = Path("/h")
    linux = installer.gimp_folders("Linux", {}, home)
    assert linux == [home / ".config/GIMP", home / ".var/app/org.gimp.GIMP/config/GIMP"]
    assert installer.gimp_folders("Linux", {"XDG_CONFIG_HOME": "/c"}, home)[0] == Path("/c/GIMP")
    assert installer.gimp_folders("Windows", {"APPDATA": "/r"}, home) == [Path("/r/GIMP")]
    assert installer.gimp_folders("Darwin", {}, home) == [home / "Library/Application Support/GIMP"]
    for name in (".config/GIMP/2.10", ".config/GIMP/3.0", ".config/GIMP/3.2", ".var/app/org.gimp.GIMP/config/GIMP/3.0"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / ".config/GIMP/3.0.old").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in installer.gimp_configurations("Linux", {}, tmp_path)]
    assert found == [".config/GIMP/3.0", ".config/GIMP/3.2", ".var/app/org.gimp.GIMP/config/GIMP/3.0"]
    assert installer.gimp_configurations("Linux", {"GIMP3_DIRECTORY": "/g"}, tmp_path) == [Path("/g")]


def test_gimp_plugin_is_installed_whole_and_taken_away(tmp_path):
    other = tmp_path / "plug-ins" / "other" / "other.py"
    other.parent.mkdir(parents=True)
    other.touch()
    installer.install_gimp(tmp_path)
    folder = tmp_path / "plug-ins" / "repaint_gimp"
    assert (folder / "repaint_gimp.py").stat().st_mode & 0o111
    assert not (folder / "plugin.py").stat().st_mode & 0o111
    code = "import sys; sys.path[:0] = [sys.argv[1]]; import bridge_server.client.editor.flow as f; print(f.__file__)"
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(folder / "_lib")], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip().startswith(str(folder))
    (folder / "old.py").touch()
    installer.install_gimp(tmp_path)
    assert not (folder / "old.py").exists()
    assert installer.uninstall_gimp(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [other]
    assert not installer.uninstall_gimp(tmp_path)


def test_gimp_command_installs_everywhere_and_writes_the_launch_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(installer, "set_up", lambda _extra, _torch: Path(sys.executable))
    monkeypatch.setattr(installer.Path, "home", classmethod(lambda _cls: tmp_path))
    monkeypatch.setattr(installer.platform, "system", lambda: "Linux")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("REPAINT_BRIDGE_HOME", str(tmp_path / "rb"))
    monkeypatch.syspath_prepend(str(ROOT))
    for version in ("3.0", "3.2"):
        (tmp_path / ".config/GIMP" / version).mkdir(parents=True)
    assert installer.main(["gimp"]) == 0
    for version in ("3.0", "3.2"):
        assert (tmp_path / ".config/GIMP" / version / "plug-ins" / installer.GIMP_STARTS).stat().st_mode & 0o111
    content = json.loads((tmp_path / "rb/config/launch.json").read_text())
    assert content["interpreter"] == sys.executable
    assert "Filters ▸ RePaint" in capsys.readouterr().out
    assert installer.main(["gimp", "--target", str(tmp_path / "elsewhere")]) == 0
    assert (tmp_path / "elsewhere/plug-ins" / installer.GIMP_STARTS).is_file()


def test_gimp_needs_a_gimp_3(tmp_path):
    """Without a configuration folder nothing is set up; GIMP 2.10 is named as too old."""
    program = tmp_path / "bin" / "gimp"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho GNU Image Manipulation Program version 2.10.34\n")
    program.chmod(0o755)
    environment = {"PATH": f"{program.parent}:/usr/bin:/bin", "HOME": str(tmp_path)}
    environment["REPAINT_BRIDGE_HOME"] = str(tmp_path / "rb")

    def say(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "installer.py"), *words]
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    done = say("gimp")
    assert done.returncode == 1
    assert "start GIMP 3 once" in done.stderr
    assert "GIMP 2.10.34 has no Python 3" in done.stderr
    assert "too old: it has no Python 3" in say("doctor").stdout
    installer.install_gimp(tmp_path / ".config/GIMP/3.0")
    assert f"installed in {tmp_path / '.config/GIMP/3.0'}" in say("doctor").stdout
    assert "Removed from" in say("gimp", "--uninstall").stdout
    assert "was not installed" in say("gimp", "--uninstall").stdout


def test_doctor_says_what_to_do(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "installer.py"), "doctor"], capture_output=True, text=True,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "REPAINT_BRIDGE_HOME": str(tmp_path / "rb")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "RePaint Bridge" in done.stdout
    assert "launch file" in done.stdout
    assert "python3 installer.py krita" in done.stdout


def test_launch_file_is_written_where_plugins_look(tmp_path, monkeypatch):
    monkeypatch.setenv("REPAINT_BRIDGE_HOME", str(tmp_path))
    monkeypatch.syspath_prepend(str(ROOT))
    installer.write_launch_file(Path(sys.executable))
    content = json.loads((tmp_path / "config" / "launch.json").read_text())
    assert content["interpreter"] == sys.executable
    assert content["arguments"] == ["-m", "bridge_server", "serve"]
