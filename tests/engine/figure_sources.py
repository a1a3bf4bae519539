"""Makes docs/images/sources.jpg, shares.jpg and ring.jpg: python -m tests.engine.figure_sources

The photograph that ships with the engine, a strip of its ground selected and a part of its path marked; what is painted
without a source, and with what is marked as the only one. Then a mask that fades from left to right, and what is
painted with so much of what is marked. Then the same photograph in a warmer, brighter light as the source, without and
with the colour of the ring. The part shown is scaled down to 60 %.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from engine import api

ROOT = Path(__file__).resolve().parents[2]
STRIP = [(315, 640), (420, 600), (540, 585), (640, 600), (720, 650), (800, 700), (760, 760), (660, 690), (560, 650),
         (450, 670), (360, 730)]  # fmt: skip
PATH = [(255, 640), (290, 640), (330, 760), (370, 890), (235, 890), (245, 760)]
WARMER = (1.5, 1.1, 0.8)  # times red, green, blue
FADES = (340, 800)  # columns between which the mask goes from white to black
SHOWN = (slice(470, 900), slice(200, 860))
WHITE, YELLOW = (255, 255, 255), (255, 200, 0)


def main() -> None:
    photograph = cv2.imread(str(ROOT / "engine/assets/demo.jpg"))[..., ::-1]
    image = np.dstack([photograph, np.full(photograph.shape[:2], 255, np.uint8)])
    selection, marked = (_polygon(corners, image.shape[:2]) for corners in (STRIP, PATH))
    selection = cv2.GaussianBlur(selection, (0, 0), 4)
    source = image.copy()
    source[(marked == 0) | (selection > 0), 3] = 0
    model = api.load_model("exemplar", "cpu")
    plans = _outlined(photograph, (selection, WHITE), (marked, YELLOW))
    _keep("sources.jpg", [plans, *(_painted(image, selection, each, model) for each in (None, source))])
    mask = np.tile(np.interp(np.arange(image.shape[1]), FADES, (255, 0)).astype(np.uint8), (image.shape[0], 1))
    mixed = _painted(image, selection, source, model, mask)
    _keep("shares.jpg", [plans, np.repeat(mask[..., None], 3, 2), mixed])
    lit = image.copy()
    lit[..., :3] = np.rint((image[..., :3] * WARMER).clip(0, 255))
    lit[selection > 0, 3] = 0
    plans = _outlined(photograph, (selection, WHITE))
    _keep("ring.jpg", [plans, *(_painted(image, selection, lit, model, ring=each) for each in (False, True))])


def _outlined(photograph: np.ndarray, *areas: tuple[np.ndarray, tuple[int, int, int]]) -> np.ndarray:
    plans = photograph.copy()
    for area, colour in areas:
        lines, _ = cv2.findContours((area > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(plans, lines, -1, colour, 3, cv2.LINE_AA)
    return plans


def _keep(name: str, pictures: list[np.ndarray]) -> None:
    row = np.hstack([cv2.resize(each[SHOWN], None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA) for each in pictures])
    cv2.imwrite(str(ROOT / "docs/images" / name), row[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])


def _polygon(corners: list[tuple[int, int]], shape: tuple[int, ...]) -> np.ndarray:
    return cv2.fillPoly(np.zeros(shape, np.uint8), [np.array(corners)], (255,))


def _painted(
    image: np.ndarray,
    selection: np.ndarray,
    source: np.ndarray | None,
    model: api.Model,
    mask: np.ndarray | None = None,
    ring: bool = False,
) -> np.ndarray:
    *_, last = api.run(api.Job(image, selection, seed=1, source=source, share_mask=mask, ring=ring), model)
    layer = last.layer()
    share = layer[..., 3:] / np.float32(255)
    return np.rint(layer[..., :3] * share + image[..., :3] * (1 - share)).astype(np.uint8)


if __name__ == "__main__":
    main()
