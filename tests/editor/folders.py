"""The editor that `files` is the host of: a document is a folder with ``picture.png``, ``selection.png`` and a PNG for
each layer, "001 NAME.png" the lowest; "mark NAME.png" is a mark, "NAME.map.png" a map.

A layer is deleted or undone by removing its file, a document closed by its picture's. A deep document has NumPy's files
in their place, (H, W, 4) uint16, float16 or float32; floats are linear.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from bridge_server.client.editor import material
from bridge_server.client.editor.samples import shown
from bridge_server.client.geometry import Box, selection_bounds

DEPTHS = {"uint8": "u8", "uint16": "u16", "float16": "f16", "float32": "f32"}
DTYPES = {depth: dtype for dtype, depth in DEPTHS.items()}


# ---- files ----
def read(path: Path) -> np.ndarray:
    return np.load(path) if path.suffix == ".npy" else np.array(Image.open(path).convert("RGBA"))


def write(path: Path, pixels: np.ndarray) -> None:
    if path.suffix == ".npy":
        np.save(path, pixels)
    else:
        Image.fromarray(pixels).save(path)


def gray(path: Path) -> Callable[[Box], bytes]:
    """A byte for each pixel of a part."""
    pixels = np.array(Image.open(path).convert("L"))
    return lambda part: pixels[slices(part)].tobytes()


def small(path: Path, side: int) -> Image.Image:
    """At most ``side`` pixels each way."""
    pixels = read(path)
    height, width = pixels.shape[:2]
    data, *size = shown(pixels.tobytes(), width, Box(0, 0, width, height), *depth_of(pixels), 2 * side)
    return ImageOps.contain(Image.frombytes("RGBA", tuple(size), data), (side, side))


# ---- pixels ----
def depth_of(pixels: np.ndarray) -> tuple[str, bool]:
    """As it is called on the wire, and whether it is linear."""
    return DEPTHS[pixels.dtype.name], pixels.dtype.kind == "f"


def slices(box: Box) -> tuple[slice, slice]:
    return slice(box.y, box.y + box.height), slice(box.x, box.x + box.width)


def cut(pixels: np.ndarray, box: Box, grown: Box | None = None) -> np.ndarray:
    """``box`` of the canvas; ``grown``: where the picture lies on it once it has grown. Transparent elsewhere."""
    x, y = (grown.x, grown.y) if grown is not None else (0, 0)
    canvas = np.zeros((box.y + box.height, box.x + box.width, 4), pixels.dtype)
    there = canvas[y : y + pixels.shape[0], x : x + pixels.shape[1]]
    there[:] = pixels[: there.shape[0], : there.shape[1]]
    return canvas[slices(box)]


# ---- documents ----
def picture_of(document: Path) -> Path | None:
    """None: the document is closed."""
    return next((path for path in (document / "picture.png", document / "picture.npy") if path.exists()), None)


def size_of(document: Path) -> tuple[int, int]:
    path = picture_of(document)
    height, width = read(path).shape[:2] if path is not None else (0, 0)
    return width, height


def selected(document: Path) -> Box | None:
    """The box around everything selected; None if nothing is."""
    if not (document / "selection.png").exists():
        return None
    selection = Image.open(document / "selection.png").convert("L")
    return selection_bounds(selection.tobytes(), *selection.size)


def names(document: Path, kind: str) -> list[str]:
    """Of what there is of a kind of `material.NAMED`; other documents lie beside this one."""
    if kind == material.PICTURE:
        others = (path for path in document.parent.iterdir() if path != document and path.is_dir())
        return [path.name for path in sorted(others) if picture_of(path)]
    found = sorted(path.stem for path in document.glob("*.png"))
    if kind == material.OTHER:
        return [name for name in found if name[:3].isdigit()]
    return [name[5:] for name in found if name.startswith("mark ")]


def path_of(document: Path, kind: str, name: str) -> Path | None:
    """Of a layer, another document's picture, a file or a mark; None where there is none."""
    if kind == material.PICTURE:
        return picture_of(document.parent / name) if name else None
    places = {material.FILE: Path(name), material.OTHER: document / f"{name}.png"}
    path = places.get(kind, document / f"mark {name}.png")
    return path if path.is_file() else None
