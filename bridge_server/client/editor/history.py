"""Finished pictures that outlive the editor: they lie at the bridge, and this finds those of a document again.

Each job carries a note (the session's ``tag``) that says where it belongs. A document is known by the key that the
plug-in leaves in it, or by its file's path. A copy under another name holds the same key, but is another document as
long as the first one's file is there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List

from bridge_server.client import events
from bridge_server.client.geometry import Box
from bridge_server.client.records import PIXEL_BYTES

from .model import MapTarget, Run, Settings, Target, Variant

LONGEST_TAG = 1000


def note(run: Run, parent_job: str = "") -> str:
    """What `recall` needs; a path that is too long is left out, then the maps."""
    box, bounds = run.target.box, run.target.bounds
    content: Dict[str, Any] = {
        "key": run.target.key,
        "path": run.target.path,
        "box": [box.x, box.y, box.width, box.height],
        "bounds": [bounds.x, bounds.y, bounds.width, bounds.height],
        "linear": run.target.linear,
        "space": run.target.space,
        "maps": [[each.name, each.depth, each.linear, each.space, each.shown] for each in run.target.maps],
        "preset": run.settings.preset,
        "seed": run.settings.seed,
        "kind": run.kind,
        "made": round(run.made),
        "parent": [parent_job, *run.parent[1:]] if run.parent is not None else None,
    }
    text = json.dumps(content)
    for left_out in ({"path": ""}, {"path": "", "maps": []}):
        if len(text) > LONGEST_TAG:
            text = json.dumps({**content, **left_out})
    return text


class History:
    """Jobs of earlier editors that have not been asked for yet, and what all of them take on disk."""

    def __init__(self) -> None:
        self.waiting: Dict[str, events.Recovered] = {}
        self._notes: Dict[str, Dict[str, Any]] = {}
        self.parents: Dict[str, Any] = {}  # of runs that were taken: [job, variant, call] or None

    def add(self, entry: events.Recovered) -> bool:
        """False if its note is none of ours."""
        try:
            content = json.loads(entry.tag)
            Box(*content["box"]), Box(*content["bounds"]), int(content["seed"])
            [_map(*each) for each in content.get("maps", ())]
        except (ValueError, KeyError, TypeError):
            return False
        self.waiting[entry.job] = entry
        self._notes[entry.job] = content
        return True

    def bytes(self) -> int:
        """Size of the pictures that still wait, with their maps."""
        total = 0
        for entry in self.waiting.values():
            maps = [_map(*each).depth for each in self._notes[entry.job].get("maps", ())]
            size = sum(PIXEL_BYTES[depth] for depth in (entry.depth, *maps))
            total += size * (entry.pixels or entry.width * entry.height) * entry.results
        return total

    def pictures(self) -> int:
        return sum(entry.results for entry in self.waiting.values())

    def take(self, document: str, key: str, path: str) -> List[Run]:
        """The runs of this document, in the order in which they were told, without pictures; they wait no longer."""
        mine = [job for job, found in self._notes.items() if _same(found, key, path)]
        return [self._run(job, document) for job in mine]

    def forget(self) -> List[str]:
        """All jobs that wait, to be deleted."""
        jobs = list(self.waiting)
        self.waiting.clear()
        self._notes.clear()
        return jobs

    def _run(self, job: str, document: str) -> Run:
        entry, found = self.waiting.pop(job), self._notes.pop(job)
        target = Target(
            document,
            "",
            Box(*found["box"]),
            Box(*found["bounds"]),
            found["key"],
            found["path"],
            depth=entry.depth,
            linear=bool(found.get("linear", False)),  # pictures of earlier versions were all sRGB
            space=str(found.get("space", "")),
            maps=tuple(_map(*each) for each in found.get("maps", ())),
        )
        settings = Settings(entry.model, str(found["preset"]), int(found["seed"]), entry.variants)
        variants = [Variant(index, settings.seed + index) for index in range(entry.variants)]
        made = found.get("made")
        run = Run(0, settings, target, None, variants, job=job, kind=str(found["kind"]))
        run.made = float(made) if isinstance(made, int) else 0.0
        self.parents[job] = found.get("parent")
        return run


def _map(name: str, depth: str, linear: bool, space: str, shown: bool) -> MapTarget:
    """Its layer is found by its name again."""
    return MapTarget(name, "", 1.0, "", depth, linear, space, shown)


def _same(found: Dict[str, Any], key: str, path: str) -> bool:
    if path and found["path"] == path:
        return True
    moved = not found["path"] or not path or not Path(found["path"]).exists()  # else one is a copy of the other
    return bool(key) and found["key"] == key and moved
