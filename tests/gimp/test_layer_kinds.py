"""Filters beside a layer's pixels, and in GIMP 3.2 link and vector layers: read as they are seen, never changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from .desk import Desk, Image
from .test_console import MODEL, SELECTION, captured

MAKE = """
def put(image, name, x, y, width, height, colour, parent=None):
    # a layer of one colour on top of the others, or of its group
    layer = Gimp.Layer.new(image, name, width, height, Gimp.ImageType.RGBA_IMAGE, 100, Gimp.LayerMode.NORMAL)
    buffer = layer.get_buffer()
    buffer.set(Gegl.Rectangle.new(0, 0, width, height), "R'G'B'A u8", bytes((*colour, 255)) * (width * height))
    buffer.flush()
    layer.set_offsets(x, y)
    image.insert_layer(layer, parent, 0)
    return layer

def add_filter(layer, operation, **values):
    found = Gimp.DrawableFilter.new(layer, operation, "my " + operation)
    config = found.get_config()
    for name, value in values.items():
        config.set_property(name, value)
    found.update()
    layer.append_filter(found)
    return found

def link(image, path, x, y):
    layer = Gimp.LinkLayer.new(image, Gio.File.new_for_path(path))
    layer.set_name("Link")
    layer.set_offsets(x, y)
    image.insert_layer(layer, None, 0)
    return layer

def vector(image, left, top, right, bottom):
    path = Gimp.Path.new(image, "Corners")
    image.insert_path(path, None, 0)
    stroke = path.bezier_stroke_new_moveto(left, top)
    for x, y in ((right, top), (right, bottom), (left, bottom)):
        path.bezier_stroke_lineto(stroke, x, y)
    path.stroke_close(stroke)
    layer = Gimp.VectorLayer.new(image, path)
    layer.set_name("Vector")
    image.insert_layer(layer, None, 0)
    layer.set_enable_stroke(False)
    layer.set_enable_fill(True)
    layer.set_fill_color(Gegl.Color.new("rgb(0, 0, 1)"))
    layer.refresh()
    return layer

def kinds(image):
    # what a layer is beside its pixels; and how many images there are: none may be left behind
    found = []
    for layer in walk(image.get_layers()):
        filters = [
            [f.get_name(), f.get_operation_name(), f.get_visible(), f.get_opacity()] for f in layer.get_filters()
        ]
        more = []
        if type(layer).__name__ in ("LinkLayer", "VectorLayer"):
            more.append(layer.is_rasterized())
        if type(layer).__name__ == "LinkLayer":
            more.append(layer.get_file().get_path())
        if type(layer).__name__ == "VectorLayer":
            path = layer.get_path()
            more.append([list(path.stroke_get_points(s).controlpoints) for s in path.get_strokes()])
        found.append([layer.get_name(), type(layer).__name__, layer.get_opacity(), filters, more])
    return [found, [path.get_name() for path in image.get_paths()], len(Gimp.get_images())]
None
"""
WHITE, GREEN = [255, 255, 255, 255], [10, 200, 30, 255]
CASES = ["filter", "group filter", "filtered text", "link", "filtered link", "vector", "filtered vector"]


def needs_3_2(desk: Desk, what: str) -> None:
    version = desk.host.run("Gimp.version()")
    if tuple(map(int, version.split(".")[:2])) < (3, 2):
        pytest.skip(f"GIMP {version} has no {what}: they are new in 3.2")


def kept(desk: Desk, image: Image) -> list[Any]:
    return [desk.fingerprint(image), *desk.host.run(f"kinds({image.code})")]


def made(desk: Desk, case: str) -> Image:
    """160 × 120, its active layer that of the case, 60 × 50 at (30, 20); 30 × 20 at (40, 30) are selected."""
    if case.endswith(("link", "vector")):
        needs_3_2(desk, f"{case.split()[-1]} layers")
    image = desk.new(160, 120)
    desk.host.run(MAKE)
    code = image.code
    if case.endswith("link"):
        path = desk.host.work / "linked.png"
        file = f"Gio.File.new_for_path({str(desk.host.gimp.inside(path))!r})"
        desk.host.run(f"""
other = Gimp.Image.new(60, 50, Gimp.ImageBaseType.RGB)
put(other, "Green", 0, 0, 60, 50, {GREEN[:3]})
Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, other, {file}, None)
other.delete()
layer = link({code}, {file}.get_path(), 30, 20)
None
""")
    elif case.endswith("vector"):
        desk.host.run(f"layer = vector({code}, 30, 20, 90, 70)\nNone")
    elif case.endswith("text"):
        desk.host.run(f"""
layer = Gimp.TextLayer.new({code}, "█▉█\\n███", Gimp.context_get_font(), 24, Gimp.Unit.pixel())
layer.set_offsets(30, 20)
{code}.insert_layer(layer, None, 0)
None
""")
    elif case == "group filter":
        desk.host.run(f"""
