"""What is known of a computer: wheels that suit, pip's and uv's settings, GPUs, Pythons; other systems by stand-ins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bridge_server.client.setup import device, programs, pythons, settings, tags
from bridge_server.client.setup.device import Device
from bridge_server.client.setup.settings import Settings
from bridge_server.client.setup.tags import Target
from tests.bridge.test_client import find_python
from tests.setup.kits import SmallKit

LINUX = Target("linux", "x86_64", (3, 12), (2, 31))
MUSL = Target("linux", "x86_64", (3, 12))
ARM = Target("linux", "aarch64", (3, 11), (2, 36))
WINDOWS = Target("win32", "AMD64", (3, 13))
MAC = Target("darwin", "arm64", (3, 11), (14, 5))


# ---- wheels ----
@pytest.mark.parametrize(
    ("file", "suits"),
    [
        ("a-1-py3-none-any.whl", {LINUX, MUSL, ARM, WINDOWS, MAC}),
        ("a-1-py2.py3-none-any.whl", {LINUX, MUSL, ARM, WINDOWS, MAC}),
        ("a-1-py2-none-any.whl", set()),
        ("a-1-7-py3-none-any.whl", {LINUX, MUSL, ARM, WINDOWS, MAC}),
        ("a-1-cp312-cp312-manylinux_2_28_x86_64.whl", {LINUX}),
        ("a-1-cp312-cp312-manylinux_2_34_x86_64.whl", set()),
        ("a-1-cp312-cp312t-manylinux_2_28_x86_64.whl", set()),
        ("a-1-cp312-cp312-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", {LINUX}),
        ("a-1-cp312-cp312-musllinux_1_2_x86_64.whl", {MUSL}),
        ("a-1-cp38-abi3-manylinux1_x86_64.whl", {LINUX}),
        ("a-1-cp313-abi3-win_amd64.whl", {WINDOWS}),
        ("a-1-cp314-abi3-win_amd64.whl", set()),
        ("a-1-py3-none-win_amd64.whl", {WINDOWS}),
        ("a-1-py3-none-manylinux_2_28_aarch64.whl", {ARM}),
        ("a-1-cp311-cp311-macosx_14_0_arm64.whl", {MAC}),
        ("a-1-cp311-cp311-macosx_10_9_universal2.whl", {MAC}),
        ("a-1-cp311-cp311-macosx_15_0_arm64.whl", set()),
        ("a-1-cp311-cp311-macosx_10_9_x86_64.whl", set()),
        ("a-1.tar.gz", set()),
    ],
)
def test_which_wheel_is_for_whom(file: str, suits: set[Target]) -> None:
    assert {target for target in (LINUX, MUSL, ARM, WINDOWS, MAC) if tags.rank(file, target) is not None} == suits


def test_the_best_wheel_wins() -> None:
    ranked = [
        "a-1-cp312-cp312-manylinux_2_28_x86_64.whl",
        "a-1-cp312-cp312-manylinux_2_17_x86_64.whl",
        "a-1-cp311-abi3-manylinux_2_28_x86_64.whl",
        "a-1-cp39-abi3-manylinux_2_28_x86_64.whl",
        "a-1-py3-none-manylinux_2_17_x86_64.whl",
        "a-1-py3-none-any.whl",
    ]
    ranks = [tags.rank(file, LINUX) or (9999, 0) for file in ranked]
    assert ranks == sorted(set(ranks))


def test_every_package_of_the_lock_has_its_wheel() -> None:
    """As pip's own reader of tags and markers sees it."""
    from pip._vendor.packaging import tags as theirs
    from pip._vendor.packaging.markers import Marker
    from pip._vendor.packaging.utils import parse_wheel_filename

    lock = json.loads((Path(__file__).parents[2] / "install" / "lock.json").read_text(encoding="utf-8"))
    supported = set(theirs.sys_tags())
    asked = pythons.ask(sys.executable)
    assert asked is not None
    here = asked.target
    for package in lock["packages"]:
        wanted = not package["marker"] or Marker(package["marker"]).evaluate({"extra": ""})
        assert tags.holds(package["marker"], here) == wanted, package
        for file in package["files"]:
            suits = bool(parse_wheel_filename(file["name"])[3] & supported)
            assert (tags.rank(file["name"], here) is not None) == suits, file


