"""A real GIMP 3 for the tests, in a console or on a private X server; its home is private, code runs inside.

`GimpHost` starts GIMP with the plug-in as ``installer.py gimp`` installs it. The driver (``driver/sitecustomize.py``)
lives in the process of RePaint's service, which sees GIMP's whole procedure database and the plug-in's own objects.

The GIMP is that of a root file system (tests/hosts.py; REPAINT_BRIDGE_GIMP names another than ``trixie``), started by
chroot, or with REPAINT_BRIDGE_GIMP=native the machine's own. The bridge and the engine stay outside, where their Python
is; homes, pictures and the bridge's folders of the tests lie in the root's /tmp.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path.append(str(REPOSITORY))

from bridge_server.client import launch  # noqa: E402
from bridge_server.manage import plugins  # noqa: E402
from tests.driven import Display, Driven, HostFailure, end, mortal  # noqa: E402
from tests.hosts import ROOTS, CannotBuild, Editor, hosts_cache  # noqa: E402

CHOICE_VARIABLE = "REPAINT_BRIDGE_GIMP"
PROGRAMS = ("Xvfb", "openbox", "xdotool", "import")
BAD = re.compile(
    r"Traceback \(most recent call last\)|CRITICAL|Plug-in crashed|left image undo|SyntaxError|ModuleNotFound"
)
NOISE = re.compile("gdk_device_|gdk_window_get_device|gimp_device_info")  # GIMP 3.2 without a mouse
HOME_FORMAT = "1"  # raise when the warmed home's content changes
GIMPRC = """(show-welcome-dialog no)
(check-updates no)
(save-session-info no)
(config-version "3.0.4")
(undo-levels 50)
"""


@dataclass(frozen=True)
class Gimp(Editor):
    def program(self, console: bool) -> str:
        return "gimp-console" if console else "gimp"

    @property
    def is_there(self) -> bool:
        if self.root is not None:
            return (self.root / "usr/bin/gimp").exists()
        return plugins.gimp_version().startswith("3.")

    def command(self, console: bool, lent: Mapping[Path, Path] | None = None) -> list[str]:
        if lent is None and self.name == "sid" and not console:
            lent = {}  # it starts its plug-ins' windows only with a /dev and a /proc
        return self.within(self.program(console), lent)


def chosen_gimp() -> Gimp:
    """The GIMP that REPAINT_BRIDGE_GIMP names, else that of Debian 13. Raises CannotBuild: unknown, not built."""
    name = os.environ.get(CHOICE_VARIABLE, "") or "trixie"
    if name == "native":
        return Gimp(name, None)
    if name not in ROOTS:
        raise CannotBuild(f"{CHOICE_VARIABLE} must be native or one of {', '.join(ROOTS)}, not “{name}”.")
    if not ROOTS[name].has("gimp"):
        raise CannotBuild(f"no root file system {name} with GIMP: run “python -m tests.hosts build {name} gimp”")
    return Gimp(name, ROOTS[name].folder)


def missing_programs() -> list[str]:
    """What a GIMP test needs and this machine lacks."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    try:
        if not chosen_gimp().is_there:
            missing.append("GIMP 3")
    except CannotBuild as error:
        missing.append(str(error))
    return missing


