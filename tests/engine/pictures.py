"""README's pictures of before and after, by the engine as it is: a path taken out of the demonstration's photograph,
two extensions and a tile by each of the built-in models; and the guide's, maps that are extended together.

    python -m tests.engine.pictures [--out docs/images] [--only NAMES] [--photographs RUN]

``--photographs`` makes only the comparison with PyPatchMatch and the sheet of all cases, from the folder of a finished
``bench photo --set judgement`` and the pictures in its cache.

The textures are the jury's (engine/bench/jury/LICENSES.md); nothing was chosen or tuned on them. The network learns
each of them first; with other programs beside it it takes fewer steps in the same time, and paints another picture.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from engine import api, canvas
from engine.bench import photo
from engine.bench.cases import FOLDER, read_picture
from engine.canvas import extend
from engine.files import imagefile, maskfile

ASSETS = Path(__file__).parents[2] / "engine" / "assets"
REMOVAL, MAPS = "removal", "extend-maps"
STONE = Path(__file__).parent / "data" / "stone"
"""Colour, normals and height of one wall."""
SHOWN = (slice(340, 900), slice(60, 620))
"""Rows and columns of the photograph that its picture shows."""
GAP = 12
SEED = 1
LEARN = 180.0
"""Seconds that the network learns a picture."""


COMPARED = (
    "kite-removal",
    "barrier-removal",
    "boardwalk-hole-256",
    "generator-hole-128",
    "facade-hole-256",
    "dusk-hole-512",
)
"""Cases of ``bench photo``, of its judgement."""
MARGIN, CELL = 64, 320
"""Pixels around a hole, and the width in which it is shown."""
MARK = (200, 60, 160)
SPACE = ((0, GAP), (0, 0), (0, 0))


@dataclass(frozen=True)
class Example:
    """One picture of the jury, reduced to a side, and what is added to its sides; a tile where nothing is."""

    name: str
    model: str
    source: str
    side: int
    sides: dict[str, int] = field(default_factory=dict)


EXAMPLES = (
    Example("extend-bricks", "exemplar", "brick-orange", 256, {"right": 128, "bottom": 48}),
    Example("extend-pebbles", "exemplar", "pebbles", 256, {"left": 64, "right": 96}),
    Example("tile-pebbles", "exemplar", "pebbles", 256),
    Example("learned-extend-bricks", "texture", "brick-orange", 180, {"right": 90, "bottom": 34}),
    Example("learned-extend-pebbles", "texture", "pebbles", 128, {"left": 48, "right": 64}),
    Example("learned-tile-pebbles", "texture", "pebbles", 128),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--preset", default="fast")
    names = [REMOVAL, MAPS, *(example.name for example in EXAMPLES)]
    parser.add_argument("--only", default=",".join(names), metavar="NAMES")
    parser.add_argument("--photographs", type=Path, metavar="RUN", help="folder of a finished bench photo")
    parser.add_argument("--pictures", type=Path, metavar="CACHE", help="its cache of pictures")
    arguments = parser.parse_args()
    if arguments.photographs:
        save(arguments.out / "photo-fills.png", compared(arguments.photographs, arguments.pictures))
        save(arguments.out / "photo-judgement.jpg", read_picture(arguments.photographs / "photo.png"))
        return
    if REMOVAL in arguments.only.split(","):
        save(arguments.out / f"{REMOVAL}.jpg", removed(arguments.preset))
    if MAPS in arguments.only.split(","):
        save(arguments.out / f"{MAPS}.jpg", with_maps(arguments.preset))
    for example in EXAMPLES:
        if example.name in arguments.only.split(","):
            save(arguments.out / f"{example.name}.png", painted(example, arguments.preset))


def removed(preset: str) -> np.ndarray:
    """The part SHOWN of the demonstration's photograph: before, with its selection, and after; (H, W, 3) uint8."""
    image = imagefile.read(ASSETS / "demo.jpg").rgba8()
    selection = maskfile.read(ASSETS / "demo-selection.png")
    model = api.load_model("exemplar", "cpu")
    *_, last = api.run(api.Job(image, selection, model.info.id, preset, SEED), model)
    assert isinstance(last, api.Finished)
    before = image[..., :3]
    marked, after = marked_in(before, selection * 0.6), canvas.over(before, last.layer())
    return beside(beside(before[SHOWN], marked[SHOWN]), after[SHOWN])


