"""The engine process: loads a model, runs one job at a time, says what happens.  The only importer of ``engine``.

Two threads: this module's ``Line`` owns the socket, sends heartbeats and takes cancels at any moment; the main thread
runs the engine.  They share plain attributes and two queues.  Started by the supervisor only; leaves when standard
input ends, when its parent dies, or when told so.
"""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import os
import queue
import re
import signal
import socket
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import zmq

from bridge_server import work
from bridge_server.client import messages
from bridge_server.client.errors import WireError
from bridge_server.shelf import JUMPS, Shelf, Steps

log = logging.getLogger("worker")

BEAT_SECONDS = 1.0
STEP_SECONDS = 0.05
STATE_GONE = "The kept steps of this picture are gone: run it again, then branch from it."
_ENGINE_MISSING = "The RePaint engine is not installed completely: run “python3 installer.py doctor”."


class Request:
    """A job on its way in: the start message, its pixels, and what the other side wants of it by now."""

    def __init__(self, start: work.Start) -> None:
        self.start = start
        size = 0 if start.parent else start.width * start.height  # a branch brings no pixels
        self.data = {"pixels": bytearray(size * 4), "selection": bytearray(size)}
        self.missing = {what: len(buffer) for what, buffer in self.data.items()}
        self.credit = set(start.credit)
        self.cancelled = False
        self.keep: set[int] | None = None  # stop and keep these variants, if it is a set
        self.calls_at_cancel = 0

    @property
    def complete(self) -> bool:
        return not any(self.missing.values())


class Line(threading.Thread):
    """The thread that owns the socket."""

    def __init__(self, address: str, password: str) -> None:
        super().__init__(name="line", daemon=True)
        self._address, self._password = address, password
        self._mine, self._theirs = socket.socketpair()
        self._mine.setblocking(False)
        self._theirs.setblocking(False)
        self._outbox: deque[tuple[Any, messages.Buffer | None]] = deque()
        self.requests: queue.SimpleQueue[Request | work.Look] = queue.SimpleQueue()
        self.present: Request | None = None
        self.models: Callable[[], tuple[messages.ModelEntry, ...]] | None = None  # as soon as the engine is imported
        self.calls_total = 0
        self.loading = True
        self.last_step = time.monotonic()
        self.last_learning = 0.0

    def say(self, message: Any, payload: messages.Buffer | None = None) -> None:
        """Send from any thread."""
        self._outbox.append((message, payload))
        with contextlib.suppress(BlockingIOError):  # it has been woken often enough
            self._theirs.send(b"x")

    def beat(self) -> work.Beat:
        idle_for = time.monotonic() - self.last_step if self.present is not None else 0.0
        return work.Beat(idle_for, self.loading, self.calls_total)

    def say_pixels(self, message: type[Any], pixels: bytes, **fields: Any) -> None:
        """Send ``pixels`` in pieces, each with a ``message`` of these fields and its offset."""
        view = memoryview(pixels)
        for offset in range(0, len(view), messages.CHUNK):
            self.say(message(offset=offset, **fields), view[offset : offset + messages.CHUNK])

    def run(self) -> None:
        context = zmq.Context()
        line = context.socket(zmq.DEALER)
        line.plain_username, line.plain_password = b"worker", self._password.encode()
        line.sndhwm, line.linger, line.maxmsgsize = 0, 500, messages.MAX_PAYLOAD
        line.connect(self._address)
        line.send_multipart(messages.encode(work.Online(os.getpid())))
        poller = zmq.Poller()
        poller.register(line, zmq.POLLIN)
        poller.register(self._mine, zmq.POLLIN)
        beat = 0.0
        while True:
            now = time.monotonic()
            if now >= beat:
                beat = now + BEAT_SECONDS
                line.send_multipart(messages.encode(self.beat()))
            ready = dict(poller.poll(max(0, int((beat - now) * 1000))))
            if self._mine.fileno() in ready:
                self._mine.recv(4096)
            while self._outbox:
                message, payload = self._outbox.popleft()
                line.send_multipart(messages.encode(message, payload), copy=payload is None)
            if line in ready:
                try:
                    message, payload = messages.decode(line.recv_multipart(), work.WORK)
                except WireError as error:
                    log.error("unlawful message: %s", error.details)
                    continue
                if isinstance(message, work.Quit):
                    leave(0)
                self._take(message, payload)

    def _take(self, message: Any, payload: messages.Buffer | None) -> None:
        if isinstance(message, work.Start):
            self.last_step = time.monotonic()
            self.present = Request(message)
            if message.parent:
                self.requests.put(self.present)
                return
            for what in ("pixels", "selection"):
                self.say(work.Need(message.job, what, 0))
            return
        if isinstance(message, work.Look):
            self.requests.put(message)
            return
        if isinstance(message, work.LookAgain):
            if self.models is not None:
                self.say(work.Models(self.models()))
            return
        request = self.present
        if request is None or request.start.job != message.job:
            return
        if isinstance(message, work.Input) and payload is not None:
            data = request.data[message.what]
            end = message.offset + len(payload)
            if end > len(data):
                raise RuntimeError("the bridge sent more pixels than announced")
            data[message.offset : end] = payload
            request.missing[message.what] = len(data) - end
            if request.complete:
                self.requests.put(request)
            elif end < len(data):
                self.say(work.Need(message.job, message.what, end))
        elif isinstance(message, work.Credit):
            request.credit.update(message.variants)
        elif isinstance(message, work.Keep):
            request.keep = set(message.variants) or set(range(messages.MAX_VARIANTS))
        elif isinstance(message, work.Cancel) and not request.cancelled:
            request.calls_at_cancel = self.calls_total
            request.cancelled = True
            if not request.complete:  # the engine thread has not heard of it
                self.present = None
                self.say(work.Idle(message.job, "stopped", 0.0, self.calls_total, 0))


