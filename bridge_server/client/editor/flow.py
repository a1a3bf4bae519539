"""One RePaint from click to layer, as a state machine that knows neither a widget set nor an editor.

`Flow` is told of clicks (`start`, `branch`, `keep`, `cancel`, `choose`), of waiting events (`pump`) and of passing time
(`tick`); it speaks to the bridge through a `Session` and to the editor through the two small protocols below. What the
docker shows is in its public attributes; `listeners` are called after each change.

    idle → reading → waiting → running → idle
                         ↘ cancelling ↗
"""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import Any, Callable, Dict, Generator, Iterator, List, Optional, Tuple

from bridge_server.client import events
from bridge_server.client.session import BranchRequest, JobRequest

from .download import DOWNLOAD_FIRST, Downloads, Shown
from .history import History, note
from .model import (
    CLOSED,
    GONE,
    MAX_SEED,
    THERE,
    Capture,
    Picture,
    Refused,
    Run,
    Series,
    Settings,
    Tile,
    Variant,
    cost,
    layer_name,
)
from .painting import Pace, Painter, Work
from .words import tr

IDLE, READING, WAITING, RUNNING, CANCELLING = "idle", "reading", "waiting", "running", "cancelling"
NO_BRIDGE_CODES = ("not_installed", "cannot_start", "refused")  # trying again by itself may take for ever
PREVIEW_NAME = "RePaint preview"
HISTORY_BYTES = 256 << 20  # of pictures in memory; all of them are on disk
HOLD = 3.0  # seconds for which an engine message stays readable
CANCEL_PATIENCE = 3.0  # seconds until the docker is usable again although no answer to a cancel came

LAYER_GONE = "The preview layer is gone, so this RePaint was stopped; click RePaint to start again."
NOT_TAKEN = "Done, but the layer does not hold the picture; click the picture below to put it into a layer."
DOCUMENT_CLOSED = "The picture was closed, so its RePaint was stopped."
NO_CAPTURE = "The surroundings of this picture are no longer at hand; select the place and click RePaint again."
NO_STEP = "There is no kept step of this picture any more: run it again, then branch from it."
KEEPING = "Stopping; what there is will be kept …"
KEPT = "Stopped; what there was is kept."

__all__ = ["CLOSED", "GONE", "THERE", "Flow", "Refused", "Run", "Settings", "Variant", "request"]


