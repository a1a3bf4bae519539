"""An editor made of files, complete: a document is a folder with ``picture.png``, ``selection.png`` and a PNG for each
layer, "001 NAME.png" the lowest. A layer is deleted or undone by removing its file, a document closed by its picture's.

A deep document has NumPy's files in their place, (H, W, 4) uint16, float16 or float32; floats are linear.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from bridge_server.client.editor import areas, maps, material, model, sentences
from bridge_server.client.editor.apart import apart
from bridge_server.client.editor.host import Identity, Layer
from bridge_server.client.editor.maps import Candidate, MapWish
from bridge_server.client.editor.material import Source, Wish
from bridge_server.client.editor.model import CLOSED, GONE, THERE, Capture, Extend, Picture, Refused, Settings, Target
from bridge_server.client.editor.samples import shown
from bridge_server.client.geometry import Box, grown_box, selection_bounds

DEPTHS = {"uint8": "u8", "uint16": "u16", "float16": "f16", "float32": "f32"}


class FileLayer:
    """A `Layer`: one file as large as the document."""

    def __init__(self, target: Target, path: Path, deselected: bytes = b"") -> None:
        self.target, self.path, self.deselected = target, path, deselected

    def state(self) -> str:
        if _picture(self.path.parent) is None:
            return CLOSED
        return THERE if self.path.exists() else GONE

    def paint(self, picture: Picture) -> Generator[None, None, float]:
        yield
        began = time.monotonic()
        if self.state() != THERE:
            return 0.0
        pixels = np.zeros_like(read(self.path))
        self._write_selected(pixels, picture)
        _write(self.path, pixels)
        return time.monotonic() - began

    def holds(self, picture: Picture) -> Generator[None, None, bool]:
        yield
        if self.state() != THERE:
            return False
        there = read(self.path)
        expected = there.copy()
        self._write_selected(expected, picture)
        return np.array_equal(there, expected)

    def _write_selected(self, pixels: np.ndarray, picture: Picture) -> None:
        depth = next(name for name, depth in DEPTHS.items() if depth == self.target.depth)
        for place in self.target.on_canvas(picture):
            data = picture.cut(self.target.inside(place), self.target.depth)
            pixels[_part(place)] = np.frombuffer(data, depth).reshape(place.height, place.width, 4)

    def clear(self) -> None:
        if self.state() == THERE:
            _write(self.path, np.zeros_like(read(self.path)))

    def rename(self, name: str) -> None:
        if self.state() == THERE:
            name = f"{self.path.name[:3]} {name.replace('/', '-')}{self.path.suffix}"
            self.path = self.path.rename(self.path.with_name(name))

    def set_visible(self, visible: bool) -> None:
        """A hidden layer's file can be read by nobody."""
        if self.state() == THERE:
            self.path.chmod(0o600 if visible else 0)

    def remove(self) -> None:
        if self.state() == THERE:
            self.path.unlink()
            selection = self.path.parent / "selection.png"
            if self.deselected and not selection.exists():
                selection.write_bytes(self.deselected)


