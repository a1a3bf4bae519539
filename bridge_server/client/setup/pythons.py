"""The Pythons of this computer: each is asked itself, for a name on PATH says little."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Tuple

from bridge_server.client.setup.device import machine
from bridge_server.client.setup.programs import output, which
from bridge_server.client.setup.tags import Target

SECONDS = 10.0
_ASK = """
import json, os, platform, sys, sysconfig
try:
    libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
except (AttributeError, OSError, ValueError):
    libc = ""
base = getattr(sys, "_base_executable", None) or sys.executable
print(json.dumps({
    "executable": base, "version": list(sys.version_info[:3]), "final": sys.version_info[3],
    "platform": sys.platform, "machine": platform.machine(), "windows": sysconfig.get_platform(), "libc": libc,
    "mac": platform.mac_ver()[0], "kind": platform.python_implementation(), "bits": sys.maxsize.bit_length() + 1,
    "free": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
}))
"""


@dataclass(frozen=True)
class Python:
    """``executable``: outside of any virtual environment; ``version``: "3.12.4"."""

    executable: str
    version: str
    target: Target


def ask(executable: str) -> Python | None:
    """What an interpreter says of itself; None if it is no final 64-bit CPython with a lock, or does not start."""
    try:
        told: Dict[str, Any] = json.loads(output([executable, "-I", "-c", _ASK], SECONDS))
        major, minor, micro = told["version"]
        system = told["mac"] if told["platform"] == "darwin" else told["libc"].replace("glibc", "")
        target = Target(told["platform"], told["machine"], (major, minor), _pair(system))
        if told["platform"] == "win32":
            target = Target("win32", {"win-amd64": "AMD64", "win-arm64": "ARM64"}[told["windows"]], (major, minor))
        if told["kind"] != "CPython" or told["bits"] != 64 or told["free"] or told["final"] != "final":
            return None
        return Python(told["executable"], f"{major}.{minor}.{micro}", target)
    except (ValueError, KeyError, TypeError):
        return None


def _pair(version: str) -> Tuple[int, int]:
    found = re.search(r"(\d+)\.(\d+)", version)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def candidates(versions: Sequence[Tuple[int, int]], own: Path) -> Iterator[str]:
    """Interpreters to ask, those of the preferred versions first; ``own``: the folder of Pythons that set-up brought.

    Not the Microsoft Store's, which see a data folder of their own, and not Apple's stub, which opens a dialogue.
    """
    home, windows = Path.home(), sys.platform == "win32"
    found: List[Path] = []
    for version in versions:
        name = "{}.{}".format(*version)
        found += sorted(own.glob(f"cpython-{name}.*/" + ("python.exe" if windows else f"bin/python{name}")))
        if windows:
            folder = "Python{}{}".format(*version)
            local = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
            programs = Path(os.environ.get("PROGRAMFILES") or "C:/Program Files")
            found += [base / folder / "python.exe" for base in (local / "Programs" / "Python", programs, Path("C:/"))]
        else:
            places = [Path(each) for each in os.environ.get("PATH", "").split(os.pathsep) if Path(each).is_absolute()]
            places += [Path(each) for each in ("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", "/opt/local/bin")]
            places += [home / ".local" / "bin", Path(f"/Library/Frameworks/Python.framework/Versions/{name}/bin")]
            found += [place / f"python{name}" for place in places]
            found += sorted(home.glob(f".pyenv/versions/{name}.*/bin/python{name}"))
    if windows:
        launcher = which("py")
        listed = output([launcher, "-0p"], SECONDS) if launcher else ""
        found += [Path(each.strip()) for each in re.findall(r"[A-Za-z]:\\.*?python\.exe", listed)]
    found += [Path(path) for path in (which(name) for name in ("python3", "python")) if path]
    if Path(sys.executable or "").name.lower().startswith("python"):  # not an editor with Python inside
        found.append(Path(sys.executable))
    seen = set()
    for path in found:
        stub = "WindowsApps" in path.parts or (sys.platform == "darwin" and path == Path("/usr/bin/python3"))
        if path not in seen and not stub and not _of_editor(path) and path.is_file():
            seen.add(path)
            yield str(path)


def _of_editor(path: Path) -> bool:
    """Whether it lies in an AppImage, a snap or an application, which the editor's next version replaces."""
    folders = [Path(place) for place in (os.environ.get("APPDIR"), os.environ.get("SNAP")) if place]
    return any(folder in path.parents for folder in folders) or any(part.endswith(".app") for part in path.parts)


def find(versions: Sequence[Tuple[int, int]], own: Path) -> Iterator[Python]:
    """The suitable Pythons of this computer, by the order of ``versions``; each is asked only when its turn comes."""
    others: List[Python] = []
    asked, known = set(), set()
    for path in candidates(versions, own):
        real = os.path.realpath(path)
        if real in asked:
            continue
        asked.add(real)
        python = ask(path)
        if python is None or python.target.python not in versions or python.executable in known:
            continue
        known.add(python.executable)
        if f"{python.target.python[0]}.{python.target.python[1]}" in Path(path).name or path.startswith(str(own)):
            yield python
        else:
            others.append(python)
    yield from sorted(others, key=lambda python: list(versions).index(python.target.python))


def to_bring(version: Tuple[int, int]) -> Target:
    """How wheels will see a Python that uv brings to this computer."""
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, OSError, ValueError):
        libc = ""
    if sys.platform == "darwin":
        import platform

        libc = platform.mac_ver()[0]
    return Target(sys.platform, machine(), version, _pair(libc))
