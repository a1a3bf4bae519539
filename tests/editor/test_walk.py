"""The walks in docs/architecture.md, walked: a click from the panel to the sampler and a preview back to a layer."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bridge_server.client import launch
from bridge_server.client.editor import fields
from bridge_server.client.editor.choices import Choices
from bridge_server.client.editor.flow import Flow
from bridge_server.client.editor.panel import Panel
from bridge_server.client.editor.probe import Probe
from bridge_server.client.editor.pump import Pump
from bridge_server.client.session import Session
from tests.bridge.home import ROOT, SLOW, Home, until
from tests.editor.files import FileHost
from tests.editor.stage import Box
from tests.editor.walk import follow

MOST_THERE, MOST_BACK = 15, 10
OCTAVES = 192  # pixels, the side of a picture that the default model paints octave by octave
HOPS = {  # what is handed over by a queue or a socket; docs/architecture.md says what carries it
    ("bridge_server/client/jobs.py", "bridge_server/desk.py"),
    ("bridge_server/desk.py", "bridge_server/pool/sharing.py"),
    ("bridge_server/pool/worker.py", "bridge_server/worker/line.py"),
    ("bridge_server/worker/line.py", "bridge_server/worker/runner.py"),
    ("bridge_server/worker/run.py", "bridge_server/pool/pool.py"),
    ("bridge_server/foreman.py", "bridge_server/client/jobs.py"),
    ("bridge_server/client/jobs.py", "bridge_server/client/editor/machine.py"),
}
OF_THE_EDITOR = "repaint_krita/", "repaint_gimp/", "client/qt/", "client/gtk/"


def walk(heading: str, octaves: bool) -> list[str]:
    """The modules of a numbered list in docs/architecture.md, each entry's first; of two ways the one for octaves or
    the other."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    part = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    found = []
    for entry in re.findall(r"^(?:\d+\.| +or) ((?:.|\n(?!\d+\. | +or |\n))*)", part, re.MULTILINE):
        only = re.match(r"\*(.*?):\* ", entry)
        if only is None or (only[1] == "octave by octave") == octaves:
            found.append(re.search(r"`([\w/]+\.py)`", entry)[1])  # type: ignore[index]
    return found


class Turning(Pump):
    """On an event loop that the test turns."""

    def __init__(self) -> None:
        super().__init__(Probe(), logging.getLogger("test_walk"))
        self.slots: list[Callable[[], None]] = []

    def _wake(self) -> None:
        self.slots.append(self._events)

    def _soon(self) -> None:
        self.slots.append(self._step)

    def _set_ticking(self, on: bool) -> None:
        pass

    def turn(self) -> None:
        waiting, self.slots = self.slots, []
        for slot in waiting:
            slot()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPAINT_WALK", str(tmp_path_factory.mktemp("walk") / "pairs"))
        one = Home()
        traced = [str(Path(follow.__file__).with_name("bridge.py")), *one.arguments[1:]]
        launch.write_launch_file(sys.executable, traced, one.state)
        try:
            worker = one.ready().worker_pid
            clicked(tmp_path_factory.mktemp("first"), "exemplar", OCTAVES)  # compiles what it needs
            os.kill(worker, signal.SIGUSR1)
            yield one
        finally:
            one.close()


def clicked(folder: Path, model: str, side: int) -> None:
    """One click in the editor that is made of files, until its run has ended."""
    picture = np.random.default_rng(1).integers(0, 256, (side, side, 4), np.uint8)
    picture[..., 3] = 255
    selection = np.zeros((side, side), np.uint8)
    selection[side // 4 : -side // 4, side // 4 : -side // 4] = 255
    Image.fromarray(picture).save(folder / "picture.png")
    Image.fromarray(selection).save(folder / "selection.png")
    pump = Turning()
    session = Session("files", notify=pump.notify, preview_interval=0.0)
    pump.drive(Flow(FileHost(folder), session), "no log")
    widgets: Any = {name: Box(each.default) for name, each in fields.FIELDS.items()}
    panel = Panel(pump, Choices(folder / "choices.json"), widgets, lambda: None, lambda _: True)
    for name, value in {"model": model, "steps": 30, "jump_samples": 1}.items():
        panel.widgets[name].write(value)
    try:
        panel.start("selection")
        until(lambda: pump.turn() or not pump.flow.busy, "the run ends", pause=0.01)  # type: ignore[func-returns-value]
    finally:
        session.close()
    assert not pump.flow.is_error, pump.flow.sentence


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="a signal tells the worker to begin")
@pytest.mark.parametrize(("model", "side"), [(SLOW, 64), ("exemplar", OCTAVES)])
@pytest.mark.usefixtures("home")
def test_the_documented_walks_are_walked(tmp_path: Path, model: str, side: int) -> None:
    follow.follow()
    try:
        clicked(tmp_path, model, side)
    finally:
        follow.stop()
    pairs = {tuple(line.split()) for line in Path(follow.place()).read_text(encoding="utf-8").splitlines()}
    octaves = model == "exemplar"
    there, back = walk("The path of a click", octaves), walk("The path of a preview back", octaves)
    assert (len(there) <= MOST_THERE, len(back) <= MOST_BACK) == (True, True), (len(there), len(back))
    for one, other in [*pairwise(there), *pairwise(back)]:
        if any(part in one or part in other for part in OF_THE_EDITOR):
            continue
        assert (one, other) in HOPS or (one, other) in pairs, f"{one} hands nothing over to {other}"


def test_both_editors_walk_the_first_and_the_last_step() -> None:
    """What no editor made of files has."""
    for editor, widgets in (("krita", "qt"), ("gimp", "gtk")):
        pages = ROOT / "bridge_server" / "client" / widgets / "pages.py"
        assert "panel.start(" in pages.read_text(encoding="utf-8")
        folder = ROOT / f"{editor}_plugin" / f"repaint_{editor}"
        assert "def paint(self, picture: Picture)" in (folder / "layer.py").read_text(encoding="utf-8")
