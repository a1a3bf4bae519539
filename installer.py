#!/usr/bin/env python3
"""RePaint Bridge from a checkout, for developers; artists install a zip in their editor. Plain standard library, can be
run again at any time.

    python3 installer.py demo       set up, repaint a bundled photograph through the bridge, write demo/
    python3 installer.py test       set up what the tests need and run them  [--quick|--soak] [--hosts own|usual|all]
    python3 installer.py package    the plug-ins as zips for artists, and the kit   [--out DIR] [--offline DIR]
    python3 installer.py krita      set up, install the plug-in into Krita  [--target DIR] [--uninstall]
    python3 installer.py gimp       set up, install the plug-in into GIMP 3 [--target DIR] [--uninstall]
    python3 installer.py doctor     what is here, what is missing, what to do
    python3 installer.py uninstall  remove everything but this folder       [--models] [--history] [--yes]

Everything goes into .venv beside this file. The last four are those of `repaint-bridge`, the project's own program.
Only `test` changes the system: run as root on Debian, it installs the editors that it tests (tests/run.py).
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bridge_server.manage import places
from install.environment import FLAVOURS, ROOT, Stop, run, set_up, venv_python, works
from install.package import PYTHONS, SYSTEMS, package

MINIMUM = (3, 11)


def demo(arguments: argparse.Namespace) -> None:
    python = set_up("", arguments.torch)
    run([str(python), "-m", "bridge_server.demo", "--out", str(ROOT / "demo")])


def test(arguments: argparse.Namespace) -> None:
    python = set_up("test", arguments.torch)
    kind = [f"--{name}" for name in ("quick", "soak") if getattr(arguments, name)]
    run([str(python), "-m", "tests.run", *kind, "--hosts", arguments.hosts, "--", *arguments.pytest])


def plugin(arguments: argparse.Namespace) -> None:
    """krita and gimp: set up if there is something to install, then as ``repaint-bridge`` does."""
    somewhere = arguments.command == "krita" or arguments.target or places.gimp_configurations(*places.here())
    if somewhere and not arguments.uninstall:
        set_up("", arguments.torch)
    options = ["--target", str(arguments.target.absolute())] if arguments.target else []
    bridge(arguments.command, *options, *(["--uninstall"] if arguments.uninstall else []))


def doctor(_arguments: argparse.Namespace) -> None:
    bridge("doctor")


def uninstall(arguments: argparse.Namespace) -> None:
    bridge("uninstall", *(f"--{name}" for name in ("models", "history", "yes") if getattr(arguments, name)))


def bridge(*words: str) -> None:
    """A command of ``repaint-bridge``, by .venv's interpreter if there is one."""
    python = venv_python() if works(venv_python()) else Path(sys.executable)
    run([str(python), "-m", "bridge_server", *words])


def _newer_python() -> str | None:
    for minor in range(14, MINIMUM[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found:
            return found
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0, 1 with a sentence, or that of the command which was run."""
    parser = argparse.ArgumentParser(description="RePaint Bridge from a checkout; see README.md.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, function, text in (
        ("demo", demo, "repaint a bundled photograph through the bridge, write demo/"),
        ("test", test, "set up what the tests need and run them"),
        ("package", package, "write the plug-ins as zips, and the kit that is in them"),
        ("krita", plugin, "install the plug-in into Krita"),
        ("gimp", plugin, "install the plug-in into GIMP 3"),
        ("doctor", doctor, "what is here, what is missing, what to do"),
        ("uninstall", uninstall, "remove everything but this folder"),
    ):
        command = commands.add_parser(name, help=text)
        command.set_defaults(run=function)
        if name in ("demo", "test", "krita", "gimp"):
            command.add_argument("--torch", choices=FLAVOURS, default="auto", help="which build of torch")
        if name == "test":
            command.add_argument("--quick", action="store_true", help="no editors and no long tests: three minutes")
            command.add_argument("--soak", action="store_true", help="only what must hold whatever happens, at length")
            command.add_argument(
                "--hosts",
                choices=["own", "usual", "all"],
                default="usual",
                help="own: this machine's Krita and Debian 13's GIMP; usual (the default): and the essential tests in "
                "Debian 13's Krita; all: everything in these and in the newest",
            )
            command.add_argument("pytest", nargs="*", help="passed on to pytest, in every editor (after --)")
        if name in ("krita", "gimp"):
            text = "Krita's resource folder" if name == "krita" else "GIMP's configuration folder, such as …/GIMP/3.0"
            command.add_argument("--target", type=Path, metavar="DIR", help=text)
            command.add_argument("--uninstall", action="store_true")
        if name == "uninstall":
            command.add_argument("--models", action="store_true", help="also remove the downloaded models")
            command.add_argument("--history", action="store_true", help="also remove the pictures of the histories")
            command.add_argument("--yes", action="store_true", help="do not ask")
        if name == "package":
            command.add_argument("--out", type=Path, default=ROOT / "dist", metavar="DIR")
            command.add_argument("--offline", type=Path, metavar="DIR", help="fetch all packages into this folder, too")
            command.add_argument("--system", choices=SYSTEMS, default="", help="… for this one (default: as here)")
            command.add_argument("--python", choices=PYTHONS, default=PYTHONS[0], help="… with this Python there")
            command.add_argument("--flavour", choices=FLAVOURS, default="auto", help="… for this build of torch")
    arguments = parser.parse_args(argv)
    if not arguments.command:
        parser.print_help()
        return 2
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal cannot show is no failure
            stream.reconfigure(errors="backslashreplace")
    before = os.umask(0o022)
    os.umask(before | 0o022)  # what is installed is started later: nobody else may change it
    try:
        arguments.run(arguments)
    except Stop as stop:
        print(f"error: {stop}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; run the same command again to go on.", file=sys.stderr)
        return 130
    finally:
        os.umask(before)
    return 0


if __name__ == "__main__":
    if sys.version_info < MINIMUM:
        newer = _newer_python()
        if newer is None:
            sys.exit(f"error: RePaint Bridge needs Python 3.11 or newer; this is {platform.python_version()}.")
        sys.exit(subprocess.run([newer, *sys.argv]).returncode)
    sys.exit(main())
