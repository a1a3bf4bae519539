"""The procedures for scripts in a real GIMP console: every precision, colour spaces, layers of all kinds, errors."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from .desk import Desk, Image

SELECTION = "plug-in-repaint-selection"
MODEL = {"model": "test/gaussian", "seed": 7}
PRECISIONS = [
    f"{depth}_{curve}"
    for depth in ("U8", "U16", "U32", "HALF", "FLOAT", "DOUBLE")
    for curve in ("LINEAR", "NON_LINEAR", "PERCEPTUAL")
]

GRAYS = ("U8_NON_LINEAR", "U16_LINEAR", "HALF_PERCEPTUAL", "FLOAT_LINEAR")
DEPTHS = {"U8": "u8", "U16": "u16", "U32": "f32", "HALF": "f16", "FLOAT": "f32", "DOUBLE": "f32"}
TYPES = {"u8": "u1", "u16": "<u2", "f16": "<f2", "f32": "<f4"}


def captured(desk: Desk, image: Image, source: str = "visible") -> tuple[np.ndarray, bool]:
    """What would be sent to the engine of the present selection: (height, width, 4), and whether it is linear."""
    width, height, depth, linear, text = desk.host.run(
        f"host.image = str({image.code}.get_id())\n"
        f"sent = [c for c in host.capture(Settings('texture', 'fast', 1, source={source!r})) if c is not None][0]\n"
        "t = sent.target\n[t.box.width, t.box.height, t.depth, t.linear, base64.b64encode(sent.pixels).decode()]"
    )
    return np.frombuffer(base64.b64decode(text), TYPES[depth]).reshape(height, width, 4), linear


def seen(pixels: np.ndarray, linear: bool) -> np.ndarray:
    """As 0 … 255 in sRGB's curve."""
    values = pixels / (np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1.0)
    if linear:
        values = np.where(values <= 0.0031308, 12.92 * values, 1.055 * np.maximum(values, 0) ** (1 / 2.4) - 0.055)
    return 255 * values


READ_AND_PUT_BACK = """
from bridge_server.client.editor.model import Picture
form, box = sent.target.space, sent.target.box
before = visible({code}, form)
layer = host.add_layer(sent.target, "RePaint identity")
picture = Picture(box.width, box.height, sent.pixels, Box(0, 0, box.width, box.height))
for _ in layer.paint(picture): pass
after, reader = visible({code}, form), layer.holds(picture)
try:
    while True: next(reader)
except StopIteration as end:
    held = end.value
layer.remove()
[held, *(base64.b64encode(each).decode() for each in (before, after))]
"""


def put_back(desk: Desk, image: Image, depth: str) -> float:
    """How much another the visible picture is, of 1, where what was `captured` lies over it as the plug-in's layer."""
    held, *pictures = desk.host.run(READ_AND_PUT_BACK.format(code=image.code))
    assert held
    before, after = (np.frombuffer(base64.b64decode(text), TYPES[depth]).astype(float) for text in pictures)
    return float(np.abs(after - before).max()) / {"u8": 255, "u16": 65535}.get(depth, 1)


def pattern(desk: Desk, width: int, height: int) -> np.ndarray:
    """What `Desk.new` paints."""
    text = desk.host.run(f"base64.b64encode(pattern({width}, {height})).decode()")
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 3)


