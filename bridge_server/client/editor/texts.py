"""Short texts made of numbers, in the artist's language."""

from __future__ import annotations

from . import sentences
from .model import Run, Variant
from .words import tr, unmarked

# kinds of branches → what they are called
KINDS = (("harmonise", "Harmonise"), ("idea", "New idea"), ("continue", "Variation"))


def spoken(label: str, tip: str) -> str:
    """What a screen reader calls a field: its label, or its tip where there is none or it is but a sign."""
    return unmarked(tr(label if any(sign.isalpha() for sign in label) else tip))


def time_left(seconds: float) -> str:
    """ "12 s left", "3 min left", or nothing while it cannot be told."""
    return tr(sentences.TIME_LEFT).format(time=duration(seconds)) if seconds >= 0 else ""


def duration(seconds: float) -> str:
    """ "12 s", "3 min"."""
    if seconds < 99:
        return tr(sentences.SECONDS).format(number=f"{seconds:.0f}")
    return tr(sentences.MINUTES).format(number=f"{seconds / 60:.0f}")


def caption(run: Run, variant: Variant) -> str:
    """A few characters under a thumbnail."""
    sign = "↳ " if run.parent is not None else ""
    if not variant.finished:
        return f"{sign}{100 * variant.call / variant.calls:.0f} %" if variant.calls else "…"
    return f"{sign}{variant.index + 1}" + (" ◐" if variant.unfinished else "")
