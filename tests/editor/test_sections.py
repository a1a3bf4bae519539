"""The sections that all editors have, in an editor of plain text: it shows and does the same in forty lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge_server.client import events, launch
from bridge_server.client.editor import labels, sections
from bridge_server.client.editor.box import BoxPage
from bridge_server.client.editor.removal import RemovalPage
from bridge_server.client.editor.sections import Look, Piece, Section
from bridge_server.client.editor.tour import Tour
from tests.editor.paper import Room
from tests.editor.test_box import KEY
from tests.editor.test_panel import Room as Desk

KINDS = {"note", "title", "button", "main", "toggle", "flag", "bar", "line", "log"}


class TextPanel:
    """Draws a section as lines; ``press`` does what a click on a piece does."""

    def __init__(self, section: Section) -> None:
        self._section, self.typed = section, ""
        self.pieces: dict[str, Piece] = {}
        for each in section.pieces:
            self.pieces.update({piece.name: piece for piece in (each if isinstance(each, list) else [each])})
        section.typed.update({name: lambda: self.typed for name, piece in self.pieces.items() if piece.kind == "line"})

    def look(self, name: str) -> Look:
        return self._section.looks().get(name, Look())

    def lines(self) -> list[str]:
        if not self.look("").visible:
            return []
        return [self._line(piece) for piece in self.pieces.values() if self.look(piece.name).visible]

    def _line(self, piece: Piece) -> str:
        look = self.look(piece.name)
        if piece.kind in ("button", "main", "toggle"):
            text = labels.BUTTONS[look.label or piece.name][0].replace("&", "")
            return f"[{text}]" if look.enabled else f"({text})"
        if piece.kind == "flag":
            return ("x " if look.on else "- ") + piece.text
        return f"{look.fraction:.0%} {look.text}" if piece.kind == "bar" else look.text or piece.text

    def press(self, name: str, *on: bool) -> None:
        assert self.look(name).visible
        assert self.look(name).enabled
        self.pieces[name].do(*on)


class Answers:
    """Who asks the artist gets these answers."""

    def folder(self, title: str, then: Callable[[Path], Any]) -> None:  # noqa: ARG002
        then(Path("/a/folder"))

    def line(self, title: str, question: str, then: Callable[[str], Any]) -> None:  # noqa: ARG002
        then("no line")


class Models:
    """The list of models, as an editor's widget."""

    def __init__(self, chosen: str) -> None:
        self.chosen = chosen

    def read(self) -> str:
        return self.chosen

    def on_change(self, work: Callable[[], Any]) -> None:
        self.changed = work


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    monkeypatch.setenv(launch.HOME_VARIABLE, str(tmp_path / "home"))
    return Room(tmp_path / "kit")


def test_the_set_up_from_its_plan_to_its_end(room: Room) -> None:
    panel = TextPanel(sections.set_up(room.page, room.pump, Answers()))
    room.look()
    text = panel.lines()
    assert text[0].startswith("The engine is not set up yet")
    assert "[Set up]" in text
    assert "[Use another machine…]" in text
    assert "[Cancel]" not in text
    panel.press("set_up")
    assert "[Cancel]" in panel.lines()
    assert "[Set up]" not in panel.lines()
    panel.press("stop_set_up")
    assert room.door.jobs[0].calls == ["cancel"]
    assert "(Cancel)" in panel.lines()


def test_what_goes_is_what_is_ticked(room: Room) -> None:
    panel = TextPanel(sections.removal(RemovalPage(room.pump, room.page, room.door), room.pump))
    assert panel.lines() == ["[Remove everything…]"]
    panel.press("remove")
    room.turn()
    assert panel.lines()[2:4] == ["- " + labels.WITH_MODELS, "- " + labels.WITH_HISTORY]
    panel.press("with_history", True)
    assert panel.lines()[2:4] == ["- " + labels.WITH_MODELS, "x " + labels.WITH_HISTORY]
    panel.press("remove_now")
    room.turn()
    assert room.door.removed == [(False, True)]
    assert panel.lines()[0] == "[Remove everything…]"
    assert "[Remove now]" not in panel.lines()


def test_the_line_of_another_machine_is_read_when_it_is_clicked(room: Room) -> None:
    asked: list[tuple[str, ...]] = []
    page = BoxPage(room.pump, lambda *words: asked.append(words) or "Connected.")  # type: ignore[func-returns-value]
    panel = TextPanel(sections.box(page, room.pump))
    assert panel.lines()[0] == "repaint-bridge connect …"
    panel.typed = "box:5560 " + KEY
    panel.press("box_connect")
    room.turn()
    assert asked == [("connect", "box:5560", KEY)]
    assert panel.lines()[-1] == "Connected."


def test_a_model_is_fetched_when_its_licence_is_accepted(room: Room) -> None:
    model = events.Model("one", "One", "unet", "A licence", False, False, False, download=True, download_bytes=9000)
    room.stage.tell(events.Connected((model,), (), "1"))
    models = Models("one")
    section = sections.download(room.pump, models)
    panel, drawn = TextPanel(section), []
    section.listeners.append(lambda: drawn.append(panel.lines()))
    assert panel.lines()[1:3] == ["- " + labels.ACCEPT, "(Download)"]
    panel.press("accept", True)
    assert panel.lines()[1:3] == ["x " + labels.ACCEPT, "[Download]"]
    models.chosen = "another"
    models.changed()
    assert drawn == [[]]


def test_the_tours_last_button_goes_by_other_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(launch.HOME_VARIABLE, str(tmp_path / "home"))
    desk = Desk(tmp_path / "choices.json")
    tour = Tour(desk.panel, lambda *_: None)
    panel = TextPanel(sections.tour(tour, desk.pump))
    assert panel.lines() == []
    desk.stage.tell(events.Connected((), (), "1"))
    tour.offer()
    assert panel.lines()[1:] == ["[Show me]", "[No, thanks]"]
    panel.press("tour_no")
    assert panel.lines() == []


def test_pieces_are_of_known_kinds_and_looks_of_known_pieces(room: Room, tmp_path: Path) -> None:
    desk = Desk(tmp_path / "choices.json")
    for section in (
        sections.set_up(room.page, room.pump, Answers()),
        sections.removal(RemovalPage(room.pump, room.page, room.door), room.pump),
        sections.box(BoxPage(room.pump), room.pump),
        sections.tour(Tour(desk.panel, lambda *_: None), desk.pump),
        sections.download(room.pump, Models("one")),
    ):
        panel = TextPanel(section)
        assert {piece.kind for piece in panel.pieces.values()} <= KINDS
        assert set(section.looks()) <= {"", *panel.pieces}
        buttons = [piece.name for piece in panel.pieces.values() if piece.kind in ("button", "main", "toggle")]
        assert set(buttons) <= set(labels.BUTTONS)
