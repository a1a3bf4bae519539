"""package: the kit, and one zip for each editor with the kit inside. The same commit makes the same bytes: everything
is sorted, stored without compression, and has one date and two modes."""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from install.environment import ROOT, Stop, venv_python, works
from install.plugins import GIMP_STARTS, gimp_files, krita_files, version

DATE = (2026, 1, 1, 0, 0, 0)
KIT = "kit"


def package(arguments: argparse.Namespace) -> None:
    """Write ``kit/`` and the two zips: Krita's “Import Python Plugin from File” reads the one, the other is unpacked
    into GIMP's plug-ins folder."""
    kit = make_kit(arguments.out)
    inside = [(path.name, path.read_bytes()) for path in kit.iterdir()]
    for plugin, files in (("repaint_krita", krita_files()), ("repaint_gimp", gimp_files())):
        path = arguments.out / f"{plugin}-{version()}.zip"
        contents = {name: source.read_bytes() for name, source in files}
        contents.update({f"{plugin}/{KIT}/{name}": content for name, content in inside})
        write_zip(path, contents, folders=True)
        print(path)


def make_kit(out: Path) -> Path:
    """``out/kit``: the project's wheel, lock.json with the index's address and the wheel's hash, the licence."""
    kit = out / KIT
    shutil.rmtree(kit, ignore_errors=True)
    kit.mkdir(parents=True)
    wheel = build_wheel(kit)
    lock = json.loads((ROOT / "install" / "lock.json").read_text(encoding="utf-8"))
    content = wheel.read_bytes()
    lock["index"] = _index()
    lock["project"] = {
        "name": lock["project"],
        "version": version(),
        "files": [{"name": wheel.name, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}],
    }
    (kit / "lock.json").write_text(json.dumps(lock, sort_keys=True) + "\n", encoding="utf-8", newline="\n")
    shutil.copyfile(ROOT / "LICENSE", kit / "LICENSE")
    return kit


def _index() -> str:
    """The address of the packages' index; pip knows it."""
    from pip._internal.models.index import PyPI

    return PyPI.simple_url


def build_wheel(folder: Path) -> Path:
    """Build the project's wheel, from a copy of what is its own, into ``folder``."""
    with tempfile.TemporaryDirectory() as scratch:
        copy, built = Path(scratch, "project"), Path(scratch, "wheels")
        for path in project_files():
            place = copy / path.relative_to(ROOT)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        python = venv_python() if works(venv_python()) else Path(sys.executable)
        command = [str(python), "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(built), str(copy)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=scratch)
        if done.returncode:
            raise Stop(f"The wheel could not be built: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
        (wheel,) = built.glob("*.whl")
        return normalised(wheel, folder / wheel.name)


def project_files() -> list[Path]:
    """What belongs to the project, and no more: as git has it, or in an unpacked archive whatever is there."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
        paths = [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        tops = [ROOT / name for name in ("engine", "bridge_server", "krita_plugin", "gimp_plugin")]
        paths = [path for top in tops for path in top.rglob("*") if "__pycache__" not in path.parts]
        paths += [ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE")]
    return sorted(path for path in paths if path.is_file())


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