class Engine:
    """The main thread's side: one loaded model, one job at a time."""

    def __init__(self, line: Line, scratch: Path, spool: Path) -> None:
        from engine import api  # seconds: torch
        from engine.models import forecast
        from engine.run import states

        self._need = forecast.need
        self._api, self._line = api, line
        self._model: Any = None
        self._shelf = Shelf(states, scratch, spool)
        line.models = self.models

    def models(self) -> tuple[messages.ModelEntry, ...]:
        """What there is now; it reads small files only, on any thread."""
        return tuple(_entry(info, self._need(info)) for info in self._api.catalogue())

    def prepare(self, warm: str) -> work.Ready:
        """Load and warm the first model; an engine without it still knows the others."""
        api = self._api
        installed = [info.id for info in api.catalogue() if info.installed]
        if warm in installed:
            try:
                self._load(warm)
            except api.EngineError as error:
                log.warning("not warmed: %s: %s %s", warm, error.code, error.details)
            except Exception:
                log.exception("not warmed: %s", warm)
        presets = tuple(
            messages.PresetEntry(name, p.title, p.calls, p.steps, p.jump_length, p.jump_samples)
            for name, p in api.PRESETS.items()
        )
        return work.Ready(self.models(), presets, str(self._model.device) if self._model is not None else "")

    def run(self, request: Request) -> work.Idle:
        """Run a job to its end, whatever that is; the returned message says how it ended."""
        start = request.start
        began = time.monotonic()
        outcome, code, sentence, details = "done", "", "", ""
        try:
            outcome = self._run(request, began)
        except self._api.EngineError as error:
            outcome, code, sentence, details = "failed", error.code, error.sentence, error.details
        except Exception as error:
            log.exception("job %s", start.job)
            if "CUDA error" in str(error):  # sticky: this process will never compute again
                leave(70)
            outcome, code = "failed", "engine_error"
            sentence = "The RePaint engine met an error of its own; try again, or choose another model or preset."
            details = traceback.format_exc(limit=-3)
        after = self._line.calls_total - request.calls_at_cancel if request.cancelled else -1
        if outcome == "failed":
            log.warning("job %s failed: %s %s", start.job, code, details)
        return work.Idle(
            start.job, outcome, time.monotonic() - began, self._line.calls_total, after, code[:64],
            sentence[:500], details[:4000],
        )  # fmt: skip

    def _run(self, request: Request, began: float) -> str:
        """Run the variants and send them; how that ended: "done", "kept" or "stopped" (cancelled on the way)."""
        api, line, start = self._api, self._line, request.start
        known = {info.id for info in api.catalogue()}
        if start.model not in known:  # an id, never a path: the engine's command line takes folders too
            raise api.EngineError("model_unknown", "This model is not known here: choose one of the list.")
        if request.cancelled:
            return "stopped"
        if self._model is None or self._model.info.id != start.model:
            self._load(start.model)
        parent = self._parent(start) if start.parent else None
        before = parent.call if parent is not None else 0
        steps, gone = self._shelf.open(start.job, start.first, before)
        for job, variants in gone.items():
            for variant in variants:
                line.say(work.Steps(job, variant, ()))
        events = self._branch(parent, start, steps) if parent is not None else self._fill(request, steps)
        done, pace = 0, Pace()
        spoken: dict[int, float] = {}
        latest: dict[int, Any] = {}  # the last step of each unfinished variant
        try:
            for event in events:
                if request.cancelled:
                    line.calls_total += isinstance(event, api.Step)
                    return "stopped"
                if isinstance(event, api.Pause):
                    continue
                if isinstance(event, api.Learning):
                    self._say_learning(start.job, event)
                    continue
                if isinstance(event, api.Note):
                    line.say(work.Note(start.job, event.sentence[:500]))
                    continue
                variant = start.first + event.variant
                if isinstance(event, api.Finished):
                    del latest[variant]
                    line.say_pixels(work.Output, event.layer().tobytes(), job=start.job, variant=variant)
                    seconds = time.monotonic() - began
                    line.say(work.Result(start.job, variant, event.seed, seconds, event.calls - before))
                    continue
                now = line.last_step = time.monotonic()
                line.calls_total += 1
                done += 1
                pace.step(now, event.call - (latest[variant].call if variant in latest else before))
                latest[variant] = event
                call, calls = event.call - before, event.calls - before
                if now - spoken.get(variant, -1e9) >= STEP_SECONDS or call == calls:
                    spoken[variant] = now
                    begun = sum(each.calls - each.call for each in latest.values())  # tiles painted again have more
                    ahead = begun + calls * (start.variants - len(spoken))
                    left = pace.seconds * ahead if done > 1 else -1.0
                    line.say(work.Step(start.job, variant, call, calls, left))
                if variant in request.credit and call < calls:
                    request.credit.discard(variant)
                    fields = {"job": start.job, "variant": variant, "call": call}
                    size = {"width": start.width, "height": start.height}
                    line.say_pixels(work.Preview, event.preview().tobytes(), **fields, **size)
                if steps.paint(variant, call, event.preview):
                    line.say(work.Steps(start.job, variant, steps.of(variant)))
                while not line.requests.empty():
                    wish = line.requests.get()
                    assert isinstance(wish, work.Look), "no other job comes before this one has ended"
                    self.look(wish)
                if request.keep is not None and call < calls:
                    self._keep(request, latest, steps, began)
                    return "kept"
        finally:
            events.close()
        return "stopped" if request.cancelled else "done"

    def _fill(self, request: Request, steps: Steps) -> Any:
        import numpy as np

        start = request.start
        shape = (start.height, start.width)
        job = self._api.Job(
            image=np.frombuffer(request.data["pixels"], np.uint8).reshape(*shape, 4),
            selection=np.frombuffer(request.data["selection"], np.uint8).reshape(shape),
            model=start.model,
            preset=start.preset,
            seed=start.seed + start.first,
            variants=start.variants,
            **self._options(start.options),
        )
        return self._api.run(job, self._model, cast("Any", steps))

    def _parent(self, start: work.Start) -> Any:
        kept = self._shelf.state(start.parent, start.parent_variant, start.call)
        if kept is None:
            raise self._api.EngineError("state_gone", STATE_GONE)
        return kept

    def _branch(self, parent: Any, start: work.Start, steps: Steps) -> Any:
        jump: int | str | None
        jump, times, late = JUMPS.get(start.kind, (None, 1, False))
        return self._api.resume(
            parent,
            self._model,
            start.seed + start.first,
            start.variants,
            start.jump or jump,
            start.times or times,
            late,
            cast("Any", steps),
        )

    def _keep(self, request: Request, latest: dict[int, Any], steps: Steps, began: float) -> None:
        """Hand over what there is of the unfinished variants that are to be kept, each with its state."""
        start, line = request.start, self._line
        for variant in sorted(set(latest) & (request.keep or set())):
            event = latest[variant]
            kept = event.keep()
            steps.put(variant - start.first, kept)
            entry = steps.entry(kept)
            steps.paint(variant, entry.call, event.preview)
            self._shelf.keep(start.job, variant, kept, entry.call)
            line.say_pixels(work.Output, event.preview(full=True).tobytes(), job=start.job, variant=variant)
            line.say(work.Steps(start.job, variant, steps.of(variant)))
            seconds = time.monotonic() - began
            line.say(work.Result(start.job, variant, kept.seed, seconds, entry.call, (entry,)))

    def look(self, message: work.Look) -> None:
        """Send the picture of a kept step, or what steps there are."""
        job, variant = message.job, message.variant
        found = self._shelf.picture(job, variant, message.call)
        if found is None:
            self._line.say(work.Steps(job, variant, self._shelf.of(job, variant)))
            return
        width, height, pixels = found
        fields = {"job": job, "variant": variant, "call": message.call, "width": width, "height": height}
        self._line.say_pixels(work.View, pixels, **fields)

    def _say_learning(self, job: str, event: Any) -> None:
        now = time.monotonic()
        if now - self._line.last_learning >= STEP_SECONDS or event.done == 1.0:
            self._line.last_learning = now
            self._line.say(work.Learning(job, event.done, event.seconds_left))
        self._line.last_step = now

    def _options(self, options: dict[str, Any]) -> dict[str, Any]:
        """Plain values for api.Job; nothing that could name a file."""
        api = self._api
        fixed = {"image", "selection", "model", "preset", "seed", "variants"}
        allowed = set(api.Job.__dataclass_fields__) - fixed
        chosen = {}
        for name, option in options.items():
            if option is None:
                continue
            whole = name in ("steps", "jump_length", "jump_samples", "start_resampling")
            number = name in ("learn", "guidance", "guidance_start", "guidance_stop", "pag_scale")
            text = name in ("prompt", "negative")
            word = name == "schedule" and isinstance(option, str)
            if (
                name not in allowed
                or (whole and type(option) is not int)
                or (number and type(option) not in (int, float))
                or (text and not isinstance(option, str))
                or (name == "hard" and type(option) is not bool)
                or (word and not re.fullmatch(r"[a-z][a-z_-]{0,31}", option))
            ):
                raise api.EngineError("bad_request", f"The engine cannot use “{name}” here: leave it at its default.")
            chosen[name] = tuple(option) if isinstance(option, list) else option
        return chosen

    def _load(self, model: str) -> None:
        self._line.loading = True
        self._line.say(self._line.beat())  # at once: a cancel must not be taken for a hang meanwhile
        try:
            self._model = None  # before the next one takes memory
            loaded = self._api.load_model(model)
            self._api.warm_up(loaded)
            self._model = loaded
        finally:
            self._line.last_step = time.monotonic()
            self._line.loading = False
            self._line.say(self._line.beat())


