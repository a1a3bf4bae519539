"""Where a fill's material comes from in GIMP: layers, channels and images found by their names, and read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Generator, Iterator, List, Optional

from gi.repository import GdkPixbuf, Gimp, Gio, GLib

from bridge_server.client.editor import material, sentences
from bridge_server.client.editor.material import Source, Wish
from bridge_server.client.editor.model import Refused, Target
from bridge_server.client.editor.reading import in_slices, marked
from bridge_server.client.geometry import Box

from . import pixels
from .lookup import layers_of, selected_layer
from .seen import filtered

SLICE = 1 << 18  # pixels read at a time, as in `host`


def names(image: Gimp.Image, kind: str) -> List[str]:
    """Names of what is there of that kind, each once, the highest first."""
    if kind == material.PICTURE:
        found = [each.get_name() for each in _others(image)]
    elif kind == material.OTHER:
        found = [layer.get_name() for layer in layers_of(image) if layer != selected_layer(image)]
    else:
        found = [channel.get_name() for channel in image.get_channels()]
    return list(dict.fromkeys(found))


def read(
    image: Gimp.Image, seen: Gimp.Layer, wish: Wish, target: Target, chosen: Callable[[Box], bytes]
) -> Iterator[Optional[Source]]:
    """The source in the colours and the depth in which a run's pixels travel; yields None between slices and at last
    the source. Raises `Refused`.

    Args:
        seen: what is around the selection, of which marks say what may be used.
        chosen: what is selected of a part of the canvas, which is never used.
    """
    grown, inverted = target.grown or Box(0, 0, 0, 0), wish.kind == material.UNMARKED
    if wish.kind == material.OTHER:
        with filtered(_found(layers_of(image), wish)) as layer:
            yield from _read(layer, Box(0, 0, layer.get_width(), layer.get_height()), target)
    elif wish.kind in (material.PICTURE, material.FILE):
        opened = _opened(wish) if wish.kind == material.FILE else _found(_others(image), wish)
        try:
            yield from _whole(opened, target)
        finally:
            if wish.kind == material.FILE:
                opened.delete()
    elif wish.kind == material.LAYER:
        with filtered(seen) as layer:
            yield from _of_canvas(layer, target.box, target, lambda part: material.usable(chosen(part)))
    else:
        marks = _marks(image, wish, target)
        canvas = Box(grown.x, grown.y, image.get_width(), image.get_height())
        place = target.box if inverted else (yield from marked(canvas, SLICE, marks))
        if place is None:
            raise wish.refusal(sentences.MATERIAL_EMPTY)
        yield from _of_canvas(seen, place, target, lambda part: material.usable(chosen(part), marks(part), inverted))


def shares(image: Gimp.Image, wish: Wish, target: Target) -> Generator[None, None, bytes]:
    """A byte for each pixel of what is sent, see `Source`. Raises `Refused`."""
    return in_slices([target.box], SLICE, _marks(image, wish.of_shares, target))


def _marks(image: Gimp.Image, wish: Wish, target: Target) -> Callable[[Box], bytes]:
    """What a channel marks of a part of the canvas as it will be; nothing beyond today's. Raises `Refused`."""
    channel, grown = _found(image.get_channels(), wish).get_buffer(), target.grown or Box(0, 0, 0, 0)

    def marks(part: Box) -> bytes:
        return pixels.read(channel, Box(part.x - grown.x, part.y - grown.y, part.width, part.height), pixels.MARKS)

    return marks


def picture(image: Gimp.Image, wish: Wish, side: int) -> Any:
    """A pixbuf of what would be used, at most ``side`` pixels each way; None where there is nothing, or for a file."""
    try:
        if wish.kind == material.PICTURE:
            return _small_image(_found(_others(image), wish), side)
        if wish.kind in (material.OTHER, material.LAYER):
            layer = selected_layer(image) if wish.kind == material.LAYER else _found(layers_of(image), wish)
            if layer is None:
                return None
            with filtered(layer) as shown:
                return _small(shown, side)
        if wish.kind != material.FILE:
            channel = _found(image.get_channels(), wish)
            return _small_image(image, side, lambda every: _marks_of(channel, every, wish.kind == material.UNMARKED))
    except Refused:
        pass
    return None


