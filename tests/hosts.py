"""Editors of other Debian releases for the tests, each in a root file system of its own.

    python -m tests.hosts build trixie [krita] [gimp]    build it, or do what is missing; prints its folder
    python -m tests.hosts list                           what there is

A root file system is made by debootstrap from the mirror that this machine's own package sources name, and lies in the
hosts cache folder (`REPAINT_BRIDGE_HOSTS`, else the user's cache folder for repaint-bridge), never in the work tree. It
is used only when it is complete (`Root.has`). One builder at a time (a lock file); a base system
appears under its name when it is whole; packages are installed step by step, and a step that failed is taken up again
by the next build. Programs run in it by chroot, without any mount or, if they are lent folders of this machine, in a
mount namespace of their own (`Editor`). Standard library only.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bridge_server.client import launch

CHOICE_VARIABLE = (
    "REPAINT_BRIDGE_KRITA"  # which Krita tests/krita runs: a name of ROOTS, or nothing for the machine's own
)

# dpkg need not sync every file of a tree that can be built again; nobody reads the manuals.
DPKG = (
    "force-unsafe-io\npath-exclude=/usr/share/doc/*\npath-exclude=/usr/share/man/*\npath-exclude=/usr/share/locale/*\n"
)
APT = 'APT::Install-Recommends "false";\nAcquire::Languages "none";\nAcquire::Retries "3";\n'


class CannotBuild(Exception):
    """Why there is no root file system, in one sentence."""


class CannotHere(CannotBuild):
    """This machine can have none, whatever is tried again."""


@dataclass(frozen=True)
class Root:
    """A root file system: debootstrap's ``suite``, one further suite of the same mirror if ``also`` names it, and the
    packages of each editor (from ``also``, if there is one)."""

    name: str
    suite: str
    packages: dict[str, tuple[str, ...]]
    also: str = ""

    @property
    def folder(self) -> Path:
        return hosts_cache() / f"root-{self.name}"

    def stamp(self, editor: str) -> Path:
        """Holds the names of the packages that are wholly installed."""
        return self.folder / f"etc/repaint-bridge-{editor}"

    def has(self, editor: str) -> bool:
        stamp = self.stamp(editor)
        return stamp.is_file() and stamp.read_text(encoding="utf-8").split() == list(self.packages[editor])


KRITA_QT5 = ("krita", "python3-pyqt5", "python3-pyqt5.sip")
KRITA_QT6 = ("krita", "krita-data", "python3-pyqt6", "python3-pyqt6.sip", "qt6-svg-plugins")
GIMP = ("gimp", "gir1.2-gimp-3.0", "gir1.2-gtk-3.0", "python3-gi")
ROOTS = {
    root.name: root
    for root in (
        Root("trixie", "trixie", {"krita": KRITA_QT5, "gimp": GIMP}),
        Root("sid", "sid", {"krita": KRITA_QT5, "gimp": GIMP}),
        Root("experimental", "sid", {"krita": KRITA_QT6}, also="experimental"),
    )
}


def hosts_cache() -> Path:
    """The folder for root file systems and warmed homes."""
    if os.environ.get("REPAINT_BRIDGE_HOSTS"):
        return Path(os.environ["REPAINT_BRIDGE_HOSTS"]).resolve()
    moved_by_tests = {key: text for key, text in os.environ.items() if key != launch.HOME_VARIABLE}
    return (launch.user_folders(environ=moved_by_tests).cache / "hosts").resolve()


# ---------------------------------------------------------------------------------------------------- building


def why_not() -> str:
    """Why this machine cannot build or use a root file system, as a sentence; "" if it can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "root file systems need Linux and root"
    if _program("chroot") is None or _program("apt-get") is None:
        return "root file systems are built on Debian only"
    if _program("debootstrap") is None:
        return "debootstrap is missing (Debian: apt install debootstrap)"
    return ""


def build(root: Root, editors: tuple[str, ...] = ("krita",)) -> Path:
    """Makes what is missing of the root file system and returns its folder. Raises CannotBuild."""
    if all(root.has(editor) for editor in editors):
        return root.folder
    reason = why_not()
    if reason:
        raise CannotHere(f"No root file system {root.name}: {reason}.")
    cache = hosts_cache()
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / f"root-{root.name}.lock", "w") as lock, open(cache / f"root-{root.name}.log", "ab") as log:
        import fcntl  # not on Windows, where none is built

        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.folder.is_dir():
            os.set_inheritable(lock.fileno(), True)  # held as long as a debootstrap lives, whoever ended this process
            _make_base(root, log)
            os.set_inheritable(lock.fileno(), False)
        for editor in editors:
            if not root.has(editor):
                _install(root, editor, log)
    return root.folder