@pytest.mark.parametrize(("kind", "precision"), [*(("RGB", p) for p in PRECISIONS), *(("GRAY", p) for p in GRAYS)])
def test_every_precision(shell: Desk, kind: str, precision: str) -> None:
    """One new layer, of the image's own precision; all that was there before is untouched to the last bit."""
    image = shell.new(120, 90, kind, precision)
    shell.select(image, 40, 30, 32, 24)
    before = shell.fingerprint(image)
    sent, linear = captured(shell, image)
    depth = DEPTHS[precision.split("_", maxsplit=1)[0]]
    assert (sent.dtype, linear) == (np.dtype(TYPES[depth]), precision.count("_") == 1 and precision.endswith("_LINEAR"))
    assert (sent[..., 3] == (np.iinfo(sent.dtype).max if sent.dtype.kind == "u" else 1)).all()
    if kind == "RGB":
        error = np.abs(seen(sent, linear)[..., :3] - pattern(shell, 120, 90)).max()
        assert error <= (6.5 if precision == "U8_LINEAR" else 0.3), "the engine is sent the colours that are seen"
    else:
        assert (sent[..., 0] == sent[..., 1]).all()
        assert np.abs(seen(sent, linear)[..., 0] - shell.pixels(image)[..., 0]).max() <= 0.51
    assert put_back(shell, image, depth) <= (2e-6 if depth == "f32" else 0)
    assert shell.fingerprint(image) == before
    status, message, layers = shell.call(SELECTION, image, **MODEL)
    assert (status, len(layers)) == ("success", 1), message
    assert shell.names(image) == ["RePaint test/gaussian · seed 7", "Background"]
    assert shell.selected(image) == ["Background"]
    new = f"Gimp.Layer.get_by_id({layers[0]})"
    place = [40, 30, 32, 24]
    assert shell.host.run(f"[*list({new}.get_offsets())[1:], {new}.get_width(), {new}.get_height()]") == place
    assert shell.host.run(f"Gimp.Layer.get_by_id({layers[0]}).has_alpha()")
    fill = shell.layer_pixels(image, "RePaint test/gaussian · seed 7")
    assert (fill[..., 3] == 255).all()
    if kind == "GRAY":
        assert (fill[..., 0] == fill[..., 1]).all()
    assert fill[..., :3].std() > 1, "something was painted"
    shell.host.run(f"{image.code}.remove_layer({new})\nNone")
    assert shell.fingerprint(image) == before
    shell.forget_images()


@pytest.mark.parametrize(
    ("kind", "precision"),
    [("RGB", "U16_NON_LINEAR"), ("RGB", "HALF_LINEAR"), ("RGB", "FLOAT_LINEAR"), ("GRAY", "U16_NON_LINEAR")],
)
def test_a_gradient_is_filled_in_full_depth(shell: Desk, kind: str, precision: str) -> None:
    """As many levels as beside it; in floats light above white survives."""
    depth = DEPTHS[precision.split("_", maxsplit=1)[0]]
    channels = 1 if kind == "GRAY" else 3
    y, x = np.mgrid[:160, :200]
    values = (0.12 + 0.003 * x + 0.00008 * y)[..., None] * np.linspace(1, 0.5, channels)
    picture = (values * (65535 if depth == "u16" else 4)).astype(TYPES[depth])
    image = shell.new(200, 160, kind, precision)
    text = base64.b64encode(picture.tobytes()).decode()
    shell.host.run(f"""
from gi.repository import Babl
layer = {image.code}.get_layers()[0]
buffer = layer.get_buffer()
buffer.set(Gegl.Rectangle.new(0, 0, 200, 160), Babl.get_name(layer.get_format()), base64.b64decode("{text}"))
buffer.flush()
layer.update(0, 0, 200, 160)
None
""")
    shell.select(image, 60, 50, 40, 40)
    status, message, layers = shell.call(SELECTION, image, seconds=120, model="exemplar", seed=7)
    assert status == "success", message
    text = shell.host.run(f"base64.b64encode(bytes_of(Gimp.Layer.get_by_id({layers[0]}))).decode()")
    fill = np.frombuffer(base64.b64decode(text), TYPES[depth]).reshape(40, 40, channels + 1)[..., :-1]
    truth, beside = (picture[50:90, left : left + 40].astype(float) for left in (60, 110))
    for channel in range(channels):
        assert len(np.unique(fill[..., channel])) >= 0.95 * len(np.unique(beside[..., channel]))
    assert np.abs(fill - truth).mean() <= 0.01 * np.ptp(truth[..., 0])
    if depth != "u16":
        assert fill.max() > 1


def test_indexed(shell: Desk) -> None:
    """The fill takes the palette's colours; neither the palette nor any other pixel changes."""
    image = shell.new(120, 90, "INDEXED")
    shell.select(image, 40, 30, 32, 24)
    before = shell.fingerprint(image)
    palette = (
        "from gi.repository import Babl\nform = Babl.format(\"R'G'B' u8\")\n"
        f"[list(c.get_bytes(form).get_data()) for c in {image.code}.get_palette().get_colors()]"
    )
    colours = {tuple(colour) for colour in shell.host.run(palette)}
    status, message, layers = shell.call(SELECTION, image, **MODEL)
    assert status == "success", message
    fill = shell.layer_pixels(image, "RePaint test/gaussian · seed 7")
    assert (fill[..., 3] == 255).all()
    used = {tuple(colour) for colour in fill[..., :3].reshape(-1, 3).tolist()}
    assert len(used) > 1
    assert used <= colours
    assert {tuple(colour) for colour in shell.host.run(palette)} == colours
    shell.host.run(f"{image.code}.remove_layer(Gimp.Layer.get_by_id({layers[0]}))\nNone")
    assert shell.fingerprint(image) == before