def _entry(info: Any, need: Any) -> messages.ModelEntry:
    """A model for the wire; ``need``: its memory, or None."""
    had = info.entry
    return messages.ModelEntry(
        info.id,
        info.title,
        info.family,
        info.licence,
        info.installed,
        info.takes_prompt,
        info.takes_label,
        memory_mib=-(-need.fixed >> 20) if need is not None else 0,
        pixel_bytes=need.per_pixel if need is not None else 0,
        variant_bytes=need.per_variant if need is not None else 0,
        learns=info.learns,
        source=had.where[:300] if had is not None else "",
        download=had is not None and had.page is None,
        download_bytes=had.download_bytes if had is not None else 0,
    )


class Pace:
    """Seconds per unit of progress (a network call), a running mean that forgets the slow first ones."""

    def __init__(self) -> None:
        self._last: float | None = None
        self.seconds = 0.0

    def step(self, now: float, units: int) -> None:
        if self._last is not None:
            taken = (now - self._last) / max(1, units)
            self.seconds = taken if not self.seconds else 0.9 * self.seconds + 0.1 * taken
        self._last = now


def leave(status: int) -> None:
    """End the process now: threads of native libraries must not be waited for."""
    logging.shutdown()
    os._exit(status)


def _die_with_parent(parent: int) -> None:
    """Linux: SIGKILL when the bridge dies; everywhere: leave at the end of standard input."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            leave(0)

    def watch() -> None:
        while sys.stdin.buffer.read(4096):
            pass
        leave(0)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def main() -> None:
    logs = Path(sys.argv[1])
    handler = logging.handlers.RotatingFileHandler(logs / "worker.log", maxBytes=1 << 20, backupCount=2)
    logging.basicConfig(
        handlers=[handler], level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in a terminal is for the bridge
    orders = json.loads(sys.stdin.buffer.readline())
    _die_with_parent(orders["parent"])
    line = Line(orders["address"], orders["password"])
    line.start()
    try:
        engine = Engine(line, Path(orders["scratch"]), Path(orders["spool"]))
        ready = engine.prepare(orders["warm"])
    except Exception as error:
        log.exception("the engine cannot start")
        line.say(work.Broken(_ENGINE_MISSING, repr(error)[:4000]))
        time.sleep(0.5)
        leave(3)
    line.loading = False
    line.say(ready)
    log.info("ready on %s", ready.device)
    while True:
        request = line.requests.get()
        if isinstance(request, work.Look):
            engine.look(request)
            continue
        idle = engine.run(request)
        line.present = None
        line.say(idle)


if __name__ == "__main__":
    main()
