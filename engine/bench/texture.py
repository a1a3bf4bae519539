"""The judgement on textures (``python -m engine bench texture``): fill a hole, extend by half, make a tile.

Every picture is part of one of the jury's (their sources and licences: ``jury/LICENSES.md``), none of which was trained
or tuned on. The left 120 × 120 pixels are the source; the 60 columns right of them are the truth of the extension.
Tiles are judged rolled by half, so that their seams are a cross in the middle: rivals repaint that cross. Ours paint
the frame of the picture as it came, as the editors and the command line do, with what is known in one piece.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from engine import api
from engine.bench import measures
from engine.bench.cases import FOLDER, Case, read_picture, rolled, rolled_back
from engine.bench.judge import Result
from engine.canvas import extend, seam
from engine.errors import BadInput

SIDE = 120
EXTRA = 60
HOLE = 44
TASKS = ("fill", "extend", "tile")

TEXTURES: tuple[tuple[str, str, str, tuple[int, int, int, int]], ...] = (
    ("slats", "regular", "wood-slats", (0, 0, 180, 120)),
    ("brick", "regular", "brick-orange", (0, 0, 256, 171)),
    ("herringbone", "regular", "herringbone", (0, 0, 180, 120)),
    ("stone-wall", "near-regular", "stone-wall", (0, 0, 256, 171)),
    ("red-tiles", "near-regular", "red-tiles", (0, 0, 256, 171)),
    ("boards", "near-regular", "yellow-boards-down", (0, 0, 180, 120)),
    ("pebbles", "stochastic", "pebbles", (0, 0, 180, 120)),
    ("wood-chips", "stochastic", "wood-chips", (0, 0, 180, 120)),
    ("asphalt", "stochastic", "asphalt", (0, 0, 180, 120)),
    ("straw", "coloured", "straw", (0, 0, 256, 171)),
    ("foliage", "coloured", "foliage", (0, 0, 180, 120)),
    ("moss", "coloured", "mossy-tiles", (0, 0, 180, 120)),
)
"""Name, kind, the jury's picture, and the part of it (x, y, width, height) that is reduced to 180 × 120 pixels."""

LIMITS: tuple[tuple[str, str, float, float], ...] = (
    ("seam_ratio", "seam", 0.6, 1.25),
    ("far_ratio", "far", 0.7, 1.4),
    ("spread_ratio", "spread", 0.6, 1.5),
    ("tile_jump", "seam jump", 0.0, seam.SHOWS_ABOVE),
    ("st_lpips", "ST-LPIPS / best rival", 0.0, 1.05),
)
"""What a picture has to keep to, median of the seeds: measure, title, from, to."""

STRIP = 20
"""Pixels of distance over which the measures along an extension are taken."""


def cases(names: list[str] | None = None) -> list[Case]:
    """Three cases for each picture: ``NAME fill``, ``NAME extend``, ``NAME tile``; of the named pictures if given.

    Raises:
        BadInput: a name that no picture has.
    """
    unknown = [name for name in names or () if name not in {texture[0] for texture in TEXTURES}]
    if unknown:
        raise BadInput("bad_case", f"There is no texture named {unknown[0]!r}.")
    out = []
    for name, kind, picture, (x, y, width, height) in TEXTURES:
        if names and name not in names:
            continue
        crop = read_picture(FOLDER / f"{picture}.png")[y : y + height, x : x + width]
        whole = cv2.resize(crop, (SIDE + EXTRA, SIDE), interpolation=cv2.INTER_AREA)
        source = np.ascontiguousarray(whole[:, :SIDE])
        hole, right = np.zeros(source.shape[:2], np.uint8), np.zeros(whole.shape[:2], np.uint8)
        start = (SIDE - HOLE) // 2
        hole[start : start + HOLE, start : start + HOLE] = 255
        right[:, SIDE:] = 255
        cross = rolled(extend.tile(source).selection)
        out.append(Case(f"{name} fill", kind, source, hole))
        out.append(Case(f"{name} extend", kind, whole, right))
        out.append(Case(f"{name} tile", kind, rolled(source), cross, wrap="both"))
    return out


def tile_jump(picture: np.ndarray) -> float:
    """The seam jump of a tile that is given rolled by half, across its own seams."""
    return seam.tile_seam_jump(rolled_back(picture), "both")


def ends_jump(picture: np.ndarray, new: np.ndarray) -> float:
    """The same across the borders of the rolled picture, where the ends of a repainted cross ``new`` (H, W) bool meet.
    Elsewhere these borders are the middle of the picture as it came, of which no method is the author."""
    return seam.tile_seam_jump(picture, "both", new)