def warmed_home(gimp: Gimp) -> Path:
    """The cached home of a GIMP that has been started once and knows its own plug-ins; made if it is not there yet."""
    program = (gimp.root or Path("/")) / "usr/bin/gimp-console"
    stat = program.stat()
    key = hashlib.sha256(f"{program} {stat.st_size} {stat.st_mtime_ns} {HOME_FORMAT}".encode()).hexdigest()[:12]
    ready = hosts_cache() / f"gimp-home-{key}"
    hosts_cache().mkdir(parents=True, exist_ok=True)
    with open(hosts_cache() / "gimp-home.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            with tempfile.TemporaryDirectory(dir=gimp.temporary, prefix="warming-") as folder:
                home = Path(folder) / "home"
                home.mkdir()
                host = GimpHost(Path(folder) / "work", None, home=home)
                host.start(seconds=240)
                host.stop()
                plugins.uninstall_gimp(host.configuration)
                for name in ("run", "tmp"):
                    shutil.rmtree(home / name, ignore_errors=True)
                shutil.move(home, ready)
    return ready


class GimpHost(Driven):
    """One running GIMP.

    display: None for the console. environment: more variables for it. home: an own one instead of a warmed copy.
    """

    name = "gimp"
    says = "[body.status.get_text(), flow.engine, flow.busy]"

    def __init__(
        self,
        work: Path,
        display: Display | None,
        environment: dict[str, str] | None = None,
        home: Path | None = None,
    ) -> None:
        work.mkdir(parents=True, exist_ok=True)
        super().__init__(work, display)
        self.gimp = chosen_gimp()
        self.home = home or work / "home"
        if not self.home.exists():
            shutil.copytree(warmed_home(self.gimp), self.home, symlinks=True)
        self.lent: dict[Path, Path] | None = None  # of `Editor.within`
        self.expected = re.compile("(?!)")  # alarming lines that a test means to provoke
        self.configuration = self.home / "config/GIMP" / ("3.0" if self.gimp.name != "sid" else "3.2")
        self.configuration.mkdir(parents=True, exist_ok=True)
        settings = self.configuration / "gimprc"
        if not settings.exists():  # a newer one would have GIMP ask all its plug-ins anew, some ten seconds
            settings.write_text(GIMPRC)
        plugins.install_gimp(self.configuration)
        shutil.copytree(HERE / "driver", work / "driver", dirs_exist_ok=True)
        self.environment = {**self._environment(), **(environment or {})}

    def _environment(self) -> dict[str, str]:
        folders = {}
        for variable, name in (
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_DATA_HOME", "data"),
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_RUNTIME_DIR", "run"),
            ("TMPDIR", "tmp"),
        ):
            (self.home / name).mkdir(mode=0o700, exist_ok=True)
            folders[variable] = str(self.gimp.inside(self.home / name))
        inherited = (launch.HOME_VARIABLE, "REPAINT_BRIDGE_TEST_MODELS", "HF_HUB_OFFLINE", "CI")
        return {
            **{key: os.environ[key] for key in inherited if key in os.environ},
            **folders,
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",  # the shebang takes the first python3: it must have gi
            "HOME": str(self.gimp.inside(self.home)),
            "LC_ALL": "C.UTF-8",
            "NO_AT_BRIDGE": "1",
            "DBUS_SESSION_BUS_ADDRESS": "disabled:",
            "PYTHONPATH": str(self.gimp.inside(self.work / "driver")),
            "REPAINT_DRIVER_DIR": str(self.gimp.inside(self.commands)),
            **({"DISPLAY": self.display.name} if self.display is not None else {}),
        }

    # ---- life ----
    def start(self, *files: Path, seconds: float = 90.0, batch: str = "") -> None:
        """Starts GIMP and returns when it is whole and the driver in RePaint's service answers. ``batch``: Python that
        runs beside it from then on, in a plug-in process of its own."""
        console = self.display is None
        up = self.work / "up"
        up.unlink(missing_ok=True)
        # GIMP starts its extensions in the middle of its own start, and runs batch commands when it is whole.
        touch = f"open({str(self.gimp.inside(up))!r}, 'w').close()\n" + batch
        words = ["--no-interface"] if console else ["--no-splash"]
        words += ["--batch-interpreter", "python-fu-eval", "--batch", touch]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                mortal(
                    *self.gimp.command(console, self.lent), *words, *(str(self.gimp.inside(path)) for path in files)
                ),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.work,
                start_new_session=True,
            )
        try:
            self.run("1", seconds=seconds)
            self._wait_for(up, seconds)
        except HostFailure:
            self.screenshot("start-failed")
            self.kill()
            raise

    def _wait_for(self, up: Path, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not up.exists():
            self.check()
            if time.monotonic() > deadline:
                raise HostFailure(f"GIMP was not up within {seconds} s:\n{self.log()[-2000:]}")
            time.sleep(0.02)

    def window_of(self, title: str, seconds: float = 10.0) -> str:
        """The X id of this GIMP's visible window whose title matches; waits for it."""
        deadline = time.monotonic() + seconds
        while not (found := self.windows(title)):
            if time.monotonic() > deadline:
                self.screenshot("no-window")
                raise HostFailure(f"no window “{title}” within {seconds} s")
            time.sleep(0.05)
        return found[-1]

    def windows(self, title: str) -> list[str]:
        """The X ids of all such windows. Another GIMP's may stand on the display, too."""
        assert self.display is not None
        done = subprocess.run(
            ["xdotool", "search", "--onlyvisible", "--name", title],
            env={**os.environ, "DISPLAY": self.display.name},
            capture_output=True,
            text=True,
        )
        return [window for window in done.stdout.split() if self._is_mine(window)]

    def _is_mine(self, window: str) -> bool:
        """Whether it belongs to GIMP's process or to a plug-in's below it."""
        assert self.process is not None
        try:
            pid = int(self.xdo("getwindowpid", window))
            while pid > 1 and pid != self.process.pid:
                pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except (HostFailure, OSError, ValueError):  # it has gone meanwhile
            return False
        return pid == self.process.pid

    def stop(self) -> None:
        """Ends GIMP as its menu does, without questions, and checks its log for the last time."""
        if self.process is not None:
            self.run(
                "from gi.repository import Gimp, GLib\nquit = Gimp.get_pdb().lookup_procedure('gimp-quit')\n"
                "config = quit.create_config()\nconfig.set_property('force', True)\n"
                "GLib.timeout_add(50, lambda: quit.run(config) and False)\nNone"
            )
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                end(self.process, 5.0)
            self.process = None
            self.check()

    # ---- health ----
    def check(self) -> None:
        fresh = self.unseen()
        bad = [
            line
            for line in fresh.splitlines()
            if BAD.search(line) and not NOISE.search(line) and not self.expected.search(line)
        ]
        if bad:
            raise HostFailure("GIMP printed an error:\n" + fresh[-4000:])
        if self.process is not None and self.process.poll() is not None:
            raise HostFailure(f"GIMP ended by itself with {self.process.returncode}:\n{self.log()[-4000:]}")
