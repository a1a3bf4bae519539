"""Layers as they are seen: GIMP keeps filters beside a layer's pixels, and a drawable's buffer is without them.

Link, vector and text layers are read like others: their buffer holds what GIMP has drawn of them.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator, Optional

from gi.repository import Gimp


def is_filtered(layer: Gimp.Layer) -> bool:
    """Whether a filter that is switched on lies on it. One on its group does not count."""
    return any(found.get_visible() for found in layer.get_filters())


@contextmanager
def filtered(layer: Gimp.Layer) -> Iterator[Gimp.Layer]:
    """A layer with what its own filters make of its pixels, also beyond its border, whatever its opacity, mode and
    mask: itself if it has none, else a copy in an image of its own, of the same precision and colours (an indexed one's
    in RGB), that nobody sees. In the artist's own image a copied vector layer would leave its path behind."""
    if not is_filtered(layer):
        yield layer
        return
    aside = _like(layer.get_image())
    try:
        copy = Gimp.Layer.new_from_drawable(layer, aside)
        copy.set_lock_content(False)  # which would keep GIMP from merging
        copy.set_visible(True)
        copy.set_opacity(100.0)
        copy.set_mode(aside.get_default_new_layer_mode())
        aside.insert_layer(copy, None, 0)
        if copy.get_mask() is not None:
            copy.remove_mask(Gimp.MaskApplyMode.DISCARD)
        if isinstance(copy, Gimp.GroupLayer):  # to these GIMP applies no filter
            copy = copy.merge()
        else:
            copy.merge_filters()
        yield copy
    finally:
        aside.delete()


def _like(image: Gimp.Image) -> Gimp.Image:
    """An empty image with the same colours, without a window and without undo."""
    base, precision = image.get_base_type(), image.get_precision()
    if base == Gimp.ImageBaseType.INDEXED:
        base = Gimp.ImageBaseType.RGB
    made = Gimp.Image.new_with_precision(1, 1, base, precision)
    made.undo_disable()
    profile = image.get_color_profile()
    if profile is not None:
        made.set_color_profile(profile)
    return made


def outside_filters(layer: Optional[Gimp.Layer]) -> Optional[Gimp.Layer]:
    """The outermost of its groups that has a filter, else the layer: a picture of what is seen does not go through that
    filter a second time if it is put above this one."""
    found = group = layer
    while group is not None:
        group = group.get_parent()
        if group is not None and is_filtered(group):
            found = group
    return found
