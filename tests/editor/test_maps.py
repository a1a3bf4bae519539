"""All maps at once, without an editor: which layers are offered, what is sent, and what becomes of their new layers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bridge_server.client import events, records
from bridge_server.client.editor import fields, maps, material, model, sentences
from bridge_server.client.editor.choices import Choices
from bridge_server.client.editor.flow import request
from bridge_server.client.editor.history import note
from bridge_server.client.editor.maps import Candidate, MapWish, Rows
from bridge_server.client.editor.model import Extend, Refused, Settings
from tests.editor.files import FileHost
from tests.editor.stage import SIZE, Stage
from tests.editor.test_panel import Room

SETTINGS = Settings("exemplar", "fast", 7)
NORMAL, HEIGHT = MapWish("normal.map.png", "normal", "normal", 50), MapWish("height.map.npy", "height")
HALF = bytes(range(1, 65)) * 2  # of a 16-bit map of the stage's picture


# ---- which layers ----
@pytest.mark.parametrize(
    ("name", "kind"),
    [("Normal", "normal"), ("wood_NRM", "normal"), ("nor 2", "normal"), ("Height 16", "values"), ("AO", "values"),
     ("Rauheit", "values"), ("Höhe", "values"), ("Hauteur", "values"), ("roughness", "values"), ("Albedo", "colour"),
     ("Base color", "colour"), ("Layer 3", ""), ("Nordic wood", ""), ("chaos", "")],
)  # fmt: skip
def test_what_a_layer_holds_is_guessed_by_its_name(name: str, kind: str) -> None:
    assert maps.guessed(name) == kind


def rows(*found: Candidate) -> tuple[Rows, list[Candidate]]:
    there = list(found)
    made = Rows(lambda: there)
    made.look()
    return made, there


def ticked(made: Rows) -> list[str]:
    return [wish.name for wish in made.wishes()]


def test_of_a_group_the_maps_are_ticked_and_others_only_listed() -> None:
    made, _ = rows(
        Candidate("1", "normal", False, True),
        Candidate("2", "sketch", False, True),
        Candidate("3", "height", False, False),
    )
    assert [row.name for row in made.rows] == ["normal", "sketch"]
    assert ticked(made) == ["normal"]
    made.tick("2", True)
    made.tick("1", False)
    made.look()
    assert ticked(made) == ["sketch"]


def test_of_a_large_group_only_maps_are_listed() -> None:
    sketches = [Candidate(str(number), f"sketch {number}", False, True) for number in range(maps.MOST_LISTED)]
    made, there = rows(*sketches)
    assert len(made.rows) == maps.MOST_LISTED
    there.append(Candidate("n", "normal", False, True))
    there[0] = there[0]._replace(selected=True)
    made.look()
    assert [row.name for row in made.rows] == ["sketch 0", "normal"]


def test_a_selected_layer_stays_ticked_when_the_selection_is_gone() -> None:
    """After a run the new layer is the selected one in Krita, and the next run is to paint the same maps."""
    made, there = rows(Candidate("1", "gloss", True, False), Candidate("2", "other", False, False))
    assert ticked(made) == ["gloss"]
    there[0] = there[0]._replace(selected=False)
    made.look()
    assert ticked(made) == ["gloss"]
    del there[0]
    made.look()
    assert made.rows == []


def test_kind_and_weight_are_the_artists_and_windows_are_told() -> None:
    made, _ = rows(Candidate("1", "normal", True, True))
    told: list[int] = []
    made.on_change(lambda: told.append(1))
    made.hold("1", "values", 200)
    made.hold("1", "values", 200)
    made.look()
    assert told == [1]
    assert made.wishes() == (MapWish("1", "normal", "values", 200),)


def test_two_layers_of_one_name_are_told_apart() -> None:
    made, _ = rows(*(Candidate(str(number), "height", True, True) for number in range(3)))
    assert ticked(made) == ["height", "height (2)", "height (3)"]


def test_the_choice_is_remembered_by_name_for_the_document_alone(tmp_path: Path) -> None:
    made, _ = rows(Candidate("1", "sketch", False, True), Candidate("2", "normal", False, True))
    made.tick("1", True)
    made.hold("1", "colour", 30)
    made.tick("2", False)
    choices = Choices(tmp_path / "choices.json")
    choices.keep({**fields.defaults(), "with_maps": True, "maps": made.read()}, "/a.kra")
    again = Choices(tmp_path / "choices.json")
    assert not again.of("/b.kra")["with_maps"]
    other, _ = rows(Candidate("8", "sketch", False, True), Candidate("9", "normal", False, True))
    other.write(again.of("/a.kra")["maps"])
    other.look()
    assert other.wishes() == (MapWish("8", "sketch", "colour", 30),)


def test_the_maps_of_another_group_are_not_ticked_because_they_have_the_same_names() -> None:
    made, _ = rows(Candidate("1", "normal", False, True), Candidate("2", "normal", False, False))
    other, there = rows(Candidate("8", "normal", False, True), Candidate("9", "normal", False, False))
    other.write(made.read())
    other.look()
    assert [wish.layer for wish in other.wishes()] == ["8"]
    there[:] = [there[0]._replace(near=False), there[1]._replace(near=True)]
    other.look()
    assert [wish.layer for wish in other.wishes()] == ["9"]


def test_a_layer_that_is_renamed_holds_what_its_new_name_says() -> None:
    made, there = rows(Candidate("1", "Layer 3", False, True))
    there[0] = there[0]._replace(name="normal")
    made.look()
    assert made.wishes() == (MapWish("1", "normal", "normal"),)


def test_no_more_is_remembered_than_can_be_read_again() -> None:
    made, _ = rows(Candidate("1", "normal", True, True))
    made.write({f"layer {number}": [True, "values", 100] for number in range(maps.MOST_REMEMBERED)})
    made.look()
    found = fields.FIELDS["maps"].check(made.read())
    assert len(found) == maps.MOST_REMEMBERED
    assert "normal" in found


@pytest.mark.parametrize(
    "bad",
    [7, [], {"a": 1}, {"a": [True, "normal"]}, {"a": [1, "normal", 100]}, {"a": [True, "smell", 100]},
     {"a": [True, "normal", 0]}, {"a": [True, [], 100]}, {"a": None}],
)  # fmt: skip
def test_what_a_file_of_choices_must_not_hold(bad: object) -> None:
    with pytest.raises(ValueError, match=re.escape(str(bad))):
        fields.FIELDS["maps"].check(bad)


# ---- what is sent ----
@pytest.fixture
def host(tmp_path: Path) -> FileHost:
    rng = np.random.default_rng(1)
    folder = tmp_path / "here"
    folder.mkdir()
    for name in ("picture", "normal.map"):
        pixels = rng.integers(0, 256, (24, 32, 4), np.uint8)
        pixels[..., 3] = 255
        Image.fromarray(pixels).save(folder / f"{name}.png")
    deep = rng.integers(0, 65536, (24, 32, 4), np.uint16)
    deep[..., 3] = 65535
    np.save(folder / "height.map.npy", deep)
    marks = np.zeros((24, 32), np.uint8)
    marks[4:12, 4:12] = 255
    Image.fromarray(marks).save(folder / "selection.png")
    return FileHost(folder)


def captured(host: FileHost, *wishes: MapWish, area: model.Area = None) -> model.Capture:
    *_, capture = host.capture(replace(SETTINGS, maps=wishes, area=area))
    assert capture is not None
    return capture


def test_each_map_is_sent_in_its_own_depth(host: FileHost) -> None:
    sent = request(captured(host, NORMAL, HEIGHT), SETTINGS).maps
    assert [(each.name, each.kind, each.weight, each.depth) for each in sent] == [
        ("normal", "normal", 0.5, "u8"),
        ("height", "values", 1.0, "u16"),
    ]
    deep = np.frombuffer(sent[1].pixels, np.uint16).reshape(24, 32, 4)
    assert np.array_equal(deep, np.load(host.folder / "height.map.npy"))


def test_an_extension_sends_the_maps_of_the_larger_canvas(host: FileHost) -> None:
    capture = captured(host, HEIGHT, area=Extend(left=8))
    box = capture.target.box
    deep = np.frombuffer(capture.maps[0], np.uint16).reshape(box.height, box.width, 4)
    assert not deep[:, :8].any()
    assert np.array_equal(deep[:, 8:], np.load(host.folder / "height.map.npy")[:, : box.width - 8])


def smaller(folder: Path) -> None:
    Image.new("RGBA", (32, 23), (1, 2, 3, 255)).save(folder / "normal.map.png")


def gone(folder: Path) -> None:
    (folder / "normal.map.png").unlink()


@pytest.mark.parametrize(("change", "says"), [(smaller, "does not cover all"), (gone, "is no longer there")])
def test_a_map_that_does_not_fit_is_one_sentence(host: FileHost, change: Callable[[Path], None], says: str) -> None:
    change(host.folder)
    with pytest.raises(Refused, match=f"“normal” {says}") as refused:
        captured(host, HEIGHT, NORMAL)
    assert refused.value.sentence.endswith(".")


@pytest.mark.parametrize(("dtype", "depth"), [("u1", "u8"), ("<u2", "u16"), ("<f2", "f16"), ("<f4", "f32")])
def test_a_hole_in_a_map_is_seen_where_the_picture_has_something(dtype: str, depth: str) -> None:
    """Not within the selection, and not where the picture has nothing either."""
    picture = np.ones((6, 4), np.uint8)
    selection = np.array([0, 255, 0, 1, 0, 0], np.uint8)
    picture[2, 3] = 0
    target = model.Target("", "", model.Box(0, 0, 6, 1), model.Box(0, 0, 6, 1))
    capture = model.Capture(target, picture.tobytes(), selection.tobytes())
    for hole in range(6):
        other = np.ones((6, 4), dtype)
        other[hole, 3] = 0
        assert maps.uncovered(capture, other.tobytes(), depth) == (hole in (0, 4, 5)), hole
        assert maps.uncovered(capture, other[4:].tobytes(), depth, 4) == (hole in (4, 5)), hole


def test_far_apart_places_are_sent_in_one_box_with_maps() -> None:
    assert SETTINGS.apart
    assert not replace(SETTINGS, maps=(NORMAL,)).apart


# ---- what becomes of them ----
@pytest.fixture
def stage() -> Stage:
    """With two maps beside its picture."""
    made = Stage()
    Image.new("RGBA", (SIZE, SIZE), (9, 9, 9, 255)).save(made.host.folder / "normal.map.png")
    np.save(made.host.folder / "height.map.npy", np.full((SIZE, SIZE, 4), 65535, np.uint16))
    return made


def running(stage: Stage) -> list[Any]:
    stage.flow.start(Settings("exemplar", "fast", 7, 2, maps=(NORMAL, HEIGHT)))
    stage.steps()
    stage.tell(events.Accepted("job1", 0, 10))
    return stage.host.layers


def preview() -> events.Preview:
    return events.Preview("job1", 0, 1, 0, 0, SIZE, SIZE, "u8", bytes([5]) * (SIZE * SIZE * 4))


def result(variant: int, shade: int) -> events.Result:
    pixels = (bytes([shade]) * (SIZE * SIZE * 4), bytes([shade, shade]) * (SIZE * SIZE * 4))
    return events.Result(
        "job1", variant, 7 + variant, 0, 0, SIZE, SIZE, "exemplar", 1.0, 0, False, "u8",
        rgba=bytes([shade + 100]) * (SIZE * SIZE * 4), map_pixels=pixels,
    )  # fmt: skip


def middle(path: Path) -> Any:
    found = np.load(path) if path.suffix == ".npy" else np.array(Image.open(path))
    return found[1, 1].tolist()


def test_a_preview_shows_the_picture_alone_and_the_end_all_maps(stage: Stage) -> None:
    lead, normal, height = running(stage)
    stage.tell(preview())
    assert (middle(lead.path), middle(normal.path)) == ([5] * 4, [0] * 4)
    stage.tell(result(0, 3), result(1, 4), events.Done("job1", 1.0))
    assert not stage.flow.is_error, stage.flow.sentence
    assert [lead.name, normal.name, height.name] == [
        "RePaint exemplar · seed 7",
        "RePaint exemplar · seed 7 · normal",
        "RePaint exemplar · seed 7 · height",
    ]
    assert [middle(each.path) for each in (lead, normal, height)] == [[103] * 4, [3] * 4, [3 * 257] * 4]
    assert np.load(height.path).dtype == np.uint16


def test_another_variant_brings_its_own_maps(stage: Stage) -> None:
    layers = running(stage)
    stage.tell(result(0, 3), result(1, 4), events.Done("job1", 1.0))
    stage.flow.choose(stage.flow.runs[0], 1)
    stage.steps()
    assert [middle(each.path) for each in layers] == [[104] * 4, [4] * 4, [4 * 257] * 4]
    stage.flow.compare(True)
    assert not any(each.visible for each in layers)
    stage.flow.compare(False)
    assert all(each.visible for each in layers)
    layers[1].undo()  # the artist deletes one of them
    stage.flow.choose(stage.flow.runs[0], 0)
    stage.steps()
    assert not stage.flow.is_error, stage.flow.sentence
    assert middle(layers[2].path) == [3 * 257] * 4


def test_a_cancel_takes_all_of_them_away(stage: Stage) -> None:
    layers = running(stage)
    stage.tell(preview())
    stage.flow.cancel()
    stage.tell(events.Cancelled("job1"))
    assert [each.state() for each in layers] == [model.GONE] * 3


def test_when_the_artist_deletes_the_layer_of_a_run_those_of_its_maps_go_too(stage: Stage) -> None:
    layers = running(stage)
    stage.tell(preview())
    layers[0].undo()
    stage.flow.tick()
    assert stage.flow.sentence == sentences.LAYER_GONE
    assert [each.state() for each in layers] == [model.GONE] * 3


def test_a_layer_that_does_not_hold_its_map_is_told(stage: Stage) -> None:
    layers = running(stage)
    layers[2].takes = False
    stage.tell(result(0, 3), result(1, 4), events.Done("job1", 1.0))
    assert stage.flow.sentence == sentences.NOT_TAKEN


def test_pictures_of_an_earlier_session_find_their_maps_again(stage: Stage) -> None:
    layers = running(stage)
    stage.tell(result(0, 3), result(1, 4), events.Done("job1", 1.0))
    run = stage.flow.runs[0]
    assert run.bytes == 2 * 4 * (4 + 4 + 8), "of 2 × 2 pixels"
    tag = note(run)
    for layer in layers:
        layer.undo()
    later = Stage()
    later.host = stage.host
    later.flow.host = later.flow.layers.host = stage.host
    later.tell(events.Recovered("job1", tag, "exemplar", "done", 2, 2, SIZE, SIZE, "u8"))
    later.tell(result(0, 3), result(1, 4), events.Done("job1", 1.0))
    later.flow.choose(later.flow.runs[0], 1)
    later.steps()
    assert [middle(each.path) for each in stage.host.layers[3:]] == [[104] * 4, [4] * 4, [4 * 257] * 4]


def test_a_note_that_is_too_long_leaves_out_the_path_then_the_maps(stage: Stage) -> None:
    running(stage)
    run = stage.flow.run
    assert run is not None
    run.target = replace(run.target, path="/p" * 400)
    assert '"path": ""' in note(run)
    assert "height" in note(run)
    run.target = replace(run.target, maps=tuple(replace(each, name="n" * 500) for each in run.target.maps))
    assert '"maps": []' in note(run)


@pytest.mark.parametrize("bad", ['[["a"]]', "[7]", '{"a": 1}', "7"])
def test_a_note_with_maps_that_are_none_is_not_ours(stage: Stage, bad: str) -> None:
    running(stage)
    assert stage.flow.run is not None
    tag = re.sub(r'"maps": \[\[.*?\]\]', f'"maps": {bad}', note(stage.flow.run))
    assert bad in tag
    stage.tell(events.Recovered("old", tag, "exemplar", "done", 1, 1, SIZE, SIZE, "u8"))
    assert not stage.flow.library.history.waiting


# ---- the panel ----
TEXTURE = events.Model("texture", "Texture", "pixel", "GPL", True, False, False)
EXEMPLAR = events.Model("exemplar", "From this picture", "exemplar", "GPL", True, False, False)


@pytest.fixture
def room(tmp_path: Path, host: FileHost) -> Room:
    made = Room(tmp_path / "choices.json")
    made.stage.flow.host = host
    made.stage.flow.models = [TEXTURE, EXEMPLAR]
    return made


def test_a_click_sends_the_ticked_maps_and_reads_the_active_layer(room: Room, host: FileHost) -> None:
    asked: list[Settings] = []
    capture = host.capture
    host.capture = lambda wanted: (asked.append(wanted), capture(wanted))[1]  # type: ignore[method-assign]
    room.panel.start("selection")
    room.stage.steps()
    assert (asked[0].source, asked[0].maps) == ("visible", ())
    room.stage.flow.give_up("")
    room.write(with_maps=True)
    room.panel.start("selection")
    room.stage.steps()
    assert asked[1].source == "layer"
    assert [each.name for each in room.stage.session.requests[1].maps] == ["height", "normal"]


def test_the_panel_says_why_maps_cannot_be_painted_along(room: Room, host: FileHost) -> None:
    assert room.panel.maps_note() == ""
    room.write(with_maps=True)
    assert room.panel.maps_note() == sentences.HINT_MAPS
    room.panel.look_at_maps()
    assert room.panel.maps_note() == ""
    for change, says in (
        ({"model": "texture"}, sentences.NO_MAPS),
        ({"model": "exemplar", "material": material.LAYER}, sentences.MAPS_OR_SOURCE),
    ):
        room.write(**change)
        assert room.panel.maps_note() == says
        room.panel.start("selection")
        assert room.stage.flow.sentence == says
    room.write(material=material.AROUND)
    for number in range(records.MAX_MAPS - 1):
        np.save(host.folder / f"height {number}.map.npy", np.zeros((24, 32, 4), np.uint16))
    room.panel.start("selection")
    assert room.stage.flow.sentence == sentences.TOO_MANY_MAPS == room.panel.maps_note()
    assert not room.stage.session.requests
    for row in room.panel.maps.rows:
        room.panel.maps.tick(row.layer, False)
    assert room.panel.maps_note() == sentences.HINT_TICK
