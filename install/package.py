"""package: the kit, and one zip for each editor with the kit inside. The same commit makes the same bytes: everything
is sorted, stored without compression, and has one date and two modes."""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from bridge_server.client import setup
from bridge_server.client.errors import BridgeError
from bridge_server.client.setup.fetch import fetch
from bridge_server.client.setup.kit import Kit
from bridge_server.client.setup.tags import Target
from bridge_server.manage import version
from bridge_server.manage.plugins import GIMP_STARTS, KIT, gimp_files, krita_files
from install import environment
from install.environment import ROOT, Stop

DATE = (2026, 1, 1, 0, 0, 0)
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SYSTEMS = {
    "linux-x86_64": ("linux", "x86_64"),
    "linux-aarch64": ("linux", "aarch64"),
    "windows": ("win32", "AMD64"),
    "macos": ("darwin", "arm64"),
}
"""Name: ``sys.platform`` and ``platform.machine()``."""
OLDEST = {"linux-x86_64": (2, 28), "linux-aarch64": (2, 28), "windows": (0, 0), "macos": (14, 0)}
"""The oldest glibc and macOS that torch runs on."""


def package(arguments: argparse.Namespace) -> None:
    """Write ``kit/`` and the two zips: Krita's “Import Python Plugin from File” reads the one, the other is unpacked
    into GIMP's plug-ins folder. ``--offline``: also fetch all packages, for set-up from a folder."""
    kit = make_kit(arguments.out)
    inside = [(path.name, path.read_bytes()) for path in kit.iterdir()]
    for plugin, files in (("repaint_krita", krita_files()), ("repaint_gimp", gimp_files())):
        path = arguments.out / f"{plugin}-{version()}.zip"
        contents = {name: source.read_bytes() for name, source in files}
        contents.update({f"{plugin}/{KIT}/{name}": content for name, content in inside})
        write_zip(path, contents, folders=True)
        print(path)

    if arguments.offline:
        collect(kit, arguments.offline, arguments.system, arguments.python, arguments.flavour)


def collect(kit: Path, folder: Path, system: str, python: str, flavour: str) -> None:
    """Fetch into ``folder`` what a set-up with this kit fetches: on this computer, or for another ``system``."""
    try:
        if system:
            target = Target(*SYSTEMS[system], (3, int(python.partition(".")[2])), OLDEST[system])
            chosen = flavour if flavour != "auto" else "mps" if system == "macos" else "cpu"
            wheels = [Kit(kit).uv(target), *Kit(kit).wheels(target, chosen)]
        else:
            plan = setup.plan(kit, flavour=flavour)
            wheels = [Kit(kit).uv(plan.target), *plan.wheels]
            if not plan.wheels:
                raise Stop(plan.problem)
        folder.mkdir(parents=True, exist_ok=True)
        total = sum(wheel.size for wheel in wheels)
        fetch(wheels, folder, True, Kit(kit).index, _shown(total), lambda: False)
    except BridgeError as error:
        raise Stop(error.sentence) from None
    print(f"\n{len(wheels)} files, {total / 1e6:.0f} MB, for set-up from a folder: {folder}")


def _shown(total: int) -> Callable[[int], None]:
    """Shows how much has arrived, where somebody looks on."""

    def told(done: int) -> None:
        if sys.stdout.isatty():
            print(f"\r{done / 1e6:.0f} of {total / 1e6:.0f} MB", end="", flush=True)

    return told


