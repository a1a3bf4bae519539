"""How well variants join, from the engine's figures: which is the best, and what is said of each."""

from __future__ import annotations

import math
from typing import List, Optional

from bridge_server.client.records import Figures

from . import sentences
from .model import Variant
from .words import tr

EDGE, SMOOTH, GRAINY, COPIED = 1.5, 0.7, 1.4, 0.2
"""From which seam, below which grain, from which grain and below which new share it is said of a fill in one word."""


def discord(figures: Optional[Figures]) -> float:
    """How far it is from joining perfectly: |ln seam| + |ln grain|, 0 at best; infinite without both figures. How much
    of it is new does not count: a wall may be copied."""
    found = [each for each in (figures.seam, figures.grain) if each is not None] if figures is not None else []
    return sum(abs(math.log(max(each, 1e-6))) for each in found) if found else math.inf


def best(variants: List[Variant]) -> Optional[Variant]:
    """The finished one with the least `discord`, the first of several; None if none has figures."""
    judged = [each for each in variants if each.finished and discord(each.figures) < math.inf]
    return min(judged, key=lambda each: discord(each.figures), default=None)


def verdict(figures: Optional[Figures]) -> str:
    """One word; "" without figures."""
    if discord(figures) == math.inf or figures is None:
        return ""
    if figures.seam is not None and figures.seam >= EDGE:
        return tr(sentences.EDGE)
    if figures.grain is not None and not SMOOTH <= figures.grain < GRAINY:
        return tr(sentences.TOO_SMOOTH if figures.grain < SMOOTH else sentences.GRAINY)
    return tr(sentences.COPIED if figures.new is not None and figures.new < COPIED else sentences.FITS)


def explained(figures: Optional[Figures]) -> str:
    """The figures themselves, for a tip; "" without."""
    if figures is None:
        return ""
    seam, grain = ("–" if each is None else f"{each:.2f}" for each in (figures.seam, figures.grain))
    found = tr(sentences.FIGURES).format(edge=seam, grain=grain)
    if figures.new is not None:
        found += "\n" + tr(sentences.NEW_SHARE).format(percent=f"{100 * figures.new:.0f}")
    return "\n".join(filter(None, (found, ring(figures))))


def ring(figures: Optional[Figures]) -> str:
    """The colour difference across the border, before and after the fill was brought into agreement; "" without."""
    if figures is None or figures.ring_before is None or figures.ring_after is None:
        return ""
    return tr(sentences.RING).format(before=f"{figures.ring_before:.1f}", after=f"{figures.ring_after:.1f}")
