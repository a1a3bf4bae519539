"""Plots as SVG, in the colours of the page around them: its style has the classes (:mod:`engine.lab.report`)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 600, 300, 66, 18, 20, 54
"""``TOP`` is above the plot itself and above each line of names."""
COLOURS = 6
"""After which lines begin with the first colour again, dashed."""
ROOM = 40
"""Least distance between the ticks of an axis."""
GLYPH = 7.0
"""Width of a letter, about."""

Point = tuple[float, ...]


@dataclass(frozen=True)
class Plot:
    """Lines of points over one pair of axes.

    Attributes:
        lines: by name, (x, y) or (x, y, half the length of the error bar).
        across, up: what the axes say.
        log_x, log_y: logarithmic axes; what is not above 0 is left out.
        dots: points without lines between them.
    """

    lines: dict[str, list[Point]]
    across: str
    up: str
    caption: str = ""
    log_x: bool = False
    log_y: bool = False
    dots: bool = False

    @property
    def shown(self) -> dict[str, list[Point]]:
        """The points that can be shown, from left to right."""

        def can(point: Point) -> bool:
            x, y = point[:2]
            return math.isfinite(x + y) and (x > 0 or not self.log_x) and (y > 0 or not self.log_y)

        return {name: sorted(filter(can, line)) for name, line in self.lines.items()}


class _Axis:
    """From values to places along a side of the plot."""

    def __init__(self, values: list[float], begin: float, end: float, log: bool, own_ticks: bool) -> None:
        self.log, self.begin, self.end = log, begin, end
        low, high = min(values, default=1.0), max(values, default=1.0)
        if log:
            low, high = (low, high) if low < high else (low / 2, high * 2)
            self.low, self.high = math.log10(low), math.log10(high)
            margin = 0.04 * (self.high - self.low)
            self.low, self.high = self.low - margin, self.high + margin
        else:
            if not own_ticks and 0 <= low < 0.7 * high:  # how much one is of another can be seen
                low = 0.0
            high = high if high > low else low + (abs(low) or 1.0)
            margin = 0.05 * (high - low)
            self.low, self.high = (low - margin if low else 0.0), high + margin
        places = sorted(set(values))
        self.ticks = list(self._apart(places if own_ticks and len(places) <= 12 else self._round()))

    def at(self, value: float) -> float:
        share = ((math.log10(value) if self.log else value) - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)

    def _round(self) -> list[float]:
        if self.log:
            decades = range(math.floor(self.low), math.ceil(self.high) + 1)
            steps = (1, 2, 5, 3, 7, 4, 6, 8, 9) if len(decades) < 4 else (1, 2, 5)
            ticks = [step * 10.0**decade for step in steps for decade in decades]  # round ones first
            return [tick for tick in ticks if self.low <= math.log10(tick) <= self.high]
        span = self.high - self.low
        size = 10.0 ** math.floor(math.log10(span / 4))
        step = next(size * times for times in (1, 2, 5, 10) if span / (size * times) <= 6)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [round(number * step, 12) for number in range(first, last + 1)]

    def _apart(self, ticks: Iterable[float]) -> Iterable[float]:
        taken: list[float] = []
        for tick in ticks:
            place = self.at(tick)
            if all(abs(place - other) >= (ROOM if self.end > self.begin else ROOM / 2) for other in taken):
                taken.append(place)
                yield tick


def svg(plot: Plot) -> str:
    """The plot as an SVG element; its lines have the classes ``s1`` … and its points tell their values."""
    lines = plot.shown
    points = [point for line in lines.values() for point in line]
    ends = [y + d for _, y, *error in points for d in ((error[0], -error[0]) if error else (0.0,))]
    if plot.log_y:
        ends = [y for y in ends if y > 0]
    keys, top = _keys(list(lines))
    height = HEIGHT + top
    x = _Axis([point[0] for point in points], LEFT, WIDTH - RIGHT, plot.log_x, own_ticks=True)
    y = _Axis(ends, height - BOTTOM, top, plot.log_y, own_ticks=False)
    out = [f'<svg class="plot" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(plot.up)}">', *keys]
    for tick in y.ticks:
        out.append(f'<path class="grid" d="M{LEFT} {y.at(tick):.1f}H{WIDTH - RIGHT}"/>')
        out.append(f'<text class="end" x="{LEFT - 8}" y="{y.at(tick) + 4:.1f}">{_told(tick)}</text>')
    for tick in x.ticks:
        out.append(f'<path class="axis" d="M{x.at(tick):.1f} {height - BOTTOM}v5"/>')
        out.append(f'<text class="middle" x="{x.at(tick):.1f}" y="{height - BOTTOM + 20}">{_told(tick)}</text>')
    out.append(f'<path class="axis" d="M{LEFT} {top}V{height - BOTTOM}H{WIDTH - RIGHT}"/>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    out.append(f'<text class="middle name" x="{middle}" y="{height - 12}">{escape(plot.across)}</text>')
    upright = f"translate(16 {(top + height - BOTTOM) / 2}) rotate(-90)"
    out.append(f'<text class="middle name" transform="{upright}">{escape(plot.up)}</text>')
    for number, (name, line) in enumerate(lines.items()):
        kind = _kind(number)
        if line and not plot.dots:
            way = "L".join(f"{x.at(point[0]):.1f} {y.at(point[1]):.1f}" for point in line)
            out.append(f'<path class="line {kind}" d="M{way}"/>')
        for a, b, *error in line:
            if error:
                low, high = max(b - error[0], 10**y.low if plot.log_y else y.low), b + error[0]
                out.append(f'<path class="bar {kind}" d="M{x.at(a):.1f} {y.at(low):.1f}V{y.at(high):.1f}"/>')
            told = f"{name}: {_told(a)}, {b:.4g}" + (f" ± {error[0]:.2g}" if error else "")
            out.append(f'<circle class="{kind}" cx="{x.at(a):.1f}" cy="{y.at(b):.1f}" r="3.5">')
            out.append(f"<title>{escape(told)}</title></circle>")
    return "".join([*out, "</svg>"])


def _keys(names: list[str]) -> tuple[list[str], int]:
    """Which line is which, and where the plot itself begins."""
    out, along, down = [], LEFT, TOP
    for number, name in enumerate(names):
        length = 40 + round(GLYPH * len(name))
        if along > LEFT and along + length > WIDTH:
            along, down = LEFT, down + TOP
        out.append(f'<path class="key {_kind(number)}" d="M{along} {down}h18"/>')
        out.append(f'<text x="{along + 24}" y="{down + 4}">{escape(name)}</text>')
        along += length
    return out, down + TOP


def _kind(number: int) -> str:
    return f"s{number % COLOURS + 1}" + (" dashed" if number >= COLOURS else "")


def _told(number: float) -> str:
    return f"{number:,.0f}".replace(",", " ") if abs(number) >= 1000 else f"{number:.4g}"
