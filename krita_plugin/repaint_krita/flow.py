"""One RePaint from click to layer, as a state machine that knows neither Qt nor Krita.

`Flow` is told of clicks (`start`, `cancel`, `choose`), of waiting events (`pump`) and of passing time (`tick`); it
speaks to the bridge through a `Session` and to the editor through the two small protocols below. What the docker shows
is in its public attributes; `listeners` are called after each change.

    idle → reading → waiting → running → idle
                         ↘ cancelling ↗
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Generator, Iterator, List, Optional, Tuple

from bridge_server.client import events
from bridge_server.client.geometry import Box
from bridge_server.client.session import JobRequest

IDLE, READING, WAITING, RUNNING, CANCELLING = "idle", "reading", "waiting", "running", "cancelling"
THERE, GONE, CLOSED = "there", "gone", "closed"  # what `Layer.state` answers
NO_BRIDGE_CODES = ("not_installed", "cannot_start", "refused")  # trying again by itself may take for ever
PREVIEW_NAME = "RePaint preview"
HISTORY_BYTES = 256 << 20
HOLD = 3.0  # seconds for which an engine message stays readable
CANCEL_PATIENCE = 3.0  # seconds until the docker is usable again although no answer to a cancel came
REFRESH_SHARE = 0.1  # at most this part of the time goes into the host's refreshing of previews
FASTEST_PREVIEWS = 0.1  # seconds between two previews at best

LAYER_GONE = "The preview layer is gone, so this RePaint was stopped; click RePaint to start again."
NOT_TAKEN = "Done, but the layer does not hold the picture; click the picture below to put it into a layer."
DOCUMENT_CLOSED = "The picture was closed, so its RePaint was stopped."


class Refused(Exception):
    """The editor's side cannot do what was asked; ``sentence`` says why and what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True)
class Target:
    """Where a run belongs: fixed at the click and never asked of the editor again.

    ``box``: what is sent, canvas pixels. ``bounds``: the selected part's bounding box, canvas pixels, inside ``box``.
    """

    document: str
    active: str
    box: Box
    bounds: Box
    plain: bool = True  # the document itself is 8-bit sRGB RGBA


@dataclass(frozen=True)
class Capture:
    """What is sent: ``pixels`` RGBA of the box (4 bytes each), ``selection`` 1 byte each, 255 = repaint."""

    target: Target
    pixels: bytes
    selection: bytes


@dataclass(frozen=True)
class Settings:
    """The docker's choices. ``source``: "visible" (what is seen) or "layer" (the active layer)."""

    model: str
    preset: str
    seed: int
    variants: int = 1
    source: str = "visible"


@dataclass(frozen=True)
class Picture:
    """RGBA pixels of the whole box: straight alpha, A = selection."""

    width: int
    height: int
    rgba: bytes


@dataclass
class Variant:
    """One of a run's pictures; ``version`` grows whenever ``picture`` changes."""

    index: int
    seed: int
    call: int = 0
    calls: int = 0
    picture: Optional[Picture] = None
    finished: bool = False
    version: int = 0
    seconds: float = 0.0


@dataclass
class Run:
    """One click: its settings, its place and its variants."""

    number: int
    settings: Settings
    target: Target
    capture: Optional[Capture]
    variants: List[Variant]
    job: str = ""
    layer: Any = None
    shown: int = 0  # the variant that stands in the layer
    painted: Tuple[int, int] = (-1, -1)  # index and version of the variant whose pixels are wholly in the layer
    clicked: float = 0.0
    timings: Dict[str, float] = field(default_factory=dict)  # seconds after the click


