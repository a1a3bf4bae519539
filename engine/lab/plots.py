"""Plots as SVG, in the colours of the page around them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plot:
    """Lines of points over one pair of axes.

    Attributes:
        lines: by name, (x, y) or (x, y, half the length of the error bar).
        across, up: what the axes say.
        log_x, log_y: logarithmic axes; what is not above 0 is left out.
        dots: points without lines between them.
    """

    lines: dict[str, list[tuple[float, ...]]]
    across: str
    up: str
    caption: str = ""
    log_x: bool = False
    log_y: bool = False
    dots: bool = False
