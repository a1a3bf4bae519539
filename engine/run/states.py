"""States of a run that can be kept, saved, resumed and branched from.

A state holds everything that defines the rest of its run: the request with its pixels, the schedule, the sampler's
tensors and the number of noise draws. Resumed with its own seed it gives, on a CPU, bit for bit the uninterrupted
result; with another seed, or with jumps back up the schedule, a relative of it.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import tempfile
from collections import OrderedDict
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from engine.errors import BadInput, EngineError
from engine.run import drafts, state_file
from engine.run.job import Job, preset_of, resolve
from engine.run.maps import Map
from engine.run.painting import ATTEMPT_DRAWS, ATTEMPTS
from engine.sampling import CorrectorSettings, RePaintSettings, Schedule, Settings, State, calls_left
from engine.untrusted import fields
from engine.version import __version__

log = logging.getLogger(__name__)

FORMAT = "repaint-bridge-state-1"
KEPT_STATES = 20
"""Of each variant, about, where `Spread` chooses."""
JUMPS = {"small": 0.1, "medium": 0.25, "large": 0.5}
"""Named jump lengths as shares of the number of levels."""
MAX_JUMPS = 20
NEW_OPTIONS: dict[str, Any] = {"linear": False, "palette": None, "source_share": 100, "ring": False}
"""Fields of a job that files written before them lack."""
_PARTS = ("job", "schedule", "settings", "state", "painted", "octave")
"""Of a kept state, what is an object of its own."""


@dataclass(frozen=True)
class OctavePlace:
    """What the state of a model that is the picture itself needs beside the sampler's
    (:mod:`engine.exemplar.octave_run`).

    Attributes:
        weight: units of progress of a call of its octave.
        first: of a call of the coarsest octave.
        finer: units of all octaves above the coarsest.
        matches: (G, 2) int32 of a finer octave.
        coarsest: (1, C, 1, N), the finished pixels of the coarsest octave, where the run is beyond it.
    """

    weight: int
    first: int
    finer: int
    matches: np.ndarray | None = None
    coarsest: torch.Tensor | None = None


@dataclass(frozen=True)
class Kept:
    """One variant's run, after one network call.

    Attributes:
        job: the request with its pixels; ``seed`` and ``variants`` of it are not used.
        digest: of the model's weights, so that another model is noticed.
        seed: of this variant.
        state: the sampler's state, one row, on the CPU; its calls and its schedule are those of one stage.
        stage: the number of that stage (:mod:`engine.canvas.stages`).
        before, after: network calls of the stages before it and after it.
        painted: what the stages before it painted, (H, W, 3) float32 in the picture's unit, of the box around the
            selection.
        attempts: how often this run may be painted in all, where it is a tile whose seam shows.
        octave: of a model that is the picture itself; its stages are octaves, and calls are counted in units of
            progress.
    """

    job: Job
    digest: str
    schedule: Schedule
    settings: Settings
    seed: int
    state: State
    stage: int = 0
    before: int = 0
    after: int = 0
    painted: np.ndarray | None = None
    attempts: int = 1
    octave: OctavePlace | None = None

    @property
    def weight(self) -> int:
        """Units of progress of a call of this stage."""
        return self.octave.weight if self.octave else 1

    @property
    def call(self) -> int:
        """Network calls made so far, those of earlier stages too."""
        return self.before + self.weight * self.state.call

    @property
    def left(self) -> int:
        """Network calls still to make in this stage."""
        return calls_left(self.state, self.schedule, self.settings)

    @property
    def remaining(self) -> int:
        """Network calls still to make."""
        return self.weight * self.left + self.after

    @property
    def nbytes(self) -> int:
        """Memory of the tensors of this state alone."""
        return sum(tensor.nbytes for tensor in _tensors(self).values())


def branched(kept: Kept, jump: int | str, times: int = 1, late: bool = False) -> Kept:
    """The same state on the way of a branch: ``times`` jumps of a length in levels or of a name in :data:`JUMPS`.

    A jump at once changes what has formed since the level it reaches ("new idea" for a large one); with ``late`` the
    jumps come at the clean end and only harmonise. Jumps are cut to the schedule's top. The part already walked stays
    as it is. At the end of a stage there is nothing to jump in: the next stage begins, with the branch's own noise. A
    jump at once in a run that began with a draft begins anew with another draft, whatever its length.

    What the jumps cost is saved on the rest of the way, down to what the rest would have cost without them or half of
    this stage, whichever is more, and 5 % of this stage: first of the Langevin steps per level all but one can go, then
    of the schedule's own jumps as many as it takes, evenly. So a branch at half of a run costs at most 55 % of it,
    unless there is nothing to leave out.
    """
    if not late:
        kept = _at_coarsest(kept)
    levels, position = kept.schedule.levels, kept.state.position
    length = _jump_length(jump, kept.schedule.steps)
    if not 1 <= times <= MAX_JUMPS:
        raise BadInput("bad_jump", f"The number of jumps must be 1 to {MAX_JUMPS}, not {times}.")
    if not late and drafts.led_to(kept.settings):
        return _before_draft(kept)
    if levels[position] < 0 and kept.after:
        return kept
    if levels[position] < 0:
        raise BadInput("bad_state", "This state is the end of its run; branch from an earlier one.")
    if kept.state.corrections:
        position += 1  # the level in work is finished first; it is never the last one
    at = len(levels) - 2 if late else position
    level = levels[at]
    length = min(length, levels[0] - level)
    bump = [*range(level + 1, level + length + 1), *range(level + length - 1, level - 1, -1)]
    to, rest = levels[position : at + 1], levels[at:]

    def way(settings: Settings, to: tuple[int, ...], rest: tuple[int, ...]) -> Kept:
        return replace(
            kept, schedule=Schedule((*levels[:position], *to, *(bump * times), *rest[1:])), settings=settings
        )

    stage = kept.state.call + kept.left
    budget = max(kept.left, stage // 2) + stage // 20
    settings = kept.settings
    while isinstance(settings, CorrectorSettings) and way(settings, to, rest).left > budget:
        if settings.corrections == 1:
            break
        settings = replace(settings, corrections=settings.corrections - 1)
    over = way(settings, to, rest).left - budget
    return way(settings, _straighter(to, over, settings), rest if late else _straighter(rest, over, settings))


def _at_coarsest(kept: Kept) -> Kept:
    """The end of the coarsest octave, for a state in a finer one: what is a new idea is decided there."""
    if kept.octave is None or kept.octave.coarsest is None:
        return kept
    schedule, settings = resolve(kept.job)
    settings = replace(settings.with_eta(None), clip=kept.settings.clip)
    picture, call = kept.octave.coarsest, settings.calls(schedule) - 1
    state = State(call, len(schedule.levels) - 2, picture, picture, kept.state.draws)
    first = kept.octave.first
    octave = OctavePlace(first, first, kept.octave.finer)
    return replace(
        kept, schedule=schedule, settings=settings, state=state, stage=0, before=kept.call - first * call,
        after=kept.octave.finer, octave=octave,
    )  # fmt: skip


def _before_draft(kept: Kept) -> Kept:
    """The beginning of a run that begins with a draft, without one: what is a new idea is decided there. It draws other
    noise than the run did."""
    schedule, settings = drafts.plan(kept.job, preset_of(kept.job).finer, kept.settings.clip)
    calls = settings.calls(schedule)
    draws = (kept.state.draws // ATTEMPT_DRAWS + 1) % ATTEMPTS * ATTEMPT_DRAWS
    return replace(
        kept, schedule=schedule, settings=settings, state=replace(kept.state, call=0, position=0, draws=draws), stage=0,
        before=kept.call, after=calls * (kept.stage + kept.after // calls), painted=None,
    )  # fmt: skip


def _straighter(path: tuple[int, ...], calls: int, settings: Settings) -> tuple[int, ...]:
    """``path`` with fewer of its ways up and down, evenly spread: so that ``calls`` fewer are needed, or with none."""
    loops, here = [], 0
    while here < len(path) - 1:
        back = path.index(path[here], here + 1) if path[here + 1] > path[here] else here + 1
        if back > here + 1:
            loops.append((here, back))
        here = back
    costs = [(back - here) // 2 * settings.calls_at(1) for here, back in loops]
    gone: set[int] = set()
    for number in range(1, len(loops) + 1):
        if sum(costs[k] for k in gone) >= calls:
            break
        gone = {int((k + 0.5) * len(loops) / number) for k in range(number)}
    left_out = {entry for k in gone for entry in range(loops[k][0] + 1, loops[k][1] + 1)}
    return tuple(level for entry, level in enumerate(path) if entry not in left_out)


def _jump_length(jump: int | str, steps: int) -> int:
    if isinstance(jump, str):
        if jump not in JUMPS:
            raise BadInput("bad_jump", f"A jump is a number of levels or one of {', '.join(JUMPS)}, not {jump!r}.")
        return max(1, round(JUMPS[jump] * steps))
    if not 1 <= jump <= steps:
        raise BadInput("bad_jump", f"A jump must be 1 to {steps} levels, not {jump}.")
    return jump


def save(kept: Kept, path: Path, extra: dict[str, Any] | None = None, original: np.ndarray | None = None) -> None:
    """Write a state file (safetensors: tensors, and everything else as JSON in its header), all or nothing.

    ``extra`` (plain JSON values) and ``original`` (the picture as it was read) are handed back by :func:`load`.

    Raises:
        EngineError: ``disk_full`` or ``not_written``.
    """
    job = asdict(replace(kept.job, image=np.zeros(0), selection=np.zeros(0), source=None, share_mask=None, maps=()))
    del job["image"], job["selection"], job["source"], job["share_mask"], job["maps"]
    meta = {
        "format": FORMAT,
        "version": __version__,
        "digest": kept.digest,
        "levels": kept.schedule.levels,
        "settings": {"kind": type(kept.settings).__name__, **asdict(kept.settings)},
        "seed": kept.seed,
        "job": job,
        "maps": [{"name": each.name, "kind": each.kind, "weight": each.weight} for each in kept.job.maps],
        "state": {name: getattr(kept.state, name) for name in ("call", "position", "draws", "corrections")},
        "stage": {name: getattr(kept, name) for name in ("stage", "before", "after", "attempts")},
        "octave": None
        if kept.octave is None
        else {name: getattr(kept.octave, name) for name in ("weight", "first", "finer")},
        "extra": extra or {},
    }
    tensors = _tensors(kept)
    tensors["image"] = torch.from_numpy(np.array(kept.job.image, order="C"))
    tensors["selection"] = torch.from_numpy(np.array(kept.job.selection, order="C"))
    if kept.job.source is not None:
        tensors["source"] = torch.from_numpy(np.array(kept.job.source, order="C"))
    for number, each in enumerate(kept.job.maps):
        tensors[f"map-{number}"] = torch.from_numpy(np.array(each.pixels, order="C"))
    if kept.job.share_mask is not None:
        tensors["share_mask"] = torch.from_numpy(np.array(kept.job.share_mask, order="C"))
    if kept.painted is not None:
        tensors["painted"] = torch.from_numpy(np.array(kept.painted, order="C"))
    if original is not None:
        tensors["original"] = torch.from_numpy(np.array(original, order="C"))
    scratch = path.with_name(path.name + ".part")
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, scratch, {"meta": json.dumps(meta)})
        scratch.replace(path)
    except Exception as error:  # safetensors wraps the system's error in its own type
        full = "os error 28" in str(error).lower() or getattr(error, "errno", None) == 28
        why = "the disk is full; free some space" if full else "the folder cannot be written to; choose another"
        code = "disk_full" if full else "not_written"
        raise EngineError(code, f"The state {path.name} was not written: {why}.", repr(error)) from error
    finally:
        scratch.unlink(missing_ok=True)


def _settings(content: dict[str, Any]) -> Settings:
    """The settings of a file; those written before each sampler had a class of its own are of both."""
    known = {each.__name__: each for each in (RePaintSettings, CorrectorSettings)}
    if "kind" in content:
        kind = known[content["kind"]]
        return kind(**fields(kind, {name: value for name, value in content.items() if name != "kind"}))
    kind = CorrectorSettings if content["corrections"] else RePaintSettings
    content = content | ({"eta": "model"} if content["models_eta"] else {})
    return kind(**fields(kind, {each.name: content[each.name] for each in dataclasses.fields(kind)}))


def load(path: Path) -> tuple[Kept, dict[str, Any], np.ndarray | None]:
    """Read a state file; returns the state and the caller's ``extra`` and ``original``.

    Raises:
        BadInput: not there, not a state file, damaged, or of another version.
    """
    try:
        meta, tensors = state_file.read(path)
        if meta["format"] != FORMAT:
            raise ValueError(f"format {meta['format']}")
        if meta["version"] != __version__:
            sentence = f"The state {path.name} was not made by version {__version__}; run it again."
            raise BadInput("bad_state", sentence, repr(meta["version"]))
        original = tensors.pop("original").numpy() if "original" in tensors else None
        painted = tensors.pop("painted").numpy() if "painted" in tensors else None
        octave = None
        if meta["octave"] is not None:
            values = fields(OctavePlace, meta["octave"], "matches", "coarsest")
            matches, coarsest = tensors.pop("matches", None), tensors.pop("coarsest", None)
            octave = OctavePlace(**values, matches=None if matches is None else matches.numpy(), coarsest=coarsest)
        image, selection = tensors.pop("image").numpy(), tensors.pop("selection").numpy()
        source = tensors.pop("source").numpy() if "source" in tensors else None
        maps = tuple(
            Map(pixels=tensors.pop(f"map-{number}").numpy(), **fields(Map, each, "pixels"))
            for number, each in enumerate(meta.get("maps", []))
        )
        shares = tensors.pop("share_mask").numpy() if "share_mask" in tensors else None
        own = "image", "selection", "source", "share_mask", "maps"
        options = fields(Job, NEW_OPTIONS | meta["job"], *own)
        kept = Kept(
            Job(image, selection, source=source, share_mask=shares, maps=maps, **options),
            **fields(Kept, {name: meta[name] for name in ("digest", "seed")} | meta["stage"], *_PARTS),
            schedule=Schedule(tuple(meta["levels"])),
            settings=_settings(meta["settings"]),
            state=State(**(fields(State, meta["state"], "x", "x0_hat", "drift") | tensors)),
            painted=painted,
            octave=octave,
        )
        state_file.check(kept)
        extra = meta["extra"]
        if not isinstance(extra, dict):
            raise ValueError("no object of further values")
    except BadInput:
        raise
    except Exception as error:  # SafetensorError, KeyError, TypeError, ValueError: whatever is wrong with the file
        raise BadInput("bad_state", f"{path.name} is not a state file, or is damaged.", repr(error)) from error
    return kept, extra, original


def not_its_own() -> BadInput:
    """The error of a state whose picture, model and numbers do not belong together."""
    return BadInput("bad_state", "This state does not fit its picture; run it again.")


def _tensors(kept: Kept) -> dict[str, torch.Tensor]:
    tensors = {"x": kept.state.x, "x0_hat": kept.state.x0_hat}
    if kept.state.drift is not None:
        tensors["drift"] = kept.state.drift
    if kept.octave is not None and kept.octave.matches is not None:
        tensors["matches"] = torch.from_numpy(kept.octave.matches)
    if kept.octave is not None and kept.octave.coarsest is not None:
        tensors["coarsest"] = kept.octave.coarsest
    return tensors


class Spread:
    """Which steps of a run are kept: about :data:`KEPT_STATES` of each variant, evenly spread over it."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}  # which part of the way of each variant the step before lay in

    def takes(self, variant: int, call: int, calls: int) -> bool:
        """To be asked of every step; whether this one is to be kept."""
        if call >= calls:
            return False
        part = call // max(1, calls // KEPT_STATES)
        before, self._last[variant] = self._last.get(variant, 0), part
        return part > before


