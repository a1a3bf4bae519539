"""``python -m install.lock``: remakes lock.json, the list of the packages that a set-up installs.

    python -m install.lock [--builds FLAVOUR=DIR …]
    python -m install.lock --requirements 3.11      print the packages of this Python for pip-audit; remake nothing

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
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pip._internal.network.lazy_wheel import LazyZipOverHTTP
from pip._internal.network.session import PipSession
from pip._vendor.packaging.markers import Marker
from pip._vendor.packaging.utils import parse_wheel_filename

from install.environment import ROOT, TORCH, Stop, uv
from install.package import PYTHONS, SYSTEMS

LOCK = ROOT / "install" / "lock.json"
PLATFORM_TAGS = {
    "linux-x86_64": r"(many)?linux.*_x86_64",
    "linux-aarch64": r"(many)?linux.*_aarch64",
    "windows": r"win_amd64",
    "macos": r"macosx_\d+_\d+_(arm64|universal2)",
}
TARGETS = [(system, python) for system in SYSTEMS for python in PYTHONS]
ONLY_CUDA = re.compile(r"(nvidia|cuda|triton)\b")

NEEDS = {"cuda": {"driver": "580", "capability": "7.5"}}
"""What the index's build of torch, for CUDA 13, wants of a card."""
COMPILED = 1.2
"""How much an environment grows when Python compiles it."""

Target = tuple[str, str]
Package = dict[str, Any]


def environment(target: Target) -> dict[str, str]:
    """The target as the variables of PEP 508."""
    platform, machine = SYSTEMS[target[0]]
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
        if tag.platform != "any" and not re.fullmatch(PLATFORM_TAGS[target[0]], tag.platform):
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
        command = [*uv(Path(sys.executable)), "--no-config", "pip", "compile", str(wanted), "--universal", "--quiet"]
        command += ["--python-version", PYTHONS[0], "--format", "pylock.toml", "--output-file", str(out)]
        if subprocess.run(command, cwd=folder).returncode:
            raise Stop("uv could not choose the packages; it says why above.")
        return list(tomllib.loads(out.read_text(encoding="utf-8"))["packages"])


def locked(found: Package, flavours: Iterable[tuple[str, set[Target]]]) -> list[Package]:
    """The lock's entries for one package, one for each flavour with its targets."""
    wanted = Marker(found["marker"]) if found.get("marker") else None
    wheels = {wheel["url"].rpartition("/")[2].replace("%2B", "+"): wheel for wheel in found.get("wheels", ())}
    entries = []
    for flavour, possible in flavours:
        targets = {each for each in possible if not wanted or wanted.evaluate(environment(each))}
        names = [name for name in sorted(wheels) if any(usable(name, target) for target in targets)]
        lacking = [target for target in targets if not any(usable(name, target) for name in names)]
        if lacking:
            raise Stop(f"{found['name']} {found['version']} has no wheel for {sorted(lacking)}.")
        files = [
            {"name": name, "sha256": wheel["hashes"]["sha256"], "size": wheel["size"], "url": wheel["url"]}
            for name, wheel in ((name, wheels[name]) for name in names)
        ]
        if targets:
            entries.append(entry(found["name"], found["version"], targets, flavour, files))
    return entries


def entry(name: str, version: str, targets: set[Target], flavour: str, files: list[Package]) -> Package:
    return {"name": name, "version": version, "marker": marker(targets), "flavour": flavour, "files": files}


def flavours_of(name: str, cpu: set[Target]) -> list[tuple[str, set[Target]]]:
    """Which flavours a package of the index belongs to, and where. ``cpu``: for these there is a build of torch for
    processors apart; elsewhere on Linux the index's build for CUDA does for them, too."""
    systems = {system: {each for each in TARGETS if each[0] == system} for system in SYSTEMS}
    linux = [targets for system, targets in systems.items() if system.startswith("linux")]
    cuda = [("cuda", set().union(*linux)), *(("cpu", targets - cpu) for targets in linux)]
    if name == "torch":
        return [*cuda, ("cpu", systems["windows"]), ("cpu", systems["macos"]), ("mps", systems["macos"])]
    return cuda if ONLY_CUDA.match(name) else [("", set(TARGETS))]


def builds(flavour: str, folder: Path) -> list[Package]:
    """Entries for the wheels in a folder: torch's other build, and whatever only this build needs."""
    found: dict[tuple[str, str], list[Package]] = {}
    for path in sorted(folder.glob("*.whl")):
        name, version = parse_wheel_filename(path.name)[:2]
        if name == "torch" and version.public != TORCH:
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        file = {"name": path.name, "sha256": digest, "size": path.stat().st_size, "url": path.resolve().as_uri()}
        found.setdefault((name, str(version)), []).append(file)
    if not any(name == "torch" for name, _ in found):
        raise Stop(f"{folder} holds no wheel of torch {TORCH}.")
    return [entry(name, version, targets_of(files), flavour, files) for (name, version), files in found.items()]


