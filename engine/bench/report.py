"""The jury's verdict as tables, JSON and contact sheets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw

from engine.bench import measures
from engine.bench.cases import KINDS
from engine.bench.judge import Result

COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("off_ideal", "off ideal", ".2f"),
    ("seam_ratio", "seam", ".2f"),
    ("far_ratio", "far", ".2f"),
    ("spread_ratio", "spread", ".2f"),
    ("seam_jump", "seam jump", ".2f"),
    ("copy_share", "copy", ".2f"),
    ("st_lpips_alex", "ST-LPIPS Alex", ".4f"),
    ("st_lpips_vgg", "ST-LPIPS VGG", ".4f"),
    ("ssim", "SSIM", ".3f"),
    ("psnr", "PSNR", ".1f"),
    ("delta_e_inside", "ΔE00 ring", ".1f"),
)
CELL = 132
MARGIN = 24
"""Pixels of surroundings shown around a hole on the sheet."""


def off_ideal(scores: dict[str, float | None]) -> float | None:
    """Mean |log2| of seam, far and spread ratio: 0 is ideal, 1 is a factor of two off."""
    ratios = [scores[name] for name in ("seam_ratio", "far_ratio", "spread_ratio")]
    logs = [abs(float(np.log2(max(ratio, 1e-3)))) for ratio in ratios if ratio is not None]
    return float(np.mean(logs)) if logs else None


def value_of(result: Result, column: str) -> float | None:
    scores = result.entry["scores"]
    value = off_ideal(scores) if column == "off_ideal" else scores[column]
    return None if value is None else float(value)


def rows(results: Sequence[Result], diversity: dict[str, float]) -> list[dict[str, Any]]:
    """One row per method.

    Each measure is the median over the cases (``off_ideal`` the mean) for each seed, then the mean over the seeds;
    ``spread`` holds half the range over the seeds. A seed counts only where it has all the cases of seed 0.
    """
    out = []
    for name in dict.fromkeys(result.method.name for result in results):
        own = [result for result in results if result.method.name == name]
        cases = {result.case.name for result in own if result.seed == 0}
        by_seed = {seed: [r for r in own if r.seed == seed] for seed in sorted({r.seed for r in own})}
        complete = [group for group in by_seed.values() if {r.case.name for r in group} >= cases]
        row: dict[str, Any] = {
            "method": name,
            "title": own[0].method.title,
            "ours": own[0].method.ours,
            "cases": len(cases),
            "seeds": len(complete),
            "diversity": diversity.get(name),
            "calls": max(r.entry["calls"] for r in own),
            "seconds": float(np.median([r.entry["seconds"] for r in own])),
            "peak_mib": max((r.entry["peak_mib"] for r in own if r.entry["peak_mib"] is not None), default=None),
            "device": own[0].entry["device"],
            "spread": {},
        }
        for column, _, _ in COLUMNS:
            middle = np.mean if column == "off_ideal" else np.median
            per_seed = [_over_cases(group, column, middle) for group in complete]
            values = [value for value in per_seed if value is not None]
            row[column] = float(np.mean(values)) if values else None
            row["spread"][column] = (max(values) - min(values)) / 2 if len(values) > 1 else None
        out.append(row)
    return out


def _over_cases(group: Iterable[Result], column: str, middle: Callable[[list[float]], Any]) -> float | None:
    values = [value for value in (value_of(result, column) for result in group) if value is not None]
    return float(middle(values)) if values else None


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table; ± is half the range over the seeds."""
    head = ["method", "cases × seeds", *(title for _, title, _ in COLUMNS), "diversity", "calls", "s", "peak MiB"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [row["title"], f"{row['cases']} × {row['seeds']}"]
        for column, _, form in COLUMNS:
            cells.append(_cell(row[column], row["spread"].get(column), form))
        cells.append(_cell(row["diversity"], None, ".4f"))
        cells += [str(row["calls"] or "–"), _cell(row["seconds"], None, ".1f"), _cell(row["peak_mib"], None, ".0f")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(value: float | None, spread: float | None, form: str) -> str:
    if value is None:
        return "–"
    return f"{value:{form}}" if spread is None else f"{value:{form}} ± {spread:{form}}"


def kinds_table(results: Sequence[Result], column: str, form: str) -> str:
    """Mean of one measure by method (down) and kind of case (across), over all cases and seeds."""
    kinds = [kind for kind in (*KINDS, "tuning") if any(result.case.kind == kind for result in results)]
    lines = ["| method | " + " | ".join(kinds) + " |", "|" + "---|" * (len(kinds) + 1)]
    for name in dict.fromkeys(result.method.name for result in results):
        own = [result for result in results if result.method.name == name]
        cells = [
            _cell(_over_cases([r for r in own if r.case.kind == kind], column, np.mean), None, form) for kind in kinds
        ]
        lines.append(f"| {own[0].method.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def markdown(results: Sequence[Result], diversity: dict[str, float], facts: dict[str, Any]) -> str:
    """The whole verdict: the table, one more for every method that ran on fewer cases, and by kind of picture."""
    out = [
        f"Model `{facts['model']}` ({facts['fingerprint']}), {facts['device']}. "
        "Ratios and seam jump are ideal at 1; *off ideal* is the mean |log2| of seam, far and spread ratio; ST-LPIPS, "
        "ΔE00 and off ideal: less is better. Medians over the cases (off ideal: mean) ± half the range over the seeds.",
        table(rows(results, diversity)),
    ]
    every = {result.case.name for result in results}
    for row in rows(results, diversity):
        own = {result.case.name for result in results if result.method.name == row["method"]}
        if own < every:
            shared = [result for result in results if result.case.name in own]
            out += [
                f"On the {len(own)} cases that *{row['title']}* ran on ({', '.join(sorted(own))}):",
                table(rows(shared, {})),
            ]
    out += ["Off ideal by kind of picture:", kinds_table(results, "off_ideal", ".2f")]
    if any(value_of(result, "st_lpips_alex") is not None for result in results):
        out += ["ST-LPIPS (Alex) by kind of picture:", kinds_table(results, "st_lpips_alex", ".4f")]
    return "\n\n".join(out) + "\n"


def write(folder: Path, results: Sequence[Result], diversity: dict[str, float], facts: dict[str, Any]) -> list[Path]:
    """Write ``jury.json``, ``jury.md`` and the contact sheet ``jury.png``; returns their paths."""
    data = {"facts": facts, "rows": rows(results, diversity), "results": [result.entry for result in results]}
    paths = [folder / "jury.json", folder / "jury.md", folder / "jury.png"]
    paths[0].write_text(json.dumps(data, indent=1, ensure_ascii=False), encoding="utf-8")
    paths[1].write_text(markdown(results, diversity, facts), encoding="utf-8")
    sheet(results).save(paths[2], optimize=True)
    return paths


def sheet(results: Sequence[Result], per_method: int = 2) -> Image.Image:
    """The contact sheet: a row per case; the hole, the truth, then up to ``per_method`` seeds of each method.

    Each cell shows the hole with 24 px of its surroundings.
    """
    cases = list({result.case.name: result.case for result in results}.values())
    columns = [
        (name, seed)
        for name in dict.fromkeys(result.method.name for result in results)
        if name != "truth"
        for seed in sorted({r.seed for r in results if r.method.name == name})[:per_method]
    ]
    found = {(r.case.name, r.method.name, r.seed): r.picture for r in results}
    top = 16
    out = Image.new("RGB", (CELL * (len(columns) + 2), top + CELL * len(cases)), "white")
    pen = ImageDraw.Draw(out)
    for place, text in enumerate(["hole", "truth", *(f"{name} {seed + 1}" for name, seed in columns)]):
        pen.text((place * CELL + 3, 2), text, fill="black")
    for line, case in enumerate(cases):
        box = measures.hole_box(case.new, MARGIN)
        shown: list[np.ndarray | None] = [_marked(case.truth, case.selection), case.truth]
        shown += [found.get((case.name, name, seed)) for name, seed in columns]
        for place, picture in enumerate(shown):
            if picture is not None:
                cell = _fitted(picture[box])
                out.paste(cell, (place * CELL, top + line * CELL))
        pen.text((3, top + line * CELL + CELL - 15), case.name, fill="black", stroke_width=2, stroke_fill="white")
    return out


def _marked(picture: np.ndarray, selection: np.ndarray) -> np.ndarray:
    m = selection[..., None].astype(np.float32) / 255
    grey = np.full(3, 128, np.float32)
    return np.rint(picture * (1 - m) + grey * m).astype(np.uint8)


def _fitted(picture: np.ndarray) -> Image.Image:
    side = CELL - 3
    scale = side / max(picture.shape[:2])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return Image.fromarray(cv2.resize(np.ascontiguousarray(picture), size, interpolation=how))
