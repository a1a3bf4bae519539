"""The colour of the ring: a fill whose low frequencies agree with those of a ring around it.

What a latent model paints, or what is copied from another picture, may have another light than its surroundings. The
differences of the two along the border, of colours blurred on either side for themselves, are gone on with into the
fill as smoothly as can be and added: seamless cloning (Pérez, Gangnet & Blake 2003, doi 10.1145/882262.882269), but of
what is coarser than the detail, which stays as it is.
"""

from __future__ import annotations

import cv2
import numpy as np

from engine.canvas import Box, Light
from engine.exemplar import melding

WIDTH = 6.0
"""Deviation in pixels of the blurs."""
LEAST = 0.02
"""Share of a blur on one side of the border from which on it counts."""
ITERATIONS = 12


def agreeing(
    fill: np.ndarray, place: Box, image: np.ndarray, selected: np.ndarray, known: np.ndarray, light: Light
) -> tuple[np.ndarray, tuple[float, float]]:
    """The fill, (place.height, place.width, 3) float32 in the picture's unit, with its colour brought into agreement;
    and the mean colour difference CIEDE2000 across the border before and after, taking the values for sRGB's.

    Args:
        place: of the fill in the picture.
        image: (H, W, 4), with this ``selected``, (H, W) uint8, and ``known``, (H, W) bool, part of it.
    """
    picture, inside = light.encoded(image[..., :3]), selected > 0
    picture[place.slices] = np.where(inside[place.slices][..., None], light.encoded(fill), picture[place.slices])
    border = inside & (cv2.dilate(known.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
    (within, there), (beside, near) = (_blurred(picture, each) for each in (inside, known))
    border &= (there > LEAST) & (near > LEAST)
    if not border.any():
        return fill, (0.0, 0.0)
    apart = np.where(border[..., None], beside - within, np.float32(0))
    down, across = (inside & np.roll(inside, -1, axis) for axis in (0, 1))
    down[-1], across[:, -1] = False, False
    grid = melding.Grid(border.astype(np.float32), down.astype(np.float32), across.astype(np.float32))
    *_, change = melding.solutions(grid, apart.copy(), ITERATIONS)
    made = fill.copy()
    here = inside[place.slices]
    changed = light.encoded(fill) + change[place.slices]
    made[here] = light.decoded((changed + 1) / 2)[here]
    after = within + _blurred(change, inside)[0]
    return made, (_apart(within[border], beside[border]), _apart(after[border], beside[border]))


def _blurred(picture: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) means over a part, near each pixel, and (H, W) how much of the blur lies on it."""
    weight = part.astype(np.float32)
    colour, share = (
        cv2.GaussianBlur(each, (0, 0), WIDTH, borderType=cv2.BORDER_CONSTANT)
        for each in (picture * weight[..., None], weight)
    )
    return colour / np.maximum(share, 1e-6)[..., None], share


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    """Mean CIEDE2000 of two lists of colours, (N, 3) in [−1, 1]."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    first, second = (rgb2lab(((each + 1) / 2).clip(0, 1)[None]) for each in (one, other))
    return float(np.mean(deltaE_ciede2000(first, second)))