class FileHost:
    """A `Host`. ``folder``: the document in front, None if there is none."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.selected_maps: set[str] = set()
        self._count = 0

    def identity(self) -> Identity | None:
        return Identity(str(self.folder), "", str(_picture(self.folder))) if self.folder else None

    def canvas_size(self) -> tuple[str, int, int] | None:
        return (str(self.folder), *_size(self.folder)) if self.folder else None

    def extent(self, padding: int = 0) -> tuple[int, int]:
        found = _bounds(self.folder) if self.folder else None
        if found is None:
            return 0, 0
        selection = np.array(Image.open(self.folder / "selection.png").convert("L"))
        count = areas.selected_pixels(found, lambda part: selection[_part(part)].tobytes())
        return grown_box(found, *_size(self.folder), padding).area, count

    def selected(self) -> tuple[str, Box | None] | None:
        return (str(self.folder), _bounds(self.folder)) if self.folder else None

    def thumbnail(self, side: int) -> Image.Image | None:
        path = _picture(self.folder) if self.folder is not None else None
        if path is None:
            return None
        pixels = read(path)
        height, width, _ = pixels.shape
        depth, linear = DEPTHS[pixels.dtype.name], pixels.dtype.kind == "f"
        data, *size = shown(pixels.tobytes(), width, Box(0, 0, width, height), depth, linear, 2 * side)
        return ImageOps.contain(Image.frombytes("RGBA", tuple(size), data), (side, side))

    def open(self, path: Path) -> None:
        """As a document without a selection in a folder beside it."""
        self.folder = path.with_suffix("")
        self.folder.mkdir()
        with Image.open(path) as picture:
            picture.convert("RGBA").save(self.folder / "picture.png")

    def materials(self, kind: str) -> list[str]:
        """Layers, marks (``mark NAME.png`` in the folder), and documents that lie beside this one."""
        if self.folder is None:
            return []
        if kind == material.PICTURE:
            others = (path for path in self.folder.parent.iterdir() if path != self.folder and path.is_dir())
            return [path.name for path in sorted(others) if _picture(path)]
        found = sorted(path.stem for path in self.folder.glob("*.png"))
        marks = [name[5:] for name in found if name.startswith("mark ")]
        return marks if kind in (material.MARKED, material.UNMARKED) else [name for name in found if name[:3].isdigit()]

    def material_picture(self, wish: Wish, side: int) -> Image.Image | None:
        """Only of layers."""
        path = self.folder / f"{wish.name}.png" if self.folder else None
        return ImageOps.contain(Image.open(path), (side, side)) if path and path.exists() else None

    def _source(self, wish: Wish | None, capture: Capture) -> Source | None:
        if wish is None or self.folder is None:
            return None
        if wish.kind in (material.LAYER, material.MARKED, material.UNMARKED):
            marks, box = b"", capture.target.box
            if wish.kind != material.LAYER:
                marks = self._marks(wish, box)
            free = material.usable(capture.selection, marks, wish.kind == material.UNMARKED)
            rgba = material.masked(capture.pixels, capture.target.depth, free)
            return material.checked(Source(box.width, box.height, rgba), capture.target.depth, wish)
        places = {material.OTHER: self.folder / f"{wish.name}.png", material.FILE: Path(wish.name)}
        found = places[wish.kind] if wish.kind in places else _picture(self.folder.parent / wish.name)
        if not wish.name or found is None or not found.exists():
            raise wish.gone()
        pixels = read(found)
        height, width = pixels.shape[:2]
        return material.checked(Source(width, height, pixels.tobytes()), capture.target.depth, wish)

    def maps(self) -> list[Candidate]:
        """Files beside the picture: "NAME.map.png" or "NAME.map.npy". All of them are in its group."""
        found = sorted(self.folder.glob("*.map.*")) if self.folder else []
        return [Candidate(path.name, path.name.split(".")[0], path.name in self.selected_maps, True) for path in found]

    def _with_maps(self, wishes: tuple[MapWish, ...], capture: Capture, margins: tuple[int, ...]) -> Capture:
        """Each as large as the picture, or smaller."""
        targets, found, box = [], [], capture.target.box
        left, top, right, bottom = margins
        for wish in wishes:
            path = self.folder / wish.layer if self.folder else Path()
            if not path.exists():
                raise wish.refusal(sentences.MAP_GONE)
            pixels = np.pad(read(path), ((top, bottom), (left, right), (0, 0)))
            whole = np.zeros((box.y + box.height, box.x + box.width, 4), pixels.dtype)
            whole[: pixels.shape[0], : pixels.shape[1]] = pixels[: whole.shape[0], : whole.shape[1]]
            depth, rgba = DEPTHS[pixels.dtype.name], whole[_part(box)].tobytes()
            if maps.uncovered(capture, rgba, depth):
                raise wish.refusal(sentences.MAP_SMALLER)
            targets.append(wish.target(wish.layer, depth, False, "", True))
            found.append(rgba)
        return replace(capture, target=replace(capture.target, maps=tuple(targets)), maps=tuple(found))

    def capture(self, settings: Settings) -> Iterator[Capture | None]:
        """A document has one picture, whatever ``settings.source`` says."""
        path = _picture(self.folder) if self.folder is not None else None
        if self.folder is None or path is None:
            raise Refused(sentences.NO_DOCUMENT)
        yield None
        pixels, grown, area, places = read(path), None, settings.area, None
        height, width = pixels.shape[:2]
        if isinstance(area, Extend):
            box, bounds, grown = areas.extended(width, height, area, settings.padding)
            pixels = np.pad(pixels, ((area.top, area.bottom), (area.left, area.right), (0, 0)))
            marks = lambda part: areas.marks(part, grown)  # noqa: E731
        elif isinstance(area, model.Tile):
            box = bounds = Box(0, 0, width, height)
            marks = areas.frame(box, area)
        else:
            bounds = _bounds(self.folder)
            if bounds is None:
                raise Refused(sentences.NO_SELECTION)
            box = grown_box(bounds, width, height, settings.padding)
            selection = np.array(Image.open(self.folder / "selection.png").convert("L"))
            marks = lambda part: selection[_part(part)].tobytes()  # noqa: E731
            if settings.apart:
                places = yield from apart(bounds, box, settings.padding, marks)
        depth, linear = DEPTHS[pixels.dtype.name], pixels.dtype.kind == "f"
        target = Target(str(self.folder), "", box, bounds, "", str(path), grown, depth, linear, "", *(places or ()))
        pieces = target.pieces or (box,)
        sent = b"".join(pixels[_part(piece)].tobytes() for piece in pieces)
        capture = Capture(target, sent, b"".join(map(marks, pieces)))
        margins = (area.left, area.top, area.right, area.bottom) if isinstance(area, Extend) else (0, 0, 0, 0)
        capture = self._with_maps(settings.maps, capture, margins)
        source, wish = self._source(settings.material, capture), settings.material
        if source is not None and wish is not None and wish.shares:
            source = replace(source, shares=self._marks(wish.of_shares, box))
        yield replace(capture, source=source)

    def _marks(self, wish: Wish, box: Box) -> bytes:
        path = self.folder / f"mark {wish.name}.png" if self.folder is not None else Path()
        if not path.is_file():
            raise wish.gone()
        return np.asarray(Image.open(path).convert("L"))[_part(box)].tobytes()

    def add_layer(self, target: Target, name: str, above_active: bool = False, deselect: bool = False) -> Layer:
        """The new layer is the highest: no other one is ever active."""
        del above_active
        folder, old = Path(target.document), target.grown
        path = _picture(folder)
        if path is None:
            raise Refused(sentences.CLOSED_DOCUMENT)
        picture = read(path)
        if old is not None:
            larger = np.zeros((*areas.grown_size(target)[::-1], 4), picture.dtype)
            larger[_part(old)], picture = picture, larger
            _write(path, picture)
        deselected = b""
        if deselect and _bounds(folder) == target.bounds:
            deselected = (folder / "selection.png").read_bytes()
            (folder / "selection.png").unlink()
        lead = self._add(target, name, path.suffix, np.zeros_like(picture), deselected)
        others = []
        for one in target.maps:
            own = folder / one.active if one.active else next(folder.glob(f"{one.name}.map.*"))
            dtype = next(name for name, depth in DEPTHS.items() if depth == one.depth)
            others.append(
                self._add(target.of_map(one), maps.map_name(name, one), own.suffix, np.zeros_like(picture, dtype))
            )
        return maps.Together(lead, others, target.maps) if others else lead

    def _add(self, target: Target, name: str, suffix: str, pixels: np.ndarray, deselected: bytes = b"") -> FileLayer:
        self._count += 1
        layer = FileLayer(target, Path(target.document) / f"{self._count:03}{suffix}", deselected)
        _write(layer.path, pixels)
        layer.rename(name)
        return layer

    def withdraw(self, target: Target) -> None:
        """The canvas as it was before an extension."""
        path = _picture(Path(target.document))
        if target.grown is not None and path is not None:
            _write(path, read(path)[_part(target.grown)])


def _picture(folder: Path) -> Path | None:
    """None: the document is closed."""
    return next((path for path in (folder / "picture.png", folder / "picture.npy") if path.exists()), None)


def _size(folder: Path) -> tuple[int, int]:
    path = _picture(folder)
    height, width = read(path).shape[:2] if path is not None else (0, 0)
    return width, height


def read(path: Path) -> np.ndarray:
    return np.load(path) if path.suffix == ".npy" else np.array(Image.open(path).convert("RGBA"))


def _write(path: Path, pixels: np.ndarray) -> None:
    if path.suffix == ".npy":
        np.save(path, pixels)
    else:
        Image.fromarray(pixels).save(path)


def _part(box: Box) -> tuple[slice, slice]:
    return slice(box.y, box.y + box.height), slice(box.x, box.x + box.width)


def _bounds(folder: Path) -> Box | None:
    if not (folder / "selection.png").exists():
        return None
    selection = Image.open(folder / "selection.png").convert("L")
    return selection_bounds(selection.tobytes(), *selection.size)
