"""The run of ``bench photo``: every case by every method, each in a process of its own, so that costs are told apart.

A method's process lives as long as the run: imports, a model's loading and whatever is compiled when first used happen
before the clock starts (one small picture is painted to warm up). Costs are those of the call alone.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from engine import api
from engine.bench import measures, methods
from engine.bench.cases import Case, read_picture, rolled_back
from engine.bench.cost import measured, resident_mib
from engine.bench.judge import Distance, Jury, Result
from engine.bench.methods import Method
from engine.bench.perceptual import StLpips
from engine.bench.photo import PhotoCase
from engine.bench.rivals import RIVALS
from engine.canvas import seam as seams
from engine.errors import BadInput, EngineError

RIVALS_HERE = ("telea", "pypatchmatch", "resynthesizer", "gmic-patch")
"""The rivals that can fill large holes in a reasonable time; the others only when named."""
SCORES_VERSION = 1
"""Raised when a measure changes: kept scores are then taken anew from the kept pictures."""
LARGEST = 640
"""Side of the largest part that the perceptual distance is taken of; it needs about 2 GiB at that size."""
MOST_PARTS = 4
"""Parts of a picture that are judged: of more that hold something new, so many, evenly."""
EMPTY = 0.1
"""A rival whose share of pixels left as they were is above this has given up, and gets no row for the case."""
PATIENCE = 600.0
"""Seconds after which a call is given up."""
WARM_UP = 96


@dataclass(frozen=True)
class Order:
    """What a process needs to build its method again.

    Attributes:
        rival: its name; empty for ours.
        learn: seconds to learn the known pixels first, before the clock starts.
    """

    rival: str = ""
    model: str = ""
    preset: str = ""
    device: str | None = None
    learn: float | None = None

    def method(self) -> Method:
        """Build it; loads the model."""
        if self.rival:
            return methods.rivals([self.rival])[0]
        return methods.ours(self.preset, api.load_model(self.model, self.device), self.learn)


@dataclass(frozen=True)
class Cost:
    """What one call took.

    Attributes:
        seconds: wall clock.
        processor_seconds: user and system time of all threads and child processes; None where the system does not tell.
        peak_mib: highest resident memory of the process (on CUDA: of torch on the device).
        before_mib: resident memory before the call, libraries and model included.
    """

    seconds: float
    processor_seconds: float | None
    peak_mib: float | None
    before_mib: float | None


def rivals(names: list[str] | None) -> list[Method]:
    """The rivals of ``names``, or :data:`RIVALS_HERE`; one that is not installed is said to be so and left out.

    Raises:
        BadInput: an unknown name.
    """
    if names == ["none"]:
        return []
    out = []
    for name in RIVALS_HERE if names is None else names:
        try:
            out += methods.rivals([name])
        except BadInput as error:
            if name not in RIVALS:
                raise
            print(error.sentence)
    return out


class Workers:
    """One process for each method, started when first asked."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[Any, Connection]] = {}

    def paint(self, name: str, order: Order, case: Case, seed: int) -> tuple[np.ndarray, int, Cost]:
        """The picture, the network calls and the cost.

        Raises:
            EngineError: the method failed, its process died, or it took too long.
        """
        if name not in self._running:
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, order), daemon=False)
            process.start()
            theirs.close()
            self._running[name] = process, ours
        _, pipe = self._running[name]
        try:
            pipe.send((Case(case.name, case.kind, case.truth, case.selection, case.wrap), seed))
            if not pipe.poll(PATIENCE):
                raise EngineError("method_failed", f"It took longer than {PATIENCE / 60:.0f} minutes and was given up.")
            answer = pipe.recv()
        except (EOFError, OSError) as error:
            self.stop(name)
            raise EngineError("method_failed", "Its process ended without a picture.", str(error)) from error
        except EngineError:
            self.stop(name)
            raise
        if isinstance(answer[0], str):
            raise EngineError(*answer)
        picture, calls, cost = answer
        return picture, calls, Cost(**cost)

    def stop(self, name: str | None = None) -> None:
        """End one process, or all."""
        for key in [name] if name else list(self._running):
            process, pipe = self._running.pop(key)
            pipe.close()
            process.join(2)
            if process.is_alive():
                process.kill()
                process.join()


