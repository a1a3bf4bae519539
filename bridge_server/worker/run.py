"""One job in the engine: its events told to the bridge as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np

from bridge_server import work
from bridge_server.client import messages
from bridge_server.client.checks import shortened
from bridge_server.client.codec import pieces
from bridge_server.client.records import BranchRequest, Figures, Order
from bridge_server.worker import options
from bridge_server.worker.line import Line, Request
from bridge_server.worker.shelf import JUMPS, Shelf
from engine import api
from engine.errors import EngineError

STEP_SECONDS = 0.05
SAMPLES = {"u8": "u1", "u16": "<u2", "f16": "<f2", "f32": "<f4"}  # numpy's names of depths


class Pace:
    """Seconds per unit of progress, of the last calls above all: the first ones are slow."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._seconds = self._units = 0.0

    @property
    def seconds(self) -> float:
        """0 while it cannot be told."""
        return self._seconds / self._units if self._units else 0.0

    def step(self, now: float, units: int) -> None:
        if self._last is not None:
            self._seconds = 0.9 * self._seconds + now - self._last
            self._units = 0.9 * self._units + max(1, units)
        self._last = now


class Run:
    """``look`` answers what is asked of kept steps meanwhile."""

    def __init__(self, request: Request, line: Line, shelf: Shelf, look: Callable[[messages.Look], None]) -> None:
        self._request, self._line, self._shelf, self._look = request, line, shelf, look
        start = request.start
        self._job, self._order, self._first, self._count = start.job, start.order, start.first, start.count
        self._parent = self._kept(start.origin) if start.origin is not None else None
        self._before = self._parent.call if self._parent is not None else 0  # calls of the parent
        self._steps, gone = shelf.open(start.job, self._first, self._before, self._order)
        for job, variants in gone.items():
            for variant in variants:
                line.say_steps(messages.Steps(job, variant, ()))
        self._began = time.monotonic()
        self._done = 0
        self._pace, self._spread = Pace(), api.states.Spread()
        self._spoken: dict[int, float] = {}
        self._last_learning = 0.0
        self._untold: set[int] = set()  # variants with a kept step of which the bridge has not heard
        self._latest: dict[int, api.Step] = {}  # the last step of each unfinished variant

    def paint(self, model: api.Model) -> str:
        """Run the variants and send them; how that ended: "done", "kept" or "stopped" (cancelled on the way)."""
        request = self._request
        events = self._events(model)
        try:
            for event in events:
                if request.cancelled:
                    self._line.calls_total += isinstance(event, api.Step)
                    return "stopped"
                self._handlers[type(event)](self, event)
                if request.keep is not None and isinstance(event, api.Step) and event.call < event.calls:
                    self._keep(request.keep)
                    return "kept"
        finally:
            events.close()
        return "stopped" if request.cancelled else "done"

    def _events(self, model: api.Model) -> Any:
        order, origin, seed = self._order, self._request.start.origin, self._order.seed + self._first
        if self._parent is not None and origin is not None:
            jump, times, late = JUMPS.get(origin.kind, (None, 1, False))
            return api.resume(self._parent, model, seed, self._count, jump, times, late)
        data, samples = self._request.data, SAMPLES[order.depth]
        source = None
        if "source" in data:
            source = np.frombuffer(data["source"], samples).reshape(order.source_height, order.source_width, 4)
        job = api.Job(
            image=_picture(data["pixels"], order.depth, order),
            selection=_whole(np.frombuffer(data["selection"], np.uint8), order),
            source=source,
            share_mask=_whole(np.frombuffer(data["share_mask"], np.uint8), order) if order.share_mask else None,
            maps=tuple(
                api.Map(each.name, _picture(data[f"map-{number}"], each.depth, order), each.kind, each.weight)
                for number, each in enumerate(order.maps)
            ),
            model=order.model,
            preset=order.preset,
            seed=seed,
            variants=self._count,
            linear=order.linear,
            **options.of_job(order.options),
        )
        return api.run(job, model)

    def _kept(self, origin: BranchRequest) -> Any:
        kept = self._shelf.state(origin.parent, origin.variant, origin.call)
        if kept is None:
            raise EngineError("state_gone", work.STATE_GONE)
        return kept

    # ------------------------------------------------------------------------------------ one method for each event

    def _on_pause(self, _event: api.Pause) -> None:
        """It was looked whether to stop, so the run goes on."""
        self._line.last_step = time.monotonic()

    def _on_draft(self, event: api.Draft) -> None:
        self._on_pause(event)
        self._show(self._first + event.variant, 0, event.preview)

    def _on_learning(self, event: api.Learning) -> None:
        now = self._line.last_step = time.monotonic()
        if now - self._last_learning >= STEP_SECONDS or event.done == 1.0:
            self._last_learning = now
            self._line.say(messages.Learning(self._job, event.done, event.seconds_left))

    def _on_note(self, event: api.Note) -> None:
        self._line.say(messages.Note(self._job, shortened(event.sentence, 500)))

    def _on_step(self, event: api.Step) -> None:
        line, variant = self._line, self._first + event.variant
        now = line.last_step = time.monotonic()
        line.calls_total += 1
        self._done += 1
        self._pace.step(now, event.call - (self._latest[variant].call if variant in self._latest else self._before))
        self._latest[variant] = event
        call, calls = event.call - self._before, event.calls - self._before
        pace = self._request.start.pace
        due = now - self._spoken.get(variant, -1e9) >= pace or call == calls
        if due:
            self._spoken[variant] = now
            left = self._seconds_left(calls)
            line.say(messages.Progress(self._job, variant, self._order.variants, call, calls, left))
        if call < calls:
            self._show(variant, call, event.preview)
        if self._spread.takes(event.variant, event.call, event.calls):
            self._steps.put(event.variant, event.keep())
        if self._steps.paint(variant, call, event.preview):
            self._untold.add(variant)
        if variant in self._untold and (due or pace <= STEP_SECONDS):
            self._untold.discard(variant)
            line.say_steps(messages.Steps(self._job, variant, self._steps.of(variant)))
        for wish in self._wishes():
            self._look(wish)

    def _on_finished(self, event: api.Finished) -> None:
        variant = self._first + event.variant
        del self._latest[variant]
        before, after = event.ring or (None, None)
        figures = Figures(**vars(event.figures()), ring_before=before, ring_after=after)
        layers = [event.layer(), *event.map_layers()]
        self._hand_over(variant, layers, event.seed, event.calls - self._before, figures)

    _handlers: ClassVar[dict[type, Callable[[Run, Any], None]]] = {
        api.Pause: _on_pause,
        api.Draft: _on_draft,
        api.Learning: _on_learning,
        api.Note: _on_note,
        api.Step: _on_step,
        api.Finished: _on_finished,
    }

    def _show(self, variant: int, call: int, preview: Callable[[], np.ndarray]) -> None:
        """Send a preview, if one is wanted."""
        if variant not in self._request.credit:
            return
        self._request.credit.discard(variant)
        box = self._order.painted
        place = (box.x, box.y, box.width, box.height, self._order.depth)
        for offset, piece in pieces(self._part(preview()), messages.CHUNK):
            self._line.say(messages.Preview(self._job, variant, call, *place, offset, self._order.parts), piece)

    def _seconds_left(self, calls: int) -> float:
        """For all variants; negative while it cannot be told."""
        begun = sum(each.calls - each.call for each in self._latest.values())  # tiles painted again have more
        ahead = begun + calls * (self._count - len(self._spoken))
        return self._pace.seconds * ahead if self._done > 1 else -1.0

    def _wishes(self) -> Iterator[messages.Look]:
        while not self._line.requests.empty():
            wish = self._line.requests.get()
            assert isinstance(wish, messages.Look), "no other job comes before this one has ended"
            yield wish

    def _keep(self, wanted: set[int]) -> None:
        """Hand over what there is of the unfinished variants that are to be kept, each with its state."""
        for variant in sorted(set(self._latest) & wanted):
            event = self._latest[variant]
            kept = event.keep()
            self._steps.put(variant - self._first, kept)
            call = kept.call - self._before
            self._steps.paint(variant, call, event.preview)
            self._shelf.keep(self._job, variant, kept, call)
            self._line.say_steps(messages.Steps(self._job, variant, self._steps.of(variant)))
            self._hand_over(variant, [event.preview(full=True), *event.map_layers()], kept.seed, call, None)

    def _hand_over(
        self, variant: int, layers: list[np.ndarray], seed: int, calls: int, figures: Figures | None
    ) -> None:
        """The pixels of the part that is painted, and those of the maps, then what they are; without figures:
        unfinished."""
        box, line = self._order.painted, self._line
        pixels = b"".join(map(self._part, layers))
        for offset, piece in pieces(pixels, messages.CHUNK):
            line.say(messages.Chunk(self._job, variant, offset), piece)
        place = (box.x, box.y, box.width, box.height)
        seconds = time.monotonic() - self._began
        model, depth = self._order.model, self._order.depth
        line.say(
            messages.Result(
                self._job, variant, seed, *place, model, seconds, calls, figures is None, depth, figures,
                self._order.maps, self._order.parts,
            )
        )  # fmt: skip

    def _part(self, layer: np.ndarray) -> bytes:
        parts = self._order.parts or (self._order.painted,)
        return b"".join(layer[box.y : box.y + box.height, box.x : box.x + box.width].tobytes() for box in parts)


def _picture(data: bytearray, depth: str, order: Order) -> np.ndarray:
    return _whole(np.frombuffer(data, SAMPLES[depth]).reshape(-1, 4), order)


def _whole(pixels: np.ndarray, order: Order) -> np.ndarray:
    """(height, width, …) of the pixels (N, …) that were sent."""
    shape = (order.height, order.width, *pixels.shape[1:])
    if not order.pieces:
        return pixels.reshape(shape)
    out, begin = np.zeros(shape, pixels.dtype), 0
    for box in order.pieces:
        part = pixels[begin : begin + box.area].reshape(box.height, box.width, *pixels.shape[1:])
        out[box.y : box.y + box.height, box.x : box.x + box.width] = part
        begin += box.area
    return out
