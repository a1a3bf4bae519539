"""Where this user's files lie, and how the bridge is started.

The folders are those of the platformdirs package for "repaint-bridge" without an author, computed here once more
because a plug-in may import nothing but the standard library; a test compares both.  ``REPAINT_BRIDGE_HOME`` moves
all of them.  The installer writes ``launch.json`` so that a plug-in finds the project's own interpreter.
"""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import os
import stat
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List

from bridge_server.client.errors import CannotStart, NotInstalled

log = logging.getLogger("repaint.files")
aside: List[Path] = []  # what this process has set aside, by its new name

NAME = "repaint-bridge"
HOME_VARIABLE = "REPAINT_BRIDGE_HOME"
NOT_INSTALLED = "The RePaint engine is not set up for this user yet: open RePaint in Krita or GIMP and click Set up."
LAUNCH_OF_OTHERS = (
    "Another user of this computer owns or can change {place}, from which RePaint is started: delete it or make it "
    "yours alone (“chmod go-w”), then open RePaint and click Set up."
)
FOLDER_OF_OTHERS = (
    "The folder {place}, where RePaint keeps its files, belongs to another user: move it away or make it yours, then "
    "try again."
)
NOT_WRITABLE = "RePaint cannot write to its folder {place}: make it writable for you, then try again."
_NOBODY = 65534  # whom root is shown as within a Flatpak


@dataclass(frozen=True)
class Folders:
    """config: settings and launch.json; data: models; cache; state: connection file, locks, journal, spool, logs."""

    config: Path
    data: Path
    cache: Path
    state: Path


@dataclass(frozen=True)
class Launch:
    """How to start the bridge: ``[interpreter, *arguments]``; ``state``: the folder of its connection file."""

    interpreter: str
    arguments: tuple[str, ...]
    state: Path


def user_folders(
    platform: str | None = None, environ: Mapping[str, str] | None = None, home: Path | None = None
) -> Folders:
    """The four folders of this user; nothing is created.

    ``platform`` as ``sys.platform``; the arguments default to this process's own and are given in tests only.
    """
    platform = sys.platform if platform is None else platform
    environ = os.environ if environ is None else environ
    moved = environ.get(HOME_VARIABLE, "").strip()
    if moved:
        root = Path(moved)
        return Folders(root / "config", root / "data", root / "cache", root / "state")
    home = Path.home() if home is None else home
    if platform == "win32":
        local = Path(environ.get("LOCALAPPDATA", "").strip() or home / "AppData" / "Local") / NAME
        return Folders(local, local, local / "Cache", local)
    if platform == "darwin":
        support = home / "Library" / "Application Support" / NAME
        return Folders(support, support, home / "Library" / "Caches" / NAME, support)

    def xdg(variable: str, default: str) -> Path:
        return Path(environ.get(variable, "").strip() or home / default) / NAME

    return Folders(
        xdg("XDG_CONFIG_HOME", ".config"),
        xdg("XDG_DATA_HOME", ".local/share"),
        xdg("XDG_CACHE_HOME", ".cache"),
        xdg("XDG_STATE_HOME", ".local/state"),
    )


def clean_environ() -> Dict[str, str]:
    """The environment for another program, without what an editor's own Python and libraries put in there."""
    foreign = ("PYTHON", "LD_", "DYLD_", "QT_", "GI_", "GTK_", "GDK_PIXBUF", "__PYVENV")
    return {key: text for key, text in os.environ.items() if not key.startswith(foreign)}


def launch_file() -> Path:
    """The fixed place of the launch file: the config folder's ``launch.json``."""
    return user_folders().config / "launch.json"


def set_aside(path: Path, kind: str = "broken") -> None:
    """Give what stands at ``path`` another name that ends in ``kind``: it is none of what should be there."""
    other, number = path.with_name(f"{path.name}.{kind}"), 1
    while os.path.lexists(str(other)):
        number += 1
        other = path.with_name(f"{path.name}.{kind}-{number}")
    try:
        path.replace(other)
    except FileNotFoundError:  # another process was faster
        return
    log.error("%s was not what it should be; it is called %s now", path, other.name)
    aside.append(other)


def private_folder(path: Path) -> Path:
    """Make ``path``, and what is missing above it, readable for this user only, whatever the umask; returns it.

    Anything else there is set aside.  Raises CannotStart if the folder is another user's.
    """
    if os.path.lexists(str(path)) and not path.is_dir():
        set_aside(path)
    if not os.path.lexists(str(path.parent)):
        private_folder(path.parent)
    path.mkdir(exist_ok=True, mode=0o700)
    if os.name == "posix":
        owner = path.stat().st_uid
        if owner != os.getuid():
            raise CannotStart(FOLDER_OF_OTHERS.format(place=path), f"{path} is owned by {owner}")
        if path.stat().st_mode & 0o777 != 0o700:
            path.chmod(0o700)
    return path


