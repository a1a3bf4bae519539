"""The judgement on textures as Markdown, JSON and contact sheets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw

from engine.bench.cases import rolled_back
from engine.bench.judge import Result
from engine.bench.measures import cut_jumps
from engine.bench.texture import LIMITS, MEMORY_LIMIT, STRIP, TASKS, Budget, Verdict, along, verdicts

HEIGHT = 120
"""Side of a picture on the sheet, in pixels; a tile is shown twice as often in both directions, at half its size."""


def write(
    folder: Path, results: Sequence[Result], measured: Sequence[Budget], facts: dict[str, Any]
) -> tuple[str, list[Path]]:
    """Write ``texture.md``, ``texture.json`` and a sheet for each task; returns the summary and the paths."""
    judged = verdicts(results)
    text = markdown(results, judged, measured, facts)
    paths = [folder / "texture.md", folder / "texture.json"]
    paths[0].write_text(text, encoding="utf-8")
    data = {
        "facts": facts,
        "verdicts": [
            {"case": v.case.name, "kind": v.case.kind, "method": v.method, "broken": v.broken, **v.values}
            for v in judged
        ],
        "budgets": [asdict(budget) for budget in measured],
        "results": [result.entry for result in results],
    }
    paths[1].write_text(json.dumps(data, indent=1, ensure_ascii=False), encoding="utf-8")
    for task in TASKS:
        own = [result for result in results if result.case.name.endswith(task)]
        if own:
            paths.append(folder / f"texture-{task}.png")
            sheet(own, judged).save(paths[-1], optimize=True)
    return summary(results, judged), paths


def summary(results: Sequence[Result], judged: Sequence[Verdict]) -> str:
    """How many pictures each method passes, by task, and in all three."""
    lines = ["| method | " + " | ".join(TASKS) + " | all three | seconds (median) |", "|" + "---|" * (len(TASKS) + 3)]
    for name in dict.fromkeys(result.method.name for result in results):
        own = [verdict for verdict in judged if verdict.method == name]
        cells = []
        for task in TASKS:
            of_task = [verdict for verdict in own if verdict.task == task]
            cells.append(_of(sum(not verdict.broken for verdict in of_task), len(of_task)))
        names = [verdict.case.name.split()[0] for verdict in own]
        pictures = {picture for picture in names if names.count(picture) == len(TASKS)}
        failed = {verdict.case.name.split()[0] for verdict in own if verdict.broken}
        seconds = np.median([result.entry["seconds"] for result in results if result.method.name == name])
        cells += [_of(len(pictures - failed), len(pictures)), f"{seconds:.1f}"]
        lines.append(f"| {_title(results, name)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _of(count: int, total: int) -> str:
    return f"{count} of {total}" if total else "–"


def markdown(
    results: Sequence[Result], judged: Sequence[Verdict], measured: Sequence[Budget], facts: dict[str, Any]
) -> str:
    """The whole judgement."""
    limits = "; ".join(
        f"{title} {low:g} … {high:g}" if low else f"{title} ≤ {high:g}" for _, title, low, high in LIMITS
    )
    out = [
        f"Model `{facts['model']}` ({facts['fingerprint']}), {facts['device']}. A picture passes where the medians of "
        f"{facts['seeds']} seeds keep to: {limits}. ST-LPIPS is the mean of Alex and VGG over that of the best rival; "
        "tiles have none.",
        summary(results, judged),
    ]
    for task in TASKS:
        out += [f"## {task}", _table(results, [verdict for verdict in judged if verdict.task == task], task)]
        if task == "tile" and (cuts := _cuts(results)):
            out.append(cuts)
    out += ["## Along the distance of the extension", _along(results)]
    for name in dict.fromkeys(result.method.name for result in results):
        plain, _, seconds = name.partition("-learned-")
        if seconds:
            out += [f"## What learning does: {_title(results, name)}", _learned(judged, plain, name)]
    if measured:
        out += ["## Budgets", _budgets(measured)]
    return "\n\n".join(out) + "\n"


def _table(results: Sequence[Result], judged: Sequence[Verdict], task: str) -> str:
    """A row for each picture and method of ours, then the rivals' medians over the pictures."""
    shown = [limit for limit in LIMITS if limit[0] != ("st_lpips" if task == "tile" else "tile_jump")]
    more = {"copy_share": "copy"} | ({"ends_jump": "ends"} if task == "tile" else {})
    titles = [*(title for _, title, _, _ in shown), *more.values()]
    lines = ["| picture | kind | method | " + " | ".join(titles) + " | verdict |", "|" + "---|" * (len(titles) + 4)]
    ours = {result.method.name for result in results if result.method.ours}
    for verdict in judged:
        if verdict.method in ours:
            cells = [_cell(verdict.values[name], low, high) for name, _, low, high in shown]
            cells += [_cell(verdict.values[name], 0, np.inf) for name in more]
            said = "not: " + ", ".join(verdict.broken) if verdict.broken else "passes"
            name = verdict.case.name.split()[0]
            lines.append(
                f"| {name} | {verdict.case.kind} | {_title(results, verdict.method)} | {' | '.join(cells)} | {said} |"
            )
    for method in dict.fromkeys(verdict.method for verdict in judged if verdict.method not in ours):
        own = [verdict for verdict in judged if verdict.method == method]
        cells = []
        for name in [*(limit[0] for limit in shown), *more]:
            values = [value for value in (verdict.values[name] for verdict in own) if value is not None]
            cells.append(f"{np.median(values):.2f}" if values else "–")
        passed = f"{sum(not verdict.broken for verdict in own)} of {len(own)}"
        lines.append(f"| *median* | | {_title(results, method)} | {' | '.join(cells)} | {passed} |")
    return "\n".join(lines)


