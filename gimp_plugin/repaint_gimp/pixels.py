"""Pixel buffers between GIMP and the engine: in the drawable's own precision, curve and colour space.

A babl format's name means sRGB primaries unless it goes on with the name of another space: "R'G'B'A u16-space-…".
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

from gi.repository import Babl, Gegl, Gimp

from bridge_server.client.editor.samples import GRAY_OF_RGBA, RGBA_OF_GRAY, arranged
from bridge_server.client.geometry import Box

COLOUR = "R'G'B'A u8"
MARKS = "Y u8"  # a selection's bytes as they are
DEPTHS = {"u8": "u8", "u16": "u16", "u32": "f32", "half": "f16", "float": "f32", "double": "f32"}  # babl's, the wire's
TYPES = {"u8": "u8", "u16": "u16", "f16": "half", "f32": "float"}  # the wire's, babl's


class Form(NamedTuple):
    """In what a layer's pixels travel: babl's name of a format with an alpha channel; depth and light as the wire says
    them."""

    name: str
    depth: str
    linear: bool

    @classmethod
    def of(cls, layer: Gimp.Layer) -> Form:
        own = layer.get_format()
        if Babl.format_is_palette(own):
            return cls(COLOUR, "u8", False)
        model, kind = Babl.format_get_encoding(own).split(" ")
        model, depth = model.rstrip("A"), DEPTHS[kind]
        sent = Babl.format_with_space(f"{model}A {TYPES[depth]}", Babl.format_get_space(own))
        return cls(Babl.get_name(sent), depth, model in ("RGB", "Y"))


def known(name: str, layer: Gimp.Layer, depth: str) -> str:
    """The format of that name, "" sRGB; for one of an earlier session, whose space babl does not know yet, the like in
    the layer's own space."""
    if not name or Babl.format_exists(name):
        return name or COLOUR
    model = name.split(" ")[0]
    like = Babl.format_with_space(f"{model} {TYPES[depth]}", Babl.format_get_space(layer.get_format()))
    return str(Babl.get_name(like))


def load() -> None:
    """Loads GEGL's operations, a tenth of a second the first time: whatever is more than reading and writing a buffer
    needs them."""
    Gegl.init(None)


def read(buffer: Gegl.Buffer, part: Box, form: Optional[str], scale: float = 1.0) -> bytes:
    """The rectangle's pixels, of the buffer at that scale; zeros outside. ``form`` None: in the buffer's own format."""
    rectangle = Gegl.Rectangle.new(part.x, part.y, part.width, part.height)
    return bytes(buffer.get(rectangle, scale, form, Gegl.AbyssPolicy.NONE))


def outgoing(buffer: Gegl.Buffer, part: Box, form: str, depth: str) -> bytes:
    """The rectangle's pixels as the wire's; transparent outside the buffer."""
    data = read(buffer, part, form)
    return arranged(data, depth, 2, RGBA_OF_GRAY) if form.startswith("Y") else data


def write(buffer: Gegl.Buffer, part: Box, rgba: bytes, form: str, depth: str) -> None:
    """The wire's pixels, in the colours of the format of that name. What lies outside the buffer is dropped."""
    data = arranged(rgba, depth, 4, GRAY_OF_RGBA) if form.startswith("Y") else rgba
    buffer.set(Gegl.Rectangle.new(part.x, part.y, part.width, part.height), form, data)  # bytes: others are far slower


def like(buffer: Gegl.Buffer) -> Gegl.Buffer:
    """A buffer of this plug-in's own with the same format, size and content."""
    load()
    return buffer.dup()


def softened(selection: Gegl.Buffer, box: Box, feather: int) -> Gegl.Buffer:
    """A buffer of the selection whose edge fades inwards over ``feather`` pixels; nothing outside ``box``.

    The picture's own border is no edge: what is selected up to it stays wholly selected there.
    """
    load()
    graph = Gegl.Node()

    def node(operation: str, **properties: Any) -> Gegl.Node:
        made = graph.create_child(operation)
        for name, value in properties.items():
            made.set_property(name, value)
        return made

    source = node("gegl:buffer-source", buffer=selection)
    distance = node("gegl:distance-transform", metric="euclidean", normalize=False, edge_handling="above")
    part = node("gegl:crop", x=float(box.x), y=float(box.y), width=float(box.width), height=float(box.height))
    scaled = node("gegl:multiply", value=1.0 / feather)
    limited = node("gegl:rgb-clip")  # to 0 … 1
    product = node("gegl:multiply")  # never more than was selected
    result = Gegl.Buffer.new("Y float", box.x, box.y, box.width, box.height)
    sink = node("gegl:write-buffer", buffer=result)
    before = source
    for after in (distance, part, scaled, limited, product, sink):
        before.connect_to("output", after, "input")
        before = after
    source.connect_to("output", product, "aux")
    sink.process()
    return result
