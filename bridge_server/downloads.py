"""Downloads of models, each in a process of its own: ``python -m engine models get ID --watched``.

The engine's command line does the work; this module starts it, passes on what it says, and ends it by closing its
standard input, which also happens when the bridge dies. So a download neither holds up the engine process nor outlives
the bridge, and what it has of the files is taken up again by the next try. One at a time: a second one would only
halve the first one's pace. All clients hear of it, because a model belongs to the user and not to an editor.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bridge_server.client import messages
from bridge_server.client.checks import shortened
from bridge_server.client.errors import WireError
from bridge_server.client.records import Model
from bridge_server.pool.started import python_path

log = logging.getLogger("bridge.downloads")

LEAVE_SECONDS = 3.0  # until a process that was asked to stop is killed
NOT_HERE = "This model cannot be downloaded: choose another one from the list."
OTHER_LICENCE = "The licence of this model has changed: read it, then click Download again."
ELSEWHERE = "Another machine paints for this computer: type “repaint models get {model}” there."
OTHER_RUNS = "Another model is being downloaded: wait until it is there, or stop it."
CANNOT_START = "The download cannot start: make sure that the disk is not full, then click Download again."
BROKEN_OFF = "The download ended unexpectedly: click Download again, and it continues where it stopped."


class Downloads:
    """``say`` sends a message to every client; ``wake`` wakes the bridge's loop; ``folder`` takes the log.

    ``look_again`` has the catalogue read anew.
    """

    def __init__(
        self, say: Callable[[Any], None], wake: socket.socket, folder: Path, look_again: Callable[[], None]
    ) -> None:
        self._say, self._wake, self._folder, self._look_again = say, wake, folder, look_again
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._end: dict[str, Any] = {}
        self._stopped_at = 0.0
        self.now: messages.Downloading | None = None  # the one that is under way

    def start(self, wish: messages.Download, models: Iterable[Model]) -> messages.Downloaded | None:
        """Begin, unless it is under way already; else why not."""
        model = next((each for each in models if each.id == wish.model), None)
        if model is None or not model.download or model.installed:
            self._look_again()  # it may have gone meanwhile
            return messages.Downloaded(wish.model, "failed", code="model_unknown", sentence=NOT_HERE)
        if model.licence != wish.licence:
            return messages.Downloaded(wish.model, "failed", code="licence", sentence=OTHER_LICENCE)
        if importlib.util.find_spec("torch") is None:
            return messages.Downloaded(
                wish.model, "failed", code="elsewhere", sentence=ELSEWHERE.format(model=model.id)
            )
        if self.now is not None:
            if self.now.model == wish.model:
                return None
            return messages.Downloaded(wish.model, "failed", code="busy", sentence=OTHER_RUNS)
        log.info("download of %s, licence %s", model.id, model.licence)
        self._lines, self._end, self._stopped_at = queue.SimpleQueue(), {}, 0.0
        try:
            with open(self._folder / "download.log", "wb") as errors:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "engine", "models", "get", model.id, "--watched"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    # one thread: what is painted meanwhile has the others
                    env={"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": python_path()},
                )
        except OSError as error:
            return messages.Downloaded(
                model.id, "failed", 0, "cannot_start", CANNOT_START, shortened(repr(error), 4000)
            )
        threading.Thread(target=self._read, args=(self._process, self._lines), name="download", daemon=True).start()
        self._tell(messages.Downloading(model.id, 0, model.download_bytes))
        return None

    def cancel(self, model: str) -> None:
        """Stop that one; what is there of it stays."""
        if self.now is not None and self.now.model == model and not self._stopped_at:
            self._stopped_at = time.monotonic()
            self._let_go()

    def on_news(self) -> None:
        """Handle what the process has said; called when the loop has been woken."""
        while self._process is not None and not self._lines.empty():
            line = self._lines.get()
            if line is None:
                self._over()
            else:
                self._take(line)

    def tick(self) -> None:
        """A process that does not leave is killed."""
        if self._process is not None and self._stopped_at and time.monotonic() - self._stopped_at > LEAVE_SECONDS:
            self._process.kill()

    def stop(self) -> None:
        """The bridge leaves."""
        if self._process is not None:
            self._let_go()
            try:
                self._process.wait(LEAVE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    # ------------------------------------------------------------------------------------------------------- inside

    def _read(self, process: subprocess.Popen[bytes], lines: queue.SimpleQueue[bytes | None]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
            self._knock()
        process.wait()
        lines.put(None)
        self._knock()

    def _knock(self) -> None:
        with contextlib.suppress(OSError):  # it has been woken often enough, or the bridge is leaving
            self._wake.send(b"d")

    def _let_go(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def _tell(self, now: messages.Downloading) -> None:
        self.now = now
        self._say(now)

    def _take(self, line: bytes) -> None:
        assert self.now is not None
        try:
            content = json.loads(line)
            if "end" in content:
                self._end = dict(content)
            else:
                self._tell(messages.Downloading(self.now.model, int(content["done"]), int(content["total"] or 0)))
        except (ValueError, KeyError, TypeError, WireError):  # something in the process prints what it should not
            log.warning("not understood: %r", line[:200])

    def _over(self) -> None:
        """The process has ended: say how."""
        assert self._process is not None
        assert self.now is not None
        assert self._process.stdout is not None
        model, done, status = self.now.model, self.now.done, self._process.returncode
        self._process.stdout.close()
        self._let_go()
        self._process = self.now = None
        kind = self._end.get("end")
        log.info("download of %s: %s, status %s, %d bytes", model, kind, status, done)
        if kind == "installed":
            self._look_again()
            self._say(messages.Downloaded(model, "installed", done))
        elif self._stopped_at:
            self._say(messages.Downloaded(model, "stopped", done))
        else:
            code, sentence = str(self._end.get("code", "broken_off")), str(self._end.get("sentence", BROKEN_OFF))
            details = str(self._end.get("details", f"status {status}, see download.log"))
            log.warning("%s: %s %s", model, code, details)
            said = shortened(code, 64), shortened(sentence, 500), shortened(details, 4000)
            self._say(messages.Downloaded(model, "failed", done, *said))
