"""The plug-ins: copied to where Krita and GIMP look for them, and taken away again."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from bridge_server.client import launch
from bridge_server.client.errors import BridgeError
from bridge_server.client.setup import environments
from bridge_server.manage import ROOT, places

GIMP_STARTS = "repaint_gimp/repaint_gimp.py"
LIB, KIT = "_lib", "kit"
TICK = "Settings ▸ Configure Krita ▸ Python Plugin Manager, tick RePaint, start Krita again."
SANDBOXED = (
    "Not installed into {folder}: an editor from {sandbox} cannot start programs outside its sandbox. Install the "
    "plug-in's zip in it instead; it brings its own engine."
)


def krita_files() -> list[tuple[str, Path]]:
    """(name inside the plug-in folder tree, source file) of the Krita plug-in with the client inside."""
    source = ROOT / "krita_plugin"
    files = [(path.name, path) for path in (source / "repaint_krita.desktop", source / "repaint_krita.action")]
    for path in _sources(source / "repaint_krita"):
        files.append((path.relative_to(source).as_posix(), path))
    return files + _client_files("repaint_krita", "gtk")


def gimp_files() -> list[tuple[str, Path]]:
    """(name inside GIMP's plug-ins folder, source file) with the client inside."""
    source = ROOT / "gimp_plugin"
    files = [(path.relative_to(source).as_posix(), path) for path in _sources(source / "repaint_gimp")]
    return files + _client_files("repaint_gimp", "qt")


def _client_files(plugin: str, foreign: str) -> list[tuple[str, Path]]:
    """The client inside a plug-in's folder, without the ``foreign`` widget set's room."""
    client = ROOT / "bridge_server" / "client"
    paths = [ROOT / "bridge_server" / "__init__.py", *_sources(client)]
    paths = [path for path in paths if client / foreign not in path.parents]
    return [(f"{plugin}/{LIB}/{path.relative_to(ROOT).as_posix()}", path) for path in paths]


def _sources(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and not {"__pycache__", LIB, KIT} & set(p.parts))


def krita_place(target: Path, name: str) -> Path:
    """Where a file of :func:`krita_files` belongs in a resource folder."""
    return target / ("actions" if name.endswith(".action") else "pykrita") / name


def _keep_private(target: Path | None) -> None:
    """What an editor will run is this user's own, with the caches that Python adds; in a folder that was named others
    may read, but not change it."""
    before = os.umask(0o077)
    if target is not None:
        os.umask(before | 0o022)


def install_krita(target: Path) -> None:
    """Copy the plug-in into a Krita resource folder: ``pykrita/`` and ``actions/``."""
    uninstall_krita(target)
    for name, source in krita_files():
        place = krita_place(target, name)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)


def uninstall_krita(target: Path) -> bool:
    """Remove what :func:`install_krita` put there; returns whether anything was."""
    place = target / "pykrita"
    return _deleted(place / "repaint_krita", place / "repaint_krita.desktop", target / "actions/repaint_krita.action")


def _deleted(*paths: Path) -> bool:
    """Whether anything was there. Of a link, what it points to stays."""
    there = [path for path in paths if os.path.lexists(path)]
    for path in there:
        environments.delete(path)
    return bool(there)


def enable_in_krita(settings: Path, enabled: bool = True) -> None:
    """Switch the plug-in on in kritarc, leaving every other line, and a link, as it is."""
    settings = settings.resolve()
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


def enabled_in_krita(settings: Path) -> bool:
    """Whether kritarc switches the plug-in on."""
    return settings.is_file() and "enable_repaint_krita=true" in settings.read_text(encoding="utf-8").splitlines()


def krita(target: Path | None, uninstall: bool) -> None:
    """Install or remove Krita's plug-in, in ``target`` or wherever a Krita of this user's looks."""
    pairs = list(zip(places.krita_resources(*places.here()), places.krita_settings(*places.here()), strict=True))
    chosen: list[tuple[Path, Path | None]] = [(target, None)] if target else []
    if not target:
        chosen += [(folder, settings) for folder, settings in pairs if folder.is_dir()] or [pairs[0]]
    if uninstall:
        removed = [folder for folder, _ in chosen if uninstall_krita(folder)]
        for folder, settings in chosen:
            if settings and settings.is_file() and folder in removed:
                enable_in_krita(settings, enabled=False)
        _say_removed(removed)
        return
    _keep_private(target)
    for folder, settings in chosen:
        if settings and _sandboxed(folder):
            continue
        install_krita(folder)
        if settings:
            enable_in_krita(settings)
        print(f"Installed into {folder}.")
    write_launch_file()
    print("Start Krita (again); the docker is under Settings ▸ Dockers ▸ RePaint.")
    if not target:
        print("If it is not there:", TICK)


def _sandboxed(folder: Path) -> bool:
    """Whether it belongs to an editor in a sandbox, which cannot use this engine; says so."""
    sandbox = places.sandbox(folder)
    if sandbox:
        print(SANDBOXED.format(folder=folder, sandbox=sandbox))
    return bool(sandbox)


def _say_removed(folders: list[Path]) -> None:
    print("\n".join(f"Removed from {folder}." for folder in folders) or "The plug-in was not installed there.")


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
    return _deleted(target / "plug-ins" / "repaint_gimp")


def gimp(target: Path | None, uninstall: bool) -> None:
    """Install or remove GIMP's plug-in, in ``target`` or wherever a GIMP 3 of this user's looks."""
    chosen = [target] if target else places.gimp_configurations(*places.here())
    if uninstall:
        _say_removed([folder for folder in chosen if uninstall_gimp(folder)])
        return
    if not chosen:
        raise BridgeError(
            "no configuration folder of GIMP 3 was found; start GIMP 3 once, so that it makes one, then run this again "
            "(or name the folder with --target)." + _too_old_gimp()
        )
    _keep_private(target)
    for folder in chosen:
        if not target and _sandboxed(folder):
            continue
        install_gimp(folder)
        print(f"Installed into {folder}.")
    write_launch_file()
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


def write_launch_file() -> None:
    """Tell the plug-ins to start the bridge by this interpreter."""
    path = launch.write_launch_file(sys.executable, ["-m", "bridge_server", "serve"], launch.user_folders().state)
    print(f"Plug-ins start the bridge through {path}.")
