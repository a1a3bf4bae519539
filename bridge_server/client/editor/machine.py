"""The run machine: what becomes of a run by itself, with the events that come and the time that passes.

    idle → reading → waiting → running → idle
                         ↘ cancelling ↗

`flow.Flow` adds what the artist does. Pictures are in `library`, what stands in the editor's layers is looked after by
`layers`.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from bridge_server.client import events
from bridge_server.client.session import Session

from . import sentences
from .download import Downloads, Shown
from .figures import best, ring
from .host import Host
from .layers import Layers
from .library import Library
from .model import GONE, Capture, Picture, Refused, Run, Settings, Variant
from .painting import PreviewRate, Work
from .words import ntr, tr

IDLE, READING, WAITING, RUNNING, CANCELLING = "idle", "reading", "waiting", "running", "cancelling"
NO_BRIDGE_CODES = ("not_installed", "cannot_start", "refused", "protocol")  # trying again by itself may take for ever
HOLD = 3.0  # seconds for which an engine message stays readable
CANCEL_PATIENCE = 3.0  # seconds until the window is usable again although no answer to a cancel came


class Machine:
    """One run at a time, from the moment it is sent to its end. ``listeners`` are called after each change."""

    def __init__(self, host: Host, session: Session, clock: Callable[[], float] = time.monotonic) -> None:
        self.host, self.session, self.clock = host, session, clock
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
        self.run: Optional[Run] = None
        self.library = Library(session)
        self.layers = Layers(host, self.library, self._lost_layer, self._painted, self.say)
        self.downloads = Downloads(session, clock)
        self.listeners: List[Callable[[], None]] = []
        self.ended: Callable[[Run, str], None] = lambda _run, _outcome: None
        self._reader: Optional[Iterator[Optional[Capture]]] = None
        self._rate = PreviewRate(session.set_preview_interval)
        self._fetching: Optional[Tuple[Run, int, bool]] = None  # chosen, and its picture is on the way
        self._offered = False  # pictures of earlier times have been announced
        self._settings: Optional[Settings] = None
        self._clicked = 0.0
        self._cancelled_at = 0.0
        self._hold = 0.0  # until then sentences.PAINTING does not cover an engine message

    # ---- what a window reads ----
    @property
    def busy(self) -> bool:
        return self.phase != IDLE

    @property
    def runs(self) -> List[Run]:
        return self.library.runs

    @property
    def selected(self) -> Optional[Tuple[Run, int]]:
        return self.library.selected

    @property
    def comparing(self) -> bool:
        return self.layers.comparing

    @property
    def fraction(self) -> float:
        """Done part of the running job, 0…1, in network calls."""
        if self.run is None:
            return 0.0
        if self.learning >= 0:
            return self.learning
        calls = sum(v.calls for v in self.run.variants)
        return sum(v.call for v in self.run.variants) / calls if calls else 0.0

    def model(self, name: str) -> Optional[events.Model]:
        """What the engine has told of a model; None before it has, or if it does not know it."""
        return next((model for model in self.models if model.id == name), None)

    def shown_download(self, name: str) -> Shown:
        """What is to be drawn of downloads while that model is chosen."""
        return self.downloads.shown(self.model(name), self.models, self.connected)

    def say(self, sentence: str, error: bool = False) -> None:
        self.sentence, self.is_error = tr(sentence), error
        self._changed()

    def _changed(self) -> None:
        for listener in list(self.listeners):
            listener()

    def choose(self, run: Run, index: int, apply: bool = False) -> None:
        """Shows a variant in its series' layer; if that layer is gone, in a new one.

        apply: and leaves the layer to the artist: what is chosen next comes into a new one.
        """
        variant = run.variant(index)
        if variant is None:
            return
        self.library.selected = (run, index)
        if run is self.run and self.phase in (WAITING, RUNNING):
            run.shown = index
            self.layers.painter.show(run, variant)
        elif variant.finished and variant.picture is None:
            self._fetching = (run, index, apply)
            self.session.fetch(run.job)
        elif variant.finished and not self.busy:
            try:
                self.layers.put(run, variant, apply)
            except Refused as refusal:
                self.say(refusal.sentence, error=True)
        self._changed()

    def document_changed(self) -> None:
        """Another document is in front: its pictures of earlier times are fetched."""
        where = self.host.identity() if self.library.history.waiting else None
        if where is not None:
            self.library.recall(where)
            self._changed()

    def _new_run(self, run: Run) -> Run:
        self.run = self.library.numbered(run)
        run.clicked, run.made = self._clicked, time.time()
        self._rate.begin(run.target.document)
        return run

    def _sent(self, run: Run) -> None:
        self.runs.append(run)
        self._note("sent")
        self.phase, self.keeping, self.learning = WAITING, False, -1.0
        self.say(sentences.WAITING_FOR_ENGINE if self.connected else sentences.STARTING_ENGINE)

    def _stop(self, sentence: str, error: bool = False) -> None:
        assert self.run is not None
        self.session.cancel(self.run.job)
        self.phase, self._cancelled_at = CANCELLING, self.clock()
        self.say(sentence, error)

    def give_up(self, sentence: str) -> None:
        """Ends a run after an unforeseen error in the plug-in itself; the editor stays usable."""
        run, self._reader = self.run, None
        self.layers.painter.stop()
        if run is not None:
            self.session.cancel(run.job)
            run.series.layer = None
        self._end("broken", sentence, error=True)

    # ---- what happens by itself ----
    def pump(self) -> None:
        """Takes all waiting events from the session. Call on the GUI thread whenever the session notified."""
        for event in self.session.poll():
            handle = ABOUT_BRIDGE.get(type(event))
            if handle is None:
                job = event.job  # type: ignore[union-attr]
                mine = self.run is not None and job == self.run.job
                handle = ABOUT_RUN[type(event)] if mine else Machine._on_other_run
            handle(self, event)
        if self._offered:
            self._offered = False
            self.document_changed()
        self._changed()

    def tick(self) -> None:
        """Looks after the layer and the patience limits; call about ten times a second while `busy`."""
        if self.run is not None and self.phase in (WAITING, RUNNING):
            self.layers.watch(self.run)
        if self.phase == CANCELLING and self.clock() - self._cancelled_at > CANCEL_PATIENCE:
            self._end_cancelled()

    def _lost_layer(self, run: Run, state: str) -> None:
        """An undone layer is emptied: a redo must not bring a half-made picture back."""
        if run is not self.run:
            return
        if state == GONE and run.layer is not None:
            run.layer.clear()
        if self.phase in (WAITING, RUNNING):
            self._stop(sentences.LAYER_GONE if state == GONE else sentences.DOCUMENT_CLOSED, error=True)

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
            known = {"ready": sentences.READY, "starting": sentences.ENGINE_STARTS}
            self.sentence = tr(known[event.engine]) if event.engine in known else self.sentence

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

    def _on_engine_down(self, event: events.EngineDown) -> None:
        self.engine = "starting" if event.will_retry else "down"
        self.can_restart = not event.will_retry
        self._hold = self.clock() + HOLD
        self.say(event.sentence, error=True)

    def _on_notice(self, event: events.Notice) -> None:
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
                self.layers.prepare(run)
            except Refused as refusal:
                self._stop(refusal.sentence, error=True)
                return
        self.phase = RUNNING
        if event.queue_position > 0:
            self.say(ntr(sentences.QUEUED, event.queue_position).format(number=event.queue_position))
        elif self.engine == "starting":
            self.say(sentences.ENGINE_STARTS)
        else:
            self.say(sentences.PREPARING)

    def _on_progress(self, event: events.Progress) -> None:
        assert self.run is not None
        if self.phase != RUNNING:
            return
        variant = self.run.variants[event.variant]
        variant.call, variant.calls = event.call, event.calls
        self.seconds_left, self.learning = event.seconds_left, -1.0
        if self.clock() >= self._hold and not self.keeping:
            self.sentence, self.is_error = tr(sentences.PAINTING), False

    def _on_learning(self, event: events.Learning) -> None:
        if self.phase == RUNNING:
            self.learning, self.seconds_left = event.fraction, event.seconds_left
            self.sentence, self.is_error = tr(sentences.LEARNING), False

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
        variant.picture, variant.version = Picture.of(event), variant.version + 1
        if event.variant == run.shown:
            self.layers.painter.show(run, variant)

    def _on_result(self, event: events.Result) -> None:
        run = self.run
        assert run is not None
        variant = self.library.take_result(run, event)
        if self.phase == RUNNING and event.variant == run.shown:
            self.layers.painter.show(run, variant)

    def _on_steps(self, event: Any) -> None:
        assert self.run is not None
        self.library.take_steps(self.run, event)

    def _on_recovered(self, event: events.Recovered) -> None:
        if self.library.offer(event):
            self._offered = True  # when all of them are known: a branch may come before its parent

    def _on_other_run(self, event: Any) -> None:
        """News of a run that is not the present one: pictures of earlier times, steps, pictures of steps."""
        run = self.library.of_job(event.job)
        if run is None:
            return
        if isinstance(event, (events.Steps, events.StepView)):
            self.library.take_steps(run, event)
        elif isinstance(event, events.Result):
            self.library.take_result(run, event)
            if self._fetching is not None and self._fetching[:2] == (run, event.variant):
                apply, self._fetching = self._fetching[2], None
                self.choose(run, event.variant, apply)
        elif isinstance(event, events.TERMINAL):
            self.library.take_end(run, event)
            if isinstance(event, events.Failed) and event.code == "lost":
                self.say(event.sentence, error=True)
            self.library.trim(self.run)

    def _on_done(self, event: events.Done) -> None:
        run = self.run
        assert run is not None
        if self.phase != RUNNING:
            self._end_cancelled()
            return
        self._note("done")
        calls = sum(variant.call for variant in run.variants)
        run.call_seconds = event.seconds / calls if calls else 0.0
        variant = run.variants[run.shown]
        picked = self.library.selected is not None and self.library.selected[0] is run
        if not (picked and variant.finished):
            variant = best(run.variants) or next((each for each in run.variants if each.finished), variant)
        run.shown = variant.index
        self.layers.painter.show(run, variant, then=lambda: self._complete(run, variant, event))

    def _complete(self, run: Run, variant: Variant, event: events.Done) -> Work:
        taken = yield from self.layers.promote(run, variant)
        if not taken:
            self._end("done", sentences.NOT_TAKEN, error=True)
        elif self.keeping:
            self._end("kept", sentences.KEPT)
        else:
            done = tr(sentences.DONE).format(seconds=f"{event.seconds:.0f}")
            self._end("done", " ".join(filter(None, (done, ring(variant.figures), run.note))))

    def _on_failed(self, event: events.Failed) -> None:
        run = self.run
        assert run is not None
        finished = [variant for variant in run.variants if variant.finished]
        outcome, sentence = "failed: " + event.code, event.sentence
        if self.phase != RUNNING or not finished:
            self.layers.discard(run)
            self._end(outcome, sentence, error=True)
            return
        variant = run.variants[run.shown] if run.variants[run.shown].finished else finished[0]
        run.shown = variant.index

        def keep() -> Work:
            yield from self.layers.promote(run, variant)
            self._end(outcome, sentence, error=True)

        self.layers.painter.show(run, variant, then=keep)

    def _on_cancelled(self, _event: events.Cancelled) -> None:
        assert self.run is not None
        self.layers.discard(self.run)
        self._end_cancelled()

    def _painted(self, run: Run, seconds: float) -> None:
        if run is self.run:
            self._note("first_preview")
            self._rate.refreshed(seconds)

    # ---- end ----
    def _end_cancelled(self) -> None:
        self._end("cancelled", self.sentence if self.is_error else sentences.CANCELLED, self.is_error)

    def _end(self, outcome: str, sentence: str, error: bool = False) -> None:
        run, self.run = self.run, None
        self.phase, self.seconds_left, self.learning, self.keeping = IDLE, -1.0, -1.0, False
        if run is not None:
            run.timings["ended"] = self.clock() - run.clicked
            run.variants = [variant for variant in run.variants if variant.finished]
            self.library.trim(None)
            self.ended(run, outcome)
        self.say(sentence, error)

    def _note(self, name: str) -> None:
        if self.run is not None:
            self.run.timings.setdefault(name, self.clock() - self.run.clicked)


ABOUT_BRIDGE: Dict[type, Callable[[Machine, Any], None]] = {
    events.Connected: Machine._on_connected,
    events.Disconnected: Machine._on_disconnected,
    events.EngineDown: Machine._on_engine_down,
    events.Notice: Machine._on_notice,
    events.Downloading: Machine._on_downloading,
    events.Downloaded: Machine._on_downloaded,
    events.Recovered: Machine._on_recovered,
}
ABOUT_RUN: Dict[type, Callable[[Machine, Any], None]] = {
    events.Accepted: Machine._on_accepted,
    events.Learning: Machine._on_learning,
    events.Note: Machine._on_note,
    events.Progress: Machine._on_progress,
    events.Preview: Machine._on_preview,
    events.Result: Machine._on_result,
    events.Steps: Machine._on_steps,
    events.StepView: Machine._on_steps,
    events.Done: Machine._on_done,
    events.Failed: Machine._on_failed,
    events.Cancelled: Machine._on_cancelled,
}
