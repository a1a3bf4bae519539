"""The environment .venv: made once, completed when something is missing."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
TORCH = "2.13.0"
FLAVOURS = ("auto", "cpu", "cuda", "mps")


class Stop(Exception):
    """Ends the command with one sentence."""


def torch_flavour(system: str, machine: str, has_nvidia: bool, wanted: str = "auto") -> str:
    """Which build of torch suits: ``cpu``, ``cuda`` or ``mps`` (Apple). ``wanted`` overrides.

    ``system`` and ``machine`` as in :func:`platform.system` and :func:`platform.machine`.
    """
    apple = system == "Darwin" and machine == "arm64"
    if system == "Darwin" and not apple:
        raise Stop(
            "torch is no longer built for Macs with Intel processors; use an Apple-silicon Mac, Linux or Windows."
        )
    if wanted == "auto":
        return "mps" if apple else ("cuda" if has_nvidia else "cpu")
    if wanted not in FLAVOURS:
        raise Stop("--torch must be one of {}.".format(", ".join(FLAVOURS)))
    if (wanted == "mps") != apple and wanted in ("mps", "cuda"):
        raise Stop(f"--torch {wanted} does not exist for {system} on {machine}; leave the option out.")
    return "mps" if apple else wanted


def wrong_build(flavour: str, system: str, requirements: Sequence[str]) -> bool:
    """Whether the torch build that pip would choose (its requirements given) is not the wanted flavour.

    The registry's default build is CUDA's on Linux and the CPU's on Windows; a CUDA build asks for nvidia packages.
    """
    cuda = any(re.match(r"(nvidia|cuda)", name) for name in requirements)
    if flavour == "cpu":
        return cuda
    return flavour == "cuda" and not cuda and system == "Windows"


def venv_python() -> Path:
    return VENV / ("Scripts/python.exe" if platform.system() == "Windows" else "bin/python")


def has_nvidia() -> bool:
    tool = shutil.which("nvidia-smi")
    return (
        tool is not None
        and subprocess.run([tool], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    )


def fingerprint(extra: str, flavour: str) -> str:
    """Changes when the environment must be set up again."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return hashlib.sha256("\n".join([text, TORCH, extra, flavour, str(VENV)]).encode()).hexdigest()


def set_up(extra: str, wanted: str) -> Path:
    """Make or complete .venv with the project and, for ``extra`` = "test", the test packages; returns its Python.

    For the tests, and as root, Debian's package that makes environments is installed if it is missing.
    """
    python = venv_python()
    flavour = torch_flavour(platform.system(), platform.machine(), has_nvidia(), wanted)
    stamp = VENV / "repaint-bridge.json"
    done: dict[str, str] = {}
    if stamp.is_file() and python.exists():
        try:
            done = json.loads(stamp.read_text(encoding="utf-8"))
        except ValueError:
            done = {}
        if done.get(extra) == fingerprint(extra, flavour) and not missing_packages(python):
            return python
    began = time.monotonic()
    print(f"Setting up the environment in .venv (torch {TORCH}, {flavour}) …", flush=True)
    if not works(python):
        _make_venv(may_use_apt=extra == "test" and is_debian() and os.geteuid() == 0)
    if not has_torch(python):
        _install_torch(python, flavour)
    with_extra = f"{ROOT}[{extra}]" if extra else str(ROOT)
    constraint = VENV / "constraints.txt"
    constraint.write_text(f"torch=={TORCH}\n", encoding="utf-8")
    _pip(python, ["install", "-c", str(constraint), "-e", with_extra], "the project and its packages")
    _stream([str(python), "-c", COMPILE], "compiling the inner loops")  # so that no first click waits; not needed
    done[extra] = fingerprint(extra, flavour)
    stamp.write_text(json.dumps(done), encoding="utf-8")
    print(f"Environment ready after {time.monotonic() - began:.0f} s.", flush=True)
    return python


COMPILE = "from engine import api; api.warm_up(api.load_model('exemplar', 'cpu'))"