def _small_image(image: Gimp.Image, side: int, free: Optional[Callable[[int], bytes]] = None) -> Any:
    visible = Gimp.Layer.new_from_visible(image, image, "")  # never enters the image
    try:
        return _small(visible, side, free)
    finally:
        visible.delete()


def _small(layer: Gimp.Layer, side: int, free: Optional[Callable[[int], bytes]] = None) -> Any:
    """Every n-th pixel; transparent where what ``free`` says of n is 0."""
    width, height = layer.get_width(), layer.get_height()
    every = max(1, -(-max(width, height) // side))
    columns, rows = -(-width // every), -(-height // every)
    rgba = pixels.read(layer.get_buffer(), Box(0, 0, columns, rows), pixels.COLOUR, 1 / every)
    shown = rgba if free is None else material.masked(rgba, "u8", free(every))
    return GdkPixbuf.Pixbuf.new_from_bytes(
        GLib.Bytes.new(shown), GdkPixbuf.Colorspace.RGB, True, 8, columns, rows, 4 * columns
    )


def _marks_of(channel: Gimp.Channel, every: int, inverted: bool) -> bytes:
    """255 where it may be used, of every n-th row and column."""
    buffer, width, rows = channel.get_buffer(), channel.get_width(), range(0, channel.get_height(), every)
    marks = b"".join(pixels.read(buffer, Box(0, y, width, 1), pixels.MARKS)[::every] for y in rows)
    return material.usable(bytes(len(marks)), marks, inverted)


def _others(image: Gimp.Image) -> List[Gimp.Image]:
    return [each for each in Gimp.get_images() if each.get_id() != image.get_id()]


def _found(things: List[Any], wish: Wish) -> Any:
    for each in things:
        if each.get_name() == wish.name:
            return each
    raise wish.gone()


def _opened(wish: Wish) -> Gimp.Image:
    """A file as an image that no one sees."""
    if not wish.name or not Path(wish.name).is_file():
        raise wish.gone()
    plug_in = Gimp.get_plug_in()
    plug_in.set_pdb_error_handler(Gimp.PDBErrorHandler.PLUGIN)  # or GIMP shows a message of its own, too
    try:
        found = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path(wish.name))
    except GLib.Error:
        found = None
    finally:
        plug_in.set_pdb_error_handler(Gimp.PDBErrorHandler.INTERNAL)
    if found is None:
        raise wish.refusal(sentences.UNREADABLE_FILE)
    return found


def _whole(image: Gimp.Image, target: Target) -> Iterator[Optional[Source]]:
    """All that is seen of an image."""
    visible = Gimp.Layer.new_from_visible(image, image, "")  # never enters the image
    try:
        yield from _read(visible, Box(0, 0, image.get_width(), image.get_height()), target)
    finally:
        if visible.is_valid():
            visible.delete()


def _of_canvas(
    seen: Gimp.Layer, place: Box, target: Target, free: Callable[[Box], bytes]
) -> Iterator[Optional[Source]]:
    """``place`` on the canvas, as it will be, of a layer."""
    _, x, y = seen.get_offsets()
    grown = target.grown or Box(0, 0, 0, 0)
    yield from _read(seen, place, target, (x + grown.x, y + grown.y), free)


def _read(
    layer: Gimp.Layer,
    place: Box,
    target: Target,
    offset: Any = (0, 0),
    free: Optional[Callable[[Box], bytes]] = None,
) -> Iterator[Optional[Source]]:
    """``place`` of a layer that lies at ``offset``; ``free``: of a part, 255 for each pixel that may be used."""
    buffer = layer.get_buffer()

    def read(part: Box) -> bytes:
        if not layer.is_valid():
            raise Refused(sentences.CHANGED)
        inside = Box(part.x - offset[0], part.y - offset[1], part.width, part.height)
        rgba = pixels.outgoing(buffer, inside, target.space, target.depth)
        return rgba if free is None else material.masked(rgba, target.depth, free(part))

    yield Source(place.width, place.height, (yield from in_slices([place], SLICE, read)))
