"""A picture of a schedule: level against transitions, as in the RePaint paper's Figure 9."""

from __future__ import annotations

from PIL import Image, ImageDraw

from engine.schedule import Schedule

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
        x, y = place(0, level)
        draw.line([(x - 5, y), (x, y)], fill="#999999")
        draw.text((x - 10, y), str(level), fill="black", anchor="rm")
        x, y = place(transition, -1)
        draw.line([(x, y), (x, y + 5)], fill="#999999")
        draw.text((x, y + 9), str(transition), fill="black", anchor="mt")
    draw.line([place(i, level) for i, level in enumerate(schedule.levels)], fill="#1f5fa8", width=2)
    caption = f"{title + ': ' if title else ''}{schedule.steps} levels, {across} transitions, {calls} network calls"
    draw.text((LEFT, TOP - 22), caption, fill="black")
    draw.text(((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 18), "transitions", fill="black", anchor="mt")
    draw.text((8, TOP - 22), "level", fill="black")
    return picture
