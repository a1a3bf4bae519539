"""The pictures of README's texture part: two extensions and a tile, before and after, by the engine as it is.

    python -m tests.engine.pictures [--out docs/images]

The pictures are the jury's (engine/bench/jury/LICENSES.md); nothing was chosen or tuned on them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from engine import api, extend
from engine.bench.cases import FOLDER, read_picture

EXTENSIONS = {
    "extend-bricks": ("brick-orange", {"right": 128, "bottom": 48}),
    "extend-pebbles": ("pebbles", {"left": 64, "right": 96}),
}
TILE = ("tile-pebbles", "pebbles")
GAP = 12
SEED = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--preset", default="fast")
    arguments = parser.parse_args()
    model = api.load_model(api.Job.model, "cpu")
    for name, (source, sides) in EXTENSIONS.items():
        before = read_picture(FOLDER / f"{source}.png")
        after = painted(extend.extended(before, **sides), before, model, arguments.preset)
        save(arguments.out / f"{name}.png", beside(before, after))
    name, source = TILE
    before = read_picture(FOLDER / f"{source}.png")
    after = painted(extend.tile(before), before, model, arguments.preset, wrap="both")
    save(arguments.out / f"{name}.png", beside(np.tile(before, (2, 2, 1)), np.tile(after, (2, 2, 1))))


def painted(framed: extend.Framed, source: np.ndarray, model: api.Model, preset: str, wrap: str = "") -> np.ndarray:
    """The frame with what was painted into it, (H, W, 3) uint8."""
    opaque = np.full(framed.selection.shape, 255, np.uint8)
    image = framed.rgba(np.dstack([framed.pixels, opaque]))
    job = api.Job(image, framed.selection, model.info.id, preset, SEED, wrap=wrap)
    *_, last = api.run(job, model)
    assert isinstance(last, api.Finished)
    print(f"{source.shape[1]} × {source.shape[0]} → {opaque.shape[1]} × {opaque.shape[0]}: {last.seconds:.0f} s")
    return np.where(framed.selection[..., None] > 0, last.layer()[..., :3], framed.pixels)


def beside(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Both on white, at the top."""
    height = max(before.shape[0], after.shape[0])
    sheet = np.full((height, before.shape[1] + GAP + after.shape[1], 3), 255, np.uint8)
    sheet[: before.shape[0], : before.shape[1]] = before
    sheet[: after.shape[0], before.shape[1] + GAP :] = after
    return sheet


def save(path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(path, optimize=True)


if __name__ == "__main__":
    main()