def plain_file(path: Path) -> bool:
    """Whether a file of this user's lies there, readable for nobody else from now on.

    Anything else there, such as a folder or a file of another user's, is set aside.
    """
    if os.path.lexists(str(path)) and not path.is_file():
        set_aside(path)
    if os.name == "posix" and path.is_file():
        status = path.stat()
        if status.st_uid != os.getuid():
            set_aside(path)
        elif status.st_mode & 0o077:
            path.chmod(0o600)
    return path.is_file()


class PrivateLog(logging.handlers.RotatingFileHandler):
    """A log of ``backups`` + 1 files of a MiB at most, for this user only, whatever the umask."""

    def __init__(self, path: Path, backups: int) -> None:
        plain_file(path)
        super().__init__(path, maxBytes=1 << 20, backupCount=backups, encoding="utf-8", delay=True)

    def _open(self) -> Any:
        os.close(os.open(self.baseFilename, os.O_CREAT | os.O_WRONLY, 0o600))
        return super()._open()


def changeable_by_others(path: Path) -> str:
    """What of ``path`` and the folders above it another user owns or can write; "" if nothing, or not on POSIX.

    A group that is the user's own, as most Linux systems make one for each user, is no other user, and in a folder with
    the sticky bit nobody can replace what is not theirs.
    """
    if os.name != "posix":
        return ""
    me = os.getuid()
    for start in (Path.cwd() / path, path.resolve()):
        for place in (start, *start.parents):
            try:
                status = place.stat()
            except FileNotFoundError:
                continue
            trusted = (me, 0) if place == start else (me, 0, _NOBODY)
            sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX and place != start
            by_group = status.st_mode & stat.S_IWGRP and not _own_group(status.st_gid)
            if status.st_uid not in trusted or ((status.st_mode & stat.S_IWOTH or by_group) and not sticky):
                return str(place)
    return ""


def _own_group(group: int) -> bool:
    """Whether this group is root's, or this user's and called like him."""
    import grp
    import pwd

    try:
        return group == 0 or grp.getgrgid(group).gr_name == pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return False


def write_private(path: Path, text: str) -> None:
    """Replace ``path`` atomically by ``text``, mode 0600: a reader sees the old or the new content, never a part."""
    plain_file(path)
    handle, name = tempfile.mkstemp(prefix=path.name + ".", dir=path.parent)  # mkstemp: O_EXCL and 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        _replace(Path(name), path)
    except BaseException:
        Path(name).unlink()
        raise


def _replace(new: Path, path: Path, patience: float = 2.0) -> None:
    """``new`` takes the place of ``path``. On Windows that must wait while another program has the file open."""
    deadline = time.monotonic() + (patience if sys.platform == "win32" else 0.0)
    while True:
        try:
            new.replace(path)
            return
        except PermissionError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.02)


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises FileNotFoundError; OSError or ValueError for whatever else is there: a pipe, which would never be opened, no
    JSON, or JSON nested without end.
    """
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is no file")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply") from None


def write_launch_file(interpreter: str, arguments: Sequence[str], state: Path) -> Path:
    """Record how to start the bridge, e.g. ``(sys.executable, ["-m", "bridge_server", "serve"], folders.state)``."""
    path = launch_file()
    private_folder(path.parent)
    content = {"version": 1, "interpreter": str(interpreter), "arguments": list(arguments), "state": str(state)}
    write_private(path, json.dumps(content, indent=1) + "\n")
    return path


def trouble_file(interpreter: str) -> Path:
    """Where it is noted that the engine of this interpreter does not start: beside its virtual environment."""
    environment = Path(interpreter).parent.parent
    return environment.with_name(environment.name + ".trouble")


def note_trouble(interpreter: str, reason: str) -> None:
    """Note that an engine that was set up does not start, for the set-up page; any other is its owner's affair."""
    file = trouble_file(interpreter)
    if file.parent == user_folders().data / "engines":
        with contextlib.suppress(OSError):
            write_private(file, reason)


def read_launch_file() -> Launch:
    """The recorded way to start the bridge.

    Raises NotInstalled (with a sentence) if missing or broken, or if another user could have written it.
    """
    path = launch_file()
    place = changeable_by_others(path)
    if place:
        raise NotInstalled(LAUNCH_OF_OTHERS.format(place=place), f"{place} is not private to this user")
    try:
        content = read_json(path)
        interpreter, arguments, state = content["interpreter"], content["arguments"], content["state"]
        if not isinstance(interpreter, str) or not isinstance(state, str) or not isinstance(arguments, list):
            raise ValueError("fields of a wrong type")
        return Launch(interpreter, tuple(str(a) for a in arguments), Path(state))
    except FileNotFoundError:
        raise NotInstalled(NOT_INSTALLED, str(path) + " is missing") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotInstalled(NOT_INSTALLED, f"{path}: {error!r}") from None
