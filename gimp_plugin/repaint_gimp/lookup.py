"""Images and layers found again by their ids: what was there at the click may be closed or undone later."""

from __future__ import annotations

from typing import List, Optional

from gi.repository import Gimp


def find_image(image_id: str) -> Optional[Gimp.Image]:
    """The open image with this id, else None. GIMP gives no id twice."""
    number = int(image_id) if image_id else 0
    return Gimp.Image.get_by_id(number) if number > 0 and Gimp.Image.id_is_valid(number) else None


def is_changed(image_id: str) -> bool:
    """Whether the image is open and differs from its file."""
    image = find_image(image_id)
    return image is not None and bool(image.is_dirty())


def find_layer(image: Gimp.Image, layer_id: str) -> Optional[Gimp.Layer]:
    """The layer with this id if it stands in the image now, else None."""
    number = int(layer_id) if layer_id else 0
    if number < 1 or not Gimp.Item.id_is_valid(number):
        return None
    item = Gimp.Item.get_by_id(number)
    return item if isinstance(item, Gimp.Layer) and item.get_image() == image else None


def selected_layer(image: Gimp.Image) -> Optional[Gimp.Layer]:
    """The selected layer, of several the highest that is seen (GIMP tells of no order); None if a channel, a path or
    nothing is selected."""
    chosen = list(image.get_selected_layers())
    if len(chosen) > 1:
        chosen = [layer for layer in layers_of(image) if layer in chosen]
        chosen.sort(key=lambda layer: not layer.get_visible())
    return chosen[0] if chosen else None


def selected_items(image: Gimp.Image) -> List[Gimp.Drawable]:
    """What is selected in the list of layers or, if nothing is, in that of channels."""
    return list(image.get_selected_layers() or image.get_selected_channels())


def select_items(image: Gimp.Image, items: List[Gimp.Drawable]) -> None:
    """Selects those of ``items``, which `selected_items` returned at some time, that still stand in the image."""
    there = [item for item in items if item.is_valid() and item.get_image() == image]
    if there and isinstance(there[0], Gimp.Layer):
        image.set_selected_layers(there)
    elif there:
        image.set_selected_channels(there)


def layers_of(image: Gimp.Image) -> List[Gimp.Layer]:
    """All of them, also those in groups, the highest first."""
    found: List[Gimp.Layer] = []
    waiting = list(reversed(image.get_layers()))
    while waiting:
        layer = waiting.pop()
        found.append(layer)
        waiting.extend(reversed(layer.get_children()) if layer.is_group() else ())
    return found
