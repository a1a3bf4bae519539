"""installer.py: the logic for every system, and the real file work in temporary folders."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from pip._vendor.packaging.markers import Marker
from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name

import installer
from bridge_server.manage import places, plugins, version
from install import environment, lock
from install import package as packages

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


def test_packages_have_folder_entries_the_client_and_the_kit(packaged):
    for plugin in ("repaint_krita", "repaint_gimp"):
        path = packaged / f"{plugin}-{version()}.zip"
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
    assert "repaint_krita.desktop" in zipfile.ZipFile(packaged / f"repaint_krita-{version()}.zip").namelist()


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
    sources = [path for _, path in (*plugins.krita_files(), *plugins.gimp_files())]
    assert {path.relative_to(ROOT).as_posix() for path in sources} <= names


def test_the_wheel_alone_installs_plug_ins_that_start_its_own_engine(packaged, own_home):
    """As pipx and uv install it: its own program, no project's folder."""
    (wheel,) = packaged.glob("kit/*.whl")
    place = own_home / "tools/repaint-bridge"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "--python", sys.executable, str(place)], check=True)
    subprocess.run([*uv, "pip", "install", "-q", "--no-deps", "--python", str(place), str(wheel)], check=True)
    program = place / ("Scripts/repaint-bridge.exe" if os.name == "nt" else "bin/repaint-bridge")
    assert (program.with_name(program.name.replace("-bridge", ""))).is_file()
    target = own_home / "krita"

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *words], capture_output=True, text=True, cwd=own_home)

    done = run("krita", "--target", str(target))
    assert done.returncode == 0, done.stderr
    for name, source in plugins.krita_files():
        assert plugins.krita_place(target, name).read_bytes() == source.read_bytes()
    interpreter = json.loads((own_home / "rb/config/launch.json").read_text(encoding="utf-8"))["interpreter"]
    assert Path(interpreter).parent == program.parent
    assert run("status").stdout == "The RePaint bridge is not running.\n"
    assert "Removed from" in run("krita", "--target", str(target), "--uninstall").stdout


@pytest.mark.slow
def test_wheel_and_source_distribution_are_as_an_index_wants_them(packaged, tmp_path):
    source, out = tmp_path / "source", tmp_path / "dist"
    packages.copy_project(source)
    subprocess.run([sys.executable, "-m", "build", "-q", "--outdir", str(out), str(source)], check=True)
    files = sorted(out.iterdir())
    assert [path.name for path in files] == [
        f"repaint_bridge-{version()}{end}" for end in ("-py3-none-any.whl", ".tar.gz")
    ]
    done = subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *map(str, files)], capture_output=True)
    assert done.returncode == 0, done.stdout
    (kit,) = packaged.glob("kit/*.whl")
    with zipfile.ZipFile(files[0]) as built, zipfile.ZipFile(kit) as shipped:
        assert sorted(built.namelist()) == sorted(shipped.namelist())  # the one was built from the other's source
    with tarfile.open(files[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "engine/weights/texture/MODEL_CARD.md", "engine/assets/LICENSES.md"} <= names


IMPORTER = Path("/usr/share/krita/pykrita/plugin_importer/plugin_importer.py")


@pytest.mark.skipif(not IMPORTER.is_file(), reason="no Krita here")
def test_kritas_importer_takes_the_zip_and_of_the_source_archive_what_says_which_zip_to_take(packaged, tmp_path):
    """By Krita's own code. “Download ZIP” lacks the client; the plug-in then names the right file."""
    spec = importlib.util.spec_from_file_location("plugin_importer", IMPORTER)
    importer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(importer)
    source = tmp_path / "repaint-bridge-main.zip"
    archive = ["git", "archive", "--format=zip", "--prefix=repaint-bridge-main/", f"--output={source}", "HEAD"]
    if subprocess.run(archive, cwd=ROOT).returncode:
        pytest.skip("not a git checkout")
    for path, whole in ((packaged / f"repaint_krita-{version()}.zip", True), (source, False)):
        resources = tmp_path / path.stem
        resources.mkdir()
        (plugin,) = importer.PluginImporter(str(path), str(resources), lambda _plugin: True).import_all()
        assert plugin["name"] == "repaint_krita"
        folder = resources / "pykrita/repaint_krita"
        assert (resources / "actions/repaint_krita.action").is_file()
        assert (folder / "kit/lock.json").is_file() is whole
        assert (folder / "_lib/bridge_server/client/session.py").is_file() is whole
        assert "repaint_krita-….zip" in (folder / "__init__.py").read_text(encoding="utf-8")


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
    (file,) = torch["files"]
    assert (file["name"], file["sha256"], file["size"]) == (name, hashlib.sha256(name.encode()).hexdigest(), len(name))
    assert triton["name"] == "triton-rocm"
    with pytest.raises(environment.Stop, match="no wheel of torch"):
        lock.builds("cpu", tmp_path / "nothing")


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


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    """A home that has never seen the project, for this process and those it starts."""
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "GIMP3_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "Zoë’s home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("REPAINT_BRIDGE_HOME", str(home / "rb"))
    monkeypatch.setattr(installer, "set_up", lambda _extra, _torch: Path(sys.executable))
    return home


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


def test_gimp_needs_a_gimp_3(own_home, monkeypatch, capfd):
    """Without a configuration folder nothing is set up; GIMP 2.10 is named as too old."""
    _program(own_home / "gimp", "echo GNU Image Manipulation Program version 2.10.34")
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


def test_package_says_what_it_lacks(tmp_path, monkeypatch, capsys):
    """A checkout in which nothing is set up, and a Python without pip, or without uv."""
    monkeypatch.setattr(environment, "VENV", tmp_path / "venv")
    for script, word in (("exit 1", "pip"), ('case "$*" in *uv*) exit 1;; esac', "uv")):
        monkeypatch.setattr(packages.sys, "executable", str(_program(tmp_path / "python", script)))
        monkeypatch.setattr(packages, "build_wheel", lambda folder: _program(folder / "a.whl", packages._python().name))
        assert installer.main(["package", "--out", str(tmp_path / "dist")]) == 1
        assert f"error: {word} is missing: run “python3 installer.py demo” once" in capsys.readouterr().err


def test_offline_folder_for_another_system(packaged, tmp_path, monkeypatch):
    """Everything that a set-up there asks for, uv included, from an index on this machine."""
    asked = []
    monkeypatch.setattr(packages, "fetch", lambda wheels, folder, *_: asked.extend((wheels, folder)))
    packages.collect(packaged / "kit", tmp_path / "folder", "windows", "3.13", "auto")
    wheels, folder = asked
    names = {wheel.project: wheel.name for wheel in wheels}
    assert folder == tmp_path / "folder"
    assert names["uv"].endswith("win_amd64.whl")
    assert names["torch"] == "torch-2.13.0-cp313-cp313-win_amd64.whl"
    assert "colorama" in names
    assert not [name for name in names if name.startswith("nvidia")]
