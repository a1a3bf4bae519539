"""Environments: where they lie, what a stamp says of one, and which parts of one are broken.

``<data>/engines/<version>-<hash>/`` is a virtual environment. Its ``stamp.json`` is written when all packages are in
it: an environment without one is half made and is made again from the start.
"""

from __future__ import annotations

import base64
import collections
import csv
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Dict, List, Tuple

from bridge_server.client import launch
from bridge_server.client.errors import NotInstalled
from bridge_server.client.setup import sentences
from bridge_server.client.setup.kit import PROJECT
from bridge_server.client.setup.programs import interpreter_in, long_path, options
from bridge_server.client.setup.sentences import say

STAMP = "stamp.json"
LOCK = "setup.lock"  # in the data folder, held by the set-up that runs and by the programs that it starts
PROGRESS = "setup.json"  # beside it while a set-up is not finished: how far it is, for other editors to show
JUNCTION = 0xA0000003  # stat.IO_REPARSE_TAG_MOUNT_POINT, which only Windows has
LOAD_SECONDS = 300.0  # the first start after a repair compiles
_MODULES = "numpy torch diffusers transformers accelerate peft safetensors.torch zmq platformdirs PIL.Image cv2"
_MODULES += " tifffile imagecodecs OpenImageIO psd_tools"
_LOAD = """
import gc, importlib, importlib.util, sys
gc.disable()  # a fifth of the time
for name in sys.argv[1].split():
    try:
        importlib.import_module(name)
    except Exception as error:
        print("{}\\t{}".format(name, str(error).splitlines()[0] if str(error) else type(error).__name__))
print("loaded")
"""


def engines() -> Path:
    """The folder of all environments."""
    return launch.user_folders().data / "engines"


def pythons() -> Path:
    """The folder of Pythons that set-up brought."""
    return launch.user_folders().data / "python"


def wheels() -> Path:
    """The folder of downloaded files."""
    return launch.user_folders().cache / "wheels"


def of_interpreter(interpreter: str) -> Path:
    """The virtual environment that an interpreter belongs to; nothing is resolved, for the last step is a link."""
    return Path(interpreter).parent.parent


def current() -> Path | None:
    """The environment that editors start now; None if there is none."""
    try:
        return of_interpreter(launch.read_launch_file().interpreter)
    except NotInstalled:
        return None


def site_packages(environment: Path) -> Path | None:
    """Where its packages lie; None if that is gone."""
    found = [environment / "Lib" / "site-packages", *sorted(environment.glob("lib/python3.*/site-packages"))]
    return next((path for path in found if path.is_dir()), None)


@dataclass(frozen=True)
class Stamp:
    """What an environment was when it was whole.

    ``kit``: its lock file's digest; ``python``: [major, minor]; ``packages``: their entries in ``site-packages``;
    ``weights``: the project's own data files and their sizes.
    """

    kit: str
    project: str
    flavour: str
    python: List[int]
    packages: Dict[str, List[str]]
    weights: Dict[str, int]


def read_stamp(environment: Path) -> Stamp | None:
    """None if the environment is half made, or none of set-up's."""
    try:
        told = json.loads((environment / STAMP).read_text(encoding="utf-8"))
        return Stamp(**{field.name: told[field.name] for field in fields(Stamp)})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_stamp(environment: Path, kit: str, project: str, flavour: str, python: Tuple[int, int]) -> None:
    """Say that the environment is whole, as it is now. Raises OSError."""
    packages: Dict[str, List[str]] = {}
    weights: Dict[str, int] = {}
    for name, files in recorded(environment):
        packages[name] = sorted({file.split("/")[0] for file, _, _ in files if not file.startswith("..")})
        if name == PROJECT:
            weights = {file: size for file, _, size in files if size >= 0 and not file.endswith((".py", "RECORD"))}
    content = Stamp(kit, project, flavour, list(python), packages, weights)
    launch.write_private(environment / STAMP, json.dumps(vars(content)))


def recorded(environment: Path) -> Iterator[Tuple[str, List[Tuple[str, str, int]]]]:
    """Each package with its files: (path from site-packages, sha256 in base64 or "", size or -1).

    A package whose list of files cannot be read has one file, its list, of an impossible size.
    """
    folder = site_packages(environment)
    for info in sorted(folder.glob("*.dist-info")) if folder else []:
        name = _package(info)
        try:
            with open(long_path(info / "RECORD"), encoding="utf-8", newline="") as file:
                rows = [row for row in csv.reader(file) if len(row) == 3]
            files = [(path, told.partition("=")[2], int(size) if size else -1) for path, told, size in rows]
        except (OSError, ValueError, csv.Error):
            files = []
        yield name, files or [(info.name + "/RECORD", "", 1 << 62)]


def _package(info: Path) -> str:
    """The normal form of the name that a ``NAME-VERSION.dist-info`` has."""
    return re.sub(r"[-_.]+", "-", info.name.rsplit("-", 2)[0]).lower()


def forget(environment: Path, packages: Collection[str]) -> None:
    """Take packages for not installed: uv does not replace one whose list of files it cannot read."""
    folder = site_packages(environment)
    for info in list(folder.glob("*.dist-info")) if folder else []:
        if _package(info) in packages:
            delete(info)