group = Gimp.GroupLayer.new({code}, "Group")
{code}.insert_layer(group, None, 0)
layer = put({code}, "Inner", 30, 20, 60, 50, {GREEN[:3]}, group)
add_filter(group, "gegl:invert-gamma")
None
""")
    else:
        desk.host.run(f'layer = put({code}, "Plain", 30, 20, 60, 50, {GREEN[:3]})\nNone')
    if "filter" in case and case != "group filter":
        desk.host.run('add_filter(layer, "gegl:invert-gamma")\nNone')
    desk.host.run(
        f"{code}.set_selected_layers([layer])\n{code}.undo_disable()\n{code}.undo_enable()\n{code}.clean_all()\nNone"
    )
    desk.select(image, 40, 30, 30, 20)
    return image


@pytest.mark.parametrize("case", CASES)
def test_is_read_as_it_is_seen_and_left_as_it_is(shell: Desk, case: str) -> None:
    """All gestures of a script, with what is visible and with the layer alone."""
    image = made(shell, case)
    before = kept(shell, image)
    visible, _ = captured(shell, image)
    left, top = shell.host.run("[sent.target.box.x, sent.target.box.y]")
    height, width = visible.shape[:2]
    assert np.array_equal(visible, shell.pixels(image)[top : top + height, left : left + width])
    alone, _ = captured(shell, image, "layer")
    seen, inside = (
        visible[30 - top : 50 - top, 40 - left : 70 - left],
        alone[30 - top : 50 - top, 40 - left : 70 - left],
    )
    if case == "group filter":
        assert (inside == GREEN).all(), "the layer alone is without its group's filter"
        assert (seen == [245, 55, 225, 255]).all()
    elif case == "filtered text":
        assert (seen[inside[..., 3] == 255] == WHITE).all(), "black letters, inverted"
        assert (inside[..., 3] == 255).any()
    else:
        colours = {"link": GREEN, "vector": [0, 0, 255, 255], "filtered vector": [255, 255, 0, 255]}
        assert (inside == colours.get(case, [245, 55, 225, 255])).all()
        assert (seen == inside).all()
        assert not alone[: 20 - top, :, 3].any(), "nothing is outside of the layer"
    assert kept(shell, image) == before
    for source in ("visible", "layer"):
        status, message, layers = shell.call(SELECTION, image, source=source, **MODEL)
        assert status == "success", message
        shell.host.run(f"{image.code}.remove_layer(Gimp.Layer.get_by_id({layers[0]}))\nNone")
        assert kept(shell, image) == before, source
    status, message, layers = shell.call("plug-in-repaint-seamless", image, axis="x", band=16, **MODEL)
    assert status == "success", message
    shell.host.run(f"{image.code}.remove_layer(Gimp.Layer.get_by_id({layers[0]}))\nNone")
    assert kept(shell, image) == before


def test_a_fill_stands_outside_a_filter_that_it_was_read_through(shell: Desk) -> None:
    """Inside the group it would be inverted once more."""
    image = made(shell, "group filter")
    assert shell.call(SELECTION, image, **MODEL)[0] == "success"
    assert shell.names(image)[:3] == ["RePaint test/gaussian · seed 7", "Group", "Inner"]
    assert shell.call(SELECTION, image, source="layer", **MODEL)[0] == "success"
    assert shell.names(image)[:4] == [
        "RePaint test/gaussian · seed 7", "Group", "RePaint test/gaussian · seed 7 #1", "Inner",
    ]  # fmt: skip
    shell.host.run(f"{image.code}.get_layers()[1].get_filters()[0].set_visible(False)\nNone")
    assert shell.call(SELECTION, image, **{**MODEL, "seed": 8})[0] == "success"
    assert "RePaint test/gaussian · seed 8" in shell.host.run(
        f"[layer.get_name() for layer in {image.code}.get_layers()[1].get_children()]"
    ), "a filter that is switched off changes nothing"


@pytest.mark.parametrize("precision", ["U8_NON_LINEAR", "U16_NON_LINEAR", "FLOAT_LINEAR"])
@pytest.mark.parametrize("of", ["layer", "group"])
def test_the_copy_with_its_filters_has_the_images_own_depth_and_colours(shell: Desk, of: str, precision: str) -> None:
    image = shell.new(160, 120, "RGB", precision)
    shell.host.run(MAKE)
    shell.host.run(f"""
i = {image.code}
i.convert_color_profile(Gimp.ColorProfile.new_rgb_adobe(), Gimp.ColorRenderingIntent.RELATIVE_COLORIMETRIC, False)
layer = group = Gimp.GroupLayer.new(i, "Group")
i.insert_layer(group, None, 0)
inner = put(i, "Inner", 30, 20, 60, 50, (10, 200, 30), group)
layer = inner if {of == "layer"} else group
add_filter(layer, "gegl:invert-gamma")
add_filter(layer, "gegl:dropshadow", x=10.0, y=10.0, radius=2.0)
layer.set_opacity(30.0)
layer.add_mask(layer.create_mask(Gimp.AddMaskType.BLACK))
layer.set_visible(False)
layer.set_lock_content(True)
i.set_selected_layers([layer])
None
""")
    shell.select(image, 40, 30, 30, 20)
    before = kept(shell, image)
    alone, _ = captured(shell, image, "layer")
    assert kept(shell, image) == before
    space = shell.host.run("sent.target.space")
    assert "space" in space
    shell.host.run("""
