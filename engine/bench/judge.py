"""The jury's run: every case by every method and seed, each result kept, so that a long run can be done in pieces.

A folder holds ``results/CASE/METHOD-SEED.png`` and ``.json``; what is there and still fits is not made again.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from engine.bench import measures
from engine.bench.cases import Case, read_picture
from engine.bench.cost import device_name, load_average, measured
from engine.bench.methods import Method
from engine.bench.perceptual import StLpips
from engine.errors import EngineError
from engine.version import __version__

FORMAT = 1
SCORES_VERSION = 1
"""Raised when a measure changes: kept scores are then taken anew from the kept pictures."""

Distance = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class Result:
    """One picture and what is known about it."""

    case: Case
    method: Method
    seed: int
    picture: np.ndarray
    entry: dict[str, Any]


class Jury:
    """A run in one folder.

    Args:
        seeds: how many runs of each seeded method.
        device: where our runs take place.
        report: told what happens.
    """

    def __init__(
        self,
        folder: Path,
        cases: list[Case],
        methods: list[Method],
        seeds: int,
        device: torch.device,
        report: Callable[[str], None] = print,
    ) -> None:
        self.folder, self.cases, self.methods, self.seeds = folder, cases, methods, seeds
        self.device, self.report = device, report
        (folder / "results").mkdir(parents=True, exist_ok=True)

    def paint(self, limit: float | None = None) -> int:
        """Make the pictures that are missing; methods take turns on each case.

        Args:
            limit: seconds after which no further picture is begun.

        Returns:
            How many are still missing.
        """
        began, missing, failed = time.monotonic(), 0, set()
        for case, method, seed in self._rounds():
            if self._entry(case, method, seed) is not None:
                continue
            if method.name in failed or (limit is not None and time.monotonic() - began > limit):
                missing += 1
                continue
            try:
                self._paint_one(case, method, seed)
            except EngineError as error:
                if method.ours:
                    raise
                self.report(f"{method.title} on {case.name}: {error.sentence}")
                failed.add(method.name)
                missing += 1
        return missing

    def judge(self, perceptual: bool = True) -> list[Result]:
        """Measure every picture that is there; scores are kept beside it."""
        distances: dict[str, Distance] = {}
        results = []
        source: tuple[str, measures.Source] | None = None
        for case in self.cases:
            for method in self.methods:
                for seed in range(self.seeds if method.seeded else 1):
                    entry = self._entry(case, method, seed)
                    if entry is None:
                        continue
                    png, _ = self._paths(case, method, seed)
                    picture = read_picture(png)
                    wanted = [SCORES_VERSION, perceptual]
                    if entry.get("scored") != wanted:
                        if perceptual and not distances:
                            distances = {"alex": StLpips("alex"), "vgg": StLpips("vgg")}
                        if source is None or source[0] != case.name:
                            source = (case.name, measures.Source(case.truth, case.new))
                        scores = measures.judge(picture, case.new, case.truth, distances, source[1])
                        entry = {**entry, "scores": scores.as_dict(), "scored": wanted}
                        self._write(case, method, seed, entry)
                    results.append(Result(case, method, seed, picture, entry))
        return results

    def diversity(self, results: list[Result], distance: Distance) -> dict[str, float]:
        """By method: mean over the cases of the mean pairwise distance between its variants."""
        out: dict[str, list[float]] = {}
        for method in self.methods:
            for case in self.cases:
                box = measures.hole_box(case.new)
                variants = [r.picture[box] for r in results if r.method is method and r.case is case]
                value = measures.diversity(variants, distance)
                if value is not None:
                    out.setdefault(method.name, []).append(value)
        return {name: float(np.mean(values)) for name, values in out.items()}

    def _rounds(self) -> Iterator[tuple[Case, Method, int]]:
        """Seeds outermost, and the kinds of case take turns, so that an unfinished run is a balanced one."""
        kinds = [case.kind for case in self.cases]
        turns = [kinds[:place].count(kind) for place, kind in enumerate(kinds)]
        in_turn = [self.cases[place] for place in sorted(range(len(kinds)), key=lambda place: turns[place])]
        for seed in range(self.seeds):
            for case in in_turn:
                for method in self.methods:
                    if seed == 0 or method.seeded:
                        yield case, method, seed

    def _paint_one(self, case: Case, method: Method, seed: int) -> None:
        with measured(self.device) as cost:
            picture, calls = method.paint(case, seed)
        self._record(case, method, seed, picture, calls=calls, seconds=cost.seconds, peak_mib=cost.peak_mib)
        self.report(f"{case.name:20} {method.name:20} seed {seed}: {calls} calls, {cost.seconds:.1f} s")

    def _record(self, case: Case, method: Method, seed: int, picture: np.ndarray, **more: Any) -> None:
        """Keep a picture, and beside it what is known of how it came about; ``more`` goes there, too."""
        png, _ = self._paths(case, method, seed)
        png.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(png), picture[..., ::-1])
        entry = {
            "format": FORMAT,
            "key": self._key(case, method),
            "case": case.name,
            "kind": case.kind,
            "method": method.name,
            "seed": seed,
            **more,
            "device": device_name(self.device if method.ours else torch.device("cpu")),
            "load": load_average(),
            "version": __version__,
        }
        self._write(case, method, seed, entry)

    def _entry(self, case: Case, method: Method, seed: int) -> dict[str, Any] | None:
        """What is kept of a result, if it is there and still answers the same question."""
        png, path = self._paths(case, method, seed)
        if not png.is_file():
            return None
        try:
            entry: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return entry if entry.get("key") == self._key(case, method) and entry.get("format") == FORMAT else None

    def _write(self, case: Case, method: Method, seed: int, entry: dict[str, Any]) -> None:
        _, path = self._paths(case, method, seed)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(entry, indent=1), encoding="utf-8")
        part.replace(path)

    def _paths(self, case: Case, method: Method, seed: int) -> tuple[Path, Path]:
        stem = self.folder / "results" / case.name / f"{re.sub(r'[^A-Za-z0-9.-]', '_', method.name)}-{seed}"
        return stem.with_name(stem.name + ".png"), stem.with_name(stem.name + ".json")

    @staticmethod
    def _key(case: Case, method: Method) -> str:
        tile = b"frame" if case.wrap and method.ours else b""  # ours paint its frame, not the cross
        digest = hashlib.sha256(case.truth.tobytes() + case.selection.tobytes() + tile + method.key.encode())
        return digest.hexdigest()[:16]