def targets_of(files: list[Package]) -> set[Target]:
    return {target for target in TARGETS if any(usable(file["name"], target) for file in files)}


def measure(packages: list[Package], known: dict[str, int]) -> None:
    """Add to each file how many bytes it has unpacked. Only the list of files at a wheel's end is fetched."""
    session = PipSession()

    def unpacked(file: Package) -> None:
        place = file.pop("url", "")
        file["unpacked"] = known.get(file["sha256"]) or sum(info.file_size for info in _listed(place, session))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(unpacked, [file for each in packages for file in each["files"]]))


def _listed(place: str, session: PipSession) -> list[zipfile.ZipInfo]:
    local = place.startswith("file:")
    with zipfile.ZipFile(url2pathname(urlsplit(place).path) if local else LazyZipOverHTTP(place, session)) as archive:
        return archive.infolist()


def disk(packages: list[Package]) -> dict[str, int]:
    """Bytes of an environment by flavour, system and Python, for instance "cpu-linux-x86_64-3.11"."""
    told = {}
    for target in TARGETS:
        variables = environment(target)
        there = [each for each in packages if not each["marker"] or Marker(each["marker"]).evaluate(variables)]
        for flavour in sorted({each["flavour"] for each in there if each["name"] == "torch"}):
            chosen = [each for each in there if each["flavour"] in ("", flavour)]
            files = [next(file for file in each["files"] if usable(file["name"], target)) for each in chosen]
            platform, machine = SYSTEMS[target[0]]
            key = f"{flavour}-{platform}-{machine.lower()}-{target[1]}"
            told[key] = round(sum(file["unpacked"] for file in files) * COMPILED / 1e6) * 10**6
    return told


def requirements(packages: list[Package], python: str) -> list[str]:
    """Every package that some system needs for this Python, with the hashes of its files, as pip reads them."""
    targets = [environment((system, python)) for system in SYSTEMS]
    hashes: dict[str, set[str]] = {}
    for each in packages:
        if each["marker"] and not any(Marker(each["marker"]).evaluate(target) for target in targets):
            continue
        pinned = f"{each['name']}=={each['version'].partition('+')[0]}"
        hashes.setdefault(pinned, set()).update(file["sha256"] for file in each["files"])
    return [" ".join([name, *(f"--hash=sha256:{one}" for one in sorted(hashes[name]))]) for name in sorted(hashes)]


def text_of(lock: Package) -> str:
    """JSON with one line for each file, so that a difference can be read."""
    text = json.dumps(lock, indent=1, ensure_ascii=False)
    file = re.compile(r"\{\s+(\"name\": [^{}]*?\"sha256\": [^{}]*?)\s+\}")
    return file.sub(lambda found: "{" + " ".join(found[1].split()) + "}", text) + "\n"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--builds", action="append", default=[], metavar="FLAVOUR=DIR")
    parser.add_argument("--requirements", choices=PYTHONS, metavar="PYTHON")
    arguments = parser.parse_args(argv)
    before = json.loads(LOCK.read_text(encoding="utf-8")) if LOCK.is_file() else {"packages": []}
    if arguments.requirements:
        print("\n".join(requirements(before["packages"], arguments.requirements)))
        return 0
    folders = dict(each.split("=", 1) for each in arguments.builds)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    torches = {each["version"] for each in before["packages"] if each["version"].startswith(TORCH + "+")}
    kept = [each for each in before["packages"] if each["version"] in torches or each["flavour"] == "rocm"]
    other = [each for each in kept if each["flavour"] not in folders]
    other += [each for flavour, folder in folders.items() for each in builds(flavour, Path(folder))]
    cpu = {target for each in other if each["flavour"] == "cpu" for target in targets_of(each["files"])}
    packages = other + [
        each for found in resolved(project["dependencies"]) for each in locked(found, flavours_of(found["name"], cpu))
    ]
    (tool,) = (each for found in resolved(["uv"]) for each in locked(found, flavours_of("uv", cpu)))
    known = {file["sha256"]: file["unpacked"] for each in before["packages"] for file in each["files"]}
    measure([*packages, tool], known)
    lock = {
        "version": 1,
        "licence": project["license"],
        "needs": NEEDS,
        "python": list(PYTHONS),
        "disk": disk(packages),
        "uv": tool,
        "packages": sorted(packages, key=lambda each: (each["name"], each["version"], each["flavour"], each["marker"])),
    }
    LOCK.write_text(text_of(lock), encoding="utf-8", newline="\n")
    print(f"{LOCK}: {len(packages)} packages, {sum(len(each['files']) for each in packages)} files.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Stop as stop:
        sys.exit(f"error: {stop}")
