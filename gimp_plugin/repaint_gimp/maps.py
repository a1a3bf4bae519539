"""Maps in GIMP: the layers that can be painted along with the active one, found and read."""

from __future__ import annotations

from typing import Generator, List, Optional, Tuple

from gi.repository import Gimp

from bridge_server.client.editor import sentences
from bridge_server.client.editor.areas import marks
from bridge_server.client.editor.maps import Candidate, MapWish, Reading, along
from bridge_server.client.editor.material import masked, usable
from bridge_server.client.editor.model import Capture, MapTarget, Refused, Target
from bridge_server.client.editor.reading import in_slices
from bridge_server.client.geometry import Box

from . import pixels
from .lookup import find_layer, layers_of, selected_layer
from .seen import filtered, outside_filters

OURS = "RePaint "  # how the names of the plug-in's layers begin
SLICE = 1 << 18  # pixels read at a time, as in `host`


def candidates(image: Gimp.Image) -> List[Candidate]:
    """All layers but the active one, the groups it stands in, and the plug-in's own; the highest first."""
    active, chosen = selected_layer(image), list(image.get_selected_layers())
    group = active.get_parent() if active is not None else None
    skipped = {active.get_id()} if active is not None else set()
    above = group
    while above is not None:
        skipped.add(above.get_id())
        above = above.get_parent()
    found = []
    for layer in layers_of(image):
        if layer.get_id() not in skipped and not layer.get_name().startswith(OURS):
            near = active is not None and layer.get_parent() == group
            found.append(Candidate(str(layer.get_id()), layer.get_name(), layer in chosen, near))
    return found


def found(image: Gimp.Image, wish: MapWish) -> Gimp.Layer:
    """Raises `Refused`."""
    layer = find_layer(image, wish.layer)
    if layer is None:
        raise wish.refusal(sentences.MAP_GONE)
    return layer


def read(image: Gimp.Image, wishes: Tuple[MapWish, ...], capture: Capture) -> Generator[None, None, Capture]:
    """The capture with the layers that are painted along, each in its own depth and colours. Raises `Refused`."""

    def one(wish: MapWish) -> Reading:
        layer = found(image, wish)
        with filtered(layer) as seen:
            form = pixels.Form.of(seen)
            rgba = yield from _read(seen, form, wish, capture)
        below = outside_filters(layer)
        above = str(below.get_id()) if below is not None else wish.layer
        return wish.target(above, form.depth, form.linear, form.name, layer.get_visible()), rgba

    return (yield from along(capture, wishes, one))


def _read(layer: Gimp.Layer, form: pixels.Form, wish: MapWish, capture: Capture) -> Generator[None, None, bytes]:
    _, x, y = layer.get_offsets()
    grown = capture.target.grown or Box(0, 0, 0, 0)  # the canvas is to grow by so much
    own = Box(x + grown.x, y + grown.y, layer.get_width(), layer.get_height())
    buffer = layer.get_buffer()

    def read(part: Box) -> bytes:
        if not layer.is_valid():
            raise Refused(sentences.CHANGED)
        inside = Box(part.x - own.x, part.y - own.y, part.width, part.height)
        rgba = pixels.outgoing(buffer, inside, form.name, form.depth)
        if not own.holds(part):  # without an alpha channel a layer reads as black there
            rgba = masked(rgba, form.depth, usable(marks(part, own)))
        return wish.checked(rgba, form.depth, capture, part)

    return (yield from in_slices([capture.target.box], SLICE, read))


def layer_of(image: Gimp.Image, target: Target, one: MapTarget) -> Optional[Gimp.Layer]:
    """That of a map, by its id; of an earlier session by its name. If it is gone, that of the run."""
    if one.active:
        return find_layer(image, one.active) or find_layer(image, target.active)
    return next((layer for layer in layers_of(image) if layer.get_name() == one.name), None)
