#!/usr/bin/env python3
"""RePaint Bridge's installer: plain standard library, can be run again at any time.

    python3 installer.py demo       set up, repaint a bundled photograph through the bridge, write demo/
    python3 installer.py test       set up what the tests need and run them all   [--hosts own|usual|all]
    python3 installer.py krita      install the plug-in into Krita          [--target DIR] [--uninstall]
    python3 installer.py gimp       install the plug-in into GIMP 3         [--target DIR] [--uninstall]
    python3 installer.py doctor     what is here, what is missing, what to do
    python3 installer.py package    the plug-ins as zips for other machines       [--out DIR]

Everything goes into .venv beside this file; nothing else on the machine is changed, except that `test` installs the
real editors on Debian when run as root.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
TORCH = "2.13.0"
MINIMUM = (3, 11)
FLAVOURS = ("auto", "cpu", "cuda", "mps")
KRITA_TEST_PACKAGES = [
    "krita",
    "xvfb",
    "xauth",
    "xdotool",
    "openbox",
    "imagemagick",
    "x11-utils",
    "dbus",
    "dbus-x11",
    "python3-pyqt5",
    "python3-sip",
    "python3-pyqt5.sip",
]
# Other Kritas for the tests: root file systems of tests/hosts.py, beside the Krita of this machine.
OTHER_KRITA_TESTS = ["tests/krita"]
ESSENTIAL = ["-m", "essential", "-k", "not texture"]  # of them in the usual run
GIMP_STARTS = "repaint_gimp/repaint_gimp.py"
EDITORS = {"krita": "Krita", "gimp": "GIMP"}
NOTHING_SELECTED = 5  # exit status of pytest
CANNOT_HERE = 3  # exit status of tests/hosts.py where no root file system can be made
HOSTS: dict[str, list[str]] = {"own": [], "usual": ["trixie"], "all": ["trixie", "sid", "experimental"]}
OTHER_GIMPS: dict[str, list[str]] = {"own": [], "usual": [], "all": ["sid"]}  # Debian 13's is always tested


class Stop(Exception):
    """Ends the command with one sentence."""


# ---------------------------------------------------------------------------------------------------- environment


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


def venv_python(venv: Path = VENV, system: str = platform.system()) -> Path:
    return venv / ("Scripts/python.exe" if system == "Windows" else "bin/python")


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
    """Make or complete .venv with the project and, for ``extra`` = "test", the test packages; returns its Python."""
    python = venv_python()
    flavour = torch_flavour(platform.system(), platform.machine(), has_nvidia(), wanted)
    stamp = VENV / "repaint-bridge.json"
    done: dict[str, str] = {}
    if stamp.is_file() and python.exists():
        try:
            done = json.loads(stamp.read_text(encoding="utf-8"))
        except ValueError:
            done = {}
        if done.get(extra) == fingerprint(extra, flavour):
            return python
    began = time.monotonic()
    print(f"Setting up the environment in .venv (torch {TORCH}, {flavour}) …", flush=True)
    if not _works(python):
        _make_venv()
    if not _has_torch(python):
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


def _works(python: Path) -> bool:
    if not python.exists():
        return False
    check = [str(python), "-c", "import sys, pip; sys.exit(sys.version_info < (3, 11))"]
    return subprocess.run(check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def _make_venv() -> None:
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if made.returncode and "ensurepip" in made.stdout and shutil.which("apt-get"):
        package = "python{}.{}-venv".format(*sys.version_info[:2])
        if os.geteuid() != 0:
            raise Stop(f"Python cannot make environments yet: run “sudo apt install {package}”, then this again.")
        _apt([package])
        made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if made.returncode:
        raise Stop(f"The environment .venv could not be made: {made.stdout.strip().splitlines()[-1]}")


def _has_torch(python: Path) -> bool:
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
        _pip(python, ["install", "uv"], f"uv, which finds torch's {flavour} build")
        backend = "cpu" if flavour == "cpu" else "auto"
        command = [str(python), "-m", "uv", "pip", "install", "--python", str(python), "--torch-backend", backend]
        if _stream([*command, requirement], f"torch ({flavour})") == 0:
            return
        print(f"The {flavour} build of torch is out of reach; taking the registry's default build.", flush=True)
    _pip(python, ["install", requirement], "torch")


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


def _apt(packages: Sequence[str]) -> None:
    VENV.mkdir(exist_ok=True)
    environment = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    install = [*environment, "install", "-y", "--no-install-recommends", *packages]
    if _stream([*environment, "update"], "package lists") or _stream(install, "Debian packages"):
        raise Stop(f"Debian packages could not be installed; the log is {LOG}.")


# ---------------------------------------------------------------------------------------------------- Krita


def krita_resources(system: str, environment: dict[str, str], home: Path) -> list[Path]:
    """Krita's resource folders that may exist, the usual one first."""
    if system == "Windows":
        roaming = environment.get("APPDATA") or str(home / "AppData" / "Roaming")
        return [Path(roaming) / "krita"]
    if system == "Darwin":
        return [home / "Library" / "Application Support" / "Krita"]
    data = environment.get("XDG_DATA_HOME") or str(home / ".local" / "share")
    return [Path(data) / "krita", home / ".var" / "app" / "org.kde.krita" / "data" / "krita"]


