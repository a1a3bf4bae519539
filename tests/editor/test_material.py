"""Where the material comes from: what is sent of it, what is refused, and what the panel remembers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bridge_server.client import events
from bridge_server.client.editor import fields, material, sentences
from bridge_server.client.editor.choices import Choices
from bridge_server.client.editor.flow import request
from bridge_server.client.editor.material import Source, Wish, checked, masked, usable
from bridge_server.client.editor.model import Refused, Settings
from tests.editor.files import FileHost
from tests.editor.folders import DEPTHS
from tests.editor.test_panel import Room

SETTINGS = Settings("exemplar", "fast", 7)


@pytest.fixture
def host(tmp_path: Path) -> FileHost:
    for name, shade in {"here": 10, "there": 20}.items():
        (tmp_path / name).mkdir()
        Image.new("RGBA", (32, 24), (shade, 0, 0, 255)).save(tmp_path / name / "picture.png")
    marks = np.zeros((24, 32), np.uint8)
    marks[4:12, 4:12] = 255
    Image.fromarray(marks).save(tmp_path / "here" / "selection.png")
    marks[:, :8], marks[:, 8:] = 200, 100
    Image.fromarray(marks).save(tmp_path / "here" / "mark sky.png")
    Image.new("RGBA", (9, 9), (30, 0, 0, 255)).save(tmp_path / "here" / "001 brick.png")
    Image.new("RGBA", (9, 9)).save(tmp_path / "here" / "002 nothing.png")
    (tmp_path / "text.png").write_text("no picture")
    return FileHost(tmp_path / "here")


def sent(host: FileHost, kind: str, name: str = "") -> np.ndarray:
    """The source as it stands in the request."""
    *_, capture = host.capture(replace(SETTINGS, material=Wish(kind, name)))
    assert capture is not None
    one = request(capture, SETTINGS)
    return np.frombuffer(one.source, np.uint8).reshape(one.source_height, one.source_width, 4)


def test_what_is_sent_of_each_kind(host: FileHost) -> None:
    assert sent(host, material.OTHER, "001 brick").tolist() == [[[30, 0, 0, 255]] * 9] * 9
    assert sent(host, material.PICTURE, "there")[0, 0].tolist() == [20, 0, 0, 255]
    layer, only, but = (sent(host, kind, "sky")[..., 3] > 0 for kind in ("layer", "marked", "unmarked"))
    free = np.ones((24, 32), bool)
    free[4:12, 4:12] = False
    left = np.arange(32) < 8
    assert np.array_equal(layer, free)
    assert np.array_equal(only, free & left)
    assert np.array_equal(but, free & ~left)


def test_without_a_wish_nothing_is_sent(host: FileHost) -> None:
    *_, capture = host.capture(SETTINGS)
    assert capture is not None
    one = request(capture, SETTINGS)
    assert (one.source, one.source_width, one.order().source_height) == (b"", 0, 0)
    assert capture.nbytes == len(capture.pixels)


def test_a_mark_says_how_much_of_the_share_holds_where(host: FileHost) -> None:
    *_, capture = host.capture(replace(SETTINGS, material=Wish(material.OTHER, "001 brick", "sky")))
    assert capture is not None
    one = request(capture, SETTINGS)
    found = np.frombuffer(one.share_mask, np.uint8).reshape(one.height, one.width)
    assert np.array_equal(found, np.tile(np.where(np.arange(32) < 8, 200, 100), (24, 1)))
    assert one.order().share_mask
    assert capture.nbytes == len(capture.pixels) + len(one.source) + found.size


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        (Wish("other", "001 brick", "clouds"), "“clouds” is no longer there"),
        (Wish("other", "brick"), "“brick” is no longer there"),
        (Wish("picture", "nowhere"), "“nowhere” is no longer there"),
        (Wish("marked", "none"), "“none” is no longer there"),
        (Wish("file", "/nowhere/a.png"), "“a.png” is no longer there"),
        (Wish("other", ""), "nothing to take the material from yet"),
        (Wish("other", "002 nothing"), "Nothing of “002 nothing” can be used"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence(host: FileHost, wish: Wish, says: str) -> None:
    with pytest.raises(Refused, match=says) as refused:
        list(host.capture(replace(SETTINGS, material=wish)))
    assert refused.value.sentence.endswith(".")


@pytest.mark.parametrize(("dtype", "depth"), DEPTHS.items())
def test_only_the_alpha_is_masked(dtype: str, depth: str) -> None:
    pixels = np.random.default_rng(1).random((5, 4)).astype(dtype) + 1
    marks = bytes([255, 0, 255, 0, 255])
    found = np.frombuffer(masked(pixels.tobytes(), depth, marks), dtype).reshape(5, 4)
    pixels[1::2, 3] = 0
    assert np.array_equal(found, pixels)
    with pytest.raises(Refused, match="active layer"):
        checked(Source(5, 1, masked(pixels.tobytes(), depth, bytes(5))), depth, Wish("layer"))


def test_half_a_mark_counts_and_what_is_selected_never_does() -> None:
    selection, marks = bytes([0, 0, 1, 255, 0]), bytes([128, 127, 255, 255, 0])
    assert usable(selection, marks) == bytes([255, 0, 0, 0, 0])
    assert usable(selection, marks, inverted=True) == bytes([0, 255, 0, 0, 255])
    assert usable(selection) == bytes([255, 255, 0, 0, 255])


def test_the_panel_offers_names_and_keeps_one_that_is_gone(host: FileHost, tmp_path: Path) -> None:
    room = Room(tmp_path / "choices.json")
    room.stage.flow.host = host
    room.boxes["material"].value = material.OTHER
    room.panel.material_chosen()
    assert room.boxes["material_name"].entries == ["001 brick", "002 nothing"]
    assert room.boxes["material_name"].value == "001 brick"
    assert room.boxes["share_mask"].entries == ["", "sky"]
    assert room.panel.shown_fields()["share_mask"]
    room.boxes["share_mask"].value = "sky"
    assert room.panel.wish() == Wish("other", "001 brick", "sky")
    (host.folder / "mark sky.png").unlink()
    room.panel.list_materials()
    assert room.boxes["share_mask"].entries == ["", "sky"]
    room.boxes["share_mask"].value = ""
    assert room.panel.shown_fields()["material_name"]
    assert not room.panel.shown_fields()["material_file"]
    (host.folder / "001 brick.png").unlink()
    room.panel.list_materials()
    assert room.boxes["material_name"].entries == ["002 nothing", "001 brick"]
    assert room.panel.wish() == Wish("other", "001 brick")
    room.boxes["material"].value = material.FILE
    room.panel.material_chosen()
    assert room.panel.shown_fields()["material_file"]
    assert room.panel.wish() == Wish("file", "")
    assert room.panel.wish().gone().sentence == sentences.NO_MATERIAL


def test_a_network_takes_no_sources_and_the_panel_says_so(tmp_path: Path) -> None:
    room = Room(tmp_path / "choices.json")
    room.stage.flow.models = [
        events.Model("texture", "Texture", "pixel", "GPL", True, False, False),
        events.Model("exemplar", "From this picture", "exemplar", "GPL", True, False, False),
    ]
    room.boxes["material"].value = material.LAYER
    assert room.panel.material_note() == ""
    room.boxes["model"].value = "texture"
    assert room.panel.material_note() == sentences.NO_SOURCES
    room.panel.start("selection")
    assert room.stage.flow.sentence == sentences.NO_SOURCES
    assert not room.stage.session.requests
    room.boxes["material"].value = fields.FIELDS["material"].default
    assert room.panel.material_note() == ""


def test_the_choice_is_of_a_document_and_never_of_the_user(tmp_path: Path) -> None:
    choices = Choices(tmp_path / "choices.json")
    choices.keep({**fields.defaults(), "material": "other", "material_name": "grass", "variants": 3}, "/a.kra")
    again = Choices(tmp_path / "choices.json")
    assert again.of("/a.kra")["material_name"] == "grass"
    assert (again.of("/b.kra")["material"], again.of("/b.kra")["variants"]) == ("around", 3)
