"""What the artist can do, from a click to a layer; knows neither a widget set nor an editor.

`Flow` is told of clicks (`start`, `branch`, `keep`, `cancel`, `choose`), of waiting events (`pump`) and of passing time
(`tick`); it speaks to the bridge through a `Session` and to the editor through a `Host`. `view` puts what is to be seen
of it into words and flags.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, Dict, List, Optional, Tuple

from bridge_server.client import events
from bridge_server.client.requests import MapRequest
from bridge_server.client.session import BranchRequest, JobRequest

from . import maps, sentences
from .history import note
from .machine import IDLE, READING, RUNNING, WAITING, Machine
from .material import Source
from .model import MAX_SEED, Capture, Refused, Run, Series, Settings, Tile, Variant, cost
from .words import tr


class Flow(Machine):
    """The run machine with the artist's hands on it."""

    # ---- beginning a run ----
    def start(self, settings: Settings) -> None:
        """Begins a run with what is selected now. Then call `step` while `has_steps`."""
        if self.busy:
            return
        if self.no_bridge:
            self.say(self.no_bridge, error=True)
            return
        model = self.model(settings.model)
        if model is not None and not model.installed:
            self.say(tr(sentences.DOWNLOAD_FIRST).format(model=tr(model.title)), error=True)
            return
        if settings.material is not None and not takes_sources(model):
            self.say(sentences.NO_SOURCES, error=True)
            return
        why_not = maps.refusal(settings.maps, takes_sources(model), settings.material is not None)
        if why_not:
            self.say(why_not, error=True)
            return
        self._settings, self._clicked = settings, self.clock()
        self.layers.whole()
        self._reader = self.host.capture(settings)
        self.phase = READING
        self.seconds_left = -1.0
        self.say(sentences.READING)

    @property
    def has_steps(self) -> bool:
        """Whether `step` has something to do: call it once per turn of the event loop until this is False."""
        return self._reader is not None or self.layers.painter.busy

    def step(self) -> None:
        """Reads or paints on for some milliseconds."""
        if self._reader is not None:
            self._read_on()
        elif self.layers.painter.busy:
            self.layers.painter.step()
            if not self.layers.painter.busy:
                self._changed()

    def _read_on(self) -> None:
        assert self._reader is not None
        assert self._settings is not None
        try:
            capture = next(self._reader)
        except Refused as refusal:
            self._reader, self.phase = None, IDLE
            self.say(refusal.sentence, error=True)
            return
        if capture is not None:
            self._reader = None
            self._submit(capture, self._settings)

    def _submit(self, capture: Capture, settings: Settings, series: Optional[Series] = None, kind: str = "") -> None:
        run = Run(0, settings, capture.target, capture, _variants(settings), series or Series(), kind=kind)
        self._new_run(run)
        run.job = self.session.submit(request(capture, settings, note(run)))
        self._sent(run)

    def more_variants(self, run: Run, number: int) -> None:
        """Appends that many with the next seeds: the same place, model and preset."""
        if self.busy or not self._bridge_there():
            return
        if run.capture is None:
            self.say(sentences.NO_CAPTURE, error=True)
            return
        own = [each for each in self.library.of_series(run) if each.parent is None]
        seed = max(variant.seed for each in own for variant in each.variants) + 1
        settings = replace(run.settings, seed=min(seed, MAX_SEED - number + 1), variants=number)
        capture, self._clicked = run.capture, self.clock()
        self._submit(capture, settings, run.series, "more")

    def branch(self, run: Run, index: int, call: int, kind: str, number: int, seed: Optional[int] = None) -> None:
        """Runs that many branches from a kept step. kind: "continue", "harmonise", "idea"; seed None: one is drawn."""
        if self.busy or not self._bridge_there():
            return
        variant = run.variant(index)
        if variant is None or all(step.call != call for step in variant.steps):
            self.say(sentences.NO_STEP, error=True)
            return
        if seed is None:
            seed = random.SystemRandom().randrange(MAX_SEED - number)
        self._begin_branch(run, index, call, kind, replace(run.settings, seed=seed, variants=number), seed)

    def resume(self, run: Run, index: int) -> None:
        """Takes a variant that was stopped and kept up again, to its own end."""
        variant = run.variant(index)
        if self.busy or not self._bridge_there() or variant is None or not variant.unfinished:
            return
        settings = replace(run.settings, seed=variant.seed, variants=1)
        self._begin_branch(run, index, variant.call, "continue", settings, None)

    def _begin_branch(
        self, parent: Run, index: int, call: int, kind: str, settings: Settings, seed: Optional[int]
    ) -> None:
        self._clicked = self.clock()
        run = Run(0, settings, parent.target, parent.capture, _variants(settings), parent.series)
        run.parent, run.kind = (parent.number, index, call), kind
        self._new_run(run)
        run.job = self.session.branch(
            BranchRequest(parent.job, index, call, kind, settings.variants, seed, tag=note(run, parent.job))
        )
        self._sent(run)

    def more_like(self, run: Run, index: int, number: int) -> None:
        """Variations of a variant: other noise from the middle of its run on."""
        variant = run.variant(index)
        if variant is None or not variant.steps:
            self.say(sentences.NO_STEP, error=True)
            return
        middle = variant.steps[len(variant.steps) // 2]
        self.branch(run, index, middle.call, "continue", number)

    def look(self, run: Run, index: int, call: int) -> None:
        """Asks for the picture of a kept step, to be shown."""
        variant = run.variant(index)
        if variant is not None and call not in variant.views:
            self.session.look(run.job, index, call)

    def price(self, run: Run, step: events.Step, kind: str, number: int) -> Tuple[int, float]:
        """Network calls and seconds (negative: not known yet) of that many branches."""
        calls = cost(step, kind) * number
        seconds = run.call_seconds or self.library.call_seconds
        return calls, calls * seconds if seconds else -1.0

    # ---- while it runs, and after ----
    def keep(self, index: Optional[int] = None) -> None:
        """Stops the run and keeps the present estimate of that variant, or of all."""
        if self.phase == WAITING or self.phase == READING:
            self.cancel()
        elif self.phase == RUNNING and self.run is not None and not self.keeping:
            self.keeping = True
            self.session.keep(self.run.job, [] if index is None else [index])
            self.say(sentences.KEEPING)

    def _bridge_there(self) -> bool:
        if self.no_bridge:
            self.say(self.no_bridge, error=True)
        return not self.no_bridge

    def cancel(self) -> None:
        """Stops the run; its layer is emptied and removed at once, finished variants stay to be picked."""
        if self.phase == READING:
            self._reader, self.phase = None, IDLE
            self.say(sentences.CANCELLED)
        elif self.phase in (WAITING, RUNNING) and self.run is not None:
            self._stop(sentences.CANCELLING)
            self.layers.discard(self.run)

    def compare(self, hidden: bool) -> None:
        """Hides the layer of the run, or of what was chosen last, and shows it again; nothing else changes."""
        run = self.run or (self.selected[0] if self.selected is not None else None)
        if not hidden:
            self.layers.uncover()
        elif run is not None:
            self.layers.cover(run)

    def forget(self, runs: List[Run]) -> None:
        """Deletes runs with all their pictures, also on disk; what stands in a layer stays."""
        self.library.forget([run for run in runs if run is not self.run])
        self._changed()

    def forget_document(self) -> None:
        """As `forget`, of the document in front."""
        where = self.host.identity()
        self.forget([run for run in self.runs if where is not None and run.target.document == where[0]])

    def forget_all(self) -> None:
        """As `forget`, of all documents."""
        self.library.forget_waiting()
        self.forget(list(self.runs))

    def drop(self, run: Run, index: int) -> None:
        """Deletes one picture, also on disk; what stands in a layer stays."""
        if run is not self.run and run.variant(index) is not None:
            self.library.drop(run, index)
            self._changed()

    def accept_licence(self, name: str, yes: bool) -> None:
        model = self.model(name)
        if model is not None:
            self.downloads.accept(model, yes)
            self._changed()

    def download(self, name: str) -> None:
        """Fetches a model whose licence has been accepted."""
        model = self.model(name)
        if model is not None and self.connected:
            self.downloads.start(model)
            self._changed()

    def stop_download(self) -> None:
        self.downloads.stop()
        self._changed()

    def restart_engine(self) -> None:
        self.can_restart = False
        self.session.restart_engine()
        self.say(sentences.RESTARTING)


def takes_sources(model: Optional[events.Model]) -> bool:
    """Whether a model paints from pictures that it is shown; of one that is not known yet the engine will say."""
    return model is None or model.family == "exemplar"


def request(capture: Capture, settings: Settings, tag: str = "") -> JobRequest:
    """What is sent to the bridge for that place with those settings."""
    source, target = capture.source or Source(0, 0, b""), capture.target
    return JobRequest(
        target.box.width,
        target.box.height,
        pixels=capture.pixels,
        selection=capture.selection,
        model=settings.model,
        preset=settings.preset,
        seed=settings.seed,
        variants=settings.variants,
        options=_options(settings),
        tag=tag,
        painted=target.painted,
        depth=target.depth,
        linear=target.linear,
        source=source.rgba,
        source_width=source.width,
        source_height=source.height,
        share_mask=source.shares,
        pieces=tuple(map(target.inside, target.pieces)),
        parts=tuple(map(target.inside, target.parts)),
        maps=tuple(
            MapRequest(each.name, pixels, each.kind, each.weight, each.depth)
            for each, pixels in zip(capture.target.maps, capture.maps)
        ),
    )


def _options(settings: Settings) -> Dict[str, Any]:
    wrap = {"wrap": settings.area.axis} if isinstance(settings.area, Tile) else {}
    return {**settings.options, **wrap}


def _variants(settings: Settings) -> List[Variant]:
    return [Variant(index, settings.seed + index) for index in range(settings.variants)]