@pytest.mark.parametrize(
    ("marker", "suits"),
    [
        ("", {LINUX, WINDOWS, MAC}),
        ("sys_platform == 'win32'", {WINDOWS}),
        ("python_version < '3.12'", {MAC}),
        ("python_version >= '3.9' and python_version <= '3.12'", {LINUX, MAC}),
        ("(sys_platform == 'darwin' or os_name == 'nt') and platform_machine in 'AMD64 arm64'", {WINDOWS, MAC}),
        ("platform_system != 'Linux' and 'arm' not in platform_machine", {WINDOWS}),
        ("extra == 'test'", set()),
        ("'3.11' < python_full_version", {LINUX, WINDOWS}),
    ],
)
def test_markers(marker: str, suits: set[Target]) -> None:
    assert {target for target in (LINUX, WINDOWS, MAC) if tags.holds(marker, target)} == suits


@pytest.mark.parametrize("marker", ["python_version", "import os", "what == 'x'", "__import__('os') == 'x'"])
def test_what_is_no_marker(marker: str) -> None:
    with pytest.raises(ValueError, match="marker"):
        tags.holds(marker, LINUX)


# ---- settings ----
def read(tmp_path: Path, platform: str = "linux", **environ: str) -> Settings:
    return settings.read(environ, platform, tmp_path / "home", str(tmp_path / "root"))


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_nothing_is_set(tmp_path: Path) -> None:
    assert read(tmp_path) == Settings()


@pytest.mark.parametrize(
    ("platform", "place", "environ"),
    [
        ("linux", "home/.config/pip/pip.conf", {}),
        ("linux", "home/.pip/pip.conf", {}),
        ("linux", "root/etc/pip.conf", {}),
        ("linux", "root/etc/xdg/pip/pip.conf", {}),
        ("linux", "own/pip/pip.conf", {"XDG_CONFIG_HOME": "own"}),
        ("linux", "own/my.conf", {"PIP_CONFIG_FILE": "own/my.conf"}),
        ("darwin", "home/Library/Application Support/pip/pip.conf", {}),
        ("darwin", "home/.config/pip/pip.conf", {}),
        ("win32", "home/AppData/Roaming/pip/pip.ini", {}),
        ("win32", "all/pip/pip.ini", {"PROGRAMDATA": "all"}),
        ("win32", "mine/pip/pip.ini", {"APPDATA": "mine"}),
    ],
)
def test_where_pip_keeps_its_settings(tmp_path: Path, platform: str, place: str, environ: dict[str, str]) -> None:
    put(tmp_path / place, "[global]\nindex-url = http://one/simple\n")
    environ = {name: str(tmp_path / value) for name, value in environ.items()}
    assert read(tmp_path, platform, **environ).indexes == ["http://one/simple"]


def test_pips_settings(tmp_path: Path) -> None:
    put(
        tmp_path / "home/.config/pip/pip.conf",
        """
[global]
index_url = http://one/simple
extra-index-url =
    http://two/simple
    file:///opt/simple
find-links = /opt/wheels /more
cert = /etc/ca.pem
client-cert = /me.pem
trusted-host = one two:8080
proxy = user:word@proxy:3128
timeout = 40
[install]
no-index = yes
""",
    )
    found = read(tmp_path)
    assert found == Settings(
        ["http://one/simple", "http://two/simple", "file:///opt/simple"],
        ["/opt/wheels", "/more"],
        True,
        "/etc/ca.pem",
        "/me.pem",
        ("one", "two:8080"),
        40.0,
        {"http": "http://user:word@proxy:3128", "https": "http://user:word@proxy:3128"},
    )
    changed = read(
        tmp_path,
        PIP_INDEX_URL="http://env/simple",
        PIP_NO_INDEX="0",
        PIP_DEFAULT_TIMEOUT="900",
        HTTPS_PROXY="http://p:1",
    )
    assert (changed.indexes[0], changed.no_index, changed.timeout) == ("http://env/simple", False, 40.0)
    assert changed.proxies == found.proxies, "as in pip, its own proxy comes first"
    assert read(tmp_path, PIP_CONFIG_FILE=os.devnull) == Settings()
    assert settings.for_uv(changed) == {
        "HTTP_PROXY": "http://user:word@proxy:3128", "HTTPS_PROXY": "http://user:word@proxy:3128",
        "SSL_CERT_FILE": "/etc/ca.pem",
    }  # fmt: skip
    assert read(tmp_path, PIP_CONFIG_FILE=os.devnull, HTTPS_PROXY="http://p:1").proxies == {"https": "http://p:1"}