class Flow:
    """The controller. host: the editor's side, such as the Krita plug-in's `KritaHost`; session: a `Session`."""

    def __init__(self, host: Any, session: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self.host = host
        self.session = session
        self.clock = clock
        self.phase = IDLE
        self.sentence = ""
        self.is_error = False
        self.engine = "starting"
        self.connected = False
        self.no_bridge = ""  # why there is no bridge and will not be one by itself, as a sentence
        self.can_restart = False
        self.models: List[events.Model] = []
        self.presets: List[events.Preset] = []
        self.seconds_left = -1.0
        self.learning = -1.0  # done part of learning, 0…1; negative: does not learn
        self.keeping = False  # the run is being stopped, and what there is will be kept
        self.runs: List[Run] = []
        self.run: Optional[Run] = None
        self.selected: Optional[Tuple[Run, int]] = None  # what was chosen last
        self.history = History()
        self.downloads = Downloads(session, clock)
        self.listeners: List[Callable[[], None]] = []
        self.ended: Callable[[Run, str], None] = lambda _run, _outcome: None
        self._reader: Optional[Iterator[Optional[Capture]]] = None
        self._painter = Painter(self._lost_layer, self._painted)
        self._pace = Pace(session.set_preview_interval)
        self._fetching: Optional[Tuple[Run, int, bool]] = None  # chosen, and its picture is on the way
        self._offered = False  # pictures of earlier times have been announced
        self._hidden: Any = None  # the layer that is hidden to compare with the original
        self._settling: Any = None  # a new layer that Krita has made the active one, or is about to
        self._settings: Optional[Settings] = None
        self._clicked = 0.0
        self._cancelled_at = 0.0
        self._count = 0
        self._hold = 0.0  # until then "Painting …" does not cover an engine message

    # ---- what the docker reads ----
    @property
    def busy(self) -> bool:
        return self.phase != IDLE

    @property
    def needs_ticks(self) -> bool:
        return self.busy or self._settling is not None

    @property
    def comparing(self) -> bool:
        """The layer is hidden just now."""
        return self._hidden is not None

    @property
    def fraction(self) -> float:
        """Done part of the running job, 0…1, in network calls."""
        if self.run is None:
            return 0.0
        if self.learning >= 0:
            return self.learning
        calls = sum(v.calls for v in self.run.variants)
        return sum(v.call for v in self.run.variants) / calls if calls else 0.0

    @property
    def history_bytes(self) -> int:
        """What all finished pictures take on disk."""
        return self.history.bytes() + sum(run.bytes for run in self.runs)

    def model(self, name: str) -> Optional[events.Model]:
        """What the engine has told of a model; None before it has, or if it does not know it."""
        return next((model for model in self.models if model.id == name), None)

    def shown_download(self, name: str) -> Shown:
        """What is to be drawn of downloads while that model is chosen."""
        return self.downloads.shown(self.model(name), self.models, self.connected)

    def find(self, number: int) -> Optional[Run]:
        return next((run for run in self.runs if run.number == number), None)

    def say(self, sentence: str, error: bool = False) -> None:
        self.sentence, self.is_error = tr(sentence), error
        self._changed()

    def _changed(self) -> None:
        for listener in list(self.listeners):
            listener()

    # ---- commands ----
    def start(self, settings: Settings) -> None:
        """Begins a run with what is selected now. Then call `step` while `has_steps`."""
        if self.busy:
            return
        if self.no_bridge:
            self.say(self.no_bridge, error=True)
            return
        model = self.model(settings.model)
        if model is not None and not model.installed:
            self.say(tr(DOWNLOAD_FIRST).format(model=tr(model.title)), error=True)
            return
        self._settings, self._clicked = settings, self.clock()
        self._reader = self.host.capture(settings)
        self.phase = READING
        self.seconds_left = -1.0
        self.say("Reading the picture …")

    @property
    def has_steps(self) -> bool:
        """Whether `step` has something to do: call it once per turn of the event loop until this is False."""
        return self._reader is not None or self._painter.busy

    def step(self) -> None:
        """Reads or paints on for some milliseconds."""
        if self._reader is not None:
            self._read_on()
        elif self._painter.busy:
            self._painter.step()

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

    def _new_run(self, run: Run) -> Run:
        self._count += 1
        run.number, run.clicked, run.created = self._count, self._clicked, time.time()
        self._pace.begin(run.target.document)
        self.run = run
        return run

    def _sent(self, run: Run) -> None:
        self.runs.append(run)
        self._note("sent")
        self.phase, self.keeping, self.learning = WAITING, False, -1.0
        self.say("Waiting for the engine …" if self.connected else "Starting the engine …")

    def more_variants(self, run: Run, number: int) -> None:
        """Appends that many with the next seeds: the same place, model and preset."""
        if self.busy or not self._bridge_there():
            return
        if run.capture is None:
            self.say(NO_CAPTURE, error=True)
            return
        own = [each for each in self.runs if each.series is run.series and each.parent is None]
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
            self.say(NO_STEP, error=True)
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
        """Relatives of a variant: other noise from the middle of its run on."""
        variant = run.variant(index)
        if variant is None or not variant.steps:
            self.say(NO_STEP, error=True)
            return
        middle = variant.steps[len(variant.steps) // 2]
        self.branch(run, index, middle.call, "continue", number)

    def look(self, run: Run, index: int, call: int) -> None:
        """Asks for the picture of a kept step, for the docker."""
        variant = run.variant(index)
        if variant is not None and call not in variant.views:
            self.session.look(run.job, index, call)

    def price(self, run: Run, step: events.Step, kind: str, number: int) -> Tuple[int, float]:
        """Network calls and seconds (negative: not known yet) of that many branches."""
        calls = cost(step, kind) * number
        pace = run.pace or next((each.pace for each in reversed(self.runs) if each.pace), 0.0)
        return calls, calls * pace if pace else -1.0

    def keep(self, index: Optional[int] = None) -> None:
        """Stops the run and keeps the present estimate of that variant, or of all."""
        if self.phase == WAITING or self.phase == READING:
            self.cancel()
        elif self.phase == RUNNING and self.run is not None and not self.keeping:
            self.keeping = True
            self.session.keep(self.run.job, [] if index is None else [index])
            self.say(KEEPING)

    def _bridge_there(self) -> bool:
        if self.no_bridge:
            self.say(self.no_bridge, error=True)
        return not self.no_bridge

    def cancel(self) -> None:
        """Stops the run; its layer is emptied and removed at once, finished variants stay to be picked."""
        if self.phase == READING:
            self._reader, self.phase = None, IDLE
            self.say("Cancelled.")
        elif self.phase in (WAITING, RUNNING) and self.run is not None:
            self._stop("Cancelling …")
            self._discard_layer(self.run)

    def _stop(self, sentence: str, error: bool = False) -> None:
        assert self.run is not None
        self.session.cancel(self.run.job)
        self.phase, self._cancelled_at = CANCELLING, self.clock()
        self.say(sentence, error)

    def choose(self, run: Run, index: int, apply: bool = False) -> None:
        """Puts a variant into its series' layer; if that layer is gone, into a new one.

        apply: and leaves the layer to the artist: what is chosen next comes into a new one.
        """
        variant = run.variant(index)
        if variant is None:
            return
        self.selected = (run, index)
        if run is self.run and self.phase in (WAITING, RUNNING):
            run.shown = index
            self._painter.show(run, variant)
        elif variant.finished and variant.picture is None:
            self._fetching = (run, index, apply)
            self.session.fetch(run.job)
        elif variant.finished and not self.busy:
            series = run.series
            try:
                if series.layer is None or series.layer.state() != THERE:
                    name = layer_name(run, variant)
                    series.layer = self._settling = self.host.add_layer(run.target, name, above_active=True)
                    series.painted = (-1, -1, -1)
                run.shown = index
                self._painter.show(run, variant, then=lambda: self._promote(run, variant, apply))
            except Refused as refusal:
                self.say(refusal.sentence, error=True)
        self._changed()

    def compare(self, hidden: bool) -> None:
        """Hides the layer of what was chosen last, or of the run, and shows it again; nothing else changes."""
        if hidden and self._hidden is None:
            run = self.run or (self.selected[0] if self.selected is not None else None)
            if run is not None and run.layer is not None and run.layer.state() == THERE:
                self._hidden = run.layer
                self._hidden.set_visible(False)
        elif not hidden and self._hidden is not None:
            layer, self._hidden = self._hidden, None
            layer.set_visible(True)

    def document_changed(self) -> None:
        """Another document is in front: its pictures of earlier times are fetched."""
        where = self.host.identity() if self.history.waiting else None
        if where is None:
            return
        document, key, path = where
        found = self.history.take(document, key, path)
        by_job = {run.job: run for run in self.runs}
        for run in found:
            self._count += 1
            run.number = self._count
            parent = self.history.parents.pop(run.job, None)
            trunk = by_job.get(parent[0]) if parent else None
            if trunk is not None:
                run.parent, run.series = (trunk.number, int(parent[1]), int(parent[2])), trunk.series
            by_job[run.job] = run
            self.session.resume(run.job)
        self.runs = found + self.runs
        self._changed()

    def forget(self, runs: List[Run]) -> None:
        """Deletes runs with all their pictures, also on disk; what stands in a layer stays."""
        for run in runs:
            if run is not self.run:
                self.session.release(run.job)
                self.runs.remove(run)
        if self.selected is not None and self.selected[0] in runs:
            self.selected = None
        self._changed()

    def drop(self, run: Run, index: int) -> None:
        """Deletes one picture, also on disk; what stands in a layer stays."""
        if run is self.run or run.variant(index) is None:
            return
        if len(run.variants) == 1:
            self.forget([run])
            return
        self.session.drop(run.job, index)
        run.variants = [variant for variant in run.variants if variant.index != index]
        if self.selected == (run, index):
            self.selected = None
        self._changed()

    def forget_all(self) -> None:
        """As `forget`, and the pictures of all other documents, too."""
        for job in self.history.forget():
            self.session.discard(job)
        self.forget([run for run in self.runs if run is not self.run])

    def give_up(self, sentence: str) -> None:
        """Ends a run after an unforeseen error in the plug-in itself; the editor stays usable."""
        run, self._reader = self.run, None
        self._painter.stop()
        if run is not None:
            self.session.cancel(run.job)
            run.series.layer = None
        self._end("broken", sentence, error=True)

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
        self.say("Starting the engine again …")

    # ---- what happens by itself ----
    def pump(self) -> None:
        """Takes all waiting events from the session. Call on the GUI thread whenever the session notified."""
        for event in self.session.poll():
            name = type(event).__name__.lower()
            job = getattr(event, "job", None)
            if job is None or (self.run is not None and job == self.run.job) or name == "recovered":
                handler = getattr(self, "_on_" + name, None)
                if handler is not None:
                    handler(event)
            else:
                self._on_background(event)
        if self._offered:
            self._offered = False
            self.document_changed()
        self._changed()

    def tick(self) -> None:
        """Looks after the layer and the patience limits; call about ten times a second while `needs_ticks`."""
        if self._settling is not None and self._settling.give_back_active():
            self._settling = None
        run = self.run
        if run is None or not self.busy:
            return
        if run.layer is not None and self.phase in (WAITING, RUNNING):
            state = run.layer.state()
            if state != THERE:
                self._lost_layer(run, state)
        if self.phase == CANCELLING and self.clock() - self._cancelled_at > CANCEL_PATIENCE:
            self._end("cancelled", self.sentence if self.is_error else "Cancelled.", self.is_error)

    def _lost_layer(self, run: Run, state: str) -> None:
        """The preview layer was undone or deleted (it is emptied: a redo must not bring a half-made picture back), or
        the document was closed."""
        self._painter.stop()
        if state == GONE and run is self.run:
            run.layer.clear()
        run.series.layer = None
        if run is self.run and self.phase in (WAITING, RUNNING):
            self._stop(LAYER_GONE if state == GONE else DOCUMENT_CLOSED, error=True)

    # ---- events, one method each ----
    def _on_connected(self, event: events.Connected) -> None:
        news = not self.connected or event.engine != self.engine or not self.sentence
        self.connected, self.engine = True, event.engine
        if self.sentence and self.sentence == self.no_bridge:
            self.sentence, self.is_error = "", False
        self.no_bridge = ""
        if event.models:
            self.models = list(event.models)
        if event.presets:
            self.presets = list(event.presets)
        self.can_restart = event.engine == "down"
        if news and self.phase == IDLE and not self.is_error:
            self.sentence = {"ready": "Ready.", "starting": "The engine is starting …"}.get(event.engine, self.sentence)

    def _on_downloading(self, event: events.Downloading) -> None:
        self.downloads.heard(event)

    def _on_downloaded(self, event: events.Downloaded) -> None:
        sentence, error = self.downloads.ended(event, self.models)
        if self.phase == IDLE:
            self.say(sentence, error)

    def _on_disconnected(self, event: events.Disconnected) -> None:
        self.connected = False
        self.downloads.lost()
        self.no_bridge = event.sentence if event.code in NO_BRIDGE_CODES else ""
        self.say(event.sentence, error=True)

    def _on_enginedown(self, event: events.EngineDown) -> None:
        self.engine = "starting" if event.will_retry else "down"
        self.can_restart = not event.will_retry
        self._hold = self.clock() + HOLD
        self.say(event.sentence, error=True)

    def _on_accepted(self, event: events.Accepted) -> None:
        assert self.run is not None
        run = self.run
        if self.phase != WAITING and self.phase != RUNNING:
            return
        for variant in run.variants:
            variant.calls = event.calls
        if "accepted" not in run.timings:
            self._note("accepted")
            try:
                if run.layer is not None and run.layer.state() == THERE:
                    run.layer.rename(PREVIEW_NAME)  # the layer of what this run branched from
                else:
                    run.series.layer = self._settling = self.host.add_layer(run.target, PREVIEW_NAME)
                    run.series.shown = None
            except Refused as refusal:
                self._stop(refusal.sentence, error=True)
                return
        self.phase = RUNNING
        if event.queue_position > 0:
            self.say(tr("Waiting: {number} before this one.").format(number=event.queue_position))
        elif self.engine == "starting":
            self.say("The engine is starting …")
        else:
            self.say("Preparing …")

    def _on_progress(self, event: events.Progress) -> None:
        assert self.run is not None
        if self.phase != RUNNING:
            return
        variant = self.run.variants[event.variant]
        variant.call, variant.calls = event.call, event.calls
        self.seconds_left, self.learning = event.seconds_left, -1.0
        if self.clock() >= self._hold and not self.keeping:
            self.sentence, self.is_error = tr("Painting …"), False

    def _on_learning(self, event: events.Learning) -> None:
        if self.phase == RUNNING:
            self.learning, self.seconds_left = event.fraction, event.seconds_left
            self.sentence, self.is_error = tr("Learning this picture …"), False

    def _on_note(self, event: events.Note) -> None:
        if self.run is not None and self.phase == RUNNING:
            self.run.note = event.sentence
            self._hold = self.clock() + HOLD
            self.say(event.sentence)

    def _on_preview(self, event: events.Preview) -> None:
        run = self.run
        assert run is not None
        if self.phase != RUNNING:
            return
        variant = run.variants[event.variant]
        variant.picture, variant.version = Picture(event.width, event.height, event.rgba), variant.version + 1
        if event.variant == run.shown:
            self._painter.show(run, variant)

    def _on_result(self, event: events.Result) -> None:
        run = self.run
        assert run is not None
        variant = self._take_result(run, event)
        if self.phase == RUNNING and event.variant == run.shown:
            self._painter.show(run, variant)

    def _take_result(self, run: Run, event: events.Result) -> Variant:
        variant = run.variant(event.variant)
        assert variant is not None
        variant.picture, variant.version = Picture(event.width, event.height, event.rgba), variant.version + 1
        variant.finished, variant.seed, variant.unfinished = True, event.seed, event.unfinished
        variant.calls = max(variant.calls, event.calls)
        variant.call = event.calls if event.unfinished else variant.calls
        return variant

    def _on_steps(self, event: events.Steps) -> None:
        assert self.run is not None
        self._take_steps(self.run, event)

    def _take_steps(self, run: Run, event: Any) -> None:
        variant = run.variant(event.variant)
        if variant is None:
            return
        if isinstance(event, events.Steps):
            variant.steps = event.steps
            variant.views = {
                call: view for call, view in variant.views.items() if any(s.call == call for s in event.steps)
            }
        else:
            variant.views[event.call] = Picture(event.width, event.height, event.rgba)

    _on_stepview = _on_steps

    def _on_recovered(self, event: events.Recovered) -> None:
        if self.history.add(event):
            self._offered = True  # when all of them are known: a branch may come before its parent
        elif not event.results:
            self.session.discard(event.job)

    def _on_background(self, event: Any) -> None:
        """News of a run that is not the present one: results of earlier times, steps, pictures of steps."""
        run = next((each for each in self.runs if each.job == event.job), None)
        if run is None:
            return
        if isinstance(event, (events.Steps, events.StepView)):
            self._take_steps(run, event)
        elif isinstance(event, events.Result):
            self._take_result(run, event)
            if self._fetching is not None and self._fetching[:2] == (run, event.variant):
                apply, self._fetching = self._fetching[2], None
                self.choose(run, event.variant, apply)
        elif isinstance(event, events.TERMINAL):
            run.variants = [variant for variant in run.variants if variant.finished]
            if isinstance(event, events.Failed) and event.code == "lost":
                run.variants = [variant for variant in run.variants if variant.picture is not None]
                self.say(event.sentence, error=True)
            self._trim()

    def _on_done(self, event: events.Done) -> None:
        run = self.run
        assert run is not None
        if self.phase != RUNNING:
            self._end("cancelled", self.sentence if self.is_error else "Cancelled.", self.is_error)
            return
        self._note("done")
        calls = sum(variant.call for variant in run.variants)
        run.pace = event.seconds / calls if calls else 0.0
        variant = run.variants[run.shown]
        if not variant.finished:
            variant = next((each for each in run.variants if each.finished), variant)
        run.shown = variant.index
        self._painter.show(run, variant, then=lambda: self._complete(run, variant, event))

    def _complete(self, run: Run, variant: Variant, event: events.Done) -> Work:
        taken = yield from self._promoted(run, variant)
        if not taken:
            self._end("done", NOT_TAKEN, error=True)
        elif self.keeping:
            self._end("kept", KEPT)
        else:
            done = tr("Done in {seconds} s.").format(seconds=f"{event.seconds:.0f}")
            self._end("done", f"{done} {run.note}".strip())

    def _promote(self, run: Run, variant: Variant, apply: bool) -> Work:
        taken = yield from self._promoted(run, variant)
        if not taken:
            self.say(NOT_TAKEN, error=True)
        elif apply:
            self.compare(False)
            run.series.layer = None
            self.say(tr("Applied: {layer}.").format(layer=layer_name(run, variant)))
        else:
            self._changed()

    def _promoted(self, run: Run, variant: Variant) -> Generator[None, None, bool]:
        """Gives the layer its lasting name and reads the pixels back; whether Krita took them."""
        yield  # Krita hears of a new layer one turn of the event loop later, and must have before its name changes
        if run.layer is None or variant.picture is None or run.layer.state() != THERE:
            return False
        run.layer.rename(layer_name(run, variant))
        run.series.shown = (run.number, variant.index)
        self.selected = (run, variant.index)
        return (yield from run.layer.holds(variant.picture))

    def _on_failed(self, event: events.Failed) -> None:
        run = self.run
        assert run is not None
        finished = [variant for variant in run.variants if variant.finished]
        outcome, sentence = "failed: " + event.code, event.sentence
        if self.phase != RUNNING or not finished:
            self._discard_layer(run)
            self._end(outcome, sentence, error=True)
            return
        variant = run.variants[run.shown] if run.variants[run.shown].finished else finished[0]
        run.shown = variant.index

        def keep() -> Work:
            yield from self._promoted(run, variant)
            self._end(outcome, sentence, error=True)

        self._painter.show(run, variant, then=keep)

    def _on_cancelled(self, event: events.Cancelled) -> None:
        del event
        assert self.run is not None
        self._discard_layer(self.run)
        self._end("cancelled", self.sentence if self.is_error else "Cancelled.", self.is_error)

    # ---- layer ----
    def _painted(self, run: Run, seconds: float) -> None:
        if run is self.run:
            self._note("first_preview")
            self._pace.refreshed(seconds)

    def _discard_layer(self, run: Run) -> None:
        """Takes the layer away; one that held an earlier variant of the series gets that back instead."""
        self._painter.stop()
        self.compare(False)
        layer, earlier = run.layer, run.series.shown
        if layer is None or layer.state() != THERE:
            run.series.layer = None
            return
        before = self.find(earlier[0]) if earlier is not None else None
        variant = before.variant(earlier[1]) if before is not None and earlier is not None else None
        if before is not None and variant is not None and variant.picture is not None:
            shown, wanted = before, variant
            self._painter.show(shown, wanted, then=lambda: self._promote(shown, wanted, False))
            return
        run.series.layer = None
        layer.clear()
        layer.remove()
        self.host.withdraw(run.target)

    # ---- end ----
    def _end(self, outcome: str, sentence: str, error: bool = False) -> None:
        run, self.run = self.run, None
        self.phase, self.seconds_left, self.learning, self.keeping = IDLE, -1.0, -1.0, False
        if run is not None:
            run.timings["ended"] = self.clock() - run.clicked
            run.variants = [variant for variant in run.variants if variant.finished]
            self._trim()
            self.ended(run, outcome)
        self.say(sentence, error)

    def _trim(self) -> None:
        """Drops runs without a finished picture, and from memory the oldest pictures beyond the limit."""
        self.runs = [run for run in self.runs if run.variants or run is self.run]
        size = 0
        for run in reversed(self.runs):
            for variant in run.variants:
                size += len(variant.picture.rgba) if variant.picture is not None else 0
            size += len(run.capture.pixels) if run.capture is not None else 0
            chosen = self.selected is not None and self.selected[0] is run
            if size > HISTORY_BYTES and not chosen and run is not self.runs[-1] and run is not self.run:
                run.capture = None
                for variant in run.variants:
                    if run.series.shown != (run.number, variant.index):
                        variant.picture = None

    def _note(self, name: str) -> None:
        if self.run is not None:
            self.run.timings.setdefault(name, self.clock() - self.run.clicked)


def request(capture: Capture, settings: Settings, tag: str = "") -> JobRequest:
    """What is sent to the bridge for that place with those settings."""
    return JobRequest(
        capture.target.box.width,
        capture.target.box.height,
        pixels=capture.pixels,
        selection=capture.selection,
        model=settings.model,
        preset=settings.preset,
        seed=settings.seed,
        variants=settings.variants,
        options=_options(settings),
        tag=tag,
    )


def _options(settings: Settings) -> Dict[str, Any]:
    wrap = {"wrap": settings.area.axis} if isinstance(settings.area, Tile) else {}
    return {**settings.options, **wrap}


def _variants(settings: Settings) -> List[Variant]:
    return [Variant(index, settings.seed + index) for index in range(settings.variants)]
