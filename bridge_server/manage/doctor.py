"""doctor: what is here, what is missing, what to do. What it names it has tried: every file of the engine is looked at,
packages are loaded, files are written, and a bridge of its own paints a small picture."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from bridge_server.client import launch, setup
from bridge_server.client.errors import BridgeError
from bridge_server.client.setup import boxes, environments
from bridge_server.client.setup.kit import Kit
from bridge_server.manage import ROOT, front, places, plugins, version

ROOM = 200_000_000
"""Bytes that must be free where jobs, models and what was learned are kept."""
REPAIR = ": click Repair."
FACTS = """
import json, torch
from engine.devices import chosen
from engine.models import catalogue
facts = f"torch {torch.__version__} on {chosen().type}, {torch.get_num_threads()} threads"
print(json.dumps([facts, [info.id for info in catalogue() if info.installed]]))
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


def doctor() -> int:
    """Exit status 1 if something must be done."""
    findings = Findings()
    findings.say("RePaint Bridge", f"{version()} in {ROOT}")
    findings.say("Python", f"{platform.python_version()} ({sys.executable})")
    _disk(findings)
    kits = [*_krita(findings), *_gimp(findings)]
    interpreter = _engine(findings, kits)
    if interpreter:
        box = boxes.painting()
        if box:
            _box(findings, interpreter, box)
        else:
            _own(findings, interpreter)
        said = _ask(interpreter, "-m", "bridge_server", "status").stdout.strip()
        findings.say("bridge", said.splitlines()[0] if said else "not running")
    for heading, sentences in (("What to do:", findings.todo), ("If you like:", findings.choices)):
        if sentences:
            print("\n" + heading, *sentences, sep="\n  ")
    if not findings.todo:
        print("\nNothing to do.")
    return 1 if findings.todo else 0


def _ask(interpreter: str, *words: str) -> subprocess.CompletedProcess[str]:
    """``-P``: nothing is imported from the folder that doctor was called in."""
    return subprocess.run([interpreter, "-P", *words], capture_output=True, text=True, errors="replace")


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()
    return lines[-1].removeprefix("error: ")


def _disk(findings: Findings) -> None:
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


def _engine(findings: Findings, kits: list[Path]) -> str:
    """The interpreter of the engine that editors start; "" if there is none that works."""
    for kit in kits:
        try:
            Kit(kit)
        except BridgeError as error:
            findings.say("  kit", f"{kit} is broken", error.sentence)
            kits = [each for each in kits if each != kit]
    found = setup.found(kits[0] if kits else None)
    if found.state == "missing":
        by_command = f"Run “{front()} krita” (or gimp): no engine is set up for you yet."
        findings.say("engine", "not set up", found.sentence if kits else by_command)
        return ""
    if found.state == "broken":
        findings.say("engine", f"broken; {launch.launch_file()} names it", _mended(found.sentence))
        return ""
    if found.state == "old":
        findings.say("engine", "of another version than the plug-in", found.sentence)
    interpreter = launch.read_launch_file().interpreter
    parts = setup.broken_parts(environments.of_interpreter(interpreter))
    for part in parts:
        findings.say("engine", "broken", _mended(part))
    return "" if parts else interpreter


def _mended(sentence: str) -> str:
    """The sentence of a broken engine; only one of set-up's own can be repaired by a click."""
    try:
        environment = environments.of_interpreter(launch.read_launch_file().interpreter)
    except BridgeError:
        return sentence
    if environment.parent == environments.engines():
        return sentence
    project = environment.parent
    again = f": delete the folder {environment}, then run “python3 installer.py krita” (or gimp) in {project}."
    by_tool = ": install the package repaint-bridge again, with the tool that installed it."
    return sentence.replace(REPAIR, again if (project / "installer.py").is_file() else by_tool)


def _box(findings: Findings, interpreter: str, box: str) -> None:
    """Another machine paints for this one."""
    done = _ask(interpreter, "-m", "bridge_server", "connect", box)
    findings.say("engine", f"the machine {box}, by {interpreter}", _last_line(done) if done.returncode else "")


def _own(findings: Findings, interpreter: str) -> None:
    done = _ask(interpreter, "-c", FACTS)
    try:
        facts, models = json.loads(done.stdout.strip().rpartition("\n")[2])
    except ValueError:
        facts, models = _last_line(done), []
    findings.say("engine", f"{facts} ({interpreter})")
    tool = shutil.which("nvidia-smi")
    nvidia = tool is not None and subprocess.run([tool], capture_output=True).returncode == 0
    choice = "The engine does not use the NVIDIA card: set it up again, so that it gets the build for it."
    findings.say("GPU", "NVIDIA" if nvidia else "none seen", choice=choice if nvidia and " on cpu" in facts else "")
    findings.say("models", ", ".join(models))
    if not findings.todo:
        _paint(findings, interpreter)


def _krita(findings: Findings) -> list[Path]:
    """The kits of the plug-ins that are installed."""
    kits = []
    findings.say("Krita", shutil.which("krita") or "not found on PATH")
    here = places.here()
    for folder, settings in zip(places.krita_resources(*here), places.krita_settings(*here), strict=True):
        if not folder.is_dir():
            continue
        wanted = [(plugins.krita_place(folder, name), source) for name, source in plugins.krita_files()]
        kits += _plugin(findings, "krita", folder, wanted, folder / "pykrita/repaint_krita")
        if kits or wanted[0][0].is_file():
            off = not plugins.enabled_in_krita(settings)
            findings.say("  switched", f"{'off' if off else 'on'} in {settings}", choice=plugins.TICK if off else "")
    return kits


def _gimp(findings: Findings) -> list[Path]:
    kits = []
    found = plugins.gimp_version()
    old = found.startswith("2.")
    told = f"{shutil.which('gimp')} {found}" if found else "not found on PATH"
    choice = "GIMP 2.10 has no Python 3; install GIMP 3.0 or newer to use RePaint in it."
    findings.say("GIMP", told + (" (too old: it has no Python 3)" if old else ""), choice=choice if old else "")
    for folder in places.gimp_configurations(*places.here()):
        wanted = [(folder / "plug-ins" / name, file) for name, file in plugins.gimp_files()]
        kits += _plugin(findings, "gimp", folder, wanted, folder / "plug-ins/repaint_gimp")
    return kits


def _plugin(findings: Findings, command: str, folder: Path, wanted: list[tuple[Path, Path]], place: Path) -> list[Path]:
    """Compares file by file with this project's plug-in (``wanted``: place and source); its kit, if it has one."""
    there = [path.is_file() for path, _ in wanted]
    kit = place / plugins.KIT
    if not any(there):
        choice = f"Run “{front()} {command}” to install the plug-in, or install its zip in the editor."
        findings.say("  plug-in", f"not in {folder}", choice=choice)
        return []
    same = all(there) and all(path.read_bytes() == source.read_bytes() for path, source in wanted)
    again = "install its zip again" if kit.is_dir() else f"run “{front()} {command}” again"
    todo = "" if same else f"The plug-in in {folder} is not that of this version: {again}."
    findings.say("  plug-in", f"installed in {folder}" + ("" if same else ", but another version"), todo)
    return [kit] if kit.is_dir() else []


def _paint(findings: Findings, interpreter: str) -> None:
    done = _ask(interpreter, "-m", "bridge_server.check")
    todo = f"The engine does not paint: {_last_line(done)}" if done.returncode else ""
    findings.say("a fill", _last_line(done), todo)