def test_soft_selection_is_the_alpha(shell: Desk) -> None:
    image = shell.new(160, 120)
    shell.select(image, 40, 30, 60, 50)
    shell.host.run(f"Gimp.Selection.feather({image.code}, 20)\nNone")
    selection = shell.host.run(
        f"s = Gimp.Selection.bounds({image.code})\nb = {image.code}.get_selection().get_buffer()\n"
        "r = Gegl.Rectangle.new(s.x1, s.y1, s.x2 - s.x1, s.y2 - s.y1)\n"
        "[s.x2 - s.x1, s.y2 - s.y1, base64.b64encode(bytes(b.get(r, 1.0, 'Y u8', Gegl.AbyssPolicy.NONE))).decode()]"
    )
    marks = np.frombuffer(base64.b64decode(selection[2]), np.uint8).reshape(selection[1], selection[0])
    assert len(np.unique(marks)) > 20
    before = shell.pixels(image)
    assert shell.call(SELECTION, image, **MODEL)[0] == "success"
    fill = shell.layer_pixels(image, "RePaint test/gaussian · seed 7")
    assert np.array_equal(fill[..., 3], marks)
    after = shell.pixels(image)
    x, y = shell.host.run("[s.x1, s.y1]")
    changed = (before != after).any(axis=2)
    outside = np.ones_like(changed)
    outside[y : y + marks.shape[0], x : x + marks.shape[1]] = marks == 0
    assert not changed[outside].any()
    assert changed.any()


def test_a_hole_erased_through_the_same_soft_selection_is_closed(shell: Desk) -> None:
    """Two coverages, one over the other, left a ring with an alpha of 191."""
    image = shell.new(160, 120, alpha=True)
    shell.select(image, 40, 30, 60, 50)
    shell.host.run(
        f"Gimp.Selection.feather({image.code}, 20)\n"
        f"{image.code}.get_layers()[0].edit_clear()\n{image.code}.get_layers()[0].update(0, 0, 160, 120)\nNone"
    )
    assert shell.pixels(image)[..., 3].min() < 10
    assert shell.call(SELECTION, image, **MODEL)[0] == "success"
    assert shell.pixels(image)[..., 3].min() >= 250


def test_feather_fades_inwards_only(shell: Desk) -> None:
    image = shell.new(160, 120)
    shell.select(image, 0, 30, 60, 50)
    assert shell.call(SELECTION, image, feather=8, **MODEL)[0] == "success"
    alpha = shell.layer_pixels(image, "RePaint test/gaussian · seed 7")[..., 3].astype(int)
    assert alpha.shape == (50, 60)
    middle = alpha[25]
    assert middle[0] == 255, "the picture's own border is no edge"
    assert (np.diff(middle[-8:]) < 0).all()
    assert middle[-8] == 255
    assert 0 < middle[-1] < 64


@pytest.mark.parametrize("precision", ["U8_NON_LINEAR", "U16_NON_LINEAR", "FLOAT_LINEAR"])
def test_adobe_rgb(shell: Desk, precision: str) -> None:
    """An image with a profile of its own: it keeps it, its pixels are untouched."""
    image = shell.new(120, 90, "RGB", precision)
    convert = f"{image.code}.convert_color_profile(profile, Gimp.ColorRenderingIntent.RELATIVE_COLORIMETRIC, False)"
    assert shell.host.run(f"profile = Gimp.ColorProfile.new_rgb_adobe()\n{convert}")
    shell.select(image, 40, 30, 32, 24)
    before = shell.fingerprint(image)
    sent, _ = captured(shell, image)
    assert put_back(shell, image, DEPTHS[precision.split("_", maxsplit=1)[0]]) <= 2e-4, "its own numbers are sent"
    assert np.abs(seen(sent, precision == "FLOAT_LINEAR")[..., 0] - pattern(shell, 120, 90)[..., 0]).max() > 5
    status, message, layers = shell.call(SELECTION, image, **MODEL)
    assert status == "success", message
    assert shell.layer_pixels(image, "RePaint test/gaussian · seed 7")[..., :3].std() > 1, "something was painted"
    assert shell.host.run(f"{image.code}.get_color_profile().is_equal(profile)")
    shell.host.run(f"{image.code}.remove_layer(Gimp.Layer.get_by_id({layers[0]}))\nNone")
    assert shell.fingerprint(image) == before


