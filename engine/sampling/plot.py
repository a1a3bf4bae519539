"""Pictures of numbers: a schedule's levels against its transitions, as in the RePaint paper's Figure 9; a training's
losses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw

from engine.sampling.schedule import Schedule

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 900, 360, 60, 20, 40, 50


def plot(schedule: Schedule, calls: int, title: str = "") -> Image.Image:
    """Draw ``schedule``; ``calls`` is the number of network calls to say in the caption."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    top, across = max(schedule.levels), schedule.transitions

    def place(transition: float, level: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * transition / across
        y = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (level + 1) / (top + 1)
        return x, y

    draw.rectangle([*place(0, top), *place(across, -1)], outline="#999999")
    for share in (0, 0.25, 0.5, 0.75, 1):
        level, transition = round(-1 + share * (top + 1)), round(share * across)
        _tick(draw, place(0, level), str(level), beside=True)
        _tick(draw, place(transition, -1), str(transition), beside=False)
    draw.line([place(i, level) for i, level in enumerate(schedule.levels)], fill="#1f5fa8", width=2)
    caption = f"{title + ': ' if title else ''}{schedule.steps} levels, {across} transitions, {calls} network calls"
    draw.text((LEFT, TOP - 22), caption, fill="black")
    draw.text(((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 18), "transitions", fill="black", anchor="mt")
    draw.text((8, TOP - 22), "level", fill="black")
    return picture


COLOURS = ("#1f5fa8", "#c0392b", "#2e7d32")


def curves(lines: Mapping[str, Sequence[tuple[float, float]]], across: str) -> Image.Image:
    """Draw lines of (x, y), both above 0, on logarithmic axes; ``across`` says what x is, the names what y."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    xs, ys = zip(*([point for line in lines.values() for point in line] or [(1.0, 1.0)]), strict=True)
    spans = [(math.log10(min(values)), math.log10(max(values) * 1.001)) for values in (xs, ys)]

    def place(x: float, y: float) -> tuple[float, float]:
        along, up = ((math.log10(v) - low) / (high - low) for v, (low, high) in zip((x, y), spans, strict=True))
        return LEFT + (WIDTH - LEFT - RIGHT) * along, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * up

    draw.rectangle([*place(min(xs), max(ys)), *place(max(xs), min(ys))], outline="#999999")
    for tick in _ticks(min(xs), max(xs)):
        _tick(draw, place(tick, min(ys)), _told(tick), beside=False)
    for tick in _ticks(min(ys), max(ys)):
        _tick(draw, place(min(xs), tick), _told(tick), beside=True)
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [place(x, y) for x, y in line]
        draw.line(places, fill=colour, width=2)
        for x, y in places if len(places) <= 50 else ():
            draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=colour)
        draw.text((WIDTH - RIGHT - 10, TOP + 10 + 16 * number), name, fill=colour, anchor="ra")
    draw.text(((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 18), across, fill="black", anchor="mt")
    return picture


def _tick(draw: ImageDraw.ImageDraw, place: tuple[float, float], told: str, *, beside: bool) -> None:
    """A mark at an axis and what it stands for: beside the upright one, below the other."""
    x, y = place
    draw.line([(x - 5, y), (x, y)] if beside else [(x, y), (x, y + 5)], fill="#999999")
    draw.text((x - 10, y) if beside else (x, y + 9), told, fill="black", anchor="rm" if beside else "mt")


def _told(number: float) -> str:
    return f"{number:,.0f}".replace(",", " ") if number >= 1 else f"{number:g}"


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten between two values; the powers alone where these are many."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) < 4 else (1,)
    return [tick for d in decades for s in steps if low <= (tick := s * 10.0**d) <= high]
