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


def test_package_has_folder_entries_and_the_client(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "installer.py"), "package", "--out", str(tmp_path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    path = Path(done.stdout.strip())
    assert path.name == f"repaint_krita-{installer.version()}.zip"
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
    assert "repaint_krita/" in names
    assert "repaint_krita.desktop" in names
    assert "repaint_krita/_lib/bridge_server/client/session.py" in names
    assert "repaint_krita/_lib/bridge_server/client/editor/flow.py" in names
    assert not [name for name in names if "__pycache__" in name]
    for name in names:
        for parent in Path(name).parents:
            assert parent == Path() or parent.as_posix() + "/" in names


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
