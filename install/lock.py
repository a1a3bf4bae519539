"""``python -m install.lock``: remakes lock.json, the list of the packages that a set-up installs.

    python -m install.lock [--builds FLAVOUR=DIR …]

uv (``pip install uv``) resolves pyproject.toml's packages for every system and Python below in one go; this keeps the
wheels that these can use, with the hashes and sizes that the index tells. Its address is not written down.

torch's builds for other flavours than the index's lie elsewhere, as wheels with a local version such as 2.13.0+cpu.
They are added from folders: ``--builds cpu=DIR`` takes the wheels of torch in DIR, and with ``rocm=DIR`` also the
packages beside it that this build needs. Flavours for which no folder is named keep what the lock has.

So far the lock holds the index's own builds (CUDA on Linux, the processor on Windows, MPS on macOS) and, of the builds
for processors on Linux x86-64, that for Python 3.11; ROCm and CUDA on Windows have not been added. A set-up takes the
build that there is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pip._vendor.packaging.markers import Marker
from pip._vendor.packaging.utils import canonicalize_name, parse_wheel_filename

from install.environment import ROOT, TORCH, Stop

LOCK = ROOT / "install" / "lock.json"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SYSTEMS = {
    "linux-x86_64": ("linux", "x86_64", r"(many)?linux.*_x86_64"),
    "linux-aarch64": ("linux", "aarch64", r"(many)?linux.*_aarch64"),
    "windows": ("win32", "AMD64", r"win_amd64"),
    "macos": ("darwin", "arm64", r"macosx_\d+_\d+_(arm64|universal2)"),
}
"""Name: (sys_platform, platform_machine, pattern of a wheel's platform tag)."""
TARGETS = [(system, python) for system in SYSTEMS for python in PYTHONS]
TORCH_FLAVOURS = {"linux-x86_64": "cuda", "linux-aarch64": "cuda", "windows": "cpu", "macos": "mps"}
"""Which build of torch the index has for each system."""
ONLY_CUDA = re.compile(r"(nvidia|cuda|triton)\b")
DISK = {"cpu": 1_900_000_000, "cuda": 7_500_000_000, "rocm": 15_000_000_000, "mps": 1_200_000_000}
"""Bytes of an environment: cpu as measured on Linux, the others as estimated from their wheels."""

Target = tuple[str, str]
Package = dict[str, Any]


def environment(target: Target) -> dict[str, str]:
    """The target as the variables of PEP 508."""
    platform, machine, _ = SYSTEMS[target[0]]
    return {
        "sys_platform": platform,
        "platform_machine": machine,
        "platform_system": {"linux": "Linux", "win32": "Windows", "darwin": "Darwin"}[platform],
        "os_name": "nt" if platform == "win32" else "posix",
        "python_version": target[1],
        "python_full_version": target[1] + ".0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }


def usable(name: str, target: Target) -> bool:
    """Whether the wheel of this file name can be installed there. Free-threaded Pythons are none of ours."""
    number = int(target[1].partition(".")[2])
    for tag in parse_wheel_filename(name)[3]:
        if tag.platform != "any" and not re.fullmatch(SYSTEMS[target[0]][2], tag.platform):
            continue
        found = re.fullmatch(r"(?:cp|py)3(\d*)", tag.interpreter)
        if found is None:
            continue
        needs = int(found[1] or 0)
        if tag.abi == f"cp3{number}" or (tag.abi in ("abi3", "none") and needs <= number):
            return True
    return False


def marker(targets: set[Target]) -> str:
    """PEP 508 for a set of targets that is a set of systems times a range of Pythons; "" for all."""
    systems = [name for name in SYSTEMS if any(name == system for system, _ in targets)]
    pythons = [each for each in PYTHONS if any(each == python for _, python in targets)]
    if len(targets) != len(systems) * len(pythons):
        raise Stop(f"No marker for {sorted(targets)}; teach install/lock.py to write it.")
    clauses, left = [], list(systems)
    for platform in dict.fromkeys(SYSTEMS[name][0] for name in systems):
        every = [name for name in SYSTEMS if SYSTEMS[name][0] == platform]
        if set(every) <= set(left):
            clauses.append(f"sys_platform == '{platform}'")
            left = [name for name in left if name not in every]
    for name in left:
        clauses.append("sys_platform == '{}' and platform_machine == '{}'".format(*SYSTEMS[name]))
    parts = [" or ".join(clauses)] if len(systems) < len(SYSTEMS) else []
    if len(clauses) > 1 and parts and len(pythons) < len(PYTHONS):
        parts = [f"({parts[0]})"]
    if len(pythons) == 1:
        return " and ".join([*parts, f"python_version == '{pythons[0]}'"])
    if pythons[0] != PYTHONS[0]:
        parts.append(f"python_version >= '{pythons[0]}'")
    if pythons[-1] != PYTHONS[-1]:
        parts.append(f"python_version <= '{pythons[-1]}'")
    return " and ".join(parts)


def resolved(requirements: Iterable[str]) -> list[Package]:
    """What uv chooses, as the packages of a pylock.toml (PEP 751)."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, out = Path(folder, "requirements.in"), Path(folder, "pylock.toml")
        wanted.write_text("\n".join(requirements), encoding="utf-8")
        command = [sys.executable, "-m", "uv", "--no-config", "pip", "compile", str(wanted), "--universal", "--quiet"]
        command += ["--python-version", PYTHONS[0], "--format", "pylock.toml", "--output-file", str(out)]
        if subprocess.run(command, cwd=folder).returncode:
            raise Stop("uv could not choose the packages (is it there? “python -m pip install uv”).")
        return list(tomllib.loads(out.read_text(encoding="utf-8"))["packages"])


def locked(found: Package, flavours: Iterable[tuple[str, set[str]]]) -> list[Package]:
    """The lock's entries for one package: one for each flavour with the names of its systems."""
    entries = []
    wanted = Marker(found["marker"]) if found.get("marker") else None
    for flavour, systems in flavours:
        targets = {
            each for each in TARGETS if each[0] in systems and (not wanted or wanted.evaluate(environment(each)))
        }
        wheels = {wheel["url"].rpartition("/")[2].replace("%2B", "+"): wheel for wheel in found.get("wheels", ())}
        files = [
            {"name": name, "sha256": wheel["hashes"]["sha256"], "size": wheel["size"]}
            for name, wheel in sorted(wheels.items())
            if any(usable(name, target) for target in targets)
        ]
        lacking = [target for target in targets if not any(usable(file["name"], target) for file in files)]
        if lacking:
            raise Stop(f"{found['name']} {found['version']} has no wheel for {sorted(lacking)}.")
        if targets:
            entries.append(entry(found["name"], found["version"], targets, flavour, files))
    return entries


def entry(name: str, version: str, targets: set[Target], flavour: str, files: list[Package]) -> Package:
    return {"name": name, "version": version, "marker": marker(targets), "flavour": flavour, "files": files}


def flavours_of(name: str) -> list[tuple[str, set[str]]]:
    if name == "torch":
        return [(each, {s for s in SYSTEMS if TORCH_FLAVOURS[s] == each}) for each in ("cuda", "cpu", "mps")]
    return [("cuda" if ONLY_CUDA.match(name) else "", set(SYSTEMS))]


def builds(flavour: str, folder: Path) -> list[Package]:
    """Entries for the wheels in a folder: torch's other build, and whatever only this build needs."""
    entries: dict[tuple[str, str], list[Package]] = {}
    for path in sorted(folder.glob("*.whl")):
        name, version = parse_wheel_filename(path.name)[:2]
        if name == "torch" and version.public != TORCH:
            continue
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        file_entry = {"name": path.name, "sha256": digest, "size": path.stat().st_size}
        entries.setdefault((name, str(version)), []).append(file_entry)
    if not any(name == "torch" for name, _ in entries):
        raise Stop(f"{folder} holds no wheel of torch {TORCH}.")
    return [
        entry(name, version, {t for t in TARGETS if any(usable(f["name"], t) for f in files)}, flavour, files)
        for (name, version), files in entries.items()
    ]


def text_of(lock: Package) -> str:
    """JSON with one line for each file, so that a difference can be read."""
    text = json.dumps(lock, indent=1, ensure_ascii=False)
    file = re.compile(r"\{\s+(\"name\": [^{}]*?\"sha256\": [^{}]*?)\s+\}")
    return file.sub(lambda found: "{" + " ".join(found[1].split()) + "}", text) + "\n"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--builds", action="append", default=[], metavar="FLAVOUR=DIR")
    folders = dict(each.split("=", 1) for each in parser.parse_args(argv).builds)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    before = json.loads(LOCK.read_text(encoding="utf-8")) if LOCK.is_file() else {"packages": []}
    packages = [
        each for found in resolved(project["dependencies"]) for each in locked(found, flavours_of(found["name"]))
    ]
    local = [each for each in before["packages"] if each["version"].startswith(f"{TORCH}+")]
    kept = [each for each in before["packages"] if each in local or each["flavour"] == "rocm"]
    kept = [each for each in kept if each["flavour"] not in folders]
    packages += kept + [each for flavour, folder in folders.items() for each in builds(flavour, Path(folder))]
    (tool,) = (each for found in resolved(["uv"]) for each in locked(found, flavours_of("uv")))
    lock = {
        "version": 1,
        "project": canonicalize_name(project["name"]),
        "index": "",
        "python": list(PYTHONS),
        "disk": DISK,
        "uv": tool,
        "packages": sorted(packages, key=lambda each: (each["name"], each["version"], each["flavour"])),
    }
    LOCK.write_text(text_of(lock), encoding="utf-8", newline="\n")
    print(f"{LOCK}: {len(packages)} packages, {sum(len(each['files']) for each in packages)} files.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Stop as stop:
        sys.exit(f"error: {stop}")