def _cuts(results: Sequence[Result]) -> str:
    """The seam jump where there is no seam: a picture's own lines exceed the limit, too."""
    pictures = {result.case.name: result.case.truth for result in results if result.case.wrap}
    limit = next(high for name, _, _, high in LIMITS if name == "tile_jump")
    cuts = [cut_jumps(rolled_back(picture)) for picture in pictures.values()]
    if not cuts:
        return ""
    within = [float((each <= limit).mean()) for each in cuts]
    worst = [name.split()[0] for _, name in sorted(zip(within, pictures, strict=True))[:3]]
    mean, least, most = (f"{100 * value:.0f}" for value in (np.mean(within), min(within), max(within)))
    return (
        "Through the pictures as they came, where there is no seam, a cross of two lines has a seam jump of at most "
        f"{limit} in {mean} % of all places ({least} to {most} % by picture, least in {', '.join(worst)}): a joint on "
        "the line counts as a jump."
    )


def _learned(judged: Sequence[Verdict], plain: str, learned: str) -> str:
    """The measures of a method and of ``learned``, the same after learning, beside the truth's, and which is nearer.

    Content that has been cut off does not score exactly 1 itself: its patches, too, lie nearer to the source or farther
    from it than the source's quarters lie from each other. So the distance from 1 and that from the truth are counted.
    """
    values = {(verdict.case.name, verdict.method): verdict.values for verdict in judged}
    cases = [
        verdict.case.name
        for verdict in judged
        if verdict.method == plain and all((verdict.case.name, m) in values for m in ("truth", learned))
    ]
    shown = [limit[:2] for limit in LIMITS if limit[0] != "tile_jump"]
    heads = [f"{title}: plain → learned" + (" (truth)" if name != "st_lpips" else "") for name, title in shown]
    lines = ["| case | " + " | ".join(heads) + " |"]
    lines.append("|" + "---|" * (len(shown) + 1))
    for case in cases:
        cells = []
        for name, _ in shown:
            own, after, true = (values[case, method][name] for method in (plain, learned, "truth"))
            cells.append(f"{_number(own)} → {_number(after)}" + (f" ({_number(true)})" if name != "st_lpips" else ""))
        lines.append(f"| {case} | " + " | ".join(cells) + " |")
    for task in TASKS:
        of_task = [case for case in cases if case.endswith(task)]
        for said in ("1", "the truth") if of_task else ():
            cells = []
            for name, _ in shown:
                triples = [[values[case, m][name] for m in (plain, learned, "truth")] for case in of_task]
                ideal = 0.0 if name == "st_lpips" else 1.0 if said == "1" else None
                cells.append(_nearer(triples, ideal))
            lines.append(f"| *{task}: nearer to {said}; median distance* | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _nearer(triples: Sequence[Sequence[float | None]], ideal: float | None) -> str:
    """What (before, after, truth) come to: how often *after* is nearer to the ideal, None for the truth, and both
    median distances from it."""
    pairs = []
    for before, after, truth in triples:
        goal = truth if ideal is None else ideal
        if before is not None and after is not None and goal is not None:
            pairs.append((abs(before - goal), abs(after - goal)))
    apart = " → ".join(f"{distance:.3f}" for distance in np.median(pairs, axis=0)) if pairs else "–"
    return f"{sum(after < before for before, after in pairs)} of {len(pairs)}; {apart}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _cell(value: float | None, low: float, high: float) -> str:
    return _number(value) if value is None or low <= value <= high else f"**{value:.2f}**"


def _along(results: Sequence[Result]) -> str:
    """Far ratio / spread ratio by distance: medians over pictures and seeds, and how many pictures lie in between."""
    lines: list[str] = []
    for name in dict.fromkeys(result.method.name for result in results):
        own = [result for result in results if result.method.name == name and result.case.name.endswith("extend")]
        strips = np.array([along(result) for result in own])
        if not len(strips):
            continue
        if not lines:
            heads = [f"{k * STRIP} … {(k + 1) * STRIP} px" for k in range(strips.shape[1])]
            lines += ["| patch distance / spread | " + " | ".join(heads) + " |", "|" + "---|" * (len(heads) + 1)]
        cells = [f"{distance:.2f} / {spread:.2f}" for distance, spread in np.median(strips, axis=0)]
        lines.append(f"| {_title(results, name)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _budgets(measured: Sequence[Budget]) -> str:
    lines = ["| what | seconds | limit | processor seconds | peak MiB | limit | windows |", "|" + "---|" * 7]
    for budget in measured:
        peak = "–" if budget.peak_mib is None else f"{budget.peak_mib:.0f}"
        seconds = f"{budget.seconds:.1f} | {budget.limit:.0f} | {budget.processor_seconds:.1f}"
        lines.append(f"| {budget.title} | {seconds} | {peak} | {MEMORY_LIMIT} | {budget.windows} |")
    return "\n".join(lines)


def _title(results: Sequence[Result], name: str) -> str:
    return next(result.method.title for result in results if result.method.name == name)


def sheet(results: Sequence[Result], judged: Sequence[Verdict]) -> Image.Image:
    """A row for each picture: what was given, the truth, then every method's first seed; red where a limit is broken.

    Tiles have no truth and are shown two by two.
    """
    cases = list({result.case.name: result.case for result in results}.values())
    methods = [name for name in dict.fromkeys(result.method.name for result in results) if name != "truth"]
    found = {(result.case.name, result.method.name): result for result in results if result.seed == 0}
    broken = {(verdict.case.name, verdict.method): verdict.broken for verdict in judged}
    width = max(case.truth.shape[1] * HEIGHT // case.truth.shape[0] for case in cases)
    top, step = 16, HEIGHT + 16
    first = ["given"] if any(case.wrap for case in cases) else ["given", "truth"]
    out = Image.new("RGB", ((width + 4) * (len(first) + len(methods)), top + step * len(cases)), "white")
    pen = ImageDraw.Draw(out)
    for place, text in enumerate([*first, *methods]):
        pen.text((place * (width + 4) + 2, 2), text, fill="black")
    for line, case in enumerate(cases):
        gray = np.where(case.new[..., None], np.uint8(128), case.truth)
        shown: list[tuple[np.ndarray | None, str]] = [(gray, case.name)]
        shown += [(case.truth, "")] * ("truth" in first)
        for name in methods:
            result = found.get((case.name, name))
            shown.append((result.picture if result else None, ", ".join(broken.get((case.name, name), ()))))
        for place, (picture, text) in enumerate(shown):
            x, y = place * (width + 4), top + line * step
            if picture is not None:
                whole = np.tile(picture, (2, 2, 1)) if case.wrap and place else picture
                out.paste(Image.fromarray(_fitted(whole, width)), (x, y))
            pen.text((x + 2, y + HEIGHT + 1), text[: width // 6], fill="red" if place else "black")
    return out


def _fitted(picture: np.ndarray, width: int) -> np.ndarray:
    scale = min(HEIGHT / picture.shape[0], width / picture.shape[1])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return cv2.resize(np.ascontiguousarray(picture), size, interpolation=cv2.INTER_AREA)
