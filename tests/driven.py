"""An editor that a test drives: a private X server, code run inside by the driver's files, mouse, keys, screenshots.

Server and editor are sessions of their own: Linux shares the processor among sessions, so that an editor gets on
however many other tests run.

The driver, a part of each editor's tests that is loaded inside the editor, executes the files that `Driven.run` drops
into a folder and answers with files. The mouse and the keyboard are xdotool's.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LONG = "repaint"
"""A preset whose run no busy machine lets end before a test stops it."""


class HostFailure(AssertionError):
    """The editor showed or printed an error, died, or did not answer in time."""


def mortal(*command: str) -> list[str]:
    """The command so that its process ends when this one does, even by SIGKILL, where the system can do so (Linux)."""
    found = shutil.which("setpriv") if sys.platform == "linux" else None
    return [found, "--pdeathsig", "KILL", "--", *command] if found else [*command]


class Display:
    """An Xvfb with openbox on a display number that the X server chooses itself."""

    def __init__(self, width: int = 1600, height: int = 1000) -> None:
        read_end, write_end = os.pipe()
        self.server = subprocess.Popen(
            mortal(
                "Xvfb",
                "-displayfd",
                str(write_end),
                "-screen",
                "0",
                f"{width}x{height}x24",
                "-nolisten",
                "tcp",
                "-noreset",
            ),
            pass_fds=[write_end],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(write_end)
        with os.fdopen(read_end) as pipe:
            number = pipe.readline().strip()
        if not number:
            raise HostFailure("Xvfb did not start")
        self.name = f":{number}"
        self.manager = subprocess.Popen(
            mortal("openbox"),
            env={**os.environ, "DISPLAY": self.name},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for process in (self.manager, self.server):
            end(process, 3.0)


def end(process: subprocess.Popen, seconds: float) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(seconds)


class Driven:
    """One running editor. A subclass starts it, says what its log holds and raises in `check` what went wrong."""

    name = "editor"
    says = "None"  # an expression that may fail: the status line and the state of the run

    def __init__(self, work: Path, display: Display | None) -> None:
        self.work = work
        self.display = display
        self.commands = work / "commands"
        self.commands.mkdir(parents=True, exist_ok=True)
        self.log_path = work / f"{self.name}.log"
        self.process: subprocess.Popen | None = None
        self._count = 0
        self._seen = 0  # bytes of the log that `unseen` has given
        self._shots = 0
        self._silent = False

    @property
    def is_lost(self) -> bool:
        """Whether it has died or left a command without an answer."""
        return self._silent or self.process is None or self.process.poll() is not None

    @property
    def fell(self) -> bool:
        """Whether it died of a memory error of its own."""
        return self.process is not None and self.process.poll() == -signal.SIGSEGV

    def kill(self) -> None:
        """Ends it as a crash would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)
            self.process = None

    def stop(self) -> None:
        """Ends it in order and looks at its log for the last time."""
        raise NotImplementedError

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def unseen(self) -> str:
        """What the log has got since the last time, up to its last whole line while the editor runs. It is asked many
        times a second, and a log may become long."""
        if not self.log_path.exists():
            return ""
        with open(self.log_path, "rb") as log:
            log.seek(self._seen)
            fresh = log.read()
        if self.process is not None and self.process.poll() is None:
            fresh = fresh[: fresh.rfind(b"\n") + 1]
        self._seen += len(fresh)
        return fresh.decode(errors="replace")

    def check(self) -> None:
        """Raises `HostFailure` if the editor showed or printed an error, or died, since the last look."""
        raise NotImplementedError

    # ---- code inside the editor ----
    def run(self, code: str, seconds: float = 20.0) -> Any:
        """Executes Python inside the editor; the value of a last expression comes back (as JSON holds it)."""
        self._count += 1
        name = f"{self._count:06d}"
        part = self.commands / f"{name}.new"
        part.write_text(json.dumps({"code": code}))
        part.rename(self.commands / f"{name}.cmd")
        answer = self.commands / f"{name}.ans"
        end = time.monotonic() + seconds
        while answer.name not in (there := os.listdir(self.commands)):  # noqa: PTH208 - many times a second
            if time.monotonic() > end:
                self._silent = True
                self.check()
                self.screenshot("no-answer")
                raise HostFailure(f"{self.name} did not answer within {seconds} s to:\n{code}\n{self.log()[-2000:]}")
            if self.process is not None and self.process.poll() is not None:
                self.check()
            if any(each.endswith(".alarm") for each in there):
                self.check()
            time.sleep(0.004)
        result = json.loads(answer.read_text())
        answer.unlink()
        self.check()
        if "error" in result:
            raise HostFailure(f"The test's own code failed in {self.name}:\n{result['error']}\n{code}")
        return result["value"]

    def wait(self, condition: str, seconds: float = 20.0, what: str = "") -> Any:
        """Waits until the expression is true inside the editor and returns its value."""
        end = time.monotonic() + seconds
        while True:
            value = self.run(condition, seconds=max(1.0, end - time.monotonic()))
            if value:
                return value
            if time.monotonic() > end:
                self.screenshot("waited-in-vain")
                missed = f"Not true in {self.name} after {seconds} s: {what or condition}"
                raise HostFailure(f"{missed}\n{self.shown()}\n{self.log()[-1500:]}")
            time.sleep(0.03)

    def shown(self) -> str:
        """What the plug-in says to the artist at the moment, for the message of a failure."""
        try:
            return f"{self.name} says: {self.run(self.says)}"
        except HostFailure:
            return f"{self.name} says nothing"

    def at_rest(self, place: str, what: str) -> list[float]:
        """The point that the expression names, once it is one (and not None) and the same twice: a page that is still
        being laid out moves its buttons away from under the mouse."""
        last = None
        end = time.monotonic() + 20.0
        while (found := self.run(place)) is None or found != last:
            if time.monotonic() > end:
                raise HostFailure(f"{what} cannot be clicked in {self.name}: {found}\n{self.shown()}")
            last = found
            time.sleep(0.1)
        return list(found)

    # ---- hands ----
    def xdo(self, *words: Any) -> str:
        assert self.display is not None
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

    def click_on(self, place: str, what: str, under: str = "True") -> None:
        """A click at the point that the expression names, when it is still the same with the mouse there: on a busy
        machine a page is laid out late, and the click would go to the widget that was there before. ``under``: whether
        the editor says, too, that the mouse is at the right one."""
        end = time.monotonic() + 20.0
        while True:
            x, y = self.at_rest(place, what)
            self.xdo("mousemove", int(x), int(y), "sleep", "0.05")
            if self.run(place) == [x, y] and self.run(under):
                self.xdo("click", 1)
                return
            if time.monotonic() > end:
                self.screenshot("not-under-the-mouse")
                raise HostFailure(f"{what} does not come to lie under the mouse in {self.name}\n{self.shown()}")

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
        if self.display is None:
            return None
        folder = folder or Path(os.environ.get("REPAINT_BRIDGE_SHOTS") or self.work / "shots")
        folder.mkdir(parents=True, exist_ok=True)
        self._shots += 1
        path = folder / f"{self.name}-{self._shots:02d}-{name}.png"
        done = subprocess.run(
            ["import", "-window", "root", str(path)],
            capture_output=True,
            timeout=30,
            env={**os.environ, "DISPLAY": self.display.name},
        )
        return path if done.returncode == 0 else None


def keep_picture(shot: Path | None, target: Path) -> None:
    """Into the repository, as PNG or JPEG, without the time and the program's name inside."""
    target.parent.mkdir(parents=True, exist_ok=True)
    small = ["-quality", "88"] if target.suffix == ".jpg" else ["-define", "png:compression-level=9"]
    subprocess.run(["convert", str(shot), "-strip", *small, str(target)], check=True)
    print(target, target.stat().st_size // 1024, "KiB")