def with_maps(preset: str) -> np.ndarray:
    """The upper part of a wall's colour, normals and height, and below them the same 96 pixels wider; (H, W, 3)
    uint8."""
    files = [imagefile.read(STONE / f"stone_{name}.png").rgba8()[:160] for name in ("colour", "normal", "height")]
    frames = [extend.extended(pixels, right=96) for pixels in files]
    seen = [frame.rgba(frame.pixels) for frame in frames]
    maps = api.Map("normal", seen[1], "normal"), api.Map("height", seen[2])
    job = api.Job(seen[0], frames[0].selection, preset=preset, seed=SEED, maps=maps)
    *_, last = api.run(job, api.load_model(job.model, "cpu"))
    assert isinstance(last, api.Finished)
    columns = []
    for before, frame, layer in zip(files, frames, (last.layer(), *last.map_layers()), strict=True):
        after = np.where(frame.selection[..., None] > 0, layer[..., :3], frame.pixels[..., :3])
        above = np.full_like(after, 255)
        above[:, : before.shape[1]] = before[..., :3]
        columns.append(np.concatenate([above, np.full((GAP, after.shape[1], 3), 255, np.uint8), after]))
    return beside(beside(*columns[:2]), columns[2])


def compared(run: Path, cache: Path | None) -> np.ndarray:
    """The cases COMPARED, a row each: the selection, the default model, PyPatchMatch; (H, W, 3) uint8."""
    cases = photo.Pictures(cache).cases([entry for entry in photo.entries("judgement") if entry.name in COMPARED])
    rows = []
    for case in sorted(cases, key=lambda case: COMPARED.index(case.name)):
        height, width = case.selection.shape
        part = canvas.grown(canvas.bounds(case.selection), MARGIN, canvas.Box(0, 0, width, height)).slices
        cells = [marked_in(case.truth, case.selection * 0.7)]
        cells += [
            read_picture(run / "results" / case.name / f"{name}-0.png") for name in ("exemplar-fast", "pypatchmatch")
        ]
        height = round(CELL * cells[0][part].shape[0] / cells[0][part].shape[1])
        rows.append([cv2.resize(cell[part], (CELL, height), interpolation=cv2.INTER_AREA) for cell in cells])
    return np.concatenate([np.pad(beside(beside(*row[:2]), row[2]), SPACE, constant_values=255) for row in rows])


def marked_in(picture: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """A picture with MARK over it; alpha from 0 to 255."""
    share = alpha[..., None] / 255
    return np.asarray(np.rint(picture * (1 - share) + np.asarray(MARK) * share), np.uint8)


def painted(example: Example, preset: str) -> np.ndarray:
    """Before and after, (H, W, 3) uint8; a tile is shown two by two."""
    model = api.load_model(example.model, "cpu")
    before = read_picture(FOLDER / f"{example.source}.png")
    scale = example.side / max(before.shape[:2])
    before = cv2.resize(before, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    framed = extend.extended(before, **example.sides) if example.sides else extend.tile(before)
    opaque = np.full(framed.selection.shape, 255, np.uint8)
    image = framed.rgba(np.dstack([framed.pixels, opaque]))
    learn = None if model.exemplar is not None else LEARN
    wrap = "" if example.sides else "both"
    *_, last = api.run(api.Job(image, framed.selection, model.info.id, preset, SEED, wrap=wrap, learn=learn), model)
    assert isinstance(last, api.Finished)
    print(f"{example.name}: {before.shape[1]} × {before.shape[0]} → {opaque.shape[1]} × {opaque.shape[0]}")
    after = np.where(framed.selection[..., None] > 0, last.layer()[..., :3], framed.pixels)
    return beside(before, after) if example.sides else beside(np.tile(before, (2, 2, 1)), np.tile(after, (2, 2, 1)))


def beside(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Both on white, at the top."""
    height = max(before.shape[0], after.shape[0])
    sheet = np.full((height, before.shape[1] + GAP + after.shape[1], 3), 255, np.uint8)
    sheet[: before.shape[0], : before.shape[1]] = before
    sheet[: after.shape[0], before.shape[1] + GAP :] = after
    return sheet


def save(path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(path, optimize=True, quality=88)


if __name__ == "__main__":
    main()
