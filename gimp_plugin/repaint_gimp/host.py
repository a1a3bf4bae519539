"""GIMP's images for the shared `flow`: found again by id, read in slices, written by `layer.PreviewLayer`.

What is odd about GIMP is in docs/reports/hosts.md. The plug-in is a process of its own, so that reading does not
hold GIMP up; slices keep the plug-in's own window alive. Nothing here needs a display.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Generator, Iterator, List, Optional, Tuple

from gi.repository import Gimp, Gio

from bridge_server.client.editor import sentences as shared
from bridge_server.client.editor.areas import grown_size, selected_pixels
from bridge_server.client.editor.host import Identity
from bridge_server.client.editor.maps import Candidate, MapWish, Together, map_name
from bridge_server.client.editor.material import LAYER, Wish, checked
from bridge_server.client.editor.model import Capture, Refused, Settings, Target
from bridge_server.client.editor.probe import Probe
from bridge_server.client.editor.reading import Wanted, in_slices, wanted
from bridge_server.client.geometry import Box, grown_box

from . import maps, material, pixels, sentences
from .layer import PreviewLayer
from .lookup import find_image, find_layer, select_items, selected_items, selected_layer
from .seen import filtered, outside_filters

PARASITE = "repaint-bridge"
OURS = "RePaint "  # how the names of the plug-in's layers begin
SLICE = 1 << 18  # pixels read at a time (2 to 10 ms)
KINDS = {
    Gimp.ImageBaseType.RGB: Gimp.ImageType.RGBA_IMAGE,
    Gimp.ImageBaseType.GRAY: Gimp.ImageType.GRAYA_IMAGE,
    Gimp.ImageBaseType.INDEXED: Gimp.ImageType.INDEXEDA_IMAGE,
}


class GimpHost:
    """A `Host`. ``image``: the id of the image that the artist works on (GIMP does not tell)."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.image = ""

    # ---- which image ----
    def identity(self) -> Optional[Identity]:
        image = find_image(self.image)
        return Identity(self.image, _key(image), _path(image)) if image is not None else None

    def canvas_size(self) -> Optional[Tuple[str, int, int]]:
        image = find_image(self.image)
        return (self.image, image.get_width(), image.get_height()) if image is not None else None

    def extent(self, padding: int = 0) -> Tuple[int, int]:
        image = find_image(self.image)
        bounds = _selected(image) if image is not None else None
        if image is None or bounds is None:
            return 0, 0
        buffer = image.get_selection().get_buffer()
        count = selected_pixels(bounds, lambda part: pixels.read(buffer, part, pixels.MARKS))
        return grown_box(bounds, image.get_width(), image.get_height(), padding).area, count

    def selected(self) -> Optional[Tuple[str, Optional[Box]]]:
        image = find_image(self.image)
        return (self.image, _selected(image)) if image is not None else None

    def thumbnail(self, side: int) -> Any:
        """A pixbuf of the image worked on, at most ``side`` pixels each way; None if there is none."""
        image = find_image(self.image)
        if image is None:
            return None
        scale = min(1.0, side / max(image.get_width(), image.get_height()))
        width, height = max(1, round(scale * image.get_width())), max(1, round(scale * image.get_height()))
        with self.probe.host():
            return image.get_thumbnail(width, height, Gimp.PixbufTransparency.KEEP_ALPHA)

    def materials(self, kind: str) -> List[str]:
        image = find_image(self.image)
        return material.names(image, kind) if image is not None else []

    def material_picture(self, wish: Wish, side: int) -> Any:
        image = find_image(self.image)
        if image is None:
            return None
        with self.probe.host():
            return material.picture(image, wish, side)

    def maps(self) -> List[Candidate]:
        image = find_image(self.image)
        return maps.candidates(image) if image is not None else []

    def open(self, path: Path) -> None:
        """Opens a picture file in a window of its own."""
        with self.probe.host():
            image = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path(str(path)))
            image.undo_enable()  # which GIMP leaves to whoever has a picture loaded
            image.clean_all()
            Gimp.Display.new(image)
        self.image = str(image.get_id())

    # ---- reading ----
    def capture(self, settings: Settings) -> Iterator[Optional[Capture]]:
        """Reads what ``settings.area`` asks for of the image; yields None between slices and at last the Capture.

        Nothing is changed: for an `Extend` the canvas grows when the layer is added. Raises `Refused`.
        """
        image = find_image(self.image)
        if image is None:
            raise Refused(shared.NO_DOCUMENT)
        if image.get_floating_sel() is not None:
            raise Refused(sentences.FLOATING)
        active = selected_layer(image)
        wish = settings.material
        if active is None and (settings.source == "layer" or (wish is not None and wish.kind == LAYER)):
            raise Refused(shared.NO_LAYER)
        for each in settings.maps:
            maps.found(image, each)
        want = yield from self._wanted(image, settings)
        below = active if settings.source == "layer" else outside_filters(active)
        target = Target(
            self.image,
            str(below.get_id()) if below is not None else "",
            want.box,
            want.bounds,
            key=_key(image, make=True),
            path=_path(image),
            grown=want.grown,
            pieces=want.pieces,
            parts=want.parts,
        )
        if settings.source == "layer" and active is not None:
            with filtered(active) as seen:
                yield from self._read(image, seen, target, want.marks, active, wish, settings.maps)
            return
        with self.probe.host():
            visible = Gimp.Layer.new_from_visible(image, image, OURS)  # never enters the image
        try:
            yield from self._read(image, visible, target, want.marks, active, wish)
        finally:
            if visible.is_valid():
                visible.delete()

    def _read(
        self,
        image: Gimp.Image,
        source: Gimp.Layer,
        target: Target,
        chosen: Callable[[Box], bytes],
        active: Optional[Gimp.Layer],
        wish: Optional[Wish],
        along: Tuple[MapWish, ...] = (),
    ) -> Generator[Optional[Capture], None, None]:
        """The target's box of ``source``, a layer of the image or of its own, in its colours; what the fill is to be
        made of, and the maps that are painted along."""
        form = pixels.Form.of(source)
        target = replace(target, depth=form.depth, linear=form.linear, space=form.name)
        _, x, y = source.get_offsets()
        if target.grown is not None:  # the canvas is to grow by so much
            x, y = x + target.grown.x, y + target.grown.y
        buffer = source.get_buffer()
        marked: List[bytes] = []

        def read(part: Box) -> bytes:
            if not image.is_valid() or not source.is_valid():
                raise Refused(shared.CHANGED)
            marked.append(chosen(part))
            return pixels.outgoing(buffer, Box(part.x - x, part.y - y, part.width, part.height), form.name, form.depth)

        colours = yield from in_slices(target.pieces or [target.box], SLICE, read)
        capture = Capture(target, colours, b"".join(marked))
        if wish is not None:
            around = active if wish.kind == LAYER and active is not None else source
            for found in material.read(image, around, wish, target, chosen):
                if found is None:
                    yield None
                else:
                    capture = replace(capture, source=checked(found, target.depth, wish))
            if capture.source is not None and wish.shares:
                shares = yield from material.shares(image, wish, target)
                capture = replace(capture, source=replace(capture.source, shares=shares))
        yield (yield from maps.read(image, along, capture))

    def _wanted(self, image: Gimp.Image, settings: Settings) -> Generator[None, None, Wanted]:
        bounds, buffer = _selected(image), image.get_selection().get_buffer()
        if settings.feather and settings.area is None and bounds is not None:
            buffer = pixels.softened(buffer, bounds, settings.feather)
        size = image.get_width(), image.get_height()
        return wanted(*size, settings, bounds, lambda part: pixels.read(buffer, part, pixels.MARKS))

    # ---- writing ----
    def add_layer(self, target: Target, name: str, above_active: bool = False, deselect: bool = False) -> Any:
        """One new, empty layer above the run's active layer and above each of its maps, for an `Extend` with the larger
        canvas: one undo step. The selected layers or channels stay selected. Raises `Refused`.

        above_active: above the layer that is selected now (for a picture put in later) instead of at the click.
        deselect: what was selected at the click is not any more, in the same undo step.
        """
        image = find_image(target.document)
        if image is None:
            raise Refused(shared.CLOSED_DOCUMENT)
        if image.get_floating_sel() is not None:
            raise Refused(sentences.FLOATING)
        size, wanted = (image.get_width(), image.get_height()), grown_size(target)
        old = target.grown
        if old is not None and size not in (wanted, (old.width, old.height)):
            raise Refused(sentences.OTHER_SIZE)
        selected = selected_items(image)
        above = outside_filters(selected_layer(image)) if above_active else find_layer(image, target.active)
        made = [(_new(image, target, name), above)]
        for one in target.maps:
            layer = _new(image, target, map_name(name, one))
            layer.set_visible(one.shown)
            made.append((layer, maps.layer_of(image, target, one) or above))
        marks = b""
        with self.probe.host():
            image.undo_group_start()
            try:
                if old is not None and size != wanted:
                    image.resize(*wanted, old.x, old.y)
                added = [layer for layer, place in made if image.insert_layer(layer, *_place(image, place))]
                if len(added) < len(made):
                    for layer in added:
                        image.remove_layer(layer)
                    if old is not None:
                        image.resize(old.width, old.height, -old.x, -old.y)
                elif deselect and _selected(image) == target.bounds:
                    marks = pixels.read(image.get_selection().get_buffer(), target.bounds, pixels.MARKS)
                    Gimp.Selection.none(image)
            finally:
                image.undo_group_end()
            if len(added) == len(made):
                select_items(image, selected)
            Gimp.displays_flush()
        if len(added) < len(made):
            for layer, _ in made:
                if layer not in added:
                    layer.delete()
            raise Refused(sentences.NOT_ADDED)
        lead, *others = [layer for layer, _ in made]
        whole = PreviewLayer(self.probe, target, lead, selected, marks)
        if not others:
            return whole
        along = [
            PreviewLayer(self.probe, target.of_map(one), layer, selected) for one, layer in zip(target.maps, others)
        ]
        return MapLayers(whole, along, target.maps)

    def withdraw(self, target: Target) -> None:
        """After a cancel: nothing, for the layer takes the larger canvas with it, in one undo step."""


