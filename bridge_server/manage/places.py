"""Where Krita and GIMP keep plug-ins and settings, also from flatpak and snap. Nothing is created.

``system`` as :func:`platform.system`; ``environment`` and ``home`` are this process's own but in tests.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path

Here = tuple[str, Mapping[str, str], Path]


def here() -> Here:
    """This system, environment and home, for the functions below."""
    return platform.system(), os.environ, Path.home()


def krita_resources(system: str, environment: Mapping[str, str], home: Path) -> list[Path]:
    """Krita's resource folders that may exist, the usual one first."""
    if system == "Windows":
        roaming = environment.get("APPDATA") or str(home / "AppData" / "Roaming")
        return [Path(roaming) / "krita"]
    if system == "Darwin":
        return [home / "Library" / "Application Support" / "Krita"]
    data = environment.get("XDG_DATA_HOME") or str(home / ".local" / "share")
    flatpak, snap = home / ".var/app/org.kde.krita", home / "snap/krita/current"
    return [Path(data) / "krita", flatpak / "data/krita", snap / ".local/share/krita"]


def krita_settings(system: str, environment: Mapping[str, str], home: Path) -> list[Path]:
    """The kritarc that belongs to each folder of :func:`krita_resources`."""
    if system == "Windows":
        local = environment.get("LOCALAPPDATA") or str(home / "AppData" / "Local")
        return [Path(local) / "kritarc"]
    if system == "Darwin":
        return [home / "Library" / "Preferences" / "kritarc"]
    config = environment.get("XDG_CONFIG_HOME") or str(home / ".config")
    flatpak, snap = home / ".var/app/org.kde.krita", home / "snap/krita/current"
    return [Path(config) / "kritarc", flatpak / "config/kritarc", snap / ".config/kritarc"]


def gimp_folders(system: str, environment: Mapping[str, str], home: Path) -> list[Path]:
    """The folders of GIMP's configuration, in which each version has one of its own."""
    if system == "Windows":
        return [Path(environment.get("APPDATA") or str(home / "AppData" / "Roaming")) / "GIMP"]
    if system == "Darwin":
        return [home / "Library" / "Application Support" / "GIMP"]
    config = environment.get("XDG_CONFIG_HOME") or str(home / ".config")
    flatpak, snap = home / ".var/app/org.gimp.GIMP", home / "snap/gimp/current"
    return [Path(config) / "GIMP", flatpak / "config/GIMP", snap / ".config/GIMP"]


def gimp_configurations(system: str, environment: Mapping[str, str], home: Path) -> list[Path]:
    """The configuration folders of every GIMP 3 that has been started here (3.0, 3.2 …)."""
    moved = environment.get("GIMP3_DIRECTORY", "")
    if moved and Path(moved).is_absolute():
        return [Path(moved)]
    found = [path for folder in gimp_folders(system, environment, home) for path in sorted(folder.glob("3.*"))]
    return [path for path in found if path.is_dir() and re.fullmatch(r"3\.\d+", path.name)]


def sandbox(folder: Path) -> str:
    """ "flatpak" or "snap" if a folder belongs to an editor from there, else ""."""
    roots = {"flatpak": Path.home() / ".var/app", "snap": Path.home() / "snap"}
    return next((name for name, root in roots.items() if root in folder.parents), "")