class Flow:
    """The controller. host: see `repaint_krita.document.KritaHost`; session: `bridge_server.client.session.Session`."""

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
        self.runs: List[Run] = []
        self.run: Optional[Run] = None
        self.listeners: List[Callable[[], None]] = []
        self.ended: Callable[[Run, str], None] = lambda _run, _outcome: None
        self._reader: Optional[Iterator[Optional[Capture]]] = None
        self._painter: Optional[Generator[None, None, None]] = None
        self._wanted: Optional[Tuple[Run, Variant]] = None  # what the painter is to take up next
        self._then: Optional[Callable[[], Generator[None, None, None]]] = None  # after the last picture
        self._settling: Any = None  # a new layer that Krita has made the active one, or is about to
        self._settings: Optional[Settings] = None
        self._clicked = 0.0
        self._cancelled_at = 0.0
        self._count = 0
        self._interval = FASTEST_PREVIEWS
        self._hold = 0.0  # until then "Painting …" does not cover an engine message

    # ---- what the docker reads ----
    @property
    def busy(self) -> bool:
        return self.phase != IDLE

    @property
    def needs_ticks(self) -> bool:
        return self.busy or self._settling is not None

    @property
    def fraction(self) -> float:
        """Done part of the running job, 0…1, in network calls."""
        if self.run is None:
            return 0.0
        calls = sum(v.calls for v in self.run.variants)
        return sum(v.call for v in self.run.variants) / calls if calls else 0.0

    def say(self, sentence: str, error: bool = False) -> None:
        self.sentence, self.is_error = sentence, error
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
        self._settings, self._clicked = settings, self.clock()
        self._reader = self.host.capture(settings.source)
        self.phase = READING
        self.seconds_left = -1.0
        self.say("Reading the picture …")

    @property
    def has_steps(self) -> bool:
        """Whether `step` has something to do: call it once per turn of the event loop until this is False."""
        return self._reader is not None or self._painter is not None

    def step(self) -> None:
        """Reads or paints on for some milliseconds."""
        if self._reader is not None:
            self._read_on()
        elif self._painter is not None:
            self._paint_on()

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

    def _submit(self, capture: Capture, settings: Settings) -> None:
        self._count += 1
        self.run = run = Run(
            self._count,
            settings,
            capture.target,
            capture,
            [Variant(index, settings.seed + index) for index in range(settings.variants)],
            clicked=self._clicked,
        )
        run.job = self.session.submit(
            JobRequest(
                capture.target.box.width,
                capture.target.box.height,
                pixels=capture.pixels,
                selection=capture.selection,
                model=settings.model,
                preset=settings.preset,
                seed=settings.seed,
                variants=settings.variants,
            )
        )
        self.runs.append(run)
        self._note("sent")
        self.phase = WAITING
        self.say("Waiting for the engine …" if self.connected else "Starting the engine …")

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

    def choose(self, run: Run, index: int) -> None:
        """Puts a variant into its run's layer; if that layer is gone, into a new one."""
        variant = next(each for each in run.variants if each.index == index)
        if run is self.run and self.phase in (WAITING, RUNNING):
            run.shown = index
            self._show(run, variant)
        elif variant.finished and not self.busy:
            name = f"RePaint {run.settings.model} · seed {variant.seed}"
            try:
                if run.layer is None or run.layer.state() != THERE:
                    run.layer = self._settling = self.host.add_layer(run.target, name, above_active=True)
                    run.painted = (-1, -1)
                run.shown = index
                self._show(run, variant, then=lambda: self._promote(run, variant))
            except Refused as refusal:
                self.say(refusal.sentence, error=True)
        self._changed()

    def give_up(self, sentence: str) -> None:
        """Ends a run after an unforeseen error in the plug-in itself; the editor stays usable."""
        run, self._reader = self.run, None
        self._stop_painting()
        if run is not None:
            self.session.cancel(run.job)
            run.layer = None
        self._end("broken", sentence, error=True)

    def restart_engine(self) -> None:
        self.can_restart = False
        self.session.restart_engine()
        self.say("Starting the engine again …")

    # ---- what happens by itself ----
    def pump(self) -> None:
        """Takes all waiting events from the session. Call on the GUI thread whenever the session notified."""
        for event in self.session.poll():
            handler = getattr(self, "_on_" + type(event).__name__.lower(), None)
            job = getattr(event, "job", None)
            if handler is None or (job is not None and (self.run is None or job != self.run.job)):
                continue
            handler(event)
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
        self._stop_painting()
        if state == GONE and run is self.run:
            run.layer.clear()
        run.layer = None
        if run is self.run and self.phase in (WAITING, RUNNING):
            self._stop(LAYER_GONE if state == GONE else DOCUMENT_CLOSED, error=True)

    # ---- events, one method each ----
    def _on_connected(self, event: events.Connected) -> None:
        self.connected, self.engine = True, event.engine
        if self.sentence and self.sentence == self.no_bridge:
            self.sentence, self.is_error = "", False
        self.no_bridge = ""
        if event.models:
            self.models = list(event.models)
        if event.presets:
            self.presets = list(event.presets)
        self.can_restart = event.engine == "down"
        if self.phase == IDLE and not self.is_error:
            self.sentence = {"ready": "Ready.", "starting": "The engine is starting …"}.get(event.engine, self.sentence)

    def _on_disconnected(self, event: events.Disconnected) -> None:
        self.connected = False
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
        if run.layer is None:
            self._note("accepted")
            try:
                run.layer = self._settling = self.host.add_layer(run.target, PREVIEW_NAME)
            except Refused as refusal:
                self._stop(refusal.sentence, error=True)
                return
        self.phase = RUNNING
        if event.queue_position > 0:
            self.say(f"Waiting: {event.queue_position} before this one.")
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
        self.seconds_left = event.seconds_left
        if self.clock() >= self._hold:
            self.sentence, self.is_error = "Painting …", False

    def _on_preview(self, event: events.Preview) -> None:
        run = self.run
        assert run is not None
        if self.phase != RUNNING:
            return
        variant = run.variants[event.variant]
        variant.picture, variant.version = Picture(event.width, event.height, event.rgba), variant.version + 1
        if event.variant == run.shown:
            self._show(run, variant)

    def _on_result(self, event: events.Result) -> None:
        run = self.run
        assert run is not None
        variant = run.variants[event.variant]
        variant.picture, variant.version = Picture(event.width, event.height, event.rgba), variant.version + 1
        variant.finished, variant.seed, variant.seconds = True, event.seed, event.seconds
        variant.call = variant.calls
        if self.phase == RUNNING and event.variant == run.shown:
            self._show(run, variant)

    def _on_done(self, event: events.Done) -> None:
        run = self.run
        assert run is not None
        if self.phase != RUNNING:
            self._end("cancelled", self.sentence if self.is_error else "Cancelled.", self.is_error)
            return
        self._note("done")
        variant = run.variants[run.shown]
        self._show(run, variant, then=lambda: self._complete(run, variant, event))

    def _complete(self, run: Run, variant: Variant, event: events.Done) -> Generator[None, None, None]:
        taken = yield from self._promoted(run, variant)
        if taken:
            self._end("done", f"Done in {event.seconds:.0f} s.")
        else:
            self._end("done", NOT_TAKEN, error=True)

    def _promote(self, run: Run, variant: Variant) -> Generator[None, None, None]:
        taken = yield from self._promoted(run, variant)
        if not taken:
            self.say(NOT_TAKEN, error=True)

    def _promoted(self, run: Run, variant: Variant) -> Generator[None, None, bool]:
        """Gives the layer its lasting name and reads the pixels back; whether Krita took them."""
        if run.layer is None or variant.picture is None or run.layer.state() != THERE:
            return False
        run.layer.rename(f"RePaint {run.settings.model} · seed {variant.seed}")
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

        def keep() -> Generator[None, None, None]:
            yield from self._promoted(run, variant)
            self._end(outcome, sentence, error=True)

        self._show(run, variant, then=keep)

    def _on_cancelled(self, event: events.Cancelled) -> None:
        del event
        assert self.run is not None
        self._discard_layer(self.run)
        self._end("cancelled", self.sentence if self.is_error else "Cancelled.", self.is_error)

    # ---- layer ----
    def _show(
        self, run: Run, variant: Variant, then: Optional[Callable[[], Generator[None, None, None]]] = None
    ) -> None:
        """Has the variant's newest picture painted; one that waits already is replaced. ``then`` follows the last."""
        self._wanted = (run, variant)
        if then is not None:
            self._then = then
        if self._painter is None:
            self._painter = self._paint()
            self._paint_on()  # a small picture is in the layer at once, a large one in further steps

    def _paint_on(self) -> None:
        painter = self._painter
        assert painter is not None
        try:
            next(painter)
        except StopIteration:
            if self._painter is painter:
                self._painter = None

    def _paint(self) -> Generator[None, None, None]:
        """Paints what is wanted until nothing is, then does what is to follow."""
        while self._wanted is not None or self._then is not None:
            if self._wanted is None:
                then, self._then = self._then, None
                assert then is not None
                yield from then()
                continue
            (run, variant), self._wanted = self._wanted, None
            version, picture = variant.version, variant.picture
            if run.layer is None or picture is None or run.painted == (variant.index, version):
                continue
            seconds = yield from run.layer.paint(picture)
            state = run.layer.state() if run.layer is not None else THERE
            if state != THERE:
                self._lost_layer(run, state)
                continue
            run.painted = (variant.index, version)
            if run is self.run:
                self._note("first_preview")
                self._adapt(seconds)

    def _adapt(self, refresh_seconds: float) -> None:
        """Asks for previews so seldom that Krita's refreshing takes at most a tenth of the time."""
        interval = max(FASTEST_PREVIEWS, refresh_seconds / REFRESH_SHARE)
        if abs(interval - self._interval) > 0.25 * self._interval:
            self._interval = interval
            self.session.set_preview_interval(interval)

    def _stop_painting(self) -> None:
        self._painter = self._wanted = self._then = None

    def _discard_layer(self, run: Run) -> None:
        self._stop_painting()
        layer, run.layer = run.layer, None
        if layer is not None and layer.state() == THERE:
            layer.clear()
            layer.remove()

    # ---- end ----
    def _end(self, outcome: str, sentence: str, error: bool = False) -> None:
        run, self.run = self.run, None
        self.phase, self.seconds_left = IDLE, -1.0
        if run is not None:
            run.timings["ended"] = self.clock() - run.clicked
            run.capture = None
            run.variants = [variant for variant in run.variants if variant.finished]
            self._trim()
            self.ended(run, outcome)
        self.say(sentence, error)

    def _trim(self) -> None:
        """Drops runs without a finished picture and the oldest pictures beyond the memory limit."""
        self.runs = [run for run in self.runs if run.variants or run is self.run]
        size = 0
        kept: List[Run] = []
        for run in reversed(self.runs):
            size += sum(len(variant.picture.rgba) for variant in run.variants if variant.picture is not None)
            if kept and size > HISTORY_BYTES:
                break
            kept.append(run)
        self.runs = kept[::-1]

    def _note(self, name: str) -> None:
        if self.run is not None:
            self.run.timings.setdefault(name, self.clock() - self.run.clicked)
