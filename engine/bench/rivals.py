"""Other ways to fill a hole, for the same table: each (picture, new) → picture, uint8 RGB.

None of them sees the truth: the hole is black when they get it. Settings are the packages' own defaults; for G'MIC's
exemplar method those of its plug-in (patches of 7, lookup 16 × 0.1, blending 1); for PyPatchMatch the radius of 3 that
its examples and the programs built on it use; Resynthesizer fills a hole, so its two switches for tiles are off.
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
    """G'MIC: its Python package where that is installed, else the program ``gmic`` (Debian package of that name)."""

    def fill(picture: np.ndarray, new: np.ndarray) -> np.ndarray:
        run = _gmic_package if find_spec("gmic") else _gmic_program
        out = run(picture, new, [f"{command}[0]", f"[1]{parameters}", "keep[0]"])
        if out.shape != picture.shape:
            raise EngineError("rival_failed", "G'MIC gave no picture; leave its rows out.", f"shape {out.shape}")
        return out

    return fill


def _gmic_package(picture: np.ndarray, new: np.ndarray, commands: list[str]) -> np.ndarray:
    import gmic

    planes = picture.astype(np.float32), new[..., None].astype(np.float32) * 255
    images = gmic.ImageList([gmic.Image.from_yxc(plane) for plane in planes])
    try:
        out = gmic.run(" ".join(commands), images)
    except gmic.GmicException as error:
        raise EngineError("rival_failed", "G'MIC gave no picture; leave its rows out.", str(error)) from error
    return np.rint(np.clip(np.asarray(out[0].yxc), 0, 255)).astype(np.uint8)


def _gmic_program(picture: np.ndarray, new: np.ndarray, commands: list[str]) -> np.ndarray:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cv2.imwrite(str(folder / "in.png"), picture[..., ::-1])
        cv2.imwrite(str(folder / "mask.png"), new.astype(np.uint8) * 255)
        arguments = ["gmic", "in.png", "mask.png", *commands, "output", "out.png"]
        try:
            done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=GMIC_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EngineError("rival_failed", "G'MIC did not finish; leave its rows out.", str(error)) from error
        out = cv2.imread(str(folder / "out.png"), cv2.IMREAD_COLOR)
        if done.returncode or out is None:
            raise EngineError("rival_failed", "G'MIC gave no picture; leave its rows out.", done.stderr[-2000:])
    return np.ascontiguousarray(out[..., ::-1])


def _patchmatch(picture: np.ndarray, new: np.ndarray) -> np.ndarray:
    """PyPatchMatch (Barnes et al. 2009, Wexler et al. 2007), always with the same seed."""
    import patchmatch

    if not patchmatch.patchmatch_available:
        raise EngineError("rival_failed", "PyPatchMatch has no library for this machine; leave its rows out.")
    patchmatch.set_random_seed(0)
    return np.asarray(patchmatch.inpaint(picture, new, patch_size=3))


def _resynthesizer(picture: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Resynthesizer (Harrison 2005), the engine of GIMP's plug-in in C."""
    from PIL import Image
    from resynthesizer import resynthesize
    from resynthesizer.resynthesizer import getDefaultParams

    parameters = getDefaultParams()
    parameters.isMakeSeamlesslyTileableHorizontally = 0
    parameters.isMakeSeamlesslyTileableVertically = 0
    try:
        out = resynthesize(Image.fromarray(picture), Image.fromarray(new.astype(np.uint8) * 255), parameters)
    except RuntimeError as error:
        raise EngineError("rival_failed", "Resynthesizer gave no picture; leave its rows out.", str(error)) from error
    return np.array(out)


def _has_gmic() -> bool:
    return find_spec("gmic") is not None or shutil.which("gmic") is not None


def _has(package: str) -> Callable[[], bool]:
    return lambda: find_spec(package) is not None


RIVALS = {
    rival.name: rival
    for rival in (
        Rival("telea", "OpenCV Telea", _opencv(cv2.INPAINT_TELEA), lambda: True),
        Rival("navier-stokes", "OpenCV Navier–Stokes", _opencv(cv2.INPAINT_NS), lambda: True),
        Rival("biharmonic", "scikit-image biharmonic", _biharmonic, _has("skimage")),
        Rival("pypatchmatch", "PyPatchMatch", _patchmatch, _has("patchmatch")),
        Rival("resynthesizer", "Resynthesizer", _resynthesizer, _has("resynthesizer")),
        Rival("gmic-patch", "G'MIC inpaint (exemplar)", _gmic("inpaint", ",7,16,0.1,1,1,0,0.05,10,1"), _has_gmic),
        Rival("gmic-matchpatch", "G'MIC inpaint_matchpatch", _gmic("inpaint_matchpatch"), _has_gmic),
    )
}
