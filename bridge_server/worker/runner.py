"""The engine on the worker's main thread: one loaded model, one job at a time."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from bridge_server import work
from bridge_server.client import messages, records
from bridge_server.client.checks import NAME, shortened
from bridge_server.client.codec import pieces
from bridge_server.client.errors import WireError
from bridge_server.worker.line import Line, Request
from bridge_server.worker.run import Run
from bridge_server.worker.shelf import Shelf
from engine import api
from engine.errors import EngineError
from engine.models import folders, forecast, latent, models_dir

log = logging.getLogger("worker")

OWN_FAULT = "The RePaint engine had an internal error; try again, or choose another model or preset."
UNKNOWN = "This model is not known here: choose one from the list."
STUCK = 70  # exit status after an error from which CUDA does not recover


class Runner:
    """``leave`` ends the process with a status."""

    def __init__(self, line: Line, scratch: Path, spool: Path, leave: Callable[[int], None]) -> None:
        self._line, self._leave = line, leave
        self._model: api.Model | None = None
        self._shelf = Shelf(scratch, spool)
        folders.sweep(models_dir())
        line.models = models

    def prepare(self, warm: str) -> work.Ready:
        """Load and warm the first model; an engine without it still knows the others."""
        if warm in [info.id for info in api.catalogue() if info.installed]:
            try:
                self._load(warm)
            except EngineError as error:
                log.warning("not warmed: %s: %s %s", warm, error.code, error.details)
            except Exception:
                log.exception("not warmed: %s", warm)
        presets = tuple(
            records.Preset(name, p.title, p.calls, p.steps, p.jump_length, p.jump_samples, flow)
            for name, each in api.PRESETS.items()
            for p, flow in ((each, False), (each.flow, True))
            if p is not None
        )
        return work.Ready(presets, str(self._model.device) if self._model is not None else "")

    def serve(self) -> NoReturn:
        """Do what the line brings, for ever."""
        while True:
            wanted = self._line.requests.get()
            if isinstance(wanted, messages.Look):
                self.look(wanted)
                continue
            idle = self.run(wanted)
            self._line.present = None
            self._line.say(idle)

    def run(self, request: Request) -> work.Idle:
        """Run a job to its end, whatever that is; the returned message says how it ended."""
        job = request.start.job
        began = time.monotonic()
        outcome, code, sentence, details = "done", "", "", ""
        try:
            outcome = self._run(request)
        except EngineError as error:
            outcome, code, sentence, details = "failed", error.code, error.sentence, error.details
        except Exception as error:
            log.exception("job %s", job)
            if "CUDA error" in str(error):  # sticky: this process will never compute again
                self._leave(STUCK)
            outcome, code, sentence, details = "failed", "engine_error", OWN_FAULT, traceback.format_exc(limit=-3)
        after = self._line.calls_total - request.calls_at_cancel if request.cancelled else -1
        if outcome == "failed":
            log.warning("job %s failed: %s %s", job, code, details)
        said = shortened(code, 64), shortened(sentence, 500), shortened(details, 4000)
        return work.Idle(job, outcome, time.monotonic() - began, self._line.calls_total, after, *said)

    def _run(self, request: Request) -> str:
        order = request.start.order
        if order.model not in {info.id for info in api.catalogue()}:  # an id, never a path: the command line takes both
            raise EngineError("model_unknown", UNKNOWN)
        if request.cancelled:
            return "stopped"
        if self._model is None or self._model.info.id != order.model:
            self._load(order.model)
        assert self._model is not None
        return Run(request, self._line, self._shelf, self.look).paint(self._model)

    def look(self, message: messages.Look) -> None:
        """Send the picture of a kept step, or what steps there are."""
        job, variant, call = message.job, message.variant, message.call
        found = self._shelf.picture(job, variant, call)
        if found is None:
            self._line.say_steps(messages.Steps(job, variant, self._shelf.of(job, variant)))
            return
        box, depth, columns, rows, pixels = found
        place = (box.x, box.y, box.width, box.height, depth, columns, rows)
        for offset, piece in pieces(pixels, messages.CHUNK):
            self._line.say(messages.View(job, variant, call, *place, offset), piece)

    def _load(self, model: str) -> None:
        self._line.loading = True
        self._line.say(self._line.beat())  # at once: a cancel must not be taken for a hang meanwhile
        try:
            self._model = None  # before the next one takes memory
            loaded = api.load_model(model)
            api.warm_up(loaded)
            self._model = loaded
        finally:
            self._line.last_step = time.monotonic()
            self._line.loading = False
            self._line.say(self._line.beat())


def models() -> tuple[records.Model, ...]:
    """What there is now; it reads small files only, on any thread."""
    found = []
    for info in api.catalogue():
        try:
            NAME.accept(info.id)
        except WireError:
            log.warning("a model whose folder has such a name cannot be offered: %r", info.id)
            continue
        found.append(_entry(info))
    return tuple(found)


def _entry(info: api.ModelInfo) -> records.Model:
    need, had = forecast.need(info), info.entry
    return records.Model(
        info.id,
        shortened(info.title, 200),
        shortened(info.family, 64),
        shortened(info.licence, 200),
        info.installed,
        info.takes_prompt,
        info.takes_label,
        memory_mib=-(-need.fixed >> 20) if need is not None else 0,
        pixel_bytes=need.per_pixel if need is not None else 0,
        variant_bytes=need.per_variant if need is not None else 0,
        selected_bytes=need.per_selected if need is not None else 0,
        tile_bytes=need.per_tile if need is not None else 0,
        map_bytes=forecast.MAP_SEEN if info.family == "exemplar" else 0,
        map_selected_bytes=forecast.MAP_SELECTED if info.family == "exemplar" else 0,
        learns=info.learns,
        source=shortened(had.where, 300) if had is not None else "",
        download=had is not None and had.page is None,
        download_bytes=had.download_bytes if had is not None else 0,
        flow=latent.is_flow(info),
    )
