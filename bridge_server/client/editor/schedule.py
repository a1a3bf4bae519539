"""The walk of a run through the noise levels, for the picture on the advanced page (the engine makes its own)."""

from __future__ import annotations

from typing import List


def levels(steps: int, length: int, samples: int, kind: str) -> List[int]:
    """Levels from ``steps`` - 1 down to -1 with jumps of ``length`` up, each place walked ``samples`` times.

    kind: "uniform": at every multiple of the length; "early", "late": all extra walks at the noisy or the clean end;
    "none": straight down. A length of ``steps`` or more, or one sample, is straight down, too.
    """
    straight = kind == "none" or length < 1 or samples < 2 or length >= steps
    if straight:
        places = set()
    elif kind == "uniform":
        places = set(range(0, steps - length, length))
    else:
        places = {0} if kind == "late" else {steps - 1 - length}
    walk: List[int] = []
    for level in range(steps - 1, -1, -1):
        walk.append(level)
        if level in places:
            up = list(range(level + 1, level + length + 1))
            down = list(range(level + length - 1, level - 1, -1))
            walk += (up + down) * (samples - 1)
    return [*walk, -1]