def layered(shell: Desk) -> Image:
    """A group with a masked, moved layer inside, and a layer with alpha and holes above."""
    image = shell.new(160, 120)
    shell.host.run(f"""
i = {image.code}
group = Gimp.GroupLayer.new(i, "Group")
i.insert_layer(group, None, 0)
inner = Gimp.Layer.new(i, "Inner", 100, 80, Gimp.ImageType.RGBA_IMAGE, 60, i.get_default_new_layer_mode())
inner.set_offsets(-10, 25)
inner.fill(Gimp.FillType.WHITE)
i.insert_layer(inner, group, 0)
inner.add_mask(inner.create_mask(Gimp.AddMaskType.BLACK))
top = Gimp.Layer.new(i, "Top", 160, 120, Gimp.ImageType.RGBA_IMAGE, 100, i.get_default_new_layer_mode())
top.fill(Gimp.FillType.TRANSPARENT)
i.insert_layer(top, None, 0)
i.set_selected_layers([inner])
None
""")
    return image


def test_groups_masks_offsets(shell: Desk) -> None:
    """The new layer comes just above the selected one, in its group; nothing else changes."""
    image = layered(shell)
    shell.select(image, 20, 30, 50, 40)
    before, tree = shell.fingerprint(image), shell.names(image)
    status, message, layers = shell.call(SELECTION, image, **MODEL)
    assert status == "success", message
    assert shell.names(image) == ["Top", "Group", "RePaint test/gaussian · seed 7", "Inner", "Background"]
    assert shell.host.run(f"Gimp.Layer.get_by_id({layers[0]}).get_parent().get_name()") == "Group"
    assert shell.selected(image) == ["Inner"]
    assert tree == ["Top", "Group", "Inner", "Background"]
    again = shell.call(SELECTION, image, **{**MODEL, "seed": 8})
    assert again[0] == "success"
    assert shell.names(image)[2:4] == ["RePaint test/gaussian · seed 8", "RePaint test/gaussian · seed 7"]
    for layer in (layers[0], again[2][0]):
        shell.host.run(f"{image.code}.remove_layer(Gimp.Layer.get_by_id({layer}))\nNone")
    assert shell.fingerprint(image) == before


def test_active_layer_as_source(shell: Desk) -> None:
    """The model sees the selected layer alone, at its own place; outside of it nothing."""
    image = layered(shell)
    shell.select(image, 20, 40, 30, 30)
    alone, _ = captured(shell, image, "layer")
    visible, _ = captured(shell, image)
    assert alone.shape == visible.shape == (120, 114, 4)
    assert (alone[25:105, 0:90] == 255).all(), "white where the layer is, whatever its opacity and its mask"
    assert not alone[:25, :, 3].any()
    assert not alone[:, 90:, 3].any()
    assert np.array_equal(visible[..., :3], shell.pixels(image)[:, :114, :3])
    status, message, _ = shell.call(SELECTION, image, source="layer", **MODEL)
    assert status == "success", message
    assert (shell.layer_pixels(image, "RePaint test/gaussian · seed 7")[..., 3] == 255).all()


def test_extend_is_one_layer_and_a_larger_canvas(shell: Desk) -> None:
    image = shell.new(100, 80)
    before = shell.layer_pixels(image, "Background")
    sides = {"left": 16, "top": 0, "right": 32, "bottom": 8}
    status, message, layers = shell.call("plug-in-repaint-extend", image, **sides, **MODEL)
    assert status == "success", message
    assert shell.host.run(f"[{image.code}.get_width(), {image.code}.get_height()]") == [148, 88]
    assert list(shell.host.run(f"{image.code}.get_layers()[1].get_offsets()"))[1:] == [16, 0]
    assert np.array_equal(shell.layer_pixels(image, "Background"), before)
    grown = Image(image.name, 148, 88)
    seen = shell.pixels(grown)
    assert (seen[..., 3] == 255).all(), "no hole is left"
    assert np.array_equal(seen[0:80, 16:116], before)
    assert len(layers) == 1


