"""A real Krita for the tests: private X server, private home, driven from inside, watched from outside.

`KritaHost` starts Xvfb, openbox and Krita with a copy of a warmed home folder (Krita's first start builds its resource
database, about half a minute; later starts take one to three seconds). Inside runs the test-only plug-in of
``driver/``; `KritaHost.run` executes Python there and returns its value. The mouse and the keyboard are xdotool's.
Any "Script error" window, traceback or plug-in load error that Krita shows or prints raises `HostFailure`.

Which Krita it is, `tests.hosts.chosen_krita` says. One in a root file system of its own is started by chroot, draws on
the same X server (its abstract socket knows no roots) and shares its home, the driver's files and the bridge's folders
with the tests because they all lie in that root; the bridge and the engine stay outside, where their Python is.
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
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path.append(str(REPOSITORY))

from bridge_server.manage import plugins  # noqa: E402
from tests.driven import Display, Driven, HostFailure, end, mortal  # noqa: E402
from tests.hosts import CannotBuild, Krita, chosen_krita, hosts_cache  # noqa: E402

PROGRAMS = ("Xvfb", "openbox", "xdotool", "import")
BAD_STDERR = re.compile(r"Traceback \(most recent call last\)|Error loading plugin|SyntaxError|ASSERT")
HOME_FORMAT = "3"  # raise when the warmed home's content changes

KRITARC = "[python]\nenable_repaint_krita=true\nenable_repaint_test_driver=true\n"
KRITADISPLAYRC = "[General]\nOpenGLRenderer=none\n"


def missing_programs() -> list[str]:
    """What a Krita test needs and this machine lacks."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    try:
        if chosen_krita().program is None:
            missing.append("krita")
    except CannotBuild as error:
        missing.append(str(error))
    return missing


def _environment(krita: Krita, home: Path, display: str, extra: dict[str, str]) -> dict[str, str]:
    runtime = home / "run"
    runtime.mkdir(mode=0o700, exist_ok=True)
    runtime.chmod(0o700)
    keep = {key: os.environ[key] for key in ("CI",) if key in os.environ}
    # Its own temporary folder: there lies the socket by which a second Krita hands its files to the first and ends.
    temporary = home / "tmp"
    temporary.mkdir(exist_ok=True)
    home, runtime, temporary = krita.inside(home), krita.inside(runtime), krita.inside(temporary)
    # The system's PATH only: the embedded Python takes its prefix from the first python3 there, and another one
    # (a virtual environment, pyenv) lacks Debian's PyQt5.
    return {
        **keep,
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local/share"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_RUNTIME_DIR": str(runtime),
        "LC_ALL": "C.UTF-8",
        "LIBGL_ALWAYS_SOFTWARE": "1",
        "DISPLAY": display,
        "DBUS_SESSION_BUS_ADDRESS": "disabled:",
        "NO_AT_BRIDGE": "1",
        "QT_LOGGING_RULES": "*.debug=false",
        **extra,
    }


def _write_settings(home: Path) -> None:
    config = home / ".config"
    config.mkdir(parents=True, exist_ok=True)
    (config / "kritarc").write_text(KRITARC)
    (config / "kritadisplayrc").write_text(KRITADISPLAYRC)


