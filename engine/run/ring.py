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
FIRM = np.float32(4)
"""Weight of what is missed on the border, over that of a difference between two pixels."""
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
    grid = melding.Grid(FIRM * border, down.astype(np.float32), across.astype(np.float32))
    *_, change = melding.solutions(grid, FIRM * apart, ITERATIONS)
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
    """Mean CIEDE2000 of two lists of sRGB colours, (N, 3) in [−1, 1]."""
    first, second = (
        cv2.cvtColor(((each + 1) / 2).clip(0, 1).astype(np.float32)[None], cv2.COLOR_RGB2Lab)[0]
        for each in (one, other)
    )
    return float(np.mean(delta_e00(first, second)))


def delta_e00(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(N,) CIEDE2000 of CIELAB colours (N, 3) (Sharma, Wu & Dalal 2005, doi 10.1002/col.20070); 1 is about the least
    one sees."""
    (l1, a1, b1), (l2, a2, b2) = one.astype(np.float64).T, other.astype(np.float64).T
    grey = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    stretched = 1.5 - 0.5 * np.sqrt(grey**7 / (grey**7 + 25.0**7))
    c1, c2 = np.hypot(stretched * a1, b1), np.hypot(stretched * a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, stretched * a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = (h2 - h1 + 180) % 360 - 180
    colourless = c1 * c2 == 0
    hue = np.where(colourless, 0, 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn) / 2))
    middle = np.radians(np.where(colourless, h1 + h2, (h1 + turn / 2) % 360))
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    weight = (
        1
        - 0.17 * np.cos(middle - np.radians(30))
        + 0.24 * np.cos(2 * middle)
        + 0.32 * np.cos(3 * middle + np.radians(6))
        - 0.20 * np.cos(4 * middle - np.radians(63))
    )
    s_l = 1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2)
    s_c, s_h = 1 + 0.045 * chroma, 1 + 0.015 * chroma * weight
    turned = np.radians(60) * np.exp(-(((np.degrees(middle) % 360 - 275) / 25) ** 2))
    cross = -2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7)) * np.sin(turned)
    d_l, d_c, d_h = (l2 - l1) / s_l, (c2 - c1) / s_c, hue / s_h
    found: np.ndarray = np.sqrt(np.maximum(0, d_l**2 + d_c**2 + d_h**2 + cross * d_c * d_h))
    return found
