"""The set-up page without an editor: what it shows of each state, what its buttons do, and that nothing waits.

The set-up itself is played by hand here; tests/setup shows that it plays true.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bridge_server.client import events, launch
from bridge_server.client import setup as real
from bridge_server.client.editor import labels, words
from bridge_server.client.editor.removal import RemovalPage
from bridge_server.client.editor.setup import SetUpPage
from tests.editor.paper import MB, MISSING, PLAN, Room


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    monkeypatch.setenv(launch.HOME_VARIABLE, str(tmp_path / "home"))
    return Room(tmp_path / "kit")


def test_a_working_engine_shows_nothing(room: Room) -> None:
    room.door.state = real.Found("ready", "")
    room.look()
    assert not room.page.shown().visible
    assert not room.door.planned, "nothing is looked for"


def test_what_will_be_done_is_said_before_the_click(room: Room) -> None:
    room.door.gate.clear()
    began = time.monotonic()
    room.page.look()
    assert time.monotonic() - began < 3.0, "the plan is made aside"
    shown = room.page.shown()
    assert (shown.visible, shown.alone, shown.can_start) == (True, True, False)
    assert shown.text.splitlines() == [MISSING.sentence, "Looking at this computer …"]
    room.page.start()
    assert not room.door.jobs, "not without a plan"
    room.door.gate.set()
    room.turn()
    shown = room.page.shown()
    assert (shown.button, shown.can_start, shown.runs) == ("set_up", True, False)
    assert shown.text.splitlines() == [
        MISSING.sentence,
        "Download: 640 MB. On the disk: 1.8 GB (9.0 GB are free).",
        f"Into: {PLAN.folder}",
        "Device: NVIDIA GeForce",
        "Runs on: Python 3.12 of this computer",
        "Licence: GPL-3.0-or-later",
    ]


def test_it_runs_to_its_end_and_offers_the_tour(room: Room) -> None:
    room.look()
    room.page.start()
    room.page.start()
    [job] = room.door.jobs
    job.show("running", state="running", done=160 * MB, total=640 * MB, seconds=20.0)
    room.turn()
    shown = room.page.shown()
    assert (shown.runs, shown.can_stop, shown.fraction, shown.progress) == (True, True, 0.25, "60 s left")
    assert shown.steps.splitlines() == ["▸ Download the packages · 160 MB of 640 MB · 20 s", "○ Try a small fill"]
    job.show("done", "The engine is set up.", state="done", done=640 * MB, total=640 * MB, seconds=80.0)
    room.door.state = real.Found("ready", "")
    room.turn()
    assert not room.page.shown().visible
    assert (room.offered, room.pump.repeated) == (1, [])
    assert room.stage.flow.sentence == "Starting the engine …"


def test_cancel_then_go_on(room: Room) -> None:
    room.look()
    room.page.start()
    room.page.cancel()
    room.page.cancel()
    [job] = room.door.jobs
    assert job.calls == ["cancel"]
    assert (room.page.shown().can_stop, room.page.shown().progress) == (False, "Stopping …")
    wheels = launch.user_folders().cache / "wheels"
    wheels.mkdir(parents=True)
    (wheels / "one.whl.part").touch()
    job.show("cancelled", "Stopped; what has arrived is kept.")
    room.turn()
    room.turn()
    shown = room.page.shown()
    assert (shown.button, shown.runs, shown.can_start, shown.is_error) == ("go_on", False, True, False)
    assert shown.sentence == "Stopped; what has arrived is kept."
    room.page.start()
    assert len(room.door.jobs) == 2
    assert room.page.shown().sentence == ""


def test_what_failed_is_said_and_can_be_tried_again(room: Room) -> None:
    room.look()
    room.page.start()
    room.door.jobs[0].show("failed", "The disk is full.", state="failed", seconds=3.0)
    room.turn()
    room.turn()
    shown = room.page.shown()
    assert (shown.sentence, shown.is_error, shown.can_start, shown.button) == (
        "The disk is full.",
        True,
        True,
        "set_up",
    )
    assert shown.steps.startswith("✗ Download the packages · 3 s")
    assert room.offered == 0


def test_an_obstacle_is_looked_at_again_at_the_click(room: Room) -> None:
    room.door.answer = replace(PLAN, problem="There is too little room.")
    room.look()
    assert (room.page.shown().sentence, room.page.shown().is_error) == ("There is too little room.", True)
    room.page.start()
    room.turn()
    assert not room.door.jobs
    room.door.answer = PLAN
    room.page.start()
    room.turn()
    assert len(room.door.jobs) == 1
    assert room.page.shown().sentence == ""


def test_a_folder_instead_of_a_network(room: Room, tmp_path: Path) -> None:
    room.look()
    room.door.answer = replace(PLAN, download=0)
    room.page.take_from(tmp_path)
    room.turn()
    assert room.door.planned == [None, tmp_path]
    assert f"From the folder {tmp_path}, without a download." in room.page.shown().text
    room.page.start()
    assert room.door.jobs[0].asked[2] == tmp_path


def test_another_machine_instead_of_an_engine(room: Room, tmp_path: Path) -> None:
    """Its line is kept while it does not let this computer in, and also goes with a folder of packages."""
    room.look()
    room.page.use_box("repaint-bridge connect a:1 k")
    room.turn()
    room.page.start()
    room.door.jobs[0].show("failed", "The box does not know this computer: allow it there.")
    room.turn()
    room.turn()
    assert room.page.shown().sentence == "The box does not know this computer: allow it there."
    room.page.take_from(tmp_path)
    room.turn()
    assert room.door.boxes == ["", *["repaint-bridge connect a:1 k"] * 3]
    room.door.of_folder = replace(PLAN, problem="This is not the line.")
    room.page.use_box("b")
    room.turn()
    room.turn()
    assert (room.page.shown().sentence, room.door.boxes[-2:]) == ("This is not the line.", ["b", ""])


def test_a_wrong_folder_is_no_trap(room: Room, tmp_path: Path) -> None:
    """Neither one that is chosen nor one that is gone after a failure."""
    wrong = replace(PLAN, problem="The folder lacks numpy.")
    room.look()
    room.door.of_folder = wrong
    room.page.take_from(tmp_path)
    room.turn()
    room.turn()
    shown = room.page.shown()
    assert (shown.sentence, shown.is_error) == (wrong.problem, True)
    assert "Download: 640 MB" in shown.text, "what a click does now"
    room.page.start()
    assert room.door.jobs[0].asked == (tmp_path / "kit", PLAN, None)
    room.door.jobs[0].show("cancelled")
    room.turn()
    room.turn()
    room.door.of_folder = None
    room.page.take_from(tmp_path)
    room.turn()
    room.page.start()
    room.door.of_folder = wrong
    room.door.jobs[1].show("failed", "The disk is full.")
    for _ in range(3):
        room.turn()
    assert room.page.shown().sentence == wrong.problem
    room.page.start()
    assert [job.asked[2] for job in room.door.jobs] == [None, tmp_path, None]


def test_any_error_in_a_thread_is_said_and_the_buttons_work_again(room: Room) -> None:
    room.look()
    room.door.answer = ValueError("a marker")
    room.page.take_from(Path("/somewhere"))
    room.turn()
    assert "see the log" in room.page.shown().sentence
    assert (room.page.shown().is_error, room.page.shown().can_start) == (True, True)
    page = RemovalPage(room.pump, room.page, room.door)
    page.ask()
    room.turn()
    room.door.during_removal = lambda: 1 // 0
    page.remove()
    room.turn()
    assert "see the log" in page.shown().text
    page.ask()
    room.turn()
    assert page.shown().asks


def test_an_engine_that_is_there(room: Room, tmp_path: Path) -> None:
    room.look()
    room.page.use(tmp_path / "nothing")
    assert room.page.shown().sentence == "Trying that engine …"
    room.turn()
    assert room.page.shown().sentence.startswith("There is no engine in that folder")
    assert room.page.shown().is_error
    room.page.use(tmp_path)
    room.turn()
    assert not room.page.shown().visible
    assert room.offered == 0, "the tour is for a first set-up"
    assert room.door.used == [tmp_path / "nothing", tmp_path]


@pytest.mark.parametrize(("state", "button", "alone"), [("broken", "repair", True), ("old", "update", False)])
def test_repair_and_update(room: Room, state: str, button: str, alone: bool) -> None:
    room.door.state = real.Found(state, "why")
    room.look()
    shown = room.page.shown()
    assert (shown.visible, shown.button, shown.alone) == (True, button, alone)
    assert shown.text.startswith("why")
    drawn: list[bool] = []
    room.page.listeners.append(lambda: drawn.append(room.page.shown().visible))
    room.stage.tell(events.Connected((), (), "1"))
    assert drawn[-1] == (state == "old"), "a bridge that answers is an engine that is there"
    if state == "broken":
        room.stage.tell(events.Disconnected("It has ended.", "gone"))
    room.turn()
    room.page.start()
    room.door.state = real.Found("ready", "")
    room.door.jobs[0].show("done")
    room.turn()
    assert (room.page.shown().visible, room.offered) == (False, 0), "the tour is for a first set-up"


def test_after_an_update_the_new_engine_is_started(room: Room) -> None:
    room.door.state = real.Found("old", "why")
    room.stage.tell(events.Connected((), (), "1"))
    room.look()
    room.page.start()
    room.door.state = real.Found("ready", "")
    room.door.jobs[0].show("done")
    room.turn()
    assert room.stage.session.calls == ["restart bridge"]


def test_a_bridge_that_does_not_start_makes_it_look_again(room: Room) -> None:
    room.door.state = real.Found("ready", "")
    room.look()
    room.door.state = real.Found("broken", "The Python of the engine does not start: click Repair.")
    room.stage.tell(events.Disconnected("It could not be started.", "cannot_start"))
    room.turn()
    assert room.page.shown().button == "repair"


def test_without_a_kit_it_says_so(tmp_path: Path, room: Room) -> None:
    page = SetUpPage(tmp_path / "none", room.pump, room.door)
    page.look()
    assert page.shown().sentence.startswith("This copy of the plug-in cannot set up an engine")
    assert not page.shown().can_start


def test_the_log_and_the_end_of_the_editor(room: Room) -> None:
    room.look()
    assert not room.page.shown().has_log
    room.page.start()
    room.page.show_log(True)
    assert "No such file" in room.page.shown().log
    [job] = room.door.jobs
    job.log.parent.mkdir(parents=True)
    job.log.write_bytes(b"x" * 30_000 + b"\r\n a bar \r the last line\r\n")
    assert room.page.shown().log.endswith("x\n a bar \n the last line"), "as text widgets give it back"
    assert len(room.page.shown().log) < 20_000
    room.page.close()
    assert job.calls == ["cancel", "join"]


def test_it_speaks_the_artists_language(room: Room) -> None:
    words.choose("de")
    try:
        room.door.state = real.Found("missing", real.sentences.say(real.sentences.MISSING))
        room.look()
        assert room.page.shown().text.startswith("Die Engine ist noch nicht eingerichtet: klicke auf Einrichten.")
        assert words.tr(labels.BUTTONS["set_up"][0]).replace("&", "") == "Einrichten"
    finally:
        words.choose("en")


def test_what_goes_and_what_stays_is_listed_before_anything_is_removed(room: Room) -> None:
    room.door.state = real.Found("old", "why")
    room.look()
    page = RemovalPage(room.pump, room.page, room.door)
    assert not page.shown().asks
    page.ask()
    assert page.shown().text == "Looking at this computer …"
    room.turn()
    assert page.shown().text.splitlines() == [
        "Will be removed:",
        "· The engine with its packages, 1.8 GB: /e",
        "",
        "Will be kept:",
        "· Models that you downloaded, 2.1 GB: /m",
        "· The history: your pictures and their steps, 34.0 MB: /h",
    ]
    page.include(True, False)
    assert page.shown().text.index("Models") < page.shown().text.index("kept")
    page.leave()
    assert (page.shown().text, room.door.removed) == ("", [])
    page.ask()
    room.turn()
    page.include(False, True)
    assert room.page.shown().visible
    gone, seen = threading.Event(), threading.Event()
    room.door.during_removal = lambda: (gone.set(), seen.wait(20))
    page.remove()
    gone.wait(20)
    room.door.state = MISSING
    room.stage.tell(events.Disconnected("It was stopped.", "cannot_start"))
    room.page.look()
    assert not room.page.shown().visible, "nothing is set up meanwhile"
    seen.set()
    room.turn()
    room.turn()
    assert room.door.removed == [(False, True)]
    assert page.shown().text.startswith("Removed.")
    assert (room.page.shown().button, room.page.shown().can_start) == ("set_up", True)