def krita_settings(system: str, environment: dict[str, str], home: Path) -> list[Path]:
    """The kritarc that belongs to each folder of :func:`krita_resources`."""
    if system == "Windows":
        local = environment.get("LOCALAPPDATA") or str(home / "AppData" / "Local")
        return [Path(local) / "kritarc"]
    if system == "Darwin":
        return [home / "Library" / "Preferences" / "kritarc"]
    config = environment.get("XDG_CONFIG_HOME") or str(home / ".config")
    return [Path(config) / "kritarc", home / ".var" / "app" / "org.kde.krita" / "config" / "kritarc"]


def plugin_files() -> list[tuple[str, Path]]:
    """(name inside the plug-in folder tree, source file) of the Krita plug-in with the client inside."""
    source = ROOT / "krita_plugin"
    files = [(path.name, path) for path in (source / "repaint_krita.desktop", source / "repaint_krita.action")]
    for path in _sources(source / "repaint_krita"):
        files.append((path.relative_to(source).as_posix(), path))
    return files + _client_files("repaint_krita")


def _client_files(plugin: str) -> list[tuple[str, Path]]:
    """The client inside a plug-in's folder."""
    paths = [ROOT / "bridge_server" / "__init__.py", *_sources(ROOT / "bridge_server" / "client")]
    return [(f"{plugin}/_lib/{path.relative_to(ROOT).as_posix()}", path) for path in paths]


def _sources(folder: Path) -> list[Path]:
    return sorted(
        p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts and "_lib" not in p.parts
    )


def install_krita(target: Path) -> None:
    """Copy the plug-in into a Krita resource folder: ``pykrita/`` and ``actions/``."""
    uninstall_krita(target)
    for name, source in plugin_files():
        place = target / ("actions" if name.endswith(".action") else "pykrita") / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)


def uninstall_krita(target: Path) -> bool:
    """Remove what :func:`install_krita` put there; returns whether anything was."""
    found = False
    folder = target / "pykrita" / "repaint_krita"
    if folder.is_dir():
        shutil.rmtree(folder)
        found = True
    for path in (target / "pykrita" / "repaint_krita.desktop", target / "actions" / "repaint_krita.action"):
        if path.is_file():
            path.unlink()
            found = True
    return found


def enable_in_krita(settings: Path, enabled: bool = True) -> None:
    """Switch the plug-in on in kritarc, leaving every other line as it is."""
    text = settings.read_text(encoding="utf-8") if settings.is_file() else ""
    line = f"enable_repaint_krita={str(enabled).lower()}"
    if re.search(r"^enable_repaint_krita=.*$", text, re.M):
        text = re.sub(r"^enable_repaint_krita=.*$", line, text, flags=re.M)
    elif re.search(r"^\[python\]\s*$", text, re.M):
        text = re.sub(r"^\[python\]\s*$", "[python]\n" + line, text, count=1, flags=re.M)
    else:
        text = text.rstrip("\n") + ("\n\n" if text.strip() else "") + "[python]\n" + line + "\n"
    settings.parent.mkdir(parents=True, exist_ok=True)
    scratch = settings.with_name(settings.name + ".repaint-new")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(settings)


