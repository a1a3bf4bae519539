"""The order in which a large selection is painted: in bands that grow outwards from what is known.

A texture model sees one window at a time, so nothing that is known reaches the far part of a wide new area within one
run: painted in one piece it drifts towards what the model likes best. So the new area is cut into bands by its distance
from the known pixels, and each band takes the one before it as known. What is too large for one plan is cut into blocks
as well, instead of being scaled down.

Measured on three pictures that were never trained on (dirt, grass, stone; 128 px, extended by 128; windows of 96, 50
calls, one seed; means of the patch distance over the control and of the spread over the source's, in four strips of
32 px from the source outwards; 1 is ideal):

=============  ===================  ===================
way            patch distance       spread
=============  ===================  ===================
in one piece   1.44 1.83 2.58 2.88  1.38 1.39 1.48 1.72
bands of 64    1.35 1.33 1.76 1.70  1.24 1.03 1.35 1.04
bands of 43    1.07 1.36 1.37 1.25  1.26 1.76 1.76 1.49
bands of 32    0.99 0.99 1.05 1.18  1.01 1.20 1.26 1.39
=============  ===================  ===================

To the eye the same: in one piece everything turns brown. (The exemplar model sees the whole surroundings at every call
and wants bands of 64: courses of bricks keep their joints.) A strip of the source laid beyond each band as a goal to
paint towards was tried on one picture and did not help. Nor did a draft of the whole area at half the scale, enlarged,
noised to ᾱ = .1 and finished at once: ST-LPIPS 1.10 of the best rival's instead of 1.07 after learning (seven held-out
textures of 120 × 120, extended by 60, four seeds; two seeds had said .98).
Nor did octave by octave at 512². Networks therefore begin deep holes with a draft made of the picture, which is then
finished in one stage (:mod:`engine.run.drafts`, docs/reports/texture.md); bands are for runs that begin with none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from engine import canvas
from engine.canvas.boxes import NO_WRAP, Geometry, Wraps
from engine.canvas.smooth import smooth_fill

BLOCK = 512
"""Side in pixels of the blocks that a band is cut into where it is too large for one plan."""
LONG = 2 * BLOCK
"""A picture that wraps is cut into blocks along the sides longer than this."""


def order(
    selection: np.ndarray, solid: np.ndarray, geometry: Geometry, wraps: Wraps = NO_WRAP, drafted: bool = False
) -> np.ndarray:
    """When each pixel is painted: (H, W) int32, −1 where nothing is selected, else the number of its stage, 0 ….

    It depends on the selection and on what lies around it only, so that a picture and a crop of it give the same.

    Args:
        selection: (H, W) uint8, at least one pixel > 0.
        solid: (H, W) bool; known is what is solid and not selected.
        geometry: of the model; models of whole scenes paint everything in one stage.
        wraps: (along y, along x): whether the picture is periodic.
        drafted: there is a draft of all of it, so that no bands are needed.
    """
    selected = selection > 0
    out = np.where(selected, np.int32(0), np.int32(-1))
    if not geometry.any_scale:
        return out
    number = np.zeros(np.count_nonzero(selected), np.int64)
    if not drafted:
        number = _bands(selected, selected | ~solid, wraps, geometry)
    box = canvas.bounds(selection)
    long = [wrapped and length > LONG for wrapped, length in zip(wraps, selection.shape, strict=True)]
    margin = 2 * canvas.context(box, geometry)
    if any(long) or (box.width + margin) * (box.height + margin) > canvas.MAX_MODEL_AREA:
        rows, columns = np.nonzero(selected)
        # Around a ring blocks are laid so that its seam runs through the middle of one.
        block_y = ((rows + BLOCK // 2) % selection.shape[0] if wraps[0] else rows - box.y) // BLOCK
        block_x = ((columns + BLOCK // 2) % selection.shape[1] if wraps[1] else columns - box.x) // BLOCK
        number = (number * (int(block_y.max()) + 1) + block_y) * (int(block_x.max()) + 1) + block_x
    out[selected] = np.unique(number, return_inverse=True)[1].reshape(-1)
    return out


def shift(new: np.ndarray, wraps: Wraps) -> tuple[tuple[int, int], Wraps]:
    """How far (rows, columns) to roll a long picture that wraps so that a block of it lies inside, and along which
    axes the rolled picture still has to wrap.

    Args:
        new: (H, W) bool, the pixels of one stage.
    """
    rolled = [0, 0]
    for axis in (0, 1):
        length = new.shape[axis]
        if wraps[axis] and length > LONG:
            used = np.flatnonzero(new.any(axis=1 - axis))
            gaps = np.diff(used, append=used[0] + length)
            last = int(gaps.argmax())
            first = int(used[(last + 1) % len(used)])
            extent = length - int(gaps[last]) + 1
            rolled[axis] = (length - extent) // 2 - first
    still = wraps[0] and new.shape[0] <= LONG, wraps[1] and new.shape[1] <= LONG
    return (rolled[0], rolled[1]), still


@dataclass(frozen=True)
class Part:
    """One stage of a job: its plan, and the way from the picture to the model and back.

    Attributes:
        plan: of this stage; its region lies in the rolled picture.
        stage: its number in ``order``.
        rolled: rows and columns by which the picture is rolled, see :func:`shift`.
        image: (H, W, 4), the whole picture.
        light: its way to the model and back.
        order: (H, W) int32, see :func:`order`.
        region: the box around the selection; what is painted has its size.
    """

    plan: canvas.Plan
    stage: int
    rolled: tuple[int, int]
    image: np.ndarray
    light: canvas.Light
    order: np.ndarray
    region: canvas.Box

    def model_input(self, painted: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """As :func:`engine.canvas.model_input`, where what earlier stages painted is known.

        Args:
            painted: (region.height, region.width, 3) float32 in the picture's unit.
        """
        return self._input(painted, self.stage)

    def draft(self, painted: np.ndarray) -> torch.Tensor:
        """The model's picture (1, 3, H, W) with all that is painted, by later stages, too; where there is nothing it
        goes on smoothly."""
        y, keep = self._input(painted, int(self.order.max()) + 1)
        whole = smooth_fill(y[0].permute(1, 2, 0).numpy(), keep[0, 0].numpy() > 0)
        return torch.from_numpy(whole).permute(2, 0, 1)[None].contiguous()

    def _input(self, painted: np.ndarray, until: int) -> tuple[torch.Tensor, torch.Tensor]:
        box = self.plan.region
        rows = (np.arange(box.y, box.y + box.height) - self.rolled[0]) % self.order.shape[0]
        columns = (np.arange(box.x, box.x + box.width) - self.rolled[1]) % self.order.shape[1]
        place = np.ix_(rows, columns)
        image, order = self.image[place], self.order[place]
        y, x = np.nonzero((order >= 0) & (order < until))
        colours = painted[rows[y] - self.region.y, columns[x] - self.region.x]
        image[y, x, :3] = canvas.stored(colours, image.dtype)
        image[y, x, 3] = canvas.stored(np.ones(1), image.dtype)
        unknown = np.where(order >= until, np.uint8(255), np.uint8(0))
        plan = replace(self.plan, region=canvas.Box(0, 0, box.width, box.height))
        return canvas.model_input(image, unknown, plan, self.light)

    def put(self, painted: np.ndarray, x0: torch.Tensor) -> np.ndarray:
        """What is painted together with this stage's pixels of the model's picture (3, H, W)."""
        fill, box = canvas.picture_fill(x0, self.plan, self.light), self.plan.region
        y, x = np.nonzero(self.order[self.region.slices] == self.stage)
        rows = (y + self.region.y + self.rolled[0]) % self.order.shape[0] - box.y
        columns = (x + self.region.x + self.rolled[1]) % self.order.shape[1] - box.x
        out = painted.copy()
        out[y, x] = fill[rows, columns]
        return out


def part(
    image: np.ndarray,
    light: canvas.Light,
    order: np.ndarray,
    stage: int,
    geometry: Geometry,
    padding: int | None = None,
    scale: float | None = None,
    wraps: Wraps = NO_WRAP,
) -> Part:
    """The plan of one stage; arguments as of :func:`order` and :func:`engine.canvas.plan`."""
    new = order == stage
    if geometry.any_scale:
        rolled, wraps = shift(new, wraps)
    else:
        rolled = (0, 0)
    # Nothing lies beyond a band that grows outwards but what is painted later; the model need not imagine it.
    sight = canvas.bounds(np.roll(order, rolled, (0, 1)) <= stage)
    plan = canvas.plan(np.roll(new, rolled, (0, 1)).astype(np.uint8), geometry, padding, scale, wraps, sight)
    return Part(plan, stage, rolled, image, light, order, canvas.bounds(order >= 0))


def _bands(selected: np.ndarray, unknown: np.ndarray, wraps: Wraps, geometry: Geometry) -> np.ndarray:
    """The band, 0 …, of each selected pixel (in the order of ``selected[selected]``) by chessboard distance."""
    none = np.zeros(np.count_nonzero(selected), np.int64)
    if unknown.all():
        return none
    distance = _distance(selected, unknown, wraps)
    # What reaches a border of the picture is known on one side only.
    open_y = not wraps[0] and bool(selected[[0, -1]].any())
    open_x = not wraps[1] and bool(selected[:, [0, -1]].any())
    if distance.max() <= geometry.deep and not (open_y or open_x):
        return none
    count = max(1, round(float(distance.max()) / geometry.band))
    return none if count == 1 else np.ceil(distance * (count / distance.max())).astype(np.int64) - 1


def depth(selected: np.ndarray, unknown: np.ndarray, wraps: Wraps) -> float:
    """How far the farthest selected pixel lies from what is known, by the chessboard; 0 where nothing is known."""
    return 0.0 if unknown.all() else float(_distance(selected, unknown, wraps).max())


def _distance(selected: np.ndarray, unknown: np.ndarray, wraps: Wraps) -> np.ndarray:
    """The distance to what is known of each selected pixel, in the order of ``selected[selected]``."""
    distance: np.ndarray = np.rint(canvas.distance_to_known(~unknown, wraps, cv2.DIST_C)[selected])
    return distance
