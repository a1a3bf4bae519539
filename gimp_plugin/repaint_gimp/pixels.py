"""Pixel buffers between GIMP and the engine: GEGL converts between any precision and 8-bit sRGB.

A babl format's name means sRGB primaries. A drawable's buffer knows the drawable's own colour space (an ICC profile),
so that reading "R'G'B'A u8" converts to sRGB, and writing it converts from there.
"""

from __future__ import annotations

from typing import Any, Optional

from gi.repository import Gegl

from bridge_server.client.geometry import Box

COLOUR = "R'G'B'A u8"  # the wire's own: straight alpha, rows from the top
MARKS = "Y u8"  # a selection's bytes as they are


def load() -> None:
    """Loads GEGL's operations, a tenth of a second the first time: whatever is more than reading and writing a buffer
    needs them."""
    Gegl.init(None)


def read(buffer: Gegl.Buffer, part: Box, form: Optional[str] = COLOUR) -> bytes:
    """The rectangle's pixels; zeros outside the buffer. ``form`` None: in the buffer's own format."""
    rectangle = Gegl.Rectangle.new(part.x, part.y, part.width, part.height)
    return bytes(buffer.get(rectangle, 1.0, form, Gegl.AbyssPolicy.NONE))


def write(buffer: Gegl.Buffer, part: Box, data: bytes) -> None:
    """``data``: RGBA as `COLOUR`. What lies outside the buffer is dropped. `bytes` only: others are far slower."""
    buffer.set(Gegl.Rectangle.new(part.x, part.y, part.width, part.height), COLOUR, data)


def like(buffer: Gegl.Buffer) -> Gegl.Buffer:
    """A buffer of this plug-in's own with the same format, size and content."""
    load()
    return buffer.dup()


def cut(data: bytes, width: int, part: Box) -> bytes:
    """The rectangle ``part`` of an RGBA picture ``width`` pixels wide."""
    if part.x == 0 and part.width == width:
        return data[4 * width * part.y : 4 * width * (part.y + part.height)]
    starts = range(4 * (width * part.y + part.x), 4 * width * (part.y + part.height), 4 * width)
    return b"".join(data[start : start + 4 * part.width] for start in starts)


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