def krita(arguments: argparse.Namespace) -> None:
    here = platform.system(), dict(os.environ), Path.home()
    pairs = list(zip(krita_resources(*here), krita_settings(*here), strict=True))
    if arguments.target:
        chosen: list[tuple[Path, Path | None]] = [(arguments.target, None)]
    else:
        chosen = [(folder, settings) for folder, settings in pairs if folder.is_dir()] or [pairs[0]]
    if arguments.uninstall:
        removed = [folder for folder, _ in chosen if uninstall_krita(folder)]
        for folder, settings in chosen:
            if settings and settings.is_file() and folder in removed:
                enable_in_krita(settings, enabled=False)
        print("\n".join(f"Removed from {f}." for f in removed) or "The plug-in was not installed there.")
        return
    python = set_up("", arguments.torch)
    for folder, settings in chosen:
        install_krita(folder)
        if settings:
            enable_in_krita(settings)
        print(f"Installed into {folder}.")
    write_launch_file(python)
    print("Start Krita (again); the docker is under Settings ▸ Dockers ▸ RePaint.")
    if not arguments.target:
        print(
            "If it is not there: Settings ▸ Configure Krita ▸ Python Plugin Manager, tick RePaint, start Krita again."
        )


# ---------------------------------------------------------------------------------------------------- GIMP


def gimp_folders(system: str, environment: dict[str, str], home: Path) -> list[Path]:
    """The folders of GIMP's configuration, in which each version has one of its own."""
    if system == "Windows":
        return [Path(environment.get("APPDATA") or str(home / "AppData" / "Roaming")) / "GIMP"]
    if system == "Darwin":
        return [home / "Library" / "Application Support" / "GIMP"]
    config = environment.get("XDG_CONFIG_HOME") or str(home / ".config")
    return [Path(config) / "GIMP", home / ".var" / "app" / "org.gimp.GIMP" / "config" / "GIMP"]


def gimp_configurations(system: str, environment: dict[str, str], home: Path) -> list[Path]:
    """The configuration folders of every GIMP 3 that has been started here (3.0, 3.2 …)."""
    moved = environment.get("GIMP3_DIRECTORY", "")
    if moved and Path(moved).is_absolute():
        return [Path(moved)]
    found = [path for folder in gimp_folders(system, environment, home) for path in sorted(folder.glob("3.*"))]
    return [path for path in found if path.is_dir() and re.fullmatch(r"3\.\d+", path.name)]


def gimp_files() -> list[tuple[str, Path]]:
    """(name inside GIMP's plug-ins folder, source file) with the client inside."""
    source = ROOT / "gimp_plugin"
    files = [(path.relative_to(source).as_posix(), path) for path in _sources(source / "repaint_gimp")]
    return files + _client_files("repaint_gimp")


def install_gimp(target: Path) -> None:
    """Copy the plug-in into a configuration folder of GIMP 3; the file that GIMP starts gets the executable bit."""
    uninstall_gimp(target)
    for name, source in gimp_files():
        place = target / "plug-ins" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)
        place.chmod(0o755 if name == GIMP_STARTS else 0o644)


def uninstall_gimp(target: Path) -> bool:
    """Remove what :func:`install_gimp` put there; returns whether anything was."""
    folder = target / "plug-ins" / "repaint_gimp"
    if not folder.is_dir():
        return False
    shutil.rmtree(folder)
    return True


def gimp(arguments: argparse.Namespace) -> None:
    found = gimp_configurations(platform.system(), dict(os.environ), Path.home())
    chosen = [arguments.target] if arguments.target else found
    if arguments.uninstall:
        removed = [folder for folder in chosen if uninstall_gimp(folder)]
        print("\n".join(f"Removed from {f}." for f in removed) or "The plug-in was not installed there.")
        return
    if not chosen:
        raise Stop(
            "no configuration folder of GIMP 3 was found; start GIMP 3 once, so that it makes one, then run this again "
            "(or name the folder with --target)." + _too_old_gimp()
        )
    python = set_up("", arguments.torch)
    for folder in chosen:
        install_gimp(folder)
        print(f"Installed into {folder}.")
    write_launch_file(python)
    print("Start GIMP (again); RePaint is in the menu Filters ▸ RePaint.")


