"""What a batch will take, told before it is begun."""

from __future__ import annotations

import argparse

import numpy as np
from PIL import Image

from engine.batch import Spec, forecast
from engine.tasks import TASKS


def test_time_is_told_by_what_is_painted(tmp_path):
    """As measured; pictures of the same size with small and with large holes are far from alike."""
    measured = {  # seconds of a processor by the sides of hole and picture; None: a tile
        (20, 400): 1.3, (40, 400): 2.0, (100, 400): 1.1, (350, 400): 4.9, (100, 1000): 1.1, (300, 1000): 2.0,
        (900, 1000): 29.2, (None, 400): 2.4, (None, 800): 4.0,
    }  # fmt: skip
    shares = []
    for (side, size), seconds in measured.items():
        picture, mask = tmp_path / f"{size}.png", tmp_path / "mask.png"
        Image.new("RGB", (size, size), (90, 80, 70)).save(picture)
        pixels = np.zeros((size, size), np.uint8)
        start = (size - (side or 0)) // 2
        pixels[start : size - start, start : size - start] = 255
        Image.fromarray(pixels).save(mask)
        named = ("tile", str(picture), None) if side is None else ("inpaint", str(picture), str(mask))
        shares.append(forecast.work(Spec(0, *named, str(tmp_path / "o.png"), 1, {"band": 64} if side is None else {})))
        shares[-1] /= seconds
    assert max(shares) < 2 * np.median(shares)
    assert min(shares) > 0.5 * np.median(shares)


def test_the_painted_part_of_a_tile():
    for axis, painted in (("both", 400 * 300 - 336 * 236), ("x", 64 * 300), ("y", 64 * 400)):
        arguments = argparse.Namespace(size="400x300", image=None, axis=axis, band=64)
        assert TASKS["tile"].extent(arguments) == (400 * 300, painted)
