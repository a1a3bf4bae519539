"""installer.py: the logic for every system, and the real file work in temporary folders."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pip._vendor.packaging.markers import Marker
from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name

import installer
from install import environment, lock, plugins

ROOT = Path(__file__).parents[1]


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


def test_krita_folders_on_every_system():
    home = Path("/h")
    linux = plugins.krita_resources("Linux", {}, home)
    assert linux == [home / ".local/share/krita", home / ".var/app/org.kde.krita/data/krita"]
    assert plugins.krita_resources("Linux", {"XDG_DATA_HOME": "/d"}, home)[0] == Path("/d/krita")
    assert plugins.krita_resources("Windows", {"APPDATA": "/r"}, home) == [Path("/r/krita")]
    assert plugins.krita_resources("Darwin", {}, home) == [home / "Library/Application Support/Krita"]
    for system in ("Linux", "Windows", "Darwin"):
        folders, settings = plugins.krita_resources(system, {}, home), plugins.krita_settings(system, {}, home)
        assert len(folders) == len(settings)
        assert all(path.name == "kritarc" for path in settings)
    assert plugins.krita_settings("Darwin", {}, home) == [home / "Library/Preferences/kritarc"]


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


def test_packages_have_folder_entries_the_client_and_the_kit(packaged):
    for plugin in ("repaint_krita", "repaint_gimp"):
        path = packaged / f"{plugin}-{plugins.version()}.zip"
        assert path.stat().st_size < 25_000_000
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            assert archive.testzip() is None
            modes = {info.filename: info.external_attr >> 16 & 0o777 for info in archive.infolist()}
            inside = {file.name: archive.read(f"{plugin}/kit/{file.name}") for file in (packaged / "kit").iterdir()}
        assert f"{plugin}/" in names
        assert f"{plugin}/_lib/bridge_server/client/session.py" in names
        assert f"{plugin}/_lib/bridge_server/client/editor/flow.py" in names
        assert not [name for name in names if "__pycache__" in name]
        for name in names:
            for parent in Path(name).parents:
                assert parent == Path() or parent.as_posix() + "/" in names
        executable = [name for name, mode in modes.items() if mode & 0o111 and not name.endswith("/")]
        assert executable == (["repaint_gimp/repaint_gimp.py"] if plugin == "repaint_gimp" else [])
        assert inside == {file.name: file.read_bytes() for file in (packaged / "kit").iterdir()}
    assert "repaint_krita.desktop" in zipfile.ZipFile(packaged / f"repaint_krita-{plugins.version()}.zip").namelist()


def test_kit_holds_the_wheel_that_its_lock_names(packaged):
    kit = packaged / "kit"
    lock = json.loads((kit / "lock.json").read_text(encoding="utf-8"))
    (file,) = lock["project"]["files"]
    assert sorted(path.name for path in kit.iterdir()) == ["LICENSE", "lock.json", file["name"]]
    content = (kit / file["name"]).read_bytes()
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (file["sha256"], file["size"])
    assert lock["index"].startswith("https://")
    with zipfile.ZipFile(kit / file["name"]) as wheel:
        names = set(wheel.namelist())
    weights = "engine/weights/texture/"
    assert {weights + "MODEL_CARD.md", weights + "unet/diffusion_pytorch_model.safetensors"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_same_commit_makes_the_same_bytes(packaged, tmp_path):
    """Whoever builds it, with whatever umask, and whenever."""
    variables = {**os.environ, "SOURCE_DATE_EPOCH": "1000000000", "TZ": "Asia/Tokyo"}
    command = [sys.executable, str(ROOT / "installer.py"), "package", "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, env=variables, umask=0o077)
    made, again = ({path.relative_to(top): path for path in top.rglob("*.*")} for top in (packaged, tmp_path))
    assert made.keys() == again.keys()
    for name, path in made.items():
        assert path.read_bytes() == again[name].read_bytes(), name


@pytest.mark.parametrize("python", lock.PYTHONS)
@pytest.mark.parametrize("system", lock.SYSTEMS)
def test_lock_has_what_the_project_needs(system, python):
    """For each system and Python a wheel of every package of pyproject.toml, in a version that suits."""
    target = (system, python)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    content = json.loads(lock.LOCK.read_text(encoding="utf-8"))
    variables = lock.environment(target)
    there = [each for each in content["packages"] if not each["marker"] or Marker(each["marker"]).evaluate(variables)]
    for each in [*there, content["uv"]]:
        assert any(lock.usable(file["name"], target) for file in each["files"]), each["name"]
    versions = {each["name"]: each["version"] for each in there}
    for wanted in map(Requirement, project["dependencies"]):
        if wanted.marker is None or wanted.marker.evaluate(variables):
            assert wanted.specifier.contains(versions[canonicalize_name(wanted.name)], prereleases=True), wanted
    chosen = [(each["name"], each["flavour"]) for each in there]
    assert len(set(chosen)) == len(chosen)
    files = [file for each in content["packages"] for file in each["files"]]
    assert all(re.fullmatch("[0-9a-f]{64}", file["sha256"]) and file["size"] > 0 for file in files)


def test_lock_takes_other_builds_of_torch_from_a_folder(tmp_path):
    name = "torch-2.13.0+rocm7.1-cp312-cp312-manylinux_2_28_x86_64.whl"
    for each in (name, "triton_rocm-3.5.0-cp312-cp312-linux_x86_64.whl"):
        (tmp_path / each).write_bytes(each.encode())
    torch, triton = lock.builds("rocm", tmp_path)
    assert (torch["name"], torch["version"], torch["flavour"]) == ("torch", "2.13.0+rocm7.1", "rocm")
    assert torch["marker"] == "sys_platform == 'linux' and platform_machine == 'x86_64' and python_version == '3.12'"
    assert torch["files"] == [{"name": name, "sha256": hashlib.sha256(name.encode()).hexdigest(), "size": len(name)}]
    assert triton["name"] == "triton-rocm"
    with pytest.raises(environment.Stop, match="no wheel of torch"):
        lock.builds("cpu", tmp_path / "nothing")


def test_gimp_folders_on_every_system(tmp_path):
    home = Path("/h")
    linux = plugins.gimp_folders("Linux", {}, home)
    assert linux == [home / ".config/GIMP", home / ".var/app/org.gimp.GIMP/config/GIMP"]
    assert plugins.gimp_folders("Linux", {"XDG_CONFIG_HOME": "/c"}, home)[0] == Path("/c/GIMP")
    assert plugins.gimp_folders("Windows", {"APPDATA": "/r"}, home) == [Path("/r/GIMP")]
    assert plugins.gimp_folders("Darwin", {}, home) == [home / "Library/Application Support/GIMP"]
    for name in (".config/GIMP/2.10", ".config/GIMP/3.0", ".config/GIMP/3.2", ".var/app/org.gimp.GIMP/config/GIMP/3.0"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / ".config/GIMP/3.0.old").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in plugins.gimp_configurations("Linux", {}, tmp_path)]
    assert found == [".config/GIMP/3.0", ".config/GIMP/3.2", ".var/app/org.gimp.GIMP/config/GIMP/3.0"]
    assert plugins.gimp_configurations("Linux", {"GIMP3_DIRECTORY": "/g"}, tmp_path) == [Path("/g")]


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


def test_gimp_command_installs_everywhere_and_writes_the_launch_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(plugins, "set_up", lambda _extra, _torch: Path(sys.executable))
    monkeypatch.setattr(plugins.Path, "home", classmethod(lambda _cls: tmp_path))
    monkeypatch.setattr(plugins.platform, "system", lambda: "Linux")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("REPAINT_BRIDGE_HOME", str(tmp_path / "rb"))
    monkeypatch.syspath_prepend(str(ROOT))
    for version in ("3.0", "3.2"):
        (tmp_path / ".config/GIMP" / version).mkdir(parents=True)
    assert installer.main(["gimp"]) == 0
    for version in ("3.0", "3.2"):
        assert (tmp_path / ".config/GIMP" / version / "plug-ins" / plugins.GIMP_STARTS).stat().st_mode & 0o111
    content = json.loads((tmp_path / "rb/config/launch.json").read_text())
    assert content["interpreter"] == sys.executable
    assert "Filters ▸ RePaint" in capsys.readouterr().out
    assert installer.main(["gimp", "--target", str(tmp_path / "elsewhere")]) == 0
    assert (tmp_path / "elsewhere/plug-ins" / plugins.GIMP_STARTS).is_file()


@pytest.mark.parametrize("command", ["krita", "gimp"])
def test_nobody_else_can_change_what_is_installed(command, tmp_path, monkeypatch):
    monkeypatch.setattr(plugins, "set_up", lambda _extra, _torch: Path(sys.executable))
    monkeypatch.setattr(plugins.Path, "home", classmethod(lambda _cls: tmp_path))
    monkeypatch.setattr(plugins.platform, "system", lambda: "Linux")
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "GIMP3_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REPAINT_BRIDGE_HOME", str(tmp_path / "rb"))
    monkeypatch.syspath_prepend(str(ROOT))
    (tmp_path / ".config/GIMP/3.0").mkdir(parents=True)
    before = os.umask(0)
    try:
        assert installer.main([command]) == 0
    finally:
        assert os.umask(before) == 0
    found = [path for path in tmp_path.rglob("*") if path.is_relative_to(tmp_path / "rb") or "repaint" in path.name]
    assert len(found) >= 5
    for path in found:
        assert path.stat().st_mode & 0o022 == 0, path
        if path.is_dir():
            assert path.stat().st_mode & 0o077 == 0, path


def test_launch_file_is_written_where_plugins_look(tmp_path, monkeypatch):
    monkeypatch.setenv("REPAINT_BRIDGE_HOME", str(tmp_path))
    monkeypatch.syspath_prepend(str(ROOT))
    plugins.write_launch_file(Path(sys.executable))
    content = json.loads((tmp_path / "config" / "launch.json").read_text())
    assert content["interpreter"] == sys.executable
    assert content["arguments"] == ["-m", "bridge_server", "serve"]


@pytest.mark.parametrize("command", ["demo", "krita", "gimp", "test"])
def test_only_the_tests_install_debian_packages(command, tmp_path, monkeypatch, capsys):
    """A Python without ensurepip, and an apt-get that leaves a trace."""
    python = _program(tmp_path / "python", "echo not created: ensurepip is not available; exit 1")
    _program(tmp_path / "apt-get", f"echo $@ >> {tmp_path}/installed")
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


def _program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


class Broken:
    """A copy of the project with an environment that can be broken, a home, and what doctor says of them."""

    def __init__(self, folder: Path) -> None:
        self.root, self.home = folder / "project", folder / "home"
        self.home.mkdir()
        self.variables = {"PATH": "/usr/bin:/bin", "HOME": str(self.home), "REPAINT_BRIDGE_HOME": str(self.home / "rb")}
        ignore = shutil.ignore_patterns("*.pyc", "jury", "photo", "assets")  # what numba has compiled comes along
        for name in ("engine", "bridge_server", "krita_plugin", "gimp_plugin", "install"):
            shutil.copytree(ROOT / name, self.root / name, ignore=ignore)
        for name in ("installer.py", "pyproject.toml"):
            shutil.copy(ROOT / name, self.root)
        make = [sys.executable, "-m", "venv", "--without-pip", "--symlinks", str(self.root / ".venv")]
        subprocess.run(make, check=True)
        (self.packages,) = self.root.glob(".venv/lib/python*/site-packages")
        (installed,) = {Path(place) for place in sys.path if place.endswith("site-packages")}
        for path in installed.iterdir():
            if path.name != "__pycache__" and "__editable__" not in path.name:
                (self.packages / path.name).symlink_to(path)
        resources = self.home / ".local/share/krita"
        resources.mkdir(parents=True)
        plugins.install_krita(resources)
        self.plugin = resources / "pykrita/repaint_krita"
        self.launch = self.home / "rb/config/launch.json"
        self.launch.parent.mkdir(parents=True)
        (self.packages / "project.pth").write_text(str(self.root))
        self.write_launch(self.root / ".venv/bin/python")

    def write_launch(self, interpreter: Path) -> None:
        content = {"version": 1, "interpreter": str(interpreter), "arguments": [], "state": str(self.home / "rb/state")}
        self.launch.write_text(json.dumps(content))

    def doctor(self) -> tuple[int, list[str]]:
        """Exit status, and the sentences under “What to do”."""
        command = [sys.executable, str(self.root / "installer.py"), "doctor"]
        done = subprocess.run(command, capture_output=True, text=True, env=self.variables, cwd=self.home)
        assert not done.stderr, done.stderr
        _, _, todo = done.stdout.partition("What to do:\n")
        if not todo:
            assert "Nothing to do." in done.stdout, done.stdout
            assert "painted through the bridge" in done.stdout
        return done.returncode, [line.strip() for line in todo.split("\n\n")[0].splitlines() if line.strip()]


@pytest.fixture
def broken(tmp_path: Path) -> Broken:
    return Broken(tmp_path)


def test_gimp_needs_a_gimp_3(without_engine):
    """Without a configuration folder nothing is set up; GIMP 2.10 is named as too old."""
    broken = without_engine
    _program(broken.home / "gimp", "echo GNU Image Manipulation Program version 2.10.34")

    def say(*words: str) -> subprocess.CompletedProcess[str]:
        variables = {**broken.variables, "PATH": f"{broken.home}:/usr/bin:/bin"}
        command = [sys.executable, str(broken.root / "installer.py"), *words]
        return subprocess.run(command, capture_output=True, text=True, env=variables)

    done = say("gimp")
    assert done.returncode == 1
    assert "start GIMP 3 once" in done.stderr
    assert "GIMP 2.10.34 has no Python 3" in done.stderr
    assert "too old: it has no Python 3" in say("doctor").stdout
    plugins.install_gimp(broken.home / ".config/GIMP/3.0")
    assert f"installed in {broken.home / '.config/GIMP/3.0'}" in say("doctor").stdout
    assert "Removed from" in say("gimp", "--uninstall").stdout
    assert "was not installed" in say("gimp", "--uninstall").stdout


@pytest.fixture
def without_engine(broken: Broken) -> Broken:
    """Doctor is fast then."""
    shutil.rmtree(broken.root / ".venv")
    broken.write_launch(Path(sys.executable))
    return broken


def _without(package: str):
    def take(broken: Broken) -> None:
        for path in broken.packages.glob(f"{package}*"):
            path.unlink()

    return take


def _cut(broken: Broken) -> None:
    (weights,) = broken.root.glob("engine/weights/texture/unet/*.safetensors")
    with open(weights, "r+b") as file:
        file.truncate(weights.stat().st_size // 2)


def _damage_package(broken: Broken) -> None:
    (broken.packages / "zmq").unlink()
    (broken.packages / "zmq").mkdir()
    (broken.packages / "zmq/__init__.py").write_text("raise ImportError('libzmq.so.5: file too short')")


WITH_ENGINE = {
    "no pyzmq": (_without("pyzmq"), ["again: pyzmq must be installed"]),
    "no safetensors": (_without("safetensors"), ["again: safetensors must be installed"]),
    "package damaged": (_damage_package, ["Delete the folder .venv, then run", "zmq cannot be loaded"]),
    "no weights": (lambda one: shutil.rmtree(one.root / "engine/weights"), ["Get the folder engine/weights/texture"]),
    "half of the weights": (_cut, ["Get the folder engine/weights/texture again"]),
}
WITHOUT_ENGINE = {
    "half a plug-in": (lambda one: (one.plugin / "docker.py").unlink(), ["“python3 installer.py krita” again"]),
    "moved": (lambda one: one.write_launch(Path("/gone/python")), ["the project was moved"]),
    "launch file damaged": (lambda one: one.launch.write_text("{"), ["not set up for this user yet"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("state", WITH_ENGINE)
def test_doctor_names_what_is_broken_in_the_engine(state: str, broken: Broken) -> None:
    """In one sentence, and only that."""
    harm, words = WITH_ENGINE[state]
    harm(broken)
    status, todo = broken.doctor()
    assert (status, len(todo)) == (1, 1), todo
    assert all(word in todo[0] for word in words), todo


@pytest.mark.parametrize("state", WITHOUT_ENGINE)
def test_doctor_names_what_is_broken_elsewhere(state: str, without_engine: Broken) -> None:
    harm, words = WITHOUT_ENGINE[state]
    harm(without_engine)
    status, todo = without_engine.doctor()
    assert (status, len(todo)) == (1, 2), todo
    assert "to set up the engine" in todo[0]
    assert all(word in todo[1] for word in words), todo


@pytest.fixture
def full_disk(without_engine: Broken) -> Iterator[None]:
    folder = without_engine.home / "rb/state"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a tmpfs here")
    with contextlib.suppress(OSError), open(folder / "ballast", "wb") as file:
        file.write(bytes(2 << 20))
    yield
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.usefixtures("full_disk")
def test_doctor_says_that_the_disk_is_full(without_engine: Broken) -> None:
    status, todo = without_engine.doctor()
    assert status == 1
    assert "Make room on the disk of" in todo[0]
    assert "it is full" in todo[0]


@pytest.mark.slow
def test_doctor_has_nothing_to_do_when_a_fill_comes_out(broken: Broken) -> None:
    assert broken.doctor() == (0, [])
