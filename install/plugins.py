"""The plug-ins: where Krita and GIMP look for them, copied there, taken away again."""

from __future__ import annotations

import argparse
import ast
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from install.environment import ROOT, Stop, set_up

GIMP_STARTS = "repaint_gimp/repaint_gimp.py"
TICK = "Settings ▸ Configure Krita ▸ Python Plugin Manager, tick RePaint, start Krita again."


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


def krita_files() -> list[tuple[str, Path]]:
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


def krita_place(target: Path, name: str) -> Path:
    """Where a file of :func:`krita_files` belongs in a resource folder."""
    return target / ("actions" if name.endswith(".action") else "pykrita") / name


def _keep_private(target: Path | None) -> None:
    """What an editor will run is this user's own, with the caches that Python adds; a folder that was named is not."""
    if target is None:
        os.umask(0o077)


def install_krita(target: Path) -> None:
    """Copy the plug-in into a Krita resource folder: ``pykrita/`` and ``actions/``."""
    uninstall_krita(target)
    for name, source in krita_files():
        place = krita_place(target, name)
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


def enabled_in_krita(settings: Path) -> bool:
    """Whether kritarc switches the plug-in on."""
    return settings.is_file() and "enable_repaint_krita=true" in settings.read_text(encoding="utf-8").splitlines()


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
    _keep_private(arguments.target)
    for folder, settings in chosen:
        install_krita(folder)
        if settings:
            enable_in_krita(settings)
        print(f"Installed into {folder}.")
    write_launch_file(python)
    print("Start Krita (again); the docker is under Settings ▸ Dockers ▸ RePaint.")
    if not arguments.target:
        print("If it is not there:", TICK)


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
    _keep_private(arguments.target)
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
    from bridge_server.client.errors import BridgeError

    try:
        path = launch.write_launch_file(str(python), ["-m", "bridge_server", "serve"], launch.user_folders().state)
    except BridgeError as error:
        raise Stop(error.sentence) from None
    print(f"Plug-ins start the bridge by {path}.")


def version() -> str:
    tree = ast.parse((ROOT / "engine" / "version.py").read_text(encoding="utf-8"))
    values = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    return str(ast.literal_eval(values[0]))