def _install_driver(home: Path) -> Path:
    pykrita = home / ".local/share/krita/pykrita"
    pykrita.mkdir(parents=True, exist_ok=True)
    # Its own name would make Krita import the driver, too, from an archive of the repository.
    shutil.copy(HERE / "driver/desktop-entry", pykrita / "repaint_test_driver.desktop")
    shutil.copytree(
        HERE / "driver/repaint_test_driver",
        pykrita / "repaint_test_driver",
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    return pykrita


def warmed_home(krita: Krita, seconds: float = 240.0) -> Path:
    """The cached home folder of a Krita that has been started once; made here if it is not there yet."""
    program = krita.program
    assert program is not None
    stat = program.stat()
    key = hashlib.sha256(f"{program} {stat.st_size} {stat.st_mtime_ns} {HOME_FORMAT}".encode()).hexdigest()[:12]
    cache = hosts_cache()
    cache.mkdir(parents=True, exist_ok=True)
    ready = cache / f"krita-home-{key}"
    with open(cache / "krita-home.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if ready.exists():
            return ready
        with tempfile.TemporaryDirectory(dir=krita.temporary or cache, prefix="warming-") as folder:
            home = Path(folder) / "home"
            home.mkdir()
            _write_settings(home)
            _install_driver(home)
            with Display() as display:
                host = KritaHost(Path(folder) / "work", display=display, home=home, plugin=False, krita=krita)
                host.start(seconds=seconds)
                host.stop()
            for name in ("run", "tmp"):
                shutil.rmtree(home / name, ignore_errors=True)
            shutil.rmtree(home / ".local/share/krita/pykrita", ignore_errors=True)
            home.rename(ready)
    return ready


def _without_painters(log: str) -> str:
    """Krita's output without Qt's constant complaints about painters."""
    return "".join(line for line in log.splitlines(keepends=True) if not line.startswith("QPainter::"))


class KritaHost(Driven):
    """One running Krita.

    work: folder for the driver's files, the log and the private home. plugin: install the RePaint plug-in as
    ``installer.py krita`` does. environment: more variables for Krita. krita: which one, else the chosen one.
    """

    name = "krita"
    says = "[dock().findChild(QtWidgets.QLabel, 'repaint_status').text(), flow.engine, flow.busy]"

    def __init__(
        self,
        work: Path,
        *,
        display: Display,
        home: Path | None = None,
        plugin: bool = True,
        environment: dict[str, str] | None = None,
        krita: Krita | None = None,
    ) -> None:
        super().__init__(work, display)
        self.krita = krita or chosen_krita()
        self.lent: dict[Path, Path] | None = None  # of `Editor.within`
        self.overlooked = ""  # what Krita may print that would be an error otherwise
        if home is None:
            home = work / "home"
            if not home.exists():
                shutil.copytree(warmed_home(self.krita), home, symlinks=True)
            _write_settings(home)
        self.home = home
        pykrita = _install_driver(home)
        if plugin:
            plugins.install_krita(pykrita.parent)
        self.environment = _environment(
            self.krita, home, display.name, {"REPAINT_DRIVER_DIR": str(self.commands), **(environment or {})}
        )

    # ---- life ----
    def start(self, *files: Path, seconds: float = 120.0) -> None:
        """Starts Krita and returns when the driver inside answers and the main window stands."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                mortal(*self.krita.within("krita", self.lent), "--nosplash", *(str(self.lend(path)) for path in files)),
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.work,
                start_new_session=True,
            )
        try:
            self.wait(
                "len(Krita.instance().windows()) > 0 and Krita.instance().windows()[0].qwindow().isVisible()",
                seconds=seconds,
            )
        except HostFailure:
            self.screenshot("start-failed")
            end(self.process, 5.0)
            raise

    def stop(self) -> None:
        """Ends Krita by SIGTERM (it asks nothing) and checks its log for the last time."""
        if self.process is not None:
            end(self.process, 10.0)
            self.process = None
            self.check()

    def lend(self, path: Path) -> Path:
        """A file where this Krita can read it: itself, or a copy in the work folder."""
        if self.krita.sees(path):
            return path
        copy = self.work / "lent" / path.name
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, copy)
        return copy

    # ---- health ----
    def log(self) -> str:
        return _without_painters(super().log())

    def unseen(self) -> str:
        return _without_painters(super().unseen())

    def check(self) -> None:
        """Raises if Krita showed a script error, printed a traceback or died since the last look."""
        for alarm in sorted(self.commands.glob("*.alarm")):
            text = alarm.read_text(errors="replace")
            alarm.unlink()
            raise HostFailure(f"{alarm.stem} in Krita:\n{text}\n{self.log()[-3000:]}")
        fresh = self.unseen()
        if BAD_STDERR.search(fresh.replace(self.overlooked, "") if self.overlooked else fresh):
            raise HostFailure("Krita printed an error:\n" + fresh[-4000:])
        if self.process is not None and self.process.poll() is not None:
            raise HostFailure(f"Krita ended by itself with {self.process.returncode}:\n{self.log()[-4000:]}")


if __name__ == "__main__":
    print(f"warmed home: {warmed_home(chosen_krita())}", file=sys.stderr)
