"""Small kits for real set-ups: real uv, real environments, wheels of a few lines."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import sys
import tempfile
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import uv

WEIGHTS = bytes(range(256)) * 64
CHECK = """
import sys, pathlib
import torch, numpy
from engine import WEIGHTS
if pathlib.Path(__file__).with_name("fails").exists():
    sys.exit("error: The small picture could not be painted.")
sleeps = pathlib.Path(__file__).with_name("sleeps")
if sleeps.exists():
    import time
    pathlib.Path(sleeps.read_text()).touch()
    time.sleep(100)
assert len(WEIGHTS.read_bytes()) == 16384
print("painted through the bridge")
"""
PROJECT = {
    "bridge_server/__init__.py": "",
    "bridge_server/__main__.py": "import sys; print(*sys.argv[1:])",
    "bridge_server/check.py": CHECK,
    "engine/__init__.py": "import pathlib; WEIGHTS = pathlib.Path(__file__).with_name('weights') / 'model.bin'",
    "engine/weights/model.bin": WEIGHTS,
}
UV = "uv.exe" if sys.platform == "win32" else "uv"
HERE = "{}.{}".format(*sys.version_info[:2])


def wheel(folder: Path, name: str, version: str, files: dict[str, Any], tag: str = "py3-none-any") -> dict[str, Any]:
    """Write a wheel; its entry for a lock file."""
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    contents = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
    contents[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    contents[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode()
    rows = []
    for path, content in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(content)}")
    contents[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
    path = folder / f"{stem}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, content in contents.items():
            entry = zipfile.ZipInfo(inside, (2026, 1, 1, 0, 0, 0))
            entry.external_attr = 0o100755 << 16
            entry.compress_type = zipfile.ZIP_STORED if any(content[:100]) else zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return package(name, version, path)


def package(name: str, version: str, path: Path, **more: Any) -> dict[str, Any]:
    content = path.read_bytes()
    file = {"name": path.name, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    return {"name": name, "version": version, "marker": "", "flavour": "", "files": [file], **more}


def renew(kit: Path, version: str) -> None:
    """Make the project's own kit that of a later version: the same code under another number."""
    lock = json.loads((kit / "lock.json").read_text())
    [old] = kit.glob("repaint_bridge-*.whl")
    with zipfile.ZipFile(old) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}
    was = str(lock["project"]["version"]).encode()
    assert was in files["engine/version.py"]
    files["engine/version.py"] = files["engine/version.py"].replace(was, version.encode())
    old.unlink()
    lock["project"] = wheel(kit, "repaint-bridge", version, files)
    (kit / "lock.json").write_text(json.dumps(lock))


@lru_cache
def _uv() -> tuple[dict[str, Any], bytes]:
    """The wheel with the real uv, 60 MB, and its entry for a lock file."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(uv.find_uv_bin()).read_bytes()
        entry = wheel(Path(folder), "uv", "1.0", {f"uv-1.0.data/scripts/{UV}": program})
        return entry, Path(folder, entry["files"][0]["name"]).read_bytes()


def _uv_wheel(folder: Path) -> dict[str, Any]:
    entry, content = _uv()
    (folder / entry["files"][0]["name"]).write_bytes(content)
    return copy.deepcopy(entry)


class SmallKit:
    """``folder``: the kit; ``wheels``: all that it needs besides, as ``package --offline`` makes it."""

    def __init__(
        self,
        place: Path,
        version: str = "1.0",
        index: str = "",
        ballast: int = 0,
        project: dict[str, Any] | None = None,
    ) -> None:
        self.folder, self.wheels = place / "kit", place / "offline"
        self.folder.mkdir(parents=True)
        self.wheels.mkdir()
        own = wheel(self.folder, "repaint-bridge", version, {**PROJECT, **(project or {})})
        flavoured = []
        for flavour in ("cpu", "cuda"):
            torch = wheel(self.wheels, "torch", f"2.0+{flavour}", {"torch/__init__.py": f"flavour = {flavour!r}"})
            flavoured.append({**torch, "flavour": flavour})
        self.lock = {
            "version": 1,
            "index": index,
            "python": [HERE],
            "project": own,
            "uv": _uv_wheel(self.wheels),
            "packages": [
                *flavoured,
                wheel(self.wheels, "numpy", "2.0", {"numpy/__init__.py": "", "numpy/core.bin": bytes(ballast)}),
                wheel(self.wheels, "zope.tiny", "1.0", {"zope/tiny.py": "x = 1"}),
            ],
            "disk": {"cpu": 1000},
        }
        self.write()

    def write(self) -> None:
        (self.folder / "lock.json").write_text(json.dumps(self.lock))