class MapLayers(Together):
    """Those of a run with maps: GIMP takes them away in one undo step, too."""

    lead: PreviewLayer

    def remove(self) -> None:
        image = find_image(self.lead.target.document)
        if image is None:
            return
        image.undo_group_start()
        try:
            for layer in (*self.others, self.lead):  # the canvas becomes smaller with the last one
                layer.remove()
        finally:
            image.undo_group_end()


def _new(image: Gimp.Image, target: Target, name: str) -> Gimp.Layer:
    """An empty layer for what the target paints; it is not in the image yet."""
    bounds, mode = target.bounds, image.get_default_new_layer_mode()
    layer = Gimp.Layer.new(image, name, bounds.width, bounds.height, KINDS[image.get_base_type()], 100.0, mode)
    layer.fill(Gimp.FillType.TRANSPARENT)
    layer.set_offsets(bounds.x, bounds.y)
    return layer


def _selected(image: Gimp.Image) -> Optional[Box]:
    """The box around every selected pixel; None if nothing is selected."""
    found, some, left, top, right, bottom = Gimp.Selection.bounds(image)
    return Box(left, top, right - left, bottom - top) if found and some else None


def _key(image: Gimp.Image, make: bool = False) -> str:
    """What the plug-in has left in the image to know it again, "" if nothing; it is saved with an .xcf."""
    parasite = image.get_parasite(PARASITE)
    if parasite is not None:
        return bytes(parasite.get_data()).decode("ascii", "replace")[:64]
    if not make:
        return ""
    key = secrets.token_hex(16)
    # Not undoable: neither an undo step, nor is the image marked as changed.
    image.attach_parasite(Gimp.Parasite.new(PARASITE, Gimp.PARASITE_PERSISTENT, key.encode("ascii")))
    return key


def _path(image: Gimp.Image) -> str:
    file = image.get_file()
    return str(file.get_path() or "") if file is not None else ""


def _place(image: Gimp.Image, wanted: Optional[Gimp.Layer]) -> Tuple[Optional[Gimp.Layer], int]:
    """Parent and position for a layer just above ``wanted``; the top of the image if that is None.

    Layers of earlier runs directly above stay below the new one: the model has seen them, and they would hide it.
    """
    if wanted is None:
        return None, 0
    parent = wanted.get_parent()
    siblings = parent.get_children() if parent is not None else image.get_layers()
    place = int(image.get_item_position(wanted))
    while place > 0 and siblings[place - 1].get_name().startswith(OURS):
        place -= 1
    return parent, place