def test_seamless(shell: Desk) -> None:
    image = shell.new(96, 64)
    before = shell.pixels(image)
    status, message, _ = shell.call("plug-in-repaint-seamless", image, axis="x", band=16, **MODEL)
    assert status == "success", message
    after = shell.pixels(image)
    assert np.array_equal(after[:, 8:-8], before[:, 8:-8])
    assert not np.array_equal(after[:, :8], before[:, :8])
    assert not np.array_equal(after[:, -8:], before[:, -8:])


def test_the_shipped_model(shell: Desk) -> None:
    image = shell.new(120, 90)
    shell.select(image, 50, 40, 16, 16)
    status, message, _ = shell.call(SELECTION, image, seconds=300, model="texture", seed=7)
    assert status == "success", message
    fill = shell.layer_pixels(image, "RePaint texture · seed 7")
    assert fill[..., :3].std() > 1


# ---------------------------------------------------------------- errors

CHANNEL = (
    "c = Gimp.Channel.new(i, 'c', 120, 90, 50, Gegl.Color.new('red')); i.insert_channel(c, None, 0);"
    "i.set_selected_channels([c])"
)
FLOATING = "Gimp.edit_copy(i.get_selected_drawables()); Gimp.edit_paste(i.get_layers()[0], True)"


@pytest.mark.parametrize(
    ("prepare", "arguments", "sentence"),
    [
        ("Gimp.Selection.none(i)", {}, "Select the part to repaint first"),
        ("None", {"model": "nonsense"}, "model is not known"),
        ("None", {"preset": "nonsense"}, "preset"),
        (CHANNEL, {"source": "layer"}, "There is no active layer to read"),
        (FLOATING, {}, "floating"),
    ],
)
def test_errors_are_errors_of_the_procedure(shell: Desk, prepare: str, arguments: dict, sentence: str) -> None:
    """One sentence; the image is as before, its undo group closed, and the next run works."""
    image = shell.new(120, 90)
    shell.select(image, 40, 30, 32, 24)
    shell.host.run(f"i = {image.code}\n{prepare}\nNone")
    before = shell.fingerprint(image)
    status, message, layers = shell.call(SELECTION, image, **{**MODEL, **arguments})
    assert status == "execution-error"
    assert sentence in message
    assert layers == [None]
    assert shell.fingerprint(image) == before
    other = shell.new(120, 90)
    shell.select(other, 40, 30, 32, 24)
    assert shell.call(SELECTION, other, **MODEL)[0] == "success"


def test_extend_by_nothing(shell: Desk) -> None:
    image = shell.new(60, 50)
    nothing = {"left": 0, "top": 0, "right": 0, "bottom": 0}
    status, message, _ = shell.call("plug-in-repaint-extend", image, **nothing, **MODEL)
    assert status == "execution-error"
    assert "how many pixels" in message
    assert shell.host.run(f"{image.code}.get_width()") == 60


def test_no_window_in_a_console(shell: Desk) -> None:
    """An interactive call without a display is an error, not the end of the plug-in."""
    image = shell.new(60, 50)
    procedure = (
        f"p = pdb.lookup_procedure('plug-in-repaint-variants')\nc = p.create_config()\n"
        f"c.set_property('run-mode', Gimp.RunMode.INTERACTIVE)\nc.set_property('image', {image.code})\n"
        f"c.set_core_object_array('drawables', {image.code}.get_selected_drawables())\n"
        "[p.run(c).index(0).value_nick, pdb.get_last_error()]"
    )
    status, message = shell.host.run(procedure)
    assert status == "execution-error"
    assert "cannot be shown here" in message


def test_script_fu(shell: Desk) -> None:
    """The call that docs/guide/gimp-scripts.md shows, by GIMP's own Scheme."""
    image = shell.new(120, 90)
    shell.select(image, 40, 30, 32, 24)
    shell.host.run(f"""
p = pdb.lookup_procedure("plug-in-script-fu-eval")
c = p.create_config()
c.set_property("run-mode", Gimp.RunMode.NONINTERACTIVE)
ids = ({image.code}.get_id(), {image.code}.get_layers()[0].get_id())
c.set_property("script", '''(plug-in-repaint-selection #:run-mode RUN-NONINTERACTIVE #:image %d
  #:drawables (vector %d) #:model "test/gaussian" #:seed 7)''' % ids)
p.run(c).index(0).value_nick
""")
    assert shell.names(image) == ["RePaint test/gaussian · seed 7", "Background"]