def damaged(environment: Path) -> Iterator[Tuple[str, str]]:
    """(package, path) of every file that is missing or has another size than when it was installed.

    Of the project itself also those that have other bytes. Not scripts, which an engine does not need, and not files
    that two packages write.
    """
    folder = site_packages(environment)
    root = long_path(Path(os.path.normpath(str(folder)))) + os.sep
    packages = list(recorded(environment))
    owners = collections.Counter(path for _, files in packages for path, _, _ in files)
    for name, files in packages:
        for path, told, size in files:
            if owners[path] > 1 or path.startswith(".."):
                continue
            place = root + path.replace("/", os.sep)
            try:
                there = os.stat(place).st_size  # noqa: PTH116 - a Path for each of fifty thousand takes a second
            except OSError:
                if size >= 0 or not path.endswith(".pyc"):
                    yield name, path
                continue
            if size not in (-1, there) or (name == PROJECT and told and _sha256(place) != told):
                yield name, path


def broken_files(environment: Path) -> Dict[str, List[str]]:
    """The packages that must be installed again, with the files that are changed: none if it is gone altogether."""
    stamp = read_stamp(environment)
    there = {name for name, _ in recorded(environment)}
    broken: Dict[str, List[str]] = {name: [] for name in (stamp.packages if stamp else {}) if name not in there}
    for name, path in damaged(environment):
        broken.setdefault(name, []).append(path)
    return broken


def quick_look(environment: Path, stamp: Stamp) -> str:
    """The sentence of what is broken at first sight, or "": some milliseconds, nothing is started."""
    if not interpreter_works(environment):
        return say(sentences.PYTHON_GONE)
    folder = site_packages(environment)
    there = {path.name for path in folder.iterdir()} if folder else set()
    gone = [name for name, entries in stamp.packages.items() if not there.issuperset(set(entries) - {"__pycache__"})]
    if gone:
        names = ", ".join(gone[:3]) + (" …" if len(gone) > 3 else "")
        return say(sentences.PARTS_GONE, names=names)
    for name, size in stamp.weights.items():
        try:
            whole = Path(long_path(Path(str(folder), name))).stat().st_size == size
        except OSError:
            whole = False
        if not whole:
            return say(sentences.WEIGHTS_CUT, name=name)
    return ""


def interpreter_works(environment: Path) -> bool:
    """Whether the interpreter and the Python that it comes from are there."""
    try:
        told = (environment / "pyvenv.cfg").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    home = re.search(r"^home\s*=\s*(.+)$", told, re.M)
    base = Path(home.group(1).strip()) / ("python.exe" if sys.platform == "win32" else "") if home else None
    return interpreter_in(environment).is_file() and base is not None and base.exists()


def broken_parts(environment: Path) -> List[str]:
    """One sentence for each broken part; some seconds, for every file is looked at and the packages are loaded."""
    if not interpreter_works(environment):
        return [say(sentences.PYTHON_GONE)]
    found = []
    for name, paths in sorted(broken_files(environment).items()):
        weights = [path for path in paths if name == PROJECT and not path.endswith(".py")]
        if weights and weights == paths:
            found.append(say(sentences.WEIGHTS_BROKEN, name=weights[0]))
        else:
            found.append(say(sentences.PACKAGE_BROKEN, name=name))
    if found:
        return found
    modules = " ".join(["bridge_server", "engine", *_MODULES.split()])
    stamp = read_stamp(environment)
    if stamp:  # a kit of other packages
        tops = {entry for entries in stamp.packages.values() for entry in entries}
        modules = " ".join(each for each in modules.split() if {each.split(".")[0], each + ".py"} & tops)
    try:
        done = subprocess.run(
            [str(interpreter_in(environment)), "-I", "-c", _LOAD, modules],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=LOAD_SECONDS,
            **options(),
        )
    except (OSError, subprocess.SubprocessError):
        return [say(sentences.CANNOT_START)]
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    for line in lines:
        name, tab, reason = line.partition("\t")
        if tab:
            found.append(say(sentences.CANNOT_LOAD, name=name, reason=reason))
    return found if "loaded" in lines else [say(sentences.CANNOT_START)]


def _sha256(path: str) -> str:
    """As RECORD has it; "" if the file cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            for piece in iter(lambda: file.read(1 << 20), b""):
                digest.update(piece)
    except OSError:
        return ""
    return base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()


def delete(path: Path, patience: float = 20.0) -> None:
    """Delete a file, or a folder with all in it, if it is there. Raises OSError if it stays for ``patience`` seconds.

    On Windows a program that has just ended, or a virus scanner, keeps files for a moment.
    """
    deadline = time.monotonic() + (patience if sys.platform == "win32" else 0.0)
    while os.path.lexists(str(path)):
        try:
            if path.is_dir() and not is_link(path):
                shutil.rmtree(long_path(path), onerror=_writable_again)  # its newer name, onexc, is younger than 3.8
            else:
                path.unlink()
        except OSError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.3)


def is_link(path: Path) -> bool:
    """Whether it is a link, or a junction of Windows: what it leads to is somebody else's."""
    return path.is_symlink() or getattr(os.lstat(str(path)), "st_reparse_tag", 0) == JUNCTION


def _writable_again(function: Callable[..., Any], path: str, _error: Any) -> None:
    if not os.path.lexists(path):
        return
    if function not in (os.unlink, os.rmdir):
        raise
    Path(path).chmod(stat.S_IRWXU)
    function(path)
