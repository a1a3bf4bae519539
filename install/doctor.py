"""doctor: what is here, what is missing, what to do. What it names it has tried: packages are imported, models answer,
files are written, and a bridge of its own paints a small picture."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from install import plugins
from install.environment import ROOT, has_nvidia, has_torch, missing_packages, venv_python, works

ROOM = 200_000_000
"""Bytes that must be free where jobs, models and what was learned are kept."""
AGAIN = "run “python3 installer.py krita” (or gimp)"
ANEW = f"Delete the folder .venv, then {AGAIN} again"
TEXTURE = (
    "Get the folder engine/weights/texture again, from the download or by “git checkout engine/weights”: the Texture "
    "model's files are not whole."
)
IMPORTS = """
import importlib
names = "numpy torch diffusers transformers accelerate peft safetensors.torch zmq platformdirs"
names += " PIL.Image cv2 tifffile imagecodecs OpenImageIO psd_tools"
for name in names.split():
    try:
        importlib.import_module(name)
    except Exception as error:
        raise SystemExit(f"{name} cannot be loaded ({error})")
import torch
from engine.devices import chosen
print(f"torch {torch.__version__} on {chosen().type}, {torch.get_num_threads()} threads")
"""


@dataclass
class Findings:
    """Told line by line. ``todo``: what must be done; ``choices``: what can be."""

    todo: list[str] = field(default_factory=list)
    choices: list[str] = field(default_factory=list)

    def say(self, what: str, found: str, todo: str = "", choice: str = "") -> None:
        print(f"{what:<22} {found}", flush=True)
        self.todo += [todo] if todo else []
        self.choices += [choice] if choice else []


def doctor(_arguments: argparse.Namespace) -> int:
    """Exit status 1 if something must be done."""
    findings = Findings()
    findings.say("RePaint Bridge", f"{plugins.version()} in {ROOT}")
    findings.say("Python", f"{platform.python_version()} ({sys.executable})")
    _disk(findings)
    engine = _environment(findings)
    if engine:
        _models(findings)
    _gpu(findings, engine)
    _krita(findings)
    _gimp(findings)
    _launch_file(findings)
    if engine and not findings.todo:
        _paint(findings)
    if engine:
        said = _ask("-m", "bridge_server", "status").stdout.strip()
        findings.say("bridge", said.splitlines()[0] if said else "not running")
    for heading, sentences in (("What to do:", findings.todo), ("If you like:", findings.choices)):
        if sentences:
            print("\n" + heading, *sentences, sep="\n  ")
    if not findings.todo:
        print("\nNothing to do.")
    return 1 if findings.todo else 0


def _ask(*words: str) -> subprocess.CompletedProcess[str]:
    command: Sequence[str] = [str(venv_python()), *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace")


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()
    return lines[-1].removeprefix("error: ")


def _disk(findings: Findings) -> None:
    from bridge_server.client import launch

    folders = launch.user_folders()
    findings.say("state folder", f"{folders.state}, with the logs")
    seen = set()
    for folder in (folders.state, folders.data, folders.cache, folders.config):
        here = next(path for path in (folder, *folder.parents) if path.is_dir())
        if here.stat().st_dev in seen:
            continue
        seen.add(here.stat().st_dev)
        free = shutil.disk_usage(here).free
        try:
            with tempfile.TemporaryFile(dir=here) as file:
                file.write(bytes(1 << 20))
            todo = f"Make room on the disk of {folder}: it is full." if free < ROOM else ""
        except OSError as error:
            full = free < ROOM
            reason = "it is full" if full else f"nothing can be written there ({error.strerror})"
            todo = f"Make room on the disk of {folder}: {reason}." if full else f"Look at {folder}: {reason}."
        findings.say("disk", f"{free / 1e9:.1f} GB free at {here}", todo)


def _gpu(findings: Findings, engine: str) -> None:
    nvidia = has_nvidia()
    choice = f"{ANEW}: the engine does not use the NVIDIA card yet." if nvidia and " on cpu" in engine else ""
    findings.say("GPU", "NVIDIA" if nvidia else "none seen; the CPU does the work", choice=choice)


def _environment(findings: Findings) -> str:
    """What the engine computes with; "" if it cannot be started."""
    python = venv_python()
    if not works(python) or not has_torch(python):
        findings.say("engine", "not set up", f"{AGAIN[0].upper()}{AGAIN[1:]} to set up the engine and the plug-in.")
        return ""
    missing = missing_packages(python)
    if missing:
        names = ", ".join(missing)
        findings.say("engine", f"lacks {names}", f"{AGAIN[0].upper()}{AGAIN[1:]} again: {names} must be installed.")
        return ""
    done = _ask("-c", IMPORTS)
    if done.returncode:
        findings.say("engine", "broken: " + _last_line(done), f"{ANEW}: {_last_line(done)}.")
        return ""
    findings.say("engine", done.stdout.strip())
    return done.stdout.strip()


def _models(findings: Findings) -> None:
    """The default model is tried by :func:`_paint`."""
    done = _ask("-m", "engine", "models", "verify", "texture")
    findings.say("model texture", _last_line(done), TEXTURE if done.returncode else "")
    listed = _ask("-m", "engine", "models", "list").stdout.splitlines()
    installed = [line.split()[0] for line in listed if line.endswith(" installed") and "not installed" not in line]
    findings.say("models", ", ".join(installed))


def _krita(findings: Findings) -> None:
    here = platform.system(), dict(os.environ), Path.home()
    findings.say("Krita", shutil.which("krita") or "not found on PATH")
    for folder, settings in zip(plugins.krita_resources(*here), plugins.krita_settings(*here), strict=True):
        if not folder.is_dir():
            continue
        wanted = [(plugins.krita_place(folder, name), source) for name, source in plugins.krita_files()]
        if _plugin(findings, "krita", folder, wanted) and not plugins.enabled_in_krita(settings):
            findings.say("  switched off", f"in {settings}", choice=plugins.TICK)


def _gimp(findings: Findings) -> None:
    version = plugins.gimp_version()
    old = version.startswith("2.")
    found = f"{shutil.which('gimp')} {version}" if version else "not found on PATH"
    choice = "GIMP 2.10 has no Python 3; install GIMP 3.0 or newer to use RePaint in it."
    findings.say("GIMP", found + (" (too old: it has no Python 3)" if old else ""), choice=choice if old else "")
    for folder in plugins.gimp_configurations(platform.system(), dict(os.environ), Path.home()):
        _plugin(findings, "gimp", folder, [(folder / "plug-ins" / name, file) for name, file in plugins.gimp_files()])


def _plugin(findings: Findings, command: str, folder: Path, wanted: list[tuple[Path, Path]]) -> bool:
    """Whether the plug-in is there, file by file as in this project (``wanted``: place and source)."""
    there = [place.is_file() for place, _ in wanted]
    run = f"Run “python3 installer.py {command}”"
    if not any(there):
        findings.say("  plug-in", f"not in {folder}", choice=f"{run} to install the plug-in.")
        return False
    same = all(there) and all(place.read_bytes() == source.read_bytes() for place, source in wanted)
    todo = "" if same else f"{run} again: the plug-in in {folder} is not that of this version."
    findings.say("  plug-in", f"installed in {folder}" + ("" if same else ", but another version"), todo)
    return same


def _launch_file(findings: Findings) -> None:
    from bridge_server.client import launch
    from bridge_server.client.errors import NotInstalled

    try:
        interpreter = launch.read_launch_file().interpreter
    except NotInstalled as error:
        findings.say("launch file", "none", error.sentence)
        return
    try:
        done = subprocess.run([interpreter, "-c", "import bridge_server.client"], capture_output=True, cwd=Path.home())
        starts = done.returncode == 0
    except OSError:
        starts = False
    todo = f"{AGAIN[0].upper()}{AGAIN[1:]} again: the project was moved, and plug-ins cannot start it."
    found = f"{launch.launch_file()} → {interpreter}"
    findings.say("launch file", found + ("" if starts else " (does not start)"), "" if starts else todo)


def _paint(findings: Findings) -> None:
    done = _ask("-m", "bridge_server.check")
    todo = f"Run “python3 installer.py demo” and look at what it says: {_last_line(done)}" if done.returncode else ""
    findings.say("a fill", _last_line(done), todo)
