"""All maps at once in a real GIMP: several selected layers, chosen by the mouse, painted together, taken back by one
Ctrl+Z."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from .desk import Desk, Image

WIDTH, HEIGHT = 200, 160
BOX = (60, 50, 28, 28)  # x, y, width, height
LONG = 240.0  # seconds, on a busy machine
PAINT = """
import random, struct
def noise_of(width, height):
    shades = random.Random(1)
    return [shades.randrange(100) for _ in range(width * height)]
def paint(layer, pixel):
    # R, G, B of 16 bits for each shade, as they are
    width, height = layer.get_width(), layer.get_height()
    data = b"".join(struct.pack("<3H", *(257 * v for v in pixel(s))) for s in noise_of(width, height))
    buffer = layer.get_buffer()
    buffer.set(Gegl.Rectangle.new(0, 0, width, height), "R'G'B' u16", data)
    buffer.flush()
    layer.update(0, 0, width, height)
def beside(image, name, pixel, visible=False, height=0, parent=None):
    size = image.get_width(), height or image.get_height()
    made = Gimp.Layer.new(image, name, *size, Gimp.ImageType.RGB_IMAGE, 100, image.get_default_new_layer_mode())
    image.insert_layer(made, parent, -1 if parent else len(image.get_layers()))
    paint(made, pixel)
    made.set_visible(visible)
    return made
def colour(shade): return (20 + shade, 50 + shade, shade)
def height_of(shade): return (50 + shade,) * 3
def roughness(shade): return (250 - 2 * shade,) * 3
def named(image, name): return next(l for l in walk(image.get_layers()) if l.get_name() == name)
def select_layers(image, *names): image.set_selected_layers([named(image, name) for name in names])
def newest(map_name=""):
    from bridge_server.client.editor.model import layer_name
    run = flow.runs[-1]
    name = layer_name(run, run.variants[run.shown])
    return f"{name} · {map_name}" if map_name else name
None
"""


def with_maps(desk: Desk, precision: str) -> Image:
    """Noise of 200 × 160 with a selection; below it two hidden maps that are linear functions of its green, and a layer
    that is none."""
    made = desk.new(WIDTH, HEIGHT, precision=precision)
    desk.host.run(PAINT)
    desk.host.run(f"""
i = {made.code}
paint(i.get_layers()[0], colour)
beside(i, "height", height_of)
beside(i, "roughness", roughness)
beside(i, "sketch", roughness)
i.undo_disable()
i.undo_enable()
select_layers(i, "Background")
None
""")
    desk.choose("exemplar", seed=7)
    desk.select(made, *BOX)
    desk.work_on(made)
    return made


@pytest.fixture(params=["U8_NON_LINEAR", "U16_NON_LINEAR"])
def image(desk: Desk, request: pytest.FixtureRequest) -> Image:
    return with_maps(desk, request.param)


def switch_on(desk: Desk) -> None:
    """A click on the box itself."""
    desk.host.xdo("windowactivate", "--sync", desk.host.window_of("^RePaint$"))
    place = "(lambda c, w: c and [c[0] - w.get_allocation().width // 2 + 8, c[1]])(click({0}), {0})"
    desk.host.click_on(place.format("body.maps.on"), "maps.on")
    desk.host.wait("body.maps.on.get_active()")


def lines(desk: Desk) -> list[list[Any]]:
    return list(desk.host.run("[[l.tick.get_label(), l.tick.get_active(), l.kind.read()] for l in body.maps.lines]"))


def own(desk: Desk, image: Image, map_name: str = "") -> np.ndarray:
    """The new layer's R, G, B, A, or that of one of its maps, in 16 bits."""
    width, height, text = desk.host.run(
        f"l = named({image.code}, newest({map_name!r}))\n"
        "[l.get_width(), l.get_height(), base64.b64encode(bytes_of(l, \"R'G'B'A u16\")).decode()]"
    )
    return np.frombuffer(base64.b64decode(text), np.uint16).reshape(height, width, 4)


def functions_hold(desk: Desk, image: Image) -> None:
    """Each map is the same function of the colour as before, but for the rounding of both."""
    eight = bool(desk.host.run(f"{image.code}.get_precision() == Gimp.Precision.U8_NON_LINEAR"))
    found = own(desk, image)
    selected, colour = found[..., 3] == 65535, found[..., 1] / 257
    assert selected.any()
    assert colour[selected].std() > 8, "something has been painted"
    half = 0.5 if eight else 0.5 / 257
    for name, expected, most in (("height", colour, 2 * half), ("roughness", 250 - 2 * (colour - 50), 3 * half)):
        values = own(desk, image, name)[..., 0] / 257
        assert (np.abs(values - expected)[selected] <= most + 1e-9).all(), name


def test_selected_layers_are_painted_together_and_go_with_one_undo(desk: Desk, image: Image) -> None:
    desk.host.run(f"select_layers({image.code}, 'Background', 'height', 'roughness')\nNone")
    switch_on(desk)
    assert lines(desk) == [["height", True, "values"], ["roughness", True, "values"], ["sketch", False, "values"]]
    desk.host.screenshot("maps")
    tree, before = desk.tree(image), desk.fingerprint(image)
    desk.click("selection_page.button")
    desk.host.wait("flow.busy")
    assert desk.wait_end(LONG).startswith("Done")
    names, painted = desk.names(image), desk.fingerprint(image)
    assert [name.split(" · ")[-1] for name in names] == [
        "seed 7", "Background", "height", "height", "roughness", "roughness", "sketch"
    ]  # fmt: skip
    assert desk.host.run(
        f"[l.get_visible() for l in {image.code}.get_layers() if l.get_name().startswith('RePaint')]"
    ) == [True, False, False]
    assert sorted(desk.selected(image)) == ["Background", "height", "roughness"]
    functions_hold(desk, image)
    desk.undo(image)
    assert desk.tree(image) == tree
    assert desk.fingerprint(image) == before
    desk.redo(image)
    assert desk.names(image) == names
    assert desk.fingerprint(image) == painted


