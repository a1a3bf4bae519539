"""Other ways to fill a hole, for the same table: each (picture, new) → picture, uint8 RGB.

None of them sees the truth: the hole is black when they get it. Settings are the packages' own defaults; for G'MIC's
exemplar method those of its plug-in (patches of 7, lookup 16 × 0.1, blending 1).
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from engine.errors import EngineError

Fill = Callable[[np.ndarray, np.ndarray], np.ndarray]
GMIC_SECONDS = 600


@dataclass(frozen=True)
class Rival:
    """A method of another package.

    Attributes:
        fill: (picture (H, W, 3) uint8, new (H, W) bool) → (H, W, 3) uint8.
        here: whether it can run on this machine.
    """

    name: str
    title: str
    fill: Fill
    here: Callable[[], bool]


def _opencv(method: int) -> Fill:
    """``cv2.inpaint`` with radius 3 (Telea 2004; Bertalmio et al. 2001)."""
    return lambda picture, new: np.asarray(cv2.inpaint(picture, new.astype(np.uint8), 3, method))


def _biharmonic(picture: np.ndarray, new: np.ndarray) -> np.ndarray:
    """scikit-image's biharmonic inpainting (Damelin & Hoang 2018)."""
    from skimage.restoration import inpaint_biharmonic

    filled = inpaint_biharmonic(picture, new, channel_axis=2)
    return np.rint(np.clip(filled, 0, 1) * 255).astype(np.uint8)


def _gmic(command: str, parameters: str = "") -> Fill:
    """The program ``gmic`` (Debian package of that name) on two files."""

    def fill(picture: np.ndarray, new: np.ndarray) -> np.ndarray:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            cv2.imwrite(str(folder / "in.png"), picture[..., ::-1])
            cv2.imwrite(str(folder / "mask.png"), new.astype(np.uint8) * 255)
            arguments = [
                "gmic",
                "in.png",
                "mask.png",
                f"{command}[0]",
                f"[1]{parameters}",
                "keep[0]",
                "output",
                "out.png",
            ]
            try:
                done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=GMIC_SECONDS)
            except (OSError, subprocess.TimeoutExpired) as error:
                raise EngineError("rival_failed", "G'MIC did not finish; leave its rows out.", str(error)) from error
            out = cv2.imread(str(folder / "out.png"), cv2.IMREAD_COLOR)
            if done.returncode or out is None or out.shape != picture.shape:
                raise EngineError("rival_failed", "G'MIC gave no picture; leave its rows out.", done.stderr[-2000:])
        return np.ascontiguousarray(out[..., ::-1])

    return fill


def _has_gmic() -> bool:
    return shutil.which("gmic") is not None


def _has_skimage() -> bool:
    return find_spec("skimage") is not None


RIVALS = {
    rival.name: rival
    for rival in (
        Rival("telea", "OpenCV Telea", _opencv(cv2.INPAINT_TELEA), lambda: True),
        Rival("navier-stokes", "OpenCV Navier–Stokes", _opencv(cv2.INPAINT_NS), lambda: True),
        Rival("biharmonic", "scikit-image biharmonic", _biharmonic, _has_skimage),
        Rival("gmic-patch", "G'MIC inpaint (exemplar)", _gmic("inpaint", ",7,16,0.1,1,1,0,0.05,10,1"), _has_gmic),
        Rival("gmic-matchpatch", "G'MIC inpaint_matchpatch", _gmic("inpaint_matchpatch"), _has_gmic),
    )
}