def works(python: Path) -> bool:
    """Whether there is a Python that can install packages."""
    if not python.exists():
        return False
    check = [str(python), "-c", "import sys, pip; sys.exit(sys.version_info < (3, 11))"]
    return subprocess.run(check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def _make_venv(may_use_apt: bool) -> None:
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if made.returncode and "ensurepip" in made.stdout and shutil.which("apt-get"):
        package = "python{}.{}-venv".format(*sys.version_info[:2])
        if not may_use_apt:
            raise Stop(f"Python cannot make environments yet: run “sudo apt install {package}”, then this again.")
        apt([package])
        made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if made.returncode:
        raise Stop(f"The environment .venv could not be made: {made.stdout.strip().splitlines()[-1]}")


PACKAGES = """
import importlib.metadata as metadata
from pip._vendor.packaging.requirements import Requirement
for wanted in map(Requirement, metadata.requires("repaint-bridge") or []):
    if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            version = ""
        if not wanted.specifier.contains(version or "0", prereleases=True) or not version:
            print(wanted.name)
"""


def missing_packages(python: Path) -> list[str]:
    """Names of the project's packages that its environment lacks, or has in a version that does not suit."""
    asked = subprocess.run([str(python), "-c", PACKAGES], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return asked.stdout.split() if asked.returncode == 0 else ["repaint-bridge"]


def has_torch(python: Path) -> bool:
    """Whether it has torch in the version that is wanted."""
    code = f"import importlib.metadata as m, sys; sys.exit(m.version('torch').split('+')[0] != '{TORCH}')"
    return subprocess.run([str(python), "-c", code], stderr=subprocess.DEVNULL).returncode == 0


def _install_torch(python: Path, flavour: str) -> None:
    """torch first and alone. Where the registry's default is another build, uv knows where the wanted one lies."""
    requirement = "torch==" + TORCH
    report = VENV / "torch-report.json"
    dry = ["install", "--dry-run", "--no-deps", "--ignore-installed", "--report", str(report), requirement]
    _pip(python, dry, "the choice of torch")
    metadata = json.loads(report.read_text(encoding="utf-8"))["install"][0]["metadata"]
    if wrong_build(flavour, platform.system(), metadata.get("requires_dist", [])):
        backend = "cpu" if flavour == "cpu" else "auto"
        command = [*uv(python), "pip", "install", "--python", str(python), "--torch-backend", backend]
        if _stream([*command, requirement], f"torch ({flavour})") == 0:
            return
        print(f"The {flavour} build of torch cannot be reached; taking the registry's default build.", flush=True)
    _pip(python, ["install", requirement], "torch")


def uv(python: Path) -> list[str]:
    """The command uv of that Python; .venv gets it if it lacks it."""
    command = [str(python), "-m", "uv"]
    if subprocess.run([*command, "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        if python != venv_python():
            raise Stop("uv is missing: run “python3 installer.py demo” once, then this again.")
        _pip(python, ["install", "uv"], "uv")
    return command


def _pip(python: Path, arguments: Sequence[str], what: str) -> None:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    if _stream(command, what):
        raise Stop(f"{what} could not be installed; the log is {LOG}. Check the network, then run this again.")


LOG = VENV / "install.log"


def _stream(command: Sequence[str], what: str) -> int:
    """Run a command, its output into the log; show what it is doing and for how long."""
    began, alive = time.monotonic(), threading.Event()
    line = [""]

    def tick() -> None:
        while not alive.wait(1.0):
            text = f"  {what} … {time.monotonic() - began:.0f} s  {line[0]}"
            print(f"\r{text:<100.100}", end="", flush=True)

    shower = threading.Thread(target=tick, daemon=True)
    if sys.stdout.isatty():
        shower.start()
    with open(LOG, "a", encoding="utf-8") as log:
        process = subprocess.Popen(
            list(command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
        )
        assert process.stdout is not None
        for text in process.stdout:
            log.write(text)
            line[0] = text.strip()
    code = process.wait()
    alive.set()
    end = "done" if code == 0 else "failed"
    start = "\r" if sys.stdout.isatty() else ""
    print("{}{:<100.100}".format(start, f"  {what}: {end} ({time.monotonic() - began:.0f} s)"), flush=True)
    return code


def apt(packages: Sequence[str]) -> None:
    """Install Debian packages; the tests only, and only as root."""
    VENV.mkdir(exist_ok=True)
    environment = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    install = [*environment, "install", "-y", "--no-install-recommends", *packages]
    if _stream([*environment, "update"], "package lists") or _stream(install, "Debian packages"):
        raise Stop(f"Debian packages could not be installed; the log is {LOG}.")


def is_debian() -> bool:
    return Path("/etc/debian_version").is_file() and bool(shutil.which("apt-get"))


def run(command: Sequence[str]) -> None:
    code = subprocess.run(list(command), cwd=str(ROOT)).returncode
    if code:
        sys.exit(code)
