"""What an experiment found: as a page that opens offline, with everything in it, and as Markdown."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import groupby
from typing import Any

import numpy as np
from PIL import Image

from engine.lab import plots
from engine.lab.plots import Plot

Value = str | int | float | None


@dataclass(frozen=True)
class Table:
    """Rows of values under a head; floats are shown with three digits, None as a dash."""

    head: list[str]
    rows: list[list[Value]]
    caption: str = ""


@dataclass(frozen=True)
class Pictures:
    """A grid of pictures, (H, W, 3 or 4) or (H, W) uint8, None where one is missing: each row has a name, and a
    picture for each column of the head."""

    head: list[str]
    rows: list[tuple[str, list[np.ndarray | None]]]
    caption: str = ""


@dataclass(frozen=True)
class Claim:
    """What the report says, whether it ``holds`` here ("holds", "does not hold", or else), and what was found: a
    sentence with the figure."""

    words: str
    holds: str
    found: str


@dataclass(frozen=True)
class Section:
    """A title, paragraphs between empty lines, in which `this` is code, and what follows them."""

    title: str
    text: str = ""
    parts: list[Table | Plot | Pictures | Claim] = field(default_factory=list)


STYLE = """
:root{color-scheme:light dark;--paper:#fbfaf8;--card:#fff;--ink:#22252a;--soft:#656b74;--line:#dcd9d2;--mark:#1f5fa8;
--good:#2b7a3d;--bad:#b3392c;--so:#96690f;
--s1:#1f5fa8;--s2:#c2571a;--s3:#2b7a3d;--s4:#8a3fa0;--s5:#b02a55;--s6:#0f7f8c}
@media(prefers-color-scheme:dark){:root{--paper:#16181c;--card:#1e2126;--ink:#e4e2dd;--soft:#9aa1ab;--line:#363b43;
--mark:#7db3ee;--good:#7cc98d;--bad:#ee8a7c;--so:#dcb35c;
--s1:#7db3ee;--s2:#f0a066;--s3:#7cc98d;--s4:#cf9be3;--s5:#f08aab;--s6:#62cad6}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,"Segoe UI","DejaVu Sans",sans-serif}
main{max-width:1000px;margin:0 auto;padding:40px 24px 80px}
h1{font-size:30px;line-height:1.2;margin:0 0 8px}h2{font-size:21px;margin:48px 0 8px}
p{max-width:70ch;margin:10px 0}a{color:var(--mark)}
code,kbd{font:.87em/1.5 ui-monospace,"DejaVu Sans Mono",monospace;background:var(--card);border:1px solid var(--line);
border-radius:4px;padding:1px 5px;overflow-wrap:anywhere}
.says{font-size:18px;color:var(--soft);border-left:3px solid var(--mark);padding-left:14px;margin:16px 0}
.facts{display:grid;grid-template-columns:max-content 1fr;gap:4px 18px;font-size:14px;background:var(--card);
border:1px solid var(--line);border-radius:8px;padding:14px 18px;margin:20px 0}
.facts dt{color:var(--soft)}.facts dd{margin:0;overflow-wrap:anywhere}
.claim{background:var(--card);border:1px solid var(--line);border-left:4px solid var(--so);border-radius:8px;
padding:12px 18px;margin:14px 0}.claim.good{border-left-color:var(--good)}.claim.bad{border-left-color:var(--bad)}
.claim p{margin:2px 0;max-width:none}.claim b{color:var(--so)}.claim b.good{color:var(--good)}
.claim b.bad{color:var(--bad)}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,450px),1fr));gap:14px;margin:14px 0}
.plots figure{margin:0}
.wide{overflow-x:auto;margin:14px 0}
table{border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:6px 14px 6px 0;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:600;border-bottom:2px solid var(--line)}
th:first-child,td:first-child,.words{text-align:left}
.grid-of-pictures td{padding:4px;border:0;text-align:center;vertical-align:middle}
.grid-of-pictures th{border:0;padding:4px 8px;text-align:center;white-space:normal}
.grid-of-pictures tbody th{text-align:right;min-width:110px;max-width:160px}
.grid-of-pictures img{display:block;width:var(--side);height:auto;border-radius:3px;background:var(--line)}
figure{margin:14px 0}figcaption,caption{font-size:13px;color:var(--soft);text-align:left;caption-side:bottom;
padding-top:6px;max-width:80ch}
svg.plot{width:100%;max-width:760px;height:auto;background:var(--card);border:1px solid var(--line);border-radius:8px}
svg.plot text{font-size:13px;fill:var(--soft)}svg.plot .name{fill:var(--ink)}
svg.plot .end{text-anchor:end}svg.plot .middle{text-anchor:middle}
svg.plot path{fill:none}svg.plot .grid{stroke:var(--line);stroke-dasharray:2 4}svg.plot .axis{stroke:var(--soft)}
svg.plot .line,svg.plot .key{stroke-width:2.2}svg.plot .bar{stroke-width:1.4}svg.plot .dashed{stroke-dasharray:7 5}
.s1{stroke:var(--s1)}.s2{stroke:var(--s2)}.s3{stroke:var(--s3)}.s4{stroke:var(--s4)}.s5{stroke:var(--s5)}
.s6{stroke:var(--s6)}svg.plot circle{fill:var(--card);stroke-width:2}
details{margin:14px 0}summary{cursor:pointer;color:var(--mark)}
ul.all{list-style:none;padding:0}ul.all li{background:var(--card);border:1px solid var(--line);border-radius:8px;
padding:14px 18px;margin:12px 0}ul.all p{margin:4px 0}.soft{color:var(--soft);font-size:14px}
"""
_KINDS = {"holds": "good", "does not hold": "bad"}
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What a page may load: nothing, it has all."""
THUMBNAIL = 384
"""Longest side of a picture inside a page; the files are as they were painted."""