class Cache:
    """The states of one job within a memory and a disk budget, in bytes.

    New states lie in memory; beyond the memory budget the oldest move to files, beyond the disk budget the oldest files
    are dropped. ``dropped`` counts them and the log says so: nothing is pruned silently.
    """

    def __init__(self, memory: int, disk: int, folder: Path | None = None) -> None:
        self._memory, self._disk = memory, disk
        self._home = tempfile.TemporaryDirectory(prefix="repaint-states-", dir=folder)
        self._in_memory: OrderedDict[tuple[int, int], Kept] = OrderedDict()
        self._on_disk: OrderedDict[tuple[int, int], tuple[Path, int]] = OrderedDict()
        self.dropped = 0

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def put(self, variant: int, kept: Kept) -> None:
        """Keep the state of ``variant`` at its call; raises EngineError(``disk_full``) if the disk is."""
        self._in_memory[variant, kept.call] = kept
        while sum(other.nbytes for other in self._in_memory.values()) > self._memory:
            key, oldest = self._in_memory.popitem(last=False)
            self._spill(key, oldest)

    def calls(self, variant: int) -> list[int]:
        """The calls of ``variant`` whose states are at hand, rising."""
        return sorted(call for owner, call in [*self._in_memory, *self._on_disk] if owner == variant)

    def get(self, variant: int, call: int) -> Kept:
        """The state of ``variant`` after ``call``; raises BadInput if it was dropped or never kept."""
        if (variant, call) in self._in_memory:
            return self._in_memory[variant, call]
        if (variant, call) in self._on_disk:
            return load(self._on_disk[variant, call][0])[0]
        raise BadInput("no_state", f"The state of call {call} is no longer kept; choose a later one.")

    def close(self) -> None:
        """Forget everything and remove the files."""
        self._in_memory.clear()
        self._on_disk.clear()
        self._home.cleanup()

    def _spill(self, key: tuple[int, int], kept: Kept) -> None:
        path = Path(self._home.name) / f"{key[0]}-{key[1]}.safetensors"
        if self._disk > 0:
            save(kept, path)
            self._on_disk[key] = (path, path.stat().st_size)
        else:
            self._drop(key)
        while sum(size for _, size in self._on_disk.values()) > self._disk:
            oldest, (path, _) = self._on_disk.popitem(last=False)
            path.unlink()
            self._drop(oldest)

    def _drop(self, key: tuple[int, int]) -> None:
        self.dropped += 1
        log.warning("state of variant %d at call %d dropped: the budget of kept states is full", *key)
