"""What ``bench photo`` writes: tables, JSON, a plot of the costs, and sheets that show every case at its own size."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from engine.bench import measures
from engine.bench.judge import Result
from engine.bench.photo import SETS, TASKS, PhotoCase
from engine.bench.report import _cell, _marked, sheet

REFERENCE = "pypatchmatch"
"""The rival whose processor seconds the others' are compared with."""
SMOOTH_BELOW = 4.0
"""A case is a smooth one if the truth's :func:`engine.bench.measures.roughness` in the hole is below this."""
MARGIN = 48
"""Pixels of surroundings around a hole on the sheets."""
STRIP_MARGIN = 192
"""The same beside an extension."""
LARGEST_WHOLE = 1160
"""Side of the largest area that a sheet shows as a whole."""
LARGEST_CELL = 704
"""Side of what it shows of a larger one."""
SHEET_WIDTH = 2200
COLOURS = ("#0060d0", "#d06000", "#109050", "#b02080", "#707070", "#b09000", "#00a0b0", "#902020")

COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("st_lpips_median", "ST-LPIPS median", ".4f"),
    ("st_lpips_mean", "mean", ".4f"),
    ("best", "best in", "d"),
    ("seam_jump", "seam jump", ".2f"),
    ("grain", "grain", ".2f"),
    ("grain_truth", "grain / truth's", ".2f"),
    ("spread_ratio", "spread", ".2f"),
    ("delta_e_inside", "ΔE00 ring", ".1f"),
    ("autocorrelation", "autocorrelation error", ".3f"),
    ("sliced", "sliced Wasserstein", ".1f"),
    ("processor_seconds", "processor s", ".2f"),
    ("against", "× PyPatchMatch", ".2f"),
    ("seconds", "wall s", ".2f"),
    ("peak_mib", "peak MiB", ".0f"),
    ("extra_mib", "of the call", ".0f"),
)

FOLDER = "folder"
"""The set of what no manifest names."""

Values = dict[tuple[str, str], dict[str, float]]


def _case(result: Result) -> PhotoCase:
    assert isinstance(result.case, PhotoCase)
    return result.case


def _set(result: Result) -> str:
    entry = _case(result).entry
    return entry.set if entry else FOLDER


def values(results: Iterable[Result]) -> Values:
    """By (case, method): every measure and cost, mean over the seeds; without those that have no meaning."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for result in results:
        entry = result.entry
        costs = {name: entry.get(name) for name in ("processor_seconds", "seconds", "peak_mib")}
        if entry.get("peak_mib") is not None and entry.get("before_mib") is not None:
            costs["extra_mib"] = entry["peak_mib"] - entry["before_mib"]
        if result.method.name == "truth":
            costs = {}
        found.setdefault((result.case.name, result.method.name), []).append({**entry["scores"], **costs})
    out: Values = {}
    for key, group in found.items():
        names = {name for one in group for name, value in one.items() if value is not None}
        out[key] = {
            name: float(np.mean([one[name] for one in group if one.get(name) is not None])) for name in sorted(names)
        }
    return out


def rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """One row for every set, kind of case and method; medians over the cases, ``st_lpips_mean`` the mean, peaks the
    highest, ``best`` the number of cases in which no other method comes nearer to the truth."""
    found = values(results)
    titles = {result.method.name: (result.method.title, result.method.ours) for result in results}
    out = []
    for which, kind, cases in _groups(results):
        for method in [name for name in titles if any((case, name) in found for case in cases)]:
            own = [found[case, method] for case in cases if (case, method) in found]
            row: dict[str, Any] = {
                "set": which,
                "kind": kind,
                "method": method,
                "title": titles[method][0],
                "ours": titles[method][1],
                "cases": len(own),
                "st_lpips_median": _over(own, "st_lpips", np.median),
                "st_lpips_mean": _over(own, "st_lpips", np.mean),
                "best": sum(_best(found, case, titles) == method for case in cases) if _judged(own) else None,
                "against": _ratio(found, cases, method),
                "peak_mib": _over(own, "peak_mib", max),
                "extra_mib": _over(own, "extra_mib", max),
            }
            middle = [
                "seam_jump",
                "grain",
                "grain_truth",
                "spread_ratio",
                "delta_e_inside",
                "autocorrelation",
                "sliced",
            ]
            for name in (*middle, "processor_seconds", "seconds"):
                row[name] = _over(own, name, np.median)
            if method == "truth":
                row["best"] = row["st_lpips_median"] = row["st_lpips_mean"] = row["delta_e_inside"] = None
            out.append(row)
    return out


def _groups(results: Sequence[Result]) -> list[tuple[str, str, list[str]]]:
    """(set, kind of case, names of the cases) in a fixed order."""
    cases = {result.case.name: (_set(result), _case(result)) for result in results}

    def place(kind: str) -> tuple[int, str, int]:
        task, _, rest = kind.partition(" ")
        return TASKS.index(task), "" if rest.isdecimal() else rest, int(rest) if rest.isdecimal() else 0

    kinds = sorted({case.kind for _, case in cases.values()}, key=place)
    out = []
    for which in (*SETS, FOLDER):
        for kind in kinds:
            names = [name for name, (own, case) in cases.items() if own == which and case.kind == kind]
            if names:
                out.append((which, kind, names))
    return out


def _over(group: Sequence[dict[str, float]], name: str, middle: Callable[[list[float]], Any]) -> float | None:
    known = [one[name] for one in group if name in one]
    return float(middle(known)) if known else None


def _judged(group: Sequence[dict[str, float]]) -> bool:
    return any("st_lpips" in one for one in group)


def _best(found: Values, case: str, methods: Iterable[str]) -> str | None:
    """The method nearest to the truth of a case that at least two have painted."""
    known = {
        name: found[case, name]["st_lpips"]
        for name in methods
        if name != "truth" and "st_lpips" in found.get((case, name), {})
    }
    return min(known, key=lambda name: known[name]) if len(known) > 1 else None


def _ratio(found: Values, cases: Sequence[str], method: str) -> float | None:
    """Median over the cases of the processor seconds over the reference's."""
    name = "processor_seconds"
    pairs = [(found.get((case, method), {}).get(name), found.get((case, REFERENCE), {}).get(name)) for case in cases]
    ratios = [own / other for own, other in pairs if own is not None and other]
    return float(np.median(ratios)) if ratios else None