def test_uvs_settings(tmp_path: Path) -> None:
    put(tmp_path / "home/.config/pip/pip.conf", "[global]\nindex-url = http://pip/simple\n")
    put(
        tmp_path / "home/.config/uv/uv.toml",
        """
# a mirror of the house
index-url = "http://uv/simple"  # the main one
extra-index-url = [
    "http://more/simple",
    'http://most/simple',
]
no-index = false
https-proxy = "http://proxy:1"
required-version = ">=0.5"
cache-keys = [{ file = "x" }]

[[index]]
name = "named"
url = "http://named/simple"

[pip]
find-links = ["/wheels"]
""",
    )
    found = read(tmp_path)
    assert found.indexes == [
        "http://uv/simple", "http://named/simple", "http://more/simple", "http://most/simple", "http://pip/simple",
    ]  # fmt: skip
    assert (found.find_links, found.no_index, found.proxies) == (["/wheels"], False, {"https": "http://proxy:1"})
    assert read(tmp_path, UV_NO_CONFIG="1").indexes == ["http://pip/simple"]
    own = read(tmp_path, UV_DEFAULT_INDEX="mine=http://default/simple", UV_INDEX="a=http://a/simple http://b/simple")
    assert own.indexes[:3] == ["http://default/simple", "http://a/simple", "http://b/simple"]
    assert read(tmp_path, UV_FIND_LINKS="/my wheels, /b", UV_NO_CONFIG="1").find_links == ["/my wheels", "/b"]
    put(tmp_path / "uv.toml", '[[index]]\nurl = "http://file/simple"\ndefault = true\n')
    assert read(tmp_path, UV_CONFIG_FILE=str(tmp_path / "uv.toml")).indexes[0] == "http://file/simple"
    put(tmp_path / "mine/uv/uv.toml", 'find-links = ["C:\\\\wheels"]\n')
    assert read(tmp_path, "win32", APPDATA=str(tmp_path / "mine")).find_links == ["C:\\wheels"]


def test_settings_that_cannot_be_read(tmp_path: Path) -> None:
    put(tmp_path / "home/.config/pip/pip.conf", "no section\n= nothing")
    put(tmp_path / "home/.config/uv/uv.toml", '[[index]\nurl = "x\n= ]')
    assert read(tmp_path, PIP_TIMEOUT="soon") == Settings()


# ---- GPUs ----
def said(monkeypatch: pytest.MonkeyPatch, answers: dict[str, str], platform: str = "linux") -> Device:
    """What is found where these programs answer."""
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(device, "TOPOLOGY", Path("/nowhere"))
    monkeypatch.setattr(device, "which", lambda name, *_: name if name in answers else None)
    monkeypatch.setattr(device, "output", lambda command, _: answers.get(Path(command[0]).name, ""))
    return device.find()


def test_nvidia(monkeypatch: pytest.MonkeyPatch) -> None:
    found = said(monkeypatch, {"nvidia-smi": "NVIDIA GeForce RTX 4060, 580.65.06, 8.9\nNVIDIA T4, 580.65.06, 7.5\n"})
    assert found == Device("cuda", "NVIDIA GeForce RTX 4060", "580.65.06", "8.9")
    needs = {"cuda": {"driver": "580", "capability": "7.5"}}
    assert device.chosen(found, {"cpu", "cuda"}, needs) == ("cuda", "NVIDIA GeForce RTX 4060")
    assert device.chosen(found, {"cpu", "cuda"}, {}, "cpu") == ("cpu", "The processor does the work")
    assert device.chosen(found, {"cpu"}, {})[1].startswith("NVIDIA GeForce RTX 4060 (there is no build")
    old = Device("cuda", "NVIDIA T4", "535.1", "7.5")
    assert device.chosen(old, {"cpu", "cuda"}, needs) == (
        "cpu", "NVIDIA T4 (its driver 535.1 is too old, 580 is needed: the processor does the work)",
    )  # fmt: skip
    older = Device("cuda", "Quadro", "581.0", "6.1")
    assert device.chosen(older, {"cpu", "cuda"}, needs)[1].startswith("Quadro (too old for the engine")
    assert said(monkeypatch, {"nvidia-smi": "No devices were found"}) == Device("cpu")


