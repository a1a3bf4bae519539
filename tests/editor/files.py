"""A complete host, as small as one can be: of an editor made of files, whose documents are `folders`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from bridge_server.client.editor import areas, maps, material, sentences
from bridge_server.client.editor.host import Identity, Layer
from bridge_server.client.editor.maps import Candidate, MapWish, Reading
from bridge_server.client.editor.material import Source, Wish
from bridge_server.client.editor.model import Capture, Refused, Settings, Target
from bridge_server.client.editor.reading import wanted
from bridge_server.client.geometry import Box, grown_box
from tests.editor import folders
from tests.editor.file_layer import FileLayer
from tests.editor.folders import DTYPES, cut, depth_of, gray, picture_of, read, selected, size_of, slices, write


class FileHost:
    """A `Host`. ``folder``: the document in front, None if there is none."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.selected_maps: set[str] = set()
        self._count = 0

    def identity(self) -> Identity | None:
        return Identity(str(self.folder), "", str(picture_of(self.folder))) if self.folder else None

    def canvas_size(self) -> tuple[str, int, int] | None:
        return (str(self.folder), *size_of(self.folder)) if self.folder else None

    def extent(self, padding: int = 0) -> tuple[int, int]:
        found = selected(self.folder) if self.folder else None
        if self.folder is None or found is None:
            return 0, 0
        count = areas.selected_pixels(found, gray(self.folder / "selection.png"))
        return grown_box(found, *size_of(self.folder), padding).area, count

    def selected(self) -> tuple[str, Box | None] | None:
        return (str(self.folder), selected(self.folder)) if self.folder else None

    def thumbnail(self, side: int) -> Image.Image | None:
        path = picture_of(self.folder) if self.folder else None
        return folders.small(path, side) if path else None

    def open(self, path: Path) -> None:
        """As a document without a selection in a folder beside it."""
        self.folder = path.with_suffix("")
        self.folder.mkdir()
        write(self.folder / "picture.png", read(path))

    def materials(self, kind: str) -> list[str]:
        return folders.names(self.folder, kind) if self.folder else []

    def material_picture(self, wish: Wish, side: int) -> Image.Image | None:
        path = folders.path_of(self.folder, wish.kind, wish.name) if self.folder else None
        return folders.small(path, side) if path and wish.kind != material.FILE else None

    def maps(self) -> list[Candidate]:
        """All of them are in the picture's group."""
        found = sorted(self.folder.glob("*.map.*")) if self.folder else []
        return [Candidate(path.name, path.name.split(".")[0], path.name in self.selected_maps, True) for path in found]

    def capture(self, settings: Settings) -> Iterator[Capture | None]:
        """A document has one picture, whatever ``settings.source`` says."""
        folder, path = self.folder, picture_of(self.folder) if self.folder else None
        if folder is None or path is None:
            raise Refused(sentences.NO_DOCUMENT)
        yield None
        pixels, bounds, wish = read(path), selected(folder), settings.material
        marks = gray(folder / "selection.png") if bounds is not None else None
        want = yield from wanted(*size_of(folder), settings, bounds, marks)
        facts = (str(path), want.grown, *depth_of(pixels), "", want.pieces, want.parts)
        target = Target(str(folder), "", want.box, want.bounds, "", *facts)
        pieces = want.pieces or (want.box,)
        sent = b"".join(cut(pixels, piece, want.grown).tobytes() for piece in pieces)
        capture = Capture(target, sent, b"".join(map(want.marks, pieces)))
        capture = yield from maps.along(capture, settings.maps, lambda each: self._map(folder, each, capture))
        if wish is not None:
            shares = gray(self._found(folder, wish.of_shares))(want.box) if wish.shares else b""
            capture = replace(capture, source=replace(self._source(folder, wish, capture), shares=shares))
        yield capture

    def _map(self, folder: Path, wish: MapWish, capture: Capture) -> Reading:
        yield
        if not (folder / wish.layer).exists():
            raise wish.refusal(sentences.MAP_GONE)
        pixels = cut(read(folder / wish.layer), capture.target.box, capture.target.grown)
        depth, linear = depth_of(pixels)
        rgba = wish.checked(pixels.tobytes(), depth, capture, capture.target.box)
        return wish.target(wish.layer, depth, linear, "", True), rgba

    def _source(self, folder: Path, wish: Wish, capture: Capture) -> Source:
        box, depth = capture.target.box, capture.target.depth
        if wish.kind in (material.LAYER, material.MARKED, material.UNMARKED):
            marks = b"" if wish.kind == material.LAYER else gray(self._found(folder, wish))(box)
            free = material.usable(capture.selection, marks, wish.kind == material.UNMARKED)
            found = Source(box.width, box.height, material.masked(capture.pixels, depth, free))
        else:
            pixels = read(self._found(folder, wish))
            found = Source(pixels.shape[1], pixels.shape[0], pixels.tobytes())
        return material.checked(found, depth, wish)

    def _found(self, folder: Path, wish: Wish) -> Path:
        path = folders.path_of(folder, wish.kind, wish.name)
        if path is None:
            raise wish.gone()
        return path

    def add_layer(self, target: Target, name: str, above_active: bool = False, deselect: bool = False) -> Layer:
        """The new layer is the highest: no other one is ever active."""
        del above_active
        folder = Path(target.document)
        path, selection = picture_of(folder), folder / "selection.png"
        if path is None:
            raise Refused(sentences.CLOSED_DOCUMENT)
        if target.grown is not None:
            write(path, cut(read(path), Box(0, 0, *areas.grown_size(target)), target.grown))
        deselected = b""
        if deselect and selected(folder) == target.bounds:
            deselected = selection.read_bytes()
            selection.unlink()
        lead = self._add(target, name, path.suffix, deselected)
        others = []
        for one in target.maps:
            own = folder / one.active if one.active else next(folder.glob(f"{one.name}.map.*"))
            others.append(self._add(target.of_map(one), maps.map_name(name, one), own.suffix))
        return maps.Together(lead, others, target.maps) if others else lead

    def _add(self, target: Target, name: str, suffix: str, deselected: bytes = b"") -> FileLayer:
        self._count += 1
        folder = Path(target.document)
        layer = FileLayer(target, folder / f"{self._count:03}{suffix}", deselected)
        width, height = size_of(folder)
        write(layer.path, np.zeros((height, width, 4), DTYPES[target.depth]))
        layer.rename(name)
        return layer

    def withdraw(self, target: Target) -> None:
        """The canvas as it was before an extension."""
        path = picture_of(Path(target.document))
        if target.grown is not None and path is not None:
            write(path, read(path)[slices(target.grown)])