layer.set_lock_content(False)
merged = layer.merge() if layer.is_group() else layer
if merged is layer:
    layer.merge_filters()
None
""")
    left, top = shell.host.run("[sent.target.box.x, sent.target.box.y]")
    assert alone[75 - top, 95 - left, 3] > 0, "the shadow beyond the layer's border"
    assert not alone[15 - top, 25 - left, 3]
    inverted = shell.layer_pixels(image, shell.host.run("merged.get_name()"), space)
    assert inverted[5, 5].tobytes() == alone[25 - top, 35 - left].tobytes(), "to the last bit"


def test_a_filter_in_an_indexed_image(shell: Desk) -> None:
    image = shell.new(120, 90, "INDEXED")
    shell.host.run(MAKE)
    shell.host.run(f'add_filter({image.code}.get_layers()[0], "gegl:invert-gamma")\nNone')
    shell.select(image, 40, 30, 32, 24)
    before = kept(shell, image)
    for source in ("visible", "layer"):
        status, message, layers = shell.call(SELECTION, image, source=source, **MODEL)
        assert status == "success", message
        shell.host.run(f"{image.code}.remove_layer(Gimp.Layer.get_by_id({layers[0]}))\nNone")
        assert kept(shell, image) == before, source


@pytest.mark.parametrize("case", CASES)
def test_extending_the_canvas_moves_it_and_an_undo_brings_it_back(desk: Desk, case: str) -> None:
    image = made(desk, case)
    desk.choose(seed=7)
    before = kept(desk, image)
    desk.host.run("for side in ('left', 'top', 'right', 'bottom'): body.fields['extend_' + side].write(16)\nNone")
    desk.press(image, "extend_page.button")
    assert desk.wait_end().startswith("Done")
    during = desk.host.run(f"kinds({image.code})")
    assert [layer for layer in during[0] if not layer[0].startswith("RePaint")][: len(before[1])] == moved(before[1])
    assert during[1:] == before[2:]
    assert desk.host.run(f"[{image.code}.get_width(), {image.code}.get_height()]") == [192, 152]
    assert list(desk.host.run("layer.get_offsets()"))[1:] == [46, 36] or case.endswith("vector")
    desk.undo(image)
    assert kept(desk, image) == before


def moved(layers: list[Any]) -> list[Any]:
    """`kinds` after the canvas has grown by 16 on every side: a vector layer's points have moved."""
    return [
        [*layer[:4], [layer[4][0], [[value + 16 for value in points] for points in layer[4][1]]]]
        if layer[1] == "VectorLayer"
        else layer
        for layer in layers
    ]


@pytest.mark.parametrize("case", CASES)
def test_a_run_in_the_window_with_undo_redo_and_a_cancel(desk: Desk, case: str) -> None:
    image = made(desk, case)
    desk.choose(seed=7)
    before, selected = kept(desk, image), desk.selected(image)
    assert desk.repaint(image).startswith("Done")
    assert desk.selected(image) == selected
    desk.undo(image)
    assert kept(desk, image) == before
    desk.redo(image)
    assert desk.names(image)[0].startswith("RePaint") or "RePaint" in desk.names(image)[1]
    desk.undo(image)
    desk.choose("test/gaussian-slow", "quality", seed=8)
    desk.press(image)
    desk.host.wait(f"any(name.startswith('RePaint') for name, _ in tree({image.code}))", what="the layer is there")
    desk.host.run("pump.cancel()")
    desk.host.wait("not flow.busy", seconds=15)
    assert kept(desk, image) == before


@pytest.mark.parametrize("kind", ["layer", "other"])
def test_material_from_a_layer_with_a_filter(desk: Desk, kind: str) -> None:
    """The small picture and the fill show what the filter makes of it: green, of a layer that is magenta."""
    image = desk.new(160, 120)
    desk.host.run(MAKE)
    desk.host.run(f"""
i = {image.code}
layer = put(i, "Magenta", 0, 0, 160, 120, (245, 55, 225))
add_filter(layer, "gegl:invert-gamma")
layer.set_visible(False)
i.set_selected_layers([layer] if {kind == "layer"} else [i.get_layers()[-1]])
None
""")
    desk.select(image, 60, 50, 30, 20)
    desk.choose("exemplar", seed=7)
    desk.work_on(image)
    desk.host.run(
        f"f = body.fields\nf['material'].write({kind!r})\n"
        f"if {kind == 'other'}: f['material_name'].write('Magenta')\nNone"
    )
    before = kept(desk, image)
    desk.host.wait("body.material.picture.get_mapped()", what="a small picture of what would be used")
    assert desk.host.run("list(body.material.picture.get_pixbuf().get_pixels()[:3])")[1] > 150
    assert desk.repaint(image).startswith("Done")
    inside = desk.pixels(image)[50:70, 60:90].astype(int)
    assert (inside[..., 1] > inside[..., 0] + 60).mean() > 0.95
    desk.undo(image)
    assert kept(desk, image) == before
