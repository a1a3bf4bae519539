"""Debian packages as sources of pictures: fetch, unpack without installing, and read who allows what.

``apt-get download`` and ``dpkg -x`` need no root and change nothing on the machine. The licence of every single file
comes from the package's machine-readable copyright file: the last stanza that matches a path holds.
"""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

GOOD_LICENCES = {
    "CC0", "CC0-1.0", "public-domain", "Expat", "MIT", "BSD-2-clause", "BSD-3-clause", "CC-BY-4.0", "CC-BY-SA-4.0",
    "GPL-2+", "GPL-3", "GPL-3+", "LGPL-2+", "LGPL-2.1+", "LGPL-3", "LGPL-3+",
}  # fmt: skip
"""Licences that a GPL-3.0-or-later work can take in. CC-BY-SA 3.0, plain GPL-2 and CC-BY 3.0 are left out."""


@dataclass(frozen=True)
class Package:
    """A package on this disk: its name, version and the folder that it was unpacked in."""

    name: str
    version: str
    folder: Path


def available() -> bool:
    """Whether this machine has Debian's tools."""
    return shutil.which("apt-get") is not None and shutil.which("dpkg") is not None


def fetch(name: str, cache: Path) -> Package | None:
    """Download and unpack a package under ``cache``; what is there already is used as it is.

    Returns:
        The package, or None where it cannot be had (no Debian, no network, no such package).
    """
    folder, stamp = cache / name, cache / f"{name}.version"
    if stamp.is_file() and folder.is_dir():
        return Package(name, stamp.read_text().strip(), folder)
    if not available():
        return None
    loading = cache / f"{name}.part"
    shutil.rmtree(loading, ignore_errors=True)
    loading.mkdir(parents=True)
    try:
        archives = sorted(cache.glob(f"{name}_*.deb"))
        if not archives:
            subprocess.run(["apt-get", "download", name], cwd=loading, check=True, capture_output=True)
            archives = sorted(loading.glob("*.deb"))
        archive = archives[-1]
        shown = subprocess.run(
            ["dpkg-deb", "-f", str(archive), "Version"], check=True, capture_output=True, text=True
        ).stdout
        subprocess.run(["dpkg", "-x", str(archive), str(loading / "tree")], check=True, capture_output=True)
    except (subprocess.CalledProcessError, OSError, IndexError):
        shutil.rmtree(loading, ignore_errors=True)
        return None
    shutil.rmtree(folder, ignore_errors=True)
    (loading / "tree").rename(folder)
    shutil.rmtree(loading, ignore_errors=True)
    stamp.write_text(shown.strip() + "\n")
    return Package(name, shown.strip(), folder)


class Copyright:
    """A machine-readable ``debian/copyright``: which licence covers which path.

    Args:
        text: the file's text. A file in the old free form has no ``Files:`` line; ``default`` then holds for all.
    """

    def __init__(self, text: str, default: str = "unknown") -> None:
        self._default = default
        self._rules: list[tuple[re.Pattern[str], str]] = []
        for paragraph in re.split(r"\n[ \t]*\n", text):
            fields = _fields(paragraph)
            if "Files" in fields and "License" in fields:
                licence = fields["License"].split("\n")[0].strip()
                self._rules += [(_pattern(glob), licence) for glob in fields["Files"].split()]

    def licence(self, path: str) -> str:
        """The licence's short name for a path relative to the source package's root."""
        for pattern, licence in reversed(self._rules):
            if pattern.match(path):
                return licence
        return self._default


def _fields(paragraph: str) -> dict[str, str]:
    """``Name: value`` fields of a paragraph, continuation lines joined by line breaks."""
    fields: dict[str, str] = {}
    name = ""
    for line in paragraph.splitlines():
        if line[:1] in (" ", "\t"):
            if name:
                fields[name] += "\n" + line.strip()
        elif ":" in line:
            name, value = line.split(":", 1)
            fields[name] = value.strip()
    return fields


def _pattern(glob: str) -> re.Pattern[str]:
    """In copyright files ``*`` also matches slashes, as in fnmatch."""
    return re.compile(fnmatch.translate(glob))
