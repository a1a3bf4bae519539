"""One worker that has joined: what it has in hand, and whether it still gets on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import zmq

from bridge_server import work
from bridge_server.client import messages
from bridge_server.client.codec import Buffer, encode
from bridge_server.client.pieces import Pages
from bridge_server.client.records import Model, Preset
from bridge_server.pool.backend import Limits
from bridge_server.pool.process import Process

log = logging.getLogger("bridge.pool")


@dataclass(frozen=True)
class Part:
    """Variants first … first+count-1 of a job, which one worker runs."""

    job: str
    first: int
    count: int

    @property
    def variants(self) -> range:
        return range(self.first, self.first + self.count)


class Worker:
    """States: "starting", "ready" (idle), "busy" (its part runs or stops).

    ``number``: another one for each that ever joined; ``loaded``: the model that it has, as far as is known here.
    """

    def __init__(
        self, number: int, process: Process, route: bytes, limits: Limits, post: Callable[[list[Buffer], int], Any]
    ) -> None:
        """``route``: of its connection; ``post``: the socket's ``send_multipart``."""
        self.number, self.process, self.route = number, process, route
        self._limits, self._post = limits, post
        self.state = "starting"
        self.part: Part | None = None
        self.models: tuple[Model, ...] = ()
        self._installed: set[str] = set()
        self.presets: tuple[Preset, ...] = ()
        self.device = self.loaded = ""
        self.calls_total = 0
        self._pages = {work.Models: Pages("models"), messages.Steps: Pages("steps")}
        self._since = self._heard = time.monotonic()
        self._idle_for = 0.0
        self._loading = False
        self._cancelled_at = 0.0
        self.began = self.ends = 0.0  # of the part: when, and when it will be over by its own word, 0 while unknown

    # ------------------------------------------------------------------------------------------------ doing things

    def run(self, part: Part, start: work.Start) -> None:
        """Give the idle worker a part."""
        self.part, self.state, self.loaded = part, "busy", start.order.model
        self._cancelled_at = self._idle_for = 0.0
        self._heard = self.began = time.monotonic()
        self.ends = 0.0
        self.send(start)

    def send(self, message: Any, payload: Buffer | None = None) -> None:
        try:
            self._post([self.route, *encode(message, payload)], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            log.warning("a worker does not listen: %s", error)  # its end will be noticed by itself

    def cancel(self) -> None:
        """Stop the part in hand; the worker is given up if that takes too long."""
        if self.part is not None and not self._cancelled_at:
            self._cancelled_at = time.monotonic()
            self.send(messages.Cancel(self.part.job))

    def has(self, model: str) -> bool:
        """Whether that model is installed there."""
        return model in self._installed

    # ------------------------------------------------------------------------------------------------ hearing things

    def heard(self) -> None:
        """A sign of life; or nobody is to be blamed for silence until now."""
        self._heard = time.monotonic()

    def stuck(self) -> tuple[str, bool]:
        """Why it has to be given up, or ""; and whether that is no fault of its own."""
        now, limits = time.monotonic(), self._limits
        if self._cancelled_at and not self._loading and now - self._cancelled_at > limits.cancel:
            return "did not stop in time after a cancel", True
        if self.state == "starting":
            return ("did not become ready in time" if now - self._since > limits.starting else ""), False
        if now - self._heard > limits.silent:
            return "is silent", False
        still = self._idle_for + now - self._heard
        if self.state == "busy" and still > (limits.starting if self._loading else limits.stalled):
            return "makes no progress", False
        return "", False

    def whole(self, message: Any) -> Any:
        """A list that comes in several messages, or None until it is complete; any other message as it is."""
        pages = self._pages.get(type(message))
        if pages is None:
            return message
        key = (message.job, message.variant) if isinstance(message, messages.Steps) else None
        return pages.whole(message, key)

    def on_models(self, models: tuple[Model, ...]) -> bool:
        """Whether they are others than before."""
        before, self.models = self.models, models
        self._installed = {model.id for model in models if model.installed}
        return models != before

    def on_beat(self, message: work.Beat) -> None:
        self._idle_for, self._loading, self.calls_total = message.idle_for, message.loading, message.calls_total

    def on_ready(self, message: work.Ready, warm: str) -> None:
        self.presets, self.device, self.state = message.presets, message.device, "ready"
        self.loaded = warm if message.device else ""

    def on_progress(self) -> None:
        self._idle_for = 0.0

    def on_idle(self, message: work.Idle) -> None:
        self.part, self.state, self._cancelled_at = None, "ready", 0.0
        self.calls_total = message.calls_total
