"""Where the material comes from, in a real GIMP: layers, channels, other images and files, chosen by the mouse."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image as Files

from .desk import Desk, Image

BOX = (slice(50, 90), slice(60, 100))
PAINT = """
import random
def layer(image, name, width, height, alpha=255):
    # green noise, hidden at the bottom
    kind, mode = Gimp.ImageType.RGBA_IMAGE, image.get_default_new_layer_mode()
    made = Gimp.Layer.new(image, name, width, height, kind, 100, mode)
    image.insert_layer(made, None, len(image.get_layers()))
    made.set_visible(False)
    shades = random.Random(1)
    pixels = ((shades.randrange(40), 190 + shades.randrange(40), 10, alpha) for _ in range(width * height))
    data = bytes(value for pixel in pixels for value in pixel)
    buffer = made.get_buffer()
    buffer.set(Gegl.Rectangle.new(0, 0, width, height), "R'G'B'A u8", data)
    buffer.flush()
    made.update(0, 0, width, height)
    return made
def mark(image, name, x, y, w, h):
    image.select_rectangle(Gimp.ChannelOps.REPLACE, x, y, w, h)
    channel = Gimp.Selection.save(image)
    channel.set_name(name)
    image.set_selected_layers([image.get_layers()[0]])
None
"""


@pytest.fixture
def image(desk: Desk) -> Image:
    """Waves of 200 × 160, green at the left, with a layer of green and a selection."""
    made = desk.new(200, 160)
    desk.host.run(PAINT)
    desk.host.run(f"""
i = {made.code}
layer(i, "grass", 64, 64)
layer(i, "empty", 64, 64, 0)
buffer = i.get_layers()[0].get_buffer()
buffer.set(Gegl.Rectangle.new(0, 0, 50, 160), "R'G'B'A u8",
    bytes_of(layer(i, "left", 50, 160), "R'G'B'A u8"))
buffer.flush()
i.get_layers()[0].update(0, 0, 200, 160)
mark(i, "green", 0, 0, 50, 160)
i.set_selected_layers([i.get_layers()[0]])
None
""")
    desk.choose("exemplar", seed=7)
    desk.select(made, 60, 50, 40, 40)
    desk.work_on(made)
    return made


def choose(desk: Desk, kind: str, name: str = "") -> None:
    desk.host.run(
        f"f = body.fields\nf['material'].write({kind!r})\n"
        f"f['material_file' if {kind!r} == 'file' else 'material_name'].write({name!r})\nNone"
    )
    if kind == "file" and name:
        desk.host.wait(f"body.fields['material_file'].read() == {name!r}", what="the button has the file")


def greens(desk: Desk, image: Image) -> float:
    assert desk.repaint(image).startswith("Done")
    inside = desk.pixels(image)[BOX].astype(int)
    return float((inside[..., 1] > inside[..., 0] + 60).mean())


def test_another_layer_is_chosen_by_the_mouse(desk: Desk, image: Image) -> None:
    desk.click("fields['material']")
    desk.host.keys("Down", "Down", "Return")
    desk.host.wait("body.fields['material'].read() == 'other' and body.fields['material_name'].get_mapped()")
    assert desk.host.run("body.fields['material_name'].values()") == ["grass", "empty", "left"]
    desk.host.wait("body.material.picture.get_mapped()", what="a small picture of what would be used")
    desk.host.screenshot("material")
    tree = desk.tree(image)
    desk.click("selection_page.button")
    desk.host.wait("flow.busy")
    assert desk.wait_end().startswith("Done")
    inside = desk.pixels(image)[BOX].astype(int)
    assert (inside[..., 1] > inside[..., 0] + 60).mean() > 0.95
    desk.undo(image)
    assert desk.tree(image) == tree


def test_channels_other_images_and_files(desk: Desk, image: Image) -> None:
    choose(desk, "marked", "green")
    assert greens(desk, image) > 0.95
    choose(desk, "unmarked", "green")
    assert greens(desk, image) < 0.05
    assert desk.host.run("body.material.picture.get_mapped()")
    other = desk.new(64, 64, precision="FLOAT_LINEAR")
    desk.host.run(
        f"layer({other.code}, 'grass', 64, 64).set_visible(True)\n{other.code}.get_layers()[0].set_visible(False)\nNone"
    )
    choose(desk, "picture", desk.host.run(f"{other.code}.get_name()"))
    assert greens(desk, image) > 0.95
    noise = np.random.default_rng(1).integers(0, 40, (64, 64, 3), np.uint8)
    noise[..., 1] += 190
    path = desk.host.work / "grass.png"
    Files.fromarray(noise).save(path)
    choose(desk, "file", str(desk.host.gimp.inside(path)))
    there = desk.host.run("len(Gimp.get_images())")
    assert greens(desk, image) > 0.95
    assert desk.host.run("len(Gimp.get_images())") == there


def test_a_channel_chosen_by_the_mouse_says_how_much_holds_where(desk: Desk) -> None:
    """Green where it is white, the picture itself where it is not; a channel that is gone is said."""
    image = desk.new(200, 160)
    desk.host.run(PAINT)
    desk.host.run(f"layer({image.code}, 'grass', 64, 64)\nmark({image.code}, 'right', 80, 0, 120, 160)\nNone")
    desk.choose("exemplar", seed=7)
    desk.work_on(image)
    desk.select(image, 60, 50, 40, 40)
    choose(desk, "other", "grass")
    desk.host.run("body.material.look_again()\nNone")
    names = desk.host.run("body.fields['share_mask'].values()")
    assert names == ["", "right"]
    desk.click("fields['share_mask']")
    desk.host.keys("Down", "Return")
    desk.host.wait("body.fields['share_mask'].read() == 'right'")
    desk.host.screenshot("shares")
    assert desk.repaint(image).startswith("Done")
    inside = desk.pixels(image)[BOX].astype(int)
    green = inside[..., 1] > inside[..., 0] + 60
    assert green[:, :12].mean() < 0.05
    assert green[:, 28:].mean() > 0.95
    desk.host.run("body.fields['share_mask'].write('gone')\nNone")
    assert "“gone” is no longer there" in desk.repaint(image)
    desk.host.run("body.fields['share_mask'].write('')\nNone")


def test_what_cannot_be_used_is_one_sentence_and_changes_nothing(desk: Desk, image: Image) -> None:
    desk.host.run(f"mark({image.code}, 'inside', 62, 52, 20, 20)\nmark({image.code}, 'tiny', 0, 0, 5, 5)\nNone")
    desk.select(image, 60, 50, 40, 40)
    mark = desk.fingerprint(image)
    for kind, name, says in (
        ("other", "gone", "“gone” is no longer there"),
        ("other", "empty", "Nothing of “empty” can be used"),
        ("marked", "inside", "Nothing of “inside” can be used"),
        ("marked", "tiny", "smaller than a patch"),
        ("picture", "gone.png", "“gone.png” is no longer there"),
        ("file", "", "nothing to take the material from yet"),
    ):
        choose(desk, kind, name)
        assert says in desk.repaint(image), (kind, name)
        assert desk.fingerprint(image) == mark
    text = desk.host.work / "text.png"
    text.write_text("no picture")
    choose(desk, "file", str(desk.host.gimp.inside(text)))
    desk.host.expected = re.compile("text.png|PNG")
    assert "“text.png” cannot be read as a picture" in desk.repaint(image)
    assert not desk.host.windows("GIMP Message"), "GIMP says nothing of its own"
    choose(desk, "layer")
    desk.choose("test/gaussian", seed=7)
    assert "paints what it has learned" in desk.repaint(image)