def gimp_version() -> str:
    """Version of the GIMP on PATH, for instance "3.0.4"; "" if there is none."""
    program = shutil.which("gimp")
    if not program:
        return ""
    said = subprocess.run([program, "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    found = re.search(r"\d+\.\d+(\.\d+)?", said)
    return found.group(0) if found else "?"


def _too_old_gimp() -> str:
    version = gimp_version()
    return f" GIMP {version} has no Python 3: RePaint needs GIMP 3.0 or newer." if version.startswith("2.") else ""


def write_launch_file(python: Path) -> None:
    """Tell the plug-ins where this project's interpreter is."""
    from bridge_server.client import launch

    path = launch.write_launch_file(str(python), ["-m", "bridge_server", "serve"], launch.user_folders().state)
    print(f"Plug-ins start the bridge by {path}.")


# ---------------------------------------------------------------------------------------------------- commands


def version() -> str:
    tree = ast.parse((ROOT / "engine" / "version.py").read_text(encoding="utf-8"))
    values = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    return str(ast.literal_eval(values[0]))


def package(arguments: argparse.Namespace) -> None:
    """Write one zip for each editor: Krita's “Import Python Plugin from File” reads the one, the other is unpacked into
    GIMP's plug-ins folder. Folders are entries of their own."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, files in (("repaint_krita", plugin_files()), ("repaint_gimp", gimp_files())):
        path = arguments.out / f"{name}-{version()}.zip"
        _write_zip(path, files)
        print(path)


def _write_zip(path: Path, files: list[tuple[str, Path]]) -> None:
    folders = sorted(
        {parent.as_posix() + "/" for name, _ in files for parent in Path(name).parents if parent != Path()}
    )
    with zipfile.ZipFile(str(path), "w", zipfile.ZIP_DEFLATED) as archive:
        for folder in folders:
            archive.writestr(zipfile.ZipInfo(folder, (2026, 1, 1, 0, 0, 0)), b"")
        for name, source in files:
            info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3  # Unix: the bits below mean something
            info.external_attr = (0o100755 if name == GIMP_STARTS else 0o100644) << 16
            archive.writestr(info, source.read_bytes())


def demo(arguments: argparse.Namespace) -> None:
    python = set_up("", arguments.torch)
    _run([str(python), "-m", "bridge_server.demo", "--out", str(ROOT / "demo")])


def test(arguments: argparse.Namespace) -> None:
    python = set_up("test", arguments.torch)
    hosts = HOSTS[arguments.hosts]
    missing = [tool for tool in ("krita", "Xvfb", "xdotool", "openbox", "import") if not shutil.which(tool)]
    if missing:
        if _is_debian() and os.geteuid() == 0:
            print("Installing real Krita for the tests: {} missing.".format(", ".join(missing)), flush=True)
            _apt(KRITA_TEST_PACKAGES)
        else:
            print("SKIPPING the tests in real Krita: {} missing (Debian, root: installed).".format(", ".join(missing)))
    tools = ["debootstrap", *(["bubblewrap"] if arguments.hosts == "all" else [])]
    names = {"debootstrap": "debootstrap", "bubblewrap": "bwrap"}
    if any(not shutil.which(names[tool]) for tool in tools) and _is_debian() and os.geteuid() == 0:
        _apt(tools)
    _set_up_gimp(python)
    more: list[str] = arguments.pytest
    parts = [_pytest(python, "All tests", more, {})]
    chosen = OTHER_KRITA_TESTS + (ESSENTIAL if arguments.hosts != "all" else [])
    parts += [_test_in(python, host, "krita", chosen + more) for host in hosts]
    parts += [_test_in(python, host, "gimp", ["tests/gimp", *more]) for host in OTHER_GIMPS[arguments.hosts]]
    if len(parts) > 1:
        print("\n" + "\n".join(part.lines() for part in parts), flush=True)
    bad = [part.status for part in parts if part.status and not (more and part.status == NOTHING_SELECTED)]
    if bad:
        sys.exit(max(bad))


@dataclass(frozen=True)
class Part:
    """One run of pytest. ``status``: its exit status; ``told``: how it went, in words; ``failed``: names of tests."""

    name: str
    status: int
    told: str
    failed: tuple[str, ...] = ()

    def lines(self) -> str:
        return "\n    ".join([f"{self.name:<28} {self.told}", *self.failed])


def _pytest(python: Path, name: str, words: Sequence[str], chooses: dict[str, str]) -> Part:
    """``chooses``: environment variables that choose an editor."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [str(python), "-m", "pytest", f"--junitxml={report}", *words]
        status = subprocess.run(command, cwd=str(ROOT), env={**os.environ, **chooses}).returncode
        try:
            cases = list(ElementTree.parse(report).getroot().iter("testcase"))
        except (OSError, ElementTree.ParseError):
            return Part(name, status or 1, "no report, see above")

    def names(*kinds: str) -> set[str]:
        found = [case for case in cases if not kinds or any(case.find(kind) is not None for kind in kinds)]
        return {case.get("classname", "") + "::" + case.get("name", "") for case in found}

    failed, skipped = names("failure", "error"), names("skipped")
    passed = len(names() - failed - skipped)
    minutes = (time.monotonic() - began) / 60
    told = f"{passed} passed, {len(failed)} failed, {len(skipped)} skipped in {minutes:.1f} min"
    return Part(name, status, told, tuple(sorted(failed)))


def _set_up_gimp(python: Path) -> None:
    """GIMP 3 in the root file system of Debian 13. The tests themselves say what is missing, and fail in CI."""
    print("Real GIMP 3: its root file system is looked at (some minutes, the first time) …", flush=True)
    built = subprocess.run([str(python), "-m", "tests.hosts", "build", "trixie", "gimp"], cwd=str(ROOT)).returncode
    if built == CANNOT_HERE:
        print("SKIPPING the tests in real GIMP 3 (Debian, root: installed).", flush=True)


def _test_in(python: Path, host: str, editor: str, words: Sequence[str]) -> Part:
    """An editor's tests once more in that of another Debian release."""
    name = f"{EDITORS[editor]} of Debian {host}"
    print(f"\n{name}: preparing its root file system (minutes, the first time) …", flush=True)
    built = subprocess.run([str(python), "-m", "tests.hosts", "build", host, editor], cwd=str(ROOT)).returncode
    if built == CANNOT_HERE and os.environ.get("CI") != "true":
        print(f"SKIPPING the tests in {name}.", flush=True)
        return Part(name, 0, "skipped, see above")
    if built:
        return Part(name, built, "not tested: its root file system could not be built, see above")
    return _pytest(python, name, words, {f"REPAINT_BRIDGE_{editor.upper()}": host})


def doctor(_arguments: argparse.Namespace) -> None:
    from bridge_server.client import launch

    advice: list[str] = []

    def say(what: str, found: str, todo: str = "") -> None:
        print(f"{what:<22} {found}")
        if todo:
            advice.append(todo)

    say("RePaint Bridge", version() + " in " + str(ROOT))
    say("Python", f"{platform.python_version()} ({sys.executable})")
    python = venv_python()
    if _works(python) and _has_torch(python):
        code = (
            "import torch; from engine.models import catalogue; c = torch.cuda.is_available();"
            "print(torch.__version__, torch.cuda.get_device_name(0) if c else 'cpu', torch.get_num_threads());"
            "print(', '.join(m.id + ('' if m.installed else ' (incomplete)') for m in catalogue()))"
        )
        found = subprocess.run([str(python), "-c", code], capture_output=True, text=True)
        lines = found.stdout.splitlines()
        if found.returncode == 0 and len(lines) == 2:
            torch, device, threads = lines[0].split(" ", 1)[0], *lines[0].split(" ", 1)[1].rsplit(" ", 1)
            say("engine", f"torch {torch} on {device}, {threads} threads")
            say("models", lines[1])
        else:
            say("engine", "broken", "Delete .venv, then run “python3 installer.py krita” again.")
    else:
        say("engine", "not set up", "Run “python3 installer.py krita” to set up the engine and the plug-in.")
    say("GPU", "NVIDIA" if has_nvidia() else "none seen; the CPU does the work")
    _doctor_krita(say)
    _doctor_gimp(say)
    try:
        found_launch = launch.read_launch_file()
        exists = Path(found_launch.interpreter).exists()
        say(
            "launch file",
            f"{launch.launch_file()} → {found_launch.interpreter}" + ("" if exists else " (gone)"),
            "" if exists else "Run “python3 installer.py krita” again: the project was moved.",
        )
    except Exception as error:  # NotInstalled carries the sentence
        say("launch file", "none", str(error))
    if _works(python):
        status = subprocess.run([str(python), "-m", "bridge_server", "status"], stdout=subprocess.PIPE, text=True)
        say("bridge", status.stdout.strip().splitlines()[0] if status.stdout.strip() else "not running")
    print("\nWhat to do: " + "\n            ".join(advice) if advice else "\nNothing to do.")


def _doctor_krita(say: Callable[..., None]) -> None:
    here = platform.system(), dict(os.environ), Path.home()
    krita_program = shutil.which("krita")
    found = "not found on PATH"
    if krita_program:
        query = (
            subprocess.run(
                ["dpkg-query", "-W", "-f", "${Version}", "krita"],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            if shutil.which("dpkg-query")
            else None
        )
        found = krita_program + (" " + query.stdout if query and query.returncode == 0 else "")
    say("Krita", found)
    for folder in krita_resources(*here):
        if folder.is_dir():
            there = (folder / "pykrita" / "repaint_krita" / "__init__.py").is_file()
            todo = "" if there else "Run “python3 installer.py krita” to install the plug-in."
            say("  plug-in", ("installed in " if there else "not in ") + str(folder), todo)


def _doctor_gimp(say: Callable[..., None]) -> None:
    version = gimp_version()
    old = version.startswith("2.")
    found = f"{shutil.which('gimp')} {version}" if version else "not found on PATH"
    todo = "GIMP 2.10 has no Python 3; install GIMP 3.0 or newer to use RePaint in it."
    say("GIMP", found + (" (too old: it has no Python 3)" if old else ""), todo if old else "")
    for folder in gimp_configurations(platform.system(), dict(os.environ), Path.home()):
        there = (folder / "plug-ins" / GIMP_STARTS).is_file()
        todo = "" if there else "Run “python3 installer.py gimp” to install the plug-in."
        say("  plug-in", ("installed in " if there else "not in ") + str(folder), todo)


def _is_debian() -> bool:
    return Path("/etc/debian_version").is_file() and bool(shutil.which("apt-get"))


def _run(command: Sequence[str]) -> None:
    code = subprocess.run(list(command), cwd=str(ROOT)).returncode
    if code:
        sys.exit(code)


def _newer_python() -> str | None:
    for minor in range(14, MINIMUM[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found:
            return found
    return None


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="RePaint Bridge's installer; see README.md.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, function, text in (
        ("demo", demo, "repaint a bundled photograph through the bridge, write demo/"),
        ("test", test, "set up what the tests need and run them all"),
        ("krita", krita, "install the plug-in into Krita"),
        ("gimp", gimp, "install the plug-in into GIMP 3"),
        ("doctor", doctor, "what is here, what is missing, what to do"),
        ("package", package, "write the plug-ins as zips"),
    ):
        command = commands.add_parser(name, help=text)
        command.set_defaults(run=function)
        if name in ("demo", "test", "krita", "gimp"):
            command.add_argument("--torch", choices=FLAVOURS, default="auto", help="which build of torch")
        if name == "test":
            command.add_argument(
                "--hosts",
                choices=list(HOSTS),
                default="usual",
                help="own: this machine's Krita and Debian 13's GIMP; usual (the default): and the essential tests in "
                "Debian 13's Krita; all: everything in these and in the newest",
            )
            command.add_argument("pytest", nargs="*", help="passed on to pytest, in every editor (after --)")
        if name in ("krita", "gimp"):
            text = (
                "Krita's resource folder" if name == "krita" else "GIMP's configuration folder, for instance …/GIMP/3.0"
            )
            command.add_argument("--target", type=Path, metavar="DIR", help=text)
            command.add_argument("--uninstall", action="store_true")
        if name == "package":
            command.add_argument("--out", type=Path, default=ROOT / "dist", metavar="DIR")
    arguments = parser.parse_args(argv)
    if not arguments.command:
        parser.print_help()
        return 2
    try:
        arguments.run(arguments)
    except Stop as stop:
        print(f"error: {stop}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; run the same command again to go on.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    if sys.version_info < MINIMUM:
        newer = _newer_python()
        if newer is None:
            sys.exit(f"error: RePaint Bridge needs Python 3.11 or newer; this is {platform.python_version()}.")
        sys.exit(subprocess.run([newer, *sys.argv]).returncode)
    sys.exit(main())
