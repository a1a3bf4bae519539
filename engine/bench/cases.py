"""The cases: a picture, the part of it to repaint, and what kind of picture it is.

The jury's pictures lie beside this file and are used for nothing else: no training, no choice of a checkpoint, no
tuning. Settings are tuned on :func:`tuning`, pictures made by arithmetic from seeds that neither the corpus nor the
jury uses.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from engine.bench import masks
from engine.errors import BadInput

FOLDER = Path(__file__).parent / "jury"
KINDS = ("photograph", "regular", "near-regular", "stochastic", "coloured", "extension")
TUNING_SEED = 1_000_000
"""First procedural seed of the tuning set; the corpus uses seeds below 10 000, the jury some near 93 000."""


@dataclass(frozen=True)
class Case:
    """One question to the jury.

    Attributes:
        truth: (H, W, 3) uint8 RGB, the whole picture.
        selection: (H, W) uint8, 255 = repaint.
        kind: one of :data:`KINDS`.
        wrap: the picture is a tile, as in :class:`engine.api.Job`; it is given rolled by half, so that its seams are a
            cross in the middle.
    """

    name: str
    kind: str
    truth: np.ndarray
    selection: np.ndarray
    wrap: str = ""

    @property
    def new(self) -> np.ndarray:
        """(H, W) bool: where the method paints, soft edge included."""
        return self.selection > 0

    @property
    def holed(self) -> np.ndarray:
        """(H, W, 3) uint8: the picture with black in the hole, so that no method sees the truth."""
        return np.where(self.new[..., None], np.uint8(0), self.truth)


def rolled(picture: np.ndarray) -> np.ndarray:
    """A tile (H, W) or (H, W, C), rolled by half along both sides."""
    height, width = picture.shape[:2]
    return np.roll(picture, (height // 2, width // 2), (0, 1))


def rolled_back(picture: np.ndarray) -> np.ndarray:
    """What :func:`rolled` was given."""
    height, width = picture.shape[:2]
    return np.roll(picture, (-(height // 2), -(width // 2)), (0, 1))


def jury(names: list[str] | None = None) -> list[Case]:
    """The bundled cases, in their fixed order; only those of ``names`` (case names or kinds) if given.

    Raises:
        BadInput: a name that no case and no kind has.
    """
    entries = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))["cases"]
    known = {entry["name"] for entry in entries} | {entry["kind"] for entry in entries}
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise BadInput("bad_case", f"There is no jury case or kind named {unknown[0]!r}.")
    return [
        _case(entry["name"], entry["kind"], read_picture(FOLDER / entry["picture"]), entry["mask"])
        for entry in entries
        if not names or entry["name"] in names or entry["kind"] in names
    ]


def tuning(count: int = 31) -> list[Case]:
    """``count`` procedural pictures of 96² with small holes of three shapes, each family once per 31."""
    from engine.data import procedural

    shapes: list[dict[str, object]] = [
        {"shape": "box", "box": [34, 34, 28, 28]},
        {"shape": "ellipse", "centre": [48, 48], "radii": [16, 13]},
        {"shape": "edge", "side": "right", "width": 24},
    ]
    return [
        _case(
            procedural.family_of(seed), "tuning", procedural.generate(seed, 192)[:96, :96], shapes[seed % len(shapes)]
        )
        for seed in range(TUNING_SEED, TUNING_SEED + count)
    ]


def _case(name: str, kind: str, truth: np.ndarray, mask: dict[str, object]) -> Case:
    height, width = truth.shape[:2]
    return Case(name, kind, np.ascontiguousarray(truth), masks.draw(mask, width, height))


def read_picture(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise BadInput("bad_case", f"The picture {path.name} cannot be read; remove it, or install the project again.")
    return np.ascontiguousarray(picture[..., ::-1])