@pytest.fixture
def eight(desk: Desk) -> Image:
    return with_maps(desk, "U8_NON_LINEAR")


def test_of_a_group_the_maps_are_chosen_and_painted_within_it(desk: Desk, eight: Image) -> None:
    desk.host.run(f"""
i = {eight.code}
group = Gimp.GroupLayer.new(i, "stone")
i.insert_layer(group, None, 0)
i.reorder_item(named(i, "Background"), group, 0)
i.reorder_item(named(i, "roughness"), group, 1)
select_layers(i, "Background")
None
""")
    switch_on(desk)
    assert lines(desk) == [["roughness", True, "values"]]
    assert desk.repaint(eight, LONG).startswith("Done")
    assert [name.split(" · ")[-1] for name in desk.names(eight)] == [
        "stone", "seed 7", "Background", "roughness", "roughness", "height", "sketch"
    ]  # fmt: skip
    assert desk.host.run(f"named({eight.code}, newest('roughness')).get_parent().get_name()") == "stone"


def test_an_extension_grows_the_canvas_once_and_goes_with_one_undo(desk: Desk, eight: Image) -> None:
    desk.host.run(f"select_layers({eight.code}, 'Background', 'height', 'roughness')\nNone")
    desk.host.run("body.maps.on.set_active(True)\nNone")
    tree, before = desk.tree(eight), desk.fingerprint(eight)
    desk.host.run(
        "for side, pixels in (('left', 32), ('top', 0), ('right', 0), ('bottom', 0)):\n"
        "    body.fields['extend_' + side].write(pixels)\n"
        "body.panel.start('extend')\nNone"
    )
    assert desk.wait_end(LONG).startswith("Done")
    assert desk.host.run(f"[{eight.code}.get_width(), {eight.code}.get_height()]") == [WIDTH + 32, HEIGHT]
    functions_hold(desk, eight)
    desk.undo(eight)
    assert desk.tree(eight) == tree
    assert desk.fingerprint(eight) == before
    desk.redo(eight)
    functions_hold(desk, eight)


def test_a_tile_has_the_same_places_in_all_maps_and_goes_with_one_undo(desk: Desk, eight: Image) -> None:
    desk.host.run(f"select_layers({eight.code}, 'Background', 'height', 'roughness')\nNone")
    desk.host.run("body.maps.on.set_active(True)\nNone")
    tree, before = desk.tree(eight), desk.fingerprint(eight)
    desk.host.run("body.fields['tile_band'].write(32)\nbody.panel.start('tile')\nNone")
    assert desk.wait_end(LONG).startswith("Done")
    functions_hold(desk, eight)
    desk.undo(eight)
    assert desk.tree(eight) == tree
    assert desk.fingerprint(eight) == before


def test_a_cancel_takes_all_away_and_the_canvas_with_them(desk: Desk, eight: Image) -> None:
    desk.host.run("body.maps.on.set_active(True)\nbody.fields['extend_right'].write(64)\nNone")
    tree, before = desk.tree(eight), desk.fingerprint(eight)
    desk.choose("exemplar", preset="quality", seed=7, variants=8)
    desk.host.run("body.panel.start('extend')\nNone")
    desk.host.wait(f"len(tree({eight.code})) == {len(tree) + 3}", what="the layers of all maps", seconds=60)
    assert desk.host.run(f"{eight.code}.get_width()") == WIDTH + 64
    desk.click("cancel_button")
    desk.host.wait("not flow.busy")
    assert desk.status() == "Cancelled."
    assert desk.tree(eight) == tree
    assert desk.fingerprint(eight) == before


def test_what_does_not_fit_is_one_sentence_and_changes_nothing(desk: Desk, eight: Image) -> None:
    desk.host.run("body.maps.on.set_active(True)\nNone")
    desk.host.run(
        f"beside({eight.code}, 'normal', roughness, height=120)\nselect_layers({eight.code}, 'Background')\nNone"
    )
    before = desk.fingerprint(eight)
    assert "“normal” does not cover all" in desk.repaint(eight, LONG)
    desk.host.run("body.panel.start('extend')\nNone")
    assert "“normal” does not cover all" in desk.wait_end(LONG)
    assert desk.fingerprint(eight) == before
    desk.host.run(
        f"host.kept, found = host.maps, host.maps()\nhost.maps = lambda: found\n"
        f"{eight.code}.remove_layer(named({eight.code}, 'normal'))\nNone"
    )
    before = desk.fingerprint(eight)
    assert "“normal” is no longer there" in desk.repaint(eight, LONG)
    desk.host.run("host.maps = host.kept\nbody.fields['material'].write('layer')\nNone")
    assert "choose “Around it”" in desk.repaint(eight, LONG)
    assert desk.host.run("body.maps.note.get_mapped()")
    desk.host.run("body.fields['material'].write('around')\nNone")
    desk.choose("test/gaussian", seed=7)
    assert "paints one picture only" in desk.repaint(eight, LONG)
    assert desk.fingerprint(eight) == before
