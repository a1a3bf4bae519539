"""What the experiments ask of a model: a picture, a hole in it, and what is measured of the answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np

from engine import api, canvas
from engine.bench import cases, masks, measures, perceptual
from engine.lab.experiment import Live, Number, Option, Setup, painted
from engine.lab.notebook import Record
from engine.lab.plots import Plot
from engine.lab.report import Claim, Pictures, Table
from engine.models import folders
from engine.run import figures

UNIT = 64
"""The masks below are drawn for pictures of this side."""
LEAST = 1.0
"""Of 255: nearer to others than this the truth's patches say nothing of how much a fill repeats."""
BORDER = 12
"""Pixels around the hole whose patches count as those of its border."""
MASKS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("astronaut-removal", {"shape": "ellipse", "centre": [32, 32], "radii": [14, 11]}),
    ("pebbles", {"shape": "box", "box": [20, 20, 24, 24]}),
    ("coffee-narrow", {"shape": "brush", "seed": 3, "strokes": 3, "width": 8}),
    ("stone-wall", {"shape": "edge", "side": "right", "width": 24}),
    ("cat-fur-hole", {"shape": "blob", "centre": [32, 32], "side": 30, "seed": 4}),
    ("rocket-half", {"shape": "lines", "period": 8, "width": 4, "box": [8, 8, 48, 48]}),
    ("straw", {"shape": "polygon", "points": [[14, 18], [50, 12], [44, 52], [20, 44]]}),
    ("cameraman-soft", {"shape": "brush", "seed": 5, "strokes": 5, "width": 4}),
    ("brick-orange", {"shape": "edge", "side": "bottom", "width": 20}),
    ("foliage", {"shape": "expand", "box": [16, 16, 32, 32]}),
)
"""One of the jury's pictures and another mask each: the report's ten images."""

SIDE = Option("side", 0, "of the pictures in pixels; 0: a network's own size, else 64")


@dataclass(frozen=True)
class Question:
    """A picture and the part of it to repaint.

    Attributes:
        truth: (H, W, 3) uint8.
        selection: (H, W) uint8, 255 = repaint.
    """

    name: str
    truth: np.ndarray
    selection: np.ndarray

    @property
    def new(self) -> np.ndarray:
        """(H, W) bool."""
        return self.selection > 0

    @property
    def holed(self) -> np.ndarray:
        """(H, W, 3) uint8: the picture, gray where it is to be repainted."""
        return np.where(self.new[..., None], np.uint8(128), self.truth)

    def job(self, model: api.Model, seed: int, **options: Any) -> api.Job:
        """Repaint it as the paper does, with what ``options`` change; a model that must have a class gets the first."""
        if model.labels and not model.label_optional:
            options = {"label": 0} | options
        image = np.dstack([self.holed, np.full(self.selection.shape, 255, np.uint8)])
        settings: dict[str, Any] = {"preset": "repaint", "palette": False} | options
        return api.Job(image, self.selection, model.info.id, seed=seed, **settings)

    def shown(self, finished: api.Finished) -> np.ndarray:
        """The answer over the picture, (H, W, 3) uint8."""
        return canvas.over(self.truth, finished.layer())


def questions(count: int, side: int = UNIT) -> list[Question]:
    """The first of :data:`MASKS`, as pictures of side × side."""
    return [question(*each, side) for each in MASKS[:count]]


def question(name: str, mask: dict[str, Any], side: int = UNIT) -> Question:
    """The middle of a picture of the jury; the mask is drawn for :data:`UNIT`."""
    drawn = masks.draw(mask, UNIT, UNIT)
    selection = cv2.resize(drawn, (side, side), interpolation=cv2.INTER_NEAREST_EXACT)
    return Question(name, middle(name, side), selection)


@cache
def middle(name: str, side: int) -> np.ndarray:
    """The largest square in the middle of a picture of the jury, (side, side, 3) uint8."""
    picture = cases.read_picture(cases.FOLDER / f"{name}.png")
    height, width = picture.shape[:2]
    whole = min(height, width)
    top, left = (height - whole) // 2, (width - whole) // 2
    square = picture[top : top + whole, left : left + whole]
    return np.asarray(cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA))