def page(title: str, body: str) -> str:
    """A whole HTML page that loads nothing."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


def html(title: str, claim: str, facts: Mapping[str, str], sections: Sequence[Section], numbers: Table) -> str:
    """The page of an experiment.

    Args:
        claim: what the report says, in a sentence.
        facts: what was run with what, by name.
        numbers: of every cell.
    """
    told = "".join(f"<dt>{escape(name)}</dt><dd>{_inline(value)}</dd>" for name, value in facts.items())
    out = [f'<h1>{escape(title)}</h1><p class="says">{_inline(claim)}</p><dl class="facts">{told}</dl>']
    for section in sections:
        out.append(f"<h2>{escape(section.title)}</h2>{_paragraphs(section.text)}")
        for kind, group in groupby(section.parts, lambda part: part.words if isinstance(part, Claim) else type(part)):
            parts = list(group)
            if isinstance(kind, str):
                out.append(_claims(kind, [("", part) for part in parts if isinstance(part, Claim)]))
            else:
                told_parts = "".join(_shown(part) for part in parts)
                out.append(f'<div class="plots">{told_parts}</div>' if kind is Plot else told_parts)
    every = f"<details><summary>Every cell: {len(numbers.rows)}</summary>{_table(numbers)}</details>"
    links = '<p class="soft">The same as files: <a href="numbers.csv">numbers.csv</a>, '
    links += '<a href="numbers.json">numbers.json</a>, <a href="report.md">report.md</a>, and the folder pictures.</p>'
    return page(title, "".join([*out, "<h2>Numbers</h2>", every, links]))


def markdown(sections: Sequence[Section]) -> str:
    """Sentences, tables and claims of an experiment; plots as tables of their points, no pictures."""
    out = []
    for section in sections:
        out += [f"## {section.title}", *([section.text] if section.text else [])]
        for part in section.parts:
            if isinstance(part, Claim):
                out.append(f"*{part.words}* **{part.holds}**: {part.found}")
            elif isinstance(part, Plot):
                out.append(_markdown_table(_points(part)))
            elif isinstance(part, Table):
                out.append(_markdown_table(part))
    return "\n\n".join(out) + "\n"


def told(value: Any) -> str:
    """A value as it stands in a table."""
    if value is None or value == []:
        return "–"
    if isinstance(value, list):
        return f"{told(value[0])} … {told(value[-1])} ({len(value)})"
    if isinstance(value, float):
        return f"{value:,.0f}".replace(",", " ") if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def _shown(part: Table | Plot | Pictures | Claim) -> str:
    if isinstance(part, Table):
        return _table(part)
    if isinstance(part, Pictures):
        return _pictures(part)
    if isinstance(part, Plot):
        return f"<figure>{plots.svg(part)}{_caption(part.caption, 'figcaption')}</figure>"
    return _claims(part.words, [("", part)])


def verdicts(sections: Sequence[Section]) -> str:
    """HTML of all claims of an experiment, each once, with what was found under which title."""
    found: dict[str, list[tuple[str, Claim]]] = {}
    for section in sections:
        for part in section.parts:
            if isinstance(part, Claim):
                found.setdefault(part.words, []).append((section.title, part))
    return "".join(_claims(words, claims) for words, claims in found.items())


def _claims(words: str, found: Sequence[tuple[str, Claim]]) -> str:
    """What was found about one claim, under these titles."""
    kinds = {_KINDS.get(claim.holds, "") for _, claim in found}
    out = [f'<div class="claim {kinds.pop() if len(kinds) == 1 else ""}"><p>“{_inline(words)}”</p>']
    for title, claim in found:
        where = f"{_inline(title)}: " if title else ""
        out.append(
            f'<p><b class="{_KINDS.get(claim.holds, "")}">{escape(claim.holds)}</b> · {where}{_inline(claim.found)}</p>'
        )
    return "".join([*out, "</div>"])


def _table(table: Table) -> str:
    worded = [any(isinstance(row[k], str) for row in table.rows) for k in range(len(table.head))]

    def cell(kind: str, k: int, value: Value) -> str:
        return f"<{kind}{' class=words' if worded[k] else ''}>{_inline(told(value))}</{kind}>"

    head = "".join(cell("th", k, name) for k, name in enumerate(table.head))
    rows = ["<tr>" + "".join(cell("td", k, value) for k, value in enumerate(row)) + "</tr>" for row in table.rows]
    caption = _caption(table.caption, "caption")
    return (
        f'<div class="wide"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _pictures(grid: Pictures) -> str:
    head = "".join(f"<th>{_inline(name)}</th>" for name in ("", *grid.head))
    rows = []
    for name, row in grid.rows:
        shown = [f"<td>{'' if each is None else _image(each, name)}</td>" for each in row]
        rows.append(f"<tr><th>{_inline(name)}</th>{''.join(shown)}</tr>")
    table = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    caption = _caption(grid.caption, "caption")
    side = max(90, min(220, 760 // max(len(grid.head), 1)))
    return f'<div class="wide"><table class="grid-of-pictures" style="--side:{side}px">{caption}{table}</table></div>'


def _image(picture: np.ndarray, name: str) -> str:
    return f'<img src="{data_url(picture)}" alt="{escape(name)}">'


def data_url(picture: np.ndarray) -> str:
    """A picture (H, W, 3 or 4) or (H, W) uint8 as an address that holds it, large ones smaller."""
    image, file = Image.fromarray(picture), io.BytesIO()
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _caption(text: str, kind: str) -> str:
    return f"<{kind}>{_inline(text)}</{kind}>" if text else ""


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{_inline(each)}</p>" for each in text.split("\n\n") if each.strip())


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _points(plot: Plot) -> Table:
    """A row for each place along the axis, a column for each line."""
    lines = plot.shown
    values = {name: {point[0]: point[1] for point in line} for name, line in lines.items()}
    places = sorted({x for line in values.values() for x in line})
    rows: list[list[Value]] = [[told(x), *(line.get(x) for line in values.values())] for x in places]
    return Table([plot.across, *(f"{name}, {plot.up}" for name in lines)], rows, plot.caption)


def _markdown_table(table: Table) -> str:
    lines = ["| " + " | ".join(table.head) + " |", "|" + "---|" * len(table.head)]
    lines += ["| " + " | ".join(told(value).replace("|", "\\|") for value in row) + " |" for row in table.rows]
    return "\n".join([*lines, *(["", table.caption] if table.caption else [])])
