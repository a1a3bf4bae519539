"""package: the zips, the kit in them, the lock file; wheel and source distribution."""

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
from bridge_server.manage import plugins, version
from install import environment, lock
from install import package as packages

from .conftest import program

ROOT = Path(__file__).parents[1]


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
    assert run("status").stdout == "The RePaint engine is not running.\n"
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


@pytest.mark.slow
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


def test_package_says_what_it_lacks(tmp_path, monkeypatch, capsys):
    """A checkout in which nothing is set up, and a Python without pip, or without uv."""
    monkeypatch.setattr(environment, "VENV", tmp_path / "venv")
    for script, word in (("exit 1", "pip"), ('case "$*" in *uv*) exit 1;; esac', "uv")):
        monkeypatch.setattr(packages.sys, "executable", str(program(tmp_path / "python", script)))
        monkeypatch.setattr(packages, "build_wheel", lambda folder: program(folder / "a.whl", packages._python().name))
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