def config(info: api.ModelInfo) -> dict[str, Any]:
    """What a model's network says of itself, unread; empty where it has no such file."""
    if info.folder is None:
        return {}
    try:
        found = json.loads((folders.part_folder(info.folder, "unet") / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def side(setup: Setup, info: api.ModelInfo) -> int:
    """Side of the pictures, in pixels: the option, or a network's own size, at most 256; else :data:`UNIT`."""
    return int(setup.options["side"]) or min(256, int(config(info).get("sample_size") or UNIT))


def affordable(setup: Setup, info: api.ModelInfo, network: int, others: int) -> int:
    """How many pictures by default: ``network`` for a network on a CPU, else ``others``; one if all is to be small."""
    from engine import devices

    if setup.small:
        return 1
    slow = info.family != "exemplar" and devices.chosen(setup.device).type == "cpu"
    return network if slow else others


def pixels(info: api.ModelInfo) -> bool:
    """Whether a model works on pixels; the exact test models do, but have nothing to say."""
    return info.family in ("exemplar", "diffusers-pixel")


def answered(
    live: Live, asked: Question, model: api.Model, job: api.Job, both: bool = False
) -> tuple[np.ndarray, dict[str, Number]]:
    """Run a job: the picture, and what it cost and is worth; ``both`` as of :func:`scores`.

    ``processor``: seconds that this process computed, which a busy machine does not change; None on other devices.
    """
    began = time.process_time()
    finished = painted(live, job, model)
    worked = round(time.process_time() - began, 4) if model.device.type == "cpu" else None
    picture = asked.shown(finished)
    return picture, {"calls": finished.calls, "seconds": round(finished.seconds, 4), "processor": worked} | scores(
        picture, asked, both
    )


@cache
def distances() -> dict[str, Callable[[np.ndarray, np.ndarray], float]]:
    """The perceptual distances whose weights are here."""
    from engine.lab import lpips

    found: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {}
    if perceptual.available():
        found |= {"st_lpips_alex": perceptual.StLpips("alex"), "st_lpips_vgg": perceptual.StLpips("vgg")}
    if lpips.available():
        found["lpips_alex"] = lpips.Lpips()
    return found


def scores(picture: np.ndarray, asked: Question, both: bool = False) -> dict[str, Number]:
    """Against the truth, over the new area; with ``both`` by ST-LPIPS's second backbone, too, which is the slow one.

    ``st_lpips_…``, ``lpips_alex``: perceptual distances of the box around the hole. ``ssim``. ``seam``: the jump across
    the border, over the truth's own. ``spread``: the standard deviation, over the truth's own: below 1 something is
    missing. ``border``, ``elsewhere``: how far the patches of the hole are from those around it, and from all others,
    over how far the truth's own are: below 1 the hole repeats them more than the truth does.
    """
    new, truth = asked.new, asked.truth
    box = measures.hole_box(new)
    chosen = {name: far for name, far in distances().items() if both or not name.endswith("vgg")}
    out: dict[str, Number] = {name: far(picture[box], truth[box]) for name, far in chosen.items()}
    out["ssim"] = measures.ssim(picture, truth, new) if find_spec("skimage") else None
    out["seam"] = _over(lambda shown: measures.seam_jump(shown, new), picture, truth)
    out["spread"] = _over(lambda shown: measures.spread(shown, new), picture, truth)
    around = cv2.dilate(new.astype(np.uint8), np.ones((2 * BORDER + 1,) * 2, np.uint8)) > 0
    out["border"] = _over(partial(_likeness, where=around & ~new, new=new), picture, truth, LEAST)
    out["elsewhere"] = _over(partial(_likeness, where=~around, new=new), picture, truth, LEAST)
    return out


def _likeness(picture: np.ndarray, where: np.ndarray, new: np.ndarray) -> float | None:
    """Mean RMS distance of the patches wholly in ``new`` to the nearest one in ``where``; None without patches."""
    size = measures.PATCH
    asked = measures.patches(picture, figures.thinned(figures.wholly_in(new, size), measures.MAX_QUERIES), size)
    reference = measures.patches(picture, figures.wholly_in(where, size), size)
    return measures.patch_distance(asked, reference) if len(asked) and len(reference) else None


def _over(
    measure: Callable[[np.ndarray], float | None], picture: np.ndarray, truth: np.ndarray, least: float = 1e-6
) -> float | None:
    """Over the truth's own; None where that is below ``least``."""
    own, ideal = measure(picture), measure(truth)
    return None if own is None or ideal is None or ideal < least else own / ideal


def mean(records: Iterable[Record], name: str) -> float | None:
    """Mean of a number over records; None where none has it."""
    return spread_of(records, name)[0]


def spread_of(records: Iterable[Record], name: str) -> tuple[float | None, float]:
    """Mean and standard error of a number over records."""
    found = [value for value in (record.number(name) for record in records) if value is not None]
    if not found:
        return None, 0.0
    error = float(np.std(found, ddof=1) / np.sqrt(len(found))) if len(found) > 1 else 0.0
    return float(np.mean(found)), error


def names(records: Iterable[Record], setting: str) -> list[Any]:
    """The values of a setting, in their order."""
    return list(dict.fromkeys(record.settings[setting] for record in records))


def whole(records: Sequence[Record], setting: str) -> list[Record]:
    """Those of the pictures that are done for every value of a setting, so that its means are over the same pictures;
    all while there is none."""
    values = {record.settings[setting] for record in records}
    done = groups(records, "picture")
    kept = [picture for picture, group in done.items() if {record.settings[setting] for record in group} == values]
    return [record for record in records if record.settings["picture"] in kept] if kept else list(records)


def groups(records: Iterable[Record], setting: str) -> dict[Any, list[Record]]:
    """The records by the value of a setting, in rising order of it."""
    found: dict[Any, list[Record]] = {}
    for record in records:
        found.setdefault(record.settings[setting], []).append(record)
    return dict(sorted(found.items()))


def line(records: Iterable[Record], setting: str, name: str) -> list[tuple[float, ...]]:
    """Means of a number by a numeric setting, as points of a plot; without those that none has."""
    found = [(float(value), mean(group, name)) for value, group in groups(records, setting).items()]
    return [(x, y) for x, y in found if y is not None]


def drawn(plots: Iterable[Plot]) -> list[Table | Plot | Pictures | Claim]:
    """Those that have points, as parts of a section."""
    return [plot for plot in plots if any(plot.lines.values())]