def _make_base(root: Root, log: IO[bytes]) -> None:
    part = root.folder.with_name(root.folder.name + ".part")
    _remove(part)
    debs = hosts_cache() / "debs"  # downloads survive a failure
    debs.mkdir(exist_ok=True)
    mirror = _mirror(log)
    command = ["debootstrap", "--variant=minbase", "--include=ca-certificates", f"--cache-dir={debs}"]
    _run(root, [*command, root.suite, str(part), *([mirror] if mirror else [])], log)
    (part / "etc/dpkg/dpkg.cfg.d").mkdir(parents=True, exist_ok=True)
    (part / "etc/dpkg/dpkg.cfg.d/repaint-bridge").write_text(DPKG, encoding="utf-8")
    (part / "etc/apt/apt.conf.d/90repaint-bridge").write_text(APT + _proxy(), encoding="utf-8")
    if root.also:
        sources = part / "etc/apt/sources.list"
        words = sources.read_text(encoding="utf-8").split()  # deb MIRROR SUITE main
        with open(sources, "a", encoding="utf-8") as file:
            file.write(f"deb {words[1]} {root.also} main\n")
    # A path of this machine that leads into the root is good inside it, too.
    itself = Path(f"{part}{root.folder}")
    itself.parent.mkdir(parents=True, exist_ok=True)
    itself.symlink_to("/")
    part.rename(root.folder)


def _install(root: Root, editor: str, log: IO[bytes]) -> None:
    for name in ("resolv.conf", "hosts"):
        if Path("/etc", name).is_file():
            shutil.copyfile(Path("/etc", name), root.folder / "etc" / name)
    wanted = list(root.packages[editor])
    apt = ["apt-get", "-y", "-o", "Acquire::Check-Valid-Until=false", *(["-t", root.also] if root.also else [])]
    inside = ["chroot", str(root.folder)]
    _run(root, [*inside, "dpkg", "--configure", "-a"], log)  # after an install that was cut off
    _run(root, [*inside, *apt, "update"], log)
    _run(root, [*inside, *apt, "--fix-broken", "install"], log)
    _run(root, [*inside, *apt, "install", *wanted], log)
    _run(root, [*inside, "apt-get", "clean"], log)
    root.stamp(editor).write_text("\n".join(wanted) + "\n", encoding="utf-8")


def _run(root: Root, command: list[str], log: IO[bytes]) -> None:
    environment = {**os.environ, "PATH": SYSTEM_PATH, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment, close_fds=False
    )
    if done.returncode:
        what = " ".join(word for word in command if word != str(root.folder))[:80]
        place = hosts_cache() / f"root-{root.name}.log"
        raise CannotBuild(
            f"The root file system {root.name} was not completed: “{what}” failed, see {place}; what is done is kept, "
            "so check the network and run this again."
        )


SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _program(name: str) -> str | None:
    return shutil.which(name, path=SYSTEM_PATH)


def _mirror(log: IO[bytes]) -> str:
    """The Debian mirror of this machine's own package sources; "" if it names none (debootstrap then has its own)."""
    question = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Origin: Debian"]
    question += ["Label: Debian", "Component: main"]
    for attempt in range(2):
        if attempt:  # on a new machine apt has not read its sources yet
            subprocess.run(["apt-get", "update"], stdout=log, stderr=subprocess.STDOUT)
        found = subprocess.run(question, capture_output=True, text=True).stdout.split()
        if found:
            return found[0]
    return ""


def _proxy() -> str:
    """This machine's own proxy settings of apt, for the apt inside."""
    dumped = subprocess.run(["apt-config", "dump"], capture_output=True, text=True).stdout.splitlines()
    return "".join(line + "\n" for line in dumped if line.startswith(("Acquire::http::Proxy", "Acquire::https::Proxy")))


def _remove(folder: Path) -> None:
    """Removes a half-built tree; what a killed debootstrap left mounted in it comes off first."""
    with open("/proc/self/mounts", encoding="utf-8") as file:
        places = [line.split()[1] for line in file]
    for place in sorted((each for each in places if each.startswith(f"{folder}/")), reverse=True):
        if subprocess.run(["umount", place], capture_output=True).returncode:
            raise CannotBuild(f"{place} is still mounted from an earlier build and cannot be unmounted.")
    if folder.exists():
        shutil.rmtree(folder)


