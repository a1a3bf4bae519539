"""What a worker says and is told: `Line`, however that travels, and `SocketLine`, the local worker's thread that owns
the socket, sends heartbeats and takes cancels at any moment."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import zmq

from bridge_server import work
from bridge_server.client import messages
from bridge_server.client.checks import shortened
from bridge_server.client.codec import MAX_PAYLOAD, Buffer, decode, encode, pages
from bridge_server.client.errors import WireError
from bridge_server.client.records import Model

log = logging.getLogger("worker.line")

BEAT_SECONDS = 1.0
UNSAID = "The RePaint engine could not send a message: try again, or see worker.log."


class Request:
    """A job on its way in: the start message, its pixels, and what the other side wants of it by now."""

    def __init__(self, start: work.Start) -> None:
        self.start = start
        inputs = start.order.inputs if start.origin is None else {}  # a branch brings no pixels
        self.data = {what: bytearray(size) for what, size in inputs.items()}
        self.missing = {what: len(buffer) for what, buffer in self.data.items()}
        self.credit = set(start.credit)
        self.cancelled = False
        self.keep: set[int] | None = None  # stop and keep these variants, if it is a set
        self.calls_at_cancel = 0

    @property
    def complete(self) -> bool:
        return not any(self.missing.values())

    def needs(self) -> list[work.Need]:
        """What to ask for first."""
        return [work.Need(self.start.job, what, 0) for what, size in self.missing.items() if size]

    def add(self, message: work.Input, payload: Buffer) -> list[work.Need]:
        """Take a piece of the pixels; what to ask for next."""
        data = self.data.get(message.what, bytearray())
        end = message.offset + len(payload)
        if end > len(data):
            raise WireError(UNSAID, "the bridge sent more pixels than announced")
        data[message.offset : end] = payload
        self.missing[message.what] = len(data) - end
        return [work.Need(message.job, message.what, end)] if end < len(data) else []


class Line:
    """Plain attributes and a queue, shared with the thread that runs the engine."""

    def __init__(self) -> None:
        self.requests: queue.SimpleQueue[Request | messages.Look] = queue.SimpleQueue()
        self.present: Request | None = None
        self.models: Callable[[], tuple[Model, ...]] | None = None  # as soon as the engine is imported
        self.calls_total = 0
        self.loading = True
        self.last_step = time.monotonic()

    # --------------------------------------------------------------------------------------------- from any thread

    def say(self, message: Any, payload: Buffer | None = None) -> None:
        raise NotImplementedError

    def say_steps(self, message: messages.Steps) -> None:
        for page in pages(message, "steps", messages.PAGE):
            self.say(page)

    def say_models(self) -> None:
        """What there is now, as soon as the engine is imported."""
        if self.models is not None:
            for page in pages(work.Models(self.models()), "models", messages.PAGE):
                self.say(page)

    def beat(self) -> work.Beat:
        idle_for = time.monotonic() - self.last_step if self.present is not None else 0.0
        return work.Beat(idle_for, self.loading, self.calls_total)

    # ---------------------------------------------------------------------------------------------- what it is told

    def take(self, message: Any, payload: Buffer | None = None) -> None:
        if isinstance(message, work.Start):
            self._start(Request(message))
        elif isinstance(message, messages.Look):
            self.requests.put(message)
        elif isinstance(message, work.LookAgain):
            self.say_models()
        elif self.present is not None and self.present.start.job == message.job:
            self._on_present(self.present, message, payload)

    def _start(self, request: Request) -> None:
        self.last_step = time.monotonic()
        self.present = request
        if request.complete:
            self.requests.put(request)
            return
        for need in request.needs():
            self.say(need)

    def _on_present(self, request: Request, message: Any, payload: Buffer | None) -> None:
        if isinstance(message, work.Input) and payload is not None:
            for need in request.add(message, payload):
                self.say(need)
            if request.complete:
                self.requests.put(request)
        elif isinstance(message, messages.Credit):
            request.credit.update(message.variants)
        elif isinstance(message, messages.Keep):
            request.keep = set(message.variants) or set(range(request.start.order.variants))
        elif isinstance(message, messages.Cancel) and not request.cancelled:
            request.calls_at_cancel = self.calls_total
            request.cancelled = True
            if not request.complete:  # the engine thread has not heard of it
                self.present = None
                self.say(work.Idle(message.job, "stopped", 0.0, self.calls_total, 0))


class SocketLine(Line, threading.Thread):
    """The local worker's."""

    def __init__(self, address: str, password: str, ticket: str, leave: Callable[[], None]) -> None:
        """``leave`` ends the process, when told so."""
        Line.__init__(self)
        threading.Thread.__init__(self, name="line", daemon=True)
        self._address, self._password, self._ticket, self._leave = address, password, ticket, leave
        self._mine, self._theirs = socket.socketpair()
        self._mine.setblocking(False)
        self._theirs.setblocking(False)
        self._outbox: deque[tuple[Any, Buffer | None]] = deque()

    def say(self, message: Any, payload: Buffer | None = None) -> None:
        self._outbox.append((message, payload))
        with contextlib.suppress(BlockingIOError):  # it has been woken often enough
            self._theirs.send(b"x")

    def take(self, message: Any, payload: Buffer | None = None) -> None:
        if isinstance(message, work.Quit):
            self._leave()
        else:
            super().take(message, payload)

    def run(self) -> None:
        context = zmq.Context()
        line = context.socket(zmq.DEALER)
        line.plain_username, line.plain_password = b"worker", self._password.encode()
        line.sndhwm, line.linger, line.maxmsgsize = 0, 500, MAX_PAYLOAD
        line.connect(self._address)
        line.send_multipart(encode(work.Online(os.getpid(), self._ticket)))
        poller = zmq.Poller()
        poller.register(line, zmq.POLLIN)
        poller.register(self._mine, zmq.POLLIN)
        beat = 0.0
        while True:
            now = time.monotonic()
            if now >= beat:
                beat = now + BEAT_SECONDS
                line.send_multipart(encode(self.beat()))
            ready = dict(poller.poll(max(0, int((beat - now) * 1000))))
            if self._mine.fileno() in ready:
                self._mine.recv(4096)
            while self._outbox:
                message, payload = self._outbox.popleft()
                line.send_multipart(frames(message, payload), copy=payload is None)
            if line in ready:
                try:
                    self.take(*decode(line.recv_multipart(), work.WORK))
                except WireError as error:
                    log.error("unlawful message: %s", error.details)


def frames(message: Any, payload: Buffer | None) -> list[Buffer]:
    """The message as frames; of one that cannot be said, that it cannot."""
    try:
        return encode(message, payload)
    except WireError as error:
        log.error("%s cannot be said: %s", type(message).TYPE, error.details)
        about, job = type(message).TYPE, str(getattr(message, "job", ""))
        return encode(messages.Error("unsaid", UNSAID, about, shortened(job, 64), shortened(error.details, 4000)))