def table(chosen: Sequence[dict[str, Any]]) -> str:
    """Rows of one kind of case as a Markdown table."""
    columns = [column for column in COLUMNS if any(row[column[0]] is not None for row in chosen)]
    head = ["method", "cases", *(title for _, title, _ in columns)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in chosen:
        cells = [_cell(row[name], None, form) for name, _, form in columns]
        lines.append("| " + " | ".join([row["title"], str(row["cases"]), *cells]) + " |")
    return "\n".join(lines)


def shares(results: Sequence[Result]) -> list[dict[str, Any]]:
    """For every set, task with truth, method of ours and rival: in which share of the cases ours is nearer to it.

    The costly big cases count too; ``cases`` are those that both have painted.
    """
    found = values(results)
    ours = list(dict.fromkeys(result.method.name for result in results if result.method.ours))
    others = list(dict.fromkeys(r.method.name for r in results if not r.method.ours and r.method.name != "truth"))
    tasks = {result.case.name: _case(result).task for result in results}
    sets = {result.case.name: _set(result) for result in results}
    out = []
    for which in SETS:
        for task in ("all", *TASKS):
            cases = [case for case in tasks if sets[case] == which and task in ("all", tasks[case])]
            for own in ours:
                for rival in others:
                    pairs = [
                        (found[case, own]["st_lpips"], found[case, rival]["st_lpips"])
                        for case in cases
                        if "st_lpips" in found.get((case, own), {}) and "st_lpips" in found.get((case, rival), {})
                    ]
                    if pairs:
                        share = float(np.mean([a < b for a, b in pairs]))
                        ratio = float(np.exp(np.mean([np.log(max(a, 1e-4) / max(b, 1e-4)) for a, b in pairs])))
                        names = {"set": which, "task": task, "ours": own, "rival": rival}
                        out.append({**names, "cases": len(pairs), "share": share, "ratio": ratio})
    return out


def shares_table(found: Sequence[dict[str, Any]]) -> str:
    """The shares with the geometric mean of ours over the rival's, as a Markdown table."""
    lines = ["| set | task | ours | rival | cases | ours nearer in | ours / rival |", "|" + "---|" * 7]
    for row in found:
        words = (row["set"], row["task"], row["ours"], row["rival"], str(row["cases"]))
        lines.append("| " + " | ".join([*words, f"{row['share']:.0%}", f"{row['ratio']:.2f}"]) + " |")
    return "\n".join(lines)


def smooth_rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """By set and method: the mean error of the smoothed picture over the smooth cases, and over Telea's."""
    found = values(results)
    sets = {result.case.name: _set(result) for result in results}
    tasks = {result.case.name: _case(result).task for result in results}
    titles = {result.method.name: result.method.title for result in results if result.method.name != "truth"}
    smooth = {
        case
        for (case, _), one in found.items()
        if one.get("roughness", np.inf) < SMOOTH_BELOW and tasks[case] == "hole"
    }
    out = []
    for which in SETS:
        for method, title in titles.items():
            own = [case for case in sorted(smooth) if sets[case] == which and (case, method) in found]
            both = [
                (found[case, method]["smooth_error"], found[case, "telea"]["smooth_error"])
                for case in own
                if (case, "telea") in found
            ]
            if own:
                ratios = [np.log(max(a, 0.05) / max(b, 0.05)) for a, b in both]
                out.append(
                    {
                        "set": which,
                        "title": title,
                        "cases": len(own),
                        "error": float(np.mean([found[case, method]["smooth_error"] for case in own])),
                        "against": float(np.exp(np.mean(ratios))) if ratios else None,
                    }
                )
    return out


def smooth_table(found: Sequence[dict[str, Any]]) -> str:
    lines = ["| set | method | cases | error of the smoothed picture | × Telea |", "|" + "---|" * 5]
    for row in found:
        numbers = (str(row["cases"]), f"{row['error']:.2f}", _cell(row["against"], None, ".2f"))
        lines.append("| " + " | ".join([row["set"], row["title"], *numbers]) + " |")
    return "\n".join(lines)


def markdown(results: Sequence[Result], diversity: dict[str, float], facts: dict[str, Any]) -> str:
    """All tables."""
    out = [
        f"Model `{facts['model']}` ({facts['fingerprint']}), preset {facts['preset']}, {facts['device']}. ST-LPIPS "
        "(mean of Alex and VGG) and ΔE00: less is better. Grain, spread, seam jump: ideal is what the truth has, about "
        "1. Autocorrelation error and sliced Wasserstein distance: about the truth's is good, less is copied. Costs "
        "are of the call alone, without imports, loading or what is compiled at first use; × PyPatchMatch is the "
        "median over the cases of the ratio of processor seconds."
    ]
    found = rows(results)
    for which in (*SETS, FOLDER):
        for kind in dict.fromkeys(row["kind"] for row in found if row["set"] == which):
            chosen = [row for row in found if row["set"] == which and row["kind"] == kind]
            out += [f"## {which}: {kind}", table(chosen)]
    if compared := shares(results):
        out += ["## Ours beside each rival", shares_table(compared)]
    if smooth := smooth_rows(results):
        out += [f"## Smooth places (roughness of the truth below {SMOOTH_BELOW:g})", smooth_table(smooth)]
    if diversity:
        lines = [f"- {name}: {value:.4f}" for name, value in diversity.items()]
        out += ["## Diversity (mean ST-LPIPS Alex between seeds)", "\n".join(lines)]
    return "\n\n".join(out) + "\n"


def write(folder: Path, results: Sequence[Result], diversity: dict[str, float], facts: dict[str, Any]) -> list[Path]:
    """Write ``photo.json``, ``photo.md``, ``costs.png``, the overview ``photo.png`` and ``sheets/CASE.jpg``."""
    data = {
        "facts": facts,
        "rows": rows(results),
        "shares": shares(results),
        "smooth": smooth_rows(results),
        "diversity": diversity,
        "results": [result.entry for result in results],
    }
    paths = [folder / name for name in ("photo.json", "photo.md", "costs.png", "photo.png")]
    paths[0].write_text(json.dumps(data, indent=1, ensure_ascii=False), encoding="utf-8")
    paths[1].write_text(markdown(results, diversity, facts), encoding="utf-8")
    plot(results).save(paths[2], optimize=True)
    if results:
        sheet(results, per_method=1).save(paths[3], optimize=True)
    sheets = folder / "sheets"
    sheets.mkdir(exist_ok=True)
    for name in dict.fromkeys(result.case.name for result in results):
        case_sheet([result for result in results if result.case.name == name]).save(sheets / f"{name}.jpg", quality=92)
    return [*paths, sheets]


# ------------------------------------------------------------------------------------------------- pictures


def shown_box(new: np.ndarray, margin: int = MARGIN) -> tuple[slice, slice]:
    """What a sheet shows: the new area with its surroundings; of a large one a part on its border, at its own size."""
    height, width = new.shape
    box = measures.hole_box(new, margin)
    rows, columns = (slice(part.start, min(part.stop, side)) for part, side in zip(box, (height, width), strict=True))
    if max(rows.stop - rows.start, columns.stop - columns.start) <= LARGEST_WHOLE:
        return rows, columns
    inside, _ = measures.rings(new, 1)
    ys, xs = np.nonzero(inside)
    if all(edge.all() for edge in (new[0], new[-1], new[:, 0], new[:, -1])):  # all sides: the upper right corner
        place = int(np.argmax(xs - ys))
    elif new[height // 2, width // 2]:  # the cross of a tile
        return _span(height // 2, height), _span(width // 2, width)
    else:
        place = len(ys) // 2
    return _span(int(ys[place]), height), _span(int(xs[place]), width)


def _span(middle: int, side: int) -> slice:
    length = min(LARGEST_CELL, side)
    start = min(max(0, middle - length // 2), side - length)
    return slice(start, start + length)


def case_sheet(results: Sequence[Result]) -> Image.Image:
    """One case at its own size: the hole, every method's first seed, and the truth (the original, where there is
    none), as many in a row as :data:`SHEET_WIDTH` takes."""
    case = _case(results[0])
    box = shown_box(case.new, STRIP_MARGIN if case.task == "extend" else MARGIN)
    cells = [("repaint", _marked(case.truth, case.selection)[box])]
    for result in results:
        if result.method.name != "truth" and result.seed == 0:
            value = result.entry["scores"].get("st_lpips")
            words = result.method.name + ("" if value is None else f"  {value:.3f}")
            cells.append((words, result.picture[box]))
    cells.append(("truth" if case.has_truth else "as it was", case.truth[box]))
    height, width = cells[0][1].shape[:2]
    across = max(1, min(len(cells), SHEET_WIDTH // (width + 6)))
    top, gap = 20, 6
    down = -(-len(cells) // across)
    out = Image.new("RGB", (across * (width + gap), down * (height + top + gap)), "white")
    pen, font = ImageDraw.Draw(out), ImageFont.load_default(14)
    for place, (words, picture) in enumerate(cells):
        x, y = place % across * (width + gap), place // across * (height + top + gap)
        pen.text((x + 2, y + 1), f"{case.name}: {words}" if place == 0 else words, fill="black", font=font)
        out.paste(Image.fromarray(np.ascontiguousarray(picture)), (x, y + top))
    return out


def plot(results: Sequence[Result]) -> Image.Image:
    """Processor seconds over the new area (the side of a square as large), both axes logarithmic; a line joins each
    method's medians over octaves."""
    points: dict[str, list[tuple[float, float]]] = {}
    for result in results:
        spent, pixels = result.entry.get("processor_seconds"), result.entry.get("pixels")
        if result.method.name != "truth" and spent and pixels:
            points.setdefault(result.method.name, []).append((float(np.sqrt(pixels)), max(float(spent), 0.01)))
    width, height, left, right, top, bottom = 980, 640, 70, 200, 30, 50
    out = Image.new("RGB", (width, height), "white")
    pen, font = ImageDraw.Draw(out), ImageFont.load_default(14)
    every = [point for own in points.values() for point in own]
    low_x, high_x = 32.0, max([1024.0, *(x for x, _ in every)]) * 1.2
    low_y, high_y = 0.01, max([100.0, *(y for _, y in every)]) * 1.5

    def at(x: float, y: float) -> tuple[float, float]:
        across = np.log(x / low_x) / np.log(high_x / low_x)
        up = np.log(y / low_y) / np.log(high_y / low_y)
        return left + float(across) * (width - left - right), height - bottom - float(up) * (height - top - bottom)

    for side in (32, 64, 128, 256, 512, 1024):
        x, _ = at(side, low_y)
        pen.line([(x, top), (x, height - bottom)], fill="#dddddd")
        pen.text((x - 12, height - bottom + 6), str(side), fill="black", font=font)
    for power in range(-2, int(np.log10(high_y)) + 1):
        _, y = at(low_x, 10.0**power)
        pen.line([(left, y), (width - right, y)], fill="#dddddd")
        pen.text((8, y - 8), f"{10.0**power:g} s", fill="black", font=font)
    pen.text(
        (left, 6), "processor seconds over the side of a square as large as the new area (px)", fill="black", font=font
    )
    for place, (name, own) in enumerate(points.items()):
        colour = COLOURS[place % len(COLOURS)]
        for x, y in (at(*point) for point in own):
            pen.ellipse([x - 2, y - 2, x + 2, y + 2], fill=colour)
        bins: dict[int, list[tuple[float, float]]] = {}
        for point in own:
            bins.setdefault(round(np.log2(point[0])), []).append(point)
        middles = [tuple(float(v) for v in np.median(np.array(bins[key]), axis=0)) for key in sorted(bins)]
        line = [at(x, y) for x, y in middles]
        if len(line) > 1:
            pen.line(line, fill=colour, width=2)
        pen.text((width - right + 10, top + 20 * place), name, fill=colour, font=font)
    return out