def along(result: Result) -> list[tuple[float, float]]:
    """(patch distance over control, spread over source's) in strips of 20 px of an extension, from the source on."""
    source = measures.Source(result.case.truth, result.case.new)
    return measures.along(result.picture, source, STRIP)


def with_meaning(results: Sequence[Result]) -> list[Result]:
    """Without the truth of tiles, which have none."""
    return [result for result in results if not (result.method.name == "truth" and result.case.wrap)]


@dataclass(frozen=True)
class Verdict:
    """One method on one case: medians over its seeds, and which limits they break.

    Attributes:
        values: by measure of :data:`LIMITS`, and ``copy_share`` and ``ends_jump``; None where it has no meaning.
        broken: titles of the limits that are not kept.
    """

    case: Case
    method: str
    values: dict[str, float | None]
    broken: tuple[str, ...]

    @property
    def task(self) -> str:
        return self.case.name.split()[-1]


def verdicts(results: Sequence[Result]) -> list[Verdict]:
    """A verdict for every method, rivals and the truth included, on every case that it ran on."""
    found: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        found.setdefault((result.case.name, result.method.name), []).append(result)
    medians = {key: _medians(group) for key, group in found.items()}
    rivals = {result.method.name for result in results if not result.method.ours} - {"truth"}
    out = []
    for (case, method), values in medians.items():
        others = [medians[case, name]["st_lpips"] for name in rivals - {method} if (case, name) in medians]
        best = min((value for value in others if value is not None), default=None)
        own = values["st_lpips"]
        values = {**values, "st_lpips": None if own is None or not best else own / best}
        broken = tuple(title for name, title, low, high in LIMITS if not _within(values[name], low, high))
        out.append(Verdict(found[case, method][0].case, method, values, broken))
    return out


def _within(value: float | None, low: float, high: float) -> bool:
    return value is None or low <= value <= high


def _medians(group: Sequence[Result]) -> dict[str, float | None]:
    scores = [result.entry["scores"] for result in group]
    tile = bool(group[0].case.wrap)
    jumps: list[float | None] = [tile_jump(result.picture) if tile else None for result in group]
    ends: list[float | None] = [ends_jump(result.picture, result.case.new) if tile else None for result in group]
    # A tile has no truth that it could be compared with.
    perceptual: list[float | None] = [None if tile else _mean_lpips(score) for score in scores]
    columns = {name: [score[name] for score in scores] for name in ("seam_ratio", "far_ratio", "spread_ratio")}
    columns |= {"copy_share": [score["copy_share"] for score in scores], "st_lpips": perceptual}
    columns |= {"tile_jump": jumps, "ends_jump": ends}
    return {name: _median(values) for name, values in columns.items()}


def _mean_lpips(scores: dict[str, Any]) -> float | None:
    """Mean of the two backbones."""
    pair = [scores["st_lpips_alex"], scores["st_lpips_vgg"]]
    return None if None in pair else float(np.mean(pair))


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


@dataclass(frozen=True)
class Budget:
    """One measured budget.

    Attributes:
        seconds: wall clock; on a busy machine more than the run itself needs.
        processor_seconds: of all threads together.
        peak_mib: peak memory; None where the system does not tell.
    """

    title: str
    seconds: float
    processor_seconds: float
    limit: float
    peak_mib: float | None
    windows: int


MEMORY_LIMIT = 2048


def budgets(model: api.Model, report: Callable[[str], None] = print) -> list[Budget]:
    """Fill a hole of 128 px, and extend 256² by 128 px on one side, with the fast preset, on this machine now."""
    from engine.bench.cost import measured

    picture = read_picture(FOLDER / "pebbles.png")
    hole = np.zeros(picture.shape[:2], np.uint8)
    hole[64:192, 64:192] = 255
    frame = extend.extended(picture, right=128)
    out = []
    for title, pixels, selection, limit in (
        ("fill a hole of 128 × 128", picture, hole, 20.0),
        ("extend 256 × 256 by 128", frame.pixels, frame.selection, 60.0),
    ):
        image = np.dstack([pixels, np.where(selection > 0, np.uint8(0), np.uint8(255))])
        api.warm_up(model)
        before = time.process_time()
        with measured(model.device) as cost:
            *_, last = api.run(api.Job(image, selection, model.info.id, seed=1), model)
        assert isinstance(last, api.Finished)
        worked = time.process_time() - before
        out.append(Budget(title, cost.seconds, worked, limit, cost.peak_mib, last.windows))
        report(f"{title}: {cost.seconds:.1f} s")
    return out
