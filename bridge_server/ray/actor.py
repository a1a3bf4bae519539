"""The engine in a Ray actor: it runs what the local worker runs; what it says is a stream in place of the socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from bridge_server import work
from bridge_server.client import messages
from bridge_server.client.codec import Buffer, decode, encode, pages
from bridge_server.client.launch import private_folder, user_folders
from bridge_server.worker.line import BEAT_SECONDS, Line, Request, frames
from engine.loading import without_looking_for_garbage
from engine.version import __version__

LARGE = 64 << 10  # bytes from which a payload travels as an array, which Ray's object store takes without a copy
Frames = list[Any]
Batch = tuple[int, list[Frames], bool]
"""Network calls in all, messages in their order, and whether the last one is the `idle` of the part."""


class Stream(Line):
    """Keeps what is said until it is taken."""

    def __init__(self) -> None:
        super().__init__()
        self._said: deque[tuple[Any, Buffer | None]] = deque()
        self.wake: Callable[[], Any] = lambda: None

    def say(self, message: Any, payload: Buffer | None = None) -> None:
        self._said.append((message, payload))
        self.wake()

    def taken(self) -> list[Frames]:
        """What has been said since, as frames that can be pickled."""
        found = []
        while self._said:
            found.append([_portable(frame) for frame in frames(*self._said.popleft())])
        return found


def _portable(frame: Buffer) -> Any:
    return np.frombuffer(frame, np.uint8) if len(frame) > LARGE else bytes(frame)


class Engine:
    """One actor: asyncio answers, one thread runs the engine.

    It ends by itself, and gives its share of the node back, when nobody has wanted anything for ``idle_seconds``,
    whether or not its bridge still lives.
    """

    def __init__(self, name: str, warm: str, idle_seconds: float) -> None:
        with without_looking_for_garbage():
            from bridge_server.worker.runner import Runner  # seconds: torch

        self._line = Stream()
        self._idle_seconds, self._used = idle_seconds, time.monotonic()
        self._folder = private_folder(user_folders().state / "ray" / name)
        self._runner = Runner(self._line, self._folder / "steps", self._folder / "spool", os._exit)
        self._ready = self._runner.prepare(warm)
        self._line.loading = False
        self._line.taken()
        self._thread = ThreadPoolExecutor(1, "engine")
        self._running: asyncio.Future[work.Idle] | None = None
        self._watching: asyncio.Task[None] | None = None

    async def join(self) -> tuple[str, int, list[Frames]]:
        """The project's version, the process id, and what a worker says first: its models, and that it is ready.

        What an earlier bridge left running is stopped.
        """
        await self.rest()
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())
        self._used = time.monotonic()
        assert self._line.models is not None
        first = [*pages(work.Models(self._line.models()), "models", messages.PAGE), self._ready]
        return __version__, os.getpid(), [list(encode(message)) for message in first]

    async def digest(self, model: str) -> str:
        """What the model's weights are, as a number; "" if it is not here."""
        from engine import models

        def found() -> str:
            here = {info.id: info for info in models.catalogue() if info.installed}
            return models.digest(here[model]) if model in here else ""

        return await asyncio.to_thread(found)

    async def run(self, start: Frames, **inputs: Any) -> AsyncIterator[Batch]:
        """Run a part with the job's pixels: what the local worker would say, as it comes, the last is its `idle`.

        Ends by ``ray.cancel`` within one network call; `rest` then says how.
        """
        loop, line, woken = asyncio.get_running_loop(), self._line, asyncio.Event()
        line.wake = lambda: loop.call_soon_threadsafe(woken.set)
        request = Request(decode(start, work.WORK)[0])
        request.data, request.missing = inputs, {}
        line.present, line.last_step = request, time.monotonic()
        running = self._running = loop.run_in_executor(self._thread, self._run, request)
        running.add_done_callback(lambda _: woken.set())
        beat = 0.0
        try:
            while True:
                ended = running.done()
                woken.clear()
                said, now = line.taken(), time.monotonic()
                if now >= beat:
                    beat = now + BEAT_SECONDS
                    said.append(list(encode(line.beat())))
                if said:
                    yield line.calls_total, said, False
                if ended:
                    break
                if not woken.is_set():
                    await _at_most(woken.wait(), BEAT_SECONDS)
            yield line.calls_total, await self.rest(), True
        finally:
            if not running.done():
                line.take(messages.Cancel(request.start.job))

    async def rest(self) -> list[Frames]:
        """Stop what runs, wait for it, and return what has not been taken."""
        running, present = self._running, self._line.present
        if running is not None and present is not None:
            if not running.done():
                self._line.take(messages.Cancel(present.start.job))
            idle = await running
            if self._running is running:
                self._running = self._line.present = None
                self._used = time.monotonic()
                await self._answer()
                self._line.say(idle)
        return self._line.taken()

    async def tell(self, message: Frames) -> list[Frames]:
        """Credit, keep, look or look-again; the answer, if it does not come in the stream."""
        self._used = time.monotonic()
        self._line.take(*decode(message, work.WORK))
        if self._running is not None:
            return []
        await self._answer()
        return self._line.taken()

    async def gone(self) -> None:
        """Never returns: the end of this call is the end of the actor."""
        await asyncio.Event().wait()

    def _run(self, request: Request) -> work.Idle:
        return self._runner.run(request)

    async def _answer(self) -> None:
        """What is asked of kept steps, when no run answers it."""
        while not self._line.requests.empty():
            wish = self._line.requests.get()
            assert isinstance(wish, messages.Look), "parts come by run"
            await asyncio.get_running_loop().run_in_executor(self._thread, self._runner.look, wish)

    async def _watch(self) -> None:
        import ray

        while self._running is not None or time.monotonic() - self._used < self._idle_seconds:
            await asyncio.sleep(min(5.0, self._idle_seconds / 4))
        shutil.rmtree(self._folder, ignore_errors=True)
        ray.kill(ray.get_runtime_context().current_actor, no_restart=True)


async def _at_most(waiting: Any, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(waiting, seconds)