def test_amd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = """
*******
Agent 1
*******
  Marketing Name:          AMD Ryzen 9
  Device Type:             CPU
*******
Agent 2
*******
  Marketing Name:          AMD Radeon RX 7900 XTX
  Device Type:             GPU
"""
    assert said(monkeypatch, {"rocminfo": told}) == Device("rocm", "AMD Radeon RX 7900 XTX")
    assert said(monkeypatch, {"rocminfo": told}, "win32") == Device("cpu")
    (tmp_path / "2/properties").mkdir(parents=True)  # one that cannot be read
    put(tmp_path / "0/properties", "cpu_cores_count 16\ngfx_target_version 0\n")
    monkeypatch.setattr(device, "TOPOLOGY", tmp_path)
    assert device._amd() is None or said(monkeypatch, {}) == Device("cpu")
    put(tmp_path / "1/properties", "gfx_target_version 110000\n")
    monkeypatch.setattr(device, "which", lambda *_: None)
    monkeypatch.setattr(device, "TOPOLOGY", tmp_path)
    assert device._amd() == Device("rocm", "AMD GPU")


def test_apple(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the editor is an Intel program: the hardware counts."""
    monkeypatch.setattr(device.platform, "machine", lambda: "x86_64")
    assert said(monkeypatch, {"sysctl": "1\n"}, "darwin") == Device("mps", "Apple GPU")
    assert said(monkeypatch, {}, "darwin") == Device("cpu")
    assert device.chosen(Device("mps", "Apple GPU"), {"mps", "cpu"}, {}) == ("mps", "Apple GPU")


# ---- Pythons ----
def answer(**told: Any) -> str:
    usual = {
        "executable": "/usr/bin/python3", "version": [3, 12, 4], "final": "final", "platform": "linux",
        "machine": "x86_64", "windows": "linux-x86_64", "libc": "glibc 2.39", "mac": "", "kind": "CPython", "bits": 64,
        "free": False,
    }  # fmt: skip
    return json.dumps({**usual, **told})


@pytest.mark.parametrize(
    ("told", "target"),
    [
        ({}, Target("linux", "x86_64", (3, 12), (2, 39))),
        ({"libc": ""}, Target("linux", "x86_64", (3, 12), (0, 0))),
        ({"platform": "win32", "windows": "win-amd64", "libc": ""}, Target("win32", "AMD64", (3, 12))),
        ({"platform": "win32", "windows": "win-arm64", "machine": "AMD64"}, Target("win32", "ARM64", (3, 12))),
        ({"platform": "darwin", "machine": "arm64", "mac": "14.5.1"}, Target("darwin", "arm64", (3, 12), (14, 5))),
        ({"platform": "win32", "windows": "win32"}, None),
        ({"kind": "PyPy"}, None),
        ({"bits": 32}, None),
        ({"free": True}, None),
        ({"final": "candidate"}, None),
    ],
)
def test_what_a_python_says(monkeypatch: pytest.MonkeyPatch, told: dict[str, Any], target: Target | None) -> None:
    monkeypatch.setattr(pythons, "output", lambda *_: answer(**told))
    found = pythons.ask("python3")
    assert (found.target if found else None) == target


@pytest.mark.skipif(os.name != "posix", reason="the stand-ins have POSIX's paths")
def test_the_order_of_pythons(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The preferred versions first, then what is only called python3; an environment counts as what it comes from."""
    versions = {"b/python3.12": (3, 12), "a/python3.11": (3, 11), "a/python3": (3, 13), "b/python3": (3, 10)}
    for place in versions:
        put(tmp_path / place, "")
        (tmp_path / place).chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join(str(tmp_path / each) for each in "ab"))
    monkeypatch.setattr(pythons.Path, "home", lambda: tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "krita"))

    def asked(executable: str) -> pythons.Python | None:
        version = versions.get(str(Path(executable).relative_to(tmp_path)) if str(tmp_path) in executable else "")
        return version and pythons.Python(executable, "{}.{}.0".format(*version), Target("linux", "x86_64", version))

    monkeypatch.setattr(pythons, "ask", asked)
    found = list(pythons.find([(3, 11), (3, 13), (3, 12)], tmp_path / "own"))
    assert [Path(each.executable).name for each in found] == ["python3.11", "python3.12", "python3"]


