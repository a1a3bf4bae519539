"""A window without widgets: what its commands do, and that looking at it changes nothing."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from bridge_server.client import events
from bridge_server.client.editor import fields, view
from bridge_server.client.editor.choices import Choices
from bridge_server.client.editor.host import Identity
from bridge_server.client.editor.model import MAX_SEED, Extend, Tile
from bridge_server.client.editor.panel import Panel, settings
from bridge_server.client.editor.probe import Probe
from bridge_server.client.editor.pump import Pump
from bridge_server.client.editor.view import Chosen
from tests.editor.stage import Box, Stage, finished_run

TEXTURE = events.Model("texture", "Texture", "pixel", "GPL", True, False, False, learns=True)


class QuietPump(Pump):
    def _wake(self) -> None: ...

    def _soon(self) -> None: ...

    def _set_ticking(self, on: bool) -> None: ...


class Room:
    def __init__(self, file: Path) -> None:
        self.stage = Stage()
        self.stage.session.start = lambda: None  # type: ignore[attr-defined]
        self.pump = QuietPump(Probe(), logging.getLogger("test_panel"))
        self.pump.drive(self.stage.flow, "")
        self.boxes = {name: Box(each.default) for name, each in fields.FIELDS.items()}
        self.boxes["seed"].value = -1
        self.chosen: Chosen | None = None
        self.asked: list[str] = []
        self.answer = True
        self.file = file
        self.panel = Panel(self.pump, Choices(file), self.boxes, lambda: self.chosen, self._sure)

    def _sure(self, question: str) -> bool:
        self.asked.append(question)
        return self.answer

    def write(self, **values: Any) -> None:
        for name, value in values.items():
            self.boxes[name].value = value


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path / "choices.json")


def test_reading_settings_draws_no_seed_and_writes_no_file(room: Room) -> None:
    first = settings(room.stage.flow, room.panel.values(), None)
    assert settings(room.stage.flow, room.panel.values(), None) == first
    assert room.boxes["seed"].value == -1
    assert not room.file.exists()


def test_a_click_draws_a_seed_unless_it_is_locked_and_remembers_the_choices(room: Room) -> None:
    room.write(padding=16)
    room.panel.start("selection")
    room.stage.steps()
    drawn = room.boxes["seed"].value
    [request] = room.stage.session.requests
    assert (request.seed, request.options) == (drawn, {"padding": 16})
    kept = json.loads(room.file.read_text())
    assert kept["user"]["padding"] == 16
    assert set(kept["documents"]) == set()
    room.stage.flow.cancel()
    room.stage.tell(events.Cancelled("job1"))
    room.write(lock_seed=True, seed=MAX_SEED, variants=3)
    room.panel.start("selection")
    room.stage.steps()
    assert room.stage.session.requests[-1].seed == MAX_SEED - 2, "the last variant's seed is one, too"
    assert room.boxes["seed"].value == MAX_SEED


def test_each_page_starts_its_own_area(room: Room) -> None:
    room.write(extend_left=8, extend_right=16, tile_axis="x", tile_band=32)
    assert room.panel.area("selection") is None
    assert room.panel.area("extend") == Extend(8, 0, 16, 0)
    assert room.panel.area("tile") == Tile("x", 32)


def test_learning_first_is_for_an_extension_by_a_model_that_learns(room: Room) -> None:
    room.write(extend_learn=True, model="texture")
    assert "learn" not in settings(room.stage.flow, room.panel.values(), Extend(right=8)).options
    room.stage.tell(events.Connected((TEXTURE,), (), "1"))
    assert settings(room.stage.flow, room.panel.values(), Extend(right=8)).options == {"learn": fields.LEARN_SECONDS}
    assert settings(room.stage.flow, room.panel.values(), None).options == {}
    assert room.panel.shown_fields()["learn"]
    assert not room.panel.shown_fields()["prompt"]


def test_a_copy_of_a_document_has_choices_of_its_own(room: Room) -> None:
    flow, host = room.stage.flow, room.stage.host
    for path, padding in (("/a.kra", 16), ("/copy.kra", 32)):
        host.document = Identity(path, "the same key", path)
        room.panel.document_changed()
        room.write(padding=padding)
        room.panel.choices.keep(room.panel.values(), path, "the same key")
    host.document = Identity("again", "the same key", "/a.kra")
    room.panel.document_changed()
    assert room.boxes["padding"].value == 16
    host.document = Identity("moved", "the same key", "/new place.kra")
    room.panel.document_changed()
    assert room.boxes["padding"].value == 32, "of the last one with that key"
    assert not flow.busy


def test_reset_is_for_the_page_more_only(room: Room) -> None:
    room.write(steps=20, hard=True, history_mib=64, variants=4)
    room.panel.reset()
    assert (room.boxes["steps"].value, room.boxes["hard"].value) == (0, False)
    assert (room.boxes["history_mib"].value, room.boxes["variants"].value) == (64, 4)


def test_nothing_is_deleted_without_a_yes(room: Room) -> None:
    run = finished_run(room.stage, "job1")
    room.chosen, room.answer = Chosen(run, run.variants[0]), False
    for work in (room.panel.drop, room.panel.forget_here, room.panel.forget_all):
        work()
    assert len(room.asked) == 3
    assert room.stage.flow.runs == [run]
    room.answer = True
    room.panel.forget_all()
    assert room.stage.flow.runs == []


# ---------------------------------------------------------------- what is shown


def test_buttons_follow_the_run_and_the_choice(room: Room) -> None:
    flow = room.stage.flow
    idle = view.enabled(flow, None)
    assert [name for name, on in idle.items() if on] == ["start"]
    assert view.progress(flow) == (0.0, "")
    room.stage.running(variants=2)
    assert [name for name, on in view.enabled(flow, None).items() if on] == ["cancel", "keep", "compare"]
    room.stage.tell(events.Progress("job1", 0, 2, 5, 10, 30.0))
    assert view.progress(flow) == (0.25, "25 % · 30 s left")
    room.stage.flow.cancel()
    assert not view.enabled(flow, None)["cancel"]
    room.stage.tell(events.Cancelled("job1"))
    run = finished_run(room.stage, "job2")
    shown = view.enabled(flow, Chosen(run, run.variants[0]))
    assert [name for name, on in shown.items() if not on] == ["cancel", "keep"]
    assert not view.can_resume(Chosen(run, run.variants[0]))


def test_pictures_stand_newest_series_first_with_their_branches_behind(room: Room) -> None:
    first = finished_run(room.stage, "job1", variants=2)
    second = finished_run(room.stage, "job2")
    room.stage.flow.branch(first, 0, 6, "idea", 1, seed=50)
    room.stage.tell(events.Accepted("job3", 0, 9))
    branch = room.stage.flow.runs[-1]
    entries = view.gallery(room.stage.flow)
    assert [entry.place for entry in entries] == [(second.number, 0), (1, 0), (1, 1), (branch.number, 0)]
    assert [entry.text for entry in entries][:3] == ["✓ 1", "✓ 1", "2"]
    assert entries[3].text == "↳ 0 %"
    assert entries[0].tip.splitlines()[0] == "texture · fast · seed 7"
    lines = view.tree(room.stage.flow, Chosen(first, first.variants[0]))
    assert [(line.place, line.above) for line in lines] == [
        ((1, 0), None),
        ((1, 1), None),
        ((branch.number, 0), (1, 0)),
    ]
    assert lines[2].text == "… · New idea · step 6"
    assert view.tree(room.stage.flow, Chosen(second, second.variants[0])) == []


def test_the_kept_step_under_the_slider_and_what_branching_from_it_costs(room: Room) -> None:
    run = finished_run(room.stage, "job1")
    chosen = Chosen(run, run.variants[0])
    shown = view.kept_step(room.stage.flow, chosen, 1, "continue", 3)
    assert (shown.text, shown.cost, shown.step.call) == ("Step 6 of 10", "3 × 4 calls, about 6 s", 6)
    assert view.kept_step(room.stage.flow, chosen, 99, "idea", 1).step.call == 6
    assert view.kept_step(room.stage.flow, None, 0, "idea", 1).text == "Choose a variant."
    run.variants[0].steps = ()
    gone = view.kept_step(room.stage.flow, chosen, 0, "idea", 1)
    assert (gone.text, gone.step) == ("Its steps are no longer kept; run it again to branch.", None)


def test_models_that_are_not_installed_are_marked_and_presets_have_plain_words(room: Room) -> None:
    room.stage.tell(
        events.Connected(
            (TEXTURE, events.Model("sd15", "By words", "latent", "OpenRAIL-M", False, True, False)),
            (events.Preset("fast", "Fast", 75, 40, 5, 2), events.Preset("mine", "My own", 9)),
            "1",
        )
    )
    assert [text for _, text, _ in view.models(room.stage.flow)] == ["Texture", "By words (not installed)"]
    assert view.presets(room.stage.flow) == [
        ("fast", "Fast – good for most pictures", "75 network calls for each variant"),
        ("mine", "My own", "9 network calls for each variant"),
    ]
    values = {**room.panel.values(), "steps": 3, "schedule": "none"}
    assert view.walk(room.stage.flow, values) == [2, 1, 0, -1]
    assert view.walk(room.stage.flow, {**values, "preset": "mine"}) == []


def test_a_preset_is_shown_as_the_chosen_model_is_sampled_with_it(room: Room) -> None:
    flow_model = events.Model("sd3", "Flow", "latent", "Stability", True, True, False, flow=True)
    presets = (
        events.Preset("fast", "Fast", 75, 40, 5, 2),
        events.Preset("fast", "Fast", 50, 50, 50, 1, flow=True),
        events.Preset("quality", "Quality", 115, 20, 20, 1),
    )
    flow = room.stage.flow
    room.stage.tell(events.Connected((TEXTURE, flow_model), presets, "1"))
    calls = {model: [tip.split()[0] for _, _, tip in view.presets(flow, model)] for model in ("texture", "sd3", "?")}
    assert calls == {"texture": ["75", "115"], "sd3": ["50", "115"], "?": ["75", "115"]}
    values = {**room.panel.values(), "preset": "fast"}
    assert view.walk(flow, {**values, "model": "texture"})[:1] == [39]
    assert view.walk(flow, {**values, "model": "sd3"}) == list(range(49, -2, -1))


def test_a_large_history_is_said(room: Room) -> None:
    finished_run(room.stage, "job1")
    assert view.history(room.stage.flow, 64) == "History: 1 picture, 0.0 of 64 MiB on disk."
    assert view.history_warning(room.stage.flow, 64) == ""
    assert view.history_warning(room.stage.flow, 0).startswith("The history takes 0 of 0 MiB")