def _work(pipe: Connection, order: Order) -> None:
    """The life of a method's process: answer cases until the other end is closed."""
    method: Method | None = None
    while True:
        try:
            case, seed = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            if method is None:
                method = order.method()
                (order if order.learn is None else replace(order, learn=None)).method().paint(_small(), 0)
            picture, calls, cost = priced(method, case, seed, torch.device(order.device or "cpu"))
            answer: tuple[Any, ...] = (picture, calls, asdict(cost))
        except EngineError as error:
            answer = (error.code, error.sentence, error.details)
        except Exception as error:
            answer = ("method_failed", f"It failed: {type(error).__name__}.", repr(error))
        pipe.send(answer)


def _small() -> Case:
    """A picture to warm up with: coloured noise around a hole."""
    truth = np.random.default_rng(0).integers(0, 256, (WARM_UP, WARM_UP, 3), np.uint8)
    selection = np.zeros((WARM_UP, WARM_UP), np.uint8)
    selection[36:60, 36:60] = 255
    return Case("warm-up", "hole", cv2.blur(truth, (5, 5)), selection)


def priced(method: Method, case: Case, seed: int, device: torch.device) -> tuple[np.ndarray, int, Cost]:
    """One call in this process and what it cost."""
    if method.prepare is not None:
        method.prepare(case)
    before, started = resident_mib(), processor_seconds()
    with measured(device) as cost:
        picture, calls = method.paint(case, seed)
    ended = processor_seconds()
    spent = ended - started if ended is not None and started is not None else None
    return picture, calls, Cost(cost.seconds, spent, cost.peak_mib, before)


def processor_seconds() -> float | None:
    """User and system time so far of this process, of its children that have ended, and (Linux) of those that run."""
    try:
        import resource

        total = 0.0
        for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
            usage = resource.getrusage(whose)
            total += usage.ru_utime + usage.ru_stime
    except (ImportError, OSError):
        return None
    return total + sum(_ticks(child) for child in _descendants(os.getpid())) / os.sysconf("SC_CLK_TCK")


def _descendants(process: int) -> list[int]:
    out: list[int] = []
    for listed in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = [int(word) for word in listed.read_text().split()]
        except OSError:
            continue
        for child in children:
            out += [child, *_descendants(child)]
    return out