def test_pythons_of_windows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store = tmp_path / "AppData/Local/Microsoft/WindowsApps/python.exe"
    usual = tmp_path / "AppData/Local/Programs/Python/Python312/python.exe"
    for path in (store, usual):
        put(path, "")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "executable", "C:/Program Files/Krita/bin/krita.exe")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "AppData/Local"))
    monkeypatch.setattr(pythons, "which", lambda name: str(store) if name == "python" else None)
    monkeypatch.setattr(pythons, "output", lambda *_: " -V:3.12 *        C:\\Python312\\python.exe\r\n")
    assert list(pythons.candidates([(3, 12)], tmp_path / "own")) == [str(usual)]


@pytest.mark.skipif(os.name != "posix", reason="the stand-ins have POSIX's paths")
def test_apples_stub_is_not_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(pythons.Path, "home", lambda: tmp_path)
    monkeypatch.setattr(pythons, "which", lambda _: "/usr/bin/python3")
    monkeypatch.setattr(sys, "executable", "/Applications/krita.app/Contents/MacOS/krita")
    assert "/usr/bin/python3" not in list(pythons.candidates([(3, 12)], tmp_path / "own"))


# ---- starting programs, long paths ----
def test_programs_start_without_a_window_and_without_the_editors_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONHOME", "LD_LIBRARY_PATH", "QT_PLUGIN_PATH"):
        monkeypatch.setenv(name, "/editor")
    windows = programs.options("win32", UV_X="1")
    assert windows["creationflags"] == 0x08000000
    assert windows["stdin"] == subprocess.DEVNULL
    assert windows["env"]["UV_X"] == "1"
    assert not {"PYTHONHOME", "LD_LIBRARY_PATH", "QT_PLUGIN_PATH"} & set(windows["env"])
    assert "creationflags" not in programs.options("linux")
    assert programs.output([sys.executable, "-c", "print('héllo')"], 20) == "héllo\n"
    assert programs.output([sys.executable, "-c", "import time; time.sleep(60)"], 0.3) == ""
    assert programs.output(["/no/such/program"], 1) == ""


def test_no_program_of_the_folder_where_the_editor_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("tool", "tool.exe", "python3.11"):
        put(tmp_path / name, "")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([".", ""]))
    assert programs.which("tool") is None
    assert programs.which("tool", platform="win32") is None
    assert "python3.11" not in list(pythons.candidates([(3, 11)], tmp_path / "own"))
    assert programs.which("tool", str(tmp_path), "linux") == str(tmp_path / "tool")
    assert programs.which("tool", str(tmp_path), "win32") == str(tmp_path / "tool.exe")


def test_paths_of_windows() -> None:
    assert programs.interpreter_in(Path("x"), "win32") == Path("x/Scripts/python.exe")
    assert programs.interpreter_in(Path("x"), "darwin") == Path("x/bin/python")
    for path, long in (("C:\\Users\\Zoë", "\\\\?\\C:\\Users\\Zoë"), ("\\\\server\\a", "\\\\?\\UNC\\server\\a")):
        assert programs.long_path(path, "win32") == long  # type: ignore[arg-type]
        assert programs.long_path(long, "win32") == long  # type: ignore[arg-type]
    assert programs.long_path(Path("/home/x"), "linux") == "/home/x"


# ---- other Pythons than ours ----
@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10", "3.12", "3.13", "3.14"])
def test_an_editors_own_python(version: str, tmp_path: Path) -> None:
    """Everything is imported, a plan is made, a folder of wheels is read."""
    python = find_python(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    kit = SmallKit(tmp_path / "kit")
    kit.lock["python"] = ["3.11"]
    kit.write()
    code = f"""
import pathlib, sys
from bridge_server.client import setup
from bridge_server.client.setup import fetch, kit, settings, tags
kits, wheels = pathlib.Path({str(kit.folder)!r}), pathlib.Path({str(kit.wheels)!r})
assert setup.found(kits).state == "missing"
plan = setup.plan(kits, wheels)
assert not plan.problem, plan
read = kit.Kit(kits)
fetch.fetch(read.wheels(plan.target, "cpu"), wheels, False, "", lambda done: None, lambda: False)
fetch.fetch(read.wheels(plan.target, "cpu"), pathlib.Path({str(tmp_path)!r}) / "new", True, "", print, lambda: False)
assert tags.holds("python_version < '3.15' and platform_machine in 'x86_64 arm64'", plan.target)
assert setup.removable().stays == []
"""
    environ = {**os.environ, "PIP_FIND_LINKS": str(kit.wheels), "PIP_NO_INDEX": "1"}
    command = [python, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
