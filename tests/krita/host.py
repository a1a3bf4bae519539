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
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path.append(str(REPOSITORY))

import installer  # noqa: E402  (a script of the repository's root, not a package)
from tests.hosts import CannotBuild, Krita, chosen_krita, hosts_cache  # noqa: E402

PROGRAMS = ("Xvfb", "openbox", "xdotool", "import")
BAD_STDERR = re.compile(r"Traceback \(most recent call last\)|Error loading plugin|SyntaxError|ASSERT")
HOME_FORMAT = "3"  # raise when the warmed home's content changes

KRITARC = "[python]\nenable_repaint_krita=true\nenable_repaint_test_driver=true\n"
KRITADISPLAYRC = "[General]\nOpenGLRenderer=none\n"


class HostFailure(AssertionError):
    """Krita showed or printed an error, died, or did not answer in time."""


def missing_programs() -> list[str]:
    """What a Krita test needs and this machine lacks."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    try:
        if chosen_krita().program is None:
            missing.append("krita")
    except CannotBuild as error:
        missing.append(str(error))
    return missing


class Display:
    """An Xvfb with openbox on a display number that the X server chooses itself."""

    def __init__(self, width: int = 1600, height: int = 1000) -> None:
        read_end, write_end = os.pipe()
        self.server = subprocess.Popen(
            [
                "Xvfb",
                "-displayfd",
                str(write_end),
                "-screen",
                "0",
                f"{width}x{height}x24",
                "-nolisten",
                "tcp",
                "-noreset",
            ],
            pass_fds=[write_end],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(write_end)
        with os.fdopen(read_end) as pipe:
            number = pipe.readline().strip()
        if not number:
            raise HostFailure("Xvfb did not start")
        self.name = f":{number}"
        self.manager = subprocess.Popen(
            ["openbox"], env={**os.environ, "DISPLAY": self.name}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def close(self) -> None:
        for process in (self.manager, self.server):
            _end(process, 3.0)


def _end(process: subprocess.Popen, seconds: float) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(seconds)


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
        "PYTHONDONTWRITEBYTECODE": "1",
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
    shutil.copy(HERE / "driver/repaint_test_driver.desktop", pykrita)
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
            display = Display()
            try:
                host = KritaHost(Path(folder) / "work", display=display, home=home, plugin=False, krita=krita)
                host.start(seconds=seconds)
                host.stop()
            finally:
                display.close()
            for name in ("run", "tmp"):
                shutil.rmtree(home / name, ignore_errors=True)
            shutil.rmtree(home / ".local/share/krita/pykrita", ignore_errors=True)
            home.rename(ready)
    return ready


class KritaHost:
    """One running Krita.

    work: folder for the driver's files, the log and the private home. plugin: install the RePaint plug-in as
    ``installer.py krita`` does. environment: more variables for Krita. krita: which one, else the chosen one.
    """

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
        self.krita = krita or chosen_krita()
        self.work = work
        self.display = display
        self.commands = work / "commands"
        self.commands.mkdir(parents=True, exist_ok=True)
        self.log_path = work / "krita.log"
        self._count = 0
        self._shots = 0
        self._log_checked = 0
        self.process: subprocess.Popen | None = None
        self.pointer = (0, 0)
        if home is None:
            home = work / "home"
            if not home.exists():
                shutil.copytree(warmed_home(self.krita), home, symlinks=True)
            _write_settings(home)
        self.home = home
        pykrita = _install_driver(home)
        if plugin:
            installer.install_krita(pykrita.parent)
        self.environment = _environment(
            self.krita, home, display.name, {"REPAINT_DRIVER_DIR": str(self.commands), **(environment or {})}
        )

    # ---- life ----
    def start(self, *files: Path, seconds: float = 120.0) -> None:
        """Starts Krita and returns when the driver inside answers and the main window stands."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.krita.command, "--nosplash", *(str(self.lend(path)) for path in files)],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.work,
            )
        try:
            self.wait(
                "len(Krita.instance().windows()) > 0 and Krita.instance().windows()[0].qwindow().isVisible()",
                seconds=seconds,
            )
        except HostFailure:
            self.screenshot("start-failed")
            _end(self.process, 5.0)
            raise

    def stop(self) -> None:
        """Ends Krita by SIGTERM (it asks nothing) and checks its log for the last time."""
        if self.process is not None:
            _end(self.process, 10.0)
            self.process = None
            self.check()

    def kill(self) -> None:
        """Ends Krita as a crash would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)
            self.process = None

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
        """Krita's output without Qt's constant complaints about painters."""
        if not self.log_path.exists():
            return ""
        lines = self.log_path.read_text(errors="replace").splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith("QPainter::"))

    def check(self) -> None:
        """Raises if Krita showed a script error, printed a traceback or died since the last look."""
        for alarm in sorted(self.commands.glob("*.alarm")):
            text = alarm.read_text(errors="replace")
            alarm.unlink()
            raise HostFailure(f"{alarm.stem} in Krita:\n{text}\n{self.log()[-3000:]}")
        text = self.log()
        fresh, self._log_checked = text[self._log_checked :], len(text)
        if BAD_STDERR.search(fresh):
            raise HostFailure("Krita printed an error:\n" + fresh[-4000:])
        if self.process is not None and self.process.poll() is not None:
            raise HostFailure(f"Krita ended by itself with {self.process.returncode}:\n{text[-4000:]}")

    # ---- code inside Krita ----
    def run(self, code: str, seconds: float = 20.0) -> Any:
        """Executes Python inside Krita; the value of a last expression comes back (as JSON holds it)."""
        self._count += 1
        name = f"{self._count:06d}"
        part = self.commands / f"{name}.new"
        part.write_text(json.dumps({"code": code}))
        part.rename(self.commands / f"{name}.cmd")
        answer = self.commands / f"{name}.ans"
        end = time.monotonic() + seconds
        while not answer.exists():
            if time.monotonic() > end:
                self.check()
                self.screenshot("no-answer")
                raise HostFailure(f"Krita did not answer within {seconds} s to:\n{code}\n{self.log()[-2000:]}")
            if self.process is not None and self.process.poll() is not None:
                self.check()
            if any(self.commands.glob("*.alarm")):
                self.check()
            time.sleep(0.004)
        result = json.loads(answer.read_text())
        answer.unlink()
        self.check()
        if "error" in result:
            raise HostFailure(f"The test's own code failed in Krita:\n{result['error']}\n{code}")
        return result["value"]

    def wait(self, condition: str, seconds: float = 20.0, what: str = "") -> Any:
        """Waits until the expression is true inside Krita and returns its value."""
        end = time.monotonic() + seconds
        while True:
            value = self.run(condition, seconds=max(1.0, end - time.monotonic()))
            if value:
                return value
            if time.monotonic() > end:
                self.screenshot("waited-in-vain")
                raise HostFailure(f"Not true in Krita after {seconds} s: {what or condition}\n{self.log()[-1500:]}")
            time.sleep(0.03)

    # ---- hands ----
    def xdo(self, *words: Any) -> str:
        done = subprocess.run(
            ["xdotool", *map(str, words)],
            env={**os.environ, "DISPLAY": self.display.name},
            capture_output=True,
            text=True,
            timeout=20,
        )
        if done.returncode:
            raise HostFailure(f"xdotool {words}: {done.stderr}")
        return done.stdout.strip()

    def click(self, x: float, y: float, button: int = 1) -> None:
        self.xdo("mousemove", int(x), int(y), "sleep", "0.05", "click", button)

    def drag(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Presses at the first point, moves in steps as a hand does, lets go at the second."""
        words: list[Any] = ["mousemove", int(x0), int(y0), "sleep", "0.15", "mousedown", 1, "sleep", "0.1"]
        for part in (0.1, 0.3, 0.6, 0.9, 1.0):
            words += ["mousemove", round(x0 + (x1 - x0) * part), round(y0 + (y1 - y0) * part), "sleep", "0.05"]
        self.xdo(*words, "mouseup", 1)

    def keys(self, *names: str) -> None:
        self.xdo("key", "--delay", "60", *names)

    def screenshot(self, name: str, folder: Path | None = None) -> Path | None:
        """The whole screen as a PNG in `folder` (default: REPAINT_BRIDGE_SHOTS, else the work folder)."""
        folder = folder or Path(os.environ.get("REPAINT_BRIDGE_SHOTS") or self.work / "shots")
        folder.mkdir(parents=True, exist_ok=True)
        self._shots += 1
        path = folder / f"krita-{self._shots:02d}-{name}.png"
        done = subprocess.run(
            ["import", "-window", "root", str(path)],
            capture_output=True,
            timeout=30,
            env={**os.environ, "DISPLAY": self.display.name},
        )
        return path if done.returncode == 0 else None


if __name__ == "__main__":
    print(f"warmed home: {warmed_home(chosen_krita())}", file=sys.stderr)
