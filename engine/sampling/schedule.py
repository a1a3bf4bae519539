"""Resampling schedules: plain lists of levels from T − 1 down to −1.

A pair (t, s) of neighbours with s < t is one network call at level t; s > t is an undo (diffuse one level back up,
no network). Levels are respaced indices, 0 the cleanest. Lugmayr et al. 2022 (arXiv 2201.09865), Algorithm 1 and
Section 4.2; T = number of steps, L = jump length, n = samples per jump.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from engine.errors import BadInput
from engine.untrusted import parsed, require_file

MIN_STEPS, MAX_STEPS = 2, 1000
MAX_CALLS = 100_000
MAX_FILE = 4 << 20
"""Bytes of a hand-written schedule: twice what the longest one takes."""


@dataclass(frozen=True)
class Schedule:
    """A validated list of levels, e.g. (7, 6, 5, 4, 5, 6, …, 0, −1)."""

    levels: tuple[int, ...]

    def __post_init__(self) -> None:
        _validate(self.levels)

    @property
    def steps(self) -> int:
        """T, the number of respaced levels."""
        return self.levels[0] + 1

    @property
    def calls(self) -> int:
        """Number of network calls, the only unit of progress."""
        return sum(s < t for t, s in pairwise(self.levels))

    @property
    def transitions(self) -> int:
        """Calls and undos together (the report's "iterations")."""
        return len(self.levels) - 1


def uniform(steps: int, jump_length: int, jump_samples: int, start_resampling: int | None = None) -> Schedule:
    """The paper's schedule: jumps of length L at keys 0, L, 2L … < T − L, each taken n − 1 times.

    calls = T + K (n − 1) L with K = ceil((T − L) / L). With ``start_resampling`` only jumps that stay below that level
    are taken, so that the noisiest part runs through once. L ≥ T or n = 1 is a plain run.
    """
    check(steps, jump_length, jump_samples)
    ceiling = steps if start_resampling is None else start_resampling
    if not 0 <= ceiling <= steps:
        raise BadInput("bad_schedule", f"start resampling must lie between 0 and the number of steps, {steps}.")
    keys = [key for key in range(0, steps - jump_length, jump_length) if key + jump_length <= ceiling]
    return _with_jumps(steps, jump_length, dict.fromkeys(keys, jump_samples - 1))


def plain(steps: int) -> Schedule:
    """No resampling: T − 1 … −1, T calls."""
    return uniform(steps, steps, 1)


def early(steps: int, jump_length: int, jump_samples: int) -> Schedule:
    """All n − 1 jumps at the noisy end, from T − 1 − L back to T − 1; T + (n − 1) L calls."""
    check(steps, jump_length, jump_samples)
    if jump_length >= steps:
        return plain(steps)
    return _with_jumps(steps, jump_length, {steps - 1 - jump_length: jump_samples - 1})


def late(steps: int, jump_length: int, jump_samples: int) -> Schedule:
    """All n − 1 jumps at the clean end, from 0 back to L; T + (n − 1) L calls."""
    check(steps, jump_length, jump_samples)
    if jump_length >= steps:
        return plain(steps)
    return _with_jumps(steps, jump_length, {0: jump_samples - 1})


def from_file(path: Path) -> Schedule:
    """Read a hand-written schedule: a JSON list of levels, or an object with the list under ``levels``.

    Raises:
        BadInput: the file is not there, not JSON, or not a valid list; the sentence names the place.
    """
    require_file(path, MAX_FILE)
    try:
        data = parsed(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(
            "bad_schedule", f"The schedule file {path.name} cannot be read as JSON; check the file.", str(error)
        ) from error
    levels = data.get("levels") if isinstance(data, dict) else data
    if not isinstance(levels, list):
        raise BadInput("bad_schedule", f"The schedule file {path.name} must hold a list such as [2, 1, 0, -1].")
    return Schedule(tuple(levels))


NAMED = ("uniform", "none", "early", "late")


def named(name: str, steps: int, jump_length: int, jump_samples: int, start_resampling: int | None = None) -> Schedule:
    """Build a schedule by its name on the command line: one of :data:`NAMED`."""
    if name == "uniform":
        return uniform(steps, jump_length, jump_samples, start_resampling)
    if name == "none":
        check(steps, 1, 1)
        return plain(steps)
    if name == "early":
        return early(steps, jump_length, jump_samples)
    if name == "late":
        return late(steps, jump_length, jump_samples)
    raise BadInput("bad_schedule", f"There is no schedule named {name!r}; choose one of {', '.join(NAMED)}.")


def check(steps: int, jump_length: int, jump_samples: int) -> None:
    """Raise BadInput unless T, L and n are in range and the run stays below 100 000 calls."""
    if not MIN_STEPS <= steps <= MAX_STEPS:
        raise BadInput("bad_schedule", f"The number of steps must be {MIN_STEPS} to {MAX_STEPS}, not {steps}.")
    if jump_length < 1:
        raise BadInput("bad_schedule", f"The jump length must be at least 1, not {jump_length}.")
    if jump_samples < 1:
        raise BadInput("bad_schedule", f"The samples per jump must be at least 1, not {jump_samples}.")
    if steps + max(steps - jump_length, 0) * (jump_samples - 1) > MAX_CALLS:
        raise BadInput("bad_schedule", f"This schedule needs more than {MAX_CALLS} network calls; lower the samples.")


def _with_jumps(steps: int, jump_length: int, jumps: dict[int, int]) -> Schedule:
    """Walk from T − 1 to 0; at each key go back up by L as often as ``jumps`` says; end with −1."""
    left = dict(jumps)
    levels = [steps - 1]
    while levels[-1] > 0 or left.get(levels[-1], 0) > 0:
        level = levels[-1]
        if left.get(level, 0) > 0:
            left[level] -= 1
            levels.extend(range(level + 1, level + jump_length + 1))
        else:
            levels.append(level - 1)
    return Schedule((*levels, -1))


def _validate(levels: Sequence[int] | Iterable[int]) -> None:
    levels = tuple(levels)
    where = "The schedule"
    if not all(isinstance(level, int) and not isinstance(level, bool) for level in levels):
        raise BadInput("bad_schedule", f"{where} must be a list of whole numbers.")
    if not MIN_STEPS < len(levels) <= 2 * MAX_CALLS or not MIN_STEPS - 1 <= levels[0] < MAX_STEPS:
        raise BadInput(
            "bad_schedule",
            f"{where} must start at its top level, {MIN_STEPS - 1} to {MAX_STEPS - 1}, and end at -1.",
        )
    if levels[-1] != -1 or -1 in levels[:-1]:
        raise BadInput("bad_schedule", f"{where} must end at -1, once.")
    for position, (t, s) in enumerate(pairwise(levels), start=1):
        if abs(t - s) != 1:
            raise BadInput("bad_schedule", f"{where} goes from {t} to {s} at entry {position}; levels move by one.")
        if s > levels[0]:
            raise BadInput("bad_schedule", f"{where} rises to {s} at entry {position}, above its start {levels[0]}.")