def make_kit(out: Path) -> Path:
    """``out/kit``: the project's wheel, lock.json with the index's address and the wheel's hash, the licence."""
    kit = out / KIT
    shutil.rmtree(kit, ignore_errors=True)
    kit.mkdir(parents=True)
    wheel = build_wheel(kit)
    lock = json.loads((ROOT / "install" / "lock.json").read_text(encoding="utf-8"))
    content = wheel.read_bytes()
    file = {"name": wheel.name, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    lock.update(project={"name": "repaint-bridge", "version": version(), "files": [file]}, index=_index())
    for each in lock["packages"]:
        if "+" in each["version"]:
            each["index"] = _torch_index(each["version"].partition("+")[2])
    (kit / "lock.json").write_text(json.dumps(lock, sort_keys=True) + "\n", encoding="utf-8", newline="\n")
    shutil.copyfile(ROOT / "LICENSE", kit / "LICENSE")
    return kit


def _index() -> str:
    """The address of the packages' index; pip knows it."""
    from pip._internal.models.index import PyPI

    return PyPI.simple_url


def _torch_index(backend: str) -> str:
    """The address of the index with torch's builds for "cpu", "rocm7.1" …; uv knows it, and says it before it asks."""
    options = ["--no-config", "--offline", "--no-cache", "--verbose", "pip", "compile", "--torch-backend", backend, "-"]
    command = [*environment.uv(_python()), *options]
    done = subprocess.run(command, input="torch", capture_output=True, text=True, errors="replace")
    found = re.search(r"GET request for: (\S+)/torch/", done.stderr)
    if found is None:
        raise Stop(f"uv does not say where torch's builds for {backend} lie: run “{_python()} -m pip install -U uv”.")
    return found[1]


def _python() -> Path:
    """.venv's interpreter, or this one where it can build."""
    for python in (environment.venv_python(), Path(sys.executable)):
        if environment.works(python):
            return python
    raise Stop("pip is missing: run “python3 installer.py demo” once, then this again.")


def build_wheel(folder: Path) -> Path:
    """Build the project's wheel, from a copy of what is its own, into ``folder``."""
    with tempfile.TemporaryDirectory() as scratch:
        copy, built = Path(scratch, "project"), Path(scratch, "wheels")
        copy_project(copy)
        command = [str(_python()), "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(built), str(copy)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=scratch)
        if done.returncode:
            raise Stop(f"The wheel could not be built: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
        (wheel,) = built.glob("*.whl")
        return normalised(wheel, folder / wheel.name)


def copy_project(folder: Path) -> None:
    """Copy what belongs to the project, and no more: as git sees it, or in an unpacked archive whatever is there."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    git = shutil.which("git")
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout if git else ""
    paths = [ROOT / name for name in listed.split("\0") if name]
    if ROOT / "pyproject.toml" not in paths:
        tops = [ROOT / name for name in ("engine", "bridge_server", "krita_plugin", "gimp_plugin")]
        paths = [path for top in tops for path in top.rglob("*") if "__pycache__" not in path.parts]
        paths += [ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE")]
    for path in paths:
        if path.is_file():
            place = folder / path.relative_to(ROOT)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)


def normalised(wheel: Path, place: Path) -> Path:
    """The wheel once more, by bytes that depend on nothing but its files."""
    with zipfile.ZipFile(wheel) as archive:
        contents = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    (record,) = (name for name in contents if name.endswith(".dist-info/RECORD"))
    rows = []
    for name in sorted(set(contents) - {record}):
        digest = base64.urlsafe_b64encode(hashlib.sha256(contents[name]).digest()).rstrip(b"=").decode()
        rows.append(f"{name},sha256={digest},{len(contents[name])}")
    contents[record] = "".join(f"{row}\n" for row in [*rows, f"{record},,"]).encode()
    write_zip(place, contents)
    return place


def write_zip(path: Path, contents: dict[str, bytes], folders: bool = False) -> None:
    """``folders``: they are entries of their own, as Krita's importer wants them."""
    parents = {parent.as_posix() + "/" for name in contents for parent in Path(name).parents if parent != Path()}
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted([*contents, *(parents if folders else ())]):
            info = zipfile.ZipInfo(name, DATE)
            info.create_system = 3  # Unix: the bits below mean something
            if name.endswith("/"):
                info.external_attr = 0o40755 << 16 | 0x10
            else:
                info.external_attr = (0o100755 if name == GIMP_STARTS else 0o100644) << 16
            archive.writestr(info, contents.get(name, b""))