def _ticks(process: int) -> int:
    """Clock ticks, user and system, of a process and of its children that have ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return 0
    return sum(int(field) for field in fields[11:15])


class PhotoRun(Jury):
    """A run in one folder; what is there and still fits is not made again.

    Args:
        orders: by a method's name, how its process builds it; a method without an order is asked in this process.
    """

    def __init__(
        self,
        folder: Path,
        cases: list[PhotoCase],
        everyone: list[Method],
        seeds: int,
        device: torch.device,
        orders: dict[str, Order],
        report: Callable[[str], None] = print,
    ) -> None:
        super().__init__(folder, list(cases), everyone, seeds, device, report)
        self._orders, self._workers = orders, Workers()

    def paint(self, limit: float | None = None, again: bool = False) -> int:
        """Make the pictures that are missing, methods in turns; what fails is reported, counts as missing, and is not
        tried again while its file ``.failed`` lies beside the results.

        Args:
            limit: seconds after which no further picture is begun.
            again: make ours anew even where they fit.
        """
        began, missing = time.monotonic(), 0
        try:
            for case, method, seed in self._rounds():
                if self._entry(case, method, seed) is not None and not (again and method.ours):
                    continue
                given_up = self._paths(case, method, seed)[1].with_suffix(".failed")
                late = limit is not None and time.monotonic() - began > limit
                if late or (_text(given_up) == self._key(case, method) and not (again and method.ours)):
                    missing += 1
                    continue
                try:
                    self._paint_one(case, method, seed)
                except EngineError as error:
                    given_up.parent.mkdir(exist_ok=True)
                    given_up.write_text(self._key(case, method), encoding="utf-8")
                    self.report(f"{method.title} on {case.name}: {error.sentence} {error.details or ''}".rstrip())
                    missing += 1
        finally:
            self._workers.stop()
        return missing

    def _paint_one(self, case: Case, method: Method, seed: int) -> None:
        if method.name in self._orders:
            picture, calls, cost = self._workers.paint(method.name, self._orders[method.name], case, seed)
        else:
            picture, calls, cost = priced(method, case, seed, torch.device("cpu"))
        if not method.ours and left_empty(picture, case) > EMPTY:
            raise EngineError("method_failed", "It left a part of the area black, as it was given.")
        self._record(case, method, seed, picture, calls=calls, pixels=int(case.new.sum()), **asdict(cost))
        spent = "" if cost.processor_seconds is None else f", {cost.processor_seconds:.1f} processor seconds"
        self.report(f"{case.name:24} {method.name:20} seed {seed}: {cost.seconds:.1f} s{spent}")

    def judge(self, perceptual: bool = True) -> list[Result]:
        """Measure every picture that is there; scores are kept beside it. The truth of things to be removed and of
        tiles, which have none, is left out."""
        distances: dict[str, Distance] = {}
        results = []
        for case in self.cases:
            assert isinstance(case, PhotoCase)
            for method in self.methods:
                for seed in range(self.seeds if method.seeded else 1):
                    entry = self._entry(case, method, seed)
                    if entry is None or (method.name == "truth" and case.task in ("removal", "tile")):
                        continue
                    picture = read_picture(self._paths(case, method, seed)[0])
                    wanted = [SCORES_VERSION, perceptual]
                    if entry.get("scored") not in (wanted, [SCORES_VERSION, True]):
                        if perceptual and case.has_truth and not distances:
                            distances = {"alex": StLpips("alex"), "vgg": StLpips("vgg")}
                        entry = {**entry, "scores": scores(picture, case, distances), "scored": wanted}
                        self._write(case, method, seed, entry)
                    results.append(Result(case, method, seed, picture, entry))
        return results


def left_empty(picture: np.ndarray, case: Case) -> float:
    """The share of the new pixels that stayed black as in the holed picture, less the share of black elsewhere."""
    black = (picture == 0).all(axis=2)
    return float(black[case.new].mean() - black[~case.new].mean())


def _text(path: Path) -> str:
    """What a small file says; nothing where there is none."""
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def scores(picture: np.ndarray, case: PhotoCase, distances: dict[str, Distance]) -> dict[str, float | None]:
    """All measures of one result; None where one has no meaning."""
    new, known = case.new, ~case.new
    around = measures.spread(case.truth, known)
    out: dict[str, float | None] = {
        "seam_jump": seams.tile_seam_jump(rolled_back(picture), case.wrap)
        if case.wrap
        else measures.seam_jump(picture, new),
        "grain": measures.grain(picture, new),
        "spread_ratio": measures.spread(picture, new) / max(around, 1e-6),
        "autocorrelation": None,
        "sliced": None,
        "st_lpips": None,
        "delta_e_inside": None,
        "delta_e_outside": None,
        "grain_truth": None,
        "smooth_error": None,
        "roughness": None,
    }
    if case.task == "synthesis":
        out["autocorrelation"] = measures.autocorrelation_error(picture, new)
        out["sliced"] = measures.sliced_distance(picture, new)
    if not case.has_truth:
        return out
    box = measures.hole_box(new)
    part, truth, inside = picture[box], case.truth[box], new[box]
    near, beyond = measures.rings(inside)
    difference = measures.delta_e(part, truth)
    out["delta_e_inside"] = float(difference[near].mean())
    out["delta_e_outside"] = float(difference[beyond].mean()) if beyond.any() else None
    out["grain_truth"] = measures.grain_against(part, truth, inside)
    out["smooth_error"] = measures.smooth_error(part, truth, inside)
    out["roughness"] = measures.roughness(truth, inside)
    if np.array_equal(part, truth):
        out["st_lpips"] = 0.0
    elif distances:
        values = [far_apart(part, truth, inside, distance) for distance in distances.values()]
        out["st_lpips"] = float(np.mean(values))
    return out


def far_apart(picture: np.ndarray, truth: np.ndarray, new: np.ndarray, distance: Distance) -> float:
    """A perceptual distance of pictures of any size: of equal parts of at most :data:`LARGEST` pixels, weighted by
    their new pixels; those with nothing new are left out, and of many a few are taken."""
    parts = [(rows, columns) for rows in _parts(picture.shape[0]) for columns in _parts(picture.shape[1])]
    parts = [part for part in parts if new[part].any()]
    if len(parts) > MOST_PARTS:
        parts = [parts[len(parts) * k // MOST_PARTS] for k in range(MOST_PARTS)]
    weights = [float(new[part].sum()) for part in parts]
    return float(np.average([distance(picture[part], truth[part]) for part in parts], weights=weights))


def _parts(length: int) -> list[slice]:
    count = -(-length // LARGEST)
    edges = [round(length * k / count) for k in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]
