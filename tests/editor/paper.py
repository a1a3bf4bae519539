"""A set-up that is played by hand, and a room with its page: for the tests of the page."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bridge_server.client import launch
from bridge_server.client import setup as real
from bridge_server.client.editor.probe import Probe
from bridge_server.client.editor.pump import Pump
from bridge_server.client.editor.setup import SetUpPage
from bridge_server.client.errors import BridgeError
from tests.editor.stage import Stage

MB = 10**6
PLAN = real.Plan(
    Path("/data/engines/1"), "Python 3.12 of this computer", "NVIDIA GeForce", "cuda", 640 * MB, 1800 * MB, 9000 * MB,
    "GPL-3.0-or-later",
)  # fmt: skip
MISSING = real.Found("missing", "The engine is not set up yet: click Set up.")


class PaperJob:
    def __init__(self, kit: Path, plan: real.Plan, source: Path | None) -> None:
        self.asked = (kit, plan, source)
        self.log = launch.user_folders().state / "setup.log"
        self.now = real.Shown()
        self.calls: list[str] = []

    def start(self) -> None:
        self.now = real.Shown((real.StepShown("Download the packages"), real.StepShown("Try a small fill")), "running")

    def cancel(self) -> None:
        self.calls.append("cancel")

    def join(self, _timeout: float) -> None:
        self.calls.append("join")

    def shown(self) -> real.Shown:
        return self.now

    def show(self, now: str, sentence: str = "", **first: Any) -> None:
        steps = (replace(self.now.steps[0], **first), self.now.steps[1])
        self.now = real.Shown(steps, now, sentence)


class PaperDoor:
    """Of `bridge_server.client.setup`."""

    def __init__(self) -> None:
        self.state = MISSING
        self.answer: real.Plan | Exception = PLAN
        self.of_folder: real.Plan | None = None
        self.during_removal: Callable[[], Any] = lambda: None
        self.gate = threading.Event()
        self.gate.set()
        self.planned: list[Path | None] = []
        self.boxes: list[str] = []
        self.jobs: list[PaperJob] = []
        self.used: list[Path] = []
        self.removed: list[tuple[bool, bool]] = []

    def found(self, _kit: Path | None) -> real.Found:
        return self.state

    def plan(self, _kit: Path, source: Path | None, box: str = "") -> real.Plan:
        self.gate.wait(20)
        self.planned.append(source)
        self.boxes.append(box)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.of_folder if (source or box) and self.of_folder else self.answer

    def SetUp(self, kit: Path, plan: real.Plan, source: Path | None) -> PaperJob:
        self.jobs.append(PaperJob(kit, plan, source))
        return self.jobs[-1]

    def use(self, folder: Path) -> None:
        self.used.append(folder)
        if folder.name == "nothing":
            raise BridgeError("There is no engine in that folder: choose another one.")
        self.state = real.Found("ready", "")

    def removable(self) -> real.Removal:
        models, history = real.sentences.MODELS, real.sentences.HISTORY
        stays = [(models, Path("/m"), 2100 * MB), (history, Path("/h"), 34 * MB)]
        return real.Removal([("The engine with its packages", Path("/e"), 1800 * MB)], stays)

    def remove(self, with_models: bool, with_history: bool) -> None:
        self.during_removal()
        self.removed.append((with_models, with_history))


class PaperPump(Pump):
    """Its event loop is `Room.turn`."""

    def __init__(self) -> None:
        super().__init__(Probe(), logging.getLogger("test_setup"))
        self.repeated: list[tuple[str, Callable[[], bool]]] = []

    def _wake(self) -> None: ...

    def _soon(self) -> None: ...

    def _set_ticking(self, on: bool) -> None: ...

    def repeat(self, name: str, work: Callable[[], bool]) -> None:
        self.repeated.append((name, work))


class Room:
    def __init__(self, kit: Path) -> None:
        self.stage, self.door, self.pump = Stage(), PaperDoor(), PaperPump()
        self.pump.drive(self.stage.flow, "")
        kit.mkdir(exist_ok=True)
        self.page = SetUpPage(kit, self.pump, self.door)
        self.offered = 0
        self.page.done.append(lambda: setattr(self, "offered", self.offered + 1))

    def turn(self) -> None:
        """One turn of the event loop, when the threads are done."""
        for thread in threading.enumerate():
            if thread.name.startswith("repaint-"):
                thread.join(5)
        self.pump._events()
        self.pump.repeated = [each for each in self.pump.repeated if not each[1]()]

    def look(self) -> None:
        self.page.look()
        self.turn()