# ---------------------------------------------------------------------------------------------------- using


# Mounts end with the last program of the namespace. exec: signals reach the program itself, and so does mortal()'s end.
LENDING = """
root=$1; shift
for place in /dev /proc; do mount --rbind "$place" "$root$place"; done
while [ "$1" != -- ]; do mkdir -p "$root$2"; mount --bind -o ro "$1" "$root$2"; shift 2; done
shift
exec chroot "$root" "$@"
"""


def cannot_lend() -> str:
    """Why programs in root file systems cannot be lent folders of this machine, as a sentence; "" if they can."""
    unshare = _program("unshare")
    if unshare is None or subprocess.run([unshare, "--mount", "true"], capture_output=True).returncode:
        return "this user may not make a mount namespace, by which a root file system would see folders of this machine"
    return ""


@dataclass(frozen=True)
class Editor:
    """An editor to be tested: the machine's own (``root`` None) or the one in a root file system."""

    name: str
    root: Path | None = None

    def within(self, program: str, lent: Mapping[Path, Path] | None = None) -> list[str]:
        """The command that starts a program where the editor is. ``lent``: folders of this machine that it reads, by
        the places where they are to be in its root; with them, even with none, it has a /dev and a /proc, too."""
        if self.root is None:
            return [program]
        if lent is None:
            return [_program("chroot") or "chroot", str(self.root), program]
        places = [str(path) for pair in lent.items() for path in pair]
        enter = ["unshare", "--mount", "sh", "-ec", LENDING, "lending"]
        return [*enter, str(self.root), *places, "--", program]

    @property
    def temporary(self) -> Path | None:
        """A folder for temporary files that this editor sees, too; None if any will do."""
        return self.root / "tmp" if self.root is not None else None

    def inside(self, path: Path) -> Path:
        """The short name of a path for this editor (the long one is good as well, if it lies in the root)."""
        return Path("/") / path.relative_to(self.root) if self.root is not None else path

    def sees(self, path: Path) -> bool:
        return self.root is None or path.resolve().is_relative_to(self.root)


@dataclass(frozen=True)
class Krita(Editor):
    @property
    def program(self) -> Path | None:
        """The executable as seen from outside; None if it is not there."""
        if self.root is None:
            found = shutil.which("krita")
            return Path(found).resolve() if found else None
        path = self.root / "usr/bin/krita"
        return path if path.is_file() else None


def chosen_krita() -> Krita:
    """The Krita that REPAINT_BRIDGE_KRITA names, else the machine's own. Raises CannotBuild: unknown, not built."""
    name = os.environ.get(CHOICE_VARIABLE, "")
    if not name:
        return Krita("native")
    if name not in ROOTS:
        raise CannotBuild(f"{CHOICE_VARIABLE} must be one of {', '.join(ROOTS)}, not “{name}”.")
    root = ROOTS[name]
    if not root.has("krita"):
        raise CannotBuild(f"There is no root file system {name} with Krita: run “python -m tests.hosts build {name}”.")
    return Krita(name, root.folder)


def temporary_folder() -> str | None:
    """Where the temporary files of a test run must lie for the chosen Krita to see them; None if anywhere will do."""
    try:
        folder = chosen_krita().temporary
    except CannotBuild:  # said by the tests that need that Krita
        return None
    return str(folder) if folder is not None else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    builder = commands.add_parser("build")
    builder.add_argument("name", choices=list(ROOTS))
    builder.add_argument("editors", nargs="*", metavar="EDITOR", help="krita (the default), gimp")
    commands.add_parser("list")
    chosen = parser.parse_args()
    if chosen.command == "list":
        for root in ROOTS.values():
            there = [editor for editor in root.packages if root.has(editor)]
            print(f"{root.name:14}{', '.join(there) or 'not built':14}{root.folder}")
        return 0
    root, editors = ROOTS[chosen.name], tuple(chosen.editors) or ("krita",)
    unknown = [editor for editor in editors if editor not in root.packages]
    if unknown:
        print(f"error: {root.name} has no {', '.join(unknown)}.", file=sys.stderr)
        return 2
    began = time.monotonic()
    try:
        print(build(root, editors), f"({time.monotonic() - began:.0f} s)", flush=True)
    except CannotBuild as error:
        print(f"error: {error}", file=sys.stderr)
        return 3 if isinstance(error, CannotHere) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
